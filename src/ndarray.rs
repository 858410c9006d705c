//! Views of `ndarray` matrices, without a copy.
//!
//! An `ndarray` view may run backwards or repeat a row; so may what it becomes. [`MatMut`] alone refuses two elements
//! at one address, which a checked `ndarray` view never has, but a raw one may.

use crate::{
    error::{Error, Result},
    view::{MatMut, MatRef},
};
use core::ptr::NonNull;
use ndarray::{ArrayBase, ArrayView2, ArrayViewMut2, Axis, Ix2, RawData, ShapeBuilder, StrideShape};

impl<'a, T> From<ArrayView2<'a, T>> for MatRef<'a, T> {
    fn from(view: ArrayView2<'a, T>) -> Self {
        let (rows, cols) = view.dim();
        let (rs, cs) = strides(view.strides());
        // SAFETY: an `ArrayView2` points to element (0, 0) of a matrix of this shape and these strides in one
        // allocation, readable for 'a, whose elements number at most isize::MAX bytes.
        unsafe { Self::from_raw_parts(view.as_ptr(), rows, cols, rs, cs) }
    }
}

impl<'a, T> TryFrom<ArrayViewMut2<'a, T>> for MatMut<'a, T> {
    type Error = Error;

    /// # Errors
    /// [`Error::Aliased`] if two elements share an address.
    fn try_from(mut view: ArrayViewMut2<'a, T>) -> Result<Self> {
        let (rows, cols) = view.dim();
        let (rs, cs) = strides(view.strides());
        crate::view::check_distinct(rows, cols, rs, cs)?;
        // SAFETY: an `ArrayViewMut2` points to element (0, 0) of a matrix of this shape and these strides in one
        // allocation, exclusively borrowed for 'a; its elements have addresses of their own, as just checked.
        Ok(unsafe { Self::from_raw_parts(view.as_mut_ptr(), rows, cols, rs, cs) })
    }
}

impl<'a, T> From<MatRef<'a, T>> for ArrayView2<'a, T> {
    fn from(matrix: MatRef<'a, T>) -> Self {
        let Upright { offset, shape, reversed } =
            upright(matrix.shape(), matrix.row_stride(), matrix.col_stride());
        let ptr = if matrix.is_empty() { NonNull::dangling().as_ptr() } else { matrix.as_ptr().cast_mut() };
        // SAFETY: the elements are those of the matrix, readable for 'a, from the lowest address on, with strides of 0
        // or more; of a matrix without elements the pointer is aligned and the strides are 0.
        let view = unsafe { Self::from_shape_ptr(shape, ptr.offset(offset)) };
        invert(view, reversed)
    }
}

impl<'a, T> From<MatMut<'a, T>> for ArrayViewMut2<'a, T> {
    fn from(mut matrix: MatMut<'a, T>) -> Self {
        let Upright { offset, shape, reversed } =
            upright(matrix.shape(), matrix.row_stride(), matrix.col_stride());
        let ptr = if matrix.is_empty() { NonNull::dangling().as_ptr() } else { matrix.as_mut_ptr() };
        // SAFETY: the elements are those of the matrix, exclusively borrowed for 'a, with addresses of their own, from
        // the lowest on, with strides of 0 or more; of a matrix without elements the pointer is aligned and the
        // strides are 0.
        let view = unsafe { Self::from_shape_ptr(shape, ptr.offset(offset)) };
        invert(view, reversed)
    }
}

/// A matrix read from its lowest address on.
struct Upright {
    /// From element (0, 0) to the lowest address.
    offset: isize,
    /// Shape and strides of 0 or more.
    shape: StrideShape<Ix2>,
    /// The axes that run backwards.
    reversed: [bool; 2],
}

fn upright((rows, cols): (usize, usize), rs: isize, cs: isize) -> Upright {
    let empty = rows == 0 || cols == 0;
    let axis = |len: usize, stride: isize| match (empty, stride < 0) {
        (true, _) => (0, 0),
        // The first element of the axis is the highest: the last lies this far below.
        (false, true) => ((len as isize - 1) * stride, stride.unsigned_abs()),
        (false, false) => (0, stride.unsigned_abs()),
    };
    let ((down, rows_by), (right, cols_by)) = (axis(rows, rs), axis(cols, cs));
    let shape = (rows, cols).strides((rows_by, cols_by));
    Upright { offset: down + right, shape, reversed: [rs < 0 && !empty, cs < 0 && !empty] }
}

/// Turns the axes that run backwards.
fn invert<S: RawData>(mut view: ArrayBase<S, Ix2>, reversed: [bool; 2]) -> ArrayBase<S, Ix2> {
    for (axis, reversed) in reversed.into_iter().enumerate() {
        if reversed {
            view.invert_axis(Axis(axis));
        }
    }
    view
}

/// (row stride, column stride).
fn strides(of: &[isize]) -> (isize, isize) {
    match *of {
        [rs, cs] => (rs, cs),
        _ => (0, 0),
    }
}
