//! Every argument that does not fit a call of `Plan`, `Dense` or `Gemm` is refused, in these words, and every output
//! is then as it was.

use nablas::{
    Activation, BackendKind, Dense, Error, Gemm, IsaToken, Loss, LossKind, MatMut, MatRef, Mlp, Plan,
    PlanOptions, Reduction, Result, Targets, Workspace,
    dense::{SavedMut, SavedRef},
};

/// What outputs hold before a call that is refused.
const CANARY: f32 = 7.0;

fn refused<'a>(cases: impl IntoIterator<Item = (Result<()>, &'a str)>) {
    for (result, words) in cases {
        assert_eq!(result.expect_err(words).to_string(), words);
    }
}

fn mlp() -> Result<Mlp<f32>> {
    Mlp::builder(3).layer(4, Activation::Relu).layer(2, Activation::Tanh).build()
}

/// A network above the fused path's limit.
fn layered() -> Result<Mlp<f32>> {
    Mlp::builder(3)
        .layer(600, Activation::Relu)
        .layer(500, Activation::Relu)
        .layer(2, Activation::Identity)
        .build()
}

fn view(data: &[f32], rows: usize, cols: usize) -> MatRef<'_, f32> {
    MatRef::new(data, rows, cols).expect("a view")
}

fn out(data: &mut [f32], rows: usize, cols: usize) -> MatMut<'_, f32> {
    MatMut::new(data, rows, cols).expect("a view")
}

fn columns(data: &mut [f32], rows: usize, cols: usize) -> MatMut<'_, f32> {
    MatMut::with_strides(data, rows, cols, 1, rows as isize).expect("a view")
}

/// A view from the last row to the first.
fn descending(data: &mut [f32], rows: usize, cols: usize) -> MatMut<'_, f32> {
    let first = data[(rows - 1) * cols..].as_mut_ptr();
    // SAFETY: the rows are those of the slice, the last one first.
    unsafe { MatMut::from_raw_parts(first, rows, cols, -(cols as isize), 1) }
}

#[test]
fn plans_that_cannot_be() -> Result<()> {
    let threads = PlanOptions::new(1).threads(0);
    for mlp in [mlp()?, layered()?] {
        refused([(Plan::new(&mlp, &threads).map(|_| ()), "threads: expected at least 1, got 0")]);
        for batch in [usize::MAX, usize::MAX / 2, 1 << 62, 1 << 59] {
            for backend in [BackendKind::Native, BackendKind::MatrixMultiply] {
                for kept in [false, true] {
                    let options = PlanOptions::new(batch).threads(2).backend(backend);
                    let memory = |p: Plan<f32>| match kept {
                        true => p.kept(batch).map(|_| ()),
                        false => p.workspace().map(|_| ()),
                    };
                    let made = Plan::new(&mlp, &options).and_then(memory);
                    assert!(
                        matches!(
                            made,
                            Err(Error::Overflow { .. } | Error::Memory { .. } | Error::Backend { .. })
                        ),
                        "{batch} {backend:?} {kept}: {made:?}"
                    );
                }
            }
        }
    }
    Ok(())
}

