//! The network as an operation of burn: on Flex it runs, on an autodiff Flex it is recorded.

use crate::operand::{Element, Flat, made, matrix, readable, slice};
use burn::{
    backend::{
        Autodiff, Backend, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::DType,
};
use nablas::MatMut;
use nablas_bridge::{Network, NetworkBuilder, Saved};
use std::sync::{Arc, OnceLock};

/// A network of either type, made when it is first needed.
#[derive(Debug)]
pub(crate) struct Networks {
    builder: NetworkBuilder,
    f32: OnceLock<Arc<Network<f32>>>,
    f64: OnceLock<Arc<Network<f64>>>,
}

impl Networks {
    /// Refused here if it is no network.
    pub(crate) fn new(builder: NetworkBuilder) -> nablas::Result<Self> {
        let networks = Self { builder, f32: OnceLock::new(), f64: OnceLock::new() };
        networks.f32()?;
        Ok(networks)
    }

    pub(crate) fn builder(&self) -> &NetworkBuilder {
        &self.builder
    }

    pub(crate) fn f32(&self) -> nablas::Result<Arc<Network<f32>>> {
        of(&self.f32, &self.builder)
    }

    pub(crate) fn f64(&self) -> nablas::Result<Arc<Network<f64>>> {
        of(&self.f64, &self.builder)
    }
}

fn of<T: Element>(
    at: &OnceLock<Arc<Network<T>>>,
    builder: &NetworkBuilder,
) -> nablas::Result<Arc<Network<T>>> {
    if let Some(network) = at.get() {
        return Ok(network.clone());
    }
    let made = Arc::new(builder.build()?);
    Ok(at.get_or_init(|| made).clone())
}

/// The state of a forward pass; its clones are the same state.
#[derive(Debug, Clone)]
pub(crate) enum State {
    F32(Arc<Saved<f32>>, Arc<Network<f32>>),
    F64(Arc<Saved<f64>>, Arc<Network<f64>>),
}

/// What a backend must have for [`FusedMlp`](crate::FusedMlp).
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Fused: Backend {
    /// Y of X, B×n_0, and flat parameters, both of the type f32 or f64.
    fn fused_mlp(
        x: FloatTensor<Self>,
        params: FloatTensor<Self>,
        networks: Arc<Networks>,
    ) -> FloatTensor<Self>;
}

impl Fused for Flex {
    fn fused_mlp(x: Flat, params: Flat, networks: Arc<Networks>) -> Flat {
        let (x, params) = (readable(x, false), readable(params, true));
        forward(&networks, &x, &params, false).0
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn fused_mlp(
        x: FloatTensor<Self>,
        params: FloatTensor<Self>,
        networks: Arc<Networks>,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (params, params_node)) = (x.into_parts(), params.into_parts());
        let (x, params) = (readable(x, false), readable(params, true));
        match FusedBackward.prepare::<C>([x_node, params_node]).compute_bound().stateful() {
            OpsKind::UnTracked(prep) => prep.finish(forward(&networks, &x, &params, false).0),
            OpsKind::Tracked(prep) => {
                let (y, state) = forward(&networks, &x, &params, true);
                prep.finish((state.expect("it was to be kept"), x, params), y)
            }
        }
    }
}

/// A forward pass. burn's operations panic where operands don't fit, and say so; so does this one.
fn forward(networks: &Networks, x: &Flat, params: &Flat, keep: bool) -> (Flat, Option<State>) {
    let result = match (x.dtype(), params.dtype()) {
        (DType::F32, DType::F32) => networks.f32().and_then(|network| {
            let (y, saved) = forward_of(&network, x, params, keep)?;
            Ok((y, saved.map(|saved| State::F32(Arc::new(saved), network))))
        }),
        (DType::F64, DType::F64) => networks.f64().and_then(|network| {
            let (y, saved) = forward_of(&network, x, params, keep)?;
            Ok((y, saved.map(|saved| State::F64(Arc::new(saved), network))))
        }),
        (x, params) => panic!("a fused network: the input is {x:?}, the parameters are {params:?}"),
    };
    result.unwrap_or_else(|e| panic!("a fused network: {e}"))
}

fn forward_of<T: Element>(
    network: &Network<T>,
    x: &Flat,
    params: &Flat,
    keep: bool,
) -> nablas::Result<(Flat, Option<Saved<T>>)> {
    let x = matrix::<T>(x)?;
    let (batch, outputs) = (x.nrows(), network.mlp().outputs());
    let mut y = vec![T::ZERO; batch * outputs];
    let saved = network.forward(slice::<T>(params), x, MatMut::new(&mut y, batch, outputs)?, keep)?;
    Ok((made(y, [batch, outputs]), saved))
}

#[derive(Debug)]
struct FusedBackward;

impl Backward<Flex, 2> for FusedBackward {
    type State = (State, Flat, Flat);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([x_node, params_node], (state, x, params)) = (ops.parents, ops.state);
        let dy = readable(grads.consume::<Flex>(&ops.node), false);
        let result = match state {
            State::F32(saved, network) => backward_of(&saved, &network, [&x, &params, &dy], x_node.is_some()),
            State::F64(saved, network) => backward_of(&saved, &network, [&x, &params, &dy], x_node.is_some()),
        };
        let (dx, dparams) = result.unwrap_or_else(|e| panic!("a fused network: {e}"));
        if let (Some(node), Some(dx)) = (x_node, dx) {
            grads.register::<Flex>(node.id, dx);
        }
        if let Some(node) = params_node {
            grads.register::<Flex>(node.id, dparams);
        }
    }
}

/// dX, if it is asked for, and the flat gradient.
fn backward_of<T: Element>(
    saved: &Saved<T>,
    network: &Network<T>,
    [x, params, dy]: [&Flat; 3],
    wanted: bool,
) -> nablas::Result<(Option<Flat>, Flat)> {
    let (x, dy) = (matrix::<T>(x)?, matrix::<T>(dy)?);
    let (batch, inputs) = x.shape();
    let mut grads = vec![T::ZERO; network.mlp().param_len()];
    let mut dx = wanted.then(|| vec![T::ZERO; batch * inputs]);
    let dx_view = dx.as_mut().map(|dx| MatMut::new(dx, batch, inputs)).transpose()?;
    saved.backward(slice::<T>(params), x, dy, grads.as_mut_slice(), dx_view)?;
    let len = grads.len();
    Ok((dx.map(|dx| made(dx, [batch, inputs])), made(grads, [len])))
}
