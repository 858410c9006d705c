//! Whole networks against the documented arithmetic, to the bit, where sums are longer than a chain: layers that are
//! deeper, and batches whose partial gradients have more rows, on every ISA and path.

#[path = "common/bits.rs"]
mod bits;
#[path = "common/chain.rs"]
mod chain;
#[path = "common/numbers.rs"]
mod numbers;

use bits::assert_bits;
use chain::{Element, chains};
use nablas::{Activation, IsaToken, MatMut, MatRef, Mlp, Plan, PlanOptions, Pointwise, Result};
use numbers::numbers;

/// A network and a batch for it.
struct Task<T> {
    mlp: Mlp<T>,
    batch: usize,
    params: Vec<T>,
    x: Vec<T>,
    dy: Vec<T>,
}

impl<T: Element> Task<T> {
    fn new(widths: &[usize], act: Activation<T>, batch: usize) -> Result<Self> {
        let hidden = &widths[1..widths.len() - 1];
        let builder = hidden.iter().fold(Mlp::builder(widths[0]), |b, &n| b.layer(n, act));
        let mlp = builder.layer(widths[widths.len() - 1], Activation::Identity).build()?;
        let scale = T::from_f64(1.0 / (mlp.max_width() as f64).sqrt());
        let params = numbers::<T>(mlp.param_len(), 1).into_iter().map(|p| p * scale).collect();
        let (x, dy) = (numbers(batch * mlp.inputs(), 2), numbers(batch * mlp.outputs(), 3));
        Ok(Self { mlp, batch, params, x, dy })
    }

    /// Y, the gradient and dX, one element at a time; `slot` sums a slot's products, of which `rows` rows make one.
    fn oracle(&self, rows: usize, slot: impl Fn(&[(T, T)]) -> T) -> Result<[Vec<T>; 3]> {
        let layers = self.mlp.layers();
        let (mut acts, mut slopes) = (vec![self.x.clone()], vec![]);
        for (l, s) in layers.iter().enumerate() {
            let (w, b) = (&self.params[self.mlp.weights_range(l)?], &self.params[self.mlp.bias_range(l)?]);
            let mut a = Vec::with_capacity(self.batch * s.outputs);
            for row in acts[l].chunks(s.inputs) {
                let z = |(w, b): (&[T], &T)| chains(*b, row.iter().copied().zip(w.iter().copied()));
                a.extend(w.chunks(s.inputs).zip(b).map(z));
            }
            let z = a.clone();
            let mut slope = a.clone();
            s.activation.value_and_derivative_on(IsaToken::pin("scalar")?, &z, &mut a, &mut slope)?;
            acts.push(a);
            slopes.push(slope);
        }
        let sums = |terms: &dyn Fn(usize) -> (T, T)| {
            let mut slots: Vec<T> = (0..self.batch)
                .step_by(rows)
                .map(|from| slot(&(from..self.batch.min(from + rows)).map(terms).collect::<Vec<_>>()))
                .collect();
            let mut step = 1;
            while step < slots.len() {
                for s in (0..slots.len() - step).step_by(2 * step) {
                    let later = slots[s + step];
                    slots[s] += later;
                }
                step *= 2;
            }
            slots[0]
        };
        let mut grads = vec![T::ZERO; self.params.len()];
        let mut delta = self.dy.clone();
        for (l, s) in layers.iter().enumerate().rev() {
            let (n, k) = (s.outputs, s.inputs);
            for e in 0..n * k {
                let term = |i: usize| (delta[i * n + e / k], acts[l][i * k + e % k]);
                grads[self.mlp.weights_range(l)?.start + e] = sums(&term);
            }
            for j in 0..n {
                grads[self.mlp.bias_range(l)?.start + j] = sums(&|i| (delta[i * n + j], T::ONE));
            }
            let w = &self.params[self.mlp.weights_range(l)?];
            let below = |e: usize| {
                let row = &delta[e / k * n..(e / k + 1) * n];
                let sum = chains(T::ZERO, row.iter().enumerate().map(|(o, d)| (*d, w[o * k + e % k])));
                match l {
                    0 => sum,
                    _ if slopes[l - 1][e] == T::ZERO => T::ZERO,
                    _ => sum * slopes[l - 1][e],
                }
            };
            delta = (0..self.batch * k).map(below).collect();
        }
        Ok([acts.pop().expect("Y"), grads, delta])
    }

