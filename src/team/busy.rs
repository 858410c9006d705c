//! Threads that are in a call: what they call in turn runs on them alone.

use core::cell::Cell;

std::thread_local! {
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in a call.
pub(super) fn is() -> bool {
    BUSY.get()
}

/// Runs `f`, which must not unwind, with the thread in a call.
pub(super) fn within(f: impl FnOnce()) {
    let before = BUSY.replace(true);
    f();
    BUSY.set(before);
}
