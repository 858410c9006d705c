//! The element types.

use nablas_kernels::math::Math;

/// An element type of the library: `f32` or `f64`.
pub trait Scalar: Math + hooks::Blas {}

impl<T: Math + hooks::Blas> Scalar for T {}

/// What a foreign BLAS has once for each element type. Private, so [`Scalar`] is sealed.
pub(crate) mod hooks {
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
            }
        };
    }
    blas!(f32, sgemm);
    blas!(f64, dgemm);
}
