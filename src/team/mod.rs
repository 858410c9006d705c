//! Who runs a call: a team, its caller and the members that are idle.
//!
//! A call is a *schedule*: phases one after another, each a number of *items* that may run in any order. Members are
//! threads that stay, each waiting at a state word of its own. This is all of it:
//!
//! ```text
//! call:    for member in team, while seats are left:          claim: IDLE or ASLEEP → this call (wake it if ASLEEP)
//!          take part in seat 0
//!          for member claimed: take back, or wait until it has left
//!
//! member:  loop: spin on the state word for a linger, then sleep in it
//!                found a call, and it is still there:         enter: call → inside
//!                    take the next seat, take part
//!                    leave: inside → IDLE
//!
//! part:    loop: ticket = tickets++                           t ↦ (phase, item), by the phases' prefix sums
//!                past the last phase: return
//!                wait until done ≥ the first ticket of its phase
//!                run the item in this seat
//!                done++
//! ```
//!
//! **Why it cannot hang.** A ticket waits for smaller ones alone, each of which is held by a thread that is at work on it.
//! A member that has not come holds none. So nobody waits for a member to come, none has to be counted in or out of a
//! phase, and a late one joins the phase that is on. The caller waits at the end, for members that are inside of its own
//! call, which leave when the tickets are gone. No call waits for what another holds: busy members are passed over, and a
//! caller who finds none runs alone, in a plain loop.
//!
//! **Why items may read what earlier phases wrote.** `done` is counted by read-modify-writes that release, one chain of
//! them, and read with acquire: who sees enough counts sees what was written before each. The end of the call is ordered
//! by the members' state words in the same way.
//!
//! **A panic** is caught in its seat and sets a bit in `done`, which everybody looks at before the next item: what has not
//! begun does not run, all leave, the caller goes on with the panic. The item is never counted as done, so no later phase
//! can begin by mistake.
//!
//! **When members come** is decided in time (`model.rs`): to hand over to one that is awake costs half a microsecond, to
//! wake one sixteen. What is too short to wake members for but worth them awake wakes them all the same after some
//! repetitions, for the calls to come. None of this decides a bit of any result.
//!
//! What would be tempting, and is wrong:
//! - *A fork for each phase* (`rayon::join`, a scope, a barrier): pays the hand-over in each phase, and all wait for a
//!   member whose processor is busy. Measured at no gain at all after a pause, where one hand-over a call halves the time.
//! - *A job on a pool for each call*: it allocates, and `in_place_scope` waits for a job that the pool may not have begun.
//!   `install` from outside sleeps while the pool works. So the members' loop is the one job their pool ever gets, and
//!   callers take part.
//! - *To wait without giving way*: who is waited for may need this processor. *To wait by `rayon::yield_now`*: it may come
//!   back with somebody's long job on top of the stack.
//! - *To let the system place members*: it wakes a thread where its waker runs, who is about to wait for it. See
//!   `processors.rs`. In a rayon pool of the caller's (`join.rs`), whose threads are not ours, that is left alone.
//! - *A lock, anywhere on this path*: another thread may hold it at a `fork`, and its child then waits for ever. Crews are
//!   found by an atomic pointer and a generation number (`handle.rs`, `fork.rs`); a child makes its own. (To make one reads
//!   the environment, whose lock a `set_var` in another thread of the parent could hold at that moment.)
//!
//! `loom.rs` has every order of these steps tried; `tests/` the rest.

#[cfg(feature = "rayon")]
mod busy;
#[cfg(feature = "rayon")]
mod call;
#[cfg(feature = "rayon")]
mod crew;
#[cfg(feature = "rayon")]
mod fork;
mod handle;
#[cfg(feature = "rayon")]
mod join;
#[cfg(all(test, loom, feature = "rayon"))]
mod loom;
#[cfg(feature = "rayon")]
mod member;
#[cfg(feature = "rayon")]
mod model;
#[cfg(feature = "rayon")]
mod muster;
mod options;
#[cfg(feature = "rayon")]
#[cfg_attr(any(not(target_os = "linux"), miri), path = "elsewhere.rs")]
mod processors;
#[cfg(feature = "rayon")]
mod sync;
#[cfg(all(test, not(loom)))]
mod tests;
mod threads;

