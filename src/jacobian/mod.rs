//! The naive pass: the chain rule with every Jacobian written out as a matrix.
//!
//! It is what the rest of the library avoids, honestly implemented: the oracle of the tests and the baseline of the
//! benchmarks. For each sample of a layer m×n, z = W·x + b, a = g(z):
//!
//! | Jacobian | shape | entries |
//! |---|---|---|
//! | ∂a/∂z | m×m | diag(g'(z)) |
//! | ∂z/∂x | m×n | W |
//! | ∂z/∂W, generalized, W unrolled row by row | m×(m·n) | row i holds x in columns i·n … i·n + n, zeros elsewhere |
//! | ∂z/∂b | m×m | the identity |
//!
//! They are multiplied through with the dense GEMM of a [`Backend`](crate::Backend). A limit in bytes refuses what
//! does not fit, before anything is allocated.

mod dense;
mod layer;
mod naive;
mod network;

pub use dense::Dense;
pub use layer::{
    LayerGradient, activation_jacobian, activation_vjp_naive, bias_jacobian, input_jacobian, layer_bytes,
    layer_full_products, layer_vjp_naive, weight_jacobian,
};
pub use naive::{Gradients, gradients};
pub use network::network_jacobian;
