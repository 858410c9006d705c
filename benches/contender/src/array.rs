//! Arrays of the harness's, which come as bare pointers. Slices of them are made anew at each use, as their owner may
//! have written or read them since.

use crate::guard::Failure;
use std::{ptr::NonNull, slice};

/// An array to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Array {
    ptr: NonNull<f32>,
    len: usize,
}

/// An array to write.
#[derive(Debug)]
pub(crate) struct ArrayMut {
    ptr: NonNull<f32>,
    len: usize,
}

impl Array {
    /// The `rows`·`cols` elements at `ptr`.
    ///
    /// # Safety
    /// As long as the array is in use they stay readable, and nothing writes them while a slice of them lives.
    pub(crate) unsafe fn new(ptr: *const f32, rows: usize, cols: usize) -> Result<Self, Failure> {
        let len = area(rows, cols)?;
        Ok(Self { ptr: address(ptr.cast_mut(), len)?, len })
    }

    /// Its elements.
    pub(crate) fn get(&self) -> &[f32] {
        // SAFETY: the promise made to `new`.
        unsafe { slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl ArrayMut {
    /// The `rows`·`cols` elements at `ptr`.
    ///
    /// # Safety
    /// As long as the array is in use they stay readable and writable, and nothing else accesses them while a slice
    /// of them lives.
    pub(crate) unsafe fn new(ptr: *mut f32, rows: usize, cols: usize) -> Result<Self, Failure> {
        let len = area(rows, cols)?;
        Ok(Self { ptr: address(ptr, len)?, len })
    }

    /// Its elements.
    pub(crate) fn get(&mut self) -> &mut [f32] {
        // SAFETY: the promise made to `new`; `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

/// The elements of a matrix, refused where they exceed the address space.
fn area(rows: usize, cols: usize) -> Result<usize, Failure> {
    let limit = isize::MAX as usize / size_of::<f32>();
    let len = rows.checked_mul(cols).filter(|len| *len <= limit);
    len.ok_or_else(|| "a matrix larger than the address space".into())
}

/// A pointer that slices may be made of. NULL will do where there is nothing to point to.
fn address(ptr: *mut f32, len: usize) -> Result<NonNull<f32>, Failure> {
    if len == 0 {
        return Ok(NonNull::dangling());
    }
    let address = NonNull::new(ptr).filter(|p| p.is_aligned());
    address.ok_or_else(|| "an array that is NULL or between two elements".into())
}
