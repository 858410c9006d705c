//! Inside of a rayon pool of the caller's: its threads are the members, brought by `rayon::join`, once a call.
//!
//! Threads of our own beside those of the pool would fight them for processors, so a call in a pool takes what the pool
//! has to spare: jobs that nobody steals find no ticket left when the caller comes to them. They are its threads, so
//! their affinity is left alone. While the caller waits for a thief, `rayon::join` lets it run other jobs of its pool: a call
//! from a job that holds a lock may so meet another that wants it, and lasts as long as what it meets. A team that is named
//! has none of that.

use super::{PATIENCE, Schedule, Work, busy, call::Call, model};
use std::time::Instant;

/// Runs the schedule in the pool that the caller is in; `None` if it is not worth more than the caller.
pub(super) fn run(work: &Work, seats: usize, schedule: &dyn Schedule) -> Option<usize> {
    let most = seats.min(rayon::current_num_threads());
    // Whether the pool's threads are awake, nobody knows.
    let seats = if work.exactly { most } else { model::woken(work.micros, work.phases, 1, most) };
    if seats <= 1 {
        return None;
    }
    let call = Call::new(schedule, seats);
    let call = if work.exactly { call.insisting() } else { call };
    branch(&call, seats, true, work.exactly);
    Some(call.finish())
}

/// A tree of joins with so many leaves; the leftmost is the caller's.
fn branch(call: &Call<'_>, leaves: usize, own: bool, exactly: bool) {
    if leaves > 1 {
        let half = leaves / 2;
        rayon::join(|| branch(call, leaves - half, own, exactly), || branch(call, half, false, exactly));
    } else if own {
        if exactly {
            call.wait_for_seats(usize::MAX, Instant::now() + PATIENCE);
        }
        busy::within(|| call.take_part(0));
    } else {
        busy::within(|| call.join_in());
    }
}
