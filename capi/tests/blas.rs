//! The BLAS names beyond Netlib's testers: sizes that take several blocks and threads, what is read and what is not,
//! and that a bad argument leaves C alone. Which number `xerbla_` is told is what Netlib's testers check.

#![expect(clippy::undocumented_unsafe_blocks, reason = "every call here is one of a Fortran or C program")]

use nablas_capi::blas::{cblas_dgemm, cblas_sgemm, dgemm_, sgemm_};
use std::ffi::{c_char, c_int};

const ROW: c_int = 101;
const COL: c_int = 102;

/// Numbers in −1 … 1.
fn numbers(len: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as f64) / f64::from(1u32 << 30) - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// One product, column-major with gaps, against three loops.
fn product(m: usize, n: usize, k: usize, ta: bool, tb: bool, alpha: f64, beta: f64) {
    let ((ra, ca), (rb, cb)) = (if ta { (k, m) } else { (m, k) }, if tb { (n, k) } else { (k, n) });
    let (lda, ldb, ldc) = (ra + 3, rb + 1, m + 2);
    let (a, b, c) = (numbers(lda * ca, 1), numbers(ldb * cb, 2), numbers(ldc * n, 3));
    let at = |i: usize, l: usize| if ta { a[i * lda + l] } else { a[l * lda + i] };
    let bt = |l: usize, j: usize| if tb { b[l * ldb + j] } else { b[j * ldb + l] };
    let mut expected = c.clone();
    for j in 0..n {
        for i in 0..m {
            let sum: f64 = (0..k).map(|l| at(i, l) * bt(l, j)).sum();
            expected[j * ldc + i] = alpha * sum + beta * c[j * ldc + i];
        }
    }
    let letter = |t: bool| if t { b't' as c_char } else { b'N' as c_char };
    let int = |n: usize| n as c_int;
    let (mi, ni, ki, la, lb, lc) = (int(m), int(n), int(k), int(lda), int(ldb), int(ldc));
    let close = |got: &[f64], tolerance: f64, what: &str| {
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let in_gap = i % ldc >= m;
            assert!(
                if in_gap { got == expected } else { (got - expected).abs() <= tolerance * (k as f64 + 1.0) },
                "{what} {m} {n} {k} {ta} {tb} at {i}: {got} for {expected}"
            );
        }
    };
    let mut d = c.clone();
    let (la_, lb_) = (letter(ta), letter(tb));
    unsafe {
        dgemm_(
            &raw const la_,
            &raw const lb_,
            &raw const mi,
            &raw const ni,
            &raw const ki,
            &raw const alpha,
            a.as_ptr(),
            &raw const la,
            b.as_ptr(),
            &raw const lb,
            &raw const beta,
            d.as_mut_ptr(),
            &raw const lc,
        );
    }
    close(&d, 1e-15, "dgemm_");
    // By rows it is the product of the transposes, in the other order.
    let number = |t: bool| if t { 112 } else { 111 };
    let mut rows = c.clone();
    let (to, (pa, pb)) = (rows.as_mut_ptr(), (a.as_ptr(), b.as_ptr()));
    unsafe { cblas_dgemm(ROW, number(tb), number(ta), ni, mi, ki, alpha, pb, lb, pa, la, beta, to, lc) };
    assert_eq!(rows, d);
    let single = |x: &[f64]| x.iter().map(|x| *x as f32).collect::<Vec<f32>>();
    let (a, b, mut s) = (single(&a), single(&b), single(&c));
    let (to, (pa, pb), (alpha, beta)) =
        (s.as_mut_ptr(), (a.as_ptr(), b.as_ptr()), (alpha as f32, beta as f32));
    unsafe { cblas_sgemm(COL, number(ta), number(tb), mi, ni, ki, alpha, pa, la, pb, lb, beta, to, lc) };
    for (i, (got, expected)) in s.iter().zip(&expected).enumerate() {
        let tolerance = if i % ldc >= m { 1e-6 } else { 1e-6 * (k as f64 + 1.0) };
        assert!(
            (f64::from(*got) - expected).abs() <= tolerance,
            "cblas_sgemm {m} {n} {k}: {got} for {expected}"
        );
    }
}

