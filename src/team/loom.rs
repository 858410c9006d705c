//! Every order in which members and callers can meet, as loom has it:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p nablas --lib team::loom`.
//!
//! Items write cells that loom watches, and read those of the phase before, so that an item too early, or twice, or one
//! whose writes are not seen by who comes after, is a race. A member may be claimed while it starts, is awake or sleeps;
//! may come in time, late, or never, all in one model, since loom tries each.

use super::{
    Schedule,
    call::Call,
    member::{Idle, Member},
    muster,
};
use loom::{
    cell::UnsafeCell,
    model::Builder,
    thread::{self, JoinHandle},
};
use std::{
    boxed::Box,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::Duration,
    vec::Vec,
};

/// Phases of items, each with a cell.
struct Cells {
    cells: Vec<Vec<UnsafeCell<usize>>>,
    seats: Vec<UnsafeCell<usize>>,
    /// An item that panics.
    panics: Option<(usize, usize)>,
}

// SAFETY: loom finds the accesses that would make this unsound.
unsafe impl Sync for Cells {}

impl Cells {
    fn new(items: &[usize]) -> Self {
        let cells = items.iter().map(|n| (0..*n).map(|_| UnsafeCell::new(0)).collect());
        let seats = (0..3).map(|_| UnsafeCell::new(0)).collect();
        Self { cells: cells.collect(), seats, panics: None }
    }

    fn get(&self, phase: usize, item: usize) -> usize {
        // SAFETY: loom watches.
        self.cells[phase][item].with(|cell| unsafe { *cell })
    }

    /// Every item has run so many times.
    fn ran(&self, times: usize) {
        for phase in 0..self.cells.len() {
            (0..self.cells[phase].len()).for_each(|item| assert_eq!(self.get(phase, item), times));
        }
    }
}

impl Schedule for Cells {
    fn items(&self, phase: usize) -> Option<usize> {
        self.cells.get(phase).map(Vec::len)
    }

    fn run(&self, seat: usize, phase: usize, item: usize) {
        // A seat's own cell: two items at once there are a race.
        // SAFETY: loom watches.
        self.seats[seat].with_mut(|cell| unsafe { *cell += 1 });
        if self.panics == Some((phase, item)) {
            // Without the hook that prints.
            resume_unwind(Box::new("an item"));
        }
        // SAFETY: loom watches.
        self.cells[phase][item].with_mut(|cell| unsafe { *cell += 1 });
        if let Some(before) = phase.checked_sub(1) {
            let runs = self.get(phase, item);
            (0..self.cells[before].len()).for_each(|i| assert_eq!(self.get(before, i), runs));
        }
    }
}

/// Members in threads of loom's.
fn residents(count: usize) -> (Arc<[Member]>, Vec<JoinHandle<()>>) {
    let members: Arc<[Member]> = (0..count).map(|_| Member::new()).collect();
    let spawn = |i: usize| {
        let members = Arc::clone(&members);
        thread::spawn(move || members[i].reside(Duration::ZERO))
    };
    let threads = (0..count).map(spawn).collect();
    (members, threads)
}

fn end(members: &[Member], threads: Vec<JoinHandle<()>>) {
    members.iter().for_each(Member::quit);
    threads.into_iter().for_each(|t| t.join().expect("a member that ends"));
}

/// A call that takes whatever members it finds.
fn run(members: &[Member], schedule: &Cells) -> usize {
    let call = Call::new(schedule, members.len() + 1);
    muster::with(members, &call, |muster| {
        for idle in [Idle::Awake, Idle::Asleep] {
            muster.claim(idle, members.len() - muster.claimed(), |_, _| {});
        }
        call.take_part(0);
    });
    call.finish()
}

/// Checks a model, with at most so many switches that no thread asked for.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn a_member_in_time_late_or_absent() {
    check(3, || {
        let (members, threads) = residents(1);
        let cells = Cells::new(&[2, 1]);
        let ran = run(&members, &cells);
        assert!((1..=2).contains(&ran));
        cells.ran(1);
        end(&members, threads);
    });
}

#[test]
fn a_second_call_at_the_address_of_the_first() {
    check(3, || {
        let (members, threads) = residents(1);
        let cells = Cells::new(&[1, 1]);
        run(&members, &cells);
        run(&members, &cells);
        cells.ran(2);
        end(&members, threads);
    });
}

#[test]
fn an_item_that_panics() {
    check(3, || {
        let (members, threads) = residents(1);
        let mut cells = Cells::new(&[2, 1]);
        cells.panics = Some((0, 1));
        let panic = catch_unwind(AssertUnwindSafe(|| run(&members, &cells))).expect_err("a panic");
        assert_eq!(panic.downcast_ref(), Some(&"an item"));
        assert_eq!(cells.get(1, 0), 0, "an item after a phase that is not done");
        // The team is none the worse.
        let cells = Cells::new(&[1]);
        run(&members, &cells);
        cells.ran(1);
        end(&members, threads);
    });
}

#[test]
fn two_callers_and_one_member() {
    check(3, || {
        let (members, threads) = residents(1);
        let theirs = Arc::clone(&members);
        let other = thread::spawn(move || {
            let cells = Cells::new(&[1, 1]);
            run(&theirs, &cells);
            cells.ran(1);
        });
        let cells = Cells::new(&[1, 1]);
        run(&members, &cells);
        cells.ran(1);
        other.join().expect("a caller that ends");
        end(&members, threads);
    });
}

#[test]
fn two_members_and_one_caller() {
    check(3, || {
        let (members, threads) = residents(2);
        let cells = Cells::new(&[2, 1]);
        run(&members, &cells);
        cells.ran(1);
        end(&members, threads);
    });
}

#[test]
fn a_sleeper_that_is_roused() {
    check(3, || {
        let (members, threads) = residents(1);
        if members[0].rouse() {
            members[0].wake();
        }
        let cells = Cells::new(&[1, 1]);
        run(&members, &cells);
        cells.ran(1);
        end(&members, threads);
    });
}

#[test]
fn the_end_of_a_team_that_never_worked() {
    check(5, || {
        let (members, threads) = residents(2);
        end(&members, threads);
    });
}
