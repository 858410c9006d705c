//! tanh x and its derivative.
//!
//! With e = e^(−2|x|), tanh |x| = (1 − e)/(1 + e), and since 1 + tanh |x| = 2/(1 + e),
//! 1 − tanh² x = 4e/(1 + e)² = e·(1 + tanh |x|)²: one division for both. With e = s·(1 + w), s = 2ⁿ and w = eʳ − 1,
//! the numerator is (1 − s) − s·w and the denominator (1 + s) + s·w. Nothing cancels: 1 ± s are exact where they
//! count, and for small x the numerator is −w.

use super::{
    exp::{ExpTable, LIFT, expm1_reduced, power, reduce},
    format::{at_least, flip, sign},
};
use crate::isa::Arith;

/// tanh x.
#[inline(always)]
pub(super) fn tanh<T: ExpTable, I: Arith<T>>(isa: I, x: I::V) -> I::V {
    tanh_d(isa, x).0
}

/// (tanh x, 1 − tanh² x).
#[inline(always)]
pub(super) fn tanh_d<T: ExpTable, I: Arith<T>>(isa: I, x: I::V) -> (I::V, I::V) {
    let one = isa.splat(T::ONE);
    // −2|x|
    let y = isa.of_bits(isa.or_u(isa.to_bits(isa.add(x, x)), isa.splat_u(T::SIGN)));
    let (t, r) = reduce(isa, at_least(isa, y, T::LOWEST), T::MAGIC + T::BIAS + T::from_f64(64.0));
    let (w, _) = expm1_reduced(isa, r);
    // 2ⁿ by way of 2ⁿ⁺⁶⁴: it may be denormal, and is exact then too.
    let s = isa.mul(power(isa, isa.to_bits(t)), isa.splat(T::from_f64(1.0 / LIFT)));
    let numerator = isa.nfma(s, w, isa.sub(one, s));
    let denominator = isa.fma(s, w, isa.add(one, s));
    let t = isa.div(numerator, denominator);
    // (1 + t)²·(1 + w) = (1 + w) + (t² + 2t)·(1 + w): two roundings fewer. The last product alone can be denormal.
    let f = isa.add(one, w);
    let d = isa.fma(f, isa.fma(t, t, isa.add(t, t)), f);
    (flip(isa, t, sign(isa, x)), isa.mul(d, s))
}
