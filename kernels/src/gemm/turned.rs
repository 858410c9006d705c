//! Z = X·Wᵀ + b for a few outputs: samples lie in the lanes, where outputs would leave most of them empty.
//!
//! The product is Zᵀ = W·Xᵀ, whose second operand lies transposed: X is read across, and W one scalar at a time. An element's
//! chain is the same as ever, and so are its bits.

use super::{
    across::Across,
    epilogue::{At, Epilogue},
    pack::Operand,
    tile::Acc,
};
use crate::isa::{Lanes, RawKernel, Real};

/// Outputs up to which this is the faster way.
pub const FEW_OUTPUTS: usize = 6;

/// Z ← X·Wᵀ + b, for at most [`FEW_OUTPUTS`] outputs, say.
#[derive(Debug, Clone, Copy)]
pub struct ForwardTurned<T> {
    /// Rows of X.
    pub m: usize,
    /// n_{l−1}.
    pub k: usize,
    /// n_l.
    pub n: usize,
    /// X, m × k, with contiguous rows that ascend.
    pub x: Operand<T>,
    /// W, n × k, row-major, its rows end to end.
    pub w: *const T,
    /// b, n elements.
    pub bias: *const T,
    /// Z, m × n, row-major, and its leading dimension.
    pub z: (*mut T, usize),
}

impl<T: Real> RawKernel for ForwardTurned<T> {
    type Elem = T;

    #[inline(always)]
    unsafe fn run_raw<I: Lanes<T>>(self, isa: I) {
        let Self { m, k, n, x, w, bias, z } = self;
        debug_assert!(x.cs == 1 && x.rs >= 0);
        let (a, b, cols, epilogue) = ((w, k as isize), (x.ptr, x.rs as usize), (0, m), Turned { z, bias });
        let op = Across { m: n, row0: 0, k, a, b, cols, whole: false, first: true, last: true, epilogue };
        // SAFETY: whoever built the operation vouches for its operands.
        unsafe { op.run(isa) }
    }
}

/// Starts from a bias for each row, and stores the transposed tile.
#[derive(Debug, Clone, Copy)]
struct Turned<T> {
    z: (*mut T, usize),
    bias: *const T,
}

impl<T: Real> Epilogue<T> for Turned<T> {
    const ADJACENT_ROWS: bool = false;
    const ACROSS: bool = true;

    #[inline(always)]
    fn output(&self) -> (*mut T, usize) {
        self.z
    }

    #[inline(always)]
    unsafe fn start<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        at: At,
    ) -> Acc<T, I, MR, NV> {
        let mut acc = [[isa.zero(); NV]; MR];
        for i in 0..MR {
            // SAFETY: the bias has an element for every row of the tile.
            acc[i] = [isa.splat(unsafe { *self.bias.add(at.row + i) }); NV];
        }
        acc
    }

    #[inline(always)]
    unsafe fn finish<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        _: I,
        acc: Acc<T, I, MR, NV>,
        at: At,
    ) {
        let (width, tile) = (NV * I::LANES, acc);
        let from = tile.as_ptr().cast::<T>();
        for j in 0..at.cols.min(width) {
            let to = self.z.0.wrapping_add((at.col + j) * self.z.1 + at.row);
            for i in 0..MR {
                // SAFETY: the tile's columns are rows of Z, and its rows columns of it; the tile is MR × width.
                unsafe { *to.add(i) = *from.add(i * width + j) }
            }
        }
    }
}
