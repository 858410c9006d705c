//! δ' ← (δ·W) ⊙ g'(Z), and its column sums: the VJP of a layer with respect to its input.

use super::{At, Epilogue, load_tile, store_tile};
use crate::{
    gemm::{row_major::RowMajor, tile::Acc},
    isa::{Lanes, Real},
};

/// The product with the derivative, by what was saved of the layer below.
pub trait Hadamard<T: Real>: Copy {
    /// Row `row` of a tile's cotangents times the derivative.
    ///
    /// # Safety
    /// The saved state has the tile's columns in that row.
    unsafe fn row<I: Lanes<T>, const NV: usize>(
        &self,
        isa: I,
        g: [I::V; NV],
        row: usize,
        at: At,
    ) -> [I::V; NV];
}

/// g' = 1: the layer below is linear, or the input itself.
#[derive(Debug, Clone, Copy)]
pub struct Unit;

impl<T: Real> Hadamard<T> for Unit {
    #[inline(always)]
    unsafe fn row<I: Lanes<T>, const NV: usize>(&self, _: I, g: [I::V; NV], _: usize, _: At) -> [I::V; NV] {
        g
    }
}

/// A saved derivative: multiply.
#[derive(Debug, Clone, Copy)]
pub struct Multiply<T> {
    /// g'(Z). It may be the output itself, if one block is all of the depth: each element is then
    /// read before it is overwritten.
    pub d: RowMajor<T>,
}

impl<T: Real> Hadamard<T> for Multiply<T> {
    #[inline(always)]
    unsafe fn row<I: Lanes<T>, const NV: usize>(
        &self,
        isa: I,
        mut g: [I::V; NV],
        row: usize,
        at: At,
    ) -> [I::V; NV] {
        // SAFETY: the derivative has the tile's columns in this row.
        let [d] = unsafe { load_tile::<T, I, 1, NV>(isa, self.d, At { row, ..at }) };
        for v in 0..NV {
            g[v] = isa.mul(g[v], d[v]);
        }
        g
    }
}

/// The bits of a tile row's mask.
///
/// # Safety
/// The mask row has a byte for every eight columns begun.
#[inline(always)]
unsafe fn mask_row<const NV: usize>(mask: *const u8, lanes: usize, at: At) -> u64 {
    let mut bytes = [0u8; 8];
    // SAFETY: the tile starts at a whole byte, and has at most eight of them.
    unsafe {
        let from = mask.add(at.col / 8);
        if at.cols >= NV * lanes {
            core::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), NV * lanes / 8);
        } else {
            core::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), at.cols.div_ceil(8));
        }
    }
    u64::from_le_bytes(bytes)
}

/// A saved mask with slope 1 where it is set and α elsewhere. An α of 0 selects 0, so that 0·∞ does not arise.
#[derive(Debug, Clone, Copy)]
pub struct Mask<T> {
    /// One bit an element.
    pub mask: *const u8,
    /// Bytes from a row to the next.
    pub ld: usize,
    /// The slope where the bit is clear.
    pub alpha: T,
}

impl<T: Real> Hadamard<T> for Mask<T> {
    #[inline(always)]
    unsafe fn row<I: Lanes<T>, const NV: usize>(
        &self,
        isa: I,
        mut g: [I::V; NV],
        row: usize,
        at: At,
    ) -> [I::V; NV] {
        // SAFETY: the mask has the tile's columns in this row.
        let bits = unsafe { mask_row::<NV>(self.mask.add(row * self.ld), I::LANES, at) };
        let alpha = isa.splat(self.alpha);
        // Compared as vectors: a scalar branch would compile the tile twice.
        let scaled = isa.not_m(isa.eq(alpha, isa.zero()));
        for v in 0..NV {
            let m = isa.mask_from_bits((bits >> (v * I::LANES)) as u32);
            let clear = isa.select(scaled, isa.mul(alpha, g[v]), isa.zero());
            g[v] = isa.select(m, g[v], clear);
        }
        g
    }
}

/// The input-VJP epilogue.
#[derive(Debug, Clone, Copy)]
pub struct InputVjp<T, H> {
    /// δ'.
    pub delta: RowMajor<T>,
    /// The derivative.
    pub hadamard: H,
    /// The column sums, accumulated row by row in ascending order (so that tile height leaves no trace in
    /// them); null for none, as for products of more rows than a [`CHAIN`](crate::chain::CHAIN) has: it never ends here.
    pub sums: *mut T,
}

impl<T: Real, H: Hadamard<T>> Epilogue<T> for InputVjp<T, H> {
    const ADJACENT_ROWS: bool = false;
    const ACROSS: bool = false;

    #[inline(always)]
    fn output(&self) -> RowMajor<T> {
        self.delta
    }

    #[inline(always)]
    unsafe fn start<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        _: At,
    ) -> Acc<T, I, MR, NV> {
        [[isa.zero(); NV]; MR]
    }

    #[inline(always)]
    unsafe fn finish<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        mut acc: Acc<T, I, MR, NV>,
        at: At,
    ) {
        // SAFETY: the tile lies in the saved state and the output; the sums have its columns.
        unsafe {
            for i in 0..MR {
                acc[i] = self.hadamard.row(isa, acc[i], at.row + i, at);
            }
            if !self.sums.is_null() {
                let at = At { row: 0, ..at };
                let [mut sums] = load_tile::<T, I, 1, NV>(isa, RowMajor::new(self.sums, 0), at);
                for v in 0..NV {
                    for i in 0..MR {
                        sums[v] = isa.add(sums[v], acc[i][v]);
                    }
                }
                store_tile(isa, [sums], RowMajor::new(self.sums, 0), at);
            }
            store_tile(isa, acc, self.delta, at);
        }
    }
}
