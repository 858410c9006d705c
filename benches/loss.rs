//! What share of a small step is the loss? `value_and_grad` beside `vjp` of the same network and batch, in turns: what the
//! first takes longer is the loss, less the copy of a given ∂L/∂A_L.

mod common {
    #[expect(dead_code, reason = "turns alone know what a quick run is")]
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod operands;
    #[expect(dead_code, reason = "steps are made here, with a loss and without")]
    pub(crate) mod step;
    pub(crate) mod turns;
}

use common::{
    numbers::uniform,
    operands::{Operands, operands},
    step::network,
    turns::turns,
};
use nablas::{Activation, Loss, LossKind, MatRef, Plan, PlanOptions, Reduction, Targets};
use std::{cell::RefCell, time::Duration};

/// Widths and batch of steps in which a loss could be seen, and of one in which it should not.
const STEPS: [(&[usize], usize); 5] = [
    (&[64, 64, 64, 10], 32),
    (&[64, 64, 64, 10], 64),
    (&[17, 64, 64, 6], 64),
    (&[64, 64, 64, 100], 64),
    (&[784, 512, 512, 10], 64),
];

fn main() {
    println!(
        "{:<22} {:>5}  {:<22} {:>9} {:>9} {:>6} {:>7}",
        "network", "batch", "loss", "µs", "vjp, µs", "share", "ns/row"
    );
    for (widths, batch) in STEPS {
        step(widths, batch);
    }
}

fn step(widths: &[usize], batch: usize) {
    let mlp = network(widths, Activation::Relu);
    let plan = Plan::new(&mlp, &PlanOptions::new(batch).threads(1)).expect("the network can be planned");
    let Operands { params, x, dy } = operands(widths, batch, Activation::Relu);
    let x = MatRef::new(&x, batch, mlp.inputs()).expect("X is [B, n_0]");
    let dy = MatRef::new(&dy, batch, mlp.outputs()).expect("∂L/∂A_L is [B, n_L]");
    let values = uniform(batch * mlp.outputs(), 7);
    let values = Targets::Values(MatRef::new(&values, batch, mlp.outputs()).expect("targets are [B, n_L]"));
    let classes: Vec<u32> = (0..batch as u32).map(|i| i * 7 % mlp.outputs() as u32).collect();
    let losses = [
        ("classes", LossKind::SoftmaxCrossEntropy, Targets::Classes(&classes)),
        ("probabilities", LossKind::SoftmaxCrossEntropy, values),
        ("", LossKind::Mse, values),
        ("", LossKind::Huber(0.5), values),
        ("", LossKind::BceWithLogits, values),
    ];
    // One workspace for both: where memory lies shows in times as small as these.
    let memory = RefCell::new((vec![0.0; mlp.param_len()], plan.workspace().expect("there is memory")));
    for (targets_are, kind, targets) in losses {
        let loss = Loss::new(kind, Reduction::Mean);
        let (params, fits) = (&params, "the operands fit the plan");
        let mut with = |steps| {
            let (grads, ws) = &mut *memory.borrow_mut();
            for _ in 0..steps {
                plan.value_and_grad(params, x, &loss, targets, grads.as_mut_slice(), ws).expect(fits);
            }
        };
        let mut without = |steps| {
            let (grads, ws) = &mut *memory.borrow_mut();
            for _ in 0..steps {
                plan.vjp(params, x, dy, None, grads.as_mut_slice(), None, ws).expect(fits);
            }
        };
        let (burst, span) = (Duration::from_micros(500), Duration::from_millis(600));
        let [with, without] = turns([&mut with, &mut without], burst, span, 2);
        let name = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("→");
        let loss = if kind == LossKind::SoftmaxCrossEntropy { targets_are } else { kind.name() };
        let own = with.min - without.min;
        println!(
            "{name:<22} {batch:>5}  {loss:<22} {:>9.2} {:>9.2} {:>5.1}% {:>7.1}",
            1e6 * with.min,
            1e6 * without.min,
            100.0 * own / with.min,
            1e9 * own / batch as f64,
        );
    }
}
