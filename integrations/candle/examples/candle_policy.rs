//! A policy of 4 → 32 → 32 → 2 learns to balance a pole by REINFORCE (Williams 1992), with candle's AdamW.
//!
//! ```text
//! cargo run --release -p nablas-candle --example candle_policy -- 60
//! ```

#[path = "../../examples/cart_pole.rs"]
mod cart_pole;

use anyhow::{Context, Result, ensure};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::{AdamW, Module, Optimizer, VarBuilder, VarMap, ops};
use cart_pole::{Dice, LAST, PUSHES, SEEN, play};
use nablas_candle::{Activation, FusedMlp};

const CARTS: usize = 16;

fn main() -> Result<()> {
    let rounds =
        std::env::args().nth(1).map_or(Ok(60), |n| n.parse()).context("expected a number of rounds")?;
    ensure!(rounds > 0, "expected at least one round");
    let cpu = &Device::Cpu;
    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, cpu);
    let policy = FusedMlp::builder(SEEN).layer("a", 32, Activation::Tanh).layer("b", 32, Activation::Tanh);
    let policy = policy.layer("pushes", PUSHES, Activation::Identity).build(vb)?;
    let mut dice = Dice(1);
    // candle has no seed on the CPU: W is drawn here, evenly from ±1/√n, and b is 0, so that every run is the same.
    for var in policy.vars() {
        let k = if var.rank() == 2 { 1.0 / (var.dim(1)? as f32).sqrt() } else { 0.0 };
        let drawn: Vec<f32> = (0..var.elem_count()).map(|_| k * (2.0 * dice.roll() - 1.0)).collect();
        var.set(&Tensor::from_vec(drawn, var.shape(), cpu)?)?;
    }
    let mut adamw = AdamW::new_lr(policy.vars(), 1e-2)?;
    let mut length = 0.0;
    for round in 1..=rounds {
        let episodes = play(CARTS, &mut dice, |seen| {
            let right = || -> candle_core::Result<Vec<f32>> {
                let seen = Tensor::from_slice(seen, (seen.len() / SEEN, SEEN), cpu)?;
                ops::softmax(&policy.forward(&seen)?, 1)?.narrow(1, 1, 1)?.squeeze(1)?.to_vec1()
            };
            right().expect("the policy takes what is seen")
        });
        let n = episodes.pushes.len();
        let seen = Tensor::from_vec(episodes.seen, (n, SEEN), cpu)?;
        let pushes = Tensor::from_vec(episodes.pushes, (n, 1), cpu)?;
        let returns = Tensor::from_vec(episodes.returns, n, cpu)?;
        let taken = ops::log_softmax(&policy.forward(&seen)?, D::Minus1)?.gather(&pushes, 1)?.squeeze(1)?;
        adamw.backward_step(&(taken * returns)?.mean_all()?.neg()?)?;
        length = episodes.length;
        if round % 10 == 0 || round == rounds {
            println!("round {round}: an episode lasts {length:.0} of {LAST} pushes");
        }
    }
    println!("mean length {length:.0}");
    Ok(())
}
