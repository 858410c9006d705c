//! The network of tracel-ai/burn#4811, 6 → 64 → 8 → 4 with ReLU, 1,004 parameters and one sample, as it is described there
//! and written anew: inference in burn alone, with the fused network, by the library's own call, and as the plain loops
//! that the issue holds against burn. Then a training step of each.

#[path = "../../benches/measure.rs"]
mod measure;
#[path = "../../../benches/common/numbers.rs"]
mod numbers;
#[path = "../../../benches/common/turns.rs"]
mod turns;

use burn::{
    module::Module,
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::{AdamWConfig, GradientsParams},
    tensor::{Device, Tensor, TensorData, activation::relu},
};
use nablas_burn::{Activation, FusedMlp, FusedMlpConfig};
use numbers::uniform;
use std::{hint::black_box, time::Duration};
use turns::turns;

const WIDTHS: [usize; 4] = [6, 64, 8, 4];

fn forward(layers: &[Linear], x: Tensor<2>) -> Tensor<2> {
    let last = layers.len() - 1;
    let layer = |a, (l, linear): (usize, &Linear)| {
        let z = linear.forward(a);
        if l == last { z } else { relu(z) }
    };
    layers.iter().enumerate().fold(x, layer)
}

/// One row through all layers, W and b one after another, as one would write it by hand.
fn plain(params: &[f32], x: &[f32; 6]) -> [f32; 4] {
    let (mut a, mut rest) = (x.to_vec(), params);
    for (l, w) in WIDTHS.windows(2).enumerate() {
        let (weights, after) = rest.split_at(w[0] * w[1]);
        let (bias, after) = after.split_at(w[1]);
        let sum = |(row, b): (&[f32], &f32)| b + row.iter().zip(&a).map(|(w, a)| w * a).sum::<f32>();
        let z = weights.chunks_exact(w[0]).zip(bias).map(sum);
        a = z.map(|z| if l < 2 { z.max(0.0) } else { z }).collect();
        rest = after;
    }
    [a[0], a[1], a[2], a[3]]
}

fn main() -> nablas::Result<()> {
    let device = Device::flex();
    let layers: Vec<Linear> =
        WIDTHS.windows(2).map(|w| LinearConfig::new(w[0], w[1]).init(&device)).collect();
    let acts = [Activation::Relu, Activation::Relu, Activation::Identity];
    let of =
        |layers: &[Linear]| FusedMlpConfig::new(0).of_linears(&layers.iter().zip(acts).collect::<Vec<_>>());
    let mlp = of(&layers)?;
    let params: Vec<f32> = mlp.params.val().into_data().try_to_vec().expect("it is f32");
    // Scaled, as the first line of that network does.
    let inputs = uniform(6, 1);
    let row: [f32; 6] = std::array::from_fn(|i| inputs[i]);
    let x = Tensor::<2>::from_data(TensorData::new(row.to_vec(), [1, 6]), &device);

    let network = nablas::Mlp::builder(6).layer(64, Activation::Relu).layer(8, Activation::Relu);
    let network = network.layer(4, Activation::Identity).build()?;
    let plan = nablas::Plan::new(&network, &nablas::PlanOptions::new(1))?;
    let (packed, mut ws) = (plan.pack(&params)?, plan.workspace()?);

    let want = plain(&params, &row);
    let close = |got: Vec<f32>| got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-5);
    let values = |y: Tensor<2>| -> Vec<f32> { y.into_data().try_to_vec().expect("it is f32") };
    assert!(close(values(forward(&layers, x.clone()))) && close(values(mlp.forward(x.clone()))));

    let mut burns = |n: usize| (0..n).for_each(|_| drop(black_box(forward(&layers, x.clone()))));
    let mut fused = |n: usize| (0..n).for_each(|_| drop(black_box(mlp.forward(x.clone()))));
    let mut own = |n: usize| {
        for _ in 0..n {
            let mut y = [0.0; 4];
            let (x, out) = (nablas::MatRef::new(&row, 1, 6), nablas::MatMut::new(&mut y, 1, 4));
            plan.forward(&packed, x.expect("1×6"), out.expect("1×4"), None, &mut ws).expect("it fits");
            black_box(y);
        }
    };
    let mut loops = |n: usize| (0..n).for_each(|_| _ = black_box(plain(black_box(&params), &row)));
    let (burst, span) = (Duration::from_millis(2), Duration::from_secs(3));
    let inference = turns([&mut burns, &mut fused, &mut own, &mut loops], burst, span, 3);
    let names = ["burn", "FusedMlp", "Plan::forward, packed", "plain loops"];
    println!("one sample forward, ns");
    for (name, timing) in names.iter().zip(inference) {
        println!("{name:<22} {:>9.0}, median {:.0}", 1e9 * timing.min, 1e9 * timing.median);
    }

    let device = Device::flex().autodiff();
    let layers: Vec<Linear> =
        WIDTHS.windows(2).map(|w| LinearConfig::new(w[0], w[1]).init(&device)).collect();
    let mlp = of(&layers)?;
    let (mut burns, mut fused) =
        (step(layers, &device, |layers, x| forward(layers, x)), step(mlp, &device, FusedMlp::forward));
    let training = turns([&mut burns, &mut fused], burst, span, 3);
    println!("one training step of 32 samples with burn's AdamW, µs");
    for (name, timing) in names.iter().zip(training) {
        println!("{name:<22} {:>9.1}, median {:.1}", 1e6 * timing.min, 1e6 * timing.median);
    }
    Ok(())
}

fn step<M: Module + 'static>(
    module: M,
    device: &Device,
    forward: fn(&M, Tensor<2>) -> Tensor<2>,
) -> impl FnMut(usize) {
    let tensor = |cols: usize, seed| {
        Tensor::<2>::from_data(TensorData::new(uniform(32 * cols, seed), [32, cols]), device)
    };
    let (x, t) = (tensor(6, 2), tensor(4, 3));
    let (mut adamw, mut module) = (AdamWConfig::new().init(), Some(module));
    move |steps| {
        for _ in 0..steps {
            let now = module.take().expect("each step puts it back");
            let loss = MseLoss::new().forward(forward(&now, x.clone()), t.clone(), Reduction::Mean);
            let grads = GradientsParams::from_grads(loss.backward(), &now);
            module = Some(adamw.step(1e-4, now, grads));
        }
    }
}
