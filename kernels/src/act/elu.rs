//! The exponentials: exp, ELU, SELU.

use super::{Function, Saved, k};
use crate::{isa::Arith, math::Math};

/// eᶻ, which is its own derivative.
#[derive(Debug, Clone, Copy)]
pub struct Exp;

impl<T: Math> Function<T> for Exp {
    const SAVED: Saved = Saved::Output;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        let e = T::exp(isa, z);
        (e, e)
    }
}

/// `high`·z right of 0, `low`·(eᶻ − 1) left of it. At 0, which keeps its sign, the derivative is that of the left.
///
/// The derivative left of 0 is `low`·eᶻ itself: value + `low` would cancel.
#[inline(always)]
fn exponential_linear<T: Math, I: Arith<T>>(isa: I, high: I::V, low: I::V, z: I::V) -> (I::V, I::V) {
    let (left, right) = (isa.lt(z, isa.zero()), isa.lt(isa.zero(), z));
    let (value, slope) = T::exp_pair(isa, z);
    (isa.select(left, isa.mul(low, value), isa.mul(high, z)), isa.select(right, high, isa.mul(low, slope)))
}

/// z for z > 0, α·(eᶻ − 1) otherwise; the derivative at 0 is α. Clevert, Unterthiner, Hochreiter 2015.
#[derive(Debug, Clone, Copy)]
pub struct Elu<T>(
    /// α: the value goes to −α at −∞.
    pub T,
);

impl<T: Math> Function<T> for Elu<T> {
    const SAVED: Saved = Saved::Derivative;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        exponential_linear(isa, isa.splat(T::ONE), isa.splat(self.0), z)
    }
}

/// λ·z for z > 0, λα·(eᶻ − 1) otherwise: the fixed point (0, 1) of mean and variance. Klambauer et al. 2017.
#[derive(Debug, Clone, Copy)]
pub struct Selu;

/// λ.
const LAMBDA: f64 = 1.050_700_987_355_480_493_419_334_985_294_6;
/// λ·α, α = 1.673263242354377284817…
const LAMBDA_ALPHA: f64 = 1.758_099_340_847_376_859_940_217_520_812_3;

impl<T: Math> Function<T> for Selu {
    const SAVED: Saved = Saved::Derivative;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        exponential_linear(isa, k(isa, LAMBDA), k(isa, LAMBDA_ALPHA), z)
    }
}
