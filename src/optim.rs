//! Optimizers over flat parameter buffers: one vectorised pass a step, nothing allocated.
//!
//! The conventions are PyTorch's. Each parameter depends on itself, its gradient and its state alone. The factors of a
//! step are computed in `f64` and rounded once. So a step of many parameters is shared out among the members of a team, and
//! that leaves no trace.

use crate::{
    Scalar,
    engine::Engine,
    error::{Error, Result, check_len},
    isa::{IsaToken, isa},
    shared::Shared,
    team::{Schedule, Team},
};
use alloc::vec::Vec;
use nablas_kernels::optim::{self, AdamFactors, SgdFactors, SgdMomentum};

/// Parameters that an item steps.
const CHUNK: usize = 16 << 10;

/// Steps `len` parameters: `chunk(from, n)` for every run of them. `touched`: elements read and written for each.
fn step<T: Scalar>(engine: &Engine, len: usize, touched: f64, chunk: impl Fn(usize, usize) + Sync) {
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
    engine.schedule(
        engine.micros::<T>(0.0, touched * len as f64),
        1,
        len.div_ceil(CHUNK),
        &Chunks(len, chunk),
    );
}

/// Elements `from .. from + n` of a buffer that items share.
///
/// # Safety
/// They lie in the buffer, and nothing else accesses them.
unsafe fn part<'a, T>(buffer: Shared<T>, from: usize, n: usize) -> &'a mut [T] {
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts_mut(buffer.add(from), n) }
}

/// Refuses a value outside of `ok`.
fn check(what: &'static str, expected: &'static str, got: f64, ok: bool) -> Result<()> {
    if ok && got.is_finite() { Ok(()) } else { Err(Error::Parameter { what, expected, got }) }
}

