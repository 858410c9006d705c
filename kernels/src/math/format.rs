//! What the functions need to know of an element type's format, and the polynomial they share.

use crate::isa::{Arith, Real};

/// The layout of a binary floating-point format.
pub trait Format: Real {
    /// Stored bits of the significand.
    const MANT: u32;
    /// Bits in all, less two: shifting left by it brings bit 1 to the sign.
    const TO_SIGN: u32;
    /// 1.5 · 2^MANT: added to a small number, it leaves the nearest integer in the low bits.
    const MAGIC: Self;
    /// The exponent's bias.
    const BIAS: Self;
    /// The sign bit.
    const SIGN: Self::Bits;
    /// The integer one.
    const UNIT: Self::Bits;
    /// +∞.
    const INF: Self;
    /// A quiet NaN.
    const NAN: Self;
}

macro_rules! format {
    ($t:ident, $bits:literal) => {
        impl Format for $t {
            const MANT: u32 = $t::MANTISSA_DIGITS - 1;
            const TO_SIGN: u32 = $bits - 2;
            const MAGIC: $t = 1.5 / $t::EPSILON;
            const BIAS: $t = ($t::MAX_EXP - 1) as $t;
            const SIGN: Self::Bits = 1 << ($bits - 1);
            const UNIT: Self::Bits = 1;
            const INF: $t = $t::INFINITY;
            const NAN: $t = $t::NAN;
        }
    };
}
format!(f32, 32);
format!(f64, 64);

/// The longest polynomial evaluated in one chain of multiply-adds.
const CHAIN: usize = 7;

/// c₀ + c₁x + c₂x² + …: Horner's rule, the fewest operations; of a long polynomial the upper terms as two
/// such chains, the even and the odd, side by side. c₀ and c₁ come last, so that the result is as good.
#[inline(always)]
pub(super) fn polynomial<T: Real, I: Arith<T>>(isa: I, x: I::V, c: &'static [T]) -> I::V {
    if c.len() <= CHAIN {
        return chain(isa, x, c, 0, 1);
    }
    let xx = isa.mul(x, x);
    let odd = chain(isa, xx, c, 3, 2);
    let upper = isa.fma(odd, x, chain(isa, xx, c, 2, 2));
    let p = isa.fma(upper, x, isa.splat(c[1]));
    isa.fma(p, x, isa.splat(c[0]))
}

/// The coefficients from `first` on, in steps of `step`, by Horner's rule in `x`.
#[inline(always)]
pub(super) fn chain<T: Real, I: Arith<T>>(
    isa: I,
    x: I::V,
    c: &'static [T],
    first: usize,
    step: usize,
) -> I::V {
    let mut i = first + (c.len() - 1 - first) / step * step;
    let mut p = isa.splat(c[i]);
    while i > first {
        i -= step;
        p = isa.fma(p, x, isa.splat(c[i]));
    }
    p
}

/// The sign bit of `x`.
#[inline(always)]
pub(super) fn sign<T: Format, I: Arith<T>>(isa: I, x: I::V) -> I::U {
    isa.and_u(isa.to_bits(x), isa.splat_u(T::SIGN))
}

/// `x` with these bits flipped.
#[inline(always)]
pub(super) fn flip<T: Format, I: Arith<T>>(isa: I, x: I::V, bits: I::U) -> I::V {
    isa.of_bits(isa.xor_u(isa.to_bits(x), bits))
}

/// `x`, but at least `lo`; NaN stays.
#[inline(always)]
pub(super) fn at_least<T: Real, I: Arith<T>>(isa: I, x: I::V, lo: T) -> I::V {
    let lo = isa.splat(lo);
    isa.select(isa.lt(x, lo), lo, x)
}

/// `x`, but at most `hi`; NaN stays.
#[inline(always)]
pub(super) fn at_most<T: Real, I: Arith<T>>(isa: I, x: I::V, hi: T) -> I::V {
    let hi = isa.splat(hi);
    isa.select(isa.lt(hi, x), hi, x)
}
