//! Activations over arrays.

use crate::{
    call::call,
    elem::Elem,
    operand::{array, disjoint},
    options::{activation, nablas_options, nablas_saved, setup},
    status::{Result, nablas_status as Status},
};
use nablas::{Activation, Pointwise};
use nablas_kernels::act::Saved;

/// What an activation saves.
pub(crate) fn saved(kind: i32) -> Result<nablas_saved> {
    let act: Activation<f64> = activation(kind, 1.0)?;
    Ok(match act.saved() {
        Saved::Nothing => nablas_saved::Nothing,
        Saved::Mask => nablas_saved::Mask,
        Saved::Output => nablas_saved::Output,
        Saved::Derivative => nablas_saved::Derivative,
    })
}

/// a ← g(z), and d ← g'(z) if asked for.
///
/// # Safety
/// Each pointer is NULL or valid for its operand, as `nablas.h` says.
pub(crate) unsafe fn value<T: Elem>(
    len: usize,
    act: (i32, T),
    z: *const T,
    a: *mut T,
    d: Option<*mut T>,
    options: *const nablas_options,
) -> Status {
    call::<T>("activation", [len, 1, 1], |record| {
        // SAFETY: the caller's promise.
        let setup = unsafe { setup(options)? };
        let act = activation(act.0, act.1)?;
        let (z, a) = (array("z", z, len)?, array("a", a, len)?);
        let d = d.map(|d| array("d", d, len)).transpose()?;
        disjoint(&[Some(a.bytes()), d.map(|d| d.bytes())], &[Some(z.bytes())])?;
        record.on(setup.isa, "pointwise", || 1);
        // SAFETY: the caller's promise; outputs overlap nothing.
        let (z, a, d) = unsafe { (z.slice(), a.slice_mut(), d.map(|d| d.slice_mut())) };
        match d {
            Some(d) => act.value_and_derivative_on(setup.isa, z, a, d)?,
            None => act.value_on(setup.isa, z, a)?,
        }
        Ok(())
    })
}

/// out ← g ⊙ g'(z).
///
/// # Safety
/// As for [`value`].
pub(crate) unsafe fn vjp<T: Elem>(
    len: usize,
    act: (i32, T),
    z: *const T,
    g: *const T,
    out: *mut T,
    options: *const nablas_options,
) -> Status {
    call::<T>("activation_vjp", [len, 1, 1], |record| {
        // SAFETY: the caller's promise.
        let setup = unsafe { setup(options)? };
        let act = activation(act.0, act.1)?;
        let (z, g, out) = (array("z", z, len)?, array("g", g, len)?, array("the result", out, len)?);
        disjoint(&[Some(out.bytes())], &[Some(z.bytes()), Some(g.bytes())])?;
        record.on(setup.isa, "pointwise", || 1);
        // SAFETY: the caller's promise; the output overlaps nothing.
        let (z, g, out) = unsafe { (z.slice(), g.slice(), out.slice_mut()) };
        Ok(act.vjp_on(setup.isa, z, g, out)?)
    })
}
