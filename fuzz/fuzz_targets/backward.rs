//! Any bytes as floats (NaN, infinities, denormals, both zeros) through a network forward and backward, in memory that
//! held NaN: the sums' bits are those of docs/NUMERICS.md, one element at a time. The activations are the library's own
//! scalar ones, which have tests of their own. Batches are one slot, and widths below a chain.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use nablas::{Activation, IsaToken, MatMut, MatRef, Mlp, PathKind, Plan, PlanOptions, Pointwise, Scalar};
use nablas_kernels::act::Saved;

#[path = "../../tests/common/chain.rs"]
mod chain;

use chain::{Element, chains};

/// Rows at most: all of them are one slot on each path.
const ROWS: u8 = 64;

/// A number by bits of any kind.
trait Float: Element {
    fn of(bytes: [u8; 8]) -> Self;
}

impl Float for f32 {
    fn of(b: [u8; 8]) -> Self {
        f32::from_le_bytes([b[0], b[1], b[2], b[3]])
    }
}

impl Float for f64 {
    fn of(b: [u8; 8]) -> Self {
        f64::from_le_bytes(b)
    }
}

/// Endless numbers: the bytes again and again, some as they are, most at a size where sums are none of the specials.
struct Numbers<'a> {
    bytes: &'a [u8],
    at: usize,
    wild: u8,
}

impl Numbers<'_> {
    fn next<T: Float>(&mut self) -> T {
        let mut eight = [0; 8];
        for byte in &mut eight {
            // Each time round another byte joins another, so that no period is one of the shapes'.
            let i = self.at % self.bytes.len().max(1);
            *byte = self.bytes.get(i).copied().unwrap_or(0).wrapping_add((self.at / 257) as u8);
            self.at += 1;
        }
        if eight[0] ^ eight[5] < self.wild {
            return T::of(eight);
        }
        T::from_f64(f64::from(i32::from_le_bytes([eight[0], eight[1], eight[2], eight[3]])) / 2f64.powi(31))
    }

    fn take<T: Float>(&mut self, n: usize) -> Vec<T> {
        (0..n).map(|_| self.next()).collect()
    }
}

fn activation<T: Scalar>(u: &mut Unstructured<'_>) -> Result<Activation<T>> {
    let t = T::from_f64(*u.choose(&[0.0, 1.0, -0.5, 0.25, 6.0])?);
    Ok(match *u.choose(&Activation::<T>::all())? {
        Activation::LeakyRelu(_) => Activation::LeakyRelu(t),
        Activation::ClippedRelu(_) => Activation::ClippedRelu(t * t + T::from_f64(0.5)),
        Activation::Elu(_) => Activation::Elu(t),
        Activation::Sin(_) => Activation::Sin(t),
        act => act,
    })
}

/// Y, the gradient and dX, one element at a time.
fn oracle<T: Float>(
    mlp: &Mlp<T>,
    narrow: bool,
    params: &[T],
    x: &[T],
    dy: &[T],
    batch: usize,
) -> [Vec<T>; 3] {
    let scalar = IsaToken::pin("scalar").expect("always there");
    let ranges = |l: usize| (mlp.weights_range(l).expect("a layer"), mlp.bias_range(l).expect("a layer"));
    let (mut acts, mut states) = (vec![x.to_vec()], vec![]);
    for (l, s) in mlp.layers().iter().enumerate() {
        let (w, b) = (&params[ranges(l).0], &params[ranges(l).1]);
        let z: Vec<T> = (0..batch * s.outputs)
            .map(|e| {
                let (row, j) = (&acts[l][e / s.outputs * s.inputs..][..s.inputs], e % s.outputs);
                chains(b[j], row.iter().copied().zip(w[j * s.inputs..][..s.inputs].iter().copied()))
            })
            .collect();
        let (mut a, mut d) = (z.clone(), z.clone());
        s.activation.value_and_derivative_on(scalar, &z, &mut a, &mut d).expect("equal lengths");
        if s.activation.saved() == Saved::Mask {
            // A mask cannot say NaN: it says 1.
            z.iter().zip(&mut d).filter(|(z, _)| z.to_f64().is_nan()).for_each(|(_, d)| *d = T::ONE);
        }
        acts.push(a);
        states.push((s.activation.saved(), d));
    }
    // δ from the cotangent of A: masks select, all else multiplies.
    let delta = |l: usize, cotangent: Vec<T>| -> Vec<T> {
        let (saved, d) = &states[l];
        let one = |(c, d): (T, T)| match saved {
            Saved::Nothing => c,
            Saved::Mask if d == T::ZERO => T::ZERO,
            Saved::Mask if d == T::ONE => c,
            _ => c * d,
        };
        cotangent.into_iter().zip(d.iter().copied()).map(one).collect()
    };
    let sum = |mut terms: Vec<(T, T)>| {
        if !narrow {
            return chains(T::ZERO, terms.into_iter());
        }
        let mut lanes = [T::ZERO; 16];
        // Rows beyond the batch, up to whole lanes, count as zeros: what has been −0 is +0 then.
        terms.resize(terms.len().next_multiple_of(16), (T::ZERO, T::ZERO));
        for (i, (a, b)) in terms.into_iter().enumerate() {
            lanes[i % 16] = a.fma(b, lanes[i % 16]);
        }
        for half in [8, 4, 2, 1] {
            for j in 0..half {
                lanes[j] += lanes[j + half];
            }
        }
        lanes[0]
    };
    let mut grads = vec![T::ZERO; params.len()];
    let mut cotangent = dy.to_vec();
    for (l, s) in mlp.layers().iter().enumerate().rev() {
        let ((n, k), (at_w, at_b)) = ((s.outputs, s.inputs), ranges(l));
        let delta = delta(l, cotangent);
        for e in 0..n * k {
            let term = |i: usize| (delta[i * n + e / k], acts[l][i * k + e % k]);
            grads[at_w.start + e] = sum((0..batch).map(term).collect());
        }
        for j in 0..n {
            grads[at_b.start + j] = sum((0..batch).map(|i| (delta[i * n + j], T::ONE)).collect());
        }
        let w = &params[at_w];
        let below = |e: usize| {
            let row = &delta[e / k * n..][..n];
            chains(T::ZERO, row.iter().enumerate().map(|(o, d)| (*d, w[o * k + e % k])))
        };
        cotangent = (0..batch * k).map(below).collect();
    }
    [acts.pop().expect("Y"), grads, cotangent]
}

