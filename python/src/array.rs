//! Arrays as Python hands them over, read in place: NumPy's by the fields of their structs, which costs some nanoseconds;
//! what else speaks DLPack or the buffer protocol through NumPy, which makes a view of it. Nothing is copied.

use crate::{
    overlap::Bytes,
    typed::{Dtype, Elem},
};
use nablas::{Error, MatMut, MatRef, Shape};
use numpy::npyffi::{NPY_ARRAY_ALIGNED, NPY_ARRAY_WRITEABLE, NPY_TYPES, PyArray_Check, PyArrayObject};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    ffi,
    intern,
    prelude::*,
    types::PyMemoryView,
};
use std::slice;

/// A NumPy array, of any type and number of axes.
#[derive(Debug)]
pub(crate) struct Array<'a, 'py> {
    /// The view that NumPy has made of what was no array of its own.
    view: Option<Bound<'py, PyAny>>,
    given: Borrowed<'a, 'py, PyAny>,
}

/// An array of one axis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vector<T> {
    pub(crate) what: &'static str,
    pub(crate) ptr: *mut T,
    pub(crate) len: usize,
}

/// An array of two axes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<T> {
    pub(crate) what: &'static str,
    pub(crate) ptr: *mut T,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Elements from a row to the next, and from a column to the next.
    pub(crate) row_stride: isize,
    pub(crate) col_stride: isize,
}

// SAFETY: addresses. Who makes views of them answers for what is there; Python's references keep it.
unsafe impl<T: Send> Send for Vector<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Matrix<T> {}

