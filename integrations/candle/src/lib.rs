//! Dense networks for [candle](candle_core): forward and backward are one fused call each.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{AdamW, Module, Optimizer, VarBuilder, VarMap};
//! use nablas_candle::{Activation, FusedMlp};
//!
//! # fn main() -> candle_core::Result<()> {
//! let vars = VarMap::new();
//! let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
//! // The variables are those that `candle_nn::linear(64, 128, vb.pp("hidden"))` and its like would make.
//! let mlp = FusedMlp::builder(64)
//!     .layer("hidden", 128, Activation::Relu)
//!     .layer("classes", 10, Activation::Identity)
//!     .build(vb)?;
//! let mut adamw = AdamW::new_lr(mlp.vars(), 1e-3)?;
//! let (x, classes) = (Tensor::ones((32, 64), DType::F32, &Device::Cpu)?, Tensor::zeros(32, DType::U32, &Device::Cpu)?);
//! adamw.backward_step(&candle_nn::loss::cross_entropy(&mlp.forward(&x)?, &classes)?)?;
//! # Ok(()) }
//! ```
//!
//! [`FusedMlp`] says what is copied and what is not.

mod builder;
mod layers;
mod mlp;
mod op;
mod operand;
mod step;

pub use builder::FusedMlpBuilder;
pub use mlp::FusedMlp;
/// Activations, losses and optimizers of nablas, as [`FusedMlp`] takes them.
pub use nablas::{Activation, AdamW, Loss, LossKind, Reduction, Sgd, Trained};
pub use operand::Element;
