//! What a training step reads.

use super::numbers::uniform;
use nablas::Activation;

/// The operands of a step.
pub(crate) struct Operands {
    /// W_0, b_0, W_1, b_1, …, each matrix row-major: the order of a flat parameter buffer.
    pub(crate) params: Vec<f32>,
    /// X, [B, n_0].
    pub(crate) x: Vec<f32>,
    /// ∂L/∂A_L, [B, n_L].
    pub(crate) dy: Vec<f32>,
}

/// Operands scaled so that activations keep their size through the layers.
///
/// For ReLU the first layer's sums are exact in `f32` and never zero: were they not, a unit that lands on the
/// other side of zero under another order of sums would look like an error of the gradient.
pub(crate) fn operands(widths: &[usize], batch: usize, activation: Activation<f32>) -> Operands {
    let relu = activation == Activation::Relu;
    let siren = matches!(activation, Activation::Sin(_));
    let outputs = widths[widths.len() - 1];
    let mut x = uniform(batch * widths[0], 1);
    if relu {
        x.iter_mut().for_each(|x| *x = (*x * 8.0).round() / 4.0);
    }
    let mut params = Vec::new();
    for (l, w) in widths.windows(2).enumerate() {
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
