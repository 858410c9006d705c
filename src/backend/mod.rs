//! The plain GEMM that the passes need, from any BLAS.
//!
//! The contract of [`Backend::gemm`], C ← α·A·B + β·C:
//! - β = 0 never reads C; α = 0 or an inner size of 0 leaves β·C (zeros for β = 0) and reads neither A nor B.
//! - the native backend computes each element of C as the sum, in order, of chains of 512 fused multiply-adds, k
//!   ascending, the first from β·C (0 for β = 0), of fma(α·A\[i,k\], B\[k,j\], acc) with α·A\[i,k\] rounded once. The
//!   others agree within rounding.
//! - C cannot overlap A or B: it is borrowed exclusively.

#[cfg(feature = "cblas")]
pub(crate) mod cblas;
mod matrixmultiply;
mod native;

#[cfg(feature = "cblas")]
pub use self::cblas::Cblas;
pub use self::matrixmultiply::MatrixMultiply;
pub use self::native::Native;

use crate::{
    Scalar,
    error::{Result, check_shape},
    view::{MatMut, MatRef},
};

/// A BLAS, as far as the passes need one.
pub trait Backend<T: Scalar>: Sync {
    /// The name that reports show.
    fn name(&self) -> &'static str;

    /// C ← α·A·B + β·C, for A m×k, B k×n, C m×n with any strides.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the shapes don't agree; [`Error::Backend`](crate::Error::Backend)
    /// if the backend cannot take these sizes. C is then as it was.
    fn gemm(&self, alpha: T, a: MatRef<'_, T>, b: MatRef<'_, T>, beta: T, c: MatMut<'_, T>) -> Result<()>;
}

/// The backends by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendKind {
    /// The kernels of this library.
    #[default]
    Native,
    /// The crate `matrixmultiply`.
    MatrixMultiply,
    /// The system's CBLAS (OpenBLAS, BLIS, MKL).
    #[cfg(feature = "cblas")]
    Cblas,
}

/// Refuses shapes that don't agree; else (m, k, n).
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) for B if its rows are not A's columns, for C if it is not m×n.
pub fn check_gemm<T>(
    a: &MatRef<'_, T>,
    b: &MatRef<'_, T>,
    c: &MatMut<'_, T>,
) -> Result<(usize, usize, usize)> {
    let ((m, k), n) = (a.shape(), b.ncols());
    check_shape("B of α·A·B + β·C", (k, n), b.shape())?;
    check_shape("C of α·A·B + β·C", (m, n), c.shape())?;
    Ok((m, k, n))
}

/// C ← β·C, zeros for β = 0: what is left of a product without terms.
pub(crate) fn scale<T: Scalar>(beta: T, mut c: MatMut<'_, T>) {
    if beta == T::ZERO {
        return c.fill(T::ZERO);
    }
    if beta == T::ONE || c.is_empty() {
        return;
    }
    for i in 0..c.nrows() {
        for j in 0..c.ncols() {
            if let Some(x) = c.get_mut(i, j) {
                *x = beta * *x;
            }
        }
    }
}
