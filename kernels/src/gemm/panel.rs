//! One panel of columns against a block of rows: the loop over register tiles, and over the chains of their sums.
//!
//! ```text
//! panel(m rows, k steps, first, last):         whether the product's depth begins, and ends, with this block's
//!   (begin, end) = (first ? none : C,  last ? none : C)
//!   if k ≤ CHAIN:
//!       chain(all rows, all steps, begin, end)
//!   else for some rows at a time:              as many as have sums in 96 vectors on the stack
//!       for CHAIN steps at a time:
//!           chain(rows, steps, at the block's first steps ? begin : waiting, at its last ? end : waiting)
//!
//! chain(rows, steps, before, after):           a function of its own
//!   for each tile of the rows, from the tallest height to the lowest:
//!       prefetch the next tile's part of C     unless the steps are too few for it to come in time
//!       acc ← before ? 0 : epilogue.start      a bias, C, β·C, or 0
//!       acc ← accumulate(acc, steps)           tile.rs
//!       acc ← before + acc                     if there is one
//!       after ? (after ← acc) : epilogue.finish(acc)
//! ```
//!
//! **Chains.** An element is the sum, in order, of chains of [`CHAIN`] steps of k. The first starts from the epilogue's
//! start, each later one from zero, and when it ends, what was summed before is added to it. Where that lies, depends:
//! a block of k that is not the product's first finds it in the output. Within a block of several chains, a few rows of
//! tiles at a time go through all of them, and their sums wait in L1. So a depth that is not cut at all and one that is
//! cut into blocks of any whole number of chains give the same bits, and the output is not written before the block's
//! end.
//!
//! **Heights.** Rows are cut into tiles of the tallest height that goes with the panel's width; what is left over goes
//! into tiles of 8, 4, 2 and 1 rows. [`Heights`](super::shape::Heights) is that cut, and packed rows must follow it, since a packed tile has
//! its rows adjacent for every k: their tallest height is that of the block's widest panel, and not of each panel. The
//! rows that wait together are whole tiles of every height.
//!
//! **Types.** The width in vectors, whether rows of A are adjacent, and whether one chain is all of the product (`ONE`:
//! most products, which add nothing and wait for nothing) are constants of the type. What an instruction set has no
//! panels for, or an epilogue no operands, is not compiled.
//!
//! **Edges.** Tiles read B by whole vectors. Where the last row of B ends within the panel, its columns are loaded
//! once, to the stack, and the block's last step reads them there. Columns of C beyond the matrix are neither read nor
//! written: the tiles of such a panel are loaded and stored out of line.
//!
//! What would be tempting, and is wrong:
//! - *To cut the depth where the caches want it*: the cut would show in the bits. Blocks begin where chains do.
//! - *Blocks of two chains each*, to write C half as often: none of those tried was faster (docs/PERFORMANCE.md).
//! - *To hand the tiles of a panel over by value, or to read their fields through a reference*: 2→20×9→1 and 4→32→16→4
//!   were 4 and 7 % slower than with one chain that is never cut. They go by reference, the callee makes a copy, and a
//!   chain that is all of the depth has tiles of its own: 1 … 2 %.
//! - *To let the optimiser inline the tiles into their callers*: minutes of compilation, and one symbol for all in a
//!   profile.
//! - *A visitor instead of the iterator [`Heights`](super::shape::Heights)*: a closure is compiled without the instruction set's features, and
//!   each vector operation in it becomes a call: 0.40 of the peak for 0.69 … 0.79 at 1024³, when packing did so.
//! - *To prefetch the next panel of B, or the next tile of A*: nothing, or a loss.

use super::{
    epilogue::{At, Epilogue, add_tile, load_tile, store_tile},
    row_major::RowMajor,
    shape::{PanelSpan, granule_vectors, heights, max_granules, runs, tile_rows},
    tile::{CHAIN, accumulate},
};
use crate::isa::{LaneKernel, Lanes, Real, outline};
use core::mem::MaybeUninit;

