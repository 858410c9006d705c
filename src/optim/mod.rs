//! Optimizers over flat parameter buffers: one vectorised pass a step, nothing allocated.
//!
//! The conventions are PyTorch's. Each parameter depends on itself, its gradient and its state alone. The factors of a
//! step are computed in `f64` and rounded once. So a step of many parameters is shared out among the members of a team, and
//! that leaves no trace. [`Optimizer`] is what they have in common;
//! [`Plan::train_step`](crate::Plan::train_step) makes a whole training step of one.

mod adam;
mod clip;
mod sgd;
mod step;

pub use adam::{Adam, AdamW};
pub(crate) use clip::{Parts, check_max, factor, norm, squares};
pub use clip::{clip_by_global_norm, clip_by_global_norm_on};
pub use sgd::Sgd;
pub use step::Optimizer;
pub(crate) use step::{CHUNK, Step, part, scale};

use crate::{
    Scalar,
    error::{Error, Result},
    isa::IsaToken,
};
use alloc::vec::Vec;

/// Refuses a value outside of `ok`.
fn check(what: &'static str, expected: &'static str, got: f64, ok: bool) -> Result<()> {
    if ok && got.is_finite() { Ok(()) } else { Err(Error::Parameter { what, expected, got }) }
}

/// Refuses a rate below 0.
fn check_rate(rate: f64) -> Result<()> {
    check("the learning rate", "a finite number of 0 or more", rate, rate >= 0.0)
}

/// A buffer of zeros.
pub(crate) fn zeros<T: Scalar>(what: &'static str, len: usize) -> Result<Vec<T>> {
    let bytes = (len as u128).saturating_mul(size_of::<T>() as u128);
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| Error::Memory { what, bytes })?;
    buffer.resize(len, T::ZERO);
    Ok(buffer)
}

/// √x, without the standard library: a root of the vector kernels, in one lane.
fn root(x: f64) -> f64 {
    struct Root(f64);
    impl nablas_kernels::isa::LaneKernel for Root {
        type Elem = f64;
        type Output = f64;
        #[inline(always)]
        fn run_lanes<I: nablas_kernels::isa::Lanes<f64>>(self, isa: I) -> f64 {
            let mut out = 0.0;
            let root = isa.sqrt(isa.splat(self.0));
            // SAFETY: one element is stored to one.
            unsafe { isa.store_partial(&raw mut out, root, 1) };
            out
        }
    }
    IsaToken::detect().run(Root(x))
}
