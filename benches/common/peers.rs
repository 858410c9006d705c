//! Plain products of the libraries compared with.

use super::matrixmultiply::matrixmultiply;
use faer::traits::ComplexField;
use gemmkit::GemmScalar;
use nablas::{MatMut, MatRef, Scalar};

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
    pub(crate) fn product<T: Scalar + ComplexField + GemmScalar>(
        self,
        threads: usize,
        a: MatRef<'_, T>,
        b: MatRef<'_, T>,
        mut c: MatMut<'_, T>,
    ) {
        let (zero, one) = (T::from_f64(0.0), T::from_f64(1.0));
        let ((m, k), n) = (a.shape(), b.ncols());
        assert!(b.nrows() == k && c.shape() == (m, n));
        let (ap, ars, acs) = (a.as_ptr(), a.row_stride(), a.col_stride());
        let (bp, brs, bcs) = (b.as_ptr(), b.row_stride(), b.col_stride());
        let (cp, crs, ccs) = (c.as_mut_ptr(), c.row_stride(), c.col_stride());
        match self {
            Self::MatrixMultiply => matrixmultiply(threads, a, b, c),
            Self::Gemm => {
                let par = match threads {
                    1 => gemm::Parallelism::None,
                    _ => gemm::Parallelism::Rayon(threads),
                };
                // SAFETY: the views are valid for their shapes and strides, and C aliases neither operand.
                // This crate's alpha is the factor of C and its beta the product's; columns' strides come first.
                unsafe {
                    gemm::gemm(
                        m, n, k, cp, ccs, crs, false, ap, acs, ars, bp, bcs, brs, zero, one, false, false,
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
                faer::linalg::matmul::matmul(c, faer::Accum::Replace, a, b, one, par);
            }
            Self::Gemmkit => {
                let par = match threads {
                    1 => gemmkit::Parallelism::Serial,
                    _ => gemmkit::Parallelism::Rayon(threads),
                };
                // SAFETY: the views are valid for their shapes and strides, and C aliases neither operand.
                unsafe {
                    gemmkit::gemm_unchecked(
                        m, k, n, one, ap, ars, acs, bp, brs, bcs, zero, cp, crs, ccs, par,
                    );
                }
            }
        }
    }
}
