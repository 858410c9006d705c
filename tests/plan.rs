//! The plan's passes against an f64 oracle.

use nablas::{Activation, BackendKind, IsaToken, MatMut, MatRef, Mlp, Plan, PlanOptions};
use std::cell::{Cell, RefCell};

/// Deterministic numbers in −1 … 1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64) / f64::from(1u32 << 30) - 1.0
    }
}

/// Forward and backward, one sample at a time, in f64.
fn oracle(
    mlp: &Mlp<f64>,
    params: &[f64],
    x: &[f64],
    dy: &[f64],
    batch: usize,
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let layers = mlp.layers();
    let mut grads = vec![0.0; mlp.param_len()];
    let (mut ys, mut dxs) = (Vec::new(), Vec::new());
    for b in 0..batch {
        let mut a = vec![x[b * mlp.inputs()..(b + 1) * mlp.inputs()].to_vec()];
        let mut zs = Vec::new();
        for (l, s) in layers.iter().enumerate() {
            let w = &params[mlp.weights_range(l).unwrap()];
            let bias = &params[mlp.bias_range(l).unwrap()];
            let z: Vec<f64> = (0..s.outputs)
                .map(|o| bias[o] + (0..s.inputs).map(|i| w[o * s.inputs + i] * a[l][i]).sum::<f64>())
                .collect();
            let mut out = vec![0.0; s.outputs];
            nablas::Pointwise::value(&s.activation, &z, &mut out).unwrap();
            zs.push(z);
            a.push(out);
        }
        ys.extend_from_slice(&a[layers.len()]);
        let mut cot = dy[b * mlp.outputs()..(b + 1) * mlp.outputs()].to_vec();
        for (l, s) in layers.iter().enumerate().rev() {
            let mut delta = vec![0.0; s.outputs];
            nablas::Pointwise::vjp(&s.activation, &zs[l], &cot, &mut delta).unwrap();
            let w = &params[mlp.weights_range(l).unwrap()];
            let (wr, br) = (mlp.weights_range(l).unwrap(), mlp.bias_range(l).unwrap());
            for o in 0..s.outputs {
                grads[br.start + o] += delta[o];
                for i in 0..s.inputs {
                    grads[wr.start + o * s.inputs + i] += delta[o] * a[l][i];
                }
            }
            cot =
                (0..s.inputs).map(|i| (0..s.outputs).map(|o| delta[o] * w[o * s.inputs + i]).sum()).collect();
        }
        dxs.extend_from_slice(&cot);
    }
    (ys, grads, dxs)
}

fn close(what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    let scale = expected.iter().fold(1e-30_f64, |m, x| m.max(x.abs()));
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * scale, "{what}[{i}]: {g} instead of {e} (scale {scale})");
    }
}

#[test]
fn gradients_match_the_oracle_on_every_isa_and_backend() {
    let acts = [
        Activation::Relu,
        Activation::Tanh,
        Activation::LeakyRelu(0.1),
        Activation::Silu,
        Activation::Exp,
        Activation::ClippedRelu(0.5),
        Activation::Identity,
    ];
    for (n, widths) in
        [vec![2, 3, 2, 1], vec![17, 64, 10], vec![33, 7, 80, 5], vec![33, 87, 60, 5], vec![700, 400, 3]]
            .iter()
            .enumerate()
    {
        for (j, act) in acts.iter().enumerate() {
            let mut builder = Mlp::<f64>::builder(widths[0]);
            for (l, w) in widths[1..].iter().enumerate() {
                let last = l + 2 == widths.len();
                let act = if last && j % 2 == 0 { Activation::Identity } else { *act };
                builder = builder.layer(*w, act);
            }
            let mlp = builder.build().unwrap();
            let mut r = Numbers(n as u64 * 100 + j as u64);
            let scale = 1.0 / (widths.iter().max().copied().unwrap() as f64).sqrt();
            let params: Vec<f64> = (0..mlp.param_len()).map(|_| r.next() * scale).collect();
            for batch in [0, 1, 5, 37, 131] {
                if batch == 131 && (n >= 3 || j > 2) {
                    continue;
                }
                let x: Vec<f64> = (0..batch * mlp.inputs()).map(|_| r.next()).collect();
                let dy: Vec<f64> = (0..batch * mlp.outputs()).map(|_| r.next()).collect();
                let (y0, g0, dx0) = oracle(&mlp, &params, &x, &dy, batch);
                for isa in IsaToken::available() {
                    for backend in [BackendKind::Native, BackendKind::MatrixMultiply] {
                        for apart in [true, false] {
                            let o = PlanOptions::new(batch.max(1) + 3).exactly(2).isa(isa).backend(backend);
                            let plan = Plan::new(&mlp, &o).unwrap();
                            let mut ws = plan.workspace().unwrap();
                            let xm = MatRef::new(&x, batch, mlp.inputs()).unwrap();
                            let dym = MatRef::new(&dy, batch, mlp.outputs()).unwrap();
                            let mut y = vec![f64::NAN; y0.len()];
                            let mut dx = vec![f64::NAN; dx0.len()];
                            let mut grads = vec![f64::NAN; g0.len()];
                            let ym = MatMut::new(&mut y, batch, mlp.outputs()).unwrap();
                            let dxm = MatMut::new(&mut dx, batch, mlp.inputs()).unwrap();
                            if !apart {
                                plan.vjp(&params, xm, dym, Some(ym), &mut grads, Some(dxm), &mut ws).unwrap();
                            } else {
                                let mut kept = plan.kept(batch).unwrap();
                                plan.forward(&params, xm, ym, Some(&mut kept), &mut ws).unwrap();
                                plan.backward(&params, xm, dym, &mut grads, Some(dxm), &kept, &mut ws)
                                    .unwrap();
                            }
                            let what = format!("{widths:?} {act:?} {batch} {isa:?} {backend:?} {apart}");
                            close(&format!("y {what}"), &y, &y0, 1e-12);
                            close(&format!("grads {what}"), &grads, &g0, 1e-12);
                            close(&format!("dx {what}"), &dx, &dx0, 1e-12);
                        }
                    }
                }
            }
        }
    }
}