#[test]
fn plans_refuse_what_does_not_fit() -> Result<()> {
    for (mlp, backend) in [
        (mlp()?, BackendKind::Native),
        (mlp()?, BackendKind::MatrixMultiply),
        (layered()?, BackendKind::Native),
    ] {
        let plan = Plan::new(&mlp, &PlanOptions::new(5).threads(1).backend(backend))?;
        let other = Plan::new(&mlp, &PlanOptions::new(90).threads(1).backend(backend))?;
        let (mut ws, mut foreign) = (plan.workspace()?, other.workspace()?);
        let (mut kept, mut apart) = (plan.kept(5)?, other.kept(5)?);
        let mut small = plan.kept(3)?;
        let params = vec![0.5; mlp.param_len()];
        let short = &params[1..];
        let x = [0.25; 40];
        let (good, dy, classes) = (view(&x, 4, 3), view(&x, 4, 2), [0u32, 1, 0, 1]);
        let mut y = [CANARY; 40];
        let mut dx = [CANARY; 40];
        let mut grads = vec![CANARY; mlp.param_len()];
        let expected = mlp.param_len();
        let length = format!(
            "a flat buffer of the network's parameters: expected {expected} elements, got {}",
            short.len()
        );
        let gradient = format!("the gradient: expected {expected} elements, got {}", expected - 1);
        let bytes = (plan.workspace_bytes(), other.workspace_bytes());
        let workspace = format!(
            "a workspace of another plan ({} bytes, this plan needs {}): make it with `Plan::workspace`",
            bytes.1, bytes.0
        );
        let (length, gradient, workspace) = (&length[..], &gradient[..], &workspace[..]);
        let none = "the kept state is of no forward pass, the backward pass of 4 rows: give it to `Plan::forward` first";
        let of_another = "a kept state of another plan: make it with `Plan::kept`";
        let room = "expected a batch of at most 3 rows, got 4";
        let input = "the input: expected a 4×3 matrix, got 4×2";
        let batch = "expected a batch of at most 5 rows, got 6";

        refused([
            (plan.forward(short, good, out(&mut y, 4, 2), None, &mut ws), length),
            (plan.forward(&params, view(&x, 4, 2), out(&mut y, 4, 2), None, &mut ws), input),
            (plan.forward(&params, view(&x, 6, 3), out(&mut y, 6, 2), None, &mut ws), batch),
            (
                plan.forward(&params, good, out(&mut y, 4, 3), None, &mut ws),
                "the output: expected a 4×2 matrix, got 4×3",
            ),
            (
                plan.forward(&params, good, out(&mut y, 3, 2), None, &mut ws),
                "the output: expected a 4×2 matrix, got 3×2",
            ),
            (plan.forward(&params, good, out(&mut y, 4, 2), None, &mut foreign), workspace),
            (plan.forward(&params, good, out(&mut y, 4, 2), Some(&mut apart), &mut ws), of_another),
            (plan.forward(&params, good, out(&mut y, 4, 2), Some(&mut small), &mut ws), room),
            (plan.backward(&params, good, dy, &mut grads, None, &apart, &mut ws), of_another),
            (plan.backward(&params, good, dy, &mut grads, Some(out(&mut dx, 4, 3)), &kept, &mut ws), none),
        ]);

        // A forward pass that was kept stays kept through refusals.
        plan.forward(&params, view(&x, 3, 3), out(&mut [0.0; 6], 3, 2), Some(&mut kept), &mut ws)?;
        let three = "the kept state is of a forward pass of 3 rows, the backward pass of 4 rows: give it to \
                     `Plan::forward` first";
        let output = "the gradient of the output: expected a 4×2 matrix, got 2×4";
        let of_x = "the gradient of the input: expected a 4×3 matrix, got 3×4";
        let cut = expected - 1;
        refused([
            (
                plan.forward(&params, good, out(&mut y, 4, 3), None, &mut ws),
                "the output: expected a 4×2 matrix, got 4×3",
            ),
            (plan.backward(&params, good, dy, &mut grads, Some(out(&mut dx, 4, 3)), &kept, &mut ws), three),
            (plan.backward(short, good, dy, &mut grads, None, &kept, &mut ws), length),
            (plan.backward(&params, view(&x, 4, 2), dy, &mut grads, None, &kept, &mut ws), input),
            (plan.backward(&params, view(&x, 6, 3), view(&x, 6, 2), &mut grads, None, &kept, &mut ws), batch),
            (plan.backward(&params, good, view(&x, 2, 4), &mut grads, None, &kept, &mut ws), output),
            (plan.backward(&params, good, dy, &mut grads[..cut], None, &kept, &mut ws), gradient),
            (plan.backward(&params, good, dy, &mut grads, Some(out(&mut dx, 3, 4)), &kept, &mut ws), of_x),
            (plan.backward(&params, good, dy, &mut grads, None, &kept, &mut foreign), workspace),
        ]);
        let three_rows = (view(&x, 3, 3), view(&x, 3, 2));
        plan.backward(&params, three_rows.0, three_rows.1, &mut vec![0.0; expected], None, &kept, &mut ws)?;

        refused([
            (plan.vjp(short, good, dy, Some(out(&mut y, 4, 2)), &mut grads, None, &mut ws), length),
            (plan.vjp(&params, view(&x, 4, 2), dy, None, &mut grads, None, &mut ws), input),
            (plan.vjp(&params, view(&x, 6, 3), view(&x, 6, 2), None, &mut grads, None, &mut ws), batch),
            (plan.vjp(&params, good, view(&x, 2, 4), None, &mut grads, None, &mut ws), output),
            (
                plan.vjp(&params, good, dy, Some(out(&mut y, 4, 3)), &mut grads, None, &mut ws),
                "the output: expected a 4×2 matrix, got 4×3",
            ),
            (plan.vjp(&params, good, dy, None, &mut grads[..cut], None, &mut ws), gradient),
            (plan.vjp(&params, good, dy, None, &mut grads, Some(out(&mut dx, 3, 4)), &mut ws), of_x),
            (plan.vjp(&params, good, dy, Some(out(&mut y, 4, 2)), &mut grads, None, &mut foreign), workspace),
        ]);

        let mse = Loss::new(LossKind::Mse, Reduction::Mean);
        let entropy = Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Sum);
        let huber = Loss::new(LossKind::Huber(0.0), Reduction::Sum);
        let values = Targets::Values(dy);
        let standing = Targets::Values(MatRef::with_strides(&x, 4, 2, 1, 4)?);
        let mut go = |params: &[f32],
                      x: MatRef<'_, f32>,
                      loss: &Loss<f32>,
                      targets: Targets<'_, f32>,
                      len,
                      ws: &mut Workspace<f32>| {
            plan.value_and_grad(params, x, loss, targets, &mut grads[..len], ws).map(|_| ())
        };
        refused([
            (go(short, good, &mse, values, expected, &mut ws), length),
            (go(&params, view(&x, 4, 2), &mse, values, expected, &mut ws), input),
            (go(&params, view(&x, 6, 3), &mse, values, expected, &mut ws), batch),
            (go(&params, good, &mse, values, cut, &mut ws), gradient),
            (go(&params, good, &mse, values, expected, &mut foreign), workspace),
            (
                go(&params, good, &mse, Targets::Values(view(&x, 4, 3)), expected, &mut ws),
                "the targets: expected a 4×2 matrix, got 4×3",
            ),
            (
                go(&params, good, &mse, standing, expected, &mut ws),
                "the targets' column stride: expected 1 (contiguous rows), got 4",
            ),
            (
                go(&params, good, &mse, Targets::Classes(&classes), expected, &mut ws),
                "mse: expected targets as values, one for each output",
            ),
            (
                go(&params, good, &entropy, Targets::Classes(&classes[1..]), expected, &mut ws),
                "the target classes: expected 4 elements, got 3",
            ),
            (
                go(&params, good, &entropy, Targets::Classes(&[0, 1, 2, 9]), expected, &mut ws),
                "row 2: expected a class below 2, got 2",
            ),
            (
                go(&params, good, &huber, values, expected, &mut ws),
                "δ of the Huber loss: expected a finite number above 0, got 0",
            ),
        ]);
        assert_eq!((y, dx), ([CANARY; 40], [CANARY; 40]));
        assert!(grads.iter().all(|g| *g == CANARY), "a refused call has written the gradient");

        // A forward pass that keeps nothing leaves what is kept of another as it was.
        plan.forward(&params, good, out(&mut y, 4, 2), None, &mut ws)?;
        refused([(plan.backward(&params, good, dy, &mut grads, None, &kept, &mut ws), three)]);
        assert!(grads.iter().all(|g| *g == CANARY));
    }
    Ok(())
}

