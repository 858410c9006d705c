//! The module.

use crate::{
    builder::FusedMlpBuilder,
    layers::{Layer, link},
    op::{Call, Source},
    operand::{Element, check},
    step::train_step,
};
use candle_core::{D, DType, Result, Tensor, Var, bail};
use candle_nn::{Linear, Module};
use nablas::{Activation, Loss, Mlp, Optimizer, Trained};
use nablas_bridge::Network;
use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

/// A dense network, forward and backward in one fused call each, in place of [`Linear`]s and activations between them.
///
/// It is made from a `VarBuilder`, with the tensors that [`candle_nn::linear`] would take from it
/// ([`builder`](Self::builder)), or from layers that are there ([`from_linears`](Self::from_linears)). Its parameters are
/// then W and b of each layer, the very variables of the `VarMap`: optimizers step them, files load and save as before.
/// [`flatten`](Self::flatten) moves them into one variable: optimizers then have one tensor to step where they had two a
/// layer, which is most of the time of a small network's step, and [`train_step`](Self::train_step) can do all of it.
///
/// *Copied*: Y, dX and the gradients are made anew, as candle's tensors are. W and b are packed in each call; a W or b whose
/// elements are not adjacent is copied first, as is an X of more than two axes that cannot be read as a matrix. *Not copied*:
/// X, of whatever strides and offset, W, b and ∂L/∂Y are read where they lie. What a forward pass keeps for its backward
/// pass goes with the result's graph, and its memory comes back when the graph is dropped.
///
/// Any thread may call; calls share the members of nablas' team.
#[derive(Debug, Clone)]
pub struct FusedMlp {
    pub(crate) net: Net,
    /// Of each layer, with the builder's prefix.
    pub(crate) names: Arc<[String]>,
    pub(crate) params: Params,
}

/// The network, by the type of its elements.
#[derive(Debug, Clone)]
pub(crate) enum Net {
    F32(Arc<Network<f32>>),
    F64(Arc<Network<f64>>),
}

/// Where its parameters are.
#[derive(Debug, Clone)]
pub(crate) enum Params {
    /// Tensors of their own.
    Layers(Vec<Layer>),
    /// One variable, and the layers that have no bias.
    Flat(Var, Arc<[usize]>),
}

/// `$body` with the network, whatever its elements are.
macro_rules! each {
    ($net:expr, $network:ident => $body:expr) => {
        match $net {
            Net::F32($network) => $body,
            Net::F64($network) => $body,
        }
    };
}

/// Where a layer's tensors lie in the flat variable: W's and b's first elements, n_l and n_{l−1}.
struct Place {
    weight: usize,
    bias: usize,
    outputs: usize,
    inputs: usize,
}

fn places<T: Element>(mlp: &Mlp<T>) -> Vec<Place> {
    let mut end = 0;
    let place = |l: &nablas::LayerSpec<T>| {
        let (weight, bias) = (end, end + l.outputs * l.inputs);
        end = bias + l.outputs;
        Place { weight, bias, outputs: l.outputs, inputs: l.inputs }
    };
    mlp.layers().iter().map(place).collect()
}

/// W and b of each layer, as far as it has them.
fn own(layers: &[Layer]) -> impl Iterator<Item = &Tensor> {
    layers.iter().flat_map(|l| [Some(&l.weight), l.has_bias.then_some(&l.bias)]).flatten()
}

impl FusedMlp {
    /// Starts a network that reads `inputs` features.
    pub fn builder(inputs: usize) -> FusedMlpBuilder {
        FusedMlpBuilder::new(inputs)
    }

    /// A network of layers that are there, each with the activation that follows it. Their tensors are shared, not copied.
    ///
    /// # Errors
    /// Layers that don't fit one another, of different types or on another device than the CPU; a type other than `F32` or
    /// `F64`; no layers; a parameter of an activation out of its domain.
    pub fn from_linears(linears: &[(&Linear, Activation<f64>)]) -> Result<Self> {
        FusedMlpBuilder::new(0).of_linears(linears)
    }

