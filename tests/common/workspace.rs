//! How much memory plans ask for: the formulas of docs/ARCHITECTURE.md, "What a workspace holds", written down a second
//! time.

use nablas::{Mlp, PathKind, Scalar};
use nablas_kernels::{
    act::{Activation, Saved},
    cache::{self, Caches},
    gemm::{blocked::Blocking, shape::padded, tile::CHAIN},
};

/// A network on this machine, with the native backend unless `foreign`.
pub(crate) struct Formula<'a, T: Scalar> {
    mlp: &'a Mlp<T>,
    path: PathKind,
    foreign: bool,
    size: usize,
    caches: Caches,
}

impl<'a, T: Scalar> Formula<'a, T> {
    pub(crate) fn new(mlp: &'a Mlp<T>, path: PathKind, foreign: bool) -> Self {
        Self { mlp, path, foreign, size: size_of::<T>(), caches: cache::detect() }
    }

    /// Elements of a workspace for batches of at most `batch` rows.
    pub(crate) fn workspace(&self, batch: usize, threads: usize) -> usize {
        let len = match self.path {
            PathKind::Fused => self.panels() + self.fused(batch, threads),
            PathKind::Narrow => self.panels() + self.narrow(batch, threads),
            _ => self.layered(batch, threads),
        };
        len + self.lines(batch)
    }

    /// K(B): elements of a kept state of `batch` rows.
    pub(crate) fn kept(&self, batch: usize) -> usize {
        match self.path {
            PathKind::Narrow => {
                batch.next_multiple_of(16)
                    * (self.mlp.inputs() + self.sum(|_, n, act| self.features(n, act, false)))
            }
            _ => self.store(batch, false),
        }
    }

    /// Elements of the panels of packed parameters.
    pub(crate) fn panels(&self) -> usize {
        self.sum(|k, n, _| match self.path {
            PathKind::Fused => {
                let in_place = k <= 128 && k.is_multiple_of(16);
                let forward = if n <= 6 { 0 } else { k * padded(n) };
                forward + padded(n) + if in_place { 0 } else { n * padded(k) }
            }
            PathKind::Narrow => self.lines(k * n),
            _ if self.foreign => 0,
            _ => k * padded(n) + n * padded(k),
        })
    }

    /// ⟦n⟧: whole cache lines.
    fn lines(&self, n: usize) -> usize {
        n.next_multiple_of(64 / self.size)
    }

    fn sum(&self, of: impl Fn(usize, usize, Activation<T>) -> usize) -> usize {
        self.mlp.layers().iter().map(|l| of(l.inputs, l.outputs, l.activation)).sum()
    }

    /// Elements and bytes of masks that a row of state has; with `delta` also δ of every layer.
    fn row(&self, delta: bool) -> (usize, usize) {
        let two = |act: Activation<T>| delta || act.saved() == Saved::Derivative;
        let elements = self.sum(|_, n, act| padded(n) * if two(act) { 2 } else { 1 });
        (elements, self.sum(|_, n, act| if act.saved() == Saved::Mask { padded(n) / 8 } else { 0 }))
    }

    /// S(r): the state of r rows, row-major.
    fn store(&self, r: usize, delta: bool) -> usize {
        let (elements, masks) = self.row(delta);
        r * elements + (r * masks).div_ceil(self.size)
    }

    fn fused(&self, batch: usize, threads: usize) -> usize {
        let (params, inputs, outputs) = (self.mlp.param_len(), self.mlp.inputs(), self.mlp.outputs());
        let (elements, masks) = self.row(true);
        let row = self.size * (padded(inputs) + elements) + masks;
        let tile = (self.caches.l2 / 2 / row / 24 * 24).clamp(24, 192).min(batch.max(1));
        let least = if params <= 1 << 16 { 64 } else { 192 };
        let slots = (batch / least).clamp(1, 64);
        let ends = |rows: usize| rows * (padded(inputs) + padded(outputs)) + padded(self.mlp.max_width());
        let long = batch.div_ceil(slots).next_multiple_of(24) > CHAIN;
        let arena = self.lines(self.store(tile, true)) + ends(tile) + if long { params } else { 0 };
        // What members share the rows of: all of the state of a batch of fewer slots than members.
        let shared = batch.min(threads * least - 1);
        let shared =
            if threads > 1 && shared > 0 { self.lines(self.store(shared, true)) + ends(shared) } else { 0 };
        threads * self.lines(arena) + room(slots, threads) * self.lines(params) + self.lines(shared)
    }

