//! ln(1 + x).
//!
//! 1 + x = 2ᵏ·(1 + f) with 1 + f in [√½, √2); f carries the rounding error of 1 + x, so that ln(1 + x) =
//! k·ln 2 + (f + f²·R(f)) is good near 0 too, without a division.

use super::{
    exp::ExpTable,
    format::{Format, chain, polynomial},
};
use crate::isa::Arith;

/// Constants of the logarithm.
pub trait LogTable: ExpTable {
    /// The bits of √½, rounded.
    const SQRT_HALF: Self::Bits;
    /// The bits of √½ less those of 1: what they exceed it by has k plus the bias for an exponent.
    const SHIFTED: Self::Bits;
    /// The sign and the exponent.
    const EXPONENT: Self::Bits;
    /// The bits of 2.
    const TWO: Self::Bits;
    /// The bits of 2^MANT.
    const INTEGERS: Self::Bits;
    /// 2^MANT + bias.
    const OFFSET: Self;
    /// (ln(1 + f) − f)/f².
    const R: &'static [Self];
    /// The same, for f from 0 to 1.
    const ABOVE: &'static [Self];
}

macro_rules! log_bits {
    ($t:ident, $u:ident) => {
        const SQRT_HALF: $u = core::$t::consts::FRAC_1_SQRT_2.to_bits();
        const SHIFTED: $u = Self::SQRT_HALF.wrapping_sub((1.0 as $t).to_bits());
        const EXPONENT: $u = $t::NEG_INFINITY.to_bits();
        const TWO: $u = (2.0 as $t).to_bits();
        const INTEGERS: $u = (1.0 / $t::EPSILON).to_bits();
        const OFFSET: $t = 1.0 / $t::EPSILON + <$t as Format>::BIAS;
    };
}

impl LogTable for f32 {
    log_bits!(f32, u32);
    const R: &'static [f32] = &[
        -0.499999881,
        0.333333254,
        -0.250016123,
        0.200020149,
        -0.166083738,
        0.141804978,
        -0.132479638,
        0.12915729,
        -0.0762322545,
    ];
    const ABOVE: &'static [f32] = &[
        -0.499999315,
        0.333305061,
        -0.249585688,
        0.196953028,
        -0.153550833,
        0.106799833,
        -0.0576583371,
        0.0202010721,
        -0.00331764529,
    ];
}

impl LogTable for f64 {
    log_bits!(f64, u64);
    const R: &'static [f64] = &[
        -0.49999999999999972,
        0.33333333333328063,
        -0.2500000000001229,
        0.20000000001750506,
        -0.16666666666289634,
        0.14285714086317114,
        -0.12499999827276728,
        0.11111122056566422,
        -0.10000018318768786,
        0.090905824103697033,
        -0.083325483903589917,
        0.07697720471959292,
        -0.071603154584227349,
        0.066215786795396359,
        -0.060407093730975185,
        0.059732105082585057,
        -0.067881761390088072,
        0.06327203579866876,
        -0.028310155705671566,
    ];
    const ABOVE: &'static [f64] = &[
        -0.49999999999998146,
        0.33333333333004422,
        -0.24999999979390278,
        0.19999999338281454,
        -0.16666653827721964,
        0.14285548922816468,
        -0.12498498532082435,
        0.11101096516842497,
        -0.099494730978014825,
        0.088938978561282689,
        -0.077301067666706358,
        0.062239200484696069,
        -0.042716919396283699,
        0.021094097838985967,
        -0.0029382476207784709,
        -0.0068249190290933688,
        0.008039442482564621,
        -0.0049367483121288561,
        0.0018756180321438615,
        -0.00041786087875792904,
        4.2079324515411703e-5,
    ];
}

/// ln(1 + x).
#[inline(always)]
pub(super) fn log1p<T: LogTable, I: Arith<T>>(isa: I, x: I::V) -> I::V {
    let one = isa.splat(T::ONE);
    let u = isa.add(one, x);
    // Exact where it matters; where x is so large that it is not, it is nothing beside ln u.
    let lost = isa.sub(x, isa.sub(u, one));

    let bits = isa.to_bits(u);
    let k = isa.and_u(isa.sub_u(bits, isa.splat_u(T::SQRT_HALF)), isa.splat_u(T::EXPONENT));
    let m = isa.of_bits(isa.sub_u(bits, k));
    // 2¹⁻ᵏ; 0 for the one k where it would be denormal, and nothing was lost.
    let scale = isa.of_bits(isa.sub_u(isa.splat_u(T::TWO), k));
    let f = isa.fma(isa.mul(lost, isa.splat(T::from_f64(0.5))), scale, isa.sub(m, one));

    // k as a number: its bits, offset by the bias, under the exponent of 2^MANT.
    let biased = isa.shr_u(isa.sub_u(bits, isa.splat_u(T::SHIFTED)), T::MANT);
    let k = isa.sub(isa.of_bits(isa.or_u(biased, isa.splat_u(T::INTEGERS))), isa.splat(T::OFFSET));

    let tail = isa.fma(isa.mul(f, f), polynomial(isa, f, T::R), isa.mul(k, isa.splat(T::LN2_LO)));
    let y = isa.fma(k, isa.splat(T::LN2), isa.add(f, tail));

    // 1 + x rounds to 1: x, with −0 and denormals. Infinity and NaN are theirs. Below −1 there is none.
    let y = isa.select(isa.eq(u, one), x, y);
    let y = isa.select(isa.lt(x, isa.splat(T::INF)), y, x);
    let edge = isa.select(isa.eq(u, isa.zero()), isa.neg(isa.splat(T::INF)), isa.splat(T::NAN));
    isa.select(isa.le(u, isa.zero()), edge, y)
}

/// [`log1p`] for 0 ≤ x ≤ 1: k is 0 or 1, so what it multiplies is there or not, and there are no edges.
#[inline(always)]
pub(super) fn log1p_below<T: LogTable, I: Arith<T>>(isa: I, x: I::V) -> I::V {
    let (zero, one, half) = (isa.zero(), isa.splat(T::ONE), isa.splat(T::from_f64(0.5)));
    let u = isa.add(one, x);
    let lost = isa.sub(x, isa.sub(u, one));
    // 1 + x from the double of log1p's √½ on: k = 1.
    let root = isa.add(isa.of_bits(isa.splat_u(T::SQRT_HALF)), isa.of_bits(isa.splat_u(T::SQRT_HALF)));
    let upper = isa.le(root, u);
    let lost = isa.select(upper, isa.mul(lost, half), lost);
    let f = isa.add(lost, isa.sub(isa.select(upper, isa.mul(u, half), u), one));
    let low = isa.select(upper, isa.splat(T::LN2_LO), zero);
    let tail = isa.fma(isa.mul(f, f), polynomial(isa, f, T::R), low);
    let y = isa.add(isa.select(upper, isa.splat(T::LN2), zero), isa.add(f, tail));
    isa.select(isa.eq(u, one), x, y)
}

/// ln(1 + x) for 0 ≤ x ≤ 1, where nothing needs to be taken apart.
#[inline(always)]
pub(super) fn log1p_unit<T: LogTable, I: Arith<T>>(isa: I, x: I::V) -> I::V {
    // The terms alternate: for x near 1 two chains come to twice the sum, with errors to match. `f64` can bear it.
    let r = if size_of::<T>() == 4 { chain(isa, x, T::ABOVE, 0, 1) } else { polynomial(isa, x, T::ABOVE) };
    isa.fma(isa.mul(x, x), r, x)
}
