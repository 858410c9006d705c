//! How far above its floor is a step whose activations are no small part of it? The share of the FMA peak counts products
//! alone; here is beside it the share of a floor that counts the activations' vector operations too: `common/floor.rs`.

mod common {
    pub(crate) mod floor;
    #[expect(dead_code, reason = "criterion's part of it is not for here")]
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod operands;
    pub(crate) mod peak;
    #[expect(dead_code, reason = "the workloads count their FLOP")]
    pub(crate) mod step;
    pub(crate) mod threads;
    pub(crate) mod turns;
    pub(crate) mod workloads;
}

use common::{
    floor::floors,
    measure::quick,
    peak::peak,
    step::Step,
    threads,
    turns::turns,
    workloads::{self, Workload},
};
use nablas::PlanOptions;
use std::time::Duration;

/// The workloads of `mlp` that have activations to speak of.
const NAMES: [&str; 6] = ["pinn", "ppo", "latency", "matexp", "siren", "tabular"];

fn main() {
    let mut counts = vec![1, threads::all()];
    counts.dedup();
    for threads in counts {
        let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
        println!("{}, {threads} thread(s); a vector operation is one on sixteen f32", isa.name());
        println!(
            "  {:10} {:>6} {:>10} {:>9}  {:>8}  {:>24}  {:>24}",
            "workload",
            "batch",
            "µs",
            "GFLOP/s",
            "of peak",
            "of the multipliers' floor",
            "of all operations' floor"
        );
        for name in NAMES {
            let workload = workloads::ALL.iter().find(|w| w.name == name);
            row(workload.expect("it is one of the ten"), threads);
        }
    }
}

/// Measures the peak and the step in the same moments, and prints the shares.
fn row(workload: &Workload, threads: usize) {
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
    let batch = if quick() { workload.batch.min(64) } else { workload.batch };
    let options = PlanOptions::new(batch).threads(threads);
    let mut step = Step::new(workload.widths, workload.activation, &options);
    let before = peak::<f32>(isa, threads);
    let mut run = |steps| step.run(steps);
    let [timing] = turns([&mut run], Duration::from_millis(1), Duration::from_secs(2), 10);
    let peak = before.max(peak::<f32>(isa, threads));
    let rate = workload.flop(batch) as f64 / timing.min;
    let (multipliers, all) = floors(workload, batch, peak).expect("its activation's operations are counted");
    println!(
        "  {:10} {batch:>6} {:>10.1} {:>9.1}  {:>6.1} %  {:>22.1} %  {:>22.1} %",
        workload.name,
        1e6 * timing.min,
        rate / 1e9,
        100.0 * rate / peak,
        100.0 * multipliers / timing.min,
        100.0 * all / timing.min,
    );
}
