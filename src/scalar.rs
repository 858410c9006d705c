//! The element types.

use nablas_kernels::entry::Kernels;

/// An element type of the library: `f32` or `f64`.
pub trait Scalar: Kernels + hooks::Blas + 'static {}

impl Scalar for f32 {}
impl Scalar for f64 {}

/// What a foreign BLAS has once for each element type. Private, so [`Scalar`] is sealed.
pub(crate) mod hooks {
    #[cfg(feature = "cblas")]
    use crate::backend::cblas::{self, Stored};
    #[cfg(feature = "cblas")]
    use core::ffi::c_int;
    use core::fmt::Debug;

    /// Elements from a row to the next, and from a column to the next.
    pub(crate) type Strides = (isize, isize);

    /// The GEMMs by element type: C ← α·A·B + β·C.
    pub trait Blas: Debug + Sized {
        /// `matrixmultiply`'s, for sizes (m, k, n).
        ///
        /// # Safety
        /// Each pointer is valid for every element that its shape and strides reach; no two elements of C share
        /// an address, and C overlaps neither A nor B.
        unsafe fn matrixmultiply(
            sizes: (usize, usize, usize),
            alpha: Self,
            a: (*const Self, Strides),
            b: (*const Self, Strides),
            beta: Self,
            c: (*mut Self, Strides),
        );

        /// The system CBLAS', for sizes (m, k, n) and C by rows.
        ///
        /// # Safety
        /// Each pointer is valid for every element that its size, storage and leading dimension reach, which is at
        /// least the length of what is contiguous; C overlaps neither A nor B.
        #[cfg(feature = "cblas")]
        unsafe fn cblas(
            sizes: (c_int, c_int, c_int),
            alpha: Self,
            a: (*const Self, Stored),
            b: (*const Self, Stored),
            beta: Self,
            c: (*mut Self, c_int),
        );
    }

    macro_rules! blas {
        ($t:ident, $gemm:ident) => {
            impl Blas for $t {
                unsafe fn matrixmultiply(
                    (m, k, n): (usize, usize, usize),
                    alpha: $t,
                    (a, (rsa, csa)): (*const $t, Strides),
                    (b, (rsb, csb)): (*const $t, Strides),
                    beta: $t,
                    (c, (rsc, csc)): (*mut $t, Strides),
                ) {
                    // SAFETY: the caller's promises are `matrixmultiply`'s.
                    unsafe {
                        matrixmultiply::$gemm(m, k, n, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc)
                    }
                }

                #[cfg(feature = "cblas")]
                unsafe fn cblas(
                    sizes: (c_int, c_int, c_int),
                    alpha: $t,
                    a: (*const $t, Stored),
                    b: (*const $t, Stored),
                    beta: $t,
                    c: (*mut $t, c_int),
                ) {
                    // SAFETY: the caller's promises are CBLAS's.
                    unsafe { cblas::$gemm(sizes, alpha, a, b, beta, c) }
                }
            }
        };
    }
    blas!(f32, sgemm);
    blas!(f64, dgemm);
}
