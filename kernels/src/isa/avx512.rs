//! AVX-512 (F, BW, CD, DQ, VL: x86-64-v4): 32 registers of 16 `f32` or 8 `f64`, native masks.

use super::{COLUMNS, Call, Isa, Kernel, TileFamily, row_or_last};
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
    unsafe fn columns_f32s(self, src: *const f32, lds: isize, rows: usize) -> [f32x16; COLUMNS] {
        let f = self.avx512f;
        // Rows i and 8 + i, half a register each: the upper half comes with its load, and needs no shuffle.
        let mut r = [f._mm512_setzero_ps(); 8];
        for i in 0..8 {
            // SAFETY: both rows are among the readable ones.
            unsafe {
                let (low, high) =
                    (src.offset(row_or_last(i, rows, lds)), src.offset(row_or_last(8 + i, rows, lds)));
                let low = f._mm512_castps256_ps512(self.avx._mm256_loadu_ps(low));
                r[i] = self.avx512dq._mm512_insertf32x8::<1>(low, self.avx._mm256_loadu_ps(high));
            }
        }
        // Of each group of four, `r[4g + c]` gets columns c and 4 + c, a quarter of a register for each four rows.
        for g in [0, 4] {
            let a = f._mm512_castps_pd(f._mm512_unpacklo_ps(r[g], r[g + 1]));
            let b = f._mm512_castps_pd(f._mm512_unpackhi_ps(r[g], r[g + 1]));
            let c = f._mm512_castps_pd(f._mm512_unpacklo_ps(r[g + 2], r[g + 3]));
            let d = f._mm512_castps_pd(f._mm512_unpackhi_ps(r[g + 2], r[g + 3]));
            r[g] = f._mm512_castpd_ps(f._mm512_unpacklo_pd(a, c));
            r[g + 1] = f._mm512_castpd_ps(f._mm512_unpackhi_pd(a, c));
            r[g + 2] = f._mm512_castpd_ps(f._mm512_unpacklo_pd(b, d));
            r[g + 3] = f._mm512_castpd_ps(f._mm512_unpackhi_pd(b, d));
        }
        let low = f._mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
        let high = f._mm512_setr_epi32(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
        for c in 0..4 {
            let (a, b) = (r[c], r[4 + c]);
            r[c] = f._mm512_permutex2var_ps(a, low, b);
            r[4 + c] = f._mm512_permutex2var_ps(a, high, b);
        }
        cast(r)
    }
    #[inline(always)]
    unsafe fn columns_f64s(self, src: *const f64, lds: isize, rows: usize) -> [f64x8; COLUMNS] {
        let f = self.avx512f;
        let mut out = [f._mm512_setzero_pd(); 8];
        for half in [0, 4] {
            // Rows i and 4 + i, half a register each.
            let mut r = [f._mm512_setzero_pd(); 4];
            for i in 0..4 {
                // SAFETY: both rows are among the readable ones.
                unsafe {
                    let (low, high) =
                        (src.offset(row_or_last(i, rows, lds)), src.offset(row_or_last(4 + i, rows, lds)));
                    let low = f._mm512_castpd256_pd512(self.avx._mm256_loadu_pd(low.add(half)));
                    let high = self.avx._mm256_loadu_pd(high.add(half));
                    r[i] = f._mm512_insertf64x4::<1>(low, high);
                }
            }
            // `a` has columns 0 and 2 of the half, `b` 1 and 3, a quarter of a register for each two rows.
            let a = [f._mm512_unpacklo_pd(r[0], r[1]), f._mm512_unpacklo_pd(r[2], r[3])];
            let b = [f._mm512_unpackhi_pd(r[0], r[1]), f._mm512_unpackhi_pd(r[2], r[3])];
            let low = f._mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
            let high = f._mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
            out[half] = f._mm512_permutex2var_pd(a[0], low, a[1]);
            out[half + 1] = f._mm512_permutex2var_pd(b[0], low, b[1]);
            out[half + 2] = f._mm512_permutex2var_pd(a[0], high, a[1]);
            out[half + 3] = f._mm512_permutex2var_pd(b[0], high, b[1]);
        }
        cast(out)
    }
    #[inline(always)]
    fn prefetch(self, ptr: *const u8) {
        // SAFETY: a prefetch never faults, whatever the address.
        unsafe { core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(ptr.cast()) }
    }
}
