//! The narrow path: the fused pass with samples in the lanes, for networks whose widths would not fill them.

use super::{
    calls::{Cotangent, Out, checked, slice, slots_of},
    fused::copy_rows,
    plan::{NarrowPlan, Plan},
    spec::Mlp,
};
use crate::{
    MatMut, MatRef, Scalar,
    dense::State,
    gemm::operand,
    memory::Regions,
    parallel::{Shared, for_each_item, tasks_for},
};
use nablas_kernels::{
    act::{Activation, BackwardRows, Rows, Saved},
    chain::CHAIN,
    gemm::{
        narrow::{Features, FoldLanes, LANES, NarrowForward, NarrowInputVjp, NarrowWeightVjp, clear_tail},
        pack::{CopyRows, Operand},
        shape::padded,
    },
};

/// Narrow networks have at most this many parameters: each has sixteen partial sums in a task's cache.
const NARROW_PARAMS: usize = 1 << 12;
/// Rows of a slot at least: the fold of the virtual lanes is then a few per cent of the slot's work.
const SLOT_ROWS: usize = 512;
/// Slots at most.
const MAX_SLOTS: usize = 64;
/// Rows of a tile at most.
pub(crate) const MAX_TILE_ROWS: usize = 512;
/// Rows of a slot that make one chain in each virtual lane.
pub(crate) const CHAIN_ROWS: usize = LANES * CHAIN;

/// Whether samples in the lanes pay: the network is small, and features in the lanes would make more than 15 %
/// multiply-adds on padding. A property of the network alone.
pub(crate) fn pays<T: Scalar>(mlp: &Mlp<T>) -> bool {
    let count = |width: &dyn Fn(usize) -> usize| -> usize {
        let layer = |(l, s): (usize, &super::LayerSpec<T>)| {
            let backward = if l == 0 { 1 } else { 2 };
            s.inputs * width(s.outputs) + backward * s.outputs * width(s.inputs)
        };
        mlp.layers().iter().enumerate().map(layer).sum()
    };
    mlp.param_len() <= NARROW_PARAMS && count(&padded) as f64 > 1.15 * count(&|n| n) as f64
}

/// The partial gradients of a batch: how many, and the rows of each. By shape alone; near a power of two, so that
/// two, four and eight threads have about equal shares.
pub(crate) fn slots(batch: usize) -> (usize, usize) {
    let count = max_slots(batch);
    let rows = batch.div_ceil(count).next_multiple_of(64);
    (batch.div_ceil(rows.max(1)), rows)
}

/// Slots that no batch of at most `batch` rows exceeds.
pub(crate) fn max_slots(batch: usize) -> usize {
    let most = (batch / SLOT_ROWS).clamp(1, MAX_SLOTS);
    1 << most.ilog2()
}

/// Tiles that no batch of at most `batch` rows exceeds.
pub(crate) fn max_tiles(batch: usize, tile_rows: usize) -> usize {
    // A slot's rows and a tile's are multiples of 64, so m slots have at most (m·rows + m·(tile − 64)) / tile
    // tiles, and m·rows is less than the batch and 64·m.
    (max_slots(batch) - 1).saturating_add(batch.div_ceil(tile_rows).max(1))
}

/// Where one layer's state lies in a tile, in rows of its leading dimension.
#[derive(Debug, Clone, Copy)]
struct LayerStore {
    a: usize,
    g: usize,
    mask: usize,
}

/// Where the state of a tile lies, feature-major: one leading dimension for all.
#[derive(Debug, Clone)]
pub(crate) struct NarrowStore {
    layers: alloc::vec::Vec<LayerStore>,
    x: usize,
    dy: usize,
    /// A_L and ∂L/∂A_L, row-major, as losses take them.
    y: [usize; 2],
    ld: usize,
    pub(crate) len: usize,
}

