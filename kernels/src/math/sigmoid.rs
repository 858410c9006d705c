//! σ(x) = 1/(1 + e⁻ˣ) and its derivative.
//!
//! With e = e^(−|x|), m = e/(1 + e) = σ(−|x|) is at most ½, so 1 − m = σ(|x|) and m·(1 − m) = σ'(x) do not
//! cancel, however far out x is.

use super::exp::{ExpTable, Scaled};
use crate::isa::Lanes;

/// (σ(−|x|), σ(|x|)).
#[inline(always)]
fn both<T: ExpTable, I: Lanes<T>>(isa: I, x: I::V) -> (I::V, I::V) {
    let one = isa.splat(T::ONE);
    let e = Scaled::new(isa, isa.neg(isa.abs(x)));
    let e = Scaled::unscale(isa, e.scaled(isa));
    let m = isa.div(e, isa.add(one, e));
    (m, isa.sub(one, m))
}

/// σ(x).
#[inline(always)]
pub(super) fn sigmoid<T: ExpTable, I: Lanes<T>>(isa: I, x: I::V) -> I::V {
    let (low, high) = both(isa, x);
    isa.select(isa.lt(x, isa.zero()), low, high)
}

/// (σ(x), σ(x)·(1 − σ(x))).
#[inline(always)]
pub(super) fn sigmoid_d<T: ExpTable, I: Lanes<T>>(isa: I, x: I::V) -> (I::V, I::V) {
    let (low, high) = both(isa, x);
    (isa.select(isa.lt(x, isa.zero()), low, high), isa.mul(low, high))
}
