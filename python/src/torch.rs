//! What `nablas.torch` calls: a network's parameters as a list of tensors, W and b of each layer, wherever they lie.

use crate::{
    array::{Matrix, Vector},
    cache::{Cached, Name, Net},
    kept::busy,
    lent,
    loss::Loss,
    optim::{Optimizer, Rule},
    overlap::{Bytes, disjoint},
    state::{STATE_ROWS, kept, with_state},
    tensor::{Kind, Tensor, Torch, items},
    typed::{Dtype, Elem, Typed},
};
use nablas::{GradsMut, LayerGrads, LayerParams, ParamsMut, Plan, Targets, Trained};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
};
use std::{slice, sync::Mutex};

/// The parameters of a network, as tensors have them.
#[derive(Debug)]
struct Params<T> {
    widths: Vec<usize>,
    /// W and b of each layer.
    layers: Vec<(Vector<T>, Vector<T>)>,
}

/// Calls the function of the element type that a tensor has.
macro_rules! by_dtype {
    ($tensor:expr, $function:ident($($argument:expr),*)) => {
        match $tensor.dtype()? {
            Dtype::F32 => $function::<f32>($($argument),*),
            Dtype::F64 => $function::<f64>($($argument),*),
        }
    };
}

impl<T: Elem> Params<T> {
    /// Reads where they lie. What does not lie together is copied, and `held` by the list, or refused if it is to be
    /// `written`.
    fn read(torch: &Torch, held: &mut [Bound<'_, PyAny>], written: bool) -> PyResult<Self> {
        if held.is_empty() || !held.len().is_multiple_of(2) {
            let words = format!("params: expected W and b of each layer, got {} tensors", held.len());
            return Err(PyValueError::new_err(words));
        }
        let (mut widths, mut layers) =
            (Vec::with_capacity(held.len() / 2 + 1), Vec::with_capacity(held.len() / 2));
        for pair in held.chunks_exact_mut(2) {
            let (w, b) = pair.split_at_mut(1);
            let w = together(torch, "a weight", &mut w[0], written)?;
            let b = together(torch, "a bias", &mut b[0], written)?;
            let (&[outputs, inputs], &[biases]) = (w.shape, b.shape) else {
                return Err(PyValueError::new_err(
                    "params: expected W of two axes and b of one for each layer",
                ));
            };
            if widths.is_empty() {
                widths.push(inputs as usize);
            }
            let before = widths[widths.len() - 1];
            if outputs != biases || before != inputs as usize {
                let words = format!(
                    "layer {}: expected W of (n, {before}) and b of (n,), got ({outputs}, {inputs}) and ({biases},)",
                    layers.len()
                );
                return Err(PyValueError::new_err(words));
            }
            widths.push(outputs as usize);
            layers.push((w.elements()?, b.elements()?));
        }
        Ok(Self { widths, layers })
    }

    /// As a call reads them.
    ///
    /// # Safety
    /// The tensors outlive `'v`, and nothing writes them in that time.
    unsafe fn views<'v>(&self) -> Vec<LayerParams<'v, T>> {
        let layer = |(w, b): &(Vector<T>, Vector<T>)| {
            // SAFETY: the caller's promise.
            unsafe { LayerParams { weights: w.slice(), bias: b.slice() } }
        };
        self.layers.iter().map(layer).collect()
    }

    /// All of them, if they lie in one buffer as `Mlp` lays them out.
    fn flat(&self) -> Option<Vector<T>> {
        let first = self.layers.first()?.0;
        let mut len = 0;
        for part in self.layers.iter().flat_map(|(w, b)| [w, b]) {
            if part.ptr != first.ptr.wrapping_add(len) {
                return None;
            }
            len += part.len;
        }
        Some(Vector { what: "the parameters", ptr: first.ptr, len })
    }

    /// How many there are.
    fn len(&self) -> usize {
        self.layers.iter().map(|(w, b)| w.len + b.len).sum()
    }

    /// As a step writes them, where they do not lie together.
    ///
    /// # Safety
    /// The tensors outlive `'v`, overlap nothing, and nothing else accesses them in that time.
    unsafe fn parts_mut<'v>(&self) -> Vec<&'v mut [T]> {
        // SAFETY: the caller's promise.
        self.layers.iter().flat_map(|(w, b)| unsafe { [w.slice_mut(), b.slice_mut()] }).collect()
    }

    /// Their bytes.
    fn bytes(&self) -> Vec<Bytes> {
        match self.flat() {
            Some(flat) => vec![flat.bytes()],
            None => self.layers.iter().flat_map(|(w, b)| [w.bytes(), b.bytes()]).collect(),
        }
    }
}

/// A tensor whose elements lie together: the one given, or a copy that takes its place unless it is to be `written`.
fn together<'a>(
    torch: &Torch,
    what: &'static str,
    tensor: &'a mut Bound<'_, PyAny>,
    written: bool,
) -> PyResult<Tensor<'a>> {
    let view = torch.view(what, tensor)?;
    let (together, dense) = (view.contiguous(), view.dense());
    let py = tensor.py();
    if together && (dense || !tensor.call_method0(intern!(py, "is_neg"))?.is_truthy()?) {
        return torch.view(what, tensor);
    }
    if written {
        let words = format!("{what}: expected a contiguous tensor, to step it in place");
        return Err(PyValueError::new_err(words));
    }
    let detached = tensor.call_method0(intern!(py, "detach"))?.call_method0(intern!(py, "resolve_neg"))?;
    *tensor = detached.call_method0(intern!(py, "contiguous"))?;
    torch.view(what, tensor)
}

