//! The main job: a network trained on real handwritten digits through the fused kernels, its gradient and its time
//! per step held against what forming the Jacobians gives.
//!
//! ```text
//! cargo run --release --example digits -- --help
//! ```

mod compare;
mod data;
mod options;
#[path = "../common/shuffle.rs"]
mod shuffle;
#[path = "../common/table.rs"]
mod table;
mod train;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use compare::Comparison;
use data::{CLASSES, PIXELS, Samples};
use nablas::{Activation, Mlp, Plan, PlanOptions, Scalar};
use options::Options;
use serde_json::json;
use std::{fs::File, io::Write};
use train::Trainer;

fn main() -> Result<()> {
    let options = Options::parse();
    if options.f64 { run::<f64>(&options) } else { run::<f32>(&options) }
}

fn run<T: Scalar>(options: &Options) -> Result<()> {
    let (train, test) = data::load::<T>(&options.data, options.seed)?;
    let batch = options.batch;
    ensure!(batch <= train.len(), "--batch {batch} is more than the {} training samples", train.len());
    // Opened first: better now than after the training.
    let mut json = match &options.json {
        Some(path) => Some(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
        None => None,
    };

    let mlp = network::<T>(options)?;
    let mut plan_options = PlanOptions::new(batch.max(test.len()));
    (plan_options.threads, plan_options.isa) = (options.threads, options.isa);
    let plan = Plan::new(&mlp, &plan_options)?;
    let (isa, threads) = (plan.isa().name(), plan.threads());
    let widths: Vec<String> = mlp.layers().iter().map(|l| l.outputs.to_string()).collect();
    println!(
        "network {PIXELS}→{}, {}, {} parameters, {}; {} samples to train on, {} to test on; {isa}, {threads} thread{}",
        widths.join("→"),
        options.activation,
        mlp.param_len(),
        T::NAME,
        train.len(),
        test.len(),
        if threads == 1 { "" } else { "s" }
    );

    let mut trainer = Trainer::new(&mlp, &plan, options)?;
    let mut first = Samples::with_capacity(batch);
    train.gather(&trainer.order(&train)[..batch], &mut first);
    let comparison = Comparison::measure(&mlp, &plan_options, trainer.params(), &first)?;
    let accuracy = trainer.train(&train, &test)?;

    report(accuracy, test.len(), batch, &comparison);
    if let Some(file) = &mut json {
        let figures = json!({
            "test_accuracy": accuracy,
            "gradient_max_abs_diff": comparison.gradient_max_abs_diff,
            "step_us": {
                "fused": comparison.fused_us,
                "matrixmultiply": comparison.matrixmultiply_us,
                "jacobian": comparison.jacobian_us,
            },
            "isa": isa,
            "threads": threads,
        });
        writeln!(file, "{figures:#}").context("cannot write the JSON file")?;
    }
    Ok(())
}

fn network<T: Scalar>(options: &Options) -> Result<Mlp<T>> {
    let activation: Activation<T> =
        options.activation.parse().with_context(|| format!("--activation {}", options.activation))?;
    let hidden = options.hidden.iter();
    let builder = hidden.fold(Mlp::builder(PIXELS), |builder, &width| builder.layer(width, activation));
    Ok(builder.layer(CLASSES, Activation::Identity).build()?)
}

fn report(accuracy: f64, samples: usize, batch: usize, comparison: &Comparison) {
    println!(
        "test accuracy {:.2} %: the share of the {samples} test samples classified right",
        100.0 * accuracy
    );
    match comparison.gradient_max_abs_diff {
        Some(d) => println!(
            "gradient {d:.2e}: its largest difference, over all parameters, from the gradient through materialised \
             Jacobians, on the first minibatch"
        ),
        None => println!("gradient: not compared, the Jacobians do not fit into memory"),
    }
    println!("time per step of {batch} samples (forward, backward and AdamW; median):");
    let fused = comparison.fused_us;
    let line = |us: f64, what: &str| println!("  {us:>12.1} µs  {:>8.1} ×  {what}", us / fused);
    line(fused, "fused: products, activations, derivatives and column sums in one pass each");
    line(
        comparison.matrixmultiply_us,
        "unfused: products by crate matrixmultiply, the rest in passes of its own",
    );
    match comparison.jacobian_us {
        Some(us) => line(us, "naive: every Jacobian materialised, sample by sample, and multiplied through"),
        None => println!("  {:>15}  naive: the Jacobians do not fit into memory", "–"),
    }
}
