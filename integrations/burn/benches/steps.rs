//! One training step with burn's AdamW on Flex, in burn alone and with the fused network: forward, mean squared error,
//! backward, step. The ten standard workloads, alternated rounds, one thread and all.
//!
//! ```text
//! cargo bench -p nablas-burn --bench burn                 # or: -- latency ppo
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
use burn::{
    module::{Module, Param},
    nn::{
        Linear,
        loss::{MseLoss, Reduction},
    },
    optim::{AdamWConfig, GradientsParams},
    tensor::{Device, Gradients, Tensor, TensorData, activation as burns},
};
use nablas_burn::{Activation, FusedMlp, FusedMlpConfig, Goal, Loss, LossKind};
use operands::Operands;
use rounds::{Contest, Step, activations, layers};
use workloads::Workload;

/// So low that no contender's parameters drift away from the others'.
const RATE: f64 = 1e-6;
/// At this one a step is far more than what contenders may differ by.
const SEEN: f64 = 1e-3;

fn main() {
    rounds::run(&Contest { framework: "burn", package: "burn", contenders });
}

fn contenders(workload: &Workload, batch: usize, operands: &Operands) -> [(&'static str, Step); 3] {
    let device = Device::flex().autodiff();
    let (inputs, outputs) = (workload.widths[0], workload.widths[workload.widths.len() - 1]);
    let tensor = |data: &[f32], shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(data.to_vec(), shape), &device)
    };
    let x = tensor(&operands.x, [batch, inputs]);
    let t = tensor(&operands.dy, [batch, outputs]);
    let acts = activations(workload);
    let parts = layers(workload, &operands.params).into_iter().zip(workload.widths.windows(2));
    let linears: Vec<Linear> = parts
        .map(|((w, b), n)| {
            // burn's W is inputs × outputs, and adjacent.
            let turned: Vec<f32> = (0..n[0]).flat_map(|j| (0..n[1]).map(move |i| w[i * n[0] + j])).collect();
            let bias = Tensor::from_data(TensorData::new(b.to_vec(), [n[1]]), &device);
            Linear {
                weight: Param::from_tensor(tensor(&turned, [n[0], n[1]])),
                bias: Some(Param::from_tensor(bias)),
            }
        })
        .collect();
    let listed: Vec<_> = linears.iter().zip(acts.clone()).collect();
    let fused = || FusedMlpConfig::new(0).of_linears(&listed).expect("the layers fit");

    let forward = move |layers: &Vec<Linear>, x: Tensor<2>| {
        layers.iter().zip(&acts).fold(x, |a, (l, act)| activate(*act, l.forward(a)))
    };
    let mse = |y: Tensor<2>| MseLoss::new().forward(y, t.clone(), Reduction::Mean).backward();
    let grads = mse(forward(&linears, x.clone()));
    let mut want = Vec::new();
    for linear in &linears {
        want.extend(numbers(linear.weight.val().grad(&grads).map(Tensor::transpose)));
        want.extend(numbers(linear.bias.as_ref().and_then(|b| b.val().grad(&grads))));
    }
    let mlp = fused();
    let grads: Gradients = mse(mlp.forward(x.clone()));
    same(workload.name, &numbers(mlp.params.val().grad(&grads)), &want);

    // A whole step, from the same parameters, has the same optimizer: at a rate that shows. ε and λ are burn's.
    let adamw = |rate| {
        let adamw = nablas::AdamW::<f32>::new(operands.params.len(), rate).and_then(|a| a.epsilon(1e-5));
        adamw.and_then(|a| a.weight_decay(1e-4)).expect("they are in their domains")
    };
    let loss = Loss::<f32>::new(LossKind::Mse, nablas::Reduction::Mean);
    let mut once = fused();
    let goal = Goal::Values(t.clone());
    once.train_step::<f32, _>(x.clone(), &loss, goal, None, &mut adamw(SEEN)).expect("the operands fit");
    let stepped = one(SEEN, (x.clone(), t.clone()), forward.clone())(linears.clone());
    let mut want = Vec::new();
    for linear in stepped {
        want.extend(numbers(Some(linear.weight.val().transpose())));
        want.extend(numbers(linear.bias.map(|b| b.val())));
    }
    same(workload.name, &numbers(Some(once.params.val())), &want);

    let alone = step(linears.clone(), (x.clone(), t.clone()), forward);
    let ours = step(mlp, (x.clone(), t.clone()), FusedMlp::forward);
    let mut mlp = fused();
    let mut adamw = adamw(RATE);
    let whole: Step = Box::new(move |steps| {
        for _ in 0..steps {
            let goal = Goal::Values(t.clone());
            mlp.train_step::<f32, _>(x.clone(), &loss, goal, None, &mut adamw).expect("the operands fit");
        }
    });
    [("burn", alone), ("nablas", ours), ("nablas train_step", whole)]
}

/// Forward, loss, backward, AdamW.
fn one<M: Module + 'static>(
    rate: f64,
    (x, t): (Tensor<2>, Tensor<2>),
    forward: impl Fn(&M, Tensor<2>) -> Tensor<2> + 'static,
) -> impl FnMut(M) -> M {
    let mut adamw = AdamWConfig::new().init();
    move |now| {
        let loss = MseLoss::new().forward(forward(&now, x.clone()), t.clone(), Reduction::Mean);
        let grads = GradientsParams::from_grads(loss.backward(), &now);
        adamw.step(rate, now, grads)
    }
}

/// As many of these as one says.
fn step<M: Module + 'static>(
    module: M,
    operands: (Tensor<2>, Tensor<2>),
    forward: impl Fn(&M, Tensor<2>) -> Tensor<2> + 'static,
) -> Step {
    let mut one = one(RATE, operands, forward);
    let mut module = Some(module);
    Box::new(move |steps| {
        for _ in 0..steps {
            module = Some(one(module.take().expect("each step puts it back")));
        }
    })
}

fn numbers<const D: usize>(t: Option<Tensor<D>>) -> Vec<f32> {
    t.expect("a gradient for every parameter").into_data().try_to_vec().expect("it is f32")
}

fn activate(activation: Activation<f64>, z: Tensor<2>) -> Tensor<2> {
    match activation {
        Activation::Identity => z,
        Activation::Relu => burns::relu(z),
        Activation::Tanh => burns::tanh(z),
        Activation::Silu => burns::silu(z),
        Activation::GeluTanh => burns::gelu_approximate(z),
        Activation::Sin(_) => z.sin(),
        other => panic!("{other} is in none of the workloads"),
    }
}
