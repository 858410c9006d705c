//! Dense networks for [burn]: forward and backward are one fused call each, on its CPU backend, Flex.
//!
//! ```
//! use burn::{
//!     module::Module,
//!     nn::loss::CrossEntropyLossConfig,
//!     optim::{AdamWConfig, GradientsParams},
//!     tensor::{Device, Int, Tensor},
//! };
//! use nablas_burn::{Activation, FusedMlp, FusedMlpConfig};
//!
//! # fn main() -> nablas::Result<()> {
//! let device = Device::flex().autodiff();
//! let config = FusedMlpConfig::new(64).layer(128, Activation::Relu).layer(10, Activation::Identity);
//! let mlp: FusedMlp = config.init(&device)?;
//! let (x, classes) = (Tensor::<2>::ones([32, 64], &device), Tensor::<1, Int>::zeros([32], &device));
//! let loss = CrossEntropyLossConfig::new().init(&device).forward(mlp.forward(x), classes);
//! let grads = GradientsParams::from_grads(loss.backward(), &mlp);
//! let mlp = AdamWConfig::new().init().step(1e-3, mlp, grads);
//! # let _ = mlp;
//! # Ok(()) }
//! ```
//!
//! [`FusedMlp`] says what is copied and what is not, and what becomes of other backends.

mod backend;
mod config;
mod fallback;
mod mlp;
mod operand;
mod step;

pub use config::FusedMlpConfig;
pub use mlp::FusedMlp;
/// Activations, losses and optimizers of nablas, as [`FusedMlp`] takes them.
pub use nablas::{Activation, AdamW, Loss, LossKind, Reduction, Sgd, Trained};
pub use operand::Element;
pub use step::Goal;
