//! How does cost grow with the batch, with the width and with the depth? Time, share of the FMA peak and memory of a
//! training step.
//!
//! Memory is held against the formula of docs/ARCHITECTURE.md. With `NABLAS_PLOTS=DIRECTORY` each curve that was
//! measured whole is written there as CSV; `tools/record.py docs` draws those of docs/plots.

mod common {
    pub(crate) mod curve;
    pub(crate) mod flop;
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod operands;
    pub(crate) mod peak;
    pub(crate) mod step;
    pub(crate) mod threads;
    pub(crate) mod turns;
}
#[path = "../tests/common/workspace.rs"]
mod workspace;

use common::{
    curve::Point,
    flop::{say_peak, time_flop},
    measure::quick,
    peak::peak,
    step::{Step, network},
    threads,
    turns::turns,
};
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use nablas::{Activation, Plan, PlanOptions};
use std::{path::Path, time::Duration};
use workspace::Formula;

const ACTIVATION: Activation<f32> = Activation::Relu;
const BATCHES: [usize; 10] = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144];
/// Networks of the three paths, and the largest batch of each.
const NETWORKS: [(&[usize], usize); 3] = [
    (&[4, 32, 16, 4], 262_144),
    (&[32, 64, 64, 64, 16], 262_144),
    // Beyond, a step takes seconds and the batch's state gigabytes.
    (&[784, 512, 512, 10], 16_384),
];
const WIDTHS: [usize; 10] = [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];
const WIDTHS_BATCH: usize = 512;
const DEPTHS: [usize; 6] = [1, 2, 4, 8, 16, 32];
const DEPTHS_BATCH: usize = 1024;
const DEPTHS_WIDTH: usize = 64;
/// How often a plot measures its points anew.
const ROUNDS: usize = 12;

/// What is to be measured: a network, a batch, and which of their numbers grows.
struct Case {
    name: String,
    widths: Vec<usize>,
    batch: usize,
    x: usize,
}

fn options(batch: usize, threads: usize) -> PlanOptions {
    PlanOptions::new(batch).threads(threads)
}

fn batches(c: &mut Criterion) {
    let cases = NETWORKS.iter().flat_map(|&(widths, most)| {
        let name = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("→");
        let case =
            move |&batch: &usize| Case { name: name.clone(), widths: widths.to_vec(), batch, x: batch };
        BATCHES.iter().filter(move |b| **b <= most).map(case)
    });
    curve(c, "batch", cases.collect());
}

fn widths(c: &mut Criterion) {
    let name = format!("w→w→w, batch {WIDTHS_BATCH}");
    let case = |&w: &usize| Case { name: name.clone(), widths: vec![w; 3], batch: WIDTHS_BATCH, x: w };
    let widths = if quick() { &WIDTHS[..7] } else { &WIDTHS };
    curve(c, "width", widths.iter().map(case).collect());
}

fn depths(c: &mut Criterion) {
    let name = format!("layers {DEPTHS_WIDTH}→{DEPTHS_WIDTH}, batch {DEPTHS_BATCH}");
    let case = |l| Case { name: name.clone(), widths: vec![DEPTHS_WIDTH; l + 1], batch: DEPTHS_BATCH, x: l };
    curve(c, "depth", DEPTHS.map(case).into());
}

fn curve(c: &mut Criterion, curve: &str, cases: Vec<Case>) {
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
    let mut threads = vec![1, threads::all()];
    threads.dedup();
    let (mut points, wanted) = (Vec::new(), threads.len() * cases.len());
    for t in threads {
        let peak = peak::<f32>(isa, t);
        say_peak(&format!("{}, f32, {t} thread(s)", isa.name()), peak);
        points.extend(cases.iter().filter_map(|case| measure(c, curve, case, t, peak)));
    }
    if let Some(folder) = std::env::var_os("NABLAS_PLOTS").filter(|_| points.len() == wanted && !quick()) {
        // A busy neighbour stays for seconds, and would be taken for a property of the point that meets it.
        for _ in 0..ROUNDS {
            for (point, case) in points.iter_mut().zip(cases.iter().cycle()) {
                let mut step = Step::new(&case.widths, ACTIVATION, &options(case.batch, point.threads));
                let (burst, span) = (Duration::from_micros(200), Duration::from_millis(30));
                let [timing] = turns([&mut |n| step.run(n)], burst, span, 2);
                point.seconds = point.seconds.min(timing.min);
            }
        }
        common::curve::write(Path::new(&folder), curve, &points).expect("the curve can be written");
    }
}

/// A point of a curve, unless it is filtered out.
fn measure(c: &mut Criterion, curve: &str, case: &Case, threads: usize, peak: f64) -> Option<Point> {
    let Case { name, widths, batch, x } = case;
    let batch = if quick() { *batch.min(&64) } else { *batch };
    let mlp = network(widths, ACTIVATION);
    let plan = Plan::new(&mlp, &options(batch, threads)).expect("it can be planned");
    let formula = Formula::new(&mlp, plan.path(), false);
    let workspace = plan.workspace_bytes();
    let kept = size_of::<f32>() * plan.kept_len(batch).expect("it fits");
    let expected = [formula.workspace(batch, threads), formula.kept(batch)].map(|len| size_of::<f32>() * len);
    assert_eq!([workspace, kept], expected, "the formula of docs/ARCHITECTURE.md: {plan:?}");
    let keeping = workspace + kept;

    let mut group = c.benchmark_group(format!("growth/{curve}/{name}/{x}"));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
    // Made when it is known that it will be timed: the largest take gigabytes.
    let mut step: Option<Step> = None;
    let flop = plan.step_flop(batch);
    let best = time_flop(&mut group, BenchmarkId::from_parameter(threads), flop as u64, peak, |check| {
        let step = step.get_or_insert_with(|| Step::new(widths, ACTIVATION, &options(batch, threads)));
        step.run(1);
        if check && threads > 1 {
            let mut alone = Step::new(widths, ACTIVATION, &options(batch, 1));
            alone.run(1);
            assert!(step.grads == alone.grads, "{name}: other bits on {threads} threads");
        }
    });
    group.finish();
    let seconds = best?.min;
    let (path, peak_seconds) = step.map(|s| (s.path(), s.flop() / peak))?;
    println!("{:24}workspace: {workspace} bytes; {keeping} with the state of the whole batch; {path}", "");
    let (network, x) = (name.clone(), *x);
    Some(Point { network, path, threads, x, batch, seconds, peak_seconds, workspace, keeping })
}

criterion_group!(benches, batches, widths, depths);
criterion_main!(benches);
