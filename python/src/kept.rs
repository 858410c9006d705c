//! The state that a forward pass leaves for its backward pass.

use crate::{
    failure::Failure,
    typed::{Typed, typed},
};
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use std::sync::RwLock;

/// The state of a forward pass, made by `Plan.kept(batch)`: several may be alive, each serves any number of backward
/// passes.
#[pyclass(frozen, module = "nablas")]
#[derive(Debug)]
pub(crate) struct Kept(pub(crate) Typed<RwLock<nablas::Kept<f32>>, RwLock<nablas::Kept<f64>>>);

/// What is said of a value that one call at a time uses, while another call uses it.
#[cold]
pub(crate) fn busy(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("{what}: in use by another call"))
}

impl Kept {
    /// Room for the state of so many rows of a plan.
    pub(crate) fn new(planned: &crate::plan::Plans, batch: usize) -> PyResult<Self> {
        let kept = match planned {
            Typed::F32(planned) => planned.plan.kept(batch).map(|kept| Typed::F32(RwLock::new(kept))),
            Typed::F64(planned) => planned.plan.kept(batch).map(|kept| Typed::F64(RwLock::new(kept))),
        };
        Ok(Self(kept.map_err(Failure::from)?))
    }
}

#[pymethods]
impl Kept {
    /// Rows of the forward pass whose state it is; `None` before the first.
    #[getter]
    fn batch(&self) -> PyResult<Option<usize>> {
        typed!(&self.0, kept => Ok(kept.try_read().map_err(|_| busy("kept"))?.batch()))
    }

    /// Rows that there is room for.
    #[getter]
    fn room(&self) -> PyResult<usize> {
        typed!(&self.0, kept => Ok(kept.try_read().map_err(|_| busy("kept"))?.room()))
    }

    /// Bytes it takes.
    #[getter]
    fn nbytes(&self) -> PyResult<usize> {
        typed!(&self.0, kept => Ok(kept.try_read().map_err(|_| busy("kept"))?.bytes()))
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Kept>()
}
