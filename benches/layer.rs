//! One dense layer: what does fusion save, on this library's products and on those of `matrixmultiply`?
//!
//! forward: A = g(X·Wᵀ + b) and what the backward needs. backward, through the layer above: δ' = (δ·W) ⊙ g'(Z),
//! db = its column sums, and dW = δᵀ·A. Square layers, a batch of 1024.

mod common {
    pub(crate) mod agree;
    pub(crate) mod flop;
    pub(crate) mod matrixmultiply;
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod operands;
    pub(crate) mod passes;
    pub(crate) mod peak;
    pub(crate) mod threads;
}

use common::{
    agree::same,
    flop::{say_peak, time_flop},
    matrixmultiply::matrixmultiply,
    measure::quick,
    operands::{Operands, operands},
    passes,
    peak::peak,
    threads,
};
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use nablas::{
    Activation, BackendKind, Gemm, IsaToken, MatMut, MatRef,
    dense::{Dense, SavedMut, SavedRef},
};
use nablas_kernels::act::Saved;
use std::time::Duration;

const WIDTHS: [&[usize]; 4] = [&[32, 32, 32], &[64, 64, 64], &[256, 256, 256], &[1024, 1024, 1024]];
const ACTIVATIONS: [Activation<f32>; 3] = [Activation::Relu, Activation::Tanh, Activation::GeluTanh];

fn layers(c: &mut Criterion) {
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
    let all = threads::all();
    let mut threads = vec![1, all];
    threads.dedup();
    for t in threads {
        let peak = peak::<f32>(isa, t);
        say_peak(&format!("{}, f32, {t} thread(s)", isa.name()), peak);
        for widths in WIDTHS {
            for activation in ACTIVATIONS {
                layer(c, isa, t, peak, widths, activation);
            }
        }
    }
}

/// What a contender computes.
#[derive(Default)]
struct Results {
    a: Vec<f32>,
    delta: Vec<f32>,
    db: Vec<f32>,
    dw: Vec<f32>,
}

impl Results {
    fn zeros(batch: usize, n: usize) -> Self {
        let zeros = |len| vec![0.0; len];
        Self { a: zeros(batch * n), delta: zeros(batch * n), db: zeros(n), dw: zeros(n * n) }
    }
}

/// The operands of a layer.
#[derive(Clone, Copy)]
struct Problem<'a> {
    isa: IsaToken,
    threads: usize,
    batch: usize,
    n: usize,
    activation: Activation<f32>,
    x: &'a [f32],
    w: &'a [f32],
    bias: &'a [f32],
    /// W and δ of the layer above.
    above: &'a [f32],
    delta: &'a [f32],
}

fn layer(
    c: &mut Criterion,
    isa: IsaToken,
    threads: usize,
    peak: f64,
    widths: &[usize],
    activation: Activation<f32>,
) {
    let (n, batch) = (widths[0], if quick() { 64 } else { 1024 });
    let Operands { params, x, dy } = operands(widths, batch, activation);
    let (w, rest) = params.split_at(n * n);
    let (bias, rest) = rest.split_at(n);
    let problem =
        Problem { isa, threads, batch, n, activation, x: &x, w, bias, above: &rest[..n * n], delta: &dy };
    let mut contenders: [(&str, Box<dyn Contender + '_>); 4] = [
        ("fused, native", Box::new(Fused::new(problem, BackendKind::Native))),
        ("unfused, native", Box::new(Unfused::new(problem, native(problem)))),
        ("fused, matrixmultiply", Box::new(Fused::new(problem, BackendKind::MatrixMultiply))),
        (
            "unfused, matrixmultiply",
            Box::new(Unfused::new(problem, |a, b, c| {
                matrixmultiply(threads, a, b, c);
            })),
        ),
    ];
    let mut reference = Results::zeros(batch, n);
    contenders[0].1.forward(&mut reference);
    contenders[0].1.backward(&mut reference);

    let products = 2 * (batch * n * n) as u64;
    for (pass, flop) in [("forward", products), ("backward", 2 * products)] {
        let mut group = c.benchmark_group(format!("layer/{pass}/{}/{n}", activation.name()));
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
        for (name, contender) in &mut contenders {
            let mut results = Results::zeros(batch, n);
            // The backward reads what the forward has kept.
            contender.forward(&mut results);
            let id = BenchmarkId::new(*name, threads);
            time_flop(&mut group, id, flop, peak, |check| match pass {
                "forward" => {
                    contender.forward(&mut results);
                    if check {
                        same(name, &results.a, &reference.a);
                    }
                }
                _ => {
                    contender.backward(&mut results);
                    if check {
                        same(name, &results.delta, &reference.delta);
                        same(name, &results.db, &reference.db);
                        same(name, &results.dw, &reference.dw);
                    }
                }
            });
        }
        group.finish();
    }
}

/// One way to do a layer.
trait Contender {
    /// A, keeping what the backward needs.
    fn forward(&mut self, results: &mut Results);
    /// δ', db and dW, from the kept state and A.
    fn backward(&mut self, results: &mut Results);
}

fn view(data: &[f32], rows: usize, cols: usize) -> MatRef<'_, f32> {
    MatRef::new(data, rows, cols).expect("the buffer has that size")
}

