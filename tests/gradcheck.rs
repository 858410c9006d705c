//! Gradients in f64 against central differences and against the product of all Jacobians.

#[path = "common/activations.rs"]
mod activations;
#[path = "common/numbers.rs"]
mod numbers;

use activations::{all, reference};
use nablas::{
    Activation, BackendKind, IsaToken, Loss, LossKind, MatMut, MatRef, Mlp, Plan, PlanOptions, Reduction,
    Result, Targets, backend::MatrixMultiply, jacobian,
};
use numbers::numbers;

/// Nearer to a kink than this no pre-activation may be, or a difference would straddle it.
const CLEAR: f64 = 1e-3;
/// Half the step of a difference.
const STEP: f64 = 1e-5;

/// The outputs by definition, in the standard library's functions, and how near a pre-activation came to a kink.
fn outputs(mlp: &Mlp<f64>, params: &[f64], x: &[f64]) -> (Vec<f64>, f64) {
    let (mut y, mut nearest) = (Vec::new(), f64::INFINITY);
    for row in x.chunks(mlp.inputs()) {
        let mut a = row.to_vec();
        for (l, layer) in mlp.layers().iter().enumerate() {
            let (w, b) = (mlp.weights_range(l), mlp.bias_range(l));
            let (w, b) = (&params[w.expect("a layer")], &params[b.expect("a layer")]);
            let kinks: &[f64] = match layer.activation {
                Activation::Relu | Activation::LeakyRelu(_) | Activation::Elu(_) | Activation::Selu => &[0.0],
                Activation::ClippedRelu(c) => &[0.0, c],
                Activation::HardSwish => &[-3.0, 3.0],
                _ => &[],
            };
            let z =
                |o: usize| b[o] + w[o * a.len()..][..a.len()].iter().zip(&a).map(|(w, a)| w * a).sum::<f64>();
            let z: Vec<f64> = (0..layer.outputs).map(z).collect();
            let distances = z.iter().flat_map(|z| kinks.iter().map(move |k| (z - k).abs()));
            nearest = distances.fold(nearest, f64::min);
            a = z.into_iter().map(|z| reference(layer.activation, z).0).collect();
        }
        y.extend(a);
    }
    (y, nearest)
}

/// The central difference of `f` along each element of `at`.
fn differences(at: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let along = |i: usize, step: f64| {
        let mut x = at.to_vec();
        x[i] += step;
        f(&x)
    };
    (0..at.len()).map(|i| (along(i, STEP) - along(i, -STEP)) / (2.0 * STEP)).collect()
}

fn close(got: &[f64], expected: &[f64], tolerance: f64, what: impl Fn() -> String) {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * scale, "{}: [{i}] is {g}, not {e}", what());
    }
}

/// A network, its parameters and inputs, away from all kinks.
struct Net {
    mlp: Mlp<f64>,
    params: Vec<f64>,
    x: Vec<f64>,
    batch: usize,
}

impl Net {
    fn new(widths: &[usize], act: Activation<f64>, last: Activation<f64>, batch: usize) -> Result<Self> {
        let mut builder = Mlp::builder(widths[0]);
        for (l, width) in widths.iter().enumerate().skip(1) {
            builder = builder.layer(*width, if l + 1 == widths.len() { last } else { act });
        }
        let mlp = builder.build()?;
        let half = |x: Vec<f64>| x.into_iter().map(|x| 0.5 * x).collect::<Vec<f64>>();
        let drawn = |seed| (half(numbers(mlp.param_len(), seed)), numbers(batch * widths[0], seed + 5000));
        let clear = (1..1000).map(drawn).find(|(params, x)| outputs(&mlp, params, x).1 > CLEAR);
        let (params, x) = clear.expect("a seed away from all kinks");
        Ok(Self { mlp, params, x, batch })
    }

    fn x(&self) -> Result<MatRef<'_, f64>> {
        MatRef::new(&self.x, self.batch, self.mlp.inputs())
    }

    /// Plans for it: every ISA and backend.
    fn plans(&self) -> Result<Vec<Plan<f64>>> {
        let backends = [BackendKind::Native, BackendKind::MatrixMultiply];
        let options = |isa, backend| PlanOptions::new(self.batch).threads(1).isa(isa).backend(backend);
        let each = IsaToken::available().flat_map(|isa| backends.map(|b| options(isa, b)));
        each.map(|options| Plan::new(&self.mlp, &options)).collect()
    }
}

