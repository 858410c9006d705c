//! Weights of rows: deltas and losses are those of the rows without, times their weights; a mean divides by the
//! weights' sum; a row of weight 0 has no part. And a whole pass agrees with the one from the weighted delta, on every
//! path.

mod common {
    pub(crate) mod numbers;
}

use common::numbers::numbers;
use nablas::{
    Activation, Error, Init, Loss, LossKind, MatMut, MatRef, Mlp, PathKind, Plan, PlanOptions, Reduction,
    Result, Targets,
};

const ROWS: usize = 130;
const COLS: usize = 7;

/// Weights that are 0, 1, and others.
fn weights() -> Vec<f32> {
    (0..ROWS).map(|i| [0.0, 1.0, 0.5, 2.25, 3.0][i % 5]).collect()
}

fn delta_of(loss: Loss<f32>, y: &[f32], targets: Targets<'_, f32>) -> Result<(f32, Vec<f32>)> {
    let (isa, mut delta, y) = (nablas::isa()?, vec![f32::NAN; y.len()], MatRef::new(y, ROWS, COLS)?);
    let value = loss.value_and_delta(isa, y, targets, MatMut::new(&mut delta, ROWS, COLS)?)?;
    assert_eq!(value.to_bits(), loss.value(isa, y, targets)?.to_bits(), "the value alone is the same");
    Ok((value, delta))
}

fn kinds() -> [LossKind<f32>; 5] {
    use LossKind::*;
    [Mse, L1, Huber(0.5), BceWithLogits, SoftmaxCrossEntropy]
}

#[test]
fn rows_count_as_their_weights() -> Result<()> {
    let (y, weights) = (numbers::<f32>(ROWS * COLS, 1), weights());
    let t: Vec<f32> = numbers::<f32>(ROWS * COLS, 2).iter().map(|t| t.abs()).collect();
    let classes: Vec<u32> = (0..ROWS as u32).map(|i| i % COLS as u32).collect();
    let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
    for kind in kinds() {
        let values = Targets::Values(MatRef::new(&t, ROWS, COLS)?);
        let all =
            [Some(values), (kind == LossKind::SoftmaxCrossEntropy).then_some(Targets::Classes(&classes))];
        for targets in all.into_iter().flatten() {
            let (sum, mean) = (Loss::new(kind, Reduction::Sum), Loss::new(kind, Reduction::Mean));
            let (_, plain) = delta_of(sum, &y, targets)?;
            let (value, delta) = delta_of(sum, &y, targets.weighted(&weights))?;
            for (i, (weighted, plain)) in delta.chunks(COLS).zip(plain.chunks(COLS)).enumerate() {
                let expected: Vec<f32> = plain.iter().map(|d| d * weights[i]).collect();
                assert_eq!(weighted, expected, "{kind:?}, row {i}");
            }
            // Rows one by one.
            let mut by_rows = 0.0;
            for i in 0..ROWS {
                let row = MatRef::new(&y[i * COLS..(i + 1) * COLS], 1, COLS)?;
                let of = match targets {
                    Targets::Classes(c) => Targets::Classes(&c[i..=i]),
                    _ => Targets::Values(MatRef::new(&t[i * COLS..(i + 1) * COLS], 1, COLS)?),
                };
                by_rows += f64::from(sum.value(nablas::isa()?, row, of)? * weights[i]);
            }
            assert!((f64::from(value) - by_rows).abs() < 1e-6 * by_rows, "{kind:?}: {value} for {by_rows}");
            let divisor = if kind == LossKind::SoftmaxCrossEntropy { total } else { total * COLS as f64 };
            let (mean, _) = delta_of(mean, &y, targets.weighted(&weights))?;
            assert!(
                (f64::from(mean) * divisor - by_rows).abs() < 1e-6 * by_rows,
                "{kind:?}: the mean {mean}"
            );
        }
    }
    Ok(())
}

