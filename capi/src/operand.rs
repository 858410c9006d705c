//! Operands as C hands them over: checked before anything is read.

use crate::status::{Result, fail, nablas_status as Status};
use nablas::{MatMut, MatRef};

/// A matrix as C hands it over: its address and leading dimension.
pub(crate) type In<T> = (*const T, usize);
/// A matrix to write.
pub(crate) type Out<T> = (*mut T, usize);

/// A row-major matrix: an address, a shape, and `ld` elements from a row to the next.
#[derive(Debug)]
pub(crate) struct Operand<T> {
    what: &'static str,
    ptr: *mut T,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    ld: usize,
}

impl<T> Clone for Operand<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Operand<T> {}

/// The bytes of an operand: `rows` runs of `run` bytes, `step` bytes apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes {
    what: &'static str,
    at: usize,
    rows: usize,
    run: usize,
    step: usize,
}

/// A matrix, if its numbers make sense.
pub(crate) fn matrix<T>(
    what: &'static str,
    ptr: *const T,
    (rows, cols): (usize, usize),
    ld: usize,
) -> Result<Operand<T>> {
    if ld < cols {
        return fail(
            Status::LeadingDimension,
            format_args!("{what}: expected a leading dimension of at least {cols}, got {ld}"),
        );
    }
    let end = rows
        .max(1)
        .checked_mul(ld.max(1))
        .and_then(|n| n.checked_mul(size_of::<T>()))
        .filter(|bytes| *bytes <= isize::MAX as usize)
        .and_then(|bytes| ptr.addr().checked_add(bytes));
    if end.is_none() {
        return fail(
            Status::Overflow,
            format_args!("{what}: {rows} rows with a leading dimension of {ld} exceed the address space"),
        );
    }
    if ptr.is_null() && rows > 0 && cols > 0 {
        return fail(Status::Null, format_args!("{what}: NULL"));
    }
    if !ptr.is_aligned() {
        let (align, at) = (align_of::<T>(), ptr.addr());
        return fail(
            Status::Alignment,
            format_args!("{what}: expected an address divisible by {align}, got {at:#x}"),
        );
    }
    Ok(Operand { what, ptr: ptr.cast_mut(), rows, cols, ld })
}

/// An array, if its numbers make sense.
pub(crate) fn array<T>(what: &'static str, ptr: *const T, len: usize) -> Result<Operand<T>> {
    matrix(what, ptr, (1, len), len)
}

/// An operand that may be left out by NULL.
pub(crate) fn optional<T>(
    what: &'static str,
    ptr: *const T,
    shape: (usize, usize),
    ld: usize,
) -> Result<Option<Operand<T>>> {
    if ptr.is_null() { Ok(None) } else { matrix(what, ptr, shape, ld).map(Some) }
}

impl<T> Operand<T> {
    fn empty(&self) -> bool {
        self.rows == 0 || self.cols == 0
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> Bytes {
        let size = size_of::<T>();
        let rows = if self.cols == 0 { 0 } else { self.rows };
        Bytes { what: self.what, at: self.ptr.addr(), rows, run: self.cols * size, step: self.ld * size }
    }

    /// To read.
    ///
    /// # Safety
    /// The elements are readable for `'a`, and nothing writes them in that time.
    pub(crate) unsafe fn view<'a>(self) -> MatRef<'a, T> {
        // SAFETY: the caller's promise; `matrix` has checked that the numbers make a matrix.
        unsafe { MatRef::from_raw_parts(self.ptr, self.rows, self.cols, self.ld as isize, 1) }
    }

    /// To write.
    ///
    /// # Safety
    /// The elements are writable for `'a`, and nothing else accesses them in that time.
    pub(crate) unsafe fn view_mut<'a>(self) -> MatMut<'a, T> {
        // SAFETY: as for `view`; rows are at least as far apart as they are long.
        unsafe { MatMut::from_raw_parts(self.ptr, self.rows, self.cols, self.ld as isize, 1) }
    }

    /// An array to read.
    ///
    /// # Safety
    /// As for [`view`](Self::view); the operand is an [`array`].
    pub(crate) unsafe fn slice<'a>(self) -> &'a [T] {
        if self.empty() {
            return &[];
        }
        // SAFETY: the caller's promise; not NULL, aligned, of a size that memory has.
        unsafe { std::slice::from_raw_parts(self.ptr, self.cols) }
    }

    /// An array to write.
    ///
    /// # Safety
    /// As for [`view_mut`](Self::view_mut); the operand is an [`array`].
    pub(crate) unsafe fn slice_mut<'a>(self) -> &'a mut [T] {
        if self.empty() {
            return &mut [];
        }
        // SAFETY: as for `slice`.
        unsafe { std::slice::from_raw_parts_mut(self.ptr, self.cols) }
    }
}

impl Bytes {
    /// One past the last byte.
    fn end(&self) -> usize {
        self.at + (self.rows - 1) * self.step + self.run
    }

    /// Whether it has a byte of `start..end`.
    fn meets(&self, start: usize, end: usize) -> bool {
        if end <= self.at || start >= self.end() {
            return false;
        }
        // The first row that ends behind `start`; it is the only one that need begin before `end`.
        let past = (start + 1).saturating_sub(self.at + self.run);
        let row = if self.step == 0 { 0 } else { past.div_ceil(self.step) };
        row < self.rows && self.at + row * self.step < end
    }

    /// Whether both have a byte.
    fn overlaps(&self, other: &Self) -> bool {
        if self.rows == 0 || other.rows == 0 || self.end() <= other.at || other.end() <= self.at {
            return false;
        }
        let (few, many) = if self.rows <= other.rows { (self, other) } else { (other, self) };
        (0..few.rows).any(|i| {
            let start = few.at + i * few.step;
            many.meets(start, start + few.run)
        })
    }
}

/// Refuses outputs that share a byte with an input or with one another. Blocks of one matrix may interleave.
pub(crate) fn disjoint(outputs: &[Option<Bytes>], inputs: &[Option<Bytes>]) -> Result<()> {
    for (i, output) in outputs.iter().enumerate() {
        let Some(output) = output else { continue };
        for other in outputs[i + 1..].iter().chain(inputs).flatten() {
            if output.overlaps(other) {
                return fail(Status::Overlap, format_args!("{} overlaps {}", output.what, other.what));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair of small blocks against a map of their bytes.
    #[test]
    fn overlap_is_byte_by_byte() {
        let block = |at: usize, rows: usize, run: usize, step: usize| Bytes { what: "", at, rows, run, step };
        let map = |b: &Bytes| (0..b.rows).fold(0u128, |m, i| m | (((1 << b.run) - 1) << (b.at + i * b.step)));
        let mut met = [0, 0];
        for rows in 0..4 {
            for (run, step) in [(1, 1), (1, 3), (2, 3), (3, 3), (2, 7)] {
                let one = block(20, rows, run, step);
                for at in 0..50 {
                    for (rows, run, step) in [(1, 1, 1), (3, 1, 5), (4, 2, 3), (5, 4, 4), (1, 30, 30)] {
                        let other = block(at, rows, run, step);
                        let expected = map(&one) & map(&other) != 0;
                        assert_eq!(one.overlaps(&other), expected, "{one:?} {other:?}");
                        assert_eq!(other.overlaps(&one), expected, "{other:?} {one:?}");
                        met[usize::from(expected)] += 1;
                    }
                }
            }
        }
        assert!(met.iter().all(|n| *n > 100));
    }
}
