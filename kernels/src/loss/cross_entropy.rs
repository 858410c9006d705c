//! Softmax cross-entropy of logits, by class index or by probabilities.
//!
//! Both work from Σ e^(y_j − m) − 1, m the row's largest logit, so that the value of a row that is confident and
//! right keeps its relative accuracy; with class indices, so does its delta. Infinite logits are limits, as in
//! [`crate::reduce`].

use crate::{
    chain::Chains,
    edge::{load, store},
    isa::{LaneKernel, Lanes},
    math::Math,
    reduce::{Add, GROUP, Group, VIRTUAL_LANES, View, ViewMut, count, exponentials},
};

/// Value and delta for class indices: row_loss_i = ln Σ_j e^(y_ij) − y_ic, c = class_i;
/// delta_ij = scale·(softmax(y_i)_j − [j = c]).
///
/// A class that there is no column for makes its row's value NaN and its delta that without a class; that there
/// is none is the caller's to check, as is that the sides have equally many rows and columns.
#[derive(Debug)]
pub struct ClassCrossEntropy<'a, T> {
    /// The logits.
    pub y: View<'a, T>,
    /// The class of each row.
    pub class: &'a [u32],
    /// What the derivative is multiplied by.
    pub scale: T,
    /// The delta.
    pub delta: ViewMut<'a, T>,
    /// One value a row.
    pub row_loss: &'a mut [T],
}

impl<T: Math> LaneKernel for ClassCrossEntropy<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let Self { y, class, scale, mut delta, row_loss } = self;
        debug_assert!(y.rows() == class.len() && y.rows() == delta.rows() && y.rows() == row_loss.len());
        debug_assert_eq!(y.cols(), delta.cols());
        let rows = y.rows().min(delta.rows());
        let cols = y.cols().min(delta.cols());
        let (ldy, ldd, mut group) = (y.ld(), delta.ld(), Group::new());
        let all = rows.min(class.len()).min(row_loss.len());
        let groups = row_loss[..all].chunks_mut(GROUP).zip(class[..all].chunks(GROUP));
        for (g, (values, classes)) in groups.enumerate() {
            let (y, delta, rows) = (y.row(g * GROUP), delta.row(g * GROUP), values.len());
            // SAFETY: the rows of the group have cols columns on both sides, and classes are checked against them.
            unsafe {
                let shapes = exponentials(isa, (y, ldy), (delta, ldd), (rows, cols), &mut group);
                let (logs, factors) = (shapes.log_sums(isa), shapes.over_sums(isa, &[scale; GROUP]));
                for (r, (value, &class)) in values.iter_mut().zip(classes).enumerate() {
                    let (y, delta) =
                        (y.wrapping_add(r.wrapping_mul(ldy)), delta.wrapping_add(r.wrapping_mul(ldd)));
                    let (class, factor, v) = (class as usize, factors[r], isa.splat(factors[r]));
                    // The class's e^(y − m) is read before vectors are stored over it: a load from the middle of one waits.
                    let own = if class < cols { *delta.add(class) * factor } else { T::ZERO };
                    let mut j = 0;
                    while j < cols {
                        let n = count::<T, I>(j, cols);
                        store(isa, delta.add(j), isa.mul(load(isa, delta.add(j), n), v), n);
                        j += n;
                    }
                    *value = if class < cols {
                        let (logit, max) = (*y.add(class), shapes.max[r]);
                        // 1 − p = rest/sum where the class has the largest logit; elsewhere p ≤ ½: no cancellation.
                        let others = if logit == max { shapes.rest[r] * factor } else { scale - own };
                        *delta.add(class) = -others;
                        below(max, logit) + logs[r]
                    } else {
                        T::from_f64(f64::NAN)
                    };
                }
            }
        }
    }
}

/// m − y, 0 where they are equal, if infinite too.
#[inline(always)]
fn below<T: Math>(m: T, y: T) -> T {
    if m == y { T::ZERO } else { m - y }
}

/// Value and delta for target probabilities: row_loss_i = Σ_j t_ij·(ln Σ_k e^(y_ik) − y_ij);
/// delta_ij = scale·(softmax(y_i)_j·Σ_k t_ik − t_ij). The targets are ≥ 0; their sum is usually 1, but need not be.
///
/// Works on as many rows and columns as all sides have; that they have equally many is the caller's to check.
#[derive(Debug)]
pub struct CrossEntropy<'a, T> {
    /// The logits.
    pub y: View<'a, T>,
    /// The target probabilities.
    pub target: View<'a, T>,
    /// What the derivative is multiplied by.
    pub scale: T,
    /// The delta.
    pub delta: ViewMut<'a, T>,
    /// One value a row.
    pub row_loss: &'a mut [T],
}

