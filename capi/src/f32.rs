//! The functions of `float`. Those of `double`, `f64.rs`, are generated from this file (`tests/header.rs`).

use crate::{
    call::guard,
    dense,
    handle::{create, destroy, handle, object, put},
    loss,
    network::{self, nablas_smlp},
    optim::{self, Optimizer, nablas_soptimizer},
    options::nablas_options,
    plan::{Planned, nablas_splan},
    pointwise,
    status::nablas_status,
};
use std::ffi::{c_char, c_void};

/// A ← g(X·Wᵀ + b): X [batch, inputs], W [outputs, inputs], b [outputs], A [batch, outputs].
///
/// `bias` may be NULL. What the backward calls will need is saved if asked for, as `nablas_activation_saved` says: in
/// `saved` [batch, outputs] or in `mask` (`nablas_mask_bytes(batch, outputs)` bytes), the other NULL; both NULL to save
/// nothing. `options` may be NULL. Outputs overlap nothing.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_sdense_forward(
    batch: usize,
    inputs: usize,
    outputs: usize,
    x: *const f32,
    ldx: usize,
    w: *const f32,
    ldw: usize,
    bias: *const f32,
    activation: i32,
    parameter: f32,
    a: *mut f32,
    lda: usize,
    saved: *mut f32,
    ldsaved: usize,
    mask: *mut u8,
    options: *const nablas_options,
) -> nablas_status {
    let (sizes, act) = ((batch, inputs, outputs), (activation, parameter));
    // SAFETY: the caller's promise.
    unsafe { dense::forward(sizes, (x, ldx), (w, ldw), bias, act, (a, lda), (saved, ldsaved), mask, options) }
}

/// δ' ← (δ·W) ⊙ g'(Z'), and db' ← the column sums of δ': δ [batch, outputs], W [outputs, inputs], δ' [batch, inputs],
/// db' [inputs].
///
/// `activation` is g of the layer below, and `saved` [batch, inputs] or `mask` what that layer's forward call saved (for
/// `NABLAS_ACTIVATION_EXP` its output), the other NULL; `NABLAS_ACTIVATION_IDENTITY` and both NULL give dX. `db` and
/// `options` may be NULL. Outputs overlap nothing.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_sdense_vjp_input(
    batch: usize,
    inputs: usize,
    outputs: usize,
    delta: *const f32,
    lddelta: usize,
    w: *const f32,
    ldw: usize,
    activation: i32,
    parameter: f32,
    saved: *const f32,
    ldsaved: usize,
    mask: *const u8,
    out: *mut f32,
    ldout: usize,
    db: *mut f32,
    options: *const nablas_options,
) -> nablas_status {
    let (sizes, act, delta) = ((batch, inputs, outputs), (activation, parameter), (delta, lddelta));
    // SAFETY: the caller's promise.
    unsafe {
        dense::vjp_input(sizes, delta, (w, ldw), act, (saved, ldsaved), mask, (out, ldout), db, options)
    }
}

/// dW ← δᵀ·A, or dW + δᵀ·A if `accumulate` is not 0; db ← the column sums of δ: δ [batch, outputs], A [batch, inputs],
/// dW [outputs, inputs], db [outputs]. Sums over the batch.
///
/// `db` and `options` may be NULL. Outputs overlap nothing.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_sdense_vjp_weights(
    batch: usize,
    inputs: usize,
    outputs: usize,
    delta: *const f32,
    lddelta: usize,
    a: *const f32,
    lda: usize,
    accumulate: i32,
    dw: *mut f32,
    lddw: usize,
    db: *mut f32,
    options: *const nablas_options,
) -> nablas_status {
    let sizes = (batch, inputs, outputs);
    // SAFETY: the caller's promise.
    unsafe { dense::vjp_weights(sizes, (delta, lddelta), (a, lda), accumulate != 0, (dw, lddw), db, options) }
}

