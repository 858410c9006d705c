//! The Gaussian error linear unit, exact and by tanh. Hendrycks, Gimpel 2016.

use super::{
    Function, Saved, at_most, k,
    tail::{LOWER, gated},
};
use crate::{isa::Arith, math::Math};

/// |z| from which both z·Φ(−|z|) and its tanh form are 0 in the type: beyond it |z| is replaced by it, so that no
/// product is 0·∞ and the exponents stay within reach.
#[inline(always)]
fn far<T>(narrow: f64, wide: f64) -> f64 {
    if size_of::<T>() == 4 { narrow } else { wide }
}

/// 1/√(2π).
const INV_SQRT_TAU: f64 = 0.398_942_280_401_432_677_94;

/// Q of Φ(−x) = e^(−x²/2)·Q(t)/(x + 4), t = (x − 4)/(x + 4), as a polynomial in t, lowest first.
///
/// Minimax in the relative error over 0 ≤ x ≤ 14.6, to 1.2e-9: enough for `f32`. From tools/gelu_tail.py.
const Q32: [f64; 11] = [
    0.755285131189,
    -0.607896649709,
    0.387137315733,
    -0.186521558028,
    0.0603981916849,
    -0.00754284802216,
    -0.00349149685025,
    0.00163675612977,
    0.000171149068014,
    -0.000221464359683,
    -4.60524216381e-5,
];

/// The same over 0 ≤ x ≤ 43, to 2.3e-18: enough for `f64`.
const Q64: [f64; 24] = [
    0.75528513041575149182,
    -0.60789664197189209013,
    0.38713740074221503395,
    -0.18652185795965925707,
    0.060396574890908778365,
    -0.0075401889666611793701,
    -0.0034796923667801220777,
    0.0016308184566454539084,
    0.0001333443054169436184,
    -0.0002310949280803703427,
    -1.9082116277780263985e-6,
    0.000035144656425820041579,
    7.1646907608097856065e-7,
    -5.920107346520550218e-6,
    -6.2915916806280610967e-7,
    1.0215037869715917633e-6,
    2.7085739397376048731e-7,
    -1.5506414372291001408e-7,
    -8.4365455795435819222e-8,
    1.3561479196532149373e-8,
    1.8967153093322008681e-8,
    1.6535331049823115524e-9,
    -2.3450688560227187014e-9,
    -6.3427262088311224752e-10,
];

/// Σ c_i·tⁱ as two interleaved Horner chains in t².
#[inline(always)]
fn polynomial<T: Math, I: Arith<T>, const N: usize>(isa: I, c: &[f64; N], t: I::V) -> I::V {
    let t2 = isa.mul(t, t);
    let (mut p, mut q) = (k(isa, c[N - 1]), k(isa, c[N - 2]));
    let mut i = N - 2;
    while i >= 2 {
        p = isa.fma(p, t2, k(isa, c[i - 1]));
        q = isa.fma(q, t2, k(isa, c[i - 2]));
        i -= 2;
    }
    if i == 1 {
        // One coefficient is left: the chain that ends at c_0 is that of c_{N−1}.
        return isa.fma(q, t, isa.fma(p, t2, k(isa, c[0])));
    }
    isa.fma(p, t, q)
}

/// z·Φ(z), Φ the normal distribution function. At −∞ it is −0 with derivative 0; at ∞ it is ∞ with derivative 1.
///
/// Not by 1 + erf, which loses all of Φ's digits left of 0: by the scaled tail function e^(x²/2)·Φ(−x), whose
/// exponential the derivative Φ(z) + z·φ(z) shares. x² is squared exactly, in two parts.
#[derive(Debug, Clone, Copy)]
pub struct Gelu;

impl<T: Math> Function<T> for Gelu {
    const SAVED: Saved = Saved::Derivative;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        let four = k(isa, 4.0);
        let x = at_most(isa, isa.abs(z), far::<T>(15.5, 39.0));
        // −x²/2, and what rounding it took.
        let h = isa.mul(k(isa, -0.5), x);
        let s = isa.mul(h, x);
        let e = T::exp_lifted(isa, s, isa.fma(h, x, isa.neg(s)));
        let r = isa.div(isa.splat(T::ONE), isa.add(x, four));
        let t = isa.mul(isa.sub(x, four), r);
        let q = if size_of::<T>() == 4 { polynomial(isa, &Q32, t) } else { polynomial(isa, &Q64, t) };
        let rq = isa.mul(r, q);
        let d = isa.mul(e, isa.nfma(k(isa, INV_SQRT_TAU), x, rq));
        gated(isa, z, x, isa.mul(e, rq), d)
    }
}

/// 2·√(2/π), and what rounding it took.
const C1: [f64; 2] = [1.595_769_121_605_730_711_8, -9.969_308_809_110_914_0e-17];
/// 2·√(2/π)·0.044715, and what rounding it took.
const C2: [f64; 2] = [0.071_354_816_272_600_248_777, -6.175_149_918_155_207_1e-19];

/// ½z·(1 + tanh u) = z·σ(2u), u = √(2/π)·(z + 0.044715·z³). At −∞ it is −0 with derivative 0; at ∞ it is ∞
/// with derivative 1.
///
/// 2u goes to the exponential in two parts: one would cost a bit for each doubling of u.
#[derive(Debug, Clone, Copy)]
pub struct GeluTanh;

impl<T: Math> Function<T> for GeluTanh {
    const SAVED: Saved = Saved::Derivative;
    #[inline(always)]
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V) {
        let one = isa.splat(T::ONE);
        let x = at_most(isa, isa.abs(z), far::<T>(11.4, 21.7));
        let (c1, c2) = (k(isa, C1[0]), k(isa, C2[0]));
        let (s, s_low) = product(isa, x, x);
        let (m, m_low) = product(isa, c2, s);
        // p + p_low = c1 + c2·s, by Knuth's two-sum.
        let p = isa.add(c1, m);
        let b = isa.sub(p, c1);
        let p_low = isa.add(isa.sub(c1, isa.sub(p, b)), isa.sub(m, b));
        let p_low = isa.add(p_low, isa.fma(c2, s_low, m_low));
        let p_low = isa.add(p_low, isa.fma(k(isa, rest::<T>(C2)), s, k(isa, rest::<T>(C1))));
        let (y, y_low) = product(isa, x, p);
        let y_low = isa.fma(x, p_low, y_low);
        let e = T::exp_lifted(isa, isa.neg(y), isa.neg(y_low));
        // As in SiLU, with the slope 2u' = c1 + 3·c2·s of the sigmoid's argument.
        let u = isa.mul(e, k(isa, LOWER));
        let g = isa.div(one, isa.add(one, u));
        let n = isa.mul(e, g);
        let slope = isa.fma(k(isa, 3.0 * C2[0]), s, c1);
        let d = isa.mul(isa.mul(n, g), isa.add(isa.nfma(x, slope, one), u));
        gated(isa, z, x, n, d)
    }
}

/// a·b, rounded, and what the rounding took.
#[inline(always)]
fn product<T: Math, I: Arith<T>>(isa: I, a: I::V, b: I::V) -> (I::V, I::V) {
    let p = isa.mul(a, b);
    (p, isa.fma(a, b, isa.neg(p)))
}

/// What rounding a two-part constant to `T` takes from it.
#[inline(always)]
fn rest<T: Math>([c, low]: [f64; 2]) -> f64 {
    (c - T::from_f64(c).to_f64()) + low
}
