//! Fused GEMM: register tiles, panels, packing, epilogues, blocking.
//!
//! From the inside out: [`tile`] multiplies one register tile; [`panel`] runs tiles down a block of rows for
//! one panel of columns; [`blocked`] cuts a product into blocks that fit the caches. [`epilogue`] says where a
//! tile's accumulators start and what becomes of them. Each element of a result is the sum, in order, of chains of
//! [`CHAIN`](tile::CHAIN) FMAs, k ascending. Panels keep to that whatever the depth of a block, and blocks begin where
//! chains do, so no cut leaves a trace in the bits.
//!
//! # Safety
//! The operations here are plain data with raw pointers. Making one is safe and running one is not checked:
//! whoever builds it vouches that over the sizes in its fields operands are readable, outputs are writable and
//! accessed from nowhere else, and scratch is as long as said. The crate `nablas` is the safe interface.

pub mod across;
pub mod blocked;
pub mod dense;
pub mod epilogue;
pub mod narrow;
pub mod narrow_few;
pub mod pack;
pub mod panel;
pub mod row_major;
pub mod shape;
pub mod tile;
pub mod turned;
