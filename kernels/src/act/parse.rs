//! Activations by name: `relu`, `leaky_relu:0.01`, `sin:30`, ….

use super::Activation;
use crate::math::Math;
use core::{fmt, str::FromStr};

impl<T> Activation<T> {
    /// The name it is parsed by, without the parameter.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
            Self::LeakyRelu(_) => "leaky_relu",
            Self::ClippedRelu(_) => "clipped_relu",
            Self::Elu(_) => "elu",
            Self::Selu => "selu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softplus => "softplus",
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Mish => "mish",
            Self::HardSwish => "hard_swish",
            Self::Exp => "exp",
            Self::Sin(_) => "sin",
        }
    }
}

impl<T: Math> Activation<T> {
    /// The parameter, of those that have one.
    pub fn parameter(self) -> Option<T> {
        match self {
            Self::LeakyRelu(p) | Self::ClippedRelu(p) | Self::Elu(p) | Self::Sin(p) => Some(p),
            _ => None,
        }
    }

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
            Self::Name => f.write_str(
                "unknown activation: expected identity, relu, leaky_relu[:α], clipped_relu[:c], elu[:α], selu, \
                 sigmoid, tanh, softplus, silu, gelu, gelu_tanh, mish, hard_swish, exp or sin[:ω]",
            ),
            Self::NoParameter => f.write_str("this activation takes no parameter"),
            Self::Number => f.write_str("the parameter of an activation must be a number"),
            Self::Parameter(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for ParseActivationError {}

impl<T: fmt::Display> fmt::Display for Activation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::LeakyRelu(p) | Self::ClippedRelu(p) | Self::Elu(p) | Self::Sin(p) => write!(f, ":{p}"),
            _ => Ok(()),
        }
    }
}

impl<T: Math> FromStr for Activation<T> {
    type Err = ParseActivationError;

    /// `name` or `name:parameter`. Left out, the parameter is 0.01 (leaky_relu), 6 (clipped_relu), 1 (elu, sin).
    fn from_str(text: &str) -> Result<Self, ParseActivationError> {
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let or = |default: f64| match number {
            Some(p) => p.trim().parse::<f64>().map(T::from_f64).map_err(|_| ParseActivationError::Number),
            None => Ok(T::from_f64(default)),
        };
        let act = match name.trim() {
            "identity" | "linear" => Self::Identity,
            "relu" => Self::Relu,
            "leaky_relu" => Self::LeakyRelu(or(0.01)?),
            "clipped_relu" => Self::ClippedRelu(or(6.0)?),
            "elu" => Self::Elu(or(1.0)?),
            "selu" => Self::Selu,
            "sigmoid" => Self::Sigmoid,
            "tanh" => Self::Tanh,
            "softplus" => Self::Softplus,
            "silu" | "swish" => Self::Silu,
            "gelu" => Self::Gelu,
            "gelu_tanh" => Self::GeluTanh,
            "mish" => Self::Mish,
            "hard_swish" => Self::HardSwish,
            "exp" => Self::Exp,
            "sin" => Self::Sin(or(1.0)?),
            _ => return Err(ParseActivationError::Name),
        };
        if number.is_some() && act.parameter().is_none() {
            return Err(ParseActivationError::NoParameter);
        }
        act.check().map_err(ParseActivationError::Parameter)?;
        Ok(act)
    }
}
