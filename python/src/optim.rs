//! Optimizers: the parameters of a network moved along its gradient.

use crate::{
    array::{Access, Array, Vector},
    config,
    failure::{Failure, call},
    kept::busy,
    mlp::Mlp,
    overlap::disjoint,
    threads,
    typed::{Dtype, Elem, Typed, typed},
};
use nablas::Scalar;
use pyo3::{exceptions::PyTypeError, prelude::*, types::PyDict};
use std::sync::Mutex;

/// An optimizer of one element type.
#[derive(Debug)]
pub(crate) enum Rule<T: Scalar> {
    Sgd(nablas::Sgd<T>),
    Adam(nablas::Adam<T>),
    AdamW(nablas::AdamW<T>),
}

impl<T: Scalar> Rule<T> {
    /// As calls take it.
    pub(crate) fn get(&mut self) -> &mut dyn nablas::Optimizer<T> {
        match self {
            Self::Sgd(rule) => rule,
            Self::Adam(rule) => rule,
            Self::AdamW(rule) => rule,
        }
    }
}

/// What an optimizer is made with, besides its length and rate.
#[derive(Debug, Clone, Copy)]
enum Settings {
    Sgd { momentum: f64, nesterov: bool, decay: f64 },
    Adam { betas: (f64, f64), epsilon: f64, decay: f64, decoupled: bool },
}

impl<T: Elem> Rule<T> {
    /// The rule for so many parameters.
    fn new(
        settings: Settings,
        len: usize,
        rate: f64,
        (threads, isa): (usize, Option<&str>),
    ) -> nablas::Result<Self> {
        let (isa, team) = (config::isa(isa)?, threads::team(threads)?);
        macro_rules! on {
            ($rule:expr) => {
                match &team {
                    Some(team) => $rule.team(team).threads(threads),
                    None => $rule.threads(threads),
                }
            };
        }
        macro_rules! adam {
            ($name:ident, $betas:expr, $epsilon:expr, $decay:expr) => {{
                let rule = on!(nablas::$name::with(isa, len, rate)?);
                Self::$name(rule.betas($betas.0, $betas.1)?.epsilon($epsilon)?.weight_decay($decay)?)
            }};
        }
        Ok(match settings {
            Settings::Sgd { momentum, nesterov, decay } => {
                let rule = on!(nablas::Sgd::with(isa, len, rate)?);
                Self::Sgd(rule.momentum(momentum, nesterov)?.weight_decay(decay)?)
            }
            Settings::Adam { betas, epsilon, decay, decoupled: false } => adam!(Adam, betas, epsilon, decay),
            Settings::Adam { betas, epsilon, decay, decoupled: true } => adam!(AdamW, betas, epsilon, decay),
        })
    }
}

/// What an optimizer runs on: threads, instruction set, element type.
type On<'a> = (Option<usize>, Option<&'a str>, Option<Dtype>);

/// Parameters of a network, of an array, or so many, and their type.
fn length(given: &Bound<'_, PyAny>, dtype: Option<Dtype>) -> PyResult<(usize, Dtype)> {
    let (len, own) = if let Ok(mlp) = given.cast::<Mlp>() {
        let mlp = &mlp.get().0;
        (typed!(mlp, mlp => mlp.param_len()), Some(mlp.dtype()))
    } else if let Ok(len) = given.extract::<usize>() {
        (len, None)
    } else {
        let array = Array::new("params", given)?;
        (array.shape().iter().product::<isize>() as usize, array.dtype())
    };
    match (own, dtype) {
        (Some(own), Some(asked)) if own != asked => {
            let words =
                format!("dtype: expected {}, that of the parameters, got {}", own.name(), asked.name());
            Err(PyTypeError::new_err(words))
        }
        (own, asked) => Ok((len, own.or(asked).unwrap_or(Dtype::F32))),
    }
}

/// What the optimizers `Sgd`, `Adam` and `AdamW` have in common. One call at a time uses one.
#[pyclass(frozen, subclass, module = "nablas")]
#[derive(Debug)]
pub(crate) struct Optimizer {
    pub(crate) rule: Typed<Mutex<Rule<f32>>, Mutex<Rule<f64>>>,
    settings: Settings,
    len: usize,
}

impl Optimizer {
    fn new(
        given: &Bound<'_, PyAny>,
        rate: f64,
        settings: Settings,
        (threads, isa, dtype): On<'_>,
    ) -> PyResult<Self> {
        let (len, dtype) = length(given, dtype)?;
        let rule = call(given.py(), false, || {
            let on = (threads::threads(threads)?, isa);
            Ok(match dtype {
                Dtype::F32 => Typed::F32(Mutex::new(Rule::new(settings, len, rate, on)?)),
                Dtype::F64 => Typed::F64(Mutex::new(Rule::new(settings, len, rate, on)?)),
            })
        })?;
        Ok(Self { rule, settings, len })
    }
}

