//! The functions built on σ and tanh: sigmoid, tanh, softplus, SiLU, Mish; and the sine.

use super::{
    Function, Saved, at_most, k,
    tail::{LOWER, farthest, gated},
};
use crate::{isa::Arith, math::Math};

/// σ(z) = 1/(1 + e⁻ᶻ). The derivative σ(z)·σ(−z) keeps its relative accuracy at both ends.
#[derive(Debug, Clone, Copy)]
pub struct Sigmoid;

impl<T: Math> Function<T> for Sigmoid {
    const SAVED: Saved = Saved::Derivative;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        T::sigmoid_d(isa, z)
    }
}

/// tanh z. The derivative 1/cosh² z keeps its relative accuracy at both ends.
#[derive(Debug, Clone, Copy)]
pub struct Tanh;

impl<T: Math> Function<T> for Tanh {
    const SAVED: Saved = Saved::Derivative;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        T::tanh_d(isa, z)
    }
}

/// sin p with p = ω·z rounded once; the derivative is ω·cos p. At ±∞, and where ω·z overflows, NaN.
#[derive(Debug, Clone, Copy)]
pub struct Sin<T>(
    /// ω, the angular frequency.
    pub T,
);

impl<T: Math> Function<T> for Sin<T> {
    const SAVED: Saved = Saved::Derivative;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        let omega = isa.splat(self.0);
        let (sin, cos) = T::sin_cos(isa, isa.mul(omega, z));
        (sin, isa.mul(omega, cos))
    }
}

/// ln(1 + eᶻ) = max(z, 0) + ln(1 + e^−|z|); the derivative is σ(z), from the same exponential.
#[derive(Debug, Clone, Copy)]
pub struct Softplus;

impl<T: Math> Function<T> for Softplus {
    const SAVED: Saved = Saved::Derivative;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        let one = isa.splat(T::ONE);
        let left = isa.lt(z, isa.zero());
        let (_, e) = T::exp_pair(isa, isa.neg(isa.abs(z)));
        let value = isa.add(isa.select(left, isa.zero(), z), T::log1p_unit(isa, e));
        (value, isa.div(isa.select(left, e, one), isa.add(one, e)))
    }
}

/// z·σ(z), also called swish. At −∞ it is −0 with derivative 0; at ∞ it is ∞ with derivative 1.
#[derive(Debug, Clone, Copy)]
pub struct Silu;

impl<T: Math> Function<T> for Silu {
    const SAVED: Saved = Saved::Derivative;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        let one = isa.splat(T::ONE);
        let x = at_most(isa, isa.abs(z), farthest::<T>());
        let e = T::exp_lifted(isa, isa.neg(x), isa.zero());
        // u = e⁻ˣ, σ(−x) = u/(1 + u), σ(x) = 1/(1 + u), and d = σ(−x)·(1 − x·σ(x)).
        let u = isa.mul(e, k(isa, LOWER));
        let s = isa.div(one, isa.add(one, u));
        let n = isa.mul(e, s);
        let d = isa.mul(isa.mul(n, s), isa.add(isa.sub(one, x), u));
        gated(isa, z, x, n, d)
    }
}

/// z·tanh(ln(1 + eᶻ)). At −∞ it is −0 with derivative 0; at ∞ it is ∞ with derivative 1. Misra 2019.
///
/// With n = eᶻ and w = n·(n + 2), tanh(ln(1 + n)) = w/(w + 2) and the derivative is
/// (w·(w + 2) + 4z·n·(1 + n))/(w + 2)²; right of 0 both fractions are taken times e⁻²ᶻ, above and below.
#[derive(Debug, Clone, Copy)]
pub struct Mish;

impl<T: Math> Function<T> for Mish {
    const SAVED: Saved = Saved::Derivative;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        let (one, two) = (isa.splat(T::ONE), k(isa, 2.0));
        let left = isa.lt(z, isa.zero());
        let x = at_most(isa, isa.abs(z), farthest::<T>());
        let lifted = T::exp_lifted(isa, isa.neg(x), isa.zero());
        let e = isa.mul(lifted, k(isa, LOWER));
        // Left of 0 what is proportional to e⁻ˣ, to be taken down last.
        let w = isa.add(e, two);
        let v = isa.fma(two, e, one);
        let num = isa.select(left, isa.mul(lifted, w), v);
        let den = isa.select(left, isa.fma(e, w, two), isa.fma(isa.mul(two, e), e, v));
        let r = isa.div(one, den);
        let near = isa.select(left, isa.neg(x), x);
        let lower = isa.select(left, k(isa, LOWER), one);
        let value = isa.mul(isa.select(left, near, z), isa.mul(num, r));
        let n = isa.select(left, lifted, isa.mul(e, e));
        let turn = isa.mul(isa.mul(k(isa, 4.0), near), isa.fma(n, e, n));
        let d = isa.mul(isa.mul(isa.fma(num, den, turn), r), r);
        (isa.mul(value, lower), isa.mul(d, lower))
    }
}
