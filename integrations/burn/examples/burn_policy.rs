//! A policy of 4 → 32 → 32 → 2 learns to balance a pole by REINFORCE (Williams 1992), with burn's AdamW.
//!
//! ```text
//! cargo run --release -p nablas-burn --example burn_policy -- 60
//! ```

#[path = "../../examples/cart_pole.rs"]
mod cart_pole;

use anyhow::{Context, Result, ensure};
use burn::{
    module::Module,
    optim::{AdamWConfig, GradientsParams},
    tensor::{Device, Int, Tensor, TensorData, activation},
};
use cart_pole::{Dice, LAST, PUSHES, SEEN, play};
use nablas_burn::{Activation, FusedMlpConfig};

const CARTS: usize = 16;

fn main() -> Result<()> {
    let rounds =
        std::env::args().nth(1).map_or(Ok(60), |n| n.parse()).context("expected a number of rounds")?;
    ensure!(rounds > 0, "expected at least one round");
    let (plain, device) = (Device::flex(), Device::flex().autodiff());
    device.seed(1);
    let policy = FusedMlpConfig::new(SEEN).layer(32, Activation::Tanh).layer(32, Activation::Tanh);
    let mut policy = policy.layer(PUSHES, Activation::Identity).init(&device)?;
    let mut adamw = AdamWConfig::new().init();
    let mut dice = Dice(1);
    let mut length = 0.0;
    for round in 1..=rounds {
        let acting = policy.valid();
        let episodes = play(CARTS, &mut dice, |seen| {
            let n = seen.len() / SEEN;
            let seen = Tensor::<2>::from_data(TensorData::new(seen.to_vec(), [n, SEEN]), &plain);
            let right = activation::softmax(acting.forward(seen), 1).slice([0..n, 1..2]);
            right.into_data().try_to_vec().expect("probabilities are f32")
        });
        let n = episodes.pushes.len();
        let pushes: Vec<i32> = episodes.pushes.iter().map(|p| *p as i32).collect();
        let seen = Tensor::<2>::from_data(TensorData::new(episodes.seen, [n, SEEN]), &device);
        let pushes = Tensor::<2, Int>::from_data(TensorData::new(pushes, [n, 1]), &device);
        let returns = Tensor::<2>::from_data(TensorData::new(episodes.returns, [n, 1]), &device);
        let taken = activation::log_softmax(policy.forward(seen), 1).gather(1, pushes);
        let grads = (taken * returns).mean().neg().backward();
        let grads = GradientsParams::from_grads(grads, &policy);
        policy = adamw.step(1e-2, policy, grads);
        length = episodes.length;
        if round % 10 == 0 || round == rounds {
            println!("round {round}: an episode lasts {length:.0} of {LAST} pushes");
        }
    }
    println!("mean length {length:.0}");
    Ok(())
}
