//! Timing through criterion, keeping the best sample beside criterion's own estimate, so that a share of the
//! peak can be printed.

use criterion::{BenchmarkGroup, BenchmarkId, Throughput, measurement::WallTime};
use std::time::Instant;

/// Seconds a step.
#[derive(Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) min: f64,
    pub(crate) median: f64,
}

/// Whether benchmarks are only to be shown to run (`cargo bench -- --test`, `cargo test --benches`).
pub(crate) fn quick() -> bool {
    let mut bench = false;
    for arg in std::env::args() {
        match arg.as_str() {
            "--test" => return true,
            "--bench" => bench = true,
            _ => {}
        }
    }
    !bench
}

/// Times `f` under `id`; `work` is what criterion divides by the time. Returns the best mean of a sample and
/// the median, or nothing where the benchmark was filtered out.
///
/// Once before all timing `f` is called with `true`: it then checks what it has computed.
pub(crate) fn time(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    work: Throughput,
    mut f: impl FnMut(bool),
) -> Option<Timing> {
    let mut samples: Vec<(f64, u64)> = Vec::new();
    group.throughput(work);
    group.bench_function(id, |b| {
        if samples.is_empty() {
            f(true);
        }
        b.iter_custom(|iterations| {
            let start = Instant::now();
            for _ in 0..iterations {
                f(false);
            }
            let total = start.elapsed();
            samples.push((total.as_secs_f64() / iterations as f64, iterations));
            total
        });
    });
    samples.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Of steps, not of samples: the first samples, which warm up, are of few steps.
    let half = samples.iter().map(|s| s.1).sum::<u64>() / 2;
    let mut seen = 0;
    let median = samples.iter().find(|s| {
        seen += s.1;
        seen > half
    });
    Some(Timing { min: samples.first()?.0, median: median?.0 })
}
