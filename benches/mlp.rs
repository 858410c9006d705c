//! A whole training step: how long do forward and backward of the ten workloads take, and how close is that to
//! the machine's limit, beside unfused passes over the plain products of other libraries?

mod common {
    pub(crate) mod flop;
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod peak;
    pub(crate) mod peers;
    pub(crate) mod unfused;
    pub(crate) mod workloads;
}

use common::{
    flop::{say_peak, time_flop},
    measure::quick,
    numbers::same,
    peak::peak,
    peers::Peer,
    unfused::Unfused,
    workloads::{self, Operands, Workload},
};
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main,
    measurement::WallTime,
};
use nablas::{Activation, BackendKind, MatRef, Mlp, Plan, PlanOptions};
use std::time::Duration;

fn steps(c: &mut Criterion) {
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
    let all = rayon::current_num_threads();
    let mut threads = vec![1, all];
    threads.dedup();
    for t in threads {
        let peak = peak::<f32>(isa, t);
        say_peak(&format!("{}, f32, {t} thread(s)", isa.name()), peak);
        for workload in &workloads::ALL {
            step(c, workload, t, peak);
        }
    }
}

fn step(c: &mut Criterion, workload: &Workload, threads: usize, peak: f64) {
    let batch = if quick() { workload.batch.min(64) } else { workload.batch };
    let operands = workload.operands(batch);
    let mlp = network(workload);
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");

    let mut group = c.benchmark_group(format!("mlp/{}", workload.name));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    let mut bench = Bench { group, flop: workload.flop(batch), peak, threads, reference: Vec::new() };

    for (name, backend) in
        [("nablas", BackendKind::Native), ("nablas on matrixmultiply", BackendKind::MatrixMultiply)]
    {
        let options =
            PlanOptions { max_batch: batch, threads: Some(threads), backend, ..PlanOptions::default() };
        let plan = Plan::new(&mlp, &options).expect("the network can be planned");
        let mut workspace = plan.workspace().expect("there is memory");
        let Operands { params, x, dy } = &operands;
        let x = MatRef::new(x, batch, mlp.inputs()).expect("X is [B, n_0]");
        let dy = MatRef::new(dy, batch, mlp.outputs()).expect("∂L/∂A_L is [B, n_L]");
        bench.contender(&mlp, name, |grads| {
            plan.vjp(params, x, dy, None, grads, None, &mut workspace).expect("the operands fit the plan");
        });
    }
    for peer in Peer::ALL {
        let product = |a: MatRef<'_, f32>, b: MatRef<'_, f32>, c: nablas::MatMut<'_, f32>| {
            peer.product(threads, a, b, c)
        };
        let mut unfused = Unfused::new(&mlp, batch, isa, threads, product);
        let Operands { params, x, dy } = &operands;
        bench.contender(&mlp, peer.name(), |grads| unfused.step(params, x, dy, grads));
    }
    bench.group.finish();
}

fn network(workload: &Workload) -> Mlp<f32> {
    let (inputs, outputs) = (workload.widths[0], workload.widths[workload.widths.len() - 1]);
    let hidden = &workload.widths[1..workload.widths.len() - 1];
    let builder = hidden.iter().fold(Mlp::builder(inputs), |b, &width| b.layer(width, workload.activation));
    builder.layer(outputs, Activation::Identity).build().expect("the network is well formed")
}

/// The contenders of one workload.
struct Bench<'a> {
    group: BenchmarkGroup<'a, WallTime>,
    flop: u64,
    peak: f64,
    threads: usize,
    /// The first contender's gradient.
    reference: Vec<f32>,
}

impl Bench<'_> {
    /// Checks the gradient that `step` writes, array by array, then times it.
    fn contender(
        &mut self,
        mlp: &Mlp<f32>,
        name: &str,
        grads: &mut Vec<f32>,
        mut step: impl FnMut(&mut Vec<f32>),
    ) {
        step(grads);
        if self.reference.is_empty() {
            self.reference.clone_from(grads);
        }
        for l in 0..mlp.layers().len() {
            for range in [mlp.weights_range(l), mlp.bias_range(l)] {
                let range = range.expect("l is a layer");
                same(name, &grads[range.clone()], &self.reference[range]);
            }
        }
        let id = BenchmarkId::new(name, format!("{} threads", self.threads));
        time_flop(&mut self.group, id, self.flop, self.peak, || step(&mut grads));
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
