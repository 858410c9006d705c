//! The dense-layer calls, and the plain product.

use crate::{
    call::call,
    elem::Elem,
    operand::{In, Operand, Out, array, disjoint, matrix, optional},
    options::{Setup, activation, nablas_options, setup, transposed},
    scratch,
    status::{Result, fail, nablas_status as Status},
};
use nablas::{
    Activation, BackendKind, Dense, Gemm, MatRef,
    dense::{SavedMut, SavedRef},
};
use nablas_kernels::act::Saved as Kind;

/// (batch, inputs, outputs)
pub(crate) type Sizes = (usize, usize, usize);

/// Bytes of the mask of a matrix.
pub(crate) fn mask_bytes(rows: usize, cols: usize) -> usize {
    Dense::<f32>::mask_len(rows, cols)
}

/// What a layer saved: a matrix, a mask, or neither.
type Saved<T> = (Option<Operand<T>>, Option<Operand<u8>>);

/// What a layer saved; not both.
fn saved_operands<T>(values: In<T>, mask: *const u8, (rows, cols): (usize, usize)) -> Result<Saved<T>> {
    let values = optional("the saved matrix", values.0, (rows, cols), values.1)?;
    let len = mask_bytes(rows, cols);
    let mask = optional("the mask", mask, (1, len), len)?;
    if values.is_some() && mask.is_some() {
        return fail(Status::Saved, "saved state: expected a matrix or a mask, got both");
    }
    Ok((values, mask))
}

/// What is read where neither a matrix nor a mask came: an operand without elements may be NULL whatever its kind.
fn nothing_saved<'a, T: Elem>(act: Activation<T>, (rows, cols): (usize, usize)) -> Result<SavedRef<'a, T>> {
    let empty = rows == 0 || cols == 0;
    Ok(match act.saved() {
        Kind::Mask if empty => SavedRef::Mask(&[]),
        Kind::Derivative | Kind::Output if empty => SavedRef::Values(MatRef::new(&[], rows, cols)?),
        _ => SavedRef::Nothing,
    })
}

/// The calls of a layer as options ask for them.
fn layer<T: Elem>(setup: Setup<'_>) -> Result<Dense<T>> {
    let dense = Dense::with(setup.isa, setup.threads, BackendKind::Native)?;
    Ok(match setup.team {
        Some(team) => dense.team(team),
        None => dense,
    })
}

/// A ← g(X·Wᵀ + b).
///
/// # Safety
/// Each pointer is NULL or valid for its operand, as `nablas.h` says.
pub(crate) unsafe fn forward<T: Elem>(
    (batch, inputs, outputs): Sizes,
    x: In<T>,
    w: In<T>,
    bias: *const T,
    act: (i32, T),
    a: Out<T>,
    saved: Out<T>,
    mask: *mut u8,
    options: *const nablas_options,
) -> Status {
    call::<T>("dense_forward", [batch, inputs, outputs], |record| {
        // SAFETY: the caller's promise.
        let setup = unsafe { setup(options)? };
        let act = activation(act.0, act.1)?;
        let x = matrix("X", x.0, (batch, inputs), x.1)?;
        let w = matrix("W", w.0, (outputs, inputs), w.1)?;
        let bias = optional("the bias", bias, (1, outputs), outputs)?;
        let a = matrix("A", a.0, (batch, outputs), a.1)?;
        let (saved, mask) = saved_operands((saved.0.cast_const(), saved.1), mask, (batch, outputs))?;
        let outputs_of_call = [Some(a.bytes()), saved.map(|s| s.bytes()), mask.map(|m| m.bytes())];
        disjoint(&outputs_of_call, &[Some(x.bytes()), Some(w.bytes()), bias.map(|b| b.bytes())])?;
        let dense = layer::<T>(setup)?;
        record.on(setup.isa, "fused", || dense.members(batch, inputs, outputs));
        scratch::with(dense.scratch_len(batch, inputs, outputs), |scratch| {
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (x, w, bias, a, saved) = unsafe {
                let saved = match (saved, mask) {
                    (Some(s), _) => SavedMut::Derivative(s.view_mut()),
                    (_, Some(m)) => SavedMut::Mask(m.slice_mut()),
                    _ => SavedMut::Nothing,
                };
                (x.view(), w.view(), bias.map(|b| b.slice()), a.view_mut(), saved)
            };
            Ok(dense.forward(x, w, bias, act, a, saved, scratch)?)
        })?
    })
}

