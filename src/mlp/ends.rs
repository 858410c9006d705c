//! What a pass meets at its ends: X and ∂L/∂A_L coming in, Y and dX going out, a range of rows at a time.

use super::spec::LayerSpec;
use crate::{
    Activation, MatMut, MatRef, Scalar,
    loss::{Loss, Targets},
    shared::Shared,
};
use nablas_kernels::gemm::{pack::Operand, row_major::RowMajor, shape::PAD};

/// Where ∂L/∂A_L comes from.
#[derive(Clone, Copy)]
pub(crate) enum Cotangent<'a, T> {
    Given(MatRef<'a, T>),
    /// The loss, its targets, and what the deltas are multiplied by.
    Loss(&'a Loss<T>, Targets<'a, T>, T),
}

impl<T: Scalar> Cotangent<'_, T> {
    /// δ_L from row `start` on where ∂L/∂A_L lies: if the last activation leaves it as it is and kernels
    /// can read its rows there, by whole vectors. To be read only.
    pub(crate) fn in_place(&self, last: &LayerSpec<T>, start: usize) -> Option<RowMajor<T>> {
        match self {
            Self::Given(dy) if last.activation == Activation::Identity => {
                // Column sums are not taken of rows that overlap.
                whole_rows(*dy).filter(|rows| rows.ld >= dy.ncols()).map(|rows| rows.at(start, 0))
            }
            _ => None,
        }
    }
}

/// A matrix where it lies, to be read only, if its rows are contiguous, ascend, and can be read by whole vectors.
pub(crate) fn whole_rows<T: Scalar>(m: MatRef<'_, T>) -> Option<RowMajor<T>> {
    let fit = m.col_stride() == 1 && m.row_stride() >= 0 && m.ncols().is_multiple_of(PAD);
    fit.then(|| RowMajor::new(m.as_ptr().cast_mut(), m.row_stride() as usize))
}

/// A row of an output matrix: where it starts, and the strides of the rows from it on.
pub(crate) type RowsAt<T> = (*mut T, isize, isize);

/// An output matrix as address and strides, to be written by items, each its own rows.
#[derive(Clone, Copy)]
pub(crate) struct Out<T>(Shared<T>, isize, isize);

impl<T: Scalar> Out<T> {
    pub(crate) fn new(m: Option<MatMut<'_, T>>) -> Option<Self> {
        m.map(|mut m| Self(Shared(m.as_mut_ptr()), m.row_stride(), m.col_stride()))
    }

    /// Row `i`.
    pub(crate) fn row(self, i: usize) -> RowsAt<T> {
        (self.0.0.wrapping_offset(i as isize * self.1), self.1, self.2)
    }

    /// The matrix as kernels write it, if its rows are contiguous and ascend.
    pub(crate) fn direct(self) -> Option<RowMajor<T>> {
        direct(self.row(0))
    }
}

/// Rows as kernels write them, if they are contiguous and ascend.
pub(crate) fn direct<T>((ptr, rs, cs): RowsAt<T>) -> Option<RowMajor<T>> {
    (cs == 1 && rs >= 0).then_some(RowMajor::new(ptr, rs as usize))
}

/// Rows `start..end`, which are inside.
pub(crate) fn slice<T: Scalar>(m: MatRef<'_, T>, start: usize, end: usize) -> MatRef<'_, T> {
    let at = m.as_ptr().wrapping_offset(start as isize * m.row_stride());
    // SAFETY: the rows are the matrix's own.
    unsafe { MatRef::from_raw_parts(at, end - start, m.ncols(), m.row_stride(), m.col_stride()) }
}

/// Copies rows of any strides.
///
/// # Safety
/// `rows` × `cols` elements are readable at `from` and writable at `to`, which do not overlap.
pub(crate) unsafe fn copy_rows<T: Copy>(
    (rows, cols): (usize, usize),
    from: Operand<T>,
    (to, rs, cs): RowsAt<T>,
) {
    for i in 0..rows as isize {
        let (f, t) = (from.ptr.wrapping_offset(i * from.rs), to.wrapping_offset(i * rs));
        // SAFETY: row i of both.
        unsafe {
            if from.cs == 1 && cs == 1 {
                core::ptr::copy_nonoverlapping(f, t, cols);
            } else {
                for j in 0..cols as isize {
                    *t.wrapping_offset(j * cs) = *f.wrapping_offset(j * from.cs);
                }
            }
        }
    }
}
