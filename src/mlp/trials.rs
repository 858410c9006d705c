//! Whether members pay, by trial.
//!
//! What a hand-over costs is known of one machine (`team/model.rs`). On another, or beside other programs, to fetch what
//! a member wrote may take longer than the member saves. So short calls are timed, some with members and then some alone,
//! and those after them go the faster way, until the next trial. Nothing of this leaves a trace in the bits.
//!
//! What would be tempting, and is wrong: *turns* of one call each (a call alone fetches what members wrote in the one
//! before); *the best time* (what comes once in many calls is no reason to do it); *the mean* (one call that waited for
//! a processor outweighs all): so the mean of speeds.

use super::{call::Goal, plan::Plan};
use crate::{Scalar, team::Schedule};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Calls of a trial that are timed, each way, after some that are not.
const TIMED: u32 = 8;
const SETTLING: u32 = 2;
/// Calls with members to which none came, after which a trial is put off.
const PATIENCE: u32 = 32;
/// For so many counts a call after a pause: all will have been asleep.
const APART: u32 = 16;
/// Microseconds from call to call that are a pause. Calls after one have trials of their own: to wake members, and
/// caches that others have had, are another bargain than members that wait in a loop.
const PAUSE: u32 = 1000;
/// Calls alone, then, before the next trial; also after the first trial that members lost. Twice as many after each
/// further one in a row: a trial may have met a moment when others had the processor.
const REST: u32 = 128;
/// Calls from a trial to the next, at most.
const BETWEEN: u32 = 1024;
/// Calls of a trial.
const TRIAL: u32 = 2 * (SETTLING + TIMED);
/// Calls that the model takes to last longer, in microseconds, gain by members what no hand-over takes.
const LONG: f64 = 250.0;
/// Members must be so many times as fast as the caller alone.
const GAIN: f32 = 1.02;

/// Kinds of calls: the goals, and a training step; and all of them after a pause.
const KINDS: usize = 8;
/// Sizes of batches: by the bits of their number of rows.
const SIZES: usize = 24;

/// The trials of a plan. On cache lines of their own: calls write there.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Trials {
    each: [Trial; KINDS * SIZES],
    /// When the last call began that could have had members, in microseconds.
    last: AtomicU32,
}

/// A trial of calls of one kind and about one size. Calls of several threads at once may lose a count.
#[derive(Debug, Default)]
struct Trial {
    /// Calls since the trial began.
    at: AtomicU32,
    /// Of those with members, how many had none.
    missed: AtomicU32,
    /// Trials in a row that members lost.
    lost: AtomicU32,
    /// Speeds with members and alone, added up: bits of `f32`, estimated time over time.
    speeds: [AtomicU32; 2],
}

/// How a call is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    alone: bool,
    timed: bool,
}

impl Trial {
    fn way(&self) -> Way {
        let at = self.at.load(Relaxed);
        if at < TRIAL {
            return Way { alone: at >= SETTLING + TIMED, timed: true };
        }
        self.at.store(if at < BETWEEN { at + 1 } else { 0 }, Relaxed);
        Way { alone: !self.members_pay(), timed: false }
    }

    /// The trial's verdict.
    fn members_pay(&self) -> bool {
        let [members, alone] = [0, 1].map(|i| f32::from_bits(self.speeds[i].load(Relaxed)));
        members >= GAIN * alone
    }

    /// Alone for a while: so many trials before this one have said so.
    fn rest(&self, lost: u32) {
        self.at.store(BETWEEN - (REST << lost.min(8)).min(BETWEEN - TRIAL), Relaxed);
    }

    /// Where the trial is, unless another thread's call has gone on with it since this one began.
    fn at(&self, way: Way) -> Option<u32> {
        let at = self.at.load(Relaxed);
        (at < TRIAL && (at >= SETTLING + TIMED) == way.alone).then_some(at)
    }

    /// A timed call, after a pause or not, wanted members and had none: it says nothing of them. After many such the
    /// caller is alone until the next trial, and does not even look for them.
    fn miss(&self, way: Way, paused: bool) {
        if self.at(way).is_none() {
            return;
        }
        let missed = self.missed.load(Relaxed) + if paused { APART } else { 1 };
        self.missed.store(if missed < PATIENCE { missed } else { 0 }, Relaxed);
        if missed >= PATIENCE {
            self.speeds[0].store(0, Relaxed);
            self.speeds[1].store(1f32.to_bits(), Relaxed);
            self.lost.store(0, Relaxed);
            self.rest(0);
        }
    }

    /// A timed call has ended.
    fn note(&self, way: Way, speed: f32) {
        let (Some(at), sum) = (self.at(way), &self.speeds[usize::from(way.alone)]) else { return };
        self.missed.store(0, Relaxed);
        let before = match at % (SETTLING + TIMED) {
            0..SETTLING => return self.at.store(at + 1, Relaxed),
            SETTLING => 0.0,
            _ => f32::from_bits(sum.load(Relaxed)),
        };
        sum.store((before + speed).to_bits(), Relaxed);
        self.at.store(at + 1, Relaxed);
        if at + 1 == TRIAL {
            let lost = self.lost.load(Relaxed);
            let pay = self.members_pay();
            self.lost.store(if pay { 0 } else { lost + 1 }, Relaxed);
            if !pay {
                self.rest(lost);
            }
        }
    }
}

impl Trials {
    pub(crate) fn new() -> Self {
        Self { each: core::array::from_fn(|_| Trial::default()), last: AtomicU32::new(0) }
    }

