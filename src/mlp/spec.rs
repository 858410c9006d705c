//! The network: its layers, and where their parameters lie in one flat buffer.
//!
//! For each layer in order, W_l row-major \[n_l, n_{l−1}\] and then b_l \[n_l\]. Gradients have the same layout.

use crate::{
    Activation, Scalar,
    activation::check_parameter,
    error::{Error, Result, check_len},
    view::{MatMut, MatRef},
};
use alloc::vec::Vec;
use core::ops::Range;

/// One layer: A = g(X·Wᵀ + b).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerSpec<T> {
    /// n_{l−1}, the width it reads.
    pub inputs: usize,
    /// n_l, the width it writes.
    pub outputs: usize,
    /// g_l.
    pub activation: Activation<T>,
}

impl<T> LayerSpec<T> {
    /// Its weights and biases.
    fn param_len(&self) -> usize {
        self.outputs * self.inputs + self.outputs
    }
}

/// A multi-layer perceptron: widths and activations. The parameters are the caller's.
#[derive(Debug, Clone, PartialEq)]
pub struct Mlp<T> {
    layers: Vec<LayerSpec<T>>,
    /// Where each layer's parameters start, and the end of the last.
    offsets: Vec<usize>,
}

/// Layers being listed; see [`Mlp::builder`].
#[derive(Debug, Clone, PartialEq)]
pub struct MlpBuilder<T> {
    input: usize,
    layers: Vec<(usize, Activation<T>)>,
}

impl<T: Scalar> MlpBuilder<T> {
    /// Adds a layer of `width` outputs.
    #[must_use]
    pub fn layer(mut self, width: usize, activation: Activation<T>) -> Self {
        self.layers.push((width, activation));
        self
    }

    /// The network.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no layer, a width is 0 or an activation's parameter is out of its domain;
    /// [`Error::Overflow`] if the parameters exceed the address space.
    pub fn build(self) -> Result<Mlp<T>> {
        if self.layers.is_empty() {
            return Err(Error::Parameter { what: "layers", expected: "at least one", got: 0.0 });
        }
        let overflow = Error::Overflow { what: "the parameters" };
        let limit = isize::MAX as usize / size_of::<T>();
        let mut layers = Vec::with_capacity(self.layers.len());
        let mut offsets = Vec::with_capacity(self.layers.len() + 1);
        let (mut inputs, mut end) = (self.input, 0usize);
        for (outputs, activation) in self.layers {
            if inputs == 0 || outputs == 0 {
                return Err(Error::Parameter { what: "a layer's width", expected: "at least 1", got: 0.0 });
            }
            check_parameter(&activation)?;
            offsets.push(end);
            let len = outputs.checked_mul(inputs).and_then(|n| n.checked_add(outputs));
            end = len.and_then(|n| n.checked_add(end)).filter(|n| *n <= limit).ok_or(overflow.clone())?;
            layers.push(LayerSpec { inputs, outputs, activation });
            inputs = outputs;
        }
        offsets.push(end);
        Ok(Mlp { layers, offsets })
    }
}

impl<T: Scalar> Mlp<T> {
    /// Starts a network that reads `input` features.
    pub fn builder(input: usize) -> MlpBuilder<T> {
        MlpBuilder { input, layers: Vec::new() }
    }

    /// The layers, first to last; at least one.
    pub fn layers(&self) -> &[LayerSpec<T>] {
        &self.layers
    }

    /// n_0, the features it reads.
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |l| l.inputs)
    }

    /// n_L, the features it writes.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |l| l.outputs)
    }

    /// The widest of its layers, the input included.
    pub fn max_width(&self) -> usize {
        self.layers.iter().map(|l| l.inputs.max(l.outputs)).max().unwrap_or(0)
    }

    /// The parameters of all layers: the length of the flat buffers.
    pub fn param_len(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Where W_l lies in a flat buffer, for layer index `l` from 0.
    ///
    /// # Errors
    /// [`Error::Range`] if there is no such layer.
    pub fn weights_range(&self, l: usize) -> Result<Range<usize>> {
        let (layer, start) = self.at(l)?;
        Ok(start..start + layer.outputs * layer.inputs)
    }

    /// Where b_l lies in a flat buffer, for layer index `l` from 0.
    ///
    /// # Errors
    /// [`Error::Range`] if there is no such layer.
    pub fn bias_range(&self, l: usize) -> Result<Range<usize>> {
        let (layer, start) = self.at(l)?;
        Ok(start + layer.outputs * layer.inputs..start + layer.param_len())
    }

    /// W_l in a flat buffer, for layer index `l` from 0.
    ///
    /// # Errors
    /// [`Error::Length`] if the buffer is not `param_len` long, [`Error::Range`] if there is no such layer.
    pub fn weights<'a>(&self, params: &'a [T], l: usize) -> Result<MatRef<'a, T>> {
        self.check(params.len())?;
        let (layer, _) = self.at(l)?;
        MatRef::new(&params[self.weights_range(l)?], layer.outputs, layer.inputs)
    }

    /// b_l in a flat buffer, for layer index `l` from 0.
    ///
    /// # Errors
    /// As [`weights`](Self::weights).
    pub fn bias<'a>(&self, params: &'a [T], l: usize) -> Result<&'a [T]> {
        self.check(params.len())?;
        Ok(&params[self.bias_range(l)?])
    }

    /// W_l and b_l in a flat buffer, to write, for layer index `l` from 0.
    ///
    /// # Errors
    /// As [`weights`](Self::weights).
    pub fn layer_mut<'a>(&self, params: &'a mut [T], l: usize) -> Result<(MatMut<'a, T>, &'a mut [T])> {
        self.check(params.len())?;
        let (layer, start) = self.at(l)?;
        let all = &mut params[start..start + layer.param_len()];
        let (weights, bias) = all.split_at_mut(layer.outputs * layer.inputs);
        Ok((MatMut::new(weights, layer.outputs, layer.inputs)?, bias))
    }

    /// W_l in a flat buffer, to write.
    ///
    /// # Errors
    /// As [`weights`](Self::weights).
    pub fn weights_mut<'a>(&self, params: &'a mut [T], l: usize) -> Result<MatMut<'a, T>> {
        Ok(self.layer_mut(params, l)?.0)
    }

    /// b_l in a flat buffer, to write.
    ///
    /// # Errors
    /// As [`weights`](Self::weights).
    pub fn bias_mut<'a>(&self, params: &'a mut [T], l: usize) -> Result<&'a mut [T]> {
        Ok(self.layer_mut(params, l)?.1)
    }

    /// Where layer `l`'s parameters start in a flat buffer; `l` is below the number of layers.
    pub(crate) fn layer_offset(&self, l: usize) -> usize {
        self.offsets[l]
    }

    /// Refuses a flat buffer of another length.
    pub(crate) fn check(&self, len: usize) -> Result<()> {
        check_len("a flat buffer of the network's parameters", self.param_len(), len)
    }

    fn at(&self, l: usize) -> Result<(&LayerSpec<T>, usize)> {
        let len = self.layers.len();
        let layer = self.layers.get(l).ok_or(Error::Range {
            what: "layer",
            start: l,
            end: l.saturating_add(1),
            len,
        })?;
        Ok((layer, self.offsets[l]))
    }
}
