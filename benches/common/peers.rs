//! Plain products of the libraries compared with.

use nablas::{MatMut, MatRef};
use rayon::prelude::*;

/// A library that multiplies matrices.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Crate `matrixmultiply`; on several threads, row blocks of C by rayon.
    MatrixMultiply,
    /// Crate `gemm`.
    Gemm,
    /// Crate `faer`.
    Faer,
    /// Crate `gemmkit`.
    Gemmkit,
}

impl Peer {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::MatrixMultiply, Self::Gemm, Self::Faer, Self::Gemmkit];

    /// The crate's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MatrixMultiply => "matrixmultiply",
            Self::Gemm => "gemm",
            Self::Faer => "faer",
            Self::Gemmkit => "gemmkit",
        }
    }

    /// C ← A·B on `threads` threads.
    pub(crate) fn product(
        self,
        threads: usize,
        a: MatRef<'_, f32>,
        b: MatRef<'_, f32>,
        mut c: MatMut<'_, f32>,
    ) {
        let ((m, k), n) = (a.shape(), b.ncols());
        assert!(b.nrows() == k && c.shape() == (m, n));
        let (ap, ars, acs) = (a.as_ptr(), a.row_stride(), a.col_stride());
        let (bp, brs, bcs) = (b.as_ptr(), b.row_stride(), b.col_stride());
        let (crs, ccs) = (c.row_stride(), c.col_stride());
        let cp = c.as_mut_ptr();
        match self {
            Self::MatrixMultiply => {
                let block = Block { a: ap, ars, acs, b: bp, brs, bcs, c: cp, crs, ccs, k, n };
                if threads == 1 {
                    // SAFETY: the views are valid for their shapes and strides, and C aliases neither operand.
                    return unsafe { block.rows(0, m) };
                }
                // SAFETY: as above; the blocks' rows are disjoint.
                let run = |t: usize| unsafe { block.rows(m * t / threads, m * (t + 1) / threads) };
                (0..threads).into_par_iter().for_each(run);
            }
            Self::Gemm => {
                let par = match threads {
                    1 => gemm::Parallelism::None,
                    _ => gemm::Parallelism::Rayon(threads),
                };
                // SAFETY: the views are valid for their shapes and strides, and C aliases neither operand.
                // This crate's alpha is the factor of C and its beta the product's; columns' strides come first.
                unsafe {
                    gemm::gemm(
                        m, n, k, cp, ccs, crs, false, ap, acs, ars, bp, bcs, brs, 0.0, 1.0, false, false,
                        false, par,
                    );
                }
            }
            Self::Faer => {
                let par = if threads == 1 { faer::Par::Seq } else { faer::Par::rayon(threads) };
                // SAFETY: the views are valid for their shapes and strides, and C aliases neither operand.
                let (a, b, c) = unsafe {
                    (
                        faer::MatRef::from_raw_parts(ap, m, k, ars, acs),
                        faer::MatRef::from_raw_parts(bp, k, n, brs, bcs),
                        faer::MatMut::from_raw_parts_mut(cp, m, n, crs, ccs),
                    )
                };
                faer::linalg::matmul::matmul(c, faer::Accum::Replace, a, b, 1.0, par);
            }
            Self::Gemmkit => {
                let par = match threads {
                    1 => gemmkit::Parallelism::Serial,
                    _ => gemmkit::Parallelism::Rayon(threads),
                };
                // SAFETY: the views are valid for their shapes and strides, and C aliases neither operand.
                unsafe {
                    gemmkit::gemm_unchecked(m, k, n, 1.0, ap, ars, acs, bp, brs, bcs, 0.0, cp, crs, ccs, par);
                }
            }
        }
    }
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
