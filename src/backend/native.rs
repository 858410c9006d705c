//! The native backend.

use super::Backend;
use crate::{
    Scalar,
    error::Result,
    gemm::Gemm,
    isa::IsaToken,
    view::{MatMut, MatRef},
};

/// The kernels of this library as a [`Backend`]: single-threaded like the others, and with packing scratch
/// allocated anew in every call. [`Gemm`] is the same product with threads and the caller's scratch.
#[derive(Debug, Clone, Copy)]
pub struct Native {
    isa: IsaToken,
}

impl Native {
    /// On an ISA.
    pub fn new(isa: IsaToken) -> Self {
        Self { isa }
    }
}

impl<T: Scalar> Backend<T> for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn gemm(&self, alpha: T, a: MatRef<'_, T>, b: MatRef<'_, T>, beta: T, c: MatMut<'_, T>) -> Result<()> {
        let gemm = Gemm::with(self.isa, 1);
        let mut scratch = gemm.scratch(a.nrows(), b.ncols(), a.ncols());
        gemm.run(alpha, a, b, beta, c, &mut scratch)
    }
}
