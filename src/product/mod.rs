//! A product as items of a schedule: how it is cut, and who multiplies.
//!
//! B is cut into blocks that fit the caches. Each block is packed once, for all members, while the block before is
//! multiplied; its product goes out as rectangles of C that are about equal. None of that shows in the bits: an element
//! is the sum of its chains.

mod alone;
mod cut;
mod op;
mod ops;
mod sums;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use alone::{members, run, scratch_len, sum};
pub(crate) use cut::{At, Cut};
pub(crate) use op::{Finish, Op};
pub(crate) use ops::Ops;
pub(crate) use sums::Sums;