fn view_mut(data: &mut [f32], rows: usize, cols: usize) -> MatMut<'_, f32> {
    MatMut::new(data, rows, cols).expect("the buffer has that size")
}

/// The dense-layer calls.
struct Fused<'a> {
    problem: Problem<'a>,
    dense: Dense<f32>,
    scratch: Vec<f32>,
    mask: Vec<u8>,
    derivative: Vec<f32>,
}

impl<'a> Fused<'a> {
    fn new(problem: Problem<'a>, backend: BackendKind) -> Self {
        let Problem { isa, threads, batch, n, .. } = problem;
        let dense = Dense::with(isa, threads, backend).expect("the backend is there");
        let scratch = dense.scratch(batch, n, n);
        let (mask, derivative) = (vec![0; Dense::<f32>::mask_len(batch, n)], vec![0.0; batch * n]);
        Self { problem, dense, scratch, mask, derivative }
    }
}

impl Contender for Fused<'_> {
    fn forward(&mut self, results: &mut Results) {
        let Problem { batch, n, activation, x, w, bias, .. } = self.problem;
        let saved = match activation.saved() {
            Saved::Mask => SavedMut::Mask(&mut self.mask),
            Saved::Derivative => SavedMut::Derivative(view_mut(&mut self.derivative, batch, n)),
            _ => SavedMut::Nothing,
        };
        let (x, w, a) = (view(x, batch, n), view(w, n, n), view_mut(&mut results.a, batch, n));
        let done = self.dense.forward(x, w, Some(bias), activation, a, saved, &mut self.scratch);
        done.expect("the operands fit");
    }

    fn backward(&mut self, results: &mut Results) {
        let Problem { batch, n, activation, above, delta, .. } = self.problem;
        let Results { a, delta: out, db, dw } = results;
        let saved = match activation.saved() {
            Saved::Mask => SavedRef::Mask(&self.mask),
            Saved::Derivative => SavedRef::Values(view(&self.derivative, batch, n)),
            Saved::Output => SavedRef::Values(view(a, batch, n)),
            _ => SavedRef::Nothing,
        };
        let (delta, above) = (view(delta, batch, n), view(above, n, n));
        let out = view_mut(out, batch, n);
        let done = self.dense.vjp_input(delta, above, activation, saved, out, Some(db), &mut self.scratch);
        done.expect("the operands fit");
        let (a, dw) = (view(a, batch, n), view_mut(dw, n, n));
        self.dense.vjp_weights(delta, a, dw, false, &mut self.scratch).expect("the operands fit");
    }
}

/// Plain products, and passes over memory for the rest.
struct Unfused<'a, P> {
    problem: Problem<'a>,
    product: P,
    kept: Vec<f32>,
    partial: Vec<f32>,
}

impl<'a, P: FnMut(MatRef<'_, f32>, MatRef<'_, f32>, MatMut<'_, f32>)> Unfused<'a, P> {
    fn new(problem: Problem<'a>, product: P) -> Self {
        let Problem { threads, batch, n, activation, .. } = problem;
        let kept = if passes::keeps(activation) { vec![0.0; batch * n] } else { Vec::new() };
        Self { problem, product, kept, partial: vec![0.0; threads * n] }
    }
}

/// This library's plain product.
fn native(problem: Problem<'_>) -> impl FnMut(MatRef<'_, f32>, MatRef<'_, f32>, MatMut<'_, f32>) {
    let gemm = Gemm::with(problem.isa, problem.threads);
    let (batch, n) = (problem.batch, problem.n);
    let mut scratch = vec![0.0; gemm.scratch_len(batch, n, n).max(gemm.scratch_len(n, n, batch))];
    move |a, b, c| gemm.run(1.0, a, b, 0.0, c, &mut scratch).expect("the operands fit")
}

impl<P: FnMut(MatRef<'_, f32>, MatRef<'_, f32>, MatMut<'_, f32>)> Contender for Unfused<'_, P> {
    fn forward(&mut self, results: &mut Results) {
        let Problem { isa, threads, batch, n, activation, x, w, bias, .. } = self.problem;
        (self.product)(view(x, batch, n), view(w, n, n).t(), view_mut(&mut results.a, batch, n));
        passes::forward(isa, threads, activation, bias, &mut results.a, &mut self.kept);
    }

    fn backward(&mut self, results: &mut Results) {
        let Problem { isa, threads, batch, n, activation, above, delta, .. } = self.problem;
        let Results { a, delta: out, db, dw } = results;
        let delta = view(delta, batch, n);
        (self.product)(delta, view(above, n, n), view_mut(out, batch, n));
        let saved: &[f32] = if self.kept.is_empty() { a } else { &self.kept };
        passes::backward(isa, threads, activation, saved, out, db, &mut self.partial);
        (self.product)(delta.t(), view(a, batch, n), view_mut(dw, n, n));
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
