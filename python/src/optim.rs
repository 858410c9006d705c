//! Optimizers: the parameters of a network moved along its gradient.

use crate::typed::Typed;
use nablas::Optimizer as Rule;
use pyo3::prelude::*;
use std::sync::Mutex;

/// An optimizer of one element type.
pub(crate) type Stepper<T> = Mutex<Box<dyn Rule<T> + Send>>;

/// Base class of the optimizers `Sgd`, `Adam` and `AdamW`.
#[pyclass(frozen, subclass, module = "nablas")]
pub(crate) struct Optimizer {
    pub(crate) rule: Typed<Stepper<f32>, Stepper<f64>>,
}
