//! Epilogues: where a tile's accumulators come from and what becomes of them.
//!
//! An epilogue is a type, so the tile is compiled once for each, and it takes the accumulators by value: they
//! stay in registers until the epilogue's only store.

mod forward;
mod plain;
mod vjp;

pub use forward::{Forward, InRegisters, Outlined, Save, Shape};
pub use plain::{Plain, Start};
pub use vjp::{Hadamard, InputVjp, MaskScale, MaskZero, Multiply, Unit};

use super::tile::{Acc, each_vector};
use crate::isa::{Lanes, Real};

/// Where in the output a tile stands.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// Row of its first row.
    pub row: usize,
    /// Column of its first column.
    pub col: usize,
    /// Columns in use; the tile may be wider.
    pub cols: usize,
}

/// A tile's beginning and end. The output is row-major with unit column stride.
pub trait Epilogue<T: Real>: Copy {
    /// The output, and its leading dimension in elements.
    fn output(&self) -> (*mut T, usize);

    /// The accumulators before the first step of k.
    ///
    /// # Safety
    /// The tile lies in the output, and in every operand of the epilogue.
    unsafe fn start<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        at: At,
    ) -> Acc<T, I, MR, NV>;

    /// Consumes the accumulators after the last step of k.
    ///
    /// # Safety
    /// As for [`start`](Self::start), and the tile is not accessed from elsewhere.
    unsafe fn finish<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        acc: Acc<T, I, MR, NV>,
        at: At,
    );
}

/// Loads a tile from a row-major matrix; lanes beyond its columns are zero.
///
/// # Safety
/// `MR` rows of `at.cols` elements are readable at (`at.row`, `at.col`).
#[inline(always)]
pub unsafe fn load_tile<T: Real, I: Lanes<T>, const MR: usize, const NV: usize>(
    isa: I,
    base: *const T,
    ld: usize,
    at: At,
) -> Acc<T, I, MR, NV> {
    let mut acc = [[isa.zero(); NV]; MR];
    // SAFETY: the tile's rows and columns are readable, and nothing else is read.
    unsafe {
        let base = base.add(at.row * ld + at.col);
        if at.cols >= NV * I::LANES {
            for i in 0..MR {
                for v in 0..NV {
                    acc[i][v] = isa.load(base.add(i * ld + v * I::LANES));
                }
            }
        } else {
            for i in 0..MR {
                each_vector::<NV>(I::LANES, at.cols, |v, n| {
                    acc[i][v] = isa.load_partial(base.add(i * ld + v * I::LANES), n);
                });
            }
        }
    }
    acc
}

/// Stores a tile to a row-major matrix; nothing beyond its columns is written.
///
/// # Safety
/// `MR` rows of `at.cols` elements are writable at (`at.row`, `at.col`).
#[inline(always)]
pub unsafe fn store_tile<T: Real, I: Lanes<T>, const MR: usize, const NV: usize>(
    isa: I,
    acc: Acc<T, I, MR, NV>,
    base: *mut T,
    ld: usize,
    at: At,
) {
    // SAFETY: the tile's rows and columns are writable, and nothing else is written.
    unsafe {
        let base = base.add(at.row * ld + at.col);
        if at.cols >= NV * I::LANES {
            for i in 0..MR {
                for v in 0..NV {
                    isa.store(base.add(i * ld + v * I::LANES), acc[i][v]);
                }
            }
        } else {
            for i in 0..MR {
                each_vector::<NV>(I::LANES, at.cols, |v, n| {
                    isa.store_partial(base.add(i * ld + v * I::LANES), acc[i][v], n);
                });
            }
        }
    }
}
