//! Networks: widths, activations, where the parameters lie, and what they are at first.

use crate::{
    activation::Activation,
    array::{Access, Array},
    config,
    failure::{Failure, call},
    kept::Kept,
    plan::{Plan, Plans},
    planned::Planned,
    threads,
    typed::{Dtype, Elem, Typed, typed},
};
use nablas::{Error, Init};
use pyo3::{
    exceptions::{PyIndexError, PyValueError},
    prelude::*,
    types::{PyList, PySlice, PyTuple},
};
use std::collections::BTreeMap;

/// A multi-layer perceptron, A_l = g_l(A_{l−1}·W_lᵀ + b_l): widths and activations. The parameters are the caller's,
/// one flat array [param_len]: for each layer in order, W [n_l, n_{l−1}] by rows and then b [n_l].
#[pyclass(frozen, eq, module = "nablas")]
#[derive(Debug, PartialEq)]
pub(crate) struct Mlp(pub(crate) Typed<nablas::Mlp<f32>, nablas::Mlp<f64>>);

/// Widths and activations.
type Given = (Vec<usize>, Vec<Activation>);

/// A network of these widths and activations.
fn build<T: Elem>(sizes: &[usize], activations: &[Activation]) -> nablas::Result<nablas::Mlp<T>> {
    let layers = sizes.get(1..).unwrap_or_default().iter().zip(activations);
    let start = nablas::Mlp::builder(sizes.first().copied().unwrap_or(0));
    layers.fold(start, |network, (width, activation)| network.layer(*width, activation.of())).build()
}

/// The activation of each of `layers` layers, from one for all but the last and the last one's, or from a list of all.
fn activations(
    given: Option<&Bound<'_, PyAny>>,
    output: Option<&Bound<'_, PyAny>>,
    layers: usize,
) -> PyResult<Vec<Activation>> {
    let one = |given: Option<&Bound<'_, PyAny>>, usual: &str| match given {
        Some(given) => Activation::read(given),
        None => Activation::named(usual),
    };
    let all = given.filter(|g| g.cast::<PyList>().is_ok() || g.cast::<PyTuple>().is_ok());
    let Some(all) = all else {
        let mut each = vec![one(given, "relu")?; layers];
        if let Some(last) = each.last_mut() {
            *last = one(output, "identity")?;
        }
        return Ok(each);
    };
    let all: Vec<_> = all.try_iter()?.map(|item| Activation::read(&item?)).collect::<PyResult<_>>()?;
    if output.is_some() || all.len() != layers {
        let got = all.len();
        let words = format!("activation: expected one, or {layers} and no `output`, got {got}");
        return Err(PyValueError::new_err(words));
    }
    Ok(all)
}

/// How the parameters are drawn.
fn init(name: &str, omega: f64, gain: f64) -> PyResult<Init> {
    Ok(match name {
        "he_normal" => Init::HeNormal,
        "he_uniform" => Init::HeUniform,
        "xavier_normal" => Init::XavierNormal,
        "xavier_uniform" => Init::XavierUniform,
        "siren" => Init::Siren { omega },
        "orthogonal" => Init::Orthogonal { gain },
        _ => {
            let expected = "he_normal, he_uniform, xavier_normal, xavier_uniform, siren or orthogonal";
            return Err(PyValueError::new_err(format!("method: expected {expected}, got {name}")));
        }
    })
}

/// Draws parameters.
fn fill<'py, T: Elem>(
    py: Python<'py>,
    mlp: &nablas::Mlp<T>,
    init: Init,
    seed: u64,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (array, params) = Array::given_or_empty::<T>(py, "out", out, mlp.param_len())?;
    // SAFETY: the array is held, and nothing else of this call accesses it.
    call(py, true, move || init.fill(mlp, unsafe { params.slice_mut() }, seed))?;
    Ok(array.into_object())
}

/// Plans a network.
fn plan<T: Elem>(
    py: Python<'_>,
    mlp: &nablas::Mlp<T>,
    batch: usize,
    (threads, isa): (Option<usize>, Option<&str>),
) -> PyResult<Planned<T>> {
    call(py, true, move || {
        let options = threads::options(batch, threads)?.isa(config::isa(isa)?);
        Planned::new(nablas::Plan::new(mlp, &options)?)
    })
}

/// W and b of each layer, as views of a flat array.
fn views<'py, T: Elem>(
    mlp: &nablas::Mlp<T>,
    params: &Bound<'py, PyAny>,
) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    let (py, array) = (params.py(), Array::new("params", params)?);
    let got = array.vector::<T>("params", Access::Read)?.len;
    if got != mlp.param_len() {
        let (what, expected) = ("a flat buffer of the network's parameters", mlp.param_len());
        return Err(Failure::from(Error::Length { what, expected, got }).into());
    }
    let flat = array.into_object();
    let part = |range: std::ops::Range<usize>| {
        flat.get_item(PySlice::new(py, range.start as isize, range.end as isize, 1))
    };
    let layers = mlp.layers().iter().enumerate();
    let views = layers.map(|(l, spec)| {
        let weights = part(mlp.weights_range(l).map_err(Failure::from)?)?;
        let weights = weights.call_method1("reshape", (spec.outputs, spec.inputs))?;
        Ok((weights, part(mlp.bias_range(l).map_err(Failure::from)?)?))
    });
    views.collect()
}

