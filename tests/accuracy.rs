//! Long sums keep their accuracy: the bound of docs/NUMERICS.md, and how far below it random terms stay.

#[path = "common/numbers.rs"]
mod numbers;

use nablas::{BackendKind, Dense, Gemm, IsaToken, MatMut, MatRef, Result};
use numbers::numbers;

/// One rounding of `f32`: half of the spacing at 1.
const U: f64 = f32::EPSILON as f64 / 2.0;

/// Sums side by side.
const SUMS: usize = 64;

/// Terms: the second number has 512 chains.
const LONG: [usize; 2] = [65_536, 262_144];

/// Positive factors. Two of them have an exact product in `f64`, whose sums are as good as exact.
fn positive(n: usize, seed: u64) -> Vec<f32> {
    numbers::<f32>(n, seed).into_iter().map(f32::abs).collect()
}

/// The largest and the root mean square of |computed − exact| / Σ|terms| in u. The terms have one sign.
fn errors(computed: &[f32], exact: &[f64]) -> (f64, f64) {
    let errors = computed.iter().zip(exact).map(|(c, e)| (f64::from(*c) - e).abs() / e / U);
    let (max, squares) = errors.fold((0.0f64, 0.0), |(max, sum), e| (max.max(e), sum + e * e));
    (max, (squares / computed.len() as f64).sqrt())
}

/// What is expected of the root mean square for `k` terms of one sign, in u, in chains of `length`: a rounding has
/// the variance u²/6 of a value that lies evenly between two powers of two, and the partial sums of n terms have a third
/// of n times the last one's square.
fn expected(k: usize, length: usize) -> f64 {
    let chains = k as f64 / length as f64;
    ((length as f64 / chains + chains) / 18.0).sqrt()
}

/// Holds sums of `k` terms against the bound and the expectation, which the same sums as one chain don't keep.
fn hold(what: &str, k: usize, computed: &[f32], one_chain: &[f32], exact: &[f64]) {
    let (max, rms) = errors(computed, exact);
    let (bound, expected) = (512.0 + k as f64 / 512.0, expected(k, 512));
    assert!(max <= bound, "{what}: {max} u of at most {bound}");
    assert!(rms <= 2.0 * expected, "{what}: rms {rms} u, expected {expected}");
    let (_, rms) = errors(one_chain, exact);
    assert!(rms > 8.0 * expected, "{what}: as one chain rms {rms} u, so this test can tell nothing");
}

/// Σ_p a_p·b_pj for every j: exactly, and as one chain of fused multiply-adds.
fn reference(a: &[f32], b: &[f32]) -> (Vec<f64>, Vec<f32>) {
    let (mut exact, mut chain) = (vec![0.0; SUMS], vec![0.0f32; SUMS]);
    for (a, b) in a.iter().zip(b.chunks(SUMS)) {
        for j in 0..SUMS {
            exact[j] += f64::from(*a) * f64::from(b[j]);
            chain[j] = a.mul_add(b[j], chain[j]);
        }
    }
    (exact, chain)
}

#[test]
fn products_of_long_sums() -> Result<()> {
    for k in LONG {
        let (a, b) = (positive(k, 1), positive(k * SUMS, 2));
        let (exact, chain) = reference(&a, &b);
        let (a, b) = (MatRef::new(&a, 1, k)?, MatRef::new(&b, k, SUMS)?);
        for isa in IsaToken::available() {
            let gemm = Gemm::with(isa, 2);
            let mut c = vec![f32::NAN; SUMS];
            gemm.run(1.0, a, b, 0.0, MatMut::new(&mut c, 1, SUMS)?, &mut gemm.scratch(1, SUMS, k))?;
            hold(&format!("A·B, k = {k}, {isa:?}"), k, &c, &chain, &exact);
        }
    }
    Ok(())
}

/// dW and db of a layer over a long batch.
#[test]
fn gradients_over_long_batches() -> Result<()> {
    let rows = LONG[0];
    let (delta, a, ones) = (positive(rows * SUMS, 3), positive(rows, 4), vec![1.0; rows]);
    let (dw, db) = (reference(&a, &delta), reference(&ones, &delta));
    let (delta, a) = (MatRef::new(&delta, rows, SUMS)?, MatRef::new(&a, rows, 1)?);
    for isa in IsaToken::available() {
        let dense = Dense::<f32>::with(isa, 2, BackendKind::Native)?;
        let mut out = vec![f32::NAN; SUMS];
        let mut scratch = dense.scratch(rows, 1, SUMS);
        dense.vjp_weights(delta, a, MatMut::new(&mut out, SUMS, 1)?, false, &mut scratch)?;
        hold(&format!("dW, {isa:?}"), rows, &out, &dw.1, &dw.0);
        dense.vjp_bias(delta, &mut out)?;
        hold(&format!("db, {isa:?}"), rows, &out, &db.1, &db.0);
    }
    Ok(())
}
