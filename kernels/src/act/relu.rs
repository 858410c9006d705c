//! The piecewise polynomials: identity, the ReLU family, HardSwish.

use super::{Function, Saved, k};
use crate::{isa::Arith, math::Math};

/// z.
#[derive(Debug, Clone, Copy)]
pub struct Identity;

impl<T: Math> Function<T> for Identity {
    const SAVED: Saved = Saved::Nothing;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        (z, isa.select(isa.eq(z, z), isa.splat(T::ONE), z))
    }
}

/// max(z, 0); the derivative at 0 is 0.
#[derive(Debug, Clone, Copy)]
pub struct Relu;

impl<T: Math> Function<T> for Relu {
    const SAVED: Saved = Saved::Mask;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        let a = isa.select(isa.le(z, isa.zero()), isa.zero(), z);
        (a, self.vjp(isa, z, isa.splat(T::ONE)))
    }
}

/// z for z > 0, α·z otherwise; the derivative at 0 is α. At −∞ a value of α·(−∞): NaN for α = 0.
#[derive(Debug, Clone, Copy)]
pub struct LeakyRelu<T>(
    /// α, the slope left of 0.
    pub T,
);

impl<T: Math> Function<T> for LeakyRelu<T> {
    const SAVED: Saved = Saved::Mask;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        let a = isa.select(isa.le(z, isa.zero()), isa.mul(isa.splat(self.0), z), z);
        (a, self.vjp(isa, z, isa.splat(T::ONE)))
    }
    #[inline(always)]
    fn slope(self) -> T {
        self.0
    }
}

/// min(max(z, 0), c); the derivative is 1 strictly inside (0, c).
#[derive(Debug, Clone, Copy)]
pub struct ClippedRelu<T>(
    /// c > 0, the ceiling.
    pub T,
);

impl<T: Math> Function<T> for ClippedRelu<T> {
    const SAVED: Saved = Saved::Mask;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        let c = isa.splat(self.0);
        let low = isa.select(isa.le(z, isa.zero()), isa.zero(), z);
        let a = isa.select(isa.le(c, z), c, low);
        (a, self.vjp(isa, z, isa.splat(T::ONE)))
    }
    #[inline(always)]
    fn branch<I: Arith<T>>(self, isa: I, z: I::V) -> I::M {
        isa.not_m(isa.or_m(isa.le(z, isa.zero()), isa.le(isa.splat(self.0), z)))
    }
}

/// z·min(max(z + 3, 0), 6)/6; the derivative is 0 up to −3, (2z + 3)/6 strictly inside, 1 from 3.
#[derive(Debug, Clone, Copy)]
pub struct HardSwish;

impl<T: Math> Function<T> for HardSwish {
    const SAVED: Saved = Saved::Derivative;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        let (three, sixth) = (k(isa, 3.0), k(isa, 1.0 / 6.0));
        let (low, high) = (isa.le(z, isa.neg(three)), isa.le(three, z));
        let a = isa.mul(isa.mul(z, isa.add(z, three)), sixth);
        let d = isa.mul(isa.fma(k(isa, 2.0), z, three), sixth);
        (
            isa.select(low, isa.zero(), isa.select(high, z, a)),
            isa.select(low, isa.zero(), isa.select(high, isa.splat(T::ONE), d)),
        )
    }
}
