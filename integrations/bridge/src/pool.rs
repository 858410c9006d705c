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

    /// A state with room for so many rows: the smallest that waits, or a new one.
    fn state(&self, batch: usize) -> Result<Kept<T>> {
        let spare = &mut self.spare().states;
        let fits = spare.iter().enumerate().filter(|(_, kept)| kept.room() >= batch);
        match fits.min_by_key(|(_, kept)| kept.room()).map(|(at, _)| at) {
            Some(at) => Ok(spare.swap_remove(at)),
            None => self.plan.kept(batch),
        }
    }

    /// A forward pass that leaves its state.
    pub(crate) fn forward_kept(
        self: Arc<Self>,
        params: ParamsRef<'_, T>,
        x: MatRef<'_, T>,
        y: MatMut<'_, T>,
    ) -> Result<Saved<T>> {
        let mut kept = self.state(x.nrows())?;
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