    /// Whether a call that begins now comes after a pause.
    fn paused(&self, start: u64) -> bool {
        let start = (start / 1000) as u32;
        start.wrapping_sub(self.last.swap(start, Relaxed)) > PAUSE
    }

    fn of(&self, goal: Option<Goal>, batch: usize, paused: bool) -> &Trial {
        let size = (usize::BITS - batch.leading_zeros()) as usize;
        let kind = match goal {
            Some(Goal::Forward) => 0,
            Some(Goal::Backward) => 1,
            Some(Goal::Both) => 2,
            None => 3,
        };
        &self.each[(2 * kind + usize::from(paused)) * SIZES + size.min(SIZES - 1)]
    }
}

impl<T: Scalar> Plan<T> {
    /// Runs the schedule of a call of so much work, `goal` none for a training step; how many seats ran an item.
    pub(super) fn run(
        &self,
        (goal, batch): (Option<Goal>, usize),
        (micros, phases, breadth): (f64, usize, usize),
        schedule: &impl Schedule,
    ) -> usize {
        let engine = self.setup.engine();
        let run = |breadth| engine.schedule(micros, phases, breadth, schedule);
        if cfg!(not(feature = "rayon"))
            || engine.exactly
            || micros > LONG
            || engine.seats(micros, phases, breadth) == 1
        {
            return run(breadth);
        }
        let start = now();
        let paused = self.trials.paused(start);
        let trial = self.trials.of(goal, batch, paused);
        let way = trial.way();
        let seats = run(if way.alone { 1 } else { breadth });
        if way.timed && (seats > 1 || way.alone) {
            trial.note(way, (1e3 * micros / (now() - start).max(1) as f64) as f32);
        } else if way.timed {
            trial.miss(way, paused);
        }
        seats
    }
}

/// Nanoseconds from some moment on.
#[cfg(feature = "rayon")]
fn now() -> u64 {
    use std::{sync::OnceLock, time::Instant};
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

#[cfg(not(feature = "rayon"))]
fn now() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls that take so long with members, and alone, `calls` of them; how many ran alone.
    fn calls(trial: &Trial, members: f32, alone: f32, calls: u32) -> u32 {
        let one = |_: &u32| {
            let way = trial.way();
            if way.timed {
                trial.note(way, 1.0 / if way.alone { alone } else { members });
            }
            way.alone
        };
        (0..calls).filter(one).count() as u32
    }

    #[test]
    fn the_faster_way_is_taken_until_the_next_trial() {
        let (trial, each) = (Trial::default(), SETTLING + TIMED);
        // Alone is faster: the next trial comes later each time.
        for rest in [REST, 2 * REST, 4 * REST, BETWEEN - TRIAL, BETWEEN - TRIAL] {
            assert_eq!(calls(&trial, 20.0, 12.0, TRIAL), each);
            assert_eq!(calls(&trial, 20.0, 12.0, rest + 1), rest + 1);
        }
        // Now members are the faster ones, which the next trial finds.
        assert_eq!(calls(&trial, 10.0, 12.0, TRIAL), each);
        assert_eq!(calls(&trial, 10.0, 12.0, BETWEEN - TRIAL + 1), 0);
        assert_eq!(calls(&trial, 11.9, 12.0, TRIAL + REST + 1), each + REST + 1);
        assert_eq!(trial.way(), Way { alone: false, timed: true });
    }

    #[test]
    fn members_that_do_not_come_are_not_judged_but_left_alone_for_a_while() {
        for (calls, paused) in [(PATIENCE, false), (PATIENCE.div_ceil(APART), true)] {
            let trial = Trial::default();
            for _ in 0..calls {
                let way = trial.way();
                assert_eq!(way, Way { alone: false, timed: true });
                trial.miss(way, paused);
            }
            for _ in 0..=REST {
                assert_eq!(trial.way(), Way { alone: true, timed: false });
            }
            assert_eq!(trial.way(), Way { alone: false, timed: true });
        }
    }

    #[test]
    fn a_call_that_ends_late_changes_nothing() {
        let (trial, each) = (Trial::default(), SETTLING + TIMED);
        let late = trial.way();
        assert_eq!(calls(&trial, 10.0, 12.0, TRIAL), each);
        trial.note(late, 1e-6);
        trial.miss(late, true);
        assert_eq!(trial.missed.load(Relaxed), 0);
        assert_eq!(calls(&trial, 10.0, 12.0, 100), 0);
    }

    #[test]
    fn every_batch_has_its_trial() {
        let trials = Trials::new();
        for batch in [0, 1, 2, 1 << 22, 1 << 23, usize::MAX] {
            for goal in [Some(Goal::Forward), Some(Goal::Backward), Some(Goal::Both), None] {
                for paused in [false, true] {
                    assert_eq!(trials.of(goal, batch, paused).at.load(Relaxed), 0);
                }
            }
        }
    }

    #[test]
    fn calls_after_a_pause_have_trials_of_their_own() {
        let trials = Trials::new();
        let micro = |t: u64| 1000 * t;
        assert!(trials.paused(micro(u64::from(PAUSE) + 1)));
        assert!(!trials.paused(micro(u64::from(PAUSE) + 20)));
        assert!(trials.paused(micro(3 * u64::from(PAUSE))));
        trials.of(None, 9, true).at.store(7, Relaxed);
        assert_eq!(trials.of(None, 9, false).at.load(Relaxed), 0);
    }
}
