//! Handwritten digits by candle's AdamW: 64 → 128 → 64 → 10, with fused layers or, with `--candle`, with candle's own.
//!
//! ```text
//! cargo run --release -p nablas-candle --example candle_digits -- --epochs 20
//! ```

#[path = "../../../examples/digits/data.rs"]
mod data;
#[path = "../../../examples/common/shuffle.rs"]
mod shuffle;
#[path = "../../../examples/common/table.rs"]
mod table;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use candle_nn::{AdamW, Module, Optimizer, VarBuilder, VarMap, linear};
use data::{CLASSES, PIXELS, Samples};
use nablas_candle::{Activation, FusedMlp};
use shuffle::Rng;
use std::{path::Path, time::Instant};

const BATCH: usize = 32;

/// The three lines, and what they take the place of.
fn network(candle: bool, vb: VarBuilder) -> Result<Box<dyn Module>> {
    if candle {
        let layers = [
            linear(PIXELS, 128, vb.pp("a"))?,
            linear(128, 64, vb.pp("b"))?,
            linear(64, CLASSES, vb.pp("c"))?,
        ];
        let network = candle_nn::seq().add(layers[0].clone()).add_fn(Tensor::relu);
        return Ok(Box::new(network.add(layers[1].clone()).add_fn(Tensor::relu).add(layers[2].clone())));
    }
    let network =
        FusedMlp::builder(PIXELS).layer("a", 128, Activation::Relu).layer("b", 64, Activation::Relu);
    Ok(Box::new(network.layer("c", CLASSES, Activation::Identity).build(vb)?))
}

fn main() -> Result<()> {
    let (mut epochs, mut candle) = (20, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--candle" => candle = true,
            "--epochs" => {
                epochs = args.next().context("--epochs takes a number")?.parse().context("--epochs")?
            }
            other => bail!("{other}: expected --epochs N or --candle"),
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/digits.csv.gz");
    let (train, test) = data::load::<f32>(&path, 1)?;
    let vars = VarMap::new();
    let network = network(candle, VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
    let mut adamw = AdamW::new_lr(vars.all_vars(), 2e-3)?;

    let (mut rng, mut batch) = (Rng::new(1), Samples::with_capacity(BATCH));
    let mut order: Vec<usize> = (0..train.len()).collect();
    let start = Instant::now();
    for _ in 0..epochs {
        rng.shuffle(&mut order);
        for indices in order.chunks(BATCH) {
            train.gather(indices, &mut batch);
            let (x, classes) = tensors(&batch)?;
            adamw.backward_step(&candle_nn::loss::cross_entropy(&network.forward(&x)?, &classes)?)?;
        }
    }
    let steps = epochs * train.len().div_ceil(BATCH);
    let us = 1e6 * start.elapsed().as_secs_f64() / steps.max(1) as f64;
    let (x, classes) = tensors(&test)?;
    let right = network.forward(&x)?.argmax(1)?.eq(&classes)?.to_dtype(DType::F32)?.mean_all()?;
    let right = right.to_scalar::<f32>()?;
    println!("test accuracy {right:.4} after {epochs} epochs, {us:.1} µs a step of {BATCH} samples");
    Ok(())
}

fn tensors(samples: &Samples<f32>) -> Result<(Tensor, Tensor)> {
    let (n, cpu) = (samples.len(), &Device::Cpu);
    Ok((
        Tensor::from_slice(&samples.images, (n, PIXELS), cpu)?,
        Tensor::from_slice(&samples.classes, n, cpu)?,
    ))
}
