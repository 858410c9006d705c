//! Softmax cross-entropy of logits, by class index or by probabilities.
//!
//! Both work from Σ e^(y_j − m) − 1, m the row's largest logit, so that the value of a row that is confident and
//! right keeps its relative accuracy; with class indices, so does its delta. Infinite logits are limits, as in
//! [`crate::reduce`].

use super::short::{Columns, SHORT, Turn, keep, pays, softmax, term, tree};
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
            if pays::<T, I>(1, rows, cols) {
                // SAFETY: the rows of the group have cols columns on both sides.
                unsafe { classes_across(isa, (y, ldy), classes, scale, (delta, ldd), cols, values) };
                continue;
            }
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
            if pays::<T, I>(1, rows, cols) {
                // SAFETY: the rows of the group have cols columns on each side.
                unsafe { targets_across(isa, (y, ldy), (target, ldt), scale, (delta, ldd), cols, values) };
                continue;
            }
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

/// [`ClassCrossEntropy`] of up to `GROUP` rows of `n` outputs, a row a lane.
///
/// # Safety
/// There are as many classes as values, and not more than `GROUP`; as many rows of `n` elements are readable in `y` and
/// writable in `delta`, and `n` is at most `SHORT`.
#[inline(always)]
unsafe fn classes_across<T: Math, I: Lanes<T>>(
    isa: I,
    (y, ldy): (*const T, usize),
    classes: &[u32],
    scale: T,
    (delta, ldd): (*mut T, usize),
    n: usize,
    values: &mut [T],
) {
    let (one, scale) = (isa.splat(T::ONE), isa.splat(scale));
    let (mut turn, mut x, mut e) = (Turn::new(), Columns([isa.zero(); SHORT]), Columns([isa.zero(); SHORT]));
    for (v, (values, classes)) in values.chunks_mut(I::LANES).zip(classes.chunks(I::LANES)).enumerate() {
        let (first, shape) = (v * I::LANES, (values.len(), n));
        // In lanes without a row, and where there is no column for the class, one that is none.
        let mut class = [T::from_f64(-1.0); GROUP];
        class.iter_mut().zip(classes).for_each(|(to, class)| *to = T::from_f64(f64::from(*class)));
        // SAFETY: the rows from `first` on are readable and writable, and a group is whole vectors.
        unsafe {
            let class = isa.load(class.as_ptr());
            turn.gather(isa, y.wrapping_add(first.wrapping_mul(ldy)), ldy, shape, &mut x);
            let shapes = softmax(isa, &x, n, &mut e);
            let factor = isa.div(scale, isa.add(one, shapes.rest));
            let (mut gap, mut j_of) = (isa.splat(T::from_f64(f64::NAN)), isa.zero());
            let others = isa.mul(shapes.rest, factor);
            for j in 0..n {
                let (own, is_top) = (isa.eq(class, j_of), isa.eq(x.0[j], shapes.max));
                // m − y, 0 where they are equal, if infinite too.
                gap = isa.select(own, isa.select(is_top, isa.zero(), isa.sub(shapes.max, x.0[j])), gap);
                let share = isa.mul(e.0[j], factor);
                // 1 − p = rest/sum where the class has the largest logit; elsewhere p ≤ ½: no cancellation.
                let less = isa.neg(isa.select(is_top, others, isa.sub(scale, share)));
                x.0[j] = isa.select(own, less, share);
                j_of = isa.add(j_of, one);
            }
            turn.scatter(isa, &x, delta.wrapping_add(first.wrapping_mul(ldd)), ldd, shape);
            keep(isa, isa.add(gap, T::log1p(isa, shapes.rest)), values);
        }
    }
}

/// [`CrossEntropy`] of up to `GROUP` rows of `n` outputs, a row a lane.
///
/// # Safety
/// There are at most `GROUP` values; as many rows of `n` elements are readable in `y` and `target` and writable in `delta`,
/// and `n` is at most `SHORT`.
#[inline(always)]
unsafe fn targets_across<T: Math, I: Lanes<T>>(
    isa: I,
    (y, ldy): (*const T, usize),
    (target, ldt): (*const T, usize),
    scale: I::V,
    (delta, ldd): (*mut T, usize),
    n: usize,
    values: &mut [T],
) {
    let (zero, one) = (isa.zero(), isa.splat(T::ONE));
    let (mut turn, mut x, mut t, mut e) =
        (Turn::new(), Columns([zero; SHORT]), Columns([zero; SHORT]), Columns([zero; SHORT]));
    for (v, values) in values.chunks_mut(I::LANES).enumerate() {
        let (first, shape) = (v * I::LANES, (values.len(), n));
        // SAFETY: the rows from `first` on are readable and writable.
        unsafe {
            turn.gather(isa, y.wrapping_add(first.wrapping_mul(ldy)), ldy, shape, &mut x);
            turn.gather(isa, target.wrapping_add(first.wrapping_mul(ldt)), ldt, shape, &mut t);
            let shapes = softmax(isa, &x, n, &mut e);
            let log = T::log1p(isa, shapes.rest);
            let (mut losses, mut totals) = (Columns([zero; SHORT]), Columns([zero; SHORT]));
            for j in 0..n {
                let gap = isa.select(isa.eq(x.0[j], shapes.max), zero, isa.sub(shapes.max, x.0[j]));
                let loss = isa.mul(t.0[j], isa.add(gap, log));
                losses.0[j] = term(isa, isa.select(isa.eq(t.0[j], zero), zero, loss));
                totals.0[j] = term(isa, t.0[j]);
            }
            let factor = isa.div(tree(isa, &mut totals), isa.add(one, shapes.rest));
            for j in 0..n {
                x.0[j] = isa.mul(isa.fma(e.0[j], factor, isa.neg(t.0[j])), scale);
            }
            turn.scatter(isa, &x, delta.wrapping_add(first.wrapping_mul(ldd)), ldd, shape);
            // A NaN logit is in the rest, and reaches the value even where all targets are 0.
            keep(isa, isa.add(tree(isa, &mut losses), isa.mul(zero, shapes.rest)), values);
        }
    }
}
