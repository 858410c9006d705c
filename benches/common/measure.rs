//! Timing through criterion, keeping the best sample beside criterion's own estimate, so that a share of the
//! peak can be printed.

use criterion::{BenchmarkGroup, BenchmarkId, Throughput, measurement::WallTime};
use std::time::{Duration, Instant};

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

/// Times `f` under `id`; `work` is what criterion divides by the time. Returns the best mean of a sample, or
/// nothing where the benchmark was filtered out.
///
/// Once before all timing `f` is called with `true`: it then checks what it has computed.
pub(crate) fn time(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    work: Throughput,
    mut f: impl FnMut(bool),
) -> Option<Duration> {
    let mut best: Option<Duration> = None;
    group.throughput(work);
    group.bench_function(id, |b| {
        if best.is_none() {
            f(true);
        }
        b.iter_custom(|iterations| {
            let start = Instant::now();
            for _ in 0..iterations {
                f(false);
            }
            let total = start.elapsed();
            let mean = total / u32::try_from(iterations).unwrap_or(u32::MAX);
            best = Some(best.map_or(mean, |b| b.min(mean)));
            total
        });
    });
    best
}
