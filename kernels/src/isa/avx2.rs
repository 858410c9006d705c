//! AVX2 with FMA (x86-64-v3): 16 registers of 8 `f32` or 4 `f64`.

use super::{COLUMNS, Call, Isa, Kernel, TileFamily, row_or_last};
use core::arch::x86_64::__m256i;
use pulp::{cast, f32x8, f64x4, m32x8, m64x4, u32x8, u64x4, x86::V3};

/// Eight set lanes, then eight clear ones: a window that starts at `8 − n` has the first `n` lanes set.
static WINDOW32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
/// The same for four 64-bit lanes.
static WINDOW64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

/// The mask of the first `n` 32-bit lanes.
#[inline(always)]
fn first32(n: usize) -> __m256i {
    debug_assert!(n <= 8);
    // SAFETY: n <= 8, so the window of eight lies inside the sixteen.
    unsafe { WINDOW32.as_ptr().add(8 - n).cast::<__m256i>().read_unaligned() }
}

/// The mask of the first `n` 64-bit lanes.
#[inline(always)]
fn first64(n: usize) -> __m256i {
    debug_assert!(n <= 4);
    // SAFETY: n <= 4, so the window of four lies inside the eight.
    unsafe { WINDOW64.as_ptr().add(4 - n).cast::<__m256i>().read_unaligned() }
}

impl Isa for V3 {
    const NAME: &'static str = "avx2";
    const TILES: TileFamily = TileFamily::Regs16;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        V3::vectorize(self, Call(kernel, self))
    }

    #[inline(always)]
    fn shl_u64s(self, a: u64x4, n: u32) -> u64x4 {
        let n = self.avx._mm256_set1_epi64x(i64::from(n));
        cast(self.avx2._mm256_sllv_epi64(cast(a), n))
    }
    #[inline(always)]
    fn shr_u64s(self, a: u64x4, n: u32) -> u64x4 {
        let n = self.avx._mm256_set1_epi64x(i64::from(n));
        cast(self.avx2._mm256_srlv_epi64(cast(a), n))
    }
    #[inline(always)]
    fn bits_m32s(self, m: m32x8) -> u32 {
        self.avx._mm256_movemask_ps(cast::<u32x8, _>(pulp::Simd::transmute_u32s_m32s(self, m))) as u32
    }
    #[inline(always)]
    fn bits_m64s(self, m: m64x4) -> u32 {
        self.avx._mm256_movemask_pd(cast::<u64x4, _>(pulp::Simd::transmute_u64s_m64s(self, m))) as u32
    }
    #[inline(always)]
    fn m32s_from_bits(self, bits: u32) -> m32x8 {
        let lane = u32x8(1, 2, 4, 8, 16, 32, 64, 128);
        let all = pulp::Simd::splat_u32s(self, bits);
        pulp::Simd::equal_u32s(self, pulp::Simd::and_u32s(self, all, lane), lane)
    }
    #[inline(always)]
    fn m64s_from_bits(self, bits: u32) -> m64x4 {
        let lane = u64x4(1, 2, 4, 8);
        let all = pulp::Simd::splat_u64s(self, u64::from(bits));
        pulp::Simd::equal_u64s(self, pulp::Simd::and_u64s(self, all, lane), lane)
    }
    #[inline(always)]
    unsafe fn load_partial_f32s(self, ptr: *const f32, n: usize) -> f32x8 {
        // SAFETY: the mask selects the n elements that the caller vouches for; others are not accessed.
        cast(unsafe { self.avx._mm256_maskload_ps(ptr, first32(n)) })
    }
    #[inline(always)]
    unsafe fn store_partial_f32s(self, ptr: *mut f32, v: f32x8, n: usize) {
        // SAFETY: as in the load.
        unsafe { self.avx._mm256_maskstore_ps(ptr, first32(n), cast(v)) }
    }
    #[inline(always)]
    unsafe fn load_partial_f64s(self, ptr: *const f64, n: usize) -> f64x4 {
        // SAFETY: the mask selects the n elements that the caller vouches for; others are not accessed.
        cast(unsafe { self.avx._mm256_maskload_pd(ptr, first64(n)) })
    }
    #[inline(always)]
    unsafe fn store_partial_f64s(self, ptr: *mut f64, v: f64x4, n: usize) {
        // SAFETY: as in the load.
        unsafe { self.avx._mm256_maskstore_pd(ptr, first64(n), cast(v)) }
    }
    #[inline(always)]
    unsafe fn columns_f32s(self, src: *const f32, lds: isize, rows: usize) -> [f32x8; COLUMNS] {
        let f = self.avx;
        let mut out = [f._mm256_setzero_ps(); 8];
        for half in [0, 4] {
            // Rows i and 4 + i, half a register each: the upper half comes with its load, and needs no shuffle.
            let mut r = [f._mm256_setzero_ps(); 4];
            for i in 0..4 {
                // SAFETY: both rows are among the readable ones.
                unsafe {
                    let (low, high) =
                        (src.offset(row_or_last(i, rows, lds)), src.offset(row_or_last(4 + i, rows, lds)));
                    let low = f._mm256_castps128_ps256(self.sse._mm_loadu_ps(low.add(half)));
                    r[i] = f._mm256_insertf128_ps::<1>(low, self.sse._mm_loadu_ps(high.add(half)));
                }
            }
            let a = f._mm256_castps_pd(f._mm256_unpacklo_ps(r[0], r[1]));
            let b = f._mm256_castps_pd(f._mm256_unpackhi_ps(r[0], r[1]));
            let c = f._mm256_castps_pd(f._mm256_unpacklo_ps(r[2], r[3]));
            let d = f._mm256_castps_pd(f._mm256_unpackhi_ps(r[2], r[3]));
            out[half] = f._mm256_castpd_ps(f._mm256_unpacklo_pd(a, c));
            out[half + 1] = f._mm256_castpd_ps(f._mm256_unpackhi_pd(a, c));
            out[half + 2] = f._mm256_castpd_ps(f._mm256_unpacklo_pd(b, d));
            out[half + 3] = f._mm256_castpd_ps(f._mm256_unpackhi_pd(b, d));
        }
        cast(out)
    }
    #[inline(always)]
    unsafe fn columns_f64s(self, src: *const f64, lds: isize, rows: usize) -> [f64x4; COLUMNS] {
        let f = self.avx;
        let mut out = [f._mm256_setzero_pd(); 8];
        for pair in [0, 2, 4, 6] {
            // Rows i and 2 + i, half a register each.
            let mut r = [f._mm256_setzero_pd(); 2];
            for i in 0..2 {
                // SAFETY: both rows are among the readable ones.
                unsafe {
                    let (low, high) =
                        (src.offset(row_or_last(i, rows, lds)), src.offset(row_or_last(2 + i, rows, lds)));
                    let low = f._mm256_castpd128_pd256(self.sse2._mm_loadu_pd(low.add(pair)));
                    r[i] = f._mm256_insertf128_pd::<1>(low, self.sse2._mm_loadu_pd(high.add(pair)));
                }
            }
            out[pair] = f._mm256_unpacklo_pd(r[0], r[1]);
            out[pair + 1] = f._mm256_unpackhi_pd(r[0], r[1]);
        }
        cast(out)
    }
    #[inline(always)]
    fn prefetch(self, ptr: *const u8) {
        // SAFETY: a prefetch never faults, whatever the address.
        unsafe { core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(ptr.cast()) }
    }
}
