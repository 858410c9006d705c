//! No call reads or writes a byte past either end of an operand: each lies against an inaccessible page, at odd
//! widths, on every ISA. Outputs are compared with those of ordinary memory.
#![cfg(unix)]

#[path = "common/bits.rs"]
mod bits;
#[path = "common/guard.rs"]
mod guard;
#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/stored.rs"]
mod stored;

use bits::assert_bits;
use guard::{Edge, Guarded};
use nablas::{
    Activation, BackendKind, Dense, Gemm, IsaToken, Loss, LossKind, MatMut, MatRef, Mlp, Plan, PlanOptions,
    Reduction, Result, Scalar, Targets,
    dense::{SavedMut, SavedRef},
};
use nablas_kernels::act::Saved;
use numbers::numbers;
use stored::{LAYOUTS, Layout, Stored};

const EDGES: [Edge; 2] = [Edge::Start, Edge::End];
const WIDTHS: [usize; 8] = [1, 3, 7, 8, 10, 16, 17, 33];

fn matrix<T: Scalar>(layout: Layout, rows: usize, cols: usize, seed: u64) -> Stored<T> {
    let values = numbers::<T>(rows * cols, seed);
    Stored::new(layout, rows, cols, |i| values[i])
}

/// A view of memory that holds what `stored` does.
fn view<'a, T: Scalar>(memory: &'a [T], stored: &Stored<T>) -> Result<MatRef<'a, T>> {
    let ((rows, cols), (rs, cs)) = (stored.shape, stored.strides);
    MatRef::with_strides(memory, rows, cols, rs as isize, cs as isize)
}

fn view_mut<'a, T: Scalar>(memory: &'a mut [T], stored: &Stored<T>) -> Result<MatMut<'a, T>> {
    let ((rows, cols), (rs, cs)) = (stored.shape, stored.strides);
    MatMut::with_strides(memory, rows, cols, rs as isize, cs as isize)
}

#[test]
fn the_guards_are_where_they_should_be() {
    for edge in EDGES {
        let memory = Guarded::new(&[1.0f32, 2.0, 3.0], edge);
        // SAFETY: a query without arguments that could be wrong.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let ends = memory.as_ptr_range();
        let touching = if edge == Edge::Start { ends.start } else { ends.end };
        assert_eq!((touching.addr() % page, &memory[..]), (0, &[1.0, 2.0, 3.0][..]));
    }
}

fn gemm<T: Scalar>((m, k, n): (usize, usize, usize), layouts: [Layout; 3], alpha: T, beta: T) -> Result<()> {
    let a = matrix::<T>(layouts[0], m, k, 1);
    let b = matrix::<T>(layouts[1], k, n, 2);
    let c = matrix::<T>(layouts[2], m, n, 3);
    for isa in IsaToken::available() {
        let gemm = Gemm::with(isa, 1);
        let mut scratch = gemm.scratch(m, n, k);
        let mut expected = c.data.clone();
        gemm.run(alpha, a.view()?, b.view()?, beta, view_mut(&mut expected, &c)?, &mut scratch)?;
        for edge in EDGES {
            let (a_memory, b_memory) = (Guarded::new(&a.data, edge), Guarded::new(&b.data, edge));
            let (mut out, mut scratch) = (Guarded::new(&c.data, edge), Guarded::new(&scratch, edge));
            let (a, b) = (view(&a_memory, &a)?, view(&b_memory, &b)?);
            gemm.run(alpha, a, b, beta, view_mut(&mut out, &c)?, &mut scratch)?;
            assert_bits(&out, &expected, || format!("{m}×{k}×{n} {layouts:?} {isa:?} {edge:?}"));
        }
    }
    Ok(())
}

#[test]
fn products_stay_inside() -> Result<()> {
    for (i, m) in WIDTHS.into_iter().enumerate() {
        for (j, k) in WIDTHS.into_iter().enumerate() {
            for (l, n) in WIDTHS.into_iter().enumerate() {
                let form = 64 * i + 8 * j + l;
                let layouts = [LAYOUTS[form % 5], LAYOUTS[form / 5 % 5], LAYOUTS[form / 25 % 5]];
                gemm::<f32>((m, k, n), layouts, if form.is_multiple_of(2) { 1.0 } else { 0.7 }, 0.5)?;
                gemm::<f64>((m, k, n), layouts, if form.is_multiple_of(3) { 1.0 } else { 0.7 }, 0.0)?;
                gemm::<f32>((m, k, n), [Layout::Rows; 3], 1.0, 0.0)?;
            }
        }
    }
    Ok(())
}

/// The results of the four calls of a layer.
type LayerResults<T> = (Vec<u8>, [Vec<T>; 6]);

