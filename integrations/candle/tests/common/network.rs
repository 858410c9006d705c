//! A network as candle's own operations have it.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Linear, Module};
use nablas_candle::Activation;
use std::f64::consts::FRAC_2_PI;

/// Layers of candle's, with W and b that no seed need be known of.
pub(crate) fn linears(widths: &[usize], dtype: DType) -> Result<Vec<Linear>> {
    let layer = |(l, w): (usize, &[usize])| {
        let numbers = |n: usize, scale: f64, at: usize| -> Result<Tensor> {
            let wave = |i: usize| {
                scale * ((1.7 * i as f64 + 3.1 * (l + at) as f64).sin() + 0.3 * (0.37 * i as f64).cos())
            };
            Tensor::from_vec((0..n).map(wave).collect::<Vec<f64>>(), n, &Device::Cpu)?.to_dtype(dtype)
        };
        let scale = 1.5 / (w[0] as f64).sqrt();
        let weight = numbers(w[0] * w[1], scale, 0)?.reshape((w[1], w[0]))?;
        let bias = numbers(w[1], 0.2, 7)?;
        Ok(Linear::new(Var::from_tensor(&weight)?.into_inner(), Some(Var::from_tensor(&bias)?.into_inner())))
    };
    widths.windows(2).enumerate().map(layer).collect()
}

/// g(z) by candle's operations.
pub(crate) fn activate(activation: Activation<f64>, z: &Tensor) -> Result<Tensor> {
    use candle_nn::ops;
    match activation {
        Activation::Identity => Ok(z.clone()),
        Activation::Relu => z.relu(),
        Activation::LeakyRelu(slope) => ops::leaky_relu(z, slope),
        Activation::ClippedRelu(ceiling) => z.clamp(0.0, ceiling),
        Activation::Elu(alpha) => z.elu(alpha),
        // `candle_nn::ops::selu` takes its constants in f32.
        Activation::Selu => z.elu(1.673_263_242_354_377_2)? * 1.050_700_987_355_480_5,
        Activation::Sigmoid => ops::sigmoid(z),
        Activation::Tanh => z.tanh(),
        Activation::Softplus => (z.exp()? + 1.0)?.log(),
        Activation::Silu => z.silu(),
        // candle's own derivatives of these have constants of six digits.
        Activation::Gelu if z.dtype() == DType::F64 => (z * 0.5)? * ((z / 2f64.sqrt())?.erf()? + 1.0)?,
        Activation::GeluTanh if z.dtype() == DType::F64 => {
            let inner = ((z.sqr()? * z)? * 0.044715)?;
            (z * 0.5)? * (((z + inner)? * FRAC_2_PI.sqrt())?.tanh()? + 1.0)?
        }
        Activation::Gelu => z.gelu_erf(),
        Activation::GeluTanh => z.gelu(),
        Activation::Mish => ops::mish(z),
        Activation::HardSwish => z * ops::hard_sigmoid(z)?,
        Activation::Exp => z.exp(),
        Activation::Sin(omega) => (z * omega)?.sin(),
        Activation::Softsign => z / (z.abs()? + 1.0)?,
    }
}

/// Y by candle's operations, the last layer linear.
pub(crate) fn forward(linears: &[Linear], activation: Activation<f64>, x: &Tensor) -> Result<Tensor> {
    let last = linears.len() - 1;
    let layer = |a: Tensor, (l, linear): (usize, &Linear)| {
        let z = linear.forward(&a)?;
        if l == last { Ok(z) } else { activate(activation, &z) }
    };
    linears.iter().enumerate().try_fold(x.clone(), layer)
}

/// Layers with the activation between them, as the fused network takes them.
pub(crate) fn listed(linears: &[Linear], activation: Activation<f64>) -> Vec<(&Linear, Activation<f64>)> {
    let last = linears.len() - 1;
    let of = |l| if l == last { Activation::Identity } else { activation };
    linears.iter().enumerate().map(|(l, linear)| (linear, of(l))).collect()
}