impl NarrowStore {
    pub(crate) fn new<T: Scalar>(mlp: &Mlp<T>, tile_rows: usize) -> Self {
        let mut end = 0;
        let mut take = |features: usize| {
            end += features;
            end - features
        };
        let layers = mlp
            .layers()
            .iter()
            .map(|l| LayerStore {
                a: take(l.outputs),
                g: take(l.outputs),
                mask: take(match l.activation.saved() {
                    Saved::Mask => l.outputs.div_ceil(8 * size_of::<T>()),
                    _ => 0,
                }),
            })
            .collect();
        let (x, dy) = (take(mlp.inputs()), take(mlp.outputs()));
        let y = [take(mlp.outputs()), take(mlp.outputs())];
        // Off a power of two, or the features of a sample would fall into few sets of the caches.
        let ld = tile_rows.next_multiple_of(64) + 16;
        Self { layers, x, dy, y, ld, len: end * ld }
    }

    /// Bytes of state a row.
    pub(crate) fn row_bytes<T: Scalar>(mlp: &Mlp<T>) -> usize {
        let widths: usize = mlp.layers().iter().map(|l| 2 * l.outputs).sum();
        (widths + mlp.inputs()) * size_of::<T>()
    }
}

/// Where Wᵀ of every layer lies.
pub(crate) fn transposed<T: Scalar>(mlp: &Mlp<T>, at: &mut Regions) -> alloc::vec::Vec<usize> {
    mlp.layers().iter().map(|l| at.take::<T>(l.inputs * l.outputs)).collect()
}

/// A tile's memory.
#[derive(Clone, Copy)]
struct Tile<'a, T> {
    base: *mut T,
    store: &'a NarrowStore,
}

impl<T: Scalar> Tile<'_, T> {
    fn features(self, row: usize) -> Features<T> {
        let ld = self.store.ld;
        Features { ptr: self.base.wrapping_add(row * ld), ld }
    }

    fn a(self, l: usize) -> Features<T> {
        self.features(self.store.layers[l].a)
    }

    /// What layer index `l` saves: in memory laid out as a layer of `samples` outputs with features as rows.
    fn state(self, act: Activation<T>, l: usize) -> State<T> {
        let s = self.store.layers[l];
        let values = self.features(if act.saved() == Saved::Output { s.a } else { s.g });
        let mask = match act.saved() {
            Saved::Mask => self.features(s.mask).ptr.cast(),
            _ => core::ptr::null_mut(),
        };
        State { values: values.ptr, ld: values.ld, mask, mask_ld: self.store.ld / 8 }
    }
}

/// The network and its parameters: what every tile reads.
#[derive(Clone, Copy)]
struct Net<'a, T: Scalar> {
    plan: &'a Plan<T>,
    narrow: &'a NarrowPlan,
    params: &'a [T],
    memory: Shared<T>,
}

