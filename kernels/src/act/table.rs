//! The activations, each once: variant, name, other names, and the parameter that it usually has. The enum, the dispatch to
//! types, names, parsing and lists are made of this table.

use super::{
    ClippedRelu, Elu, Exp, Function, Gelu, GeluTanh, HardSwish, Identity, LeakyRelu, Mish, Relu, Saved, Selu,
    Sigmoid, Silu, Sin, Softplus, Softsign, Tanh, WithFunction,
};
use crate::math::Math;

/// `Variant(T, parameter = its usual value): "name" | "another name";`, for each of which there is a type
/// [`Function`] of the variant's name.
macro_rules! activations {
    ($(
        $(#[$doc:meta])*
        $variant:ident $(($t:ident, $parameter:ident = $usual:literal))?: $name:literal $(| $other:literal)*;
    )*) => {
        /// The activations, as a value. Parameters are finite; see [`check`](Activation::check).
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Activation<T> {
            $($(#[$doc])* $variant $(($t))?,)*
        }

        /// Names, and what their parameters are called.
        pub(super) const NAMES: &[(&str, Option<&str>)] =
            &[$(($name, [$(Some(stringify!($parameter)),)? None][0])),*];

        /// How many there are.
        const COUNT: usize = NAMES.len();

        impl<T> Activation<T> {
            /// How many there are.
            pub const COUNT: usize = COUNT;

            /// The name it is parsed by, without the parameter.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }

            /// The same activation with its parameter, if it has one, made another.
            pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Activation<U> {
                match self {
                    $(Self::$variant $(($parameter))? => Activation::$variant $((f($parameter)))?,)*
                }
            }
        }

        impl<T: Math> Activation<T> {
            /// All of them, in the order of their numbers in C, with their usual parameters.
            pub fn all() -> [Self; COUNT] {
                [$(Self::$variant $((T::from_f64($usual)))?),*]
            }

            /// Does `work` with this activation as a type.
            #[inline(always)]
            pub fn dispatch<D: WithFunction<T>>(self, work: D) -> D::Output {
                match self {
                    $(Self::$variant $(($parameter))? => work.with($variant $(($parameter))?),)*
                }
            }

            /// The activation of a name or of another name of it, with its usual parameter.
            pub(super) fn named(name: &str) -> Option<Self> {
                Some(match name {
                    $($name $(| $other)* => Self::$variant $((T::from_f64($usual)))?,)*
                    _ => return None,
                })
            }
        }
    };
}

activations! {
    /// z.
    Identity: "identity" | "linear";
    /// max(z, 0); g'(0) = 0.
    Relu: "relu";
    /// z for z > 0, α·z otherwise.
    LeakyRelu(T, alpha = 0.01): "leaky_relu";
    /// min(max(z, 0), c), c > 0; the derivative is 1 strictly inside (0, c).
    ClippedRelu(T, c = 6.0): "clipped_relu";
    /// z for z > 0, α·(eᶻ − 1) otherwise.
    Elu(T, alpha = 1.0): "elu";
    /// λ·ELU(α) with the constants of Klambauer et al. 2017.
    Selu: "selu";
    /// σ(z).
    Sigmoid: "sigmoid";
    /// tanh z.
    Tanh: "tanh";
    /// ln(1 + eᶻ).
    Softplus: "softplus";
    /// z·σ(z).
    Silu: "silu" | "swish";
    /// z·Φ(z), by erf.
    Gelu: "gelu";
    /// ½z·(1 + tanh(√(2/π)·(z + 0.044715·z³))).
    GeluTanh: "gelu_tanh";
    /// z·tanh(softplus z).
    Mish: "mish";
    /// z·min(max(z + 3, 0), 6)/6.
    HardSwish: "hard_swish";
    /// eᶻ.
    Exp: "exp";
    /// sin(ω·z).
    Sin(T, omega = 1.0): "sin";
    /// z/(1 + |z|).
    Softsign: "softsign";
}

/// What [`Activation::saved`] and [`Activation::slope`] ask of a function.
struct Ask;

impl<T: Math> WithFunction<T> for Ask {
    type Output = (Saved, T);
    #[inline(always)]
    fn with<F: Function<T>>(self, f: F) -> Self::Output {
        (F::SAVED, f.slope())
    }
}

impl<T: Math> Activation<T> {
    /// The parameter, of those that have one.
    pub fn parameter(self) -> Option<T> {
        let mut parameter = None;
        _ = self.map(|p| parameter = Some(p));
        parameter
    }

    /// What its backward needs.
    pub fn saved(self) -> Saved {
        self.dispatch(Ask).0
    }

    /// Of those that save a mask, the derivative where the bit is clear. Where it is set it is 1.
    pub fn slope(self) -> T {
        self.dispatch(Ask).1
    }
}
