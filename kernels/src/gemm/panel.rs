//! One panel of columns against a block of rows: the loop over register tiles.

use super::{
    epilogue::{At, Epilogue, load_tile, store_tile},
    shape::{PanelSpan, granule_vectors, max_granules, tile_rows},
    tile::accumulate,
};
use crate::isa::{LaneKernel, Lanes, Real, TileFamily, outline};

/// The A operand of a block of rows, read one scalar at a time.
#[derive(Debug, Clone, Copy)]
pub enum Rows<T> {
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
    /// Depth of this block.
    pub k: usize,
    /// Rows' operand, at this block of k.
    pub a: Rows<T>,
    /// The panel's vectors for the block's first k.
    pub b: *const T,
    /// From a k to the next. The panel's whole width is readable at each k.
    pub ldb: usize,
    /// Which columns.
    pub span: PanelSpan,
    /// Rows a packed tile has; see [`tile_rows`].
    pub tile_rows: usize,
    /// The block starts the chains: with the epilogue's start, else from the output.
    pub first: bool,
    /// The block ends them: with the epilogue's finish, else in the output.
    pub last: bool,
    /// The epilogue.
    pub epilogue: E,
}

/// A panel with its width in vectors and the kind of its rows (`UNIT`: adjacent) in its type: compiled, and seen
/// in a profile, as a function of its own.
struct PanelTiles<T, E, const NV: usize, const UNIT: bool>(Panel<T, E>);

impl<T: Real, E: Epilogue<T>> Panel<T, E> {
    /// Multiplies.
    ///
    /// # Safety
    /// The operands are readable and the output is writable (and read, where the chains go on) over the rows,
    /// columns and depth that the fields name; nothing else accesses the output's part meanwhile.
    #[inline(always)]
    pub unsafe fn run<I: Lanes<T>>(self, isa: I) {
        let unit = !matches!(self.a, Rows::Contiguous(..));
        // SAFETY: the caller's promise.
        unsafe {
            match self.span.width / I::LANES {
                1 => self.wide::<I, 1>(isa, unit),
                2 => self.wide::<I, 2>(isa, unit),
                3 => self.wide::<I, 3>(isa, unit),
                4 => self.wide::<I, 4>(isa, unit),
                _ => self.wide::<I, 8>(isa, unit),
            }
        }
    }

    /// The panel, NV vectors wide: compiled only where an ISA's panels can be that wide.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    #[inline(always)]
    unsafe fn wide<I: Lanes<T>, const NV: usize>(self, isa: I, unit: bool) {
        if const {
            NV.is_multiple_of(granule_vectors::<T, I>())
                && NV <= granule_vectors::<T, I>() * max_granules::<T, I>()
        } {
            if const { E::ADJACENT_ROWS } && unit {
                outline(isa, PanelTiles::<T, E, NV, true>(self));
            } else {
                outline(isa, PanelTiles::<T, E, NV, false>(self));
            }
        }
    }

    /// One register tile, whose first row is `i`.
    ///
    /// # Safety
    /// As for [`run`](Self::run); the tile's rows are among the panel's.
    #[inline(always)]
    unsafe fn tile<I: Lanes<T>, const MR: usize, const NV: usize, const UNIT: bool>(&self, isa: I, i: usize) {
        let at = At { row: self.row0 + i, col: self.span.col, cols: self.span.cols };
        let (out, ld) = self.epilogue.output();
        let (a, stride) = match self.a {
            Rows::Contiguous(ptr, stride) => (ptr.wrapping_offset(i as isize * stride), stride),
            Rows::Adjacent(ptr, stride) => (ptr.wrapping_add(i), stride),
            Rows::Packed(ptr) => (ptr.wrapping_add(i * self.k), MR as isize),
        };
        // The next tile's part of the output, which its chains start from or which its stores must own.
        if i + 2 * MR <= self.m {
            let next = out.wrapping_add((at.row + MR) * ld + at.col);
            for r in 0..MR {
                for v in 0..NV {
                    isa.prefetch(next.wrapping_add(r * ld + v * I::LANES).cast());
                }
            }
        }
        // SAFETY: the caller's promise, narrowed to this tile.
        unsafe {
            let acc = if self.first {
                self.epilogue.start::<I, MR, NV>(isa, at)
            } else {
                load_tile(isa, out, ld, at)
            };
            let acc = accumulate::<T, I, MR, NV, UNIT>(isa, acc, self.k, a, stride, self.b, self.ldb);
            if self.last {
                self.epilogue.finish(isa, acc, at);
            } else {
                store_tile(isa, acc, out, ld, at);
            }
        }
    }

