//! ISA tokens over `pulp`.
//!
//! [`Isa`] is one instruction set, proven present by holding its token; [`Lanes<T>`](Lanes) is the view a
//! kernel takes of it for elements of type `T`, so that one kernel body serves `f32` and `f64` on every ISA.
//! Everything here is `inline(always)`: the operations must land inside the one function that
//! [`Isa::run`] compiles with the ISA's target features, or each of them becomes a call.

mod lanes;
mod pair;
mod scalar;
mod token;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

pub use lanes::{Arith, Lanes, Real};
pub use pair::Pair;
pub use token::{IsaError, IsaToken};

/// A unit of work to be compiled once per ISA.
pub trait Kernel {
    /// What the work returns.
    type Output;
    /// The work. Implementations are `#[inline(always)]`.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// A [`Kernel`] over elements of one type, `f32` or `f64`: written once against [`Lanes`] of that type.
pub trait LaneKernel {
    /// The element type.
    type Elem: Real;
    /// What the work returns.
    type Output;
    /// The work. Implementations are `#[inline(always)]`.
    fn run_lanes<I: Lanes<Self::Elem>>(self, isa: I) -> Self::Output;
}

impl<K: LaneKernel> Kernel for K {
    type Output = K::Output;
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> K::Output {
        K::Elem::run(isa, self)
    }
}

/// A kernel on raw memory, for whose operands somebody must vouch.
pub trait RawKernel {
    /// The element type.
    type Elem: Real;
    /// The work. Implementations are `#[inline(always)]`.
    ///
    /// # Safety
    /// The operands that the kernel's fields name are valid for reads, and the outputs for writes, over the sizes
    /// that they name; nothing else accesses the outputs meanwhile.
    unsafe fn run_raw<I: Lanes<Self::Elem>>(self, isa: I);
}

/// A raw kernel somebody vouched for, which makes it a kernel that safe code may run.
#[derive(Debug, Clone, Copy)]
pub struct Vouched<K>(K);

impl<K: RawKernel> Vouched<K> {
    /// Vouches for a kernel's operands.
    ///
    /// # Safety
    /// What [`RawKernel::run_raw`] asks for holds until the kernel has run.
    #[inline(always)]
    pub unsafe fn new(kernel: K) -> Self {
        Self(kernel)
    }
}

impl<K: RawKernel> LaneKernel for Vouched<K> {
    type Elem = K::Elem;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<K::Elem>>(self, isa: I) {
        // SAFETY: whoever made it vouched.
        unsafe { self.0.run_raw(isa) }
    }
}

/// The register tiles an ISA's register file affords; see `gemm::tile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileFamily {
    /// 32 registers: 24 accumulators, up to four vectors wide.
    Regs32,
    /// 16 registers: 12 accumulators, up to two vectors wide.
    Regs16,
    /// The scalar reference: eight one-lane "vectors".
    Scalar,
}

/// One instruction set: `pulp`'s portable operations, and the few that it lacks.
///
/// Lane `i` of every operation depends on lane `i` of its operands alone, and every operation is the
/// correctly rounded IEEE one (or exact on bits), so a lane-wise program gives the same bits on all ISAs.
pub trait Isa: pulp::Simd {
    /// The name `NABLAS_ISA` pins it by.
    const NAME: &'static str;
    /// Which register tiles to use.
    const TILES: TileFamily;

    /// Runs a kernel inside one function compiled with this ISA's target features. A real call.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;

    /// `a << n` in each 64-bit lane, `n < 64`.
    fn shl_u64s(self, a: Self::u64s, n: u32) -> Self::u64s;
    /// `a >> n` (logical) in each 64-bit lane, `n < 64`.
    fn shr_u64s(self, a: Self::u64s, n: u32) -> Self::u64s;

    /// Bit `i` of the result is lane `i` of the mask.
    fn bits_m32s(self, m: Self::m32s) -> u32;
    /// Bit `i` of the result is lane `i` of the mask.
    fn bits_m64s(self, m: Self::m64s) -> u32;
    /// Lane `i` of the mask is bit `i`; higher bits are ignored.
    fn m32s_from_bits(self, bits: u32) -> Self::m32s;
    /// Lane `i` of the mask is bit `i`; higher bits are ignored.
    fn m64s_from_bits(self, bits: u32) -> Self::m64s;

