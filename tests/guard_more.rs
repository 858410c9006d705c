//! As tests/guard.rs, for what is not a product: activations over slices, losses, optimizers, clipping; and for the memory
//! that a caller lends to a plan, in steps of a training.
#![cfg(unix)]

#[path = "common/bits.rs"]
mod bits;
#[path = "common/guard.rs"]
mod guard;
#[path = "common/numbers.rs"]
mod numbers;

use bits::assert_bits;
use guard::{Edge, Guarded};
use nablas::{
    Activation, Adam, AdamW, IsaToken, Loss, LossKind, MatMut, MatRef, Mlp, Optimizer, Plan, PlanOptions,
    Pointwise, Reduction, Result, Scalar, Sgd, Targets, optim::clip_by_global_norm_on,
};
use numbers::numbers;

const EDGES: [Edge; 2] = [Edge::Start, Edge::End];
/// Around vectors of every length, in ones, twos and fours.
const LENGTHS: [usize; 18] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129];

/// Memory that holds a copy of a slice.
type Make<'a, T> = &'a dyn Fn(&[T]) -> Box<dyn core::ops::DerefMut<Target = [T]>>;

/// What `calls` returns in ordinary memory, and the same between inaccessible pages.
fn same<T: Scalar>(
    calls: impl Fn(Make<'_, T>) -> Result<Vec<Vec<T>>>,
    what: impl Fn() -> String,
) -> Result<()> {
    let expected = calls(&|x| Box::new(x.to_vec()))?;
    for edge in EDGES {
        let got = calls(&|x| Box::new(Guarded::new(x, edge)))?;
        assert_eq!(got.len(), expected.len());
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert_bits(got, expected, || format!("result {i} of {} {edge:?}", what()));
        }
    }
    Ok(())
}

