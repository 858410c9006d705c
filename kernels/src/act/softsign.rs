//! Softsign.

use super::{Function, Saved, k};
use crate::{isa::Arith, math::Math};

/// z/(1 + |z|); the derivative is 1/(1 + |z|)². At ±∞ it is ±1 with derivative 0.
#[derive(Debug, Clone, Copy)]
pub struct Softsign;

impl<T: Math> Function<T> for Softsign {
    const SAVED: Saved = Saved::Derivative;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        let (one, a) = (isa.splat(T::ONE), isa.abs(z));
        let (end, below) = (isa.eq(a, k(isa, f64::INFINITY)), isa.lt(a, one));
        // sum + lost = 1 + |z| (Dekker's sum, the larger term first); q + q·residual is 1/(1 + |z|) but for residual².
        let (low, high) = (isa.select(below, a, one), isa.select(below, one, a));
        let sum = isa.add(high, low);
        let lost = isa.sub(low, isa.sub(sum, high));
        let q = isa.div(one, sum);
        let residual = isa.nfma(q, lost, isa.nfma(q, sum, one));
        let value = isa.mul(z, q);
        // Minus what is too much, not plus what is missing: −0 stays.
        let value = isa.sub(value, isa.nfma(value, residual, isa.nfma(z, q, value)));
        let square = isa.mul(q, q);
        let d = isa.fma(square, isa.add(residual, residual), square);
        let sign = isa.select(isa.lt(z, isa.zero()), isa.neg(one), one);
        (isa.select(end, sign, value), isa.select(end, isa.zero(), d))
    }
}
