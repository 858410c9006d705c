//! Panels made, and made anew.

use super::{packed::PackedParams, params::Places, path::Path, plan::Plan, setup::Setup};
use crate::{
    Scalar,
    error::{Result, check_len},
    memory::Buffer,
    shared::Shared,
    team::Schedule,
};

impl<T: Scalar> Plan<T> {
    /// Parameters with the panels that this plan's calls read: a copy of `params`, laid out as
    /// [`Mlp`](super::Mlp) says. They serve every plan of the same network, instruction set and backend.
    ///
    /// # Errors
    /// [`Error::Length`](crate::Error::Length) for another network's; [`Error::Overflow`](crate::Error::Overflow) or
    /// [`Error::Memory`](crate::Error::Memory) if they don't fit.
    pub fn pack(&self, params: &[T]) -> Result<PackedParams<T>> {
        check_len("a flat buffer of the network's parameters", self.setup.mlp.param_len(), params.len())?;
        let mut buffer = Buffer::zeroed("packed parameters", params.len())?;
        buffer.as_mut_slice().copy_from_slice(params);
        let panels = Buffer::zeroed("packed parameters", self.path.panels_len())?;
        let mut packed = PackedParams { params: buffer, panels, mark: self.panels_mark };
        drop(Repack::new(self, packed.params.as_mut_ptr(), packed.panels.as_mut_ptr()));
        Ok(packed)
    }
}

impl<T: Scalar> PackedParams<T> {
    /// Lets `edit` change the parameters, and packs them; gives what `edit` gave. `plan` is one that they serve.
    ///
    /// # Errors
    /// [`Error::Packed`](crate::Error::Packed) for another plan; nothing is edited then.
    pub fn update<R>(&mut self, plan: &Plan<T>, edit: impl FnOnce(&mut [T]) -> R) -> Result<R> {
        self.check(plan.panels_mark, plan.path.panels_len())?;
        check_len("the parameters", plan.setup.mlp.param_len(), self.params.len())?;
        let (params, len) = (self.params.as_mut_ptr(), self.params.len());
        let _repack = Repack::new(plan, params, self.panels.as_mut_ptr());
        // SAFETY: the buffer's elements, which nothing else accesses until the panels are packed.
        Ok(edit(unsafe { core::slice::from_raw_parts_mut(params, len) }))
    }
}

/// Packs all panels when it goes, by a panic too: panels never belong to other parameters. Whoever makes one vouches that
/// parameters and panels are as long as the plan's, and that nothing else accesses them then.
pub(super) struct Repack<'a, T: Scalar> {
    plan: &'a Plan<T>,
    params: *mut T,
    panels: *mut T,
}

impl<'a, T: Scalar> Repack<'a, T> {
    pub(super) fn new(plan: &'a Plan<T>, params: *mut T, panels: *mut T) -> Self {
        Self { plan, params, panels }
    }
}

impl<T: Scalar> Drop for Repack<'_, T> {
    fn drop(&mut self) {
        let setup = &self.plan.setup;
        let params = Places::flat(&setup.mlp, self.params);
        let packing = Packing { setup, path: &*self.plan.path, params, to: Shared(self.panels) };
        let micros = setup.engine().micros::<T>(0.0, 2.0 * setup.mlp.param_len() as f64);
        setup.engine().schedule(micros, 1, usize::MAX, &packing);
    }
}

/// Packs all panels in one phase.
struct Packing<'a, T: Scalar> {
    setup: &'a Setup<T>,
    path: &'a dyn Path<T>,
    params: Places<'a, T>,
    to: Shared<T>,
}

impl<T: Scalar> Schedule for Packing<'_, T> {
    fn items(&self, phase: usize) -> Option<usize> {
        (phase == 0).then(|| self.path.panel_items(self.setup))
    }

    fn run(&self, _: usize, _: usize, item: usize) {
        // SAFETY: the panels are as long as the path asked for; items pack disjoint ones.
        unsafe { self.path.pack_panels(self.setup, self.params, item, self.to.0) }
    }
}
