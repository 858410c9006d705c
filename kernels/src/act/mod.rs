//! Activations: value and derivative, lane by lane.

use crate::{isa::Lanes, math::Math};

/// What the backward pass needs of a layer's forward pass: the smallest state that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// Nothing: the derivative is one everywhere.
    Nothing,
    /// One bit an element: which branch it took.
    Mask,
    /// The activation A itself.
    Output,
    /// The pre-activation Z.
    Pre,
    /// The derivative g'(Z), computed beside the value.
    Derivative,
}

/// An activation as a type, so that a kernel is compiled for each.
pub trait Function<T: Math>: Copy {
    /// What its backward needs.
    const SAVED: Saved;
    /// g(z).
    fn value<I: Lanes<T>>(self, isa: I, z: I::V) -> I::V;
    /// (g(z), g'(z)), sharing work. The first is bit-equal to [`value`](Self::value).
    fn value_d<I: Lanes<T>>(self, isa: I, z: I::V) -> (I::V, I::V);
    /// g'(z).
    #[inline(always)]
    fn derivative<I: Lanes<T>>(self, isa: I, z: I::V) -> I::V {
        self.value_d(isa, z).1
    }
}

/// The activations, as a value. Parameters are finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation<T> {
    /// z.
    Identity,
    /// max(z, 0); g'(0) = 0.
    Relu,
    /// z for z > 0, α·z otherwise.
    LeakyRelu(T),
    /// min(max(z, 0), c), c > 0; the derivative is 1 strictly inside (0, c).
    ClippedRelu(T),
    /// z for z > 0, α·(eᶻ − 1) otherwise.
    Elu(T),
    /// λ·ELU(α) with the constants of Klambauer et al. 2017.
    Selu,
    /// σ(z).
    Sigmoid,
    /// tanh z.
    Tanh,
    /// ln(1 + eᶻ).
    Softplus,
    /// z·σ(z).
    Silu,
    /// z·Φ(z), by erf.
    Gelu,
    /// ½z·(1 + tanh(√(2/π)·(z + 0.044715·z³))).
    GeluTanh,
    /// z·tanh(softplus z).
    Mish,
    /// z·min(max(z + 3, 0), 6)/6.
    HardSwish,
    /// eᶻ.
    Exp,
    /// sin(ω·z).
    Sin(T),
}
