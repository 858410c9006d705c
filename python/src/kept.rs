//! The state that a forward pass leaves for its backward pass.

use crate::typed::{Typed, typed};
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use std::sync::RwLock;

/// The state of a forward pass, made by `Plan.kept(batch)`: several may be alive, each serves any number of backward
/// passes.
#[pyclass(frozen, module = "nablas")]
#[derive(Debug)]
pub(crate) struct Kept(pub(crate) Typed<RwLock<nablas::Kept<f32>>, RwLock<nablas::Kept<f64>>>);

/// What is said of a state, or of another value that one call at a time uses, while another call uses it.
#[cold]
pub(crate) fn busy(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("{what} is in use by another call"))
}
