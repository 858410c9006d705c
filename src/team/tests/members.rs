//! Members come, work, fail and go.

use super::*;
use crate::Result;
use core::time::Duration;
use std::{
    boxed::Box,
    collections::BTreeSet,
    format,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    string::String,
    sync::Mutex,
    thread,
    time::Instant,
    vec,
};

/// One phase whose items wait for each other, so that each needs a thread of its own; twice.
pub(super) struct Meeting {
    items: usize,
    there: AtomicUsize,
    pub(super) threads: Mutex<BTreeSet<String>>,
}

impl Meeting {
    pub(super) fn of(items: usize) -> Self {
        Self { items, there: AtomicUsize::new(0), threads: Mutex::default() }
    }
}

impl Schedule for Meeting {
    fn items(&self, phase: usize) -> Option<usize> {
        (phase < 2).then_some(self.items)
    }

    fn run(&self, _: usize, phase: usize, _: usize) {
        let me = thread::current();
        self.threads.lock().unwrap().insert(format!("{:?} {:?}", me.name(), me.id()));
        self.there.fetch_add(1, SeqCst);
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.there.load(SeqCst) < (phase + 1) * self.items {
            assert!(Instant::now() < deadline, "not all came");
            thread::yield_now();
        }
    }
}

#[test]
fn every_item_runs_once_and_phases_keep_their_order() -> Result<()> {
    for threads in [2, 3, 8] {
        let team = Team::new(&TeamOptions::new().threads(threads))?;
        assert_eq!(team.threads(), threads);
        for items in PHASES {
            for seats in [2, threads, threads + 3] {
                let s = Checked::new(items, seats);
                let ran = run(Some(&team), exactly(seats), &s);
                s.all_ran();
                assert!(ran <= seats.min(threads));
            }
        }
    }
    Ok(())
}

#[test]
fn all_members_work_in_one_call() -> Result<()> {
    for threads in [2, 5] {
        let team = Team::new(&TeamOptions::new().threads(threads))?;
        for round in 0..50 {
            // Awake, falling asleep, asleep.
            thread::sleep(Duration::from_micros(20 * (round % 8)));
            let s = Meeting::of(threads);
            assert_eq!(run(Some(&team), exactly(threads), &s), threads);
            let names = s.threads.into_inner().unwrap();
            assert_eq!(names.len(), threads);
            assert_eq!(
                names.iter().filter(|n| n.starts_with("Some(\"nablas-")).count(),
                threads - 1,
                "{names:?}"
            );
        }
    }
    Ok(())
}

/// An item that panics in the middle of three phases.
struct Panics<'a> {
    inner: &'a Checked,
    at: (usize, usize),
}

impl Schedule for Panics<'_> {
    fn items(&self, phase: usize) -> Option<usize> {
        self.inner.items(phase)
    }

    fn run(&self, seat: usize, phase: usize, item: usize) {
        if (phase, item) == self.at {
            // Past the hook, which would print.
            resume_unwind(Box::new(String::from("this one")));
        }
        self.inner.run(seat, phase, item);
    }
}

#[test]
fn a_panic_reaches_the_caller_and_leaves_the_team_usable() -> Result<()> {
    let team = Team::new(&TeamOptions::new().threads(3))?;
    for item in 0..40 {
        let inner = Checked::new(&[10, 40, 10], 3);
        let s = Panics { inner: &inner, at: (1, item) };
        let panic = catch_unwind(AssertUnwindSafe(|| run(Some(&team), exactly(3), &s))).expect_err("a panic");
        assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("this one"));
        assert_eq!((inner.done[0].load(SeqCst), inner.done[2].load(SeqCst)), (10, 0));
        assert!(inner.done[1].load(SeqCst) < 40);
        assert_eq!(run(Some(&team), exactly(3), &Meeting::of(3)), 3);
    }
    Ok(())
}

/// An item that calls in turn.
struct Nested<'a>(&'a Team, AtomicUsize);

impl Schedule for Nested<'_> {
    fn items(&self, phase: usize) -> Option<usize> {
        (phase < 1).then_some(6)
    }

    fn run(&self, _: usize, _: usize, _: usize) {
        for team in [Some(self.0), None] {
            let s = Checked::new(&[3, 3], 1);
            // One seat's worth of room: a second would be out of bounds.
            assert_eq!(run(team, exactly(2), &s), 1);
            s.all_ran();
            self.1.fetch_add(1, SeqCst);
        }
    }
}