    /// Loads `n` elements, zero in the other lanes, whose memory is not touched.
    ///
    /// # Safety
    /// `ptr` is readable for `n` elements; `n <= F32_LANES`.
    unsafe fn load_partial_f32s(self, ptr: *const f32, n: usize) -> Self::f32s;
    /// Stores the first `n` lanes; the memory of the others is not touched.
    ///
    /// # Safety
    /// `ptr` is writable for `n` elements; `n <= F32_LANES`.
    unsafe fn store_partial_f32s(self, ptr: *mut f32, v: Self::f32s, n: usize);
    /// Loads `n` elements, zero in the other lanes, whose memory is not touched.
    ///
    /// # Safety
    /// `ptr` is readable for `n` elements; `n <= F64_LANES`.
    unsafe fn load_partial_f64s(self, ptr: *const f64, n: usize) -> Self::f64s;
    /// Stores the first `n` lanes; the memory of the others is not touched.
    ///
    /// # Safety
    /// `ptr` is writable for `n` elements; `n <= F64_LANES`.
    unsafe fn store_partial_f64s(self, ptr: *mut f64, v: Self::f64s, n: usize);

    /// Eight columns of a row-major block: lane i of vector j is `src[i·lds + j]` for i < `rows`, in other lanes anything.
    ///
    /// # Safety
    /// `1 <= rows <= F32_LANES`; `src` is readable at `rows` rows of eight elements.
    #[inline(always)]
    unsafe fn columns_f32s(self, src: *const f32, lds: isize, rows: usize) -> [Self::f32s; COLUMNS] {
        let mut out = [self.splat_f32s(0.0); COLUMNS];
        // SAFETY: the caller's promise; eight vectors are eight times F32_LANES elements.
        unsafe { columns(src, lds, (rows, Self::F32_LANES), out.as_mut_ptr().cast()) }
        out
    }
    /// The same of `f64`.
    ///
    /// # Safety
    /// As for [`columns_f32s`](Self::columns_f32s), with `F64_LANES`.
    #[inline(always)]
    unsafe fn columns_f64s(self, src: *const f64, lds: isize, rows: usize) -> [Self::f64s; COLUMNS] {
        let mut out = [self.splat_f64s(0.0); COLUMNS];
        // SAFETY: as for f32.
        unsafe { columns(src, lds, (rows, Self::F64_LANES), out.as_mut_ptr().cast()) }
        out
    }

    /// Asks for the cache line of `ptr` to be brought to L1. Any address is allowed.
    fn prefetch(self, ptr: *const u8);
}

/// Columns of a block that is transposed in registers.
pub const COLUMNS: usize = 8;

/// Transposes eight columns of `rows` rows element by element, each to `lanes` elements: where an ISA has no better way.
///
/// # Safety
/// `src` is readable at `rows` rows of eight elements, `dst` writable for eight times `lanes`, which are no fewer.
#[inline(always)]
unsafe fn columns<T: Copy>(src: *const T, lds: isize, (rows, lanes): (usize, usize), dst: *mut T) {
    for i in 0..rows {
        for j in 0..COLUMNS {
            // SAFETY: (i, j) is in the source, (j, i) in the destination.
            unsafe { *dst.add(j * lanes + i) = *src.offset(i as isize * lds + j as isize) }
        }
    }
}

/// The offset of row `i` of `rows`, or of the last for rows beyond it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn row_or_last(i: usize, rows: usize, lds: isize) -> isize {
    (if i < rows { i } else { rows - 1 }) as isize * lds
}

/// Runs a kernel as [`Isa::run`] does, and keeps it a function of its own. The optimiser would otherwise inline
/// each register tile into each of its callers: minutes of compilation, and one symbol for all in a profile.
#[inline(never)]
pub fn outline<I: Isa, K: Kernel>(isa: I, kernel: K) -> K::Output {
    isa.run(kernel)
}

/// Runs `kernel` through a token's own `vectorize`, with that token as the ISA.
struct Call<K, I>(K, I);

impl<K: Kernel, I: Isa> pulp::NullaryFnOnce for Call<K, I> {
    type Output = K::Output;
    #[inline(always)]
    fn call(self) -> K::Output {
        self.0.run(self.1)
    }
}
