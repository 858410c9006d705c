//! Optimizers: one vectorised pass over flat parameters, gradients and state.
//!
//! Each element depends on itself alone. Factors that depend on the step are computed by the caller in `f64` and
//! rounded once. Kernels work on as many elements as their shortest slice has; that they are equally long is the
//! caller's to check. NaN in a gradient reaches its own parameter and state only.

mod adam;
mod scale;
mod sgd;

pub use adam::{Adam, AdamFactors};
pub use scale::Scale;
pub use sgd::{Sgd, SgdFactors, SgdMomentum};
