//! A whole training step: how long do forward and backward of the ten workloads take, and how close is that to
//! the machine's limit, beside unfused passes over the plain products of other libraries?
//!
//! In `f32` as mlp/NAME, in `f64` as mlp-f64/NAME. `NABLAS_RECORD=benches/record` keeps the times:
//! benches/record/README.md.

mod common {
    pub(crate) mod agree;
    pub(crate) mod flop;
    pub(crate) mod matrixmultiply;
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod operands;
    pub(crate) mod passes;
    pub(crate) mod peak;
    pub(crate) mod peers;
    pub(crate) mod record;
    pub(crate) mod threads;
    pub(crate) mod unfused;
    pub(crate) mod workloads;
}

use common::{
    agree::same,
    flop::{say_peak, time_flop},
    measure::quick,
    operands::{Operands, operands},
    peak::peak,
    peers::Peer,
    record::Case,
    threads,
    unfused::Unfused,
    workloads::{self, Workload},
};
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use faer::traits::ComplexField;
use gemmkit::GemmScalar;
use nablas::{Activation, BackendKind, MatMut, MatRef, Mlp, Plan, PlanOptions, Scalar};
use std::{any::type_name, cell::LazyCell, time::Duration};

fn steps(c: &mut Criterion) {
    let all = threads::all();
    let mut threads = vec![1, all];
    threads.dedup();
    for t in threads {
        steps_of::<f32>(c, "mlp", t);
        steps_of::<f64>(c, "mlp-f64", t);
    }
}

fn steps_of<T: Scalar + ComplexField + GemmScalar>(c: &mut Criterion, group: &str, threads: usize) {
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
    let peak = peak::<T>(isa, threads);
    say_peak(&format!("{}, {}, {threads} thread(s)", isa.name(), type_name::<T>()), peak);
    for workload in &workloads::ALL {
        step::<T>(c, group, workload, threads, peak);
    }
}

fn step<T: Scalar + ComplexField + GemmScalar>(
    c: &mut Criterion,
    group: &str,
    workload: &Workload,
    threads: usize,
    peak: f64,
) {
    let batch = if quick() { workload.batch.min(64) } else { workload.batch };
    let Operands { params, x, dy } = operands(workload.widths, batch, workload.activation);
    let [params, x, dy] =
        [params, x, dy].map(|values| values.iter().map(|&v| T::from_f64(v.into())).collect());
    let (params, x, dy): (&Vec<T>, &Vec<T>, &Vec<T>) = (&params, &x, &dy);
    let mlp = network::<T>(workload);
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");

    let mut group = c.benchmark_group(format!("{group}/{}", workload.name));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    let flop = workload.flop(batch);
    let x_view = MatRef::new(x, batch, mlp.inputs()).expect("X is [B, n_0]");
    let dy_view = MatRef::new(dy, batch, mlp.outputs()).expect("∂L/∂A_L is [B, n_L]");
    let planned = |threads, backend| {
        let options = PlanOptions::new(batch).threads(threads).backend(backend);
        let plan = Plan::new(&mlp, &options).expect("the network can be planned");
        let mut workspace = plan.workspace().expect("there is memory");
        move |grads: &mut [T]| {
            plan.vjp(params, x_view, dy_view, None, grads, None, &mut workspace)
                .expect("the operands fit the plan");
        }
    };
    let mut grads = vec![T::default(); mlp.param_len()];
    let reference = LazyCell::new(|| {
        let mut grads = vec![T::default(); mlp.param_len()];
        planned(1, BackendKind::Native)(&mut grads);
        grads
    });
    let case = Case {
        source: "mlp",
        workload: workload.name,
        dims: workload.widths,
        batch,
        activation: workload.activation.name(),
        dtype: type_name::<T>(),
        isa: isa.name(),
        threads,
        flop,
        peak,
    };
    let mut contender = |name: &str, step: &mut dyn FnMut(&mut [T])| {
        let id = BenchmarkId::new(name, threads);
        let timing = time_flop(&mut group, id, flop, peak, |check| {
            step(&mut grads);
            if check {
                same_gradient(name, &mlp, &grads, &reference);
            }
        });
        case.note(name, "", timing);
    };
    contender("nablas", &mut planned(threads, BackendKind::Native));
    contender("nablas on matrixmultiply", &mut planned(threads, BackendKind::MatrixMultiply));
    for peer in Peer::ALL {
        let product = |a: MatRef<'_, T>, b: MatRef<'_, T>, c: MatMut<'_, T>| peer.product(threads, a, b, c);
        let mut unfused = Unfused::new(&mlp, batch, isa, threads, product);
        contender(peer.name(), &mut |grads| unfused.step(params, x, dy, grads));
    }
    group.finish();
}

/// Compares dW and db of each layer.
fn same_gradient<T: Scalar>(name: &str, mlp: &Mlp<T>, got: &[T], want: &[T]) {
    for l in 0..mlp.layers().len() {
        for range in [mlp.weights_range(l), mlp.bias_range(l)] {
            let range = range.expect("l is a layer");
            same(name, &got[range.clone()], &want[range]);
        }
    }
}

fn network<T: Scalar>(workload: &Workload) -> Mlp<T> {
    let activation = workload.activation.map(|parameter| T::from_f64(parameter.into()));
    let (inputs, outputs) = (workload.widths[0], workload.widths[workload.widths.len() - 1]);
    let hidden = &workload.widths[1..workload.widths.len() - 1];
    let builder = hidden.iter().fold(Mlp::builder(inputs), |b, &width| b.layer(width, activation));
    builder.layer(outputs, Activation::Identity).build().expect("the network is well formed")
}

criterion_group!(benches, steps);
criterion_main!(benches);
