//! What a `fork` leaves to a child: one thread, and every lock as it was, held by threads that are gone.
//!
//! - Teams see to themselves (`nablas::team`): a child's have threads of its own.
//! - What `nablas` computes once, under a lock, is computed before a fork, by the thread that forks: no child finds it half
//!   done.
//! - This library waits for no lock: workspaces, kept states and optimizers refuse, what it computes once is an atomic, and
//!   lines to standard error go around the lock of Rust's.

use nablas_kernels::cache;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sees to it that forks are noticed: before anything that a fork must not interrupt.
pub(crate) fn watch() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.load(Ordering::Acquire) {
        return;
    }
    // Threads that do this at once add the handler twice, which does no harm; a lock here might be left behind.
    #[cfg(unix)]
    // SAFETY: a handler without arguments, which stays as long as the library does.
    unsafe {
        libc::pthread_atfork(Some(settle), None, None);
    }
    WATCHED.store(true, Ordering::Release);
}

/// Before a fork: waits for what other threads compute once, or computes it.
#[cfg(unix)]
extern "C" fn settle() {
    cache::detect();
    _ = nablas::isa();
}
