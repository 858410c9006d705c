//! eˣ and eˣ − 1.
//!
//! x = n·ln 2 + r with |r| ≤ ½ ln 2 (Cody and Waite, ln 2 in two parts under fused multiply-adds), and
//! eˣ = 2ⁿ·(1 + r·q(r)), q a minimax polynomial for (eʳ − 1)/r with q(0) = 1.

use super::format::{Format, at_least, at_most, chain, polynomial};
use crate::isa::Arith;

/// Constants of the exponential.
pub trait ExpTable: Format {
    /// log₂ e.
    const LOG2_E: Self;
    /// ln 2, rounded down: the rest is positive, and −0 − 0·rest is −0.
    const LN2: Self;
    /// ln 2 less [`LN2`](Self::LN2).
    const LN2_LO: Self;
    /// 4eˣ rounds to 0 from here down.
    const LOWEST: Self;
    /// eˣ overflows from here up, and e^HIGHEST / 2 does not.
    const HIGHEST: Self;
    /// eˣ − 1 rounds to −1 from here down.
    const MINUS_ONE: Self;
    /// (eʳ − 1)/r, good enough beside 1.
    const Q: &'static [Self];
    /// (eʳ − 1)/r, good enough where eʳ − 1 itself is wanted.
    const FINE: &'static [Self];
}

impl ExpTable for f32 {
    const LOG2_E: f32 = core::f32::consts::LOG2_E;
    const LN2: f32 = 0.693_147_123;
    const LN2_LO: f32 = 5.769_998_88e-8;
    const LOWEST: f32 = -106.0;
    const HIGHEST: f32 = 89.0;
    const MINUS_ONE: f32 = -20.0;
    const Q: &'static [f32] = &[1.0, 0.49999997, 0.16666539, 0.0416672193, 0.00836718176, 0.00138824328];
    const FINE: &'static [f32] =
        &[1.0, 0.5, 0.166666657, 0.0416664742, 0.00833342317, 0.00139341364, 0.000198237976];
}

impl ExpTable for f64 {
    const LOG2_E: f64 = core::f64::consts::LOG2_E;
    const LN2: f64 = core::f64::consts::LN_2;
    const LN2_LO: f64 = 2.3190468138462996e-17;
    const LOWEST: f64 = -748.0;
    const HIGHEST: f64 = 710.0;
    const MINUS_ONE: f64 = -40.0;
    const Q: &'static [f64] = &[
        1.0,
        0.50000000000000056,
        0.16666666666666582,
        0.041666666666569423,
        0.0083333333333941093,
        0.0013888888934153558,
        0.00019841269711680574,
        2.480150198612195e-5,
        2.7557410989156108e-6,
        2.762740276531422e-7,
        2.505383943135338e-8,
    ];
    const FINE: &'static [f64] = &[
        1.0,
        0.5,
        0.16666666666666677,
        0.041666666666666657,
        0.0083333333333218962,
        0.0013888888888961219,
        0.00019841269885119585,
        2.4801587074628479e-5,
        2.7557245323594454e-6,
        2.7557537910223053e-7,
        2.5108650652007999e-8,
        2.0824518775817061e-9,
    ];
}

/// 2⁶⁴: it keeps the exponentials of the sigmoids clear of the denormals until the last operation.
pub(super) const LIFT: f64 = 18_446_744_073_709_551_616.0;

/// (n + magic, r) with x = n·ln 2 + r. The low bits of the first are those of n plus those of `magic`.
#[inline(always)]
pub(super) fn reduce<T: ExpTable, I: Arith<T>>(isa: I, x: I::V, magic: T) -> (I::V, I::V) {
    let magic = isa.splat(magic);
    let t = isa.fma(x, isa.splat(T::LOG2_E), magic);
    let n = isa.sub(t, magic);
    let r = isa.nfma(n, isa.splat(T::LN2), x);
    (t, isa.nfma(n, isa.splat(T::LN2_LO), r))
}

