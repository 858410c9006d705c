//! A path: one way to run a network's passes.

use super::{
    call::{Call, Goal},
    params::Places,
    setup::Setup,
};
use crate::Scalar;
use alloc::string::String;
use core::fmt;

/// Which way a plan runs its network: docs/ARCHITECTURE.md, "Three paths".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathKind {
    /// Tiles of the minibatch go through all layers while they are in cache.
    Fused,
    /// The same with samples in the lanes.
    Narrow,
    /// One layer at a time over the whole batch.
    Layered,
}

impl PathKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fused => "fused",
            Self::Narrow => "narrow",
            Self::Layered => "layered",
        }
    }
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A path, planned: its memory laid out, and the phases of its calls.
pub(crate) trait Path<T: Scalar>: fmt::Debug + Send + Sync {
    fn kind(&self) -> PathKind;

    /// Why it was taken, and how it works.
    fn explain(&self, setup: &Setup<T>) -> String;

    /// Elements of the state that a forward pass of `batch` rows leaves.
    fn kept_len(&self, batch: usize) -> usize;

    /// Elements of the panels that [`PackedParams`](super::PackedParams) keeps.
    fn panels_len(&self) -> usize;

    /// Items that pack those of layer index `l`: of all items, a layer's come one after another, and layers in their order.
    fn panel_items_of(&self, setup: &Setup<T>, l: usize) -> usize;

    /// Items that pack them.
    fn panel_items(&self, setup: &Setup<T>) -> usize {
        (0..setup.mlp.layers().len()).map(|l| self.panel_items_of(setup, l)).sum()
    }

    /// Packs an item of them to `to`, where all of them go.
    ///
    /// # Safety
    /// The parameters are valid, `to` is writable over the panels; nothing else accesses the item's.
    unsafe fn pack_panels(&self, setup: &Setup<T>, params: Places<'_, T>, item: usize, to: *mut T);

    /// Elements that a call of `batch` rows packs, copies or adds besides its products.
    fn touched(&self, setup: &Setup<T>, batch: usize, goal: Goal) -> f64;

    /// Items of the phase that has most of a call's work: more members find nothing to do there.
    fn breadth(&self, setup: &Setup<T>, batch: usize, goal: Goal) -> usize;

    /// Phases of a call at most.
    fn phases(&self, setup: &Setup<T>, batch: usize, goal: Goal) -> usize;

    /// Items of a phase of a call; `None` past the last.
    fn items(&self, call: &Call<'_, T>, phase: usize) -> Option<usize>;

    /// Runs an item.
    ///
    /// # Safety
    /// The phases before are done, no other item runs on the seat, and this one once. The call's operands are checked, its
    /// outputs and its workspace borrowed exclusively.
    unsafe fn run(&self, call: &Call<'_, T>, seat: usize, phase: usize, item: usize);
}
