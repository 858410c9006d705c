//! Where a row-major matrix lies.

use super::pack::Operand;

/// A row-major matrix where it lies: element (i, j) at `ptr + i·ld + j`. What is only read is said where it is.
#[derive(Debug)]
pub struct RowMajor<T> {
    /// Element (0, 0).
    pub ptr: *mut T,
    /// From a row to the next: the leading dimension.
    pub ld: usize,
}

impl<T> Clone for RowMajor<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for RowMajor<T> {}

impl<T> RowMajor<T> {
    /// From an address and a leading dimension.
    #[inline(always)]
    pub const fn new(ptr: *mut T, ld: usize) -> Self {
        Self { ptr, ld }
    }

    /// From an element on.
    #[inline(always)]
    #[must_use]
    pub fn at(self, i: usize, j: usize) -> Self {
        Self { ptr: self.ptr.wrapping_add(i * self.ld + j), ..self }
    }

    /// As an operand of a product.
    #[inline(always)]
    pub fn operand(self) -> Operand<T> {
        Operand { ptr: self.ptr.cast_const(), rs: self.ld as isize, cs: 1 }
    }
}
