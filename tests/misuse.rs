//! Random sequences of calls on one plan, some of whose operands don't fit: each call is done or refused, as its operands
//! say. What is refused has written nothing and spoilt nothing; what is done has the bits that a fresh workspace gives.

#[path = "common/numbers.rs"]
mod numbers;

use nablas::{
    Activation, BackendKind, Dense, Gemm, IsaToken, Kept, Loss, LossKind, MatMut, MatRef, Mlp, Plan,
    PlanOptions, Reduction, Result, Sgd, Targets, Workspace,
    dense::{SavedMut, SavedRef},
};
use numbers::numbers;
use proptest::prelude::*;

/// What outputs hold before a call.
const CANARY: f32 = 7.0;
const MAX_BATCH: usize = 6;

/// A size, and how far off it is.
type Off = (usize, isize);

/// One call: which, of how many rows, and what does not fit.
#[derive(Debug, Clone)]
struct Call {
    kind: usize,
    rows: usize,
    off: Vec<Off>,
}

/// Mostly calls that fit; else one or two sizes are off, by little or much.
fn calls(kinds: usize, sizes: usize) -> impl Strategy<Value = Vec<Call>> {
    let by = prop_oneof![4 => -2..=2isize, 1 => Just(40isize), 1 => Just(-40isize)];
    let off = prop_oneof![2 => Just(0usize..1), 1 => Just(0..3)]
        .prop_flat_map(move |n| prop::collection::vec((0..sizes, by.clone()), n));
    let call = (0..kinds, 0..=MAX_BATCH + 1, off).prop_map(|(kind, rows, off)| Call { kind, rows, off });
    prop::collection::vec(call, 1..12)
}

impl Call {
    /// A size as the call has it.
    fn size(&self, which: usize, right: usize) -> usize {
        let by: isize = self.off.iter().filter(|(w, _)| *w == which).map(|(_, by)| by).sum();
        right.saturating_add_signed(by)
    }
}

/// Numbers, to be read as any shape.
fn input(len: usize, seed: u64) -> Vec<f32> {
    numbers(len, seed)
}

/// Outputs that are written by one call, and a place in the workspace for what they are compared with.
#[derive(Debug, Clone, PartialEq)]
struct Outputs {
    y: Vec<f32>,
    grads: Vec<f32>,
    dx: Vec<f32>,
    params: Vec<f32>,
    value: Option<f32>,
}

/// The sizes of a call's operands: rows and columns of X, Y, dY, dX and the targets; lengths of params and grads.
struct Sizes {
    x: (usize, usize),
    y: (usize, usize),
    dy: (usize, usize),
    dx: (usize, usize),
    params: usize,
    grads: usize,
}

impl Sizes {
    fn of(call: &Call, mlp: &Mlp<f32>) -> Self {
        let (rows, n, m, len) = (call.rows, mlp.inputs(), mlp.outputs(), mlp.param_len());
        let shape = |which: usize, cols| (call.size(which, rows), call.size(which + 1, cols));
        Self {
            x: shape(0, n),
            y: shape(2, m),
            dy: shape(4, m),
            dx: shape(6, n),
            params: call.size(8, len),
            grads: call.size(9, len),
        }
    }

    fn outputs(&self) -> Outputs {
        let out = |(rows, cols): (usize, usize)| vec![CANARY; rows * cols];
        let params = input(self.params, 5).into_iter().map(|p| 0.25 * p).collect();
        Outputs { y: out(self.y), grads: vec![CANARY; self.grads], dx: out(self.dx), params, value: None }
    }

    /// Whether the call fits, with a state of so many rows.
    fn fit(&self, kind: usize, mlp: &Mlp<f32>, kept: Option<usize>) -> bool {
        let (rows, n, m, len) = (self.x.0, mlp.inputs(), mlp.outputs(), mlp.param_len());
        let base = self.x.1 == n && self.params == len && rows <= MAX_BATCH;
        let (y, dy, dx) = (self.y == (rows, m), self.dy == (rows, m), self.dx == (rows, n));
        let grads = self.grads == len;
        base && match kind {
            0 => y,
            1 => dy && grads && dx && kept == Some(rows),
            2 => y && dy && grads && dx,
            _ => dy && grads,
        }
    }
}

