//! NaN, infinities and zeros through whole passes: they stay in their row, and masks select.

#[path = "common/activations.rs"]
mod activations;
#[path = "common/bits.rs"]
mod bits;
#[path = "common/numbers.rs"]
mod numbers;

use activations::{all, reference};
use bits::assert_bits;
use nablas::{Activation, BackendKind, IsaToken, MatMut, MatRef, Mlp, Plan, PlanOptions, Result};
use numbers::numbers;

/// Y and dX of a step.
fn step(plan: &Plan<f32>, params: &[f32], x: &[f32], dy: &[f32]) -> Result<[Vec<f32>; 2]> {
    let (n, m) = (plan.mlp().inputs(), plan.mlp().outputs());
    let batch = x.len() / n;
    let (mut y, mut dx, mut grads) = (vec![0.0; batch * m], vec![0.0; x.len()], vec![0.0; params.len()]);
    let (ym, dxm) = (MatMut::new(&mut y, batch, m)?, MatMut::new(&mut dx, batch, n)?);
    let (x, dy) = (MatRef::new(x, batch, n)?, MatRef::new(dy, batch, m)?);
    plan.vjp(params, x, dy, Some(ym), &mut grads, Some(dxm), &mut plan.workspace()?)?;
    Ok([y, dx])
}

/// Fused and layered plans of one network on every ISA.
fn plans(mlp: &Mlp<f32>, batch: usize) -> Result<Vec<Plan<f32>>> {
    let backends = [BackendKind::Native, BackendKind::MatrixMultiply];
    let each = IsaToken::available().flat_map(|isa| backends.map(|b| (isa, b)));
    each.map(|(isa, b)| Plan::new(mlp, &PlanOptions::new(batch).exactly(2).isa(isa).backend(b))).collect()
}

#[test]
fn nan_goes_through_its_row_and_no_other() -> Result<()> {
    let (batch, bad) = (29, [0, 7, 28]);
    for act in all::<f32>() {
        let mlp = Mlp::<f32>::builder(5).layer(17, act).layer(3, Activation::Identity).build()?;
        let params = numbers::<f32>(mlp.param_len(), 1);
        let (x, dy) = (numbers::<f32>(batch * 5, 2), numbers::<f32>(batch * 3, 3));
        for plan in plans(&mlp, batch)? {
            let clean = step(&plan, &params, &x, &dy)?;
            let mut spoilt = x.clone();
            bad.iter().for_each(|i| spoilt[i * 5 + i % 5] = f32::NAN);
            let [y, dx] = step(&plan, &params, &spoilt, &dy)?;
            for i in 0..batch {
                let what = || format!("row {i}, {act:?}, {plan:?}");
                let (y_row, dx_row) = (&y[3 * i..][..3], &dx[5 * i..][..5]);
                if bad.contains(&i) {
                    assert!(y_row.iter().all(|y| y.is_nan()), "{}", what());
                } else {
                    assert_bits(y_row, &clean[0][3 * i..][..3], what);
                    assert_bits(dx_row, &clean[1][5 * i..][..5], what);
                }
            }
        }
    }
    Ok(())
}

/// One unit for each input: W = 1, b = 0, so that Z = X, Y = g(X) and dX = dY ⊙ g'(X).
fn unit(act: Activation<f32>, cases: &[(f32, f32, f32, f32)]) -> Result<()> {
    let mlp = Mlp::builder(1).layer(1, act).build()?;
    let column = |f: fn(&(f32, f32, f32, f32)) -> f32| cases.iter().map(f).collect::<Vec<f32>>();
    let (x, dy) = (column(|c| c.0), column(|c| c.1));
    for plan in plans(&mlp, cases.len())? {
        let [y, dx] = step(&plan, &[1.0, 0.0], &x, &dy)?;
        for (i, case) in cases.iter().enumerate() {
            let same = |a: f32, b: f32| a == b || a.is_nan() && b.is_nan();
            assert!(
                same(y[i], case.2) && same(dx[i], case.3),
                "{act:?} {case:?}: {} {} {plan:?}",
                y[i],
                dx[i]
            );
        }
    }
    Ok(())
}

/// (z, the cotangent, g(z), the cotangent of z): a slope of 0 gives 0 whatever the cotangent is.
#[test]
fn masks_select_and_never_multiply() -> Result<()> {
    const INF: f32 = f32::INFINITY;
    const NAN: f32 = f32::NAN;
    unit(
        Activation::Relu,
        &[
            (0.0, 5.0, 0.0, 0.0),
            (-0.0, 5.0, 0.0, 0.0),
            (-1.0, INF, 0.0, 0.0),
            (-1.0, NAN, 0.0, 0.0),
            (2.0, INF, 2.0, INF),
            (2.0, NAN, 2.0, NAN),
            (f32::MIN_POSITIVE, 3.0, f32::MIN_POSITIVE, 3.0),
            (-INF, 3.0, 0.0, 0.0),
            (INF, 3.0, INF, 3.0),
        ],
    )?;
    unit(
        Activation::ClippedRelu(6.0),
        &[
            (0.0, 5.0, 0.0, 0.0),
            (6.0, 5.0, 6.0, 0.0),
            (9.0, NAN, 6.0, 0.0),
            (5.5, 2.0, 5.5, 2.0),
            (INF, INF, 6.0, 0.0),
        ],
    )?;
    unit(Activation::LeakyRelu(0.5), &[(0.0, 4.0, 0.0, 2.0), (-2.0, INF, -1.0, INF), (3.0, 4.0, 3.0, 4.0)])?;
    unit(Activation::LeakyRelu(0.0), &[(-2.0, INF, 0.0, 0.0), (-2.0, NAN, 0.0, 0.0)])
}

/// Far out, values and derivatives are the limits: nothing overflows or cancels on the way.
#[test]
fn saturation_is_the_limit() -> Result<()> {
    for act in all::<f32>().into_iter().filter(|a| !matches!(a, Activation::Sin(_) | Activation::Exp)) {
        let mlp = Mlp::builder(1).layer(1, act).build()?;
        let x = [-500.0f32, -90.0, 90.0, 500.0];
        let wide = all::<f64>().into_iter().find(|a| a.name() == act.name()).expect("the same activation");
        for plan in plans(&mlp, 4)? {
            let [y, dx] = step(&plan, &[1.0, 0.0], &x, &[1.0; 4])?;
            for (i, x) in x.into_iter().enumerate() {
                let (value, slope) = reference(wide, f64::from(x));
                let near = |a: f32, b: f64| (f64::from(a) - b).abs() <= 1e-6 * (1.0 + b.abs());
                assert!(near(y[i], value) && near(dx[i], slope), "{act:?} {x}: {} {} {plan:?}", y[i], dx[i]);
            }
        }
    }
    Ok(())
}
