//! The bits of a step depend on the network, the parameters and the batch: not on threads, pools, the ISA or on how
//! a batch is brought. Rows of Y and dX depend on their own row alone.

#[path = "common/bits.rs"]
mod bits;
#[path = "common/numbers.rs"]
mod numbers;

use bits::assert_bits;
use nablas::{
    Activation, Init, IsaToken, Keep, Loss, LossKind, MatMut, MatRef, Mlp, Plan, PlanOptions, Reduction,
    Result, Scalar, Targets,
};
use numbers::numbers;

/// A network, a batch, and what a step is told.
struct Task<T> {
    mlp: Mlp<T>,
    batch: usize,
    params: Vec<T>,
    x: Vec<T>,
    dy: Vec<T>,
    targets: Vec<T>,
    loss: Loss<T>,
}

impl<T: Scalar> Task<T> {
    fn new(widths: &[usize], act: Activation<T>, last: Activation<T>, batch: usize) -> Result<Self> {
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
        let targets = numbers(batch * mlp.outputs(), 5);
        let loss = Loss::new(LossKind::Huber(T::from_f64(0.3)), Reduction::Mean);
        Ok(Self { mlp, batch, params, x, dy, targets, loss })
    }

    fn plan(&self, options: PlanOptions) -> Result<Plan<T>> {
        Plan::new(&self.mlp, &options)
    }

    fn options(&self) -> PlanOptions {
        PlanOptions::new(self.batch)
    }

    /// The rows `from..from + rows` of X and dY.
    fn rows(&self, from: usize, rows: usize) -> Result<(MatRef<'_, T>, MatRef<'_, T>)> {
        let x = MatRef::new(&self.x, self.batch, self.mlp.inputs())?.rows(from..from + rows)?;
        let dy = MatRef::new(&self.dy, self.batch, self.mlp.outputs())?.rows(from..from + rows)?;
        Ok((x, dy))
    }

    /// Y, the gradient and dX of some rows by `vjp`.
    fn vjp(&self, plan: &Plan<T>, from: usize, rows: usize) -> Result<[Vec<T>; 3]> {
        let (x, dy) = self.rows(from, rows)?;
        let nan = T::from_f64(f64::NAN);
        let (mut y, mut dx) = (vec![nan; rows * self.mlp.outputs()], vec![nan; rows * self.mlp.inputs()]);
        let mut grads = vec![nan; self.params.len()];
        let ym = MatMut::new(&mut y, rows, self.mlp.outputs())?;
        let dxm = MatMut::new(&mut dx, rows, self.mlp.inputs())?;
        plan.vjp(&self.params, x, dy, Some(ym), &mut grads, Some(dxm), &mut plan.workspace()?)?;
        Ok([y, grads, dx])
    }

    /// The same by `forward` and `backward`.
    fn passes(&self, plan: &Plan<T>) -> Result<[Vec<T>; 3]> {
        let (x, dy) = self.rows(0, self.batch)?;
        let nan = T::from_f64(f64::NAN);
        let (mut y, mut dx) = (vec![nan; self.dy.len()], vec![nan; self.x.len()]);
        let mut grads = vec![nan; self.params.len()];
        let mut ws = plan.workspace()?;
        plan.forward(&self.params, x, MatMut::new(&mut y, self.batch, self.mlp.outputs())?, &mut ws)?;
        let dxm = MatMut::new(&mut dx, self.batch, self.mlp.inputs())?;
        plan.backward(&self.params, x, dy, &mut grads, Some(dxm), &mut ws)?;
        Ok([y, grads, dx])
    }

    /// The gradient and the value of the loss.
    fn loss(&self, plan: &Plan<T>) -> Result<[Vec<T>; 2]> {
        let (x, _) = self.rows(0, self.batch)?;
        let targets = Targets::Values(MatRef::new(&self.targets, self.batch, self.mlp.outputs())?);
        let mut grads = vec![T::from_f64(f64::NAN); self.params.len()];
        let mut ws = plan.workspace()?;
        let value = plan.value_and_grad(&self.params, x, &self.loss, targets, &mut grads, &mut ws)?;
        Ok([grads, vec![value]])
    }

