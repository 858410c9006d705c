//! Parameters as one buffer, a layer at a time, or packed; gradients as one buffer or a layer at a time: the same bits,
//! and nothing written beside them.

#[path = "common/bits.rs"]
mod bits;
#[path = "common/fenced.rs"]
mod fenced;
#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/task.rs"]
mod task;

use bits::assert_bits;
use fenced::{Fenced, gradient};
use nablas::{
    Activation, BackendKind, Error, GradsMut, IsaToken, LayerGrads, LayerParams, Loss, LossKind, MatMut,
    MatRef, Mlp, PackedParams, ParamsRef, PathKind, Plan, PlanOptions, Reduction, Result, Scalar, Targets,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use task::{Task, until_shared};

/// W and b of each layer, each in memory of its own.
fn apart<T: Scalar>(mlp: &Mlp<T>, params: &[T]) -> Result<Vec<[Vec<T>; 2]>> {
    let layer = |l| Ok([params[mlp.weights_range(l)?].to_vec(), params[mlp.bias_range(l)?].to_vec()]);
    (0..mlp.layers().len()).map(layer).collect()
}

fn layers<T>(parts: &[[Vec<T>; 2]]) -> Vec<LayerParams<'_, T>> {
    parts.iter().map(|[weights, bias]| LayerParams { weights, bias }).collect()
}

/// Every result of every call: Y of `forward`; gradient and dX of `backward`; Y, gradient and dX of `vjp`, then without Y
/// and dX; gradient and value of a loss. And the most members that shared one.
fn results<T: Scalar>(
    task: &Task<T>,
    plan: &Plan<T>,
    params: ParamsRef<'_, T>,
    by_layer: bool,
) -> Result<(Vec<Vec<T>>, usize)> {
    let (mlp, batch) = (&task.mlp, plan_batch(task, plan));
    let (n, m) = (mlp.inputs(), mlp.outputs());
    let (x, dy) = task.rows(0, batch)?;
    let (mut ws, mut kept, mut seats) = (plan.workspace()?, plan.kept(batch)?, 0);
    let [mut y, mut y2] = [batch * m, batch * m].map(Fenced::new);
    let [mut dx, mut dx2] = [batch * n, batch * n].map(Fenced::new);

    plan.forward(params, x, MatMut::new(y.get_mut(), batch, m)?, Some(&mut kept), &mut ws)?;
    seats = ws.seats().max(seats);
    let backward = gradient(mlp, by_layer, |grads| {
        let dx = MatMut::new(dx.get_mut(), batch, n)?;
        plan.backward(params, x, dy, grads, Some(dx), &kept, &mut ws)
    })?;
    seats = ws.seats().max(seats);
    let vjp = gradient(mlp, by_layer, |grads| {
        let (y, dx) = (MatMut::new(y2.get_mut(), batch, m)?, MatMut::new(dx2.get_mut(), batch, n)?);
        plan.vjp(params, x, dy, Some(y), grads, Some(dx), &mut ws)
    })?;
    seats = ws.seats().max(seats);
    let without = gradient(mlp, by_layer, |grads| plan.vjp(params, x, dy, None, grads, None, &mut ws))?;
    let (loss, mut value) = (Loss::new(LossKind::Mse, Reduction::Mean), T::ZERO);
    let of_loss = gradient(mlp, by_layer, |grads| {
        value = plan.value_and_grad(params, x, &loss, Targets::Values(dy), grads, &mut ws)?;
        Ok(())
    })?;
    let all = vec![y.take(), backward, dx.take(), y2.take(), vjp, dx2.take(), without, of_loss, vec![value]];
    Ok((all, seats))
}

/// All of the task's batch, or as much as the plan takes.
fn plan_batch<T: Scalar>(task: &Task<T>, plan: &Plan<T>) -> usize {
    (1..=task.batch).rev().find(|b| plan.kept_len(*b).is_ok()).unwrap_or(0)
}

#[track_caller]
fn assert_same<T: Scalar>(got: &[Vec<T>], expected: &[Vec<T>], what: &str) {
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!(expected.iter().all(|e| e.finite()), "{what}");
        assert_bits(got, expected, || format!("result {i}, {what}"));
    }
}

