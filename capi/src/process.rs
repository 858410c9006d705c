//! The functions without an element type.

use crate::{
    call::guard,
    config::{self, nablas_config},
    dense,
    handle::{create, destroy, put},
    options::{isa_name, path_name},
    pointwise, scratch,
    status::{self, nablas_status},
    team::{self, nablas_team},
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

/// Sets the threads at most of calls that name neither threads nor a team, for the whole process; 0 for the default, which
/// is also the size of the team of the process: `NABLAS_NUM_THREADS`, or as many as there are processors. More than that
/// takes a team. Plans keep what they were made with.
#[unsafe(no_mangle)]
pub extern "C" fn nablas_set_num_threads(threads: usize) -> nablas_status {
    guard(|| threads::set(threads))
}

/// The threads at most of calls that name neither threads nor a team; 0 if `NABLAS_NUM_THREADS` is no number of threads.
#[unsafe(no_mangle)]
pub extern "C" fn nablas_get_num_threads() -> usize {
    threads::default().unwrap_or(0)
}

/// `*team` ← a team of `threads` threads, the calling one among them: 1 to 1024, or 0 for as many as
/// `nablas_get_num_threads()` says by default, but no more than there are of `processors`.
///
/// `processors` [count] are those that its own threads may run on, by the system's numbers; NULL for all that the process
/// may use. `linger_us` is what the threads stay awake for after a call, in microseconds, at the price of their processors'
/// time; below 0 for the default: 50, or 0 where a quota grants less than the processors. If `affinity` is not 0, they are
/// kept off the processor of their caller, where there are enough, unless the environment says `NABLAS_AFFINITY=0`.
/// Processors and affinity are for Linux alone.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_team_create(
    threads: usize,
    processors: *const usize,
    count: usize,
    linger_us: i64,
    affinity: i32,
    team: *mut *mut nablas_team,
) -> nablas_status {
    // SAFETY: the caller's promise.
    unsafe { create(team, || team::team(threads, (processors, count), linger_us, affinity)) }
}

/// Gives a team up; NULL is nothing. Its threads end with the last plan that was made with it.
///
/// # Safety
/// `team` is NULL or a team that was not destroyed before, and no call names it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_team_destroy(team: *mut nablas_team) {
    // SAFETY: the caller's promise.
    unsafe { destroy(team) }
}

/// The threads of a team, the calling one among them; 0 for NULL.
///
/// # Safety
/// `team` is NULL or a team.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nablas_team_threads(team: *const nablas_team) -> usize {
    // SAFETY: the caller's promise.
    unsafe { team.as_ref() }.map_or(0, |team| team.0.threads())
}

/// The name of a path, one of `nablas_path`; `"unknown path"` for a number that is none. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn nablas_path_name(path: i32) -> *const c_char {
    path_name(path).unwrap_or(c"unknown path").as_ptr()
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