/// Refuses a rate below 0.
fn check_rate(rate: f64) -> Result<()> {
    check("the learning rate", "a finite number of 0 or more", rate, rate >= 0.0)
}

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
    /// As [`with`](Self::with); [`Error::Isa`] if `NABLAS_ISA` pins what is not there.
    pub fn new(len: usize, rate: f64) -> Result<Self> {
        Self::with(isa()?, len, rate)
    }

    /// [`new`](Self::new) on an ISA, whatever `NABLAS_ISA` says.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the rate is below 0 or not finite, [`Error::Variable`] if `NABLAS_NUM_THREADS` is no number of
    /// threads.
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
    /// [`Error::Parameter`] if μ is not in \[0, 1); [`Error::Memory`] if v does not fit.
    pub fn momentum(mut self, momentum: f64, nesterov: bool) -> Result<Self> {
        check("momentum", "a number of 0 or more, below 1", momentum, (0.0..1.0).contains(&momentum))?;
        (self.momentum, self.nesterov) = (momentum, nesterov);
        self.velocity = if momentum > 0.0 { zeros("the velocity", self.len)? } else { Vec::new() };
        Ok(self)
    }

    /// Weight decay λ: λ·p is added to the gradient.
    ///
    /// # Errors
    /// [`Error::Parameter`] if λ is below 0 or not finite.
    pub fn weight_decay(mut self, decay: f64) -> Result<Self> {
        check("weight decay", "a finite number of 0 or more", decay, decay >= 0.0)?;
        self.decay = decay;
        Ok(self)
    }

    /// Sets the learning rate of the steps to come.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is below 0 or not finite.
    pub fn set_rate(&mut self, rate: f64) -> Result<()> {
        check_rate(rate)?;
        self.rate = rate;
        Ok(())
    }

    /// One step.
    ///
    /// # Errors
    /// [`Error::Length`] if a buffer has not as many elements as the optimizer was made for.
    pub fn step(&mut self, params: &mut [T], grads: &[T]) -> Result<()> {
        check_len("the parameters", self.len, params.len())?;
        check_len("the gradient", self.len, grads.len())?;
        let factors = SgdFactors {
            rate: T::from_f64(self.rate),
            decay: T::from_f64(self.decay),
            momentum: T::from_f64(self.momentum),
            nesterov: self.nesterov,
        };
        let (isa, params) = (self.engine.isa, Shared(params.as_mut_ptr()));
        let velocity = (!self.velocity.is_empty()).then_some(Shared(self.velocity.as_mut_ptr()));
        step::<T>(&self.engine, self.len, if velocity.is_some() { 2.0 } else { 1.0 }, |from, n| {
            let grads = &grads[from..from + n];
            // SAFETY: items have disjoint runs of the parameters, of which there are as many of all.
            unsafe {
                let params = part(params, from, n);
                match velocity {
                    Some(v) => {
                        let velocity = part(v, from, n);
                        T::enter(isa, SgdMomentum { factors, params, grads, velocity });
                    }
                    None => T::enter(isa, optim::Sgd { factors, params, grads }),
                }
            }
        });
        Ok(())
    }
}

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
        let (beta1, beta2) = self.betas;
        self.steps = self.steps.saturating_add(1);
        self.powers = (self.powers.0 * beta1, self.powers.1 * beta2);
        let (decay, shrink) = if decoupled { (0.0, 1.0 - self.rate * self.decay) } else { (self.decay, 1.0) };
        let factors = AdamFactors {
            blend1: T::from_f64(1.0 - beta1),
            beta2: T::from_f64(beta2),
            blend2: T::from_f64(1.0 - beta2),
            step: T::from_f64(self.rate / (1.0 - self.powers.0)),
            root: T::from_f64(reciprocal_root(1.0 - self.powers.1)),
            epsilon: T::from_f64(self.epsilon),
            decay: T::from_f64(decay),
            shrink: T::from_f64(shrink),
        };
        let (isa, params) = (self.engine.isa, Shared(params.as_mut_ptr()));
        let moments = (Shared(self.first.as_mut_ptr()), Shared(self.second.as_mut_ptr()));
        step::<T>(&self.engine, self.first.len(), 3.0, |from, n| {
            let grads = &grads[from..from + n];
            // SAFETY: items have disjoint runs of the parameters, of which there are as many of all.
            unsafe {
                let (params, first, second) =
                    (part(params, from, n), part(moments.0, from, n), part(moments.1, from, n));
                T::enter(isa, optim::Adam { factors, params, grads, first, second });
            }
        });
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
            /// As [`with`](Self::with); [`Error::Isa`] if `NABLAS_ISA` pins what is not there.
            pub fn new(len: usize, rate: f64) -> Result<Self> {
                Self::with(isa()?, len, rate)
            }

            /// [`new`](Self::new) on an ISA, whatever `NABLAS_ISA` says.
            ///
            /// # Errors
            /// [`Error::Parameter`] if the rate is below 0 or not finite, [`Error::Memory`] if the moments don't fit,
            /// [`Error::Variable`] if `NABLAS_NUM_THREADS` is no number of threads.
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
            /// [`Error::Parameter`] if one is not in \[0, 1).
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
            /// [`Error::Parameter`] if it is below 0 or not finite.
            pub fn epsilon(mut self, epsilon: f64) -> Result<Self> {
                check("ε", "a finite number of 0 or more", epsilon, epsilon >= 0.0)?;
                self.0.epsilon = epsilon;
                Ok(self)
            }

            #[doc = $decay_doc]
            ///
            /// # Errors
            /// [`Error::Parameter`] if λ is below 0 or not finite.
            pub fn weight_decay(mut self, decay: f64) -> Result<Self> {
                check("weight decay", "a finite number of 0 or more", decay, decay >= 0.0)?;
                self.0.decay = decay;
                Ok(self)
            }

            /// Sets the learning rate of the steps to come.
            ///
            /// # Errors
            /// [`Error::Parameter`] if it is below 0 or not finite.
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
            /// [`Error::Length`] if a buffer has not as many elements as the optimizer was made for.
            pub fn step(&mut self, params: &mut [T], grads: &[T]) -> Result<()> {
                self.0.step(params, grads, $decoupled)
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

/// A buffer of zeros.
fn zeros<T: Scalar>(what: &'static str, len: usize) -> Result<Vec<T>> {
    let bytes = (len as u128).saturating_mul(size_of::<T>() as u128);
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| Error::Memory { what, bytes })?;
    buffer.resize(len, T::ZERO);
    Ok(buffer)
}

/// 1/√x for x in (0, 1\], without the standard library: a root of the vector kernels, in one lane.
fn reciprocal_root(x: f64) -> f64 {
    struct Root(f64);
    impl nablas_kernels::isa::LaneKernel for Root {
        type Elem = f64;
        type Output = f64;
        #[inline(always)]
        fn run_lanes<I: nablas_kernels::isa::Lanes<f64>>(self, isa: I) -> f64 {
            let mut out = 0.0;
            let root = isa.div(isa.splat(1.0), isa.sqrt(isa.splat(self.0)));
            // SAFETY: one element is stored to one.
            unsafe { isa.store_partial(&raw mut out, root, 1) };
            out
        }
    }
    IsaToken::detect().run(Root(x))
}