impl<'a, T: Scalar> Net<'a, T> {
    fn mlp(&self) -> &'a Mlp<T> {
        &self.plan.mlp
    }

    fn weights(&self, l: usize) -> Operand<T> {
        let spec = &self.mlp().layers()[l];
        Operand { ptr: self.params[self.mlp().layer_offset(l)..].as_ptr(), rs: spec.inputs as isize, cs: 1 }
    }

    fn transposed(&self, l: usize) -> Operand<T> {
        let rs = self.mlp().layers()[l].outputs as isize;
        Operand { ptr: self.memory.add(self.narrow.transposed[l]).cast_const(), rs, cs: 1 }
    }

    /// A task's tile, and its sums in virtual lanes.
    fn arena(&self, task: usize) -> (Tile<'a, T>, *mut T) {
        let (at, stride) = self.narrow.arenas;
        let base = self.memory.add(at + task * stride);
        (Tile { base, store: &self.narrow.store }, base.wrapping_add(self.narrow.sums))
    }

    /// Tile `i` of the batch, where state is kept.
    fn kept(&self, i: usize) -> Option<Tile<'a, T>> {
        let (at, stride) = self.narrow.kept?;
        Some(Tile { base: self.memory.add(at + i * stride), store: &self.narrow.store })
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
            self.plan.engine.run_raw(copy);
            clear_tail(to, cols, rows);
        }
    }

    /// A tile's features into `rows` rows of a matrix.
    ///
    /// # Safety
    /// The features are readable and `to` is writable over rows × cols.
    unsafe fn store(&self, from: Features<T>, (rows, cols): (usize, usize), to: (*mut T, isize, isize)) {
        let a = Operand { ptr: from.ptr.cast_const(), rs: 1, cs: from.ld as isize };
        // SAFETY: the caller's promise.
        unsafe {
            match to {
                (dst, rs, 1) if rs >= 0 => {
                    self.plan.engine.run_raw(CopyRows { a, m: rows, k: cols, dst, ld: rs as usize });
                }
                _ => copy_rows((rows, cols), a, to),
            }
        }
    }

    /// Forward through all layers for the rows of `x`; A_L into `y` as well, if given.
    ///
    /// # Safety
    /// The tile and `y` are writable over the rows, and nothing else accesses them.
    unsafe fn forward(
        &self,
        tile: Tile<'_, T>,
        x: MatRef<'_, T>,
        save: bool,
        y: Option<(*mut T, isize, isize)>,
    ) {
        let samples = x.nrows();
        let mut input = tile.features(tile.store.x);
        // SAFETY: the caller's promise; each layer has its own part of the tile.
        unsafe {
            self.load(x, input);
            for (l, spec) in self.mlp().layers().iter().enumerate() {
                let (k, m, act) = (spec.inputs, spec.outputs, spec.activation);
                let (w, a) = (self.weights(l), tile.a(l));
                let bias = w.ptr.wrapping_add(k * m);
                let save = if save { tile.state(act, l) } else { State::NONE }.save(act);
                self.plan.engine.run_raw(NarrowForward { m, k, samples, w, x: input, bias, a, save, act });
                input = a;
            }
            if let Some(y) = y {
                self.store(input, (samples, self.mlp().outputs()), y);
            }
        }
    }

    /// Puts ∂L/∂A_L of rows `start..end` where [`backward`](Self::backward) of the tile starts from.
    ///
    /// # Safety
    /// The tile is valid over the rows, and for a loss its A_L has been computed; nothing else accesses either.
    unsafe fn seed(&self, cotangent: Cotangent<'_, T>, tile: Tile<'_, T>, start: usize, end: usize) {
        let (rows, n) = (end - start, self.mlp().outputs());
        let dy = tile.features(tile.store.dy);
        // SAFETY: the caller's promise; the row losses of start..end are this call's alone.
        unsafe {
            match cotangent {
                Cotangent::Given(m) => self.load(slice(m, start, end), dy),
                Cotangent::Loss(loss, targets, scale) => {
                    let [y, delta] = tile.store.y.map(|at| tile.features(at).ptr);
                    self.store(tile.a(self.mlp().layers().len() - 1), (rows, n), (y, n as isize, 1));
                    let y = MatRef::from_raw_parts(y.cast_const(), rows, n, n as isize, 1);
                    let to = MatMut::from_raw_parts(delta, rows, n, n as isize, 1);
                    let losses = self.memory.add(self.plan.losses + start);
                    let losses = core::slice::from_raw_parts_mut(losses, rows);
                    let targets = targets.rows(start..end);
                    let isa = self.plan.engine.isa;
                    checked(targets.and_then(|t| loss.rows(isa, y, t, scale, to, losses)));
                    let delta = MatRef::from_raw_parts(delta.cast_const(), rows, n, n as isize, 1);
                    self.load(delta, dy);
                }
            }
        }
    }

    /// Backward through all layers: adds dW and db of the tile to `sums` (or sets them, if `fresh`), in virtual
    /// lanes; writes dX, if asked for. `acts` holds what the forward pass saved, `work` takes the δ_l; they may be
    /// the same tile.
    ///
    /// # Safety
    /// The tiles are valid over `samples` rows, `sums` over [`LANES`] times the parameters, `dx` over the rows;
    /// nothing else accesses them.
    unsafe fn backward(
        &self,
        acts: Tile<'_, T>,
        work: Tile<'_, T>,
        samples: usize,
        sums: *mut T,
        fresh: bool,
        dx: Option<(*mut T, isize, isize)>,
    ) {
        let layers = self.mlp().layers();
        let last = layers.len() - 1;
        let mut delta = work.features(work.store.dy);
        // SAFETY: the caller's promise; δ of a layer takes the place of its derivative, which is read for the last
        // time as it is overwritten.
        unsafe {
            let act = layers[last].activation;
            let d = Rows { ptr: delta.ptr, ld: delta.ld, rows: layers[last].outputs, cols: samples };
            let kept = acts.state(act, last).kept(act);
            self.plan.engine.run(BackwardRows::new(act, d, kept, core::ptr::null_mut()));
            for l in (0..layers.len()).rev() {
                let (n, m) = (layers[l].inputs, layers[l].outputs);
                let a = if l > 0 { acts.a(l - 1) } else { acts.features(acts.store.x) };
                let dw = sums.wrapping_add(self.mlp().layer_offset(l) * LANES);
                let db = dw.wrapping_add(n * m * LANES);
                self.plan.engine.run_raw(NarrowWeightVjp { m, n, samples, delta, a, dw, db, fresh });
                let (wt, m, k) = (self.transposed(l), n, m);
                if l > 0 {
                    let act = layers[l - 1].activation;
                    let derivative = acts.state(act, l - 1).derivative(act);
                    let out = work.features(work.store.layers[l - 1].g);
                    self.plan.engine.run_raw(NarrowInputVjp { m, k, samples, wt, delta, derivative, out });
                    delta = out;
                } else if let Some(dx) = dx {
                    // X of the tile has been read for the last time, unless it is kept, and then it is not `work`'s.
                    let (out, act) = (work.features(work.store.x), Activation::Identity);
                    let derivative = State::NONE.derivative(act);
                    self.plan.engine.run_raw(NarrowInputVjp { m, k, samples, wt, delta, derivative, out });
                    self.store(out, (samples, m), dx);
                }
            }
        }
    }
}

