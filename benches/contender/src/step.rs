//! A training step through the public API.

use crate::{
    array::Array,
    guard::{Failure, guarded},
    pool,
    problem::Problem,
};
use nablas::{IsaToken, Keep, MatMut, MatRef, Plan, PlanOptions, Workspace};

/// A layer's parameters, where the harness has them.
#[derive(Debug, Clone, Copy)]
struct Layer {
    w: Array,
    b: Array,
}

/// A training step, planned. What it keeps from one run to the next are buffers, and in them nothing that the next
/// one reads.
#[derive(Debug)]
pub struct Step {
    plan: Plan<f32>,
    workspace: Workspace<f32>,
    batch: usize,
    layers: Vec<Layer>,
    x: Array,
    dy: Array,
    pub(crate) params: Vec<f32>,
    grads: Vec<f32>,
    y: Vec<f32>,
}

impl Step {
    /// Plans a problem's step.
    ///
    /// # Safety
    /// The problem's arrays are as long as its sizes say, stay where they are as long as the step is in use, and
    /// nothing writes them while a step runs.
    pub(crate) unsafe fn new(isa: IsaToken, p: &Problem) -> Result<Self, Failure> {
        // SAFETY: the caller's promise.
        let mlp = unsafe { p.mlp()? };
        let batch = usize::try_from(p.batch)?;
        if p.w.is_null() || p.b.is_null() {
            return Err("no weights or no biases".into());
        }
        let layer = |(l, spec): (usize, &nablas::LayerSpec<f32>)| -> Result<Layer, Failure> {
            // SAFETY: the caller's promise: w and b have L pointers, to arrays of these sizes.
            unsafe {
                let w = Array::new(*p.w.add(l), spec.outputs, spec.inputs)?;
                Ok(Layer { w, b: Array::new(*p.b.add(l), 1, spec.outputs)? })
            }
        };
        let layers = mlp.layers().iter().enumerate().map(layer).collect::<Result<Vec<_>, _>>()?;
        // SAFETY: the caller's promise.
        let (x, dy) =
            unsafe { (Array::new(p.x, batch, mlp.inputs())?, Array::new(p.dy, batch, mlp.outputs())?) };
        let threads = pool::threads(p.threads)?;
        // Gradients come from `vjp` alone, for which nothing has to be kept.
        let options = PlanOptions::new(batch).threads(threads).isa(isa).keep(Keep::Nothing);
        let plan = Plan::new(&mlp, &options)?;
        let workspace = plan.workspace()?;
        let (params, grads) = (vec![0.0; mlp.param_len()], vec![0.0; mlp.param_len()]);
        let y = vec![0.0; dy.get().len()];
        Ok(Self { plan, workspace, batch, layers, x, dy, params, grads, y })
    }

    /// Forward and backward; NaN for results if that fails.
    pub(crate) fn run(&mut self) {
        if guarded(|| self.step()).is_none() {
            self.y.fill(f32::NAN);
            self.grads.fill(f32::NAN);
        }
    }

    fn step(&mut self) -> Result<(), Failure> {
        let mlp = self.plan.mlp();
        for (l, layer) in self.layers.iter().enumerate() {
            self.params[mlp.weights_range(l)?].copy_from_slice(layer.w.get());
            self.params[mlp.bias_range(l)?].copy_from_slice(layer.b.get());
        }
        let x = MatRef::new(self.x.get(), self.batch, mlp.inputs())?;
        let dy = MatRef::new(self.dy.get(), self.batch, mlp.outputs())?;
        let y = MatMut::new(&mut self.y, self.batch, mlp.outputs())?;
        Ok(self.plan.vjp(&self.params, x, dy, Some(y), &mut self.grads, None, &mut self.workspace)?)
    }

    /// Copies the last step's results out.
    ///
    /// # Safety
    /// `y` and the L pointers each of `dw` and `db` are writable over the results' sizes, and overlap nothing.
    pub(crate) unsafe fn results(
        &self,
        y: *mut f32,
        dw: *const *mut f32,
        db: *const *mut f32,
    ) -> Result<(), Failure> {
        // SAFETY: the caller's promise.
        let copy =
            |from: &[f32], to: *mut f32| unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        copy(&self.y, y);
        let mlp = self.plan.mlp();
        for l in 0..self.layers.len() {
            // SAFETY: the caller's promise: there are L pointers.
            let (dw, db) = unsafe { (*dw.add(l), *db.add(l)) };
            copy(&self.grads[mlp.weights_range(l)?], dw);
            copy(&self.grads[mlp.bias_range(l)?], db);
        }
        Ok(())
    }
}
