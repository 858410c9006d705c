//! The FMA peak, measured: the highest rate at which this binary, on this machine, now, retires fused
//! multiply-adds. Every share printed by a benchmark is of this number.

use nablas_kernels::isa::{IsaToken, LaneKernel, Lanes, Real, TileFamily};
use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Rounds of one timing: about a hundred microseconds.
const ROUNDS: usize = 10_000;

/// FLOP/s of `threads` threads at once, an FMA counted as two; best of many repeats over a fraction of a second.
pub(crate) fn peak<T: Real>(isa: IsaToken, threads: usize) -> f64 {
    let span = Duration::from_millis(if super::measure::quick() { 2 } else { 200 });
    let start = Barrier::new(threads);
    std::thread::scope(|s| {
        let workers: Vec<_> = (0..threads).map(|_| s.spawn(|| alone::<T>(isa, &start, span))).collect();
        workers.into_iter().map(|w| w.join().expect("the FMA loop does not panic")).sum()
    })
}

/// One thread's best rate, from the moment all threads are there.
fn alone<T: Real>(isa: IsaToken, start: &Barrier, span: Duration) -> f64 {
    start.wait();
    let began = Instant::now();
    let mut best: f64 = 0.0;
    while began.elapsed() < span {
        let t = Instant::now();
        let flop = isa.run(Chains::<T>(PhantomData));
        best = best.max(flop / t.elapsed().as_secs_f64());
    }
    best
}

/// Independent chains of FMAs, as many as the registers hold beside two operands: more than latency × ports of
/// any machine there is. Returns the FLOP done.
struct Chains<T>(PhantomData<T>);

impl<T: Real> LaneKernel for Chains<T> {
    type Elem = T;
    type Output = f64;
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) -> f64 {
        match I::TILES {
            TileFamily::Regs32 => chains::<T, I, 24>(isa),
            TileFamily::Regs16 | TileFamily::Scalar => chains::<T, I, 12>(isa),
        }
    }
}

#[inline(always)]
fn chains<T: Real, I: Lanes<T>, const N: usize>(isa: I) -> f64 {
    // x ← x/2 + 1 stays near 2: no infinities, no subnormals.
    let half = isa.splat(black_box(T::from_f64(0.5)));
    let one = isa.splat(black_box(T::ONE));
    let mut x = [one; N];
    for _ in 0..ROUNDS {
        for x in &mut x {
            *x = isa.fma(*x, half, one);
        }
    }
    black_box(x);
    (2 * N * I::LANES * ROUNDS) as f64
}
