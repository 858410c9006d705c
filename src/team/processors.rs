//! Which processors members run on.
//!
//! A member that wakes is put on the processor of who woke it more often than not, where the caller is about to spin for
//! it. So members are kept off the caller's processor. The processors that the team may use are cut into as many parts
//! as there are members, but for the last, the spare one. A member runs in its part; if the caller is there too, in what
//! is left of it and on the spare. So no two share a processor, none is ever left without one, and a caller that moves
//! changes the affinity of two members at most. Where there are fewer processors than threads, nothing of this is done.

use super::TeamOptions;
use crate::error::{Error, Result};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};
use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_getcpu, sched_setaffinity};
use std::boxed::Box;

const WORDS: usize = CpuSet::MAX_CPU / 64;

/// A set of processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bits([u64; WORDS]);

impl Bits {
    const NONE: Self = Self([0; WORDS]);

    fn of(set: &CpuSet) -> Self {
        let mut bits = Self::NONE;
        (0..CpuSet::MAX_CPU).filter(|p| set.is_set(*p)).for_each(|p| bits.insert(p));
        bits
    }

    /// What the process may use: its first thread, since others may be bound for reasons of their own.
    fn of_process() -> Option<Self> {
        let first = i32::try_from(std::process::id()).ok().and_then(Pid::from_raw);
        Some(Self::of(&sched_getaffinity(first).or_else(|_| sched_getaffinity(None)).ok()?))
    }

    /// Those named that the process may use; all that it may use if none are named.
    fn allowed(named: Option<&[usize]>) -> Option<Self> {
        let process = Self::of_process()?;
        let Some(named) = named else { return Some(process) };
        let mut bits = Self::NONE;
        named.iter().filter(|p| process.contains(**p)).for_each(|p| bits.insert(*p));
        Some(bits)
    }

    fn insert(&mut self, p: usize) {
        self.0[p / 64] |= 1 << (p % 64);
    }

    fn remove(&mut self, p: usize) {
        self.0[p / 64] &= !(1 << (p % 64));
    }

    fn contains(&self, p: usize) -> bool {
        self.0.get(p / 64).is_some_and(|word| word >> (p % 64) & 1 == 1)
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(i, word)| {
            let mut left = *word;
            core::iter::from_fn(move || {
                let p = (left != 0).then(|| 64 * i + left.trailing_zeros() as usize);
                left &= left.wrapping_sub(1);
                p
            })
        })
    }

    fn set(&self) -> CpuSet {
        let mut set = CpuSet::new();
        self.iter().for_each(|p| set.set(p));
        set
    }
}

/// The processors for member `index` of so many, with the caller on `here`; `None` if there are too few for all.
fn part(allowed: &Bits, here: usize, index: usize, members: usize) -> Option<Bits> {
    let parted = allowed.count().checked_sub(1)?;
    if parted < members {
        return None;
    }
    let mut part = Bits::NONE;
    let (from, to) = (index * parted / members, (index + 1) * parted / members);
    allowed.iter().skip(from).take(to - from).for_each(|p| part.insert(p));
    if part.contains(here) {
        part.remove(here);
        allowed.iter().last().into_iter().for_each(|spare| part.insert(spare));
    }
    Some(part)
}

/// No processor: nothing has been set.
const NOWHERE: u32 = u32::MAX;

/// Where a member may run, so far as this team has said.
#[derive(Debug)]
pub(super) struct Place {
    /// The thread, for the system; 0 before it has settled.
    thread: AtomicI32,
    /// The caller's processor that it was last set for.
    caller: AtomicU32,
}

impl Default for Place {
    fn default() -> Self {
        Self { thread: AtomicI32::new(0), caller: AtomicU32::new(NOWHERE) }
    }
}

/// The processors of a team.
#[derive(Debug)]
pub(super) struct Processors {
    named: Option<Box<[usize]>>,
    members: usize,
    /// Whether members are kept off the caller's.
    apart: AtomicBool,
    /// What may be used: a hint that anyone may renew, so that no lock is held.
    allowed: [AtomicU64; WORDS],
}

