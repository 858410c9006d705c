//! Where members run.

use super::*;
use crate::Result;
use core::time::Duration;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use std::{sync::Mutex, thread, time::Instant};

fn bind(processors: &CpuSet) {
    sched_setaffinity(None, processors).expect("an affinity that the thread had");
}

fn only(p: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(p);
    set
}

/// Runs `f` with the thread bound to the processor that it is on.
pub(super) fn on_one_processor<R>(f: impl FnOnce(usize) -> R) -> R {
    let before = sched_getaffinity(None).expect("an affinity");
    let one = sched_getcpu();
    bind(&only(one));
    let result = f(one);
    bind(&before);
    result
}

/// What affinity the threads of a call have, by seat.
struct Affinity {
    seats: Vec<Mutex<Option<CpuSet>>>,
}

impl Affinity {
    /// The sets of the members of a call.
    fn of(team: &Team) -> Vec<CpuSet> {
        let seats = team.threads();
        let s = Self { seats: (0..seats).map(|_| Mutex::new(None)).collect() };
        assert_eq!(run(Some(team), exactly(seats), &s), seats);
        s.seats.into_iter().skip(1).map(|set| set.into_inner().unwrap().expect("a member")).collect()
    }
}

impl Schedule for Affinity {
    fn items(&self, phase: usize) -> Option<usize> {
        (phase < 1).then_some(self.seats.len())
    }

    fn run(&self, seat: usize, _: usize, _: usize) {
        *self.seats[seat].lock().unwrap() = sched_getaffinity(None).ok();
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.seats.iter().any(|s| s.lock().unwrap().is_none()) {
            assert!(Instant::now() < deadline, "not all came");
            thread::yield_now();
        }
    }
}

#[test]
fn members_are_kept_off_their_callers_processor() -> Result<()> {
    let before = sched_getaffinity(None).expect("an affinity");
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|p| before.is_set(*p)).collect();
    let [first, second, ..] = processors[..] else { return Ok(()) };
    if std::env::var_os("NABLAS_AFFINITY").is_some() {
        return Ok(());
    }
    let team = Team::new(&TeamOptions::new().threads(2).processors([first, second]))?;
    let free = Team::new(&TeamOptions::new().threads(2).affinity(false))?;
    let crowded = Team::new(&TeamOptions::new().threads(3).processors([first, second]))?;
    let inherited = Affinity::of(&free);
    for (here, there) in [(first, second), (second, first), (second, first), (first, second)] {
        bind(&only(here));
        assert_eq!(Affinity::of(&team), [only(there)]);
        assert_eq!(Affinity::of(&free), inherited);
        // Too few processors to be kept apart on, but never others than those named.
        for set in Affinity::of(&crowded) {
            assert!((1..=2).contains(&set.count()) && (set.is_set(first) || set.is_set(second)));
        }
    }
    bind(&before);
    Ok(())
}
