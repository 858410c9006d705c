//! What becomes of a foreign backend's failure.

use super::{Op, Ops, run};
use crate::{
    Activation, Adam, Backend, BackendKind, IsaToken, Loss, LossKind, MatMut, MatRef, Mlp, Plan, PlanOptions,
    Reduction, Scalar, Targets, Team, TeamOptions,
    backend::MatrixMultiply,
    engine::Engine,
    error::{Error, Result},
    gemm::operand,
};
use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};
use core::sync::atomic::{AtomicUsize, Ordering};
use nablas_kernels::{act::State, gemm::row_major::RowMajor};

const FIRST: Error = Error::Backend { name: "failing", why: "the first" };
const SECOND: Error = Error::Backend { name: "failing", why: "the second" };

/// A backend that fails at two of its calls, and counts them all.
#[derive(Clone)]
struct Failing {
    at: [usize; 2],
    calls: Arc<AtomicUsize>,
}

impl Failing {
    fn at(at: [usize; 2]) -> Self {
        Self { at, calls: Arc::default() }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl<T: Scalar> Backend<T> for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn gemm(&self, alpha: T, a: MatRef<'_, T>, b: MatRef<'_, T>, beta: T, c: MatMut<'_, T>) -> Result<()> {
        match self.calls.fetch_add(1, Ordering::Relaxed) {
            n if n == self.at[0] => Err(FIRST),
            n if n == self.at[1] => Err(SECOND),
            _ => MatrixMultiply.gemm(alpha, a, b, beta, c),
        }
    }
}

const NEVER: [usize; 2] = [usize::MAX; 2];

fn team(members: usize) -> Team {
    Team::new(&TeamOptions::new().threads(members)).unwrap()
}

/// A ← X·Wᵀ in six blocks of rows.
fn product(failing: &Failing, members: usize) -> Result<()> {
    let mut engine = Engine::new::<f32>(IsaToken::detect(), members, None);
    engine.join(&team(members));
    engine.exactly = true;
    let ops = Ops::<f32>::Foreign(engine, Box::new(failing.clone()));
    let sizes @ (m, n, k) = (3000, 64, 5);
    let (x, w, mut out) = (vec![1.0; m * k], vec![2.0; n * k], vec![f32::NAN; m * n]);
    let (x, w) = (operand(MatRef::new(&x, m, k)?), operand(MatRef::new(&w, n, k)?));
    let (a, none) = (RowMajor::new(out.as_mut_ptr(), n), core::ptr::null());
    let op = Op::forward(sizes, x, w, none, a, State::Nothing, Activation::Identity);
    // SAFETY: the operands are as large as the product, A is this call's; a foreign product has no scratch.
    unsafe { run(&ops, op, None, core::ptr::null_mut()) }?;
    assert!(out.iter().all(|a| *a == 10.0));
    Ok(())
}

#[test]
fn a_product_returns_the_first_failure_and_makes_all_of_its_calls() {
    let none = Failing::at(NEVER);
    assert_eq!(product(&none, 1), Ok(()));
    let calls = none.calls();
    assert!(calls >= 4, "{calls} calls");
    for (at, expected) in [([1, 3], FIRST), ([3, 1], SECOND), ([0, usize::MAX], FIRST)] {
        let failing = Failing::at(at);
        assert_eq!(product(&failing, 1), Err(expected));
        assert_eq!(failing.calls(), calls);
    }
    // Which of two is first on two members is theirs to say.
    for _ in 0..20 {
        let failing = Failing::at([1, 2]);
        let error = product(&failing, 2).unwrap_err();
        assert!(error == FIRST || error == SECOND, "{error}");
        assert_eq!(failing.calls(), calls);
    }
}

/// Every call of a plan, each with what it must give: outputs are unspecified after a failure.
fn calls(plan: &Plan<f32>, failing: &Failing) -> Vec<Result<Vec<f32>>> {
    let batch = plan.setup.max_batch;
    let (x, dy) = (vec![0.25; batch * 5], vec![0.5; batch * 3]);
    let (x, dy) = (MatRef::new(&x, batch, 5).unwrap(), MatRef::new(&dy, batch, 3).unwrap());
    let params: Vec<f32> = (0..plan.mlp().param_len()).map(|i| (i % 7) as f32 * 0.125 - 0.5).collect();
    let (mut ws, mut kept) = (plan.workspace().unwrap(), plan.kept(batch).unwrap());
    let [mut y, mut grads] = [batch * 3, params.len()].map(|len| vec![f32::NAN; len]);
    let loss = Loss::new(LossKind::Mse, Reduction::Mean);
    let mut all = Vec::new();
    let ym = MatMut::new(&mut y, batch, 3).unwrap();
    let forward = plan.forward(&params, x, ym, Some(&mut kept), &mut ws);
    all.push(forward.map(|()| y.clone()));
    // A state of a pass that failed is none.
    assert_eq!(kept.batch(), all[0].is_ok().then_some(batch));
    let before = failing.calls();
    let backward = plan.backward(&params, x, dy, &mut grads, None, &kept, &mut ws);
    if kept.batch().is_none() {
        assert_eq!(backward, Err(Error::NotKept { batch, kept: None }));
        assert_eq!(failing.calls(), before);
    } else {
        all.push(backward.map(|()| grads.clone()));
    }
    let vjp = plan.vjp(&params, x, dy, None, &mut grads, None, &mut ws);
    all.push(vjp.map(|()| grads.clone()));
    let value = plan.value_and_grad(&params, x, &loss, Targets::Values(dy), &mut grads, &mut ws);
    all.push(value.map(|value| vec![value]));
    let (mut trained, mut adam) = (params.clone(), Adam::new(params.len(), 0.1).unwrap());
    let (targets, clip) = (Targets::Values(dy), Some(1.0));
    let step = plan.train_step(&mut trained[..], x, &loss, targets, &mut grads, clip, &mut adam, &mut ws);
    // Where the step failed, nothing has moved.
    assert_eq!((step.is_err(), adam.steps()), (trained == params, u64::from(step.is_ok())));
    all.push(step.map(|_| trained));
    all
}

#[test]
fn every_call_of_a_plan_returns_the_failure_and_the_next_is_as_if_none_had_been() {
    let mlp = Mlp::builder(5).layer(40, Activation::Tanh).layer(3, Activation::Identity).build().unwrap();
    for members in [1, 2] {
        let team = team(members);
        let options = PlanOptions::new(900).backend(BackendKind::MatrixMultiply).team(&team).exactly(members);
        let mut plan = Plan::<f32>::new(&mlp, &options).unwrap();
        let mut with = |failing: &Failing| {
            plan.setup.ops = Ops::Foreign(plan.setup.engine().clone(), Box::new(failing.clone()));
            calls(&plan, failing)
        };
        let none = Failing::at(NEVER);
        let expected: Vec<_> = with(&none).into_iter().map(|r| r.unwrap()).collect();
        let mut failed = 0;
        for n in 0..none.calls() {
            let got = with(&Failing::at([n, usize::MAX]));
            let errors: Vec<_> = got.iter().filter_map(|r| r.as_ref().err()).collect();
            // After a forward pass that failed there is no backward pass: its calls are the later passes'.
            assert!(errors.len() <= 1 && errors.iter().all(|e| **e == FIRST), "{n}: {errors:?}");
            failed += errors.len();
            for result in got.iter().flatten() {
                assert!(expected.contains(result), "call {n} on {members}");
            }
        }
        assert!(failed * 2 > none.calls(), "{failed} of {}", none.calls());
    }
}
