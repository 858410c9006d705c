//! Teams as callers hold them: a crew in each process that uses one.

use super::{TeamOptions, default_threads, threads::MAX_THREADS};
use crate::error::{Error, Result};
use alloc::sync::Arc;
use core::fmt;

/// Threads to run calls on, the caller among them.
///
/// A handle: clones are of one team, whose threads end when the last is dropped. They wait for work for a short while
/// after a call, then sleep. Several callers may use one team at once: each gets the threads that are idle, and runs alone
/// if none is; none ever waits for another. The child of a `fork` gets threads of its own at its first call.
///
/// Calls that name no team use the threads of the rayon pool that they come from, or else the default team, made at the
/// first call that wants it. A team that is named is used wherever the call comes from. In a rayon pool without one, a call
/// that waits for a thread of the pool may run other jobs of that pool meanwhile, as `rayon::join` does: hold no lock there
/// that another job takes, or name a team.
///
/// ```
/// use nablas::{Team, TeamOptions};
/// let team = Team::new(&TeamOptions::new().threads(2))?;
/// assert!(team.threads() <= 2);
/// # Ok::<(), nablas::Error>(())
/// ```
#[derive(Clone)]
pub struct Team {
    home: Arc<Home>,
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team")
            .field("threads", &self.home.threads)
            .field("options", &self.home.options)
            .finish_non_exhaustive()
    }
}

struct Home {
    options: TeamOptions,
    threads: usize,
    #[cfg(feature = "rayon")]
    slot: Slot,
}

impl Team {
    /// Starts the threads of a team, one less than [`threads`](Self::threads). Without the feature `rayon` there are none.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a number of threads outside of 1 … 1024 or if the process may use none of the processors
    /// named, [`Error::Threads`] if the threads cannot be started, [`Error::Variable`] if their number comes from
    /// `NABLAS_NUM_THREADS`, and is none.
    pub fn new(options: &TeamOptions) -> Result<Self> {
        let threads = match options.threads {
            Some(threads) => threads,
            None => default_threads()?,
        };
        if !(1..=MAX_THREADS).contains(&threads) {
            let got = threads as f64;
            return Err(Error::Parameter { what: "the threads of a team", expected: "1 to 1024", got });
        }
        #[cfg(feature = "rayon")]
        {
            let named = options.processors.as_deref().filter(|_| options.threads.is_none());
            let threads = named.map_or(threads, |p| threads.min(super::processors::count(p)).max(1));
            let slot = Slot::with(options, threads)?;
            Ok(Self { home: Arc::new(Home { options: options.clone(), threads, slot }) })
        }
        #[cfg(not(feature = "rayon"))]
        Ok(Self { home: Arc::new(Home { options: options.clone(), threads: 1 }) })
    }

    /// Threads, the caller included.
    pub fn threads(&self) -> usize {
        self.home.threads
    }
}

#[cfg(feature = "rayon")]
use with_members::Slot;
#[cfg(feature = "rayon")]
pub(super) use with_members::crew;

#[cfg(feature = "rayon")]
mod with_members {
    use super::{Team, TeamOptions, default_threads};
    use crate::{
        error::Result,
        team::{crew::Crew, fork, threads::granted},
    };
    use core::{
        ptr,
        sync::atomic::{AtomicPtr, AtomicU64, Ordering},
    };
    use std::boxed::Box;

    /// The crew of this process, or that of the process that it was forked from.
    pub(super) struct Slot {
        crew: AtomicPtr<Crew>,
        /// The generation whose crew is being made or has been, plus one. Not a lock: nobody waits for it, and in a child
        /// it is out of date.
        making: AtomicU64,
    }

    static DEFAULT: Slot = Slot { crew: AtomicPtr::new(ptr::null_mut()), making: AtomicU64::new(0) };

    /// The crew of a team, or of the default one, in this process; made if there is none yet. `None` while another thread
    /// is at that.
    pub(in crate::team) fn crew(team: Option<&Team>) -> Option<&Crew> {
        match team {
            Some(team) => team.home.slot.crew(|| Crew::start(&team.home.options, team.home.threads)),
            None => DEFAULT.crew(|| {
                let threads = default_threads().unwrap_or_else(|_| granted());
                Crew::start(&TeamOptions::new(), threads)
            }),
        }
    }

    impl Slot {
        pub(super) fn with(options: &TeamOptions, threads: usize) -> Result<Self> {
            fork::watch();
            let crew = Crew::start(options, threads)?;
            let making = AtomicU64::new(crew.generation + 1);
            Ok(Self { crew: AtomicPtr::new(Box::into_raw(Box::new(crew))), making })
        }

        fn crew(&self, start: impl FnOnce() -> Result<Crew>) -> Option<&Crew> {
            // SAFETY: a crew in the slot is freed by the slot's drop alone.
            let crew = unsafe { self.crew.load(Ordering::Acquire).as_ref() };
            match crew {
                Some(crew) if crew.generation == fork::generation() => Some(crew),
                _ => self.make(start),
            }
        }

        #[cold]
        fn make(&self, start: impl FnOnce() -> Result<Crew>) -> Option<&Crew> {
            fork::watch();
            let now = fork::generation() + 1;
            let before = self.making.load(Ordering::Relaxed);
            if before == now
                || self.making.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
            {
                return None;
            }
            // If it cannot be had, the caller is alone, here and from now on.
            let crew = start().or_else(|_| Crew::start(&TeamOptions::new(), 1)).ok()?;
            let crew = Box::into_raw(Box::new(crew));
            // What was here is a parent's: its threads are not in this process, and so it cannot be ended.
            self.crew.store(crew, Ordering::Release);
            // SAFETY: as above.
            Some(unsafe { &*crew })
        }
    }

    impl Drop for Slot {
        fn drop(&mut self) {
            let crew = *self.crew.get_mut();
            // SAFETY: as in `crew`.
            if unsafe { crew.as_ref() }.is_some_and(|crew| crew.generation == fork::generation()) {
                // SAFETY: it came from a box, and no call is left that could use it: each borrows a handle.
                drop(unsafe { Box::from_raw(crew) });
            }
        }
    }
}