#[test]
fn products_of_all_sizes() {
    for (m, n, k) in [(1, 1, 1), (3, 1, 40), (1, 17, 5), (33, 65, 129), (250, 130, 700), (400, 390, 310)] {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            product(m, n, k, ta, tb, 0.75, if ta { 0.0 } else { -1.5 });
        }
    }
}

#[test]
fn what_is_not_read_may_be_anything() {
    let (one, two, half) = (1 as c_int, 2 as c_int, 0.5f32);
    let zero = 0.0f32;
    let n = b'n' as c_char;
    let call = |k: c_int, alpha: f32, a: *const f32, b: *const f32, beta: f32, c: &mut [f32]| unsafe {
        let c = c.as_mut_ptr();
        sgemm_(
            &raw const n,
            &raw const n,
            &raw const two,
            &raw const one,
            &raw const k,
            &raw const alpha,
            a,
            &raw const two,
            b,
            &raw const two,
            &raw const beta,
            c,
            &raw const two,
        );
    };
    let nothing = std::ptr::null();
    // α = 0 and k = 0 read neither A nor B; β = 0 does not read C; β = 1 with either leaves C, NaN and all.
    let mut c = [f32::NAN, 4.0];
    call(2, zero, nothing, nothing, 1.0, &mut c);
    assert!(c[0].is_nan() && c[1] == 4.0);
    call(0, half, nothing, nothing, half, &mut c);
    assert!(c[0].is_nan() && c[1] == 2.0);
    call(2, zero, nothing, nothing, zero, &mut c);
    assert_eq!(c, [0.0, 0.0]);
    // A NaN in A or B reaches C, over a zero too.
    let (a, b) = ([f32::NAN, 1.0, 1.0, 1.0], [0.0, 2.0]);
    c = [f32::NAN; 2];
    call(2, half, a.as_ptr(), b.as_ptr(), zero, &mut c);
    assert!(c[0].is_nan() && c[1] == 1.0);
}

#[test]
fn bad_arguments_leave_c() {
    let good = (b'N', b'T', 4, 5, 6, 4, 5, 4);
    let call = |(ta, tb, m, n, k, lda, ldb, ldc): (u8, u8, c_int, c_int, c_int, c_int, c_int, c_int)| {
        let (ta, tb) = (ta as c_char, tb as c_char);
        let (a, b, mut c, one) = ([1.0f64; 64], [1.0f64; 64], [9.0f64; 64], 1.0f64);
        unsafe {
            dgemm_(
                &raw const ta,
                &raw const tb,
                &raw const m,
                &raw const n,
                &raw const k,
                &raw const one,
                a.as_ptr(),
                &raw const lda,
                b.as_ptr(),
                &raw const ldb,
                &raw const one,
                c.as_mut_ptr(),
                &raw const ldc,
            );
        }
        c.iter().all(|x| *x == 9.0)
    };
    assert!(!call(good));
    let cases = [
        (1, (b'X', b'Q', 4, 5, 6, 4, 5, 4)),
        (2, (b'c', b'Q', 4, 5, 6, 6, 5, 4)),
        (3, (b'N', b'T', -1, -5, 6, 4, 5, 4)),
        (4, (b'N', b'T', 4, -5, 6, 4, 5, 4)),
        (5, (b'N', b'T', 4, 5, -6, 4, 5, 4)),
        (8, (b'N', b'T', 4, 5, 6, 3, 4, 3)),
        (8, (b'T', b'T', 4, 5, 6, 5, 5, 4)),
        (10, (b'N', b'T', 4, 5, 6, 4, 4, 3)),
        (13, (b'N', b'T', 4, 5, 6, 4, 5, 3)),
        (13, (b'N', b'T', 0, 5, 6, 1, 5, 0)),
    ];
    for (info, arguments) in cases {
        assert!(call(arguments), "argument {info}: C was written");
    }
}
