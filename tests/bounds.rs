//! Componentwise error bounds: a product is within γ_k·|A|·|B| of the exact one (Higham 2002, 3.5), and a whole backward
//! pass within what its products, activations and sums may add up to, on random, ill-scaled and adversarial data.

#[path = "common/numbers.rs"]
mod numbers;

use nablas::{Activation, Gemm, IsaToken, MatMut, MatRef, Mlp, Plan, PlanOptions, Result, Scalar};
use numbers::numbers;

/// u of the type: half of the spacing at 1.
fn u<T: Scalar>() -> f64 {
    T::EPSILON.to_f64() / 2.0
}

/// γ_k = k·u/(1 − k·u): what k roundings, one after another, may come to.
fn gamma<T: Scalar>(k: usize) -> f64 {
    let ku = k as f64 * u::<T>();
    ku / (1.0 - ku)
}

/// Kinds of data, each unkind in its own way.
#[derive(Debug, Clone, Copy)]
enum Data {
    /// In (−1, 1).
    Random,
    /// Each row and column at a scale of its own, over 2^±10.
    IllScaled,
    /// Pairs of terms that all but cancel.
    Cancelling,
    /// One sign, and every digit set: each addition rounds.
    FullDigits,
    /// Huge terms that cancel to the bit, with small ones between them, which each chain forgets.
    Swamped,
    /// Among the smallest numbers that there are.
    Denormal,
}

const KINDS: [Data; 6] =
    [Data::Random, Data::IllScaled, Data::Cancelling, Data::FullDigits, Data::Swamped, Data::Denormal];

/// An m×k matrix whose rows are summed over against another of the same kind.
fn matrix<T: Scalar>(kind: Data, m: usize, k: usize, seed: u64) -> Vec<T> {
    let base: Vec<f64> = numbers::<f64>(m * k, seed);
    let scale = |i: usize| 2f64.powi((i * 37 % 21) as i32 - 10);
    let of = |e: usize| {
        let (i, p, x) = (e / k, e % k, base[e]);
        match kind {
            Data::Random => x,
            Data::IllScaled => x * scale(i) * scale(p + 17 * (seed as usize % 2)),
            // Of two neighbours the second is minus the first, in one factor only, and a little more.
            Data::Cancelling if p % 2 == 1 && seed % 2 == 1 => -base[e - 1] * (1.0 + 1e-6 * x),
            Data::Cancelling if p % 2 == 1 => base[e - 1],
            Data::Cancelling => x,
            Data::FullDigits => 1.0 - T::EPSILON.to_f64() * (1.0 + (e % 3) as f64),
            Data::Swamped => match p % 4 {
                0 => 2f64.powi(40),
                2 if seed % 2 == 1 => -(2f64.powi(40)),
                2 => 2f64.powi(40),
                _ => x,
            },
            Data::Denormal => x * if T::NAME == "f32" { 2f64.powi(-70) } else { 2f64.powi(-530) },
        }
    };
    (0..m * k).map(|e| T::from_f64(of(e))).collect()
}

/// A sum of products in twice the digits of `f64`: (Σ a·b, Σ |a·b|).
fn dot<T: Scalar>(terms: impl Iterator<Item = (T, T)>) -> (f64, f64, f64) {
    let (mut high, mut low, mut size) = (0.0f64, 0.0f64, 0.0f64);
    for (a, b) in terms {
        let (a, b) = (a.to_f64(), b.to_f64());
        let product = a * b;
        let rest = a.mul_add(b, -product);
        let sum = high + product;
        let back = sum - high;
        low += (high - (sum - back)) + (product - back) + rest;
        (high, size) = (sum, size + product.abs());
    }
    (high, low, size)
}

fn products<T: Scalar>() -> Result<()> {
    let mut closest: f64 = 0.0;
    for kind in KINDS {
        for (m, k, n) in [(1, 7, 1), (5, 64, 17), (33, 511, 9), (6, 512, 40), (3, 1500, 20), (26, 4096, 3)] {
            let (a, b) = (matrix::<T>(kind, m, k, 3), matrix::<T>(kind, n, k, 4));
            let (am, bm) = (MatRef::new(&a, m, k)?, MatRef::new(&b, n, k)?.t());
            for isa in IsaToken::available() {
                let gemm = Gemm::with(isa, 2);
                let mut c = vec![T::from_f64(f64::NAN); m * n];
                gemm.run(T::ONE, am, bm, T::ZERO, MatMut::new(&mut c, m, n)?, &mut gemm.scratch(m, n, k))?;
                for i in 0..m {
                    for j in 0..n {
                        let (row, col) = (&a[i * k..][..k], &b[j * k..][..k]);
                        let (high, low, size) = dot(row.iter().copied().zip(col.iter().copied()));
                        let error = ((c[i * n + j].to_f64() - high) - low).abs();
                        // Below the normal numbers a rounding is of a fixed size.
                        let tiny = if T::NAME == "f32" { 2f64.powi(-149) } else { 5e-324 };
                        let bound = gamma::<T>(k) * size + k as f64 * tiny;
                        assert!(error <= bound, "{kind:?} {m}×{k}×{n} {isa:?}: {error:e} of {bound:e}");
                        closest = closest.max(error / bound);
                    }
                }
            }
        }
    }
    println!("{}: at most {closest:.2} of the bound", T::NAME);
    // Full digits come close enough for the test to be one.
    assert!(closest > 0.01, "{closest}");
    Ok(())
}

