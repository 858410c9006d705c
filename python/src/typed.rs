//! Values that exist for both element types, chosen at run time.

use numpy::npyffi::NPY_TYPES;
use pyo3::prelude::*;

/// Something of `f32` or the same of `f64`.
#[derive(Debug)]
pub(crate) enum Typed<S, D> {
    /// Of `f32`.
    F32(S),
    /// Of `f64`.
    F64(D),
}

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
    /// A value of it is this for Python.
    fn to_python(self) -> f64 {
        self.to_f64()
    }
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
        let descr = numpy::PyArrayDescr::new(value.py(), value)?;
        use numpy::PyArrayDescrMethods as _;
        match descr.num() {
            n if n == NPY_TYPES::NPY_FLOAT as i32 => Ok(Self::F32),
            n if n == NPY_TYPES::NPY_DOUBLE as i32 => Ok(Self::F64),
            _ => {
                let words = format!("dtype: expected float32 or float64, got {}", descr.str()?);
                Err(pyo3::exceptions::PyTypeError::new_err(words))
            }
        }
    }
}
