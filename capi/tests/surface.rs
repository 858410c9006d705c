//! The calls of C give what those of Rust give, to the bit, on every instruction set, in float and double.

#![expect(clippy::undocumented_unsafe_blocks, reason = "every call here is one of a C program")]

use nablas::{
    Activation, AdamW, BackendKind, Dense, Init, IsaToken, Loss, LossKind, MatMut, MatRef, Mlp, Plan,
    PlanOptions, Reduction, Targets,
    dense::{SavedMut, SavedRef},
    optim::clip_by_global_norm_on,
};
use nablas_capi::{f32::*, f64::*, options::*, process::*, status::nablas_status as Status};
use std::ptr::{null, null_mut};

fn numbers(len: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as f64) / f64::from(1u32 << 30) - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The options that pin an instruction set of this machine.
fn pinned(isa: IsaToken) -> nablas_options {
    let isa = match isa.name() {
        "scalar" => nablas_isa::Scalar,
        "neon" => nablas_isa::Neon,
        "avx2" => nablas_isa::Avx2,
        _ => nablas_isa::Avx512,
    };
    nablas_options { size: size_of::<nablas_options>(), threads: 2, isa: isa as i32, team: null() }
}

#[test]
fn layers_are_rusts() {
    // Leading dimensions above the widths.
    let (b, n, m, ld) = (37, 19, 45, 50);
    let single = |seed| numbers(b.max(m) * ld, seed).into_iter().map(|x| x as f32).collect::<Vec<f32>>();
    let (x, w, bias, delta) = (single(1), single(2), single(3), single(4));
    let mat = |v| MatRef::with_leading_dim(v, b, n, ld).unwrap();
    for isa in IsaToken::available() {
        let options = pinned(isa);
        let dense = Dense::<f32>::with(isa, 1, BackendKind::Native).unwrap();
        let mut scratch = dense.scratch(b, n, m);
        let wm = MatRef::with_leading_dim(&w, m, n, ld).unwrap();
        let (mut a, mut mask) = (vec![0f32; b * m], vec![0; nablas_mask_bytes(b, m)]);
        let (mut a_c, mut mask_c) = (a.clone(), mask.clone());
        let view = MatMut::new(&mut a, b, m).unwrap();
        let saved = SavedMut::Mask(&mut mask);
        dense
            .forward(mat(&x), wm, Some(&bias[..m]), Activation::LeakyRelu(0.1), view, saved, &mut scratch)
            .unwrap();
        let status = unsafe {
            nablas_sdense_forward(
                b,
                n,
                m,
                x.as_ptr(),
                ld,
                w.as_ptr(),
                ld,
                bias.as_ptr(),
                nablas_activation::LeakyRelu as i32,
                0.1,
                a_c.as_mut_ptr(),
                m,
                null_mut(),
                0,
                mask_c.as_mut_ptr(),
                &raw const options,
            )
        };
        assert_eq!((status, &a_c, &mask_c), (Status::Ok, &a, &mask));

        // The layer below had n outputs and saved their derivative.
        let (mut out, mut db) = (vec![0f32; b * n], vec![0f32; n]);
        let (mut out_c, mut db_c) = (out.clone(), db.clone());
        let dm = MatRef::with_leading_dim(&delta, b, m, ld).unwrap();
        let (view, saved) = (MatMut::new(&mut out, b, n).unwrap(), SavedRef::Values(mat(&x)));
        dense.vjp_input(dm, wm, Activation::Tanh, saved, view, Some(&mut db), &mut scratch).unwrap();
        let status = unsafe {
            nablas_sdense_vjp_input(
                b,
                n,
                m,
                delta.as_ptr(),
                ld,
                w.as_ptr(),
                ld,
                nablas_activation::Tanh as i32,
                0.0,
                x.as_ptr(),
                ld,
                null(),
                out_c.as_mut_ptr(),
                n,
                db_c.as_mut_ptr(),
                &raw const options,
            )
        };
        assert_eq!((status, &out_c, &db_c), (Status::Ok, &out, &db));

        // Added to what is there.
        let (mut dw, mut db) = (vec![1f32; m * n], vec![0f32; m]);
        let (mut dw_c, mut db_c) = (dw.clone(), db.clone());
        let view = MatMut::new(&mut dw, m, n).unwrap();
        dense.vjp_weights(dm, mat(&x), view, true, &mut scratch).unwrap();
        dense.vjp_bias(dm, &mut db).unwrap();
        let status = unsafe {
            nablas_sdense_vjp_weights(
                b,
                n,
                m,
                delta.as_ptr(),
                ld,
                x.as_ptr(),
                ld,
                1,
                dw_c.as_mut_ptr(),
                n,
                db_c.as_mut_ptr(),
                &raw const options,
            )
        };
        assert_eq!((status, &dw_c, &db_c), (Status::Ok, &dw, &db));
    }
}

