//! The layers of a network in groups, for what goes through the parameters group by group while they are in cache.

use super::spec::Mlp;
use crate::Scalar;
use alloc::vec::Vec;
use core::ops::Range;

/// Layers are stepped and packed together until they have so many parameters: with gradient and moments they then fill about
/// half a megabyte, and are read again while they are in cache.
const HOT: usize = 32 << 10;

/// Layers that are stepped in one phase and packed in the next: by their parameters alone.
pub(super) fn groups<T: Scalar>(mlp: &Mlp<T>) -> Vec<Range<usize>> {
    let (mut groups, mut start, layers) = (Vec::new(), 0, mlp.layers().len());
    for end in 1..=layers {
        let params = end_of(mlp, end) - mlp.layer_offset(start);
        if params >= HOT || end == layers {
            groups.push(start..end);
            start = end;
        }
    }
    groups
}

/// Where the parameters of the layers before `end` end.
pub(super) fn end_of<T: Scalar>(mlp: &Mlp<T>, end: usize) -> usize {
    if end < mlp.layers().len() { mlp.layer_offset(end) } else { mlp.param_len() }
}
