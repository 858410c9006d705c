//! Stochastic gradient descent, plain and with momentum, in PyTorch's conventions.

use crate::{
    edge::{load, store},
    isa::{LaneKernel, Lanes, Real},
    reduce::count,
};

/// The factors of a step of gradient descent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdFactors<T> {
    /// The learning rate η.
    pub rate: T,
    /// The weight decay λ: g = gradient + λ·parameter.
    pub decay: T,
    /// The momentum μ; plain [`Sgd`] leaves it aside.
    pub momentum: T,
    /// Whether the step looks ahead: along g + μ·v rather than v. Nesterov 1983.
    pub nesterov: bool,
}

/// p ← p − η·(g + λ·p).
#[derive(Debug)]
pub struct Sgd<'a, T> {
    /// η and λ.
    pub factors: SgdFactors<T>,
    /// The parameters.
    pub params: &'a mut [T],
    /// Their gradient.
    pub grads: &'a [T],
}

impl<T: Real> LaneKernel for Sgd<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let Self { factors, params, grads } = self;
        debug_assert_eq!(params.len(), grads.len());
        let len = params.len().min(grads.len());
        let (rate, decay) = (isa.splat(factors.rate), isa.splat(factors.decay));
        let (params, grads) = (params.as_mut_ptr(), grads.as_ptr());
        let mut j = 0;
        while j < len {
            let n = count::<T, I>(j, len);
            // SAFETY: [j, j + n) is within both slices.
            unsafe {
                let p = load(isa, params.add(j), n);
                let g = isa.fma(decay, p, load(isa, grads.add(j), n));
                store(isa, params.add(j), isa.nfma(rate, g, p), n);
            }
            j += n;
        }
    }
}

/// v ← μ·v + (g + λ·p); p ← p − η·v, or with Nesterov's look ahead p − η·(g + λ·p + μ·v). v starts at 0.
#[derive(Debug)]
pub struct SgdMomentum<'a, T> {
    /// η, λ, μ, and whether to look ahead.
    pub factors: SgdFactors<T>,
    /// The parameters.
    pub params: &'a mut [T],
    /// Their gradient.
    pub grads: &'a [T],
    /// v.
    pub velocity: &'a mut [T],
}

impl<T: Real> LaneKernel for SgdMomentum<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let Self { factors, params, grads, velocity } = self;
        debug_assert!(params.len() == grads.len() && params.len() == velocity.len());
        let len = params.len().min(grads.len()).min(velocity.len());
        let (rate, decay) = (isa.splat(factors.rate), isa.splat(factors.decay));
        let momentum = isa.splat(factors.momentum);
        let (params, grads, velocity) = (params.as_mut_ptr(), grads.as_ptr(), velocity.as_mut_ptr());
        let mut j = 0;
        while j < len {
            let n = count::<T, I>(j, len);
            // SAFETY: [j, j + n) is within the three slices.
            unsafe {
                let p = load(isa, params.add(j), n);
                let g = isa.fma(decay, p, load(isa, grads.add(j), n));
                let v = isa.fma(momentum, load(isa, velocity.add(j), n), g);
                let along = if factors.nesterov { isa.fma(momentum, v, g) } else { v };
                store(isa, velocity.add(j), v, n);
                store(isa, params.add(j), isa.nfma(rate, along, p), n);
            }
            j += n;
        }
    }
}
