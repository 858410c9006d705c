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
    reduce::{RowShape, Sixteen, VIRTUAL_LANES, View, ViewMut, count, row_exponentials},
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
        for (i, (value, &class)) in row_loss.iter_mut().zip(class).enumerate().take(rows) {
            let (y, delta) = (y.row(i), delta.row(i));
            // SAFETY: row i has cols columns on both sides, and class is checked against them.
            unsafe {
                let shape = row_exponentials(isa, y, delta, cols);
                let factor = scale / shape.sum();
                let v = isa.splat(factor);
                let mut j = 0;
                while j < cols {
                    let n = count::<T, I>(j, cols);
                    store(isa, delta.add(j), isa.mul(load(isa, delta.add(j), n), v), n);
                    j += n;
                }
                let class = class as usize;
                *value = if class < cols {
                    let logit = *y.add(class);
                    // 1 − p = rest/sum where the class has the largest logit; elsewhere p ≤ ½: no cancellation.
                    let others =
                        if logit == shape.max { shape.rest * factor } else { scale - *delta.add(class) };
                    *delta.add(class) = -others;
                    below(shape.max, logit) + shape.log_sum(isa)
                } else {
                    T::from_f64(f64::NAN)
                };
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
        let scale = isa.splat(scale);
        for (i, value) in row_loss.iter_mut().enumerate().take(rows) {
            let (y, target, delta) = (y.row(i), target.row(i), delta.row(i));
            // SAFETY: row i has cols columns on each side.
            unsafe {
                let shape = row_exponentials(isa, y, delta, cols);
                let (loss, total) = weigh(isa, y, target, cols, shape);
                *value = loss;
                let v = isa.splat(total / shape.sum());
                let mut j = 0;
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

/// Σ t_j·(m − y_j + ln Σ_k e^(y_k − m)) and Σ t_j. A target of 0 takes nothing of an infinite logit.
///
/// # Safety
/// `y` and `target` are readable for `n` elements.
#[inline(always)]
unsafe fn weigh<T: Math, I: Lanes<T>>(
    isa: I,
    y: *const T,
    target: *const T,
    n: usize,
    shape: RowShape<T>,
) -> (T, T) {
    let (top, log_sum) = (isa.splat(shape.max), isa.splat(shape.log_sum(isa)));
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
    // A NaN logit is in the rest, and reaches the value even where all targets are 0.
    let (losses, totals) = (Sixteen::from(losses.sum(isa)), Sixteen::from(totals.sum(isa)));
    (losses.sum(isa) + T::ZERO * shape.rest, totals.sum(isa))
}
