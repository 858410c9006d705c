//! ∇BLAS: a BLAS for the backward pass.
//!
//! Fused, vectorised calls for what a network's forward and backward passes do: GEMM, bias and activation in one
//! pass; the vector–Jacobian products of a layer in one pass each. No Jacobian is ever formed, except by
//! [`jacobian`], the naive pass that is the tests' oracle and the benchmarks' baseline.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod activation;
pub mod backend;
mod engine;
pub mod error;
pub mod gemm;
pub mod init;
pub mod isa;
pub mod jacobian;
pub mod loss;
mod memory;
pub mod mlp;
pub mod optim;
mod parallel;
pub mod scalar;
pub mod view;

pub use activation::{Activation, Pointwise};
pub use backend::{Backend, BackendKind};
pub use error::{Error, Result, Shape};
pub use gemm::Gemm;
pub use init::Init;
pub use isa::{IsaToken, isa};
pub use loss::{Loss, LossKind, Reduction, Targets};
pub use mlp::{LayerSpec, Mlp, MlpBuilder};
pub use optim::{Adam, AdamW, Sgd};
pub use scalar::Scalar;
pub use view::{MatMut, MatRef};
