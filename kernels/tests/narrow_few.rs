//! dW and db of a few rows: right, the same bits as with samples in the lanes, and nothing is written beside.

use nablas_kernels::{
    entry::Kernels,
    gemm::{
        narrow::{Features, FoldLanes, NarrowWeightVjp},
        narrow_few::FewWeightVjp,
        row_major::RowMajor,
    },
    isa::{IsaToken, Real, Vouched},
    reduce::VIRTUAL_LANES,
};

const CANARY: f64 = 77.0;

/// Numbers in −1 … 1 that are the same in both types.
fn number(i: usize, seed: usize) -> f64 {
    let x = (i * 2_654_435_761 + seed * 40_503) % 65_521;
    x as f64 / 32_768.0 - 1.0
}

/// Rows × cols, row-major with rows of whole vectors, and feature-major with a leading dimension of whole blocks.
fn matrix<T: Real>(rows: usize, cols: usize, seed: usize, scale: f64) -> (Vec<T>, usize, Vec<T>, usize) {
    let (ld, ld_t) = (cols.next_multiple_of(16), rows.next_multiple_of(16));
    let (mut by_rows, mut by_features) =
        (vec![T::from_f64(CANARY); rows * ld], vec![T::from_f64(0.0); cols * ld_t]);
    for s in 0..rows {
        for c in 0..cols {
            let x = T::from_f64(scale * number(s * cols + c, seed));
            by_rows[s * ld + c] = x;
            by_features[c * ld_t + s] = x;
        }
    }
    (by_rows, ld, by_features, ld_t)
}

/// With operands of about `scale`, whose products may underflow: to −0, too.
fn holds<T: Kernels>(isa: IsaToken, rows: usize, (m, n): (usize, usize), scale: f64) {
    let (delta, ldd, delta_t, ldd_t) = matrix::<T>(rows, m, 1, scale);
    let (a, lda, a_t, lda_t) = matrix::<T>(rows, n, 2, scale);
    // A canary after each output.
    let mut got = vec![T::from_f64(CANARY); m * n + m + 2];
    let (dw, db) = (got.as_mut_ptr(), got.as_mut_ptr().wrapping_add(m * n + 1));
    let at = |v: &Vec<T>, ld| RowMajor::new(v.as_ptr().cast_mut(), ld);
    let few = FewWeightVjp { rows, m, n, delta: at(&delta, ldd), a: at(&a, lda), dw, db };
    // SAFETY: the operands are as long as the sizes say; dW and db do not overlap.
    T::enter(isa, unsafe { Vouched::new(few) });

    let mut lanes = vec![T::from_f64(0.0); VIRTUAL_LANES * (m * n + m)];
    let mut expected = vec![T::from_f64(CANARY); m * n + m + 2];
    let features = |v: &Vec<T>, ld| Features { ptr: v.as_ptr().cast_mut(), ld };
    let (dw, db) = (lanes.as_mut_ptr(), lanes.as_mut_ptr().wrapping_add(VIRTUAL_LANES * m * n));
    let (delta, a) = (features(&delta_t, ldd_t), features(&a_t, lda_t));
    let narrow = NarrowWeightVjp { m, n, samples: rows, delta, a, dw, db, fresh: true, whole: None };
    let (from, to) = (lanes.as_ptr(), expected.as_mut_ptr());
    let fold = |at: usize, out: usize, count: usize| FoldLanes {
        lanes: from.wrapping_add(VIRTUAL_LANES * at),
        out: to.wrapping_add(out),
        count,
    };
    // SAFETY: as above, with sixteen lanes for each element.
    unsafe {
        T::enter(isa, Vouched::new(narrow));
        T::enter(isa, Vouched::new(fold(0, 0, m * n)));
        T::enter(isa, Vouched::new(fold(m * n, m * n + 1, m)));
    }
    let bits = |v: &[T]| v.iter().map(|x| x.bits()).collect::<Vec<_>>();
    assert!(bits(&got) == bits(&expected), "{rows} rows, {m} × {n}, {scale:e}, {}", isa.name());
    if scale < 1.0 {
        return;
    }

    let eps = T::EPSILON.to_f64();
    for o in 0..m {
        let sum = |x: &dyn Fn(usize) -> f64| (0..rows).map(|s| number(s * m + o, 1) * x(s)).sum::<f64>();
        for i in 0..n {
            let exact = sum(&|s| number(s * n + i, 2));
            assert!((got[o * n + i].to_f64() - exact).abs() <= eps * (rows * rows + 4) as f64);
        }
        assert!((got[m * n + 1 + o].to_f64() - sum(&|_| 1.0)).abs() <= eps * (rows * rows + 4) as f64);
    }
}

#[test]
fn few_rows_have_the_bits_of_many() {
    for isa in IsaToken::available() {
        for rows in (1..=18).chain([31, 32, 33, 47, 48, 64, 65]) {
            for (m, n) in [(1, 1), (3, 5), (4, 16), (5, 17), (2, 15), (17, 4), (31, 33), (16, 2)] {
                for scale in [1.0, 1e-23] {
                    holds::<f32>(isa, rows, (m, n), scale);
                }
                for scale in [1.0, 1e-162] {
                    holds::<f64>(isa, rows, (m, n), scale);
                }
            }
        }
    }
}