impl<T: Math> LaneKernel for CrossEntropy<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let Self { y, target, scale, mut delta, row_loss } = self;
        debug_assert!(y.rows() == target.rows() && y.rows() == delta.rows() && y.rows() == row_loss.len());
        debug_assert!(y.cols() == target.cols() && y.cols() == delta.cols());
        let rows = y.rows().min(target.rows()).min(delta.rows());
        let cols = y.cols().min(target.cols()).min(delta.cols());
        let (scale, ldy, ldt, ldd) = (isa.splat(scale), y.ld(), target.ld(), delta.ld());
        let (mut losses, mut totals) = (Group::new(), Group::new());
        let all = rows.min(row_loss.len());
        for (g, values) in row_loss[..all].chunks_mut(GROUP).enumerate() {
            let first = g * GROUP;
            let (y, target, delta, rows) = (y.row(first), target.row(first), delta.row(first), values.len());
            // SAFETY: the rows of the group have cols columns on each side.
            unsafe {
                let shapes = exponentials(isa, (y, ldy), (delta, ldd), (rows, cols), &mut losses);
                let logs = shapes.log_sums(isa);
                for r in 0..rows {
                    let (y, target) =
                        (y.wrapping_add(r.wrapping_mul(ldy)), target.wrapping_add(r.wrapping_mul(ldt)));
                    let (loss, total) = weigh(isa, y, target, cols, shapes.max[r], logs[r]);
                    losses.take::<I, Add>(isa, r, loss);
                    totals.take::<I, Add>(isa, r, total);
                }
                let sums = losses.fold::<I, Add>(isa, rows);
                let factors = shapes.over_sums(isa, &totals.fold::<I, Add>(isa, rows));
                for (r, value) in values.iter_mut().enumerate() {
                    // A NaN logit is in the rest, and reaches the value even where all targets are 0.
                    *value = sums[r] + T::ZERO * shapes.rest[r];
                    let (target, delta) =
                        (target.wrapping_add(r.wrapping_mul(ldt)), delta.wrapping_add(r.wrapping_mul(ldd)));
                    let (v, mut j) = (isa.splat(factors[r]), 0);
                    while j < cols {
                        let n = count::<T, I>(j, cols);
                        let (e, t) = (load(isa, delta.add(j), n), load(isa, target.add(j), n));
                        store(isa, delta.add(j), isa.mul(isa.fma(e, v, isa.neg(t)), scale), n);
                        j += n;
                    }
                }
            }
        }
    }
}

/// Σ t_j·(m − y_j + ln Σ_k e^(y_k − m)) and Σ t_j, in virtual lanes. A target of 0 takes nothing of an infinite logit.
///
/// # Safety
/// `y` and `target` are readable for `n` elements.
#[inline(always)]
unsafe fn weigh<T: Math, I: Lanes<T>>(
    isa: I,
    y: *const T,
    target: *const T,
    n: usize,
    max: T,
    log_sum: T,
) -> ([I::V; VIRTUAL_LANES], [I::V; VIRTUAL_LANES]) {
    let (top, log_sum) = (isa.splat(max), isa.splat(log_sum));
    let mut losses = Chains::new([isa.zero(); VIRTUAL_LANES]);
    let mut totals = losses;
    let mut j = 0;
    while j < n {
        losses.begin(isa);
        totals.begin(isa);
        for v in 0..VIRTUAL_LANES / I::LANES {
            let at = j + v * I::LANES;
            let m = count::<T, I>(at, n);
            if m == 0 {
                break;
            }
            // SAFETY: m elements from `at` are within n. The other lanes of t are 0 and take nothing.
            let (y, t) = unsafe { (load(isa, y.add(at), m), load(isa, target.add(at), m)) };
            let gap = isa.select(isa.eq(y, top), isa.zero(), isa.sub(top, y));
            let loss = isa.mul(t, isa.add(gap, log_sum));
            let loss = isa.select(isa.eq(t, isa.zero()), isa.zero(), loss);
            losses.add(isa, v, loss);
            totals.add(isa, v, t);
        }
        j += VIRTUAL_LANES;
    }
    (losses.sum(isa), totals.sum(isa))
}
