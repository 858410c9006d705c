//! The scalar reference: one lane, the platform's correctly rounded fused multiply-add.

use super::{Call, Isa, Kernel, TileFamily};
use pulp::{NullaryFnOnce, Scalar};

impl Isa for Scalar {
    const NAME: &'static str = "scalar";
    const TILES: TileFamily = TileFamily::Scalar;

    // A call on purpose: kernels of several ISAs must not be inlined into one caller.
    #[inline(never)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        Call(kernel, self).call()
    }

    #[inline(always)]
    fn shl_u64s(self, a: u64, n: u32) -> u64 {
        a << n
    }
    #[inline(always)]
    fn shr_u64s(self, a: u64, n: u32) -> u64 {
        a >> n
    }
    #[inline(always)]
    fn bits_m32s(self, m: bool) -> u32 {
        u32::from(m)
    }
    #[inline(always)]
    fn bits_m64s(self, m: bool) -> u32 {
        u32::from(m)
    }
    #[inline(always)]
    fn m32s_from_bits(self, bits: u32) -> bool {
        bits & 1 != 0
    }
    #[inline(always)]
    fn m64s_from_bits(self, bits: u32) -> bool {
        bits & 1 != 0
    }
    #[inline(always)]
    unsafe fn load_partial_f32s(self, ptr: *const f32, n: usize) -> f32 {
        // SAFETY: read only where the caller vouches for one element.
        if n == 0 { 0.0 } else { unsafe { *ptr } }
    }
    #[inline(always)]
    unsafe fn store_partial_f32s(self, ptr: *mut f32, v: f32, n: usize) {
        if n != 0 {
            // SAFETY: the caller vouches for one element.
            unsafe { *ptr = v }
        }
    }
    #[inline(always)]
    unsafe fn load_partial_f64s(self, ptr: *const f64, n: usize) -> f64 {
        // SAFETY: read only where the caller vouches for one element.
        if n == 0 { 0.0 } else { unsafe { *ptr } }
    }
    #[inline(always)]
    unsafe fn store_partial_f64s(self, ptr: *mut f64, v: f64, n: usize) {
        if n != 0 {
            // SAFETY: the caller vouches for one element.
            unsafe { *ptr = v }
        }
    }
    #[inline(always)]
    fn prefetch(self, _ptr: *const u8) {}
}
