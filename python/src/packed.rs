//! Parameters that are kept with what calls would pack of them.

use crate::{
    array::{Access, Array},
    failure::{Failure, call},
    kept::busy,
    plan::Plan,
    planned::Planned,
    typed::{Elem, Typed, of, typed},
};
use pyo3::prelude::*;
use std::sync::RwLock;

/// Parameters with the panels that a plan's calls read: a copy of flat ones, made by `Plan.pack(params)`. Calls take
/// them wherever they take parameters, and pack nothing; `train_step` changes them.
#[pyclass(frozen, module = "nablas")]
#[derive(Debug)]
pub(crate) struct PackedParams(
    pub(crate) Typed<RwLock<nablas::PackedParams<f32>>, RwLock<nablas::PackedParams<f64>>>,
);

/// A copy of the parameters.
fn get<'py, T: Elem>(
    py: Python<'py>,
    packed: &RwLock<nablas::PackedParams<T>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let packed = packed.try_read().map_err(|_| busy("the packed parameters"))?;
    let from = packed.get();
    let (array, to) = Array::given_or_empty::<T>(py, "out", out, from.len())?;
    // SAFETY: the array is held, and nothing else of this call reads it.
    unsafe { to.slice_mut() }.copy_from_slice(from);
    Ok(array.into_object())
}

/// Replaces the parameters.
fn set<T: Elem>(
    packed: &RwLock<nablas::PackedParams<T>>,
    planned: &Planned<T>,
    params: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let array = Array::new("params", params)?;
    let from = array.vector::<T>("params", Access::Read)?;
    let mut packed = packed.try_write().map_err(|_| busy("the packed parameters"))?;
    let expected = packed.get().len();
    if from.len != expected {
        let what = "the parameters";
        return Err(Failure::from(nablas::Error::Length { what, expected, got: from.len }).into());
    }
    let packed = &mut *packed;
    call(params.py(), planned.long(1), move || {
        // SAFETY: the array is held; the packed parameters are elsewhere.
        packed.update(&planned.plan, |to| to.copy_from_slice(unsafe { from.slice() }))
    })
}

#[pymethods]
impl PackedParams {
    /// A copy of the parameters, flat [param_len]: in `out`, if given.
    #[pyo3(signature = (*, out=None))]
    fn get<'py>(&self, py: Python<'py>, out: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        typed!(&self.0, packed => get(py, packed, out))
    }

    /// Replaces the parameters by flat ones [param_len], and packs them. `plan` is one that they serve.
    fn set(&self, plan: &Bound<'_, Plan>, params: &Bound<'_, PyAny>) -> PyResult<()> {
        typed!(&plan.get().planned, planned => set(of_plan(planned, &self.0)?, planned, params))
    }

    /// Bytes of parameters and panels.
    #[getter]
    fn nbytes(&self) -> PyResult<usize> {
        typed!(&self.0, packed => Ok(packed.try_read().map_err(|_| busy("the packed parameters"))?.bytes()))
    }
}

/// Packed parameters of a plan's element type.
pub(crate) fn of_plan<'a, T: Elem>(
    _: &Planned<T>,
    packed: &'a Typed<RwLock<nablas::PackedParams<f32>>, RwLock<nablas::PackedParams<f64>>>,
) -> PyResult<&'a RwLock<nablas::PackedParams<T>>> {
    of::<T, _>("params", packed)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PackedParams>()
}