    /// Full tiles of MR rows from row `i` on; the row after the last of them.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    #[inline(always)]
    unsafe fn tiles<I: Lanes<T>, const MR: usize, const NV: usize, const UNIT: bool>(
        &self,
        isa: I,
        mut i: usize,
    ) -> usize {
        while i + MR <= self.m {
            // SAFETY: rows i .. i + MR are the panel's.
            unsafe { self.tile::<I, MR, NV, UNIT>(isa, i) };
            i += MR;
        }
        i
    }
}

impl<T: Real, E: Epilogue<T>, const NV: usize, const UNIT: bool> LaneKernel for PanelTiles<T, E, NV, UNIT> {
    type Elem = T;
    type Output = ();

    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let panel = self.0;
        // Rows that are not adjacent are never packed, so their tiles have the height of this width.
        let own = const { tile_rows(I::TILES, NV, UNIT) };
        let tall = if UNIT && matches!(panel.a, Rows::Packed(_)) { panel.tile_rows } else { own };
        let mut i = 0;
        // SAFETY: `Panel::run`'s caller vouches for the operands; the tiles cut its rows without overlap. The
        // heights are those of `heights`, by which rows are packed.
        unsafe {
            if const { UNIT && matches!(I::TILES, TileFamily::Regs32) && afford(I::TILES, 24, NV) }
                && tall == 24
            {
                i = panel.tiles::<I, 24, NV, UNIT>(isa, i);
            }
            if const { UNIT && matches!(I::TILES, TileFamily::Regs32) && afford(I::TILES, 12, NV) }
                && tall == 12
            {
                i = panel.tiles::<I, 12, NV, UNIT>(isa, i);
            }
            if const { afford(I::TILES, 8, NV) && (UNIT || tile_rows(I::TILES, NV, UNIT) == 8) }
                && (tall == 8 || tall == 24)
            {
                i = panel.tiles::<I, 8, NV, UNIT>(isa, i);
            }
            if const { afford(I::TILES, 6, NV) && (UNIT || tile_rows(I::TILES, NV, UNIT) == 6) } && tall == 6
            {
                i = panel.tiles::<I, 6, NV, UNIT>(isa, i);
            }
            if const { afford(I::TILES, 4, NV) && (UNIT || tile_rows(I::TILES, NV, UNIT) == 8) } && tall >= 8
            {
                i = panel.tiles::<I, 4, NV, UNIT>(isa, i);
            }
            i = panel.tiles::<I, 2, NV, UNIT>(isa, i);
            panel.tiles::<I, 1, NV, UNIT>(isa, i);
        }
    }
}

/// Whether `rows` × `vectors` accumulators fit the register file.
#[inline(always)]
const fn afford(family: TileFamily, rows: usize, vectors: usize) -> bool {
    rows * vectors
        <= match family {
            TileFamily::Regs32 => 24,
            TileFamily::Regs16 => 12,
            // The scalar reference has one tile height.
            TileFamily::Scalar => 16,
        }
}

/// The tiles that `m` rows are cut into when the tallest has `tall`, as (first row, height): what [`Panel`] does
/// and what packing must follow.
#[derive(Debug, Clone, Copy)]
pub struct Heights {
    row: usize,
    m: usize,
    tall: usize,
}

impl Heights {
    /// The tiles of `m` rows.
    #[inline(always)]
    pub fn new(m: usize, tall: usize) -> Self {
        Self { row: 0, m, tall }
    }
}

// An iterator and not a visitor: a closure would be a function of its own, without the ISA's target features.
impl Iterator for Heights {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        let Self { row, m, tall } = *self;
        let fits = |h: usize| row + h <= m;
        let h = match m - row {
            0 => return None,
            _ if fits(tall) => tall,
            _ if fits(8) && tall == 24 => 8,
            _ if fits(4) && tall >= 8 => 4,
            _ if fits(2) => 2,
            _ => 1,
        };
        self.row += h;
        Some((row, h))
    }
}
