//! How large a workspace is: the formula of docs/ARCHITECTURE.md, "What a workspace holds", written down a second time.

use nablas::{Keep, Mlp, Scalar};
use nablas_kernels::{
    act::{Activation, Saved},
    cache::{self, Caches},
    gemm::{blocked::Blocking, shape::padded},
};

/// Bytes that a plan for the native backend asks for. `path` starts with the path's name, as `Plan::explain` does.
pub(crate) fn workspace_bytes<T: Scalar>(
    mlp: &Mlp<T>,
    batch: usize,
    threads: usize,
    keep: Keep,
    path: &str,
) -> usize {
    let net = Net { mlp, size: size_of::<T>(), caches: cache::detect() };
    let kept = keep == Keep::ForBackward;
    let len = match path.split(':').next() {
        Some("fused") => net.fused(batch, threads, kept),
        Some("narrow") => net.narrow(batch, threads, kept),
        Some("layered") => net.layered(batch, threads),
        _ => panic!("no path: {path}"),
    };
    (len + net.lines(batch)) * net.size
}

struct Net<'a, T: Scalar> {
    mlp: &'a Mlp<T>,
    size: usize,
    caches: Caches,
}

impl<T: Scalar> Net<'_, T> {
    /// ⌈n⌉: whole cache lines.
    fn lines(&self, n: usize) -> usize {
        n.next_multiple_of(64 / self.size)
    }

    fn sum(&self, of: impl Fn(usize, usize, Activation<T>) -> usize) -> usize {
        self.mlp.layers().iter().map(|l| of(l.inputs, l.outputs, l.activation)).sum()
    }

    /// S(r): activations and saved state of r rows.
    fn store(&self, r: usize) -> usize {
        let layers = self.sum(|_, n, act| {
            let mask = r * padded(n) / 8;
            let mask = if act.saved() == Saved::Mask { mask.div_ceil(self.size) } else { 0 };
            2 * r * padded(n) + self.lines(mask)
        });
        let ends = r * (padded(self.mlp.inputs()) + padded(self.mlp.outputs()));
        layers + ends + padded(self.mlp.max_width())
    }

    fn fused(&self, batch: usize, threads: usize, kept: bool) -> usize {
        let params = self.mlp.param_len();
        let row = self.size * (padded(self.mlp.inputs()) + self.sum(|_, n, _| 2 * padded(n)));
        let tile = (self.caches.l2 / 2 / row / 24 * 24).clamp(24, 192).min(batch.max(1));
        let slots = (batch / if params <= 1 << 16 { 64 } else { 192 }).clamp(1, 64);
        let long = batch.div_ceil(slots).next_multiple_of(24) > 512;
        self.sum(|k, n, _| k * padded(n) + n * padded(k) + padded(n))
            + threads * self.store(tile)
            + (slots - 1 + if long { threads } else { 0 }) * self.lines(params)
            + if kept { self.store(batch) } else { 0 }
    }

    fn narrow(&self, batch: usize, threads: usize, kept: bool) -> usize {
        let params = self.mlp.param_len();
        let row = self.size * (self.mlp.inputs() + self.sum(|_, n, _| 2 * n));
        let slots: usize = 1 << (batch / 512).clamp(1, 64).ilog2();
        let long = batch.div_ceil(slots).next_multiple_of(64) > 16 * 512;
        let most = (self.caches.l2 / 4 / row / 64 * 64).clamp(64, 512);
        let most = if long { 1 << most.ilog2() } else { most };
        let tile = most.min(batch.max(1).next_multiple_of(64));
        let features = self.mlp.inputs()
            + 3 * self.mlp.outputs()
            + self.sum(|_, n, act| {
                2 * n + if act.saved() == Saved::Mask { n.div_ceil(8 * self.size) } else { 0 }
            });
        let store = self.lines(features * (tile + 16));
        let tiles = slots - 1 + batch.div_ceil(tile).max(1);
        self.sum(|k, n, _| self.lines(k * n))
            + threads * self.lines(store + 16 * params)
            + (slots - 1 + if long { threads } else { 0 }) * self.lines(params)
            + if kept { tiles * store } else { 0 }
    }

    fn layered(&self, batch: usize, threads: usize) -> usize {
        let blocking = Blocking::new(self.caches, self.size);
        let product = |m, n, k| blocking.scratch_len(m, n, k);
        let scratch = self.mlp.layers().iter().map(|l| {
            let (k, n) = (l.inputs, l.outputs);
            product(batch, n, k).max(product(batch, k, n)).max(product(n, k, batch))
        });
        let scratch = scratch.max().unwrap_or(0).next_multiple_of(16);
        self.store(batch) + 2 * batch * padded(self.mlp.max_width()) + threads * scratch
    }
}