#[pymethods]
impl Mlp {
    /// Widths from the input to the output, [n_0, …, n_L]; the activation of all layers but the last, and the last
    /// one's (`output`, "identity" if not given), or a list of all.
    #[new]
    #[pyo3(signature = (sizes, activation=None, output=None, *, dtype=None))]
    fn new(
        sizes: Vec<usize>,
        activation: Option<&Bound<'_, PyAny>>,
        output: Option<&Bound<'_, PyAny>>,
        dtype: Option<Dtype>,
    ) -> PyResult<Self> {
        let activations = activations(activation, output, sizes.len().saturating_sub(1))?;
        let mlp = match dtype.unwrap_or(Dtype::F32) {
            Dtype::F32 => build(&sizes, &activations).map(Typed::F32),
            Dtype::F64 => build(&sizes, &activations).map(Typed::F64),
        };
        Ok(Self(mlp.map_err(Failure::from)?))
    }

    /// The widths, [n_0, …, n_L].
    #[getter]
    fn sizes(&self) -> Vec<usize> {
        typed!(&self.0, mlp => {
            [mlp.inputs()].into_iter().chain(mlp.layers().iter().map(|l| l.outputs)).collect()
        })
    }

    /// The activation of each layer.
    #[getter]
    fn activations(&self) -> Vec<Activation> {
        typed!(&self.0, mlp => mlp.layers().iter().map(|l| Activation::from(l.activation)).collect())
    }

    /// "float32" or "float64".
    #[getter]
    fn dtype(&self) -> &'static str {
        self.0.dtype().name()
    }

    /// The length of the flat parameters.
    #[getter]
    fn param_len(&self) -> usize {
        typed!(&self.0, mlp => mlp.param_len())
    }

    /// Where W of layer `l`, counted from 0, lies in the flat parameters.
    fn weights_slice<'py>(&self, py: Python<'py>, l: usize) -> PyResult<Bound<'py, PySlice>> {
        let range = typed!(&self.0, mlp => mlp.weights_range(l));
        let range = range.map_err(|e| PyIndexError::new_err(e.to_string()))?;
        Ok(PySlice::new(py, range.start as isize, range.end as isize, 1))
    }

    /// Where b of layer `l`, counted from 0, lies in the flat parameters.
    fn bias_slice<'py>(&self, py: Python<'py>, l: usize) -> PyResult<Bound<'py, PySlice>> {
        let range = typed!(&self.0, mlp => mlp.bias_range(l));
        let range = range.map_err(|e| PyIndexError::new_err(e.to_string()))?;
        Ok(PySlice::new(py, range.start as isize, range.end as isize, 1))
    }

    /// W [n_l, n_{l−1}] and b [n_l] of each layer, as views of flat parameters: what is written to them is written
    /// there.
    fn layers<'py>(
        &self,
        params: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        typed!(&self.0, mlp => views(mlp, params))
    }

    /// Parameters drawn from a seed, the same on every machine: in `out` [param_len], if given. method: he_normal,
    /// he_uniform, xavier_normal, xavier_uniform, siren (with the `omega` of its sines), orthogonal (with the `gain`).
    #[pyo3(signature = (method="he_normal", seed=0, *, omega=30.0, gain=1.0, out=None))]
    fn init<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        seed: u64,
        omega: f64,
        gain: f64,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let init = init(method, omega, gain)?;
        typed!(&self.0, mlp => fill(py, mlp, init, seed, out))
    }

    /// A plan for batches of at most `batch` rows. threads: at most so many, the calling one among them, instead of
    /// `get_num_threads()`; isa: an instruction set instead of the widest ("scalar", "neon", "avx2", "avx512"); keep:
    /// `forward` leaves its state in the plan, and `backward` reads it there.
    #[pyo3(signature = (batch, *, threads=None, isa=None, keep=false))]
    fn plan(
        slf: &Bound<'_, Self>,
        batch: usize,
        threads: Option<usize>,
        isa: Option<&str>,
        keep: bool,
    ) -> PyResult<Plan> {
        let py = slf.py();
        let planned: Plans = match &slf.get().0 {
            Typed::F32(mlp) => Typed::F32(plan(py, mlp, batch, (threads, isa))?),
            Typed::F64(mlp) => Typed::F64(plan(py, mlp, batch, (threads, isa))?),
        };
        let keep = if keep { Some(Py::new(py, Kept::new(&planned, batch)?)?) } else { None };
        Ok(Plan { planned, mlp: slf.clone().unbind(), keep })
    }

    fn __repr__(&self) -> String {
        let names: Vec<_> = self.activations().iter().map(|a| format!("'{}'", a.text())).collect();
        format!("Mlp({:?}, [{}], dtype='{}')", self.sizes(), names.join(", "), self.dtype())
    }

    fn __getnewargs_ex__(&self) -> (Given, BTreeMap<&'static str, &'static str>) {
        ((self.sizes(), self.activations()), BTreeMap::from([("dtype", self.dtype())]))
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Mlp>()
}