/// Y = A_L of X [B, n_0], and the state that the backward pass reads: (y [B, n_L], kept), without `keep` of no
/// elements. The state has gaps, which are zeros if it is to be `clean`.
#[pyfunction]
#[pyo3(signature = (x, params, activations, keep, clean=false, /))]
fn torch_forward<'py>(
    x: &Bound<'py, PyAny>,
    params: &Bound<'py, PyAny>,
    activations: &str,
    keep: bool,
    clean: bool,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let torch = Torch::get(x.py())?;
    let x = &torch.resolved("x", x)?;
    let input = torch.view("x", x)?;
    by_dtype!(input, forward(torch, x.py(), &input, params, activations, (keep, clean)))
}

fn forward<'py, T: Cached>(
    torch: &Torch,
    py: Python<'py>,
    x: &Tensor<'_>,
    params: &Bound<'py, PyAny>,
    activations: &str,
    (keep, clean): (bool, bool),
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let (mut held, x) = (items("params", params)?, x.matrix::<T>()?);
    let params = Params::<T>::read(torch, &mut held, false)?;
    let net = Net::<T>::of(Name { activations, widths: &params.widths }, x.rows)?;
    let outputs = params.widths.last().copied().unwrap_or(0);
    let y = torch.empty(py, &[x.rows, outputs], T::DTYPE)?;
    let len = if keep { net.state_len(x.rows)? } else { 0 };
    // An operator's outputs are PyTorch's own.
    let state = if clean { torch.empty(py, &[len], T::DTYPE)? } else { lent::state(torch, py, &net, len)? };
    let (to, at) = (torch.view("y", &y)?.matrix::<T>()?, torch.view("kept", &state)?.elements::<T>()?);
    // SAFETY: the references above keep the tensors; the outputs are new, so that they overlap nothing.
    let (params, input, to) = unsafe { (params.views(), x.view(), to.view_mut()) };
    let (rows, net) = (x.rows, &*net);
    net.planned.call(py, rows, move |plan, ws| {
        if !keep {
            return plan.forward(&params, input, to, None, ws);
        }
        if clean {
            // SAFETY: the state is new.
            unsafe { at.slice_mut() }.fill(T::ZERO);
        }
        // SAFETY: the state is new, as long as the plan says or longer, and on a cache line; any bytes are elements.
        unsafe {
            with_state(net, at, true, |at| {
                plan.forward(&params, input, to, Some(&mut kept(plan, at, rows, false)?), ws)
            })
        }
    })?;
    Ok((y, state))
}

