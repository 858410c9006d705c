//! db: the column sums of δ.

use crate::{Scalar, engine::Engine};
use nablas_kernels::{
    gemm::row_major::RowMajor,
    reduce::{ColumnSums, View},
};

/// Columns of an item.
const COLUMNS: usize = 64;

/// `out` ← the column sums of δ, `m` rows of `n`: each one the chains of its column, whoever sums it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums<T> {
    pub(crate) m: usize,
    pub(crate) n: usize,
    /// δ.
    pub(crate) delta: RowMajor<T>,
    /// n elements.
    pub(crate) out: *mut T,
}

// SAFETY: addresses and sizes; items read δ and write disjoint sums.
unsafe impl<T: Send> Send for Sums<T> {}
// SAFETY: as for Send.
unsafe impl<T: Send> Sync for Sums<T> {}

impl<T: Scalar> Sums<T> {
    /// How many items.
    pub(crate) fn items(&self) -> usize {
        self.n.div_ceil(COLUMNS)
    }

    /// Sums the columns of one.
    ///
    /// # Safety
    /// δ is readable and `out` writable over the sizes; nothing else accesses the item's sums.
    pub(crate) unsafe fn run(&self, engine: &Engine, item: usize) {
        let (col, ld) = (item * COLUMNS, self.delta.ld);
        let cols = COLUMNS.min(self.n - col);
        // SAFETY: the caller's promise. Nothing is said of what lies between the rows: it may be somebody else's.
        let (x, out) = unsafe {
            let x = View::from_raw_parts(self.delta.at(0, col).ptr, ld, self.m, cols);
            (x, core::slice::from_raw_parts_mut(self.out.wrapping_add(col), cols))
        };
        out.fill(T::ZERO);
        engine.run(ColumnSums { x, out });
    }
}
