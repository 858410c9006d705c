//! Contenders in turns: on a machine that is shared, only what was measured in the same moments can be compared.

use super::measure::{Timing, quick};
use std::time::{Duration, Instant};

/// Times contenders, each of which makes as many steps as it is told, in bursts of `burst` or more: one burst each
/// in turns, the order turned round each time, over `span` and for `rounds` rounds at least.
pub(crate) fn turns<const N: usize>(
    mut contenders: [&mut dyn FnMut(usize); N],
    burst: Duration,
    span: Duration,
    rounds: usize,
) -> [Timing; N] {
    let mut time = |i: usize, steps: usize| {
        let start = Instant::now();
        contenders[i](steps);
        start.elapsed().as_secs_f64() / steps as f64
    };
    if quick() {
        return std::array::from_fn(|i| {
            let once = time(i, 1);
            Timing { min: once, median: once }
        });
    }
    let steps: [usize; N] = std::array::from_fn(|i| {
        time(i, 1);
        (burst.as_secs_f64() / time(i, 1)).ceil().max(1.0) as usize
    });
    let mut samples: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    let began = Instant::now();
    let mut round = 0;
    while round < rounds || began.elapsed() < span {
        for i in 0..N {
            let i = if round % 2 == 0 { i } else { N - 1 - i };
            samples[i].push(time(i, steps[i]));
        }
        round += 1;
    }
    samples.map(|mut s| {
        s.sort_by(f64::total_cmp);
        Timing { min: s[0], median: s[s.len() / 2] }
    })
}