#[test]
fn weights_of_one_leave_no_trace() -> Result<()> {
    let (y, ones) = (numbers::<f32>(ROWS * COLS, 1), [1.0; ROWS]);
    let t: Vec<f32> = numbers::<f32>(ROWS * COLS, 2).iter().map(|t| t.abs()).collect();
    for kind in kinds() {
        for reduction in [Reduction::Sum, Reduction::Mean] {
            let (loss, targets) = (Loss::new(kind, reduction), Targets::Values(MatRef::new(&t, ROWS, COLS)?));
            assert_eq!(
                delta_of(loss, &y, targets)?,
                delta_of(loss, &y, targets.weighted(&ones))?,
                "{loss:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_row_of_weight_0_has_no_part_whatever_is_in_it() -> Result<()> {
    let (mut y, weights) = (numbers::<f32>(ROWS * COLS, 1), weights());
    let t = numbers::<f32>(ROWS * COLS, 2);
    let targets = Targets::WeightedValues(MatRef::new(&t, ROWS, COLS)?, &weights);
    for kind in [LossKind::Mse, LossKind::L1] {
        let loss = Loss::new(kind, Reduction::Mean);
        let expected = delta_of(loss, &y, targets)?;
        (y[3], y[5 * COLS]) = (f32::NAN, f32::INFINITY);
        assert_eq!(delta_of(loss, &y, targets)?, expected);
    }
    let nothing = Targets::WeightedValues(MatRef::new(&t, ROWS, COLS)?, &[0.0; ROWS]);
    let (value, delta) = delta_of(Loss::new(LossKind::Mse, Reduction::Mean), &y, nothing)?;
    assert!(value == 0.0 && delta.iter().all(|d| *d == 0.0));
    Ok(())
}

#[test]
fn a_pass_is_that_of_the_weighted_delta() -> Result<()> {
    let weights = weights();
    let mut paths = Vec::new();
    for widths in [[5, 9, COLS], [64, 64, COLS], [300, 900, COLS]] {
        let hidden = Mlp::builder(widths[0]).layer(widths[1], Activation::Tanh);
        let mlp = hidden.layer(widths[2], Activation::Identity).build()?;
        let plan = Plan::new(&mlp, &PlanOptions::new(ROWS))?;
        paths.push(plan.path());
        let mut params = vec![0.0f32; mlp.param_len()];
        Init::XavierUniform.fill(&mlp, &mut params, 1)?;
        let (x, t) = (numbers::<f32>(ROWS * widths[0], 3), numbers::<f32>(ROWS * COLS, 4));
        let (x, mut ws, mut y) =
            (MatRef::new(&x, ROWS, widths[0])?, plan.workspace()?, vec![0.0; ROWS * COLS]);
        plan.forward(&params, x, MatMut::new(&mut y, ROWS, COLS)?, None, &mut ws)?;
        for kind in [LossKind::Mse, LossKind::SoftmaxCrossEntropy] {
            let loss = Loss::new(kind, Reduction::Mean);
            let targets = Targets::Values(MatRef::new(&t, ROWS, COLS)?).weighted(&weights);
            let (value, delta) = delta_of(loss, &y, targets)?;
            let (mut expected, mut grads) = (vec![0.0; params.len()], vec![0.0; params.len()]);
            plan.vjp(&params, x, MatRef::new(&delta, ROWS, COLS)?, None, &mut expected, None, &mut ws)?;
            let got = plan.value_and_grad(&params, x, &loss, targets, &mut grads, &mut ws)?;
            assert_eq!((got.to_bits(), grads), (value.to_bits(), expected), "{:?} {kind:?}", plan.path());
        }
    }
    assert_eq!(paths, [PathKind::Narrow, PathKind::Fused, PathKind::Layered]);
    Ok(())
}

#[test]
fn bad_weights_are_refused() -> Result<()> {
    let (y, mut delta) = (numbers::<f32>(12, 1), vec![7.0; 12]);
    let y = MatRef::new(&y, 4, 3)?;
    let loss = Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean);
    let bad: [(&[f32], &str); 4] = [
        (&[1.0; 3], "the rows' weights: expected 4 elements, got 3"),
        (&[1.0, 1.0, -1.0, 1.0], "a row's weight: expected a finite number of 0 or more, got -1"),
        (&[f32::INFINITY; 4], "a row's weight: expected a finite number of 0 or more, got inf"),
        (&[f32::NAN; 4], "a row's weight: expected a finite number of 0 or more, got NaN"),
    ];
    for (weights, words) in bad {
        for targets in [Targets::WeightedValues(y, weights), Targets::WeightedClasses(&[0; 4], weights)] {
            let delta = MatMut::new(&mut delta, 4, 3)?;
            let error = loss.value_and_delta(nablas::isa()?, y, targets, delta).map(|_| ());
            assert_eq!(error.map_err(|e: Error| e.to_string()), Err(words.to_owned()));
        }
    }
    assert!(delta.iter().all(|d| *d == 7.0));
    Ok(())
}
