//! Every BLAS backend against a plain triple loop in f64: sizes at the edges, any strides, α and β, specials.

#[path = "common/chain.rs"]
mod chain;

use chain::chains;
use nablas::{
    Backend, Error, IsaToken, MatMut, MatRef, Result, Scalar,
    backend::{self, MatrixMultiply, Native},
};

fn backends<T: Scalar>() -> Vec<Box<dyn Backend<T>>> {
    let foreign: [Box<dyn Backend<T>>; _] = [
        Box::new(MatrixMultiply),
        #[cfg(feature = "cblas")]
        Box::new(backend::Cblas),
    ];
    let native = IsaToken::available().map(|isa| Box::new(Native::new(isa)) as Box<dyn Backend<T>>);
    foreign.into_iter().chain(native).collect()
}

/// Numbers in (−1, 1) with no pattern that a transposed or shifted operand would share.
fn numbers<T: Scalar>(n: usize, seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        T::from_f64((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
    };
    (0..n).map(|_| next()).collect()
}

/// Row major, column major, a leading dimension with a gap, and both strides wide.
fn layouts(rows: usize, cols: usize) -> [(isize, isize); 4] {
    let (r, c) = (rows.max(1) as isize, cols.max(1) as isize);
    [(c, 1), (1, r), (c + 3, 1), (2, 2 * r + 1)]
}

fn len(rows: usize, cols: usize, (rs, cs): (isize, isize)) -> usize {
    rows * rs as usize + cols * cs as usize + 1
}

fn at<T: Scalar>(m: &MatRef<'_, T>, i: usize, j: usize) -> f64 {
    m.get(i, j).expect("in the matrix").to_f64()
}

fn agrees<T: Scalar>(
    m: usize,
    k: usize,
    n: usize,
    (la, lb, lc): (usize, usize, usize),
    alpha: f64,
    beta: f64,
) -> Result<()> {
    let (sa, sb, sc) = (layouts(m, k)[la], layouts(k, n)[lb], layouts(m, n)[lc]);
    let (a, b) = (numbers::<T>(len(m, k, sa), 1), numbers::<T>(len(k, n, sb), 2));
    let before = numbers::<T>(len(m, n, sc), 3);
    let a = MatRef::with_strides(&a, m, k, sa.0, sa.1)?;
    let b = MatRef::with_strides(&b, k, n, sb.0, sb.1)?;
    for backend in backends::<T>() {
        let mut after = before.clone();
        backend.gemm(
            T::from_f64(alpha),
            a,
            b,
            T::from_f64(beta),
            MatMut::with_strides(&mut after, m, n, sc.0, sc.1)?,
        )?;
        let mut expected = before.clone();
        for i in 0..m {
            for j in 0..n {
                let c = (i as isize * sc.0 + j as isize * sc.1) as usize;
                let sum: f64 = (0..k).map(|p| at(&a, i, p) * at(&b, p, j)).sum();
                let exact = alpha * sum + beta * before[c].to_f64();
                let bound = T::EPSILON.to_f64() * (k as f64 + 3.0) * (alpha.abs() + beta.abs());
                let got = after[c].to_f64();
                let name = backend.name();
                assert!(
                    (got - exact).abs() <= bound,
                    "{name} {m}×{k}×{n} {sc:?} ({i}, {j}): {got} for {exact}"
                );
                expected[c] = after[c];
            }
        }
        assert_eq!(after, expected, "{}: elements between those of C have changed", backend.name());
    }
    Ok(())
}

#[test]
fn products_agree_with_the_triple_loop() -> Result<()> {
    for (m, k, n) in
        [(1, 1, 1), (1, 7, 1), (3, 1, 5), (7, 9, 17), (16, 16, 16), (33, 65, 31), (1, 300, 130), (70, 3, 1)]
    {
        for (alpha, beta) in [(1.0, 0.0), (1.0, 1.0), (-0.5, 2.0), (0.0, 0.5)] {
            agrees::<f32>(m, k, n, (0, 0, 0), alpha, beta)?;
            agrees::<f64>(m, k, n, (0, 0, 0), alpha, beta)?;
        }
    }
    Ok(())
}

#[test]
fn strides_are_followed_in_every_combination() -> Result<()> {
    for layout in 0..64 {
        let layouts = (layout % 4, layout / 4 % 4, layout / 16);
        agrees::<f32>(5, 9, 19, layouts, 1.5, 0.5)?;
        agrees::<f64>(18, 4, 7, layouts, 1.0, 0.0)?;
    }
    Ok(())
}

#[test]
fn views_that_run_backwards_or_repeat_a_row_are_read_right() -> Result<()> {
    let (a, b) = (numbers::<f64>(12, 4), numbers::<f64>(4, 5));
    // SAFETY: from the last of 12 elements, back by four and by one: 3×4 in the slice.
    let reversed = unsafe { MatRef::from_raw_parts(a.as_ptr().add(11), 3, 4, -4, -1) };
    let repeated = MatRef::with_strides(&b, 4, 2, 1, 0)?;
    for backend in backends::<f64>() {
        let mut c = [f64::NAN; 6];
        backend.gemm(1.0, reversed, repeated, 0.0, MatMut::new(&mut c, 3, 2)?)?;
        for i in 0..3 {
            let expected: f64 = (0..4).map(|p| a[11 - 4 * i - p] * b[p]).sum();
            assert!((c[2 * i] - expected).abs() < 1e-14 && c[2 * i] == c[2 * i + 1], "{}", backend.name());
        }
    }
    Ok(())
}

/// The native contract: chains of 512 fused multiply-adds, k ascending, the first from β·C, with α·A rounded once.
#[test]
fn native_products_are_chains_of_fma_to_the_bit() -> Result<()> {
    for isa in IsaToken::available() {
        for (m, k, n) in [(1, 5, 3), (7, 33, 19), (13, 700, 65), (5, 512, 33), (6, 1537, 20), (200, 9, 40)] {
            for (alpha, beta) in [(1.0f32, 0.0f32), (0.3, 0.0), (-0.7, 1.0), (1.0, 0.6)] {
                let (a, b) = (numbers::<f32>(m * k, 6), numbers::<f32>(k * n, 7));
                let before = numbers::<f32>(m * n, 8);
                let mut c = before.clone();
                let (a_view, b_view) = (MatRef::new(&a, m, k)?, MatRef::new(&b, k, n)?);
                Native::new(isa).gemm(alpha, a_view, b_view, beta, MatMut::new(&mut c, m, n)?)?;
                for (at, got) in c.into_iter().enumerate() {
                    let (i, j) = (at / n, at % n);
                    let start = if beta == 0.0 { 0.0 } else { beta * before[at] };
                    let terms = (0..k).map(|p| (alpha * a[i * k + p], b[p * n + j]));
                    let chain = chains(start, terms);
                    assert_eq!(
                        got.to_bits(),
                        chain.to_bits(),
                        "{isa:?} {m}×{k}×{n} ({i}, {j}): {got} for {chain}"
                    );
                }
            }
        }
    }
    Ok(())
}

#[test]
fn beta_zero_never_reads_c_and_no_terms_leave_beta_c() -> Result<()> {
    for backend in backends::<f32>() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 1.0]);
        let (a, b) = (MatRef::new(&a, 2, 2)?, MatRef::new(&b, 2, 2)?);
        let mut c = [f32::NAN, f32::INFINITY, f32::NAN, f32::NEG_INFINITY];
        backend.gemm(1.0, a, b, 0.0, MatMut::new(&mut c, 2, 2)?)?;
        assert_eq!(c, [1.0, 2.0, 3.0, 4.0], "{}", backend.name());
        let nan = [f32::NAN; 4];
        let nan = MatRef::new(&nan, 2, 2)?;
        backend.gemm(0.0, nan, nan, 0.5, MatMut::new(&mut c, 2, 2)?)?;
        assert_eq!(c, [0.5, 1.0, 1.5, 2.0], "{}: α = 0 reads neither A nor B", backend.name());
        let none = (MatRef::new(&[], 2, 0)?, MatRef::new(&[], 0, 2)?);
        backend.gemm(1.0, none.0, none.1, 2.0, MatMut::new(&mut c, 2, 2)?)?;
        assert_eq!(c, [1.0, 2.0, 3.0, 4.0], "{}: k = 0", backend.name());
        let mut c = [f32::NAN; 4];
        backend.gemm(1.0, none.0, none.1, 0.0, MatMut::new(&mut c, 2, 2)?)?;
        assert_eq!(c, [0.0; 4], "{}: k = 0, β = 0", backend.name());
        backend.gemm(1.0, none.1, a, 0.0, MatMut::new(&mut [], 0, 2)?)?;
    }
    Ok(())
}

