//! A network and a batch, as the properties of whole steps are tested with.

use super::numbers::numbers;
use nablas::{Activation, Init, IsaToken, MatRef, Mlp, Plan, PlanOptions, Result, Scalar, Team, TeamOptions};

/// A network, its parameters, a batch and ∂L/∂A_L.
pub(crate) struct Task<T> {
    pub(crate) mlp: Mlp<T>,
    pub(crate) batch: usize,
    pub(crate) params: Vec<T>,
    x: Vec<T>,
    dy: Vec<T>,
}

impl<T: Scalar> Task<T> {
    pub(crate) fn new(
        widths: &[usize],
        act: Activation<T>,
        last: Activation<T>,
        batch: usize,
    ) -> Result<Self> {
        let mut builder = Mlp::builder(widths[0]);
        for (l, width) in widths.iter().enumerate().skip(1) {
            builder = builder.layer(*width, if l + 1 == widths.len() { last } else { act });
        }
        let mlp = builder.build()?;
        let mut params = vec![T::ZERO; mlp.param_len()];
        Init::HeUniform.fill(&mlp, &mut params, 1)?;
        for l in 0..mlp.layers().len() {
            let range = mlp.bias_range(l)?;
            let bias = numbers::<T>(range.len(), 2);
            params[range].copy_from_slice(&bias);
        }
        let (x, dy) = (numbers(batch * mlp.inputs(), 3), numbers(batch * mlp.outputs(), 4));
        Ok(Self { mlp, batch, params, x, dy })
    }

    /// The rows `from..from + rows` of X and ∂L/∂A_L.
    pub(crate) fn rows(&self, from: usize, rows: usize) -> Result<(MatRef<'_, T>, MatRef<'_, T>)> {
        let x = MatRef::new(&self.x, self.batch, self.mlp.inputs())?.rows(from..from + rows)?;
        let dy = MatRef::new(&self.dy, self.batch, self.mlp.outputs())?.rows(from..from + rows)?;
        Ok((x, dy))
    }

    /// A plan on an ISA whose calls bring exactly so many members of a team of their own.
    pub(crate) fn plan(&self, isa: IsaToken, members: usize) -> Result<Plan<T>> {
        let team = Team::new(&TeamOptions::new().threads(members))?;
        let options = PlanOptions::new(self.batch).isa(isa).team(&team).exactly(members);
        let plan = Plan::new(&self.mlp, &options)?;
        assert_eq!(plan.threads(), members);
        Ok(plan)
    }
}

/// Makes calls, which say how many members shared one, until some have, if the plan brings several: the first member to
/// come may have done it all when the last comes.
#[track_caller]
pub(crate) fn until_shared<T: Scalar>(
    plan: &Plan<T>,
    mut calls: impl FnMut() -> Result<usize>,
) -> Result<()> {
    for _ in 0..200 {
        let seats = calls()?;
        assert!((1..=plan.threads()).contains(&seats), "{seats} seats, {plan:?}");
        if seats >= plan.threads().min(2) {
            return Ok(());
        }
    }
    panic!("no call was shared, {plan:?}");
}
