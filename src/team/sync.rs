//! The atomics and threads that members and calls are made of: the machine's, or loom's, which tries every order.

#[cfg(loom)]
pub(super) use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering},
    thread::{Thread, current, park},
};
#[cfg(not(loom))]
pub(super) use std::{
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering},
    thread::{Thread, current, park},
};

#[cfg(not(loom))]
use std::time::{Duration, Instant};

/// A cell with the interface of loom's.
#[cfg(not(loom))]
#[derive(Debug)]
pub(super) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    pub(super) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }

    pub(super) fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

/// What different seats write, on lines of their own: two, since processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Apart<T>(pub(super) T);

/// Turns of waiting by a spin before the processor is offered to others: some microseconds.
#[cfg(not(loom))]
const SPINS: u32 = 128;

/// Waits for another thread that is at work: spins for a short while, then gives way, since who is waited for may
/// need this very processor. Never `rayon::yield_now`, which may come back with a long job of somebody else's.
#[derive(Debug, Default)]
pub(super) struct Wait {
    #[cfg(not(loom))]
    turns: u32,
}

impl Wait {
    /// Once around the loop.
    #[cfg(not(loom))]
    pub(super) fn turn(&mut self) {
        if self.turns < SPINS {
            self.turns += 1;
            core::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }

    /// Once around the loop: loom runs another thread.
    #[cfg(loom)]
    pub(super) fn turn(&mut self) {
        loom::thread::yield_now();
    }
}

/// Turns of a linger between two looks at the clock.
#[cfg(not(loom))]
const TURNS_A_LOOK: u32 = 32;

/// What a member lingers for before it offers its processor to others in between.
#[cfg(not(loom))]
const EAGER: Duration = Duration::from_micros(5);

/// Measures how long a member has been idle.
#[cfg(not(loom))]
#[derive(Debug)]
pub(super) struct Linger {
    limit: Duration,
    since: Option<Instant>,
    turns: u32,
}

#[cfg(not(loom))]
impl Linger {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, turns: 0 }
    }

    /// Once around the loop; whether it is time to sleep.
    pub(super) fn over(&mut self) -> bool {
        if self.limit.is_zero() {
            return true;
        }
        self.turns = self.turns.wrapping_add(1);
        if !self.turns.is_multiple_of(TURNS_A_LOOK) {
            core::hint::spin_loop();
            return false;
        }
        let now = Instant::now();
        let idle = now - *self.since.get_or_insert(now);
        if idle >= EAGER {
            std::thread::yield_now();
        }
        idle >= self.limit
    }
}

/// Loom has no clock: a member sleeps when it has looked twice.
#[cfg(loom)]
#[derive(Debug)]
pub(super) struct Linger {
    looked: bool,
}

#[cfg(loom)]
impl Linger {
    pub(super) fn new(_: core::time::Duration) -> Self {
        Self { looked: false }
    }

    pub(super) fn over(&mut self) -> bool {
        core::mem::replace(&mut self.looked, true)
    }
}