/// The four calls of a layer with every operand in memory that `make` makes.
fn layer<T: Scalar, M: core::ops::DerefMut<Target = [T]>>(
    dense: &Dense<T>,
    act: Activation<T>,
    (rows, inputs, outputs): (usize, usize, usize),
    form: usize,
    make: impl Fn(&[T]) -> M,
    make_mask: impl Fn(&[u8]) -> Guarded<u8>,
) -> Result<LayerResults<T>> {
    let x = matrix::<T>(LAYOUTS[form % 5], rows, inputs, 4);
    let w = matrix::<T>(LAYOUTS[form / 5 % 5], outputs, inputs, 5);
    let dy = matrix::<T>(LAYOUTS[form / 25 % 5], rows, outputs, 6);
    let out = if form.is_multiple_of(2) { Layout::Rows } else { Layout::RowsApart };
    let a = matrix::<T>(out, rows, outputs, 7);
    let dx = matrix::<T>(out, rows, inputs, 8);
    let (wide, tall) = (matrix::<T>(out, outputs, inputs, 9), matrix::<T>(out, rows, inputs, 10));
    let (xs, ws, dys) = (make(&x.data), make(&w.data), make(&dy.data));
    let (bias, mut scratch) = (make(&numbers(outputs, 11)), make(&dense.scratch(rows, inputs, outputs)));
    let (x, w, dy) = (view(&xs, &x)?, view(&ws, &w)?, view(&dys, &dy)?);

    let (mut out, mut d) = (make(&a.data), make(&a.data));
    let mut mask = make_mask(&vec![0; Dense::<T>::mask_len(rows, outputs)]);
    let saved = match act.saved() {
        Saved::Mask => SavedMut::Mask(&mut mask),
        Saved::Derivative => SavedMut::Derivative(view_mut(&mut d, &a)?),
        _ => SavedMut::Nothing,
    };
    dense.forward(x, w, Some(&bias), act, view_mut(&mut out, &a)?, saved, &mut scratch)?;

    // The layer below has the same activation; its state is made up.
    let below = make(&tall.data);
    let bits: Vec<u8> = (0..Dense::<T>::mask_len(rows, inputs)).map(|i| (i * 151) as u8).collect();
    let bits = make_mask(&bits);
    let saved = match act.saved() {
        Saved::Nothing => SavedRef::Nothing,
        Saved::Mask => SavedRef::Mask(&bits),
        _ => SavedRef::Values(view(&below, &tall)?),
    };
    let (mut delta, mut db) = (make(&dx.data), make(&numbers(inputs, 12)));
    dense.vjp_input(dy, w, act, saved, view_mut(&mut delta, &dx)?, Some(&mut db), &mut scratch)?;
    let mut dw = make(&wide.data);
    dense.vjp_weights(dy, x, view_mut(&mut dw, &wide)?, form.is_multiple_of(3), &mut scratch)?;
    let mut sums = make(&numbers(inputs, 13));
    dense.vjp_bias(view(&below, &tall)?, &mut sums)?;
    let all = [out, d, delta, db, dw, sums];
    Ok((mask.to_vec(), all.map(|m| m.to_vec())))
}

