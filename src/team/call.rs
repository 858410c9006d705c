//! One call: tickets, what is done, and what went wrong.
//!
//! Ticket t stands for an item of a phase: phases one after another, t runs through their items. Each seat walks the
//! prefix sums with a cursor of its own, since the tickets that it draws only grow. Both counters only grow too, so
//! there is no barrier to reset and no member that has to be counted in: an absent one draws no ticket, a late one draws
//! those of the phase that is on.

use super::{
    Schedule,
    sync::{Apart, AtomicUsize, Ordering, UnsafeCell, Wait},
};
use std::{
    any::Any,
    boxed::Box,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Instant,
};

/// The bit of `done` that says that an item panicked. A count never gets there.
const POISONED: usize = 1 << (usize::BITS - 1);

/// A schedule that is being run.
pub(super) struct Call<'a> {
    schedule: &'a dyn Schedule,
    /// Seats at most.
    limit: usize,
    /// The next ticket.
    ticket: Apart<AtomicUsize>,
    /// Items that have been run, and [`POISONED`]: one word, so that who waits for a phase waits for both.
    done: Apart<AtomicUsize>,
    /// Seats taken, the caller's from the start.
    seated: Apart<AtomicUsize>,
    /// Not 0 while members that have taken a seat wait for the others to come: in calls that insist on members.
    gate: AtomicUsize,
    /// Seats that have drawn a ticket; before that, nobody draws a second one in calls that insist on members.
    drawn: AtomicUsize,
    insists: bool,
    /// Seats that have run an item, of those that have left.
    ran: AtomicUsize,
    /// What the first panic said.
    panic: UnsafeCell<Option<Box<dyn Any + Send>>>,
}

// SAFETY: all but `panic` is shared by design; that is written by the one seat that set POISONED, and read by `finish`,
// which owns the call.
unsafe impl Sync for Call<'_> {}

/// Where a seat is in the schedule: tickets of `phase` are `first..end`.
struct Cursor {
    phase: usize,
    first: usize,
    end: usize,
}

impl Cursor {
    /// Moves to the phase of a ticket; false past the last.
    fn reach(&mut self, ticket: usize, schedule: &dyn Schedule) -> bool {
        while ticket >= self.end {
            self.phase = self.phase.wrapping_add(1);
            let Some(items) = schedule.items(self.phase) else { return false };
            self.first = self.end;
            self.end += items;
        }
        true
    }
}

impl<'a> Call<'a> {
    pub(super) fn new(schedule: &'a dyn Schedule, limit: usize) -> Self {
        Self {
            schedule,
            limit,
            ticket: Apart(AtomicUsize::new(0)),
            done: Apart(AtomicUsize::new(0)),
            seated: Apart(AtomicUsize::new(1)),
            gate: AtomicUsize::new(0),
            drawn: AtomicUsize::new(0),
            insists: false,
            ran: AtomicUsize::new(0),
            panic: UnsafeCell::new(None),
        }
    }

    /// Makes members wait before their first item, until [`wait_for_seats`](Self::wait_for_seats), and leaves each a
    /// ticket that the others could have drawn before it came to run.
    pub(super) fn insisting(self) -> Self {
        Self { gate: AtomicUsize::new(1), insists: true, ..self }
    }

    /// Waits until so many seats are taken, for a bounded time, and lets all begin.
    pub(super) fn wait_for_seats(&self, seats: usize, deadline: Instant) {
        let mut wait = Wait::default();
        while self.seated.0.load(Ordering::Relaxed) < seats.min(self.limit) && Instant::now() < deadline {
            wait.turn();
        }
        self.gate.store(0, Ordering::Relaxed);
    }

    /// Takes a seat for the rest of the call, and works there; leaves if there is none.
    pub(super) fn join_in(&self) {
        let seat = self.seated.0.fetch_add(1, Ordering::Relaxed);
        if seat < self.limit {
            let mut wait = Wait::default();
            while self.gate.load(Ordering::Relaxed) != 0 {
                wait.turn();
            }
            self.take_part(seat);
        }
    }

    /// Works in a seat that is the thread's until no ticket is left. Does not unwind.
    pub(super) fn take_part(&self, seat: usize) {
        let mut ran = false;
        let outcome = catch_unwind(AssertUnwindSafe(|| self.work(seat, &mut ran)));
        if ran {
            self.ran.fetch_add(1, Ordering::Relaxed);
        }
        let Err(panic) = outcome else { return };
        if self.done.0.fetch_or(POISONED, Ordering::AcqRel) & POISONED == 0 {
            // SAFETY: one seat alone finds the bit unset, and nobody reads before all have left.
            self.panic.with_mut(|cell| unsafe { *cell = Some(panic) });
        }
    }

    fn work(&self, seat: usize, ran: &mut bool) {
        // Before the first phase: wraps around to it with the first ticket.
        let mut at = Cursor { phase: usize::MAX, first: 0, end: 0 };
        loop {
            let ticket = self.ticket.0.fetch_add(1, Ordering::Relaxed);
            if self.insists && at.phase == usize::MAX {
                self.drawn.fetch_add(1, Ordering::Relaxed);
            }
            if !at.reach(ticket, self.schedule) || !self.wait_for(at.first) {
                return;
            }
            *ran = true;
            self.schedule.run(seat, at.phase, ticket - at.first);
            // Not after a panic: `done` says what has been run to its end, and POISONED sends home who waits for more.
            self.done.0.fetch_add(1, Ordering::AcqRel);
            if self.insists {
                self.leave_one_to_each();
            }
        }
    }

    /// Waits until each seat that is taken has drawn a ticket. All do: a seat is taken by a thread that is about to.
    fn leave_one_to_each(&self) {
        let mut wait = Wait::default();
        while self.drawn.load(Ordering::Relaxed) < self.seated.0.load(Ordering::Relaxed).min(self.limit) {
            wait.turn();
        }
    }

    /// Waits until so many items are done, all those of the phases before; false if the call is poisoned.
    fn wait_for(&self, first: usize) -> bool {
        let mut wait = Wait::default();
        loop {
            let done = self.done.0.load(Ordering::Acquire);
            if done & POISONED != 0 {
                return false;
            }
            if done >= first {
                return true;
            }
            wait.turn();
        }
    }

    /// Seats that have run an item; or goes on with the panic of an item. When all have left.
    pub(super) fn finish(self) -> usize {
        if let Some(panic) = self.panic.into_inner() {
            resume_unwind(panic);
        }
        self.ran.load(Ordering::Relaxed)
    }
}
