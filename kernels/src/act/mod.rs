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
mod softsign;
mod state;
mod table;
mod tail;

pub use elu::{Elu, Exp, Selu};
pub use gelu::{Gelu, GeluTanh};
pub use mask::{load_mask, mask_bytes, store_mask};
pub use parse::ParseActivationError;
pub use relu::{ClippedRelu, HardSwish, Identity, LeakyRelu, Relu};
pub use rows::{BackwardRows, ForwardRows, Rows, backward_rows, forward_rows, forward_vectors};
pub use sigmoid::{Mish, Sigmoid, Silu, Sin, Softplus, Tanh};
pub use slices::{Forward, Value, Vjp};
pub use softsign::Softsign;
pub use state::State;
pub use table::Activation;

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
    /// The activation A itself, which is its own derivative.
    Output,
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
                let picked = from_mask(isa, self.branch(isa, z), self.slope(), g);
                isa.select(isa.eq(z, z), picked, z)
            }
            _ => isa.mul(g, self.derivative(isa, z)),
        }
    }

    /// For [`Saved::Mask`]: the bit to save, set where the derivative is 1. NaN sets it, so that a NaN cotangent passes.
    #[inline(always)]
    fn branch<I: Arith<T>>(self, isa: I, z: I::V) -> I::M {
        isa.not_m(isa.le(z, isa.zero()))
    }
    /// For [`Saved::Mask`]: the derivative where the bit is clear.
    #[inline(always)]
    fn slope(self) -> T {
        T::ZERO
    }
}

/// g where the mask is set, and elsewhere g times a slope: 0 for a slope of 0, whatever g is.
#[inline(always)]
pub fn from_mask<T: Real, I: Arith<T>>(isa: I, m: I::M, slope: T, g: I::V) -> I::V {
    let clear = if slope == T::ZERO { isa.zero() } else { isa.mul(isa.splat(slope), g) };
    isa.select(m, g, clear)
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