/// Makes the call.
fn make(
    plan: &Plan<f32>,
    kind: usize,
    sizes: &Sizes,
    out: &mut Outputs,
    kept: &mut Kept<f32>,
    ws: &mut Workspace<f32>,
) -> Result<()> {
    let view = |data: &'static [f32], (rows, cols)| MatRef::new(data, rows, cols).expect("enough numbers");
    let data: &'static [f32] = pool();
    let (x, dy) = (view(data, sizes.x), view(&data[1..], sizes.dy));
    let y = MatMut::new(&mut out.y, sizes.y.0, sizes.y.1)?;
    let dx = MatMut::new(&mut out.dx, sizes.dx.0, sizes.dx.1)?;
    let (loss, targets) = (Loss::new(LossKind::Mse, Reduction::Mean), Targets::Values(dy));
    match kind {
        0 => plan.forward(&out.params, x, y, Some(kept), ws),
        1 => plan.backward(&out.params, x, dy, &mut out.grads, Some(dx), kept, ws),
        2 => plan.vjp(&out.params, x, dy, Some(y), &mut out.grads, Some(dx), ws),
        3 => {
            out.value = Some(plan.value_and_grad(&out.params, x, &loss, targets, &mut out.grads, ws)?);
            Ok(())
        }
        _ => {
            let mut sgd = Sgd::new(plan.mlp().param_len(), 0.1)?;
            let (params, grads) = (&mut out.params, &mut out.grads);
            let done = plan.train_step(params, x, &loss, targets, grads, Some(1.0), &mut sgd, ws)?;
            out.value = Some(done.loss);
            Ok(())
        }
    }
}

/// Numbers for inputs, more than any call reads.
fn pool() -> &'static [f32] {
    static POOL: std::sync::OnceLock<Vec<f32>> = std::sync::OnceLock::new();
    POOL.get_or_init(|| input(1 << 16, 3))
}

fn bits(x: &Outputs) -> Vec<u32> {
    let all = [&x.y, &x.grads, &x.dx, &x.params];
    all.into_iter().flatten().chain(&x.value).map(|x| x.to_bits()).collect()
}

/// The sequence on a plan.
fn sequence(plan: &Plan<f32>, calls: &[Call]) -> Result<()> {
    let mlp = plan.mlp();
    let (mut ws, mut kept, mut rows) = (plan.workspace()?, plan.kept(MAX_BATCH)?, None);
    for call in calls {
        let sizes = Sizes::of(call, mlp);
        let mut out = sizes.outputs();
        let before = out.clone();
        let fits = sizes.fit(call.kind, mlp, rows);
        let done = make(plan, call.kind, &sizes, &mut out, &mut kept, &mut ws);
        assert_eq!(done.is_ok(), fits, "{call:?}: {done:?}");
        if done.is_err() {
            assert_eq!(bits(&out), bits(&before), "{call:?}: {done:?} and written");
            continue;
        }
        if call.kind == 0 {
            rows = Some(sizes.x.0);
        }
        // The same call on memory that saw no other; a backward pass after a forward pass of its own.
        let (mut fresh, mut other, mut again) = (plan.workspace()?, plan.kept(MAX_BATCH)?, before);
        if call.kind == 1 {
            let forward = Sizes { y: (sizes.x.0, mlp.outputs()), ..Sizes::of(call, mlp) };
            make(plan, 0, &forward, &mut forward.outputs(), &mut other, &mut fresh)?;
        }
        make(plan, call.kind, &sizes, &mut again, &mut other, &mut fresh)?;
        assert_eq!(bits(&out), bits(&again), "{call:?} after others");
    }
    Ok(())
}

/// A plan of each path, and of a foreign backend.
fn plans() -> Result<Vec<Plan<f32>>> {
    let mut plans = Vec::new();
    for (widths, backend) in [
        (&[3, 5, 2][..], BackendKind::Native),
        (&[33, 48, 40, 17], BackendKind::Native),
        (&[7, 600, 450, 3], BackendKind::Native),
        (&[9, 8, 4], BackendKind::MatrixMultiply),
    ] {
        let builder = widths[1..].iter().fold(Mlp::builder(widths[0]), |b, n| b.layer(*n, Activation::Relu));
        let mlp = builder.layer(widths[0], Activation::Tanh).build()?;
        plans.push(Plan::new(&mlp, &PlanOptions::new(MAX_BATCH).threads(2).backend(backend))?);
    }
    Ok(plans)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn calls_of_a_plan(which in 0..4usize, calls in calls(5, 10)) {
        static PLANS: std::sync::OnceLock<Vec<Plan<f32>>> = std::sync::OnceLock::new();
        let plans = PLANS.get_or_init(|| plans().expect("plans"));
        sequence(&plans[which], &calls).expect("memory for small plans");
    }

    #[test]
    fn calls_of_a_layer(calls in calls(4, 8), (n, m) in (1..20usize, 1..20usize)) {
        let isa = IsaToken::detect();
        let dense = Dense::<f32>::with(isa, 1, BackendKind::Native).expect("the native backend");
        for call in &calls {
            layer(&dense, call, n, m).expect("views of what is there");
        }
    }

    #[test]
    fn products(calls in calls(1, 7), (n, k) in (0..20usize, 0..20usize)) {
        for call in &calls {
            product(call, n, k).expect("views of what is there");
        }
    }
}

