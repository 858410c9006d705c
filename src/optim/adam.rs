//! Adam and AdamW.

use super::{
    check, check_rate, root,
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
use nablas_kernels::optim::AdamFactors;

/// What Adam and AdamW have in common.
#[derive(Debug, Clone)]
struct Moments<T> {
    engine: Engine,
    rate: f64,
    betas: (f64, f64),
    epsilon: f64,
    decay: f64,
    steps: u64,
    /// β₁ᵗ and β₂ᵗ after t steps.
    powers: (f64, f64),
    first: Vec<T>,
    second: Vec<T>,
}

impl<T: Scalar> Moments<T> {
    fn new(isa: IsaToken, len: usize, rate: f64, decay: f64) -> Result<Self> {
        check_rate(rate)?;
        Ok(Self {
            engine: Engine::unlimited::<T>(isa)?,
            rate,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            decay,
            steps: 0,
            powers: (1.0, 1.0),
            first: zeros("the first moments", len)?,
            second: zeros("the second moments", len)?,
        })
    }

    fn step(&mut self, params: &mut [T], grads: &[T], decoupled: bool) -> Result<()> {
        check_len("the parameters", self.first.len(), params.len())?;
        check_len("the gradient", self.first.len(), grads.len())?;
        let next = self.next(decoupled);
        run(&self.engine, &next, params, grads);
        self.made();
        Ok(())
    }

    /// β₁ᵗ and β₂ᵗ of the next step.
    fn next_powers(&self) -> (f64, f64) {
        (self.powers.0 * self.betas.0, self.powers.1 * self.betas.1)
    }

    fn next(&mut self, decoupled: bool) -> Step<T> {
        let ((beta1, beta2), powers) = (self.betas, self.next_powers());
        let (decay, shrink) = if decoupled { (0.0, 1.0 - self.rate * self.decay) } else { (self.decay, 1.0) };
        let factors = AdamFactors {
            blend1: T::from_f64(1.0 - beta1),
            beta2: T::from_f64(beta2),
            blend2: T::from_f64(1.0 - beta2),
            step: T::from_f64(self.rate / (1.0 - powers.0)),
            root: T::from_f64(1.0 / root(1.0 - powers.1)),
            epsilon: T::from_f64(self.epsilon),
            decay: T::from_f64(decay),
            shrink: T::from_f64(shrink),
        };
        Step::adam(factors, &mut self.first, &mut self.second)
    }

    fn made(&mut self) {
        (self.steps, self.powers) = (self.steps.saturating_add(1), self.next_powers());
    }

    fn resume(&mut self, steps: u64, [first, second]: [&[T]; 2]) -> Result<()> {
        check_len("the first moments", self.first.len(), first.len())?;
        check_len("the second moments", self.second.len(), second.len())?;
        self.first.copy_from_slice(first);
        self.second.copy_from_slice(second);
        // Powers by the products that the steps made, for the same bits: once they are 0, they stay.
        (self.steps, self.powers) = (steps, (1.0, 1.0));
        for _ in 0..steps {
            let next = self.next_powers();
            if next == self.powers {
                break;
            }
            self.powers = next;
        }
        Ok(())
    }
}

macro_rules! adam {
    ($(#[$doc:meta])* $name:ident, decay $decay:literal, $decay_doc:literal, decoupled $decoupled:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name<T>(Moments<T>);

        impl<T: Scalar> $name<T> {
            /// For `len` parameters, with the learning rate η; β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸ and the default
            /// weight decay. Allocates both moments.
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
            /// [`Error::Memory`](crate::Error::Memory) if the moments don't fit,
            /// [`Error::Variable`](crate::Error::Variable) if `NABLAS_NUM_THREADS` is no number of threads.
            pub fn with(isa: IsaToken, len: usize, rate: f64) -> Result<Self> {
                Moments::new(isa, len, rate, $decay).map(Self)
            }

            /// With the members of this team, instead of the default one's.
            #[must_use]
            pub fn team(mut self, team: &Team) -> Self {
                self.0.engine.join(team);
                self
            }

            /// With at most `threads` of its members, the caller among them.
            #[must_use]
            pub fn threads(mut self, threads: usize) -> Self {
                self.0.engine.limit(threads);
                self
            }

            /// β₁ and β₂.
            ///
            /// # Errors
            /// [`Error::Parameter`](crate::Error::Parameter) if one is not in \[0, 1).
            pub fn betas(mut self, beta1: f64, beta2: f64) -> Result<Self> {
                let expected = "a number of 0 or more, below 1";
                check("β₁", expected, beta1, (0.0..1.0).contains(&beta1))?;
                check("β₂", expected, beta2, (0.0..1.0).contains(&beta2))?;
                self.0.betas = (beta1, beta2);
                Ok(self)
            }

            /// ε, added to the root of the second moment.
            ///
            /// # Errors
            /// [`Error::Parameter`](crate::Error::Parameter) if it is below 0 or not finite.
            pub fn epsilon(mut self, epsilon: f64) -> Result<Self> {
                check("ε", "a finite number of 0 or more", epsilon, epsilon >= 0.0)?;
                self.0.epsilon = epsilon;
                Ok(self)
            }

            #[doc = $decay_doc]
            ///
            /// # Errors
            /// [`Error::Parameter`](crate::Error::Parameter) if λ is below 0 or not finite.
            pub fn weight_decay(mut self, decay: f64) -> Result<Self> {
                check("weight decay", "a finite number of 0 or more", decay, decay >= 0.0)?;
                self.0.decay = decay;
                Ok(self)
            }

            /// Sets the learning rate of the steps to come.
            ///
            /// # Errors
            /// [`Error::Parameter`](crate::Error::Parameter) if it is below 0 or not finite.
            pub fn set_rate(&mut self, rate: f64) -> Result<()> {
                check_rate(rate)?;
                self.0.rate = rate;
                Ok(())
            }

            /// The steps made.
            pub fn steps(&self) -> u64 {
                self.0.steps
            }

            /// One step.
            ///
            /// # Errors
            /// [`Error::Length`](crate::Error::Length) if a buffer has not as many elements as the optimizer was made for.
            pub fn step(&mut self, params: &mut [T], grads: &[T]) -> Result<()> {
                self.0.step(params, grads, $decoupled)
            }
        }

        impl<T: Scalar> Sealed<T> for $name<T> {
            fn len(&self) -> usize {
                self.0.first.len()
            }

            fn next(&mut self) -> Step<T> {
                self.0.next($decoupled)
            }

            fn made(&mut self) {
                self.0.made();
            }
        }

        impl<T: Scalar> Optimizer<T> for $name<T> {
            fn step(&mut self, params: &mut [T], grads: &[T]) -> Result<()> {
                Self::step(self, params, grads)
            }

            fn rate(&self) -> f64 {
                self.0.rate
            }

            fn set_rate(&mut self, rate: f64) -> Result<()> {
                Self::set_rate(self, rate)
            }

            fn state(&self) -> (u64, [&[T]; 2]) {
                (self.0.steps, [&self.0.first, &self.0.second])
            }

            fn resume(&mut self, steps: u64, buffers: [&[T]; 2]) -> Result<()> {
                self.0.resume(steps, buffers)
            }
        }
    };
}

adam! {
    /// Adam (Kingma, Ba 2014): m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²;
    /// p ← p − η·(m/(1 − β₁ᵗ))/(√(v/(1 − β₂ᵗ)) + ε).
    Adam, decay 0.0, "Weight decay λ, 0 unless set: λ·p is added to the gradient.", decoupled false
}
adam! {
    /// AdamW (Loshchilov, Hutter 2017): as [`Adam`], but the decay is its own: first p ← p − η·λ·p.
    AdamW, decay 0.01, "Weight decay λ, 0.01 unless set: each step shrinks p by the factor 1 − η·λ.", decoupled true
}