    /// Every call of the plan.
    fn all(&self, plan: &Plan<T>) -> Result<Vec<Vec<T>>> {
        let step = self.vjp(plan, 0, self.batch)?;
        let passes = self.passes(plan)?;
        for (a, b) in step.iter().zip(&passes) {
            assert_bits(b, a, || format!("forward and backward for vjp, {plan:?}"));
        }
        Ok(step.into_iter().chain(self.loss(plan)?).collect())
    }

    /// All calls, on the ISAs that `isas` admits, with any number of threads, in any pool.
    fn check(&self, isas: impl Fn(IsaToken) -> bool, threads: &[usize]) -> Result<()> {
        let mut first: Option<Vec<Vec<T>>> = None;
        let mut same = |results: Vec<Vec<T>>, plan: &Plan<T>| {
            for (i, (a, b)) in first.get_or_insert_with(|| results.clone()).iter().zip(&results).enumerate() {
                assert!(a.iter().all(|x| x.finite()));
                assert_bits(b, a, || format!("result {i}, {plan:?}"));
            }
        };
        for isa in IsaToken::available().filter(|i| isas(*i)) {
            for &threads in threads {
                let plan = self.plan(self.options().isa(isa).threads(threads))?;
                same(self.all(&plan)?, &plan);
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                let plan = pool.install(|| self.plan(self.options().isa(isa)))?;
                assert_eq!(plan.threads(), threads);
                same(pool.install(|| self.all(&plan))?, &plan);
            }
        }
        Ok(())
    }
}

const THREADS: [usize; 4] = [1, 2, 3, 8];

/// Many partial gradients, and work for several threads, by a path of this name.
fn small_steps(path: &str, widths: &[usize]) -> Result<()> {
    use Activation::*;
    for (i, act) in [Tanh, Sin(3.0), Gelu, Relu, Exp, LeakyRelu(0.1), Mish].into_iter().enumerate() {
        let last = if i % 2 == 0 { Identity } else { Sigmoid };
        let task = Task::<f32>::new(widths, act, last, 2500)?;
        let explained = task.plan(task.options())?.explain();
        assert!(explained.starts_with(path), "{explained}");
        task.check(|_| true, if i < 2 { &THREADS } else { &[1, 3] })?;
    }
    Task::<f64>::new(widths, Gelu, Tanh, 2500)?.check(|_| true, &[1, 8])
}

#[test]
fn fused_steps_have_the_same_bits_everywhere() -> Result<()> {
    small_steps("fused", &[32, 48, 61, 10])
}

/// Widths that would leave lanes empty.
#[test]
fn narrow_steps_have_the_same_bits_everywhere() -> Result<()> {
    use Activation::*;
    small_steps("narrow", &[20, 33, 17, 10])?;
    Task::<f64>::new(&[3, 5, 1], Softplus, Identity, 70)?.check(|_| true, &[1, 2])
}

/// More parameters, fewer and longer partial gradients.
#[test]
fn larger_fused_steps_have_the_same_bits_everywhere() -> Result<()> {
    let task = Task::<f32>::new(&[100, 200, 64], Activation::Relu, Activation::Identity, 400)?;
    task.check(|_| true, &THREADS)?;
    let task = Task::<f32>::new(&[256, 500, 200], Activation::Silu, Activation::Identity, 1100)?;
    task.check(|isa| isa.name() != "scalar", &[1, 2])
}

/// More parameters than the fused path takes.
#[test]
fn layered_steps_have_the_same_bits_everywhere() -> Result<()> {
    for act in [Activation::Tanh, Activation::Relu] {
        let task = Task::<f32>::new(&[300, 900, 7], act, Activation::Identity, 40)?;
        assert!(task.plan(task.options())?.explain().starts_with("layered"));
        task.check(|_| true, &THREADS)?;
    }
    Task::<f64>::new(&[33, 600, 450, 3], Activation::Gelu, Activation::Exp, 26)?.check(|_| true, &[1, 3])
}

