//! The functions without an element type.

use crate::{
    call::guard,
    config::{self, nablas_config},
    dense, fork,
    network::put,
    options::isa_name,
    pointwise, scratch,
    status::{self, nablas_status},
    threads,
};
use nablas::{Error, IsaToken};
use std::ffi::c_char;

/// The version of the library that runs; `NABLAS_VERSION` is that of the header.
#[unsafe(no_mangle)]
pub extern "C" fn nablas_version() -> *const c_char {
    config::VERSION.as_ptr()
}

/// What the library is and runs on. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn nablas_get_config() -> *const nablas_config {
    config::config()
}

/// The words of the calling thread's last failure, in UTF-8; empty if none failed. Valid until the next failure of the
/// thread. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn nablas_last_error() -> *const c_char {
    status::last()
}

/// The name of a status, `"unknown status"` for a number that is none. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn nablas_status_name(status: i32) -> *const c_char {
    let found = usize::try_from(status).ok().and_then(|i| nablas_status::ALL.get(i));
    found.map_or(c"unknown status", |s| s.name()).as_ptr()
}

/// Sets the threads of calls that name none, for the whole process; 0 for the default: `NABLAS_NUM_THREADS`, or as many as
/// there are processors. Plans keep what they were made with.
#[unsafe(no_mangle)]
pub extern "C" fn nablas_set_num_threads(threads: usize) -> nablas_status {
    guard(|| threads::set(threads))
}

/// The threads of calls that name none; 0 if `NABLAS_NUM_THREADS` is no number of threads.
#[unsafe(no_mangle)]
pub extern "C" fn nablas_get_num_threads() -> usize {
    fork::watch();
    threads::default().unwrap_or(0)
}

/// Whether an instruction set, one of `nablas_isa`, can be had: a status and the reason.
#[unsafe(no_mangle)]
pub extern "C" fn nablas_check_isa(isa: i32) -> nablas_status {
    guard(|| match isa_name(isa)? {
        Some(name) => Ok(IsaToken::pin(name).map(|_| ()).map_err(Error::from)?),
        None => Ok(nablas::isa().map(|_| ())?),
    })
}

/// `*saved` ← what an activation, one of `nablas_activation`, saves: one of `nablas_saved`.
///
/// # Safety
/// `saved` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_activation_saved(activation: i32, saved: *mut i32) -> nablas_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe { put("the saved kind", saved, pointwise::saved(activation)? as i32) })
}

/// Bytes of the mask of a matrix: one bit an element, each row from a whole byte on.
#[unsafe(no_mangle)]
pub extern "C" fn nablas_mask_bytes(rows: usize, columns: usize) -> usize {
    dense::mask_bytes(rows, columns)
}

/// Frees the scratch that the dense-layer calls of the calling thread have left for the next. A thread that ends frees
/// its own.
#[unsafe(no_mangle)]
pub extern "C" fn nablas_release_scratch() {
    scratch::release();
}
