//! ∇BLAS: a BLAS for the backward pass.
//!
//! Fused, vectorised calls for what a network's forward and backward passes do: GEMM, bias and activation in one
//! pass; the vector–Jacobian products of a layer in one pass each. No Jacobian is ever formed, except by
//! [`jacobian`], the naive pass that is the tests' oracle and the benchmarks' baseline.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod activation;
pub mod backend;
pub mod dense;
mod engine;
pub mod error;
#[cfg(feature = "faer")]
mod faer;
pub mod gemm;
pub mod init;
pub mod isa;
pub mod jacobian;
pub mod loss;
mod memory;
pub mod mlp;
#[cfg(feature = "ndarray")]
mod ndarray;
pub mod optim;
mod product;
pub mod scalar;
mod shared;
pub mod team;
pub mod view;

pub use activation::{Activation, Pointwise};
pub use backend::{Backend, BackendKind};
pub use dense::Dense;
pub use error::{Error, Result, Shape};
pub use gemm::Gemm;
pub use init::Init;
pub use isa::{IsaToken, isa};
pub use loss::{Loss, LossKind, Reduction, Targets};
pub use mlp::{
    GradsMut, Kept, LayerGrads, LayerParams, LayerSpec, Mlp, MlpBuilder, PackedParams, ParamsMut, ParamsRef,
    PathKind, Plan, PlanOptions, Trained, Workspace,
};
pub use optim::{Adam, AdamW, Optimizer, Sgd};
pub use scalar::Scalar;
pub use team::{Team, TeamOptions};
pub use view::{MatMut, MatRef};

/// The code of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
