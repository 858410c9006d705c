//! What a `fork` leaves to a child: one thread, and every lock as it was, held by threads that are gone.
//!
//! A generation number counts the forks between the process that first made a team and this one. A crew carries the
//! number it was made under; a call compares the two before it claims or waits for anything, and a crew of another
//! generation is left where it lies, neither used nor dropped.

use core::sync::atomic::{AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The number of this process.
pub(super) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Sees to it that forks are noticed: before threads are made.
pub(super) fn watch() {
    #[cfg(all(unix, not(miri)))]
    {
        use core::sync::atomic::AtomicBool;
        static WATCHED: AtomicBool = AtomicBool::new(false);
        if WATCHED.load(Ordering::Acquire) {
            return;
        }
        // Threads that do this at once add the handlers twice, which does no harm; a lock here might be left behind.
        // SAFETY: handlers without arguments, which stay as long as the library does.
        let added = unsafe { libc::pthread_atfork(Some(settle), None, Some(count)) };
        // Without memory for it, the next one tries again.
        WATCHED.store(added == 0, Ordering::Release);
    }
}

/// Before a fork: waits for what rayon's queues set up once, or does it, so that no child finds it half done.
#[cfg(all(unix, not(miri)))]
extern "C" fn settle() {
    drop(crossbeam_epoch::pin());
}

/// After a fork, in the child.
#[cfg(all(unix, not(miri)))]
extern "C" fn count() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
