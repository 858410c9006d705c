//! Vector math: elementary functions, lane by lane, the same bits on every ISA.
//!
//! Each is a range reduction and a polynomial in correctly rounded operations, written once for `f32` and
//! `f64`; the tables hold what differs. Errors, measured, are in `docs/NUMERICS.md`.

mod erf;
mod exp;
mod format;
mod huge;
mod hyperbolic;
mod log;
mod sigmoid;
mod trig;

use crate::isa::{Arith, Real};

/// The elementary functions of an element type, on vectors of any ISA.
///
/// NaN gives NaN. The odd functions, [`expm1`](Math::expm1) and [`log1p`](Math::log1p) keep −0.
pub trait Math: Real {
    /// eˣ.
    fn exp<I: Arith<Self>>(isa: I, x: I::V) -> I::V;
    /// eˣ for x ≤ 0, bit by bit [`exp`](Self::exp) in fewer operations.
    fn exp_below<I: Arith<Self>>(isa: I, x: I::V) -> I::V;
    /// eˣ − 1, without cancellation near 0.
    fn expm1<I: Arith<Self>>(isa: I, x: I::V) -> I::V;
    /// (eˣ − 1, eˣ) for x ≤ 0, one exponential for both; −0 loses its sign.
    fn exp_pair<I: Arith<Self>>(isa: I, x: I::V) -> (I::V, I::V);
    /// 2¹⁰⁰·e^(x + low) for −150 ≤ x ≤ 0 (`f64`: −770) and a `low` of some units in the last place of x: where the
    /// exponential would be denormal, a product may not be yet.
    fn exp_lifted<I: Arith<Self>>(isa: I, x: I::V, low: I::V) -> I::V;
    /// ln(1 + x), without cancellation near 0; −∞ at −1, NaN below.
    fn log1p<I: Arith<Self>>(isa: I, x: I::V) -> I::V;
    /// ln(1 + x) for 0 ≤ x ≤ 1, bit by bit [`log1p`](Self::log1p) in fewer operations.
    fn log1p_below<I: Arith<Self>>(isa: I, x: I::V) -> I::V;
    /// ln(1 + x) for 0 ≤ x ≤ 1.
    fn log1p_unit<I: Arith<Self>>(isa: I, x: I::V) -> I::V;
    /// tanh x.
    fn tanh<I: Arith<Self>>(isa: I, x: I::V) -> I::V;
    /// (tanh x, 1 − tanh² x), the second without cancellation.
    fn tanh_d<I: Arith<Self>>(isa: I, x: I::V) -> (I::V, I::V);
    /// σ(x) = 1 / (1 + e⁻ˣ).
    fn sigmoid<I: Arith<Self>>(isa: I, x: I::V) -> I::V;
    /// (σ(x), σ(x)·(1 − σ(x))), the second without cancellation.
    fn sigmoid_d<I: Arith<Self>>(isa: I, x: I::V) -> (I::V, I::V);
    /// erf x.
    fn erf<I: Arith<Self>>(isa: I, x: I::V) -> I::V;
    /// (sin x, cos x), with full range reduction; NaN at ±∞.
    fn sin_cos<I: Arith<Self>>(isa: I, x: I::V) -> (I::V, I::V);
    /// sin x.
    #[inline(always)]
    fn sin<I: Arith<Self>>(isa: I, x: I::V) -> I::V {
        Self::sin_cos(isa, x).0
    }
    /// cos x.
    #[inline(always)]
    fn cos<I: Arith<Self>>(isa: I, x: I::V) -> I::V {
        Self::sin_cos(isa, x).1
    }
}

impl<T: erf::ErfTable + log::LogTable + trig::TrigTable> Math for T {
    #[inline(always)]
    fn exp<I: Arith<T>>(isa: I, x: I::V) -> I::V {
        exp::exp(isa, x)
    }
    #[inline(always)]
    fn exp_below<I: Arith<T>>(isa: I, x: I::V) -> I::V {
        exp::exp_below(isa, x)
    }
    #[inline(always)]
    fn expm1<I: Arith<T>>(isa: I, x: I::V) -> I::V {
        exp::expm1(isa, x)
    }
    #[inline(always)]
    fn exp_pair<I: Arith<T>>(isa: I, x: I::V) -> (I::V, I::V) {
        exp::exp_pair(isa, x)
    }
    #[inline(always)]
    fn exp_lifted<I: Arith<T>>(isa: I, x: I::V, low: I::V) -> I::V {
        exp::exp_lifted(isa, x, low)
    }
    #[inline(always)]
    fn log1p<I: Arith<T>>(isa: I, x: I::V) -> I::V {
        log::log1p(isa, x)
    }
    #[inline(always)]
    fn log1p_below<I: Arith<T>>(isa: I, x: I::V) -> I::V {
        log::log1p_below(isa, x)
    }
    #[inline(always)]
    fn log1p_unit<I: Arith<T>>(isa: I, x: I::V) -> I::V {
        log::log1p_unit(isa, x)
    }
    #[inline(always)]
    fn tanh<I: Arith<T>>(isa: I, x: I::V) -> I::V {
        hyperbolic::tanh(isa, x)
    }
    #[inline(always)]
    fn tanh_d<I: Arith<T>>(isa: I, x: I::V) -> (I::V, I::V) {
        hyperbolic::tanh_d(isa, x)
    }
    #[inline(always)]
    fn sigmoid<I: Arith<T>>(isa: I, x: I::V) -> I::V {
        sigmoid::sigmoid(isa, x)
    }
    #[inline(always)]
    fn sigmoid_d<I: Arith<T>>(isa: I, x: I::V) -> (I::V, I::V) {
        sigmoid::sigmoid_d(isa, x)
    }
    #[inline(always)]
    fn erf<I: Arith<T>>(isa: I, x: I::V) -> I::V {
        erf::erf(isa, x)
    }
    #[inline(always)]
    fn sin_cos<I: Arith<T>>(isa: I, x: I::V) -> (I::V, I::V) {
        trig::sin_cos(isa, x)
    }
}
