//! Views of `ndarray` matrices, without a copy, and results as new arrays.
//!
//! An `ndarray` view may run backwards or repeat a row; so may what it becomes. [`MatMut`] alone refuses two elements
//! at one address, which a checked `ndarray` view never has, but a raw one may. An array whose number of axes is known
//! at run time only is refused unless that is two.

use crate::{
    Scalar,
    error::{Error, Result},
    mlp::{Kept, ParamsRef, Plan, Workspace},
    optim::zeros,
    view::{MatMut, MatRef},
};
use alloc::vec::Vec;
use core::ptr::NonNull;
use ndarray::{
    Array1, Array2, ArrayBase, ArrayView2, ArrayViewD, ArrayViewMut2, ArrayViewMutD, Axis, Ix2, RawData,
    ShapeBuilder, StrideShape,
};

impl<T: Scalar> Plan<T> {
    /// [`forward`](Self::forward) into a new array: A_L, B×n_L, row-major.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::Memory`] if there is none for the array.
    pub fn forward_array<'p>(
        &self,
        params: impl Into<ParamsRef<'p, T>>,
        x: ArrayView2<'_, T>,
        kept: Option<&mut Kept<T>>,
        ws: &mut Workspace<T>,
    ) -> Result<Array2<T>> {
        let (batch, outputs) = (x.nrows(), self.mlp().outputs());
        let (mut y, rows) = self.room("the output", batch, outputs)?;
        self.forward(params, x.into(), MatMut::new(&mut y, rows, outputs)?, kept, ws)?;
        array(y, batch, outputs)
    }

    /// [`vjp`](Self::vjp) into new arrays: the gradient as the parameters are laid out, and dX, B×n_0, row-major.
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp); [`Error::Memory`] if there is none for the arrays.
    pub fn vjp_arrays<'p>(
        &self,
        params: impl Into<ParamsRef<'p, T>>,
        x: ArrayView2<'_, T>,
        dy: ArrayView2<'_, T>,
        ws: &mut Workspace<T>,
    ) -> Result<(Array1<T>, Array2<T>)> {
        let (batch, inputs) = x.dim();
        let mut grads = zeros("the gradient", self.mlp().param_len())?;
        let (mut dx, rows) = self.room("the gradient of the input", batch, inputs)?;
        let view = MatMut::new(&mut dx, rows, inputs)?;
        self.vjp(params, x.into(), dy.into(), None, grads.as_mut_slice(), Some(view), ws)?;
        Ok((Array1::from_vec(grads), array(dx, batch, inputs)?))
    }

    /// Zeros for a batch of rows; none for a batch that the call is going to refuse.
    fn room(&self, what: &'static str, batch: usize, cols: usize) -> Result<(Vec<T>, usize)> {
        let rows = if batch <= self.setup.max_batch { batch } else { 0 };
        let len = rows.checked_mul(cols).ok_or(Error::Overflow { what })?;
        Ok((zeros(what, len)?, rows))
    }
}

/// Elements row by row as an array.
fn array<T>(elements: Vec<T>, rows: usize, cols: usize) -> Result<Array2<T>> {
    Array2::from_shape_vec((rows, cols), elements).map_err(|_| Error::Overflow { what: "an array" })
}

/// Refuses an array that is no matrix.
fn two<A>(axes: usize, matrix: core::result::Result<A, ndarray::ShapeError>) -> Result<A> {
    matrix.map_err(|_| Error::Parameter { what: "axes of an array", expected: "2", got: axes as f64 })
}

impl<'a, T> TryFrom<ArrayViewD<'a, T>> for MatRef<'a, T> {
    type Error = Error;

    /// # Errors
    /// [`Error::Parameter`] if the array has not two axes.
    fn try_from(view: ArrayViewD<'a, T>) -> Result<Self> {
        two(view.ndim(), view.into_dimensionality::<Ix2>()).map(Self::from)
    }
}

impl<'a, T> TryFrom<ArrayViewMutD<'a, T>> for MatMut<'a, T> {
    type Error = Error;

    /// # Errors
    /// [`Error::Parameter`] if the array has not two axes, [`Error::Aliased`] if two elements share an address.
    fn try_from(view: ArrayViewMutD<'a, T>) -> Result<Self> {
        Self::try_from(two(view.ndim(), view.into_dimensionality::<Ix2>())?)
    }
}

impl<T: Clone> From<MatRef<'_, T>> for Array2<T> {
    /// A copy, row-major.
    fn from(matrix: MatRef<'_, T>) -> Self {
        ArrayView2::from(matrix).as_standard_layout().into_owned()
    }
}

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