/// db ← the column sums of δ: δ [batch, outputs], db [outputs]. `options` may be NULL. db does not overlap δ.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_sdense_vjp_bias(
    batch: usize,
    outputs: usize,
    delta: *const f32,
    lddelta: usize,
    db: *mut f32,
    options: *const nablas_options,
) -> nablas_status {
    // SAFETY: the caller's promise.
    unsafe { dense::vjp_bias((batch, outputs), (delta, lddelta), db, options) }
}

/// C ← α·op(A)·op(B) + β·C, all row-major: op(A) [m, k], op(B) [k, n], C [m, n].
///
/// `transa` and `transb` are of `nablas_transpose`. β = 0 does not read C. `options` may be NULL. C overlaps neither A
/// nor B.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_sgemm(
    transa: i32,
    transb: i32,
    m: usize,
    n: usize,
    k: usize,
    alpha: f32,
    a: *const f32,
    lda: usize,
    b: *const f32,
    ldb: usize,
    beta: f32,
    c: *mut f32,
    ldc: usize,
    options: *const nablas_options,
) -> nablas_status {
    let trans = (transa, transb);
    // SAFETY: the caller's promise.
    unsafe { dense::gemm(trans, (m, n, k), alpha, (a, lda), (b, ldb), beta, (c, ldc), options) }
}

/// a ← g(z), for `n` elements. `options` may be NULL. a does not overlap z.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_sactivation(
    n: usize,
    activation: i32,
    parameter: f32,
    z: *const f32,
    a: *mut f32,
    options: *const nablas_options,
) -> nablas_status {
    // SAFETY: the caller's promise.
    unsafe { pointwise::value(n, (activation, parameter), z, a, None, options) }
}

/// a ← g(z) and d ← g'(z), for `n` elements. `options` may be NULL. Outputs overlap nothing.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_sactivation_and_derivative(
    n: usize,
    activation: i32,
    parameter: f32,
    z: *const f32,
    a: *mut f32,
    d: *mut f32,
    options: *const nablas_options,
) -> nablas_status {
    // SAFETY: the caller's promise.
    unsafe { pointwise::value(n, (activation, parameter), z, a, Some(d), options) }
}

/// out ← g ⊙ g'(z), for `n` elements: the cotangent of z from the cotangent g of the value. `options` may be NULL. The
/// output overlaps nothing.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_sactivation_vjp(
    n: usize,
    activation: i32,
    parameter: f32,
    z: *const f32,
    g: *const f32,
    out: *mut f32,
    options: *const nablas_options,
) -> nablas_status {
    // SAFETY: the caller's promise.
    unsafe { pointwise::vjp(n, (activation, parameter), z, g, out, options) }
}

/// `*value` ← the loss of the outputs y [batch, outputs], and delta ← ∂L/∂y [batch, outputs].
///
/// `loss` is of `nablas_loss`, `reduction` of `nablas_reduction`. Either `targets` [batch, outputs] or, for the softmax
/// cross-entropy, `classes` [batch] is given, the other NULL. `delta` (then nothing but the value is computed) and
/// `options` may be NULL. Outputs overlap nothing.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_sloss(
    batch: usize,
    outputs: usize,
    loss: i32,
    parameter: f32,
    reduction: i32,
    y: *const f32,
    ldy: usize,
    targets: *const f32,
    ldtargets: usize,
    classes: *const u32,
    value: *mut f32,
    delta: *mut f32,
    lddelta: usize,
    options: *const nablas_options,
) -> nablas_status {
    let (shape, named) = ((batch, outputs), (loss, parameter, reduction));
    let (targets, delta) = ((targets, ldtargets), (delta, lddelta));
    // SAFETY: the caller's promise.
    unsafe { loss::value_and_delta(shape, named, (y, ldy), targets, classes, value, delta, options) }
}

