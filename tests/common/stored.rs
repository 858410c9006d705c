//! Matrices in every layout that views know.

use nablas::{MatRef, Result, Scalar};

/// How a matrix lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// By rows.
    Rows,
    /// By columns.
    Columns,
    /// By rows, with gaps between them.
    RowsApart,
    /// By columns, with gaps between them.
    ColumnsApart,
    /// No two elements adjacent.
    Both,
}
/// All of them.
pub(crate) const LAYOUTS: [Layout; 5] =
    [Layout::Rows, Layout::Columns, Layout::RowsApart, Layout::ColumnsApart, Layout::Both];

impl Layout {
    fn strides(self, rows: usize, cols: usize) -> (usize, usize) {
        let (r, c) = (rows.max(1), cols.max(1));
        match self {
            Self::Rows => (c, 1),
            Self::Columns => (1, r),
            Self::RowsApart => (c + 3, 1),
            Self::ColumnsApart => (1, r + 5),
            Self::Both => (2, 2 * r + 1),
        }
    }
}

/// A matrix and the elements between its own, which are NaN.
pub(crate) struct Stored<T> {
    pub(crate) data: Vec<T>,
    pub(crate) shape: (usize, usize),
    pub(crate) strides: (usize, usize),
}

impl<T: Scalar> Stored<T> {
    /// `value(i · cols + j)` at (i, j).
    pub(crate) fn new(layout: Layout, rows: usize, cols: usize, mut value: impl FnMut(usize) -> T) -> Self {
        let strides = layout.strides(rows, cols);
        let len = if rows * cols == 0 { 0 } else { (rows - 1) * strides.0 + (cols - 1) * strides.1 + 1 };
        let mut data = vec![T::from_f64(f64::NAN); len];
        for i in 0..rows {
            for j in 0..cols {
                data[i * strides.0 + j * strides.1] = value(i * cols + j);
            }
        }
        Self { data, shape: (rows, cols), strides }
    }

    /// All of it.
    pub(crate) fn view(&self) -> Result<MatRef<'_, T>> {
        let (rs, cs) = (self.strides.0 as isize, self.strides.1 as isize);
        MatRef::with_strides(&self.data, self.shape.0, self.shape.1, rs, cs)
    }
}

impl<T> core::ops::Index<(usize, usize)> for Stored<T> {
    type Output = T;
    fn index(&self, (i, j): (usize, usize)) -> &T {
        &self.data[i * self.strides.0 + j * self.strides.1]
    }
}