/// One call of a layer n → m.
fn layer(dense: &Dense<f32>, call: &Call, n: usize, m: usize) -> Result<()> {
    let rows = call.rows;
    let view = |(rows, cols)| MatRef::new(pool(), rows, cols).expect("enough numbers");
    let (x, w) = ((call.size(0, rows), call.size(1, n)), (call.size(2, m), n));
    let (a, len) = ((call.size(3, rows), call.size(4, m)), call.size(5, m));
    let mut mask = vec![0xa5; call.size(6, Dense::<f32>::mask_len(rows, m))];
    let mut scratch = vec![0.0; call.size(7, dense.scratch_len(rows, n, m))];
    let (few, enough) = (scratch.len(), dense.scratch_len(x.0, x.1, m));
    let (mut out, mut sums) = (vec![CANARY; a.0 * a.1], vec![CANARY; len]);
    let to = MatMut::new(&mut out, a.0, a.1)?;
    let right_mask = mask.len() == Dense::<f32>::mask_len(a.0, a.1);
    let (fits, done) = match call.kind {
        0 => {
            let fits = x.1 == n && w.0 == m && a == (x.0, m) && len == m && right_mask;
            let (bias, saved) = (&pool()[..len], SavedMut::Mask(&mut mask));
            let done = dense.forward(view(x), view(w), Some(bias), Activation::Relu, to, saved, &mut scratch);
            (fits && few >= enough, done)
        }
        // δ is X here: B×n, and W n×m.
        1 => {
            let w = (call.size(2, n), m);
            let fits = w.0 == x.1 && a == (x.0, m) && len == m && right_mask;
            let (saved, db) = (SavedRef::Mask(&mask), Some(&mut sums[..]));
            let done = dense.vjp_input(view(x), view(w), Activation::Relu, saved, to, db, &mut scratch);
            (fits && few >= dense.scratch_len(x.0, m, x.1), done)
        }
        // dW is n×m, of δ B×n and A B×m.
        2 => {
            let a = (call.size(3, n), call.size(4, m));
            out = vec![CANARY; a.0 * a.1];
            let other = (call.size(2, rows), m);
            let fits = other.0 == x.0 && a == (x.1, m);
            let to = MatMut::new(&mut out, a.0, a.1)?;
            let done = dense.vjp_weights(view(x), view(other), to, false, &mut scratch);
            (fits && few >= dense.scratch_len(x.0, m, x.1), done)
        }
        _ => (len == x.1, dense.vjp_bias(view(x), &mut sums)),
    };
    assert_eq!(done.is_ok(), fits, "{call:?}, {n} → {m}: {done:?}");
    if done.is_err() {
        assert!(out.iter().chain(&sums).all(|x| *x == CANARY), "{call:?}: {done:?} and written");
        assert!(mask.iter().all(|byte| *byte == 0xa5), "{call:?}: {done:?} and written");
    }
    Ok(())
}

/// C ← A·B, all sizes of which may be off.
fn product(call: &Call, n: usize, k: usize) -> Result<()> {
    let rows = call.rows;
    let (a, b) = ((call.size(0, rows), call.size(1, k)), (call.size(2, k), call.size(3, n)));
    let c = (call.size(4, rows), call.size(5, n));
    let gemm = Gemm::<f32>::with(IsaToken::detect(), 1);
    let mut scratch = vec![0.0; call.size(6, gemm.scratch_len(rows, n, k))];
    let mut out = vec![CANARY; c.0 * c.1];
    let fits = a.1 == b.0 && c == (a.0, b.1) && scratch.len() >= gemm.scratch_len(a.0, b.1, a.1);
    let view = |(rows, cols)| MatRef::new(pool(), rows, cols).expect("enough numbers");
    let done = gemm.run(1.0, view(a), view(b), 0.0, MatMut::new(&mut out, c.0, c.1)?, &mut scratch);
    assert_eq!(done.is_ok(), fits, "{call:?}: {done:?}");
    assert!(done.is_ok() || out.iter().all(|x| *x == CANARY), "{call:?}: {done:?} and written");
    Ok(())
}
