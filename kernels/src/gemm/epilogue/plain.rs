//! C ← β·C + A·B.

use super::{At, Epilogue, load_tile, store_tile};
use crate::{
    gemm::{row_major::RowMajor, tile::Acc},
    isa::{Lanes, Real},
};

/// Where the first chain of a plain product starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start<T> {
    /// From zero: C is not read.
    Zero,
    /// From C itself: the product is accumulated.
    C,
    /// From β·C.
    Scaled(T),
}

impl<T: Real> Start<T> {
    /// The start that a BLAS β asks for. β = 0 does not read C.
    #[inline(always)]
    pub fn of_beta(beta: T) -> Self {
        if beta == T::ZERO {
            Self::Zero
        } else if beta == T::ONE {
            Self::C
        } else {
            Self::Scaled(beta)
        }
    }
}

/// The plain epilogue: store, from a chosen start.
#[derive(Debug, Clone, Copy)]
pub struct Plain<T> {
    /// C.
    pub c: RowMajor<T>,
    /// Where the first chains start.
    pub start: Start<T>,
}

impl<T: Real> Epilogue<T> for Plain<T> {
    const ADJACENT_ROWS: bool = true;
    const ACROSS: bool = true;

    #[inline(always)]
    fn output(&self) -> RowMajor<T> {
        self.c
    }

    #[inline(always)]
    unsafe fn start<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        at: At,
    ) -> Acc<T, I, MR, NV> {
        match self.start {
            Start::Zero => [[isa.zero(); NV]; MR],
            // SAFETY: the tile lies in C.
            Start::C => unsafe { load_tile(isa, self.c, at) },
            Start::Scaled(beta) => {
                // SAFETY: the tile lies in C.
                let mut acc: Acc<T, I, MR, NV> = unsafe { load_tile(isa, self.c, at) };
                let beta = isa.splat(beta);
                for row in &mut acc {
                    for x in row {
                        *x = isa.mul(beta, *x);
                    }
                }
                acc
            }
        }
    }

    #[inline(always)]
    unsafe fn finish<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        acc: Acc<T, I, MR, NV>,
        at: At,
    ) {
        // SAFETY: the tile lies in C.
        unsafe { store_tile(isa, acc, self.c, at) }
    }
}
