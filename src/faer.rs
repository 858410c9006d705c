//! Views of `faer` matrices, without a copy, both ways.
//!
//! A `faer` view may run backwards or repeat a row; so may what it becomes. Its matrices are stored by columns, which
//! nablas reads as they are; what nablas *writes* has contiguous rows in the dense-layer calls, so an output there is a
//! transpose of a `faer` matrix, or one whose rows are adjacent.

use crate::{
    error::{Error, Result},
    view::{MatMut, MatRef},
};
use core::ptr::NonNull;
use faer::{MatMut as FaerMut, MatRef as FaerRef};

impl<'a, T> From<FaerRef<'a, T>> for MatRef<'a, T> {
    fn from(view: FaerRef<'a, T>) -> Self {
        let ((rows, cols), (rs, cs)) = ((view.nrows(), view.ncols()), (view.row_stride(), view.col_stride()));
        // SAFETY: a `faer` view points to element (0, 0) of a matrix of this shape and these strides in one allocation,
        // readable for 'a, whose elements number at most isize::MAX bytes.
        unsafe { Self::from_raw_parts(view.as_ptr(), rows, cols, rs, cs) }
    }
}

impl<'a, T> TryFrom<FaerMut<'a, T>> for MatMut<'a, T> {
    type Error = Error;

    /// # Errors
    /// [`Error::Aliased`] if two elements share an address, which a safely made `faer` view never has.
    fn try_from(view: FaerMut<'a, T>) -> Result<Self> {
        let ((rows, cols), (rs, cs)) = ((view.nrows(), view.ncols()), (view.row_stride(), view.col_stride()));
        crate::view::check_distinct(rows, cols, rs, cs)?;
        // SAFETY: a mutable `faer` view points to element (0, 0) of a matrix of this shape and these strides in one
        // allocation, exclusively borrowed for 'a; its elements have addresses of their own, as just checked.
        Ok(unsafe { Self::from_raw_parts(view.as_ptr_mut(), rows, cols, rs, cs) })
    }
}

impl<'a, T> From<MatRef<'a, T>> for FaerRef<'a, T> {
    fn from(matrix: MatRef<'a, T>) -> Self {
        let ((rows, cols), (rs, cs)) = (matrix.shape(), (matrix.row_stride(), matrix.col_stride()));
        let ptr = if matrix.is_empty() { NonNull::dangling().as_ptr() } else { matrix.as_ptr() };
        // SAFETY: the elements are those of the matrix, readable for 'a; of a matrix without elements the pointer is
        // aligned and not null.
        unsafe { Self::from_raw_parts(ptr, rows, cols, rs, cs) }
    }
}

impl<'a, T> From<MatMut<'a, T>> for FaerMut<'a, T> {
    fn from(mut matrix: MatMut<'a, T>) -> Self {
        let ((rows, cols), (rs, cs)) = (matrix.shape(), (matrix.row_stride(), matrix.col_stride()));
        let ptr = if matrix.is_empty() { NonNull::dangling().as_ptr() } else { matrix.as_mut_ptr() };
        // SAFETY: the elements are those of the matrix, exclusively borrowed for 'a, with addresses of their own; of a
        // matrix without elements the pointer is aligned and not null.
        unsafe { Self::from_raw_parts_mut(ptr, rows, cols, rs, cs) }
    }
}