/// Whether an operand is only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl<'a, 'py> Array<'a, 'py> {
    /// The array that an object is, or that NumPy sees in it.
    pub(crate) fn new(what: &str, given: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        // SAFETY: the thread is attached, the object alive.
        let view = if unsafe { PyArray_Check(given.py(), given.as_ptr()) } != 0 {
            None
        } else {
            Some(foreign(what, given)?)
        };
        Ok(Self { view, given })
    }

    fn object(&self) -> &PyArrayObject {
        let object = self.view.as_ref().map_or(self.given.as_ptr(), |view| view.as_ptr());
        // SAFETY: `new` and `foreign` have seen that it is an array; it is alive as long as this.
        unsafe { &*object.cast::<PyArrayObject>() }
    }

    /// The array itself, for Python.
    pub(crate) fn get(&self) -> Borrowed<'_, 'py, PyAny> {
        self.view.as_ref().map_or(self.given, |view| view.as_borrowed())
    }

    /// The lengths of its axes.
    pub(crate) fn shape(&self) -> &[isize] {
        let fields = &self.object().fields;
        // SAFETY: NumPy keeps as many lengths as there are axes; of none the address may be null.
        if fields.nd == 0 { &[] } else { unsafe { slice::from_raw_parts(fields.dimensions, fields.nd as usize) } }
    }

    /// Bytes from an element to the next on each axis.
    fn strides(&self) -> &[isize] {
        let fields = &self.object().fields;
        // SAFETY: as in `shape`.
        if fields.nd == 0 { &[] } else { unsafe { slice::from_raw_parts(fields.strides, fields.nd as usize) } }
    }

    /// NumPy's number of its element type.
    pub(crate) fn number(&self) -> i32 {
        // SAFETY: an array has a descriptor.
        unsafe { (*self.object().fields.descr).fields.type_num }
    }

    /// Its element type, if it is one of ours in the machine's order of bytes.
    pub(crate) fn dtype(&self) -> Option<Dtype> {
        // SAFETY: as in `number`.
        let order = unsafe { (*self.object().fields.descr).fields.byteorder } as u8;
        let foreign = if cfg!(target_endian = "little") { b'>' } else { b'<' };
        match self.number() {
            _ if order == foreign => None,
            n if n == NPY_TYPES::NPY_FLOAT as i32 => Some(Dtype::F32),
            n if n == NPY_TYPES::NPY_DOUBLE as i32 => Some(Dtype::F64),
            _ => None,
        }
    }

    /// Refuses elements of another type or at odd addresses, and what is read-only if it is to be written.
    fn check<T: Elem>(&self, what: &str, access: Access) -> PyResult<()> {
        let flags = self.object().fields.flags;
        let wanted = NPY_ARRAY_ALIGNED | if access == Access::Write { NPY_ARRAY_WRITEABLE } else { 0 };
        if self.dtype() == Some(T::DTYPE) && flags & wanted == wanted {
            return Ok(());
        }
        Err(self.refuse::<T>(what, flags))
    }

    #[cold]
    fn refuse<T: Elem>(&self, what: &str, flags: i32) -> PyErr {
        if self.dtype() != Some(T::DTYPE) {
            let dtype = self.get().getattr(intern!(self.get().py(), "dtype"));
            let got = dtype.map_or_else(|_| "another type".into(), |d| d.to_string());
            return PyTypeError::new_err(format!("{what}: expected elements of {}, got {got}", T::DTYPE.name()));
        }
        let why = if flags & NPY_ARRAY_ALIGNED == 0 {
            "expected aligned elements"
        } else {
            "expected a writable array, got a read-only one"
        };
        PyValueError::new_err(format!("{what}: {why}"))
    }

    /// Elements from one to the next on an axis.
    fn stride<T>(&self, what: &str, axis: usize) -> PyResult<isize> {
        let (bytes, size) = (self.strides()[axis], size_of::<T>() as isize);
        if bytes % size == 0 {
            return Ok(bytes / size);
        }
        let words = format!("{what}: expected strides of whole elements, got one of {bytes} bytes");
        Err(PyValueError::new_err(words))
    }

    /// Its only axis, whose elements lie together.
    pub(crate) fn vector<T: Elem>(&self, what: &'static str, access: Access) -> PyResult<Vector<T>> {
        self.check::<T>(what, access)?;
        let &[len] = self.shape() else { return Err(self.axes(what, 1)) };
        let stride = if len > 1 { self.stride::<T>(what, 0)? } else { 1 };
        if stride != 1 {
            let expected = "1 (contiguous elements)";
            return Err(crate::failure::Failure::from(Error::Stride { what, expected, got: stride }).into());
        }
        Ok(Vector { what, ptr: self.object().fields.data.cast(), len: len as usize })
    }

    /// All of its elements, which lie together in C order, whatever its axes.
    pub(crate) fn elements<T: Elem>(&self, what: &'static str, access: Access) -> PyResult<Vector<T>> {
        self.check::<T>(what, access)?;
        if self.object().fields.flags & numpy::npyffi::NPY_ARRAY_C_CONTIGUOUS == 0 {
            return Err(PyValueError::new_err(format!("{what}: expected a C-contiguous array")));
        }
        let len = self.shape().iter().product::<isize>() as usize;
        Ok(Vector { what, ptr: self.object().fields.data.cast(), len })
    }

    /// Its two axes.
    pub(crate) fn matrix<T: Elem>(&self, what: &'static str, access: Access) -> PyResult<Matrix<T>> {
        self.check::<T>(what, access)?;
        let &[rows, cols] = self.shape() else { return Err(self.axes(what, 2)) };
        let (row_stride, col_stride) = (self.stride::<T>(what, 0)?, self.stride::<T>(what, 1)?);
        let (ptr, rows, cols) = (self.object().fields.data.cast(), rows as usize, cols as usize);
        let matrix = Matrix { what, ptr, rows, cols, row_stride, col_stride };
        if access == Access::Write && matrix.aliases_itself() {
            let shape = Shape::new(rows, cols);
            return Err(crate::failure::Failure::from(Error::Aliased { shape, row_stride, col_stride }).into());
        }
        Ok(matrix)
    }

    #[cold]
    fn axes(&self, what: &str, expected: usize) -> PyErr {
        let got = self.shape().len();
        let plural = if expected == 1 { "axis" } else { "axes" };
        PyValueError::new_err(format!("{what}: expected an array of {expected} {plural}, got {got}"))
    }
}

