//! Loads and stores of up to a vector: whole where the count is known to be `LANES`, else partial.

use crate::isa::{Lanes, Real};

/// Loads `n` elements, zero in the other lanes.
///
/// # Safety
/// `ptr` is readable for `n` elements; `n <= LANES`.
#[inline(always)]
pub(crate) unsafe fn load<T: Real, I: Lanes<T>>(isa: I, ptr: *const T, n: usize) -> I::V {
    if n == I::LANES {
        // SAFETY: the caller vouches for n = LANES elements.
        unsafe { isa.load(ptr) }
    } else {
        // SAFETY: the caller vouches for n elements, n <= LANES.
        unsafe { isa.load_partial(ptr, n) }
    }
}

/// Stores the first `n` lanes.
///
/// # Safety
/// `ptr` is writable for `n` elements; `n <= LANES`.
#[inline(always)]
pub(crate) unsafe fn store<T: Real, I: Lanes<T>>(isa: I, ptr: *mut T, v: I::V, n: usize) {
    if n == I::LANES {
        // SAFETY: the caller vouches for n = LANES elements.
        unsafe { isa.store(ptr, v) }
    } else {
        // SAFETY: the caller vouches for n elements, n <= LANES.
        unsafe { isa.store_partial(ptr, v, n) }
    }
}
