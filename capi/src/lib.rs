//! nablas for C.
//!
//! `include/nablas.h` is made of this crate by cbindgen. The functions are in `f32.rs`, in `f64.rs`, which is generated
//! from it (`tests/header.rs` writes both files), and in `process.rs`; each is a few lines over a generic function. What
//! these have in common:
//!
//! - **Status.** Every call returns a [`nablas_status`](status::nablas_status); the text of the last failure of a
//!   thread is `nablas_last_error()`. A call that fails has written no output. Nothing unwinds into C.
//! - **Operands** are checked before anything is read: NULL, alignment, leading dimensions, sizes that no memory has,
//!   outputs that overlap an input or one another.
//! - **Threads** are those of a team (`nablas::Team`), the process' own or one by option. Calls start on the calling thread
//!   and bring members when that pays.
//! - **Memory** of calls is the caller's, behind a header that says whose it is (`lease.rs`).
//!
//! Imports run one way, from the functions down to `status`:
//!
//! ```text
//! f32  f64  process                                     what is exported
//! plan
//! dense  pointwise  loss  optim  network  handle  blas   the calls (blas is exported too)
//! options  call  lease                                   what surrounds them
//! team  elem  config
//! operand  threads  scratch
//! status  fork
//! ```

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
mod handle;
mod lease;
mod loss;
mod network;
mod operand;
mod optim;
pub mod options;
mod plan;
mod pointwise;
pub mod process;
mod scratch;
pub mod status;
mod team;
mod threads;

pub use network::{nablas_dmlp, nablas_smlp};
pub use optim::{nablas_doptimizer, nablas_soptimizer};
pub use plan::{nablas_dplan, nablas_splan};
pub use team::nablas_team;
