//! What a `fork` leaves to a child: one thread, and every lock as it was, held by threads that are gone.
//!
//! - Pools of the parent are recognised: a process has a generation, which each child counts on, and a number, for a
//!   child that was made without the handlers (`clone`). Numbers alone repeat, in namespaces of their own.
//! - What is computed once is computed before a fork, by the thread that forks: no child finds it half done.
//! - Nothing else waits for a lock: the list of pools has none, workspaces and optimizers refuse, and lines to standard
//!   error go around the lock of Rust's.

use crate::{call, threads};
use nablas_kernels::cache;
use std::{
    process,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// The forks between the process that first called and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// This process, and no other that has its memory.
pub(crate) fn this_process() -> (u32, u64) {
    (process::id(), GENERATION.load(Ordering::Relaxed))
}

/// Sees to it that forks are noticed: before anything that a fork must not interrupt.
pub(crate) fn watch() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.load(Ordering::Acquire) {
        return;
    }
    // Threads that do this at once add the handlers twice, which does no harm; a lock here might be left behind.
    #[cfg(unix)]
    // SAFETY: handlers without arguments, which stay as long as the library does.
    unsafe {
        libc::pthread_atfork(Some(settle), None, Some(count));
    }
    WATCHED.store(true, Ordering::Release);
}

/// Before a fork: waits for what other threads compute once, or computes it.
#[cfg(unix)]
extern "C" fn settle() {
    call::verbose();
    threads::settle();
    cache::detect();
    _ = nablas::isa();
    // What the queues of pools set up when they are first used.
    drop(crossbeam_epoch::pin());
}

/// After a fork, in the child.
#[cfg(unix)]
extern "C" fn count() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
