//! Plans and their calls: everything is checked first, so an error leaves every output as it was.

use crate::{
    array::{Access, Array},
    failure::call,
    kept::{Kept, busy},
    loss::{Goal, Goals, Loss},
    mlp::Mlp,
    optim::{Optimizer, Rule},
    overlap::disjoint,
    packed::{self, PackedParams},
    params::{Grads, Params},
    planned::Planned,
    typed::{Elem, Typed, of, typed},
};
use nablas::{ParamsMut, jacobian::network_jacobian};
use pyo3::{exceptions::PyValueError, prelude::*};
use std::sync::{Mutex, RwLock};

/// A plan of either element type.
pub(crate) type Plans = Typed<Planned<f32>, Planned<f64>>;
/// What a call is given.
type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// How the calls of a network are done, for batches up to a size: made once by `Mlp.plan`. Any number of threads may
/// call at once. Arrays are used where they lie, of any strides, if their elements are of the network's type; outputs
/// overlap nothing.
#[pyclass(frozen, module = "nablas")]
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) planned: Plans,
    pub(crate) mlp: Py<Mlp>,
    /// The state that `forward` leaves and `backward` reads, if the plan keeps one.
    pub(crate) keep: Option<Py<Kept>>,
}

/// What became of a training step.
#[pyclass(frozen, get_all, module = "nablas")]
#[derive(Debug)]
pub(crate) struct Trained {
    /// The loss, of the parameters before the step.
    loss: f64,
    /// The norm of the gradient before it was clipped; `None` if `clip` was.
    norm: Option<f64>,
    /// Whether the parameters were stepped: not where the norm was asked for and is ∞ or NaN.
    stepped: bool,
}

#[pymethods]
impl Trained {
    fn __float__(&self) -> f64 {
        self.loss
    }

    fn __repr__(&self) -> String {
        let norm = self.norm.map_or_else(|| "None".into(), |norm| norm.to_string());
        let stepped = if self.stepped { "True" } else { "False" };
        format!("Trained(loss={}, norm={norm}, stepped={stepped})", self.loss)
    }
}

