//! The same step three ways: fused, unfused on crate `matrixmultiply`, and through materialised Jacobians.

use crate::{
    data::{CLASSES, PIXELS, Samples},
    train::loss,
};
use anyhow::Result;
use nablas::{
    AdamW, BackendKind, Error, IsaToken, MatMut, MatRef, Mlp, Plan, PlanOptions, Scalar, Targets,
    backend::MatrixMultiply, jacobian,
};
use std::time::{Duration, Instant};

/// The memory that the Jacobians of one layer at one sample may take.
const LIMIT: u64 = 2 << 30;

/// How the three compare on one minibatch.
pub(crate) struct Comparison {
    /// The largest difference between the fused and the naive gradient; nothing where the Jacobians don't fit.
    pub(crate) gradient_max_abs_diff: Option<f64>,
    /// Microseconds a step: fused.
    pub(crate) fused_us: f64,
    /// Microseconds a step: products by `matrixmultiply`.
    pub(crate) matrixmultiply_us: f64,
    /// Microseconds a step: Jacobians; nothing where they don't fit.
    pub(crate) jacobian_us: Option<f64>,
}

impl Comparison {
    /// Measures all of it from the same parameters and samples.
    pub(crate) fn measure<T: Scalar>(
        mlp: &Mlp<T>,
        options: &PlanOptions,
        params: &[T],
        samples: &Samples<T>,
    ) -> Result<Self> {
        let (fused, fused_us) = planned(mlp, options, params, samples)?;
        let unfused = options.clone().backend(BackendKind::MatrixMultiply);
        let (_, matrixmultiply_us) = planned(mlp, &unfused, params, samples)?;
        let naive = match through_jacobians(mlp, options, params, samples) {
            Ok((gradient, us)) => {
                let differences = gradient.iter().zip(&fused).map(|(a, b)| (a.to_f64() - b.to_f64()).abs());
                Some((differences.fold(0.0, largest), us))
            }
            Err(Error::TooLarge { .. }) => None,
            Err(e) => return Err(e.into()),
        };
        Ok(Self {
            gradient_max_abs_diff: naive.map(|n| n.0),
            fused_us,
            matrixmultiply_us,
            jacobian_us: naive.map(|n| n.1),
        })
    }
}

/// The larger one; NaN once there is one.
fn largest(a: f64, b: f64) -> f64 {
    if b <= a { a } else { b }
}

/// The gradient by a plan, and the time of a step with it.
fn planned<T: Scalar>(
    mlp: &Mlp<T>,
    options: &PlanOptions,
    params: &[T],
    samples: &Samples<T>,
) -> nablas::Result<(Vec<T>, f64)> {
    let plan = Plan::new(mlp, options)?;
    let mut workspace = plan.workspace()?;
    let x = MatRef::new(&samples.images, samples.len(), PIXELS)?;
    let targets = Targets::Classes(&samples.classes);
    time(plan.isa(), params, |params, grads| {
        plan.value_and_grad(params, x, &loss(), targets, grads, &mut workspace)?;
        Ok(())
    })
}

/// The gradient by the naive pass, and the time of a step with it.
fn through_jacobians<T: Scalar>(
    mlp: &Mlp<T>,
    options: &PlanOptions,
    params: &[T],
    samples: &Samples<T>,
) -> nablas::Result<(Vec<T>, f64)> {
    let plan = Plan::new(mlp, options)?;
    let mut workspace = plan.workspace()?;
    let x = MatRef::new(&samples.images, samples.len(), PIXELS)?;
    let targets = Targets::Classes(&samples.classes);
    let blas = MatrixMultiply;
    let mut y = vec![T::ZERO; samples.len() * CLASSES];
    let mut dy = y.clone();
    time(plan.isa(), params, |params, grads| {
        let (rows, cols) = (samples.len(), CLASSES);
        plan.forward(params, x, MatMut::new(&mut y, rows, cols)?, None, &mut workspace)?;
        let y = MatRef::new(&y, rows, cols)?;
        loss().value_and_delta(plan.isa(), y, targets, MatMut::new(&mut dy, rows, cols)?)?;
        let naive = jacobian::gradients(mlp, params, x, MatRef::new(&dy, rows, cols)?, LIMIT, &blas)?;
        grads.copy_from_slice(&naive.params);
        Ok(())
    })
}

/// The first gradient, and the median time in microseconds of the steps that start with it, each the gradient and
/// an AdamW update.
fn time<T: Scalar>(
    isa: IsaToken,
    params: &[T],
    mut gradient: impl FnMut(&[T], &mut [T]) -> nablas::Result<()>,
) -> nablas::Result<(Vec<T>, f64)> {
    let mut params = params.to_vec();
    let mut grads = vec![T::ZERO; params.len()];
    let mut optimizer = AdamW::with(isa, params.len(), 1e-3)?;
    let mut first = None;
    let mut times = Vec::new();
    let began = Instant::now();
    while times.is_empty() || began.elapsed() < Duration::from_millis(300) {
        let start = Instant::now();
        gradient(&params, &mut grads)?;
        optimizer.step(&mut params, &grads)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        first.get_or_insert_with(|| grads.clone());
    }
    times.sort_by(f64::total_cmp);
    Ok((first.unwrap_or(grads), times[times.len() / 2]))
}