#[test]
fn networks_are_rusts() {
    let (batch, n, m) = (300, 20, 7);
    let mlp =
        Mlp::<f64>::builder(n).layer(33, Activation::Gelu).layer(m, Activation::Identity).build().unwrap();
    let len = mlp.param_len();
    let mut params = vec![0.0; len];
    Init::XavierUniform.fill(&mlp, &mut params, 5).unwrap();
    let x = numbers(batch * n, 1);
    let classes: Vec<u32> = (0..batch as u32).map(|i| i % m as u32).collect();
    let loss = Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean);
    let softmax = nablas_loss::SoftmaxCrossEntropy as i32;
    for isa in IsaToken::available() {
        let rust_plan = Plan::new(&mlp, &PlanOptions::new(batch).threads(1).isa(isa)).unwrap();
        let (mut ws, mut grads) = (rust_plan.workspace().unwrap(), vec![0.0; len]);
        let xm = MatRef::new(&x, batch, n).unwrap();
        let targets = Targets::Classes(&classes);
        let value = rust_plan.value_and_grad(&params, xm, &loss, targets, &mut grads, &mut ws).unwrap();
        unsafe {
            let (widths, kinds) = ([n, 33, m], [nablas_activation::Gelu as i32, 0]);
            let (mut net, mut plan, mut bytes) = (null_mut(), null_mut(), 0);
            let options = pinned(isa);
            let ok = |status| assert_eq!(status, Status::Ok);
            ok(nablas_dmlp_create(2, widths.as_ptr(), kinds.as_ptr(), null(), &raw mut net));
            let mut drawn = vec![0.0; len];
            ok(nablas_dmlp_init(net, nablas_init::XavierUniform as i32, 0.0, 5, drawn.as_mut_ptr()));
            assert_eq!(drawn, params);
            let mut orthogonal = vec![0.0; len];
            Init::Orthogonal { gain: 1.5 }.fill(&mlp, &mut orthogonal, 6).unwrap();
            ok(nablas_dmlp_init(net, nablas_init::Orthogonal as i32, 1.5, 6, drawn.as_mut_ptr()));
            assert_eq!(drawn, orthogonal);
            ok(nablas_dplan_create(net, batch, &raw const options, &raw mut plan));
            ok(nablas_dplan_workspace_size(plan, &raw mut bytes));
            let mut memory = vec![0xffu8; bytes];
            let work = memory.as_mut_ptr().cast();
            ok(nablas_dplan_workspace_init(plan, work, bytes));
            let (mut got, mut value_c) = (vec![0.0; len], 0.0);
            let step = |grads: *mut f64, value: *mut f64| {
                nablas_dplan_value_and_grad(
                    plan,
                    batch,
                    params.as_ptr(),
                    x.as_ptr(),
                    n,
                    softmax,
                    0.0,
                    1,
                    null(),
                    0,
                    classes.as_ptr(),
                    value,
                    grads,
                    work,
                    bytes,
                )
            };
            ok(step(got.as_mut_ptr(), &raw mut value_c));
            assert_eq!((value_c, &got), (value, &grads));

            // A gradient by itself, and whole steps: clipped by half of its norm, measured, and without either.
            let (mut adam, mut norm_c) = (null_mut(), 0.0);
            ok(nablas_dadamw_create(len, 0.1, 0.9, 0.999, 1e-8, 0.01, null(), &raw mut adam));
            let mut rust_adam = AdamW::with(isa, len, 0.1).unwrap();
            let (mut p, mut p_c, mut g) = (params.clone(), params.clone(), vec![0.0; len]);
            let norm = clip_by_global_norm_on(isa, &mut grads.clone(), f64::INFINITY).unwrap();
            for max in [0.5 * norm, f64::INFINITY, 0.0] {
                let clip = (max != 0.0).then_some(max);
                let done = rust_plan
                    .train_step(&mut p, xm, &loss, targets, &mut g, clip, &mut rust_adam, &mut ws)
                    .unwrap();
                let mut clipped = got.clone();
                norm_c = -1.0;
                ok(nablas_dplan_train_step(
                    plan,
                    batch,
                    p_c.as_mut_ptr(),
                    x.as_ptr(),
                    n,
                    softmax,
                    0.0,
                    1,
                    null(),
                    0,
                    classes.as_ptr(),
                    max,
                    adam,
                    &raw mut value_c,
                    &raw mut norm_c,
                    clipped.as_mut_ptr(),
                    work,
                    bytes,
                ));
                assert_eq!((value_c, norm_c), (done.loss, done.norm.unwrap_or(-1.0)));
                assert_eq!((&clipped, &p_c), (&g, &p));
            }
            let mut clipped = got.clone();
            ok(nablas_dclip_by_global_norm(
                len,
                clipped.as_mut_ptr(),
                0.5 * norm,
                &raw mut norm_c,
                &raw const options,
            ));
            let mut want = got.clone();
            clip_by_global_norm_on(isa, &mut want, 0.5 * norm).unwrap();
            assert_eq!((norm_c, &clipped), (norm, &want));
            ok(nablas_dclip_by_global_norm(len, clipped.as_mut_ptr(), 1e9, null_mut(), null()));
            assert_eq!(clipped, want);
            nablas_doptimizer_destroy(adam);

            // Forward, the loss' delta, backward: the same gradient, to rounding.
            let (mut y, mut delta, mut two) = (vec![0.0; batch * m], vec![0.0; batch * m], vec![0.0; len]);
            let (to, d) = (y.as_mut_ptr(), delta.as_mut_ptr());
            let mut kept_bytes = 0;
            ok(nablas_dplan_kept_bytes(plan, batch, &raw mut kept_bytes));
            let mut kept_memory = vec![0xffu8; kept_bytes];
            let kept = kept_memory.as_mut_ptr().cast();
            ok(nablas_dplan_kept_init(plan, batch, kept, kept_bytes));
            let p = params.as_ptr();
            ok(nablas_dplan_forward(plan, batch, p, x.as_ptr(), n, to, m, kept, kept_bytes, work, bytes));
            ok(nablas_dloss(
                batch,
                m,
                softmax,
                0.0,
                1,
                to,
                m,
                null(),
                0,
                classes.as_ptr(),
                &raw mut value_c,
                d,
                m,
                null(),
            ));
            let g = two.as_mut_ptr();
            ok(nablas_dplan_backward(
                plan,
                batch,
                params.as_ptr(),
                x.as_ptr(),
                n,
                d,
                m,
                g,
                null_mut(),
                0,
                kept,
                kept_bytes,
                work,
                bytes,
            ));
            assert!((value_c - value).abs() < 1e-12);
            assert!(two.iter().zip(&grads).all(|(a, b)| (a - b).abs() < 1e-12));

            // A workspace that a call holds: the header's fourth word, on the first cache line, says so.
            let skip = memory.as_ptr().align_offset(64);
            memory[skip + 24] = 1;
            got.fill(3.0);
            assert_eq!(step(got.as_mut_ptr(), &raw mut value_c), Status::Busy);
            assert!(got.iter().all(|g| *g == 3.0));
            nablas_dplan_destroy(plan);
            nablas_dmlp_destroy(net);
        }
    }
}
