//! A resident thread's state word, and what it does between calls.
//!
//! ```text
//! STARTING ──► IDLE ◄──────────────────────────────┐       IDLE:    awake, spinning on this word
//!               │ ▲                                │       ASLEEP:  parked, or about to
//!        linger │ │ roused                  leaves │       call:    claimed by that call, not yet there
//!               ▼ │                                │       call | 1: inside of it
//!             ASLEEP ──────► call ──────────────► call | 1
//!                  claimed    │        enters
//!                  (or IDLE)  └──► IDLE: taken back by the caller, the member was too late
//! ```
//!
//! Each arrow is a compare-and-swap, so that each is won by one side: the caller that takes its call back and the member
//! that enters cannot both have had their way. It is `inside += 1`, look, and leave again in one word, for one member: a
//! caller waits for members that are inside of its own call and for no others. QUIT, from any state but the last two,
//! ends the thread.

use super::{
    call::Call,
    processors::Place,
    sync::{AtomicPtr, Linger, Ordering, Thread, Wait, current, park},
};
use core::{ptr, time::Duration};
use std::sync::OnceLock;

/// A call as a state word has it: of a lifetime that the protocol sees to.
type Word = *mut Call<'static>;

/// Addresses at which no call lies, nor the byte behind its first.
const STARTING: Word = ptr::without_provenance_mut(2);
const IDLE: Word = ptr::without_provenance_mut(4);
const ASLEEP: Word = ptr::without_provenance_mut(6);
const QUIT: Word = ptr::without_provenance_mut(8);

/// The state of who is inside of a call.
fn inside(call: Word) -> Word {
    call.wrapping_byte_add(1)
}

/// A call's address, to claim members for.
pub(super) fn word(call: &Call<'_>) -> Word {
    ptr::from_ref(call).cast::<Call<'static>>().cast_mut()
}

/// How a member that may be claimed waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idle {
    Awake,
    Asleep,
}

/// A resident thread, on cache lines of its own: it spins on the first.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Member {
    state: AtomicPtr<Call<'static>>,
    /// Known before the member first is idle. Set once and never waited for: not a lock.
    thread: OnceLock<Thread>,
    /// Where it may run.
    pub(super) place: Place,
}

impl Member {
    pub(super) fn new() -> Self {
        Self { state: AtomicPtr::new(STARTING), thread: OnceLock::new(), place: Place::default() }
    }

    /// The life of the thread: waits for calls and takes part in them until it is told to quit.
    pub(super) fn reside(&self, linger: Duration) {
        _ = self.thread.set(current());
        if self.swap_state(STARTING, IDLE).is_err() {
            return;
        }
        loop {
            let call = self.wait(linger);
            if call == QUIT {
                return;
            }
            if self.swap_state(call, inside(call)).is_ok() {
                // SAFETY: a caller that claims a member keeps its call until it has taken it back, and cannot take it
                // back from one that is inside.
                unsafe { (*call).join_in() };
                self.state.store(IDLE, Ordering::Release);
            }
        }
    }

    /// Waits for a call, or QUIT.
    fn wait(&self, limit: Duration) -> Word {
        let mut linger = Linger::new(limit);
        loop {
            let state = self.state.load(Ordering::Acquire);
            if state != IDLE {
                return state;
            }
            if linger.over() && self.swap_state(IDLE, ASLEEP).is_ok() {
                // Who wakes it changes the state first; a wake without that is nobody's.
                while self.state.load(Ordering::Acquire) == ASLEEP {
                    park();
                }
                linger = Linger::new(limit);
            }
        }
    }

    fn swap_state(&self, from: Word, to: Word) -> Result<Word, Word> {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
    }

    /// Claims the member for a call if it waits that way; a sleeping one is then woken by [`wake`](Self::wake).
    ///
    /// # Safety
    /// The call stays where it is until [`take_back`](Self::take_back) has returned.
    pub(super) unsafe fn claim(&self, call: Word, idle: Idle) -> bool {
        let from = match idle {
            Idle::Awake => IDLE,
            Idle::Asleep => ASLEEP,
        };
        // A look first: it shares the line, a swap that fails takes it away from all others.
        self.state.load(Ordering::Relaxed) == from && self.swap_state(from, call).is_ok()
    }

    /// Wakes the thread. Once its state is another than ASLEEP.
    pub(super) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Whether the member sleeps.
    pub(super) fn sleeps(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ASLEEP
    }

    /// Makes a sleeping member linger again, to be woken by [`wake`](Self::wake).
    pub(super) fn rouse(&self) -> bool {
        self.sleeps() && self.swap_state(ASLEEP, IDLE).is_ok()
    }

    /// Takes a call back: from a member that has not come, or when it has left. Nothing if it is not claimed for it.
    pub(super) fn take_back(&self, call: Word) {
        let mut state = match self.swap_state(call, IDLE) {
            Ok(_) => return,
            Err(state) => state,
        };
        let mut wait = Wait::default();
        // It may be in another call by now; never again in this one, for whose address it would have to be claimed.
        while state == inside(call) {
            wait.turn();
            state = self.state.load(Ordering::Acquire);
        }
    }

    /// Ends the thread, once no call is left.
    pub(super) fn quit(&self) {
        self.state.swap(QUIT, Ordering::AcqRel);
        self.wake();
    }
}