/// The A operand of a block of rows, read one scalar at a time.
#[derive(Debug, Clone, Copy)]
pub enum Left<T> {
    /// Element (i, k) at `ptr + i·stride + k`: activations where they lie.
    Contiguous(*const T, isize),
    /// Element (i, k) at `ptr + i + k·stride`: a transposed operand. Only for epilogues with
    /// [`ADJACENT_ROWS`](Epilogue::ADJACENT_ROWS).
    Adjacent(*const T, isize),
    /// Packed by [`PackRows`](super::pack::PackRows): tile after tile, each with its rows adjacent for every k.
    /// Only for epilogues with [`ADJACENT_ROWS`](Epilogue::ADJACENT_ROWS).
    Packed(*const T),
}

/// `m` rows times one panel of columns, over one block of k.
#[derive(Debug, Clone, Copy)]
pub struct Panel<T, E> {
    /// Rows.
    pub m: usize,
    /// Row of the output that row 0 of the operand is.
    pub row0: usize,
    /// Depth of this block, which starts at a multiple of [`CHAIN`] of the product's depth.
    pub k: usize,
    /// Rows' operand, at this block of k.
    pub a: Left<T>,
    /// The panel's vectors for the block's first k.
    pub b: *const T,
    /// From a k to the next. The panel's whole width is readable at each k.
    pub ldb: usize,
    /// But at the block's last so many columns alone.
    pub last_cols: usize,
    /// Which columns.
    pub span: PanelSpan,
    /// Rows a packed tile has; see [`tile_rows`].
    pub tile_rows: usize,
    /// The block has the first chains, which begin with the epilogue's start; else the output has the sum of those
    /// before it.
    pub first: bool,
    /// The block has the last chains: the epilogue's finish takes the sum; else the output does.
    pub last: bool,
    /// The epilogue.
    pub epilogue: E,
}

/// Steps of a tile from which on it pays to ask for the next one's output.
const SOON: usize = 16;

/// Vectors of sums that wait for the next chain: 6 KB of L1 at most.
const WAITING: usize = 96;

/// Rows whose sums wait together in a panel of `vectors`: whole register tiles of every height that goes with it.
const fn rows_at_once(vectors: usize) -> usize {
    WAITING / vectors / 12 * 12
}

/// Sums of chains that have ended.
#[derive(Debug, Clone, Copy)]
struct Sums<T> {
    /// Those of the panel's first row, and on.
    at: RowMajor<T>,
    /// Columns: the panel's width, or fewer.
    cols: usize,
}

/// One chain of some rows of a panel, with the panel's width in vectors and the kind of its rows (`ADJACENT`: adjacent) in
/// its type; `ONE`: the chain is all of the product's depth, so nothing is added and the epilogue finishes it.
#[derive(Clone, Copy)]
struct PanelTiles<T, E, const NV: usize, const ADJACENT: bool, const ONE: bool> {
    panel: Panel<T, E>,
    /// Rows: from, and up to.
    rows: (usize, usize),
    /// The chain's first step in the block, and how many it has.
    from: usize,
    steps: usize,
    /// What is added to the chain; none for a product's first, which begins with the epilogue's start.
    before: Option<Sums<T>>,
    /// Where the sum goes; none for a product's last, which the epilogue finishes.
    after: Option<Sums<T>>,
    /// The vectors of the block's last step, if they lie apart; or null.
    edge: *const T,
}

impl<T: Real, E: Epilogue<T>> Panel<T, E> {
    /// Multiplies.
    ///
    /// # Safety
    /// The operands are readable and the output is writable (and read, where the sums go on) over the rows,
    /// columns and depth that the fields name; nothing else accesses the output's part meanwhile.
    #[inline(always)]
    pub unsafe fn run<I: Lanes<T>>(self, isa: I) {
        let adjacent = !matches!(self.a, Left::Contiguous(..));
        // SAFETY: the caller's promise.
        unsafe {
            match self.span.width / I::LANES {
                1 => self.wide::<I, 1>(isa, adjacent),
                2 => self.wide::<I, 2>(isa, adjacent),
                3 => self.wide::<I, 3>(isa, adjacent),
                4 => self.wide::<I, 4>(isa, adjacent),
                _ => self.wide::<I, 8>(isa, adjacent),
            }
        }
    }

