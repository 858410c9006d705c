//! What a layer's forward pass leaves for its backward pass.

use super::{Activation, Saved};
use crate::math::Math;

/// Where a layer's saved state lies, row-major, a row a sample (or a feature, where samples are columns). Its kind is the
/// activation's [`Saved`]. A forward pass that is to save nothing is given [`State::Nothing`].
#[derive(Debug, Clone, Copy)]
pub enum State<T> {
    /// Nowhere: none is needed, or none is wanted.
    Nothing,
    /// One bit an element, rows starting at whole bytes; see [`store_mask`](super::store_mask).
    Mask {
        /// The first row's first byte.
        ptr: *mut u8,
        /// Bytes from one row to the next.
        ld: usize,
    },
    /// One element each: the derivative, or the output that is its own.
    Values {
        /// The first row's first element.
        ptr: *mut T,
        /// Elements from one row to the next.
        ld: usize,
    },
}

// SAFETY: addresses only; whoever shares them sees to it that items touch disjoint rows or columns.
unsafe impl<T: Send> Send for State<T> {}
// SAFETY: as for Send.
unsafe impl<T: Send> Sync for State<T> {}

impl<T> State<T> {
    /// From row `i` on.
    #[inline(always)]
    #[must_use]
    pub fn at(self, i: usize) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Mask { ptr, ld } => Self::Mask { ptr: ptr.wrapping_add(i * ld), ld },
            Self::Values { ptr, ld } => Self::Values { ptr: ptr.wrapping_add(i * ld), ld },
        }
    }

    /// Row `i` of the mask and of the values; null for what is not there.
    #[inline(always)]
    pub(super) fn row(self, i: usize) -> (*mut u8, *mut T) {
        match self.at(i) {
            Self::Nothing => (core::ptr::null_mut(), core::ptr::null_mut()),
            Self::Mask { ptr, .. } => (ptr, core::ptr::null_mut()),
            Self::Values { ptr, .. } => (core::ptr::null_mut(), ptr),
        }
    }
}

impl<T: Math> State<T> {
    /// What a forward pass writes of it: an output is there anyway.
    #[must_use]
    pub fn written(self, act: Activation<T>) -> Self {
        if act.saved() == Saved::Output { Self::Nothing } else { self }
    }
}
