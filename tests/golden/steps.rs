//! The inputs of a case, and the calls that are made with them. All that depends on how a plan is made for so many
//! members, how it is called and where a forward pass leaves its state is here, each in one place.

use crate::cases::Case;
use nablas::{
    Activation, IsaToken, Loss, MatMut, MatRef, Mlp, Plan, PlanOptions, Result, Scalar, Targets, Team,
    TeamOptions, Workspace,
};
use std::{collections::BTreeMap, sync::Mutex, time::Duration};

/// The most seats that did some of a call's work, by path and members.
pub(crate) static SEATS: Mutex<BTreeMap<(&str, usize), usize>> = Mutex::new(BTreeMap::new());

/// So many members, and calls by them.
pub(crate) struct Crew {
    pub(crate) members: usize,
    team: Team,
}

impl Crew {
    pub(crate) fn new(members: usize) -> Self {
        // There are more members than processors: one that stays awake is in another's way.
        let options = TeamOptions::new().threads(members).linger(Duration::ZERO).affinity(false);
        Self { members, team: Team::new(&options).expect("a team") }
    }

    /// A plan for all members.
    fn plan<T: Scalar>(&self, mlp: &Mlp<T>, batch: usize, isa: IsaToken) -> Result<Plan<T>> {
        Plan::new(mlp, &PlanOptions::new(batch).isa(isa).team(&self.team).exactly(self.members))
    }
}

/// Y, the gradient, and dX if it is asked for.
struct Results<T> {
    y: Vec<T>,
    grads: Vec<T>,
    dx: Option<Vec<T>>,
}

/// A case's network and operands.
pub(crate) struct Step<T> {
    path: &'static str,
    mlp: Mlp<T>,
    batch: usize,
    dx: bool,
    params: Vec<T>,
    x: Vec<T>,
    dy: Vec<T>,
    loss: Loss<T>,
    targets: Vec<T>,
    classes: Option<Vec<u32>>,
}

/// Numbers in ±`scale`, a power of two: integers of as many digits as the type has, so that none is rounded.
fn numbers<T: Scalar>(n: usize, seed: u64, scale: f64) -> Vec<T> {
    let digits = if size_of::<T>() == 4 { 24 } else { 53 };
    let unit = scale / (1u64 << (digits - 1)) as f64;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        T::from_f64((state.cast_signed() >> (64 - digits)) as f64 * unit)
    };
    (0..n).map(|_| next()).collect()
}

impl<T: Scalar> Step<T> {
    pub(crate) fn new(case: &Case) -> Result<Self> {
        let (widths, batch) = (&case.widths, case.batch());
        let [hidden, last] = case.activations();
        let mut builder = Mlp::builder(widths[0]);
        for (l, width) in widths.iter().enumerate().skip(1) {
            builder = builder.layer(*width, if l + 1 == widths.len() { last } else { hidden });
        }
        let mlp = builder.build()?;
        let mut params = vec![T::ZERO; mlp.param_len()];
        // The exponential of the exponential of 4 is no number.
        let size = match hidden {
            Activation::Exp => 0.25,
            _ if case.is_loud() => 4.0,
            _ => 1.0,
        };
        for l in 0..mlp.layers().len() {
            // By the root of the inputs, or less: pre-activations are of that size.
            let root = (1u64 << mlp.layers()[l].inputs.next_power_of_two().ilog2().div_ceil(2)) as f64;
            let (weights, biases) = (mlp.weights_range(l)?, mlp.bias_range(l)?);
            params[weights.clone()].copy_from_slice(&numbers(weights.len(), 10 + l as u64, size / root));
            params[biases.clone()].copy_from_slice(&numbers(biases.len(), 20 + l as u64, size));
        }
        let (inputs, outputs) = (batch * mlp.inputs(), batch * mlp.outputs());
        let (kind, reduction) = case.loss();
        // All losses take positive ones.
        let targets: Vec<T> = numbers(outputs, 3, 1.0);
        let targets = targets.into_iter().map(|t| if t < T::ZERO { -t } else { t }).collect();
        let classes = (0..batch as u32).map(|i| i * 7 % mlp.outputs() as u32).collect();
        Ok(Self {
            path: case.path(),
            batch,
            dx: case.with_dx(),
            params,
            x: numbers(inputs, 1, 1.0),
            dy: numbers(outputs, 2, 1.0),
            loss: Loss::new(kind, reduction),
            targets,
            classes: case.with_classes().then_some(classes),
            mlp,
        })
    }