/// Every form on two members against flat ones on one.
fn check<T: Scalar>(task: &Task<T>, path: PathKind, isa: IsaToken) -> Result<()> {
    let (alone, plan) = (task.plan(isa, 1)?, task.plan(isa, 2)?);
    assert_eq!(plan.path(), path);
    let parts = apart(&task.mlp, &task.params)?;
    let (layers, packed) = (layers(&parts), plan.pack(&task.params)?);
    let (flat, layers) = (ParamsRef::from(&task.params), ParamsRef::from(&layers[..]));
    let (expected, _) = results(task, &alone, flat, false)?;
    until_shared(&plan, || {
        let mut most = 0;
        for (params, by_layer) in
            [(flat, true), (layers, false), (layers, true), (ParamsRef::from(&packed), false)]
        {
            let (got, seats) = results(task, &plan, params, by_layer)?;
            let form = match params {
                ParamsRef::Flat(_) => "flat",
                ParamsRef::Layers(_) => "by layer",
                ParamsRef::Packed(_) => "packed",
            };
            assert_same(&got, &expected, &format!("{form}, gradient by layer: {by_layer}, {plan:?}"));
            most = most.max(seats);
        }
        Ok(most)
    })
}

/// A network for each path.
const PATHS: [(PathKind, &[usize], usize); 3] = [
    (PathKind::Fused, &[32, 48, 61, 10], 300),
    (PathKind::Narrow, &[20, 33, 17, 10], 1100),
    (PathKind::Layered, &[300, 900, 7], 30),
];

#[test]
fn any_form_gives_the_same_bits() -> Result<()> {
    for (path, widths, batch) in PATHS {
        for isa in IsaToken::available() {
            let task = Task::<f32>::new(widths, Activation::Relu, Activation::Exp, batch)?;
            check(&task, path, isa)?;
            let task = Task::<f64>::new(widths, Activation::Gelu, Activation::Tanh, batch)?;
            check(&task, path, isa)?;
        }
    }
    Ok(())
}

/// Slots of several chains, and panels of several blocks along n and k.
#[test]
fn any_form_gives_the_same_bits_of_long_sums() -> Result<()> {
    let (act, last, widest) = (Activation::LeakyRelu(0.25), Activation::Identity, IsaToken::detect());
    check(&Task::<f32>::new(&[16, 16, 16], act, last, 34_000)?, PathKind::Fused, widest)?;
    check(&Task::<f32>::new(&[3, 5, 1], act, last, 530_000)?, PathKind::Narrow, widest)?;
    check(&Task::<f32>::new(&[600, 4500, 3], act, last, 30)?, PathKind::Layered, widest)?;
    let task = Task::<f64>::new(&[1100, 300, 3], Activation::Relu, Activation::Tanh, 700)?;
    check(&task, PathKind::Layered, widest)
}

