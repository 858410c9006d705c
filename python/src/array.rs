//! Arrays as Python hands them over, read in place: NumPy's by the fields of their structs, which costs some
//! nanoseconds; what else speaks DLPack or the buffer protocol through NumPy, which makes a view of it. Nothing is
//! copied.

use crate::{
    failure::Failure,
    overlap::Bytes,
    typed::{Dtype, Elem},
};
use nablas::{Error, MatMut, MatRef, Shape};
use numpy::{
    Element, PyArrayDescr, PyArrayDescrMethods as _,
    npyffi::{
        NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_TYPES, PY_ARRAY_API,
        PyArray_Check, PyArrayObject,
    },
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{IntoPyDict as _, PyMemoryView},
};
use std::slice;

/// A NumPy array, of any type and number of axes.
#[derive(Debug)]
pub(crate) struct Array<'py>(Bound<'py, PyAny>);

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

impl<'py> Array<'py> {
    /// The array that an object is, or that NumPy sees in it.
    pub(crate) fn new(what: &str, given: &Bound<'py, PyAny>) -> PyResult<Self> {
        if is_array(given) { Ok(Self(given.clone())) } else { foreign(what, given) }
    }

    /// A new array of these axes, whose elements are yet to be written.
    pub(crate) fn empty<T: Elem>(py: Python<'py>, shape: &mut [isize]) -> PyResult<Self> {
        Self::made(py, T::NUMBER, shape)
    }

    /// A new array of bytes.
    pub(crate) fn bytes(py: Python<'py>, shape: &mut [isize]) -> PyResult<Self> {
        Self::made(py, NPY_TYPES::NPY_UBYTE, shape)
    }

    fn made(py: Python<'py>, number: NPY_TYPES, shape: &mut [isize]) -> PyResult<Self> {
        // SAFETY: the thread is attached; the shape has as many lengths as are said; the descriptor's reference is
        // given away.
        let array = unsafe {
            let descr = PY_ARRAY_API.PyArray_DescrFromType(py, number as i32);
            PY_ARRAY_API.PyArray_Empty(py, shape.len() as i32, shape.as_mut_ptr(), descr, 0)
        };
        // SAFETY: a new reference, or null with an exception set.
        Ok(Self(unsafe { Bound::from_owned_ptr_or_err(py, array)? }))
    }

    /// The flat array that was given to be written, or a new one of so many elements.
    pub(crate) fn given_or_empty<T: Elem>(
        py: Python<'py>,
        what: &'static str,
        given: Option<&Bound<'py, PyAny>>,
        len: usize,
    ) -> PyResult<(Self, Vector<T>)> {
        let array = match given {
            Some(given) => Self::new(what, given)?,
            None => Self::empty::<T>(py, &mut [len as isize])?,
        };
        let vector = array.vector(what, Access::Write)?;
        if vector.len == len {
            return Ok((array, vector));
        }
        Err(Failure::from(Error::Length { what, expected: len, got: vector.len }).into())
    }

    /// The matrix that was given to be written, or a new one. Its shape is the call's to check.
    pub(crate) fn matrix_or_empty<T: Elem>(
        py: Python<'py>,
        what: &'static str,
        given: Option<&Bound<'py, PyAny>>,
        (rows, cols): (usize, usize),
    ) -> PyResult<(Self, Matrix<T>)> {
        let array = match given {
            Some(given) => Self::new(what, given)?,
            None => Self::empty::<T>(py, &mut [rows as isize, cols as isize])?,
        };
        let matrix = array.matrix(what, Access::Write)?;
        Ok((array, matrix))
    }

