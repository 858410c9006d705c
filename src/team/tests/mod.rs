//! Scheduling: every item once, phases in order, seats their owners'; whoever comes.

#[cfg(feature = "rayon")]
mod callers;
#[cfg(feature = "rayon")]
mod members;
#[cfg(feature = "rayon")]
mod options;
#[cfg(all(feature = "rayon", target_os = "linux"))]
mod places;
#[cfg(all(feature = "rayon", unix))]
mod process;

use super::*;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Phases of so many items each, that see for themselves whether they are run as they should be.
struct Checked {
    items: Vec<usize>,
    runs: Vec<Vec<AtomicUsize>>,
    done: Vec<AtomicUsize>,
    seats: Vec<AtomicBool>,
}

impl Checked {
    fn new(items: &[usize], seats: usize) -> Self {
        Self {
            items: items.to_vec(),
            runs: items.iter().map(|n| (0..*n).map(|_| AtomicUsize::new(0)).collect()).collect(),
            done: items.iter().map(|_| AtomicUsize::new(0)).collect(),
            seats: (0..seats).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Every item has run once.
    fn all_ran(&self) {
        for (phase, runs) in self.runs.iter().enumerate() {
            for (item, run) in runs.iter().enumerate() {
                assert_eq!(run.load(SeqCst), 1, "item {item} of phase {phase}");
            }
        }
    }
}

impl Schedule for Checked {
    fn items(&self, phase: usize) -> Option<usize> {
        self.items.get(phase).copied()
    }

    fn run(&self, seat: usize, phase: usize, item: usize) {
        assert!(!self.seats[seat].swap(true, SeqCst), "two items at once on seat {seat}");
        for before in 0..phase {
            assert_eq!(
                self.done[before].load(SeqCst),
                self.items[before],
                "phase {phase}: {before} is not done"
            );
        }
        self.runs[phase][item].fetch_add(1, SeqCst);
        self.done[phase].fetch_add(1, SeqCst);
        self.seats[seat].store(false, SeqCst);
    }
}

const PHASES: &[&[usize]] =
    &[&[], &[0], &[1], &[5], &[0, 0, 3], &[3, 0, 4, 1, 1, 1, 100], &[2; 9], &[1; 40], &[1000, 1000, 1]];

/// A call that insists on members.
fn exactly(seats: usize) -> Work {
    Work { micros: 0.0, phases: 1, seats, exactly: true }
}

/// A call that the cost model decides about.
fn worth(micros: f64, seats: usize) -> Work {
    Work { micros, phases: 1, seats, exactly: false }
}

#[test]
fn one_seat_is_the_caller() {
    for items in PHASES {
        let s = Checked::new(items, 1);
        let ran = run(None, worth(1e9, 1), &s);
        s.all_ran();
        assert_eq!(ran, usize::from(items.iter().any(|n| *n > 0)));
    }
}

#[test]
fn without_threads_a_team_is_its_caller() -> crate::Result<()> {
    let team = Team::new(&TeamOptions::new().threads(1))?;
    let s = Checked::new(&[7, 7], 8);
    assert_eq!((team.threads(), run(Some(&team), exactly(8), &s)), (1, 1));
    s.all_ran();
    Ok(())
}