/// From ∂L/∂Y [B, n_L] and the state that `torch_forward` left of the same X and parameters: (the gradient of all
/// parameters, flat, ∂L/∂X [B, n_0]), the latter without `need_dx` of no elements.
#[pyfunction]
#[pyo3(signature = (dy, x, params, kept, activations, need_dx, /))]
fn torch_backward<'py>(
    dy: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    params: &Bound<'py, PyAny>,
    kept: &Bound<'py, PyAny>,
    activations: &str,
    need_dx: bool,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let torch = Torch::get(x.py())?;
    let (dy, x) = (&torch.resolved("dy", dy)?, &torch.resolved("x", x)?);
    let input = torch.view("x", x)?;
    let flat = |_: &[usize], len| Ok(vec![torch.empty(x.py(), &[len], input.dtype()?)?]);
    let of = (dy, &input, kept);
    let (mut grads, dx) = by_dtype!(input, backward(torch, of, params, activations, need_dx, flat))?;
    let none = || torch.empty(x.py(), &[0], input.dtype()?);
    Ok((grads.swap_remove(0), dx.map_or_else(none, Ok)?))
}

/// As `torch_backward`, but with a gradient for each parameter, and without `need_dx` with none of X.
#[pyfunction]
#[pyo3(signature = (dy, x, params, kept, activations, need_dx, /))]
fn torch_gradients<'py>(
    dy: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    params: &Bound<'py, PyAny>,
    kept: &Bound<'py, PyAny>,
    activations: &str,
    need_dx: bool,
) -> PyResult<Gradients<'py>> {
    let torch = Torch::get(x.py())?;
    let (dy, x) = (&torch.resolved("dy", dy)?, &torch.resolved("x", x)?);
    let input = torch.view("x", x)?;
    let apart = |widths: &[usize], _| {
        let (py, dtype) = (x.py(), input.dtype()?);
        let mut grads = Vec::with_capacity(2 * widths.len());
        for pair in widths.windows(2) {
            grads.push(torch.empty(py, &[pair[1], pair[0]], dtype)?);
            grads.push(torch.empty(py, &pair[1..], dtype)?);
        }
        Ok(grads)
    };
    let of = (dy, &input, kept);
    by_dtype!(input, backward(torch, of, params, activations, need_dx, apart))
}

/// Gradients of the parameters, and that of X.
type Gradients<'py> = (Vec<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