    /// The panel, NV vectors wide: compiled only where an ISA's panels can be that wide.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    #[inline(always)]
    unsafe fn wide<I: Lanes<T>, const NV: usize>(self, isa: I, adjacent: bool) {
        if const {
            NV.is_multiple_of(granule_vectors::<T, I>())
                && NV <= granule_vectors::<T, I>() * max_granules::<T, I>()
        } {
            // SAFETY: the caller's promise.
            unsafe {
                if const { E::ADJACENT_ROWS } && adjacent {
                    self.chains::<I, NV, true>(isa);
                } else {
                    self.chains::<I, NV, false>(isa);
                }
            }
        }
    }

    /// The panel, chain by chain. Most products have one, and cost nothing more.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    #[inline(always)]
    unsafe fn chains<I: Lanes<T>, const NV: usize, const ADJACENT: bool>(self, isa: I) {
        let out = self.epilogue.output().at(self.row0, self.span.col);
        let out = Sums { at: out, cols: self.span.cols };
        let (first, last) = ((!self.first).then_some(out), (!self.last).then_some(out));
        let (rows, from, steps) = ((0, self.m), 0, self.k);
        let ragged = self.last_cols < self.span.width && self.k > 0;
        let row = if ragged {
            let at = At { row: 0, col: 0, cols: self.last_cols };
            // SAFETY: so many columns are readable at the last step.
            let [row] = unsafe {
                load_tile::<T, I, 1, NV>(
                    isa,
                    RowMajor::new(self.b.cast_mut(), self.ldb).at(self.k - 1, 0),
                    at,
                )
            };
            row
        } else {
            [isa.zero(); NV]
        };
        let edge = if ragged { (&raw const row).cast() } else { core::ptr::null() };
        if self.k <= CHAIN && self.first && self.last {
            let (before, after) = (None, None);
            let whole = PanelTiles { panel: self, rows, from, steps, before, after, edge };
            outline::<_, Chain<'_, T, E, NV, ADJACENT, true>>(isa, Chain(&whole));
            return;
        }
        let whole = PanelTiles { panel: self, rows, from, steps, before: first, after: last, edge };
        if self.k <= CHAIN {
            outline::<_, Chain<'_, T, E, NV, ADJACENT, false>>(isa, Chain(&whole));
            return;
        }
        let (mut room, width) = (MaybeUninit::<[I::V; WAITING]>::uninit(), NV * I::LANES);
        let room = room.as_mut_ptr().cast::<T>();
        for row in (0..self.m).step_by(rows_at_once(NV)) {
            let rows = (row, self.m.min(row + rows_at_once(NV)));
            let waiting =
                Some(Sums { at: RowMajor::new(room.wrapping_sub(row * width), width), cols: width });
            let mut from = 0;
            while from < self.k {
                let steps = CHAIN.min(self.k - from);
                let before = if from == 0 { first } else { waiting };
                let after = if from + steps == self.k { last } else { waiting };
                let tiles = PanelTiles { rows, from, steps, before, after, ..whole };
                outline::<_, Chain<'_, T, E, NV, ADJACENT, false>>(isa, Chain(&tiles));
                from += steps;
            }
        }
    }
}

