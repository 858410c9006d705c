//! Outputs between canaries, and gradients in either form.

use nablas::{GradsMut, LayerGrads, Mlp, Result, Scalar};

/// Elements before and behind.
const MARGIN: usize = 40;

/// Elements that are not numbers yet, between canaries.
pub(crate) struct Fenced<T> {
    data: Vec<T>,
}

impl<T: Scalar> Fenced<T> {
    pub(crate) fn new(len: usize) -> Self {
        let mut data = vec![T::from_f64(7.0); len + 2 * MARGIN];
        data[MARGIN..MARGIN + len].fill(T::from_f64(f64::NAN));
        Self { data }
    }

    pub(crate) fn get_mut(&mut self) -> &mut [T] {
        let end = self.data.len() - MARGIN;
        &mut self.data[MARGIN..end]
    }

    /// What was written, if that is all.
    #[track_caller]
    pub(crate) fn take(self) -> Vec<T> {
        let (before, rest) = self.data.split_at(MARGIN);
        let (written, behind) = rest.split_at(rest.len() - MARGIN);
        assert!(before.iter().chain(behind).all(|c| *c == T::from_f64(7.0)), "written outside");
        written.to_vec()
    }
}

/// A gradient as `call` writes it, in a flat buffer or a layer at a time, laid out flat.
pub(crate) fn gradient<T: Scalar>(
    mlp: &Mlp<T>,
    layers: bool,
    call: impl FnOnce(GradsMut<'_, '_, T>) -> Result<()>,
) -> Result<Vec<T>> {
    if !layers {
        let mut flat = Fenced::new(mlp.param_len());
        call(GradsMut::Flat(flat.get_mut()))?;
        return Ok(flat.take());
    }
    let parts = mlp.layers().iter().map(|l| [l.inputs * l.outputs, l.outputs].map(Fenced::new));
    let mut parts: Vec<[Fenced<T>; 2]> = parts.collect();
    let grads = parts.iter_mut().map(|[w, b]| LayerGrads { weights: w.get_mut(), bias: b.get_mut() });
    call(GradsMut::Layers(&mut grads.collect::<Vec<_>>()))?;
    Ok(parts.into_iter().flatten().flat_map(Fenced::take).collect())
}
