//! Aligned memory for workspaces.

use crate::{
    Scalar,
    error::{Error, Result},
};
use alloc::vec::Vec;
use core::marker::PhantomData;

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Zeroed elements that start on a cache line.
pub(crate) struct Buffer<T> {
    lines: Vec<Line>,
    len: usize,
    elem: PhantomData<T>,
}

impl<T: Scalar> Buffer<T> {
    /// `len` zeros.
    pub(crate) fn zeroed(what: &'static str, len: usize) -> Result<Self> {
        let bytes = len.checked_mul(size_of::<T>()).filter(|b| *b <= isize::MAX as usize - 64);
        let count = bytes.ok_or(Error::Overflow { what })?.div_ceil(64);
        let mut lines = Vec::new();
        let bytes = count as u128 * 64;
        lines.try_reserve_exact(count).map_err(|_| Error::Memory { what, bytes })?;
        lines.resize(count, Line([0; 64]));
        Ok(Self { lines, len, elem: PhantomData })
    }

    /// Elements.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first element.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut T {
        self.lines.as_mut_ptr().cast()
    }

    /// The first element, to be read.
    pub(crate) fn as_ptr(&self) -> *const T {
        self.lines.as_ptr().cast()
    }

    /// Its elements.
    pub(crate) fn as_slice(&self) -> &[T] {
        // SAFETY: the lines are at least `len` elements, initialised, and every bit pattern is one.
        unsafe { core::slice::from_raw_parts(self.as_ptr(), self.len) }
    }

    /// Its elements, to be written.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`; borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len) }
    }
}

/// Elements of `T` in a cache line.
pub(crate) const fn line<T>() -> usize {
    64 / size_of::<T>()
}

/// The part of a scratch that starts on a cache line: whole-vector loads must not straddle two.
pub(crate) fn aligned<T>(scratch: &mut [T]) -> &mut [T] {
    let skip = scratch.as_ptr().align_offset(64).min(scratch.len());
    &mut scratch[skip..]
}

/// Lays regions out one after another, each on its own cache lines.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Regions {
    end: usize,
    overflow: bool,
}

/// Where regions of one length are: the first's offset, and from one to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strided {
    pub(crate) first: usize,
    pub(crate) stride: usize,
}

impl Strided {
    /// The offset of region `i`.
    pub(crate) fn nth(self, i: usize) -> usize {
        self.first + i * self.stride
    }
}

impl Regions {
    /// Reserves a region of `len` elements; its offset.
    pub(crate) fn take<T>(&mut self, len: usize) -> usize {
        let at = self.end;
        match len.checked_next_multiple_of(line::<T>()).and_then(|n| at.checked_add(n)) {
            Some(end) => self.end = end,
            None => self.overflow = true,
        }
        at
    }

    /// Reserves `count` regions of `len` elements, one behind another.
    pub(crate) fn take_many<T>(&mut self, count: usize, len: usize) -> Strided {
        let stride = len.checked_next_multiple_of(line::<T>()).unwrap_or(usize::MAX);
        let total = stride.checked_mul(count).unwrap_or_else(|| {
            self.overflow = true;
            0
        });
        Strided { first: self.take::<T>(total), stride }
    }

    /// Elements in all.
    pub(crate) fn len(self, what: &'static str) -> Result<usize> {
        if self.overflow { Err(Error::Overflow { what }) } else { Ok(self.end) }
    }
}
