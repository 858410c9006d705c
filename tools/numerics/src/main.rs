//! Measures what docs/NUMERICS.md states of functions, and writes its tables between their markers.
//!
//! ```text
//! cargo run --release --manifest-path tools/numerics/Cargo.toml
//! ```
//!
//! Every one of the 2³² `f32` and 10⁸ `f64` (zeros, infinities and NaN apart, which the tests have) goes through the kernels,
//! and is held against polynomials whose coefficients are MPFR's (`table.rs`); at some thousand arguments of each function
//! MPFR itself is asked how far these are off, and whether the derivative is that of the function. Sines are the standard
//! library's where that is enough to tell, and MPFR's else.

mod functions;
mod measure;
mod table;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use functions::{Reference, reference, tail_is_off};
use indicatif::{ParallelProgressIterator, ProgressBar, ProgressStyle};
use measure::{Function, Kernel, Pair, Seen};
use nablas_kernels::{act::Activation, isa::IsaToken};
use rayon::prelude::*;
use std::{fmt::Write, fs, time::Instant};

/// `f32` of a chunk of work, and `f64`.
const CHUNK: u64 = 1 << 20;
const DRAWN: usize = 1 << 16;

#[derive(Parser)]
struct Options {
    /// Every so many-th f32 alone: for a look, which is not written.
    #[arg(long, default_value = "1")]
    step: u64,
    /// f64 of each function.
    #[arg(long, default_value = "100000000")]
    doubles: usize,
    /// The rows whose name contains this: for a look, which is not written.
    #[arg(long, default_value = "")]
    only: String,
}

/// A row of the table: what it is called, what is run, its references.
struct Row {
    names: [&'static str; 2],
    kernel: Kernel,
    references: &'static [&'static str],
    crosses: bool,
}