#[test]
fn vector_jacobian_products_of_every_activation() -> Result<()> {
    for act in all::<f64>() {
        for (widths, last) in
            [(vec![3, 5, 2], Activation::Identity), (vec![4, 3], act), (vec![2, 9, 4, 3], act)]
        {
            let net = Net::new(&widths, act, last, 3)?;
            let (n, m) = (net.mlp.inputs(), net.mlp.outputs());
            let dy = numbers::<f64>(3 * m, 7);
            let value = |params: &[f64], x: &[f64]| {
                let y = outputs(&net.mlp, params, x).0;
                y.iter().zip(&dy).map(|(y, d)| y * d).sum::<f64>()
            };
            let by_params = differences(&net.params, |p| value(p, &net.x));
            let by_inputs = differences(&net.x, |x| value(&net.params, x));
            let dy = MatRef::new(&dy, 3, m)?;
            let exact = jacobian::gradients(&net.mlp, &net.params, net.x()?, dy, u64::MAX, &MatrixMultiply)?;
            for plan in net.plans()? {
                let what = |part: &str| format!("{part} of {widths:?} {act:?}, {plan:?}");
                let (mut y, mut dx) = (vec![0.0; 3 * m], vec![0.0; 3 * n]);
                let mut grads = vec![0.0; net.params.len()];
                let (ym, dxm) = (MatMut::new(&mut y, 3, m)?, MatMut::new(&mut dx, 3, n)?);
                plan.vjp(&net.params, net.x()?, dy, Some(ym), &mut grads, Some(dxm), &mut plan.workspace()?)?;
                close(&y, &outputs(&net.mlp, &net.params, &net.x).0, 1e-13, || what("Y"));
                close(&grads, &by_params, 1e-8, || what("the gradient"));
                close(&dx, &by_inputs, 1e-8, || what("dX"));
                close(&grads, &exact.params, 1e-13, || what("the gradient by Jacobians"));
                close(&dx, exact.dx.data(), 1e-13, || what("dX by Jacobians"));
            }
        }
    }
    Ok(())
}

/// The value of a loss by definition.
fn loss_of(loss: &Loss<f64>, y: &[f64], t: &[f64], cols: usize) -> f64 {
    let pairs = || y.iter().zip(t);
    let sum: f64 = match loss.kind {
        LossKind::Mse => pairs().map(|(y, t)| (y - t).powi(2)).sum(),
        LossKind::L1 => pairs().map(|(y, t)| (y - t).abs()).sum(),
        LossKind::Huber(d) => {
            let of = |r: f64| if r <= d { 0.5 * r * r } else { d * (r - 0.5 * d) };
            pairs().map(|(y, t)| of((y - t).abs())).sum()
        }
        LossKind::BceWithLogits => {
            pairs().map(|(y, t)| t * (-y).exp().ln_1p() + (1.0 - t) * y.exp().ln_1p()).sum()
        }
        LossKind::SoftmaxCrossEntropy => {
            let rows = y.chunks(cols).zip(t.chunks(cols));
            let of = |(y, t): (&[f64], &[f64])| {
                let total = y.iter().map(|y| y.exp()).sum::<f64>().ln();
                y.iter().zip(t).map(|(y, t)| t * (total - y)).sum::<f64>()
            };
            rows.map(of).sum()
        }
    };
    match (loss.reduction, loss.kind) {
        (Reduction::Sum, _) => sum,
        (Reduction::Mean, LossKind::SoftmaxCrossEntropy) => sum / (y.len() / cols) as f64,
        (Reduction::Mean, _) => sum / y.len() as f64,
    }
}

#[test]
fn gradients_of_every_loss() -> Result<()> {
    let kinds = [
        LossKind::Mse,
        LossKind::L1,
        LossKind::Huber(0.4),
        LossKind::BceWithLogits,
        LossKind::SoftmaxCrossEntropy,
    ];
    let (batch, m) = (4, 3);
    for act in [Activation::Tanh, Activation::Relu, Activation::Gelu] {
        let net = Net::new(&[3, 6, m], act, Activation::Identity, batch)?;
        let mut values: Vec<f64> = numbers::<f64>(batch * m, 8).into_iter().map(f64::abs).collect();
        for row in values.chunks_mut(m) {
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|t| *t /= sum);
        }
        let classes = [2u32, 0, 1, 2];
        let one_hot: Vec<f64> =
            (0..batch * m).map(|e| if classes[e / m] as usize == e % m { 1.0 } else { 0.0 }).collect();
        for kind in kinds {
            for reduction in [Reduction::Sum, Reduction::Mean] {
                let loss = Loss::new(kind, reduction);
                let by_values = (Targets::Values(MatRef::new(&values, batch, m)?), &values);
                let by_classes = (Targets::Classes(&classes), &one_hot);
                let both = kind == LossKind::SoftmaxCrossEntropy;
                for (targets, t) in [by_values, by_classes].into_iter().take(if both { 2 } else { 1 }) {
                    let value = |params: &[f64]| {
                        let y = outputs(&net.mlp, params, &net.x).0;
                        loss_of(&loss, &y, t, m)
                    };
                    let expected = differences(&net.params, value);
                    for plan in net.plans()? {
                        let what = |part: &str| format!("{part} of {loss:?} {act:?}, {plan:?}");
                        let mut grads = vec![0.0; net.params.len()];
                        let (params, mut ws) = (&net.params, plan.workspace()?);
                        let got =
                            plan.value_and_grad(params, net.x()?, &loss, targets, &mut grads, &mut ws)?;
                        close(&[got], &[value(params)], 1e-13, || what("the value"));
                        close(&grads, &expected, 1e-8, || what("the gradient"));
                    }
                }
            }
        }
    }
    Ok(())
}