/// `*mlp` ← a network: `widths` [layers + 1] from the input on, `activations` [layers] of `nablas_activation`,
/// `parameters` [layers] of those activations that have one (NULL for 0.01, 6, 1, 1 in their order).
///
/// Parameters and gradients of the network are one flat buffer: for each layer in order W [outputs, inputs], row-major
/// without padding, and then b [outputs].
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_smlp_create(
    layers: usize,
    widths: *const usize,
    activations: *const i32,
    parameters: *const f32,
    mlp: *mut *mut nablas_smlp,
) -> nablas_status {
    // SAFETY: the caller's promise.
    unsafe { create(mlp, || Ok(nablas_smlp(network::mlp(layers, widths, activations, parameters)?))) }
}

/// Frees a network; NULL is nothing. Plans of it stay.
///
/// # Safety
/// `mlp` is NULL or a network that was not destroyed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_smlp_destroy(mlp: *mut nablas_smlp) {
    // SAFETY: the caller's promise.
    unsafe { destroy(mlp) }
}

/// `*length` ← the elements of the flat buffer of parameters, and of gradients.
///
/// # Safety
/// `mlp` is NULL or a network, `length` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_smlp_param_len(mlp: *const nablas_smlp, length: *mut usize) -> nablas_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe { put("the length", length, object("the network", mlp)?.0.param_len()) })
}

/// `*weights` and `*bias` ← where W and b of a layer start in the flat buffer, in elements; layers count from 0.
///
/// # Safety
/// `mlp` is NULL or a network, the others are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_smlp_offsets(
    mlp: *const nablas_smlp,
    layer: usize,
    weights: *mut usize,
    bias: *mut usize,
) -> nablas_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe { network::offsets(&object("the network", mlp)?.0, layer, weights, bias) })
}

/// Fills the parameters [param_len]: `init` of `nablas_init`, `omega` for `NABLAS_INIT_SIREN`, and the gain of
/// `NABLAS_INIT_ORTHOGONAL`. The same seed gives the same numbers on every machine.
///
/// # Safety
/// `mlp` is NULL or a network, `params` NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_smlp_init(
    mlp: *const nablas_smlp,
    init: i32,
    omega: f64,
    seed: u64,
    params: *mut f32,
) -> nablas_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe { network::initialise(&object("the network", mlp)?.0, (init, omega), seed, params) })
}

/// `*plan` ← how the calls of a network are done, for batches of at most `max_batch` rows. `options` (NULL for the
/// defaults) hold for every call of the plan.
///
/// # Safety
/// `mlp` is NULL or a network, the other pointers are NULL or valid for their operands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_create(
    mlp: *const nablas_smlp,
    max_batch: usize,
    options: *const nablas_options,
    plan: *mut *mut nablas_splan,
) -> nablas_status {
    // SAFETY: the caller's promise.
    unsafe {
        create(plan, || {
            let mlp = &object("the network", mlp)?.0;
            Ok(nablas_splan(Planned::new(mlp, max_batch, options)?))
        })
    }
}

/// Frees a plan; NULL is nothing.
///
/// # Safety
/// `plan` is NULL or a plan that was not destroyed before, and no call uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_destroy(plan: *mut nablas_splan) {
    // SAFETY: the caller's promise.
    unsafe { destroy(plan) }
}

/// Which path a plan chose, and why, in a sentence; NULL for NULL. Valid as long as the plan.
///
/// # Safety
/// `plan` is NULL or a plan.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_explain(plan: *const nablas_splan) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { plan.as_ref() }.map_or(std::ptr::null(), |plan| plan.0.explanation())
}

/// `*path` ← which path a plan chose, one of `nablas_path`; `nablas_path_name` has its name.
///
/// # Safety
/// `plan` is NULL or a plan, `path` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_path(plan: *const nablas_splan, path: *mut i32) -> nablas_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe { put("the path", path, object("the plan", plan)?.0.path() as i32) })
}

/// `*bytes` ← the bytes of a workspace of the plan. The memory may have any alignment.
///
/// # Safety
/// `plan` is NULL or a plan, `bytes` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_workspace_size(
    plan: *const nablas_splan,
    bytes: *mut usize,
) -> nablas_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe { put("the bytes", bytes, object("the plan", plan)?.0.workspace_bytes()?) })
}

