//! nablas for C.
//!
//! `include/nablas.h` is made of this crate by cbindgen. The functions are in `f32.rs` and `f64.rs`, which are the same
//! file but for names and types, and in `process.rs`; each is a few lines over a generic function. What these have in
//! common:
//!
//! - **Status.** Every call returns a [`nablas_status`](status::nablas_status); the text of the last failure of a
//!   thread is `nablas_last_error()`. A call that fails has written no output. Nothing unwinds into C.
//! - **Operands** are checked before anything is read: NULL, alignment, leading dimensions, sizes that no memory has,
//!   outputs that overlap an input or one another.
//! - **Threads** are the library's own (`threads.rs`): a pool for each number of threads, made when first needed and
//!   anew after a `fork` (`fork.rs`). What one thread does, the calling thread does.

#![expect(non_camel_case_types, reason = "the names of the C types")]
#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "[rows, columns] is a shape; the words are the C header's"
)]

#[cfg(feature = "blas-symbols")]
pub mod blas;
mod call;
mod config;
mod dense;
mod elem;
pub mod f32;
pub mod f64;
mod fork;
mod loss;
mod network;
mod operand;
mod optim;
pub mod options;
mod pointwise;
pub mod process;
mod scratch;
pub mod status;
mod threads;

pub use network::{nablas_dmlp, nablas_dplan, nablas_smlp, nablas_splan};
pub use optim::{nablas_doptimizer, nablas_soptimizer};
