//! Scratch of the calls that have no workspace: each thread's own, as large as its largest call so far.

use crate::status::{Result, fail, nablas_status as Status};
use std::cell::RefCell;

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

thread_local! {
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// An element type that any bytes are a value of.
pub(crate) trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for f64 {}

/// Runs `work` on `len` elements of scratch.
pub(crate) fn with<T: Plain, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> Result<R> {
    // Taken out while it is used, so that a panic in `work` leaves an empty scratch.
    let mut lines = SCRATCH.try_with(RefCell::take).unwrap_or_default();
    let count = len.checked_mul(size_of::<T>()).map(|bytes| bytes.div_ceil(64));
    let more = count.map(|count| (count, count.saturating_sub(lines.len())));
    let Some((count, more)) = more.filter(|(_, more)| lines.try_reserve_exact(*more).is_ok()) else {
        return fail(Status::Memory, format_args!("scratch: could not allocate {len} elements"));
    };
    if more > 0 {
        lines.resize(count, Line([0; 64]));
    }
    // SAFETY: the lines hold `len` elements, whose type any bytes are a value of; they are borrowed exclusively.
    let result = work(unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), len) });
    _ = SCRATCH.try_with(|scratch| scratch.replace(lines));
    Ok(result)
}

/// Frees the calling thread's scratch.
pub(crate) fn release() {
    _ = SCRATCH.try_with(RefCell::take);
}