/// One step.
fn step<T: Elem>(rule: &Mutex<Rule<T>>, params: &Bound<'_, PyAny>, grads: &Bound<'_, PyAny>) -> PyResult<()> {
    let (to, from) = (Array::new("params", params)?, Array::new("grads", grads)?);
    let (to, from): (Vector<T>, Vector<T>) =
        (to.vector("params", Access::Write)?, from.vector("grads", Access::Read)?);
    disjoint(&[to.bytes()], [from.bytes()])?;
    let mut rule = rule.try_lock().map_err(|_| busy("optimizer"))?;
    let rule = &mut *rule;
    // SAFETY: the arrays are held by the caller's references, and do not overlap.
    call(params.py(), to.len > LONG, move || unsafe { rule.get().step(to.slice_mut(), from.slice()) })
}

/// Parameters from which on a step lets go of the interpreter's lock.
const LONG: usize = 16384;

/// The steps made and what is remembered of them.
type State<'py> = (u64, Vec<Bound<'py, PyAny>>);

fn state<'py, T: Elem>(py: Python<'py>, rule: &Mutex<Rule<T>>) -> PyResult<State<'py>> {
    let mut rule = rule.try_lock().map_err(|_| busy("optimizer"))?;
    let (steps, buffers) = rule.get().state();
    let copy = |from: &[T]| {
        let (array, to) = Array::given_or_empty::<T>(py, "out", None, from.len())?;
        // SAFETY: a new array.
        unsafe { to.slice_mut() }.copy_from_slice(from);
        Ok(array.into_object())
    };
    Ok((steps, buffers.into_iter().map(copy).collect::<PyResult<_>>()?))
}

fn resume<T: Elem>(rule: &Mutex<Rule<T>>, (steps, arrays): State<'_>) -> PyResult<()> {
    let arrays: Vec<_> = arrays.iter().map(|array| Array::new("state", array)).collect::<PyResult<_>>()?;
    let vectors: Vec<Vector<T>> =
        arrays.iter().map(|array| array.vector("state", Access::Read)).collect::<PyResult<_>>()?;
    // SAFETY: the arrays are held, and nothing writes them.
    let slices: Vec<&[T]> = vectors.into_iter().map(|vector| unsafe { vector.slice() }).collect();
    let [first, second] = slices[..] else {
        let words = format!("state: expected 2 arrays, got {}", slices.len());
        return Err(pyo3::exceptions::PyValueError::new_err(words));
    };
    let mut rule = rule.try_lock().map_err(|_| busy("optimizer"))?;
    Ok(rule.get().resume(steps, [first, second]).map_err(Failure::from)?)
}

#[pymethods]
impl Optimizer {
    /// Moves the parameters along the gradient, both flat [len], in place.
    fn step(&self, params: &Bound<'_, PyAny>, grads: &Bound<'_, PyAny>) -> PyResult<()> {
        typed!(&self.rule, rule => step(rule, params, grads))
    }

    /// The learning rate of the steps to come.
    #[getter]
    fn rate(&self) -> PyResult<f64> {
        typed!(&self.rule, rule => Ok(rule.try_lock().map_err(|_| busy("optimizer"))?.get().rate()))
    }

    #[setter]
    fn set_rate(&self, rate: f64) -> PyResult<()> {
        typed!(&self.rule, rule => {
            let mut rule = rule.try_lock().map_err(|_| busy("optimizer"))?;
            Ok(rule.get().set_rate(rate).map_err(Failure::from)?)
        })
    }

    /// The steps made, and what is remembered of them: the velocity and nothing, or both moments.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<State<'py>> {
        typed!(&self.rule, rule => state(py, rule))
    }

    /// Goes on from a state of an optimizer of the same kind and length.
    fn resume(&self, steps: u64, arrays: Vec<Bound<'_, PyAny>>) -> PyResult<()> {
        typed!(&self.rule, rule => resume(rule, (steps, arrays)))
    }

    /// Parameters.
    fn __len__(&self) -> usize {
        self.len
    }

    /// "float32" or "float64".
    #[getter]
    fn dtype(&self) -> &'static str {
        self.rule.dtype().name()
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<((usize, f64), Bound<'py, PyDict>)> {
        let settings = PyDict::new(py);
        match self.settings {
            Settings::Sgd { momentum, nesterov, decay } => {
                settings.set_item("momentum", momentum)?;
                settings.set_item("nesterov", nesterov)?;
                settings.set_item("weight_decay", decay)?;
            }
            Settings::Adam { betas, epsilon, decay, .. } => {
                settings.set_item("betas", betas)?;
                settings.set_item("epsilon", epsilon)?;
                settings.set_item("weight_decay", decay)?;
            }
        }
        settings.set_item("dtype", self.dtype())?;
        Ok(((self.len, self.rate()?), settings))
    }

    fn __getstate__<'py>(&self, py: Python<'py>) -> PyResult<State<'py>> {
        self.state(py)
    }

    fn __setstate__(&self, state: State<'_>) -> PyResult<()> {
        self.resume(state.0, state.1)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let ((len, rate), settings) = slf.get().__getnewargs_ex__(slf.py())?;
        let settings = settings.iter().map(|(key, value)| Ok(format!("{key}={}", value.repr()?)));
        let settings = settings.collect::<PyResult<Vec<_>>>()?.join(", ");
        Ok(format!("{}({len}, {rate}, {settings})", slf.get_type().name()?))
    }
}

