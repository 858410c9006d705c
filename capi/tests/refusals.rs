//! What is refused: with which status and words, and that no byte of an output has changed.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every call here is one of a C program, good or bad on purpose"
)]

use nablas_capi::{f32::*, options::*, process::*, status::nablas_status as Status};
use std::{
    ffi::CStr,
    ptr::{null, null_mut},
};

fn last() -> String {
    unsafe { CStr::from_ptr(nablas_last_error()) }.to_string_lossy().into_owned()
}

/// Outputs hold this until a call succeeds.
const UNTOUCHED: f32 = 1234.5;

/// One call of each kind, every operand good until a case spoils it.
struct Operands {
    batch: usize,
    inputs: usize,
    outputs: usize,
    x: Vec<f32>,
    w: Vec<f32>,
    bias: Vec<f32>,
    a: Vec<f32>,
    saved: Vec<f32>,
    mask: Vec<u8>,
}

impl Operands {
    fn new() -> Self {
        let (batch, inputs, outputs) = (4, 3, 5);
        Self {
            batch,
            inputs,
            outputs,
            x: vec![0.5; batch * inputs],
            w: vec![0.25; outputs * inputs],
            bias: vec![1.0; outputs],
            a: vec![UNTOUCHED; batch * outputs],
            saved: vec![UNTOUCHED; batch * outputs],
            mask: vec![0xa5; nablas_mask_bytes(batch, outputs)],
        }
    }

    fn untouched(&self) -> bool {
        self.a.iter().chain(&self.saved).all(|x| *x == UNTOUCHED) && self.mask.iter().all(|b| *b == 0xa5)
    }
}

/// The arguments of a forward call.
#[derive(Clone, Copy)]
struct Forward {
    batch: usize,
    inputs: usize,
    outputs: usize,
    x: *const f32,
    ldx: usize,
    w: *const f32,
    ldw: usize,
    bias: *const f32,
    act: i32,
    p: f32,
    a: *mut f32,
    lda: usize,
    saved: *mut f32,
    lds: usize,
    mask: *mut u8,
    options: *const nablas_options,
}

impl Forward {
    fn good(o: &mut Operands) -> Self {
        Self {
            batch: o.batch,
            inputs: o.inputs,
            outputs: o.outputs,
            x: o.x.as_ptr(),
            ldx: o.inputs,
            w: o.w.as_ptr(),
            ldw: o.inputs,
            bias: o.bias.as_ptr(),
            act: nablas_activation::Relu as i32,
            p: 0.0,
            a: o.a.as_mut_ptr(),
            lda: o.outputs,
            saved: null_mut(),
            lds: o.outputs,
            mask: o.mask.as_mut_ptr(),
            options: null(),
        }
    }

    fn run(self) -> Status {
        unsafe {
            nablas_sdense_forward(
                self.batch,
                self.inputs,
                self.outputs,
                self.x,
                self.ldx,
                self.w,
                self.ldw,
                self.bias,
                self.act,
                self.p,
                self.a,
                self.lda,
                self.saved,
                self.lds,
                self.mask,
                self.options,
            )
        }
    }
}

const HUGE: usize = usize::MAX / 4;

