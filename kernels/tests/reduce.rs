//! Reductions: column sums, softmax, log-sum-exp; against `f64`, on every ISA, to the bit.

mod act_support;

use act_support::{Guarded, LENGTHS, Random, chains, keys};
use nablas_kernels::{
    isa::{IsaToken, Real},
    math::Math,
    reduce::{ColumnSums, LogSumExp, Softmax, View, ViewMut},
};

fn canary<T: Real>() -> T {
    T::from_f64(-7.25e20)
}

fn numbers<T: Real>(random: &mut Random, n: usize, scale: f64) -> Vec<T> {
    (0..n).map(|_| T::from_f64(random.within(scale))).collect()
}

fn column_sums<T: Math>() {
    let mut random = Random(2);
    let long = [(1, 511), (5, 512), (17, 513), (70, 1024), (33, 1025), (9, 1537)];
    let short = LENGTHS.into_iter().flat_map(|cols| [(cols, 0), (cols, 1), (cols, 6), (cols, 7)]);
    for (cols, rows) in short.chain(long) {
        for gap in [0, 5] {
            let ld = cols + gap;
            let x: Vec<T> = numbers(&mut random, rows * ld, 3.0);
            let start: Vec<T> = numbers(&mut random, cols, 3.0);
            let column = |j: usize| chains(start[j], (0..rows).map(|i| x[i * ld + j]));
            let want: Vec<T> = (0..cols).map(column).collect();
            for isa in IsaToken::available() {
                let mut out = Guarded::copy(&start, canary());
                let x = View::new(&x, ld, rows, cols).expect("within x");
                isa.run(ColumnSums { x, out: out.inner() });
                assert_eq!(keys(out.check()), keys(&want), "{rows} × {cols} on {}", isa.name());
            }
        }
    }
}

#[test]
fn column_sums_take_the_rows_in_chains_and_in_order() {
    column_sums::<f32>();
    column_sums::<f64>();
}

/// The gaps between the rows may be somebody else's, who writes there.
#[test]
fn column_sums_claim_no_gaps() {
    let (rows, cols, ld) = (5, 19, 23);
    let mut x: Vec<f32> = (0..rows * ld).map(|i| i as f32).collect();
    let want: Vec<f32> = (0..cols).map(|j| (0..rows).map(|i| (i * ld + j) as f32).sum()).collect();
    let data = x.as_mut_ptr();
    for isa in IsaToken::available() {
        let mut out = vec![0.0; cols];
        // SAFETY: the rows are readable, the gap that is written is none of theirs.
        let (view, gap) = unsafe {
            let view = View::from_raw_parts(data.cast_const(), ld, rows, cols);
            (view, std::slice::from_raw_parts_mut(data.add(cols), ld - cols))
        };
        gap.fill(-1.0);
        isa.run(ColumnSums { x: view, out: &mut out });
        gap.fill(f32::NAN);
        assert_eq!(out, want, "{}", isa.name());
    }
}

/// ln Σ eˣ and the softmax, in `f64`.
fn softmax(x: &[f64]) -> (f64, Vec<f64>) {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = x.iter().map(|x| if *x == max { 1.0 } else { (x - max).exp() }).collect();
    let sum: f64 = e.iter().sum();
    (max + sum.ln(), e.iter().map(|e| e / sum).collect())
}

fn softmax_rows<T: Math>() {
    let mut random = Random(4);
    let eps = T::EPSILON.to_f64();
    for cols in LENGTHS.into_iter().chain([8192, 8200, 20_000]) {
        for (rows, gap, scale) in [(0, 0, 1.0), (1, 0, 3.0), (4, 3, 30.0), (3, 1, 1000.0)] {
            let ld = cols + gap;
            let x: Vec<T> = numbers(&mut random, rows * ld, scale);
            let mut first = None;
            for isa in IsaToken::available() {
                let mut p = Guarded::copy(&x, canary());
                isa.run(Softmax { x: ViewMut::new(p.inner(), ld, rows, cols).expect("within p") });
                let mut lse = Guarded::new(rows, T::ZERO, canary());
                isa.run(LogSumExp { x: View::new(&x, ld, rows, cols).expect("within x"), out: lse.inner() });
                for i in 0..rows {
                    let (row, rest) = (i * ld..i * ld + cols, i * ld + cols..(i + 1) * ld);
                    assert_eq!(keys(&p.check()[rest.clone()]), keys(&x[rest]), "the gap was written");
                    let exact: Vec<f64> = x[row.clone()].iter().map(|x| x.to_f64()).collect();
                    let (want, probabilities) = softmax(&exact);
                    let got = lse.check()[i].to_f64();
                    assert!(
                        got == want || (got - want).abs() <= 4.0 * eps * want.abs().max(1.0),
                        "{got}, {want}"
                    );
                    for (got, want) in p.check()[row].iter().zip(probabilities) {
                        // x − m is rounded, to 2·scale·ε/2 at most; so is the exponential's argument. And long
                        // sums are rounded, the reference's above all: it is one chain.
                        let tolerance = (8.0 + 2.0 * scale + (cols as f64).sqrt()) * eps * want + 1e-44;
                        assert!((got.to_f64() - want).abs() <= tolerance, "{got} is not {want}");
                    }
                }
                let bits = (keys(p.check()), keys(lse.check()));
                assert_eq!(*first.get_or_insert(bits.clone()), bits, "{cols} on {}", isa.name());
            }
        }
    }
}