/// Makes a workspace of the caller's memory, for this plan at this address. Until the last call in it, nothing else may
/// write there. Between calls it holds nothing.
///
/// # Safety
/// `plan` is NULL or a plan, `work` NULL or writable over `work_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_workspace_init(
    plan: *const nablas_splan,
    work: *mut c_void,
    work_bytes: usize,
) -> nablas_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe { object("the plan", plan)?.0.init((work, work_bytes)) })
}

/// `*bytes` ← the bytes of the state that a `forward` of at most `batch` rows leaves for its `backward`. The memory may have
/// any alignment.
///
/// # Safety
/// `plan` is NULL or a plan, `bytes` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_kept_bytes(
    plan: *const nablas_splan,
    batch: usize,
    bytes: *mut usize,
) -> nablas_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe { put("the bytes", bytes, object("the plan", plan)?.0.kept_bytes(batch)?) })
}

/// Makes room for the state of a `forward` of at most `batch` rows of the caller's memory, for this plan at this address.
/// Until the last call with it, nothing else may write there. Any number of states may be alive.
///
/// # Safety
/// `plan` is NULL or a plan, `kept` NULL or writable over `kept_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_kept_init(
    plan: *const nablas_splan,
    batch: usize,
    kept: *mut c_void,
    kept_bytes: usize,
) -> nablas_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe { object("the plan", plan)?.0.init_kept(batch, (kept, kept_bytes)) })
}

/// Y ← the outputs [batch, n_L] of the inputs X [batch, n_0]; what `backward` needs goes to `kept`, in place of what was
/// there. `kept` may be NULL, to leave nothing. Outputs overlap nothing.
///
/// # Safety
/// `plan` is NULL or a plan, the other pointers are NULL or valid for their operands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_forward(
    plan: *const nablas_splan,
    batch: usize,
    params: *const f32,
    x: *const f32,
    ldx: usize,
    y: *mut f32,
    ldy: usize,
    kept: *mut c_void,
    kept_bytes: usize,
    work: *mut c_void,
    work_bytes: usize,
) -> nablas_status {
    // SAFETY: the caller's promise.
    let plan = match unsafe { handle("the plan", plan) } {
        Ok(plan) => &plan.0,
        Err(status) => return status,
    };
    let (kept, work) = ((kept, kept_bytes), (work, work_bytes));
    // SAFETY: the caller's promise.
    unsafe { plan.forward(batch, params, (x, ldx), (y, ldy), kept, work) }
}

/// grads ← dW and db of every layer (sums over the batch), laid out as the parameters, and dX ← ∂L/∂X [batch, n_0], from
/// dY = ∂L/∂Y [batch, n_L].
///
/// Parameters and X are those of the `forward` that left `kept`, which stays, for any number of calls, several at once
/// too. `dx` may be NULL. Outputs overlap nothing.
///
/// # Safety
/// `plan` is NULL or a plan, the other pointers are NULL or valid for their operands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_backward(
    plan: *const nablas_splan,
    batch: usize,
    params: *const f32,
    x: *const f32,
    ldx: usize,
    dy: *const f32,
    lddy: usize,
    grads: *mut f32,
    dx: *mut f32,
    lddx: usize,
    kept: *mut c_void,
    kept_bytes: usize,
    work: *mut c_void,
    work_bytes: usize,
) -> nablas_status {
    // SAFETY: the caller's promise.
    let plan = match unsafe { handle("the plan", plan) } {
        Ok(plan) => &plan.0,
        Err(status) => return status,
    };
    let (kept, work) = ((kept, kept_bytes), (work, work_bytes));
    // SAFETY: the caller's promise.
    unsafe { plan.backward(batch, params, (x, ldx), (dy, lddy), grads, (dx, lddx), kept, work) }
}

