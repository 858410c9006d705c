//! Timings of a known number of floating-point operations, against the measured FMA peak.

use super::measure::time;
use criterion::{BenchmarkGroup, BenchmarkId, Throughput, measurement::WallTime};
use std::time::Duration;

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
) -> Option<Duration> {
    let best = time(group, id, Throughput::Elements(flop), f)?;
    let rate = flop as f64 / best.as_secs_f64();
    println!("{:24}share of the FMA peak: {:5.1} % ({:.1} GFLOP/s)", "", 100.0 * rate / peak, rate / 1e9);
    Some(best)
}
