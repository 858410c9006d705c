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

/// The sum, in order, of chains of 512 fused multiply-adds over `pairs`: the first from `start`, the others from zero.
/// With ones for factors, of additions.
pub(crate) fn chains<T: Element>(start: T, pairs: impl Iterator<Item = (T, T)>) -> T {
    let (mut before, mut chain) = (None, start);
    for (i, (a, b)) in pairs.enumerate() {
        if i > 0 && i % 512 == 0 {
            before = Some(before.map_or(chain, |sum| sum + chain));
            chain = T::ZERO;
        }
        chain = a.fma(b, chain);
    }
    before.map_or(chain, |sum| sum + chain)
}