pub use handle::Team;
pub use options::TeamOptions;
pub(crate) use threads::available_threads;
pub use threads::default_threads;

/// What a call that insists on members waits for them at most.
#[cfg(feature = "rayon")]
const PATIENCE: core::time::Duration = core::time::Duration::from_secs(1);

/// What a call does: phases one after another, each a number of items in any order.
pub(crate) trait Schedule: Sync {
    /// Items of a phase; `None` past the last phase. Cheap, and the same answer from the first item on.
    fn items(&self, phase: usize) -> Option<usize>;

    /// Runs one item. `seat` is below the seats asked for, and no two items run at once on one seat.
    fn run(&self, seat: usize, phase: usize, item: usize);

    /// Nobody will come: told before the first item, so that a schedule can be cut for one after all.
    fn alone(&self) {}
}

/// What a call is worth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// An estimate of what it takes on one thread, in microseconds.
    pub(crate) micros: f64,
    /// Phases, for the estimate of what members cost.
    pub(crate) phases: usize,
    /// Seats at most.
    pub(crate) seats: usize,
    /// No cost model: brings all members whatever it costs, and waits for them, though not for ever. For tests.
    pub(crate) exactly: bool,
}

/// Runs every item of every phase, in the order of the phases, on the caller and what members come; all items of a phase
/// are done before one of the next starts. Without a team, in the rayon pool that the caller is in, or else on the default
/// team. The number of seats that ran an item.
///
/// # Panics
/// If an item does, and then with what that said; the items that had not begun do not run.
pub(crate) fn run<S: Schedule>(team: Option<&Team>, work: Work, schedule: &S) -> usize {
    let seats = if work.exactly { work.seats } else { seats_for(work.micros, work.phases, work.seats) };
    if seats <= 1 {
        return alone(schedule);
    }
    together(team, &work, seats, schedule)
}

/// The caller alone: nothing is shared.
fn alone<S: Schedule>(schedule: &S) -> usize {
    schedule.alone();
    let (mut phase, mut ran) = (0, false);
    while let Some(items) = schedule.items(phase) {
        for item in 0..items {
            schedule.run(0, phase, item);
        }
        ran |= items > 0;
        phase += 1;
    }
    usize::from(ran)
}

#[cfg(feature = "rayon")]
#[inline(never)]
fn together<S: Schedule>(team: Option<&Team>, work: &Work, seats: usize, schedule: &S) -> usize {
    if busy::is() {
        return alone(schedule);
    }
    if team.is_none() && rayon::current_thread_index().is_some() {
        return join::run(work, seats, schedule).unwrap_or_else(|| alone(schedule));
    }
    match if work.exactly { insist_on_crew(team) } else { handle::crew(team) } {
        Some(crew) => crew.run(work, seats, schedule, || alone(schedule)),
        None => alone(schedule),
    }
}

/// The crew, after another thread has made it if one is at that.
#[cfg(feature = "rayon")]
fn insist_on_crew(team: Option<&Team>) -> Option<&crew::Crew> {
    let (deadline, mut wait) = (std::time::Instant::now() + PATIENCE, sync::Wait::default());
    loop {
        let crew = handle::crew(team);
        if crew.is_some() || std::time::Instant::now() > deadline {
            return crew;
        }
        wait.turn();
    }
}

#[cfg(not(feature = "rayon"))]
fn together<S: Schedule>(_: Option<&Team>, _: &Work, _: usize, schedule: &S) -> usize {
    alone(schedule)
}

/// The seats that [`run`] may use for this much work, for workspaces and reports: 1 where the caller is left alone even
/// with members awake.
pub(crate) fn seats_for(micros: f64, phases: usize, threads: usize) -> usize {
    #[cfg(feature = "rayon")]
    {
        model::awake(micros, phases, threads)
    }
    #[cfg(not(feature = "rayon"))]
    {
        _ = (micros, phases, threads);
        1
    }
}
