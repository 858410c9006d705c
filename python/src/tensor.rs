//! Tensors of PyTorch, read in place through DLPack's exchange table, which costs some nanoseconds a tensor.

use crate::{
    array::{Matrix, Vector},
    lent::Managed,
    typed::{Dtype, Elem},
};
use pyo3::{
    exceptions::{PyImportError, PyTypeError, PyValueError},
    ffi, intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyCapsule, PyDict, PyTuple, PyType},
};
use std::{
    ffi::{c_int, c_void},
    ptr, slice,
};

/// DLPack's description of a tensor.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Dl {
    pub(crate) data: *mut c_void,
    pub(crate) device_type: i32,
    pub(crate) device_id: i32,
    pub(crate) ndim: i32,
    pub(crate) code: u8,
    pub(crate) bits: u8,
    pub(crate) lanes: u16,
    pub(crate) shape: *const i64,
    pub(crate) strides: *const i64,
    pub(crate) byte_offset: u64,
}

/// DLPack's table of functions, as far as it is used.
#[repr(C)]
#[derive(Debug)]
struct Exchange {
    major: u32,
    minor: u32,
    previous: *const Exchange,
    allocate: *const c_void,
    managed_from: *const c_void,
    /// `object` ← a tensor that owns `managed`; not 0 with an exception.
    adopt: Option<unsafe extern "C" fn(managed: *mut Managed, object: *mut *mut c_void) -> c_int>,
    /// `view` ← what the tensor has; not 0 with an exception.
    view: Option<unsafe extern "C" fn(tensor: *mut c_void, view: *mut Dl) -> c_int>,
    stream: *const c_void,
}

pub(crate) const CPU: i32 = 1;
const INT: u8 = 0;
pub(crate) const FLOAT: u8 = 2;
/// DLPack's version whose table this is.
pub(crate) const MAJOR: u32 = 1;

/// What is used of PyTorch.
#[derive(Debug)]
pub(crate) struct Torch {
    tensor: Py<PyType>,
    empty: Py<PyAny>,
    /// How `empty` is told the element type and the device.
    options: [Py<PyDict>; 2],
    view: unsafe extern "C" fn(*mut c_void, *mut Dl) -> c_int,
    adopt: unsafe extern "C" fn(*mut Managed, *mut *mut c_void) -> c_int,
}

/// What a tensor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Real(Dtype),
    Int64,
    Other,
}

/// A tensor in the memory of the CPU, as long as the object that it is of is not changed.
#[derive(Debug)]
pub(crate) struct Tensor<'a> {
    what: &'static str,
    pub(crate) kind: Kind,
    data: *mut c_void,
    pub(crate) shape: &'a [i64],
    strides: &'a [i64],
}

impl Torch {
    /// PyTorch, imported.
    pub(crate) fn get(py: Python<'_>) -> PyResult<&Self> {
        static TORCH: PyOnceLock<Torch> = PyOnceLock::new();
        TORCH.get_or_try_init(py, || Self::load(py))
    }

    #[cold]
    fn load(py: Python<'_>) -> PyResult<Self> {
        let torch = py.import("torch")?;
        let tensor = torch.getattr("Tensor")?.cast_into::<PyType>()?;
        let table = tensor.getattr("__dlpack_c_exchange_api__");
        let too_old = || PyImportError::new_err("nablas.torch: expected PyTorch 2.10 or later");
        let table = table.map_err(|_| too_old())?.cast_into::<PyCapsule>()?;
        let mut table =
            table.pointer_checked(Some(c"dlpack_exchange_api"))?.cast::<Exchange>().as_ptr().cast_const();
        // SAFETY: the capsule has DLPack's table, which lives as long as the process; versions are a chain of such.
        let functions = unsafe {
            while !table.is_null() && (*table).major != MAJOR {
                table = (*table).previous;
            }
            table.as_ref().and_then(|table| Some((table.view?, table.adopt?)))
        };
        let option = |name| {
            let options = PyDict::new(py);
            options.set_item("dtype", torch.getattr(name)?)?;
            options.set_item("device", torch.getattr("device")?.call1(("cpu",))?)?;
            Ok::<_, PyErr>(options.unbind())
        };
        let options = [option("float32")?, option("float64")?];
        let empty = torch.getattr("empty")?.unbind();
        let (view, adopt) = functions.ok_or_else(too_old)?;
        Ok(Self { tensor: tensor.unbind(), empty, options, view, adopt })
    }

