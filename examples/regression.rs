//! Regression on any CSV file: every column but one predicts that one.
//!
//! ```text
//! cargo run --release --example regression -- FILE --target COLUMN
//! ```
//!
//! Inputs and target are standardised (mean 0, variance 1, over the training rows), a network is trained on the
//! mean squared error, and R² and RMSE of the held-out fifth are printed in the target's own unit.

#[path = "common/shuffle.rs"]
mod shuffle;
#[path = "common/table.rs"]
mod table;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use nablas::{
    Activation, AdamW, Init, Loss, LossKind, MatMut, MatRef, Mlp, Plan, PlanOptions, Reduction, Targets,
};
use shuffle::Rng;
use std::path::PathBuf;
use table::Table;

/// The learning rate, annealed to zero by a cosine.
const RATE: f64 = 2e-3;

/// Trains a network to predict one column of a CSV file from the others.
#[derive(Parser)]
#[command(name = "regression")]
struct Options {
    /// Rows of numbers as CSV, plain or gzipped, with or without a header.
    file: PathBuf,
    /// The column to predict: its name in the header, or its number, from 0; the last if not given.
    #[arg(long)]
    target: Option<String>,
    /// Widths of the hidden layers.
    #[arg(long, value_delimiter = ',', default_value = "64,64", value_parser = count)]
    hidden: Vec<usize>,
    /// Activation of the hidden layers.
    #[arg(long, default_value = "silu")]
    activation: String,
    /// Samples in a minibatch.
    #[arg(long, default_value = "32", value_parser = count)]
    batch: usize,
    /// Passes over the training rows.
    #[arg(long, default_value = "100", value_parser = count)]
    epochs: usize,
    /// Fixes the split, the initial parameters and the order of the rows.
    #[arg(long, default_value = "1")]
    seed: u64,
}

fn count(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(n) if (1..=1_000_000).contains(&n) => Ok(n),
        _ => Err("expected a whole number of 1 to 1000000".into()),
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let table = Table::read(&options.file)?;
    let target = target_column(&table, options.target.as_deref())?;
    let mut rows: Vec<&[f64]> = table.rows().collect();
    ensure!(table.columns >= 2, "expected at least two columns, got {}", table.columns);
    ensure!(rows.len() >= 10, "{} rows are too few to train and test on", rows.len());
    let mut rng = Rng::new(options.seed);
    rng.shuffle(&mut rows);
    let (train, test) = rows.split_at(rows.len() * 4 / 5);
    let batch = options.batch.min(train.len());

    let scales: Vec<Scale> = (0..table.columns).map(|c| Scale::of(train.iter().map(|row| row[c]))).collect();
    ensure!(scales[target].varies, "column {target}, the target, is the same in every training row");
    let inputs = table.columns - 1;
    let mut train = Samples::new(train, &scales, target);
    let test = Samples::new(test, &scales, target);

    let activation: Activation<f32> =
        options.activation.parse().with_context(|| format!("--activation {}", options.activation))?;
    let hidden = options.hidden.iter();
    let builder = hidden.fold(Mlp::builder(inputs), |builder, &width| builder.layer(width, activation));
    let mlp = builder.layer(1, Activation::Identity).build()?;
    let plan = Plan::new(&mlp, &PlanOptions::new(batch.max(test.y.len())))?;
    let mut workspace = plan.workspace()?;
    let loss = Loss::new(LossKind::Mse, Reduction::Mean);
    let mut params = vec![0.0; mlp.param_len()];
    Init::HeNormal.fill(&mlp, &mut params, options.seed)?;
    let mut grads = vec![0.0; mlp.param_len()];
    let mut adamw = AdamW::new(mlp.param_len(), RATE)?;

    for epoch in 0..options.epochs {
        train.shuffle(&mut rng);
        let progress = epoch as f64 / options.epochs as f64;
        adamw.set_rate(RATE * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))?;
        let mut total = 0.0;
        for start in (0..train.y.len()).step_by(batch) {
            let range = start..(start + batch).min(train.y.len());
            let x = MatRef::new(&train.x, train.y.len(), inputs)?.rows(range.clone())?;
            let y = MatRef::new(&train.y, train.y.len(), 1)?.rows(range.clone())?;
            let value =
                plan.value_and_grad(&params, x, &loss, Targets::Values(y), &mut grads, &mut workspace)?;
            adamw.step(&mut params, &grads)?;
            total += f64::from(value) * range.len() as f64;
        }
        if (epoch + 1) % options.epochs.div_ceil(10) == 0 {
            println!("epoch {:>4}: mean squared error {:.4}", epoch + 1, total / train.y.len() as f64);
        }
    }

    let mut predicted = vec![0.0; test.y.len()];
    let x = MatRef::new(&test.x, test.y.len(), inputs)?;
    plan.forward(&params, x, MatMut::new(&mut predicted, test.y.len(), 1)?, None, &mut workspace)?;
    let squares = |it: &mut dyn Iterator<Item = f64>| it.map(|x| x * x).sum::<f64>();
    let residual = squares(&mut predicted.iter().zip(&test.y).map(|(p, y)| f64::from(p - y)));
    let mean = test.y.iter().map(|&y| f64::from(y)).sum::<f64>() / test.y.len() as f64;
    let total = squares(&mut test.y.iter().map(|&y| f64::from(y) - mean));
    let rmse = (residual / test.y.len() as f64).sqrt() * scales[target].deviation;
    println!("on {} held-out rows:", test.y.len());
    println!("R²   {:.4}: the share of the target's variance that is explained", 1.0 - residual / total);
    println!("RMSE {rmse:.4}: the root of the mean squared error, in the target's unit");
    Ok(())
}

