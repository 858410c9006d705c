//! Networks and options without sense: a plan or an error. What is planned and small enough runs, and has the bits of one
//! thread of scalar code, also where every call brings members.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use nablas::{Activation, BackendKind, IsaToken, MatMut, MatRef, Mlp, Plan, PlanOptions};

/// Bytes of a workspace, and FLOP of a step, that a run may cost.
const BYTES: usize = 1 << 24;
const FLOP: f64 = 3e6;

/// A width or batch: mostly small, at times near a limit, or anything.
fn size(u: &mut Unstructured<'_>) -> Result<usize> {
    Ok(match u8::arbitrary(u)? % 8 {
        0..5 => usize::from(u8::arbitrary(u)? % 70),
        5 => usize::from(u16::arbitrary(u)? % 5000),
        6 => *u.choose(&[usize::MAX, 1 << 63, 1 << 62, (1 << 61) - 1, 1 << 60, 1 << 40, 1 << 32])?,
        _ => usize::arbitrary(u)?,
    })
}

fn activation(u: &mut Unstructured<'_>) -> Result<Activation<f32>> {
    let all = Activation::<f32>::all();
    let any = f32::arbitrary(u)?;
    Ok(match *u.choose(&all)? {
        Activation::LeakyRelu(_) => Activation::LeakyRelu(any),
        Activation::ClippedRelu(_) => Activation::ClippedRelu(any),
        Activation::Elu(_) => Activation::Elu(any),
        Activation::Sin(_) => Activation::Sin(any),
        act => act,
    })
}

/// Y, the gradient and dX of a step.
fn step(plan: &Plan<f32>, batch: usize) -> nablas::Result<[Vec<f32>; 3]> {
    let (mlp, number) = (plan.mlp(), |i: usize| (i * 2_654_435_761 % 1009) as f32 / 1009.0 - 0.5);
    let params: Vec<f32> = (0..mlp.param_len()).map(number).collect();
    let x: Vec<f32> = (0..batch * mlp.inputs()).map(|i| number(i + 7)).collect();
    let dy: Vec<f32> = (0..batch * mlp.outputs()).map(|i| number(i + 11)).collect();
    let (mut y, mut grads, mut dx) = (dy.clone(), vec![f32::NAN; params.len()], vec![f32::NAN; x.len()]);
    let mut ws = plan.workspace()?;
    let (xm, dym) = (MatRef::new(&x, batch, mlp.inputs())?, MatRef::new(&dy, batch, mlp.outputs())?);
    let mut kept = plan.kept(batch)?;
    let ym = MatMut::new(&mut y, batch, mlp.outputs())?;
    plan.forward(&params, xm, ym, Some(&mut kept), &mut ws)?;
    let dxm = MatMut::new(&mut dx, batch, mlp.inputs())?;
    plan.backward(&params, xm, dym, &mut grads, Some(dxm), &kept, &mut ws)?;
    let mut again = vec![f32::NAN; params.len()];
    plan.vjp(&params, xm, dym, None, &mut again, None, &mut ws)?;
    assert_eq!(bits(&grads), bits(&again), "{plan:?}");
    Ok([y, grads, dx])
}

/// Bits, with one NaN for all.
fn bits(x: &[f32]) -> Vec<Option<u32>> {
    x.iter().map(|x| (!x.is_nan()).then(|| x.to_bits())).collect()
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let (batch, threads, isa, foreign) = (size(u)?, size(u)?, u8::arbitrary(u)?, u8::arbitrary(u)? % 8 == 0);
    let rows = size(u)?;
    let mut builder = Mlp::builder(size(u)?);
    for _ in 0..u8::arbitrary(u)? % 6 {
        builder = builder.layer(size(u)?, activation(u)?);
    }
    let Ok(mlp) = builder.build() else { return Ok(()) };
    let count = |l: &nablas::LayerSpec<f32>| (l.inputs as u128 + 1) * l.outputs as u128;
    assert_eq!(mlp.param_len() as u128, mlp.layers().iter().map(count).sum());
    let isas: Vec<IsaToken> = IsaToken::available().collect();
    let isa = isas[usize::from(isa) % isas.len()];
    let backend = if foreign { BackendKind::MatrixMultiply } else { BackendKind::Native };
    let options = PlanOptions::new(batch).threads(threads).isa(isa).backend(backend);
    let Ok(plan) = Plan::new(&mlp, &options) else { return Ok(()) };
    assert!(!plan.explain().is_empty());
    let rows = rows.min(batch);
    let _ = plan.kept_len(rows);
    if plan.workspace_bytes() > BYTES || plan.step_flop(rows) > FLOP || mlp.param_len() > 1 << 20 {
        return Ok(());
    }
    // The plan that was asked for, whose calls bring members where they pay, and one whose calls bring them always.
    let members = 1 + threads % 4;
    let options = PlanOptions::new(rows).threads(members).exactly(members).isa(isa).backend(backend);
    let plans = [plan, Plan::new(&mlp, &options).expect("a smaller plan")];
    let results = plans.each_ref().map(|plan| step(plan, rows).expect("a step that fits"));
    if !foreign {
        let scalar = IsaToken::pin("scalar").expect("always there");
        let alone = Plan::new(&mlp, &PlanOptions::new(rows).threads(1).isa(scalar)).expect("a smaller plan");
        let alone = step(&alone, rows).expect("a step that fits");
        for (plan, results) in plans.iter().zip(&results) {
            for (a, b) in results.iter().zip(&alone) {
                assert_eq!(bits(a), bits(b), "{plan:?}, {rows} rows");
            }
        }
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    // Bytes that are too few are followed by zeros.
    let _ = run(&mut Unstructured::new(data));
});
