//! After planning and a first call, no call allocates: not alone, not on two members of a team from outside of any pool,
//! not in a pool of two threads.
//!
//! One test, so that nothing else runs in the process while allocations are counted. What other backends do is not
//! promised: `matrixmultiply` allocates its packing buffers in every call.

#[path = "common/numbers.rs"]
mod numbers;

use nablas::{
    Activation, Adam, AdamW, BackendKind, Dense, Gemm, GradsMut, IsaToken, LayerGrads, LayerParams, Loss,
    LossKind, MatMut, MatRef, Mlp, ParamsRef, Plan, PlanOptions, Pointwise, Reduction, Result, Sgd, Targets,
    Team, TeamOptions,
    dense::{SavedMut, SavedRef},
    optim::{clip_by_global_norm, clip_by_global_norm_on},
};
use numbers::numbers;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// The system's allocator, with a count.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's; the count touches no memory of its.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of `call`, after one to warm up.
fn count(repeat: usize, call: &mut dyn FnMut() -> Result<()>) -> Result<usize> {
    call()?;
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..repeat {
        call()?;
    }
    Ok(ALLOCATIONS.load(Ordering::Relaxed) - before)
}

/// Fails if `call` allocates.
fn none(what: &str, call: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let allocations = count(5, call)?;
    assert_eq!(allocations, 0, "{what} allocates");
    Ok(())
}

/// Where calls find members.
#[derive(Clone, Copy)]
enum From<'a> {
    /// As many as the team has, whether they pay or not.
    All(&'a Team),
    /// As many as pay.
    Paying(&'a Team),
    /// As many as pay of the rayon pool that the call is in, or of the default team.
    Around,
}

impl From<'_> {
    fn options(self, batch: usize) -> PlanOptions {
        match self {
            Self::All(team) => PlanOptions::new(batch).team(team).exactly(team.threads()),
            Self::Paying(team) => PlanOptions::new(batch).team(team),
            Self::Around => PlanOptions::new(batch).threads(2),
        }
    }

    fn team(self) -> Option<Team> {
        match self {
            Self::All(team) | Self::Paying(team) => Some(team.clone()),
            Self::Around => None,
        }
    }
}

/// Every call of plans of the three paths.
fn plans(from: From<'_>, isas: &[IsaToken]) -> Result<()> {
    // Fused and narrow with many partial gradients, and layered.
    for (widths, batch) in [(vec![32, 64, 61], 1100), (vec![20, 33, 10], 1100), (vec![300, 900, 7], 40)] {
        let mut builder = Mlp::<f32>::builder(widths[0]);
        for width in &widths[1..] {
            builder = builder.layer(*width, Activation::Gelu);
        }
        let mlp = builder.build()?;
        let (n, m) = (mlp.inputs(), mlp.outputs());
        let params: Vec<f32> = numbers::<f32>(mlp.param_len(), 1).into_iter().map(|p| 0.1 * p).collect();
        let (x, dy) = (numbers::<f32>(batch * n, 2), numbers::<f32>(batch * m, 3));
        let (x, dy) = (MatRef::new(&x, batch, n)?, MatRef::new(&dy, batch, m)?);
        let classes: Vec<u32> = (0..batch).map(|i| (i % m) as u32).collect();
        let (mut y, mut dx) = (vec![0.0; batch * m], vec![0.0; batch * n]);
        let mut grads = vec![0.0; params.len()];
        let layers: Vec<_> = (0..mlp.layers().len())
            .map(|l| {
                Ok(LayerParams { weights: &params[mlp.weights_range(l)?], bias: &params[mlp.bias_range(l)?] })
            })
            .collect::<Result<_>>()?;
        let mut parts: Vec<_> =
            mlp.layers().iter().map(|l| (vec![0.0; l.inputs * l.outputs], vec![0.0; l.outputs])).collect();
        let mut layer_grads: Vec<_> =
            parts.iter_mut().map(|(weights, bias)| LayerGrads { weights, bias }).collect();
        let loss = Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean);
        for isa in isas {
            let plan = Plan::new(&mlp, &from.options(batch).isa(*isa))?;
            let (mut ws, mut kept) = (plan.workspace()?, plan.kept(batch)?);
            let mut packed = plan.pack(&params)?;
            let mut most = 0;
            let what = |call: &str| format!("{call} of {plan:?}");
            none(&what("forward"), &mut || {
                plan.forward(&params, x, MatMut::new(&mut y, batch, m)?, None, &mut ws)?;
                most = ws.seats().max(most);
                Ok(())
            })?;
            none(&what("forward and backward"), &mut || {
                plan.forward(&params, x, MatMut::new(&mut y, batch, m)?, Some(&mut kept), &mut ws)?;
                let dx = Some(MatMut::new(&mut dx, batch, n)?);
                plan.backward(&params, x, dy, &mut grads, dx, &kept, &mut ws)
            })?;
            none(&what("vjp"), &mut || {
                let (y, dx) = (MatMut::new(&mut y, batch, m)?, MatMut::new(&mut dx, batch, n)?);
                plan.vjp(&params, x, dy, Some(y), &mut grads, Some(dx), &mut ws)
            })?;
            none(&what("vjp by layers"), &mut || {
                let grads = GradsMut::Layers(&mut layer_grads);
                plan.vjp(ParamsRef::Layers(&layers), x, dy, None, grads, None, &mut ws)
            })?;
            none(&what("value_and_grad"), &mut || {
                plan.value_and_grad(&params, x, &loss, Targets::Classes(&classes), &mut grads, &mut ws)?;
                most = ws.seats().max(most);
                Ok(())
            })?;
            none(&what("PackedParams::update and value_and_grad"), &mut || {
                packed.update(&plan, |params| params[0] += 0.125)?;
                plan.value_and_grad(&packed, x, &loss, Targets::Classes(&classes), &mut grads, &mut ws)?;
                Ok(())
            })?;
            let mut adam = Adam::with(*isa, params.len(), 1e-3)?;
            let mut flat = params.clone();
            none(&what("train_step"), &mut || {
                let targets = Targets::Classes(&classes);
                plan.train_step(&mut packed, x, &loss, targets, &mut grads, Some(1.0), &mut adam, &mut ws)?;
                most = ws.seats().max(most);
                plan.train_step(&mut flat, x, &loss, targets, &mut grads, None, &mut adam, &mut ws)?;
                Ok(())
            })?;
            if let From::All(team) = from {
                assert_eq!(most, team.threads(), "{plan:?}");
            }
        }
    }
    Ok(())
}

