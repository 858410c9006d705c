//! The same calls from Rust, to hold those from Python against: `python/bench/overhead.py`.

use crate::{
    array::Array,
    failure::call,
    plan::Plan,
    planned::Planned,
    typed::{Elem, typed},
};
use nablas::{Loss, LossKind, MatMut, MatRef, Reduction, Targets};
use pyo3::prelude::*;
use std::{hint::black_box, time::Instant};

/// Seconds of a forward pass and of loss and gradient (mean squares), from Rust, with operands of its own: the mean of
/// so many.
fn seconds<T: Elem>(
    py: Python<'_>,
    planned: &Planned<T>,
    params: &Bound<'_, PyAny>,
    calls: u32,
) -> PyResult<(f64, f64)> {
    let (_params, params) = Array::read_vector::<T>("params", params)?;
    let (rows, mlp) = (planned.plan.max_batch(), planned.plan.mlp());
    let (x, t) = (vec![T::ONE; rows * mlp.inputs()], vec![T::ZERO; rows * mlp.outputs()]);
    let (mut y, mut grads) = (t.clone(), vec![T::ZERO; mlp.param_len()]);
    // SAFETY: the array is held, and nothing writes it.
    let params = unsafe { params.slice() };
    call(py, false, || {
        let (x, targets) = (MatRef::new(&x, rows, mlp.inputs())?, MatRef::new(&t, rows, mlp.outputs())?);
        let (plan, mut ws, loss) =
            (&planned.plan, planned.plan.workspace()?, Loss::new(LossKind::Mse, Reduction::Mean));
        let start = Instant::now();
        for _ in 0..calls {
            let y = MatMut::new(black_box(&mut y), rows, mlp.outputs())?;
            plan.forward(params, black_box(x), y, None, &mut ws)?;
        }
        let forward = start.elapsed() / calls.max(1);
        let start = Instant::now();
        for _ in 0..calls {
            let targets = Targets::Values(black_box(targets));
            black_box(plan.value_and_grad(params, x, &loss, targets, &mut grads, &mut ws)?);
        }
        Ok((forward.as_secs_f64(), (start.elapsed() / calls.max(1)).as_secs_f64()))
    })
}

/// Seconds of `forward` and `value_and_grad` (mean squares) of a plan's largest batch, called from Rust: the mean of
/// `calls`.
#[pyfunction]
fn _seconds(py: Python<'_>, plan: &Plan, params: &Bound<'_, PyAny>, calls: u32) -> PyResult<(f64, f64)> {
    typed!(&plan.planned, planned => seconds(py, planned, params, calls))
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_seconds, m)?)
}
