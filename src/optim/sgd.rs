//! Stochastic gradient descent.

use super::{
    check, check_rate,
    step::{Optimizer, Sealed, Step, run},
    zeros,
};
use crate::{
    Scalar,
    engine::Engine,
    error::{Result, check_len},
    isa::{IsaToken, isa},
    team::Team,
};
use alloc::vec::Vec;
use nablas_kernels::optim::SgdFactors;

/// Stochastic gradient descent: v ← μ·v + (g + λ·p); p ← p − η·v, or with Nesterov's look ahead
/// p ← p − η·(g + λ·p + μ·v). v starts at 0; without momentum there is none.
#[derive(Debug, Clone)]
pub struct Sgd<T> {
    engine: Engine,
    len: usize,
    rate: f64,
    momentum: f64,
    decay: f64,
    nesterov: bool,
    velocity: Vec<T>,
}

impl<T: Scalar> Sgd<T> {
    /// Plain gradient descent of `len` parameters with the learning rate η.
    ///
    /// # Errors
    /// As [`with`](Self::with); [`Error::Isa`](crate::Error::Isa) if `NABLAS_ISA` pins what is not there.
    pub fn new(len: usize, rate: f64) -> Result<Self> {
        Self::with(isa()?, len, rate)
    }

    /// [`new`](Self::new) on an ISA, whatever `NABLAS_ISA` says.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if the rate is below 0 or not finite,
    /// [`Error::Variable`](crate::Error::Variable) if `NABLAS_NUM_THREADS` is no number of threads.
    pub fn with(isa: IsaToken, len: usize, rate: f64) -> Result<Self> {
        check_rate(rate)?;
        let (velocity, engine) = (Vec::new(), Engine::unlimited::<T>(isa)?);
        Ok(Self { engine, len, rate, momentum: 0.0, decay: 0.0, nesterov: false, velocity })
    }

    /// With the members of this team, instead of the default one's.
    #[must_use]
    pub fn team(mut self, team: &Team) -> Self {
        self.engine.join(team);
        self
    }

    /// With at most `threads` of its members, the caller among them.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.engine.limit(threads);
        self
    }

    /// Momentum μ, with Nesterov's look ahead or without. Allocates v.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if μ is not in \[0, 1); [`Error::Memory`](crate::Error::Memory) if v does not fit.
    pub fn momentum(mut self, momentum: f64, nesterov: bool) -> Result<Self> {
        check("momentum", "a number of 0 or more, below 1", momentum, (0.0..1.0).contains(&momentum))?;
        (self.momentum, self.nesterov) = (momentum, nesterov);
        self.velocity = if momentum > 0.0 { zeros("the velocity", self.len)? } else { Vec::new() };
        Ok(self)
    }

    /// Weight decay λ: λ·p is added to the gradient.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if λ is below 0 or not finite.
    pub fn weight_decay(mut self, decay: f64) -> Result<Self> {
        check("weight decay", "a finite number of 0 or more", decay, decay >= 0.0)?;
        self.decay = decay;
        Ok(self)
    }

    /// Sets the learning rate of the steps to come.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if it is below 0 or not finite.
    pub fn set_rate(&mut self, rate: f64) -> Result<()> {
        check_rate(rate)?;
        self.rate = rate;
        Ok(())
    }

    /// One step.
    ///
    /// # Errors
    /// [`Error::Length`](crate::Error::Length) if a buffer has not as many elements as the optimizer was made for.
    pub fn step(&mut self, params: &mut [T], grads: &[T]) -> Result<()> {
        check_len("the parameters", self.len, params.len())?;
        check_len("the gradient", self.len, grads.len())?;
        let next = self.next();
        run(&self.engine, &next, params, grads);
        Ok(())
    }
}

impl<T: Scalar> Sealed<T> for Sgd<T> {
    fn len(&self) -> usize {
        self.len
    }

    fn next(&mut self) -> Step<T> {
        let factors = SgdFactors {
            rate: T::from_f64(self.rate),
            decay: T::from_f64(self.decay),
            momentum: T::from_f64(self.momentum),
            nesterov: self.nesterov,
        };
        if self.velocity.is_empty() {
            Step::sgd(factors)
        } else {
            Step::momentum(factors, &mut self.velocity)
        }
    }

    fn made(&mut self) {}
}

impl<T: Scalar> Optimizer<T> for Sgd<T> {
    fn step(&mut self, params: &mut [T], grads: &[T]) -> Result<()> {
        Self::step(self, params, grads)
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn set_rate(&mut self, rate: f64) -> Result<()> {
        Self::set_rate(self, rate)
    }

    fn state(&self) -> (u64, [&[T]; 2]) {
        (0, [&self.velocity, &[]])
    }

    fn resume(&mut self, _: u64, [velocity, nothing]: [&[T]; 2]) -> Result<()> {
        check_len("the velocity", self.velocity.len(), velocity.len())?;
        check_len("what is remembered besides", 0, nothing.len())?;
        self.velocity.copy_from_slice(velocity);
        Ok(())
    }
}
