//! Losses, and what the outputs should be.

use crate::{
    array::{Access, Array, Matrix, Vector},
    failure::call,
    overlap::{Bytes, disjoint},
    typed::{Dtype, Elem},
};
use nablas::{LossKind, Reduction, Targets};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::PyString,
};
use std::collections::BTreeMap;

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
    /// The loss that an object is or names.
    pub(crate) fn read(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(loss) = given.cast::<Self>() {
            return Ok(*loss.get());
        }
        if let Ok(name) = given.cast::<PyString>() {
            return Self::named(name.to_str()?, Reduction::Mean, 1.0);
        }
        let got = given.get_type().name()?;
        Err(PyTypeError::new_err(format!("loss: expected a name or a nablas.Loss, got {got}")))
    }

    fn named(name: &str, reduction: Reduction, delta: f64) -> PyResult<Self> {
        let unknown = || {
            let expected = "mse, l1, huber, bce_with_logits or softmax_cross_entropy";
            PyValueError::new_err(format!("unknown loss: expected {expected}, got {name}"))
        };
        Ok(Self { kind: kind(name, delta).ok_or_else(unknown)?, reduction })
    }

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

/// Targets, and weights of rows.
pub(crate) type Goals<'a, 'py> = (&'a Bound<'py, PyAny>, Option<&'a Bound<'py, PyAny>>);

/// What the outputs should be, as Python hands it over.
pub(crate) struct Goal<'py, T: Elem> {
    _held: Vec<Array<'py>>,
    targets: Given<T>,
    weights: Option<Vector<T>>,
}

enum Given<T> {
    Values(Matrix<T>),
    /// Classes where they lie.
    Classes(Vector<u32>),
    /// Classes of another type of integers, converted.
    Converted(Vec<u32>),
}

impl<'py, T: Elem> Goal<'py, T> {
    /// The targets that an object is, values as a matrix of the element type or classes as integers; and weights of
    /// rows.
    pub(crate) fn new(given: &Bound<'py, PyAny>, weights: Option<&Bound<'py, PyAny>>) -> PyResult<Self> {
        let array = Array::new("targets", given)?;
        let targets = if array.dtype().is_some() || array.shape().len() != 1 {
            Given::Values(array.matrix("targets", Access::Read)?)
        } else if let Some(classes) = array.stored::<u32>("targets", Access::Read) {
            Given::Classes(classes)
        } else {
            Given::Converted(converted(&array)?)
        };
        let weights = weights.map(|w| Array::read_vector::<T>("weights", w)).transpose()?;
        let (held, weights) = weights.unzip();
        Ok(Self { _held: [array].into_iter().chain(held).collect(), targets, weights })
    }

    /// The bytes of Python's memory that they take.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = Bytes> + Clone + use<T> {
        let targets = match &self.targets {
            Given::Values(matrix) => Some(matrix.bytes()),
            Given::Classes(classes) => Some(classes.bytes()),
            Given::Converted(_) => None,
        };
        targets.into_iter().chain(self.weights.map(|weights| weights.bytes()))
    }

    /// Them.
    ///
    /// # Safety
    /// Nothing writes them meanwhile.
    pub(crate) unsafe fn get(&self) -> Targets<'_, T> {
        let targets = match &self.targets {
            // SAFETY: the caller's promise; the array is held.
            Given::Values(matrix) => Targets::Values(unsafe { matrix.view() }),
            // SAFETY: as above.
            Given::Classes(classes) => Targets::Classes(unsafe { classes.slice() }),
            Given::Converted(classes) => Targets::Classes(classes),
        };
        match self.weights {
            // SAFETY: as above.
            Some(weights) => targets.weighted(unsafe { weights.slice() }),
            None => targets,
        }
    }
}

/// Classes of any type of integers.
fn converted(array: &Array<'_>) -> PyResult<Vec<u32>> {
    let wide = array.widened("targets")?;
    let classes = wide.stored::<i64>("targets", Access::Read);
    let classes = classes.ok_or_else(|| PyTypeError::new_err("targets: expected integers"))?;
    // SAFETY: the array is held, and nothing writes it.
    let classes = unsafe { classes.slice() }.iter().enumerate().map(|(row, class)| {
        let words = || format!("targets, row {row}: expected a class from 0 on, got {class}");
        u32::try_from(*class).map_err(|_| PyValueError::new_err(words()))
    });
    classes.collect()
}

