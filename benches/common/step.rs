//! A training step of a network given by its widths: forward, then dW and db of every layer from a fixed ∂L/∂A_L.

use super::operands::{Operands, operands};
use nablas::{Activation, MatRef, Mlp, Plan, PlanOptions, Workspace};

/// The network of these widths, its last layer linear.
pub(crate) fn network(widths: &[usize], activation: Activation<f32>) -> Mlp<f32> {
    let last = widths.len() - 1;
    let builder = widths[1..last].iter().fold(Mlp::builder(widths[0]), |b, &n| b.layer(n, activation));
    builder.layer(widths[last], Activation::Identity).build().expect("the network is well formed")
}

/// A step with all that it reads and writes, of the largest batch that the plan takes.
pub(crate) struct Step {
    pub(crate) plan: Plan<f32>,
    batch: usize,
    operands: Operands,
    pub(crate) grads: Vec<f32>,
    workspace: Workspace<f32>,
}

impl Step {
    pub(crate) fn new(widths: &[usize], activation: Activation<f32>, options: &PlanOptions) -> Self {
        let (mlp, batch) = (network(widths, activation), options.max_batch);
        let plan = Plan::new(&mlp, options).expect("the network can be planned");
        let workspace = plan.workspace().expect("there is memory");
        let (operands, grads) = (operands(widths, batch, activation), vec![0.0; mlp.param_len()]);
        Self { plan, batch, operands, grads, workspace }
    }

    /// FLOP of the products.
    pub(crate) fn flop(&self) -> f64 {
        self.plan.step_flop(self.batch)
    }

    /// The path that the plan took.
    pub(crate) fn path(&self) -> &'static str {
        self.plan.path().name()
    }

    /// This many steps.
    pub(crate) fn run(&mut self, steps: usize) {
        let Self { plan, batch, operands, grads, workspace } = self;
        let x = MatRef::new(&operands.x, *batch, plan.mlp().inputs()).expect("X is [B, n_0]");
        let dy = MatRef::new(&operands.dy, *batch, plan.mlp().outputs()).expect("∂L/∂A_L is [B, n_L]");
        for _ in 0..steps {
            plan.vjp(&operands.params, x, dy, None, grads.as_mut_slice(), None, workspace)
                .expect("the operands fit the plan");
        }
    }
}
