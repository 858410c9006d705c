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
    ends::{Cotangent, RowsAt, copy_rows, slice},
    fold::{Groups, Sums, add},
    narrow_few::Few,
    narrow_store::{NarrowStore, Tile},
    params::Places,
    pass::{self, Layers},
    path::{Path, PathKind},
    setup::Setup,
    slots::{MAX_SLOTS, Slots, Span},
    spec::{LayerSpec, Mlp},
};
use crate::{
    MatMut, MatRef, Scalar,
    engine::Engine,
    gemm::operand,
    memory::{Regions, Strided, line},
    shared::Shared,
};
use alloc::{format, string::String, vec::Vec};
use nablas_kernels::{
    act::{Activation, BackwardRows, Rows, Saved, State},
    cache,
    gemm::{
        dense::{ForwardTile, InputVjpTile},
        epilogue::Bias,
        narrow::{Features, FoldLanes, NarrowWeightVjp, VIRTUAL_LANES, clear_tail, whole_lanes},
        pack::{CopyRows, Operand, Right},
        row_major::RowMajor,
        shape::padded,
        tile::CHAIN,
    },
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
            return (phase < 3).then_some(usize::from(phase == 0));
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

/// The network and its parameters: what every tile reads.
#[derive(Clone, Copy)]
struct NarrowNet<'a, T: Scalar> {
    mlp: &'a Mlp<T>,
    engine: &'a Engine,
    params: Places<'a, T>,
    transposed: &'a [usize],
    /// Wᵀ of every layer: only read once it is there.
    panels: Shared<T>,
}

impl<T: Scalar> NarrowNet<'_, T> {
    fn weights(&self, l: usize) -> Operand<T> {
        let rs = self.mlp.layers()[l].inputs as isize;
        Operand { ptr: self.params.w(l).cast_const(), rs, cs: 1 }
    }

    fn transposed(&self, l: usize) -> Operand<T> {
        let rs = self.mlp.layers()[l].outputs as isize;
        Operand { ptr: self.panels.add(self.transposed[l]).cast_const(), rs, cs: 1 }
    }

    /// Wᵀ of a layer.
    ///
    /// # Safety
    /// The parameters are valid, the panels writable; nothing else accesses this one.
    unsafe fn transpose(&self, l: usize) {
        let spec = &self.mlp.layers()[l];
        let (m, k, dst) = (spec.inputs, spec.outputs, self.panels.add(self.transposed[l]));
        // SAFETY: W is valid over its shape, and there is room for Wᵀ.
        unsafe { self.engine.run_raw(CopyRows { a: self.weights(l).t(), m, k, dst, ld: k }) }
    }

    /// Rows of a matrix into a tile's features.
    ///
    /// # Safety
    /// The features are writable over the tile's rows, and overlap nothing else.
    unsafe fn load(&self, x: MatRef<'_, T>, to: Features<T>) {
        let (rows, cols) = x.shape();
        // SAFETY: the caller's promise.
        unsafe {
            let copy = CopyRows { a: operand(x).t(), m: cols, k: rows, dst: to.ptr, ld: to.ld };
            self.engine.run_raw(copy);
            clear_tail(to, cols, rows);
        }
    }

    /// A tile's features into `rows` rows of a matrix.
    ///
    /// # Safety
    /// The features are readable and `to` is writable over rows × cols.
    unsafe fn store(&self, from: Features<T>, (rows, cols): (usize, usize), to: RowsAt<T>) {
        let a = Operand { ptr: from.ptr.cast_const(), rs: 1, cs: from.ld as isize };
        // SAFETY: the caller's promise.
        unsafe {
            match to {
                (dst, rs, 1) if rs >= 0 => {
                    self.engine.run_raw(CopyRows { a, m: rows, k: cols, dst, ld: rs as usize });
                }
                _ => copy_rows((rows, cols), a, to),
            }
        }
    }
}

/// A tile on its way through the layers. Whoever makes one vouches: its tiles and `dx` are valid over the samples, `sums`
/// over [`VIRTUAL_LANES`] times the parameters, nothing else accesses what it writes, and Wᵀ is there for a backward pass.
struct Through<'a, T: Scalar> {
    net: NarrowNet<'a, T>,
    /// What the forward pass saves and the backward pass reads.
    acts: Tile<'a, T>,
    /// What takes δ.
    work: Tile<'a, T>,
    /// The two are one: δ_l takes the place of g'(Z_l), which is read for the last time as it is overwritten.
    shared: bool,
    samples: usize,
    /// A_{l−1}.
    input: Features<T>,
    /// Whether state is saved.
    save: bool,
    /// dW and db in virtual lanes.
    sums: *mut T,
    /// They are set, not added to.
    fresh: bool,
    /// The tile is all of a run, whose gradient goes there.
    whole: Option<Places<'a, T>>,
    dx: Option<RowsAt<T>>,
    /// δ_l.
    delta: Features<T>,
}

