//! What does it save not to form Jacobians? One sample, one thread: the VJP of an activation and of a whole layer
//! a = tanh(W·x + b), against the same numbers through materialised Jacobians.

mod common {
    pub(crate) mod agree;
    pub(crate) mod flop;
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod peak;
}

use common::{
    agree::same,
    flop::{say_peak, time_flop},
    measure::{Timing, quick},
    numbers::uniform,
    peak::peak,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use nablas::{
    Activation, Error, MatMut, MatRef, Mlp, Plan, PlanOptions, Pointwise,
    backend::Native,
    jacobian::{Dense, activation_vjp_naive, gradients, layer_bytes, layer_full_products},
};
use std::{hint::black_box, time::Duration};

/// The memory that Jacobians may take together.
const LIMIT: u64 = 4 << 30;
const ACTIVATION: Activation<f32> = Activation::Tanh;
/// The widest layer whose Jacobians are multiplied matrix by matrix: beyond, one product takes minutes.
const FULL: usize = 256;
const WARM_UP: Duration = Duration::from_millis(200);
const MEASURE: Duration = Duration::from_secs(1);

fn sizes() -> &'static [usize] {
    if quick() { &[16, 64] } else { &[16, 32, 64, 128, 256, 512, 1024] }
}

/// g ⊙ g'(z) against g·diag(g'(z)).
fn activation(c: &mut Criterion) {
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
    let peak = peak::<f32>(isa, 1);
    say_peak(&format!("{}, f32, 1 thread", isa.name()), peak);
    let blas = Native::new(isa);
    for &n in sizes() {
        let mut group = c.benchmark_group(format!("vs_jacobian/activation/{n}"));
        group.sample_size(10).warm_up_time(WARM_UP).measurement_time(MEASURE);
        let (z, g) = (uniform(n, 1), uniform(n, 2));
        let mut out = vec![0.0; n];
        let naive = || activation_vjp_naive(&ACTIVATION, black_box(&z), &g, LIMIT, &blas).expect("it fits");
        // One product an element.
        let flop = n as u64;
        let fast = time_flop(&mut group, BenchmarkId::from_parameter("vjp"), flop, peak, |check| {
            ACTIVATION.vjp_on(isa, black_box(&z), &g, &mut out).expect("the slices are equally long");
            if check {
                same("activation VJP", &out, &naive());
            }
        });
        let id = BenchmarkId::from_parameter("diagonal Jacobian");
        let slow = time_flop(&mut group, id, flop, peak, |_| {
            black_box(naive());
        });
        compare(fast, slow, 4 * n as u128, 4 * (n * n) as u128);
        group.finish();
    }
}

