//! `sgemm_`, `dgemm_`, `cblas_sgemm` and `cblas_dgemm`, as the reference BLAS defines them.
//!
//! Sizes are of 31 bits (LP64). A bad argument goes to `xerbla_`, whoever of the process defines it (a program may have
//! its own), with the number that the reference gives it, and C is untouched. β = 0 does not read C; α = 0 and k = 0
//! read neither A nor B; a NaN in A or B reaches C otherwise, whatever it meets. What no BLAS can report, a `NABLAS_ISA`
//! that is not here or memory that cannot be had, is said on standard error and ends the process.

use crate::{
    call::{call, say},
    elem::Elem,
    scratch,
    status::{self, nablas_status},
    threads,
};
use nablas::{Gemm, MatMut, MatRef};
use std::{
    ffi::{CStr, c_char, c_int},
    mem, process,
};

/// `CBLAS_LAYOUT` and `CBLAS_TRANSPOSE`.
const ROW_MAJOR: c_int = 101;
const COL_MAJOR: c_int = 102;
const NO_TRANS: c_int = 111;
const TRANS: c_int = 112;
const CONJ_TRANS: c_int = 113;

/// The reference's order of arguments: what is multiplied, and the sizes.
#[derive(Clone, Copy)]
struct Sizes {
    transa: Option<bool>,
    transb: Option<bool>,
    m: c_int,
    n: c_int,
    k: c_int,
    lda: c_int,
    ldb: c_int,
    ldc: c_int,
}

impl Sizes {
    /// The number of the first bad argument of `?gemm_`, 0 for none.
    fn info(&self) -> c_int {
        let (Some(ta), Some(tb)) = (self.transa, self.transb) else {
            return if self.transa.is_none() { 1 } else { 2 };
        };
        let rows = |trans: bool, rows: c_int, cols: c_int| if trans { cols } else { rows }.max(1);
        match self {
            s if s.m < 0 => 3,
            s if s.n < 0 => 4,
            s if s.k < 0 => 5,
            s if s.lda < rows(ta, s.m, s.k) => 8,
            s if s.ldb < rows(tb, s.k, s.n) => 10,
            s if s.ldc < s.m.max(1) => 13,
            _ => 0,
        }
    }
}

/// A symbol of the process, if anyone defines it.
fn symbol<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut ()>()) };
    // SAFETY: a lookup by name.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: the caller names a function or variable with its type, which is of the size of an address.
    (!address.is_null()).then(|| unsafe { mem::transmute_copy(&address) })
}

/// Tells the process' `xerbla_`.
fn xerbla(routine: &CStr, info: c_int) {
    type Xerbla = unsafe extern "C" fn(*const c_char, *const c_int, usize);
    match symbol::<Xerbla>(c"xerbla_") {
        // SAFETY: as Fortran calls it: the name, the number, the length of the name.
        Some(xerbla) => unsafe { xerbla(routine.as_ptr(), &raw const info, routine.count_bytes()) },
        None => {
            let routine = routine.to_string_lossy();
            say(&format!(" ** On entry to {routine} parameter number {info:2} had an illegal value\n"));
        }
    }
}

/// Sets a variable of the reference CBLAS, if it is there.
fn set(name: &CStr, value: c_int) {
    if let Some(variable) = symbol::<*mut c_int>(name) {
        // SAFETY: the reference CBLAS defines it as an int.
        unsafe { variable.write(value) };
    }
}

/// Tells the process' `cblas_xerbla`.
fn cblas_xerbla(info: c_int, routine: &CStr, form: &CStr, value: c_int) {
    type Xerbla = unsafe extern "C" fn(c_int, *const c_char, *const c_char, ...);
    match symbol::<Xerbla>(c"cblas_xerbla") {
        // SAFETY: as the reference CBLAS calls it: the number, the name, a format and what it shows.
        Some(xerbla) => unsafe { xerbla(info, routine.as_ptr(), form.as_ptr(), value) },
        None => say(&format!("Parameter {info} to routine {} was incorrect\n", routine.to_string_lossy())),
    }
}

/// C ← α·op(A)·op(B) + β·C, column-major, all arguments good.
///
/// # Safety
/// A, B and C are valid for these sizes; C overlaps neither A nor B.
unsafe fn gemm<T: Elem>(s: Sizes, alpha: T, a: *const T, b: *const T, beta: T, c: *mut T) {
    let (m, n, k) = (s.m as usize, s.n as usize, s.k as usize);
    if m == 0 || n == 0 || ((alpha == T::ZERO || k == 0) && beta == T::ONE) {
        return;
    }
    // Cᵀ ← α·op(B)ᵀ·op(A)ᵀ + β·Cᵀ: transposes of column-major matrices are row-major.
    let turned = |ptr, trans: Option<bool>, rows, cols, ld: c_int| {
        let (rs, cs) = if trans == Some(true) { (1, ld as isize) } else { (ld as isize, 1) };
        // SAFETY: the caller's promise. Where the product has no terms, the operand is not read.
        unsafe { MatRef::from_raw_parts(ptr, rows, cols, rs, cs) }
    };
    let (at, bt) = (turned(a, s.transa, k, m, s.lda), turned(b, s.transb, n, k, s.ldb));
    // SAFETY: the caller's promise.
    let ct = unsafe { MatMut::from_raw_parts(c, n, m, s.ldc as isize, 1) };
    let status = call::<T>("blas_gemm", [m, n, k], |record| {
        let isa = nablas::isa()?;
        let gemm = Gemm::<T>::with(isa, threads::default()?);
        record.on(isa, "native", || gemm.members(n, m, k));
        scratch::with(gemm.scratch_len(n, m, k), |scratch| Ok(gemm.run(alpha, bt, at, beta, ct, scratch)?))?
    });
    if status == nablas_status::Ok {
        return;
    }
    // SAFETY: the text of the failure, which ends with a zero.
    let text = unsafe { CStr::from_ptr(status::last()) };
    say(&format!("nablas: {}\n", text.to_string_lossy()));
    process::abort();
}

