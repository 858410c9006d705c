//! The left tails of the functions that fade like z·e^−y: SiLU, GELU, Mish.
//!
//! Near the denormals z·e^−y may be normal yet where e^−y has few bits left. So the exponential is carried at
//! 2¹⁰⁰ of its size, and only what it leads to is taken down, in the last operation.

use super::k;
use crate::{isa::Arith, math::Math};

/// 2⁻¹⁰⁰: what takes the lifted exponential down.
pub(super) const LOWER: f64 = 7.888_609_052_210_118_054_1e-31;

/// The largest y: far enough for z·e^−y to be 0 in the type, for every |z| up to y.
#[inline(always)]
pub(super) fn farthest<T>() -> f64 {
    if size_of::<T>() == 4 { 124.0 } else { 760.0 }
}

/// A gated identity, z·S(z) for an S with S(z) + S(−z) = 1, from its left tail: with x = |z|, n = S(−x) and
/// d = S(−x) − x·S'(−x), both lifted, the value is max(z, 0) − x·n and the derivative d or 1 − d.
#[inline(always)]
pub(super) fn gated<T: Math, I: Arith<T>>(isa: I, z: I::V, x: I::V, n: I::V, d: I::V) -> (I::V, I::V) {
    let left = isa.lt(z, isa.zero());
    let base = isa.select(left, k(isa, -0.0), z);
    let (scale, offset) =
        (isa.select(left, k(isa, LOWER), k(isa, -LOWER)), isa.select(left, isa.zero(), isa.splat(T::ONE)));
    (isa.nfma(isa.mul(x, n), k(isa, LOWER), base), isa.fma(d, scale, offset))
}