/// δ' ← (δ·W) ⊙ g'(Z'), db' ← its column sums.
///
/// # Safety
/// As for [`forward`].
pub(crate) unsafe fn vjp_input<T: Elem>(
    (batch, inputs, outputs): Sizes,
    delta: In<T>,
    w: In<T>,
    act: (i32, T),
    saved: In<T>,
    mask: *const u8,
    out: Out<T>,
    db: *mut T,
    options: *const nablas_options,
) -> Status {
    call::<T>("dense_vjp_input", [batch, inputs, outputs], |record| {
        // SAFETY: the caller's promise.
        let setup = unsafe { setup(options)? };
        let act: Activation<T> = activation(act.0, act.1)?;
        let delta = matrix("δ", delta.0, (batch, outputs), delta.1)?;
        let w = matrix("W", w.0, (outputs, inputs), w.1)?;
        let out = matrix("the result", out.0, (batch, inputs), out.1)?;
        let db = optional("db", db, (1, inputs), inputs)?;
        let (saved, mask) = saved_operands(saved, mask, (batch, inputs))?;
        let read = [Some(delta.bytes()), Some(w.bytes()), saved.map(|s| s.bytes()), mask.map(|m| m.bytes())];
        disjoint(&[Some(out.bytes()), db.map(|d| d.bytes())], &read)?;
        let dense = layer::<T>(setup)?;
        record.on(setup.isa, "fused", || dense.members(batch, inputs, outputs));
        scratch::with(dense.scratch_len(batch, inputs, outputs), |scratch| {
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (delta, w, out, db, saved) = unsafe {
                let saved = match (saved, mask) {
                    (Some(s), _) => SavedRef::Values(s.view()),
                    (_, Some(m)) => SavedRef::Mask(m.slice()),
                    _ => nothing_saved(act, (batch, inputs))?,
                };
                (delta.view(), w.view(), out.view_mut(), db.map(|d| d.slice_mut()), saved)
            };
            Ok(dense.vjp_input(delta, w, act, saved, out, db, scratch)?)
        })?
    })
}

/// dW ← δᵀ·A, or dW + δᵀ·A; db ← the column sums of δ.
///
/// # Safety
/// As for [`forward`].
pub(crate) unsafe fn vjp_weights<T: Elem>(
    (batch, inputs, outputs): Sizes,
    delta: In<T>,
    a: In<T>,
    accumulate: bool,
    dw: Out<T>,
    db: *mut T,
    options: *const nablas_options,
) -> Status {
    call::<T>("dense_vjp_weights", [batch, inputs, outputs], |record| {
        // SAFETY: the caller's promise.
        let setup = unsafe { setup(options)? };
        let delta = matrix("δ", delta.0, (batch, outputs), delta.1)?;
        let a = matrix("A", a.0, (batch, inputs), a.1)?;
        let dw = matrix("dW", dw.0, (outputs, inputs), dw.1)?;
        let db = optional("db", db, (1, outputs), outputs)?;
        let write = [Some(dw.bytes()), db.map(|d| d.bytes())];
        disjoint(&write, &[Some(delta.bytes()), Some(a.bytes())])?;
        let dense = layer::<T>(setup)?;
        record.on(setup.isa, "native", || dense.members(batch, inputs, outputs));
        scratch::with(dense.scratch_len(batch, inputs, outputs), |scratch| {
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (delta, a, dw, db) =
                unsafe { (delta.view(), a.view(), dw.view_mut(), db.map(|d| d.slice_mut())) };
            dense.vjp_weights(delta, a, dw, accumulate, scratch)?;
            Ok(db.map_or(Ok(()), |db| dense.vjp_bias(delta, db))?)
        })?
    })
}

/// C ← α·op(A)·op(B) + β·C, row-major.
///
/// # Safety
/// As for [`forward`].
pub(crate) unsafe fn gemm<T: Elem>(
    trans: (i32, i32),
    (m, n, k): Sizes,
    alpha: T,
    a: In<T>,
    b: In<T>,
    beta: T,
    c: Out<T>,
    options: *const nablas_options,
) -> Status {
    call::<T>("gemm", [m, n, k], |record| {
        // SAFETY: the caller's promise.
        let setup = unsafe { setup(options)? };
        let stored = |t: bool, rows, cols| if t { (cols, rows) } else { (rows, cols) };
        let (ta, tb) = (transposed(trans.0)?, transposed(trans.1)?);
        let a = matrix("A", a.0, stored(ta, m, k), a.1)?;
        let b = matrix("B", b.0, stored(tb, k, n), b.1)?;
        let c = matrix("C", c.0, (m, n), c.1)?;
        disjoint(&[Some(c.bytes())], &[Some(a.bytes()), Some(b.bytes())])?;
        let gemm = Gemm::<T>::with(setup.isa, setup.threads);
        let gemm = match setup.team {
            Some(team) => gemm.team(team),
            None => gemm,
        };
        record.on(setup.isa, "native", || gemm.members(m, n, k));
        scratch::with(gemm.scratch_len(m, n, k), |scratch| {
            let turn = |t: bool, m: MatRef<'static, T>| if t { m.t() } else { m };
            // SAFETY: the caller's promise; C overlaps neither A nor B.
            let (a, b, c) = unsafe { (turn(ta, a.view()), turn(tb, b.view()), c.view_mut()) };
            Ok(gemm.run(alpha, a, b, beta, c, scratch)?)
        })?
    })
}

/// db ← the column sums of δ.
///
/// # Safety
/// As for [`forward`].
pub(crate) unsafe fn vjp_bias<T: Elem>(
    (batch, outputs): (usize, usize),
    delta: In<T>,
    db: *mut T,
    options: *const nablas_options,
) -> Status {
    call::<T>("dense_vjp_bias", [batch, 0, outputs], |record| {
        // SAFETY: the caller's promise.
        let setup = unsafe { setup(options)? };
        let delta = matrix("δ", delta.0, (batch, outputs), delta.1)?;
        let db = array("db", db, outputs)?;
        disjoint(&[Some(db.bytes())], &[Some(delta.bytes())])?;
        let dense = layer::<T>(setup)?;
        record.on(setup.isa, "native", || dense.members(batch, 0, outputs));
        // SAFETY: the caller's promise; db does not overlap δ.
        let (delta, db) = unsafe { (delta.view(), db.slice_mut()) };
        Ok(dense.vjp_bias(delta, db)?)
    })
}
