//! Objects behind handles.

use crate::{
    call::guard,
    operand::array,
    status::{Fail, Result, nablas_status as Status, remember},
};

/// `out` ← a handle of a new object.
///
/// # Safety
/// `out` is NULL or writable.
pub(crate) unsafe fn create<O>(out: *mut *mut O, make: impl FnOnce() -> Result<O>) -> Status {
    guard(|| {
        let out = array("the handle's address", out, 1)?;
        let object = Box::new(make()?);
        // SAFETY: the caller's promise; not NULL, aligned.
        unsafe { out.slice_mut()[0] = Box::into_raw(object) };
        Ok(())
    })
}

/// Frees what [`create`] made; NULL is nothing.
///
/// # Safety
/// `object` is NULL or a handle that was not destroyed before, and nothing uses it.
pub(crate) unsafe fn destroy<O>(object: *mut O) {
    if !object.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(object) });
    }
}

/// What a handle stands for.
///
/// # Safety
/// `object` is NULL or a handle that is not destroyed during `'a`.
pub(crate) unsafe fn object<'a, O>(what: &str, object: *const O) -> Result<&'a O> {
    // SAFETY: the caller's promise.
    unsafe { object.as_ref() }.ok_or_else(|| Fail { status: Status::Null, text: format!("{what}: NULL") })
}

/// `out` ← a number.
///
/// # Safety
/// `out` is NULL or writable.
pub(crate) unsafe fn put<V>(what: &'static str, out: *mut V, value: V) -> Result<()> {
    let out = array(what, out, 1)?;
    // SAFETY: the caller's promise; not NULL, aligned.
    unsafe { out.slice_mut()[0] = value };
    Ok(())
}

/// What a handle stands for, or the status to return at once.
///
/// # Safety
/// As for [`object`].
pub(crate) unsafe fn handle<'a, O>(what: &str, handle: *const O) -> std::result::Result<&'a O, Status> {
    // SAFETY: the caller's promise.
    unsafe { object(what, handle) }.map_err(|fail| {
        remember(fail.text);
        fail.status
    })
}
