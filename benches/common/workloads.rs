//! The ten training steps that are measured: one is forward, then dW and db of every layer from a fixed
//! ∂L/∂A_L, without dX; the last layer is linear.

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

impl Workload {
    /// FLOP of a step with this batch, matrix products only: forward and dW of every layer, dX of all but the
    /// first.
    pub(crate) fn flop(&self, batch: usize) -> u64 {
        let layers = self.widths.windows(2).enumerate();
        layers.map(|(l, w)| (if l == 0 { 4 } else { 6 }) * (batch * w[0] * w[1]) as u64).sum()
    }
}
