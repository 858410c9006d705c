//! Adam (Kingma, Ba 2014) and AdamW (Loshchilov, Hutter 2017), in PyTorch's conventions.

use crate::{
    edge::{load, store},
    isa::{LaneKernel, Lanes, Real},
    reduce::count,
};

/// The factors of step t = 1, 2, …, from the rate η, β₁, β₂, ε and the weight decay λ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamFactors<T> {
    /// 1 − β₁.
    pub blend1: T,
    /// β₂.
    pub beta2: T,
    /// 1 − β₂.
    pub blend2: T,
    /// η/(1 − β₁ᵗ).
    pub step: T,
    /// 1/√(1 − β₂ᵗ).
    pub root: T,
    /// ε.
    pub epsilon: T,
    /// Adam: λ, added to the gradient as λ·p. AdamW: 0.
    pub decay: T,
    /// AdamW: 1 − η·λ, by which the parameter shrinks first. Adam: 1.
    pub shrink: T,
}

/// One step: p ← shrink·p; m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²;
/// p ← p − step·m/(root·√v + ε), with g the gradient plus decay·p. m and v start at 0.
///
/// m moves as m + (1 − β₁)·(g − m).
#[derive(Debug)]
pub struct Adam<'a, T> {
    /// The factors of this step.
    pub factors: AdamFactors<T>,
    /// The parameters.
    pub params: &'a mut [T],
    /// Their gradient.
    pub grads: &'a [T],
    /// m, the first moment.
    pub first: &'a mut [T],
    /// v, the second moment.
    pub second: &'a mut [T],
}

impl<T: Real> LaneKernel for Adam<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let Self { factors: f, params, grads, first, second } = self;
        let len = params.len().min(grads.len()).min(first.len()).min(second.len());
        debug_assert!(len == params.len() && len == grads.len() && len == first.len() && len == second.len());
        let (params, grads) = (params.as_mut_ptr(), grads.as_ptr());
        let (first, second) = (first.as_mut_ptr(), second.as_mut_ptr());
        let (blend1, beta2, blend2) = (isa.splat(f.blend1), isa.splat(f.beta2), isa.splat(f.blend2));
        let (step, root, epsilon) = (isa.splat(f.step), isa.splat(f.root), isa.splat(f.epsilon));
        let (decay, shrink) = (isa.splat(f.decay), isa.splat(f.shrink));
        let mut j = 0;
        while j < len {
            let n = count::<T, I>(j, len);
            // SAFETY: [j, j + n) is within the four slices.
            unsafe {
                let p = load(isa, params.add(j), n);
                let g = isa.fma(decay, p, load(isa, grads.add(j), n));
                let m = load(isa, first.add(j), n);
                let m = isa.fma(blend1, isa.sub(g, m), m);
                let v = isa.mul(beta2, load(isa, second.add(j), n));
                let v = isa.fma(blend2, isa.mul(g, g), v);
                let size = isa.fma(root, isa.sqrt(v), epsilon);
                let moved = isa.nfma(step, isa.div(m, size), isa.mul(shrink, p));
                store(isa, first.add(j), m, n);
                store(isa, second.add(j), v, n);
                store(isa, params.add(j), moved, n);
            }
            j += n;
        }
    }
}