#[test]
fn layers_refuse_what_does_not_fit() -> Result<()> {
    for backend in [BackendKind::Native, BackendKind::MatrixMultiply] {
        let dense = Dense::<f32>::with(IsaToken::detect(), 1, backend)?;
        let (x, relu, tanh) = ([0.5; 60], Activation::Relu, Activation::Tanh);
        let (good, w, bias) = (view(&x, 4, 3), view(&x, 9, 3), &x[..9]);
        let mut scratch = dense.scratch(4, 3, 9);
        let needed = scratch.len();
        let mut a = [CANARY; 60];
        let mut d = [CANARY; 60];
        let mut mask = [0xa5u8; 20];
        let (of_relu, of_tanh) =
            ("the saved state of relu: expected a mask", "the saved state of tanh: expected its derivative");
        let of_exp = "the saved state of exp: expected its output";
        let of_identity = "the saved state of identity: expected nothing";

        type Out<'a> = MatMut<'a, f32>;
        let go = |w: MatRef<'_, f32>,
                  b: Option<&[f32]>,
                  act,
                  a: Out<'_>,
                  saved: SavedMut<'_, f32>,
                  s: &mut [f32]| { dense.forward(good, w, b, act, a, saved, s) };
        let (nothing, s) = (|| SavedMut::Nothing, &mut scratch);
        refused([
            (
                go(view(&x, 9, 4), Some(bias), relu, out(&mut a, 4, 9), nothing(), s),
                "W of X·Wᵀ + b: expected a 9×3 matrix, got 9×4",
            ),
            (
                go(w, Some(bias), relu, out(&mut a, 4, 8), nothing(), s),
                "A of X·Wᵀ + b: expected a 4×9 matrix, got 4×8",
            ),
            (
                go(w, Some(bias), relu, out(&mut a, 5, 9), nothing(), s),
                "A of X·Wᵀ + b: expected a 4×9 matrix, got 5×9",
            ),
            (
                go(w, Some(&x[..8]), relu, out(&mut a, 4, 9), nothing(), s),
                "b of X·Wᵀ + b: expected 9 elements, got 8",
            ),
            (
                go(w, None, relu, columns(&mut a, 4, 9), nothing(), s),
                "A's strides: expected a column stride of 1 (contiguous rows), got 4",
            ),
            (
                go(w, None, relu, out(&mut a, 4, 9), SavedMut::Mask(&mut mask[..7]), s),
                "the mask: expected 8 elements, got 7",
            ),
            (
                go(w, None, tanh, out(&mut a, 4, 9), SavedMut::Derivative(out(&mut d, 9, 4)), s),
                "the derivative: expected a 4×9 matrix, got 9×4",
            ),
            (
                go(w, None, tanh, out(&mut a, 4, 9), SavedMut::Derivative(columns(&mut d, 4, 9)), s),
                "the derivative's strides: expected a column stride of 1 (contiguous rows), got 4",
            ),
            (go(w, None, tanh, out(&mut a, 4, 9), SavedMut::Mask(&mut mask[..8]), s), of_tanh),
            (go(w, None, relu, out(&mut a, 4, 9), SavedMut::Derivative(out(&mut d, 4, 9)), s), of_relu),
            (
                go(w, None, Activation::Exp, out(&mut a, 4, 9), SavedMut::Derivative(out(&mut d, 4, 9)), s),
                of_exp,
            ),
            (
                go(w, None, Activation::Sin(f32::NAN), out(&mut a, 4, 9), nothing(), s),
                "sin: expected a finite parameter, got NaN",
            ),
        ]);

        let (delta, sums) = (view(&x, 4, 9), &mut [CANARY; 9]);
        let go = |w: MatRef<'_, f32>,
                  act,
                  saved: SavedRef<'_, f32>,
                  a: Out<'_>,
                  db: Option<&mut [f32]>,
                  s: &mut [f32]| { dense.vjp_input(delta, w, act, saved, a, db, s) };
        let s = &mut scratch;
        refused([
            (
                go(view(&x, 8, 3), relu, SavedRef::Mask(&mask[..4]), out(&mut a, 4, 3), None, s),
                "W of δ·W: expected a 9×3 matrix, got 8×3",
            ),
            (
                go(w, relu, SavedRef::Mask(&mask[..4]), out(&mut a, 3, 4), None, s),
                "the result of δ·W: expected a 4×3 matrix, got 3×4",
            ),
            (
                go(w, relu, SavedRef::Mask(&mask[..4]), columns(&mut a, 4, 3), None, s),
                "the result's strides: expected a column stride of 1 (contiguous rows), got 4",
            ),
            (
                go(w, relu, SavedRef::Mask(&mask[..4]), out(&mut a, 4, 3), Some(&mut sums[..4]), s),
                "db: expected 3 elements, got 4",
            ),
            (
                go(w, relu, SavedRef::Mask(&mask[..5]), out(&mut a, 4, 3), Some(&mut sums[..3]), s),
                "the mask: expected 4 elements, got 5",
            ),
            (
                go(w, tanh, SavedRef::Values(view(&x, 3, 3)), out(&mut a, 4, 3), Some(&mut sums[..3]), s),
                "the saved state: expected a 4×3 matrix, got 3×3",
            ),
            (
                go(w, tanh, SavedRef::Values(view(&x, 3, 4).t()), out(&mut a, 4, 3), Some(&mut sums[..3]), s),
                "the saved state's strides: expected a column stride of 1 (contiguous rows), got 4",
            ),
            (go(w, relu, SavedRef::Nothing, out(&mut a, 4, 3), Some(&mut sums[..3]), s), of_relu),
            (go(w, tanh, SavedRef::Nothing, out(&mut a, 4, 3), Some(&mut sums[..3]), s), of_tanh),
            (go(w, tanh, SavedRef::Mask(&mask[..4]), out(&mut a, 4, 3), Some(&mut sums[..3]), s), of_tanh),
            (go(w, Activation::Identity, SavedRef::Values(good), out(&mut a, 4, 3), None, s), of_identity),
            (
                go(w, Activation::ClippedRelu(-1.0), SavedRef::Mask(&mask[..4]), out(&mut a, 4, 3), None, s),
                "clipped_relu: expected a finite ceiling above 0, got -1",
            ),
        ]);
        refused([
            (
                dense.vjp_weights(delta, view(&x, 5, 3), out(&mut a, 9, 3), true, s),
                "A of δᵀ·A: expected a 4×3 matrix, got 5×3",
            ),
            (
                dense.vjp_weights(delta, good, out(&mut a, 3, 9), true, s),
                "dW: expected a 9×3 matrix, got 3×9",
            ),
            (
                dense.vjp_weights(delta, good, columns(&mut a, 9, 3), true, s),
                "dW's strides: expected a column stride of 1 (contiguous rows), got 9",
            ),
            (
                dense.vjp_weights(delta, good, descending(&mut a, 9, 3), true, s),
                "dW's strides: expected rows in ascending order, got -3",
            ),
            (
                dense.vjp_input(delta, w, tanh, SavedRef::Values(good), descending(&mut a, 4, 3), None, s),
                "the result's strides: expected rows in ascending order, got -3",
            ),
            (
                dense.forward(good, w, None, relu, descending(&mut a, 4, 9), SavedMut::Nothing, s),
                "A's strides: expected rows in ascending order, got -9",
            ),
            (dense.vjp_bias(delta, &mut sums[..8]), "db: expected 9 elements, got 8"),
            (
                dense.vjp_bias(good.t(), &mut sums[..4]),
                "δ's strides: expected a column stride of 1 (contiguous rows), got 3",
            ),
        ]);
        if needed > 0 {
            let short = &mut scratch[1..];
            let words =
                &*format!("the scratch of a dense layer: expected {needed} elements, got {}", short.len());
            let (saved, state) = (SavedMut::Mask(&mut mask[..8]), SavedRef::Values(good));
            refused([
                (dense.forward(good, w, None, relu, out(&mut a, 4, 9), saved, short), words),
                (
                    dense.vjp_input(delta, w, tanh, state, out(&mut a, 4, 3), Some(&mut sums[..3]), short),
                    words,
                ),
                (dense.vjp_weights(delta, good, out(&mut a, 9, 3), false, short), words),
            ]);
        }
        assert_eq!((a, d, mask, *sums), ([CANARY; 60], [CANARY; 60], [0xa5; 20], [CANARY; 9]));
    }
    Ok(())
}

