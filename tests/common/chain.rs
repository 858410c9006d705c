//! The documented arithmetic of the native products, one element at a time.

use nablas::Scalar;

/// An element with the fused multiply-add of the standard library.
pub(crate) trait Element: Scalar {
    /// self · b + c, rounded once.
    fn fma(self, b: Self, c: Self) -> Self;
}

impl Element for f32 {
    fn fma(self, b: f32, c: f32) -> f32 {
        self.mul_add(b, c)
    }
}

impl Element for f64 {
    fn fma(self, b: f64, c: f64) -> f64 {
        self.mul_add(b, c)
    }
}

/// One chain of fused multiply-adds over `pairs`, from `start`.
pub(crate) fn chain<T: Element>(start: T, pairs: impl Iterator<Item = (T, T)>) -> T {
    pairs.fold(start, |sum, (a, b)| a.fma(b, sum))
}