/// dX, dW and db from ∂L/∂a.
fn layer(c: &mut Criterion) {
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
    let peak = peak::<f32>(isa, 1);
    let blas = Native::new(isa);
    for &n in sizes() {
        let mut group = c.benchmark_group(format!("vs_jacobian/layer/{n}"));
        group.sample_size(10).warm_up_time(WARM_UP).measurement_time(MEASURE);
        let mlp = Mlp::builder(n).layer(n, ACTIVATION).build().expect("a layer of n×n");
        let mut params = uniform(mlp.param_len(), 1);
        params.iter_mut().for_each(|p| *p /= (n as f32).sqrt());
        let (x, dy) = (uniform(n, 2), uniform(n, 3));
        let row = |x| MatRef::new(x, 1, n).expect("a row of n");
        let (x_row, dy_row) = (row(&x), row(&dy));
        // The products of δ with W and with x.
        let flop = 4 * (n * n) as u64;
        let bytes = 4 * (n + mlp.param_len()) as u128;

        // Vector first: δ is multiplied by each Jacobian.
        let by_vector = || gradients(&mlp, black_box(&params), x_row, dy_row, LIMIT, &blas);
        // Matrix by matrix: diag(g'(z))·∂z/∂W has 2n⁴ FLOP.
        let w = mlp.weights(&params, 0).expect("it has one layer");
        let z = preactivation(&mlp, &params, &x);
        let by_matrix = || {
            let (by_x, by_w) = layer_full_products(w, &ACTIVATION, black_box(&x), &z, LIMIT, &blas)?;
            Ok::<_, Error>((row_times(&dy, &by_x), row_times(&dy, &by_w)))
        };

        let plan = Plan::new(&mlp, &PlanOptions::new(1).threads(1)).expect("the layer can be planned");
        let mut workspace = plan.workspace().expect("there is memory");
        let (mut y, mut dx, mut grads) = (vec![0.0; n], vec![0.0; n], vec![0.0; mlp.param_len()]);
        let mut kept = plan.kept(1).expect("there is memory");
        plan.forward(&params, x_row, row_mut(&mut y), Some(&mut kept), &mut workspace)
            .expect("the operands fit the plan");
        let id = BenchmarkId::from_parameter("vjp");
        let fast = time_flop(&mut group, id, flop, peak, |check| {
            let dx_row = Some(row_mut(&mut dx));
            plan.backward(&params, x_row, dy_row, &mut grads, dx_row, &kept, &mut workspace)
                .expect("it fits");
            if check && let Ok(naive) = by_vector() {
                same("layer gradient", &grads, &naive.params);
                same("layer dX", &dx, naive.dx.data());
            }
            if check && n <= FULL {
                let (dx_full, dw_full) = by_matrix().expect("it fits");
                same("layer dX by full products", &dx, &dx_full);
                same("layer dW by full products", &grads[..n * n], &dw_full);
            }
        });

        let needed = layer_bytes::<f32>(n, n, true);
        if needed <= LIMIT.into() {
            let id = BenchmarkId::from_parameter("vector times Jacobians");
            let slow = time_flop(&mut group, id, flop, peak, |_| {
                black_box(by_vector().expect("it fits"));
            });
            compare(fast, slow, bytes, needed);
        } else {
            println!(
                "vector times Jacobians at n = {n}: {} do not fit into {}",
                mib(needed),
                mib(LIMIT.into())
            );
        }
        if n <= FULL {
            let id = BenchmarkId::from_parameter("full products");
            let slow = time_flop(&mut group, id, flop, peak, |_| {
                black_box(by_matrix().expect("it fits"));
            });
            // The factors, and their two products.
            compare(fast, slow, bytes, needed + 4 * (n * n + n * n * n) as u128);
        }
        group.finish();
    }
}

fn row_mut(x: &mut [f32]) -> MatMut<'_, f32> {
    let n = x.len();
    MatMut::new(x, 1, n).expect("a row of n")
}

/// vᵀ·J.
fn row_times(v: &[f32], jacobian: &Dense<f32>) -> Vec<f32> {
    let mut product = vec![0.0; jacobian.shape().1];
    for (i, v) in v.iter().enumerate() {
        product.iter_mut().zip(jacobian.row(i)).for_each(|(p, j)| *p += v * j);
    }
    product
}

/// W·x + b.
fn preactivation(mlp: &Mlp<f32>, params: &[f32], x: &[f32]) -> Vec<f32> {
    let w = &params[mlp.weights_range(0).expect("it has one layer")];
    let b = mlp.bias(params, 0).expect("it has one layer");
    let dot = |row: &[f32]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
    w.chunks_exact(x.len()).zip(b).map(|(row, b)| dot(row) + b).collect()
}

/// Prints times and bytes side by side.
fn compare(fused: Option<Timing>, naive: Option<Timing>, fused_bytes: u128, naive_bytes: u128) {
    if let (Some(fused), Some(naive)) = (fused, naive) {
        let ratio = naive.min / fused.min;
        let (few, many) = (mib(fused_bytes), mib(naive_bytes));
        println!("{:24}{ratio:.0} × the time of the VJP; writes {many}, the VJP {few}", "");
    }
}

fn mib(bytes: u128) -> String {
    format!("{:.3} MiB", bytes as f64 / (1 << 20) as f64)
}

criterion_group!(benches, activation, layer);
criterion_main!(benches);
