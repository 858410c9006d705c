//! `Plan::train_step` against the separate calls, to the bit: every path, instruction set and number of members; clipping;
//! refusals that write nothing.

#[path = "common/numbers.rs"]
mod numbers;

use nablas::{
    Activation, Adam, AdamW, BackendKind, Error, IsaToken, Loss, LossKind, MatRef, Mlp, Optimizer,
    PackedParams, Plan, PlanOptions, Reduction, Result, Scalar, Sgd, Targets, Team, TeamOptions, Trained,
    optim::{clip_by_global_norm, clip_by_global_norm_on},
};
use numbers::numbers;

/// Networks of the three paths, the second of several groups of layers, and a batch of several slots.
const NETWORKS: [(&[usize], usize); 7] = [
    (&[17, 40, 40, 6], 150),
    (&[64, 200, 200, 170, 10], 400),
    (&[5, 9, 3], 1100),
    (&[300, 900, 7], 40),
    // Narrow ones with few rows.
    (&[20, 20, 20], 1),
    (&[20, 20, 20], 16),
    (&[20, 20, 20], 22),
];

fn network<T: Scalar>(widths: &[usize]) -> Result<Mlp<T>> {
    let last = widths.len() - 1;
    let builder = widths[1..last].iter().fold(Mlp::builder(widths[0]), |b, n| b.layer(*n, Activation::Gelu));
    builder.layer(widths[last], Activation::Identity).build()
}

fn optimizers<T: Scalar>(isa: IsaToken, len: usize) -> Result<[Box<dyn Optimizer<T>>; 5]> {
    Ok([
        Box::new(Sgd::with(isa, len, 0.1)?),
        Box::new(Sgd::with(isa, len, 0.1)?.momentum(0.9, true)?.weight_decay(0.01)?),
        Box::new(Sgd::with(isa, len, 0.1)?.momentum(0.5, false)?),
        Box::new(Adam::with(isa, len, 0.01)?.weight_decay(0.1)?),
        Box::new(AdamW::with(isa, len, 0.01)?),
    ])
}

fn bits<T: Scalar>(x: &[T]) -> Vec<u64> {
    x.iter().map(|x| x.to_f64().to_bits()).collect()
}

/// What a step leaves.
type Left = (u64, Option<u64>, Vec<u64>, Vec<u64>);

/// A problem of a network.
struct Problem<T: Scalar> {
    mlp: Mlp<T>,
    batch: usize,
    params: Vec<T>,
    x: Vec<T>,
    classes: Vec<u32>,
    loss: Loss<T>,
}