fn products(from: From<'_>) -> Result<()> {
    let (b, n, m) = (200, 330, 299);
    let (x, w, bias) = (numbers::<f32>(b * n, 4), numbers::<f32>(m * n, 5), numbers::<f32>(m, 6));
    let dy = numbers::<f32>(b * m, 7);
    let (x, w, dy) = (MatRef::new(&x, b, n)?, MatRef::new(&w, m, n)?, MatRef::new(&dy, b, m)?);
    let (mut a, mut dx, mut dw) = (vec![0.0; b * m], vec![0.0; b * n], vec![0.0; m * n]);
    let (mut db, mut sums) = (vec![0.0; n], vec![0.0; m]);
    let mut mask = vec![0; Dense::<f32>::mask_len(b, m)];
    let isa = IsaToken::detect();
    let mut dense = Dense::<f32>::with(isa, 2, BackendKind::Native)?;
    let mut gemm = Gemm::<f32>::with(isa, 2);
    if let Some(team) = from.team() {
        (dense, gemm) = (dense.team(&team), gemm.team(&team));
    }
    let mut scratch = dense.scratch(b, n, m);
    none("Dense", &mut || {
        let (view, saved) = (MatMut::new(&mut a, b, m)?, SavedMut::Mask(&mut mask));
        dense.forward(x, w, Some(&bias), Activation::Relu, view, saved, &mut scratch)?;
        let view = MatMut::new(&mut dx, b, n)?;
        dense.vjp_input(dy, w, Activation::Tanh, SavedRef::Values(x), view, Some(&mut db), &mut scratch)?;
        dense.vjp_weights(dy, x, MatMut::new(&mut dw, m, n)?, true, &mut scratch)?;
        dense.vjp_bias(dy, &mut sums)
    })?;
    let mut scratch = gemm.scratch(b, m, n);
    let mut c = vec![0.0; 2 * b * m];
    none("Gemm", &mut || gemm.run(0.7, x, w.t(), 0.5, MatMut::new(&mut c, b, m)?, &mut scratch))?;
    none("Gemm to columns", &mut || {
        gemm.run(1.0, x, w.t(), 0.0, MatMut::with_strides(&mut c, b, m, 1, 200)?, &mut scratch)
    })?;
    none("Gemm to both strides", &mut || {
        gemm.run(1.0, x, w.t(), 0.0, MatMut::with_strides(&mut c, b, m, 2, 400)?, &mut scratch)
    })
}