/// The value of a loss and, if asked for, its delta.
fn value_and_delta<'py, T: Elem>(
    loss: Loss,
    y: Matrix<T>,
    (targets, weights): Goals<'_, 'py>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<(f64, Bound<'py, PyAny>)> {
    let py = targets.py();
    let targets = Goal::<T>::new(targets, weights)?;
    let (array, delta) = Array::matrix_or_empty::<T>(py, "out", out, (y.rows, y.cols))?;
    disjoint(&[delta.bytes()], [y.bytes()].into_iter().chain(targets.bytes()))?;
    // SAFETY: the arrays are held, the output overlaps nothing.
    let (from, goal, to) = unsafe { (y.view(), targets.get(), delta.view_mut()) };
    let value = call(py, y.rows * y.cols > LONG, move || {
        loss.of::<T>().value_and_delta(nablas::isa()?, from, goal, to)
    })?;
    Ok((value.to_f64(), array.into_object()))
}

/// The value of a loss.
fn value<T: Elem>(loss: Loss, y: Matrix<T>, (targets, weights): Goals<'_, '_>) -> PyResult<f64> {
    let goal = Goal::<T>::new(targets, weights)?;
    // SAFETY: the arrays are held, and nothing writes them.
    let (from, goal) = unsafe { (y.view(), goal.get()) };
    let value =
        call(targets.py(), y.rows * y.cols > LONG, move || loss.of::<T>().value(nablas::isa()?, from, goal))?;
    Ok(value.to_f64())
}

#[pymethods]
impl Loss {
    #[new]
    #[pyo3(signature = (kind, reduction="mean", *, delta=1.0))]
    fn new(kind: &str, reduction: &str, delta: f64) -> PyResult<Self> {
        let reduction = match reduction {
            "mean" => Reduction::Mean,
            "sum" => Reduction::Sum,
            _ => {
                let words = format!("reduction: expected mean or sum, got {reduction}");
                return Err(PyValueError::new_err(words));
            }
        };
        Self::named(kind, reduction, delta)
    }

    /// Its name.
    #[getter]
    fn kind(&self) -> &'static str {
        self.kind.name()
    }

    /// "mean" or "sum".
    #[getter]
    fn reduction(&self) -> &'static str {
        match self.reduction {
            Reduction::Mean => "mean",
            Reduction::Sum => "sum",
        }
    }

    /// The δ of the Huber loss; `None` for others.
    #[getter]
    fn delta(&self) -> Option<f64> {
        if let LossKind::Huber(delta) = self.kind { Some(delta) } else { None }
    }

    /// The loss of outputs y [B, n] (contiguous rows) and targets; `weights` [B] of rows, if given.
    #[pyo3(signature = (y, targets, *, weights=None))]
    fn value(
        &self,
        y: &Bound<'_, PyAny>,
        targets: &Bound<'_, PyAny>,
        weights: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<f64> {
        let (array, goals) = (Array::new("y", y)?, (targets, weights));
        match array.dtype() {
            Some(Dtype::F64) => value::<f64>(*self, array.matrix("y", Access::Read)?, goals),
            _ => value::<f32>(*self, array.matrix("y", Access::Read)?, goals),
        }
    }

    /// The loss of outputs y [B, n] and its gradient ∂L/∂y [B, n]: in `out`, if given. Rows are contiguous.
    #[pyo3(signature = (y, targets, *, weights=None, out=None))]
    fn value_and_delta<'py>(
        &self,
        y: &Bound<'py, PyAny>,
        targets: &Bound<'py, PyAny>,
        weights: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(f64, Bound<'py, PyAny>)> {
        let (array, goals) = (Array::new("y", y)?, (targets, weights));
        match array.dtype() {
            Some(Dtype::F64) => value_and_delta::<f64>(*self, array.matrix("y", Access::Read)?, goals, out),
            _ => value_and_delta::<f32>(*self, array.matrix("y", Access::Read)?, goals, out),
        }
    }

    fn __repr__(&self) -> String {
        let delta = self.delta().map_or_else(String::new, |delta| format!(", delta={delta}"));
        format!("Loss('{}', '{}'{delta})", self.kind(), self.reduction())
    }

    fn __getnewargs_ex__(&self) -> ((&'static str, &'static str), BTreeMap<&'static str, f64>) {
        ((self.kind(), self.reduction()), self.delta().map(|delta| ("delta", delta)).into_iter().collect())
    }
}

/// Elements from which on a call lets go of the interpreter's lock.
const LONG: usize = 4096;

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Loss>()
}
