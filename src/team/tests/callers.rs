//! Many callers, and many members on few processors.

use super::{members::Meeting, *};
use crate::Result;
use core::time::Duration;
use std::{thread, time::Instant};

/// Three phases that count.
#[derive(Default)]
struct Small {
    counts: [AtomicUsize; 3],
}

impl Schedule for Small {
    fn items(&self, phase: usize) -> Option<usize> {
        [2, 3, 1].get(phase).copied()
    }

    fn run(&self, _: usize, phase: usize, _: usize) {
        self.counts[phase].fetch_add(1, SeqCst);
    }
}

#[test]
fn a_million_small_calls_from_eight_threads() -> Result<()> {
    let team = Team::new(&TeamOptions::new().threads(4))?;
    let (mut shared, mut calls) = (AtomicUsize::new(0), 0);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let (team, shared) = (&team, &shared);
                scope.spawn(move || {
                    for call in 0..125_000 {
                        let s = Small::default();
                        // From what is never handed over to what sleepers are woken for.
                        let micros = [1.0, 10.0, 20.0, if call % 1000 == caller { 1e3 } else { 10.0 }];
                        let ran = run(Some(team), worth(micros[call % 4], 2 + caller % 3), &s);
                        assert_eq!(s.counts.map(AtomicUsize::into_inner), [2, 3, 1]);
                        shared.fetch_add(usize::from(ran > 1), SeqCst);
                    }
                    125_000
                })
            })
            .collect();
        calls = callers.into_iter().map(|c| c.join().expect("a caller")).sum::<usize>();
    });
    assert_eq!(calls, 1_000_000);
    assert!(*shared.get_mut() > 0, "no member ever ran an item");
    // All have come back.
    assert_eq!(run(Some(&team), exactly(4), &Meeting::of(4)), 4);
    Ok(())
}

/// An item that lasts until it is told that all is over.
struct Long<'a> {
    begun: &'a AtomicUsize,
    over: &'a AtomicBool,
}

impl Schedule for Long<'_> {
    fn items(&self, phase: usize) -> Option<usize> {
        (phase < 1).then_some(2)
    }

    fn run(&self, _: usize, _: usize, _: usize) {
        self.begun.fetch_add(1, SeqCst);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.over.load(SeqCst) {
            assert!(Instant::now() < deadline, "the other call did not end");
            thread::yield_now();
        }
    }
}

#[test]
fn no_call_waits_for_what_another_holds() -> Result<()> {
    let team = Team::new(&TeamOptions::new().threads(2))?;
    let (begun, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let long = scope.spawn(|| run(Some(&team), exactly(2), &Long { begun: &begun, over: &over }));
        while begun.load(SeqCst) < 2 {
            thread::yield_now();
        }
        // The only member is in an item that ends after these calls.
        for micros in [10.0, 1e3, 1e9] {
            let s = Checked::new(&[3, 2], 2);
            assert_eq!(run(Some(&team), worth(micros, 2), &s), 1);
            s.all_ran();
        }
        over.store(true, SeqCst);
        assert_eq!(long.join().expect("a caller"), 2);
    });
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn sixty_four_members_on_one_processor() -> Result<()> {
    use super::places::on_one_processor;
    on_one_processor(|one| {
        let team = Team::new(&TeamOptions::new().threads(65).processors([one]))?;
        assert_eq!(run(Some(&team), exactly(65), &Meeting::of(65)), 65);
        for round in 0..30 {
            for items in PHASES {
                let s = Checked::new(items, 65);
                run(Some(&team), if round % 3 == 0 { exactly(65) } else { worth(1e5, 65) }, &s);
                s.all_ran();
            }
        }
        Ok(())
    })
}
