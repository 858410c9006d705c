//! A floor under the time of a step: its products at the FMA peak, and the operations of its activations at the rate of
//! the same ports.
//!
//! The FMA peak says how many vectors of sixteen `f32` the multipliers take a second: an FMA is 32 FLOP of one. On a
//! processor whose FMA ports are all the vector ports it has for 512 bits, additions, comparisons and logic need these too:
//! every operation takes the place of an FMA. On one with adders apart (Zen 4) only multiplications, FMAs and divisions do,
//! and the rest may run beside them. So there are two floors, and the lower one holds anywhere: a division counts as one
//! operation though it keeps a multiplier for several, and loads, stores and moves count as nothing.

use super::workloads::Workload;
use nablas::Activation;

/// Vector operations for sixteen elements of a hidden layer, forward and backward.
#[derive(Clone, Copy)]
pub(crate) struct Operations {
    /// On the multipliers: multiplications, FMAs, divisions.
    pub(crate) multipliers: f64,
    /// All that compute: these, additions, comparisons, selections, integer arithmetic.
    pub(crate) all: f64,
}

/// What the value and derivative of an activation take, and one multiplication more for δ ⊙ g'.
///
/// Counted from the assembly: the turns of a loop that loads two vectors, has `value_d` of the pair and stores both results,
/// AVX-512, rustc 1.95.0; instructions on vectors without `vmov…` and broadcasts, half of them for a vector. For sin,
/// without the branch for huge arguments.
pub(crate) fn operations(activation: Activation<f32>) -> Option<Operations> {
    let (multiplications, divisions, others) = match activation {
        Activation::Tanh => (15, 1, 10),
        Activation::Sigmoid => (16, 1, 10),
        Activation::Silu => (18, 1, 11),
        Activation::GeluTanh => (29, 1, 19),
        Activation::Sin(_) => (17, 0, 12),
        _ => return None,
    };
    let multipliers = f64::from(multiplications + divisions + 1);
    Some(Operations { multipliers, all: multipliers + f64::from(others) })
}

/// The seconds below which no step can be, at this FMA peak (FLOP/s): where multipliers alone are short, and where every
/// operation takes the place of an FMA.
pub(crate) fn floors(workload: &Workload, batch: usize, peak: f64) -> Option<(f64, f64)> {
    let Operations { multipliers, all } = operations(workload.activation)?;
    let hidden: usize = workload.widths[1..workload.widths.len() - 1].iter().sum();
    let vectors = (batch * hidden) as f64 / 16.0;
    let (products, vector) = (workload.flop(batch) as f64 / peak, 32.0 / peak);
    Some((products + vectors * multipliers * vector, products + vectors * all * vector))
}
