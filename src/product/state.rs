//! What a layer saves for its backward pass.

use crate::Scalar;
use nablas_kernels::{
    act::{Activation, Kept, Saved},
    gemm::{dense::Derivative, epilogue::Save},
};

/// What a layer saved for its backward pass, row-major, one row a sample.
#[derive(Debug)]
pub(crate) struct State<T> {
    /// The derivative, or the output where the activation's backward needs that; null if neither.
    pub(crate) values: *mut T,
    /// Elements from a row to the next.
    pub(crate) ld: usize,
    /// The bit mask; null if none.
    pub(crate) mask: *mut u8,
    /// Bytes from a row to the next.
    pub(crate) mask_ld: usize,
}

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for State<T> {}

// SAFETY: addresses only; items touch disjoint rows or columns of what they point to.
unsafe impl<T: Send> Send for State<T> {}
// SAFETY: as for Send.
unsafe impl<T: Send> Sync for State<T> {}

impl<T: Scalar> State<T> {
    /// Saves nothing.
    pub(crate) const NONE: Self =
        Self { values: core::ptr::null_mut(), ld: 0, mask: core::ptr::null_mut(), mask_ld: 0 };

    /// From row `i` and column `j` on; `j` is a multiple of 8.
    pub(crate) fn at(self, i: usize, j: usize) -> Self {
        let mut s = self;
        if !s.values.is_null() {
            s.values = s.values.wrapping_add(i * s.ld + j);
        }
        if !s.mask.is_null() {
            s.mask = s.mask.wrapping_add(i * s.mask_ld + j / 8);
        }
        s
    }

    /// As a forward epilogue writes it. An activation whose backward needs its output saves nothing besides.
    pub(crate) fn save(self, act: Activation<T>) -> Save<T> {
        match act.saved() {
            Saved::Mask => Save { mask: self.mask, mask_ld: self.mask_ld, ..Save::NONE },
            Saved::Derivative => Save { values: self.values, ld: self.ld, ..Save::NONE },
            Saved::Nothing | Saved::Output | Saved::Pre => Save::NONE,
        }
    }

    /// As the input VJP of the layer above reads it.
    pub(crate) fn derivative(self, act: Activation<T>) -> Derivative<T> {
        match act {
            Activation::Identity => Derivative::One,
            Activation::LeakyRelu(alpha) => Derivative::Mask(self.mask, self.mask_ld, alpha),
            _ if act.saved() == Saved::Mask => Derivative::Mask(self.mask, self.mask_ld, T::ZERO),
            _ => Derivative::Values(self.values, self.ld),
        }
    }

    /// As the row kernels read and write it.
    pub(crate) fn kept(self, act: Activation<T>) -> Kept<T> {
        match act.saved() {
            Saved::Nothing => Kept::Nothing,
            Saved::Mask if self.mask.is_null() => Kept::Nothing,
            Saved::Mask => Kept::Mask { ptr: self.mask, ld: self.mask_ld },
            _ if self.values.is_null() => Kept::Nothing,
            _ => Kept::Elements { ptr: self.values, ld: self.ld },
        }
    }

    /// As the row kernel of a forward pass writes it: the output is its own state.
    pub(crate) fn kept_by_forward(self, act: Activation<T>) -> Kept<T> {
        match act.saved() {
            Saved::Output | Saved::Pre => Kept::Nothing,
            _ => self.kept(act),
        }
    }
}
