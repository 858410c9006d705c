//! A call run on a team, by the plan's path.

use super::{
    call::{Call, Goal},
    path::Path,
    plan::Plan,
};
use crate::{Scalar, error::Result, team::Schedule};

/// A call and the path that it takes.
struct Run<'a, 'c, T: Scalar> {
    call: &'c Call<'a, T>,
    path: &'c dyn Path<T>,
}

impl<T: Scalar> Schedule for Run<'_, '_, T> {
    fn items(&self, phase: usize) -> Option<usize> {
        self.path.items(self.call, phase)
    }

    fn run(&self, seat: usize, phase: usize, item: usize) {
        // SAFETY: a team runs each item once, phases in order, on a seat one at a time; whoever made the call checked its
        // operands and borrows its outputs and workspace.
        unsafe { self.path.run(self.call, seat, phase, item) }
    }

    fn alone(&self) {
        self.call.alone();
    }
}

impl<T: Scalar> Plan<T> {
    /// Runs a call; how many members did some of it.
    ///
    /// # Errors
    /// The first that a foreign backend met: outputs are then unspecified.
    pub(crate) fn start(&self, mut call: Call<'_, T>) -> Result<usize> {
        let (batch, goal) = (call.batch(), call.goal());
        if batch == 0 {
            if let Some(back) = &call.backward {
                // SAFETY: the gradient is borrowed exclusively.
                unsafe { back.grads.fill(T::ZERO) }
            }
            return Ok(0);
        }
        let (micros, phases) = (self.micros(batch, goal), self.path.phases(&self.setup, batch, goal));
        let (engine, breadth) = (self.setup.engine(), self.path.breadth(&self.setup, batch, goal));
        *call.seats.get_mut() = engine.seats(micros, phases, breadth);
        let run = Run { call: &call, path: &*self.path };
        let seats = self.run((Some(goal), batch), (micros, phases, breadth), &run);
        call.failed.result().map(|()| seats)
    }

    /// Members that no call over `batch` rows exceeds: where it is 1, calls stay on the calling thread.
    pub fn members(&self, batch: usize) -> usize {
        let of = |goal| {
            let breadth = self.path.breadth(&self.setup, batch, goal);
            self.setup.engine().seats(
                self.micros(batch, goal),
                self.path.phases(&self.setup, batch, goal),
                breadth,
            )
        };
        [Goal::Both, Goal::Forward, Goal::Backward].into_iter().map(of).max().unwrap_or(1)
    }

    /// Microseconds that a call takes on one thread, or somewhat less: an estimate.
    pub(super) fn micros(&self, batch: usize, goal: Goal) -> f64 {
        let (layers, rows) = (self.setup.mlp.layers(), batch as f64);
        let all = self.step_flop(batch);
        let forward: f64 = layers.iter().map(|l| 2.0 * rows * l.inputs as f64 * l.outputs as f64).sum();
        let flop = match goal {
            Goal::Forward => forward,
            Goal::Backward => all - forward,
            Goal::Both => all,
        };
        let elements: usize = layers.iter().map(|l| l.outputs).sum();
        let touched = self.path.touched(&self.setup, batch, goal) + rows * elements as f64;
        self.setup.engine().micros::<T>(flop, touched)
    }
}