    /// The same network with its parameters moved into one new variable. [`vars`](Self::vars) then is that variable alone;
    /// [`tensors`](Self::tensors), [`save`](Self::save) and [`load`](Self::load) still know W and b by their names. The
    /// variables that they came from, a `VarMap`'s for one, no longer change with it: `map.set(mlp.tensors()?.iter())`
    /// writes the parameters back to them. Layers without a bias have none: its place is 0 and stays so. One variable is
    /// trained as a whole, so that a network of which nothing was trained is from then on.
    ///
    /// # Errors
    /// Layers of which some are frozen and others are not, or that share a tensor: in one variable they would be trained, and
    /// each by itself. Memory that cannot be had.
    pub fn flatten(&self) -> Result<Self> {
        let Params::Layers(layers) = &self.params else { return Ok(self.clone()) };
        let mut seen = HashSet::new();
        if let Some(tensor) = own(layers).find(|t| !seen.insert(t.id())) {
            bail!(
                "flatten: two layers share a tensor of the shape {:?}, they would be trained apart",
                tensor.shape()
            )
        }
        if own(layers).any(Tensor::track_op) && !own(layers).all(Tensor::track_op) {
            bail!("flatten: some of W and b are frozen, and would be trained with the others")
        }
        let parts = layers.iter().map(|l| Ok([l.weight.detach().flatten_all()?, l.bias.detach()]));
        let parts = parts.collect::<Result<Vec<_>>>()?.concat();
        let flat = Var::from_tensor(&Tensor::cat(&parts, 0)?)?;
        let no_bias = layers.iter().enumerate().filter(|(_, l)| !l.has_bias).map(|(at, _)| at).collect();
        Ok(Self { params: Params::Flat(flat, no_bias), ..self.clone() })
    }

    /// What an optimizer is to step: W and b of each layer, as far as they are variables, one that layers share once; or the
    /// flat one.
    pub fn vars(&self) -> Vec<Var> {
        match &self.params {
            Params::Flat(flat, _) => vec![flat.clone()],
            Params::Layers(layers) => {
                let mut seen = HashSet::new();
                let variables = own(layers).filter(|t| t.is_variable() && seen.insert(t.id()));
                variables.filter_map(|t| Var::from_tensor(t).ok()).collect()
            }
        }
    }

    /// W and b of each layer by name, as a `VarMap` has them. Nothing is copied: they change when the parameters do.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn tensors(&self) -> Result<HashMap<String, Tensor>> {
        let mut tensors = HashMap::new();
        let mut put = |layer: usize, weight: Tensor, bias: Option<Tensor>| {
            tensors.insert(format!("{}.weight", self.names[layer]), weight);
            bias.map(|bias| tensors.insert(format!("{}.bias", self.names[layer]), bias));
        };
        match &self.params {
            Params::Layers(layers) => {
                for (at, l) in layers.iter().enumerate() {
                    put(at, l.weight.detach(), l.has_bias.then(|| l.bias.detach()));
                }
            }
            Params::Flat(flat, no_bias) => {
                let flat = flat.as_detached_tensor();
                for (at, place) in each!(&self.net, network => places(network.mlp())).iter().enumerate() {
                    let Place { weight, bias, outputs, inputs } = *place;
                    let bias = (!no_bias.contains(&at)).then(|| flat.narrow(0, bias, outputs)).transpose()?;
                    put(at, flat.narrow(0, weight, outputs * inputs)?.reshape((outputs, inputs))?, bias);
                }
            }
        }
        Ok(tensors)
    }

    /// Writes the parameters to a safetensors file, named as [`candle_nn::linear`] layers would be.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        candle_core::safetensors::save(&self.tensors()?, path)
    }

    /// Reads the parameters from a safetensors file that has them by these names, whoever wrote it.
    ///
    /// # Errors
    /// A file that cannot be read, or without one of the tensors; another shape; layers that are no variables: before
    /// anything is set. Some parameters may have been set when candle refuses the file's type.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<()> {
        if let Params::Layers(layers) = &self.params {
            for (name, l) in self.names.iter().zip(layers) {
                let parts = [(Some(&l.weight), "weight"), (l.has_bias.then_some(&l.bias), "bias")];
                let constant = |part: &&(Option<&Tensor>, _)| part.0.is_some_and(|t| !t.is_variable());
                if let Some((_, what)) = parts.iter().find(constant) {
                    bail!("{name}.{what} is no variable: nothing can be loaded into it")
                }
            }
        }
        let file = candle_core::safetensors::load(path, &candle_core::Device::Cpu)?;
        let own = self.tensors()?;
        for (name, tensor) in &own {
            let Some(new) = file.get(name) else { bail!("the file has no tensor {name}") };
            if new.shape() != tensor.shape() {
                bail!("{name}: expected the shape {:?}, got {:?}", tensor.shape(), new.shape())
            }
        }
        match &self.params {
            Params::Layers(layers) => {
                for (name, l) in self.names.iter().zip(layers) {
                    for (tensor, what) in
                        [(Some(&l.weight), "weight"), (l.has_bias.then_some(&l.bias), "bias")]
                    {
                        let Some(tensor) = tensor else { continue };
                        Var::from_tensor(tensor)?
                            .set(&file[&format!("{name}.{what}")].to_dtype(tensor.dtype())?)?;
                    }
                }
                Ok(())
            }
            Params::Flat(flat, _) => {
                let parts = self.names.iter().zip(each!(&self.net, network => places(network.mlp())));
                let parts = parts.map(|(name, place)| {
                    let weight = file[&format!("{name}.weight")].flatten_all()?;
                    let bias = file
                        .get(&format!("{name}.bias"))
                        .filter(|_| own.contains_key(&format!("{name}.bias")));
                    let bias = bias.map_or_else(
                        || Tensor::zeros(place.outputs, weight.dtype(), weight.device()),
                        |b| Ok(b.clone()),
                    )?;
                    Ok([weight, bias])
                });
                let parts = parts.collect::<Result<Vec<_>>>()?.concat();
                flat.set(&Tensor::cat(&parts, 0)?.to_dtype(flat.dtype())?)
            }
        }
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        match self.net {
            Net::F32(_) => DType::F32,
            Net::F64(_) => DType::F64,
        }
    }

    /// One whole step of training in one call, of a [flat](Self::flatten) network: loss, gradient, clipping by the global norm
    /// if `clip` is given, the optimizer's step. X is B×n_0; targets are B classes (`U32`), or B×n_L of the network's type; a
    /// copy is made of those whose elements are not adjacent in a row.
    /// Nothing is kept and no graph is made: the bits are those of
    /// [`Plan::train_step`](nablas::Plan::train_step), which says more.
    ///
    /// # Errors
    /// Parameters that are not flat, or of another type than T; else as [`Plan::train_step`](nablas::Plan::train_step). The
    /// parameters are then as they were.
    pub fn train_step<T: Element, O: Optimizer<T> + ?Sized>(
        &self,
        x: &Tensor,
        loss: &Loss<T>,
        targets: &Tensor,
        clip: Option<f64>,
        optimizer: &mut O,
    ) -> Result<Trained<T>> {
        let Params::Flat(flat, no_bias) = &self.params else {
            bail!("a training step takes flat parameters: `flatten` makes them")
        };
        if !no_bias.is_empty() {
            bail!("a training step would train the bias that layer {} does not have", no_bias[0])
        }
        check("the optimizer's element", flat, T::DTYPE)?;
        check("the input", x, self.dtype())?;
        if targets.dtype() == DType::U32 && targets.dims() != [x.dim(0)?] {
            bail!("classes: expected the shape [{}], got {:?}", x.dim(0)?, targets.shape())
        }
        // Rows of values may be apart, but their elements are adjacent.
        let targets = match targets.stride() {
            [_, 1] => targets.clone(),
            _ => targets.contiguous()?,
        };
        let network = match &self.net {
            Net::F32(network) => (network as &dyn std::any::Any).downcast_ref::<Arc<Network<T>>>(),
            Net::F64(network) => (network as &dyn std::any::Any).downcast_ref::<Arc<Network<T>>>(),
        };
        let Some(network) = network else { bail!("expected {:?}", self.dtype()) };
        train_step(network, flat, (x, &targets), loss, clip, optimizer)
    }

    /// Y of a matrix.
    fn matrix<T: Element>(&self, network: &Arc<Network<T>>, x: &Tensor) -> Result<Tensor> {
        match &self.params {
            Params::Flat(flat, no_bias) => {
                let source = Source::Flat { no_bias: no_bias.clone() };
                Call::apply(network.clone(), source, x, flat)
            }
            Params::Layers(layers) => {
                let (layers, token, gradients) = link(layers)?;
                Call::apply(network.clone(), Source::Layers(layers, gradients), x, &token)
            }
        }
    }
}

