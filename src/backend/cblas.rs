//! The system's CBLAS: OpenBLAS, BLIS or MKL, whichever was linked.
//!
//! CBLAS takes matrices whose rows or whose columns are contiguous, and sizes of 31 bits. A view of another layout is
//! copied to one that it takes; sizes past that are refused. A threaded library starts threads of its own: in a
//! parallel plan, tell it not to (`OPENBLAS_NUM_THREADS=1` and its likes).

use super::{Backend, check_gemm, scale};
use crate::{
    Scalar,
    error::{Error, Result},
    jacobian::Dense,
    view::{MatMut, MatRef},
};
use core::ffi::c_int;

/// `CBLAS_LAYOUT`: rows are contiguous.
const ROW_MAJOR: c_int = 101;
/// `CBLAS_TRANSPOSE`: the matrix itself.
const AS_IS: c_int = 111;
/// `CBLAS_TRANSPOSE`: the matrix, stored by columns.
const TRANSPOSED: c_int = 112;

macro_rules! declare {
    ($name:ident, $call:ident, $t:ident) => {
        unsafe extern "C" {
            fn $name(
                layout: c_int,
                trans_a: c_int,
                trans_b: c_int,
                m: c_int,
                n: c_int,
                k: c_int,
                alpha: $t,
                a: *const $t,
                lda: c_int,
                b: *const $t,
                ldb: c_int,
                beta: $t,
                c: *mut $t,
                ldc: c_int,
            );
        }

        /// C ← α·A·B + β·C, C by rows.
        ///
        /// # Safety
        /// Each pointer is valid for every element that its size, storage and leading dimension reach; leading
        /// dimensions are at least the length of what is contiguous; C overlaps neither A nor B.
        pub(crate) unsafe fn $call(
            (m, k, n): (c_int, c_int, c_int),
            alpha: $t,
            (a, stored_a): (*const $t, Stored),
            (b, stored_b): (*const $t, Stored),
            beta: $t,
            (c, ldc): (*mut $t, c_int),
        ) {
            let (ta, tb) = (stored_a.trans, stored_b.trans);
            let (lda, ldb) = (stored_a.ld, stored_b.ld);
            // SAFETY: the caller's promises are CBLAS's.
            unsafe { $name(ROW_MAJOR, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) }
        }
    };
}
declare!(cblas_sgemm, sgemm, f32);
declare!(cblas_dgemm, dgemm, f64);

/// How CBLAS is told of a matrix.
#[derive(Clone, Copy)]
pub struct Stored {
    trans: c_int,
    ld: c_int,
}

impl Stored {
    /// The storage of a view that CBLAS takes: by rows, else by columns.
    fn of((rows, cols): (usize, usize), (rs, cs): (isize, isize)) -> Option<Self> {
        let line = |contiguous: usize, lines: usize, step: isize, stride: isize| {
            // The stride between lines means nothing where there is one; nor within lines of one element.
            let stride = if lines <= 1 { contiguous.max(1) as isize } else { stride };
            let fits = (step == 1 || contiguous <= 1) && stride >= contiguous.max(1) as isize;
            c_int::try_from(stride).ok().filter(|_| fits)
        };
        let by_rows = line(cols, rows, cs, rs).map(|ld| Self { trans: AS_IS, ld });
        by_rows.or_else(|| line(rows, cols, rs, cs).map(|ld| Self { trans: TRANSPOSED, ld }))
    }
}

/// The system's CBLAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cblas;

const NAME: &str = "cblas";

impl<T: Scalar> Backend<T> for Cblas {
    fn name(&self) -> &'static str {
        NAME
    }

    fn gemm(
        &self,
        alpha: T,
        a: MatRef<'_, T>,
        b: MatRef<'_, T>,
        beta: T,
        mut c: MatMut<'_, T>,
    ) -> Result<()> {
        let (m, k, n) = check_gemm(&a, &b, &c)?;
        if m == 0 || n == 0 || k == 0 || alpha == T::ZERO {
            scale(beta, c);
            return Ok(());
        }
        let size =
            |n| c_int::try_from(n).map_err(|_| Error::Backend { name: NAME, why: "sizes are of 31 bits" });
        let sizes = (size(m)?, size(k)?, size(n)?);
        let stored_a = Stored::of(a.shape(), (a.row_stride(), a.col_stride()));
        let stored_b = Stored::of(b.shape(), (b.row_stride(), b.col_stride()));
        let stored_c = Stored::of(c.shape(), (c.row_stride(), c.col_stride()));
        match (stored_a, stored_b, stored_c) {
            (None, ..) => {
                let copy = Dense::copy("a copy of A", a, u64::MAX)?;
                self.gemm(alpha, copy.as_ref()?, b, beta, c)
            }
            (_, None, _) => {
                let copy = Dense::copy("a copy of B", b, u64::MAX)?;
                self.gemm(alpha, a, copy.as_ref()?, beta, c)
            }
            (_, _, None) => {
                let mut copy = Dense::copy("a copy of C", c.as_ref(), u64::MAX)?;
                self.gemm(alpha, a, b, beta, copy.as_mut()?)?;
                c.copy_from(copy.as_ref()?)
            }
            // By columns: Cᵀ ← α·Bᵀ·Aᵀ + β·Cᵀ is by rows.
            (_, _, Some(Stored { trans: TRANSPOSED, .. })) => self.gemm(alpha, b.t(), a.t(), beta, c.t()),
            (Some(stored_a), Some(stored_b), Some(stored_c)) => {
                // SAFETY: views are valid for their shapes and strides, which the storages restate; the shapes agree;
                // C is borrowed exclusively.
                unsafe {
                    T::cblas(
                        sizes,
                        alpha,
                        (a.as_ptr(), stored_a),
                        (b.as_ptr(), stored_b),
                        beta,
                        (c.as_mut_ptr(), stored_c.ld),
                    );
                }
                Ok(())
            }
        }
    }
}