/// Panels depend on neither the batch nor the members of the plan that made them.
#[test]
fn packed_parameters_serve_plans_of_other_batches_and_members() -> Result<()> {
    for (_, widths, batch) in PATHS {
        let batch = batch.min(70);
        let task = Task::<f32>::new(widths, Activation::Relu, Activation::Identity, batch)?;
        for isa in IsaToken::available() {
            let makers = [(1, 1), (batch, 1), (batch, 2), (3 * batch, 3)].map(|(batch, members)| {
                Plan::new(&task.mlp, &PlanOptions::new(batch).isa(isa).exactly(members))
            });
            let [one, alone, two, three] = makers;
            let makers = [one?, alone?, two?, three?];
            let mut packed: Vec<PackedParams<f32>> =
                makers.iter().map(|plan| plan.pack(&task.params)).collect::<Result<_>>()?;
            for round in 0..2 {
                for (i, plan) in makers.iter().enumerate() {
                    let flat = packed[i].get().to_vec();
                    let (expected, _) = results(&task, plan, ParamsRef::Flat(&flat), false)?;
                    for (j, packed) in packed.iter().enumerate() {
                        let (got, _) = results(&task, plan, ParamsRef::Packed(packed), false)?;
                        assert_same(&got, &expected, &format!("packed by {j}, round {round}, {plan:?}"));
                    }
                }
                // Then updated, each by another plan.
                for (i, packed) in packed.iter_mut().enumerate() {
                    packed.update(&makers[(i + 1) % 4], |p| p.iter_mut().for_each(|p| *p *= -0.5))?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn an_update_is_what_calls_see() -> Result<()> {
    for (_, widths, batch) in PATHS {
        let task = Task::<f32>::new(widths, Activation::Tanh, Activation::Identity, batch)?;
        for members in [1, 2] {
            let plan = task.plan(IsaToken::detect(), members)?;
            let mut packed = plan.pack(&task.params)?;
            assert_bits(packed.get(), &task.params, || format!("{plan:?}"));
            let (before, _) = results(&task, &plan, ParamsRef::Packed(&packed), false)?;
            let count = packed.update(&plan, |params| {
                params.iter_mut().for_each(|p| *p = 0.75 * *p + 0.01);
                params.len()
            })?;
            assert_eq!(count, task.mlp.param_len());
            let now = packed.get().to_vec();
            assert!(now.iter().zip(&task.params).all(|(now, before)| *now == 0.75 * before + 0.01));
            let (expected, _) = results(&task, &plan, ParamsRef::Flat(&now), false)?;
            let (after, _) = results(&task, &plan, ParamsRef::Packed(&packed), false)?;
            assert_same(&after, &expected, &format!("{plan:?}"));
            assert!(after.iter().zip(&before).all(|(after, before)| after != before));
        }
    }
    Ok(())
}

/// Who edits may panic half way: the panels are then of what is there.
#[test]
fn a_panic_leaves_panels_and_parameters_that_belong_together() -> Result<()> {
    for (_, widths, batch) in PATHS {
        let task = Task::<f32>::new(widths, Activation::Tanh, Activation::Identity, batch)?;
        for members in [1, 2] {
            let plan = task.plan(IsaToken::detect(), members)?;
            let mut packed = plan.pack(&task.params)?;
            let panic = catch_unwind(AssertUnwindSafe(|| {
                packed.update(&plan, |params| {
                    let half = params.len() / 2;
                    params[..half].iter_mut().for_each(|p| *p += 0.125);
                    panic!("half way");
                })
            }));
            assert_eq!(panic.err().and_then(|p| p.downcast_ref::<&str>().copied()), Some("half way"));
            let now = packed.get().to_vec();
            assert!(now[0] != task.params[0] && now.last() == task.params.last());
            let (expected, _) = results(&task, &plan, ParamsRef::Flat(&now), false)?;
            let (after, _) = results(&task, &plan, ParamsRef::Packed(&packed), false)?;
            assert_same(&after, &expected, &format!("{plan:?}"));
        }
    }
    Ok(())
}

/// Outputs that a call must not touch.
struct Untouched {
    y: [f32; 8],
    dx: [f32; 12],
    grads: Vec<f32>,
}

impl Untouched {
    fn new(len: usize) -> Self {
        Self { y: [7.0; 8], dx: [7.0; 12], grads: vec![7.0; len] }
    }

    #[track_caller]
    fn assert(&self) {
        assert!(self.y.iter().chain(&self.dx).chain(&self.grads).all(|x| *x == 7.0), "an output was written");
    }
}

/// Refuses these parameters in every call, in these words.
#[track_caller]
fn refuses_params(plan: &Plan<f32>, params: ParamsRef<'_, f32>, words: &str) -> Result<()> {
    let (x, dy) = ([0.25; 12], [0.5; 8]);
    let (x, dy) = (MatRef::new(&x, 4, 3)?, MatRef::new(&dy, 4, 2)?);
    let good = vec![0.5; plan.mlp().param_len()];
    let (mut ws, mut kept) = (plan.workspace()?, plan.kept(4)?);
    let mut out = Untouched::new(good.len());
    plan.forward(&good, x, MatMut::new(&mut [0.0; 8], 4, 2)?, Some(&mut kept), &mut ws)?;
    let loss = Loss::new(LossKind::Mse, Reduction::Mean);
    let targets = Targets::Values(dy);
    for result in [
        plan.forward(params, x, MatMut::new(&mut out.y, 4, 2)?, Some(&mut kept), &mut ws),
        plan.backward(params, x, dy, &mut out.grads, Some(MatMut::new(&mut out.dx, 4, 3)?), &kept, &mut ws),
        plan.vjp(params, x, dy, Some(MatMut::new(&mut out.y, 4, 2)?), &mut out.grads, None, &mut ws),
        plan.value_and_grad(params, x, &loss, targets, &mut out.grads, &mut ws).map(|_| ()),
    ] {
        assert_eq!(result.expect_err(words).to_string(), words);
    }
    out.assert();
    // The state that was there still is.
    assert_eq!(kept.batch(), Some(4));
    plan.backward(&good, x, dy, &mut out.grads, None, &kept, &mut ws)
}

/// Refuses a gradient in every call that writes one.
#[track_caller]
fn refuses_grads(plan: &Plan<f32>, lens: &[[usize; 2]], words: &str) -> Result<()> {
    let (x, dy) = ([0.25; 12], [0.5; 8]);
    let (x, dy) = (MatRef::new(&x, 4, 3)?, MatRef::new(&dy, 4, 2)?);
    let params = vec![0.5; plan.mlp().param_len()];
    let (mut ws, mut kept) = (plan.workspace()?, plan.kept(4)?);
    plan.forward(&params, x, MatMut::new(&mut [0.0; 8], 4, 2)?, Some(&mut kept), &mut ws)?;
    let mut out = Untouched::new(0);
    let mut parts: Vec<[Vec<f32>; 2]> = lens.iter().map(|lens| lens.map(|len| vec![7.0; len])).collect();
    let loss = Loss::new(LossKind::Mse, Reduction::Mean);
    for call in 0..3 {
        let grads = parts.iter_mut().map(|[weights, bias]| LayerGrads { weights, bias });
        let mut grads: Vec<_> = grads.collect();
        let (grads, y) = (GradsMut::from(&mut grads[..]), MatMut::new(&mut out.y, 4, 2)?);
        let dx = Some(MatMut::new(&mut out.dx, 4, 3)?);
        let result = match call {
            0 => plan.backward(&params, x, dy, grads, dx, &kept, &mut ws),
            1 => plan.vjp(&params, x, dy, Some(y), grads, dx, &mut ws),
            _ => plan.value_and_grad(&params, x, &loss, Targets::Values(dy), grads, &mut ws).map(|_| ()),
        };
        assert_eq!(result.expect_err(words).to_string(), words);
    }
    out.assert();
    assert!(parts.iter().flatten().flatten().all(|x| *x == 7.0), "a gradient was written");
    Ok(())
}

#[test]
fn layers_that_do_not_fit_are_refused() -> Result<()> {
    for (hidden, backend) in [
        (4, BackendKind::Native),
        (20, BackendKind::Native),
        (60_000, BackendKind::Native),
        (4, BackendKind::MatrixMultiply),
    ] {
        let mlp = Mlp::builder(3).layer(hidden, Activation::Relu).layer(2, Activation::Tanh).build()?;
        let plan = Plan::new(&mlp, &PlanOptions::new(5).backend(backend))?;
        let good = [[3 * hidden, hidden], [2 * hidden, 2]];
        let [w, b] = good[0];
        for (lens, what, expected, got) in [
            (vec![good[0]], "layers", 2, 1),
            (vec![], "layers", 2, 0),
            (vec![good[0], good[1], good[1]], "layers", 2, 3),
            (vec![[w - 1, b], good[1]], "W", w, w - 1),
            (vec![[w + 1, b], good[1]], "W", w, w + 1),
            (vec![[w, b - 1], good[1]], "b", b, b - 1),
            (vec![[w, b + 1], good[1]], "b", b, b + 1),
            (vec![good[0], [2 * hidden, 1]], "b", 2, 1),
            (vec![good[0], [0, 2]], "W", 2 * hidden, 0),
        ] {
            let name = |params: bool| match (what, params) {
                ("layers", true) => "the layers' parameters",
                ("layers", _) => "the layers' gradients",
                ("W", true) => "W of a layer",
                ("W", _) => "dW of a layer",
                (_, true) => "b of a layer",
                (_, _) => "db of a layer",
            };
            let words = |params| format!("{}: expected {expected} elements, got {got}", name(params));
            let parts: Vec<_> = lens.iter().map(|lens| lens.map(|len| vec![0.5; len])).collect();
            refuses_params(&plan, ParamsRef::Layers(&layers(&parts)), &words(true))?;
            refuses_grads(&plan, &lens, &words(false))?;
        }
    }
    Ok(())
}

#[test]
fn parameters_packed_for_another_plan_are_refused() -> Result<()> {
    let words =
        "parameters packed for another network, instruction set or backend: make them with `Plan::pack`";
    let mlp = |hidden, act| Mlp::<f32>::builder(3).layer(hidden, act).layer(2, Activation::Tanh).build();
    for hidden in [4, 20, 60_000] {
        let same = mlp(hidden, Activation::Relu)?;
        let plan = Plan::new(&same, &PlanOptions::new(5))?;
        let mut others = vec![
            Plan::new(&mlp(hidden, Activation::Tanh)?, &PlanOptions::new(5))?,
            Plan::new(&mlp(hidden, Activation::LeakyRelu(0.5))?, &PlanOptions::new(5))?,
            Plan::new(&same, &PlanOptions::new(5).backend(BackendKind::MatrixMultiply))?,
        ];
        for isa in IsaToken::available().filter(|isa| *isa != plan.isa()) {
            others.push(Plan::new(&same, &PlanOptions::new(5).isa(isa))?);
        }
        for other in &others {
            let mut packed = other.pack(&vec![0.5; other.mlp().param_len()])?;
            refuses_params(&plan, ParamsRef::Packed(&packed), words)?;
            let refused = packed.update(&plan, |_| unreachable!("refused before it is edited"));
            assert_eq!(refused, Err::<(), _>(Error::Packed), "{other:?}");
        }
        let more = Plan::new(&mlp(hidden + 1, Activation::Relu)?, &PlanOptions::new(5))?;
        let packed = more.pack(&vec![0.5; more.mlp().param_len()])?;
        refuses_params(&plan, ParamsRef::Packed(&packed), words)?;
        let short = plan.pack(&vec![0.5; same.param_len() - 1]).expect_err("too few");
        let (expected, got) = (same.param_len(), same.param_len() - 1);
        let words =
            format!("a flat buffer of the network's parameters: expected {expected} elements, got {got}");
        assert_eq!(short.to_string(), words);
    }
    Ok(())
}
