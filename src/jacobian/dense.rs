//! Dense matrices that count their bytes.

use crate::{
    Backend, Scalar,
    error::{Error, Result},
    view::{MatMut, MatRef},
};
use alloc::vec::Vec;

/// A row-major matrix that owns its elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense<T> {
    rows: usize,
    cols: usize,
    data: Vec<T>,
}

/// The bytes of a rows×cols matrix.
pub(super) fn bytes<T>(rows: usize, cols: usize) -> u128 {
    (rows as u128).saturating_mul(cols as u128).saturating_mul(size_of::<T>() as u128)
}

impl<T: Scalar> Dense<T> {
    /// A matrix of zeros.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if it has more than `limit` bytes, [`Error::Memory`] if the system has not that many.
    pub fn zeros(what: &'static str, rows: usize, cols: usize, limit: u64) -> Result<Self> {
        let bytes = bytes::<T>(rows, cols);
        let max = u128::from(limit).min(isize::MAX as u128);
        if bytes > max {
            return Err(Error::TooLarge { what, bytes, limit: max });
        }
        let mut data = Vec::new();
        // The product is at most isize::MAX bytes.
        data.try_reserve_exact(rows * cols).map_err(|_| Error::Memory { what, bytes })?;
        data.resize(rows * cols, T::ZERO);
        Ok(Self { rows, cols, data })
    }

    /// A copy of a matrix.
    ///
    /// # Errors
    /// As [`zeros`](Self::zeros).
    pub fn copy(what: &'static str, source: MatRef<'_, T>, limit: u64) -> Result<Self> {
        let mut copy = Self::zeros(what, source.nrows(), source.ncols(), limit)?;
        copy.as_mut()?.copy_from(source)?;
        Ok(copy)
    }

    /// The product `self`·`other`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes don't agree; else as [`zeros`](Self::zeros).
    pub fn times(&self, other: &Self, limit: u64, backend: &dyn Backend<T>) -> Result<Self> {
        let mut product = Self::zeros("a product of Jacobians", self.rows, other.cols, limit)?;
        backend.gemm(T::ONE, self.as_ref()?, other.as_ref()?, T::ZERO, product.as_mut()?)?;
        Ok(product)
    }

    /// Its view.
    ///
    /// # Errors
    /// [`Error::Overflow`] for a matrix without elements whose other size is no size.
    pub fn as_ref(&self) -> Result<MatRef<'_, T>> {
        MatRef::new(&self.data, self.rows, self.cols)
    }

    /// Its view, to write.
    ///
    /// # Errors
    /// [`Error::Overflow`] for a matrix without elements whose other size is no size.
    pub fn as_mut(&mut self) -> Result<MatMut<'_, T>> {
        MatMut::new(&mut self.data, self.rows, self.cols)
    }

    /// (rows, columns).
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// The elements, row by row.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// The elements, row by row, to write.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// Row `i`; empty where the matrix has none.
    pub fn row(&self, i: usize) -> &[T] {
        let start = i.saturating_mul(self.cols);
        self.data.get(start..start.saturating_add(self.cols)).unwrap_or(&[])
    }

    /// The bytes of its elements.
    pub fn bytes(&self) -> u128 {
        bytes::<T>(self.rows, self.cols)
    }
}
