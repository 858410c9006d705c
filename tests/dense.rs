//! The three products of a dense layer against their definitions: every activation, ISA and backend. The native
//! calls to the bit in the documented arithmetic, all of them within rounding of f64.

#[path = "common/activations.rs"]
mod activations;
#[path = "common/bits.rs"]
mod bits;
#[path = "common/chain.rs"]
mod chain;
#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/stored.rs"]
mod stored;

use activations::{all, reference};
use bits::assert_bits;
use chain::{Element, chains};
use nablas::{
    Activation, BackendKind, Dense, IsaToken, MatMut, MatRef, Pointwise, Result,
    dense::{SavedMut, SavedRef},
};
use nablas_kernels::act::Saved;
use numbers::numbers;
use stored::{LAYOUTS, Stored};

const BACKENDS: [BackendKind; 2] = [BackendKind::Native, BackendKind::MatrixMultiply];

/// Sizes (rows, inputs, outputs) at the edges of tiles and masks.
const SIZES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (2, 3, 5),
    (5, 17, 8),
    (6, 8, 7),
    (9, 33, 16),
    (25, 10, 17),
    (3, 64, 65),
    (26, 16, 130),
    (49, 5, 33),
];

/// The canary between the rows of an output.
const GAP: f64 = 77.0;

/// An output whose rows are `gap` elements apart.
fn output<T: Element>(rows: usize, cols: usize, gap: usize) -> Vec<T> {
    vec![T::from_f64(GAP); rows * (cols + gap)]
}

/// The rows of an output; what lies between them is as it was.
fn rows_of<T: Element>(out: &[T], cols: usize, gap: usize) -> Vec<T> {
    let rows = out.chunks(cols + gap);
    assert!(rows.clone().all(|r| r[cols..].iter().all(|x| *x == T::from_f64(GAP))), "written between rows");
    rows.flat_map(|r| &r[..cols]).copied().collect()
}

/// The f64 counterpart of an activation.
fn wide<T: Element>(act: Activation<T>) -> Activation<f64> {
    let parameter = act.parameter().map(T::to_f64);
    let same = all::<f64>().into_iter().find(|a| a.name() == act.name());
    let same = same.expect("the same activation");
    assert_eq!(same.parameter(), parameter);
    same
}

/// The bits that a mask of Z should have, row by row in whole bytes.
fn mask_of<T: Element>(act: Activation<T>, z: &[T], cols: usize) -> Vec<u8> {
    let bit = |z: T| match act {
        Activation::ClippedRelu(c) => z > T::ZERO && z < c,
        _ => z > T::ZERO,
    };
    z.chunks(cols)
        .flat_map(|row| row.chunks(8).map(|b| b.iter().rev().fold(0, |m, z| m << 1 | u8::from(bit(*z)))))
        .collect()
}

fn close<T: Element>(got: T, expected: f64, terms: usize, what: impl FnOnce() -> String) {
    let tolerance = T::EPSILON.to_f64() * 8.0 * (terms as f64 + 8.0) * (1.0 + expected.abs());
    assert!((got.to_f64() - expected).abs() <= tolerance, "{}: {got} for {expected}", what());
}

