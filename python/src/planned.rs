//! A plan of either element type, with the workspaces of its calls.

use crate::{
    failure::{Failure, guard},
    shelf::Shelf,
    typed::Elem,
};
use nablas::{Plan, Workspace};
use pyo3::prelude::*;

/// A plan, and the workspaces that its calls use: each takes one for itself, so that any number of threads may call at
/// once.
#[derive(Debug)]
pub(crate) struct Planned<T: Elem> {
    /// The plan, on cache lines of its own: Python's objects start anywhere.
    pub(crate) plan: Box<Plan<T>>,
    workspaces: Shelf<Workspace<T>>,
    gradients: Shelf<Gradient<T>>,
}

/// Room for a gradient that nobody asked for, as long as the parameters.
#[derive(Debug)]
pub(crate) struct Gradient<T>(pub(crate) Vec<T>);

/// FLOP from which on a call lets go of the interpreter's lock: some five microseconds of them.
const LONG: f64 = 4e5;

impl<T: Elem> Planned<T> {
    /// A plan with its first workspace.
    pub(crate) fn new(plan: Plan<T>) -> nablas::Result<Self> {
        let planned = Self { workspaces: Shelf::new(), gradients: Shelf::new(), plan: Box::new(plan) };
        planned.workspaces.put(Box::new(planned.plan.workspace()?));
        Ok(planned)
    }

    /// Whether a call of so many rows takes longer than it does to let go of the interpreter's lock and take it again.
    pub(crate) fn long(&self, batch: usize) -> bool {
        self.plan.step_flop(batch) + 2.0 * self.plan.mlp().param_len() as f64 > LONG
    }

    /// Room for a gradient.
    pub(crate) fn gradient(&self) -> Box<Gradient<T>> {
        let new = || Box::new(Gradient(vec![T::ZERO; self.plan.mlp().param_len()]));
        self.gradients.take().unwrap_or_else(new)
    }

    /// Gives it back.
    pub(crate) fn put_gradient(&self, gradient: Box<Gradient<T>>) {
        self.gradients.put(gradient);
    }

    /// Makes a call with a workspace of its own; its panic stops here. Python need not be attached.
    pub(crate) fn with<R>(
        &self,
        call: impl FnOnce(&Plan<T>, &mut Workspace<T>) -> nablas::Result<R>,
    ) -> Result<R, Failure> {
        guard(|| {
            let mut workspace = match self.workspaces.take() {
                Some(workspace) => workspace,
                None => Box::new(self.plan.workspace()?),
            };
            let done = call(&self.plan, &mut workspace);
            self.workspaces.put(workspace);
            done
        })
    }

    /// Makes a call of an attached thread, without the interpreter's lock if it is long.
    pub(crate) fn call<R: Send>(
        &self,
        py: Python<'_>,
        batch: usize,
        call: impl FnOnce(&Plan<T>, &mut Workspace<T>) -> nablas::Result<R> + Send,
    ) -> PyResult<R> {
        Ok(if self.long(batch) { py.detach(|| self.with(call)) } else { self.with(call) }?)
    }
}