impl<T: Scalar> Through<'_, T> {
    /// Puts ∂L/∂A_L of rows `start..end` of the batch where the backward pass starts from.
    ///
    /// # Safety
    /// The tile is valid over the rows, and for a loss its A_L has been computed; the row losses are this call's alone.
    unsafe fn seed(&self, call: &Call<'_, T>, cotangent: &Cotangent<'_, T>, start: usize, end: usize) {
        let (net, rows, n) = (&self.net, end - start, self.net.mlp.outputs());
        let dy = self.work.features(self.work.store.dy);
        // SAFETY: the caller's promise.
        unsafe {
            match cotangent {
                Cotangent::Given(m) => net.load(slice(*m, start, end), dy),
                Cotangent::Loss(..) => {
                    let [y, delta] = self.work.store.y.map(|at| self.work.features(at).ptr);
                    net.store(self.acts.a(net.mlp.layers().len() - 1), (rows, n), (y, n as isize, 1));
                    let y = MatRef::from_raw_parts(y.cast_const(), rows, n, n as isize, 1);
                    let to = MatMut::from_raw_parts(delta, rows, n, n as isize, 1);
                    call.row_losses(cotangent, start, y, to);
                    net.load(MatRef::from_raw_parts(delta.cast_const(), rows, n, n as isize, 1), dy);
                }
            }
        }
    }
}

impl<T: Scalar> Layers for Through<'_, T> {
    fn forward(&mut self, l: usize) {
        let (net, x, samples) = (&self.net, self.input, self.samples);
        let spec = &net.mlp.layers()[l];
        let (k, m, act) = (spec.inputs, spec.outputs, spec.activation);
        let (w, bias, a) = (net.weights(l), net.params.b(l).cast_const(), self.acts.a(l));
        let save = if self.save { self.acts.state(act, l).written(act) } else { State::Nothing };
        self.input = a;
        // SAFETY: the pass' maker vouched; each layer has its own part of the tile.
        unsafe {
            let (n, w, x, bias) = (whole_lanes(samples), Right::Rows(x.ptr, x.ld), w, Bias::Rows(bias));
            let out = RowMajor::new(a.ptr, a.ld);
            net.engine.run_raw(ForwardTile { m, k, n, x, w, bias, a: out, save, act, whole: true });
            clear_tail(a, m, samples);
        }
    }

    fn output_delta(&mut self) {
        let last = self.net.mlp.layers().len() - 1;
        let act = self.net.mlp.layers()[last].activation;
        self.delta = self.work.features(self.work.store.dy);
        let Features { ptr, ld } = self.delta;
        let d = Rows { ptr, ld, rows: self.net.mlp.outputs(), cols: self.samples };
        let kept = self.acts.state(act, last);
        // SAFETY: the pass' maker vouched.
        unsafe { self.net.engine.run(BackwardRows::new(act, d, kept, core::ptr::null_mut())) }
    }

    fn weight_vjp(&mut self, l: usize) {
        let (samples, delta, fresh) = (self.samples, self.delta, self.fresh);
        let (n, m) = (self.net.mlp.layers()[l].inputs, self.net.mlp.layers()[l].outputs);
        let a = if l > 0 { self.acts.a(l - 1) } else { self.acts.x() };
        let dw = self.sums.wrapping_add(self.net.mlp.layer_offset(l) * VIRTUAL_LANES);
        let db = dw.wrapping_add(n * m * VIRTUAL_LANES);
        let whole = self.whole.map(|to| (to.w(l), to.b(l)));
        // SAFETY: the pass' maker vouched.
        unsafe { self.net.engine.run_raw(NarrowWeightVjp { m, n, samples, delta, a, dw, db, fresh, whole }) }
    }

    fn input_vjp(&mut self, l: usize) {
        let (net, samples, delta, wt) = (&self.net, self.samples, self.delta, self.net.transposed(l));
        let (m, k) = (net.mlp.layers()[l].inputs, net.mlp.layers()[l].outputs);
        let (out, act, state) = if l > 0 {
            let (act, out) = (net.mlp.layers()[l - 1].activation, self.work.g(l - 1));
            let state = match self.shared && act.saved() == Saved::Derivative {
                true => State::Values { ptr: out.ptr, ld: out.ld },
                false => self.acts.state(act, l - 1),
            };
            (out, act, state)
        } else {
            // X of the tile has been read for the last time, unless it is kept, and then it is not `work`'s.
            (self.work.x(), Activation::Identity, State::Nothing)
        };
        self.delta = out;
        // SAFETY: the pass' maker vouched; δ takes the place of a derivative only where the two are one.
        unsafe {
            let (n, w, to) =
                (whole_lanes(samples), Right::Rows(delta.ptr, delta.ld), RowMajor::new(out.ptr, out.ld));
            let (delta, sums) = (wt, core::ptr::null_mut());
            net.engine.run_raw(InputVjpTile { m, k, n, delta, w, act, state, out: to, sums, whole: true });
            clear_tail(out, m, samples);
            if let Some(dx) = self.dx.filter(|_| l == 0) {
                net.store(out, (samples, m), dx);
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
