//! A few rows times a B that lies transposed, read where it lies: X·Wᵀ from W as it is stored.
//!
//! Packing B reads and writes all of it before the first FMA, which a few rows do not repay. Here blocks of eight steps
//! of k by a vector's worth of B's columns are transposed in registers, on their way into the FMAs. Each element still is
//! the sum of its chains, k ascending, so the bits are those of a packed panel.

use super::{
    epilogue::{At, Epilogue, load_tile, store_tile},
    pack::{Operand, transpose},
    shape::granule_vectors,
    tile::{Acc, CHAIN},
};
use crate::isa::{COLUMNS, LaneKernel, Lanes, Real, TileFamily, outline};

/// `m` rows times B, k × n, over one block of k.
#[derive(Debug, Clone, Copy)]
pub struct Across<T, E> {
    /// Rows.
    pub m: usize,
    /// Row of the output that row 0 of the operand is.
    pub row0: usize,
    /// Depth of this block, which starts at a multiple of [`CHAIN`] of the product's depth.
    pub k: usize,
    /// Element (i, p) of A at `a.0 + i·a.1 + p`.
    pub a: (*const T, isize),
    /// Element (p, j) of B at `b.0 + p + j·b.1`.
    pub b: (*const T, usize),
    /// Columns: from, at a granule, and up to.
    pub cols: (usize, usize),
    /// The epilogue's operands have room for a whole granule at the right edge, which may be overwritten.
    pub whole: bool,
    /// The block has the first chains, which begin with the epilogue's start; else the output has the sum of those
    /// before it.
    pub first: bool,
    /// The block has the last chains: the epilogue's finish takes the sum; else the output does.
    pub last: bool,
    /// The epilogue.
    pub epilogue: E,
}

/// Depth up to which a single row is worked on with two granules of columns: deeper, twice the streams of B cost more than
/// the latency that they hide.
const WIDE_DEPTH: usize = 256;

/// Rows of the tallest tile of `vectors`: the accumulators share the registers with a block of eight columns. Where they
/// are two granules, it is a single row's: its one chain would wait for its own latency.
const fn tallest(family: TileFamily, vectors: usize, granule: usize) -> usize {
    match (family, vectors) {
        _ if vectors > granule => 1,
        (TileFamily::Regs32, 1) => 16,
        (TileFamily::Regs32, 2) => 8,
        (TileFamily::Regs32, _) => 4,
        (TileFamily::Regs16, 1) => 6,
        _ => 2,
    }
}

impl<T: Real, E: Epilogue<T>> Across<T, E> {
    /// Multiplies.
    ///
    /// # Safety
    /// The operands are readable and the output is writable over the rows, columns and depth that the fields name;
    /// nothing else accesses the output's part meanwhile.
    #[inline(always)]
    pub unsafe fn run<I: Lanes<T>>(self, isa: I) {
        match const { granule_vectors::<T, I>() } {
            1 => self.strips::<I, 1, 2>(isa),
            2 => self.strips::<I, 2, 2>(isa),
            4 => self.strips::<I, 4, 4>(isa),
            _ => self.strips::<I, 8, 8>(isa),
        }
    }

    /// Strip after strip of columns: a granule of NV vectors at a time, of a single row NV2 vectors.
    #[inline(always)]
    fn strips<I: Lanes<T>, const NV: usize, const NV2: usize>(&self, isa: I) {
        if const { NV != granule_vectors::<T, I>() } {
            return;
        }
        let (mut col, end) = self.cols;
        while col < end {
            let wide = NV2 * I::LANES;
            if self.m == 1 && self.k <= WIDE_DEPTH && end - col >= wide {
                outline(isa, Strip::<'_, T, E, NV2> { op: self, col, cols: wide });
                col += wide;
            } else {
                outline(isa, Strip::<'_, T, E, NV> { op: self, col, cols: end - col });
                col += NV * I::LANES;
            }
        }
    }
}

/// All rows of NV vectors of columns: compiled, and seen in a profile, as a function of its own.
struct Strip<'a, T, E, const NV: usize> {
    op: &'a Across<T, E>,
    col: usize,
    /// Columns that there are: the strip may be wider.
    cols: usize,
}

impl<T: Real, E: Epilogue<T>, const NV: usize> LaneKernel for Strip<'_, T, E, NV> {
    type Elem = T;
    type Output = ();

    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let (op, mut i) = (*self.op, 0);
        // SAFETY: whoever made the operation vouched for its operands; the tiles cut its rows without overlap.
        unsafe {
            i = self.tiles::<I, 16>(isa, &op, i);
            i = self.tiles::<I, 12>(isa, &op, i);
            i = self.tiles::<I, 8>(isa, &op, i);
            i = self.tiles::<I, 6>(isa, &op, i);
            i = self.tiles::<I, 4>(isa, &op, i);
            i = self.tiles::<I, 3>(isa, &op, i);
            i = self.tiles::<I, 2>(isa, &op, i);
            self.tiles::<I, 1>(isa, &op, i);
        }
    }
}