#[test]
fn products_refuse_what_does_not_fit() {
    let gemm = Gemm::<f32>::with(IsaToken::detect(), 2);
    let (x, mut c) = ([0.5; 30], [CANARY; 30]);
    let mut scratch = gemm.scratch(4, 5, 3);
    let (a, b) = (view(&x, 4, 3), view(&x, 3, 5));
    let len = gemm.scratch_len(4, 5, 3);
    let words =
        [len - 1, 0].map(|got| format!("the scratch of a product: expected {len} elements, got {got}"));
    refused([
        (
            gemm.run(1.0, a, view(&x, 4, 5), 0.0, out(&mut c, 4, 5), &mut scratch),
            "B of α·A·B + β·C: expected a 3×5 matrix, got 4×5",
        ),
        (
            gemm.run(1.0, a, b, 0.0, out(&mut c, 5, 4), &mut scratch),
            "C of α·A·B + β·C: expected a 4×5 matrix, got 5×4",
        ),
        (gemm.run(1.0, a, b, 0.0, out(&mut c, 4, 5), &mut scratch[1..]), &words[0]),
        (gemm.run(0.0, a, b, 0.0, out(&mut c, 4, 5), &mut []), &words[1]),
    ]);
    assert_eq!(c, [CANARY; 30]);
}

