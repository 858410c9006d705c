//! A plan, and the memory that its calls have given back.

use nablas::{GradsMut, Kept, MatMut, MatRef, ParamsRef, Plan, Result, Scalar, Workspace};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Kept states that wait for their next call; more than these go back to the system.
const SPARE_STATES: usize = 8;

/// A plan for batches up to a size.
pub(crate) struct Pool<T: Scalar> {
    pub(crate) plan: Plan<T>,
    /// The largest of these batches.
    pub(crate) room: usize,
    spare: Mutex<Spare<T>>,
}

struct Spare<T> {
    workspaces: Vec<Workspace<T>>,
    states: Vec<Kept<T>>,
}

impl<T: Scalar> Pool<T> {
    pub(crate) fn new(plan: Plan<T>, room: usize) -> Self {
        Self { plan, room, spare: Mutex::new(Spare { workspaces: Vec::new(), states: Vec::new() }) }
    }

    /// Lists are whole whenever the lock is free, so one that panicked has left nothing to repair.
    fn spare(&self) -> MutexGuard<'_, Spare<T>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a call with a workspace: as many are made as there are calls at once.
    pub(crate) fn with_workspace<R>(&self, call: impl FnOnce(&mut Workspace<T>) -> Result<R>) -> Result<R> {
        let spare = self.spare().workspaces.pop();
        let mut workspace = spare.map_or_else(|| self.plan.workspace(), Ok)?;
        let result = call(&mut workspace);
        self.spare().workspaces.push(workspace);
        result
    }

    /// A state that any batch of the plan fits into: one that waits, or a new one, of which only what a batch fills costs
    /// memory.
    fn state(&self) -> Result<Kept<T>> {
        let spare = self.spare().states.pop();
        spare.map_or_else(|| self.plan.kept(self.room), Ok)
    }

    /// A forward pass that leaves its state.
    pub(crate) fn forward_kept(
        self: Arc<Self>,
        params: ParamsRef<'_, T>,
        x: MatRef<'_, T>,
        y: MatMut<'_, T>,
    ) -> Result<Saved<T>> {
        let mut kept = self.state()?;
        self.with_workspace(|ws| self.plan.forward(params, x, y, Some(&mut kept), ws))?;
        Ok(Saved { kept: Some(kept), pool: self })
    }
}

/// What a forward pass leaves for its backward passes, of which there may be any number. Its memory goes back to the
/// network's when it is dropped.
pub struct Saved<T: Scalar> {
    /// There until it is dropped.
    kept: Option<Kept<T>>,
    pool: Arc<Pool<T>>,
}

impl<T: Scalar> Saved<T> {
    /// From ∂L/∂Y: `grads` ← dW and db of every layer, dX ← ∂L/∂X, if asked for. Parameters and X are those of the forward
    /// pass. Shapes, layouts and aliasing are those of [`Plan::backward`].
    ///
    /// # Errors
    /// As [`Plan::backward`].
    pub fn backward<'p, 'a, 'b: 'a>(
        &self,
        params: impl Into<ParamsRef<'p, T>>,
        x: MatRef<'_, T>,
        dy: MatRef<'_, T>,
        grads: impl Into<GradsMut<'a, 'b, T>>,
        dx: Option<MatMut<'_, T>>,
    ) -> Result<()> {
        let Some(kept) = &self.kept else { return Err(nablas::Error::KeptOfAnother) };
        self.pool.with_workspace(|ws| self.pool.plan.backward(params, x, dy, grads, dx, kept, ws))
    }
}

impl<T: Scalar> Drop for Saved<T> {
    fn drop(&mut self) {
        let states = &mut self.pool.spare().states;
        if let Some(kept) = self.kept.take()
            && states.len() < SPARE_STATES
        {
            states.push(kept);
        }
    }
}

impl<T: Scalar> std::fmt::Debug for Saved<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saved").field("kept", &self.kept).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::SPARE_STATES;
    use crate::NetworkBuilder;
    use nablas::{Activation, MatMut, MatRef, Result};

    #[test]
    fn states_serve_every_batch_of_their_plan() -> Result<()> {
        let layers = vec![(5, Activation::Tanh), (2, Activation::Identity)];
        let network = NetworkBuilder { inputs: 3, layers, threads: Some(1), team: None }.build::<f64>()?;
        let params = vec![0.1; network.mlp().param_len()];
        let forward = |batch: usize, keep: bool| {
            let (x, mut y) = (vec![0.5; 3 * batch], vec![0.0; 2 * batch]);
            let y = MatMut::new(&mut y, batch, 2)?;
            network.forward(params.as_slice(), MatRef::new(&x, batch, 3)?, y, keep)
        };
        let kept = |batch| Ok(forward(batch, true)?.expect("it was to be kept"));
        let all = (0..SPARE_STATES + 2).map(|_| kept(17)).collect::<Result<Vec<_>>>()?;
        assert_eq!(network.states(), all.len());
        drop(all);
        assert_eq!(network.states(), 0);
        // A larger batch of the same plan takes one of them.
        let larger = kept(32)?;
        assert_eq!(larger.pool.spare().states.len(), SPARE_STATES - 1);
        assert!(forward(32, false)?.is_none());
        assert_eq!(network.states(), 1);
        Ok(())
    }
}
