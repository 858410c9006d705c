//! A gradient made shorter.

use crate::{
    edge::{load, store},
    isa::{LaneKernel, Lanes, Real},
    reduce::count,
};

/// x ← factor·x.
#[derive(Debug)]
pub struct Scale<'a, T> {
    /// What x is multiplied by.
    pub factor: T,
    /// What becomes of it.
    pub x: &'a mut [T],
}

impl<T: Real> LaneKernel for Scale<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        let (x, len, factor) = (self.x.as_mut_ptr(), self.x.len(), isa.splat(self.factor));
        let mut j = 0;
        while j < len {
            let n = count::<T, I>(j, len);
            // SAFETY: [j, j + n) is within the slice.
            unsafe { store(isa, x.add(j), isa.mul(factor, load(isa, x.add(j), n)), n) }
            j += n;
        }
    }
}