fn losses_and_optimizers(from: From<'_>) -> Result<()> {
    let (rows, cols) = (300, 11);
    let (y, t) = (numbers::<f32>(rows * cols, 8), numbers::<f32>(rows * cols, 9));
    let (y, targets) = (MatRef::new(&y, rows, cols)?, Targets::Values(MatRef::new(&t, rows, cols)?));
    let mut delta = vec![0.0; rows * cols];
    let isa = IsaToken::detect();
    for kind in [
        LossKind::Mse,
        LossKind::L1,
        LossKind::Huber(0.5),
        LossKind::BceWithLogits,
        LossKind::SoftmaxCrossEntropy,
    ] {
        let loss = Loss::new(kind, Reduction::Mean);
        none(kind.name(), &mut || {
            loss.value_and_delta(isa, y, targets, MatMut::new(&mut delta, rows, cols)?).map(|_| ())
        })?;
    }
    // The longer one is worth two members.
    for len in [1003, 1 << 17] {
        let (mut params, grads) = (numbers::<f32>(len, 10), numbers::<f32>(len, 11));
        let mut plain = Sgd::with(isa, len, 0.1)?;
        let mut momentum = Sgd::with(isa, len, 0.1)?.momentum(0.9, true)?.weight_decay(0.01)?;
        let (mut adam, mut adam_w) = (Adam::with(isa, len, 0.1)?, AdamW::with(isa, len, 0.1)?);
        if let Some(team) = from.team() {
            (plain, momentum, adam, adam_w) =
                (plain.team(&team), momentum.team(&team), adam.team(&team), adam_w.team(&team));
        }
        none("Sgd", &mut || plain.step(&mut params, &grads))?;
        none("Sgd with momentum", &mut || momentum.step(&mut params, &grads))?;
        none("Adam", &mut || adam.step(&mut params, &grads))?;
        none("AdamW", &mut || adam_w.step(&mut params, &grads))?;
        if from.team().is_some() {
            continue;
        }
        // It is for the default team, or the pool that it is called in.
        let mut long = grads.clone();
        none("clip_by_global_norm", &mut || {
            clip_by_global_norm(&mut long, 1e-3)?;
            clip_by_global_norm_on(isa, &mut long, f64::INFINITY).map(|_| ())
        })?;
    }
    let (params, grads) = (numbers::<f32>(1003, 10), numbers::<f32>(1003, 11));
    let mut out = vec![0.0; 1003];
    none("Pointwise", &mut || {
        Activation::Gelu.value_on(isa, &params, &mut out)?;
        Activation::Gelu.vjp_on(isa, &params, &grads, &mut out)
    })
}

fn every(from: From<'_>, isas: &[IsaToken]) -> Result<()> {
    plans(from, isas)?;
    products(from)?;
    losses_and_optimizers(from)
}

/// Waits until the other thread of the pool has taken a job: what rayon allocates for a thread, it does at its first.
fn stolen() {
    let (taken, deadline) = (AtomicBool::new(false), Instant::now() + Duration::from_secs(20));
    rayon::join(
        || {
            while !taken.load(Ordering::Relaxed) && Instant::now() < deadline {
                std::thread::yield_now();
            }
        },
        || taken.store(true, Ordering::Relaxed),
    );
}

#[test]
fn calls_allocate_nothing() -> Result<()> {
    // The counter counts.
    assert_eq!(
        count(3, &mut || {
            drop(std::hint::black_box(Box::new(1)));
            Ok(())
        })?,
        3
    );
    // The harness allocates in its own thread as it begins to wait for this one.
    let mut quiet = 0;
    while quiet < 5 {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
        quiet = if ALLOCATIONS.load(Ordering::Relaxed) == before { quiet + 1 } else { 0 };
    }
    let isas: Vec<_> = IsaToken::available().collect();
    let widest = [IsaToken::detect()];
    let team = |threads| Team::new(&TeamOptions::new().threads(threads));
    every(From::All(&team(1)?), &widest)?;
    // Calls that bring all members come first: then the threads have started, for which the system allocates.
    let two = team(2)?;
    every(From::All(&two), &isas)?;
    every(From::Paying(&two), &widest)?;
    // The default team, as soon as it is there.
    let mlp = Mlp::<f32>::builder(8).layer(8, Activation::Relu).build()?;
    let plan = Plan::new(&mlp, &PlanOptions::new(1).exactly(nablas::team::default_threads()?))?;
    let y = &mut [0.0; 8];
    plan.forward(
        &[0.0; 72],
        MatRef::new(&[0.0; 8], 1, 8)?,
        MatMut::new(y, 1, 8)?,
        None,
        &mut plan.workspace()?,
    )?;
    every(From::Around, &widest)?;
    rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool").install(|| {
        stolen();
        every(From::Around, &widest)
    })
}