#[test]
fn bad_layers_are_refused() {
    const OPTIONS: nablas_options =
        nablas_options { size: size_of::<nablas_options>(), threads: 1, isa: 0, team: null() };
    static BAD_SIZE: nablas_options = nablas_options { size: 1, ..OPTIONS };
    static BAD_ISA: nablas_options = nablas_options { isa: 77, ..OPTIONS };
    static BAD_THREADS: nablas_options = nablas_options { threads: 1 << 20, ..OPTIONS };
    static NEON: nablas_options = nablas_options { isa: nablas_isa::Neon as i32, ..OPTIONS };
    static AVX512: nablas_options = nablas_options { isa: nablas_isa::Avx512 as i32, ..OPTIONS };
    // An instruction set of another architecture.
    let elsewhere = if cfg!(target_arch = "aarch64") { &raw const AVX512 } else { &raw const NEON };

    type Spoil = Box<dyn Fn(&mut Forward)>;
    let cases: Vec<(&str, Status, &str, Spoil)> = vec![
        ("X NULL", Status::Null, "X: NULL", Box::new(|f| f.x = null())),
        ("W NULL", Status::Null, "W: NULL", Box::new(|f| f.w = null())),
        ("A NULL", Status::Null, "A: NULL", Box::new(|f| f.a = null_mut())),
        ("X odd", Status::Alignment, "X: expected an address", Box::new(|f| f.x = f.x.wrapping_byte_add(1))),
        ("A odd", Status::Alignment, "A: expected an address", Box::new(|f| f.a = f.a.wrapping_byte_add(2))),
        (
            "ldx",
            Status::LeadingDimension,
            "X: expected a leading dimension of at least 3, got 2",
            Box::new(|f| f.ldx = 2),
        ),
        ("ldw", Status::LeadingDimension, "W: expected a leading dimension", Box::new(|f| f.ldw = 0)),
        ("lda", Status::LeadingDimension, "A: expected a leading dimension", Box::new(|f| f.lda = 4)),
        ("batch", Status::Overflow, "X: ", Box::new(|f| f.batch = HUGE)),
        ("inputs", Status::LeadingDimension, "X: ", Box::new(|f| f.inputs = HUGE)),
        ("outputs", Status::Overflow, "W: ", Box::new(|f| f.outputs = HUGE)),
        ("ld", Status::Overflow, "X: ", Box::new(|f| f.ldx = HUGE)),
        ("all ones", Status::Overflow, "X: ", Box::new(|f| (f.batch, f.ldx) = (usize::MAX, usize::MAX))),
        ("activation", Status::Unknown, "nablas_activation: 99 is none", Box::new(|f| f.act = 99)),
        ("activation < 0", Status::Unknown, "nablas_activation: -1 is none", Box::new(|f| f.act = -1)),
        (
            "parameter",
            Status::Parameter,
            "elu: expected a finite parameter, got NaN",
            Box::new(|f| (f.act, f.p, f.mask) = (nablas_activation::Elu as i32, f32::NAN, null_mut())),
        ),
        ("X is A", Status::Overlap, "A overlaps X", Box::new(|f| f.x = f.a.cast_const())),
        ("W in A", Status::Overlap, "A overlaps W", Box::new(|f| f.w = f.a.wrapping_add(4).cast_const())),
        (
            "bias in A",
            Status::Overlap,
            "A overlaps the bias",
            Box::new(|f| f.bias = f.a.wrapping_add(15).cast_const()),
        ),
        ("mask in A", Status::Overlap, "A overlaps the mask", Box::new(|f| f.mask = f.a.cast())),
        (
            "saved is A",
            Status::Overlap,
            "A overlaps the saved matrix",
            Box::new(|f| {
                (f.act, f.saved, f.mask) = (nablas_activation::Tanh as i32, f.a, null_mut());
            }),
        ),
        (
            "wrong kind",
            Status::Saved,
            "the saved state of tanh: expected its derivative",
            Box::new(|f| f.act = nablas_activation::Tanh as i32),
        ),
        (
            "options' size",
            Status::Parameter,
            "the options' size",
            Box::new(|f| f.options = &raw const BAD_SIZE),
        ),
        ("isa", Status::Unknown, "nablas_isa: 77 is none", Box::new(|f| f.options = &raw const BAD_ISA)),
        (
            "threads",
            Status::Parameter,
            "threads: expected 1 to 1024",
            Box::new(|f| f.options = &raw const BAD_THREADS),
        ),
        ("isa elsewhere", Status::Isa, "is not available here", Box::new(move |f| f.options = elsewhere)),
    ];
    for (name, status, words, spoil) in cases {
        let mut operands = Operands::new();
        let mut call = Forward::good(&mut operands);
        spoil(&mut call);
        assert_eq!(call.run(), status, "{name}: {}", last());
        assert!(last().contains(words), "{name}: {}", last());
        assert!(operands.untouched(), "{name} wrote");
    }
    // A matrix and a mask at once.
    let mut operands = Operands::new();
    let mut call = Forward::good(&mut operands);
    call.saved = operands.saved.as_mut_ptr();
    assert_eq!(call.run(), Status::Saved, "{}", last());
    assert!(operands.untouched());
    // And the good call, of no rows too.
    let mut call = Forward::good(&mut operands);
    assert_eq!(call.run(), Status::Ok, "{}", last());
    assert!(operands.a.iter().all(|a| *a == 1.375) && operands.mask == [0x1f; 4]);
    (call.batch, call.x, call.a, call.mask) = (0, null(), null_mut(), null_mut());
    assert_eq!(call.run(), Status::Ok, "{}", last());
}

