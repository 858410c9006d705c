//! A call of a plan on its way: what the items of its schedule read and write.

use super::{
    ends::{Cotangent, Out},
    params::Places,
    setup::Setup,
};
use crate::{
    MatMut, MatRef, Scalar,
    shared::{FirstError, Shared},
};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What a call is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Forward,
    Backward,
    Both,
}

/// The backward half of a call.
pub(crate) struct Backward<'a, T: Scalar> {
    pub(crate) cotangent: Cotangent<'a, T>,
    pub(crate) grads: Places<'a, T>,
    pub(crate) dx: Option<Out<T>>,
}

/// A call: all checked.
pub(crate) struct Call<'a, T: Scalar> {
    pub(crate) setup: &'a Setup<T>,
    pub(crate) params: Places<'a, T>,
    /// Panels that came with the parameters: none are packed in the call.
    pub(crate) panels: Option<Shared<T>>,
    pub(crate) x: MatRef<'a, T>,
    /// Whether it goes forward.
    pub(crate) forward: bool,
    /// Whether it goes backward, and from what.
    pub(crate) backward: Option<Backward<'a, T>>,
    pub(crate) y: Option<Out<T>>,
    /// The state that a forward pass leaves, or that a backward pass alone reads.
    pub(crate) kept: Option<Shared<T>>,
    /// The workspace, and where in it the row losses are.
    pub(crate) memory: Shared<T>,
    pub(crate) losses: usize,
    /// Members that may come. What it decides leaves no trace in the bits.
    pub(crate) seats: AtomicUsize,
    pub(crate) failed: FirstError,
}

impl<T: Scalar> Call<'_, T> {
    /// Members that may come.
    pub(crate) fn seats(&self) -> usize {
        self.seats.load(Relaxed)
    }

    /// None will: what is cut for several, at a price, need not be. Before the first item.
    pub(crate) fn alone(&self) {
        self.seats.store(1, Relaxed);
    }

    /// Rows of the batch.
    pub(crate) fn batch(&self) -> usize {
        self.x.nrows()
    }

    /// What it is to do.
    pub(crate) fn goal(&self) -> Goal {
        match (self.forward, &self.backward) {
            (_, None) => Goal::Forward,
            (false, Some(_)) => Goal::Backward,
            (true, Some(_)) => Goal::Both,
        }
    }

    /// The row losses of outputs `y` from row `start` of the batch on, and their deltas. Nothing for a given cotangent.
    ///
    /// # Safety
    /// The row losses in the workspace are the item's alone over these rows.
    pub(crate) unsafe fn row_losses(
        &self,
        cotangent: &Cotangent<'_, T>,
        start: usize,
        y: MatRef<'_, T>,
        delta: MatMut<'_, T>,
    ) {
        let Cotangent::Loss(loss, targets, scale) = cotangent else { return };
        let rows = y.nrows();
        // SAFETY: the workspace has room for the losses of every row, and these are the item's.
        let losses = unsafe { core::slice::from_raw_parts_mut(self.memory.add(self.losses + start), rows) };
        let targets = targets.rows(start..start + rows);
        let isa = self.setup.engine().isa;
        self.failed.note(targets.and_then(|t| loss.rows(isa, y, t, *scale, delta, losses)));
    }
}
