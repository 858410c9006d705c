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
        let (one, far) = (isa.splat(T::ONE), isa.eq(isa.abs(z), k(isa, f64::INFINITY)));
        let sum = isa.add(one, isa.abs(z));
        let end = isa.select(isa.lt(z, isa.zero()), isa.neg(one), one);
        let inverse = isa.div(one, sum);
        (isa.select(far, end, isa.div(z, sum)), isa.mul(inverse, inverse))
    }
}
