//! The left tails of the functions that fade like z·e^−y: SiLU, GELU, Mish.

use super::{at_most, k};
use crate::{isa::Arith, math::Math};

/// |z| beyond which e^−|z| is 0 in `f32` and `f64`, with room to spare.
const FAR: f64 = 1000.0;

/// Where e^−y nears the denormals it is taken as e^(LIFT − y), and what it leads to is multiplied by e^−LIFT last:
/// or the product z·e^−y, which may be normal yet, would have the few bits of a denormal.
const LIFT: f64 = 44.0;
/// e^−LIFT.
const LOWER: f64 = 7.781_132_241_133_796_515_7e-20;

/// y from where e^−y is lifted. Beyond, 1 + e^(LIFT − y) is 1 still.
#[inline(always)]
fn edge<T>() -> f64 {
    if size_of::<T>() == 4 { 80.0 } else { 700.0 }
}

/// What the results left of 0 are to be multiplied by, for the exponential to be taken down again.
#[derive(Clone, Copy)]
pub(super) struct Tail<V> {
    lower: V,
}

impl<V: Copy> Tail<V> {
    /// |z|, but finite: so that no product is 0·∞.
    #[inline(always)]
    pub(super) fn distance<T: Math, I: Arith<T, V = V>>(isa: I, z: V) -> V {
        at_most(isa, isa.abs(z), FAR)
    }

    /// e^−y for y ≥ 0, lifted where y is large.
    #[inline(always)]
    pub(super) fn exp<T: Math, I: Arith<T, V = V>>(isa: I, z: V, y: V) -> (V, Self) {
        let far = isa.lt(k(isa, edge::<T>()), y);
        let e = T::exp(isa, isa.sub(isa.select(far, k(isa, LIFT), isa.zero()), y));
        let lowered = isa.and_m(far, isa.lt(z, isa.zero()));
        (e, Self { lower: isa.select(lowered, k(isa, LOWER), isa.splat(T::ONE)) })
    }

    /// Takes a value and a derivative, both proportional to e^−y in the left tail, down from the lift.
    #[inline(always)]
    pub(super) fn settle<T: Math, I: Arith<T, V = V>>(self, isa: I, value: V, derivative: V) -> (V, V) {
        (isa.mul(value, self.lower), isa.mul(derivative, self.lower))
    }

    /// A gated identity, z·S(z) for an S with S(z) + S(−z) = 1, from its left tail: with x = |z|,
    /// n = S(−x) and d = S(−x) − x·S'(−x), the value is max(z, 0) − x·n and the derivative d or 1 − d.
    #[inline(always)]
    pub(super) fn gated<T: Math, I: Arith<T, V = V>>(self, isa: I, z: V, x: V, n: V, d: V) -> (V, V) {
        let left = isa.lt(z, isa.zero());
        let base = isa.select(left, k(isa, -0.0), z);
        self.settle(isa, isa.nfma(x, n, base), isa.select(left, d, isa.sub(isa.splat(T::ONE), d)))
    }
}
