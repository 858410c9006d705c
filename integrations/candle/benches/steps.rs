//! One training step with candle's AdamW, in candle alone and with the fused network: forward, mean squared error,
//! backward, step. The ten standard workloads, alternated rounds, one thread and all.
//!
//! ```text
//! cargo bench -p nablas-candle --bench candle             # or: -- latency ppo
//! ```
//!
//! `NABLAS_RECORD=benches/record` keeps the times: benches/record/README.md.

#[path = "../../../benches/common/agree.rs"]
mod agree;
#[path = "../../benches/measure.rs"]
mod measure;
#[path = "../../../benches/common/numbers.rs"]
mod numbers;
#[path = "../../../benches/common/operands.rs"]
mod operands;
#[path = "../../../benches/common/peak.rs"]
mod peak;
#[path = "../../../benches/common/record.rs"]
mod record;
#[path = "../../benches/rounds.rs"]
mod rounds;
#[path = "../../../benches/common/turns.rs"]
mod turns;
#[path = "../../../benches/common/workloads.rs"]
mod workloads;

use agree::same;
use candle_core::{Device, Result, Tensor, Var};
use candle_nn::{AdamW, Linear, Module, Optimizer, loss::mse};
use nablas_candle::{Activation, FusedMlp, Loss, LossKind, Reduction};
use operands::Operands;
use rounds::{Contest, Step, activations, layers};
use workloads::Workload;

/// So low that no contender's parameters drift away from the others'.
const RATE: f64 = 1e-6;
/// At this one a step is far more than what contenders may differ by.
const SEEN: f64 = 1e-3;

fn main() {
    rounds::run(&Contest { framework: "candle", package: "candle-core", contenders });
}

fn contenders(workload: &Workload, batch: usize, operands: &Operands) -> [(&'static str, Step); 4] {
    made(workload, batch, operands).expect("candle and nablas take these operands")
}

fn made(workload: &Workload, batch: usize, operands: &Operands) -> Result<[(&'static str, Step); 4]> {
    let cpu = &Device::Cpu;
    let (inputs, outputs) = (workload.widths[0], workload.widths[workload.widths.len() - 1]);
    let x = Tensor::from_slice(&operands.x, (batch, inputs), cpu)?;
    let t = Tensor::from_slice(&operands.dy, (batch, outputs), cpu)?;
    let acts = activations(workload);
    // Each contender has parameters of its own.
    let linears = || -> Result<Vec<Linear>> {
        let parts = layers(workload, &operands.params).into_iter().zip(workload.widths.windows(2));
        let parts = parts.map(|((w, b), n)| {
            let weight = Var::from_tensor(&Tensor::from_slice(w, (n[1], n[0]), cpu)?)?;
            Ok(Linear::new(weight.into_inner(), Some(Var::from_slice(b, n[1], cpu)?.into_inner())))
        });
        parts.collect()
    };
    let fused = || -> Result<FusedMlp> {
        FusedMlp::from_linears(&linears()?.iter().zip(acts.clone()).collect::<Vec<_>>())
    };
    let candles = || -> Result<_> {
        let (theirs, acts) = (linears()?, acts.clone());
        let vars = FusedMlp::from_linears(&theirs.iter().zip(acts.clone()).collect::<Vec<_>>())?.vars();
        let forward = move |x: &Tensor| {
            let layer = |a: Tensor, (l, act): (&Linear, &Activation<f64>)| activate(*act, &l.forward(&a)?);
            theirs.iter().zip(&acts).try_fold(x.clone(), layer)
        };
        Ok((vars, forward))
    };
    let (vars, forward) = candles()?;
    let (flat, apart, whole) = (fused()?.flatten()?, fused()?, fused()?.flatten()?);
    let want = gradient(&mse(&forward(&x)?, &t)?, &vars)?;
    for mlp in [&flat, &apart] {
        same(workload.name, &gradient(&mse(&mlp.forward(&x)?, &t)?, &mlp.vars())?, &want);
    }

    // A whole step, from the same parameters, has the same optimizer: at a rate that shows.
    let loss = Loss::<f32>::new(LossKind::Mse, Reduction::Mean);
    let adamw = |rate| nablas::AdamW::<f32>::new(operands.params.len(), rate).expect("a rate");
    let ((stepped, forward_once), once) = (candles()?, fused()?.flatten()?);
    step(stepped.clone(), SEEN, (x.clone(), t.clone()), forward_once)?(1);
    once.train_step(&x, &loss, &t, None, &mut adamw(SEEN))?;
    same(workload.name, &elements(&once.vars())?, &elements(&stepped)?);

    let alone = step(vars, RATE, (x.clone(), t.clone()), forward)?;
    let by_candle = |mlp: FusedMlp| step(mlp.vars(), RATE, (x.clone(), t.clone()), move |x| mlp.forward(x));
    let (flat, apart) = (by_candle(flat)?, by_candle(apart)?);
    let mut adamw = adamw(RATE);
    let whole: Step = Box::new(move |steps| {
        for _ in 0..steps {
            whole.train_step(&x, &loss, &t, None, &mut adamw).expect("the operands fit");
        }
    });
    Ok([("candle", alone), ("nablas", flat), ("nablas, W and b apart", apart), ("nablas train_step", whole)])
}

/// Forward, loss, backward, AdamW.
fn step(
    vars: Vec<Var>,
    rate: f64,
    (x, t): (Tensor, Tensor),
    forward: impl Fn(&Tensor) -> Result<Tensor> + 'static,
) -> Result<Step> {
    let mut adamw = AdamW::new_lr(vars, rate)?;
    Ok(Box::new(move |steps| {
        for _ in 0..steps {
            let loss = forward(&x).and_then(|y| mse(&y, &t)).expect("the operands fit");
            adamw.backward_step(&loss).expect("there is a gradient");
        }
    }))
}

/// All of it, as the flat layout has it.
fn gradient(loss: &Tensor, vars: &[Var]) -> Result<Vec<f32>> {
    let grads = loss.backward()?;
    let of = |v: &Var| grads.get(v).expect("a gradient for every variable").flatten_all()?.to_vec1::<f32>();
    Ok(vars.iter().map(of).collect::<Result<Vec<_>>>()?.concat())
}

/// All parameters, as the flat layout has them.
fn elements(vars: &[Var]) -> Result<Vec<f32>> {
    let parts = vars.iter().map(|v| v.flatten_all()?.to_vec1::<f32>());
    Ok(parts.collect::<Result<Vec<_>>>()?.concat())
}

fn activate(activation: Activation<f64>, z: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Identity => Ok(z.clone()),
        Activation::Relu => z.relu(),
        Activation::Tanh => z.tanh(),
        Activation::Silu => z.silu(),
        Activation::GeluTanh => z.gelu(),
        Activation::Sin(_) => z.sin(),
        other => panic!("{other} is in none of the workloads"),
    }
}
