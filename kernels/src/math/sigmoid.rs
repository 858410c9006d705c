//! σ(x) = 1/(1 + e⁻ˣ) and its derivative.
//!
//! m = 1/(1 + e^|x|) = σ(−|x|) is at most ½, so 1 − m = σ(|x|) and m·(1 − m) = σ'(x) do not cancel, however
//! far out x is. One step of Newton's iteration takes away the rounding errors of the sum and the quotient.

use super::{
    exp::{ExpTable, LIFT, power, reduce},
    format::{at_most, polynomial},
};
use crate::isa::Arith;

/// (σ(−|x|), σ(|x|)).
#[inline(always)]
fn both<T: ExpTable, I: Arith<T>>(isa: I, x: I::V) -> (I::V, I::V) {
    let one = isa.splat(T::ONE);
    let lowered = isa.splat(T::from_f64(1.0 / LIFT));
    let (t, r) =
        reduce(isa, at_most(isa, isa.abs(x), T::ZERO - T::LOWEST), T::MAGIC + T::BIAS - T::from_f64(64.0));
    let q = polynomial(isa, r, T::Q);

    // d + lost = (1 + e^|x|)/2⁶⁴
    let s = power(isa, isa.to_bits(t));
    let rs = isa.mul(r, s);
    let d = isa.fma(rs, q, isa.add(s, lowered));
    let lost = isa.fma(rs, q, isa.add(isa.sub(s, d), lowered));
    let m = isa.div(one, d);
    let m = isa.fma(m, isa.nfma(lost, m, isa.nfma(d, m, one)), m);
    let m = isa.mul(m, lowered);
    (m, isa.sub(one, m))
}

/// σ(x).
#[inline(always)]
pub(super) fn sigmoid<T: ExpTable, I: Arith<T>>(isa: I, x: I::V) -> I::V {
    let (low, high) = both(isa, x);
    isa.select(isa.lt(x, isa.zero()), low, high)
}

/// (σ(x), σ(x)·(1 − σ(x))).
#[inline(always)]
pub(super) fn sigmoid_d<T: ExpTable, I: Arith<T>>(isa: I, x: I::V) -> (I::V, I::V) {
    let (low, high) = both(isa, x);
    (isa.select(isa.lt(x, isa.zero()), low, high), isa.mul(low, high))
}