/// `forward` and `backward` in one pass, that keeps a tile of the batch at a time. `y` and `dx` may be NULL. Outputs
/// overlap nothing.
///
/// # Safety
/// `plan` is NULL or a plan, the other pointers are NULL or valid for their operands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_vjp(
    plan: *const nablas_splan,
    batch: usize,
    params: *const f32,
    x: *const f32,
    ldx: usize,
    dy: *const f32,
    lddy: usize,
    y: *mut f32,
    ldy: usize,
    grads: *mut f32,
    dx: *mut f32,
    lddx: usize,
    work: *mut c_void,
    work_bytes: usize,
) -> nablas_status {
    // SAFETY: the caller's promise.
    let plan = match unsafe { handle("the plan", plan) } {
        Ok(plan) => &plan.0,
        Err(status) => return status,
    };
    let work = (work, work_bytes);
    // SAFETY: the caller's promise.
    unsafe { plan.vjp(batch, params, (x, ldx), (dy, lddy), (y, ldy), grads, (dx, lddx), work) }
}

/// `*value` ← the loss of the outputs, and grads ← its gradient: dW and db of every layer, laid out as the parameters.
///
/// The loss as for `loss`: either `targets` [batch, n_L] or `classes` [batch] is given, the other NULL. Outputs overlap
/// nothing.
///
/// # Safety
/// `plan` is NULL or a plan, the other pointers are NULL or valid for their operands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_value_and_grad(
    plan: *const nablas_splan,
    batch: usize,
    params: *const f32,
    x: *const f32,
    ldx: usize,
    loss: i32,
    parameter: f32,
    reduction: i32,
    targets: *const f32,
    ldtargets: usize,
    classes: *const u32,
    value: *mut f32,
    grads: *mut f32,
    work: *mut c_void,
    work_bytes: usize,
) -> nablas_status {
    // SAFETY: the caller's promise.
    let plan = match unsafe { handle("the plan", plan) } {
        Ok(plan) => &plan.0,
        Err(status) => return status,
    };
    let (named, targets, work) = ((loss, parameter, reduction), (targets, ldtargets), (work, work_bytes));
    // SAFETY: the caller's promise.
    unsafe { plan.value_and_grad(batch, params, (x, ldx), named, targets, classes, value, grads, work) }
}

/// One step of training: `*value` ← the loss, grads ← its gradient, clipped; then params [param_len] are moved by the
/// optimizer, which was made for as many.
///
/// The loss as for `loss`: either `targets` [batch, n_L] or `classes` [batch] is given, the other NULL. With `max_norm` above
/// 0, the gradient is made no longer than that, and `*norm` ← its norm before (if `norm` is NULL, nothing tells of what follows); if that is infinite or NaN,
/// neither parameters nor optimizer change. INFINITY only measures; with 0 nothing is measured or clipped, and `*norm` stays as it
/// was. The numbers are those of `value_and_grad`, `clip_by_global_norm` and `step` one after another. On the plan's threads and
/// instruction set. Outputs overlap nothing.
///
/// # Safety
/// `plan` is NULL or a plan, `optimizer` NULL or an optimizer, the other pointers are NULL or valid for their operands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_splan_train_step(
    plan: *const nablas_splan,
    batch: usize,
    params: *mut f32,
    x: *const f32,
    ldx: usize,
    loss: i32,
    parameter: f32,
    reduction: i32,
    targets: *const f32,
    ldtargets: usize,
    classes: *const u32,
    max_norm: f64,
    optimizer: *mut nablas_soptimizer,
    value: *mut f32,
    norm: *mut f64,
    grads: *mut f32,
    work: *mut c_void,
    work_bytes: usize,
) -> nablas_status {
    // SAFETY: the caller's promise.
    let (plan, optimizer) = match unsafe { (handle("the plan", plan), handle("the optimizer", optimizer)) } {
        (Ok(plan), Ok(optimizer)) => (&plan.0, &optimizer.0),
        (Err(status), _) | (_, Err(status)) => return status,
    };
    let (named, targets, work) = ((loss, parameter, reduction), (targets, ldtargets), (work, work_bytes));
    let (clip, out) = ((max_norm, norm), (value, grads));
    // SAFETY: the caller's promise.
    unsafe { plan.train_step(batch, params, (x, ldx), named, targets, classes, clip, optimizer, out, work) }
}