/// NumPy's view of an object that is no array of its own.
#[cold]
fn foreign<'py>(what: &str, given: Borrowed<'_, 'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = given.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    if given.hasattr(intern!(py, "__dlpack__"))? {
        // Other devices and types that NumPy has not are refused by it, in words of its own.
        return numpy.call_method1(intern!(py, "from_dlpack"), (given,)).map_err(|error| {
            let words = format!("{what}: expected an array in the memory of the CPU: {}", error.value(py));
            PyTypeError::new_err(words)
        });
    }
    // SAFETY: the object is alive.
    if unsafe { ffi::PyObject_CheckBuffer(given.as_ptr()) } != 0 {
        return numpy.call_method1(intern!(py, "asarray"), (PyMemoryView::from(&given)?,));
    }
    let kind = given.get_type().name()?;
    let words = format!("{what}: expected a NumPy array, or what has DLPack or the buffer protocol, got {kind}");
    Err(PyTypeError::new_err(words))
}

impl<T: Elem> Vector<T> {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes::run(self.what, self.ptr.addr(), self.len * size_of::<T>())
    }

    /// To read.
    ///
    /// # Safety
    /// The array outlives `'v`, and nothing writes it in that time.
    pub(crate) unsafe fn slice<'v>(self) -> &'v [T] {
        // SAFETY: the caller's promise; NumPy's arrays are aligned where `check` has passed them, and never null.
        if self.len == 0 { &[] } else { unsafe { slice::from_raw_parts(self.ptr, self.len) } }
    }

    /// To write.
    ///
    /// # Safety
    /// The array outlives `'v`, and nothing else accesses it in that time.
    pub(crate) unsafe fn slice_mut<'v>(self) -> &'v mut [T] {
        // SAFETY: as in `slice`.
        if self.len == 0 { &mut [] } else { unsafe { slice::from_raw_parts_mut(self.ptr, self.len) } }
    }
}

impl<T: Elem> Matrix<T> {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> Bytes {
        let size = size_of::<T>() as isize;
        let (down, right) = (self.row_stride.wrapping_mul(size), self.col_stride.wrapping_mul(size));
        Bytes::matrix(self.what, self.ptr.addr(), (self.rows, self.cols), (down, right), size_of::<T>())
    }

    /// To read.
    ///
    /// # Safety
    /// The array outlives `'v`, and nothing writes it in that time.
    pub(crate) unsafe fn view<'v>(self) -> MatRef<'v, T> {
        // SAFETY: the caller's promise; shape and strides are an array's.
        unsafe {
            MatRef::from_raw_parts(self.ptr, self.rows, self.cols, self.row_stride, self.col_stride)
        }
    }

    /// To write.
    ///
    /// # Safety
    /// The array outlives `'v`, and nothing else accesses it in that time.
    pub(crate) unsafe fn view_mut<'v>(self) -> MatMut<'v, T> {
        // SAFETY: the caller's promise; no two elements share an address, or `Array::matrix` had refused it.
        unsafe {
            MatMut::from_raw_parts(self.ptr, self.rows, self.cols, self.row_stride, self.col_stride)
        }
    }

    /// Whether two elements may share an address: rows that step over each other and columns that do so, too.
    fn aliases_itself(&self) -> bool {
        let (rs, cs) = (self.row_stride.unsigned_abs(), self.col_stride.unsigned_abs());
        if self.rows == 0 || self.cols == 0 {
            return false;
        }
        let apart = |step: usize, other: usize, n: usize| step > other.saturating_mul(n - 1);
        let by_rows = self.rows == 1 || apart(rs, cs, self.cols);
        let by_cols = self.cols == 1 || apart(cs, rs, self.rows);
        let inner = |n: usize, step: usize| n == 1 || step > 0;
        !((by_rows && inner(self.cols, cs)) || (by_cols && inner(self.rows, rs)))
    }
}