    /// Features of a layer of n outputs: A_l, the derivative or δ_l, and the mask.
    fn features(&self, n: usize, act: Activation<T>, delta: bool) -> usize {
        let mask = if act.saved() == Saved::Mask { n.div_ceil(8 * self.size) } else { 0 };
        n + mask + if delta || act.saved() == Saved::Derivative { n } else { 0 }
    }

    fn narrow(&self, batch: usize, threads: usize) -> usize {
        let (params, inputs, outputs) = (self.mlp.param_len(), self.mlp.inputs(), self.mlp.outputs());
        let row = self.size * (inputs + self.sum(|_, n, _| 2 * n));
        let most = (self.caches.l2 / 4 / row / 64 * 64).clamp(64, 512);
        let tile = most.min(batch.max(1).next_multiple_of(64));
        let features = inputs + 3 * outputs + self.sum(|_, n, act| self.features(n, act, true));
        let slots = 1 << (batch / 512).clamp(1, 64).ilog2();
        let long = batch.div_ceil(slots).next_multiple_of(64) > 16 * CHAIN;
        let arena = self.lines(features * (tile + 16))
            + self.lines(16 * params)
            + if long { self.lines(params) } else { 0 };
        // A few rows have features in the lanes.
        let (mut padding, mut real) = (0.0, 0.0);
        for (l, layer) in self.mlp.layers().iter().enumerate() {
            let (k, n) = (layer.inputs, layer.outputs);
            let backward = if l == 0 { 1 } else { 2 };
            padding += (k * padded(n) + backward * n * padded(k)) as f64;
            real += (k * n + backward * n * k) as f64;
        }
        let few = batch.min((58.0 / ((padding / real) * (padding / real))) as usize);
        let ends = few * (padded(inputs) + padded(outputs)) + padded(self.mlp.max_width());
        let panels = self.sum(|k, n, _| padded(n) + if k < 16 { n * 16 } else { 0 });
        let few = panels + self.lines(self.store(few, true)) + ends;
        threads * arena + room(slots, threads) * self.lines(params) + few
    }

    fn layered(&self, batch: usize, threads: usize) -> usize {
        let state = self.lines(self.store(batch, false));
        let deltas = batch * (padded(self.mlp.outputs()) + 2 * padded(self.mlp.max_width()));
        if self.foreign {
            return state + deltas;
        }
        let blocking = Blocking::new(self.caches, self.size);
        // Blocks of B: parts of n of equal size, chains of k.
        let block = |n: usize, k: usize| {
            let parts = n.div_ceil(blocking.nc).max(1);
            let wide = n.div_ceil(parts).next_multiple_of(64).min(blocking.nc).max(16);
            k.min(blocking.kc) * padded(n.min(wide))
        };
        let rows = |m: usize, k: usize| blocking.scratch_len(m, k).next_multiple_of(16);
        let largest = |of: &dyn Fn(usize, usize) -> usize| {
            self.mlp.layers().iter().map(|l| of(l.inputs, l.outputs)).max().unwrap_or(0)
        };
        let weights = largest(&|k, n| block(n, k).max(block(k, n)));
        let inputs = largest(&|k, _| block(k, batch));
        let seat = largest(&|k, n| rows(batch, k).max(rows(batch, n)).max(rows(n, batch)));
        state + deltas + 2 * (weights + inputs) + threads * seat
    }
}

/// G(s): partial gradients that are there at once, beside the caller's.
fn room(slots: usize, threads: usize) -> usize {
    if threads == 1 { slots.next_power_of_two().ilog2() as usize } else { (slots - 1).min(18 * threads) }
}