#[test]
fn products_are_within_gamma_k() -> Result<()> {
    products::<f32>()?;
    products::<f64>()
}

/// A matrix as it would be without rounding, and how far off each element of the computed one may be.
struct Bounded {
    exact: Vec<f64>,
    off: Vec<f64>,
}

impl Bounded {
    fn exactly(x: &[f32]) -> Self {
        Self { exact: x.iter().map(|x| f64::from(*x)).collect(), off: vec![0.0; x.len()] }
    }

    fn holds(&self, got: &[f32], what: &str, closest: &mut f64) {
        assert_eq!(got.len(), self.exact.len());
        for (i, got) in got.iter().enumerate() {
            let (error, bound) = ((f64::from(*got) - self.exact[i]).abs(), self.off[i] + 1e-44);
            assert!(error <= bound, "{what}[{i}]: {got}, {error:e} of {bound:e} from {}", self.exact[i]);
            *closest = closest.max(error / bound);
        }
    }
}

/// Σ_p a(p)·b(p) of bounded numbers, plus an exact start, by so many roundings at most.
fn sum(start: f64, roundings: usize, terms: impl Iterator<Item = ((f64, f64), (f64, f64))>) -> (f64, f64) {
    let (mut exact, mut off, mut size) = (start, 0.0, start.abs());
    for ((a, da), (b, db)) in terms {
        exact += a * b;
        off += da * b.abs() + a.abs() * db + da * db;
        size += (a.abs() + da) * (b.abs() + db);
    }
    (exact, off + gamma::<f32>(roundings) * size)
}

/// g, g', the largest |g'| and |g''|, and the ULP of docs/NUMERICS.md.
struct Function {
    act: Activation<f32>,
    at: fn(f64) -> (f64, f64),
    slopes: (f64, f64),
    ulps: (f64, f64),
}

fn functions() -> [Function; 4] {
    [
        Function { act: Activation::Identity, at: |z| (z, 1.0), slopes: (1.0, 0.0), ulps: (0.0, 0.0) },
        Function {
            act: Activation::Relu,
            at: |z| (z.max(0.0), if z > 0.0 { 1.0 } else { 0.0 }),
            slopes: (1.0, f64::INFINITY),
            ulps: (0.0, 0.0),
        },
        Function {
            act: Activation::Tanh,
            at: |z| (z.tanh(), z.cosh().recip().powi(2)),
            slopes: (1.0, 0.77),
            ulps: (2.0, 3.5),
        },
        Function {
            act: Activation::Sigmoid,
            at: |z| {
                let s = 1.0 / (1.0 + (-z).exp());
                (s, s / (1.0 + z.exp()))
            },
            slopes: (0.25, 0.1),
            ulps: (1.0, 2.5),
        },
    ]
}

/// A + b with what rounding once more may add: an ULP is at most 2u of a number, and no less than the least.
fn rounded(exact: f64, off: f64, ulps: f64) -> f64 {
    off + ulps * (2.0 * u::<f32>() * (exact.abs() + off) + 1e-45)
}