#[test]
fn a_call_from_inside_of_an_item_is_alone() -> Result<()> {
    let team = Team::new(&TeamOptions::new().threads(4))?;
    // Of the four threads two have seats: idle ones are to be had.
    let s = Nested(&team, AtomicUsize::new(0));
    run(Some(&team), exactly(2), &s);
    assert_eq!(s.1.load(SeqCst), 12);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
    pool.install(|| run(None, exactly(2), &s));
    assert_eq!(s.1.load(SeqCst), 24);
    Ok(())
}

/// Two items of some microseconds.
struct Short;

impl Schedule for Short {
    fn items(&self, phase: usize) -> Option<usize> {
        (phase < 1).then_some(2)
    }

    fn run(&self, _: usize, _: usize, _: usize) {
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(20) {
            core::hint::spin_loop();
        }
    }
}

/// Waits until all members sleep.
fn all_sleep(team: &Team) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !handle::crew(Some(team)).is_some_and(crew::Crew::sleeps) {
        assert!(Instant::now() < deadline, "members that do not sleep");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_loop_of_short_calls_wakes_its_members() -> Result<()> {
    let options = TeamOptions::new().threads(2).linger(Duration::from_millis(20));
    let team = Team::new(&options)?;
    all_sleep(&team);
    // Worth a member that is awake, never the wake of one.
    let work = worth(15.0, 2);
    assert_eq!(run(Some(&team), work, &Short), 1, "a member was woken for little");
    let deadline = Instant::now() + Duration::from_secs(30);
    while run(Some(&team), work, &Short) < 2 {
        assert!(Instant::now() < deadline, "the member sleeps for ever");
    }
    Ok(())
}

#[test]
fn long_calls_wake_members_and_little_ones_do_not() -> Result<()> {
    let team = Team::new(&TeamOptions::new().threads(2).linger(Duration::ZERO))?;
    all_sleep(&team);
    for _ in 0..20 {
        assert_eq!(run(Some(&team), worth(15.0, 2), &Short), 1);
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while run(Some(&team), worth(1e4, 2), &Short) < 2 {
        assert!(Instant::now() < deadline, "nobody came");
    }
    Ok(())
}

#[test]
fn in_a_rayon_pool_its_threads_are_the_members() -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(3)
        .thread_name(|i| format!("theirs-{i}"))
        .build()
        .expect("a pool");
    pool.install(|| {
        assert_eq!(available_threads(), Ok(3));
        for items in PHASES {
            let s = Checked::new(items, 3);
            assert!(run(None, exactly(8), &s) <= 3);
            s.all_ran();
        }
        for _ in 0..20 {
            let s = Meeting::of(3);
            assert_eq!(run(None, exactly(3), &s), 3);
            assert!(s.threads.lock().unwrap().iter().all(|n| n.starts_with("Some(\"theirs-")));
        }
        let inner = Checked::new(&[4, 40, 4], 3);
        let s = Panics { inner: &inner, at: (1, 20) };
        let panic = catch_unwind(AssertUnwindSafe(|| run(None, exactly(3), &s))).expect_err("a panic");
        assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("this one"));
        assert_eq!(inner.done[2].load(SeqCst), 0);
        // A team that is named is the one that works.
        let team = Team::new(&TeamOptions::new().threads(2))?;
        let s = Meeting::of(2);
        assert_eq!(run(Some(&team), exactly(2), &s), 2);
        let names: Vec<_> = s.threads.into_inner().unwrap().into_iter().collect();
        assert!(
            names[0].starts_with("Some(\"nablas-1\")") && names[1].starts_with("Some(\"theirs-"),
            "{names:?}"
        );
        Ok(())
    })
}

#[test]
fn members_end_with_the_last_handle() -> Result<()> {
    let team = Team::new(&TeamOptions::new().threads(4))?;
    let residents = handle::crew(Some(&team)).expect("a crew").residents();
    run(Some(&team), exactly(4), &Meeting::of(4));
    let other = team.clone();
    drop(team);
    run(Some(&other), exactly(4), &Meeting::of(4));
    drop(other);
    let deadline = Instant::now() + Duration::from_secs(30);
    while residents.strong_count() > 0 {
        assert!(Instant::now() < deadline, "members are left");
        thread::yield_now();
    }
    // Some that have hardly begun.
    for teams in [1, 10] {
        drop(vec![Team::new(&TeamOptions::new().threads(3))?; teams]);
    }
    Ok(())
}
