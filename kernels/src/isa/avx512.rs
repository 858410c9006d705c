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
    unsafe fn transpose_f32s(self, src: *const f32, lds: isize, rows: usize, dst: *mut f32, ldd: usize) {
        let f = self.avx512f;
        let mut r = [f._mm512_setzero_ps(); 16];
        for i in 0..16 {
            if i < rows {
                // SAFETY: row i is readable for a vector.
                r[i] = unsafe { f._mm512_loadu_ps(src.offset(i as isize * lds)) };
            }
        }
        // Of each group of four rows, `r[4g + c]` gets columns c, 4 + c, 8 + c, 12 + c.
        for g in (0..16).step_by(4) {
            let a = f._mm512_castps_pd(f._mm512_unpacklo_ps(r[g], r[g + 1]));
            let b = f._mm512_castps_pd(f._mm512_unpackhi_ps(r[g], r[g + 1]));
            let c = f._mm512_castps_pd(f._mm512_unpacklo_ps(r[g + 2], r[g + 3]));
            let d = f._mm512_castps_pd(f._mm512_unpackhi_ps(r[g + 2], r[g + 3]));
            r[g] = f._mm512_castpd_ps(f._mm512_unpacklo_pd(a, c));
            r[g + 1] = f._mm512_castpd_ps(f._mm512_unpackhi_pd(a, c));
            r[g + 2] = f._mm512_castpd_ps(f._mm512_unpacklo_pd(b, d));
            r[g + 3] = f._mm512_castpd_ps(f._mm512_unpackhi_pd(b, d));
        }
        // The groups' quarters are put together.
        for c in 0..4 {
            let even_x = f._mm512_shuffle_f32x4::<0x88>(r[c], r[4 + c]);
            let odd_x = f._mm512_shuffle_f32x4::<0xdd>(r[c], r[4 + c]);
            let even_y = f._mm512_shuffle_f32x4::<0x88>(r[8 + c], r[12 + c]);
            let odd_y = f._mm512_shuffle_f32x4::<0xdd>(r[8 + c], r[12 + c]);
            r[c] = f._mm512_shuffle_f32x4::<0x88>(even_x, even_y);
            r[4 + c] = f._mm512_shuffle_f32x4::<0x88>(odd_x, odd_y);
            r[8 + c] = f._mm512_shuffle_f32x4::<0xdd>(even_x, even_y);
            r[12 + c] = f._mm512_shuffle_f32x4::<0xdd>(odd_x, odd_y);
        }
        for j in 0..16 {
            // SAFETY: row j is writable for `rows` elements.
            unsafe { self.store_partial_f32s(dst.add(j * ldd), cast(r[j]), rows) }
        }
    }
    #[inline(always)]
    unsafe fn transpose_f64s(self, src: *const f64, lds: isize, rows: usize, dst: *mut f64, ldd: usize) {
        let f = self.avx512f;
        let mut r = [f._mm512_setzero_pd(); 8];
        for i in 0..8 {
            if i < rows {
                // SAFETY: row i is readable for a vector.
                r[i] = unsafe { f._mm512_loadu_pd(src.offset(i as isize * lds)) };
            }
        }
        // Of each pair of rows, `r[2g + c]` gets columns c, 2 + c, 4 + c, 6 + c.
        for g in (0..8).step_by(2) {
            let (a, b) = (r[g], r[g + 1]);
            (r[g], r[g + 1]) = (f._mm512_unpacklo_pd(a, b), f._mm512_unpackhi_pd(a, b));
        }
        // The pairs' quarters are put together.
        for c in 0..2 {
            let even_x = f._mm512_shuffle_f64x2::<0x88>(r[c], r[2 + c]);
            let odd_x = f._mm512_shuffle_f64x2::<0xdd>(r[c], r[2 + c]);
            let even_y = f._mm512_shuffle_f64x2::<0x88>(r[4 + c], r[6 + c]);
            let odd_y = f._mm512_shuffle_f64x2::<0xdd>(r[4 + c], r[6 + c]);
            r[c] = f._mm512_shuffle_f64x2::<0x88>(even_x, even_y);
            r[2 + c] = f._mm512_shuffle_f64x2::<0x88>(odd_x, odd_y);
            r[4 + c] = f._mm512_shuffle_f64x2::<0xdd>(even_x, even_y);
            r[6 + c] = f._mm512_shuffle_f64x2::<0xdd>(odd_x, odd_y);
        }
        for j in 0..8 {
            // SAFETY: row j is writable for `rows` elements.
            unsafe { self.store_partial_f64s(dst.add(j * ldd), cast(r[j]), rows) }
        }
    }
    #[inline(always)]
    fn prefetch(self, ptr: *const u8) {
        // SAFETY: a prefetch never faults, whatever the address.
        unsafe { core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(ptr.cast()) }
    }
}
