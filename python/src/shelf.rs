//! Workspaces that calls take and put back.

use std::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// Values that wait for the next call.
const ROOM: usize = 4;

/// A few values that are taken for a call and put back after it. There is no lock that a fork could leave behind: a
/// place is an address, which a call takes and leaves a null for.
#[derive(Debug)]
pub(crate) struct Shelf<V>([AtomicPtr<V>; ROOM]);

impl<V> Shelf<V> {
    /// One with nothing on it.
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())))
    }

    /// A value, if there is one.
    pub(crate) fn take(&self) -> Option<Box<V>> {
        self.0.iter().find_map(|place| {
            if place.load(Ordering::Relaxed).is_null() {
                return None;
            }
            let value = place.swap(ptr::null_mut(), Ordering::Acquire);
            // SAFETY: it came from a box in `put`, and the swap has made this its only address.
            (!value.is_null()).then(|| unsafe { Box::from_raw(value) })
        })
    }

    /// Puts a value there, or frees it if there is no room.
    pub(crate) fn put(&self, value: Box<V>) {
        let value = Box::into_raw(value);
        let full = self.0.iter().all(|place| {
            place.compare_exchange(ptr::null_mut(), value, Ordering::Release, Ordering::Relaxed).is_err()
        });
        if full {
            // SAFETY: it came from a box just now, and no place has it.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}

impl<V> Drop for Shelf<V> {
    fn drop(&mut self) {
        while self.take().is_some() {}
    }
}

// SAFETY: values are only ever owned by the thread that has taken them.
unsafe impl<V: Send> Sync for Shelf<V> {}
// SAFETY: as above.
unsafe impl<V: Send> Send for Shelf<V> {}
