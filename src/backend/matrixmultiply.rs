//! The crate `matrixmultiply`: the portable fallback, the tests' oracle and the benchmarks' baseline.

use super::{Backend, check_gemm, scale};
use crate::{
    Scalar,
    error::Result,
    view::{MatMut, MatRef},
};

/// `matrixmultiply`, on the calling thread. It allocates its packing buffers in each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MatrixMultiply;

impl<T: Scalar> Backend<T> for MatrixMultiply {
    fn name(&self) -> &'static str {
        "matrixmultiply"
    }

    fn gemm(
        &self,
        alpha: T,
        a: MatRef<'_, T>,
        b: MatRef<'_, T>,
        beta: T,
        mut c: MatMut<'_, T>,
    ) -> Result<()> {
        let (m, k, n) = check_gemm(&a, &b, &c)?;
        if m == 0 || n == 0 || k == 0 || alpha == T::ZERO {
            scale(beta, c);
            return Ok(());
        }
        let c_strides = (c.row_stride(), c.col_stride());
        // SAFETY: views are valid for their shapes and strides, the shapes agree, and C is borrowed exclusively
        // with no two elements at one address.
        unsafe {
            T::matrixmultiply(
                (m, k, n),
                alpha,
                (a.as_ptr(), (a.row_stride(), a.col_stride())),
                (b.as_ptr(), (b.row_stride(), b.col_stride())),
                beta,
                (c.as_mut_ptr(), c_strides),
            );
        }
        Ok(())
    }
}
