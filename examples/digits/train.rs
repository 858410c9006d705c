//! Training: minibatches in a fresh order every epoch, AdamW, a learning rate that a cosine anneals.

use crate::{
    data::{CLASSES, PIXELS, Samples},
    options::Options,
    shuffle::Rng,
};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use nablas::{AdamW, Init, Loss, LossKind, MatMut, MatRef, Mlp, Plan, Reduction, Scalar, Targets, Workspace};

/// Softmax cross-entropy, the mean over the minibatch.
pub(crate) fn loss<T: Scalar>() -> Loss<T> {
    Loss::new(LossKind::SoftmaxCrossEntropy, Reduction::Mean)
}

/// A network in training. Everything that a step needs is allocated here, once.
pub(crate) struct Trainer<'a, T: Scalar> {
    plan: &'a Plan<T>,
    options: &'a Options,
    params: Vec<T>,
    grads: Vec<T>,
    workspace: Workspace<T>,
    optimizer: AdamW<T>,
}

impl<'a, T: Scalar> Trainer<'a, T> {
    /// Draws the initial parameters.
    pub(crate) fn new(mlp: &Mlp<T>, plan: &'a Plan<T>, options: &'a Options) -> Result<Self> {
        let mut params = vec![T::ZERO; mlp.param_len()];
        Init::HeNormal.fill(mlp, &mut params, options.seed)?;
        let grads = vec![T::ZERO; mlp.param_len()];
        let optimizer = AdamW::with(plan.isa(), mlp.param_len(), options.learning_rate)?;
        Ok(Self { plan, options, params, grads, workspace: plan.workspace()?, optimizer })
    }

    /// The parameters as they stand.
    pub(crate) fn params(&self) -> &[T] {
        &self.params
    }

    /// The samples in the order of the first epoch.
    pub(crate) fn order(&self, train: &Samples<T>) -> Vec<usize> {
        let mut order: Vec<usize> = (0..train.len()).collect();
        Rng::new(self.options.seed).shuffle(&mut order);
        order
    }

    /// Trains to the end; returns the share of the test samples that come out right.
    pub(crate) fn train(&mut self, train: &Samples<T>, test: &Samples<T>) -> Result<f64> {
        let (epochs, batch) = (self.options.epochs, self.options.batch);
        let bar = ProgressBar::new(epochs as u64);
        bar.set_style(ProgressStyle::with_template("epoch {pos:>3}/{len} {bar:40} {elapsed} {msg}")?);
        let mut rng = Rng::new(self.options.seed);
        let mut order: Vec<usize> = (0..train.len()).collect();
        let mut samples = Samples::with_capacity(batch);
        for epoch in 0..epochs {
            rng.shuffle(&mut order);
            let mut total = 0.0;
            let progress = epoch as f64 / epochs as f64;
            let annealed = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
            self.optimizer.set_rate(self.options.learning_rate * annealed)?;
            for indices in order.chunks(batch) {
                train.gather(indices, &mut samples);
                total += self.step(&samples)? * samples.len() as f64;
            }
            bar.set_message(format!("loss {:.4}", total / train.len() as f64));
            bar.inc(1);
        }
        bar.finish();
        self.accuracy(test)
    }

    /// One step; returns the loss.
    fn step(&mut self, samples: &Samples<T>) -> Result<f64> {
        let x = MatRef::new(&samples.images, samples.len(), PIXELS)?;
        let targets = Targets::Classes(&samples.classes);
        let value = self.plan.value_and_grad(
            &self.params,
            x,
            &loss(),
            targets,
            &mut self.grads,
            &mut self.workspace,
        )?;
        self.optimizer.step(&mut self.params, &self.grads)?;
        Ok(value.to_f64())
    }

    fn accuracy(&mut self, test: &Samples<T>) -> Result<f64> {
        let mut scores = vec![T::ZERO; test.len() * CLASSES];
        let x = MatRef::new(&test.images, test.len(), PIXELS)?;
        let y = MatMut::new(&mut scores, test.len(), CLASSES)?;
        self.plan.forward(&self.params, x, y, None, &mut self.workspace)?;
        let best = |row: &[T]| (0..CLASSES).fold(0, |best, c| if row[c] > row[best] { c } else { best });
        let right =
            scores.chunks_exact(CLASSES).zip(&test.classes).filter(|(row, c)| best(row) == **c as usize);
        Ok(right.count() as f64 / test.len() as f64)
    }
}