/// A tile of a batch: its number, its rows, which of its slot's chains they are of, and whether they are the first or
/// the last of that chain.
#[derive(Clone, Copy)]
struct Span {
    index: usize,
    start: usize,
    end: usize,
    chain: usize,
    first: bool,
    last: bool,
}

impl NarrowPlan {
    /// The tiles of slot `s` of a batch.
    fn tiles(&self, s: usize, batch: usize) -> impl Iterator<Item = Span> {
        let ((_, rows), tile) = (slots(batch), self.tile_rows);
        let (from, to, each) = (s * rows, batch.min((s + 1) * rows), rows.div_ceil(tile));
        (0..(to - from).div_ceil(tile)).map(move |j| {
            let start = from + j * tile;
            let end = to.min(start + tile);
            // A tile never has rows of two chains: where a slot has several, its height divides theirs.
            let (at, next) = (start - from, end - from);
            let last = end == to || next % CHAIN_ROWS == 0;
            Span {
                index: s * each + j,
                start,
                end,
                chain: at / CHAIN_ROWS,
                first: at % CHAIN_ROWS == 0,
                last,
            }
        })
    }
}

impl<T: Scalar> Plan<T> {
    fn narrow_net<'a>(&'a self, narrow: &'a NarrowPlan, params: &'a [T], base: *mut T) -> Net<'a, T> {
        Net { plan: self, narrow, params, memory: Shared(base) }
    }

    /// Y ← A_L, keeping the state if the plan has memory for it.
    pub(crate) fn narrow_forward(
        &self,
        narrow: &NarrowPlan,
        params: &[T],
        base: *mut T,
        x: MatRef<'_, T>,
        y: Option<Out<T>>,
    ) {
        let batch = x.nrows();
        let net = self.narrow_net(narrow, params, base);
        let tasks = tasks_for(self.step_flop(batch), self.engine.threads);
        for_each_item(tasks, slots(batch).0, &|task, s| {
            for t in narrow.tiles(s, batch) {
                let tile = net.kept(t.index);
                let save = tile.is_some();
                let tile = tile.unwrap_or(net.arena(task).0);
                let x = slice(x, t.start, t.end);
                // SAFETY: tiles have disjoint rows, and a task its own arena.
                unsafe { net.forward(tile, x, save, y.map(|y| y.row(t.start))) }
            }
        });
    }

    /// `grads` ← dW and db: forward and backward, or backward alone from the `kept` state. The batch is not empty.
    pub(crate) fn narrow_gradient(
        &self,
        narrow: &NarrowPlan,
        params: &[T],
        base: *mut T,
        x: MatRef<'_, T>,
        cotangent: Cotangent<'_, T>,
        (y, dx): (Option<Out<T>>, Option<Out<T>>),
        grads: &mut [T],
        kept: bool,
    ) {
        let batch = x.nrows();
        let net = self.narrow_net(narrow, params, base);
        // Without dX, the deltas end above the first layer.
        for (l, spec) in self.mlp.layers().iter().enumerate().skip(usize::from(dx.is_none())) {
            let (m, k, dst) = (spec.inputs, spec.outputs, base.wrapping_add(narrow.transposed[l]));
            // SAFETY: W is valid over its shape, and there is room for Wᵀ in the workspace.
            unsafe { self.engine.run_raw(CopyRows { a: net.weights(l).t(), m, k, dst, ld: k }) };
        }
        let tasks = tasks_for(self.step_flop(batch), self.engine.threads);
        let slot = slots_of(grads.as_mut_ptr(), base, narrow.slots);
        let (count, _) = slots(batch);
        for_each_item(tasks, count, &|task, s| {
            let (work, sums) = net.arena(task);
            let (at, stride) = narrow.chains;
            for t in narrow.tiles(s, batch) {
                let acts = if kept { net.kept(t.index).unwrap_or(work) } else { work };
                let dx = dx.map(|d| d.row(t.start));
                // SAFETY: a task's own arena; rows of Y and dX that are this tile's alone; kept state is only read.
                unsafe {
                    if !kept {
                        net.forward(work, slice(x, t.start, t.end), true, y.map(|y| y.row(t.start)));
                    }
                    net.seed(cotangent, work, t.start, t.end);
                    net.backward(acts, work, t.end - t.start, sums, t.first, dx);
                }
                if t.last {
                    // As on the fused path: the slot's first chains are its gradient so far, later ones are added.
                    let out = if t.chain == 0 { slot(s) } else { net.memory.add(at + task * stride) };
                    // SAFETY: the slot is this item's alone, and the other buffer the task's.
                    unsafe { self.engine.run_raw(FoldLanes { lanes: sums, out, count: params.len() }) };
                    if t.chain > 0 {
                        self.add_chain(slot(s), out, params.len());
                    }
                }
            }
        });
        self.fold_slots(count, grads, base, narrow.slots);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_tiles_cover_the_batch() {
        for batch in (1..3000).chain([65_536, 262_144, 1_000_003]) {
            let (count, rows) = slots(batch);
            assert!(count * rows >= batch && (count - 1) * rows < batch && count <= max_slots(batch));
            for tile in [64, 192, 320, 512] {
                assert!(count * rows.div_ceil(tile) <= max_tiles(batch, tile), "{batch} {tile}");
            }
        }
    }
}
