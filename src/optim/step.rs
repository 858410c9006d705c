//! A step of an optimizer as something that items make: of any run of the parameters, in any order.

use crate::{Scalar, engine::Engine, error::Result, isa::IsaToken, shared::Shared, team::Schedule};
use nablas_kernels::optim::{self, AdamFactors, Scale, SgdFactors, SgdMomentum};

/// Parameters that an item steps.
pub(crate) const CHUNK: usize = 16 << 10;

/// An optimizer of this library: [`Sgd`](super::Sgd), [`Adam`](super::Adam) or [`AdamW`](super::AdamW).
///
/// Sealed, since [`Plan::train_step`](crate::Plan::train_step) makes steps in parts and in any order, which only rules
/// that take each parameter for itself allow.
pub trait Optimizer<T: Scalar>: Sealed<T> {
    /// One step.
    ///
    /// # Errors
    /// [`Error::Length`](crate::Error::Length) if a buffer has not as many elements as the optimizer was made for.
    fn step(&mut self, params: &mut [T], grads: &[T]) -> Result<()>;

    /// The learning rate of the steps to come.
    fn rate(&self) -> f64;

    /// Sets the learning rate of the steps to come.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if it is below 0 or not finite.
    fn set_rate(&mut self, rate: f64) -> Result<()>;

    /// The steps made, as far as they count for those to come, and what is remembered of them: the velocity and nothing
    /// (both empty without momentum), or the first and second moments.
    fn state(&self) -> (u64, [&[T]; 2]);

    /// Goes on from a [`state`](Self::state) of an optimizer of the same kind: its next step has the bits of that
    /// one's.
    ///
    /// # Errors
    /// [`Error::Length`](crate::Error::Length) for buffers of other lengths.
    fn resume(&mut self, steps: u64, buffers: [&[T]; 2]) -> Result<()>;
}

/// What a step is made of.
pub trait Sealed<T: Scalar> {
    /// Parameters.
    #[doc(hidden)]
    fn len(&self) -> usize;

    /// The next step. It counts as made when [`made`](Self::made) says so, and until then nothing else is done to the
    /// optimizer.
    #[doc(hidden)]
    fn next(&mut self) -> Step<T>;

    /// The next step has been made.
    #[doc(hidden)]
    fn made(&mut self);
}

/// The factors of one step, and where the state lies.
#[derive(Debug, Clone, Copy)]
pub struct Step<T>(Rule<T>);

#[derive(Debug, Clone, Copy)]
enum Rule<T> {
    Sgd(SgdFactors<T>),
    Momentum(SgdFactors<T>, Shared<T>),
    Adam(AdamFactors<T>, Shared<T>, Shared<T>),
}

impl<T: Scalar> Step<T> {
    pub(super) fn sgd(factors: SgdFactors<T>) -> Self {
        Self(Rule::Sgd(factors))
    }

    pub(super) fn momentum(factors: SgdFactors<T>, velocity: &mut [T]) -> Self {
        Self(Rule::Momentum(factors, Shared(velocity.as_mut_ptr())))
    }

    pub(super) fn adam(factors: AdamFactors<T>, first: &mut [T], second: &mut [T]) -> Self {
        Self(Rule::Adam(factors, Shared(first.as_mut_ptr()), Shared(second.as_mut_ptr())))
    }

    /// Elements of parameters, gradient and state that are read or written for each, but for the first two.
    pub(crate) fn touched(&self) -> f64 {
        match self.0 {
            Rule::Sgd(_) => 1.0,
            Rule::Momentum(..) => 2.0,
            Rule::Adam(..) => 3.0,
        }
    }

    /// Steps a run of the parameters, from number `from` on.
    ///
    /// # Safety
    /// The optimizer has a state for each of them, is not used otherwise, and no other run has the same parameters.
    pub(crate) unsafe fn run(&self, isa: IsaToken, from: usize, params: &mut [T], grads: &[T]) {
        let n = params.len();
        // SAFETY: the caller's promise.
        unsafe {
            match self.0 {
                Rule::Sgd(factors) => T::enter(isa, optim::Sgd { factors, params, grads }),
                Rule::Momentum(factors, v) => {
                    T::enter(isa, SgdMomentum { factors, params, grads, velocity: part(v, from, n) });
                }
                Rule::Adam(factors, m, v) => {
                    let (first, second) = (part(m, from, n), part(v, from, n));
                    T::enter(isa, optim::Adam { factors, params, grads, first, second });
                }
            }
        }
    }
}

/// Elements `from .. from + n` of a buffer that items share.
///
/// # Safety
/// They lie in the buffer, and nothing else accesses them.
pub(crate) unsafe fn part<'a, T>(buffer: Shared<T>, from: usize, n: usize) -> &'a mut [T] {
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts_mut(buffer.add(from), n) }
}

/// x ← factor·x.
pub(crate) fn scale<T: Scalar>(isa: IsaToken, factor: T, x: &mut [T]) {
    T::enter(isa, Scale { factor, x });
}

/// Makes a step of all parameters, of which there are as many in the gradient and in the state.
pub(super) fn run<T: Scalar>(engine: &Engine, step: &Step<T>, params: &mut [T], grads: &[T]) {
    let at = Shared(params.as_mut_ptr());
    chunks::<T>(engine, params.len(), step.touched(), |from, n| {
        // SAFETY: items have disjoint runs of the parameters.
        unsafe { step.run(engine.isa, from, part(at, from, n), &grads[from..from + n]) }
    });
}

/// Runs `chunk(from, n)` for every run of `len` parameters. `touched`: elements read and written for each.
pub(super) fn chunks<T: Scalar>(
    engine: &Engine,
    len: usize,
    touched: f64,
    chunk: impl Fn(usize, usize) + Sync,
) {
    struct Chunks<F>(usize, F);
    impl<F: Fn(usize, usize) + Sync> Schedule for Chunks<F> {
        fn items(&self, phase: usize) -> Option<usize> {
            (phase == 0).then_some(self.0.div_ceil(CHUNK))
        }
        fn run(&self, _: usize, _: usize, item: usize) {
            let from = item * CHUNK;
            (self.1)(from, CHUNK.min(self.0 - from));
        }
    }
    let micros = engine.micros::<T>(0.0, touched * len as f64);
    engine.schedule(micros, 1, len.div_ceil(CHUNK), &Chunks(len, chunk));
}