/// What a letter says: `None` for none of N, T, C.
fn letter(trans: c_char) -> Option<bool> {
    match (trans as u8).to_ascii_uppercase() {
        b'N' => Some(false),
        b'T' | b'C' => Some(true),
        _ => None,
    }
}

/// What a `CBLAS_TRANSPOSE` says.
fn cblas_letter(trans: c_int) -> Option<bool> {
    match trans {
        NO_TRANS => Some(false),
        TRANS | CONJ_TRANS => Some(true),
        _ => None,
    }
}

macro_rules! blas {
    ($t:ident, $fortran:ident, $cblas:ident, $name:literal, $cblas_name:literal) => {
        /// C ← α·op(A)·op(B) + β·C, as Fortran calls it.
        ///
        /// # Safety
        /// As the reference BLAS says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $fortran(
            transa: *const c_char,
            transb: *const c_char,
            m: *const c_int,
            n: *const c_int,
            k: *const c_int,
            alpha: *const $t,
            a: *const $t,
            lda: *const c_int,
            b: *const $t,
            ldb: *const c_int,
            beta: *const $t,
            c: *mut $t,
            ldc: *const c_int,
        ) {
            // SAFETY: the caller's promise: each argument is the address of its value.
            let (sizes, alpha, beta) = unsafe {
                let sizes = Sizes {
                    transa: letter(*transa),
                    transb: letter(*transb),
                    m: *m,
                    n: *n,
                    k: *k,
                    lda: *lda,
                    ldb: *ldb,
                    ldc: *ldc,
                };
                (sizes, *alpha, *beta)
            };
            match sizes.info() {
                // SAFETY: the caller's promise.
                0 => unsafe { gemm(sizes, alpha, a, b, beta, c) },
                info => xerbla($name, info),
            }
        }

        /// C ← α·op(A)·op(B) + β·C, as C calls it.
        ///
        /// # Safety
        /// As the reference CBLAS says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $cblas(
            layout: c_int,
            transa: c_int,
            transb: c_int,
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
        ) {
            let (ta, tb) = (cblas_letter(transa), cblas_letter(transb));
            let row_major = layout == ROW_MAJOR;
            let refusal = match (layout, ta, tb) {
                (ROW_MAJOR | COL_MAJOR, Some(_), Some(_)) => None,
                (ROW_MAJOR | COL_MAJOR, None, _) => Some((2, c"Illegal TransA setting, %d\n", transa)),
                (ROW_MAJOR | COL_MAJOR, _, None) => Some((3, c"Illegal TransB setting, %d\n", transb)),
                _ => Some((1, c"Illegal layout setting, %d\n", layout)),
            };
            if let Some((info, form, value)) = refusal {
                set(c"RowMajorStrg", c_int::from(row_major));
                cblas_xerbla(info, $cblas_name, form, value);
                return set(c"RowMajorStrg", 0);
            }
            // By rows, Cᵀ ← α·op(B)ᵀ·op(A)ᵀ + β·Cᵀ is by columns.
            let (sizes, a, b) = if row_major {
                (Sizes { transa: tb, transb: ta, m: n, n: m, k, lda: ldb, ldb: lda, ldc }, b, a)
            } else {
                (Sizes { transa: ta, transb: tb, m, n, k, lda, ldb, ldc }, a, b)
            };
            match sizes.info() {
                // SAFETY: the caller's promise.
                0 => unsafe { gemm(sizes, alpha, a, b, beta, c) },
                info => {
                    // The reference's `xerbla_` tells `cblas_xerbla` if C called, and that one undoes the exchange.
                    set(c"RowMajorStrg", c_int::from(row_major));
                    set(c"CBLAS_CallFromC", 1);
                    xerbla($name, info);
                    set(c"CBLAS_CallFromC", 0);
                    set(c"RowMajorStrg", 0);
                }
            }
        }
    };
}
blas!(f32, sgemm_, cblas_sgemm, c"SGEMM ", c"cblas_sgemm");
blas!(f64, dgemm_, cblas_dgemm, c"DGEMM ", c"cblas_dgemm");