    /// A new tensor without values, on the CPU whatever the default device is.
    pub(crate) fn empty<'py>(
        &self,
        py: Python<'py>,
        shape: &[usize],
        dtype: Dtype,
    ) -> PyResult<Bound<'py, PyAny>> {
        // Lengths one by one, and the rest from a dictionary, are what PyTorch reads the fastest. A mode may write into
        // the dictionary, which is therefore the call's own.
        let options = self.options[usize::from(dtype == Dtype::F64)].bind(py).copy()?;
        self.empty.bind(py).call(PyTuple::new(py, shape)?, Some(&options))
    }

    /// A tensor on memory that is not PyTorch's.
    ///
    /// # Safety
    /// `managed` is whole, with a function that ends it, which any thread may call at any time from now on.
    pub(crate) unsafe fn adopt<'py>(
        &self,
        py: Python<'py>,
        managed: *mut Managed,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut object = ptr::null_mut();
        // SAFETY: the caller's promise; the thread is attached.
        if unsafe { (self.adopt)(managed, &raw mut object) } != 0 {
            // DLPack gives it away all the same.
            return Err(PyErr::fetch(py));
        }
        // SAFETY: a new reference.
        unsafe { Bound::from_owned_ptr_or_err(py, object.cast()) }
    }

    fn expect(&self, what: &str, object: &Bound<'_, PyAny>) -> PyResult<()> {
        // SAFETY: both are alive. (`isinstance` would ask the type's own type.)
        if unsafe { ffi::PyObject_TypeCheck(object.as_ptr(), self.tensor.as_ptr().cast()) } != 0 {
            return Ok(());
        }
        let got = object.get_type().name()?.to_string();
        Err(PyTypeError::new_err(format!("{what}: expected a torch.Tensor, got {got}")))
    }

    /// The tensor, or a copy of one whose memory has its elements' negatives, which DLPack's view does not tell: such
    /// is the imaginary part of a conjugate.
    pub(crate) fn resolved<'py>(
        &self,
        what: &str,
        tensor: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = tensor.py();
        self.expect(what, tensor)?;
        if !tensor.call_method0(intern!(py, "is_neg"))?.is_truthy()? {
            return Ok(tensor.clone());
        }
        tensor.call_method0(intern!(py, "detach"))?.call_method0(intern!(py, "resolve_neg"))
    }

    /// What a tensor has.
    pub(crate) fn view<'a>(&self, what: &'static str, tensor: &'a Bound<'_, PyAny>) -> PyResult<Tensor<'a>> {
        let py = tensor.py();
        self.expect(what, tensor)?;
        let mut view = Dl {
            data: ptr::null_mut(),
            device_type: 0,
            device_id: 0,
            ndim: 0,
            code: 0,
            bits: 0,
            lanes: 0,
            shape: ptr::null(),
            strides: ptr::null(),
            byte_offset: 0,
        };
        // SAFETY: the object is a tensor, the thread attached.
        if unsafe { (self.view)(tensor.as_ptr().cast(), &raw mut view) } != 0 {
            return Err(PyErr::fetch(py));
        }
        if view.device_type != CPU {
            let device = tensor.getattr(intern!(py, "device"))?;
            let words = format!("{what}: expected a tensor on the CPU, got one on {device}");
            return Err(PyValueError::new_err(words));
        }
        let kind = match (view.code, view.bits, view.lanes) {
            (FLOAT, 32, 1) => Kind::Real(Dtype::F32),
            (FLOAT, 64, 1) => Kind::Real(Dtype::F64),
            (INT, 64, 1) => Kind::Int64,
            _ => Kind::Other,
        };
        let axes = |at: *const i64| {
            // SAFETY: there are as many as axes, in the tensor, which the object keeps; of none the address may be
            // null.
            if view.ndim <= 0 { &[] } else { unsafe { slice::from_raw_parts(at, view.ndim as usize) } }
        };
        let (shape, strides) = (axes(view.shape), axes(view.strides));
        let data = view.data.wrapping_byte_add(view.byte_offset as usize);
        if data.is_null() && !shape.contains(&0) {
            return Err(PyTypeError::new_err(format!("{what}: expected a tensor with memory of its own")));
        }
        Ok(Tensor { what, kind, data, shape, strides })
    }
}