/// The index of the column to predict.
fn target_column(table: &Table, target: Option<&str>) -> Result<usize> {
    let Some(target) = target else { return Ok(table.columns - 1) };
    let named = table.header.iter().flatten().position(|name| name == target);
    match named.or_else(|| target.parse().ok()) {
        Some(c) if c < table.columns => Ok(c),
        _ => match &table.header {
            Some(names) => bail!("--target {target}: expected one of the columns {}", names.join(", ")),
            None => bail!("--target {target}: expected a column number of 0 to {}", table.columns - 1),
        },
    }
}

/// Maps a column to mean 0 and variance 1.
struct Scale {
    mean: f64,
    deviation: f64,
    varies: bool,
}

impl Scale {
    fn of(column: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let n = column.len() as f64;
        let mean = column.clone().sum::<f64>() / n;
        let variance = column.map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        // A constant column tells nothing: it becomes 0.
        let varies = variance > 0.0;
        Self { mean, deviation: if varies { variance.sqrt() } else { 1.0 }, varies }
    }

    fn apply(&self, x: f64) -> f32 {
        ((x - self.mean) / self.deviation) as f32
    }
}

/// Standardised rows.
struct Samples {
    /// Row-major [rows, inputs].
    x: Vec<f32>,
    /// One a row.
    y: Vec<f32>,
}

impl Samples {
    fn new(rows: &[&[f64]], scales: &[Scale], target: usize) -> Self {
        let mut samples = Self { x: Vec::new(), y: Vec::new() };
        for row in rows {
            for (c, (&x, scale)) in row.iter().zip(scales).enumerate() {
                let to = if c == target { &mut samples.y } else { &mut samples.x };
                to.push(scale.apply(x));
            }
        }
        samples
    }

    fn shuffle(&mut self, rng: &mut Rng) {
        let inputs = self.x.len() / self.y.len();
        let mut order: Vec<usize> = (0..self.y.len()).collect();
        rng.shuffle(&mut order);
        self.x = order.iter().flat_map(|&i| self.x[i * inputs..][..inputs].iter().copied()).collect();
        self.y = order.iter().map(|&i| self.y[i]).collect();
    }
}
