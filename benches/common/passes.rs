//! The passes of an unfused layer: with this library's vector math, and as few as they can be.

use nablas::{Activation, IsaToken, Scalar};
use nablas_kernels::{
    act::{Function, Saved, WithFunction, from_mask},
    isa::{LaneKernel, Lanes},
};
use rayon::prelude::*;

/// Elements below which a pass stays on the calling thread.
const SERIAL: usize = 8192;

/// Whether [`forward`] keeps something beside A.
pub(crate) fn keeps<T: Scalar>(activation: Activation<T>) -> bool {
    activation.saved() == Saved::Derivative
}

/// A ← g(A + b), keeping what the backward needs; rows split over the threads.
pub(crate) fn forward<T: Scalar>(
    isa: IsaToken,
    threads: usize,
    activation: Activation<T>,
    bias: &[T],
    a: &mut [T],
    kept: &mut [T],
) {
    let share = share(threads, bias.len(), a.len());
    if share >= a.len() {
        return isa.run(Forward { activation, bias, a, kept });
    }
    let parts = a.par_chunks_mut(share);
    if kept.is_empty() {
        parts.for_each(|a| isa.run(Forward { activation, bias, a, kept: &mut [] }));
    } else {
        let parts = parts.zip(kept.par_chunks_mut(share));
        parts.for_each(|(a, kept)| isa.run(Forward { activation, bias, a, kept }));
    }
}

/// δ ← δ ⊙ g', db ← its column sums.
pub(crate) fn backward<T: Scalar>(
    isa: IsaToken,
    threads: usize,
    activation: Activation<T>,
    saved: &[T],
    delta: &mut [T],
    db: &mut [T],
    partial: &mut [T],
) {
    let n = db.len();
    let share = share(threads, n, delta.len());
    if share >= delta.len() {
        db.fill(T::ZERO);
        return isa.run(Backward { activation, saved, delta, db });
    }
    partial.fill(T::ZERO);
    let parts = delta.par_chunks_mut(share).zip(saved.par_chunks(share));
    parts.zip(partial.par_chunks_mut(n)).for_each(|((delta, saved), db)| {
        isa.run(Backward { activation, saved, delta, db });
    });
    fold(db, &partial[..threads * n]);
}

/// Elements of a thread's share: whole rows.
pub(crate) fn share(threads: usize, n: usize, elements: usize) -> usize {
    if elements < SERIAL { elements } else { (elements / n).div_ceil(threads) * n }
}

/// db ← the sum of the threads' parts.
pub(crate) fn fold<T: Scalar>(db: &mut [T], partial: &[T]) {
    db.fill(T::ZERO);
    for part in partial.chunks_exact(db.len()) {
        for (sum, p) in db.iter_mut().zip(part) {
            *sum += *p;
        }
    }
}

struct Forward<'a, T> {
    activation: Activation<T>,
    bias: &'a [T],
    a: &'a mut [T],
    kept: &'a mut [T],
}

struct Backward<'a, T> {
    activation: Activation<T>,
    saved: &'a [T],
    delta: &'a mut [T],
    db: &'a mut [T],
}

/// A kernel on an ISA, waiting for the activation's type.
struct On<I, K>(I, K);

impl<T: Scalar> LaneKernel for Forward<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        self.activation.dispatch(On(isa, self));
    }
}

impl<T: Scalar, I: Lanes<T>> WithFunction<T> for On<I, Forward<'_, T>> {
    type Output = ();
    #[inline(always)]
    fn with<F: Function<T>>(self, f: F) {
        let Self(isa, Forward { bias, a, kept, .. }) = self;
        let n = bias.len();
        let keep = !kept.is_empty();
        assert!(!keep || kept.len() == a.len());
        for (i, row) in a.chunks_exact_mut(n).enumerate() {
            for j in (0..n).step_by(I::LANES) {
                let m = I::LANES.min(n - j);
                // SAFETY: columns j..j + m are within the row, the bias and, if kept, row i of it.
                unsafe {
                    let b = load(isa, bias.as_ptr().add(j), m);
                    let z = isa.add(load(isa, row.as_ptr().add(j), m), b);
                    let (value, save) = match F::SAVED {
                        Saved::Derivative => f.value_d(isa, z),
                        _ => (f.value(isa, z), z),
                    };
                    store(isa, row.as_mut_ptr().add(j), value, m);
                    if keep {
                        store(isa, kept.as_mut_ptr().add(i * n + j), save, m);
                    }
                }
            }
        }
    }
}

impl<T: Scalar> LaneKernel for Backward<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        self.activation.dispatch(On(isa, self));
    }
}

impl<T: Scalar, I: Lanes<T>> WithFunction<T> for On<I, Backward<'_, T>> {
    type Output = ();
    #[inline(always)]
    fn with<F: Function<T>>(self, f: F) {
        let Self(isa, Backward { saved, delta, db, .. }) = self;
        let n = db.len();
        for (row, saved) in delta.chunks_exact_mut(n).zip(saved.chunks_exact(n)) {
            for j in (0..n).step_by(I::LANES) {
                let m = I::LANES.min(n - j);
                // SAFETY: columns j..j + m are within the rows and the sums.
                unsafe {
                    let s = load(isa, saved.as_ptr().add(j), m);
                    let d = load(isa, row.as_ptr().add(j), m);
                    let d = match F::SAVED {
                        Saved::Nothing => d,
                        // A lies on the same branch as Z.
                        Saved::Mask => from_mask(isa, f.branch(isa, s), f.slope(), d),
                        Saved::Output | Saved::Derivative => isa.mul(d, s),
                    };
                    store(isa, row.as_mut_ptr().add(j), d, m);
                    let sum = db.as_mut_ptr().add(j);
                    store(isa, sum, isa.add(load(isa, sum, m), d), m);
                }
            }
        }
    }
}

/// Loads up to a vector; lanes from `n` on are zero.
///
/// # Safety
/// `n <= LANES` elements are readable.
#[inline(always)]
pub(crate) unsafe fn load<T: Scalar, I: Lanes<T>>(isa: I, ptr: *const T, n: usize) -> I::V {
    // SAFETY: the caller vouches for n elements.
    unsafe { if n == I::LANES { isa.load(ptr) } else { isa.load_partial(ptr, n) } }
}

/// Stores up to a vector.
///
/// # Safety
/// `n <= LANES` elements are writable.
#[inline(always)]
pub(crate) unsafe fn store<T: Scalar, I: Lanes<T>>(isa: I, ptr: *mut T, v: I::V, n: usize) {
    // SAFETY: the caller vouches for n elements.
    unsafe { if n == I::LANES { isa.store(ptr, v) } else { isa.store_partial(ptr, v, n) } }
}
