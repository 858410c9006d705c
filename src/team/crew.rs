//! The threads behind a team, in one process: who is brought to a call.

use super::{
    PATIENCE, Schedule, TeamOptions, Work, busy,
    call::Call,
    fork,
    member::{Idle, Member},
    model, muster,
    muster::Muster,
    processors::Processors,
    sync::Wait,
    threads,
};
use crate::error::{Error, Result};
use core::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::{boxed::Box, format, sync::Arc, time::Instant};

/// Calls in close succession that would each have been worth members, had these been awake, after which they are woken.
const CLOSE_CALLS: u32 = 4;

/// Resident threads. Dropping it tells them to quit.
pub(super) struct Crew {
    /// The process that they belong to.
    pub(super) generation: u64,
    resident: Arc<Resident>,
    linger: Duration,
    born: Instant,
    /// When the last call ended that missed sleeping members, in nanoseconds from `born`; and how many there were in close
    /// succession. Hints.
    missed: AtomicU64,
    streak: AtomicU32,
    /// It only has to live as long.
    _pool: Option<ThreadPool>,
}

/// What the threads have of it.
struct Resident {
    members: Box<[Member]>,
    processors: Processors,
}

impl Crew {
    /// Starts the threads of a team, but for the caller.
    pub(super) fn start(options: &TeamOptions, threads: usize) -> Result<Self> {
        let generation = fork::generation();
        let count = threads - 1;
        let linger = options.linger.unwrap_or_else(threads::linger);
        let resident = Arc::new(Resident {
            members: (0..count).map(|_| Member::new()).collect(),
            processors: Processors::new(options, count)?,
        });
        let pool = if count == 0 {
            None
        } else {
            let pool = ThreadPoolBuilder::new()
                .num_threads(count)
                .thread_name(|i| format!("nablas-{}", i + 1))
                .build()
                .map_err(|_| Error::Threads { threads })?;
            let theirs = Arc::clone(&resident);
            pool.spawn_broadcast(move |at| {
                let member = &theirs.members[at.index()];
                theirs.processors.settle(&member.place);
                busy::within(|| member.reside(linger));
            });
            Some(pool)
        };
        Ok(Self {
            generation,
            resident,
            linger,
            born: Instant::now(),
            missed: AtomicU64::new(0),
            streak: AtomicU32::new(0),
            _pool: pool,
        })
    }

    /// Whether all its threads sleep.
    #[cfg(all(test, not(loom)))]
    pub(super) fn sleeps(&self) -> bool {
        self.resident.members.iter().all(Member::sleeps)
    }

    /// Alive as long as its threads are.
    #[cfg(all(test, not(loom)))]
    pub(super) fn residents(&self) -> std::sync::Weak<impl Sized + use<>> {
        Arc::downgrade(&self.resident)
    }

    /// Runs the schedule with the members that are worth it, at most `seats − 1`; by `alone` if none comes. The seats
    /// that ran an item.
    pub(super) fn run(
        &self,
        work: &Work,
        seats: usize,
        schedule: &dyn Schedule,
        alone: impl FnOnce() -> usize,
    ) -> usize {
        let members = &self.resident.members;
        let wanted = (seats - 1).min(members.len());
        let call = Call::new(schedule, seats);
        let call = if work.exactly { call.insisting() } else { call };
        let mut missed = false;
        let came = muster::with(members, &call, |muster| {
            if work.exactly {
                self.insist(muster, &call, wanted);
            } else {
                missed = self.gather(muster, work, wanted);
            }
            let came = muster.claimed() > 0;
            if came {
                busy::within(|| call.take_part(0));
            }
            came
        });
        let ran = if came { call.finish() } else { alone() };
        if missed {
            self.missed.store(self.now(), Relaxed);
        }
        ran
    }

    /// Claims the members that the cost model wants; whether it would have had more of them, had they been awake.
    fn gather(&self, muster: &mut Muster<'_>, work: &Work, wanted: usize) -> bool {
        let here = self.resident.processors.here();
        let ready = |i: usize, member: &Member| self.keep_off(here, i, member);
        muster.claim(Idle::Awake, wanted, ready);
        let awake = muster.claimed();
        if awake >= wanted {
            return false;
        }
        let worth = model::woken(work.micros, work.phases, awake + 1, wanted + 1) - 1;
        if worth > awake {
            muster.claim(Idle::Asleep, worth - awake, ready);
            return false;
        }
        self.rouse(here, wanted - awake)
    }

    /// Claims so many members, awake or not, and waits until they are seated; for a bounded time, since other calls
    /// may have them.
    fn insist(&self, muster: &mut Muster<'_>, call: &Call<'_>, wanted: usize) {
        let here = self.resident.processors.here();
        let (deadline, mut wait) = (Instant::now() + PATIENCE, Wait::default());
        loop {
            for idle in [Idle::Awake, Idle::Asleep] {
                let left = wanted - muster.claimed();
                muster.claim(idle, left, |i, member| self.keep_off(here, i, member));
            }
            if muster.claimed() >= wanted || Instant::now() >= deadline {
                break;
            }
            wait.turn();
        }
        call.wait_for_seats(1 + muster.claimed(), deadline);
    }

    fn keep_off(&self, here: Option<usize>, i: usize, member: &Member) {
        if let Some(here) = here {
            self.resident.processors.keep_off(here, i, &member.place);
        }
    }

    /// A call too short to wake members for has missed some that sleep. If such calls are close together, wakes them for
    /// those to come, without waiting. Whether any sleep.
    fn rouse(&self, here: Option<usize>, wanted: usize) -> bool {
        let members = &self.resident.members;
        if self.linger.is_zero() || !members.iter().any(Member::sleeps) {
            return false;
        }
        let pause = self.now().saturating_sub(self.missed.load(Relaxed));
        let close = u128::from(pause) < self.linger.as_nanos();
        let streak = if close { self.streak.load(Relaxed) + 1 } else { 1 };
        if streak < CLOSE_CALLS {
            self.streak.store(streak, Relaxed);
            return true;
        }
        self.streak.store(0, Relaxed);
        let mut left = wanted;
        for (i, member) in members.iter().enumerate() {
            if left > 0 && member.rouse() {
                self.keep_off(here, i, member);
                member.wake();
                left -= 1;
            }
        }
        true
    }

    /// Nanoseconds since the crew was made.
    fn now(&self) -> u64 {
        self.born.elapsed().as_nanos() as u64
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // Not joined: the last handle may go in a member of some team.
        self.resident.members.iter().for_each(Member::quit);
    }
}