fn slices<T: Scalar>() -> Result<()> {
    for isa in IsaToken::available() {
        for act in Activation::<T>::all() {
            for n in LENGTHS {
                let calls = |make: Make<'_, T>| {
                    let (z, g) = (make(&numbers(n, 1)), make(&numbers(n, 2)));
                    let mut out = [3, 4, 5, 6].map(|seed| make(&numbers(n, seed)));
                    let [a, both, d, vjp] = &mut out;
                    act.value_on(isa, &z, a)?;
                    act.value_and_derivative_on(isa, &z, both, d)?;
                    act.vjp_on(isa, &z, &g, vjp)?;
                    Ok(out.iter().map(|x| x.to_vec()).collect())
                };
                same(calls, || format!("{act}, {n} elements, {isa:?}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn slices_stay_inside() -> Result<()> {
    slices::<f32>()?;
    slices::<f64>()
}

fn losses<T: Scalar>() -> Result<()> {
    let kinds = [
        LossKind::Mse,
        LossKind::L1,
        LossKind::Huber(T::from_f64(0.5)),
        LossKind::BceWithLogits,
        LossKind::SoftmaxCrossEntropy,
    ];
    let mut form = 0;
    for isa in IsaToken::available() {
        for rows in [1, 2, 15, 16, 17, 33] {
            for cols in [1, 2, 3, 7, 8, 10, 16, 17, 33] {
                for kind in &kinds {
                    form += 1;
                    // Rows with gaps between them, in turns; the last has none behind it.
                    let (ld, weighted) = (cols + form % 3, form % 2 == 0);
                    let len = (rows - 1) * ld + cols;
                    let loss = Loss::new(*kind, Reduction::Mean);
                    let calls = |make: Make<'_, T>| {
                        let positive: Vec<T> =
                            numbers::<T>(len, 2).into_iter().map(|x| T::from_f64(x.to_f64().abs())).collect();
                        let (y, t) = (make(&numbers(len, 1)), make(&positive));
                        let (weights, mut delta) = (make(&positive[..rows]), make(&numbers(len, 4)));
                        let classes: Vec<u32> = (0..rows).map(|i| (i * 7 % cols) as u32).collect();
                        let [start, end] = EDGES.map(|edge| Guarded::new(&classes, edge));
                        let mut values = vec![];
                        let ym = MatRef::with_strides(&y, rows, cols, ld as isize, 1)?;
                        let tm = MatRef::with_strides(&t, rows, cols, ld as isize, 1)?;
                        let classes = matches!(kind, LossKind::SoftmaxCrossEntropy);
                        let classes =
                            [Targets::Classes(&start), Targets::Classes(&end)].map(|c| classes.then_some(c));
                        for targets in classes.into_iter().flatten().chain([Targets::Values(tm)]) {
                            let targets = if weighted { targets.weighted(&weights) } else { targets };
                            let dm = MatMut::with_strides(&mut delta, rows, cols, ld as isize, 1)?;
                            values.push(loss.value_and_delta(isa, ym, targets, dm)?);
                            values.push(loss.value(isa, ym, targets)?);
                        }
                        Ok(vec![values, delta.to_vec()])
                    };
                    same(calls, || format!("{} {rows}×{cols}, {ld} apart, {isa:?}", kind.name()))?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn losses_stay_inside() -> Result<()> {
    losses::<f32>()?;
    losses::<f64>()
}

fn optimizers<T: Scalar>() -> Result<()> {
    type New<T> = fn(IsaToken, usize) -> Result<Box<dyn Optimizer<T>>>;
    let all: [New<T>; 4] = [
        |isa, n| Ok(Box::new(Sgd::with(isa, n, 0.1)?)),
        |isa, n| Ok(Box::new(Sgd::with(isa, n, 0.1)?.momentum(0.9, true)?.weight_decay(0.01)?)),
        |isa, n| Ok(Box::new(Adam::with(isa, n, 0.1)?)),
        |isa, n| Ok(Box::new(AdamW::with(isa, n, 0.1)?.weight_decay(0.01)?)),
    ];
    for isa in IsaToken::available() {
        for n in LENGTHS {
            for (which, new) in all.iter().enumerate() {
                let calls = |make: Make<'_, T>| {
                    let (mut params, mut grads) = (make(&numbers(n, 1)), make(&numbers(n, 2)));
                    let mut optimizer = new(isa, n)?;
                    optimizer.step(&mut params, &grads)?;
                    let norm = clip_by_global_norm_on(isa, &mut grads, 0.1)?;
                    optimizer.step(&mut params, &grads)?;
                    Ok(vec![params.to_vec(), grads.to_vec(), vec![T::from_f64(norm)]])
                };
                same(calls, || format!("optimizer {which}, {n} parameters, {isa:?}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn optimizers_and_clipping_stay_inside() -> Result<()> {
    optimizers::<f32>()?;
    optimizers::<f64>()
}

/// Two steps of a training and a forward and backward pass, with the workspace and the kept state in memory that is lent.
fn training<T: Scalar>(widths: &[usize], batch: usize, isa: IsaToken, members: usize) -> Result<()> {
    let mut builder = Mlp::<T>::builder(widths[0]);
    for &width in &widths[1..] {
        builder = builder.layer(width, Activation::Tanh);
    }
    let mlp = builder.build()?;
    let plan = Plan::new(&mlp, &PlanOptions::new(batch).exactly(members).isa(isa))?;
    let (inputs, outputs) = (mlp.inputs(), mlp.outputs());
    let loss = Loss::new(LossKind::Mse, Reduction::Sum);
    let lines = |len: usize| len.next_multiple_of(64 / size_of::<T>());
    let calls = |make: Make<'_, T>| {
        let (mut params, x) = (make(&numbers(mlp.param_len(), 1)), make(&numbers(batch * inputs, 2)));
        let (t, dy) = (make(&numbers(batch * outputs, 3)), make(&numbers(batch * outputs, 4)));
        let (mut grads, mut y) = (make(&numbers(mlp.param_len(), 5)), make(&numbers(batch * outputs, 6)));
        let mut dx = make(&numbers(batch * inputs, 7));
        // Lines of a cache, so that both ends of guarded memory start one. An ordinary vector may not: a line more.
        let [mut work, mut kept] = [plan.workspace_bytes() / size_of::<T>(), plan.kept_len(batch)?]
            .map(|len| make(&numbers(lines(len), 8)));
        let mut own = [vec![], vec![]];
        let mut lent = [&mut work, &mut kept].into_iter().zip(&mut own).map(|(memory, own)| {
            if memory.as_ptr().align_offset(64) == 0 {
                return memory.as_mut_ptr();
            }
            *own = memory.to_vec();
            own.resize(memory.len() + 64, T::ZERO);
            let lead = own.as_ptr().align_offset(64);
            own[lead..].as_mut_ptr()
        });
        let (work, kept) = (lent.next().expect("two"), lent.next().expect("two"));
        // SAFETY: both start a line, are as long as the plan says, initialised, and alive and unused beside these values.
        let (mut ws, mut kept) = unsafe { (plan.workspace_at(work), plan.kept_at(kept, batch, None)?) };
        let xm = MatRef::new(&x, batch, inputs)?;
        let targets = Targets::Values(MatRef::new(&t, batch, outputs)?);
        let mut adam = Adam::with(isa, mlp.param_len(), 0.01)?;
        let mut values = vec![];
        for clip in [Some(0.5), None] {
            let done =
                plan.train_step(&mut params[..], xm, &loss, targets, &mut grads, clip, &mut adam, &mut ws)?;
            values.push(done.loss);
        }
        plan.forward(&params[..], xm, MatMut::new(&mut y, batch, outputs)?, Some(&mut kept), &mut ws)?;
        let (dym, dxm) = (MatRef::new(&dy, batch, outputs)?, MatMut::new(&mut dx, batch, inputs)?);
        let mut after = make(&grads);
        plan.backward(&params[..], xm, dym, &mut after[..], Some(dxm), &kept, &mut ws)?;
        Ok([&params, &grads, &y, &dx, &after].map(|x| x.to_vec()).into_iter().chain([values]).collect())
    };
    same(calls, || format!("{widths:?}, batch {batch}, {members} members, {isa:?}"))
}

#[test]
fn training_in_lent_memory_stays_inside() -> Result<()> {
    // Narrow, fused and layered; a few rows and many.
    let networks: [&[usize]; 5] =
        [&[3, 9, 1], &[2, 17, 5], &[17, 70, 33], &[33, 100, 48, 7], &[33, 500, 501, 7]];
    for isa in IsaToken::available() {
        for (i, widths) in networks.into_iter().enumerate() {
            for batch in [1, 5, 29, 70] {
                training::<f32>(widths, batch, isa, 1 + (i + batch) % 2)?;
                training::<f64>(widths, batch, isa, 1 + (i + batch + 1) % 2)?;
            }
        }
    }
    Ok(())
}