#[test]
fn bad_vjps_products_and_arrays_are_refused() {
    let mut o = Operands::new();
    let (b, n, m) = (o.batch, o.inputs, o.outputs);
    let delta = vec![1.0f32; b * m];
    let (mut out, mut db) = (vec![UNTOUCHED; b * n], vec![UNTOUCHED; m]);
    let opt = null();
    let (d, w, x) = (delta.as_ptr(), o.w.as_ptr(), o.x.as_ptr());
    let (to, sums) = (out.as_mut_ptr(), db.as_mut_ptr());
    let relu = nablas_activation::Relu as i32;
    let wrong = |got: Status, expected: Status, out: &[f32], db: &[f32]| {
        assert_eq!(got, expected, "{}", last());
        assert!(out.iter().chain(db).all(|x| *x == UNTOUCHED), "{expected:?} wrote");
    };
    unsafe {
        // No state of the ReLU below.
        let got =
            nablas_sdense_vjp_input(b, n, m, d, m, w, n, relu, 0.0, null(), 0, null(), to, n, sums, opt);
        wrong(got, Status::Saved, &out, &db);
        let got = nablas_sdense_vjp_input(b, n, m, d, m, w, n, 0, 0.0, null(), 0, null(), to, n, to, opt);
        wrong(got, Status::Overlap, &out, &db);
        let got =
            nablas_sdense_vjp_input(b, n, m, null(), m, w, n, 0, 0.0, null(), 0, null(), to, n, sums, opt);
        wrong(got, Status::Null, &out, &db);
        let got = nablas_sdense_vjp_weights(b, n, m, d, m, x, n, 0, d.cast_mut(), n, sums, opt);
        wrong(got, Status::Overlap, &out, &db);
        let got = nablas_sdense_vjp_weights(b, n, m, d, m - 1, x, n, 0, to, n, sums, opt);
        wrong(got, Status::LeadingDimension, &out, &db);
        wrong(nablas_sdense_vjp_bias(b, m, d, m, null_mut(), opt), Status::Null, &out, &db);
        wrong(nablas_sdense_vjp_bias(b, m, sums, 1, sums, opt), Status::LeadingDimension, &out, &db);
        let gemm = |ta, tb, a: *const f32, lda, c: *mut f32, ldc| {
            nablas_sgemm(ta, tb, 2, 3, 4, 1.0, a, lda, w, 4, 0.0, c, ldc, opt)
        };
        wrong(gemm(2, 0, d, 4, to, 3), Status::Unknown, &out, &db);
        wrong(gemm(0, 0, d, 3, to, 3), Status::LeadingDimension, &out, &db);
        wrong(gemm(1, 0, d, 1, to, 3), Status::LeadingDimension, &out, &db);
        wrong(gemm(0, 0, to, 4, to, 3), Status::Overlap, &out, &db);
        wrong(nablas_sactivation(12, relu, 0.0, to, to, opt), Status::Overlap, &out, &db);
        wrong(nablas_sactivation(HUGE, relu, 0.0, x, to, opt), Status::Overflow, &out, &db);
        wrong(nablas_sactivation_and_derivative(5, relu, 0.0, x, to, to, opt), Status::Overlap, &out, &db);
        wrong(nablas_sactivation_vjp(5, 99, 0.0, x, x, to, opt), Status::Unknown, &out, &db);
        // Interleaved blocks of one matrix do not overlap: the columns 0..2 to the columns 2..3.
        let mut both = [1.0f32; 12];
        let (from, to) = (both.as_ptr(), both.as_mut_ptr().add(2));
        assert_eq!(
            nablas_sgemm(0, 0, 4, 1, 2, 1.0, from, 3, x, 1, 0.0, to, 3, opt),
            Status::Ok,
            "{}",
            last()
        );
        assert_eq!(both, [1.0; 12]);
        assert_eq!(nablas_sgemm(0, 0, 4, 1, 2, 1.0, from, 3, x, 1, 0.0, to.sub(1), 3, opt), Status::Overlap);
    }
    assert!(o.untouched());
    o.a.clear();
}

