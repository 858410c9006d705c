//! The network of huggingface/candle#2913, "poor performance in back propagation", as it is described there and written
//! anew: an embedding, two linear layers with batch normalisation and tanh, one with a sigmoid. One training step in candle
//! alone, and with its three linear layers fused, which is all of it that can be.
//!
//! The issue does not say how many tokens, how large the batch or what the optimizer is: here 150, 256 and AdamW.

#[path = "../../../benches/common/agree.rs"]
mod agree;
#[path = "../../benches/measure.rs"]
mod measure;
#[path = "../../../benches/common/numbers.rs"]
mod numbers;
#[path = "../../../benches/common/turns.rs"]
mod turns;

use agree::same;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{
    AdamW, BatchNorm, Embedding, Linear, Module, ModuleT, Optimizer, VarBuilder, VarMap, linear,
};
use nablas_candle::{Activation, FusedMlp};
use numbers::uniform;
use std::{collections::BTreeMap, time::Duration};
use turns::turns;

const TOKENS: usize = 150;
const BATCH: usize = 256;
/// Tokens of a sample, five for each of two sides.
const SIDES: [usize; 2] = [2, 5];
const EMBEDDED: usize = 32;
const HIDDEN: usize = 128;

/// The linear layers, and what follows the last.
struct Network {
    embedding: Embedding,
    layers: [Box<dyn Module>; 3],
    norms: [BatchNorm; 2],
}

impl Network {
    fn new(vb: VarBuilder, fused: bool) -> Result<Self> {
        let layer = |name: &str, inputs, outputs, bias, act| -> Result<Box<dyn Module>> {
            let vb = vb.pp(name);
            let linear: Linear = if bias {
                linear(inputs, outputs, vb)?
            } else {
                candle_nn::linear_no_bias(inputs, outputs, vb)?
            };
            if fused {
                return Ok(Box::new(FusedMlp::from_linears(&[(&linear, act)])?));
            }
            let sigmoid = move |t: &Tensor| if bias { candle_nn::ops::sigmoid(t) } else { Ok(t.clone()) };
            Ok(Box::new(candle_nn::seq().add(linear).add_fn(sigmoid)))
        };
        let [sides, tokens] = SIDES;
        Ok(Self {
            embedding: candle_nn::embedding(TOKENS, EMBEDDED, vb.pp("embedding"))?,
            layers: [
                layer("linear0", EMBEDDED * tokens, HIDDEN, false, Activation::Identity)?,
                layer("linear1", HIDDEN * sides, HIDDEN, false, Activation::Identity)?,
                layer("output", HIDDEN, 1, true, Activation::Sigmoid)?,
            ],
            norms: [
                candle_nn::batch_norm(HIDDEN, 1e-5, vb.pp("norm0"))?,
                candle_nn::batch_norm(HIDDEN, 1e-5, vb.pp("norm1"))?,
            ],
        })
    }

    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let [sides, of_side] = SIDES;
        let x = self.embedding.forward(tokens)?.reshape((BATCH, sides, of_side * EMBEDDED))?;
        let z = self.layers[0].forward(&x)?.transpose(1, 2)?.contiguous()?;
        let a = self.norms[0].forward_t(&z, true)?.transpose(1, 2)?.tanh()?;
        let z = self.layers[1].forward(&a.contiguous()?.reshape((BATCH, sides * HIDDEN))?)?;
        self.layers[2].forward(&self.norms[1].forward_t(&z, true)?.tanh()?)
    }
}

/// Variables in the order of their names.
fn by_name(vars: &VarMap) -> impl Iterator<Item = (String, Var)> {
    let all: BTreeMap<_, _> =
        vars.data().lock().expect("nobody panics with it").clone().into_iter().collect();
    all.into_iter()
}

fn main() -> Result<()> {
    let cpu = &Device::Cpu;
    let tokens = uniform(BATCH * SIDES[0] * SIDES[1], 1).iter().map(|x| ((x + 1.0) * 75.0) as u32).collect();
    let tokens = Tensor::from_vec(tokens, (BATCH, SIDES[0] * SIDES[1]), cpu)?;
    let won: Vec<f32> = uniform(BATCH, 2).iter().map(|x| if *x > 0.0 { 1.0 } else { 0.0 }).collect();
    let won = Tensor::from_vec(won, (BATCH, 1), cpu)?;
    let made = |fused| -> Result<(VarMap, Network)> {
        let vars = VarMap::new();
        let network = Network::new(VarBuilder::from_varmap(&vars, DType::F32, cpu), fused)?;
        Ok((vars, network))
    };
    let (alone, mut fused) = (made(false)?, made(true)?);
    let start: Vec<(String, Tensor)> =
        by_name(&alone.0).map(|(name, var)| (name, var.into_inner())).collect();
    fused.0.set(start.iter().map(|(name, tensor)| (name, tensor)))?;
    let gradient = |(vars, network): &(VarMap, Network)| -> Result<Vec<f32>> {
        let grads = candle_nn::loss::mse(&network.forward(&tokens)?, &won)?.backward()?;
        let of = by_name(vars).filter_map(|(_, var)| grads.get(&var).map(Tensor::flatten_all));
        Ok(of.map(|g| g?.to_vec1()).collect::<Result<Vec<_>>>()?.concat())
    };
    same("the network of the issue", &gradient(&fused)?, &gradient(&alone)?);

    let step = |(vars, network): (VarMap, Network)| -> Result<Box<dyn FnMut(usize)>> {
        let mut adamw = AdamW::new_lr(vars.all_vars(), 1e-4)?;
        let (tokens, won) = (tokens.clone(), won.clone());
        Ok(Box::new(move |steps| {
            for _ in 0..steps {
                let loss = network.forward(&tokens).and_then(|y| candle_nn::loss::mse(&y, &won));
                adamw
                    .backward_step(&loss.expect("the network takes the tokens"))
                    .expect("there is a gradient");
            }
        }))
    };
    let (mut alone, mut fused) = (step(alone)?, step(fused)?);
    let [alone, fused] =
        turns([&mut alone, &mut fused], Duration::from_millis(20), Duration::from_secs(5), 3);
    for (name, timing) in [("candle", alone), ("with fused layers", fused)] {
        println!("{name:<18} {:>9.1} µs a step, median {:.1}", 1e6 * timing.min, 1e6 * timing.median);
    }
    println!("{:.2} times as fast", alone.min / fused.min);
    Ok(())
}
