//! Clipping by the global norm (Pascanu, Mikolov, Bengio 2013).
//!
//! The norm is that of all elements together. They are cut into at most 64 parts, by their number alone; a part's squares
//! are summed in `f64`, in sixteen virtual lanes of chains, and the parts by pairs. So the bits depend on neither instruction
//! set nor threads.

use super::{
    root,
    step::{chunks, scale},
};
use crate::{
    Scalar,
    engine::Engine,
    error::Result,
    isa::{IsaToken, isa},
    loss::Fold,
    shared::Shared,
    team::Schedule,
};
use core::ops::Range;
use nablas_kernels::reduce::SquareSum;

/// Elements of a part at least: the sixteen lanes' first chains.
const PART: usize = 8192;

/// A sum of squares in parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    len: usize,
    part: usize,
}

impl Parts {
    /// Parts at most.
    pub(crate) const MOST: usize = 64;

    /// Of so many elements.
    pub(crate) fn new(len: usize) -> Self {
        Self { len, part: len.div_ceil(Self::MOST).max(1).next_multiple_of(PART) }
    }

    /// How many there are.
    pub(crate) fn count(self) -> usize {
        self.len.div_ceil(self.part)
    }

    /// The elements of part `i`, which there is.
    pub(crate) fn range(self, i: usize) -> Range<usize> {
        i * self.part..self.len.min((i + 1) * self.part)
    }
}

/// Σ x² of a part.
pub(crate) fn squares<T: Scalar>(isa: IsaToken, x: &[T]) -> f64 {
    T::enter(isa, SquareSum { x })
}

/// The norm, of the parts' sums.
pub(crate) fn norm(parts: &[f64]) -> f64 {
    let mut fold = Fold::default();
    fold.extend(parts);
    root(fold.sum())
}

/// What a gradient of this norm is multiplied by; 1 if it is short enough, none if the norm is no finite number.
pub(crate) fn factor<T: Scalar>(norm: f64, max_norm: f64) -> Option<T> {
    match norm {
        _ if !norm.is_finite() => None,
        _ if norm > max_norm => Some(T::from_f64(max_norm / norm)),
        _ => Some(T::ONE),
    }
}

/// Refuses a largest norm that is none.
pub(crate) fn check_max(max_norm: f64) -> Result<()> {
    if max_norm > 0.0 {
        return Ok(());
    }
    let (what, expected) = ("the largest norm", "a number above 0");
    Err(crate::Error::Parameter { what, expected, got: max_norm })
}

/// g ← g·min(1, `max_norm`/‖g‖) for all elements of a gradient together; the norm ‖g‖ before that, the root of the sum of
/// squares in `f64`.
///
/// The quotient is rounded to `T` once. A `max_norm` of ∞ clips nothing. Where the norm is ∞ or NaN, as where an
/// element is, there is no shorter gradient of that direction: the gradient stays as it is, and who calls sees the norm and
/// leaves the step out. On the default team, if that pays; nothing is allocated; the bits are the same on any number of threads and any
/// instruction set.
///
/// # Errors
/// [`Error::Parameter`](crate::Error::Parameter) if `max_norm` is NaN or not above 0; [`Error::Isa`](crate::Error::Isa) and
/// [`Error::Variable`](crate::Error::Variable) if `NABLAS_ISA` or `NABLAS_NUM_THREADS` say what cannot be.
pub fn clip_by_global_norm<T: Scalar>(grads: &mut [T], max_norm: f64) -> Result<f64> {
    clip_by_global_norm_on(isa()?, grads, max_norm)
}

/// [`clip_by_global_norm`] on an ISA, whatever `NABLAS_ISA` says.
///
/// # Errors
/// As [`clip_by_global_norm`].
pub fn clip_by_global_norm_on<T: Scalar>(isa: IsaToken, grads: &mut [T], max_norm: f64) -> Result<f64> {
    check_max(max_norm)?;
    let (engine, parts) = (Engine::unlimited::<T>(isa)?, Parts::new(grads.len()));
    let mut sums = [0.0; Parts::MOST];
    let squares = Squares { isa, parts, x: grads, sums: Shared(sums.as_mut_ptr()) };
    engine.schedule(engine.micros::<T>(0.0, grads.len() as f64), 1, parts.count(), &squares);
    let norm = norm(&sums[..parts.count()]);
    if let Some(factor) = factor::<T>(norm, max_norm).filter(|f| *f != T::ONE) {
        let (len, at) = (grads.len(), Shared(grads.as_mut_ptr()));
        chunks::<T>(&engine, len, 1.0, |from, n| {
            // SAFETY: items have disjoint runs of the gradient.
            scale(isa, factor, unsafe { super::part(at, from, n) });
        });
    }
    Ok(norm)
}

/// The parts' sums, an item each.
struct Squares<'a, T> {
    isa: IsaToken,
    parts: Parts,
    x: &'a [T],
    sums: Shared<f64>,
}

impl<T: Scalar> Schedule for Squares<'_, T> {
    fn items(&self, phase: usize) -> Option<usize> {
        (phase == 0).then(|| self.parts.count())
    }

    fn run(&self, _: usize, _: usize, item: usize) {
        // SAFETY: there is a place for each part's sum, and this one is the item's.
        unsafe { *self.sums.add(item) = squares(self.isa, &self.x[self.parts.range(item)]) }
    }
}
