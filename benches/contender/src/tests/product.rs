//! Plain products.

use super::{Numbers, close, variants};
use crate::{peer_gemm_create, peer_gemm_destroy, peer_gemm_run};

#[test]
fn products_agree_with_a_loop_in_f64() {
    // The last has enough work for two members.
    for (m, n, k) in [(1, 1, 1), (7, 33, 20), (64, 1, 300), (150, 130, 200)] {
        let mut numbers = Numbers(3);
        let (a, b) = (numbers.take(m * k), numbers.take(k * n));
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            let a_at = |i: usize, p: usize| f64::from(if ta { a[p * m + i] } else { a[i * k + p] });
            let b_at = |p: usize, j: usize| f64::from(if tb { b[j * k + p] } else { b[p * n + j] });
            let element = |i: usize, j: usize| (0..k).map(|p| a_at(i, p) * b_at(p, j)).sum::<f64>();
            let want: Vec<f64> = (0..m * n).map(|at| element(at / n, at % n)).collect();
            for variant in variants() {
                for threads in [1, 2] {
                    let mut c = vec![f32::NAN; m * n];
                    // SAFETY: the matrices are as large as the sizes say, and outlive the product.
                    let mut product = unsafe {
                        peer_gemm_create(
                            variant.as_ptr(),
                            threads,
                            ta.into(),
                            tb.into(),
                            m as i64,
                            n as i64,
                            k as i64,
                            a.as_ptr(),
                            b.as_ptr(),
                            c.as_mut_ptr(),
                        )
                    };
                    assert!(product.is_some());
                    peer_gemm_run(product.as_deref_mut());
                    peer_gemm_run(product.as_deref_mut()); // C is set anew, not added to
                    peer_gemm_destroy(product);
                    let got: Vec<f64> = c.into_iter().map(f64::from).collect();
                    close(&format!("{m}×{n}×{k}, {ta} {tb}, {variant:?}, {threads} threads"), &got, &want);
                }
            }
        }
    }
}
