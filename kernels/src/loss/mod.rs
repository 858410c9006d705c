//! Losses: each row's value and its delta ∂L/∂y, in one pass.
//!
//! A row's value is the plain sum over its columns, through sixteen virtual lanes of chains; the delta is multiplied by
//! `scale`: 1 for a sum, 1/B for a mean over rows, 1/(B·n) for a mean over elements. Each row depends on itself
//! alone. NaN in an output or a target makes that row's value NaN, and the delta where it stands.

mod cross_entropy;
mod pointwise;
mod short;

pub use cross_entropy::{ClassCrossEntropy, CrossEntropy};
pub use pointwise::{BceWithLogits, Huber, L1, Mse, PointLoss, Pointwise};
