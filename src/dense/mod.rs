//! Dense layers: the level 3 of this BLAS.

mod calls;
mod ops;

pub use calls::{Dense, SavedMut, SavedRef};
pub(crate) use ops::{Ops, State};