    /// For Python.
    pub(crate) fn into_object(self) -> Bound<'py, PyAny> {
        self.0
    }

    fn object(&self) -> &PyArrayObject {
        // SAFETY: it is an array, or it had not been made; alive as long as this.
        unsafe { &*self.0.as_ptr().cast::<PyArrayObject>() }
    }

    /// The lengths of its axes.
    pub(crate) fn shape(&self) -> &[isize] {
        self.of_axes(self.object().fields.dimensions)
    }

    /// Bytes from an element to the next on each axis.
    fn strides(&self) -> &[isize] {
        self.of_axes(self.object().fields.strides)
    }

    /// One of the array's lists of a number for each axis.
    fn of_axes(&self, list: *const isize) -> &[isize] {
        let axes = self.object().fields.nd as usize;
        // SAFETY: NumPy keeps as many as there are axes, as long as the array; of none the address may be null.
        if axes == 0 { &[] } else { unsafe { slice::from_raw_parts(list, axes) } }
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
            let got = self.kind();
            return PyTypeError::new_err(format!(
                "{what}: expected elements of {}, got {got}",
                T::DTYPE.name()
            ));
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
            return Err(Failure::from(Error::Stride { what, expected, got: stride }).into());
        }
        Ok(Vector { what, ptr: self.object().fields.data.cast(), len: len as usize })
    }

    /// All of its elements, which lie together in C order, whatever its axes.
    pub(crate) fn elements<T: Elem>(&self, what: &'static str, access: Access) -> PyResult<Vector<T>> {
        self.check::<T>(what, access)?;
        if self.object().fields.flags & NPY_ARRAY_C_CONTIGUOUS == 0 {
            return Err(PyValueError::new_err(format!("{what}: expected a C-contiguous array")));
        }
        let len = self.shape().iter().product::<isize>() as usize;
        Ok(Vector { what, ptr: self.object().fields.data.cast(), len })
    }

    /// A matrix to read.
    pub(crate) fn read<T: Elem>(
        what: &'static str,
        given: &Bound<'py, PyAny>,
    ) -> PyResult<(Self, Matrix<T>)> {
        let array = Self::new(what, given)?;
        let matrix = array.matrix(what, Access::Read)?;
        Ok((array, matrix))
    }

    /// A flat array to read.
    pub(crate) fn read_vector<T: Elem>(
        what: &'static str,
        given: &Bound<'py, PyAny>,
    ) -> PyResult<(Self, Vector<T>)> {
        let array = Self::new(what, given)?;
        let vector = array.vector(what, Access::Read)?;
        Ok((array, vector))
    }

    /// A matrix to write, if one is given.
    pub(crate) fn written<T: Elem>(
        what: &'static str,
        given: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<(Self, Matrix<T>)>> {
        let write = |given| {
            let array = Self::new(what, given)?;
            let matrix = array.matrix(what, Access::Write)?;
            Ok((array, matrix))
        };
        given.map(write).transpose()
    }

    /// All of its elements, if it has the shape of another array.
    pub(crate) fn like<T: Elem>(
        &self,
        what: &'static str,
        other: &Self,
        access: Access,
    ) -> PyResult<Vector<T>> {
        let (expected, got) = (other.shape(), self.shape());
        if expected == got {
            return self.elements(what, access);
        }
        let words = format!("{what}: expected an array of shape {expected:?}, got {got:?}");
        Err(PyValueError::new_err(words))
    }

    /// The interpreter that it is of.
    pub(crate) fn py(&self) -> Python<'py> {
        self.0.py()
    }

    /// All of its elements, if they are of this type and lie together in C order.
    pub(crate) fn stored<E: Element>(&self, what: &'static str, access: Access) -> Option<Vector<E>> {
        let (fields, py) = (&self.object().fields, self.0.py());
        let writable = if access == Access::Write { NPY_ARRAY_WRITEABLE } else { 0 };
        let wanted = NPY_ARRAY_ALIGNED | NPY_ARRAY_C_CONTIGUOUS | writable;
        // SAFETY: an array has a descriptor.
        let descr = unsafe { Bound::from_borrowed_ptr(py, fields.descr.cast()) };
        let same = descr.cast::<PyArrayDescr>().is_ok_and(|d| d.is_equiv_to(&numpy::dtype::<E>(py)));
        let len = self.shape().iter().product::<isize>() as usize;
        (same && fields.flags & wanted == wanted).then_some(Vector { what, ptr: fields.data.cast(), len })
    }

    /// An array of integers as one of int64, in C order: a copy. What is too large for it comes out negative.
    pub(crate) fn widened(&self, what: &str) -> PyResult<Self> {
        let keywords = [("casting", "same_kind"), ("order", "C")].into_py_dict(self.0.py())?;
        let wide = self.0.call_method("astype", ("int64",), Some(&keywords));
        Ok(Self(wide.map_err(|_| {
            PyTypeError::new_err(format!(
                "{what}: expected elements of a float type or integers, got {}",
                self.kind()
            ))
        })?))
    }

    /// The name of its element type.
    fn kind(&self) -> String {
        let dtype = self.0.getattr(intern!(self.0.py(), "dtype"));
        dtype.map_or_else(|_| "another type".into(), |d| d.to_string())
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
            return Err(Failure::from(Error::Aliased { shape, row_stride, col_stride }).into());
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

/// Whether an object is a NumPy array.
pub(crate) fn is_array(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the thread is attached, the object alive.
    unsafe { PyArray_Check(object.py(), object.as_ptr()) != 0 }
}

/// NumPy's view of an object that is no array of its own.
#[cold]
fn foreign<'py>(what: &str, given: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
    let py = given.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    if given.hasattr(intern!(py, "__dlpack__"))? {
        // Other devices, and types that NumPy has not, are refused in its words.
        let view = numpy.call_method1(intern!(py, "from_dlpack"), (given,)).map_err(|error| {
            let words =
                format!("{what}: expected an array that NumPy can read in place: {}", error.value(py));
            PyTypeError::new_err(words)
        })?;
        return Ok(Array(view));
    }
    if let Ok(view) = PyMemoryView::from(given) {
        return Ok(Array(numpy.call_method1(intern!(py, "asarray"), (view,))?));
    }
    let kind = given.get_type().name()?;
    let words =
        format!("{what}: expected a NumPy array, or what has DLPack or the buffer protocol, got {kind}");
    Err(PyTypeError::new_err(words))
}

impl<T> Vector<T> {
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
        unsafe { MatRef::from_raw_parts(self.ptr, self.rows, self.cols, self.row_stride, self.col_stride) }
    }

    /// To write.
    ///
    /// # Safety
    /// The array outlives `'v`, and nothing else accesses it in that time.
    pub(crate) unsafe fn view_mut<'v>(self) -> MatMut<'v, T> {
        // SAFETY: the caller's promise; no two elements share an address, or `Array::matrix` had refused it.
        unsafe { MatMut::from_raw_parts(self.ptr, self.rows, self.cols, self.row_stride, self.col_stride) }
    }

    /// Whether two elements share an address: i·rs + j·cs = i'·rs + j'·cs has its smallest solution at |i − i'| = cs/g,
    /// |j − j'| = rs/g with g the greatest common divisor of the strides.
    fn aliases_itself(&self) -> bool {
        let (rs, cs) = (self.row_stride.unsigned_abs(), self.col_stride.unsigned_abs());
        if self.rows == 0 || self.cols == 0 {
            return false;
        }
        match gcd(rs, cs) {
            0 => self.rows > 1 || self.cols > 1,
            g => cs / g < self.rows && rs / g < self.cols,
        }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