impl<T: Elem> Planned<T> {
    fn forward<'py>(
        &self,
        params: Any<'_, 'py>,
        x: Any<'_, 'py>,
        out: Option<Any<'_, 'py>>,
        kept: Option<&RwLock<nablas::Kept<T>>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, mlp) = (x.py(), self.plan.mlp());
        let params = Params::<T>::new(params, mlp)?;
        let (_x, x) = Array::read("x", x)?;
        let (out, y) = Array::matrix_or_empty::<T>(py, "out", out, (x.rows, mlp.outputs()))?;
        disjoint(&[y.bytes()], params.bytes().chain([x.bytes()]))?;
        let mut kept = kept.map(|kept| kept.try_write().map_err(|_| busy("kept"))).transpose()?;
        let kept = kept.as_deref_mut();
        // SAFETY: the arrays are held, the output overlaps nothing.
        unsafe {
            params.with(|params| {
                self.call(py, x.rows, move |plan, ws| plan.forward(params, x.view(), y.view_mut(), kept, ws))
            })?;
        }
        Ok(out.into_object())
    }

    fn backward<'py>(
        &self,
        params: Any<'_, 'py>,
        (x, dy): (Any<'_, 'py>, Any<'_, 'py>),
        (out, dx): (Option<Any<'_, 'py>>, Option<Any<'_, 'py>>),
        kept: &RwLock<nablas::Kept<T>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, mlp) = (x.py(), self.plan.mlp());
        let params = Params::<T>::new(params, mlp)?;
        let ((_x, x), (_dy, dy)) = (Array::read("x", x)?, Array::read("dy", dy)?);
        let (grads, (_dx, dx)) = (Grads::<T>::new(py, out, mlp)?, Array::written::<T>("dx", dx)?.unzip());
        let outputs = grads.bytes(dx.map(|dx| dx.bytes()));
        disjoint(&outputs, params.bytes().chain([x.bytes(), dy.bytes()]))?;
        let kept = kept.try_read().map_err(|_| busy("kept"))?;
        let kept = &*kept;
        // SAFETY: the arrays are held, outputs overlap nothing.
        unsafe {
            params.with(|params| {
                grads.with(|grads| {
                    self.call(py, x.rows, move |plan, ws| {
                        let dx = dx.map(|dx| dx.view_mut());
                        plan.backward(params, x.view(), dy.view(), grads, dx, kept, ws)
                    })
                })
            })?;
        }
        Ok(grads.into_object())
    }

    fn vjp<'py>(
        &self,
        params: Any<'_, 'py>,
        (x, dy): (Any<'_, 'py>, Any<'_, 'py>),
        (out, y, dx): (Option<Any<'_, 'py>>, Option<Any<'_, 'py>>, Option<Any<'_, 'py>>),
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, mlp) = (x.py(), self.plan.mlp());
        let params = Params::<T>::new(params, mlp)?;
        let ((_x, x), (_dy, dy)) = (Array::read("x", x)?, Array::read("dy", dy)?);
        let ((_y, y), (_dx, dx)) =
            (Array::written::<T>("y", y)?.unzip(), Array::written::<T>("dx", dx)?.unzip());
        let grads = Grads::<T>::new(py, out, mlp)?;
        let outputs = grads.bytes([y, dx].into_iter().flatten().map(|m| m.bytes()));
        disjoint(&outputs, params.bytes().chain([x.bytes(), dy.bytes()]))?;
        // SAFETY: the arrays are held, outputs overlap nothing.
        unsafe {
            params.with(|params| {
                grads.with(|grads| {
                    self.call(py, x.rows, move |plan, ws| {
                        let (y, dx) = (y.map(|y| y.view_mut()), dx.map(|dx| dx.view_mut()));
                        plan.vjp(params, x.view(), dy.view(), y, grads, dx, ws)
                    })
                })
            })?;
        }
        Ok(grads.into_object())
    }

    fn value_and_grad<'py>(
        &self,
        params: Any<'_, 'py>,
        x: Any<'_, 'py>,
        loss: Any<'_, 'py>,
        (targets, weights): Goals<'_, 'py>,
        out: Option<Any<'_, 'py>>,
    ) -> PyResult<(f64, Bound<'py, PyAny>)> {
        let (py, mlp) = (x.py(), self.plan.mlp());
        let params = Params::<T>::new(params, mlp)?;
        let (_x, x) = Array::read("x", x)?;
        let (loss, goal) = (Loss::read(loss)?.of::<T>(), Goal::<T>::new(targets, weights)?);
        let grads = Grads::<T>::new(py, out, mlp)?;
        disjoint(&grads.bytes(None), params.bytes().chain([x.bytes()]).chain(goal.bytes()))?;
        // SAFETY: the arrays are held, outputs overlap nothing.
        let value = unsafe {
            let targets = goal.get();
            params.with(|params| {
                grads.with(|grads| {
                    self.call(py, x.rows, move |plan, ws| {
                        plan.value_and_grad(params, x.view(), &loss, targets, grads, ws)
                    })
                })
            })?
        };
        Ok((value.to_f64(), grads.into_object()))
    }

    fn train_step<'py>(
        &self,
        params: Any<'_, 'py>,
        x: Any<'_, 'py>,
        loss: Any<'_, 'py>,
        (targets, weights): Goals<'_, 'py>,
        (optimizer, clip): (&Mutex<Rule<T>>, Option<f64>),
        out: Option<Any<'_, 'py>>,
    ) -> PyResult<Trained> {
        let py = x.py();
        let packed = params.cast::<PackedParams>().ok().map(|packed| packed::of_plan(self, &packed.get().0));
        let mut packed =
            packed.transpose()?.map(|p| p.try_write().map_err(|_| busy("params"))).transpose()?;
        let (_params, flat) = match &packed {
            Some(_) => (None, None),
            None => {
                let array = Array::new("params", params)?;
                let vector = array.vector::<T>("params", Access::Write)?;
                (Some(array), Some(vector))
            }
        };
        let (_x, x) = Array::read("x", x)?;
        let (loss, goal) = (Loss::read(loss)?.of::<T>(), Goal::<T>::new(targets, weights)?);
        let mut optimizer = optimizer.try_lock().map_err(|_| busy("optimizer"))?;
        let mut scratch = None;
        let (_out, grads) = match out {
            Some(out) => {
                let array = Array::new("out", out)?;
                let vector = array.vector::<T>("out", Access::Write)?;
                (Some(array), Some(vector))
            }
            None => {
                scratch = Some(self.gradient());
                (None, None)
            }
        };
        let outputs: Vec<_> = [flat, grads].into_iter().flatten().map(|v| v.bytes()).collect();
        disjoint(&outputs, [x.bytes()].into_iter().chain(goal.bytes()))?;
        let (packed, own, rule) = (packed.as_deref_mut(), scratch.as_deref_mut(), &mut *optimizer);
        // SAFETY: the arrays are held, outputs overlap nothing.
        let trained = unsafe {
            let targets = goal.get();
            self.call(py, x.rows, move |plan, ws| {
                let params = match (packed, flat) {
                    (Some(packed), _) => ParamsMut::Packed(packed),
                    (None, flat) => ParamsMut::Flat(flat.map_or(&mut [], |flat| flat.slice_mut())),
                };
                let grads = match own {
                    Some(own) => own.0.as_mut_slice(),
                    None => grads.map_or(&mut [][..], |grads| grads.slice_mut()),
                };
                plan.train_step(params, x.view(), &loss, targets, grads, clip, rule.get(), ws)
            })?
        };
        if let Some(scratch) = scratch {
            self.put_gradient(scratch);
        }
        Ok(Trained { loss: trained.loss.to_f64(), norm: trained.norm, stepped: trained.stepped })
    }

    fn jacobian<'py>(&self, params: Any<'_, 'py>, x: Any<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let (py, mlp) = (x.py(), self.plan.mlp());
        let (_params, params) = Array::read_vector::<T>("params", params)?;
        let (_x, x) = Array::read_vector::<T>("x", x)?;
        // SAFETY: the arrays are held, and nothing writes them.
        let (p, x) = unsafe { (params.slice(), x.slice()) };
        let jacobian =
            self.call(py, mlp.outputs(), move |plan, ws| network_jacobian(plan, p, x, u64::MAX, ws))?;
        let (out, to) = Array::matrix_or_empty::<T>(py, "out", None, jacobian.shape())?;
        // SAFETY: a new array of as many elements, in C order.
        unsafe { std::slice::from_raw_parts_mut(to.ptr, to.rows * to.cols) }.copy_from_slice(jacobian.data());
        Ok(out.into_object())
    }
}