/// grads [length] ← grads·min(1, max_norm/‖grads‖), and `*norm` ← ‖grads‖ before that, in double; `norm` may be NULL.
///
/// `max_norm` is above 0; INFINITY only measures. If the norm is infinite or NaN, grads stay as they are. The same numbers on any
/// number of threads and any instruction set. `options` may be NULL; they choose the instruction set.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_sclip_by_global_norm(
    length: usize,
    grads: *mut f32,
    max_norm: f64,
    norm: *mut f64,
    options: *const nablas_options,
) -> nablas_status {
    // SAFETY: the caller's promise.
    unsafe { optim::clip(length, grads, max_norm, norm, options) }
}

/// `*optimizer` ← stochastic gradient descent of `length` parameters: v ← μ·v + (g + λ·p); p ← p − η·v, with Nesterov's
/// look ahead if `nesterov` is not 0. `options` may be NULL.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_ssgd_create(
    length: usize,
    rate: f64,
    momentum: f64,
    nesterov: i32,
    decay: f64,
    options: *const nablas_options,
    optimizer: *mut *mut nablas_soptimizer,
) -> nablas_status {
    let numbers = (rate, momentum, nesterov != 0, decay);
    // SAFETY: the caller's promise.
    unsafe { create(optimizer, || Ok(nablas_soptimizer(Optimizer::sgd(length, numbers, options)?))) }
}

/// `*optimizer` ← Adam of `length` parameters (Kingma, Ba 2014); the decay is added to the gradient. Usual numbers:
/// β₁ = 0.9, β₂ = 0.999, ε = 1e-8, decay 0. `options` may be NULL.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_sadam_create(
    length: usize,
    rate: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    decay: f64,
    options: *const nablas_options,
    optimizer: *mut *mut nablas_soptimizer,
) -> nablas_status {
    let numbers = (rate, beta1, beta2, epsilon, decay);
    // SAFETY: the caller's promise.
    unsafe { create(optimizer, || Ok(nablas_soptimizer(Optimizer::adam(length, numbers, false, options)?))) }
}

/// `*optimizer` ← AdamW of `length` parameters (Loshchilov, Hutter 2017): as Adam, but the decay is its own. Usual
/// decay: 0.01.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_sadamw_create(
    length: usize,
    rate: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    decay: f64,
    options: *const nablas_options,
    optimizer: *mut *mut nablas_soptimizer,
) -> nablas_status {
    let numbers = (rate, beta1, beta2, epsilon, decay);
    // SAFETY: the caller's promise.
    unsafe { create(optimizer, || Ok(nablas_soptimizer(Optimizer::adam(length, numbers, true, options)?))) }
}

/// Frees an optimizer; NULL is nothing.
///
/// # Safety
/// `optimizer` is NULL or an optimizer that was not destroyed before, and no call uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_soptimizer_destroy(optimizer: *mut nablas_soptimizer) {
    // SAFETY: the caller's promise.
    unsafe { destroy(optimizer) }
}

/// One step: params [length] from grads [length]. They do not overlap.
///
/// # Safety
/// `optimizer` is NULL or an optimizer, the other pointers are NULL or valid for their operands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_soptimizer_step(
    optimizer: *mut nablas_soptimizer,
    params: *mut f32,
    grads: *const f32,
) -> nablas_status {
    // SAFETY: the caller's promise.
    match unsafe { handle("the optimizer", optimizer) } {
        // SAFETY: the caller's promise.
        Ok(optimizer) => unsafe { optimizer.0.step(params, grads) },
        Err(status) => status,
    }
}

/// Sets the learning rate of the steps to come.
///
/// # Safety
/// `optimizer` is NULL or an optimizer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_soptimizer_set_rate(
    optimizer: *mut nablas_soptimizer,
    rate: f64,
) -> nablas_status {
    // SAFETY: the caller's promise.
    match unsafe { handle("the optimizer", optimizer) } {
        Ok(optimizer) => optimizer.0.set_rate(rate),
        Err(status) => status,
    }
}