#[test]
fn bad_losses_are_refused() {
    let (b, n) = (3usize, 4usize);
    let y = vec![0.5f32; b * n];
    let (classes, beyond) = ([0u32, 1, 3], [0u32, 4, 1]);
    let (mut value, mut delta) = (UNTOUCHED, vec![UNTOUCHED; b * n]);
    let softmax = nablas_loss::SoftmaxCrossEntropy as i32;
    let run = |loss, p, red, t: *const f32, c: *const u32, v: *mut f32, d: *mut f32| unsafe {
        nablas_sloss(b, n, loss, p, red, y.as_ptr(), n, t, n, c, v, d, n, null())
    };
    let (v, d) = (&raw mut value, delta.as_mut_ptr());
    let cases = [
        (run(5, 0.0, 0, y.as_ptr(), null(), v, d), Status::Unknown),
        (run(0, 0.0, 2, y.as_ptr(), null(), v, d), Status::Unknown),
        (run(0, 0.0, 0, null(), null(), v, d), Status::Null),
        (run(softmax, 0.0, 0, y.as_ptr(), classes.as_ptr(), v, d), Status::Targets),
        (run(0, 0.0, 0, null(), classes.as_ptr(), v, d), Status::Targets),
        (run(softmax, 0.0, 0, null(), beyond.as_ptr(), v, d), Status::Class),
        (run(nablas_loss::Huber as i32, -1.0, 0, y.as_ptr(), null(), v, d), Status::Parameter),
        (run(0, 0.0, 0, y.as_ptr(), null(), null_mut(), d), Status::Null),
        (run(0, 0.0, 0, y.as_ptr(), null(), d, d), Status::Overlap),
        (run(0, 0.0, 0, y.as_ptr(), null(), v, y.as_ptr().cast_mut()), Status::Overlap),
    ];
    for (i, (got, expected)) in cases.into_iter().enumerate() {
        assert_eq!(got, expected, "case {i}");
    }
    assert!(value == UNTOUCHED && delta.iter().all(|d| *d == UNTOUCHED));
    assert_eq!(run(softmax, 0.0, 1, null(), classes.as_ptr(), v, d), Status::Ok, "{}", last());
    assert!((value - 4.0f32.ln()).abs() < 1e-6);
}