impl<T: Scalar> Problem<T> {
    fn new(widths: &[usize], batch: usize) -> Result<Self> {
        let mlp = network(widths)?;
        let scale = T::from_f64(0.2);
        let params = numbers::<T>(mlp.param_len(), 1).into_iter().map(|p| scale * p).collect();
        let classes = (0..batch).map(|i| (i * 7 % mlp.outputs()) as u32).collect();
        let loss = Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean);
        Ok(Self { x: numbers(batch * mlp.inputs(), 2), mlp, batch, params, classes, loss })
    }

    fn x(&self) -> Result<MatRef<'_, T>> {
        MatRef::new(&self.x, self.batch, self.mlp.inputs())
    }

    /// Steps by separate calls.
    fn apart(
        &self,
        plan: &Plan<T>,
        clip: Option<f64>,
        optimizer: &mut dyn Optimizer<T>,
    ) -> Result<Vec<Left>> {
        let (mut packed, mut ws) = (plan.pack(&self.params)?, plan.workspace()?);
        let mut grads = vec![T::ZERO; self.params.len()];
        let step = |_| {
            let targets = Targets::Classes(&self.classes);
            let loss = plan.value_and_grad(&packed, self.x()?, &self.loss, targets, &mut grads, &mut ws)?;
            let norm = clip.map(|max| clip_by_global_norm_on(plan.isa(), &mut grads, max)).transpose()?;
            packed.update(plan, |params| optimizer.step(params, &grads))??;
            Ok((loss.to_f64().to_bits(), norm.map(f64::to_bits), bits(&grads), bits(packed.get())))
        };
        (0..3).map(step).collect()
    }

    /// Steps by one call each, of packed parameters and of flat ones.
    fn together(
        &self,
        plan: &Plan<T>,
        clip: Option<f64>,
        make: &dyn Fn() -> Result<Box<dyn Optimizer<T>>>,
    ) -> Result<[Vec<Left>; 2]> {
        let (mut packed, mut flat, mut ws) =
            (plan.pack(&self.params)?, self.params.clone(), plan.workspace()?);
        let mut grads = vec![T::from_f64(f64::NAN); self.params.len()];
        let targets = Targets::Classes(&self.classes);
        let left = |Trained { loss, norm, stepped }: Trained<T>, grads: &[T], params: &[T]| {
            assert!(stepped);
            (loss.to_f64().to_bits(), norm.map(f64::to_bits), bits(grads), bits(params))
        };
        let (mut of_packed, mut of_flat) = (make()?, make()?);
        let steps = (0..3).map(|_| {
            let optimizer = &mut *of_packed;
            let done = plan.train_step(
                &mut packed,
                self.x()?,
                &self.loss,
                targets,
                &mut grads,
                clip,
                optimizer,
                &mut ws,
            )?;
            Ok(left(done, &grads, packed.get()))
        });
        let packed = steps.collect::<Result<_>>()?;
        let steps = (0..3).map(|_| {
            let optimizer = &mut *of_flat;
            let done = plan.train_step(
                &mut flat,
                self.x()?,
                &self.loss,
                targets,
                &mut grads,
                clip,
                optimizer,
                &mut ws,
            )?;
            Ok(left(done, &grads, &flat))
        });
        Ok([packed, steps.collect::<Result<_>>()?])
    }
}

