//! The bits of a step depend on the network, the parameters and the batch: not on threads, pools, the ISA or on how
//! a batch is brought. Rows of Y and dX depend on their own row alone.

#[path = "common/bits.rs"]
mod bits;
#[path = "common/numbers.rs"]
mod numbers;

#[path = "common/task.rs"]
mod task;

use bits::assert_bits;
use nablas::{
    Activation, IsaToken, Loss, LossKind, MatMut, MatRef, PathKind, Plan, PlanOptions, Reduction, Result,
    Scalar, Targets, Workspace,
};
use numbers::numbers;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::atomic::{AtomicUsize, Ordering};
use task::{Task, until_shared};

/// A step of a task, and what is told of it.
struct Step<T> {
    task: Task<T>,
    targets: Vec<T>,
    loss: Loss<T>,
    /// The most members that did some of the work of a call.
    seats: AtomicUsize,
}

impl<T: Scalar> Step<T> {
    fn new(widths: &[usize], act: Activation<T>, last: Activation<T>, batch: usize) -> Result<Self> {
        let task = Task::new(widths, act, last, batch)?;
        let targets = numbers(batch * task.mlp.outputs(), 5);
        let loss = Loss::new(LossKind::Huber(T::from_f64(0.3)), Reduction::Mean);
        Ok(Self { task, targets, loss, seats: AtomicUsize::new(0) })
    }

    fn path(&self) -> Result<PathKind> {
        Ok(self.task.plan(IsaToken::detect(), 1)?.path())
    }

    fn count(&self, ws: &Workspace<T>) {
        self.seats.fetch_max(ws.seats(), Ordering::Relaxed);
    }

    /// Every call of the plan, until one was shared.
    fn shared(&self, plan: &Plan<T>, mut same: impl FnMut(Vec<Vec<T>>)) -> Result<()> {
        until_shared(plan, || {
            same(self.all(plan)?);
            Ok(self.seats.swap(0, Ordering::Relaxed))
        })
    }

    /// Y, the gradient and dX of some rows by `vjp`.
    fn vjp(&self, plan: &Plan<T>, from: usize, rows: usize) -> Result<[Vec<T>; 3]> {
        let (x, dy) = self.task.rows(from, rows)?;
        self.vjp_of(plan, x, dy)
    }

    fn vjp_of(&self, plan: &Plan<T>, x: MatRef<'_, T>, dy: MatRef<'_, T>) -> Result<[Vec<T>; 3]> {
        let (rows, n, m) = (x.nrows(), x.ncols(), dy.ncols());
        let nan = T::from_f64(f64::NAN);
        let (mut y, mut dx, mut grads) =
            (vec![nan; rows * m], vec![nan; rows * n], vec![nan; self.task.params.len()]);
        let (ym, dxm) = (MatMut::new(&mut y, rows, m)?, MatMut::new(&mut dx, rows, n)?);
        let mut ws = plan.workspace()?;
        plan.vjp(&self.task.params, x, dy, Some(ym), &mut grads, Some(dxm), &mut ws)?;
        self.count(&ws);
        Ok([y, grads, dx])
    }

    /// The same by `forward` and `backward`.
    fn passes(&self, plan: &Plan<T>) -> Result<[Vec<T>; 3]> {
        let Task { mlp, batch, params, .. } = &self.task;
        let (x, dy) = self.task.rows(0, *batch)?;
        let nan = T::from_f64(f64::NAN);
        let (mut y, mut dx) = (vec![nan; batch * mlp.outputs()], vec![nan; batch * mlp.inputs()]);
        let mut grads = vec![nan; params.len()];
        let mut ws = plan.workspace()?;
        let (mut kept, ym) = (plan.kept(*batch)?, MatMut::new(&mut y, *batch, mlp.outputs())?);
        plan.forward(params, x, ym, Some(&mut kept), &mut ws)?;
        self.count(&ws);
        let dxm = MatMut::new(&mut dx, *batch, mlp.inputs())?;
        plan.backward(params, x, dy, &mut grads, Some(dxm), &kept, &mut ws)?;
        self.count(&ws);
        Ok([y, grads, dx])
    }

    /// The gradient and the value of the loss.
    fn loss(&self, plan: &Plan<T>) -> Result<[Vec<T>; 2]> {
        let Task { mlp, batch, params, .. } = &self.task;
        let (x, _) = self.task.rows(0, *batch)?;
        let targets = Targets::Values(MatRef::new(&self.targets, *batch, mlp.outputs())?);
        let mut grads = vec![T::from_f64(f64::NAN); params.len()];
        let mut ws = plan.workspace()?;
        let value = plan.value_and_grad(params, x, &self.loss, targets, &mut grads, &mut ws)?;
        self.count(&ws);
        Ok([grads, vec![value]])
    }

