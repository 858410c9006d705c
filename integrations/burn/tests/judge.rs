//! burn's own autodiff judges: every activation that both have, both types, X as it comes.

mod common;
#[path = "common/network.rs"]
mod network;

use burn::tensor::{DType, Device, Tensor};
use common::{elements, relative};
use nablas_burn::{Activation, FusedMlp, FusedMlpConfig};
use network::{forward, linears, listed, numbers};

const WIDTHS: [usize; 5] = [5, 33, 20, 17, 3];

fn bound(dtype: DType) -> f64 {
    if dtype == DType::F32 { 1e-5 } else { 1e-12 }
}

fn fused(layers: &[burn::nn::Linear], activation: Activation<f64>) -> FusedMlp {
    FusedMlpConfig::new(0).of_linears(&listed(layers, activation)).expect("the layers fit")
}

/// `x` is what `view` makes of a tensor that wants its gradient.
fn compare<const D: usize>(
    activation: Activation<f64>,
    dtype: DType,
    x: Tensor<D>,
    view: fn(Tensor<D>) -> Tensor<2>,
) {
    let device = Device::flex().autodiff();
    let layers = linears(&WIDTHS, dtype, &device);
    let mlp = fused(&layers, activation);
    let x = x.require_grad();
    let within = |what: &str, got: Vec<f64>, want: Vec<f64>| {
        let error = relative(&got, &want);
        assert!(error <= bound(dtype), "{activation}, {dtype:?}: {what} differs by {error:.1e}");
    };
    // A graph is walked once.
    let seen = || view(x.clone());
    let [batch, _] = seen().dims();
    let dy = numbers([batch, WIDTHS[4]], 5.0, 1.0, dtype, &device);
    let (got, want) = (mlp.forward(seen()), forward(&layers, activation, seen()));
    within("Y", elements(got.clone()), elements(want.clone()));
    let (got, want) = ((got * dy.clone()).sum().backward(), (want * dy).sum().backward());
    let of_x = |grads: &burn::tensor::Gradients| elements(x.grad(grads).expect("X wants its gradient"));
    within("dX", of_x(&got), of_x(&want));
    let mut parts = Vec::new();
    for layer in &layers {
        parts.extend(elements(layer.weight.val().grad(&want).expect("dW").transpose()));
        parts.extend(elements(layer.bias.as_ref().expect("a bias").val().grad(&want).expect("db")));
    }
    within("the gradient", elements(mlp.params.val().grad(&got).expect("a gradient")), parts);
}

#[test]
fn every_activation_has_burns_values_and_gradients() {
    let device = Device::flex().autodiff();
    for dtype in [DType::F32, DType::F64] {
        for activation in Activation::<f64>::all() {
            // Exponentials of exponentials lose a digit for each that there is before the point.
            let scale = if activation == Activation::Exp { 0.1 } else { 1.0 };
            compare(activation, dtype, numbers([37, WIDTHS[0]], 1.0, scale, dtype, &device), |x| x);
        }
    }
}

#[test]
fn x_may_be_any_view() {
    let (device, dtype) = (Device::flex().autodiff(), DType::F64);
    let wide = || numbers([14, 11], 2.0, 1.0, dtype, &device);
    compare(Activation::Tanh, dtype, wide(), |x| x.slice([2..13, 4..9]));
    compare(Activation::Tanh, dtype, wide(), |x| x.slice([0..5, 0..11]).transpose());
    compare(Activation::Tanh, dtype, wide(), |x| x.slice([3..9, 1..6]).flip([0, 1]));
    compare(Activation::Tanh, dtype, numbers([1, 5], 3.0, 1.0, dtype, &device), |x| x.expand([7, 5]));
    compare(Activation::Tanh, dtype, numbers([4, 6, 5], 3.0, 1.0, dtype, &device), |x| {
        x.slice([1..2, 0..6, 0..5]).squeeze_dim(0)
    });
}

#[test]
fn more_axes_are_rows_too() {
    let (device, dtype) = (Device::flex(), DType::F64);
    let mlp = fused(&linears(&WIDTHS, dtype, &device), Activation::Silu);
    let x = numbers([24, 5], 1.0, 1.0, dtype, &device);
    let want = elements(mlp.forward(x.clone()));
    let cube = mlp.forward(x.clone().reshape([2, 3, 4, 5]));
    assert_eq!(cube.dims(), [2, 3, 4, 3]);
    assert_eq!(elements(cube), want);
    let row = mlp.forward(x.slice([2..3, 0..5]).reshape([5]));
    assert_eq!(elements(row), want[6..9]);
}

#[test]
fn the_judge_knows_an_activation_from_another() {
    let z = numbers([9, 9], 1.0, 5.0, DType::F64, &Device::flex());
    let all = Activation::<f64>::all();
    let value = |a: Activation<f64>| elements(network::activate(a, z.clone()));
    for (i, a) in all.iter().enumerate() {
        for b in &all[i + 1..] {
            assert!(relative(&value(*a), &value(*b)) > 2e-5, "{a} and {b}");
        }
    }
}
