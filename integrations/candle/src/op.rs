//! The network as one operation of candle.

use crate::{
    layers::{Gradients, Layer, token, with_params},
    operand::{Element, cpu, matrix, refused, slice},
};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use nablas::{LayerGrads, MatMut, MatRef, ParamsRef};
use nablas_bridge::{Network, Saved};
use std::{
    env,
    sync::{Arc, OnceLock},
};

/// Where the parameters lie.
pub(crate) enum Source {
    /// In the second operand, one after another.
    Flat {
        /// Layers without a bias, whose db is nobody's.
        no_bias: Arc<[usize]>,
    },
    /// In tensors of their own; the second operand is their token.
    Layers(Arc<[Layer]>, Arc<Gradients>),
}

/// Whether candle records what a backward pass computes, for another one through it. The gradients made here would be
/// constants there, and second derivatives silently without a part. It is read as candle reads it.
fn recorded() -> bool {
    thread_local! {
        static RECORDED: bool =
            env::var("CANDLE_GRAD_DO_NOT_DETACH").is_ok_and(|set| !set.is_empty() && set != "0");
    }
    RECORDED.with(|recorded| *recorded)
}

/// One call of the network: it is made for a forward pass, and its state goes with it.
pub(crate) struct Call<T: Element> {
    network: Arc<Network<T>>,
    source: Source,
    /// Whether there may be a backward pass.
    keep: bool,
    saved: OnceLock<Saved<T>>,
}

impl<T: Element> Call<T> {
    /// Y of X, B×n_0, and of the parameters' operand.
    pub(crate) fn apply(
        network: Arc<Network<T>>,
        source: Source,
        x: &Tensor,
        params: &Tensor,
    ) -> Result<Tensor> {
        let keep = x.track_op() || params.track_op();
        x.apply_op2(params, Self { network, source, keep, saved: OnceLock::new() })
    }

    /// Runs `f` with the parameters, the second operand being at hand.
    fn with_params<R>(
        &self,
        (storage, layout): (&CpuStorage, &Layout),
        f: impl FnOnce(ParamsRef<'_, T>) -> Result<R>,
    ) -> Result<R> {
        match &self.source {
            Source::Flat { .. } => f(ParamsRef::Flat(slice(storage, layout)?)),
            Source::Layers(layers, _) => with_params(layers, |params| f(ParamsRef::Layers(params))),
        }
    }

    /// The gradient of the parameters' operand, and dX if it is asked for.
    fn gradients(
        &self,
        params: ParamsRef<'_, T>,
        x: MatRef<'_, T>,
        dy: MatRef<'_, T>,
        dx: Option<&mut [T]>,
    ) -> Result<Tensor> {
        let Some(saved) = self.saved.get() else { bail!("nablas: no forward pass has left its state") };
        let mlp = self.network.mlp();
        let dx = dx.map(|dx| MatMut::new(dx, x.nrows(), mlp.inputs())).transpose().map_err(refused)?;
        let cpu = &candle_core::Device::Cpu;
        match &self.source {
            Source::Flat { no_bias } => {
                let mut grads = vec![T::ZERO; mlp.param_len()];
                saved.backward(params, x, dy, grads.as_mut_slice(), dx).map_err(refused)?;
                for &layer in no_bias.iter() {
                    grads[mlp.bias_range(layer).map_err(refused)?].fill(T::ZERO);
                }
                Tensor::from_vec(grads, mlp.param_len(), cpu)
            }
            Source::Layers(layers, gradients) => {
                let zeros = |n: usize| vec![T::ZERO; n];
                let mut made: Vec<_> =
                    mlp.layers().iter().map(|l| (zeros(l.inputs * l.outputs), zeros(l.outputs))).collect();
                let mut grads: Vec<_> =
                    made.iter_mut().map(|(weights, bias)| LayerGrads { weights, bias }).collect();
                saved.backward(params, x, dy, &mut grads, dx).map_err(refused)?;
                let pairs = made.into_iter().zip(layers.iter()).zip(mlp.layers());
                let pairs = pairs.map(|(((dw, db), layer), spec)| {
                    let dw = layer
                        .weight
                        .track_op()
                        .then(|| Tensor::from_vec(dw, (spec.outputs, spec.inputs), cpu));
                    let db = layer.bias.track_op().then(|| Tensor::from_vec(db, spec.outputs, cpu));
                    let pair = (dw.transpose()?, db.transpose()?);
                    Ok((pair.0.is_some() || pair.1.is_some()).then_some(pair))
                });
                let pairs: Vec<_> = pairs.collect::<Result<_>>()?;
                // Where nothing is tracked, no link comes to take them.
                token(if pairs.iter().any(Option::is_some) { gradients.put(pairs) } else { 0 })
            }
        }
    }
}

impl<T: Element> CustomOp2 for Call<T> {
    fn name(&self) -> &'static str {
        "nablas-mlp"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        p: &CpuStorage,
        pl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = matrix::<T>(x, xl)?;
        let (batch, outputs) = (x.nrows(), self.network.mlp().outputs());
        let mut y = vec![T::ZERO; batch * outputs];
        let saved = self.with_params((p, pl), |params| {
            let y = MatMut::new(&mut y, batch, outputs).map_err(refused)?;
            self.network.forward(params, x, y, self.keep).map_err(refused)
        })?;
        if let Some(saved) = saved
            && self.saved.set(saved).is_err()
        {
            bail!("nablas: a call has one forward pass")
        }
        Ok((T::to_cpu_storage_owned(y), Shape::from((batch, outputs))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        params: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        if recorded() || dy.track_op() {
            bail!(
                "nablas: second derivatives through a fused network are not there, and CANDLE_GRAD_DO_NOT_DETACH asks for them"
            )
        }
        let (batch, inputs) = x.dims2()?;
        let mut dx = x.track_op().then(|| vec![T::ZERO; batch * inputs]);
        let ((xs, xl), (ps, pl), (ds, dl)) =
            (x.storage_and_layout(), params.storage_and_layout(), dy.storage_and_layout());
        let (x_view, dy_view) = (matrix::<T>(cpu(&xs)?, xl)?, matrix::<T>(cpu(&ds)?, dl)?);
        let grads =
            self.with_params((cpu(&ps)?, pl), |p| self.gradients(p, x_view, dy_view, dx.as_deref_mut()))?;
        let dx = dx.map(|dx| Tensor::from_vec(dx, (batch, inputs), x.device())).transpose()?;
        Ok((dx, params.track_op().then_some(grads)))
    }
}
