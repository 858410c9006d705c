//! NEON (AArch64 Advanced SIMD): 32 registers of 4 `f32` or 2 `f64`.

use super::{Call, Isa, Kernel, TileFamily};
use core::arch::aarch64::{vdupq_n_s64, vshlq_u64};
use pulp::{Simd, aarch64::Neon, cast, f32x4, f64x2, m32x4, m64x2, u32x4, u64x2};

impl Isa for Neon {
    const NAME: &'static str = "neon";
    const TILES: TileFamily = TileFamily::Regs32;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        Neon::vectorize(self, Call(kernel, self))
    }

    #[inline(always)]
    fn shl_u64s(self, a: u64x2, n: u32) -> u64x2 {
        // SAFETY: the token proves NEON.
        cast(unsafe { vshlq_u64(cast(a), vdupq_n_s64(i64::from(n))) })
    }
    #[inline(always)]
    fn shr_u64s(self, a: u64x2, n: u32) -> u64x2 {
        // SAFETY: the token proves NEON; a negative count shifts right.
        cast(unsafe { vshlq_u64(cast(a), vdupq_n_s64(-i64::from(n))) })
    }
    #[inline(always)]
    fn bits_m32s(self, m: m32x4) -> u32 {
        let u32x4(a, b, c, d) = self.transmute_u32s_m32s(m);
        (a & 1) | (b & 2) | (c & 4) | (d & 8)
    }
    #[inline(always)]
    fn bits_m64s(self, m: m64x2) -> u32 {
        let u64x2(a, b) = self.transmute_u64s_m64s(m);
        ((a & 1) | (b & 2)) as u32
    }
    #[inline(always)]
    fn m32s_from_bits(self, bits: u32) -> m32x4 {
        let lane = u32x4(1, 2, 4, 8);
        self.equal_u32s(self.and_u32s(self.splat_u32s(bits), lane), lane)
    }
    #[inline(always)]
    fn m64s_from_bits(self, bits: u32) -> m64x2 {
        let lane = u64x2(1, 2);
        self.equal_u64s(self.and_u64s(self.splat_u64s(u64::from(bits)), lane), lane)
    }
    #[inline(always)]
    unsafe fn load_partial_f32s(self, ptr: *const f32, n: usize) -> f32x4 {
        let mut a = [0.0f32; 4];
        for i in 0..n {
            // SAFETY: the caller vouches for n readable elements.
            a[i] = unsafe { *ptr.add(i) };
        }
        cast(a)
    }
    #[inline(always)]
    unsafe fn store_partial_f32s(self, ptr: *mut f32, v: f32x4, n: usize) {
        let a: [f32; 4] = cast(v);
        for i in 0..n {
            // SAFETY: the caller vouches for n writable elements.
            unsafe { *ptr.add(i) = a[i] }
        }
    }
    #[inline(always)]
    unsafe fn load_partial_f64s(self, ptr: *const f64, n: usize) -> f64x2 {
        let mut a = [0.0f64; 2];
        for i in 0..n {
            // SAFETY: the caller vouches for n readable elements.
            a[i] = unsafe { *ptr.add(i) };
        }
        cast(a)
    }
    #[inline(always)]
    unsafe fn store_partial_f64s(self, ptr: *mut f64, v: f64x2, n: usize) {
        let a: [f64; 2] = cast(v);
        for i in 0..n {
            // SAFETY: the caller vouches for n writable elements.
            unsafe { *ptr.add(i) = a[i] }
        }
    }
    #[inline(always)]
    fn prefetch(self, _ptr: *const u8) {}
}