/// A view may claim any number of rows without elements: the sizes that scratch is computed from.
#[test]
fn extreme_sizes_do_not_overflow() -> Result<()> {
    let gemm = Gemm::<f64>::with(IsaToken::detect(), 8);
    let dense = Dense::<f64>::with(IsaToken::detect(), 8, BackendKind::Native)?;
    for size in [usize::MAX, usize::MAX / 2, 1 << 59] {
        for (m, n, k) in [(size, 1, 1), (1, size, 1), (1, 1, size), (size, size, size)] {
            assert!(gemm.scratch_len(m, n, k) > 0);
            assert!(dense.scratch_len(m, n, k) > 0);
        }
    }
    Ok(())
}

/// A workspace of the same size may still mean something else.
#[test]
fn workspaces_know_their_plan() -> Result<()> {
    let plan = |act| {
        let mlp = Mlp::<f32>::builder(3).layer(4, act).layer(2, act).build()?;
        Plan::new(&mlp, &PlanOptions::new(5).threads(1))
    };
    let x = [0.5; 15];
    let of = plan(Activation::Tanh)?;
    let params = vec![0.5; of.mlp().param_len()];
    let mut ws = of.workspace()?;
    let mut kept = of.kept(5)?;
    of.forward(&params, view(&x, 5, 3), out(&mut [0.0; 10], 5, 2), Some(&mut kept), &mut ws)?;
    for other in [plan(Activation::Sigmoid)?, plan(Activation::Sin(2.0))?] {
        let mut grads = vec![CANARY; params.len()];
        assert_eq!(other.workspace_bytes(), of.workspace_bytes(), "the sizes tell nothing");
        let result =
            other.backward(&params, view(&x, 5, 3), view(&x, 5, 2), &mut grads, None, &kept, &mut ws);
        assert!(matches!(result, Err(Error::Workspace { .. })), "{result:?}");
        assert!(grads.iter().all(|g| *g == CANARY));
    }
    // Two plans alike share theirs.
    let twin = plan(Activation::Tanh)?;
    twin.backward(&params, view(&x, 5, 3), view(&x, 5, 2), &mut vec![0.0; params.len()], None, &kept, &mut ws)
}