/// A workspace over memory from elsewhere serves as one of the plan's own, and its kept state outlives it.
#[test]
fn workspaces_may_lie_in_the_callers_memory() {
    #[derive(Clone, Copy)]
    #[repr(C, align(64))]
    struct Line([f64; 8]);

    let mlp = Mlp::builder(5).layer(7, Activation::Tanh).layer(3, Activation::Relu).build().unwrap();
    let batch = 40;
    let plan = Plan::new(&mlp, &PlanOptions::new(batch).threads(1)).unwrap();
    assert_eq!(plan.members(batch), 1);
    let mut numbers = Numbers(9);
    let mut draw = |n: usize| (0..n).map(|_| numbers.next()).collect::<Vec<f64>>();
    let (params, x, dy) = (draw(mlp.param_len()), draw(batch * 5), draw(batch * 3));
    let (x, dy) = (MatRef::new(&x, batch, 5).unwrap(), MatRef::new(&dy, batch, 3).unwrap());
    let pass = |forward: &mut dyn FnMut(MatMut<'_, f64>), backward: &mut dyn FnMut(&mut [f64])| {
        let (mut y, mut grads) = (vec![0.0; batch * 3], vec![0.0; mlp.param_len()]);
        forward(MatMut::new(&mut y, batch, 3).unwrap());
        backward(&mut grads);
        (y, grads)
    };

    let (ws, kept) = (RefCell::new(plan.workspace().unwrap()), RefCell::new(plan.kept(batch).unwrap()));
    let own = pass(
        &mut |y| plan.forward(&params, x, y, Some(&mut kept.borrow_mut()), &mut ws.borrow_mut()).unwrap(),
        &mut |g| plan.backward(&params, x, dy, g, None, &kept.borrow(), &mut ws.borrow_mut()).unwrap(),
    );
    // What the memory held before leaves no trace.
    let mut lines = vec![Line([f64::NAN; 8]); plan.workspace_bytes().div_ceil(64)];
    let mut state = vec![Line([f64::NAN; 8]); plan.kept_len(batch).unwrap().div_ceil(8)];
    let (memory, state) = (lines.as_mut_ptr().cast::<f64>(), state.as_mut_ptr().cast::<f64>());
    let held = Cell::new(None);
    let lent = pass(
        &mut |y| {
            // SAFETY: the memory is as long as the plan says, on a cache line, and used by one workspace at a time.
            let (mut ws, mut kept) =
                unsafe { (plan.workspace_at(memory), plan.kept_at(state, batch, None).unwrap()) };
            plan.forward(&params, x, y, Some(&mut kept), &mut ws).unwrap();
            held.set(kept.batch());
        },
        &mut |g| {
            // SAFETY: as above; the memory is as the forward pass left it.
            let (mut ws, kept) =
                unsafe { (plan.workspace_at(memory), plan.kept_at(state, batch, held.get()).unwrap()) };
            plan.backward(&params, x, dy, g, None, &kept, &mut ws).unwrap();
        },
    );
    assert_eq!(held.get(), Some(batch));
    assert_eq!(own, lent);
}
