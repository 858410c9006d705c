//! Values that exist for both element types, chosen at run time.

use numpy::{PyArrayDescr, PyArrayDescrMethods as _, npyffi::NPY_TYPES};
use pyo3::{exceptions::PyTypeError, prelude::*};
use std::any::Any;

/// Does the same with what is inside of a [`Typed`], whichever it is.
macro_rules! typed {
    ($value:expr, $x:ident => $body:expr) => {
        match $value {
            $crate::typed::Typed::F32($x) => $body,
            $crate::typed::Typed::F64($x) => $body,
        }
    };
}
pub(crate) use typed;

/// Something of `f32` or the same of `f64`.
#[derive(Debug, PartialEq)]
pub(crate) enum Typed<S, D> {
    /// Of `f32`.
    F32(S),
    /// Of `f64`.
    F64(D),
}

impl<S: Any, D: Any> Typed<S, D> {
    /// What is inside, if it is of this type.
    pub(crate) fn of<V: Any>(&self) -> Option<&V> {
        typed!(self, value => (value as &dyn Any).downcast_ref())
    }

    /// The element type.
    pub(crate) fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
        }
    }
}

/// An element type, as Python names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    F32,
    F64,
}

impl Dtype {
    /// NumPy's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }
}

/// An element type that Python has a name for.
pub(crate) trait Elem: nablas::Scalar {
    /// It.
    const DTYPE: Dtype;
    /// NumPy's number of it.
    const NUMBER: NPY_TYPES;
}

impl Elem for f32 {
    const DTYPE: Dtype = Dtype::F32;
    const NUMBER: NPY_TYPES = NPY_TYPES::NPY_FLOAT;
}
impl Elem for f64 {
    const DTYPE: Dtype = Dtype::F64;
    const NUMBER: NPY_TYPES = NPY_TYPES::NPY_DOUBLE;
}

impl<'a, 'py> FromPyObject<'a, 'py> for Dtype {
    type Error = PyErr;

    /// A dtype, a type such as `numpy.float32`, or a name.
    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let descr = PyArrayDescr::new(value.py(), value)?;
        match descr.num() {
            n if n == NPY_TYPES::NPY_FLOAT as i32 => Ok(Self::F32),
            n if n == NPY_TYPES::NPY_DOUBLE as i32 => Ok(Self::F64),
            _ => {
                let words = format!("dtype: expected float32 or float64, got {}", descr.str()?);
                Err(PyTypeError::new_err(words))
            }
        }
    }
}

/// What is inside of a value, if it is of the element type of a call; else a `TypeError`.
pub(crate) fn of<'a, T: Elem, V: Any>(what: &str, value: &'a Typed<impl Any, impl Any>) -> PyResult<&'a V> {
    value.of().ok_or_else(|| {
        let (expected, got) = (T::DTYPE.name(), value.dtype().name());
        PyTypeError::new_err(format!("{what}: expected one of {expected}, got one of {got}"))
    })
}
