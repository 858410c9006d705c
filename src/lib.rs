//! nablas.