fn layers<T: Scalar>() -> Result<()> {
    let t = T::from_f64;
    let acts = [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu(t(0.1)),
        Activation::Tanh,
        Activation::Exp,
    ];
    let mut form = 0;
    for rows in [1, 5, 26] {
        for inputs in WIDTHS {
            for outputs in WIDTHS {
                form += 1;
                let (sizes, act) = ((rows, inputs, outputs), acts[form % 5]);
                for isa in IsaToken::available() {
                    for backend in [BackendKind::Native, BackendKind::MatrixMultiply] {
                        let dense = Dense::with(isa, 1, backend)?;
                        let masks = |x: &[u8]| Guarded::new(x, Edge::End);
                        let expected = layer(&dense, act, sizes, form / 5, <[T]>::to_vec, masks)?;
                        for edge in EDGES {
                            let (values, masks) =
                                (|x: &[T]| Guarded::new(x, edge), |x: &[u8]| Guarded::new(x, edge));
                            let got = layer(&dense, act, sizes, form / 5, values, masks)?;
                            let what = || format!("{sizes:?} {act:?} {isa:?} {backend:?} {edge:?}");
                            assert_eq!(got.0, expected.0, "mask {}", what());
                            for (got, expected) in got.1.iter().zip(&expected.1) {
                                assert_bits(got, expected, what);
                            }
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn layers_of_f32_stay_inside() -> Result<()> {
    layers::<f32>()
}

#[test]
fn layers_of_f64_stay_inside() -> Result<()> {
    layers::<f64>()
}

/// The results of a plan's calls.
fn steps<T: Scalar, M: core::ops::DerefMut<Target = [T]>>(
    plan: &Plan<T>,
    params: &[T],
    batch: usize,
    form: usize,
    make: impl Fn(&[T]) -> M,
) -> Result<Vec<Vec<T>>> {
    let (inputs, outputs) = (plan.mlp().inputs(), plan.mlp().outputs());
    let x = matrix::<T>(LAYOUTS[form % 5], batch, inputs, 14);
    let dy = matrix::<T>(LAYOUTS[form / 5 % 5], batch, outputs, 15);
    let y = matrix::<T>(LAYOUTS[form / 2 % 5], batch, outputs, 16);
    let dx = matrix::<T>(LAYOUTS[form / 3 % 5], batch, inputs, 17);
    let targets = matrix::<T>(
        if form.is_multiple_of(2) { Layout::Rows } else { Layout::RowsApart },
        batch,
        outputs,
        18,
    );
    let (params, xs, dys) = (make(params), make(&x.data), make(&dy.data));
    let (x, dy) = (view(&xs, &x)?, view(&dys, &dy)?);
    let mut ws = plan.workspace()?;
    let mut results = Vec::new();

    let (mut out, mut grads, mut cotangent) = (make(&y.data), make(&params), make(&dx.data));
    let (ym, dxm) = (view_mut(&mut out, &y)?, view_mut(&mut cotangent, &dx)?);
    plan.vjp(&params[..], x, dy, Some(ym), &mut grads[..], Some(dxm), &mut ws)?;
    results.extend([out, grads, cotangent].map(|m| m.to_vec()));

    let (mut out, mut grads, mut cotangent) = (make(&y.data), make(&params), make(&dx.data));
    let mut kept = plan.kept(batch)?;
    plan.forward(&params[..], x, view_mut(&mut out, &y)?, Some(&mut kept), &mut ws)?;
    let dxm = view_mut(&mut cotangent, &dx)?;
    plan.backward(&params[..], x, dy, &mut grads[..], Some(dxm), &kept, &mut ws)?;
    results.extend([out, grads, cotangent].map(|m| m.to_vec()));

    let mut grads = make(&params);
    let goals = make(&targets.data);
    let loss = Loss::new(LossKind::Mse, Reduction::Mean);
    let targets = Targets::Values(view(&goals, &targets)?);
    let value = plan.value_and_grad(&params[..], x, &loss, targets, &mut grads[..], &mut ws)?;
    results.extend([vec![value], grads.to_vec()]);
    Ok(results)
}

fn plans<T: Scalar>(shapes: &[[usize; 4]], batches: &[usize], acts: &[Activation<T>]) -> Result<()> {
    let mut form = 0;
    for &[inputs, first, second, outputs] in shapes {
        for &batch in batches {
            form += 1;
            let (a, b) = (acts[form % acts.len()], acts[(form / 2 + 1) % acts.len()]);
            let mlp = Mlp::builder(inputs).layer(first, a).layer(second, b).layer(outputs, a).build()?;
            let scale = T::from_f64(1.0 / (mlp.max_width() as f64).sqrt());
            let params: Vec<T> = numbers::<T>(mlp.param_len(), 19).into_iter().map(|p| p * scale).collect();
            for isa in IsaToken::available() {
                for backend in [BackendKind::Native, BackendKind::MatrixMultiply] {
                    let options =
                        PlanOptions::new(batch + form % 3).exactly(1 + form % 2).isa(isa).backend(backend);
                    let plan = Plan::new(&mlp, &options)?;
                    let expected = steps(&plan, &params, batch, form, <[T]>::to_vec)?;
                    for edge in EDGES {
                        let got = steps(&plan, &params, batch, form, |x| Guarded::new(x, edge))?;
                        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
                            assert_bits(got, expected, || format!("result {i} of {plan:?} {batch} {edge:?}"));
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn plans_stay_inside() -> Result<()> {
    let mut shapes = Vec::new();
    for (i, inputs) in WIDTHS.into_iter().enumerate() {
        for (j, outputs) in WIDTHS.into_iter().enumerate() {
            shapes.push([inputs, WIDTHS[(i + j) % 8], WIDTHS[(3 * i + 5 * j + 1) % 8], outputs]);
        }
    }
    // Wider ones: samples lie in the lanes of those above.
    shapes.extend([
        [32, 48, 64, 16],
        [17, 70, 65, 10],
        [33, 100, 48, 7],
        [8, 90, 77, 1],
        [3, 90, 77, 5],
        [6, 100, 64, 1],
    ]);
    let acts = [
        Activation::Relu,
        Activation::Tanh,
        Activation::Exp,
        Activation::LeakyRelu(0.1),
        Activation::Identity,
    ];
    plans::<f32>(&shapes, &[1, 5, 29], &acts)?;
    let acts = [Activation::Relu, Activation::Tanh, Activation::Exp, Activation::Gelu, Activation::Identity];
    plans::<f64>(&shapes, &[1, 31], &acts)
}

/// Networks of more parameters than the fused path takes.
#[test]
fn layered_plans_stay_inside() -> Result<()> {
    let acts = [Activation::Relu, Activation::Sin(1.0), Activation::Exp];
    plans::<f32>(&[[17, 7000, 33, 1], [33, 500, 501, 7]], &[1, 7], &acts)?;
    plans::<f64>(&[[10, 6100, 33, 3]], &[5], &[Activation::Tanh, Activation::Relu])
}
