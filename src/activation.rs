//! Pointwise activations.

pub use nablas_kernels::act::Activation;

use crate::{
    Scalar,
    error::{Error, Result},
};

/// Refuses an activation whose parameter is out of its domain.
pub(crate) fn check_parameter<T: Scalar>(activation: &Activation<T>) -> Result<()> {
    let (what, expected, got, ok) = match *activation {
        Activation::LeakyRelu(a) => ("α of LeakyReLU", "a finite number", a, a.finite()),
        Activation::Elu(a) => ("α of ELU", "a finite number", a, a.finite()),
        Activation::Sin(w) => ("ω of sin(ω·z)", "a finite number", w, w.finite()),
        Activation::ClippedRelu(c) => {
            ("c of clipped ReLU", "a finite number above 0", c, c.finite() && c > T::ZERO)
        }
        _ => return Ok(()),
    };
    if ok { Ok(()) } else { Err(Error::Parameter { what, expected, got: got.to_f64() }) }
}
