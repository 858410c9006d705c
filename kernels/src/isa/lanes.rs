//! The typed view of an ISA: the same operations for `f32` and `f64`.

use super::{COLUMNS, Isa, LaneKernel};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// An element type: `f32` or `f64`.
pub trait Real:
    sealed::Sealed
    + Copy
    + Default
    + Send
    + Sync
    + PartialEq
    + PartialOrd
    + core::fmt::Debug
    + core::fmt::Display
    + core::ops::Add<Output = Self>
    + core::ops::Sub<Output = Self>
    + core::ops::Mul<Output = Self>
    + core::ops::Div<Output = Self>
    + core::ops::Neg<Output = Self>
    + core::ops::AddAssign
    + 'static
{
    /// The unsigned integer of the same width.
    type Bits: Copy + Eq + core::fmt::Debug + core::fmt::LowerHex;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The distance from 1 to the next larger number.
    const EPSILON: Self;
    /// "f32" or "f64".
    const NAME: &'static str;
    /// The nearest value.
    fn from_f64(x: f64) -> Self;
    /// The exact value.
    fn to_f64(self) -> f64;
    /// The bit pattern.
    fn bits(self) -> Self::Bits;
    /// Whether it is neither infinite nor NaN.
    fn finite(self) -> bool;
    /// Runs a kernel over elements of this type: here, with the type known, any ISA is known to have lanes for it.
    fn run<I: Isa, K: LaneKernel<Elem = Self>>(isa: I, kernel: K) -> K::Output;
}

macro_rules! real {
    ($t:ident, $u:ident) => {
        impl Real for $t {
            type Bits = $u;
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const EPSILON: $t = $t::EPSILON;
            const NAME: &'static str = stringify!($t);
            #[inline(always)]
            fn from_f64(x: f64) -> $t {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn bits(self) -> $u {
                self.to_bits()
            }
            #[inline(always)]
            fn finite(self) -> bool {
                self.is_finite()
            }
            #[inline(always)]
            fn run<I: Isa, K: LaneKernel<Elem = $t>>(isa: I, kernel: K) -> K::Output {
                kernel.run_lanes(isa)
            }
        }
    };
}
real!(f32, u32);
real!(f64, u64);

/// Lane-wise arithmetic on vectors of `T`: of one ISA's registers, or of [two at a time](super::Pair).
///
/// All arithmetic is IEEE, lane by lane, rounded to nearest even. `min`/`max` are left out on purpose: their
/// treatment of NaN and of ±0 differs between ISAs; kernels compare and [`select`](Arith::select).
pub trait Arith<T: Real>: Copy {
    /// A vector.
    type V: Copy;
    /// A lane mask.
    type M: Copy;
    /// A vector of the unsigned integers of `T`'s width.
    type U: Copy;
    /// Lanes in a vector.
    const LANES: usize;

    /// `x` in every lane.
    fn splat(self, x: T) -> Self::V;
    /// +0 in every lane.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(T::ZERO)
    }
    /// a + b.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a − b.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a · b.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a / b.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// a · b + c, rounded once.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// c − a · b, rounded once.
    fn nfma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// Clears the sign bit.
    fn abs(self, a: Self::V) -> Self::V;
    /// Flips the sign bit.
    fn neg(self, a: Self::V) -> Self::V;

    /// a < b; false where either is NaN.
    fn lt(self, a: Self::V, b: Self::V) -> Self::M;
    /// a ≤ b; false where either is NaN.
    fn le(self, a: Self::V, b: Self::V) -> Self::M;
    /// a = b; false where either is NaN.
    fn eq(self, a: Self::V, b: Self::V) -> Self::M;
    /// Both masks.
    fn and_m(self, a: Self::M, b: Self::M) -> Self::M;
    /// Either mask.
    fn or_m(self, a: Self::M, b: Self::M) -> Self::M;
    /// The mask's complement.
    fn not_m(self, a: Self::M) -> Self::M;
    /// `a` where the mask is set, `b` elsewhere.
    fn select(self, m: Self::M, a: Self::V, b: Self::V) -> Self::V;
    /// Bit `i` is lane `i`.
    fn mask_bits(self, m: Self::M) -> u32;
    /// Whether some lane is set.
    #[inline(always)]
    fn any(self, m: Self::M) -> bool {
        self.mask_bits(m) != 0
    }
    /// Lane `i` is bit `i`.
    fn mask_from_bits(self, bits: u32) -> Self::M;

    /// `x` in every lane, as bits.
    fn splat_u(self, x: T::Bits) -> Self::U;
    /// The bits of a vector.
    fn to_bits(self, a: Self::V) -> Self::U;
    /// The vector with these bits.
    fn of_bits(self, a: Self::U) -> Self::V;
    /// Wrapping a + b.
    fn add_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// Wrapping a − b.
    fn sub_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// a & b.
    fn and_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// a | b.
    fn or_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// a ^ b.
    fn xor_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// a << n in each lane; `n` below the lane's width.
    fn shl_u(self, a: Self::U, n: u32) -> Self::U;
    /// a >> n in each lane, logical; `n` below the lane's width.
    fn shr_u(self, a: Self::U, n: u32) -> Self::U;
    /// a = b, on bits.
    fn eq_u(self, a: Self::U, b: Self::U) -> Self::M;

    /// Loads a vector, unaligned.
    ///
    /// # Safety
    /// `ptr` is readable for `LANES` elements.
    #[inline(always)]
    unsafe fn load(self, ptr: *const T) -> Self::V {
        // SAFETY: the caller vouches for LANES readable elements; V is that many, without padding.
        unsafe { ptr.cast::<Self::V>().read_unaligned() }
    }
    /// Stores a vector, unaligned.
    ///
    /// # Safety
    /// `ptr` is writable for `LANES` elements.
    #[inline(always)]
    unsafe fn store(self, ptr: *mut T, v: Self::V) {
        // SAFETY: the caller vouches for LANES writable elements; V is that many, without padding.
        unsafe { ptr.cast::<Self::V>().write_unaligned(v) }
    }
}

