//! sin x and cos x, for every finite x.
//!
//! x = n·π/2 + r with |r| ≤ π/4 and r in two parts: up to [`TrigTable::NEAR`] by fused multiply-adds with
//! π/2 in three parts, beyond it by [`huge`], a lane at a time, when there is such a lane. A lane's result
//! depends on its own argument alone.

use super::{
    format::{Format, flip, polynomial},
    huge,
};
use crate::isa::Arith;

/// Constants of the sine and the cosine.
pub trait TrigTable: Format {
    /// The largest argument of the quick reduction.
    const NEAR: Self;
    /// 2/π.
    const TWO_OVER_PI: Self;
    /// π/2 in three parts; the second is not negative, so that −0 − 0·b is −0.
    const HALF_PI: [Self; 3];
    /// (r − sin r)/r³ by powers of r².
    const SIN: &'static [Self];
    /// (cos r − 1)/r² by powers of r².
    const COS: &'static [Self];
}

impl TrigTable for f32 {
    const NEAR: f32 = 131_072.0;
    const TWO_OVER_PI: f32 = core::f32::consts::FRAC_2_PI;
    const HALF_PI: [f32; 3] = [1.570_796_25, 7.549_790_13e-8, -1.715_124_51e-15];
    const SIN: &'static [f32] = &[0.166666538, -0.00833210628, 0.000195078537];
    const COS: &'static [f32] = &[-0.5, 0.0416666456, -0.00138872978, 2.44300882e-5];
}

impl TrigTable for f64 {
    const NEAR: f64 = 1_073_741_824.0;
    const TWO_OVER_PI: f64 = core::f64::consts::FRAC_2_PI;
    const HALF_PI: [f64; 3] = [core::f64::consts::FRAC_PI_2, 6.123233995736766e-17, -1.4973849048591698e-33];
    const SIN: &'static [f64] = &[
        0.16666666666666627,
        -0.008333333333321067,
        0.00019841269828695845,
        -2.7557313297528494e-6,
        2.5050695284338739e-8,
        -1.5893100985759276e-10,
    ];
    const COS: &'static [f64] = &[
        -0.5,
        0.041666666666666581,
        -0.001388888888887097,
        2.4801587287527961e-5,
        -2.7557313791597356e-7,
        2.0875647503222493e-9,
        -1.135574536340963e-11,
    ];
}

/// The most lanes that a vector has: those of a pair.
const MAX_LANES: usize = 32;

/// x = n·π/2 + hi − lo.
struct Reduced<V> {
    /// n + MAGIC: n modulo 4 in the low bits.
    n: V,
    hi: V,
    lo: V,
}

/// The quick reduction: exact in the first step, since both terms are multiples of a unit that leaves the
/// difference within the format; so is the second, but for the rounding errors kept in `lo`.
#[inline(always)]
fn near<T: TrigTable, I: Arith<T>>(isa: I, x: I::V) -> Reduced<I::V> {
    let [a, b, c] = T::HALF_PI;
    let magic = isa.splat(T::MAGIC);
    let t = isa.fma(x, isa.splat(T::TWO_OVER_PI), magic);
    let n = isa.sub(t, magic);
    let first = isa.nfma(n, isa.splat(a), x);
    let second = isa.mul(n, isa.splat(b));
    let hi = isa.sub(first, second);
    let lo = isa.fma(n, isa.splat(b), isa.sub(hi, first));
    Reduced { n: t, hi, lo: isa.fma(n, isa.splat(c), lo) }
}

/// Replaces the lanes of `r` that `far` marks.
#[inline(always)]
fn replace<T: TrigTable, I: Arith<T>>(isa: I, x: I::V, far: I::M, r: Reduced<I::V>) -> Reduced<I::V> {
    const { assert!(I::LANES <= MAX_LANES) };
    let mut xs = [T::ZERO; MAX_LANES];
    let (mut n, mut hi, mut lo) = (xs, xs, xs);
    // SAFETY: the array has room for MAX_LANES elements, at least a vector's.
    unsafe { isa.store(xs.as_mut_ptr(), x) };
    let mut left = isa.mask_bits(far);
    while left != 0 {
        let i = left.trailing_zeros() as usize;
        left &= left - 1;
        let (q, h, l) = huge::reduce(xs[i].to_f64());
        n[i] = T::from_f64(f64::from(q)) + T::MAGIC;
        hi[i] = T::from_f64(h);
        lo[i] = T::from_f64((hi[i].to_f64() - h) - l);
    }
    // SAFETY: each array holds MAX_LANES elements, at least a vector's.
    let (n, hi, lo) = unsafe { (isa.load(n.as_ptr()), isa.load(hi.as_ptr()), isa.load(lo.as_ptr())) };
    Reduced { n: isa.select(far, n, r.n), hi: isa.select(far, hi, r.hi), lo: isa.select(far, lo, r.lo) }
}

/// (sin x, cos x).
#[inline(always)]
pub(super) fn sin_cos<T: TrigTable, I: Arith<T>>(isa: I, x: I::V) -> (I::V, I::V) {
    let mut r = near(isa, x);
    let far = isa.not_m(isa.le(isa.abs(x), isa.splat(T::NEAR)));
    if isa.any(far) {
        r = replace(isa, x, far, r);
    }
    let Reduced { n, hi, lo } = r;

    // sin(hi − lo) = hi − (hi³·S + lo), cos(hi − lo) = 1 + hi·(hi·C + lo), S and C by powers of hi². The
    // signs are such that −0 comes out of −0.
    let z = isa.mul(hi, hi);
    let s = isa.sub(hi, isa.fma(isa.mul(hi, z), polynomial(isa, z, T::SIN), lo));
    let c = isa.fma(hi, isa.fma(hi, polynomial(isa, z, T::COS), lo), isa.splat(T::ONE));

    let n = isa.to_bits(n);
    let unit = isa.splat_u(T::UNIT);
    let sign = isa.splat_u(T::SIGN);
    let even = isa.eq_u(isa.and_u(n, unit), isa.xor_u(unit, unit));
    let sin_sign = isa.and_u(isa.shl_u(n, T::TO_SIGN), sign);
    let cos_sign = isa.and_u(isa.shl_u(isa.add_u(n, unit), T::TO_SIGN), sign);
    (flip(isa, isa.select(even, s, c), sin_sign), flip(isa, isa.select(even, c, s), cos_sign))
}
