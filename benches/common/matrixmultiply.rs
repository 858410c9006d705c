//! The plain product of crate `matrixmultiply`, on several threads by blocks of rows.

use nablas::{MatMut, MatRef, Scalar};
use rayon::prelude::*;

/// C ← A·B on `threads` threads, each with its rows of C.
pub(crate) fn matrixmultiply<T: Scalar>(
    threads: usize,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    mut c: MatMut<'_, T>,
) {
    let ((m, k), n) = (a.shape(), b.ncols());
    assert!(b.nrows() == k && c.shape() == (m, n));
    let block = Block {
        a: a.as_ptr(),
        ars: a.row_stride(),
        acs: a.col_stride(),
        b: b.as_ptr(),
        brs: b.row_stride(),
        bcs: b.col_stride(),
        crs: c.row_stride(),
        ccs: c.col_stride(),
        c: c.as_mut_ptr(),
        k,
        n,
    };
    if threads == 1 {
        // SAFETY: the views are valid for their shapes and strides, and C aliases neither operand.
        return unsafe { block.rows(0, m) };
    }
    (0..threads).into_par_iter().for_each(|t| {
        // SAFETY: as above; the threads' rows are disjoint.
        unsafe { block.rows(m * t / threads, m * (t + 1) / threads) }
    });
}

/// A product for `matrixmultiply`, to be done in blocks of rows.
struct Block<T> {
    a: *const T,
    ars: isize,
    acs: isize,
    b: *const T,
    brs: isize,
    bcs: isize,
    c: *mut T,
    crs: isize,
    ccs: isize,
    k: usize,
    n: usize,
}

// SAFETY: threads get disjoint rows of C and only read A and B.
unsafe impl<T: Sync> Sync for Block<T> {}

impl<T: Scalar> Block<T> {
    /// Rows `lo..hi` of C.
    ///
    /// # Safety
    /// The pointers are valid for the shapes and strides, C's rows are touched by this call alone.
    unsafe fn rows(&self, lo: usize, hi: usize) {
        let at = lo as isize;
        // SAFETY: the rows are within A and C; the caller vouches for both.
        unsafe {
            let a = (self.a.offset(at * self.ars), (self.ars, self.acs));
            let c = (self.c.offset(at * self.crs), (self.crs, self.ccs));
            let (sizes, b) = ((hi - lo, self.k, self.n), (self.b, (self.brs, self.bcs)));
            // The library's own way to the crate, which has it for both element types.
            T::matrixmultiply(sizes, T::ONE, a, b, T::ZERO, c);
        }
    }
}
