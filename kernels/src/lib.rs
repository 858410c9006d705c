//! The kernels of nablas: mechanism, no policy. No allocation, no threads, `core` only.
//!
//! Every kernel is generic over an [`Isa`](isa::Isa) token and is reached through
//! [`IsaToken::run`](isa::IsaToken::run), which compiles it once per instruction set.

#![cfg_attr(not(feature = "std"), no_std)]

pub mod act;
pub mod cache;
pub mod chain;
mod edge;
pub mod entry;
pub mod gemm;
pub mod isa;
pub mod loss;
pub mod math;
pub mod optim;
pub mod reduce;