impl Module for FusedMlp {
    /// Y, \[…, n_L\], of X, \[…, n_0\]; the gradient goes back to X and to the parameters, as far as they are tracked.
    ///
    /// # Errors
    /// An X of fewer than two axes, of another width or type than the network's, or on another device than the CPU.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        check("the input", x, self.dtype())?;
        match x.dims() {
            [] | [_] => bail!("the input: expected a batch of rows, got the shape {:?}", x.shape()),
            [_, _] => each!(&self.net, network => self.matrix(network, x)),
            [batch @ .., _] => {
                let rows = x.flatten_to(D::Minus2)?;
                let y = each!(&self.net, network => self.matrix(network, &rows))?;
                let outputs = y.dim(1)?;
                y.reshape([batch, &[outputs]].concat())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn without_a_graph_nothing_is_kept() -> Result<()> {
        let states = |mlp: &FusedMlp| each!(&mlp.net, network => network.states());
        let weight = Tensor::ones((3, 4), DType::F32, &Device::Cpu)?;
        let of = |weight: Tensor| FusedMlp::from_linears(&[(&Linear::new(weight, None), Activation::Tanh)]);
        let (constant, trained) = (of(weight.clone())?, of(Var::from_tensor(&weight)?.into_inner())?);
        let x = Tensor::ones((9, 4), DType::F32, &Device::Cpu)?;
        let (_y, y) = (constant.forward(&x)?, trained.forward(&x)?);
        assert_eq!((states(&constant), states(&trained)), (0, 1));
        drop(y);
        assert_eq!(states(&trained), 0);
        Ok(())
    }
}
