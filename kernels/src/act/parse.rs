//! Activations by name: `relu`, `leaky_relu:0.01`, `sin:30`, ….

use super::{Activation, table::NAMES};
use crate::math::Math;
use core::{fmt, str::FromStr};

impl<T: Math> Activation<T> {
    /// Whether the parameter is one that the function is defined for.
    ///
    /// # Errors
    /// What is wrong: it is infinite or NaN, or the ceiling of a clipped ReLU is not above 0.
    pub fn check(self) -> Result<(), &'static str> {
        match (self, self.parameter()) {
            (_, Some(p)) if !p.finite() => Err("the parameter of an activation must be finite"),
            (Self::ClippedRelu(c), _) if c <= T::ZERO => Err("the ceiling of clipped_relu must be above 0"),
            _ => Ok(()),
        }
    }
}

/// Why a text names no activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseActivationError {
    /// No activation has this name.
    Name,
    /// This activation takes no parameter.
    NoParameter,
    /// What follows the colon is not a number.
    Number,
    /// The parameter is a number that the activation is not defined for; see [`Activation::check`].
    Parameter(&'static str),
}

impl fmt::Display for ParseActivationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => {
                f.write_str("unknown activation: expected ")?;
                for (i, (name, parameter)) in NAMES.iter().enumerate() {
                    let before = if i == 0 {
                        ""
                    } else if i + 1 == NAMES.len() {
                        " or "
                    } else {
                        ", "
                    };
                    write!(f, "{before}{name}")?;
                    parameter.map_or(Ok(()), |p| write!(f, "[:{p}]"))?;
                }
                Ok(())
            }
            Self::NoParameter => f.write_str("this activation takes no parameter"),
            Self::Number => f.write_str("the parameter of an activation must be a number"),
            Self::Parameter(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for ParseActivationError {}

impl<T: Copy + fmt::Display> fmt::Display for Activation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let mut written = Ok(());
        _ = self.map(|p| written = write!(f, ":{p}"));
        written
    }
}

impl<T: Math> FromStr for Activation<T> {
    type Err = ParseActivationError;

    /// `name` or `name:parameter`. Left out, the parameter is 0.01 (leaky_relu), 6 (clipped_relu), 1 (elu, sin).
    fn from_str(text: &str) -> Result<Self, ParseActivationError> {
        let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        let usual = Self::named(name.trim()).ok_or(ParseActivationError::Name)?;
        let Some(number) = number else { return Ok(usual) };
        if usual.parameter().is_none() {
            return Err(ParseActivationError::NoParameter);
        }
        let number = number.trim().parse().map_err(|_| ParseActivationError::Number)?;
        let act = usual.map(|_| T::from_f64(number));
        act.check().map_err(ParseActivationError::Parameter)?;
        Ok(act)
    }
}