/// Stochastic gradient descent: v ← μ·v + (g + λ·p); p ← p − η·v, or with Nesterov's look ahead
/// p ← p − η·(g + λ·p + μ·v).
///
/// params: a network, an array of parameters, or their number; threads and isa as for `Mlp.plan`.
#[pyclass(frozen, extends = Optimizer, module = "nablas")]
#[derive(Debug)]
struct Sgd;

#[pymethods]
impl Sgd {
    #[new]
    #[pyo3(signature = (
        params, rate, *, momentum=0.0, nesterov=false, weight_decay=0.0, threads=None, isa=None, dtype=None
    ))]
    fn new(
        params: &Bound<'_, PyAny>,
        rate: f64,
        momentum: f64,
        nesterov: bool,
        weight_decay: f64,
        threads: Option<usize>,
        isa: Option<&str>,
        dtype: Option<Dtype>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let settings = Settings::Sgd { momentum, nesterov, decay: weight_decay };
        let base = Optimizer::new(params, rate, settings, (threads, isa, dtype))?;
        Ok(PyClassInitializer::from(base).add_subclass(Self))
    }
}

macro_rules! adam {
    ($(#[$doc:meta])* $name:ident, $decay:literal, $decoupled:literal, $text:literal) => {
        $(#[$doc])*
        ///
        /// params: a network, an array of parameters, or their number; threads and isa as for `Mlp.plan`.
        #[pyclass(frozen, extends = Optimizer, module = "nablas")]
        #[derive(Debug)]
        struct $name;

        #[pymethods]
        impl $name {
            #[new]
            #[pyo3(
                signature = (
                    params, rate=1e-3, *, betas=(0.9, 0.999), epsilon=1e-8, weight_decay=$decay, threads=None,
                    isa=None, dtype=None
                ),
                text_signature = $text
            )]
            fn new(
                params: &Bound<'_, PyAny>,
                rate: f64,
                betas: (f64, f64),
                epsilon: f64,
                weight_decay: f64,
                threads: Option<usize>,
                isa: Option<&str>,
                dtype: Option<Dtype>,
            ) -> PyResult<PyClassInitializer<Self>> {
                let settings = Settings::Adam { betas, epsilon, decay: weight_decay, decoupled: $decoupled };
                let base = Optimizer::new(params, rate, settings, (threads, isa, dtype))?;
        Ok(PyClassInitializer::from(base).add_subclass(Self))
            }
        }
    };
}

adam! {
    /// Adam (Kingma, Ba 2014): m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²;
    /// p ← p − η·(m/(1 − β₁ᵗ))/(√(v/(1 − β₂ᵗ)) + ε). The weight decay λ·p is added to the gradient.
    Adam, 0.0, false,
    "(params, rate=1e-3, *, betas=(0.9, 0.999), epsilon=1e-8, weight_decay=0.0, threads=None, isa=None, dtype=None)"
}
adam! {
    /// AdamW (Loshchilov, Hutter 2017): as `Adam`, but the decay is its own: first p ← p − η·λ·p.
    AdamW, 0.01, true,
    "(params, rate=1e-3, *, betas=(0.9, 0.999), epsilon=1e-8, weight_decay=0.01, threads=None, isa=None, dtype=None)"
}

/// Makes a flat gradient [n] no longer than `max_norm`, in place; its norm before that.
#[pyfunction]
fn clip_by_global_norm(grads: &Bound<'_, PyAny>, max_norm: f64) -> PyResult<f64> {
    fn clip<T: Elem>(grads: &Array<'_>, max_norm: f64) -> PyResult<f64> {
        let to = grads.vector::<T>("grads", Access::Write)?;
        call(grads.py(), to.len > LONG, move || {
            // SAFETY: the array is held, and nothing else of this call accesses it.
            nablas::optim::clip_by_global_norm(unsafe { to.slice_mut() }, max_norm)
        })
    }
    let grads = Array::new("grads", grads)?;
    match grads.dtype() {
        Some(Dtype::F64) => clip::<f64>(&grads, max_norm),
        _ => clip::<f32>(&grads, max_norm),
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Optimizer>()?;
    m.add_class::<Sgd>()?;
    m.add_class::<Adam>()?;
    m.add_class::<AdamW>()?;
    m.add_function(wrap_pyfunction!(clip_by_global_norm, m)?)
}
