//! The same network by burn's own operations, for backends that nothing is fused on.

use burn::tensor::{Tensor, activation as burns};
use core::f64::consts::FRAC_1_SQRT_2;
use nablas::Activation;
use nablas_bridge::NetworkBuilder;

/// Y of X, B×n_0, and flat parameters.
pub(crate) fn forward(network: &NetworkBuilder, x: Tensor<2>, params: Tensor<1>) -> Tensor<2> {
    let (mut a, mut at) = (x, 0);
    let mut inputs = network.inputs;
    for &(outputs, activation) in &network.layers {
        let bias = at + outputs * inputs;
        let w = params.clone().narrow(0, at, outputs * inputs).reshape([outputs, inputs]).transpose();
        let b = params.clone().narrow(0, bias, outputs).unsqueeze::<2>();
        a = activate(activation, a.matmul(w) + b);
        (inputs, at) = (outputs, bias + outputs);
    }
    a
}

fn activate(activation: Activation<f64>, z: Tensor<2>) -> Tensor<2> {
    match activation {
        Activation::Identity => z,
        Activation::Relu => burns::relu(z),
        Activation::LeakyRelu(slope) => burns::leaky_relu(z, slope),
        Activation::ClippedRelu(ceiling) => z.clamp(0.0, ceiling),
        Activation::Elu(alpha) => burns::elu(z, alpha),
        Activation::Selu => burns::selu(z),
        Activation::Sigmoid => burns::sigmoid(z),
        Activation::Tanh => z.tanh(),
        Activation::Softplus => burns::softplus(z, 1.0),
        Activation::Silu => burns::silu(z),
        // burn's own has the derivative of the other GELU on some backends, 3e-4 off.
        Activation::Gelu => ((z.clone() * FRAC_1_SQRT_2).erf() + 1.0) * z * 0.5,
        Activation::GeluTanh => burns::gelu_approximate(z),
        Activation::Mish => burns::mish(z),
        // burn's own, and its derivative of a division, take a sixth in `f32`.
        Activation::HardSwish => (z.clone() + 3.0).clamp(0.0, 6.0) * z * (1.0 / 6.0),
        Activation::Exp => z.exp(),
        Activation::Sin(omega) => (z * omega).sin(),
        Activation::Softsign => burns::softsign(z),
    }
}
