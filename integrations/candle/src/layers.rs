//! W and b as tensors of their own, and how the gradient comes to them.
//!
//! An operation of candle has three operands at most, a network has two a layer. So each layer has a small operation, a
//! *link*, that hands a token on: the first link's is made of nothing, the last one's is the network's operand. Nothing
//! is computed in them. Backward, candle comes to the network's operation first, which makes all gradients at once and
//! puts them down under a number; the number goes back through the links as the gradient of the token, and each link takes
//! up its layer's. So W and b stay where they are, their gradients go to them without a copy, and whatever candle does
//! with variables (files, optimizers, frozen layers, shared ones) it does with these.

use crate::operand::{Element, cpu, slice};
use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, WithDType, bail};
use nablas::LayerParams;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// One layer's parameters.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// W_l, n_l × n_{l−1}.
    pub(crate) weight: Tensor,
    /// b_l; zeros that nothing trains, if the layer has none.
    pub(crate) bias: Tensor,
    pub(crate) has_bias: bool,
}

impl Layer {
    /// The same with adjacent elements: a copy where they are not, through which gradients go.
    fn adjacent(&self) -> Result<Self> {
        Ok(Self { weight: self.weight.contiguous()?, bias: self.bias.contiguous()?, has_bias: self.has_bias })
    }
}

/// Runs `f` with the parameters of all layers, where they lie.
pub(crate) fn with_params<T: Element, R>(
    layers: &[Layer],
    f: impl FnOnce(&[LayerParams<'_, T>]) -> Result<R>,
) -> Result<R> {
    let guards: Vec<_> =
        layers.iter().map(|l| (l.weight.storage_and_layout(), l.bias.storage_and_layout())).collect();
    let params = guards.iter().map(|((weight, wl), (bias, bl))| {
        Ok(LayerParams { weights: slice(cpu(weight)?, wl)?, bias: slice(cpu(bias)?, bl)? })
    });
    f(&params.collect::<Result<Vec<_>>>()?)
}

/// dW and db of a layer, as far as they are wanted.
type Pair = (Option<Tensor>, Option<Tensor>);

/// Gradients on their way: of each backward pass, those of the layers that have not taken theirs.
#[derive(Debug, Default)]
pub(crate) struct Gradients {
    numbers: AtomicU64,
    waiting: Mutex<HashMap<u64, Vec<Option<Pair>>>>,
}

impl Gradients {
    /// Puts down the gradients of a backward pass; the number under which they wait.
    pub(crate) fn put(&self, gradients: Vec<Option<Pair>>) -> u64 {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, gradients);
        number
    }

    fn take(&self, number: u64, layer: usize) -> Option<Pair> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_pass = waiting.get_mut(&number)?;
        let taken = of_pass.get_mut(layer)?.take();
        if of_pass.iter().all(Option::is_none) {
            waiting.remove(&number);
        }
        taken
    }
}

/// A token whose gradient is a number.
pub(crate) fn token(number: u64) -> Result<Tensor> {
    Tensor::from_slice(&[number as f64], 1, &Device::Cpu)
}

/// The layers with adjacent elements, linked: what the network's operation takes as its parameters.
pub(crate) fn link(layers: &[Layer]) -> Result<(Arc<[Layer]>, Tensor, Arc<Gradients>)> {
    let gradients = Arc::<Gradients>::default();
    let layers: Arc<[Layer]> = layers.iter().map(Layer::adjacent).collect::<Result<_>>()?;
    let mut last = token(0)?;
    for (layer, of) in layers.iter().enumerate() {
        last = last.apply_op3(&of.weight, &of.bias, Link { layer, gradients: gradients.clone() })?;
    }
    Ok((layers, last, gradients))
}

struct Link {
    layer: usize,
    gradients: Arc<Gradients>,
}

impl CustomOp3 for Link {
    fn name(&self) -> &'static str {
        "nablas-layer"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((f64::to_cpu_storage_owned(vec![0.0]), Shape::from(1)))
    }

    fn bwd(
        &self,
        token: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        number: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let of_pass = number.squeeze(0)?.to_scalar::<f64>()? as u64;
        let wanted = weight.track_op() || bias.track_op();
        let (dw, db) = match self.gradients.take(of_pass, self.layer) {
            Some(pair) => pair,
            None if wanted => bail!("nablas: the gradient of layer {} is not there", self.layer),
            None => (None, None),
        };
        Ok((token.track_op().then(|| number.clone()), dw, db))
    }
}

/// Zeros in place of a bias.
pub(crate) fn no_bias(width: usize, dtype: DType) -> Result<Tensor> {
    Tensor::zeros(width, dtype, &Device::Cpu)
}