    /// Steps and passes on every ISA and several threads, against the oracle.
    fn check(&self, path: &str, expected: &[Vec<T>; 3]) -> Result<()> {
        let (batch, nan) = (self.batch, T::from_f64(f64::NAN));
        let (n, k) = (self.mlp.outputs(), self.mlp.inputs());
        let (x, dy) = (MatRef::new(&self.x, batch, k)?, MatRef::new(&self.dy, batch, n)?);
        for isa in IsaToken::available() {
            for (threads, apart) in [(1, false), (3, true)] {
                let plan = Plan::new(&self.mlp, &PlanOptions::new(batch).isa(isa).threads(threads))?;
                assert_eq!(plan.path().name(), path, "{plan:?}");
                let mut ws = plan.workspace()?;
                let (mut y, mut dx) = (vec![nan; batch * n], vec![nan; batch * k]);
                let mut grads = vec![nan; self.params.len()];
                let (ym, dxm) = (MatMut::new(&mut y, batch, n)?, Some(MatMut::new(&mut dx, batch, k)?));
                if !apart {
                    plan.vjp(&self.params, x, dy, Some(ym), &mut grads, dxm, &mut ws)?;
                } else {
                    let mut kept = plan.kept(batch)?;
                    plan.forward(&self.params, x, ym, Some(&mut kept), &mut ws)?;
                    plan.backward(&self.params, x, dy, &mut grads, dxm, &kept, &mut ws)?;
                }
                for ((got, expected), what) in
                    [y, grads, dx].iter().zip(expected).zip(["Y", "gradient", "dX"])
                {
                    assert_bits(got, expected, || format!("{what}, {isa:?}, {plan:?}"));
                }
            }
        }
        Ok(())
    }
}

/// Rows of a slot: `count` slots, of a multiple of `unit`.
fn slot_rows(batch: usize, count: usize, unit: usize) -> usize {
    batch.div_ceil(count).next_multiple_of(unit)
}

/// A slot of the fused path, or the batch of the layered path.
fn fused<T: Element>(terms: &[(T, T)]) -> T {
    chains(T::ZERO, terms.iter().copied())
}

/// A slot of the narrow path: of every 8,192 rows, sixteen chains and their tree; these in order.
fn narrow<T: Element>(terms: &[(T, T)]) -> T {
    let chunks = terms.chunks(16 * 512).map(|chunk| {
        let mut lanes = [T::ZERO; 16];
        for (i, (a, b)) in chunk.iter().enumerate() {
            lanes[i % 16] = a.fma(*b, lanes[i % 16]);
        }
        for half in [8, 4, 2, 1] {
            for j in 0..half {
                lanes[j] += lanes[j + half];
            }
        }
        lanes[0]
    });
    chunks.reduce(|sum, chunk| sum + chunk).expect("a chunk")
}

/// Deep layers, in tiles whose depth is not cut: forward, δ' over the derivative that it replaces, and dX.
#[test]
fn fused_layers_deeper_than_a_chain() -> Result<()> {
    for widths in [[20, 16, 1100, 5], [700, 48, 513, 16], [1025, 32, 512, 3], [16, 1537, 30, 600]] {
        for act in [Activation::Tanh, Activation::Relu] {
            let task = Task::<f32>::new(&widths, act, 37)?;
            task.check("fused", &task.oracle(slot_rows(37, 1, 24), fused)?)?;
        }
        let task = Task::<f64>::new(&widths, Activation::Sigmoid, 26)?;
        task.check("fused", &task.oracle(slot_rows(26, 1, 24), fused)?)?;
    }
    Ok(())
}

#[test]
fn narrow_layers_deeper_than_a_chain() -> Result<()> {
    for widths in [[3, 700, 1], [600, 2, 3], [1, 513, 2], [2, 1, 1200]] {
        let task = Task::<f32>::new(&widths, Activation::Relu, 50)?;
        task.check("narrow", &task.oracle(50, narrow)?)?;
        let task = Task::<f64>::new(&widths, Activation::Tanh, 21)?;
        task.check("narrow", &task.oracle(21, narrow)?)?;
    }
    Ok(())
}

/// More parameters than the fused path takes, and more rows than a chain: one sum over the batch, dW and db in blocks.
#[test]
fn layered_batches_longer_than_a_chain() -> Result<()> {
    let task = Task::<f32>::new(&[513, 512, 2], Activation::Relu, 520)?;
    task.check("layered", &task.oracle(task.batch, fused)?)
}

/// 64 slots of more than 512 rows each: several chains a slot.
#[test]
fn fused_slots_longer_than_a_chain() -> Result<()> {
    let task = Task::<f32>::new(&[16, 16, 16], Activation::Relu, 32_300)?;
    assert_eq!(slot_rows(task.batch, 64, 24), 528);
    task.check("fused", &task.oracle(528, fused)?)?;
    let task = Task::<f64>::new(&[16, 16], Activation::Relu, 70_000)?;
    assert_eq!(slot_rows(task.batch, 64, 24), 1104);
    task.check("fused", &task.oracle(1104, fused)?)
}

/// 64 slots of more than 8,192 rows each: several chains in every lane of a slot.
#[test]
fn narrow_slots_longer_than_their_lanes_chains() -> Result<()> {
    let task = Task::<f32>::new(&[1, 3, 1], Activation::Relu, 530_000)?;
    assert_eq!(slot_rows(task.batch, 64, 64), 8320);
    task.check("narrow", &task.oracle(8320, narrow)?)
}
