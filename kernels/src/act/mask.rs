//! The bit mask of the ReLU family: one bit an element, the same bytes on every ISA.
//!
//! A row starts at a byte; bit `j & 7` of byte `j >> 3` is column `j`; the bits past the last column are clear.

use crate::isa::{Lanes, Real};

/// Bytes that a row of `cols` columns takes.
#[inline(always)]
pub const fn mask_bytes(cols: usize) -> usize {
    cols.div_ceil(8)
}

/// Stores the first `n` lanes of a mask as columns `j`, `j + 1`, … of a row.
///
/// A vector of fewer than eight lanes shares its byte with its left neighbours, so a row is written from left
/// to right.
///
/// # Safety
/// `row` is writable for `mask_bytes(j + n)` bytes; `j` is a multiple of `LANES`; `n <= LANES`; the columns
/// left of `j` in the same byte, if any, have been stored.
#[inline(always)]
pub unsafe fn store_mask<T: Real, I: Lanes<T>>(isa: I, row: *mut u8, j: usize, m: I::M, n: usize) {
    let bits = isa.mask_bits(m) & ((1 << n) - 1);
    if I::LANES >= 8 {
        for b in 0..mask_bytes(n) {
            // SAFETY: byte j/8 + b is below mask_bytes(j + n), as j is a multiple of 8.
            unsafe { row.add(j / 8 + b).write((bits >> (8 * b)) as u8) }
        }
    } else if n > 0 {
        // SAFETY: column j exists, so its byte does; it is read only if an earlier column wrote it.
        unsafe {
            let byte = row.add(j / 8);
            let left = if j.is_multiple_of(8) { 0 } else { byte.read() };
            byte.write(left | (bits << (j % 8)) as u8);
        }
    }
}

/// The mask of `n` columns from `j`; the other lanes are clear.
///
/// # Safety
/// `row` is readable for `mask_bytes(j + n)` bytes; `j` is a multiple of `LANES`; `n <= LANES`.
#[inline(always)]
pub unsafe fn load_mask<T: Real, I: Lanes<T>>(isa: I, row: *const u8, j: usize, n: usize) -> I::M {
    let mut bits = 0;
    for b in 0..mask_bytes(n) {
        // SAFETY: byte j/8 + b is below mask_bytes(j + n): j is a multiple of 8, or the n lanes are in one byte.
        bits |= u32::from(unsafe { row.add(j / 8 + b).read() }) << (8 * b);
    }
    isa.mask_from_bits((bits >> (j % 8)) & ((1 << n) - 1))
}
