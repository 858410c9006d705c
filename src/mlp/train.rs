//! A whole training step in one call: the loss and its gradient, the clipped norm, the optimizer's step, the panels of the next
//! call.

use super::{
    call::{Backward, Call, Goal},
    ends::Cotangent,
    groups::end_of,
    packed::PackedParams,
    packing::Repack,
    params::Places,
    path::Path,
    plan::Plan,
    workspace::Workspace,
};
use crate::{
    MatRef, Scalar,
    error::{Result, check_len},
    loss::{Loss, Targets},
    optim::{CHUNK, Optimizer, Parts, Step, check_max, factor, norm, part, scale, squares},
    shared::Shared,
    team::Schedule,
};
use alloc::vec::Vec;
use core::ops::Range;

/// The parameters of a network, as a training step changes them.
#[derive(Debug)]
pub enum ParamsMut<'a, T: Scalar> {
    /// One buffer, as [`Mlp`](super::Mlp) lays it out.
    Flat(&'a mut [T]),
    /// With their panels, which are packed anew.
    Packed(&'a mut PackedParams<T>),
}

impl<'a, T: Scalar> From<&'a mut [T]> for ParamsMut<'a, T> {
    fn from(flat: &'a mut [T]) -> Self {
        Self::Flat(flat)
    }
}
impl<'a, T: Scalar> From<&'a mut Vec<T>> for ParamsMut<'a, T> {
    fn from(flat: &'a mut Vec<T>) -> Self {
        Self::Flat(flat)
    }
}
impl<'a, T: Scalar> From<&'a mut PackedParams<T>> for ParamsMut<'a, T> {
    fn from(packed: &'a mut PackedParams<T>) -> Self {
        Self::Packed(packed)
    }
}

/// What became of a training step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trained<T> {
    /// The loss, of the parameters before the step.
    pub loss: T,
    /// The norm of the gradient before it was clipped, if that was asked for.
    pub norm: Option<f64>,
    /// Whether the parameters were stepped: not where a norm was asked for and is ∞ or NaN.
    pub stepped: bool,
}

