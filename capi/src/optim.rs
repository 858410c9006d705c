//! Optimizers by handle.

use crate::{
    call::{call, guard},
    elem::Elem,
    operand::{array, disjoint},
    options::{nablas_options, setup},
    status::{Result, fail, nablas_status as Status},
};
use nablas::{Adam, AdamW, IsaToken, Sgd};
use std::sync::{Mutex, TryLockError};

/// One of the optimizers.
#[derive(Debug)]
pub(crate) enum Method<T> {
    Sgd(Sgd<T>),
    Adam(Adam<T>),
    AdamW(AdamW<T>),
}

/// An optimizer and its state; one call at a time.
#[derive(Debug)]
pub(crate) struct Optimizer<T> {
    method: Mutex<Method<T>>,
    isa: IsaToken,
    len: usize,
}

/// An optimizer of `float` parameters, with its state.
#[derive(Debug)]
pub struct nablas_soptimizer(pub(crate) Optimizer<f32>);

/// An optimizer of `double` parameters, with its state.
#[derive(Debug)]
pub struct nablas_doptimizer(pub(crate) Optimizer<f64>);

/// (η, μ, Nesterov, λ)
pub(crate) type SgdNumbers = (f64, f64, bool, f64);
/// (η, β₁, β₂, ε, λ)
pub(crate) type AdamNumbers = (f64, f64, f64, f64, f64);

impl<T: Elem> Optimizer<T> {
    /// Stochastic gradient descent.
    ///
    /// # Safety
    /// `options` is NULL or points to options.
    pub(crate) unsafe fn sgd(
        len: usize,
        (rate, momentum, nesterov, decay): SgdNumbers,
        options: *const nablas_options,
    ) -> Result<Self> {
        // SAFETY: the caller's promise.
        let isa = unsafe { setup(options)? }.isa;
        let sgd = Sgd::with(isa, len, rate)?.weight_decay(decay)?.momentum(momentum, nesterov)?;
        Ok(Self { method: Mutex::new(Method::Sgd(sgd)), isa, len })
    }

    /// Adam, or AdamW if the decay is its own.
    ///
    /// # Safety
    /// As for [`sgd`](Self::sgd).
    pub(crate) unsafe fn adam(
        len: usize,
        (rate, beta1, beta2, epsilon, decay): AdamNumbers,
        decoupled: bool,
        options: *const nablas_options,
    ) -> Result<Self> {
        // SAFETY: the caller's promise.
        let isa = unsafe { setup(options)? }.isa;
        let method = if decoupled {
            let adamw = AdamW::with(isa, len, rate)?.betas(beta1, beta2)?;
            Method::AdamW(adamw.epsilon(epsilon)?.weight_decay(decay)?)
        } else {
            let adam = Adam::with(isa, len, rate)?.betas(beta1, beta2)?;
            Method::Adam(adam.epsilon(epsilon)?.weight_decay(decay)?)
        };
        Ok(Self { method: Mutex::new(method), isa, len })
    }

    fn with(&self, work: impl FnOnce(&mut Method<T>) -> Result<()>) -> Result<()> {
        match self.method.try_lock() {
            Ok(mut method) => work(&mut method),
            Err(TryLockError::Poisoned(_)) => fail(Status::Internal, "the optimizer failed in a call before"),
            Err(TryLockError::WouldBlock) => fail(Status::Busy, "the optimizer is in use by another thread"),
        }
    }

    /// One step.
    ///
    /// # Safety
    /// Each pointer is NULL or valid for its operand.
    pub(crate) unsafe fn step(&self, params: *mut T, grads: *const T) -> Status {
        call::<T>("optimizer_step", [self.len, 1, 1], |record| {
            let params = array("the parameters", params, self.len)?;
            let grads = array("the gradient", grads, self.len)?;
            disjoint(&[Some(params.bytes())], &[Some(grads.bytes())])?;
            record.on(self.isa, "pointwise", || 1);
            // SAFETY: the caller's promise; the parameters do not overlap the gradient.
            let (params, grads) = unsafe { (params.slice_mut(), grads.slice()) };
            self.with(|method| {
                let done = match method {
                    Method::Sgd(o) => o.step(params, grads),
                    Method::Adam(o) => o.step(params, grads),
                    Method::AdamW(o) => o.step(params, grads),
                };
                Ok(done?)
            })
        })
    }

    /// Sets the learning rate.
    pub(crate) fn set_rate(&self, rate: f64) -> Status {
        guard(|| {
            self.with(|method| {
                let done = match method {
                    Method::Sgd(o) => o.set_rate(rate),
                    Method::Adam(o) => o.set_rate(rate),
                    Method::AdamW(o) => o.set_rate(rate),
                };
                Ok(done?)
            })
        })
    }
}
