//! Timings of a known number of floating-point operations, against the measured FMA peak.

use super::measure::{Timing, time};
use criterion::{BenchmarkGroup, BenchmarkId, Throughput, measurement::WallTime};

/// What the elements of criterion's throughput are, to be printed once by every benchmark that counts them.
pub(crate) fn say_peak(what: &str, peak: f64) {
    println!(
        "FMA peak, {what}: {:.1} GFLOP/s; below, an element is one FLOP of the matrix products",
        peak / 1e9
    );
}

/// [`time`]s `f`, which does `flop` operations, and prints its share of `peak` (FLOP/s).
pub(crate) fn time_flop(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    flop: u64,
    peak: f64,
    f: impl FnMut(bool),
) -> Option<Timing> {
    let timing = time(group, id, Throughput::Elements(flop), f)?;
    let [rate, median] = [timing.min, timing.median].map(|seconds| flop as f64 / seconds);
    let [share, usual] = [rate, median].map(|rate| 100.0 * rate / peak);
    println!(
        "{:24}share of the FMA peak: {share:5.1} % ({:.1} GFLOP/s), median {usual:.1} %",
        "",
        rate / 1e9
    );
    Some(timing)
}