/// (eʳ − 1, (eʳ − 1 − r)/r²) for a reduced r: the second by two chains in r², half as long as Horner's and, as r² is
/// needed anyway, of no more operations.
#[inline(always)]
pub(super) fn expm1_reduced<T: ExpTable, I: Arith<T>>(isa: I, r: I::V) -> (I::V, I::V) {
    let rr = isa.mul(r, r);
    let p = isa.fma(r, chain(isa, rr, T::Q, 2, 2), chain(isa, rr, T::Q, 1, 2));
    (isa.fma(rr, p, r), p)
}

/// 2ⁿ, where the low bits of `t` hold n plus the bias.
#[inline(always)]
pub(super) fn power<T: Format, I: Arith<T>>(isa: I, t: I::U) -> I::V {
    isa.of_bits(isa.shl_u(t, T::MANT))
}

/// eˣ.
#[inline(always)]
pub(super) fn exp<T: ExpTable, I: Arith<T>>(isa: I, x: I::V) -> I::V {
    exp_below(isa, at_most(isa, x, T::HIGHEST))
}

/// eˣ for x < HIGHEST.
#[inline(always)]
pub(super) fn exp_below<T: ExpTable, I: Arith<T>>(isa: I, x: I::V) -> I::V {
    let x = at_least(isa, x, T::LOWEST);
    // The low bits hold n + 2·bias. 2ⁿ is applied in two halves: the first product is exact, the second
    // rounds once, to a denormal or to infinity where it must.
    let (t, r) = reduce(isa, x, T::MAGIC + T::BIAS + T::BIAS);
    let p = isa.fma(r, polynomial(isa, r, T::Q), isa.splat(T::ONE));
    let t = isa.to_bits(t);
    let half = isa.shr_u(t, 1);
    let rest = isa.sub_u(t, half);
    isa.mul(isa.mul(p, power(isa, half)), power(isa, rest))
}

/// eˣ − 1.
#[inline(always)]
pub(super) fn expm1<T: ExpTable, I: Arith<T>>(isa: I, x: I::V) -> I::V {
    let x = at_least(isa, at_most(isa, x, T::HIGHEST), T::MINUS_ONE);
    // 2ⁿ⁻¹, since 2ⁿ may overflow where the result does not.
    let magic = T::MAGIC + T::BIAS - T::ONE;
    let (t, r) = reduce(isa, x, magic);
    let q = polynomial(isa, r, T::FINE);
    let s = power(isa, isa.to_bits(t));
    let y = isa.fma(isa.mul(r, s), q, isa.sub(s, isa.splat(T::from_f64(0.5))));
    // n = 0: r·q itself, which keeps −0 and the last bit of a denormal.
    isa.select(isa.eq(t, isa.splat(magic)), isa.mul(r, q), isa.add(y, y))
}

/// (eˣ − 1, eˣ) for x ≤ 0; anything, but NaN of NaN, for others.
#[inline(always)]
pub(super) fn exp_pair<T: ExpTable, I: Arith<T>>(isa: I, x: I::V) -> (I::V, I::V) {
    let one = isa.splat(T::ONE);
    let (t, r) = reduce(isa, at_least(isa, x, T::LOWEST), T::MAGIC + T::BIAS + T::from_f64(64.0));
    let (w, p) = expm1_reduced(isa, r);
    // 2ⁿ by way of 2ⁿ⁺⁶⁴: it may be denormal, and is exact then too.
    let s = isa.mul(power(isa, isa.to_bits(t)), isa.splat(T::from_f64(1.0 / LIFT)));
    // Not 1 + w: w is rounded.
    let e = isa.fma(r, isa.fma(r, p, one), one);
    (isa.fma(s, w, isa.sub(s, one)), isa.mul(s, e))
}

/// 2¹⁰⁰·e^(x + low) for −150 ≤ x ≤ 0 (`f64`: −770) and a small `low`.
#[inline(always)]
pub(super) fn exp_lifted<T: ExpTable, I: Arith<T>>(isa: I, x: I::V, low: I::V) -> I::V {
    let (t, r) = reduce(isa, x, T::MAGIC + T::BIAS + T::from_f64(100.0));
    let (one, r) = (isa.splat(T::ONE), isa.add(r, low));
    let (_, p) = expm1_reduced(isa, r);
    isa.mul(power(isa, isa.to_bits(t)), isa.fma(r, isa.fma(r, p, one), one))
}