#[test]
fn bad_networks_plans_and_workspaces_are_refused() {
    unsafe {
        let (widths, acts) = ([3usize, 5, 2], [nablas_activation::Relu as i32, 0]);
        let marked = std::ptr::dangling_mut();
        let mut mlp = marked;
        let make = |layers, widths: *const usize, acts: *const i32, out| {
            nablas_smlp_create(layers, widths, acts, null(), out)
        };
        assert_eq!(make(2, null(), acts.as_ptr(), &raw mut mlp), Status::Null);
        assert_eq!(make(2, widths.as_ptr(), null(), &raw mut mlp), Status::Null);
        assert_eq!(make(0, widths.as_ptr(), acts.as_ptr(), &raw mut mlp), Status::Parameter);
        assert_eq!(make(usize::MAX, widths.as_ptr(), acts.as_ptr(), &raw mut mlp), Status::Overflow);
        assert_eq!(make(2, widths.as_ptr(), [0, 44].as_ptr(), &raw mut mlp), Status::Unknown);
        assert_eq!(make(2, [3usize, 0, 2].as_ptr(), acts.as_ptr(), &raw mut mlp), Status::Parameter);
        assert_eq!(make(2, [3, usize::MAX / 2, 2].as_ptr(), acts.as_ptr(), &raw mut mlp), Status::Overflow);
        assert_eq!(make(2, widths.as_ptr(), acts.as_ptr(), null_mut()), Status::Null);
        assert_eq!(mlp, marked, "a handle was written");
        assert_eq!(make(2, widths.as_ptr(), acts.as_ptr(), &raw mut mlp), Status::Ok, "{}", last());

        let (mut len, mut w, mut b) = (0, 7, 7);
        assert_eq!(nablas_smlp_param_len(null(), &raw mut len), Status::Null);
        assert_eq!(nablas_smlp_param_len(mlp, null_mut()), Status::Null);
        assert_eq!(nablas_smlp_param_len(mlp, &raw mut len), Status::Ok);
        assert_eq!(len, 3 * 5 + 5 + 5 * 2 + 2);
        assert_eq!(nablas_smlp_offsets(mlp, 2, &raw mut w, &raw mut b), Status::Shape);
        assert_eq!(nablas_smlp_offsets(mlp, 1, &raw mut w, null_mut()), Status::Null);
        assert_eq!((w, b), (7, 7));
        assert_eq!(nablas_smlp_offsets(mlp, 1, &raw mut w, &raw mut b), Status::Ok);
        assert_eq!((w, b), (20, 30));

        let mut params = vec![UNTOUCHED; len];
        assert_eq!(nablas_smlp_init(mlp, 9, 1.0, 1, params.as_mut_ptr()), Status::Unknown);
        assert_eq!(nablas_smlp_init(mlp, 4, -1.0, 1, params.as_mut_ptr()), Status::Parameter);
        assert_eq!(nablas_smlp_init(mlp, 0, 1.0, 1, null_mut()), Status::Null);
        assert!(params.iter().all(|p| *p == UNTOUCHED));
        assert_eq!(nablas_smlp_init(mlp, 0, 1.0, 1, params.as_mut_ptr()), Status::Ok);

        let (mut plan, mut other) = (null_mut(), null_mut());
        assert_eq!(nablas_splan_create(null(), 4, null(), &raw mut plan), Status::Null);
        assert_eq!(nablas_splan_create(mlp, usize::MAX, null(), &raw mut plan), Status::Overflow);
        assert!(plan.is_null());
        assert_eq!(nablas_splan_create(mlp, 4, null(), &raw mut plan), Status::Ok, "{}", last());
        assert_eq!(nablas_splan_create(mlp, 4, null(), &raw mut other), Status::Ok, "{}", last());

        let mut bytes = 0;
        assert_eq!(nablas_splan_workspace_size(plan, &raw mut bytes), Status::Ok);
        let mut memory = vec![0u8; bytes + 1];
        // Of any alignment.
        let work = memory.as_mut_ptr().add(1).cast();
        assert_eq!(nablas_splan_workspace_init(plan, work, bytes - 1), Status::Workspace);
        assert_eq!(nablas_splan_workspace_init(plan, null_mut(), bytes), Status::Null);
        assert!(memory.iter().all(|b| *b == 0));

        let (x, classes) = ([0.5f32; 12], [0u32; 4]);
        let (mut y, mut grads, mut value) = (vec![UNTOUCHED; 8], vec![UNTOUCHED; len], UNTOUCHED);
        let (p, x) = (params.as_ptr(), x.as_ptr());
        let (to, g, v) = (y.as_mut_ptr(), grads.as_mut_ptr(), &raw mut value);
        let nothing = null_mut();
        let forward =
            |plan, batch, x, y| nablas_splan_forward(plan, batch, p, x, 3, y, 2, nothing, 0, work, bytes);
        let step = |batch, classes: *const u32, g, value| {
            nablas_splan_value_and_grad(
                plan,
                batch,
                p,
                x,
                3,
                4,
                0.0,
                0,
                null(),
                0,
                classes,
                value,
                g,
                work,
                bytes,
            )
        };
        assert_eq!(forward(plan, 4, x, to), Status::Workspace, "not initialised");
        assert_eq!(nablas_splan_workspace_init(plan, work, bytes), Status::Ok, "{}", last());
        assert_eq!(forward(other, 4, x, to), Status::Workspace, "another plan's");
        assert_eq!(
            nablas_splan_forward(plan, 4, p, x, 3, to, 2, nothing, 0, work, bytes - 1),
            Status::Workspace
        );
        assert_eq!(nablas_splan_forward(plan, 4, p, x, 3, to, 2, nothing, 0, nothing, bytes), Status::Null);
        assert_eq!(forward(null(), 4, x, to), Status::Null);
        assert_eq!(forward(plan, 5, x, to), Status::Batch);
        assert_eq!(forward(plan, 4, null(), to), Status::Null);
        assert_eq!(forward(plan, 4, to, to), Status::Overlap);
        assert_eq!(forward(plan, 4, x, work.cast()), Status::Alignment);
        assert_eq!(forward(plan, 4, x, work.byte_add(63).cast()), Status::Overlap);
        assert_eq!(step(4, [0, 1, 2, 0].as_ptr(), g, v), Status::Class);
        assert_eq!(step(4, null(), g, v), Status::Null);
        assert_eq!(step(4, classes.as_ptr(), params.as_mut_ptr(), v), Status::Overlap);
        assert_eq!(step(4, classes.as_ptr(), g, g.add(3)), Status::Overlap);
        assert!(y.iter().chain(&grads).all(|x| *x == UNTOUCHED) && value == UNTOUCHED);

        assert_eq!(forward(plan, 4, x, to), Status::Ok, "{}", last());
        assert_eq!(step(4, classes.as_ptr(), g, v), Status::Ok, "{}", last());
        assert!(value.is_finite());

        let mut adamw = null_mut();
        let create = |rate, beta, out| nablas_sadamw_create(len, rate, beta, 0.999, 1e-8, 0.01, null(), out);
        assert_eq!(create(-1.0, 0.9, &raw mut adamw), Status::Parameter);
        assert_eq!(create(0.1, 1.0, &raw mut adamw), Status::Parameter);
        assert_eq!(
            nablas_sadamw_create(HUGE, 0.1, 0.9, 0.999, 1e-8, 0.0, null(), &raw mut adamw),
            Status::Memory
        );
        assert!(adamw.is_null());
        assert_eq!(create(0.1, 0.9, &raw mut adamw), Status::Ok, "{}", last());
        let before = params.clone();
        assert_eq!(nablas_soptimizer_step(adamw, params.as_mut_ptr(), params.as_ptr()), Status::Overlap);
        assert_eq!(nablas_soptimizer_step(null_mut(), params.as_mut_ptr(), g), Status::Null);
        assert_eq!(nablas_soptimizer_set_rate(adamw, f64::NAN), Status::Parameter);
        assert_eq!(params, before);

        let (mut value, mut norm) = (UNTOUCHED, -1.0);
        let gradient = grads.clone();
        let mut train = |p: *mut f32, classes: *const u32, max, optimizer, norm, g| {
            let v = &raw mut value;
            nablas_splan_train_step(
                plan,
                4,
                p,
                x,
                3,
                4,
                0.0,
                0,
                null(),
                0,
                classes,
                max,
                optimizer,
                v,
                norm,
                g,
                work,
                bytes,
            )
        };
        let (p, c, n) = (params.as_mut_ptr(), classes.as_ptr(), &raw mut norm);
        assert_eq!(train(p, c, 1.0, null_mut(), n, g), Status::Null);
        assert_eq!(train(null_mut(), c, 1.0, adamw, n, g), Status::Null);
        assert_eq!(train(p, null(), 1.0, adamw, n, g), Status::Null);
        assert_eq!(train(p, [0, 1, 2, 0].as_ptr(), 1.0, adamw, n, g), Status::Class);
        assert_eq!(train(p, c, -1.0, adamw, n, g), Status::Parameter);
        assert_eq!(train(p, c, f64::NAN, adamw, n, g), Status::Parameter);
        assert_eq!(train(p, c, 1.0, adamw, n, p), Status::Overlap);
        let mut shorter = null_mut();
        assert_eq!(nablas_ssgd_create(len - 1, 0.1, 0.0, 0, 0.0, null(), &raw mut shorter), Status::Ok);
        assert_eq!(train(p, c, 1.0, shorter, n, g), Status::Shape);
        nablas_soptimizer_destroy(shorter);
        let clip = |max, norm| nablas_sclip_by_global_norm(len, g, max, norm, null());
        assert_eq!(clip(0.0, n), Status::Parameter);
        assert_ne!(clip(1.0, g.cast()), Status::Ok, "the norm over the gradient");
        assert!(params == before && grads == gradient && value == UNTOUCHED && norm == -1.0);
        assert_eq!(nablas_soptimizer_step(adamw, params.as_mut_ptr(), g), Status::Ok, "{}", last());
        assert_ne!(params, before);

        let mut path = -1;
        assert_eq!(nablas_splan_path(null(), &raw mut path), Status::Null);
        assert_eq!(nablas_splan_path(plan, null_mut()), Status::Null);
        assert_eq!(path, -1);
        assert_eq!(nablas_splan_path(plan, &raw mut path), Status::Ok);
        let (name, why) = (nablas_path_name(path), nablas_splan_explain(plan));
        assert!(CStr::from_ptr(why).to_bytes().starts_with(CStr::from_ptr(name).to_bytes()));

        nablas_soptimizer_destroy(adamw);
        nablas_splan_destroy(plan);
        nablas_splan_destroy(other);
        nablas_smlp_destroy(mlp);
        nablas_smlp_destroy(null_mut());
    }
}

