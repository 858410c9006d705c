//! From names and widths, or from layers that are there, to a network.

use crate::{
    layers::{Layer, no_bias},
    mlp::{FusedMlp, Net, Params},
    operand::{check, refused},
};
use candle_core::{DType, Result, bail};
use candle_nn::{Linear, VarBuilder};
use nablas::{Activation, Team};
use nablas_bridge::NetworkBuilder;
use std::sync::Arc;

/// Layers being listed; see [`FusedMlp::builder`].
#[derive(Debug, Clone)]
pub struct FusedMlpBuilder {
    network: NetworkBuilder,
    names: Vec<String>,
}

impl FusedMlpBuilder {
    pub(crate) fn new(inputs: usize) -> Self {
        let network = NetworkBuilder { inputs, layers: Vec::new(), threads: None, team: None };
        Self { network, names: Vec::new() }
    }

    /// Adds a layer of `width` outputs, A = g(X·Wᵀ + b), whose tensors are called `NAME.weight` and `NAME.bias`.
    #[must_use]
    pub fn layer(mut self, name: &str, width: usize, activation: Activation<f64>) -> Self {
        self.network.layers.push((width, activation));
        self.names.push(name.to_owned());
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

    /// The network, its tensors taken from `vb` by [`candle_nn::linear`]: made and initialised as it does, or loaded.
    ///
    /// # Errors
    /// What `vb` refuses; a network without layers or with a width of 0; a parameter of an activation out of its domain;
    /// another type than `F32` or `F64`, another device than the CPU.
    pub fn build(self, vb: VarBuilder) -> Result<FusedMlp> {
        let mut inputs = self.network.inputs;
        let mut linears = Vec::with_capacity(self.names.len());
        for (name, &(outputs, _)) in self.names.iter().zip(&self.network.layers) {
            linears.push(candle_nn::linear(inputs, outputs, vb.pp(name))?);
            inputs = outputs;
        }
        let prefix = |name: &String| {
            if vb.prefix().is_empty() { name.clone() } else { format!("{}.{name}", vb.prefix()) }
        };
        let names = self.names.iter().map(prefix).collect();
        finish(self.network, names, &linears)
    }

    /// The network of these layers, in place of those that were listed; see [`FusedMlp::from_linears`].
    pub(crate) fn of_linears(mut self, linears: &[(&Linear, Activation<f64>)]) -> Result<FusedMlp> {
        for (layer, (linear, activation)) in linears.iter().enumerate() {
            let (outputs, inputs) = linear.weight().dims2()?;
            let before = self.network.layers.last().map_or(inputs, |l| l.0);
            if before != inputs {
                bail!(
                    "layer {layer}: expected {before} inputs, as many as there are outputs before, got {inputs}"
                )
            }
            if layer == 0 {
                self.network.inputs = inputs;
            }
            self.network.layers.push((outputs, *activation));
            self.names.push(layer.to_string());
        }
        let linears: Vec<_> = linears.iter().map(|(linear, _)| (*linear).clone()).collect();
        finish(self.network, self.names, &linears)
    }
}

fn finish(network: NetworkBuilder, names: Vec<String>, linears: &[Linear]) -> Result<FusedMlp> {
    let dtype = linears.first().map_or(DType::F32, |l| l.weight().dtype());
    let layers = linears.iter().zip(&names).map(|(linear, name)| {
        check(&format!("{name}.weight"), linear.weight(), dtype)?;
        let bias = match linear.bias() {
            Some(bias) => bias.clone(),
            None => no_bias(linear.weight().dim(0)?, dtype)?,
        };
        check(&format!("{name}.bias"), &bias, dtype)?;
        if bias.dims() != [linear.weight().dim(0)?] {
            bail!(
                "{name}.bias: expected {} elements, got the shape {:?}",
                linear.weight().dim(0)?,
                bias.shape()
            )
        }
        Ok(Layer { weight: linear.weight().clone(), bias, has_bias: linear.bias().is_some() })
    });
    let layers = layers.collect::<Result<Vec<_>>>()?;
    let net = match dtype {
        DType::F32 => Net::F32(Arc::new(network.build().map_err(refused)?)),
        DType::F64 => Net::F64(Arc::new(network.build().map_err(refused)?)),
        other => bail!("nablas computes in F32 or F64, the parameters are {other:?}"),
    };
    Ok(FusedMlp { net, names: names.into(), params: Params::Layers(layers) })
}
