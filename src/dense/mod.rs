//! Dense layers: the level 3 of this BLAS.

mod calls;

pub use calls::{Dense, SavedMut, SavedRef};
