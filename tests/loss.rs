//! Losses against their definitions in f64: values, deltas by central differences, bits by row, specials, refusals.

use nablas::{Error, IsaToken, Loss, LossKind, MatMut, MatRef, Reduction, Result, Scalar, Targets};

const REDUCTIONS: [Reduction; 2] = [Reduction::Sum, Reduction::Mean];

fn numbers(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn kinds<T: Scalar>() -> [LossKind<T>; 5] {
    use LossKind::*;
    [Mse, L1, Huber(T::from_f64(0.5)), BceWithLogits, SoftmaxCrossEntropy]
}

/// Targets that the loss takes: any values, numbers in [0, 1], or rows that sum to 1.
fn targets<T>(kind: LossKind<T>, rows: usize, cols: usize) -> Vec<f64> {
    let mut t = numbers(rows * cols, 99);
    match kind {
        LossKind::BceWithLogits => t.iter_mut().for_each(|t| *t = t.abs()),
        LossKind::SoftmaxCrossEntropy => t.chunks_mut(cols.max(1)).for_each(|row| {
            let sum: f64 = row.iter().map(|t| t.abs()).sum();
            row.iter_mut().for_each(|t| *t = t.abs() / sum);
        }),
        _ => {}
    }
    t
}

/// The loss of a row by its definition.
fn row_loss<T: Scalar>(kind: LossKind<T>, y: &[f64], t: &[f64]) -> f64 {
    let pairs = || y.iter().zip(t);
    match kind {
        LossKind::Mse => pairs().map(|(y, t)| (y - t).powi(2)).sum(),
        LossKind::L1 => pairs().map(|(y, t)| (y - t).abs()).sum(),
        LossKind::Huber(d) => {
            let d = d.to_f64();
            let of = |r: f64| if r.abs() <= d { r * r / 2.0 } else { d * (r.abs() - d / 2.0) };
            pairs().map(|(y, t)| of(y - t)).sum()
        }
        LossKind::BceWithLogits => pairs()
            .map(|(y, t)| {
                let p = 1.0 / (1.0 + (-y).exp());
                -t * p.ln() - (1.0 - t) * (1.0 - p).ln()
            })
            .sum(),
        LossKind::SoftmaxCrossEntropy => {
            let sum: f64 = y.iter().map(|y| y.exp()).sum();
            pairs().map(|(y, t)| -t * (y.exp() / sum).ln()).sum()
        }
    }
}

fn expected<T: Scalar>(loss: Loss<T>, y: &[f64], t: &[f64], cols: usize) -> f64 {
    let sum: f64 = y.chunks(cols).zip(t.chunks(cols)).map(|(y, t)| row_loss(loss.kind, y, t)).sum();
    match (loss.reduction, loss.kind) {
        (Reduction::Sum, _) => sum,
        (Reduction::Mean, LossKind::SoftmaxCrossEntropy) => sum / (y.len() / cols) as f64,
        (Reduction::Mean, _) => sum / y.len() as f64,
    }
}

fn run<T: Scalar>(loss: Loss<T>, isa: IsaToken, y: &[T], t: &[T], cols: usize) -> Result<(T, Vec<T>)> {
    let (rows, mut delta) = (y.len() / cols, vec![T::from_f64(f64::NAN); y.len()]);
    let targets = Targets::Values(MatRef::new(t, rows, cols)?);
    let y = MatRef::new(y, rows, cols)?;
    let value = loss.value_and_delta(isa, y, targets, MatMut::new(&mut delta, rows, cols)?)?;
    assert_eq!(value.bits(), loss.value(isa, y, targets)?.bits(), "the value alone is the same");
    Ok((value, delta))
}

fn rounded<T: Scalar>(x: &[f64]) -> Vec<T> {
    x.iter().map(|x| T::from_f64(*x)).collect()
}

fn exact<T: Scalar>(x: &[T]) -> Vec<f64> {
    x.iter().map(|x| x.to_f64()).collect()
}

fn agrees<T: Scalar>(rows: usize, cols: usize) -> Result<()> {
    for kind in kinds::<T>() {
        for reduction in REDUCTIONS {
            let loss = Loss::new(kind, reduction);
            let y: Vec<T> = rounded(&numbers(rows * cols, 5).iter().map(|y| 3.0 * y).collect::<Vec<_>>());
            let t: Vec<T> = rounded(&targets(kind, rows, cols));
            let (exact_y, exact_t) = (exact(&y), exact(&t));
            let reference = expected(loss, &exact_y, &exact_t, cols);
            let mut first = None;
            for isa in IsaToken::available() {
                let (value, delta) = run(loss, isa, &y, &t, cols)?;
                let error = (value.to_f64() - reference).abs();
                assert!(
                    error <= 8.0 * T::EPSILON.to_f64() * reference,
                    "{loss:?} {rows}×{cols}: {value} for {reference}"
                );
                let bits: Vec<_> = delta.iter().chain([&value]).map(|x| x.bits()).collect();
                assert_eq!(*first.get_or_insert_with(|| bits.clone()), bits, "{isa:?} has its own bits");
                for i in [0, delta.len() / 2, delta.len() - 1] {
                    let h = 1e-5;
                    let (mut low, mut high) = (exact_y.clone(), exact_y.clone());
                    (low[i], high[i]) = (low[i] - h, high[i] + h);
                    let slope = (expected(loss, &high, &exact_t, cols)
                        - expected(loss, &low, &exact_t, cols))
                        / (2.0 * h);
                    let bound = 2e-9 * (1.0 + reference) + 8.0 * T::EPSILON.to_f64();
                    assert!(
                        (delta[i].to_f64() - slope).abs() < bound,
                        "{loss:?} {i}: {} for {slope}",
                        delta[i]
                    );
                }
            }
        }
    }
    Ok(())
}

#[test]
fn values_and_deltas_are_the_definitions() -> Result<()> {
    for (rows, cols) in [(1, 1), (1, 3), (3, 16), (2, 17), (65, 10), (129, 33)] {
        agrees::<f32>(rows, cols)?;
        agrees::<f64>(rows, cols)?;
    }
    Ok(())
}

#[test]
fn classes_are_probabilities_of_one() -> Result<()> {
    let (rows, cols) = (70, 11);
    let y = numbers(rows * cols, 5);
    let classes: Vec<u32> = (0..rows as u32).map(|i| i * 7 % cols as u32).collect();
    let mut t = vec![0.0; rows * cols];
    for (row, c) in classes.iter().enumerate() {
        t[row * cols + *c as usize] = 1.0;
    }
    for isa in IsaToken::available() {
        for reduction in REDUCTIONS {
            let loss = Loss::new(LossKind::SoftmaxCrossEntropy, reduction);
            let (value, delta) = run(loss, isa, &y, &t, cols)?;
            let mut by_class = vec![f64::NAN; rows * cols];
            let got = loss.value_and_delta(
                isa,
                MatRef::new(&y, rows, cols)?,
                Targets::Classes(&classes),
                MatMut::new(&mut by_class, rows, cols)?,
            )?;
            assert!((got - value).abs() < 1e-13 * value);
            assert!(by_class.iter().zip(&delta).all(|(a, b)| (a - b).abs() < 1e-15));
        }
    }
    Ok(())
}

/// Contract 2: a row's delta is bit-equal wherever the row stands and whatever the strides between rows.
#[test]
fn a_row_has_the_same_bits_in_any_batch() -> Result<()> {
    let (rows, cols, ld) = (130, 21, 29);
    let isa = IsaToken::detect();
    for kind in kinds::<f32>() {
        let loss = Loss::new(kind, Reduction::Sum);
        let (y, t) = (rounded::<f32>(&numbers(rows * cols, 5)), rounded::<f32>(&targets(kind, rows, cols)));
        let (value, whole) = run(loss, isa, &y, &t, cols)?;
        for row in [0, 1, 63, 64, 129] {
            let at = row * cols..(row + 1) * cols;
            assert_eq!(
                run(loss, isa, &y[at.clone()], &t[at.clone()], cols)?.1,
                whole[at],
                "{kind:?} row {row}"
            );
        }
        let spread =
            |x: &[f32]| -> Vec<f32> { x.chunks(cols).flat_map(|r| [r, &[7.0; 8]].concat()).collect() };
        let (y, t, mut delta) = (spread(&y), spread(&t), vec![-1.0; rows * ld]);
        let got = loss.value_and_delta(
            isa,
            MatRef::with_leading_dim(&y, rows, cols, ld)?,
            Targets::Values(MatRef::with_leading_dim(&t, rows, cols, ld)?),
            MatMut::with_leading_dim(&mut delta, rows, cols, ld)?,
        )?;
        assert_eq!(got.to_bits(), value.to_bits());
        for (i, row) in delta.chunks(ld).enumerate() {
            assert_eq!(row[..cols], whole[i * cols..(i + 1) * cols]);
            assert!(row[cols..].iter().all(|x| *x == -1.0), "the gap after row {i} was written");
        }
        // The same rows, last to first, of targets that all rows share.
        let shared = MatRef::with_strides(&t, rows, cols, 0, 1)?;
        let turned: Vec<f32> = y.chunks(ld).rev().flat_map(|r| r[..cols].to_vec()).collect();
        let last = turned.as_ptr().wrapping_add((rows - 1) * cols);
        // SAFETY: the rows are those of the vector.
        let descending = unsafe { MatRef::from_raw_parts(last, rows, cols, -(cols as isize), 1) };
        let (mut up, mut down) = (vec![0.0; rows * cols], vec![0.0; rows * cols]);
        let y = MatRef::with_leading_dim(&y, rows, cols, ld)?;
        let shared = Targets::Values(shared);
        let values = [(y, &mut up), (descending, &mut down)]
            .map(|(y, delta)| loss.value_and_delta(isa, y, shared, MatMut::new(delta, rows, cols)?));
        let [one, other] = values;
        assert_eq!((one?.to_bits(), up), (other?.to_bits(), down), "{kind:?}, rows that descend");
    }
    Ok(())
}

#[test]
fn confident_logits_stay_finite_and_accurate() -> Result<()> {
    let isa = IsaToken::detect();
    let bce = Loss::new(LossKind::BceWithLogits, Reduction::Sum);
    let (value, delta) = run(bce, isa, &[1e4f32, -1e4, 1e4, 40.0], &[1.0, 0.0, 0.0, 1.0], 4)?;
    assert_eq!((value, &delta[..3]), (1e4, &[0.0, 0.0, 1.0][..]));
    assert!((f64::from(delta[3]) / -(-40.0f64).exp() - 1.0).abs() < 1e-6, "{}", delta[3]);
    let softmax = Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean);
    let (value, delta) = run(softmax, isa, &[1e30f32, 0.0, 0.0, 1e30], &[1.0, 0.0, 0.0, 1.0], 2)?;
    assert_eq!((value, delta), (0.0, vec![0.0; 4]));
    let (softmax, mut delta) = (Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean), [0.0f64; 2]);
    let y = MatRef::new(&[60.0, 0.0], 1, 2)?;
    let value = softmax.value_and_delta(isa, y, Targets::Classes(&[0]), MatMut::new(&mut delta, 1, 2)?)?;
    let p = (-60.0f64).exp();
    assert!((value / p - 1.0).abs() < 1e-14 && (delta[0] / -p - 1.0).abs() < 1e-14, "{value} {delta:?}");
    Ok(())
}

