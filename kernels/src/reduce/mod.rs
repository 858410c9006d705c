//! Reductions: column sums, what row softmax and log-sum-exp are made from, sum of squares.
//!
//! Sums across lanes go through sixteen virtual lanes, whatever the ISA: element `j` is added to lane `j mod 16`,
//! in ascending order, each lane a sum of chains, and the lanes are folded by one tree ([`Sixteen`]).

mod columns;
mod group;
mod sixteen;
mod softmax;
mod squares;
mod view;

pub use columns::ColumnSums;
pub(crate) use group::{Add, GROUP, Group, Larger, halve};
pub(crate) use sixteen::count;
pub use sixteen::{Sixteen, VIRTUAL_LANES};
pub(crate) use softmax::exponentials;
pub use squares::SquareSum;
pub use view::{View, ViewMut};
