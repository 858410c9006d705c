//! Activations: value, vector–Jacobian and Jacobian–vector product of arrays of any shape.

use crate::{
    array::{Access, Array, Vector},
    failure::call,
    overlap::disjoint,
    typed::{Dtype, Elem},
};
use nablas::Pointwise as _;
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::PyString,
};

/// A pointwise function g, by name: identity, relu, leaky_relu[:0.01], clipped_relu[:6], elu[:1], selu, sigmoid, tanh,
/// softplus, silu, gelu, gelu_tanh, mish, hard_swish, exp, sin[:1], softsign.
#[pyclass(frozen, eq, module = "nablas")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Activation(nablas::Activation<f64>);

impl Activation {
    /// The activation that an object is or names.
    pub(crate) fn read(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(activation) = given.cast::<Self>() {
            return Ok(*activation.get());
        }
        if let Ok(name) = given.cast::<PyString>() {
            return Self::named(name.to_str()?);
        }
        let got = given.get_type().name()?;
        Err(PyTypeError::new_err(format!("activation: expected a name or a nablas.Activation, got {got}")))
    }

    /// The activation of a name.
    pub(crate) fn named(name: &str) -> PyResult<Self> {
        let refuse = |e: nablas::activation::ParseActivationError| PyValueError::new_err(e.to_string());
        name.parse().map(Self).map_err(refuse)
    }

    /// The name by which it can be had again.
    pub(crate) fn text(self) -> String {
        self.0.to_string()
    }

    /// The activation of this type of elements.
    pub(crate) fn of<T: Elem>(self) -> nablas::Activation<T> {
        self.0.map(T::from_f64)
    }

    /// out ← of z and, for a product, of a factor.
    fn apply<'py, T: Elem>(
        self,
        z: &Array<'py>,
        factor: Option<(&'static str, &Bound<'py, PyAny>)>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, act) = (z.py(), self.of::<T>());
        let from = z.elements::<T>("z", Access::Read)?;
        let factor = factor.map(|(what, g)| Array::new(what, g).map(|g| (what, g))).transpose()?;
        let by = factor.as_ref().map(|(what, g)| g.like::<T>(what, z, Access::Read)).transpose()?;
        let out = match out {
            Some(out) => Array::new("out", out)?,
            None => Array::empty::<T>(py, &mut z.shape().to_vec())?,
        };
        let to = out.like::<T>("out", z, Access::Write)?;
        disjoint(
            &[to.bytes()],
            [Some(from.bytes()), by.map(|g: Vector<T>| g.bytes())].into_iter().flatten(),
        )?;
        call(py, from.len > LONG, move || {
            // SAFETY: the arrays are held, the output overlaps nothing.
            let (z, to) = unsafe { (from.slice(), to.slice_mut()) };
            match by {
                // SAFETY: as above.
                Some(by) => act.vjp(z, unsafe { by.slice() }, to),
                None => act.value(z, to),
            }
        })?;
        Ok(out.into_object())
    }

    fn of_either<'py>(
        self,
        z: &Bound<'py, PyAny>,
        factor: Option<(&'static str, &Bound<'py, PyAny>)>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let z = Array::new("z", z)?;
        match z.dtype() {
            Some(Dtype::F64) => self.apply::<f64>(&z, factor, out),
            _ => self.apply::<f32>(&z, factor, out),
        }
    }
}

impl<T: Elem> From<nablas::Activation<T>> for Activation {
    fn from(activation: nablas::Activation<T>) -> Self {
        Self(activation.map(T::to_f64))
    }
}

/// Elements from which on a call lets go of the interpreter's lock.
const LONG: usize = 8192;

#[pymethods]
impl Activation {
    /// Of a name, and of a parameter, where there is one.
    #[new]
    #[pyo3(signature = (name, parameter=None))]
    fn new(name: &str, parameter: Option<f64>) -> PyResult<Self> {
        Self::named(&parameter.map_or_else(|| name.to_owned(), |p| format!("{name}:{p}")))
    }

    /// Its name.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Its parameter, of those that have one.
    #[getter]
    fn parameter(&self) -> Option<f64> {
        self.0.parameter()
    }

    /// g(z), of any shape (C-contiguous): in `out`, if given.
    #[pyo3(signature = (z, *, out=None))]
    fn value<'py>(
        &self,
        z: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.of_either(z, None, out)
    }

    /// g ⊙ g'(z): the cotangent of z from the cotangent g of the value. No Jacobian is formed; it is diagonal.
    #[pyo3(signature = (z, g, *, out=None))]
    fn vjp<'py>(
        &self,
        z: &Bound<'py, PyAny>,
        g: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.of_either(z, Some(("g", g)), out)
    }

    /// g'(z) ⊙ t: the tangent of the value from the tangent t of z.
    #[pyo3(signature = (z, t, *, out=None))]
    fn jvp<'py>(
        &self,
        z: &Bound<'py, PyAny>,
        t: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.of_either(z, Some(("t", t)), out)
    }

    fn __call__<'py>(&self, z: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.of_either(z, None, None)
    }

    fn __str__(&self) -> String {
        self.text()
    }

    fn __repr__(&self) -> String {
        format!("Activation('{}')", self.0)
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        (self.0.name(), self.0.parameter().map(f64::to_bits)).hash(&mut hasher);
        hasher.finish()
    }

    fn __getnewargs__(&self) -> (&'static str, Option<f64>) {
        (self.0.name(), self.0.parameter())
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Activation>()
}
