//! Activations: value and derivative, lane by lane.
//!
//! [`Activation`] names one as a value; each is also a type implementing [`Function`], for which kernels are
//! compiled; [`Activation::dispatch`] goes from the one to the other, once per chunk of work.
//!
//! A NaN goes to NaN, in value and derivative. Where a limit exists, an infinity goes to it.

mod elu;
mod gelu;
mod mask;
mod parse;
mod relu;
mod rows;
mod sigmoid;
mod slices;
mod tail;

pub use elu::{Elu, Exp, Selu};
pub use gelu::{Gelu, GeluTanh};
pub use mask::{load_mask, mask_bytes, store_mask};
pub use parse::ParseActivationError;
pub use relu::{ClippedRelu, HardSwish, Identity, LeakyRelu, Relu};
pub use rows::{BackwardRows, ForwardRows, Kept, Rows, backward_rows, forward_rows, forward_vectors};
pub use sigmoid::{Mish, Sigmoid, Silu, Sin, Softplus, Tanh};
pub use slices::{Forward, Jvp, Value, ValueInPlace, Vjp, VjpInPlace};

use crate::{
    isa::{Arith, Real},
    math::Math,
};

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
    /// (g(z), g'(z)), sharing work.
    fn value_d<I: Arith<T>>(self, isa: I, z: I::V) -> (I::V, I::V);
    /// g(z), bit-equal to the first of [`value_d`](Self::value_d): what only the derivative needs is dead code.
    #[inline(always)]
    fn value<I: Arith<T>>(self, isa: I, z: I::V) -> I::V {
        self.value_d(isa, z).0
    }
    /// g'(z).
    #[inline(always)]
    fn derivative<I: Arith<T>>(self, isa: I, z: I::V) -> I::V {
        self.value_d(isa, z).1
    }
    /// g ⊙ g'(z): the vector–Jacobian product of a pointwise function, and its Jacobian–vector product too.
    #[inline(always)]
    fn vjp<I: Arith<T>>(self, isa: I, z: I::V, g: I::V) -> I::V {
        match Self::SAVED {
            Saved::Nothing => isa.select(isa.eq(z, z), g, z),
            Saved::Mask => {
                let picked = self.from_mask(isa, self.branch(isa, z), g);
                isa.select(isa.eq(z, z), picked, z)
            }
            _ => isa.mul(g, self.derivative(isa, z)),
        }
    }

    /// For [`Saved::Mask`]: the bit to save, set where z takes the branch of the first of the
    /// [`slopes`](Self::slopes). NaN sets it, so that a NaN cotangent passes.
    #[inline(always)]
    fn branch<I: Arith<T>>(self, isa: I, z: I::V) -> I::M {
        isa.not_m(isa.le(z, isa.zero()))
    }
    /// For [`Saved::Mask`]: the derivative where the bit is set, and where it is clear.
    #[inline(always)]
    fn slopes(self) -> (T, T) {
        (T::ONE, T::ZERO)
    }
    /// For [`Saved::Mask`]: g times the slope that the mask selects. A slope of 0 gives 0 whatever g is.
    #[inline(always)]
    #[expect(clippy::wrong_self_convention, reason = "named for the saved state that it starts from")]
    fn from_mask<I: Arith<T>>(self, isa: I, m: I::M, g: I::V) -> I::V {
        let (set, clear) = self.slopes();
        isa.select(m, times(isa, set, g), times(isa, clear, g))
    }
    /// For [`Saved::Output`]: g'(z) from a = g(z).
    #[inline(always)]
    #[expect(clippy::wrong_self_convention, reason = "named for the saved state that it starts from")]
    fn from_output<I: Arith<T>>(self, isa: I, a: I::V) -> I::V {
        let _ = isa;
        a
    }
}

/// slope · g; 0 for a slope of 0, g itself for 1.
#[inline(always)]
fn times<T: Real, I: Arith<T>>(isa: I, slope: T, g: I::V) -> I::V {
    if slope == T::ZERO {
        isa.zero()
    } else if slope == T::ONE {
        g
    } else {
        isa.mul(isa.splat(slope), g)
    }
}

/// A constant, rounded to `T`, in every lane.
#[inline(always)]
fn k<T: Real, I: Arith<T>>(isa: I, x: f64) -> I::V {
    isa.splat(T::from_f64(x))
}

/// The smaller of `x` and a constant; NaN where x is.
#[inline(always)]
fn at_most<T: Real, I: Arith<T>>(isa: I, x: I::V, bound: f64) -> I::V {
    let bound = k(isa, bound);
    isa.select(isa.lt(bound, x), bound, x)
}

/// Work to be done with an activation as a type: the argument of [`Activation::dispatch`].
pub trait WithFunction<T: Math> {
    /// What the work returns.
    type Output;
    /// The work. Implementations are `#[inline(always)]` where they run inside a kernel.
    fn with<F: Function<T>>(self, f: F) -> Self::Output;
}

/// The activations, as a value. Parameters are finite; see [`check`](Activation::check).
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

/// What [`Activation::saved`] asks of a function.
struct AskSaved;

impl<T: Math> WithFunction<T> for AskSaved {
    type Output = Saved;
    #[inline(always)]
    fn with<F: Function<T>>(self, _: F) -> Saved {
        F::SAVED
    }
}

impl<T: Math> Activation<T> {
    /// Does `work` with this activation as a type.
    #[inline(always)]
    pub fn dispatch<D: WithFunction<T>>(self, work: D) -> D::Output {
        match self {
            Self::Identity => work.with(Identity),
            Self::Relu => work.with(Relu),
            Self::LeakyRelu(alpha) => work.with(LeakyRelu(alpha)),
            Self::ClippedRelu(c) => work.with(ClippedRelu(c)),
            Self::Elu(alpha) => work.with(Elu(alpha)),
            Self::Selu => work.with(Selu),
            Self::Sigmoid => work.with(Sigmoid),
            Self::Tanh => work.with(Tanh),
            Self::Softplus => work.with(Softplus),
            Self::Silu => work.with(Silu),
            Self::Gelu => work.with(Gelu),
            Self::GeluTanh => work.with(GeluTanh),
            Self::Mish => work.with(Mish),
            Self::HardSwish => work.with(HardSwish),
            Self::Exp => work.with(Exp),
            Self::Sin(omega) => work.with(Sin(omega)),
        }
    }

    /// What its backward needs.
    pub fn saved(self) -> Saved {
        self.dispatch(AskSaved)
    }
}
