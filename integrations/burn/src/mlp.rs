//! The module.

use crate::{
    backend::{Fused, Networks},
    fallback,
    operand::has,
};
use burn::{
    backend::{Dispatch, DispatchDevice},
    module::{Module, Param},
    nn::Linear,
    tensor::{DType, Device, Tensor},
};
use std::sync::{Arc, Once};

/// A dense network, forward and backward in one fused call each, in place of [`Linear`]s and activations between them.
///
/// Its parameters are one tensor, W and b of each layer one after another, so that an optimizer has one tensor to step
/// where it had two a layer; a record has that tensor. [`linears`](Self::linears) and
/// [`FusedMlpConfig::of_linears`](crate::FusedMlpConfig::of_linears) go to burn's layers and back.
///
/// *Fused* it is on [`Device::flex`], with autodiff and without, for f32 and f64. Anything else runs by burn's own operations,
/// with the same parameters and the same meaning; a warning in the log says so once, and [`fused`](Self::fused) tells.
///
/// *Copied*: Y, dX and the gradient are made anew. Parameters are packed in each call. An X or ∂L/∂Y with an axis that runs
/// backwards is copied first, as is an X of another rank than 2 that cannot be read as a matrix. *Not copied*: X and ∂L/∂Y
/// of all other strides and offsets, and the parameters, are read where they lie. What a forward pass keeps for its backward
/// pass goes with the recorded operation.
#[derive(Module, Debug)]
pub struct FusedMlp {
    /// W_0 row by row, n_1 × n_0, then b_0, then W_1 and so on: the layout of [`nablas::Mlp`].
    pub params: Param<Tensor<1>>,
    #[module(skip)]
    pub(crate) networks: Arc<Networks>,
}

impl FusedMlp {
    /// Y, \[…, n_L\], of X, \[…, n_0\].
    ///
    /// # Panics
    /// If X has another width or type than the network, as burn's own operations do, or no axis.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let mut shape = x.dims();
        let network = self.networks.builder();
        assert_eq!(shape.last(), Some(&network.inputs), "the last axis of the input of a fused network");
        let rows: usize = shape[..D - 1].iter().product();
        let y = if D == 2 {
            // A reshaped tensor would be a copy, if its elements are not adjacent.
            self.matrix(Tensor::from_dispatch(x.into_dispatch()))
        } else {
            self.matrix(x.reshape([rows, network.inputs]))
        };
        shape[D - 1] = network.layers.last().map_or(0, |l| l.0);
        if D == 2 { Tensor::from_dispatch(y.into_dispatch()) } else { y.reshape(shape) }
    }

    fn matrix(&self, x: Tensor<2>) -> Tensor<2> {
        let params = self.params.val();
        if let Some(why) = unfused(&x.device(), x.dtype()) {
            static SAID: Once = Once::new();
            SAID.call_once(|| log::warn!("a FusedMlp runs by burn's own operations: {why}"));
            return fallback::forward(self.networks.builder(), x, params);
        }
        let y = Dispatch::fused_mlp(x.into_dispatch(), params.into_dispatch(), self.networks.clone());
        Tensor::from_dispatch(y)
    }

    /// Whether calls with inputs on this device and of this type are fused.
    pub fn fused(device: &Device, dtype: DType) -> bool {
        unfused(device, dtype).is_none()
    }

    /// The parameters as burn's layers, W transposed: copies.
    pub fn linears(&self) -> Vec<Linear> {
        let network = self.networks.builder();
        let (params, mut at, mut inputs) = (self.params.val(), 0, network.inputs);
        let mut layer = |&(outputs, _): &(usize, _)| {
            let bias = at + outputs * inputs;
            let weight =
                params.clone().narrow(0, at, outputs * inputs).reshape([outputs, inputs]).transpose();
            let b = params.clone().narrow(0, bias, outputs);
            (inputs, at) = (outputs, bias + outputs);
            // Parameters are leaves.
            let (weight, bias) = (Param::from_tensor(weight.detach()), Param::from_tensor(b.detach()));
            Linear { weight, bias: Some(bias) }
        };
        network.layers.iter().map(&mut layer).collect()
    }
}

/// Why a call is not fused, if it is not.
fn unfused(device: &Device, dtype: DType) -> Option<String> {
    let inner = match device.as_dispatch() {
        DispatchDevice::Autodiff(device) => &**device,
        device => device,
    };
    if !matches!(inner, DispatchDevice::Flex(_)) {
        return Some(format!("nablas is there on Flex, the tensors are on {device:?}"));
    }
    (!has(dtype)).then(|| format!("nablas computes in F32 and F64, the tensors are {dtype:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nablas::Activation;

    #[test]
    fn without_a_graph_nothing_is_kept() -> nablas::Result<()> {
        let device = Device::flex().autodiff();
        let mlp = crate::FusedMlpConfig::new(4).layer(3, Activation::Tanh).init(&device)?;
        let network = mlp.networks.f32()?;
        let x = Tensor::<2>::ones([9, 4], &device);
        let _y = mlp.valid().forward(x.clone().inner());
        let _frozen = mlp.clone().no_grad().forward(x.clone());
        assert_eq!(network.states(), 0);
        let _y = mlp.forward(x);
        assert_eq!(network.states(), 1);
        Ok(())
    }
}
