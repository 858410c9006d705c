//! The narrow path: the fused one with samples in the lanes, for networks whose widths would not fill them.
//!
//! ```text
//! transpose   item (layer):                       Wᵀ, for the input VJP
//!
//! slots       item (group of slots), on a seat:
//!   for each slot, for each of its tiles:         feature f of sample s at f·ld + s, from here on
//!       Xᵀ ← rows of X
//!       for l in 1, …, L:   A_lᵀ ← g(W_l·A_{l−1}ᵀ + b_l), and what g' needs     W is read one scalar at a time
//!       δ_Lᵀ ← (∂L/∂A_L)ᵀ ⊙ g'ᵀ                   a loss is made of rows: A_L goes back, and its delta comes
//!       for l in L, …, 1:   lane j of dW_l, db_l += samples j, j + 16, j + 32, …
//!                           δ_{l−1}ᵀ ← (W_lᵀ·δ_lᵀ) ⊙ g'ᵀ
//!       at the end of a run: the sixteen lanes are added: j and j + 8, then j and j + 4, 2, 1
//!
//! fold        item (4,096 parameters):            as on the fused path
//! ```
//!
//! **Why.** Vectors of sixteen hold twenty features in two, and twelve lanes are idle. Samples fill them at any width,
//! but for the batch's last sixteen. Rows of Y, δ and dX have the chains that they have on any path.
//!
//! **Why sixteen lanes of a sum.** dW sums over samples, and so across lanes. As many partial sums as an instruction
//! set has lanes would give each its own bits: hence sixteen *virtual lanes* on every one and for both types. A lane's
//! chain has 512 terms, so a run has 8,192 rows. A tile that is a whole run folds the lanes of a few rows of dW at
//! once; otherwise each parameter has its sixteen sums in the arena, which is why networks of more than 4,096 are not
//! narrow.
//!
//! What would be tempting, and is wrong:
//! - *To choose this path by a plan's largest batch*: it sums dW in another order than the fused one, and a call's bits
//!   would tell of rows that it does not have. So the network decides alone. A few rows, which leave lanes empty, go
//!   through the layers with features in them (`narrow_few.rs`), but their dW is summed as here.
//! - *To leave what lies beyond the samples*: dW takes whole lanes, so these are kept at 0.
//! - *Tiles with rows of a power of two*: the features of a sample would fall into few sets of the caches.

use super::{
    call::{Backward, Call, Goal},
    ends::slice,
    fold::{Groups, Sums, add},
    narrow_few::Few,
    narrow_store::{NarrowStore, Tile},
    narrow_tile::{NarrowNet, Through},
    params::Places,
    pass,
    path::{Path, PathKind},
    setup::Setup,
    slots::{MAX_SLOTS, Slots, Span},
    spec::{LayerSpec, Mlp},
};
use crate::{
    Scalar,
    memory::{Regions, Strided, line},
    shared::Shared,
};
use alloc::{format, string::String, vec::Vec};
use nablas_kernels::{
    cache,
    gemm::{narrow::FoldLanes, shape::padded, tile::CHAIN},
    reduce::VIRTUAL_LANES,
};

/// Narrow networks have at most this many parameters: each has sixteen partial sums in a seat's cache.
const NARROW_PARAMS: usize = 1 << 12;
/// Rows of a slot at least: the fold of the virtual lanes is then a few per cent of the slot's work.
const SLOT_ROWS: usize = 512;
/// Rows of a tile at most.
const MAX_TILE_ROWS: usize = 512;
/// Up to so many rows, over the square of [`padding`], go with features in the lanes: measured, leaves no trace in the bits.
const FEW_ROWS: f64 = 58.0;
/// Rows whose sums are one chain in each virtual lane.
const RUN: usize = CHAIN * VIRTUAL_LANES;

/// Whether samples in the lanes pay: the network is small, and features in the lanes would make more than 15 %
/// multiply-adds on padding. A property of the network alone.
pub(crate) fn pays<T: Scalar>(mlp: &Mlp<T>) -> bool {
    mlp.param_len() <= NARROW_PARAMS && padding(mlp) > 1.15
}

/// Multiply-adds with features in the lanes, over those that there are.
fn padding<T: Scalar>(mlp: &Mlp<T>) -> f64 {
    let count = |width: &dyn Fn(usize) -> usize| -> usize {
        let layer = |(l, s): (usize, &LayerSpec<T>)| {
            let backward = if l == 0 { 1 } else { 2 };
            s.inputs * width(s.outputs) + backward * s.outputs * width(s.inputs)
        };
        mlp.layers().iter().enumerate().map(layer).sum()
    };
    count(&padded) as f64 / count(&|n| n).max(1) as f64
}

/// The partial gradients of a batch: near a power of two, so that two, four and eight members have about equal shares.
fn slots(batch: usize) -> Slots {
    Slots::new(batch, max_slots(batch), 64, RUN)
}

/// Slots that no batch of at most `batch` rows exceeds.
fn max_slots(batch: usize) -> usize {
    let most = (batch / SLOT_ROWS).clamp(1, MAX_SLOTS);
    1 << most.ilog2()
}

