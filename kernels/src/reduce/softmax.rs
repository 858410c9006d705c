//! What row softmax and log-sum-exp are made from, shifted by the row's maximum: of the losses.
//!
//! Infinite entries are taken as the limit in which equal entries stay equal: −∞ has probability 0, unless all
//! are −∞; then, as for several +∞, they share it. NaN makes its whole row NaN.
//!
//! Rows go through in groups of sixteen, whose maxima, sums and logarithms are taken a vector of rows at a time.

use super::{
    VIRTUAL_LANES,
    group::{Add, GROUP, Group, Larger, PerRow},
    sixteen::{count, first},
};
use crate::{
    chain::Chains,
    edge::{load, store},
    isa::{Lanes, Real},
    math::Math,
};

/// What the softmax of each row of a group is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shapes<T> {
    /// m, the largest entry that is not NaN; −∞ of an empty row.
    pub(crate) max: PerRow<T>,
    /// Σ e^(x_j − m) − 1, one of the largest entries left out: without cancellation if one entry dominates.
    pub(crate) rest: PerRow<T>,
    rows: usize,
}

impl<T: Math> Shapes<T> {
    /// ln Σ e^(x_j − m) = ln(1 + rest) of each row.
    #[inline(always)]
    pub(crate) fn log_sums<I: Lanes<T>>(&self, isa: I) -> PerRow<T> {
        let mut out = [T::ZERO; GROUP];
        for r in (0..self.rows).step_by(I::LANES) {
            // SAFETY: a group is whole vectors of rows.
            unsafe {
                let logs = T::log1p(isa, isa.load(self.rest.as_ptr().add(r)));
                isa.store(out.as_mut_ptr().add(r), logs);
            }
        }
        out
    }

    /// x over Σ e^(x_j − m), of each row.
    #[inline(always)]
    pub(crate) fn over_sums<I: Lanes<T>>(&self, isa: I, x: &PerRow<T>) -> PerRow<T> {
        let (mut out, one) = ([T::ZERO; GROUP], isa.splat(T::ONE));
        for r in (0..self.rows).step_by(I::LANES) {
            // SAFETY: a group is whole vectors of rows.
            unsafe {
                let sums = isa.add(one, isa.load(self.rest.as_ptr().add(r)));
                isa.store(out.as_mut_ptr().add(r), isa.div(isa.load(x.as_ptr().add(r)), sums));
            }
        }
        out
    }
}

/// The largest of `n` entries in each virtual lane, NaN left aside; −∞ where there are none.
///
/// # Safety
/// `x` is readable for `n` elements.
#[inline(always)]
unsafe fn lane_maxima<T: Real, I: Lanes<T>>(isa: I, x: *const T, n: usize) -> [I::V; VIRTUAL_LANES] {
    let mut max = [isa.splat(lowest::<T>()); VIRTUAL_LANES];
    let mut j = 0;
    while j < n {
        for v in 0..VIRTUAL_LANES / I::LANES {
            let at = j + v * I::LANES;
            let m = count::<T, I>(at, n);
            // SAFETY: m elements from `at` are within n; where there are none, none is read.
            let x = unsafe { load(isa, x.wrapping_add(at), m) };
            let larger = isa.and_m(isa.lt(max[v], x), first(isa, m));
            max[v] = isa.select(larger, x, max[v]);
        }
        j += VIRTUAL_LANES;
    }
    max
}

/// `out` ← e^(x_j − m) of a row, 1 where x_j is m itself. The sum of those below m in virtual lanes, and how many are m.
///
/// # Safety
/// `x` is readable and `out` writable for `n` elements; they are equal or do not overlap.
#[inline(always)]
unsafe fn row_exponentials<T: Math, I: Lanes<T>>(
    isa: I,
    x: *const T,
    out: *mut T,
    n: usize,
    max: T,
) -> ([I::V; VIRTUAL_LANES], usize) {
    let (top, one) = (isa.splat(max), isa.splat(T::ONE));
    let (mut sums, mut tops) = (Chains::new([isa.zero(); VIRTUAL_LANES]), 0);
    let mut j = 0;
    while j < n {
        sums.begin(isa);
        for v in 0..VIRTUAL_LANES / I::LANES {
            let at = j + v * I::LANES;
            let m = count::<T, I>(at, n);
            // SAFETY: m elements from `at` are within n; where there are none, none is touched.
            unsafe {
                let x = load(isa, x.wrapping_add(at), m);
                let (is_top, here) = (isa.eq(x, top), first(isa, m));
                let e = T::exp_below(isa, isa.sub(x, top));
                store(isa, out.wrapping_add(at), isa.select(is_top, one, e), m);
                let below = isa.and_m(here, isa.not_m(is_top));
                sums.add(isa, v, isa.select(below, e, isa.zero()));
                tops += isa.mask_bits(isa.and_m(here, is_top)).count_ones() as usize;
            }
        }
        j += VIRTUAL_LANES;
    }
    (sums.sum(isa), tops)
}

/// `out` ← e^(x_j − m) of up to sixteen rows of `n` elements, 1 where x_j is m itself. Both are where the first row
/// starts, and the elements from a row to the next.
///
/// # Safety
/// There are at most `GROUP` rows. Each is readable in `x` and writable in `out`, and the two are equal or do not overlap.
#[inline(always)]
pub(crate) unsafe fn exponentials<T: Math, I: Lanes<T>>(
    isa: I,
    (x, ldx): (*const T, usize),
    (out, ldo): (*mut T, usize),
    (rows, n): (usize, usize),
    group: &mut Group<T>,
) -> Shapes<T> {
    let row = |r: usize| x.wrapping_add(r.wrapping_mul(ldx));
    for r in 0..rows {
        // SAFETY: row r is readable.
        group.take::<I, Larger>(isa, r, unsafe { lane_maxima(isa, row(r), n) });
    }
    let max = group.fold::<I, Larger>(isa, rows);
    let mut rest = [T::ZERO; GROUP];
    for r in 0..rows {
        let out = out.wrapping_add(r.wrapping_mul(ldo));
        // SAFETY: row r is readable, and writable where it goes.
        let (sums, tops) = unsafe { row_exponentials(isa, row(r), out, n, max[r]) };
        group.take::<I, Add>(isa, r, sums);
        rest[r] = T::from_f64(tops as f64 - 1.0);
    }
    let sums = group.fold::<I, Add>(isa, rows);
    for r in 0..GROUP {
        rest[r] += sums[r];
    }
    Shapes { max, rest, rows }
}

/// −∞.
#[inline(always)]
fn lowest<T: Real>() -> T {
    T::from_f64(f64::NEG_INFINITY)
}