fn same_bits<T: Scalar>() -> Result<()> {
    for (n, (widths, batch)) in NETWORKS.into_iter().enumerate() {
        let problem = Problem::<T>::new(widths, batch)?;
        for (which, clip) in
            [(0, Some(1e-3)), (1, None), (2, Some(1e9)), (3, Some(0.05)), (4, Some(f64::INFINITY))]
        {
            let mut first: Option<Vec<Left>> = None;
            for isa in IsaToken::available() {
                // On the scalar reference, one optimizer and two members are enough.
                let scalar = isa.name() == "scalar";
                if scalar && which != n {
                    continue;
                }
                for members in if scalar { 2..=2 } else { 1..=3 } {
                    let team = Team::new(&TeamOptions::new().threads(members))?;
                    let options = PlanOptions::new(batch).isa(isa).team(&team).exactly(members);
                    let plan = Plan::new(&problem.mlp, &options)?;
                    let make = || {
                        let all = optimizers(isa, problem.params.len())?;
                        Ok(all.into_iter().nth(which).expect("there are five"))
                    };
                    let want = problem.apart(&plan, clip, &mut *make()?)?;
                    let what = format!("{plan:?}, optimizer {which}, {members} members, clip {clip:?}");
                    for (how, got) in ["packed", "flat"].iter().zip(problem.together(&plan, clip, &make)?) {
                        assert!(got == want, "{how}: {what}");
                    }
                    assert!(*first.get_or_insert_with(|| want.clone()) == want, "{what}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_step_is_its_parts() -> Result<()> {
    same_bits::<f32>()
}

#[test]
fn a_step_is_its_parts_in_f64() -> Result<()> {
    same_bits::<f64>()
}

/// A backend whose panels are none, and a batch of no rows.
#[test]
fn other_backends_and_empty_batches() -> Result<()> {
    let problem = Problem::<f32>::new(&[20, 30, 5], 33)?;
    let plan =
        Plan::new(&problem.mlp, &PlanOptions::new(33).backend(BackendKind::MatrixMultiply).threads(1))?;
    let len = problem.params.len();
    let make = || Ok(Box::new(AdamW::new(len, 0.01)?) as Box<dyn Optimizer<f32>>);
    let want = problem.apart(&plan, Some(0.1), &mut *make()?)?;
    assert!(problem.together(&plan, Some(0.1), &make)?.iter().all(|got| *got == want));

    let plan = Plan::new(&problem.mlp, &PlanOptions::new(33))?;
    let (mut packed, mut ws) = (plan.pack(&problem.params)?, plan.workspace()?);
    let (mut grads, mut sgd) = (vec![7.0; len], Sgd::new(len, 0.5)?.weight_decay(0.5)?);
    let none = MatRef::new(&[], 0, 20)?;
    let (loss, targets) = (&problem.loss, Targets::Classes(&[]));
    let done = plan.train_step(&mut packed, none, loss, targets, &mut grads, Some(1.0), &mut sgd, &mut ws)?;
    assert_eq!(done, Trained { loss: 0.0, norm: Some(0.0), stepped: true });
    assert!(grads.iter().all(|g| *g == 0.0));
    assert!(packed.get().iter().zip(&problem.params).all(|(new, old)| *new == old - 0.5 * (0.5 * old)));
    Ok(())
}

/// A gradient without a length moves nothing.
#[test]
fn a_norm_that_is_none_leaves_the_step_out() -> Result<()> {
    let problem = Problem::<f32>::new(&[20, 30, 5], 33)?;
    let plan = Plan::new(&problem.mlp, &PlanOptions::new(33))?;
    let mut x = problem.x.clone();
    x[5] = f32::NAN;
    let (x, targets) = (MatRef::new(&x, 33, 20)?, Targets::Classes(&problem.classes));
    let (mut packed, mut ws) = (plan.pack(&problem.params)?, plan.workspace()?);
    let (mut grads, mut adam) = (vec![0.0; problem.params.len()], Adam::new(problem.params.len(), 0.1)?);
    let done =
        plan.train_step(&mut packed, x, &problem.loss, targets, &mut grads, Some(1.0), &mut adam, &mut ws)?;
    assert!(done.norm.is_some_and(f64::is_nan) && !done.stepped && done.loss.is_nan());
    assert_eq!((adam.steps(), packed.get()), (0, &problem.params[..]));
    assert!(grads.iter().any(|g| g.is_nan()));
    // Whoever asks for no norm gets the step.
    let done =
        plan.train_step(&mut packed, x, &problem.loss, targets, &mut grads, None, &mut adam, &mut ws)?;
    assert!(done.stepped && adam.steps() == 1 && packed.get().iter().any(|p| p.is_nan()));
    Ok(())
}

#[test]
fn norms_are_those_of_f64() -> Result<()> {
    for len in [0, 1, 15, 16, 1000, 8192, 8193, 100_000, 600_001] {
        let wide = numbers::<f64>(len, 5);
        let narrow: Vec<f32> = wide.iter().map(|x| *x as f32 * 1e30).collect();
        let want = narrow.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let (mut first, mut first_clipped) = (None, None);
        for isa in IsaToken::available() {
            let mut grads = narrow.clone();
            let norm = clip_by_global_norm_on(isa, &mut grads, f64::INFINITY)?;
            assert!((norm - want).abs() <= 1e-12 * want && grads == narrow, "{len}: {norm} for {want}");
            assert_eq!(*first.get_or_insert(norm.to_bits()), norm.to_bits());
            assert_eq!(clip_by_global_norm_on(isa, &mut grads, 3.0)?, norm);
            let clipped = clip_by_global_norm(&mut grads.clone(), f64::INFINITY)?;
            assert!(if len > 0 { (clipped - 3.0).abs() < 1e-6 } else { clipped == 0.0 }, "{clipped}");
            assert!(*first_clipped.get_or_insert_with(|| bits(&grads)) == bits(&grads));
        }
    }
    let mut with_nan = [1.0f32, f32::NAN, 4.0];
    assert!(clip_by_global_norm(&mut with_nan, 1.0)?.is_nan());
    assert_eq!((with_nan[0], with_nan[2]), (1.0, 4.0));
    let mut endless = [1.0f64, f64::NEG_INFINITY];
    assert_eq!(clip_by_global_norm(&mut endless, 1.0)?, f64::INFINITY);
    assert_eq!(endless, [1.0, f64::NEG_INFINITY]);
    for bad in [0.0, -1.0, f64::NAN] {
        assert!(matches!(clip_by_global_norm(&mut [1.0f32], bad), Err(Error::Parameter { .. })));
    }
    Ok(())
}

/// A refusal leaves parameters, gradient and optimizer as they were.
#[test]
fn refusals_write_nothing() -> Result<()> {
    let problem = Problem::<f32>::new(&[20, 30, 5], 33)?;
    let other = Problem::<f32>::new(&[20, 31, 5], 33)?;
    let plan = Plan::new(&problem.mlp, &PlanOptions::new(33))?;
    let of_other = Plan::new(&other.mlp, &PlanOptions::new(33))?;
    let len = problem.params.len();
    let (mut packed, mut packed_for_other) = (plan.pack(&problem.params)?, of_other.pack(&other.params)?);
    let (mut ws, mut ws_of_other) = (plan.workspace()?, of_other.workspace()?);
    let (mut adam, mut longer) = (Adam::<f32>::new(len, 0.1)?, Adam::<f32>::new(len + 1, 0.1)?);
    let (mut grads, mut short, mut flat) = (vec![7.0; len], vec![7.0; len - 1], vec![0.5; len - 1]);
    let (x, targets, loss) = (problem.x()?, Targets::Classes(&problem.classes), &problem.loss);
    let wide = MatRef::new(&problem.x, 30, 22)?;
    let too_many = vec![9; 33];
    let bad = Loss::new(LossKind::Huber(-1.0), Reduction::Mean);

    let refused = |done: Result<Trained<f32>>| done.expect_err("refused");
    let e = refused(plan.train_step(
        &mut packed_for_other,
        x,
        loss,
        targets,
        &mut grads,
        None,
        &mut adam,
        &mut ws,
    ));
    assert_eq!(e, Error::Packed);
    let e = refused(plan.train_step(&mut flat, x, loss, targets, &mut grads, None, &mut adam, &mut ws));
    assert!(matches!(e, Error::Length { .. }), "{e}");
    let mut step = |x, loss, targets, grads: &mut [f32], clip, adam: &mut Adam<f32>, ws: &mut _| {
        plan.train_step(&mut packed, x, loss, targets, grads, clip, adam, ws)
    };
    let e = refused(step(wide, loss, targets, &mut grads, None, &mut adam, &mut ws));
    assert!(matches!(e, Error::Shape { .. }), "{e}");
    let e = refused(step(x, loss, targets, &mut short, None, &mut adam, &mut ws));
    assert!(matches!(e, Error::Length { what: "the gradient", .. }), "{e}");
    let e = refused(step(x, loss, targets, &mut grads, None, &mut longer, &mut ws));
    assert!(matches!(e, Error::Length { what: "the optimizer's parameters", .. }), "{e}");
    for clip in [0.0, -1.0, f64::NAN] {
        let e = refused(step(x, loss, targets, &mut grads, Some(clip), &mut adam, &mut ws));
        assert!(matches!(e, Error::Parameter { .. }), "{e}");
    }
    let e = refused(step(x, loss, Targets::Classes(&too_many), &mut grads, None, &mut adam, &mut ws));
    assert!(matches!(e, Error::Class { .. }), "{e}");
    let e = refused(step(x, &bad, targets, &mut grads, None, &mut adam, &mut ws));
    assert!(matches!(e, Error::Parameter { .. }), "{e}");
    let e = refused(step(x, loss, targets, &mut grads, None, &mut adam, &mut ws_of_other));
    assert!(matches!(e, Error::Workspace { .. }), "{e}");
    assert!(grads.iter().chain(&short).all(|g| *g == 7.0) && flat.iter().all(|p| *p == 0.5));
    let untouched = |packed: &PackedParams<f32>, params: &[f32]| packed.get() == params;
    assert!(untouched(&packed, &problem.params) && untouched(&packed_for_other, &other.params));
    assert_eq!((adam.steps(), longer.steps()), (0, 0));
    Ok(())
}
