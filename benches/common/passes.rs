//! The passes of an unfused layer: with this library's vector math, and as few as they can be.

use nablas::{Activation, IsaToken};
use nablas_kernels::{
    act::{Function, Saved, WithFunction, from_mask},
    isa::{LaneKernel, Lanes},
};
use rayon::prelude::*;

/// Elements below which a pass stays on the calling thread.
const SERIAL: usize = 8192;

/// Whether [`forward`] keeps something beside A.
pub(crate) fn keeps(activation: Activation<f32>) -> bool {
    activation.saved() == Saved::Derivative
}

/// A ← g(A + b), keeping what the backward needs; rows split over the threads.
pub(crate) fn forward(
    isa: IsaToken,
    threads: usize,
    activation: Activation<f32>,
    bias: &[f32],
    a: &mut [f32],
    kept: &mut [f32],
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
pub(crate) fn backward(
    isa: IsaToken,
    threads: usize,
    activation: Activation<f32>,
    saved: &[f32],
    delta: &mut [f32],
    db: &mut [f32],
    partial: &mut [f32],
) {
    let n = db.len();
    let share = share(threads, n, delta.len());
    if share >= delta.len() {
        db.fill(0.0);
        return isa.run(Backward { activation, saved, delta, db });
    }
    partial.fill(0.0);
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
pub(crate) fn fold(db: &mut [f32], partial: &[f32]) {
    db.fill(0.0);
    for part in partial.chunks_exact(db.len()) {
        for (sum, p) in db.iter_mut().zip(part) {
            *sum += p;
        }
    }
}

struct Forward<'a> {
    activation: Activation<f32>,
    bias: &'a [f32],
    a: &'a mut [f32],
    kept: &'a mut [f32],
}

struct Backward<'a> {
    activation: Activation<f32>,
    saved: &'a [f32],
    delta: &'a mut [f32],
    db: &'a mut [f32],
}

/// A kernel on an ISA, waiting for the activation's type.
struct On<I, K>(I, K);

impl LaneKernel for Forward<'_> {
    type Elem = f32;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<f32>>(self, isa: I) {
        self.activation.dispatch(On(isa, self));
    }
}

impl<I: Lanes<f32>> WithFunction<f32> for On<I, Forward<'_>> {
    type Output = ();
    #[inline(always)]
    fn with<F: Function<f32>>(self, f: F) {
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

impl LaneKernel for Backward<'_> {
    type Elem = f32;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<f32>>(self, isa: I) {
        self.activation.dispatch(On(isa, self));
    }
}

impl<I: Lanes<f32>> WithFunction<f32> for On<I, Backward<'_>> {
    type Output = ();
    #[inline(always)]
    fn with<F: Function<f32>>(self, f: F) {
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
pub(crate) unsafe fn load<I: Lanes<f32>>(isa: I, ptr: *const f32, n: usize) -> I::V {
    // SAFETY: the caller vouches for n elements.
    unsafe { if n == I::LANES { isa.load(ptr) } else { isa.load_partial(ptr, n) } }
}

/// Stores up to a vector.
///
/// # Safety
/// `n <= LANES` elements are writable.
#[inline(always)]
pub(crate) unsafe fn store<I: Lanes<f32>>(isa: I, ptr: *mut f32, v: I::V, n: usize) {
    // SAFETY: the caller vouches for n elements.
    unsafe { if n == I::LANES { isa.store(ptr, v) } else { isa.store_partial(ptr, v, n) } }
}
