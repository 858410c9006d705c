//! Every activation, and its definition in f64 by the standard library.

use nablas::{Activation, Scalar};

/// All of them, with parameters that nobody has by default.
pub(crate) fn all<T: Scalar>() -> Vec<Activation<T>> {
    let other = |act| match act {
        Activation::LeakyRelu(_) => Activation::LeakyRelu(T::from_f64(0.125)),
        Activation::ClippedRelu(_) => Activation::ClippedRelu(T::from_f64(0.5)),
        Activation::Elu(_) => Activation::Elu(T::from_f64(0.75)),
        Activation::Sin(_) => Activation::Sin(T::from_f64(2.5)),
        act => act,
    };
    Activation::all().into_iter().map(other).collect()
}

/// Φ, the standard normal distribution function, by a series of positive terms.
fn normal(z: f64) -> f64 {
    // Beyond this the tail is below half a unit in the last place of 1.
    let x = z.abs().min(8.5);
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= x * x / f64::from(2 * n + 1);
        sum += term;
    }
    0.5 + (sum * density(x)).copysign(z)
}

/// φ, the standard normal density.
fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / core::f64::consts::TAU.sqrt()
}

/// (g(z), g'(z)) by definition.
pub(crate) fn reference(g: Activation<f64>, z: f64) -> (f64, f64) {
    let sigmoid = 1.0 / (1.0 + (-z).exp());
    let step = |c: bool| if c { 1.0 } else { 0.0 };
    let elu = |alpha: f64| if z > 0.0 { (z, 1.0) } else { (alpha * z.exp_m1(), alpha * z.exp()) };
    match g {
        Activation::Identity => (z, 1.0),
        Activation::Relu => (z.max(0.0), step(z > 0.0)),
        Activation::LeakyRelu(alpha) => {
            if z > 0.0 {
                (z, 1.0)
            } else {
                (alpha * z, alpha)
            }
        }
        Activation::ClippedRelu(c) => (z.clamp(0.0, c), step(z > 0.0 && z < c)),
        Activation::Elu(alpha) => elu(alpha),
        Activation::Selu => {
            let lambda = 1.050_700_987_355_480_5;
            let (a, d) = elu(1.673_263_242_354_377_2);
            (lambda * a, lambda * d)
        }
        Activation::Sigmoid => (sigmoid, sigmoid * (1.0 - sigmoid)),
        Activation::Tanh => (z.tanh(), 1.0 - z.tanh().powi(2)),
        Activation::Softplus => (z.exp().ln_1p(), sigmoid),
        Activation::Silu => (z * sigmoid, sigmoid * (1.0 + z * (1.0 - sigmoid))),
        Activation::Gelu => (z * normal(z), normal(z) + z * density(z)),
        Activation::GeluTanh => {
            let c = core::f64::consts::FRAC_2_PI.sqrt();
            let t = (c * (z + 0.044715 * z * z * z)).tanh();
            (
                0.5 * z * (1.0 + t),
                0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * c * (1.0 + 3.0 * 0.044715 * z * z),
            )
        }
        Activation::Mish => {
            let t = z.exp().ln_1p().tanh();
            (z * t, t + z * (1.0 - t * t) * sigmoid)
        }
        Activation::HardSwish => {
            let inside = z > -3.0 && z < 3.0;
            let d = if inside { (2.0 * z + 3.0) / 6.0 } else { step(z > 0.0) };
            (z * (z + 3.0).clamp(0.0, 6.0) / 6.0, d)
        }
        Activation::Exp => (z.exp(), z.exp()),
        Activation::Softsign => (z / (1.0 + z.abs()), 1.0 / (1.0 + z.abs()).powi(2)),
        Activation::Sin(omega) => ((omega * z).sin(), omega * (omega * z).cos()),
    }
}
