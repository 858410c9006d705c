//! Losses that are a sum over elements: MSE, L1, Huber, binary cross-entropy.

use super::short::pays;
use super::short::{Columns, SHORT, Turn, keep, term, tree};
use crate::{
    chain::Chains,
    edge::{load, store},
    isa::{LaneKernel, Lanes},
    math::Math,
    reduce::{Add, GROUP, Group, VIRTUAL_LANES, View, ViewMut, count},
};

/// A loss of one output and its target.
pub trait PointLoss<T: Math>: Copy {
    /// Whether it takes so many operations that short rows repay being turned.
    const LONG: bool = false;
    /// (ℓ(y, t), ∂ℓ/∂y).
    fn value_d<I: Lanes<T>>(self, isa: I, y: I::V, t: I::V) -> (I::V, I::V);
}

/// (y − t)², without a half; the derivative is 2·(y − t).
#[derive(Debug, Clone, Copy)]
pub struct Mse;

impl<T: Math> PointLoss<T> for Mse {
    #[inline(always)]
    fn value_d<I: Lanes<T>>(self, isa: I, y: I::V, t: I::V) -> (I::V, I::V) {
        let r = isa.sub(y, t);
        (isa.mul(r, r), isa.add(r, r))
    }
}

/// |y − t|; the derivative is the sign, 0 at 0.
#[derive(Debug, Clone, Copy)]
pub struct L1;

impl<T: Math> PointLoss<T> for L1 {
    #[inline(always)]
    fn value_d<I: Lanes<T>>(self, isa: I, y: I::V, t: I::V) -> (I::V, I::V) {
        let (r, one) = (isa.sub(y, t), isa.splat(T::ONE));
        // 0 and NaN are their own sign.
        let sign = isa.select(isa.lt(r, isa.zero()), isa.neg(one), r);
        (isa.abs(r), isa.select(isa.lt(isa.zero(), r), one, sign))
    }
}

/// ½r² for |r| ≤ δ, δ·(|r| − ½δ) beyond, r = y − t; the derivative is r, held within ±δ. Huber 1964.
#[derive(Debug, Clone, Copy)]
pub struct Huber<T>(
    /// δ > 0, where the parabola goes over into lines.
    pub T,
);

impl<T: Math> PointLoss<T> for Huber<T> {
    #[inline(always)]
    fn value_d<I: Lanes<T>>(self, isa: I, y: I::V, t: I::V) -> (I::V, I::V) {
        let (delta, half) = (isa.splat(self.0), isa.splat(T::from_f64(0.5)));
        let r = isa.sub(y, t);
        let (x, far) = (isa.abs(r), isa.lt(delta, isa.abs(r)));
        let line = isa.mul(delta, isa.nfma(half, delta, x));
        let edge = isa.select(isa.lt(r, isa.zero()), isa.neg(delta), delta);
        (isa.select(far, line, isa.mul(isa.mul(half, r), r)), isa.select(far, edge, r))
    }
}

/// −t·ln σ(y) − (1 − t)·ln σ(−y), t in [0, 1]; the derivative is σ(y) − t.
///
/// With u = t left of 0 and 1 − t right of it, the value is |y|·u + ln(1 + e^−|y|) and the derivative, but for its
/// sign, u − σ(−|y|): neither cancels where y is confident and right.
#[derive(Debug, Clone, Copy)]
pub struct BceWithLogits;

impl<T: Math> PointLoss<T> for BceWithLogits {
    const LONG: bool = true;
    #[inline(always)]
    fn value_d<I: Lanes<T>>(self, isa: I, y: I::V, t: I::V) -> (I::V, I::V) {
        let one = isa.splat(T::ONE);
        let (x, left) = (isa.abs(y), isa.lt(y, isa.zero()));
        let e = T::exp_below(isa, isa.neg(x));
        let u = isa.select(left, t, isa.sub(one, t));
        // u = 0 takes nothing of an infinite |y|.
        let line = isa.select(isa.eq(u, isa.zero()), isa.zero(), isa.mul(x, u));
        let d = isa.sub(u, isa.div(e, isa.add(one, e)));
        (isa.add(line, T::log1p_below(isa, e)), isa.select(left, isa.neg(d), d))
    }
}

/// Value and delta of a [`PointLoss`]: row_loss_i = Σ_j ℓ(y_ij, t_ij), delta_ij = scale·∂ℓ/∂y_ij.
///
/// Works on as many rows and columns as all sides have; that they have equally many is the caller's to check.
#[derive(Debug)]
pub struct Pointwise<'a, T, L> {
    /// The loss.
    pub loss: L,
    /// The outputs.
    pub y: View<'a, T>,
    /// The targets.
    pub target: View<'a, T>,
    /// What the derivative is multiplied by.
    pub scale: T,
    /// The delta.
    pub delta: ViewMut<'a, T>,
    /// One value a row.
    pub row_loss: &'a mut [T],
}

