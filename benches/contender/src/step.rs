//! A training step through the public API.

use crate::{
    array::Array,
    crew::team,
    guard::{Failure, guarded},
    problem::Problem,
};
use nablas::{IsaToken, LayerParams, MatMut, MatRef, ParamsRef, Plan, PlanOptions, Team, Workspace};
use std::mem;

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
    pub(crate) batch: usize,
    layers: Vec<Layer>,
    /// Empty between runs: room for the slices of one.
    params: Vec<LayerParams<'static, f32>>,
    x: Array,
    dy: Array,
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
        let team = team(p.threads)?;
        let options = PlanOptions::new(batch).threads(team.as_ref().map_or(1, Team::threads)).isa(isa);
        let options = match &team {
            Some(team) => options.team(team),
            None => options,
        };
        let plan = Plan::new(&mlp, &options)?;
        let workspace = plan.workspace()?;
        let params = Vec::with_capacity(layers.len());
        let (grads, y) = (vec![0.0; mlp.param_len()], vec![0.0; dy.get().len()]);
        Ok(Self { plan, workspace, batch, layers, params, x, dy, grads, y })
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
        let x = MatRef::new(self.x.get(), self.batch, mlp.inputs())?;
        let dy = MatRef::new(self.dy.get(), self.batch, mlp.outputs())?;
        let y = MatMut::new(&mut self.y, self.batch, mlp.outputs())?;
        let mut params: Vec<LayerParams<'_, f32>> = mem::take(&mut self.params);
        params.extend(self.layers.iter().map(|l| LayerParams { weights: l.w.get(), bias: l.b.get() }));
        let layers = ParamsRef::Layers(&params);
        let done = self.plan.vjp(layers, x, dy, Some(y), &mut self.grads, None, &mut self.workspace);
        // The same memory, without the slices: `collect` takes it over.
        params.clear();
        self.params = params.into_iter().map_while(|_| None).collect();
        Ok(done?)
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