/// What the narrow path has planned.
#[derive(Debug)]
pub(crate) struct Narrow {
    tile_rows: usize,
    tile: NarrowStore,
    kept: NarrowStore,
    /// Where Wᵀ of every layer lies, from the panels' base.
    transposed: Vec<usize>,
    panels: usize,
    panels_len: usize,
    /// A seat's tile; from its start the sums in virtual lanes, and the gradient of a run that is not its slot's first.
    arenas: Strided,
    sums: usize,
    run_sums: Option<usize>,
    partials: Sums,
    few: Few,
}

impl Narrow {
    pub(crate) fn new<T: Scalar>(setup: &Setup<T>, at: &mut Regions) -> Self {
        let (mlp, batch, params) = (&setup.mlp, setup.max_batch, setup.mlp.param_len());
        let (tile, kept) = (NarrowStore::tile(mlp), NarrowStore::kept(mlp));
        // A tile's state takes a quarter of L2, the sums about as much; how tall it is leaves no trace in the bits.
        let fit = cache::detect().l2 / 4 / NarrowStore::row_bytes(mlp).max(1);
        let rows = (fit / 64 * 64).clamp(64, MAX_TILE_ROWS);
        let tile_rows = rows.min(batch.clamp(1, rows).next_multiple_of(64));
        let mut inside = Regions::default();
        let transposed = mlp.layers().iter().map(|l| inside.take::<T>(l.inputs * l.outputs)).collect();
        let panels_len = inside.len("panels").unwrap_or(usize::MAX);
        let panels = at.take::<T>(panels_len);
        let mut arena = Regions::default();
        arena.take::<T>(tile.features * Tile::<T>::arena_ld(tile_rows));
        let sums = arena.take::<T>(VIRTUAL_LANES * params);
        let run_sums = (slots(batch).rows > RUN).then(|| arena.take::<T>(params));
        let len = arena.len("an arena").unwrap_or(usize::MAX);
        debug_assert!(len.is_multiple_of(line::<T>()) || len == usize::MAX);
        let arenas = at.take_many::<T>(setup.engine().threads, len);
        let room = Groups::room(max_slots(batch), setup.engine().threads);
        let partials = Sums(at.take_many::<T>(room, params));
        let lanes = padding(mlp);
        let few = Few::new(mlp, batch.min((FEW_ROWS / (lanes * lanes)) as usize), at);
        Self { tile_rows, tile, kept, transposed, panels, panels_len, arenas, sums, run_sums, partials, few }
    }

    fn net<'a, T: Scalar>(&'a self, call: &Call<'a, T>) -> NarrowNet<'a, T> {
        let panels = call.panels.map_or(call.memory.add(self.panels), |p| p.0);
        let (mlp, engine) = (&call.setup.mlp, call.setup.engine());
        NarrowNet { mlp, engine, params: call.params, transposed: &self.transposed, panels: Shared(panels) }
    }

    /// A seat's tile, and the start of its arena.
    fn arena<'a, T: Scalar>(&'a self, call: &Call<'_, T>, seat: usize) -> Tile<'a, T> {
        let base = call.memory.add(self.arenas.nth(seat));
        Tile { base, store: &self.tile, ld: Tile::<T>::arena_ld(self.tile_rows) }
    }

    /// Where the state of a tile of the batch is kept, if it is.
    fn kept<'a, T: Scalar>(&'a self, call: &Call<'_, T>, t: Span) -> Option<Tile<'a, T>> {
        let base = call.kept?.add(self.kept.features * t.start);
        Some(Tile { base, store: &self.kept, ld: (t.end - t.start).next_multiple_of(VIRTUAL_LANES) })
    }

    /// The slots of a call in groups: of one each, where there is nothing to fold.
    fn groups<T: Scalar>(&self, call: &Call<'_, T>) -> Groups {
        let slots = slots(call.batch()).count;
        Groups::new(slots, if call.backward.is_some() { call.seats() } else { slots })
    }