impl<T: Scalar> Plan<T> {
    /// One step of training: the loss and its gradient at the parameters, then the parameters moved by the optimizer.
    ///
    /// X is B×n_0 of any strides, the targets are the loss's (B×n_L or B classes), parameters and `grads` as long as
    /// [`Mlp::param_len`](super::Mlp::param_len). `grads` becomes the gradient, clipped. With `clip`, it is first made no longer
    /// than that, as [`clip_by_global_norm`](crate::optim::clip_by_global_norm) does (Pascanu, Mikolov, Bengio 2013); if its norm
    /// is ∞ or NaN, neither parameters nor optimizer change, and [`Trained::stepped`] says so. A `clip` of ∞ only measures.
    ///
    /// It is one schedule on the plan's team and instruction set, whatever the optimizer's are, and [`PackedParams`] are packed
    /// while the parameters are in cache. The bits are those of [`value_and_grad`](Self::value_and_grad),
    /// `clip_by_global_norm`, [`Optimizer::step`] and [`PackedParams::update`] one after another. Nothing is allocated.
    ///
    /// # Errors
    /// As for [`value_and_grad`](Self::value_and_grad); [`Error::Packed`](crate::Error::Packed) for parameters packed for another
    /// plan, [`Error::Length`](crate::Error::Length) for an optimizer of another number of parameters,
    /// [`Error::Parameter`](crate::Error::Parameter) for a `clip` that is NaN or not above 0. Nothing has been written then.
    /// A foreign backend's: the gradient is then unspecified, parameters and optimizer are as they were.
    pub fn train_step<'p, O: Optimizer<T> + ?Sized>(
        &self,
        params: impl Into<ParamsMut<'p, T>>,
        x: MatRef<'_, T>,
        loss: &Loss<T>,
        targets: Targets<'_, T>,
        grads: &mut [T],
        clip: Option<f64>,
        optimizer: &mut O,
        ws: &mut Workspace<T>,
    ) -> Result<Trained<T>> {
        let (mlp, len) = (&self.setup.mlp, self.setup.mlp.param_len());
        let (at, panels) = match params.into() {
            ParamsMut::Flat(flat) => {
                mlp.check(flat.len())?;
                (flat.as_mut_ptr(), None)
            }
            ParamsMut::Packed(packed) => {
                packed.check(self.panels_mark, self.path.panels_len())?;
                mlp.check(packed.params.len())?;
                (packed.params.as_mut_ptr(), Some(Shared(packed.panels.as_mut_ptr())))
            }
        };
        let batch = self.check_ends(x, None, None, None)?;
        check_len("the gradient", len, grads.len())?;
        check_len("the optimizer's parameters", len, optimizer.len())?;
        clip.map_or(Ok(()), check_max)?;
        loss.check(batch, mlp.outputs(), &targets)?;
        let memory = Shared(ws.check(self.len, self.mark)?);
        let params = Places::flat(mlp, at);
        if batch == 0 {
            grads.fill(T::ZERO);
        }
        let grads = Shared(grads.as_mut_ptr());
        let cotangent = Cotangent::Loss(loss, targets, loss.scale(&targets, batch, mlp.outputs()));
        let backward = Some(Backward { cotangent, grads: Places::flat(mlp, grads.0), dx: None });
        let mut call = Call { backward, ..self.call(params, panels, x, memory) };

        let step = optimizer.next();
        let pass = if batch == 0 { 0 } else { self.path.phases(&self.setup, batch, Goal::Both) };
        let packs = panels.is_some();
        let phases = pass + usize::from(clip.is_some()) + self.groups.len() + usize::from(packs);
        let touched = step.touched() + if clip.is_some() { 1.0 } else { 0.0 } + if packs { 2.0 } else { 0.0 };
        let engine = self.setup.engine();
        let micros = self.micros(batch, Goal::Both) + engine.micros::<T>(0.0, touched * len as f64);
        let breadth = self.path.breadth(&self.setup, batch, Goal::Both);
        // Members that come for the parameters are no reason to cut the pass.
        *call.seats.get_mut() = engine.seats(micros, phases, breadth);
        let breadth = breadth.max(len.div_ceil(CHUNK));
        let (parts, mut sums) = (Parts::new(len), [0.0; Parts::MOST]);
        let repack = panels.map(|to| Repack::new(self, at, to.0));
        let train = Train {
            call: &call,
            path: &*self.path,
            groups: &self.groups,
            pass,
            params: Shared(at),
            grads,
            clip,
            parts,
            sums: Shared(sums.as_mut_ptr()),
            step: &step,
        };
        ws.seats = self.run((None, batch), (micros, phases, breadth), &train);
        // The last phase has packed them, or nothing has changed.
        core::mem::forget(repack);
        call.failed.result()?;
        let norm = clip.map(|_| norm(&sums[..parts.count()]));
        let stepped = norm.is_none_or(f64::is_finite);
        if stepped {
            optimizer.made();
        }
        // SAFETY: every row's loss was written; no item is left.
        let loss = unsafe { self.value(loss, &targets, memory, batch) };
        Ok(Trained { loss, norm, stepped })
    }
}

/// The phases of the pass; then the norm, if it is wanted; then one for each group of layers, in which it is stepped and the one
/// before it packed; and one that packs the last.
struct Train<'a, 'c, T: Scalar> {
    call: &'c Call<'a, T>,
    path: &'c dyn Path<T>,
    groups: &'c [Range<usize>],
    /// Phases of the pass.
    pass: usize,
    params: Shared<T>,
    grads: Shared<T>,
    clip: Option<f64>,
    parts: Parts,
    sums: Shared<f64>,
    step: &'c Step<T>,
}

/// A phase.
enum Phase {
    Pass(usize),
    Norm,
    /// The group to be stepped; the one before it is packed.
    Step(usize),
}

