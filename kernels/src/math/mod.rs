//! Vector math: elementary functions, lane by lane, the same bits on every ISA.

use crate::isa::{Lanes, Real};

/// The elementary functions of an element type, on vectors of any ISA.
pub trait Math: Real {
    /// eˣ.
    fn exp<I: Lanes<Self>>(isa: I, x: I::V) -> I::V;
    /// eˣ − 1, without cancellation near 0.
    fn expm1<I: Lanes<Self>>(isa: I, x: I::V) -> I::V;
    /// ln(1 + x), without cancellation near 0.
    fn log1p<I: Lanes<Self>>(isa: I, x: I::V) -> I::V;
    /// tanh x.
    fn tanh<I: Lanes<Self>>(isa: I, x: I::V) -> I::V;
    /// (tanh x, 1 − tanh² x), the second without cancellation.
    fn tanh_d<I: Lanes<Self>>(isa: I, x: I::V) -> (I::V, I::V);
    /// σ(x) = 1 / (1 + e⁻ˣ).
    fn sigmoid<I: Lanes<Self>>(isa: I, x: I::V) -> I::V;
    /// (σ(x), σ(x)·(1 − σ(x))), the second without cancellation.
    fn sigmoid_d<I: Lanes<Self>>(isa: I, x: I::V) -> (I::V, I::V);
    /// erf x.
    fn erf<I: Lanes<Self>>(isa: I, x: I::V) -> I::V;
    /// (sin x, cos x), with full range reduction.
    fn sin_cos<I: Lanes<Self>>(isa: I, x: I::V) -> (I::V, I::V);
    /// sin x.
    #[inline(always)]
    fn sin<I: Lanes<Self>>(isa: I, x: I::V) -> I::V {
        Self::sin_cos(isa, x).0
    }
    /// cos x.
    #[inline(always)]
    fn cos<I: Lanes<Self>>(isa: I, x: I::V) -> I::V {
        Self::sin_cos(isa, x).1
    }
}
