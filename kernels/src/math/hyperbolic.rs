//! tanh x and its derivative.
//!
//! With e = e^(−2|x|), tanh |x| = (1 − e)/(1 + e), and since 1 + tanh |x| = 2/(1 + e),
//! 1 − tanh² x = 4e/(1 + e)² = e·(1 + tanh |x|)²: one division for both. With e = 2ⁿ·(1 + r·q), the numerator
//! is
//! (1 − 2ⁿ) − 2ⁿr·q and the denominator (1 + 2ⁿ) + 2ⁿr·q. Nothing cancels.

use super::{
    exp::{ExpTable, LIFT, power, reduce},
    format::{at_least, flip, polynomial, sign},
};
use crate::isa::Arith;

/// (tanh |x|, 2⁶⁴·e).
#[inline(always)]
fn magnitude<T: ExpTable, I: Arith<T>>(isa: I, x: I::V) -> (I::V, I::V) {
    let one = isa.splat(T::ONE);
    let y = at_least(isa, isa.mul(isa.abs(x), isa.splat(T::from_f64(-2.0))), T::LOWEST);
    let (t, r) = reduce(isa, y, T::MAGIC + T::BIAS + T::from_f64(64.0));
    // q, and what rounding it lost: for small x the loss would be the largest of all.
    let q1 = polynomial(isa, r, &T::FINE[1..]);
    let q = isa.fma(r, q1, one);
    let lost = isa.fma(r, q1, isa.sub(one, q));
    let lifted = power(isa, isa.to_bits(t));
    let s = isa.mul(lifted, isa.splat(T::from_f64(1.0 / LIFT)));
    let rs = isa.mul(r, s);
    let numerator = isa.nfma(rs, q, isa.nfma(rs, lost, isa.sub(one, s)));
    let denominator = isa.fma(rs, q, isa.add(one, s));
    (isa.div(numerator, denominator), isa.fma(isa.mul(r, lifted), q, lifted))
}

/// tanh x.
#[inline(always)]
pub(super) fn tanh<T: ExpTable, I: Arith<T>>(isa: I, x: I::V) -> I::V {
    flip(isa, magnitude(isa, x).0, sign(isa, x))
}

/// (tanh x, 1 − tanh² x).
#[inline(always)]
pub(super) fn tanh_d<T: ExpTable, I: Arith<T>>(isa: I, x: I::V) -> (I::V, I::V) {
    let (t, e) = magnitude(isa, x);
    // (1 + t)²·e = e + (t² + 2t)·e: two roundings fewer. The last product alone can be denormal.
    let d = isa.fma(e, isa.fma(t, t, isa.add(t, t)), e);
    let d = isa.mul(d, isa.splat(T::from_f64(1.0 / LIFT)));
    (flip(isa, t, sign(isa, x)), d)
}
