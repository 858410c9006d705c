//! Memory that the items of a call share, and the first failure among them.

use crate::error::{Error, Result};
use core::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, Ordering},
};

/// A pointer that items share. What makes that sound is said where it is dereferenced: items touch disjoint
/// elements, or only read.
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
    /// `n` elements on.
    pub(crate) fn add(self, n: usize) -> *mut T {
        self.0.wrapping_add(n)
    }
}

/// The first error that an item of a call met. The other items run all the same.
#[derive(Debug, Default)]
pub(crate) struct FirstError {
    taken: AtomicBool,
    error: UnsafeCell<Option<Error>>,
}

// SAFETY: the cell is written by the one item that took it, and read by value when no item is left.
unsafe impl Sync for FirstError {}

impl FirstError {
    /// Keeps the error, if it is the first.
    pub(crate) fn note(&self, result: Result<()>) {
        if let Err(error) = result
            && !self.taken.swap(true, Ordering::Relaxed)
        {
            // SAFETY: nobody else takes the cell any more.
            unsafe { *self.error.get() = Some(error) }
        }
    }

    /// Whether an item of a phase before has met one.
    pub(crate) fn met(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    /// What became of the call.
    pub(crate) fn result(self) -> Result<()> {
        self.error.into_inner().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_stays() {
        let errors = FirstError::default();
        errors.note(Ok(()));
        errors.note(Err(Error::Overflow { what: "the first" }));
        errors.note(Err(Error::Overflow { what: "the second" }));
        assert_eq!(errors.result(), Err(Error::Overflow { what: "the first" }));
        assert_eq!(FirstError::default().result(), Ok(()));
    }
}