impl<T: Real, E: Epilogue<T>, const NV: usize> Strip<'_, T, E, NV> {
    /// Tiles of MR rows from row `i` on, if that many accumulators are affordable; the row after the last of them.
    ///
    /// # Safety
    /// As for [`Across::run`].
    #[inline(always)]
    unsafe fn tiles<I: Lanes<T>, const MR: usize>(&self, isa: I, op: &Across<T, E>, mut i: usize) -> usize {
        if const { MR <= tallest(I::TILES, NV, granule_vectors::<T, I>()) } {
            while i + MR <= op.m {
                // SAFETY: rows i .. i + MR are the operation's.
                unsafe { self.tile::<I, MR>(isa, op, i) };
                i += MR;
            }
        }
        i
    }

    /// One tile: its chains, and the epilogue.
    ///
    /// # Safety
    /// As for [`Across::run`]; the tile's rows are the operation's.
    #[inline(always)]
    unsafe fn tile<I: Lanes<T>, const MR: usize>(&self, isa: I, op: &Across<T, E>, i: usize) {
        let width = NV * I::LANES;
        let cols = if op.whole { width } else { self.cols };
        let at = At { row: op.row0 + i, col: self.col, cols };
        let a = op.a.0.wrapping_offset(i as isize * op.a.1);
        let b = op.b.0.wrapping_add(self.col * op.b.1);
        // SAFETY: the caller's promise, narrowed to this tile.
        unsafe {
            let out = op.epilogue.output();
            let mut sum: Acc<T, I, MR, NV> = match op.first {
                true => op.epilogue.start(isa, at),
                false => load_tile(isa, out, at),
            };
            let mut from = 0;
            while from < op.k {
                let (steps, begins) = (CHAIN.min(op.k - from), from == 0 && op.first);
                let start = if begins { sum } else { [[isa.zero(); NV]; MR] };
                let (a, b) = (a.add(from), b.add(from));
                let chain = self.accumulate::<I, MR>(isa, start, steps, (a, op.a.1), (b, op.b.1));
                for r in 0..MR {
                    for v in 0..NV {
                        sum[r][v] = if begins { chain[r][v] } else { isa.add(sum[r][v], chain[r][v]) };
                    }
                }
                from += steps;
            }
            match op.last {
                true => op.epilogue.finish(isa, sum, at),
                false => store_tile(isa, sum, out, at),
            }
        }
    }

    /// One chain of `k` steps.
    ///
    /// # Safety
    /// As for [`tile`](Self::tile).
    #[inline(always)]
    unsafe fn accumulate<I: Lanes<T>, const MR: usize>(
        &self,
        isa: I,
        mut acc: Acc<T, I, MR, NV>,
        k: usize,
        (mut a, lda): (*const T, isize),
        (mut b, ldb): (*const T, usize),
    ) -> Acc<T, I, MR, NV> {
        // SAFETY: the caller's promise; blocks end at the last step and the last column, or are copies.
        unsafe {
            let full = self.cols >= NV * I::LANES;
            let blocks = if full { k / COLUMNS } else { 0 };
            for _ in 0..blocks {
                for v in 0..NV {
                    let t = isa.columns(b.add(v * I::LANES * ldb), ldb as isize, I::LANES);
                    // Step by step by hand: a loop of so many FMAs would stay one, and keep the block in memory.
                    acc = step(isa, acc, v, a, lda, t[0]);
                    acc = step(isa, acc, v, a.add(1), lda, t[1]);
                    acc = step(isa, acc, v, a.add(2), lda, t[2]);
                    acc = step(isa, acc, v, a.add(3), lda, t[3]);
                    acc = step(isa, acc, v, a.add(4), lda, t[4]);
                    acc = step(isa, acc, v, a.add(5), lda, t[5]);
                    acc = step(isa, acc, v, a.add(6), lda, t[6]);
                    acc = step(isa, acc, v, a.add(7), lda, t[7]);
                }
                (a, b) = (a.add(COLUMNS), b.add(COLUMNS));
            }
            // What is left at the edges, a block at a time, is transposed on the stack.
            let mut left = k - blocks * COLUMNS;
            let mut turned = [[isa.zero(); NV]; COLUMNS];
            while left > 0 {
                let steps = left.min(COLUMNS);
                let to = turned.as_mut_ptr().cast::<T>();
                let cols = self.cols.min(NV * I::LANES);
                outline(isa, Turn { b, ldb, cols, steps, to, width: NV * I::LANES });
                for p in 0..steps {
                    let row = turned[p];
                    for r in 0..MR {
                        let x = isa.splat(*a.offset(r as isize * lda + p as isize));
                        for v in 0..NV {
                            acc[r][v] = isa.fma(x, row[v], acc[r][v]);
                        }
                    }
                }
                (a, b, left) = (a.add(steps), b.wrapping_add(steps), left - steps);
            }
            acc
        }
    }
}

/// One step of k of vector `v` of a tile.
///
/// # Safety
/// `a + r·lda` is readable for r < MR.
#[inline(always)]
unsafe fn step<T: Real, I: Lanes<T>, const MR: usize, const NV: usize>(
    isa: I,
    mut acc: Acc<T, I, MR, NV>,
    v: usize,
    a: *const T,
    lda: isize,
    b: I::V,
) -> Acc<T, I, MR, NV> {
    for r in 0..MR {
        // SAFETY: the caller's promise.
        let x = isa.splat(unsafe { *a.offset(r as isize * lda) });
        acc[r][v] = isa.fma(x, b, acc[r][v]);
    }
    acc
}

/// A block of `steps` by `cols` of a B that lies transposed, to rows of `width` elements: one function for all tiles.
struct Turn<T> {
    b: *const T,
    ldb: usize,
    cols: usize,
    steps: usize,
    to: *mut T,
    width: usize,
}

impl<T: Real> LaneKernel for Turn<T> {
    type Elem = T;
    type Output = ();

    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let src = Operand { ptr: self.b, rs: self.ldb as isize, cs: 1 };
        // SAFETY: whoever made it vouches for the block, and for room for its image.
        unsafe { transpose(isa, src, self.cols, self.steps, self.to, self.width) }
    }
}
