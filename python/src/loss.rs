//! Losses, and what the outputs should be.

use crate::{
    array::{Access, Array, Matrix},
    failure::call,
    overlap::{Bytes, disjoint},
    typed::{Elem, typed},
};
use nablas::{LossKind, Reduction, Targets};
use numpy::npyffi::NPY_TYPES;
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::PyString,
};

/// A loss of outputs y (B×n) and targets t.
///
/// kind: "mse", (y − t)² without a half; "l1", |y − t|; "huber", with its `delta`; "bce_with_logits" (t in [0, 1]);
/// "softmax_cross_entropy" (t probabilities, or a class for each row).
/// reduction: "mean" over all elements, of the cross-entropy over rows; or "sum".
#[pyclass(frozen, eq, module = "nablas")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Loss {
    kind: LossKind<f64>,
    reduction: Reduction,
}

/// The kinds, by name; Huber's with this δ.
fn kind(name: &str, delta: f64) -> Option<LossKind<f64>> {
    Some(match name {
        "mse" => LossKind::Mse,
        "l1" => LossKind::L1,
        "huber" => LossKind::Huber(delta),
        "bce_with_logits" => LossKind::BceWithLogits,
        "softmax_cross_entropy" => LossKind::SoftmaxCrossEntropy,
        _ => return None,
    })
}

impl Loss {
    /// The loss of this type of elements.
    pub(crate) fn of<T: Elem>(self) -> nablas::Loss<T> {
        let kind = match self.kind {
            LossKind::Mse => LossKind::Mse,
            LossKind::L1 => LossKind::L1,
            LossKind::Huber(delta) => LossKind::Huber(T::from_f64(delta)),
            LossKind::BceWithLogits => LossKind::BceWithLogits,
            LossKind::SoftmaxCrossEntropy => LossKind::SoftmaxCrossEntropy,
        };
        nablas::Loss::new(kind, self.reduction)
    }
}
