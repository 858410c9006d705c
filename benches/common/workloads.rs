//! The ten training steps that are measured: one is forward, then dW and db of every layer from a fixed
//! ∂L/∂A_L, without dX. All `f32`; the last layer is linear.

use super::numbers::uniform;
use nablas::Activation;

/// A network and its batch.
pub(crate) struct Workload {
    /// What it stands for.
    pub(crate) name: &'static str,
    /// n_0 … n_L.
    pub(crate) widths: &'static [usize],
    /// Samples of a step.
    pub(crate) batch: usize,
    /// Of every layer but the last.
    pub(crate) activation: Activation<f32>,
}

const fn workload(
    name: &'static str,
    widths: &'static [usize],
    batch: usize,
    activation: Activation<f32>,
) -> Workload {
    Workload { name, widths, batch, activation }
}

/// The ten.
pub(crate) const ALL: [Workload; 10] = [
    workload("tiny-field", &[32, 64, 64, 64, 16], 16384, Activation::Relu),
    workload("latency", &[64, 64, 64, 1], 32, Activation::Tanh),
    workload("tabular", &[128, 256, 256, 1], 4096, Activation::Silu),
    workload("mnist", &[784, 512, 512, 10], 256, Activation::Relu),
    workload("siren", &[2, 256, 256, 256, 3], 8192, Activation::Sin(1.0)),
    workload("ffn", &[768, 3072, 768], 2048, Activation::GeluTanh),
    workload("big", &[4096, 4096, 4096], 1024, Activation::Relu),
    workload("matexp", &[4, 32, 16, 4], 10_000, Activation::Tanh),
    workload("pinn", &[2, 20, 20, 20, 20, 20, 20, 20, 20, 20, 1], 5000, Activation::Tanh),
    workload("ppo", &[17, 64, 64, 6], 64, Activation::Tanh),
];

/// The operands of a step.
pub(crate) struct Operands {
    /// W_0, b_0, W_1, b_1, …, each matrix row-major: the order of a flat parameter buffer.
    pub(crate) params: Vec<f32>,
    /// X, [B, n_0].
    pub(crate) x: Vec<f32>,
    /// ∂L/∂A_L, [B, n_L].
    pub(crate) dy: Vec<f32>,
}

impl Workload {
    /// FLOP of a step with this batch, matrix products only: forward and dW of every layer, dX of all but the
    /// first.
    pub(crate) fn flop(&self, batch: usize) -> u64 {
        let layers = self.widths.windows(2).enumerate();
        layers.map(|(l, w)| (if l == 0 { 4 } else { 6 }) * (batch * w[0] * w[1]) as u64).sum()
    }

    /// Operands scaled so that activations keep their size through the layers.
    ///
    /// For ReLU the first layer's sums are exact in `f32` and never zero: were they not, a unit that lands on the
    /// other side of zero under another order of sums would look like an error of the gradient.
    pub(crate) fn operands(&self, batch: usize) -> Operands {
        let relu = self.activation == Activation::Relu;
        let siren = matches!(self.activation, Activation::Sin(_));
        let outputs = self.widths[self.widths.len() - 1];
        let mut x = uniform(batch * self.widths[0], 1);
        if relu {
            x.iter_mut().for_each(|x| *x = (*x * 8.0).round() / 4.0);
        }
        let mut params = Vec::new();
        for (l, w) in self.widths.windows(2).enumerate() {
            let scale = if siren && l == 0 { 30.0 } else { (6.0 / w[0] as f32).sqrt() };
            let mut weights = uniform(w[0] * w[1], 2 + 2 * l as u64);
            let mut bias = uniform(w[1], 3 + 2 * l as u64);
            weights.iter_mut().for_each(|w| *w *= scale);
            bias.iter_mut().for_each(|b| *b *= 0.1);
            if relu && l == 0 {
                let step = (scale / 16.0).log2().round().exp2();
                weights.iter_mut().for_each(|w| *w = (*w / step).round() * step);
                bias.iter_mut().for_each(|b| *b = (*b / (step / 4.0)).round() * (step / 4.0) + step / 8.0);
            }
            params.extend(weights);
            params.extend(bias);
        }
        let mut dy = uniform(batch * outputs, 99);
        dy.iter_mut().for_each(|d| *d /= batch as f32);
        Operands { params, x, dy }
    }
}