impl Plan {
    /// The kept state of a call: what it names, or the plan's.
    fn kept_of<'a, T: Elem>(
        &'a self,
        _: &Planned<T>,
        named: Option<&'a Bound<'_, Kept>>,
    ) -> PyResult<Option<&'a RwLock<nablas::Kept<T>>>> {
        let kept = named.map(Bound::get).or_else(|| self.keep.as_ref().map(Py::get));
        kept.map(|kept| of::<T, _>("kept", &kept.0)).transpose()
    }
}

/// The rule of an optimizer of a plan's element type.
fn rule_of<'a, T: Elem>(_: &Planned<T>, optimizer: &'a Bound<'_, Optimizer>) -> PyResult<&'a Mutex<Rule<T>>> {
    of::<T, _>("optimizer", &optimizer.get().rule)
}

#[pymethods]
impl Plan {
    /// A_L [B, n_L], of X [B, n_0]: in `out`, if given. What `backward` needs is left in `kept`, or in the plan if it
    /// keeps. params: flat [param_len], or W and b of each layer in a list, or packed.
    #[pyo3(signature = (params, x, *, out=None, kept=None))]
    fn forward<'py>(
        &self,
        params: &Bound<'py, PyAny>,
        x: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
        kept: Option<&Bound<'py, Kept>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        typed!(&self.planned, planned => planned.forward(params, x, out, self.kept_of(planned, kept)?))
    }

    /// The gradient of the parameters, from dy = ∂L/∂A_L [B, n_L] and the state of the `forward` of the same parameters
    /// and X: sums over the batch, flat or in the list `out` of dW and db of each layer. ∂L/∂X goes to `dx` [B, n_0],
    /// if given.
    #[pyo3(signature = (params, x, dy, *, out=None, dx=None, kept=None))]
    fn backward<'py>(
        &self,
        params: &Bound<'py, PyAny>,
        x: &Bound<'py, PyAny>,
        dy: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
        dx: Option<&Bound<'py, PyAny>>,
        kept: Option<&Bound<'py, Kept>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        typed!(&self.planned, planned => {
            let kept = self.kept_of(planned, kept)?.ok_or_else(|| {
                PyValueError::new_err("kept: expected a state, or a plan made with keep=True")
            })?;
            planned.backward(params, (x, dy), (out, dx), kept)
        })
    }

    /// Forward and backward in one pass: as `backward`, without a state. A_L goes to `y` [B, n_L], if given.
    #[pyo3(signature = (params, x, dy, *, out=None, y=None, dx=None))]
    fn vjp<'py>(
        &self,
        params: &Bound<'py, PyAny>,
        x: &Bound<'py, PyAny>,
        dy: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
        y: Option<&Bound<'py, PyAny>>,
        dx: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        typed!(&self.planned, planned => planned.vjp(params, (x, dy), (out, y, dx)))
    }

    /// The loss of a batch and its gradient, in one pass: flat or in the list `out` of dW and db of each layer. loss: a
    /// name ("mse", …: the mean) or a `Loss`; targets: [B, n_L], or a class for each row [B]; weights: of each row [B].
    #[pyo3(signature = (params, x, loss, targets, *, weights=None, out=None))]
    fn value_and_grad<'py>(
        &self,
        params: &Bound<'py, PyAny>,
        x: &Bound<'py, PyAny>,
        loss: &Bound<'py, PyAny>,
        targets: &Bound<'py, PyAny>,
        weights: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(f64, Bound<'py, PyAny>)> {
        typed!(&self.planned, planned => planned.value_and_grad(params, x, loss, (targets, weights), out))
    }

    /// A whole step of training: the loss and its gradient, then the parameters (flat or packed, changed in place)
    /// moved by the optimizer. With `clip`, the gradient is first made no longer than that; if its norm is ∞ or NaN
    /// nothing is stepped. The gradient goes to `out` [param_len], if given.
    #[pyo3(signature = (params, x, loss, targets, optimizer, *, weights=None, clip=None, out=None))]
    fn train_step<'py>(
        &self,
        params: &Bound<'py, PyAny>,
        x: &Bound<'py, PyAny>,
        loss: &Bound<'py, PyAny>,
        targets: &Bound<'py, PyAny>,
        optimizer: &Bound<'py, Optimizer>,
        weights: Option<&Bound<'py, PyAny>>,
        clip: Option<f64>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Trained> {
        typed!(&self.planned, planned => {
            let rule = rule_of(planned, optimizer)?;
            planned.train_step(params, x, loss, (targets, weights), (rule, clip), out)
        })
    }

    /// ∂A_L/∂X [n_L, n_0] at one sample x [n_0], row by row from vector–Jacobian products: to learn and to test with.
    fn jacobian<'py>(
        &self,
        params: &Bound<'py, PyAny>,
        x: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        typed!(&self.planned, planned => planned.jacobian(params, x))
    }

    /// Room for the state of a forward pass of at most `batch` rows.
    fn kept(&self, batch: usize) -> PyResult<Kept> {
        Kept::new(&self.planned, batch)
    }

    /// A copy of flat parameters with the panels that calls read.
    fn pack(&self, params: &Bound<'_, PyAny>) -> PyResult<PackedParams> {
        Ok(PackedParams(match &self.planned {
            Typed::F32(planned) => Typed::F32(planned.pack(params)?),
            Typed::F64(planned) => Typed::F64(planned.pack(params)?),
        }))
    }

    /// The network.
    #[getter]
    fn mlp(&self, py: Python<'_>) -> Py<Mlp> {
        self.mlp.clone_ref(py)
    }

    /// Rows that a batch has at most.
    #[getter]
    fn batch(&self) -> usize {
        typed!(&self.planned, planned => planned.plan.max_batch())
    }

    /// Threads at most, the calling one among them.
    #[getter]
    fn threads(&self) -> usize {
        typed!(&self.planned, planned => planned.plan.threads())
    }

    /// The instruction set.
    #[getter]
    fn isa(&self) -> &'static str {
        typed!(&self.planned, planned => planned.plan.isa().name())
    }

    /// "fused", "narrow" or "layered".
    #[getter]
    fn path(&self) -> &'static str {
        typed!(&self.planned, planned => planned.plan.path().name())
    }

    /// Which path the plan chose, and why, in a sentence.
    fn explain(&self) -> String {
        typed!(&self.planned, planned => planned.plan.explain())
    }

    /// FLOP of the matrix products of a training step of `batch` rows.
    fn step_flop(&self, batch: usize) -> f64 {
        typed!(&self.planned, planned => planned.plan.step_flop(batch))
    }

    /// Bytes of a workspace: the plan has one, and as many more as threads call at once.
    #[getter]
    fn workspace_bytes(&self) -> usize {
        typed!(&self.planned, planned => planned.plan.workspace_bytes())
    }

    fn __repr__(&self) -> String {
        format!("Plan({})", self.explain())
    }
}

impl<T: Elem> Planned<T> {
    fn pack(&self, params: &Bound<'_, PyAny>) -> PyResult<RwLock<nablas::PackedParams<T>>> {
        let (_params, from) = Array::read_vector::<T>("params", params)?;
        // SAFETY: the array is held, and nothing writes it.
        call(params.py(), true, move || Ok(RwLock::new(self.plan.pack(unsafe { from.slice() })?)))
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Plan>()?;
    m.add_class::<Trained>()
}