impl<T: Real, E: Epilogue<T>, const NV: usize, const ADJACENT: bool, const ONE: bool>
    PanelTiles<T, E, NV, ADJACENT, ONE>
{
    /// One register tile, whose first row is `i`.
    ///
    /// # Safety
    /// As for [`Panel::run`]; the tile's rows are among the panel's, and sums that wait are as large as the type says.
    #[inline(always)]
    unsafe fn tile<I: Lanes<T>, const MR: usize>(&self, isa: I, i: usize) {
        let panel = &self.panel;
        let at = At { row: panel.row0 + i, col: panel.span.col, cols: panel.span.cols };
        let (a, stride) = match panel.a {
            Left::Contiguous(ptr, stride) => {
                (ptr.wrapping_offset(i as isize * stride).wrapping_add(self.from), stride)
            }
            Left::Adjacent(ptr, stride) => {
                (ptr.wrapping_add(i).wrapping_offset(self.from as isize * stride), stride)
            }
            Left::Packed(ptr) => (ptr.wrapping_add(i * panel.k + self.from * MR), MR as isize),
        };
        let b = panel.b.wrapping_add(self.from * panel.ldb);
        // The next tile's part of the output, which its sums go on from or which its stores must own. Not where the steps are so
        // few that there is no time for it to come.
        if i + 2 * MR <= self.rows.1 && self.steps >= SOON {
            let next = panel.epilogue.output().at(at.row + MR, at.col);
            for r in 0..MR {
                for v in 0..NV {
                    isa.prefetch(next.at(r, v * I::LANES).ptr.cast());
                }
            }
        }
        // SAFETY: the caller's promise, narrowed to this tile.
        unsafe {
            let (before, after) = if const { ONE } { (None, None) } else { (self.before, self.after) };
            let acc = match before {
                None => panel.epilogue.start::<I, MR, NV>(isa, at),
                Some(_) => [[isa.zero(); NV]; MR],
            };
            let edge = if self.from + self.steps == panel.k { self.edge } else { core::ptr::null() };
            let b = (b, panel.ldb);
            let mut acc = accumulate::<T, I, MR, NV, ADJACENT>(isa, acc, self.steps, (a, stride), b, edge);
            if let Some(Sums { at: sums, cols }) = before {
                acc = add_tile(isa, acc, sums.at(i, 0), At { row: 0, col: 0, cols });
            }
            match after {
                None => panel.epilogue.finish(isa, acc, at),
                Some(Sums { at: sums, cols }) => {
                    store_tile(isa, acc, sums.at(i, 0), At { row: 0, col: 0, cols });
                }
            }
        }
    }

    /// Full tiles of MR rows from row `i` on; the row after the last of them.
    ///
    /// # Safety
    /// As for [`tile`](Self::tile), with all of its rows.
    #[inline(always)]
    unsafe fn tiles<I: Lanes<T>, const MR: usize>(&self, isa: I, mut i: usize) -> usize {
        while i + MR <= self.rows.1 {
            // SAFETY: rows i .. i + MR are the panel's.
            unsafe { self.tile::<I, MR>(isa, i) };
            i += MR;
        }
        i
    }
}

/// [`PanelTiles`] on their way: compiled, and seen in a profile, as a function of its own. By reference, so that nothing
/// is copied for a call that small panels would feel.
struct Chain<'a, T, E, const NV: usize, const ADJACENT: bool, const ONE: bool>(
    &'a PanelTiles<T, E, NV, ADJACENT, ONE>,
);

impl<T: Real, E: Epilogue<T>, const NV: usize, const ADJACENT: bool, const ONE: bool> LaneKernel
    for Chain<'_, T, E, NV, ADJACENT, ONE>
{
    type Elem = T;
    type Output = ();

    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        // A variable of this function's own: its fields are loaded once, and not after every store.
        let tiles = *self.0;
        // SAFETY: whoever made the panel vouches for its operands.
        unsafe { tiles.run(isa) }
    }
}

impl<T: Real, E: Epilogue<T>, const NV: usize, const ADJACENT: bool, const ONE: bool>
    PanelTiles<T, E, NV, ADJACENT, ONE>
{
    /// All tiles of its rows.
    ///
    /// # Safety
    /// As for [`Panel::run`].
    #[inline(always)]
    unsafe fn run<I: Lanes<T>>(&self, isa: I) {
        // Rows that are not adjacent are never packed, so their tiles have the height of this width.
        let own = const { tile_rows(I::TILES, NV, ADJACENT) };
        let tall =
            if ADJACENT && matches!(self.panel.a, Left::Packed(_)) { self.panel.tile_rows } else { own };
        debug_assert!(self.rows.0.is_multiple_of(tall));
        let mut i = self.rows.0;
        // SAFETY: `Panel::run`'s caller vouches for the operands; the tiles cut its rows without overlap, by the same table
        // as packing.
        unsafe {
            macro_rules! tiles {
                ($($rows:literal)*) => {
                    $(
                        if const { runs(I::TILES, NV, ADJACENT, $rows) } && heights(tall) >> $rows & 1 == 1 {
                            i = self.tiles::<I, $rows>(isa, i);
                        }
                    )*
                };
            }
            tiles!(24 12 8 6 4 2 1);
        }
        debug_assert_eq!(i, self.rows.1);
    }
}
