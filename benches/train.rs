//! What does a whole training step in one call bring? `train_step` beside `value_and_grad`, `clip_by_global_norm`,
//! `Optimizer::step` and `PackedParams::update` one after another, in turns, on one thread and on all.

mod common {
    #[expect(dead_code, reason = "turns alone know what a quick run is")]
    pub(crate) mod measure;
    pub(crate) mod numbers;
    pub(crate) mod operands;
    #[expect(dead_code, reason = "steps are made here, with an optimizer and without")]
    pub(crate) mod step;
    pub(crate) mod threads;
    pub(crate) mod turns;
}

use common::{
    operands::{Operands, operands},
    step::network,
    threads,
    turns::turns,
};
use nablas::{
    Activation, Adam, Loss, LossKind, MatRef, PackedParams, Plan, PlanOptions, Reduction, Targets, Workspace,
    optim::clip_by_global_norm,
};
use std::{cell::RefCell, time::Duration};

/// Widths and batch of the three paths, and of steps in which the optimizer has most of the work.
const STEPS: [(&[usize], usize); 6] = [
    (&[4, 32, 16, 4], 256),
    (&[64, 64, 64, 10], 32),
    (&[64, 64, 64, 10], 256),
    (&[128, 256, 256, 10], 32),
    (&[784, 512, 512, 10], 16),
    (&[784, 512, 512, 10], 256),
];

fn main() {
    println!(
        "{:<20} {:>5} {:>7} {:<8} {:>12} {:>12} {:>6}",
        "network", "batch", "threads", "", "apart, µs", "at once, µs", "ratio"
    );
    let mut counts = vec![1, threads::all()];
    counts.dedup();
    for threads in counts {
        for (widths, batch) in STEPS {
            for clip in [None, Some(1.0)] {
                step(widths, batch, threads, clip);
            }
        }
    }
}

/// What both ways write: one memory, since where it lies shows in times as small as these.
struct State {
    packed: PackedParams<f32>,
    grads: Vec<f32>,
    adam: Adam<f32>,
    ws: Workspace<f32>,
}

fn step(widths: &[usize], batch: usize, threads: usize, clip: Option<f64>) {
    let mlp = network(widths, Activation::Relu);
    let plan =
        Plan::new(&mlp, &PlanOptions::new(batch).threads(threads)).expect("the network can be planned");
    let Operands { params, x, .. } = operands(widths, batch, Activation::Relu);
    let x = MatRef::new(&x, batch, mlp.inputs()).expect("X is [B, n_0]");
    let classes: Vec<u32> = (0..batch as u32).map(|i| i * 7 % mlp.outputs() as u32).collect();
    let (loss, targets) =
        (Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean), Targets::Classes(&classes));
    let state = RefCell::new(State {
        packed: plan.pack(&params).expect("there is memory"),
        grads: vec![0.0; mlp.param_len()],
        adam: Adam::new(mlp.param_len(), 1e-4).expect("there is memory").threads(threads),
        ws: plan.workspace().expect("there is memory"),
    });
    let fits = "the operands fit the plan";
    let mut apart = |steps| {
        let State { packed, grads, adam, ws } = &mut *state.borrow_mut();
        for _ in 0..steps {
            plan.value_and_grad(&*packed, x, &loss, targets, grads.as_mut_slice(), ws).expect(fits);
            if let Some(max) = clip {
                clip_by_global_norm(grads, max).expect(fits);
            }
            packed.update(&plan, |params| adam.step(params, grads)).expect(fits).expect(fits);
        }
    };
    let mut at_once = |steps| {
        let State { packed, grads, adam, ws } = &mut *state.borrow_mut();
        for _ in 0..steps {
            plan.train_step(&mut *packed, x, &loss, targets, grads, clip, adam, ws).expect(fits);
        }
    };
    let (burst, span) = (Duration::from_micros(500), Duration::from_millis(600));
    let [apart, at_once] = turns([&mut apart, &mut at_once], burst, span, 2);
    let name = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("→");
    println!(
        "{name:<20} {batch:>5} {threads:>7} {:<8} {:>12.2} {:>12.2} {:>6.3}",
        if clip.is_some() { "clipped" } else { "" },
        1e6 * apart.min,
        1e6 * at_once.min,
        at_once.min / apart.min,
    );
}