impl<T: Scalar> Train<'_, '_, T> {
    fn phase(&self, phase: usize) -> Phase {
        match (phase.checked_sub(self.pass), self.clip) {
            (None, _) => Phase::Pass(phase),
            (Some(0), Some(_)) => Phase::Norm,
            (Some(after), clip) => Phase::Step(after - usize::from(clip.is_some())),
        }
    }

    /// The parameters of group `g`; none of one that there is not.
    fn stepped(&self, g: usize) -> Range<usize> {
        let mlp = &self.call.setup.mlp;
        self.groups.get(g).map_or(0..0, |l| mlp.layer_offset(l.start)..end_of(mlp, l.end))
    }

    /// The packing items of the group before group `g`.
    fn packed(&self, g: usize) -> Range<usize> {
        let group = g.checked_sub(1).filter(|_| self.call.panels.is_some()).and_then(|g| self.groups.get(g));
        let count = |layers: Range<usize>| -> usize {
            layers.map(|l| self.path.panel_items_of(self.call.setup, l)).sum()
        };
        group.map_or(0..0, |l| {
            let first = count(0..l.start);
            first..first + count(l.clone())
        })
    }

    /// What the gradient is multiplied by; none if there is to be no step.
    fn factor(&self) -> Option<T> {
        if self.call.failed.met() {
            return None;
        }
        let Some(max) = self.clip else { return Some(T::ONE) };
        // SAFETY: the phase before has written them, and nothing writes them any more.
        let sums = unsafe { core::slice::from_raw_parts(self.sums.0.cast_const(), self.parts.count()) };
        factor(norm(sums), max)
    }
}

impl<T: Scalar> Schedule for Train<'_, '_, T> {
    fn items(&self, phase: usize) -> Option<usize> {
        match self.phase(phase) {
            // The pass may have fewer phases than it says at most: what follows it still does.
            Phase::Pass(phase) => Some(self.path.items(self.call, phase).unwrap_or(0)),
            Phase::Norm => Some(self.parts.count()),
            Phase::Step(g) => {
                let last = self.groups.len() - usize::from(self.call.panels.is_none());
                (g <= last).then(|| self.packed(g).len() + self.stepped(g).len().div_ceil(CHUNK))
            }
        }
    }

    fn alone(&self) {
        self.call.alone();
    }

    fn run(&self, seat: usize, phase: usize, item: usize) {
        let isa = self.call.setup.engine().isa;
        match self.phase(phase) {
            // SAFETY: as in `Plan::start`.
            Phase::Pass(phase) => unsafe { self.path.run(self.call, seat, phase, item) },
            Phase::Norm => {
                let Range { start, end } = self.parts.range(item);
                // SAFETY: the gradient is there, and only read in this phase; the place for its part's sum is the item's.
                unsafe {
                    let grads = core::slice::from_raw_parts(self.grads.add(start).cast_const(), end - start);
                    *self.sums.add(item) = squares(isa, grads);
                }
            }
            Phase::Step(g) => {
                let Some(factor) = self.factor() else { return };
                let packed = self.packed(g);
                if item < packed.len() {
                    let (setup, Some(to)) = (self.call.setup, self.call.panels) else { return };
                    // SAFETY: the group's parameters have been stepped; items pack disjoint panels, which the pass has read.
                    unsafe { self.path.pack_panels(setup, self.call.params, packed.start + item, to.0) };
                    return;
                }
                let of = self.stepped(g);
                let from = of.start + (item - packed.len()) * CHUNK;
                let n = CHUNK.min(of.end - from);
                // SAFETY: the pass is over; items have disjoint runs of parameters and gradient, and no item packs these.
                unsafe {
                    let (params, grads) = (part(self.params, from, n), part(self.grads, from, n));
                    if factor != T::ONE {
                        scale(isa, factor, grads);
                    }
                    self.step.run(isa, from, params, grads);
                }
            }
        }
    }
}
