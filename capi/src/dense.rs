//! The dense-layer calls, and the plain product.

use crate::{
    call::call,
    elem::Elem,
    operand::{Operand, array, disjoint, matrix, optional},
    options::{activation, nablas_options, setup, transposed},
    scratch,
    status::{Result, fail, nablas_status as Status},
    threads,
};
use nablas::{
    Activation, BackendKind, Dense, Gemm, MatRef,
    dense::{SavedMut, SavedRef},
    tasks_for,
};

/// (batch, inputs, outputs)
pub(crate) type Sizes = (usize, usize, usize);
/// A matrix: its address and leading dimension.
pub(crate) type In<T> = (*const T, usize);
/// A matrix to write.
pub(crate) type Out<T> = (*mut T, usize);

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

/// FLOP of a layer's product.
fn flop((batch, inputs, outputs): Sizes) -> f64 {
    2.0 * batch as f64 * inputs as f64 * outputs as f64
}

/// A ← g(X·Wᵀ + b).
///
/// # Safety
/// Each pointer is NULL or valid for its operand, as `nablas.h` says.
pub(crate) unsafe fn forward<T: Elem>(
    sizes @ (batch, inputs, outputs): Sizes,
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
        let tasks = tasks_for(flop(sizes), setup.threads);
        record.on(setup.isa, "fused", tasks);
        let dense = Dense::<T>::with(setup.isa, tasks, BackendKind::Native)?;
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
            threads::run(setup.threads, tasks, || Ok(dense.forward(x, w, bias, act, a, saved, scratch)?))?
        })?
    })
}

/// δ' ← (δ·W) ⊙ g'(Z'), db' ← its column sums.
///
/// # Safety
/// As for [`forward`].
pub(crate) unsafe fn vjp_input<T: Elem>(
    sizes @ (batch, inputs, outputs): Sizes,
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
        let tasks = tasks_for(flop(sizes), setup.threads);
        record.on(setup.isa, "fused", tasks);
        let dense = Dense::<T>::with(setup.isa, tasks, BackendKind::Native)?;
        scratch::with(dense.scratch_len(batch, inputs, outputs), |scratch| {
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (delta, w, out, db, saved) = unsafe {
                let saved = match (saved, mask) {
                    (Some(s), _) => SavedRef::Values(s.view()),
                    (_, Some(m)) => SavedRef::Mask(m.slice()),
                    _ => SavedRef::Nothing,
                };
                (delta.view(), w.view(), out.view_mut(), db.map(|d| d.slice_mut()), saved)
            };
            let work = || Ok(dense.vjp_input(delta, w, act, saved, out, db, scratch)?);
            threads::run(setup.threads, tasks, work)?
        })?
    })
}

/// dW ← δᵀ·A, or dW + δᵀ·A; db ← the column sums of δ.
///
/// # Safety
/// As for [`forward`].
pub(crate) unsafe fn vjp_weights<T: Elem>(
    sizes @ (batch, inputs, outputs): Sizes,
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
        // The column sums are worth threads of their own where the product is not.
        let sums = 16.0 * batch as f64 * outputs as f64;
        let tasks = tasks_for(flop(sizes).max(sums), setup.threads);
        record.on(setup.isa, "native", tasks);
        let dense = Dense::<T>::with(setup.isa, tasks, BackendKind::Native)?;
        scratch::with(dense.scratch_len(batch, inputs, outputs), |scratch| {
            // SAFETY: the caller's promise; outputs overlap nothing.
            let (delta, a, dw, db) =
                unsafe { (delta.view(), a.view(), dw.view_mut(), db.map(|d| d.slice_mut())) };
            threads::run(setup.threads, tasks, || {
                dense.vjp_weights(delta, a, dw, accumulate, scratch)?;
                Ok(db.map_or(Ok(()), |db| dense.vjp_bias(delta, db))?)
            })?
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
        let tasks = tasks_for(flop((m, n, k)), setup.threads);
        record.on(setup.isa, "native", tasks);
        let gemm = Gemm::<T>::with(setup.isa, tasks);
        scratch::with(gemm.scratch_len(m, n, k), |scratch| {
            let turn = |t: bool, m: MatRef<'static, T>| if t { m.t() } else { m };
            // SAFETY: the caller's promise; C overlaps neither A nor B.
            let (a, b, c) = unsafe { (turn(ta, a.view()), turn(tb, b.view()), c.view_mut()) };
            threads::run(setup.threads, tasks, || Ok(gemm.run(alpha, a, b, beta, c, scratch)?))?
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
        let tasks = tasks_for(16.0 * batch as f64 * outputs as f64, setup.threads);
        record.on(setup.isa, "native", tasks);
        let dense = Dense::<T>::with(setup.isa, tasks, BackendKind::Native)?;
        // SAFETY: the caller's promise; db does not overlap δ.
        let (delta, db) = unsafe { (delta.view(), db.slice_mut()) };
        threads::run(setup.threads, tasks, || Ok(dense.vjp_bias(delta, db)?))?
    })
}
