//! What nablas' modules for frameworks share.
//!
//! A framework calls with whatever batch comes, from whatever thread, and holds as many forward passes as it likes before
//! it goes backward. A [`Network`] has the plans for that, made at the first call of a size, and the workspaces and kept
//! states, which calls borrow and give back. What a forward pass leaves is a [`Saved`], a value that goes with the call.

mod network;
mod pool;

pub use network::{Network, NetworkBuilder};
pub use pool::Saved;
