//! Fork and join, and when it pays.

use core::sync::atomic::{AtomicUsize, Ordering};

/// FLOP that must stand behind every thread of a call: an estimate of what waking a pool costs, tens of
/// microseconds of one core's work (docs/PERFORMANCE.md).
const FLOP_PER_TASK: f64 = 4e6;

/// How many tasks to fork for this much work: 1, the calling thread alone, below the threshold.
pub fn tasks_for(flop: f64, threads: usize) -> usize {
    ((flop / FLOP_PER_TASK) as usize).clamp(1, threads.max(1))
}

/// Threads that a call may use: those of the rayon pool that the caller is in, or else of the global one.
pub(crate) fn available_threads() -> usize {
    #[cfg(feature = "rayon")]
    {
        rayon::current_num_threads()
    }
    #[cfg(not(feature = "rayon"))]
    {
        1
    }
}

/// Runs `f(0)` … `f(tasks − 1)`, in parallel where there is a pool. `join` keeps its jobs on the stack, so
/// nothing is allocated inside of the pool; a call from outside goes through rayon's queue, which grows by a
/// block now and then.
pub(crate) fn fork<F: Fn(usize) + Sync>(tasks: usize, f: &F) {
    fn split<F: Fn(usize) + Sync>(from: usize, to: usize, f: &F) {
        match to - from {
            0 => {}
            1 => f(from),
            #[cfg(feature = "rayon")]
            n => {
                let mid = from + n / 2;
                rayon::join(|| split(from, mid, f), || split(mid, to, f));
            }
            #[cfg(not(feature = "rayon"))]
            _ => (from..to).for_each(f),
        }
    }
    split(0, tasks, f);
}

/// Runs `f(task, item)` for every item; each task takes the next one that nobody has taken. Which task runs
/// an item must leave no trace in the results.
pub(crate) fn for_each_item<F: Fn(usize, usize) + Sync>(tasks: usize, items: usize, f: &F) {
    let tasks = tasks.min(items);
    if tasks <= 1 {
        return (0..items).for_each(|i| f(0, i));
    }
    let next = AtomicUsize::new(0);
    fork(tasks, &|task| {
        loop {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= items {
                break;
            }
            f(task, item);
        }
    });
}

/// A pointer that tasks share. What makes that sound is said where it is dereferenced: tasks touch disjoint
/// elements.
#[derive(Debug)]
pub(crate) struct Shared<T>(pub(crate) *mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Shared<T> {}

// SAFETY: the pointer itself is only a number; each dereference says why it is sound.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as for Send.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The pointer; through a method, so that closures capture the whole and not the bare field.
    pub(crate) fn get(self) -> *mut T {
        self.0
    }

    /// `n` elements on.
    pub(crate) fn add(self, n: usize) -> *mut T {
        self.0.wrapping_add(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_item_runs_once() {
        for tasks in [1, 2, 3, 8] {
            for items in [0, 1, 2, 7, 100] {
                let counts: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                for_each_item(tasks, items, &|task, i| {
                    assert!(task < tasks);
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn small_work_stays_on_the_calling_thread() {
        assert_eq!(tasks_for(0.0, 8), 1);
        assert_eq!(tasks_for(1.5 * FLOP_PER_TASK, 8), 1);
        assert_eq!(tasks_for(1e12, 8), 8);
        assert_eq!(tasks_for(1e12, 0), 1);
    }
}
