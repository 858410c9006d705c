//! Activations over slices: value, value with derivative, and the pointwise VJP, one pass each.
//!
//! One body for whole and partial vectors: with sixteen activations, two types and three ISAs, code size counts.
//! Each kernel works on as many elements as its shortest slice has; that they are equally long is the
//! caller's to check.

use super::{Activation, Function, WithFunction};
use crate::{
    edge::{load, store},
    isa::{LaneKernel, Lanes},
    math::Math,
};

/// a = g(z).
///
/// # Safety
/// `z` is readable and `a` writable for `n` elements; they are equal or do not overlap.
#[inline(always)]
pub(super) unsafe fn value<T: Math, F: Function<T>, I: Lanes<T>>(
    isa: I,
    f: F,
    z: *const T,
    a: *mut T,
    n: usize,
) {
    let mut j = 0;
    while j < n {
        let m = I::LANES.min(n - j);
        // SAFETY: [j, j + m) is within n; a vector is loaded before it is stored.
        unsafe { store(isa, a.add(j), f.value(isa, load(isa, z.add(j), m)), m) }
        j += m;
    }
}

/// a = g(z), d = g'(z).
///
/// # Safety
/// As for [`value`], and `d` is writable for `n` elements and overlaps neither.
#[inline(always)]
pub(super) unsafe fn value_d<T: Math, F: Function<T>, I: Lanes<T>>(
    isa: I,
    f: F,
    z: *const T,
    a: *mut T,
    d: *mut T,
    n: usize,
) {
    let mut j = 0;
    while j < n {
        let m = I::LANES.min(n - j);
        // SAFETY: [j, j + m) is within n; a vector is loaded before it is stored.
        unsafe {
            let (v, slope) = f.value_d(isa, load(isa, z.add(j), m));
            store(isa, a.add(j), v, m);
            store(isa, d.add(j), slope, m);
        }
        j += m;
    }
}

/// out = g ⊙ g'(z).
///
/// # Safety
/// `z` and `g` are readable and `out` writable for `n` elements; each of the two equals `out` or does not
/// overlap it.
#[inline(always)]
unsafe fn vjp<T: Math, F: Function<T>, I: Lanes<T>>(
    isa: I,
    f: F,
    z: *const T,
    g: *const T,
    out: *mut T,
    n: usize,
) {
    let mut j = 0;
    while j < n {
        let m = I::LANES.min(n - j);
        // SAFETY: [j, j + m) is within n; the vectors are loaded before one is stored.
        unsafe { store(isa, out.add(j), f.vjp(isa, load(isa, z.add(j), m), load(isa, g.add(j), m)), m) }
        j += m;
    }
}

/// A kernel on an ISA, waiting for the activation's type.
struct On<I, K>(I, K);

/// a = g(z).
#[derive(Debug)]
pub struct Value<'a, T> {
    /// g.
    pub act: Activation<T>,
    /// The pre-activation.
    pub z: &'a [T],
    /// The value.
    pub a: &'a mut [T],
}

impl<T: Math> LaneKernel for Value<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        self.act.dispatch(On(isa, self));
    }
}

impl<T: Math, I: Lanes<T>> WithFunction<T> for On<I, Value<'_, T>> {
    type Output = ();
    #[inline(always)]
    fn with<F: Function<T>>(self, f: F) {
        let Value { z, a, .. } = self.1;
        debug_assert_eq!(z.len(), a.len());
        let n = z.len().min(a.len());
        // SAFETY: both slices have n elements, and one of them is exclusive.
        unsafe { value(self.0, f, z.as_ptr(), a.as_mut_ptr(), n) }
    }
}

/// a = g(z) and d = g'(z), in one pass.
#[derive(Debug)]
pub struct Forward<'a, T> {
    /// g.
    pub act: Activation<T>,
    /// The pre-activation.
    pub z: &'a [T],
    /// The value.
    pub a: &'a mut [T],
    /// The derivative.
    pub d: &'a mut [T],
}

impl<T: Math> LaneKernel for Forward<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        self.act.dispatch(On(isa, self));
    }
}

impl<T: Math, I: Lanes<T>> WithFunction<T> for On<I, Forward<'_, T>> {
    type Output = ();
    #[inline(always)]
    fn with<F: Function<T>>(self, f: F) {
        let Forward { z, a, d, .. } = self.1;
        debug_assert!(z.len() == a.len() && z.len() == d.len());
        let n = z.len().min(a.len()).min(d.len());
        // SAFETY: all slices have n elements, and those written are exclusive.
        unsafe { value_d(self.0, f, z.as_ptr(), a.as_mut_ptr(), d.as_mut_ptr(), n) }
    }
}

/// out = g ⊙ g'(z): the vector–Jacobian product of a pointwise function, without its n×n diagonal Jacobian.
#[derive(Debug)]
pub struct Vjp<'a, T> {
    /// The function.
    pub act: Activation<T>,
    /// The pre-activation.
    pub z: &'a [T],
    /// The cotangent of the value.
    pub g: &'a [T],
    /// The cotangent of the pre-activation.
    pub out: &'a mut [T],
}

impl<T: Math> LaneKernel for Vjp<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        self.act.dispatch(On(isa, self));
    }
}

impl<T: Math, I: Lanes<T>> WithFunction<T> for On<I, Vjp<'_, T>> {
    type Output = ();
    #[inline(always)]
    fn with<F: Function<T>>(self, f: F) {
        let Vjp { z, g, out, .. } = self.1;
        debug_assert!(z.len() == g.len() && z.len() == out.len());
        let n = z.len().min(g.len()).min(out.len());
        // SAFETY: all slices have n elements, and the one written is exclusive.
        unsafe { vjp(self.0, f, z.as_ptr(), g.as_ptr(), out.as_mut_ptr(), n) }
    }
}