/// What a kernel does with vectors of `T` on one ISA: [`Arith`], and what rows that end within a vector ask for.
pub trait Lanes<T: Real>: Isa + Arith<T> {
    /// Loads `n` elements, zero in the other lanes, whose memory is not touched.
    ///
    /// # Safety
    /// `ptr` is readable for `n` elements; `n <= LANES`.
    unsafe fn load_partial(self, ptr: *const T, n: usize) -> Self::V;
    /// Stores the first `n` lanes; the memory of the others is not touched.
    ///
    /// # Safety
    /// `ptr` is writable for `n` elements; `n <= LANES`.
    unsafe fn store_partial(self, ptr: *mut T, v: Self::V, n: usize);

    /// Eight columns of a row-major block: lane i of vector j is `src[i·lds + j]` for i < `rows`, in other lanes anything.
    ///
    /// # Safety
    /// `1 <= rows <= LANES`; `src` is readable at `rows` rows of eight elements.
    unsafe fn columns(self, src: *const T, lds: isize, rows: usize) -> [Self::V; COLUMNS];
}

macro_rules! lanes {
    ($t:ident, $u:ident, $v:ident, $m:ident, $us:ident, $n:ident, {
        $splat:ident $add:ident $sub:ident $mul:ident $div:ident $fma:ident $nfma:ident $sqrt:ident $abs:ident
        $neg:ident $lt:ident $le:ident $eq:ident $and_m:ident $or_m:ident $not_m:ident $select:ident
        $bits:ident $from:ident $splat_u:ident $to_bits:ident $from_bits:ident $add_u:ident $sub_u:ident
        $and_u:ident $or_u:ident $xor_u:ident $eq_u:ident $loadp:ident $storep:ident $columns:ident
    }, $shl:expr, $shr:expr) => {
        impl<I: Isa> Arith<$t> for I {
            type V = I::$v;
            type M = I::$m;
            type U = I::$us;
            const LANES: usize = I::$n;

            lanes!(@ 1 splat($t) -> Self::V = $splat);
            lanes!(@ 2 add(Self::V, Self::V) -> Self::V = $add);
            lanes!(@ 2 sub(Self::V, Self::V) -> Self::V = $sub);
            lanes!(@ 2 mul(Self::V, Self::V) -> Self::V = $mul);
            lanes!(@ 2 div(Self::V, Self::V) -> Self::V = $div);
            lanes!(@ 3 fma(Self::V, Self::V, Self::V) -> Self::V = $fma);
            lanes!(@ 3 nfma(Self::V, Self::V, Self::V) -> Self::V = $nfma);
            lanes!(@ 1 sqrt(Self::V) -> Self::V = $sqrt);
            lanes!(@ 1 abs(Self::V) -> Self::V = $abs);
            lanes!(@ 1 neg(Self::V) -> Self::V = $neg);
            lanes!(@ 2 lt(Self::V, Self::V) -> Self::M = $lt);
            lanes!(@ 2 le(Self::V, Self::V) -> Self::M = $le);
            lanes!(@ 2 eq(Self::V, Self::V) -> Self::M = $eq);
            lanes!(@ 2 and_m(Self::M, Self::M) -> Self::M = $and_m);
            lanes!(@ 2 or_m(Self::M, Self::M) -> Self::M = $or_m);
            lanes!(@ 1 not_m(Self::M) -> Self::M = $not_m);
            lanes!(@ 3 select(Self::M, Self::V, Self::V) -> Self::V = $select);
            lanes!(@ 1 mask_bits(Self::M) -> u32 = $bits);
            lanes!(@ 1 mask_from_bits(u32) -> Self::M = $from);
            lanes!(@ 1 splat_u($u) -> Self::U = $splat_u);
            lanes!(@ 1 to_bits(Self::V) -> Self::U = $to_bits);
            lanes!(@ 1 of_bits(Self::U) -> Self::V = $from_bits);
            lanes!(@ 2 add_u(Self::U, Self::U) -> Self::U = $add_u);
            lanes!(@ 2 sub_u(Self::U, Self::U) -> Self::U = $sub_u);
            lanes!(@ 2 and_u(Self::U, Self::U) -> Self::U = $and_u);
            lanes!(@ 2 or_u(Self::U, Self::U) -> Self::U = $or_u);
            lanes!(@ 2 xor_u(Self::U, Self::U) -> Self::U = $xor_u);
            lanes!(@ 2 eq_u(Self::U, Self::U) -> Self::M = $eq_u);

            #[inline(always)]
            fn shl_u(self, a: Self::U, n: u32) -> Self::U {
                $shl(self, a, n)
            }
            #[inline(always)]
            fn shr_u(self, a: Self::U, n: u32) -> Self::U {
                $shr(self, a, n)
            }
        }

        impl<I: Isa> Lanes<$t> for I {
            #[inline(always)]
            unsafe fn load_partial(self, ptr: *const $t, n: usize) -> Self::V {
                // SAFETY: the caller's promise is the callee's.
                unsafe { self.$loadp(ptr, n) }
            }
            #[inline(always)]
            unsafe fn store_partial(self, ptr: *mut $t, v: Self::V, n: usize) {
                // SAFETY: the caller's promise is the callee's.
                unsafe { self.$storep(ptr, v, n) }
            }
            #[inline(always)]
            unsafe fn columns(self, src: *const $t, lds: isize, rows: usize) -> [Self::V; COLUMNS] {
                // SAFETY: the caller's promise is the callee's.
                unsafe { self.$columns(src, lds, rows) }
            }
        }
    };
    (@ 1 $f:ident($a:ty) -> $r:ty = $g:ident) => {
        #[inline(always)]
        fn $f(self, a: $a) -> $r {
            self.$g(a)
        }
    };
    (@ 2 $f:ident($a:ty, $b:ty) -> $r:ty = $g:ident) => {
        #[inline(always)]
        fn $f(self, a: $a, b: $b) -> $r {
            self.$g(a, b)
        }
    };
    (@ 3 $f:ident($a:ty, $b:ty, $c:ty) -> $r:ty = $g:ident) => {
        #[inline(always)]
        fn $f(self, a: $a, b: $b, c: $c) -> $r {
            self.$g(a, b, c)
        }
    };
}