    /// All outputs, by name. What the calls of one plan disagree in is told to `wrong`.
    pub(crate) fn run(
        &self,
        isa: IsaToken,
        crew: &Crew,
        wrong: &mut dyn FnMut(String),
    ) -> Result<Vec<(&'static str, Vec<T>)>> {
        let plan = crew.plan(&self.mlp, self.batch, isa)?;
        if plan.path().name() != self.path {
            wrong(format!("expected the path {}, got {}", self.path, plan.explain()));
        }
        let ws = &mut plan.workspace()?;
        let Results { y, grads, dx } = self.vjp(&plan, ws)?;
        let mut seats = SEATS.lock().expect("no thread panics here");
        let most = seats.entry((self.path, crew.members)).or_default();
        *most = ws.seats().max(*most);
        drop(seats);
        let passes = self.passes(&plan, ws)?;
        let (value, of_loss) = self.value_and_grad(&plan, ws)?;
        let mut all = vec![("y", y), ("grads", grads)];
        all.extend(dx.map(|dx| ("dx", dx)));
        let again = [Some(passes.y), Some(passes.grads), passes.dx];
        for ((output, values), again) in all.iter().zip(again.into_iter().flatten()) {
            if crate::lines::difference(values, &again).is_some() {
                wrong(format!("{output} by forward and backward is another than by vjp"));
            }
        }
        all.extend([("loss", vec![value]), ("grads of the loss", of_loss)]);
        Ok(all)
    }

    fn x(&self) -> Result<MatRef<'_, T>> {
        MatRef::new(&self.x, self.batch, self.mlp.inputs())
    }

    fn dy(&self) -> Result<MatRef<'_, T>> {
        MatRef::new(&self.dy, self.batch, self.mlp.outputs())
    }

    /// Memory for results, NaN where a call writes nothing.
    fn results(&self) -> Results<T> {
        let nan = |n| vec![T::from_f64(f64::NAN); n];
        Results {
            y: nan(self.dy.len()),
            grads: nan(self.params.len()),
            dx: self.dx.then(|| nan(self.x.len())),
        }
    }

    fn vjp(&self, plan: &Plan<T>, ws: &mut Workspace<T>) -> Result<Results<T>> {
        let mut to = self.results();
        let y = Some(MatMut::new(&mut to.y, self.batch, self.mlp.outputs())?);
        let dx = to.dx.as_mut().map(|dx| MatMut::new(dx, self.batch, self.mlp.inputs())).transpose()?;
        plan.vjp(&self.params, self.x()?, self.dy()?, y, &mut to.grads, dx, ws)?;
        Ok(to)
    }

    /// Forward, then backward from the state that it left.
    fn passes(&self, plan: &Plan<T>, ws: &mut Workspace<T>) -> Result<Results<T>> {
        let (mut to, mut kept) = (self.results(), plan.kept(self.batch)?);
        let y = MatMut::new(&mut to.y, self.batch, self.mlp.outputs())?;
        plan.forward(&self.params, self.x()?, y, Some(&mut kept), ws)?;
        let dx = to.dx.as_mut().map(|dx| MatMut::new(dx, self.batch, self.mlp.inputs())).transpose()?;
        plan.backward(&self.params, self.x()?, self.dy()?, &mut to.grads, dx, &kept, ws)?;
        Ok(to)
    }

    fn value_and_grad(&self, plan: &Plan<T>, ws: &mut Workspace<T>) -> Result<(T, Vec<T>)> {
        let targets = match &self.classes {
            Some(classes) => Targets::Classes(classes),
            None => Targets::Values(MatRef::new(&self.targets, self.batch, self.mlp.outputs())?),
        };
        let mut grads = self.results().grads;
        let value = plan.value_and_grad(&self.params, self.x()?, &self.loss, targets, &mut grads, ws)?;
        Ok((value, grads))
    }
}
