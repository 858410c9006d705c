//! From widths, or from layers that are there, to a network.

use crate::{backend::Networks, mlp::FusedMlp};
use burn::{
    module::{Initializer, Param},
    nn::Linear,
    tensor::{Device, Tensor},
};
use nablas::{Activation, Error, Result, Team};
use nablas_bridge::NetworkBuilder;
use std::sync::Arc;

/// Widths and activations; makes a [`FusedMlp`].
#[derive(Debug, Clone)]
pub struct FusedMlpConfig {
    pub(crate) network: NetworkBuilder,
}

impl FusedMlpConfig {
    /// A network that reads `inputs` features, with no layer yet.
    pub fn new(inputs: usize) -> Self {
        Self { network: NetworkBuilder { inputs, layers: Vec::new(), threads: None, team: None } }
    }

    /// Adds a layer of `width` outputs, A = g(X·Wᵀ + b).
    #[must_use]
    pub fn layer(mut self, width: usize, activation: Activation<f64>) -> Self {
        self.network.layers.push((width, activation));
        self
    }

    /// At most `threads` threads; all of the team's by default.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.network.threads = Some(threads);
        self
    }

    /// With the members of this team; of the process' by default.
    #[must_use]
    pub fn team(mut self, team: &Team) -> Self {
        self.network.team = Some(team.clone());
        self
    }

    /// The network with W and b drawn as `LinearConfig` draws them: evenly from ±1/√n_{l−1}.
    ///
    /// # Errors
    /// As [`MlpBuilder::build`](nablas::MlpBuilder::build): no layer, a width of 0, a parameter of an activation out of its
    /// domain; [`Error::Parameter`] for 0 threads.
    pub fn init(&self, device: &Device) -> Result<FusedMlp> {
        let networks = Arc::new(Networks::new(self.network.clone())?);
        let mut inputs = self.network.inputs;
        let mut parts: Vec<Tensor<1>> = Vec::new();
        for &(outputs, _) in &self.network.layers {
            let k = 1.0 / (inputs as f64).sqrt();
            let draw = Initializer::Uniform { min: -k, max: k };
            parts.push(draw.init([outputs * inputs + outputs], device).val());
            inputs = outputs;
        }
        let params = Tensor::cat(parts, 0).detach();
        Ok(FusedMlp { params: Param::from_tensor(params), networks })
    }

    /// The network of burn's layers, each with the activation that follows it: the inputs are theirs, layers that were
    /// listed before are forgotten, W and b are copied. A layer without a bias gets one of zeros, which is trained. On an
    /// autodiff device, layers that want no gradient make a network that wants none.
    ///
    /// # Errors
    /// [`Error::Shape`] for layers that don't fit one another, or a bias of another length than its layer's width;
    /// [`Error::Backend`] for layers of which some are frozen and others are not; else as [`init`](Self::init).
    pub fn of_linears(mut self, linears: &[(&Linear, Activation<f64>)]) -> Result<FusedMlp> {
        self.network.layers.clear();
        let (mut parts, mut wanted): (Vec<Tensor<1>>, Vec<bool>) = (Vec::new(), Vec::new());
        for (linear, activation) in linears {
            let weight = linear.weight.val();
            let [inputs, outputs] = weight.dims();
            match self.network.layers.last() {
                None => self.network.inputs = inputs,
                Some(&(before, _)) if before != inputs => {
                    let shape = nablas::Shape::new;
                    let what = "W of a layer, inputs × outputs";
                    return Err(Error::Shape {
                        what,
                        expected: shape(before, outputs),
                        got: shape(inputs, outputs),
                    });
                }
                Some(_) => {}
            }
            self.network.layers.push((outputs, *activation));
            let (device, dtype) = (weight.device(), weight.dtype());
            wanted.push(weight.is_require_grad());
            parts.push(weight.transpose().reshape([inputs * outputs]).detach());
            let bias = linear.bias.as_ref().map(Param::val);
            if let Some(got) = bias.as_ref().map(|bias| bias.dims()[0])
                && got != outputs
            {
                let shape = nablas::Shape::new;
                return Err(Error::Shape {
                    what: "b of a layer, 1 × outputs",
                    expected: shape(1, outputs),
                    got: shape(1, got),
                });
            }
            wanted.extend(bias.as_ref().map(Tensor::is_require_grad));
            parts.push(bias.map_or_else(|| Tensor::zeros([outputs], (&device, dtype)), Tensor::detach));
        }
        let networks = Arc::new(Networks::new(self.network)?);
        // What is detached of a leaf is a leaf that wants its gradient; what is put together of such is none.
        let params = Tensor::cat(parts, 0).detach();
        let frozen = params.device().is_autodiff() && !wanted.contains(&true);
        if wanted.contains(&true) && wanted.contains(&false) {
            let why = "some of W and b are frozen, and would be trained with the others";
            return Err(Error::Backend { name: "burn", why });
        }
        Ok(FusedMlp { params: Param::from_tensor(params).set_require_grad(!frozen), networks })
    }
}