#[test]
fn process_calls() {
    assert_eq!(nablas_set_num_threads(1025), Status::Parameter);
    assert!(last().contains("threads: expected 1 to 1024, got 1025"));
    assert_eq!(nablas_check_isa(-3), Status::Unknown);
    assert_eq!(nablas_check_isa(nablas_isa::Scalar as i32), Status::Ok);
    let mut saved = -1;
    unsafe {
        assert_eq!(nablas_activation_saved(99, &raw mut saved), Status::Unknown);
        assert_eq!(nablas_activation_saved(0, null_mut()), Status::Null);
        assert_eq!(saved, -1);
        assert_eq!(nablas_activation_saved(nablas_activation::Relu as i32, &raw mut saved), Status::Ok);
        assert_eq!(saved, nablas_saved::Mask as i32);
        let name = |status| CStr::from_ptr(nablas_status_name(status)).to_str().unwrap();
        assert_eq!((name(0), name(11), name(20), name(21)), ("ok", "not_kept", "kept", "unknown status"));
        let path = |path| CStr::from_ptr(nablas_path_name(path)).to_str().unwrap();
        assert_eq!(
            (path(0), path(2), path(3), path(-1)),
            ("fused", "layered", "unknown path", "unknown path")
        );
        let config = &*nablas_get_config();
        for text in [config.version, config.isa, config.isa_reason, config.isas, config.features] {
            assert!(!CStr::from_ptr(text).is_empty());
        }
        assert!(config.l1d_bytes > 0 && config.processors > 0);
    }
    // A failure of another thread is not this one's.
    let before = last();
    std::thread::spawn(|| assert_eq!(nablas_check_isa(99), Status::Unknown)).join().unwrap();
    assert_eq!(last(), before);
}
