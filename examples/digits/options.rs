//! The command line.

use clap::Parser;
use nablas::IsaToken;
use std::path::PathBuf;

/// Trains a network on 1,797 handwritten digits through fused forward and backward kernels, and compares gradient
/// and time per step with what forming the Jacobians gives.
#[derive(Parser)]
#[command(name = "digits")]
pub(crate) struct Options {
    /// Widths of the hidden layers.
    #[arg(long, value_delimiter = ',', default_value = "128,64", value_parser = count(1, 65_536))]
    pub(crate) hidden: Vec<usize>,
    /// Activation of the hidden layers: relu, tanh, silu, gelu, …; a wrong one lists them all.
    #[arg(long, default_value = "relu")]
    pub(crate) activation: String,
    /// Samples in a minibatch.
    #[arg(long, default_value = "32", value_parser = count(1, 1 << 30))]
    pub(crate) batch: usize,
    /// Passes over the training samples.
    #[arg(long, default_value = "40", value_parser = count(1, 1_000_000))]
    pub(crate) epochs: usize,
    /// AdamW's learning rate, annealed to zero by a cosine.
    #[arg(long, default_value = "2e-3", value_parser = rate)]
    pub(crate) learning_rate: f64,
    /// Threads; all of the machine's if not given.
    #[arg(long, value_parser = count(1, 4096))]
    pub(crate) threads: Option<usize>,
    /// Instruction set: scalar, avx2, avx512 or neon; the widest of the machine (or NABLAS_ISA) if not given.
    #[arg(long, value_parser = isa)]
    pub(crate) isa: Option<IsaToken>,
    /// Compute in double precision.
    #[arg(long)]
    pub(crate) f64: bool,
    /// Fixes the split, the initial parameters and the order of the samples.
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
    /// Write the figures as one JSON object to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// The digits: rows of 64 pixel counts and a class, as CSV, plain or gzipped.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/digits.csv.gz"))]
    pub(crate) data: PathBuf,
}

/// A parser of whole numbers within bounds.
fn count(min: usize, max: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.trim().parse() {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        _ => Err(format!("expected a whole number of {min} to {max}")),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("expected a number above 0".into()),
    }
}

fn isa(name: &str) -> Result<IsaToken, String> {
    IsaToken::pin(name).map_err(|e| e.to_string())
}