#[test]
fn shapes_that_disagree_are_refused_and_c_is_as_it_was() -> Result<()> {
    let data = [0.0; 64];
    let view = |rows, cols| MatRef::new(&data, rows, cols);
    for backend in backends::<f64>() {
        for (a, b, c, words) in [
            (view(2, 3)?, view(4, 5)?, (2, 5), "B of α·A·B + β·C: expected a 3×5 matrix, got 4×5"),
            (view(2, 3)?, view(3, 5)?, (3, 5), "C of α·A·B + β·C: expected a 2×5 matrix, got 3×5"),
            (view(2, 3)?, view(3, 5)?, (2, 4), "C of α·A·B + β·C: expected a 2×5 matrix, got 2×4"),
            (view(0, 3)?, view(3, 5)?, (1, 5), "C of α·A·B + β·C: expected a 0×5 matrix, got 1×5"),
        ] {
            let mut out = [7.0; 16];
            let error = backend.gemm(1.0, a, b, 0.0, MatMut::new(&mut out, c.0, c.1)?).unwrap_err();
            assert!(matches!(error, Error::Shape { .. }));
            assert_eq!(error.to_string(), words);
            assert_eq!(out, [7.0; 16]);
        }
    }
    let mut c = [0.0; 6];
    let c = MatMut::new(&mut c, 2, 3)?;
    assert_eq!(backend::check_gemm(&view(2, 4)?, &view(4, 3)?, &c), Ok((2, 4, 3)));
    Ok(())
}
