//! The state of a forward pass in a framework's memory, which says nothing of where it came from: its length is all
//! that can be checked. That of another network or batch gives a wrong gradient, and nothing worse, since any bytes are
//! elements or masks.

use crate::{
    array::Vector,
    cache::{Cached, Line, Net},
    failure::Failure,
    typed::Elem,
};
use nablas::{Error, Kept, Plan};
use std::ptr;

/// Rows that states are measured in: a batch has as much memory for each so many rows that it has begun. That is room
/// enough, and a formula that frameworks can reckon with before there is a batch.
pub(crate) const STATE_ROWS: usize = 16;

impl<T: Cached> Net<T> {
    /// Elements of the state of a batch, on whole cache lines.
    pub(crate) fn state_len(&self, batch: usize) -> Result<usize, Failure> {
        let line = 64 / size_of::<T>();
        let block = self.planned.plan.kept_len(STATE_ROWS)?.next_multiple_of(line);
        let len = batch.div_ceil(STATE_ROWS).checked_mul(block);
        len.ok_or_else(|| Error::Overflow { what: "a kept state" }.into())
    }
}

/// Runs a call on the memory of a state: where it lies, or on a copy if that starts no cache line. A copy that is
/// written has zeros where the state has gaps.
///
/// # Safety
/// The state's memory is the call's: to write if it is `written`, and else to read.
pub(crate) unsafe fn with_state<T: Cached, R>(
    net: &Net<T>,
    state: Vector<T>,
    written: bool,
    call: impl FnOnce(*mut T) -> R,
) -> R {
    if !state.ptr.is_null() && state.ptr.addr().is_multiple_of(64) {
        return call(state.ptr);
    }
    net.with_spare(|spare| {
        let lines = (state.len * size_of::<T>()).div_ceil(64);
        if written {
            // What another call has left here would else fill the gaps.
            spare.state.clear();
        }
        spare.state.resize(lines, Line([0; 64]));
        let copy = spare.state.as_mut_ptr().cast::<T>();
        // SAFETY: the caller's promise; the lines hold as many elements, and are the call's own.
        unsafe {
            if !written && state.len > 0 {
                ptr::copy_nonoverlapping(state.ptr, copy, state.len);
            }
            let done = call(copy);
            if written && state.len > 0 {
                ptr::copy_nonoverlapping(copy, state.ptr, state.len);
            }
            done
        }
    })
}

/// The state of `batch` rows in memory that starts a cache line; `held` if a forward pass of so many rows has left it.
///
/// # Safety
/// There are [`Net::state_len`] elements, which are the call's: to write unless they are `held`, and then to read.
pub(crate) unsafe fn kept<T: Elem>(
    plan: &Plan<T>,
    at: *mut T,
    batch: usize,
    held: bool,
) -> nablas::Result<Kept<T>> {
    // SAFETY: the caller's promise. The plan may be another than the one that left the state: where the parts of a
    // state lie depends on the network and the batch alone.
    unsafe { plan.kept_at(at, batch, held.then_some(batch)) }
}