#[test]
fn softmax_and_log_sum_exp_agree_with_f64() {
    softmax_rows::<f32>();
    softmax_rows::<f64>();
}

/// One row's log-sum-exp and softmax.
/// A kernel that went through the rows would not come back.
#[test]
fn the_softmax_of_rows_without_elements_takes_no_time() {
    for isa in IsaToken::available() {
        isa.run(Softmax { x: ViewMut::<f32>::new(&mut [], 0, 1 << 59, 0).expect("no elements") });
    }
}

fn row(isa: IsaToken, x: &[f32]) -> (f32, Vec<f32>) {
    let (mut p, mut out) = (x.to_vec(), [0.0]);
    isa.run(LogSumExp { x: View::new(x, x.len(), 1, x.len()).expect("one row"), out: &mut out });
    isa.run(Softmax { x: ViewMut::new(&mut p, x.len(), 1, x.len()).expect("one row") });
    (out[0], p)
}

#[test]
fn infinite_entries_are_limits_and_nan_stays_in_its_row() {
    let inf = f32::INFINITY;
    for isa in IsaToken::available() {
        assert_eq!(row(isa, &[-inf, 2.0, -inf]), (2.0, vec![0.0, 1.0, 0.0]));
        assert_eq!(row(isa, &[-inf, -inf]), (-inf, vec![0.5, 0.5]));
        assert_eq!(row(isa, &[1.0, inf]), (inf, vec![0.0, 1.0]));
        assert_eq!(row(isa, &[inf, inf, 3.0, -inf]), (inf, vec![0.5, 0.5, 0.0, 0.0]));
        assert_eq!(row(isa, &[3e38, -3e38]), (3e38, vec![1.0, 0.0]));
        for x in [[f32::NAN, 1.0, 2.0], [1.0, f32::NAN, inf], [f32::NAN; 3], [-inf, -inf, f32::NAN]] {
            let (lse, p) = row(isa, &x);
            assert!(lse.is_nan() && p.iter().all(|p| p.is_nan()), "{x:?}: {lse}, {p:?}");
        }
        let mut x = [1.0, 2.0, f32::NAN, 2.0, 1.0, 2.0];
        let mut out = [0.0; 3];
        isa.run(LogSumExp { x: View::new(&x, 2, 3, 2).expect("3 × 2"), out: &mut out });
        isa.run(Softmax { x: ViewMut::new(&mut x, 2, 3, 2).expect("3 × 2") });
        assert!(out[1].is_nan() && out[0] == out[2] && out[0].is_finite());
        assert!(x[2].is_nan() && x[3].is_nan() && x[..2] == x[4..]);
        // No columns: −∞. Only the small entries are lost beside a large one, not their logarithm.
        let mut out = [0.0];
        isa.run(LogSumExp { x: View::new(&[], 0, 1, 0).expect("1 × 0"), out: &mut out });
        assert_eq!(out, [-inf]);
        assert!((row(isa, &[0.0, -30.0]).0 - (-30.0_f32).exp()).abs() < 1e-19);
    }
}

#[test]
fn views_refuse_what_does_not_fit() {
    let x = [0.0_f32; 10];
    assert!(View::new(&x, 5, 2, 5).is_some());
    assert!(View::new(&x, 6, 2, 4).is_some());
    assert!(View::new(&x, 6, 2, 5).is_none());
    assert!(View::new(&x, 3, 2, 4).is_none(), "rows overlap");
    assert!(View::new(&x, 1, 1, 10).is_some(), "one row has no stride");
    assert!(View::new(&x, usize::MAX, 3, 1).is_none(), "overflow");
    assert!(View::new(&x, usize::MAX, 0, 7).is_some());
    assert!(ViewMut::new(&mut [0.0_f64; 3], 2, 2, 2).is_none());
}