/// Gradients, in the tensors that `make` makes for these widths and so many parameters: one, or two for each layer.
fn backward<'py, T: Cached>(
    torch: &Torch,
    (dy, x, state): (&Bound<'py, PyAny>, &Tensor<'_>, &Bound<'py, PyAny>),
    params: &Bound<'py, PyAny>,
    activations: &str,
    need_dx: bool,
    make: impl FnOnce(&[usize], usize) -> PyResult<Vec<Bound<'py, PyAny>>>,
) -> PyResult<Gradients<'py>> {
    let (py, mut held) = (dy.py(), items("params", params)?);
    let params = Params::<T>::read(torch, &mut held, false)?;
    let (x, dy) = (x.matrix::<T>()?, torch.view("dy", dy)?.matrix::<T>()?);
    let net = Net::<T>::of(Name { activations, widths: &params.widths }, x.rows)?;
    let (at, expected) = (torch.view("kept", state)?.elements::<T>()?, net.state_len(x.rows)?);
    if at.len != expected {
        let words =
            format!("kept: expected {expected} elements, as the forward pass left them, got {}", at.len);
        return Err(PyValueError::new_err(words));
    }
    let grads = make(&params.widths, params.len())?;
    let dx = need_dx.then(|| torch.empty(py, &[x.rows, x.cols], T::DTYPE)).transpose()?;
    let dx_at = dx.as_ref().map(|dx| torch.view("dx", dx)?.matrix::<T>()).transpose()?;
    let places = grads.iter().map(|grad| torch.view("the gradient", grad)?.elements::<T>());
    let places = places.collect::<PyResult<Vec<_>>>()?;
    // SAFETY: the references above keep the tensors; the outputs are new, so that they overlap nothing.
    let (params, x, dy, to, dx_to) = unsafe {
        let to: Vec<&mut [T]> = places.into_iter().map(|place| place.slice_mut()).collect();
        (params.views(), x.view(), dy.view(), to, dx_at.map(|dx| dx.view_mut()))
    };
    let (batch, net) = (x.nrows(), &*net);
    net.planned.call(py, batch, move |plan, ws| {
        let (mut to, mut layers) = (to, Vec::new());
        let to = if let [flat] = &mut to[..] {
            GradsMut::Flat(flat)
        } else {
            layers.extend(to.chunks_exact_mut(2).map(|pair| {
                let (weights, bias) = pair.split_at_mut(1);
                LayerGrads { weights: &mut *weights[0], bias: &mut *bias[0] }
            }));
            GradsMut::Layers(&mut layers)
        };
        // SAFETY: the state is as long as the plan says or longer. It is the network's and this batch's by the caller's
        // word: if it is not, the gradient is wrong, and nothing else, since any bytes are elements or masks.
        unsafe {
            with_state(net, at, false, |at| {
                plan.backward(&params, x, dy, to, dx_to, &kept(plan, at, batch, true)?, ws)
            })
        }
    })?;
    Ok((grads, dx))
}

/// A whole training step on tensors: the loss at the parameters, which are then moved in place by the optimizer.
///
/// y: [B, n_L] of the same type, or [B] of int64, classes. (loss, norm of the gradient if `clip` is given, whether the
/// parameters were stepped: not where the norm is no finite number).
#[pyfunction]
#[pyo3(signature = (params, x, y, activations, loss, optimizer, clip=None, /))]
fn torch_train_step<'py>(
    params: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    y: &Bound<'py, PyAny>,
    activations: &str,
    loss: &Bound<'py, PyAny>,
    optimizer: &Optimizer,
    clip: Option<f64>,
) -> PyResult<(f64, Option<f64>, bool)> {
    let torch = Torch::get(x.py())?;
    let (x, y) = (&torch.resolved("x", x)?, &torch.resolved("y", y)?);
    let (input, loss) = (torch.view("x", x)?, Loss::read(loss)?);
    match (input.dtype()?, &optimizer.rule) {
        (Dtype::F32, Typed::F32(rule)) => {
            train::<f32>(torch, params, &input, y, activations, loss, rule, clip)
        }
        (Dtype::F64, Typed::F64(rule)) => {
            train::<f64>(torch, params, &input, y, activations, loss, rule, clip)
        }
        (dtype, _) => {
            let words = format!("optimizer: expected one of {}, as x is", dtype.name());
            Err(PyTypeError::new_err(words))
        }
    }
}

