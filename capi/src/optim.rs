//! Optimizers by handle.

use crate::{
    call::{call, guard},
    elem::Elem,
    operand::{array, disjoint, optional},
    options::{nablas_options, setup},
    status::{Result, fail, nablas_status as Status},
};
use nablas::{Adam, AdamW, IsaToken, Sgd, optim::clip_by_global_norm_on};
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

    /// Lets `work` use it, if no other call does.
    pub(crate) fn with(&self, work: impl FnOnce(&mut dyn nablas::Optimizer<T>) -> Result<()>) -> Result<()> {
        match self.method.try_lock() {
            Ok(mut method) => match &mut *method {
                Method::Sgd(o) => work(o),
                Method::Adam(o) => work(o),
                Method::AdamW(o) => work(o),
            },
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
            self.with(|method| Ok(method.step(params, grads)?))
        })
    }

    /// Sets the learning rate.
    pub(crate) fn set_rate(&self, rate: f64) -> Status {
        guard(|| self.with(|method| Ok(method.set_rate(rate)?)))
    }
}

/// A gradient clipped by its norm, which goes to `norm`.
///
/// # Safety
/// Each pointer is NULL or valid for its operand.
pub(crate) unsafe fn clip<T: Elem>(
    len: usize,
    grads: *mut T,
    max_norm: f64,
    norm: *mut f64,
    options: *const nablas_options,
) -> Status {
    call::<T>("clip_by_global_norm", [len, 1, 1], |record| {
        let grads = array("the gradient", grads, len)?;
        let norm = optional("the norm", norm, (1, 1), 1)?;
        disjoint(&[Some(grads.bytes()), norm.map(|n| n.bytes())], &[])?;
        // SAFETY: the caller's promise.
        let isa = unsafe { setup(options)? }.isa;
        record.on(isa, "pointwise", || 1);
        // SAFETY: the caller's promise; outputs do not overlap.
        let (grads, to) = unsafe { (grads.slice_mut(), norm.map(|n| n.slice_mut())) };
        let norm = clip_by_global_norm_on(isa, grads, max_norm)?;
        if let Some([to]) = to {
            *to = norm;
        }
        Ok(())
    })
}
