//! A training step as it is done without fusion: plain products, and passes over memory for everything else.
//!
//! Bias and activation are one pass; the derivative, the Hadamard product and the column sums another.

use super::passes::{backward, fold, forward, keeps, load, share, store};
use nablas::{Activation, IsaToken, MatMut, MatRef, Mlp, Scalar};
use nablas_kernels::isa::{LaneKernel, Lanes};
use rayon::prelude::*;

/// A network's step over the plain product `P`: C ← A·B.
pub(crate) struct Unfused<T, P> {
    product: P,
    isa: IsaToken,
    threads: usize,
    batch: usize,
    mlp: Mlp<T>,
    layers: Vec<Layer<T>>,
    /// db's partial sums, one row a thread.
    partial: Vec<T>,
}

/// What a layer remembers from forward to backward.
struct Layer<T> {
    /// A_l; the product writes Z_l here.
    a: Vec<T>,
    /// Z_l or g'(Z_l), where the derivative does not come from A_l.
    kept: Vec<T>,
    /// δ_l.
    delta: Vec<T>,
}

impl<T: Scalar, P: Fn(MatRef<'_, T>, MatRef<'_, T>, MatMut<'_, T>)> Unfused<T, P> {
    /// Allocates all that the steps will need.
    pub(crate) fn new(mlp: &Mlp<T>, batch: usize, isa: IsaToken, threads: usize, product: P) -> Self {
        let layer = |activation: Activation<T>, width: usize| {
            let buffer = || vec![T::ZERO; batch * width];
            let kept = if keeps(activation) { buffer() } else { Vec::new() };
            Layer { a: buffer(), kept, delta: buffer() }
        };
        let layers = mlp.layers().iter().map(|l| layer(l.activation, l.outputs)).collect();
        let partial = vec![T::ZERO; threads * mlp.max_width()];
        Self { product, isa, threads, batch, mlp: mlp.clone(), layers, partial }
    }

    /// Forward, then dW and db of every layer, into the flat buffer `grads`, from `dy`, which is δ of the last
    /// layer, a linear one.
    pub(crate) fn step(&mut self, params: &[T], x: &[T], dy: &[T], grads: &mut [T]) {
        let (isa, threads, batch) = (self.isa, self.threads, self.batch);
        let mlp = &self.mlp;
        let specs = mlp.layers();
        for (l, spec) in specs.iter().enumerate() {
            let (before, rest) = self.layers.split_at_mut(l);
            let layer = &mut rest[0];
            let input = view(before.last().map_or(x, |b| &b.a), batch, spec.inputs);
            let w = mlp.weights(params, l).expect("the parameters are the network's");
            let bias = mlp.bias(params, l).expect("the parameters are the network's");
            (self.product)(input, w.t(), view_mut(&mut layer.a, batch, spec.outputs));
            forward(isa, threads, spec.activation, bias, &mut layer.a, &mut layer.kept);
        }
        for (l, spec) in specs.iter().enumerate().rev() {
            let (inputs, outputs) = (spec.inputs, spec.outputs);
            let db = &mut grads[mlp.bias_range(l).expect("l is a layer")];
            let (before, rest) = self.layers.split_at_mut(l);
            let layer = &mut rest[0];
            let delta: &[T] = if l + 1 == specs.len() {
                column_sums(isa, threads, dy, db, &mut self.partial);
                dy
            } else {
                let Layer { a, kept, delta } = layer;
                let saved = if kept.is_empty() { a } else { kept };
                backward(isa, threads, spec.activation, saved, delta, db, &mut self.partial);
                delta
            };
            let delta = view(delta, batch, outputs);
            let input = view(before.last().map_or(x, |b| &b.a), batch, inputs);
            let dw = &mut grads[mlp.weights_range(l).expect("l is a layer")];
            (self.product)(delta.t(), input, view_mut(dw, outputs, inputs));
            if let Some(before) = before.last_mut() {
                let w = mlp.weights(params, l).expect("the parameters are the network's");
                (self.product)(delta, w, view_mut(&mut before.delta, batch, inputs));
            }
        }
    }
}

fn view<T: Scalar>(data: &[T], rows: usize, cols: usize) -> MatRef<'_, T> {
    MatRef::new(data, rows, cols).expect("the buffer has that size")
}

fn view_mut<T: Scalar>(data: &mut [T], rows: usize, cols: usize) -> MatMut<'_, T> {
    MatMut::new(data, rows, cols).expect("the buffer has that size")
}

/// db ← the column sums of δ.
pub(crate) fn column_sums<T: Scalar>(
    isa: IsaToken,
    threads: usize,
    delta: &[T],
    db: &mut [T],
    partial: &mut [T],
) {
    let n = db.len();
    let share = share(threads, n, delta.len());
    if share >= delta.len() {
        db.fill(T::ZERO);
        return isa.run(ColumnSums { delta, db });
    }
    partial.fill(T::ZERO);
    delta.par_chunks(share).zip(partial.par_chunks_mut(n)).for_each(|(delta, db)| {
        isa.run(ColumnSums { delta, db });
    });
    fold(db, &partial[..threads * n]);
}

struct ColumnSums<'a, T> {
    delta: &'a [T],
    db: &'a mut [T],
}

impl<T: Scalar> LaneKernel for ColumnSums<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let Self { delta, db } = self;
        let n = db.len();
        for row in delta.chunks_exact(n) {
            for j in (0..n).step_by(I::LANES) {
                let m = I::LANES.min(n - j);
                // SAFETY: columns j..j + m are within the row and the sums.
                unsafe {
                    let sum = db.as_mut_ptr().add(j);
                    store(isa, sum, isa.add(load(isa, sum, m), load(isa, row.as_ptr().add(j), m)), m);
                }
            }
        }
    }
}
