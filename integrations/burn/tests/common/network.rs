//! A network as burn's own modules have it.

use burn::{
    module::Param,
    nn::Linear,
    tensor::{DType, Device, Tensor, TensorData, activation as burns},
};
use nablas_burn::Activation;

/// Numbers that no seed need be known of.
pub(crate) fn numbers<const D: usize>(
    shape: [usize; D],
    seed: f64,
    scale: f64,
    dtype: DType,
    device: &Device,
) -> Tensor<D> {
    let wave = |i: usize| {
        scale * (((0.731 + 0.01 * seed) * i as f64 + seed).sin() + 0.4 * (0.113 * seed * i as f64).cos())
    };
    let all: Vec<f64> = (0..shape.iter().product()).map(wave).collect();
    Tensor::from_data(TensorData::new(all, shape), (device, dtype))
}

/// Layers of burn's, W inputs × outputs.
pub(crate) fn linears(widths: &[usize], dtype: DType, device: &Device) -> Vec<Linear> {
    let layer = |(l, w): (usize, &[usize])| {
        let scale = 1.5 / (w[0] as f64).sqrt();
        let weight = numbers([w[0], w[1]], 1.1 + l as f64, scale, dtype, device);
        let bias = numbers([w[1]], 2.3 + l as f64, 0.2, dtype, device);
        Linear { weight: Param::from_tensor(weight), bias: Some(Param::from_tensor(bias)) }
    };
    widths.windows(2).enumerate().map(layer).collect()
}

/// g(z) by burn's operations.
pub(crate) fn activate(activation: Activation<f64>, z: Tensor<2>) -> Tensor<2> {
    match activation {
        Activation::Identity => z,
        Activation::Relu => burns::relu(z),
        Activation::LeakyRelu(slope) => burns::leaky_relu(z, slope),
        Activation::ClippedRelu(ceiling) => z.clamp(0.0, ceiling),
        Activation::Elu(alpha) => burns::elu(z, alpha),
        Activation::Selu => burns::selu(z),
        Activation::Sigmoid => burns::sigmoid(z),
        Activation::Tanh => burns::tanh(z),
        Activation::Softplus => burns::softplus(z, 1.0),
        Activation::Silu => burns::silu(z),
        Activation::Gelu => burns::gelu(z),
        Activation::GeluTanh => burns::gelu_approximate(z),
        Activation::Mish => burns::mish(z),
        // burn's own, and its derivative of a division, take a sixth in `f32`: 7e-8 off in `f64`.
        Activation::HardSwish => (z.clone() + 3.0).clamp(0.0, 6.0) * z * (1.0 / 6.0),
        Activation::Exp => z.exp(),
        Activation::Sin(omega) => (z * omega).sin(),
        Activation::Softsign => burns::softsign(z),
    }
}

/// Y by burn's operations, the last layer linear.
pub(crate) fn forward(linears: &[Linear], activation: Activation<f64>, x: Tensor<2>) -> Tensor<2> {
    let last = linears.len() - 1;
    linears.iter().enumerate().fold(x, |a, (l, linear)| {
        let z = linear.forward(a);
        if l == last { z } else { activate(activation, z) }
    })
}

/// Layers with the activation between them, as the fused network takes them.
pub(crate) fn listed(linears: &[Linear], activation: Activation<f64>) -> Vec<(&Linear, Activation<f64>)> {
    let last = linears.len() - 1;
    let of = |l| if l == last { Activation::Identity } else { activation };
    linears.iter().enumerate().map(|(l, linear)| (linear, of(l))).collect()
}