impl Processors {
    /// # Errors
    /// If the process may use none of the processors that are named.
    pub(super) fn new(options: &TeamOptions, members: usize) -> Result<Self> {
        let named = options.processors.as_deref();
        let allowed = Bits::allowed(named);
        if allowed == Some(Bits::NONE) {
            let got = named.unwrap_or_default().len() as f64;
            return Err(Error::Parameter {
                what: "the named processors",
                expected: "one that the process may use",
                got,
            });
        }
        let allowed = allowed.unwrap_or(Bits::NONE);
        let off = std::env::var_os("NABLAS_AFFINITY").is_some_and(|v| v == "0");
        Ok(Self {
            named: named.map(Box::from),
            members,
            apart: AtomicBool::new(options.affinity && !off && allowed.count() > members),
            allowed: allowed.0.map(AtomicU64::new),
        })
    }

    fn allowed(&self) -> Bits {
        Bits(core::array::from_fn(|i| self.allowed[i].load(Relaxed)))
    }

    /// In a member's thread: it is known from now on, and on the processors that were named.
    pub(super) fn settle(&self, place: &Place) {
        if self.named.is_some() {
            // If they have been taken away since, the thread stays where the process may be.
            _ = sched_setaffinity(None, &self.allowed().set());
        }
        place.thread.store(gettid().as_raw_nonzero().get(), Relaxed);
    }

    /// The caller's processor, if members are to be kept off it.
    pub(super) fn here(&self) -> Option<usize> {
        self.apart.load(Relaxed).then(sched_getcpu)
    }

    /// Keeps member `index` off the caller's processor, by a system call only if the caller has come there or left.
    pub(super) fn keep_off(&self, here: usize, index: usize, place: &Place) {
        let before = place.caller.load(Relaxed);
        let Some(thread) = Pid::from_raw(place.thread.load(Relaxed)) else { return };
        if before == here as u32 {
            return;
        }
        place.caller.store(here as u32, Relaxed);
        let allowed = self.allowed();
        let part_for = |caller: usize| part(&allowed, caller, index, self.members);
        let Some(wanted) = part_for(here) else { return };
        if before != NOWHERE && part_for(before as usize) == Some(wanted) {
            return;
        }
        if sched_setaffinity(Some(thread), &wanted.set()).is_err() {
            self.renew(here, index, thread);
        }
    }

    /// What the process may use has changed.
    #[cold]
    fn renew(&self, here: usize, index: usize, thread: Pid) {
        let allowed = Bits::allowed(self.named.as_deref()).unwrap_or(Bits::NONE);
        for (word, bits) in self.allowed.iter().zip(allowed.0) {
            word.store(bits, Relaxed);
        }
        let set = part(&allowed, here, index, self.members)
            .is_some_and(|wanted| sched_setaffinity(Some(thread), &wanted.set()).is_ok());
        if !set {
            self.apart.store(false, Relaxed);
        }
    }
}

/// Whether a quota grants less than the processors that this thread may use.
pub(super) fn quota(granted: usize) -> bool {
    sched_getaffinity(None).is_ok_and(|set| granted < set.count() as usize)
}

/// How many of the named processors there are to be had.
pub(super) fn count(named: &[usize]) -> usize {
    Bits::allowed(Some(named)).map_or(named.len(), |bits| bits.count())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn bits(processors: impl IntoIterator<Item = usize>) -> Bits {
        let mut bits = Bits::NONE;
        processors.into_iter().for_each(|p| bits.insert(p));
        bits
    }

    #[test]
    fn members_share_no_processor_with_each_other_or_the_caller() {
        let sets = [bits(0..2), bits(0..8), bits([0, 3, 63, 64, 200, 1023]), bits((0..96).step_by(2))];
        for allowed in sets {
            for members in 1..allowed.count() {
                for here in allowed.iter().chain([1, 777]) {
                    let mut seen = Bits::NONE;
                    for i in 0..members {
                        let part = part(&allowed, here, i, members).expect("enough for all");
                        assert!(part.count() > 0 && !part.contains(here));
                        for p in part.iter() {
                            assert!(allowed.contains(p) && !seen.contains(p), "{p} twice");
                            seen.insert(p);
                        }
                    }
                }
            }
            assert_eq!(part(&allowed, 0, 0, allowed.count()), None);
        }
        assert_eq!(part(&Bits::NONE, 0, 0, 1), None);
    }

    #[test]
    fn a_caller_that_moves_changes_two_members_at_most() {
        let allowed = bits(0..16);
        for members in 1..16 {
            for (before, after) in (0..16).flat_map(|a| (0..16).map(move |b| (a, b))) {
                let moved =
                    |i: &usize| part(&allowed, before, *i, members) != part(&allowed, after, *i, members);
                assert!((0..members).filter(moved).count() <= 2);
            }
        }
    }
}