impl Tensor<'_> {
    /// Its element type, if it is one of ours.
    pub(crate) fn dtype(&self) -> PyResult<Dtype> {
        let Kind::Real(dtype) = self.kind else {
            let words = format!("{}: expected elements of float32 or float64", self.what);
            return Err(PyTypeError::new_err(words));
        };
        Ok(dtype)
    }

    fn check<T: Elem>(&self) -> PyResult<*mut T> {
        if self.dtype()? != T::DTYPE {
            let (expected, got) = (T::DTYPE.name(), self.dtype()?.name());
            let words = format!("{}: expected elements of {expected}, got {got}", self.what);
            return Err(PyTypeError::new_err(words));
        }
        self.address()
    }

    fn address<E>(&self) -> PyResult<*mut E> {
        let at = self.data.cast::<E>();
        if at.is_aligned() {
            return Ok(at);
        }
        Err(PyValueError::new_err(format!("{}: expected aligned elements", self.what)))
    }

    /// Whether its elements lie together, in C order.
    pub(crate) fn contiguous(&self) -> bool {
        let mut expected = 1;
        for (n, stride) in self.shape.iter().zip(self.strides).rev() {
            if *n != 1 && *stride != expected {
                return self.shape.contains(&0);
            }
            expected *= n;
        }
        true
    }

    /// Whether its last axis has neighbours in memory: no part of complex numbers, as lazily negated tensors are.
    pub(crate) fn dense(&self) -> bool {
        self.strides.last().is_none_or(|stride| *stride == 1)
    }

    /// Its elements, which lie together.
    pub(crate) fn elements<T: Elem>(&self) -> PyResult<Vector<T>> {
        let ptr = self.check::<T>()?;
        self.together()?;
        Ok(Vector { what: self.what, ptr, len: self.shape.iter().product::<i64>() as usize })
    }

    fn together(&self) -> PyResult<()> {
        if self.contiguous() {
            return Ok(());
        }
        Err(PyValueError::new_err(format!("{}: expected a contiguous tensor", self.what)))
    }

    /// Its two axes.
    pub(crate) fn matrix<T: Elem>(&self) -> PyResult<Matrix<T>> {
        let ptr = self.check::<T>()?;
        let (&[rows, cols], &[down, right]) = (self.shape, self.strides) else {
            return Err(self.axes("two axes"));
        };
        let (row_stride, col_stride) = (down as isize, right as isize);
        Ok(Matrix { what: self.what, ptr, rows: rows as usize, cols: cols as usize, row_stride, col_stride })
    }

    /// Its one axis, of classes.
    pub(crate) fn classes(&self) -> PyResult<(*const i64, usize)> {
        let &[len] = self.shape else { return Err(self.axes("one axis of classes")) };
        self.together()?;
        Ok((self.address::<i64>()?, len as usize))
    }

    fn axes(&self, expected: &str) -> PyErr {
        let words = format!("{}: expected {expected}, got a tensor of {} axes", self.what, self.shape.len());
        PyValueError::new_err(words)
    }
}

/// The items of a list or a tuple.
pub(crate) fn items<'py>(what: &str, given: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if let Ok(list) = given.cast::<pyo3::types::PyList>() {
        return Ok(list.iter().collect());
    }
    if let Ok(tuple) = given.cast::<PyTuple>() {
        return Ok(tuple.iter().collect());
    }
    let got = given.get_type().name()?.to_string();
    Err(PyTypeError::new_err(format!("{what}: expected a list of tensors, got {got}")))
}
