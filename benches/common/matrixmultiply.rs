//! The plain product of crate `matrixmultiply`, on several threads by blocks of rows.

use nablas::{MatMut, MatRef};
use rayon::prelude::*;

/// C ← A·B on `threads` threads, each with its rows of C.
pub(crate) fn matrixmultiply(threads: usize, a: MatRef<'_, f32>, b: MatRef<'_, f32>, mut c: MatMut<'_, f32>) {
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
struct Block {
    a: *const f32,
    ars: isize,
    acs: isize,
    b: *const f32,
    brs: isize,
    bcs: isize,
    c: *mut f32,
    crs: isize,
    ccs: isize,
    k: usize,
    n: usize,
}

// SAFETY: threads get disjoint rows of C and only read A and B.
unsafe impl Sync for Block {}

impl Block {
    /// Rows `lo..hi` of C.
    ///
    /// # Safety
    /// The pointers are valid for the shapes and strides, C's rows are touched by this call alone.
    unsafe fn rows(&self, lo: usize, hi: usize) {
        let at = lo as isize;
        // SAFETY: the rows are within A and C; the caller vouches for both.
        unsafe {
            let (a, c) = (self.a.offset(at * self.ars), self.c.offset(at * self.crs));
            let (m, k, n) = (hi - lo, self.k, self.n);
            matrixmultiply::sgemm(
                m, k, n, 1.0, a, self.ars, self.acs, self.b, self.brs, self.bcs, 0.0, c, self.crs, self.ccs,
            );
        }
    }
}