/// Rows of Y and dX, brought one by one, in blocks and from odd positions on.
fn rows_alone<T: Scalar>(task: &Task<T>) -> Result<()> {
    for isa in IsaToken::available() {
        let plan = task.plan(task.options().isa(isa).threads(2))?;
        let [y, _, dx] = task.vjp(&plan, 0, task.batch)?;
        let (n, m) = (task.mlp.inputs(), task.mlp.outputs());
        let single = (0..task.batch.min(40)).map(|i| (i, 1));
        for (from, rows) in
            single.chain([(1, 24), (5, 31), (7, task.batch - 7), (23, 2), (0, task.batch - 1)])
        {
            // A plan for a batch of this size, and one for a larger.
            for plan in [&plan, &task.plan(PlanOptions::new(rows).isa(isa).keep(Keep::Nothing))?] {
                let part = task.vjp(plan, from, rows)?;
                assert_bits(&part[0], &y[from * m..(from + rows) * m], || {
                    format!("Y {from} {rows} {plan:?}")
                });
                assert_bits(&part[2], &dx[from * n..(from + rows) * n], || {
                    format!("dX {from} {rows} {plan:?}")
                });
            }
        }
    }
    Ok(())
}

#[test]
fn rows_depend_on_themselves_alone() -> Result<()> {
    for act in [Activation::Tanh, Activation::Sin(2.0), Activation::Gelu, Activation::Relu, Activation::Exp] {
        rows_alone(&Task::<f32>::new(&[7, 33, 18, 5], act, act, 131)?)?;
    }
    rows_alone(&Task::<f32>::new(&[33, 87, 50, 5], Activation::Silu, Activation::Relu, 131)?)?;
    rows_alone(&Task::<f64>::new(&[16, 20, 3], Activation::Elu(1.0), Activation::Identity, 70)?)?;
    rows_alone(&Task::<f32>::new(&[33, 2000, 100, 5], Activation::Relu, Activation::Tanh, 44)?)
}

/// What a plan says of a loss is what the loss says of the plan's outputs, whatever it keeps.
#[test]
fn losses_of_plans_are_losses_of_outputs() -> Result<()> {
    let kinds = [
        LossKind::Mse,
        LossKind::L1,
        LossKind::Huber(0.3),
        LossKind::BceWithLogits,
        LossKind::SoftmaxCrossEntropy,
    ];
    for (widths, batch) in [([9, 20, 13], 700), ([31, 120, 13], 200), ([40, 6500, 5], 30)] {
        for kind in kinds {
            for reduction in [Reduction::Sum, Reduction::Mean] {
                let mut task = Task::<f32>::new(&widths, Activation::Tanh, Activation::Identity, batch)?;
                task.loss = Loss::new(kind, reduction);
                task.targets.iter_mut().for_each(|t| *t = t.abs());
                let targets = MatRef::new(&task.targets, batch, widths[2])?;
                let mut first: Option<[Vec<f32>; 2]> = None;
                for (i, isa) in IsaToken::available().enumerate() {
                    let keep = if i % 2 == 0 { Keep::Nothing } else { Keep::ForBackward };
                    let plan = task.plan(task.options().isa(isa).threads(1 + i).keep(keep))?;
                    let results = task.loss(&plan)?;
                    let [y, ..] = task.vjp(&plan, 0, batch)?;
                    let y = MatRef::new(&y, batch, widths[2])?;
                    let mut delta = vec![f32::NAN; task.dy.len()];
                    let view = MatMut::new(&mut delta, batch, widths[2])?;
                    let value = task.loss.value_and_delta(isa, y, Targets::Values(targets), view)?;
                    assert_eq!(value.to_bits(), results[1][0].to_bits(), "{kind:?} {reduction:?} {plan:?}");
                    let alone = task.loss.value(isa, y, Targets::Values(targets))?;
                    assert_eq!(value.to_bits(), alone.to_bits(), "{kind:?} {reduction:?}");
                    task.dy = delta;
                    let [_, grads, _] = task.vjp(&plan, 0, batch)?;
                    assert_bits(&results[0], &grads, || format!("{kind:?} {reduction:?} {plan:?}"));
                    let first = first.get_or_insert_with(|| results.clone());
                    assert_bits(&results[0], &first[0], || format!("{kind:?} {reduction:?} {plan:?}"));
                    assert_bits(&results[1], &first[1], || format!("{kind:?} {reduction:?} {plan:?}"));
                }
            }
        }
    }
    Ok(())
}
