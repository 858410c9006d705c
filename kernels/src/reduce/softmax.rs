//! Row softmax and log-sum-exp, shifted by the row's maximum.
//!
//! Infinite entries are taken as the limit in which equal entries stay equal: −∞ has probability 0, unless all
//! are −∞; then, as for several +∞, they share it. NaN makes its whole row NaN.

use super::{
    VIRTUAL_LANES, View, ViewMut,
    sixteen::{Sixteen, count, first},
    slice::lowest,
};
use crate::{
    chain::Chains,
    edge::{load, store},
    isa::{LaneKernel, Lanes, Real},
    math::Math,
};

/// What a row's softmax is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowShape<T> {
    /// m, the largest entry that is not NaN; −∞ of an empty row.
    pub(crate) max: T,
    /// Σ e^(x_j − m) − 1, one of the largest entries left out: without cancellation if one entry dominates.
    pub(crate) rest: T,
}

impl<T: Math> RowShape<T> {
    /// ln Σ e^(x_j − m) = ln(1 + rest).
    #[inline(always)]
    pub(crate) fn log_sum<I: Lanes<T>>(self, isa: I) -> T {
        let v = T::log1p(isa, isa.splat(self.rest));
        let mut out = T::ZERO;
        // SAFETY: one element is stored to one.
        unsafe { isa.store_partial(&raw mut out, v, 1) }
        out
    }
    /// Σ e^(x_j − m).
    #[inline(always)]
    pub(crate) fn sum(self) -> T {
        T::ONE + self.rest
    }
}

/// The largest of `n` entries, NaN left aside; −∞ if there are none.
///
/// # Safety
/// `x` is readable for `n` elements.
#[inline(always)]
unsafe fn row_max<T: Real, I: Lanes<T>>(isa: I, x: *const T, n: usize) -> T {
    let mut max = Sixteen::new(isa.splat(lowest::<T>()));
    let mut j = 0;
    while j < n {
        for v in 0..VIRTUAL_LANES / I::LANES {
            let at = j + v * I::LANES;
            let m = count::<T, I>(at, n);
            // SAFETY: m elements from `at` are within n; where there are none, none is read.
            let x = unsafe { load(isa, x.wrapping_add(at), m) };
            let old = max.get(v);
            let larger = isa.and_m(isa.lt(old, x), first(isa, m));
            max.set(v, isa.select(larger, x, old));
        }
        j += VIRTUAL_LANES;
    }
    max.max(isa)
}

/// e^(x_j − m) of a row, 1 where x_j is m itself; stored to `out` unless that is null.
///
/// # Safety
/// `x` is readable and `out`, unless null, writable for `n` elements; they are equal or do not overlap.
#[inline(always)]
pub(crate) unsafe fn row_exponentials<T: Math, I: Lanes<T>>(
    isa: I,
    x: *const T,
    out: *mut T,
    n: usize,
) -> RowShape<T> {
    // SAFETY: x is readable for n elements.
    let max = unsafe { row_max(isa, x, n) };
    let (top, one) = (isa.splat(max), isa.splat(T::ONE));
    let mut sums = Chains::new([isa.zero(); VIRTUAL_LANES]);
    let mut tops = sums;
    let mut j = 0;
    while j < n {
        sums.begin(isa);
        tops.begin(isa);
        for v in 0..VIRTUAL_LANES / I::LANES {
            let at = j + v * I::LANES;
            let m = count::<T, I>(at, n);
            // SAFETY: m elements from `at` are within n; where there are none, none is touched.
            unsafe {
                let x = load(isa, x.wrapping_add(at), m);
                let (is_top, here) = (isa.eq(x, top), first(isa, m));
                let e = T::exp(isa, isa.sub(x, top));
                if !out.is_null() {
                    store(isa, out.wrapping_add(at), isa.select(is_top, one, e), m);
                }
                let below = isa.and_m(here, isa.not_m(is_top));
                sums.add(isa, v, isa.select(below, e, isa.zero()));
                let is_top = isa.and_m(here, is_top);
                tops.add(isa, v, isa.select(is_top, one, isa.zero()));
            }
        }
        j += VIRTUAL_LANES;
    }
    let (sums, tops) = (Sixteen::from(sums.sum(isa)), Sixteen::from(tops.sum(isa)));
    RowShape { max, rest: (tops.sum(isa) - T::ONE) + sums.sum(isa) }
}

/// Each row ← its softmax, e^(x_j − m)/Σ e^(x_k − m), in place.
#[derive(Debug)]
pub struct Softmax<'a, T> {
    /// The rows.
    pub x: ViewMut<'a, T>,
}

impl<T: Math> LaneKernel for Softmax<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(mut self, isa: I) {
        let cols = self.x.cols();
        for i in 0..self.x.rows() {
            let row = self.x.row(i);
            // SAFETY: row i has cols elements; [j, j + m) is within them.
            unsafe {
                let sum = isa.splat(row_exponentials(isa, row, row, cols).sum());
                let mut j = 0;
                while j < cols {
                    let m = count::<T, I>(j, cols);
                    store(isa, row.add(j), isa.div(load(isa, row.add(j), m), sum), m);
                    j += m;
                }
            }
        }
    }
}

/// out_i = ln Σ_j e^(x_ij): ∞ or −∞ where the largest entry is, −∞ of an empty row.
///
/// Works on as many rows as both sides have; that they have equally many is the caller's to check.
#[derive(Debug)]
pub struct LogSumExp<'a, T> {
    /// The rows.
    pub x: View<'a, T>,
    /// One value a row.
    pub out: &'a mut [T],
}

impl<T: Math> LaneKernel for LogSumExp<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        debug_assert_eq!(self.x.rows(), self.out.len());
        let cols = self.x.cols();
        for (i, out) in self.out.iter_mut().enumerate().take(self.x.rows()) {
            *out = if cols == 0 {
                lowest()
            } else {
                // SAFETY: row i has cols elements; nothing is stored to null.
                let shape = unsafe { row_exponentials(isa, self.x.row(i), core::ptr::null_mut(), cols) };
                shape.max + shape.log_sum(isa)
            };
        }
    }
}
