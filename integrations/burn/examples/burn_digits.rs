//! Handwritten digits by burn's AdamW: 64 → 128 → 64 → 10, with fused layers or, with `--burn`, with burn's own.
//!
//! ```text
//! cargo run --release -p nablas-burn --example burn_digits -- --epochs 20
//! ```

#[path = "../../../examples/digits/data.rs"]
mod data;
#[path = "../../../examples/common/shuffle.rs"]
mod shuffle;
#[path = "../../../examples/common/table.rs"]
mod table;

use anyhow::{Context, Result, bail};
use burn::{
    module::Module,
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::{AdamWConfig, GradientsParams},
    tensor::{Device, Int, Tensor, TensorData, activation::relu},
};
use data::{CLASSES, PIXELS, Samples};
use nablas_burn::{Activation, FusedMlp, FusedMlpConfig};
use shuffle::Rng;
use std::{path::Path, time::Instant};

const BATCH: usize = 32;

/// What the fused network takes the place of.
#[derive(Module, Debug)]
struct Burns {
    a: Linear,
    b: Linear,
    c: Linear,
}

fn main() -> Result<()> {
    let (mut epochs, mut burns) = (20, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--burn" => burns = true,
            "--epochs" => {
                epochs = args.next().context("--epochs takes a number")?.parse().context("--epochs")?
            }
            other => bail!("{other}: expected --epochs N or --burn"),
        }
    }
    let device = Device::flex().autodiff();
    if burns {
        let layer = |inputs, outputs| LinearConfig::new(inputs, outputs).init(&device);
        let network = Burns { a: layer(PIXELS, 128), b: layer(128, 64), c: layer(64, CLASSES) };
        return train(&device, epochs, network, |n, x| n.c.forward(relu(n.b.forward(relu(n.a.forward(x))))));
    }
    let network = FusedMlpConfig::new(PIXELS).layer(128, Activation::Relu).layer(64, Activation::Relu);
    train(&device, epochs, network.layer(CLASSES, Activation::Identity).init(&device)?, FusedMlp::forward)
}

fn train<M: Module>(
    device: &Device,
    epochs: usize,
    mut network: M,
    forward: fn(&M, Tensor<2>) -> Tensor<2>,
) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/digits.csv.gz");
    let (train, test) = data::load::<f32>(&path, 1)?;
    let mut adamw = AdamWConfig::new().init();
    let loss = CrossEntropyLossConfig::new().init(device);
    let (mut rng, mut batch) = (Rng::new(1), Samples::with_capacity(BATCH));
    let mut order: Vec<usize> = (0..train.len()).collect();
    let start = Instant::now();
    for _ in 0..epochs {
        rng.shuffle(&mut order);
        for indices in order.chunks(BATCH) {
            train.gather(indices, &mut batch);
            let (x, classes) = tensors(&batch, device);
            let grads = loss.forward(forward(&network, x), classes).backward();
            let grads = GradientsParams::from_grads(grads, &network);
            network = adamw.step(2e-3, network, grads);
        }
    }
    let steps = epochs * train.len().div_ceil(BATCH);
    let us = 1e6 * start.elapsed().as_secs_f64() / steps.max(1) as f64;
    let (x, classes) = tensors(&test, device);
    let right =
        forward(&network, x).argmax(1).squeeze_dim::<1>(1).equal(classes).int().sum().into_scalar::<i64>();
    let right = right as f64 / test.len() as f64;
    println!("test accuracy {right:.4} after {epochs} epochs, {us:.1} µs a step of {BATCH} samples");
    Ok(())
}

fn tensors(samples: &Samples<f32>, device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let n = samples.len();
    let classes: Vec<i32> = samples.classes.iter().map(|c| *c as i32).collect();
    let x = TensorData::new(samples.images.clone(), [n, PIXELS]);
    (Tensor::from_data(x, device), Tensor::from_data(TensorData::new(classes, [n]), device))
}
