//! AVX-512 (F, BW, CD, DQ, VL: x86-64-v4): 32 registers of 16 `f32` or 8 `f64`, native masks.

use super::{Call, Isa, Kernel, TileFamily};
use pulp::{b8, b16, cast, f32x16, f64x8, u64x8, x86::V4};

impl Isa for V4 {
    const NAME: &'static str = "avx512";
    const TILES: TileFamily = TileFamily::Regs32;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        V4::vectorize(self, Call(kernel, self))
    }

    #[inline(always)]
    fn shl_u64s(self, a: u64x8, n: u32) -> u64x8 {
        let n = self.avx512f._mm512_set1_epi64(i64::from(n));
        cast(self.avx512f._mm512_sllv_epi64(cast(a), n))
    }
    #[inline(always)]
    fn shr_u64s(self, a: u64x8, n: u32) -> u64x8 {
        let n = self.avx512f._mm512_set1_epi64(i64::from(n));
        cast(self.avx512f._mm512_srlv_epi64(cast(a), n))
    }
    #[inline(always)]
    fn bits_m32s(self, m: b16) -> u32 {
        u32::from(m.0)
    }
    #[inline(always)]
    fn bits_m64s(self, m: b8) -> u32 {
        u32::from(m.0)
    }
    #[inline(always)]
    fn m32s_from_bits(self, bits: u32) -> b16 {
        b16(bits as u16)
    }
    #[inline(always)]
    fn m64s_from_bits(self, bits: u32) -> b8 {
        b8(bits as u8)
    }
    #[inline(always)]
    unsafe fn load_partial_f32s(self, ptr: *const f32, n: usize) -> f32x16 {
        // SAFETY: the mask selects the n elements that the caller vouches for; others are not accessed.
        cast(unsafe { self.avx512f._mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, ptr) })
    }
    #[inline(always)]
    unsafe fn store_partial_f32s(self, ptr: *mut f32, v: f32x16, n: usize) {
        // SAFETY: as in the load.
        unsafe { self.avx512f._mm512_mask_storeu_ps(ptr, ((1u32 << n) - 1) as u16, cast(v)) }
    }
    #[inline(always)]
    unsafe fn load_partial_f64s(self, ptr: *const f64, n: usize) -> f64x8 {
        // SAFETY: the mask selects the n elements that the caller vouches for; others are not accessed.
        cast(unsafe { self.avx512f._mm512_maskz_loadu_pd(((1u32 << n) - 1) as u8, ptr) })
    }
    #[inline(always)]
    unsafe fn store_partial_f64s(self, ptr: *mut f64, v: f64x8, n: usize) {
        // SAFETY: as in the load.
        unsafe { self.avx512f._mm512_mask_storeu_pd(ptr, ((1u32 << n) - 1) as u8, cast(v)) }
    }
    #[inline(always)]
    fn prefetch(self, ptr: *const u8) {
        // SAFETY: a prefetch never faults, whatever the address.
        unsafe { core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(ptr.cast()) }
    }
}