fn train<T: Cached>(
    torch: &Torch,
    params: &Bound<'_, PyAny>,
    x: &Tensor<'_>,
    y: &Bound<'_, PyAny>,
    activations: &str,
    loss: Loss,
    rule: &Mutex<Rule<T>>,
    clip: Option<f64>,
) -> PyResult<(f64, Option<f64>, bool)> {
    let (py, mut held) = (y.py(), items("params", params)?);
    let params = Params::<T>::read(torch, &mut held, true)?;
    let (x, goal) = (x.matrix::<T>()?, torch.view("y", y)?);
    let (targets, classes) = match goal.kind {
        Kind::Int64 => (None, Some(goal.classes()?)),
        _ => (Some(goal.matrix::<T>()?), None),
    };
    disjoint(&params.bytes(), [Some(x.bytes()), targets.map(|t| t.bytes())].into_iter().flatten())?;
    let net = Net::<T>::of(Name { activations, widths: &params.widths }, x.rows)?;
    let mut rule = rule.try_lock().map_err(|_| busy("the optimizer"))?;
    net.with_spare(|spare| {
        if let Some((at, len)) = classes {
            // SAFETY: the tensor has as many elements, and the thread is attached.
            let given = if len == 0 { &[] } else { unsafe { slice::from_raw_parts(at, len) } };
            spare.classes.clear();
            for (row, class) in given.iter().enumerate() {
                // What is too large for u32 is too large for any network, whose words then are those of the library.
                let class = u32::try_from(*class).map_err(|_| negative(row, *class))?;
                spare.classes.push(class);
            }
        }
        let (rule, classes) = (&mut *rule, classes.map(|_| &spare.classes[..]));
        let (step, grads) = (Step { x, targets, classes, loss, clip }, &mut spare.grads);
        grads.resize(params.len(), T::ZERO);
        let done = if let Some(flat) = params.flat() {
            // SAFETY: the references above keep the tensors, of which the parameters overlap nothing.
            let flat = unsafe { flat.slice_mut() };
            net.planned.call(py, x.rows, move |plan, ws| step.make(plan, flat.into(), grads, rule, ws))?
        } else {
            // SAFETY: as above.
            let mut parts = unsafe { params.parts_mut() };
            let flat = &mut spare.params;
            net.planned.call(py, x.rows, move |plan, ws| {
                flat.clear();
                parts.iter().for_each(|part| flat.extend_from_slice(part));
                let done = step.make(plan, (&mut *flat).into(), grads, rule, ws)?;
                let mut rest = &flat[..];
                for part in &mut parts {
                    let (these, others) = rest.split_at(part.len());
                    part.copy_from_slice(these);
                    rest = others;
                }
                Ok(done)
            })?
        };
        Ok((done.loss.to_f64(), done.norm, done.stepped))
    })
}

/// What a training step reads.
#[derive(Clone, Copy)]
struct Step<'a, T> {
    x: Matrix<T>,
    targets: Option<Matrix<T>>,
    classes: Option<&'a [u32]>,
    loss: Loss,
    clip: Option<f64>,
}

impl<T: Elem> Step<'_, T> {
    fn make(
        self,
        plan: &Plan<T>,
        params: ParamsMut<'_, T>,
        grads: &mut [T],
        rule: &mut Rule<T>,
        ws: &mut nablas::Workspace<T>,
    ) -> nablas::Result<Trained<T>> {
        // SAFETY: the caller keeps the tensors, which overlap nothing that is written.
        let (x, targets) = unsafe { (self.x.view(), self.targets.map(|t| t.view())) };
        let targets = match targets {
            Some(values) => Targets::Values(values),
            None => Targets::Classes(self.classes.unwrap_or(&[])),
        };
        plan.train_step(params, x, &self.loss.of(), targets, grads, self.clip, rule.get(), ws)
    }
}

#[cold]
fn negative(row: usize, class: i64) -> PyErr {
    PyValueError::new_err(format!("row {row}: expected a class, got {class}"))
}

/// Elements of the state of 16 rows of a network: a batch of B keeps as many for each 16 rows that it has begun.
#[pyfunction]
#[pyo3(signature = (widths, activations, dtype, /))]
fn state_block(widths: Vec<usize>, activations: &str, dtype: Dtype) -> PyResult<usize> {
    fn of<T: Cached>(widths: &[usize], activations: &str) -> PyResult<usize> {
        let net = Net::<T>::of(Name { activations, widths }, STATE_ROWS)?;
        Ok(net.state_len(STATE_ROWS)?)
    }
    match dtype {
        Dtype::F32 => of::<f32>(&widths, activations),
        Dtype::F64 => of::<f64>(&widths, activations),
    }
}

/// Adds what is here to the module.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(torch_forward, m)?)?;
    m.add_function(wrap_pyfunction!(torch_backward, m)?)?;
    m.add_function(wrap_pyfunction!(torch_gradients, m)?)?;
    m.add_function(wrap_pyfunction!(torch_train_step, m)?)?;
    m.add_function(wrap_pyfunction!(state_block, m)?)
}