lanes!(f32, u32, f32s, m32s, u32s, F32_LANES, {
    splat_f32s add_f32s sub_f32s mul_f32s div_f32s mul_add_f32s negate_mul_add_f32s sqrt_f32s abs_f32s
    neg_f32s less_than_f32s less_than_or_equal_f32s equal_f32s and_m32s or_m32s not_m32s select_f32s
    bits_m32s m32s_from_bits splat_u32s transmute_u32s_f32s transmute_f32s_u32s add_u32s sub_u32s
    and_u32s or_u32s xor_u32s equal_u32s load_partial_f32s store_partial_f32s columns_f32s
},
    |s: I, a, n| s.wrapping_dyn_shl_u32s(a, s.splat_u32s(n)),
    |s: I, a, n| s.wrapping_dyn_shr_u32s(a, s.splat_u32s(n))
);
lanes!(f64, u64, f64s, m64s, u64s, F64_LANES, {
    splat_f64s add_f64s sub_f64s mul_f64s div_f64s mul_add_f64s negate_mul_add_f64s sqrt_f64s abs_f64s
    neg_f64s less_than_f64s less_than_or_equal_f64s equal_f64s and_m64s or_m64s not_m64s select_f64s
    bits_m64s m64s_from_bits splat_u64s transmute_u64s_f64s transmute_f64s_u64s add_u64s sub_u64s
    and_u64s or_u64s xor_u64s equal_u64s load_partial_f64s store_partial_f64s columns_f64s
},
    |s: I, a, n| s.shl_u64s(a, n),
    |s: I, a, n| s.shr_u64s(a, n)
);
