//! Reductions: column sums, on every ISA, to the bit. Softmax and log-sum-exp are tested as the losses have them.

mod act_support;

use act_support::{Guarded, LENGTHS, Random, chains, keys};
use nablas_kernels::{
    isa::{IsaToken, Real},
    math::Math,
    reduce::{ColumnSums, View, ViewMut},
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