impl<T: Math, L: PointLoss<T>> LaneKernel for Pointwise<'_, T, L> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let Self { loss, y, target, scale, mut delta, row_loss } = self;
        debug_assert!(y.rows() == target.rows() && y.rows() == delta.rows() && y.rows() == row_loss.len());
        debug_assert!(y.cols() == target.cols() && y.cols() == delta.cols());
        let rows = y.rows().min(target.rows()).min(delta.rows());
        let cols = y.cols().min(target.cols()).min(delta.cols());
        let (scale, mut group) = (isa.splat(scale), Group::new());
        let all = row_loss.len().min(rows);
        for (g, values) in row_loss[..all].chunks_mut(GROUP).enumerate() {
            if L::LONG && pays::<T, I>(2, values.len(), cols) {
                let first = g * GROUP;
                let (y, target) = ((y.row(first), y.ld()), (target.row(first), target.ld()));
                let delta = (delta.row(first), delta.ld());
                // SAFETY: the rows of the group have cols columns on each side.
                unsafe { across(isa, loss, (y, target), delta, cols, scale, values) };
                continue;
            }
            for r in 0..values.len() {
                let i = g * GROUP + r;
                let (y, target, delta) = (y.row(i), target.row(i), delta.row(i));
                // SAFETY: row i has cols columns on each side.
                group.take::<I, Add>(isa, r, unsafe { row(isa, loss, (y, target), delta, cols, scale) });
            }
            let sums = group.fold::<I, Add>(isa, values.len());
            values.iter_mut().zip(sums).for_each(|(value, sum)| *value = sum);
        }
    }
}

/// The deltas of a row of `n` elements, and its losses summed in virtual lanes.
///
/// # Safety
/// `y` and `target` are readable, `delta` writable for `n` elements.
#[inline(always)]
unsafe fn row<T: Math, I: Lanes<T>, L: PointLoss<T>>(
    isa: I,
    loss: L,
    (y, target): (*const T, *const T),
    delta: *mut T,
    n: usize,
    scale: I::V,
) -> [I::V; VIRTUAL_LANES] {
    let mut sums = Chains::new([isa.zero(); VIRTUAL_LANES]);
    let mut j = 0;
    while j < n {
        sums.begin(isa);
        for v in 0..VIRTUAL_LANES / I::LANES {
            let at = j + v * I::LANES;
            let m = count::<T, I>(at, n);
            if m == 0 {
                break;
            }
            // SAFETY: m elements from `at` are within the row on each side.
            unsafe {
                let (l, d) = loss.value_d(isa, load(isa, y.add(at), m), load(isa, target.add(at), m));
                store(isa, delta.add(at), isa.mul(d, scale), m);
                let there = isa.mask_from_bits((1 << m) - 1);
                sums.add(isa, v, isa.select(there, l, isa.zero()));
            }
        }
        j += VIRTUAL_LANES;
    }
    sums.sum(isa)
}

/// [`Pointwise`] of up to `GROUP` rows of `n` outputs, a row a lane.
///
/// # Safety
/// There are at most `GROUP` values; as many rows of `n` elements are readable in `y` and `target` and writable in `delta`,
/// and `n` is at most `SHORT`.
#[inline(always)]
unsafe fn across<T: Math, I: Lanes<T>, L: PointLoss<T>>(
    isa: I,
    loss: L,
    ((y, ldy), (target, ldt)): ((*const T, usize), (*const T, usize)),
    (delta, ldd): (*mut T, usize),
    n: usize,
    scale: I::V,
    values: &mut [T],
) {
    let (mut turn, mut x, mut t) = (Turn::new(), Columns([isa.zero(); SHORT]), Columns([isa.zero(); SHORT]));
    for (v, values) in values.chunks_mut(I::LANES).enumerate() {
        let (first, shape) = (v * I::LANES, (values.len(), n));
        // SAFETY: the rows from `first` on are readable and writable.
        unsafe {
            turn.gather(isa, y.wrapping_add(first.wrapping_mul(ldy)), ldy, shape, &mut x);
            turn.gather(isa, target.wrapping_add(first.wrapping_mul(ldt)), ldt, shape, &mut t);
            let mut losses = Columns([isa.zero(); SHORT]);
            for j in 0..n {
                let (l, d) = loss.value_d(isa, x.0[j], t.0[j]);
                losses.0[j] = term(isa, l);
                x.0[j] = isa.mul(d, scale);
            }
            turn.scatter(isa, &x, delta.wrapping_add(first.wrapping_mul(ldd)), ldd, shape);
            keep(isa, tree(isa, &mut losses), values);
        }
    }
}
