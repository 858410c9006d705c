//! The layer loop: forward and backward through a network, over the four operations of a layer.
//!
//! A fused tile and a narrow tile run each operation as it comes. The layered path notes them down once, when the plan
//! is made, and so learns which products can share a phase. Another kind of layer, or another way to run one, is another
//! implementation of [`Layers`]; no loop changes.

/// The operations of a pass over some rows, by layer index. Whoever makes an implementation vouches for its memory and
/// calls them in the order of [`forward`] and [`backward`].
pub(crate) trait Layers {
    /// A_l ← g(A_{l−1}·W_lᵀ + b_l), and what the backward pass needs of Z_l.
    fn forward(&mut self, l: usize);

    /// δ_L ← ∂L/∂A_L ⊙ g'(Z_L).
    fn output_delta(&mut self);

    /// dW_l ← δ_lᵀ·A_{l−1}; and db_l, the column sums of δ_l, unless whoever made δ_l has summed them.
    fn weight_vjp(&mut self, l: usize);

    /// δ_{l−1} ← (δ_l·W_l) ⊙ g'(Z_{l−1}); of the first layer dX.
    fn input_vjp(&mut self, l: usize);
}

/// Forward through all layers.
pub(crate) fn forward(layers: usize, pass: &mut impl Layers) {
    (0..layers).for_each(|l| pass.forward(l));
}

/// Backward through all layers; to the input if `dx`.
pub(crate) fn backward(layers: usize, dx: bool, pass: &mut impl Layers) {
    pass.output_delta();
    for l in (0..layers).rev() {
        pass.weight_vjp(l);
        if l > 0 || dx {
            pass.input_vjp(l);
        }
    }
}