/// Y, the gradient and dX of a network, each with its bound.
fn backward(
    mlp: &Mlp<f32>,
    f: &Function,
    params: &[f32],
    x: &[f32],
    dy: &[f32],
    batch: usize,
) -> Result<[Bounded; 3]> {
    let layers = mlp.layers();
    let (mut acts, mut slopes): (Vec<Bounded>, Vec<Bounded>) = (vec![Bounded::exactly(x)], vec![]);
    for (l, s) in layers.iter().enumerate() {
        let (w, b) = (&params[mlp.weights_range(l)?], &params[mlp.bias_range(l)?]);
        let (mut a, mut d) = (Bounded::exactly(&[]), Bounded::exactly(&[]));
        for e in 0..batch * s.outputs {
            let (i, j) = (e / s.outputs, e % s.outputs);
            let term = |p: usize| {
                let at = i * s.inputs + p;
                ((acts[l].exact[at], acts[l].off[at]), (f64::from(w[j * s.inputs + p]), 0.0))
            };
            let (z, off) = sum(f64::from(b[j]), s.inputs, (0..s.inputs).map(term));
            let (value, slope) = (f.at)(z);
            a.exact.push(value);
            a.off.push(rounded(value, f.slopes.0 * off, f.ulps.0));
            // A slope that jumps is exact but where z may be on the other side.
            let moved = match f.slopes.1.is_finite() {
                true => f.slopes.1 * off,
                false if z.abs() <= off => 1.0,
                false => 0.0,
            };
            d.exact.push(slope);
            d.off.push(rounded(slope, moved, f.ulps.1));
        }
        acts.push(a);
        slopes.push(d);
    }
    let mut grads = Bounded::exactly(&vec![0.0; params.len()]);
    let mut cotangent = Bounded::exactly(dy);
    for (l, s) in layers.iter().enumerate().rev() {
        let (n, k) = (s.outputs, s.inputs);
        let mut delta = Bounded::exactly(&[]);
        for e in 0..batch * n {
            let both = ((cotangent.exact[e], cotangent.off[e]), (slopes[l].exact[e], slopes[l].off[e]));
            let (exact, off) = sum(0.0, 1, [both].into_iter());
            delta.exact.push(exact);
            delta.off.push(off);
        }
        let at = |m: &Bounded, e: usize| (m.exact[e], m.off[e]);
        // A row's term is added once in its chain, then with its slot's.
        let roundings = batch + 6;
        for e in 0..n * k {
            let term = |i: usize| (at(&delta, i * n + e / k), at(&acts[l], i * k + e % k));
            let to = mlp.weights_range(l)?.start + e;
            (grads.exact[to], grads.off[to]) = sum(0.0, roundings, (0..batch).map(term));
        }
        for j in 0..n {
            let to = mlp.bias_range(l)?.start + j;
            let terms = (0..batch).map(|i| (at(&delta, i * n + j), (1.0, 0.0)));
            (grads.exact[to], grads.off[to]) = sum(0.0, roundings, terms);
        }
        let w = &params[mlp.weights_range(l)?];
        let below = |e: usize| {
            let term = |o: usize| (at(&delta, e / k * n + o), (f64::from(w[o * k + e % k]), 0.0));
            sum(0.0, n, (0..n).map(term))
        };
        let (exact, off) = (0..batch * k).map(below).unzip();
        cotangent = Bounded { exact, off };
    }
    Ok([acts.pop().expect("Y"), grads, cotangent])
}

#[test]
fn backward_passes_are_within_their_bounds() -> Result<()> {
    let mut closest = 0.0;
    for kind in [Data::Random, Data::IllScaled, Data::Cancelling, Data::FullDigits] {
        // Narrow, fused, layered; more rows than a slot has.
        for (widths, batch) in [(&[5, 9, 3][..], 600), (&[20, 33, 18, 4], 150), (&[40, 610, 430, 2], 9)] {
            for f in functions() {
                let builder = widths[1..].iter().fold(Mlp::builder(widths[0]), |b, n| b.layer(*n, f.act));
                let mlp = builder.build()?;
                let mut params = vec![0.0; mlp.param_len()];
                for (l, s) in mlp.layers().iter().enumerate() {
                    let w = matrix::<f32>(kind, s.outputs, s.inputs, 5 + 2 * l as u64);
                    let root = 1.0 / (s.inputs as f32).sqrt();
                    params[mlp.weights_range(l)?].copy_from_slice(&w);
                    params[mlp.weights_range(l)?].iter_mut().for_each(|w| *w *= root);
                    params[mlp.bias_range(l)?].copy_from_slice(&numbers(s.outputs, 6));
                }
                let x = matrix::<f32>(kind, batch, widths[0], 4);
                let dy = matrix::<f32>(kind, batch, mlp.outputs(), 8);
                let want = backward(&mlp, &f, &params, &x, &dy, batch)?;
                for isa in IsaToken::available() {
                    let plan = Plan::new(&mlp, &PlanOptions::new(batch).isa(isa).threads(2))?;
                    let (mut y, mut dx) = (dy.clone(), x.clone());
                    let mut grads = vec![f32::NAN; params.len()];
                    let ym = MatMut::new(&mut y, batch, mlp.outputs())?;
                    let dxm = MatMut::new(&mut dx, batch, widths[0])?;
                    let (xm, dym) =
                        (MatRef::new(&x, batch, widths[0])?, MatRef::new(&dy, batch, mlp.outputs())?);
                    plan.vjp(&params, xm, dym, Some(ym), &mut grads, Some(dxm), &mut plan.workspace()?)?;
                    for ((got, want), what) in
                        [&y, &grads, &dx].iter().zip(&want).zip(["Y", "gradient", "dX"])
                    {
                        want.holds(got, &format!("{what}, {kind:?}, {plan:?}"), &mut closest);
                    }
                }
            }
        }
    }
    println!("at most {closest:.2} of the bound");
    assert!(closest > 0.01, "{closest}");
    Ok(())
}