/// One forward call in one of its many forms, on every ISA and backend.
fn forward<T: Element>(
    act: Activation<T>,
    (rows, inputs, outputs): (usize, usize, usize),
    form: usize,
) -> Result<()> {
    let scale = T::from_f64(2.0 / (inputs.max(1) as f64).sqrt());
    let (xs, ws) = (numbers::<T>(rows * inputs, 1), numbers::<T>(outputs * inputs, 2));
    let x = Stored::new(LAYOUTS[form % 5], rows, inputs, |i| xs[i]);
    let w = Stored::new(LAYOUTS[form / 5 % 5], outputs, inputs, |i| scale * ws[i]);
    let bias = (!form.is_multiple_of(3)).then(|| numbers::<T>(outputs, 3));
    let gap = form % 4;
    let terms = |i: usize, j: usize| {
        (0..inputs).map({
            let (x, w) = (&x, &w);
            move |p| (x[(i, p)], w[(j, p)])
        })
    };
    let start = |j: usize| bias.as_ref().map_or(T::ZERO, |b| b[j]);
    let z: Vec<T> =
        (0..rows * outputs).map(|e| chains(start(e % outputs), terms(e / outputs, e % outputs))).collect();
    let (mut a, mut d) = (z.clone(), z.clone());
    act.value_and_derivative_on(IsaToken::pin("scalar")?, &z, &mut a, &mut d)?;
    for isa in IsaToken::available() {
        for backend in BACKENDS {
            let what = |part: &str| {
                format!("{part} {act:?} {rows}×{inputs}→{outputs} {isa:?} {backend:?} form {form}")
            };
            let dense = Dense::<T>::with(isa, 2, backend)?;
            let mut scratch = vec![T::from_f64(f64::NAN); dense.scratch_len(rows, inputs, outputs)];
            let mut out = output(rows, outputs, gap);
            let mut derivative = output(rows, outputs, gap + 1);
            let mut mask = vec![0xa5; Dense::<T>::mask_len(rows, outputs)];
            let saved = match act.saved() {
                _ if form % 7 == 6 => SavedMut::Nothing,
                Saved::Mask => SavedMut::Mask(&mut mask),
                Saved::Derivative => SavedMut::Derivative(MatMut::with_leading_dim(
                    &mut derivative,
                    rows,
                    outputs,
                    outputs + gap + 1,
                )?),
                _ => SavedMut::Nothing,
            };
            let saves = !matches!(saved, SavedMut::Nothing);
            let view = MatMut::with_leading_dim(&mut out, rows, outputs, outputs + gap)?;
            dense.forward(x.view()?, w.view()?, bias.as_deref(), act, view, saved, &mut scratch)?;
            let out = rows_of(&out, outputs, gap);
            let derivative = rows_of(&derivative, outputs, gap + 1);
            let native = backend == BackendKind::Native;
            if native {
                assert_bits(&out, &a, || what("A"));
            }
            match act.saved() {
                Saved::Mask if saves && native => {
                    assert_eq!(mask, mask_of(act, &z, outputs), "{}", what("mask"))
                }
                Saved::Derivative if saves && native => assert_bits(&derivative, &d, || what("g'")),
                _ => {}
            }
            for e in 0..rows * outputs {
                let (i, j) = (e / outputs, e % outputs);
                let sum: f64 = terms(i, j).map(|(x, w)| x.to_f64() * w.to_f64()).sum();
                let (value, slope) = reference(wide(act), start(j).to_f64() + sum);
                close(out[e], value, inputs, || what("A in f64"));
                if saves && act.saved() == Saved::Derivative {
                    close(derivative[e], slope, inputs, || what("g' in f64"));
                }
                if saves && act.saved() == Saved::Mask {
                    // The output says which branch was taken, but for a z of a whole ceiling.
                    let clipped = matches!(act, Activation::ClippedRelu(c) if out[e] >= c);
                    let bit = mask[i * outputs.div_ceil(8) + j / 8] >> (j % 8) & 1;
                    assert_eq!(bit == 1, out[e] > T::ZERO && !clipped, "{}", what("bit"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn forward_is_every_activation_of_the_product() -> Result<()> {
    for (i, (act32, act64)) in all::<f32>().into_iter().zip(all::<f64>()).enumerate() {
        for (j, sizes) in SIZES.into_iter().enumerate() {
            forward(act32, sizes, 9 * i + j)?;
            forward(act64, sizes, 9 * i + j + 2)?;
        }
    }
    Ok(())
}

#[test]
fn forward_follows_strides_in_every_combination() -> Result<()> {
    for form in 0..105 {
        forward(Activation::<f32>::Relu, (7, 9, 20), form)?;
        forward(Activation::<f64>::Tanh, (5, 6, 16), form)?;
    }
    Ok(())
}

/// Inner sizes of more than a cache block: the output holds the sum so far meanwhile.
#[test]
fn forward_goes_on_across_blocks_of_k() -> Result<()> {
    for (form, act) in
        [Activation::Tanh, Activation::Relu, Activation::Exp, Activation::Identity].into_iter().enumerate()
    {
        forward::<f32>(act, (7, 1100, 35), form + 1)?;
    }
    for (form, inputs) in [511, 512, 513, 1024, 1025].into_iter().enumerate() {
        forward::<f32>(Activation::Silu, (9, inputs, 19), form)?;
    }
    forward::<f64>(Activation::Gelu, (25, 1600, 9), 1)
}

#[test]
fn layers_without_inputs_are_their_biases() -> Result<()> {
    for form in 1..3 {
        forward(Activation::<f32>::Sigmoid, (4, 0, 9), form)?;
        forward(Activation::<f64>::LeakyRelu(0.125), (4, 0, 9), form)?;
    }
    Ok(())
}

#[test]
fn sizes_of_zero_are_no_work() -> Result<()> {
    for backend in BACKENDS {
        let dense = Dense::<f32>::with(IsaToken::detect(), 2, backend)?;
        let x = numbers::<f32>(12, 14);
        for (rows, inputs, outputs) in [(4, 3, 0), (4, 0, 3), (0, 3, 4), (4, 0, 0), (0, 0, 0)] {
            let (xm, wm) = (MatRef::new(&x, rows, inputs)?, MatRef::new(&x, outputs, inputs)?);
            let dm = MatRef::new(&x, rows, outputs)?;
            let (mut a, mut dx, mut dw) = ([7.0f32; 12], [7.0f32; 12], [7.0f32; 12]);
            let mut scratch = dense.scratch(rows, inputs, outputs);
            let (act, none) = (Activation::Identity, SavedMut::Nothing);
            dense.forward(xm, wm, None, act, MatMut::new(&mut a, rows, outputs)?, none, &mut scratch)?;
            let view = MatMut::new(&mut dx, rows, inputs)?;
            dense.vjp_input(dm, wm, act, SavedRef::Nothing, view, None, &mut scratch)?;
            dense.vjp_weights(dm, xm, MatMut::new(&mut dw, outputs, inputs)?, false, &mut scratch)?;
            for (out, len) in [(a, rows * outputs), (dx, rows * inputs), (dw, outputs * inputs)] {
                // Sums of nothing are zero; what is not an output is as it was.
                let (inside, outside) = out.split_at(len);
                assert!(
                    inside.iter().all(|x| *x == 0.0) && outside.iter().all(|x| *x == 7.0),
                    "{backend:?} {out:?}"
                );
            }
        }
    }
    Ok(())
}

/// A call that went through the rows would not come back.
#[test]
fn rows_without_elements_take_no_time() -> Result<()> {
    let rows = 1 << 59;
    let (w, many) = (MatRef::<f64>::new(&[], 0, 0)?, MatRef::new(&[], rows, 0)?);
    let none = || MatMut::new(&mut [], rows, 0);
    for isa in IsaToken::available() {
        let dense = Dense::<f64>::with(isa, 2, BackendKind::Native)?;
        let mut scratch = dense.scratch(rows, 0, 0);
        let (saved, act) = (SavedMut::Derivative(none()?), Activation::Tanh);
        dense.forward(many, w, Some(&[]), act, none()?, saved, &mut scratch)?;
        let saved = SavedRef::Values(many);
        dense.vjp_input(many, w, act, saved, none()?, Some(&mut []), &mut scratch)?;
        dense.vjp_weights(many, many, MatMut::new(&mut [], 0, 0)?, true, &mut scratch)?;
        dense.vjp_bias(many, &mut [])?;
    }
    Ok(())
}

/// The sum of a column: chains of additions.
fn sum_of<T: Element>(column: impl Iterator<Item = T>) -> T {
    chains(T::ZERO, column.map(|x| (x, T::ONE)))
}

/// What a layer below has saved, and the slopes that it stands for.
struct State<T> {
    mask: Vec<u8>,
    values: Vec<T>,
}

/// One input VJP in one of its many forms, on every ISA and backend.
fn vjp_input<T: Element>(
    act: Activation<T>,
    (rows, inputs, outputs): (usize, usize, usize),
    form: usize,
) -> Result<()> {
    let (ds, ws) = (numbers::<T>(rows * outputs, 4), numbers::<T>(outputs * inputs, 5));
    let delta = Stored::new(LAYOUTS[form % 5], rows, outputs, |i| ds[i]);
    let w = Stored::new(LAYOUTS[form / 5 % 5], outputs, inputs, |i| ws[i]);
    let z = numbers::<T>(rows * inputs, 6);
    let gap = form % 4;
    let mut state = State { mask: mask_of(act, &z, inputs), values: output(rows, inputs, gap + 2) };
    state
        .values
        .chunks_mut(inputs + gap + 2)
        .zip(z.chunks(inputs))
        .for_each(|(to, z)| to[..inputs].copy_from_slice(z));
    let terms = |i: usize, j: usize| {
        (0..outputs).map({
            let (d, w) = (&delta, &w);
            move |p| (d[(i, p)], w[(p, j)])
        })
    };
    // g' as a factor; that of a mask is selected, and 1·g and α·g are what multiplication gives.
    let slope = |e: usize| match act.saved() {
        Saved::Nothing => T::ONE,
        Saved::Mask if mask_of(act, &z[e..=e], 1)[0] == 1 => T::ONE,
        Saved::Mask => act.parameter().filter(|_| act.name() == "leaky_relu").unwrap_or(T::ZERO),
        _ => z[e],
    };
    let sum = |e: usize| chains(T::ZERO, terms(e / inputs, e % inputs));
    let times = |e: usize| if slope(e) == T::ZERO { T::ZERO } else { sum(e) * slope(e) };
    let expected: Vec<T> = (0..rows * inputs).map(times).collect();
    for isa in IsaToken::available() {
        for backend in BACKENDS {
            let what = |part: &str| {
                format!("{part} {act:?} {rows}×{outputs}→{inputs} {isa:?} {backend:?} form {form}")
            };
            let dense = Dense::<T>::with(isa, 2, backend)?;
            let mut scratch = vec![T::from_f64(f64::NAN); dense.scratch_len(rows, inputs, outputs)];
            let saved = match act.saved() {
                Saved::Nothing => SavedRef::Nothing,
                Saved::Mask => SavedRef::Mask(&state.mask),
                _ => {
                    SavedRef::Values(MatRef::with_leading_dim(&state.values, rows, inputs, inputs + gap + 2)?)
                }
            };
            let mut out = output(rows, inputs, gap);
            let mut db = vec![T::from_f64(f64::NAN); inputs];
            let view = MatMut::with_leading_dim(&mut out, rows, inputs, inputs + gap)?;
            let sums = (form % 3 != 2).then_some(&mut db[..]);
            dense.vjp_input(delta.view()?, w.view()?, act, saved, view, sums, &mut scratch)?;
            let out = rows_of(&out, inputs, gap);
            if backend == BackendKind::Native {
                assert_bits(&out, &expected, || what("δ'"));
            }
            for e in 0..rows * inputs {
                let exact: f64 = terms(e / inputs, e % inputs).map(|(d, w)| d.to_f64() * w.to_f64()).sum();
                close(out[e], exact * slope(e).to_f64(), outputs, || what("δ' in f64"));
            }
            if form % 3 != 2 {
                let column = |j: usize| sum_of(out.iter().skip(j).step_by(inputs).copied());
                assert_bits(&db, &(0..inputs).map(column).collect::<Vec<T>>(), || what("db'"));
            }
        }
    }
    Ok(())
}

#[test]
fn input_vjps_are_the_product_times_the_derivative() -> Result<()> {
    for (i, (act32, act64)) in all::<f32>().into_iter().zip(all::<f64>()).enumerate() {
        for (j, sizes) in SIZES.into_iter().enumerate() {
            vjp_input(act32, sizes, 9 * i + j)?;
            vjp_input(act64, sizes, 9 * i + j + 2)?;
        }
    }
    for form in 0..75 {
        vjp_input(Activation::<f32>::Relu, (7, 9, 20), form)?;
        vjp_input(Activation::<f64>::Silu, (5, 16, 6), form)?;
    }
    Ok(())
}

#[test]
fn input_vjps_go_on_across_blocks_of_k() -> Result<()> {
    for (form, act) in
        [Activation::Tanh, Activation::LeakyRelu(0.125), Activation::Exp].into_iter().enumerate()
    {
        vjp_input::<f32>(act, (7, 35, 1100), form)?;
    }
    // As deep as chains go, and more rows than one of db' has.
    for (form, (rows, outputs)) in [(3, 512), (5, 513), (512, 6), (513, 5), (1025, 7)].into_iter().enumerate()
    {
        vjp_input::<f32>(Activation::Relu, (rows, 35, outputs), 3 * form)?;
        vjp_input::<f64>(Activation::Silu, (rows, 20, outputs), 3 * form + 1)?;
    }
    vjp_input::<f64>(Activation::Identity, (25, 9, 1600), 0)?;
    vjp_input::<f64>(Activation::Relu, (4, 9, 0), 0)
}

/// dW, fresh and accumulated, on every ISA and backend.
fn vjp_weights<T: Element>((rows, inputs, outputs): (usize, usize, usize), form: usize) -> Result<()> {
    let (ds, xs) = (numbers::<T>(rows * outputs, 7), numbers::<T>(rows * inputs, 8));
    let delta = Stored::new(LAYOUTS[form % 5], rows, outputs, |i| ds[i]);
    let a = Stored::new(LAYOUTS[form / 5 % 5], rows, inputs, |i| xs[i]);
    let (gap, before) = (form % 3, T::from_f64(GAP));
    let terms = |o: usize, i: usize| {
        (0..rows).map({
            let (d, a) = (&delta, &a);
            move |r| (d[(r, o)], a[(r, i)])
        })
    };
    for accumulate in [false, true] {
        let start = if accumulate { before } else { T::ZERO };
        let expected: Vec<T> =
            (0..outputs * inputs).map(|e| chains(start, terms(e / inputs, e % inputs))).collect();
        for isa in IsaToken::available() {
            for backend in BACKENDS {
                let what =
                    || format!("dW {rows}: {inputs}→{outputs} {isa:?} {backend:?} form {form} {accumulate}");
                let dense = Dense::<T>::with(isa, 2, backend)?;
                let mut scratch = vec![T::from_f64(f64::NAN); dense.scratch_len(rows, inputs, outputs)];
                let mut dw = output(outputs, inputs, gap);
                let view = MatMut::with_leading_dim(&mut dw, outputs, inputs, inputs + gap)?;
                dense.vjp_weights(delta.view()?, a.view()?, view, accumulate, &mut scratch)?;
                let dw = rows_of(&dw, inputs, gap);
                if backend == BackendKind::Native {
                    assert_bits(&dw, &expected, what);
                }
                for e in 0..outputs * inputs {
                    let exact: f64 =
                        terms(e / inputs, e % inputs).map(|(d, a)| d.to_f64() * a.to_f64()).sum();
                    close(dw[e], start.to_f64() + exact, rows, what);
                }
            }
        }
    }
    Ok(())
}

/// Sizes (rows, inputs, outputs) of no rows, and of as many as chains have.
const LONG: [(usize, usize, usize); 6] =
    [(0, 3, 5), (511, 5, 3), (512, 20, 7), (513, 19, 8), (1025, 5, 6), (1300, 20, 7)];

#[test]
fn weight_vjps_sum_over_the_batch() -> Result<()> {
    for (i, sizes) in SIZES.into_iter().chain(LONG).enumerate() {
        vjp_weights::<f32>(sizes, i)?;
        vjp_weights::<f64>(sizes, 3 * i)?;
    }
    for form in 0..25 {
        vjp_weights::<f32>((9, 20, 13), form)?;
        vjp_weights::<f64>((30, 8, 26), form)?;
    }
    Ok(())
}

#[test]
fn bias_vjps_are_column_sums_of_any_rows() -> Result<()> {
    let data = numbers::<f32>(4000, 9);
    for isa in IsaToken::available() {
        for backend in BACKENDS {
            let dense = Dense::<f32>::with(isa, 2, backend)?;
            // The last two repeat a row, or have rows that overlap.
            for (rows, cols, ld) in [
                (5, 7, 7),
                (1, 1, 1),
                (33, 65, 70),
                (20, 130, 200),
                (0, 4, 4),
                (3, 0, 5),
                (4, 9, 0),
                (6, 9, 2),
                (512, 7, 7),
                (513, 7, 7),
                (1025, 3, 3),
                (1537, 2, 2),
            ] {
                let delta = MatRef::with_strides(&data, rows, cols, ld, 1)?;
                let mut db = vec![f32::NAN; cols];
                dense.vjp_bias(delta, &mut db)?;
                let sum = |j: usize| sum_of((0..rows).map(|i| data[i * ld as usize + j]));
                let expected: Vec<f32> = (0..cols).map(sum).collect();
                assert_bits(&db, &expected, || format!("{isa:?} {backend:?} {rows}×{cols} {ld}"));
            }
        }
    }
    Ok(())
}

/// Enough work for eight tasks, whole and cut at odd places.
#[test]
fn threads_leave_no_trace() -> Result<()> {
    let (rows, inputs, outputs) = (203, 330, 299);
    let (x, w) = (numbers::<f32>(rows * inputs, 10), numbers::<f32>(outputs * inputs, 11));
    let (bias, dy) = (numbers::<f32>(outputs, 12), numbers::<f32>(rows * outputs, 13));
    let (x, w) = (MatRef::new(&x, rows, inputs)?, MatRef::new(&w, outputs, inputs)?);
    let dy = MatRef::new(&dy, rows, outputs)?;
    let mut first: Option<(Vec<u8>, [Vec<f32>; 5])> = None;
    for isa in IsaToken::available() {
        for threads in [1, 2, 3, 8] {
            let dense = Dense::<f32>::with(isa, threads, BackendKind::Native)?;
            let mut scratch = dense.scratch(rows, inputs, outputs);
            let mut a = vec![0.0; rows * outputs];
            let mut mask = vec![0; Dense::<f32>::mask_len(rows, outputs)];
            let (view, saved) = (MatMut::new(&mut a, rows, outputs)?, SavedMut::Mask(&mut mask));
            dense.forward(x, w, Some(&bias), Activation::Relu, view, saved, &mut scratch)?;
            let (mut dx, mut db) = (vec![0.0; rows * inputs], vec![0.0; inputs]);
            let view = MatMut::new(&mut dx, rows, inputs)?;
            dense.vjp_input(
                dy,
                w,
                Activation::Tanh,
                SavedRef::Values(x),
                view,
                Some(&mut db),
                &mut scratch,
            )?;
            let (mut dw, mut sums) = (vec![0.0; outputs * inputs], vec![0.0; outputs]);
            dense.vjp_weights(dy, x, MatMut::new(&mut dw, outputs, inputs)?, false, &mut scratch)?;
            dense.vjp_bias(dy, &mut sums)?;
            let result = (mask, [a, dx, db, dw, sums]);
            let (mask, parts) = first.get_or_insert_with(|| result.clone());
            assert_eq!(&result.0, mask, "{isa:?} {threads}");
            for (part, (got, expected)) in result.1.iter().zip(parts).enumerate() {
                assert_bits(got, expected, || format!("part {part}, {isa:?}, {threads} threads"));
            }
        }
    }
    Ok(())
}