/// Logits of ±10³⁰, rows of nothing but −∞, one finite logit among them: values and deltas are the limits, at widths of
/// one vector and several, in every row of a batch.
fn logits_without_measure<T: Scalar>() -> Result<()> {
    let (inf, t) = (f64::INFINITY, T::from_f64);
    let mean = 1.0 / 9.0;
    for cols in [2, 3, 10, 16, 17, 40] {
        // The first logit, the others, the class; the value, and the probabilities of the first and of the others.
        let n = cols as f64;
        let cases = [
            (1e30, -1e30, 0, 0.0, 1.0, 0.0),
            (1e30, 0.0, 0, 0.0, 1.0, 0.0),
            (0.0, -1e30, 0, 0.0, 1.0, 0.0),
            (1e30, 0.0, 1, 1e30, 1.0, 0.0),
            (-1e30, 1e30, 0, 2e30, 0.0, 1.0 / (n - 1.0)),
            (1e30, 1e30, 0, n.ln(), 1.0 / n, 1.0 / n),
            (-1e30, -1e30, 1, n.ln(), 1.0 / n, 1.0 / n),
            (-inf, -inf, 0, n.ln(), 1.0 / n, 1.0 / n),
            (3.0, -inf, 0, 0.0, 1.0, 0.0),
        ];
        let y: Vec<T> = cases
            .iter()
            .flat_map(|(first, rest, ..)| (0..cols).map(move |j| t(if j == 0 { *first } else { *rest })))
            .collect();
        let classes: Vec<u32> = cases.iter().map(|case| case.2).collect();
        for isa in IsaToken::available() {
            let loss = Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean);
            let mut delta = vec![t(f64::NAN); y.len()];
            let (ym, dm) = (MatRef::new(&y, 9, cols)?, MatMut::new(&mut delta, 9, cols)?);
            let value = loss.value_and_delta(isa, ym, Targets::Classes(&classes), dm)?.to_f64();
            let want = mean * cases.iter().map(|case| case.3).sum::<f64>();
            let eps = 16.0 * T::EPSILON.to_f64();
            assert!((value - want).abs() <= eps * want, "{cols} on {isa:?}: {value} for {want}");
            for (row, (first, rest, class, value, of_first, of_rest)) in cases.into_iter().enumerate() {
                let alone = Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Sum);
                let only = ym.rows(row..row + 1)?;
                let got = alone.value(isa, only, Targets::Classes(&[class]))?.to_f64();
                let what = format!("{first}, {rest} × {}, class {class} on {isa:?}: {got}", cols - 1);
                assert!((got - value).abs() <= eps * value, "{what} for {value}");
                for j in 0..cols {
                    let probability = if j == 0 { of_first } else { of_rest };
                    let want = probability - f64::from(u8::from(j == class as usize));
                    let got = delta[row * cols + j].to_f64();
                    assert!((got - mean * want).abs() <= eps, "{what}, delta {j} is {got}");
                }
            }
        }
        for isa in IsaToken::available() {
            let bce = Loss::new(LossKind::BceWithLogits, Reduction::Sum);
            let y: Vec<T> = (0..cols).map(|j| t([1e30, -1e30][j % 2])).collect();
            let right: Vec<T> = (0..cols).map(|j| t([1.0, 0.0][j % 2])).collect();
            let wrong: Vec<T> = (0..cols).map(|j| t([0.0, 1.0][j % 2])).collect();
            let (value, delta) = run(bce, isa, &y, &right, cols)?;
            assert!(value == T::ZERO && delta.iter().all(|d| *d == T::ZERO), "{value}");
            let (value, delta) = run(bce, isa, &y, &wrong, cols)?;
            assert!((value.to_f64() / (n * 1e30) - 1.0).abs() < 16.0 * T::EPSILON.to_f64(), "{value}");
            assert!(delta.iter().enumerate().all(|(j, d)| d.to_f64() == [1.0, -1.0][j % 2]), "{delta:?}");
            for kind in [LossKind::L1, LossKind::Huber(t(2.0))] {
                let (value, delta) = run(Loss::new(kind, Reduction::Mean), isa, &y, &wrong, cols)?;
                let slope = if kind == LossKind::L1 { 1.0 } else { 2.0 };
                assert!((value.to_f64() / (slope * 1e30) - 1.0).abs() < 1e-5, "{kind:?}: {value}");
                assert!(delta.iter().all(|d| (d.to_f64().abs() - slope / n).abs() < 1e-6), "{kind:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn logits_without_measure_give_the_limits() -> Result<()> {
    logits_without_measure::<f32>()?;
    logits_without_measure::<f64>()
}

#[test]
fn nan_stays_in_its_row() -> Result<()> {
    for kind in kinds::<f64>() {
        for in_target in [false, true] {
            let (mut y, mut t) = (numbers(15, 1), targets(kind, 3, 5));
            let clean = run(Loss::new(kind, Reduction::Sum), IsaToken::detect(), &y, &t, 5)?.1;
            if in_target {
                t[7] = f64::NAN
            } else {
                y[7] = f64::NAN
            }
            let (value, delta) = run(Loss::new(kind, Reduction::Sum), IsaToken::detect(), &y, &t, 5)?;
            assert!(value.is_nan() && delta[7].is_nan(), "{kind:?}");
            assert_eq!((&delta[..5], &delta[10..]), (&clean[..5], &clean[10..]), "{kind:?}");
        }
    }
    Ok(())
}

#[test]
fn no_rows_cost_nothing() -> Result<()> {
    for kind in kinds::<f32>() {
        for reduction in REDUCTIONS {
            let (value, delta) = run(Loss::new(kind, reduction), IsaToken::detect(), &[], &[], 4)?;
            assert_eq!((value, delta.len()), (0.0, 0));
        }
    }
    Ok(())
}

/// No rows of absurdly many outputs: nothing is allocated for them.
#[test]
fn losses_of_no_rows_are_zero_however_wide() -> Result<()> {
    let y = MatRef::<f32>::new(&[], 0, usize::MAX / 64)?;
    let loss = Loss::new(LossKind::Mse, Reduction::Sum);
    assert_eq!(loss.value(nablas::isa()?, y, Targets::Values(y))?, 0.0);
    Ok(())
}

/// A call that went through the rows would not come back.
#[test]
fn losses_of_no_outputs_are_zero_however_many_rows() -> Result<()> {
    let (isa, rows) = (IsaToken::detect(), 1 << 59);
    let y = MatRef::<f64>::new(&[], rows, 0)?;
    for kind in kinds::<f64>() {
        for reduction in REDUCTIONS {
            let (loss, targets) = (Loss::new(kind, reduction), Targets::Values(y));
            let value = loss.value_and_delta(isa, y, targets, MatMut::new(&mut [], rows, 0)?)?;
            assert_eq!((value.to_bits(), loss.value(isa, y, targets)?.to_bits()), (0, 0), "{loss:?}");
        }
    }
    Ok(())
}

#[test]
fn bad_calls_are_refused_and_write_nothing() -> Result<()> {
    let isa = IsaToken::detect();
    let data = [0.5f64; 64];
    let view = |rows, cols| MatRef::new(&data, rows, cols);
    let by_columns = MatRef::with_strides(&data, 4, 3, 1, 4)?;
    let values = |rows, cols| view(rows, cols).map(Targets::Values);
    let softmax = LossKind::SoftmaxCrossEntropy;
    let cases = [
        (LossKind::Mse, view(4, 3)?, values(4, 2)?, (4, 3), "the targets: expected a 4×3 matrix, got 4×2"),
        (
            LossKind::Mse,
            view(4, 3)?,
            values(4, 3)?,
            (3, 3),
            "the delta of a loss: expected a 4×3 matrix, got 3×3",
        ),
        (
            LossKind::L1,
            view(4, 3)?,
            Targets::Classes(&[0; 4]),
            (4, 3),
            "l1: expected targets as values, one for each output",
        ),
        (
            softmax,
            view(4, 3)?,
            Targets::Classes(&[0; 5]),
            (4, 3),
            "the target classes: expected 4 elements, got 5",
        ),
        (
            softmax,
            view(4, 3)?,
            Targets::Classes(&[0, 2, 3, 1]),
            (4, 3),
            "row 2: expected a class below 3, got 3",
        ),
        (
            softmax,
            view(4, 3)?,
            Targets::Classes(&[0, u32::MAX, 0, 1]),
            (4, 3),
            "row 1: expected a class below 3, got 4294967295",
        ),
        (softmax, view(4, 0)?, Targets::Classes(&[0; 4]), (4, 0), "row 0: expected a class below 0, got 0"),
        (
            LossKind::Mse,
            by_columns,
            values(4, 3)?,
            (4, 3),
            "the outputs' column stride: expected 1 (contiguous rows), got 4",
        ),
        (
            LossKind::Mse,
            view(4, 3)?,
            Targets::Values(by_columns),
            (4, 3),
            "the targets' column stride: expected 1 (contiguous rows), got 4",
        ),
        (
            LossKind::Huber(0.0),
            view(4, 3)?,
            values(4, 3)?,
            (4, 3),
            "δ of the Huber loss: expected a finite number above 0, got 0",
        ),
    ];
    for (kind, y, targets, delta_shape, words) in cases {
        for reduction in REDUCTIONS {
            let mut delta = [-1.0; 16];
            let into = MatMut::new(&mut delta, delta_shape.0, delta_shape.1)?;
            let error = Loss::new(kind, reduction).value_and_delta(isa, y, targets, into).unwrap_err();
            assert_eq!(error.to_string(), words);
            assert_eq!(delta, [-1.0; 16]);
        }
    }
    let mut delta = [-1.0; 16];
    let into = MatMut::with_strides(&mut delta, 4, 3, 1, 4)?;
    let refused =
        Loss::new(LossKind::Mse, Reduction::Sum).value_and_delta(isa, view(4, 3)?, values(4, 3)?, into);
    assert!(matches!(refused, Err(Error::Stride { got: 4, .. })));
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let refused = Loss::new(LossKind::Huber(bad), Reduction::Sum).value(isa, view(1, 1)?, values(1, 1)?);
        assert!(matches!(refused, Err(Error::Parameter { .. })));
    }
    Ok(())
}