/// The bits, one NaN for all.
fn key<T: Scalar>(x: T) -> Option<T::Bits> {
    (!x.to_f64().is_nan()).then(|| x.bits())
}

fn check<T: Float>(u: &mut Unstructured<'_>) -> Result<()> {
    let batch = usize::from(1 + u8::arbitrary(u)? % ROWS);
    let (isa, threads) = (usize::from(u8::arbitrary(u)?), usize::from(1 + u8::arbitrary(u)? % 3));
    let mut builder = Mlp::builder(usize::from(1 + u8::arbitrary(u)? % 40));
    for _ in 0..=u8::arbitrary(u)? % 3 {
        builder = builder.layer(usize::from(1 + u8::arbitrary(u)? % 40), activation::<T>(u)?);
    }
    let mlp = builder.build().expect("widths and parameters in their domains");
    let mut numbers =
        Numbers { wild: *u.choose(&[0, 2, 30, 255])?, bytes: u.peek_bytes(u.len()).unwrap_or(&[]), at: 0 };
    let params: Vec<T> = numbers.take(mlp.param_len());
    let (x, dy): (Vec<T>, Vec<T>) = (numbers.take(batch * mlp.inputs()), numbers.take(batch * mlp.outputs()));
    let isas: Vec<IsaToken> = IsaToken::available().collect();
    let options = PlanOptions::new(batch).threads(threads).exactly(threads).isa(isas[isa % isas.len()]);
    let plan = Plan::new(&mlp, &options).expect("a plan of a small network");
    let expected = oracle(&mlp, plan.path() == PathKind::Narrow, &params, &x, &dy, batch);

    let nan = T::from_f64(f64::NAN);
    let mut memory = vec![nan; plan.workspace_bytes() / size_of::<T>() + 64];
    let lead = memory.as_ptr().align_offset(64);
    // SAFETY: a cache line starts there, and so many bytes are left; nothing else accesses them.
    let mut ws = unsafe { plan.workspace_at(memory.as_mut_ptr().add(lead)) };
    let mut kept = plan.kept(batch).expect("a kept state");
    let (mut y, mut grads, mut dx) = (vec![nan; dy.len()], vec![nan; params.len()], vec![nan; x.len()]);
    let xm = MatRef::new(&x, batch, mlp.inputs()).expect("X");
    let dym = MatRef::new(&dy, batch, mlp.outputs()).expect("dY");
    // The later ones find what the earlier left in the workspace; the last is in two calls.
    for round in 0..3 {
        let ym = MatMut::new(&mut y, batch, mlp.outputs()).expect("Y");
        let dxm = MatMut::new(&mut dx, batch, mlp.inputs()).expect("dX");
        if round < 2 {
            plan.vjp(&params, xm, dym, Some(ym), &mut grads, Some(dxm), &mut ws).expect("operands that fit");
        } else {
            plan.forward(&params, xm, ym, Some(&mut kept), &mut ws).expect("operands that fit");
            plan.backward(&params, xm, dym, &mut grads, Some(dxm), &kept, &mut ws)
                .expect("operands that fit");
        }
        for ((got, want), what) in [&y, &grads, &dx].into_iter().zip(&expected).zip(["Y", "grads", "dX"]) {
            for i in 0..got.len() {
                assert!(
                    key(got[i]) == key(want[i]),
                    "{what}[{i}] is {} instead of {}, {plan:?}, {mlp:?}, {batch} rows",
                    got[i],
                    want[i]
                );
            }
        }
        for out in [&mut y, &mut grads, &mut dx] {
            out.fill(nan);
        }
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    // Bytes that are too few are followed by zeros.
    let _ = match u8::arbitrary(&mut u) {
        Ok(kind) if kind % 3 == 0 => check::<f64>(&mut u),
        Ok(_) => check::<f32>(&mut u),
        Err(_) => Ok(()),
    };
});
