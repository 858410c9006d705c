//! Contenders in alternated rounds, on one thread and on all: each number of threads in a process of its own, since
//! frameworks read theirs once, when they start.

use super::{
    measure::quick,
    operands::{Operands, operands},
    peak::peak,
    record::Case,
    turns::turns,
    workloads::{self, Workload},
};
use nablas::Activation;
use std::{env, process::Command, time::Duration};

/// Says which child of the benchmark this process is.
const CHILD: &str = "NABLAS_BENCH_THREADS";
/// Networks above are left out of a trial run.
const QUICK_PARAMS: usize = 1 << 20;

/// One way to make a training step: as many as it is told.
pub(crate) type Step = Box<dyn FnMut(usize)>;

/// The framework, and what it makes of a workload.
pub(crate) struct Contest<const N: usize> {
    /// The framework: the `source` of its rows, and the first contender's name.
    pub(crate) framework: &'static str,
    /// Its package, whose version the lock file knows.
    pub(crate) package: &'static str,
    /// The contenders of a workload with so many rows and these operands: the framework alone, then nablas' ways.
    pub(crate) contenders: fn(&Workload, usize, &Operands) -> [(&'static str, Step); N],
}

/// The version of a package that was built.
fn version(package: &str) -> &'static str {
    let head = format!("name = \"{package}\"\nversion = \"");
    let (_, found) = include_str!("../Cargo.lock").split_once(&head).expect("the lock file has the package");
    found.split('"').next().unwrap_or_default()
}

/// This process' number of threads; in the process that the user started, runs one for each and returns none.
pub(crate) fn threads() -> Option<usize> {
    if let Ok(threads) = env::var(CHILD) {
        return Some(threads.parse().expect("the benchmark's own variable is a number"));
    }
    let all = nablas::team::default_threads().expect("NABLAS_NUM_THREADS is a number");
    let mut counts = vec![1, all];
    counts.dedup();
    for threads in counts.iter().map(usize::to_string) {
        let exe = env::current_exe().expect("the benchmark is a file");
        let child = Command::new(exe)
            .args(env::args().skip(1))
            .envs([(CHILD, &threads), ("RAYON_NUM_THREADS", &threads), ("NABLAS_NUM_THREADS", &threads)])
            .status();
        assert!(child.expect("the benchmark starts").success(), "{threads} thread(s) failed");
    }
    None
}

/// Times the ten workloads, or those whose names are given.
pub(crate) fn run<const N: usize>(contest: &Contest<N>) {
    let Some(threads) = threads() else { return };
    let isa = nablas::isa().expect("NABLAS_ISA names an ISA of this machine");
    let peak = peak::<f32>(isa, threads);
    let wanted: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let version = version(contest.package);
    println!("\n{} {version}, {threads} thread(s), f32, µs a step (smallest sample)", contest.framework);
    let mut head = true;
    for workload in &workloads::ALL {
        let params: usize = workload.widths.windows(2).map(|w| (w[0] + 1) * w[1]).sum();
        let left_out = quick() && params > QUICK_PARAMS;
        if left_out || !(wanted.is_empty() || wanted.iter().any(|w| w == workload.name)) {
            continue;
        }
        let batch = if quick() { workload.batch.min(64) } else { workload.batch };
        let operands = operands(workload.widths, batch, workload.activation);
        let mut contenders = (contest.contenders)(workload, batch, &operands);
        if std::mem::take(&mut head) {
            let names = contenders[1..].iter().map(|(name, _)| format!("{name:>22} {:>6}", "ratio"));
            println!("{:<12} {:>12} {}", "", contest.framework, names.collect::<Vec<_>>().join(" "));
        }
        let names = contenders.each_ref().map(|(name, _)| *name);
        let steps = contenders.each_mut().map(|(_, step)| step as &mut dyn FnMut(usize));
        let timings = turns(steps, Duration::from_millis(5), Duration::from_secs(3), 3);
        let case = Case {
            source: contest.framework,
            workload: workload.name,
            dims: workload.widths,
            batch,
            activation: workload.activation.name(),
            dtype: "f32",
            isa: isa.name(),
            threads,
            flop: workload.flop(batch),
            peak,
        };
        let theirs = timings[0].min;
        let mut line = format!("{:<12} {:>12.1}", workload.name, 1e6 * theirs);
        for (i, (name, timing)) in names.iter().zip(&timings).enumerate() {
            case.note(name, if i == 0 { version } else { "" }, Some(*timing));
            if i > 0 {
                line += &format!(" {:>22.1} {:>6.2}", 1e6 * timing.min, theirs / timing.min);
            }
        }
        println!("{line}");
    }
}

/// The activation of each layer: the last is linear.
pub(crate) fn activations(workload: &Workload) -> Vec<Activation<f64>> {
    let mut all = vec![workload.activation.map(f64::from); workload.widths.len() - 1];
    if let Some(last) = all.last_mut() {
        *last = Activation::Identity;
    }
    all
}

/// W and b of each layer, as they lie in a flat buffer.
pub(crate) fn layers<'a>(workload: &Workload, mut params: &'a [f32]) -> Vec<(&'a [f32], &'a [f32])> {
    let mut take = |n: usize| {
        let (first, rest) = params.split_at(n);
        params = rest;
        first
    };
    workload.widths.windows(2).map(|w| (take(w[0] * w[1]), take(w[1]))).collect()
}