    /// Every call of the plan.
    fn all(&self, plan: &Plan<T>) -> Result<Vec<Vec<T>>> {
        let step = self.vjp(plan, 0, self.task.batch)?;
        let passes = self.passes(plan)?;
        for (a, b) in step.iter().zip(&passes) {
            assert_bits(b, a, || format!("forward and backward for vjp, {plan:?}"));
        }
        Ok(step.into_iter().chain(self.loss(plan)?).collect())
    }

    /// All calls, on the ISAs that `isas` admits: from outside of any pool on a team of exactly so many members; and on
    /// the widest inside of rayon pools, with all of their threads and with as many as pay.
    fn check(&self, isas: impl Fn(IsaToken) -> bool, members: &[usize]) -> Result<()> {
        let mut first: Option<Vec<Vec<T>>> = None;
        let mut same = |results: Vec<Vec<T>>, plan: &Plan<T>| {
            for (i, (a, b)) in first.get_or_insert_with(|| results.clone()).iter().zip(&results).enumerate() {
                assert!(a.iter().all(|x| x.finite()));
                assert_bits(b, a, || format!("result {i}, {plan:?}"));
            }
        };
        for isa in IsaToken::available().filter(|i| isas(*i)) {
            // The scalar reference is slow; how members share a call does not depend on it.
            let slow = isa.name() == "scalar";
            for &members in members.iter().take(if slow { members.len() / 2 } else { members.len() }) {
                let plan = self.task.plan(isa, members)?;
                self.shared(&plan, |results| same(results, &plan))?;
            }
        }
        let options = || PlanOptions::new(self.task.batch).isa(IsaToken::detect());
        for &threads in members.iter().filter(|t| **t > 1) {
            let pool = pool(threads);
            let plan = Plan::new(&self.task.mlp, &options().exactly(threads))?;
            pool.install(|| self.shared(&plan, |results| same(results, &plan)))?;
            if Some(&threads) == members.last() {
                let plan = pool.install(|| Plan::new(&self.task.mlp, &options()))?;
                assert_eq!(plan.threads(), threads);
                same(pool.install(|| self.all(&plan))?, &plan);
                self.seats.store(0, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
}

const MEMBERS: [usize; 6] = [1, 2, 3, 4, 8, 16];

/// Many partial gradients, and work for several members, by this path.
fn small_steps(path: PathKind, widths: &[usize], batch: usize) -> Result<()> {
    use Activation::*;
    for (i, act) in [Tanh, Sin(3.0), Gelu, Relu, Exp, LeakyRelu(0.1), Mish].into_iter().enumerate() {
        let last = if i % 2 == 0 { Identity } else { Sigmoid };
        let step = Step::<f32>::new(widths, act, last, batch)?;
        assert_eq!(step.path()?, path);
        // Values and bit masks.
        step.check(|_| true, if matches!(i, 0 | 3) { &MEMBERS } else { &[1, 3] })?;
    }
    Step::<f64>::new(widths, Gelu, Tanh, batch)?.check(|_| true, &[1, 8])
}

#[test]
fn fused_steps_have_the_same_bits_everywhere() -> Result<()> {
    small_steps(PathKind::Fused, &[32, 48, 61, 10], 1100)
}

/// Widths that would leave lanes empty.
#[test]
fn narrow_steps_have_the_same_bits_everywhere() -> Result<()> {
    use Activation::*;
    small_steps(PathKind::Narrow, &[20, 33, 17, 10], 2500)?;
    Step::<f64>::new(&[3, 5, 1], Softplus, Identity, 4000)?.check(|_| true, &[1, 2])
}

/// More parameters, fewer and longer partial gradients.
#[test]
fn larger_fused_steps_have_the_same_bits_everywhere() -> Result<()> {
    let step = Step::<f32>::new(&[100, 200, 64], Activation::Relu, Activation::Identity, 400)?;
    step.check(|_| true, &MEMBERS)?;
    let step = Step::<f32>::new(&[256, 500, 200], Activation::Silu, Activation::Identity, 1100)?;
    step.check(|isa| isa.name() != "scalar", &[1, 2])
}

/// More parameters than the fused path takes.
#[test]
fn layered_steps_have_the_same_bits_everywhere() -> Result<()> {
    for act in [Activation::Tanh, Activation::Relu] {
        let step = Step::<f32>::new(&[300, 900, 7], act, Activation::Identity, 40)?;
        assert_eq!(step.path()?, PathKind::Layered);
        step.check(|_| true, &MEMBERS)?;
    }
    Step::<f64>::new(&[33, 600, 450, 3], Activation::Gelu, Activation::Exp, 26)?.check(|_| true, &[1, 3])
}

/// Rows of Y and dX, brought one by one, in blocks and from odd positions on.
fn rows_alone<T: Scalar>(step: &Step<T>) -> Result<()> {
    let task = &step.task;
    for isa in IsaToken::available() {
        let plan = task.plan(isa, 2)?;
        let [y, _, dx] = step.vjp(&plan, 0, task.batch)?;
        let (n, m) = (task.mlp.inputs(), task.mlp.outputs());
        let single = (0..task.batch.min(40)).map(|i| (i, 1));
        for (from, rows) in single.chain([
            (1, 24),
            (5, 31),
            (7, task.batch - 7),
            (23, 2),
            (0, task.batch - 1),
            (1, task.batch - 1),
        ]) {
            // A plan for a batch of this size, and one for a larger.
            for plan in [&plan, &Plan::new(&task.mlp, &PlanOptions::new(rows).isa(isa))?] {
                let part = step.vjp(plan, from, rows)?;
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
        rows_alone(&Step::<f32>::new(&[7, 33, 18, 5], act, act, 131)?)?;
    }
    rows_alone(&Step::<f32>::new(&[33, 87, 50, 5], Activation::Silu, Activation::Relu, 131)?)?;
    rows_alone(&Step::<f64>::new(&[16, 20, 3], Activation::Elu(1.0), Activation::Identity, 70)?)?;
    rows_alone(&Step::<f32>::new(&[33, 2000, 100, 5], Activation::Relu, Activation::Tanh, 44)?)
}

/// The same call again in the same workspace, right after and after another batch, whose numbers it finds there.
#[test]
fn the_same_call_twice() -> Result<()> {
    for (widths, batch) in [(&[32, 48, 61, 10][..], 300), (&[20, 33, 17, 10], 1100), (&[300, 900, 7], 40)] {
        let step = Step::<f32>::new(widths, Activation::Gelu, Activation::Identity, batch)?;
        for members in [1, 3] {
            let plan = step.task.plan(IsaToken::detect(), members)?;
            let mut ws = plan.workspace()?;
            let mut call = |from: usize, rows: usize| -> Result<Vec<f32>> {
                let (x, dy) = step.task.rows(from, rows)?;
                let mut grads = vec![f32::NAN; step.task.params.len()];
                plan.vjp(&step.task.params, x, dy, None, &mut grads, None, &mut ws)?;
                Ok(grads)
            };
            let first = call(0, batch)?;
            for (from, rows) in [(0, batch), (1, batch - 1), (batch - 1, 1)] {
                call(from, rows)?;
                assert_bits(&call(0, batch)?, &first, || format!("after {rows} rows, {plan:?}"));
            }
        }
    }
    Ok(())
}

/// What a plan says of a loss is what the loss says of the plan's outputs, whoever computes it.
#[test]
fn losses_of_plans_are_losses_of_outputs() -> Result<()> {
    let kinds = [
        LossKind::Mse,
        LossKind::L1,
        LossKind::Huber(0.3),
        LossKind::BceWithLogits,
        LossKind::SoftmaxCrossEntropy,
    ];
    for (widths, batch) in [([9, 20, 13], 1100), ([31, 120, 13], 200), ([40, 6500, 5], 30)] {
        for kind in kinds {
            for reduction in [Reduction::Sum, Reduction::Mean] {
                let mut step = Step::<f32>::new(&widths, Activation::Tanh, Activation::Identity, batch)?;
                step.loss = Loss::new(kind, reduction);
                step.targets.iter_mut().for_each(|t| *t = t.abs());
                let targets = Targets::Values(MatRef::new(&step.targets, batch, widths[2])?);
                let mut first: Option<[Vec<f32>; 2]> = None;
                for (i, isa) in IsaToken::available().enumerate() {
                    let plan = step.task.plan(isa, 1 + i)?;
                    let results = step.loss(&plan)?;
                    let [y, ..] = step.vjp(&plan, 0, batch)?;
                    let y = MatRef::new(&y, batch, widths[2])?;
                    let mut delta = vec![f32::NAN; batch * widths[2]];
                    let view = MatMut::new(&mut delta, batch, widths[2])?;
                    let value = step.loss.value_and_delta(isa, y, targets, view)?;
                    assert_eq!(value.to_bits(), results[1][0].to_bits(), "{kind:?} {reduction:?} {plan:?}");
                    let alone = step.loss.value(isa, y, targets)?;
                    assert_eq!(value.to_bits(), alone.to_bits(), "{kind:?} {reduction:?}");
                    let delta = MatRef::new(&delta, batch, widths[2])?;
                    let [_, grads, _] = step.vjp_of(&plan, step.task.rows(0, batch)?.0, delta)?;
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