    /// Slot `s` of the batch, all of its tiles; its gradient, if that is wanted, into the given place.
    ///
    /// # Safety
    /// As for [`Path::run`].
    unsafe fn slot<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        seat: usize,
        s: usize,
        gradient: Option<(&Backward<'_, T>, Places<'_, T>)>,
    ) {
        let (net, work, batch) = (self.net(call), self.arena(call, seat), call.batch());
        let sums = work.base.wrapping_add(self.sums);
        for t in slots(batch).tiles(s, batch, self.tile_rows) {
            let kept = self.kept(call, t);
            let y = call.y.map(|y| y.row(t.start));
            let dx = gradient.and_then(|(back, _)| back.dx).map(|d| d.row(t.start));
            let acts = kept.unwrap_or(work);
            let (shared, save) = (kept.is_none(), kept.is_some() || gradient.is_some());
            let (samples, input) = (t.end - t.start, acts.x());
            let delta = work.features(work.store.dy);
            // A run that is not its slot's first is added to the slot.
            let rest = self.run_sums.map(|at| work.base.wrapping_add(at)).filter(|_| !t.first);
            let run = gradient.map(|(_, own)| rest.map_or(own, |rest| Places::flat(net.mlp, rest)));
            let (fresh, whole) = (t.starts, run.filter(|_| t.starts && t.ends));
            let mut pass =
                Through { net, acts, work, shared, samples, input, save, sums, fresh, whole, dx, delta };
            let layers = net.mlp.layers().len();
            // SAFETY: a seat's own arena, an item's own slot; rows of Y, dX and losses that are this tile's alone; kept
            // state is this tile's to write, or only read.
            unsafe {
                if call.forward {
                    net.load(slice(call.x, t.start, t.end), input);
                    pass::forward(layers, &mut pass);
                    if let Some(y) = y {
                        net.store(pass.input, (samples, net.mlp.outputs()), y);
                    }
                }
                let Some((back, own)) = gradient else { continue };
                pass.seed(call, &back.cotangent, t.start, t.end);
                pass::backward(layers, dx.is_some(), &mut pass);
                if let Some(run) = run.filter(|_| t.ends && whole.is_none()) {
                    for (from, out, count) in run.pieces(0, net.mlp.param_len()) {
                        let lanes = sums.wrapping_add(from * VIRTUAL_LANES).cast_const();
                        net.engine.run_raw(FoldLanes { lanes, out, count });
                    }
                }
                if let Some(rest) = rest.filter(|_| t.ends) {
                    add(call, own, rest);
                }
            }
        }
    }
}

impl<T: Scalar> Path<T> for Narrow {
    fn kind(&self) -> PathKind {
        PathKind::Narrow
    }

    fn explain(&self, setup: &Setup<T>) -> String {
        format!(
            "{} parameters in widths that would leave lanes empty, so samples lie in the lanes and tiles of {} rows go \
             forward and backward through all layers in cache, into {} partial gradients",
            setup.mlp.param_len(),
            self.tile_rows,
            slots(setup.max_batch).count,
        )
    }

    fn kept_len(&self, batch: usize) -> usize {
        batch.checked_next_multiple_of(VIRTUAL_LANES).unwrap_or(usize::MAX).saturating_mul(self.kept.features)
    }

    fn panels_len(&self) -> usize {
        self.panels_len
    }

    fn panel_items_of(&self, _: &Setup<T>, _: usize) -> usize {
        1
    }

    unsafe fn pack_panels(&self, setup: &Setup<T>, params: Places<'_, T>, item: usize, to: *mut T) {
        let (mlp, engine) = (&setup.mlp, setup.engine());
        let net = NarrowNet { mlp, engine, params, transposed: &self.transposed, panels: Shared(to) };
        // SAFETY: the caller's promise.
        unsafe { net.transpose(item) }
    }

    fn touched(&self, setup: &Setup<T>, batch: usize, goal: Goal) -> f64 {
        let params = setup.mlp.param_len();
        let folded = if goal == Goal::Forward { 0 } else { slots(batch).count * (1 + VIRTUAL_LANES) };
        params as f64 * (1 + folded) as f64
    }

    fn breadth(&self, _: &Setup<T>, batch: usize, _: Goal) -> usize {
        slots(batch).count
    }

    fn phases(&self, _: &Setup<T>, _: usize, _: Goal) -> usize {
        3
    }

    fn items(&self, call: &Call<'_, T>, phase: usize) -> Option<usize> {
        if self.few.serves(call) {
            return (phase == 0).then_some(1);
        }
        let groups = self.groups(call);
        match (phase, &call.backward) {
            (0, Some(_)) if call.panels.is_none() => Some(call.setup.mlp.layers().len()),
            (0, _) => Some(0),
            (1, _) => Some(groups.count()),
            (2, Some(_)) => Some(Sums::items(call, groups)),
            _ => None,
        }
    }

    unsafe fn run(&self, call: &Call<'_, T>, seat: usize, phase: usize, item: usize) {
        // SAFETY: the caller's promise; items have disjoint Wᵀ, slots, and parts of the fold.
        unsafe {
            match (phase, &call.backward) {
                _ if self.few.serves(call) => self.few.run(call),
                // Without dX, the deltas end above the first layer.
                (0, Some(back)) if item > 0 || back.dx.is_some() => self.net(call).transpose(item),
                (1, None) => self.slot(call, seat, item, None),
                (1, Some(back)) => {
                    self.partials.make(call, back.grads, self.groups(call), (seat, item), |s, own| {
                        self.slot(call, seat, s, Some((back, own)));
                    })
                }
                (2, Some(back)) => self.partials.fold(call, back.grads, self.groups(call), item),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_cover_the_batch() {
        for batch in (1..3000).chain([65_536, 262_144, 1_000_003]) {
            let Slots { count, rows, .. } = slots(batch);
            assert!(count * rows >= batch && (count - 1) * rows < batch && count <= max_slots(batch));
        }
    }
}
