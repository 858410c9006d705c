//! The sum of squares, in `f64`.

use super::VIRTUAL_LANES;
use crate::{
    chain::CHAIN,
    isa::{LaneKernel, Lanes, Real},
};

/// Σ x² over sixteen virtual lanes, each a sum of chains, whose squares and sums are `f64`; 0 of an empty slice.
///
/// The square of an `f32` is exact there, and none overflows or vanishes. Squares are rounded before they are added: a loop
/// over sixteen numbers says so, and each instruction set takes as many of them at once as it can.
#[derive(Debug)]
pub struct SquareSum<'a, T> {
    /// What is squared.
    pub x: &'a [T],
}

/// Adds the squares of up to sixteen numbers to their lanes.
#[inline(always)]
fn add<T: Real>(lanes: &mut [f64; VIRTUAL_LANES], x: &[T]) {
    for (lane, x) in lanes.iter_mut().zip(x) {
        let x = x.to_f64();
        *lane += x * x;
    }
}

impl<T: Real> LaneKernel for SquareSum<'_, T> {
    type Elem = T;
    type Output = f64;
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, _: I) -> f64 {
        let mut sums = [0.0; VIRTUAL_LANES];
        for (i, run) in self.x.chunks(CHAIN * VIRTUAL_LANES).enumerate() {
            let (mut chain, mut rest) = ([0.0; VIRTUAL_LANES], run);
            while let Some((sixteen, after)) = rest.split_first_chunk::<VIRTUAL_LANES>() {
                add(&mut chain, sixteen);
                rest = after;
            }
            add(&mut chain, rest);
            for (sum, chain) in sums.iter_mut().zip(chain) {
                *sum = if i == 0 { chain } else { *sum + chain };
            }
        }
        let mut half = VIRTUAL_LANES / 2;
        while half > 0 {
            for i in 0..half {
                sums[i] += sums[i + half];
            }
            half /= 2;
        }
        sums[0]
    }
}
