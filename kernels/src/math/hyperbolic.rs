//! tanh x and its derivative.
//!
//! With e = e^(−2|x|), tanh |x| = (1 − e)/(2 − (1 − e)), and since 1 + tanh |x| = 2/(1 + e),
//! 1 − tanh² x = 4e/(1 + e)² = e·(1 + tanh |x|)²: one division for both, and nothing cancels.

use super::{
    exp::{ExpTable, Scaled},
    format::{flip, sign},
};
use crate::isa::Lanes;

/// (tanh |x|, the parts of e).
#[inline(always)]
fn magnitude<T: ExpTable, I: Lanes<T>>(isa: I, x: I::V) -> (I::V, Scaled<I::V>) {
    let e = Scaled::new(isa, isa.mul(isa.abs(x), isa.splat(T::from_f64(-2.0))));
    let m = e.one_minus(isa);
    (isa.div(m, isa.sub(isa.splat(T::from_f64(2.0)), m)), e)
}

/// tanh x.
#[inline(always)]
pub(super) fn tanh<T: ExpTable, I: Lanes<T>>(isa: I, x: I::V) -> I::V {
    flip(isa, magnitude(isa, x).0, sign(isa, x))
}

/// (tanh x, 1 − tanh² x).
#[inline(always)]
pub(super) fn tanh_d<T: ExpTable, I: Lanes<T>>(isa: I, x: I::V) -> (I::V, I::V) {
    let (t, e) = magnitude(isa, x);
    let p = isa.add(t, isa.splat(T::ONE));
    let d = isa.mul(isa.mul(e.scaled(isa), p), p);
    (flip(isa, t, sign(isa, x)), Scaled::unscale(isa, d))
}