const fn one(name: &'static str, function: Function, reference: &'static [&'static str]) -> Row {
    Row { names: [name, ""], kernel: Kernel::One(function), references: reference, crosses: false }
}

const fn both(
    names: [&'static str; 2],
    act: Activation<f64>,
    references: &'static [&'static str],
    crosses: bool,
) -> Row {
    Row { names, kernel: Kernel::Both(act), references, crosses }
}

/// Functions of `Math`, and activations that are not one of them.
const ROWS: &[Row] = &[
    one("exp", Function::Exp, &["exp"]),
    one("expm1", Function::Expm1, &["expm1"]),
    one("log1p", Function::Log1p, &["log1p"]),
    both(["tanh", "tanh'"], Activation::Tanh, &["tanh", "tanh'"], false),
    both(["σ, sigmoid", "σ'"], Activation::Sigmoid, &["sigmoid", "sigmoid'"], false),
    one("erf", Function::Erf, &["erf"]),
    one("sin", Function::Sin, &["sin"]),
    one("cos", Function::Cos, &["cos"]),
    both(["ELU", "ELU'"], Activation::Elu(1.0), &["elu", "elu'"], false),
    both(["SELU", "SELU'"], Activation::Selu, &["selu", "selu'"], false),
    both(["softplus", "softplus'"], Activation::Softplus, &["softplus", "sigmoid"], false),
    both(["SiLU", "SiLU'"], Activation::Silu, &["silu", "silu'"], true),
    both(["GELU", "GELU'"], Activation::Gelu, &["gelu", "gelu'"], true),
    both(["GELU (tanh)", "GELU (tanh)'"], Activation::GeluTanh, &["gelu_tanh", "gelu_tanh'"], true),
    both(["Mish", "Mish'"], Activation::Mish, &["mish", "mish'"], true),
    both(["HardSwish", "HardSwish'"], Activation::HardSwish, &["hard_swish", "hard_swish'"], false),
    both(["softsign", "softsign'"], Activation::Softsign, &["softsign", "softsign'"], false),
];

fn merge(a: [Seen; 2], b: [Seen; 2]) -> [Seen; 2] {
    [a[0].and(b[0]), a[1].and(b[1])]
}

fn main() -> Result<()> {
    let options = Options::parse();
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.names[0].contains(&options.only)).collect();
    ensure!(!rows.is_empty(), "no function is called {}", options.only);
    let start = Instant::now();
    let off = tail_is_off();
    ensure!(off < 1e-60, "the left tail of the normal distribution is off by {off:e}");
    let chunks = (1u64 << 32).div_ceil(CHUNK * options.step);
    // A few of those drawn are zeros, infinities and NaN.
    let draws = (options.doubles + options.doubles / 1000).div_ceil(DRAWN) as u64;
    let bar = ProgressBar::new(rows.len() as u64 * (chunks + draws));
    bar.set_style(ProgressStyle::with_template(
        "{msg:14} {wide_bar} {percent} %, {elapsed} of about {duration}",
    )?);
    let mut text = String::from(
        "| | f32: ULP | at | subnormal | rounded right | f64: ULP | at | subnormal | rounded right |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut doubts = [0f64; 3];
    for row in rows {
        bar.set_message(row.names[0]);
        let references: Vec<Reference> = row.references.iter().map(|name| reference(name)).collect();
        let pair = Pair { kernel: row.kernel, references, crosses: row.crosses };
        let doubt = pair.doubt(3000);
        let [exact, quick, other] = doubt;
        ensure!(
            exact < 1e-24 && quick < 3e-14 && other < 1e-20,
            "{}: references are off by {exact:e} and {quick:e}, or the second is no derivative: {other:e}",
            row.names[0]
        );
        doubts = [0, 1, 2].map(|i| doubts[i].max(doubt[i]));
        let step = options.step;
        let singles = (0..chunks)
            .into_par_iter()
            .progress_with(bar.clone())
            .map(|c| {
                let from = c * CHUNK * step;
                let count = ((1 << 32) - from).div_ceil(step).min(CHUNK);
                pair.singles(from as u32, count as u32, step as u32)
            })
            .reduce(Default::default, merge);
        let doubles = (0..draws)
            .into_par_iter()
            .progress_with(bar.clone())
            .map(|c| pair.doubles(DRAWN, 1 + c))
            .reduce(Default::default, merge);
        for (i, name) in row.names.iter().enumerate().take(pair.references.len()) {
            let cell =
                |s: &Seen| format!("{:.3} | {:e} | {:.2} | {:.1} %", s.ulps, s.at, s.subnormal, s.share());
            let (single, double) = (cell(&singles[i]), cell(&doubles[i]));
            writeln!(text, "| {name} | {single} | {double} |")?;
            bar.suspend(|| println!("{name}: f32 {single}, f64 {double}"));
        }
    }
    bar.finish();
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    let processor = processor_minutes().map_or(String::new(), |all| format!(", {all:.0} of a processor"));
    let [exact, quick, other] = doubts.map(|off| off.log2().ceil());
    writeln!(
        text,
        "\nMeasured on {}. Of MPFR's values references are off by at most 2^{exact}, and by 2^{quick} where a double is enough to \
         tell; derivatives are those of the functions but for 2^{other}, at 3,000 arguments each. All took {minutes:.0} minutes on {} \
         threads{processor}.",
        IsaToken::detect().name(),
        rayon::current_num_threads(),
    )?;
    println!("{text}");
    if options.step == 1 && options.only.is_empty() && options.doubles >= 100_000_000 {
        write(&text)?;
    }
    Ok(())
}

/// What this process has had of processors, so that what else runs does not count (Linux: in hundredths of a second).
fn processor_minutes() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 =
        [11, 12].iter().map(|i| fields.get(*i).and_then(|f| f.parse::<f64>().ok())).sum::<Option<f64>>()?;
    Some(ticks / 6000.0)
}

/// Puts the table where it belongs.
fn write(table: &str) -> Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/NUMERICS.md");
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let (begin, end) = ("<!-- errors: tools/numerics -->\n", "<!-- end -->");
    let (head, rest) = text.split_once(begin).context("docs/NUMERICS.md has no place for the table")?;
    let (_, tail) = rest.split_once(end).context("the table's place has no end")?;
    fs::write(path, format!("{head}{begin}\n{table}\n{end}{tail}"))
        .with_context(|| format!("cannot write {path}"))
}
