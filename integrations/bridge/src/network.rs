//! A network with its plans.

use crate::pool::{Pool, Saved};
use nablas::{
    Activation, Loss, MatMut, MatRef, Mlp, Optimizer, ParamsRef, Plan, PlanOptions, Result, Scalar, Targets,
    Team, Trained,
};
use std::sync::{Arc, Mutex, PoisonError};

/// Plans that a network has at once. One serves all batches between two powers of two, so that changing batches make few.
const PLANS: usize = 8;

/// Widths, activations and what calls run on.
#[derive(Debug, Clone)]
pub struct NetworkBuilder {
    /// n_0, the features that it reads.
    pub inputs: usize,
    /// n_l and g_l of each layer.
    pub layers: Vec<(usize, Activation<f64>)>,
    /// Threads at most; those of the team if there is no number.
    pub threads: Option<usize>,
    /// The team; the process' if there is none.
    pub team: Option<Team>,
}

impl NetworkBuilder {
    /// A network of this element type. Parameters of activations are rounded to it.
    ///
    /// # Errors
    /// As [`MlpBuilder::build`](nablas::MlpBuilder::build); [`Error::Parameter`](nablas::Error::Parameter) for 0 threads.
    pub fn build<T: Scalar>(&self) -> Result<Network<T>> {
        let layers = self.layers.iter();
        let builder = layers.fold(Mlp::builder(self.inputs), |builder, &(width, activation)| {
            builder.layer(width, activation.map(T::from_f64))
        });
        let mut options = PlanOptions::new(0);
        (options.threads, options.team) = (self.threads, self.team.clone());
        let network =
            Network { mlp: builder.build()?, options, plans: Mutex::default(), grads: Mutex::default() };
        // What no batch can change is refused here.
        network.pool(1)?;
        Ok(network)
    }
}

/// A network, shared by the calls of a framework's module.
pub struct Network<T: Scalar> {
    mlp: Mlp<T>,
    /// Of each plan, but for its batch.
    options: PlanOptions,
    /// The last used first.
    plans: Mutex<Vec<Arc<Pool<T>>>>,
    /// The gradient of training steps.
    grads: Mutex<Vec<T>>,
}

impl<T: Scalar> Network<T> {
    /// Its layers, and where their parameters lie in a flat buffer.
    pub fn mlp(&self) -> &Mlp<T> {
        &self.mlp
    }

    /// Y ← A_L, B×n_L for X of B×n_0, any strides; the state for backward passes, if it is to be kept.
    ///
    /// # Errors
    /// As [`Plan::forward`].
    pub fn forward<'p>(
        &self,
        params: impl Into<ParamsRef<'p, T>>,
        x: MatRef<'_, T>,
        y: MatMut<'_, T>,
        keep: bool,
    ) -> Result<Option<Saved<T>>> {
        let pool = self.pool(x.nrows())?;
        let params = params.into();
        if keep {
            return pool.forward_kept(params, x, y).map(Some);
        }
        pool.with_workspace(|ws| pool.plan.forward(params, x, y, None, ws))?;
        Ok(None)
    }

    /// One whole step of training on a flat buffer of parameters, as [`Plan::train_step`] makes it.
    ///
    /// # Errors
    /// As [`Plan::train_step`].
    pub fn train_step<O: Optimizer<T> + ?Sized>(
        &self,
        params: &mut [T],
        x: MatRef<'_, T>,
        loss: &Loss<T>,
        targets: Targets<'_, T>,
        clip: Option<f64>,
        optimizer: &mut O,
    ) -> Result<Trained<T>> {
        let pool = self.pool(x.nrows())?;
        // Steps of one network come one after another, as they write its parameters.
        let mut grads = self.grads.lock().unwrap_or_else(PoisonError::into_inner);
        grads.resize(self.mlp.param_len(), T::ZERO);
        pool.with_workspace(|ws| {
            pool.plan.train_step(params, x, loss, targets, &mut grads, clip, optimizer, ws)
        })
    }

    /// States that forward passes have left and somebody holds, those of plans aside that others have displaced.
    pub fn states(&self) -> usize {
        let plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        // A state has its plan.
        plans.iter().map(|pool| Arc::strong_count(pool) - 1).sum()
    }

    /// The plan for a batch: one for all up to the next power of two.
    fn pool(&self, batch: usize) -> Result<Arc<Pool<T>>> {
        let room = batch.max(1).checked_next_power_of_two().unwrap_or(batch);
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let found = plans.iter().position(|pool| pool.room == room);
        let pool = match found {
            Some(0) => return Ok(plans[0].clone()),
            Some(at) => plans.remove(at),
            None => {
                let mut options = self.options.clone();
                options.max_batch = room;
                plans.truncate(PLANS - 1);
                Arc::new(Pool::new(Plan::new(&self.mlp, &options)?, room))
            }
        };
        plans.insert(0, pool.clone());
        Ok(pool)
    }
}

impl<T: Scalar> std::fmt::Debug for Network<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("layers", &self.mlp.layers()).finish_non_exhaustive()
    }
}
