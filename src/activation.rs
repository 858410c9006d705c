//! Pointwise activations: value, vector–Jacobian and Jacobian–vector product over slices, in one pass each.
//!
//! The Jacobian of a pointwise function is the diagonal matrix of its derivatives, so its VJP needs no matrix:
//! VJP_sin(g, x) = g ⊙ cos x.

pub use nablas_kernels::act::{Activation, ParseActivationError};

use crate::{
    Scalar,
    error::{Error, Result, check_len},
    isa::{IsaToken, isa},
};
use nablas_kernels::act::{Forward, Value, Vjp};

/// What a pointwise function does with slices of equal length.
///
/// ```
/// use nablas::{Activation, Pointwise};
///
/// // VJP_sin(g, x) = g ⊙ cos x
/// let (x, g) = ([0.0, 1.0, 2.0f64], [1.0, -1.0, 0.5]);
/// let mut out = [0.0; 3];
/// Activation::Sin(1.0).vjp(&x, &g, &mut out)?;
/// assert!(out.iter().zip(x.iter().zip(&g)).all(|(o, (x, g))| (o - g * x.cos()).abs() < 1e-15));
/// # Ok::<(), nablas::Error>(())
/// ```
pub trait Pointwise<T: Scalar> {
    /// a = g(z), on one instruction set.
    ///
    /// # Errors
    /// [`Error::Length`] if the slices differ in length, [`Error::Parameter`] if the function's parameter is out of
    /// its domain.
    fn value_on(&self, isa: IsaToken, z: &[T], a: &mut [T]) -> Result<()>;

    /// a = g(z) and d = g'(z), on one instruction set.
    ///
    /// # Errors
    /// As [`value_on`](Self::value_on).
    fn value_and_derivative_on(&self, isa: IsaToken, z: &[T], a: &mut [T], d: &mut [T]) -> Result<()>;

    /// out = g ⊙ g'(z) for the cotangent g, on one instruction set.
    ///
    /// # Errors
    /// As [`value_on`](Self::value_on).
    fn vjp_on(&self, isa: IsaToken, z: &[T], g: &[T], out: &mut [T]) -> Result<()>;

    /// a = g(z).
    ///
    /// # Errors
    /// As [`value_on`](Self::value_on); [`Error::Isa`] if `NABLAS_ISA` pins what is not there.
    fn value(&self, z: &[T], a: &mut [T]) -> Result<()> {
        self.value_on(isa()?, z, a)
    }

    /// a = g(z) and d = g'(z).
    ///
    /// # Errors
    /// As [`value`](Self::value).
    fn value_and_derivative(&self, z: &[T], a: &mut [T], d: &mut [T]) -> Result<()> {
        self.value_and_derivative_on(isa()?, z, a, d)
    }

    /// out = g ⊙ g'(z): the cotangent of z from the cotangent g of the value.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    fn vjp(&self, z: &[T], g: &[T], out: &mut [T]) -> Result<()> {
        self.vjp_on(isa()?, z, g, out)
    }

    /// out = g'(z) ⊙ t: the tangent of the value from the tangent t of z. The Jacobian is diagonal, so this is the
    /// same product as [`vjp`](Self::vjp).
    ///
    /// # Errors
    /// As [`value`](Self::value).
    fn jvp(&self, z: &[T], t: &[T], out: &mut [T]) -> Result<()> {
        self.vjp(z, t, out)
    }
}

impl<T: Scalar> Pointwise<T> for Activation<T> {
    fn value_on(&self, isa: IsaToken, z: &[T], a: &mut [T]) -> Result<()> {
        check_parameter(self)?;
        check_len("a of a = g(z)", z.len(), a.len())?;
        T::enter(isa, Value { act: *self, z, a });
        Ok(())
    }

    fn value_and_derivative_on(&self, isa: IsaToken, z: &[T], a: &mut [T], d: &mut [T]) -> Result<()> {
        check_parameter(self)?;
        check_len("a of a = g(z)", z.len(), a.len())?;
        check_len("d of d = g'(z)", z.len(), d.len())?;
        T::enter(isa, Forward { act: *self, z, a, d });
        Ok(())
    }

    fn vjp_on(&self, isa: IsaToken, z: &[T], g: &[T], out: &mut [T]) -> Result<()> {
        check_parameter(self)?;
        check_len("g of g ⊙ g'(z)", z.len(), g.len())?;
        check_len("the output of g ⊙ g'(z)", z.len(), out.len())?;
        T::enter(isa, Vjp { act: *self, z, g, out });
        Ok(())
    }
}

/// Refuses an activation whose parameter is out of its domain.
pub(crate) fn check_parameter<T: Scalar>(activation: &Activation<T>) -> Result<()> {
    let got = activation.parameter().map_or(0.0, T::to_f64);
    activation.check().map_err(|_| Error::Parameter {
        what: activation.name(),
        expected: match activation {
            Activation::ClippedRelu(_) => "a finite ceiling above 0",
            _ => "a finite parameter",
        },
        got,
    })
}
