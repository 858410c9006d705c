//! A whole training step on the flat parameters.

use crate::{
    mlp::FusedMlp,
    operand::{Element, Flat, matrix, readable, rows},
};
use burn::{
    backend::Flex,
    module::Param,
    tensor::{Int, Tensor},
};
use nablas::{Error, Loss, Optimizer, Result, Targets, Trained};
use nablas_bridge::Network;
use std::{any::Any, sync::Arc};

/// What the outputs of a training step should be.
#[derive(Debug, Clone)]
pub enum Goal {
    /// A value for each output, B×n_L.
    Values(Tensor<2>),
    /// A class for each row.
    Classes(Tensor<1, Int>),
}

impl FusedMlp {
    /// One whole step of training in one call: loss, gradient, clipping by the global norm if `clip` is given, the
    /// optimizer's step. X is B×n_0. Nothing is recorded; with parameters that no other tensor shares they are moved where
    /// they lie, and want a gradient afterwards as they did before. Values whose elements are not adjacent in a row are copied. The bits are those of [`Plan::train_step`](nablas::Plan::train_step), which says more.
    ///
    /// # Errors
    /// [`Error::Backend`] on another backend than Flex or for another type than T; [`Error::Class`] for a class that there
    /// is no output for; else as [`Plan::train_step`](nablas::Plan::train_step). The parameters are then as they were.
    pub fn train_step<T: Element, O: Optimizer<T> + ?Sized>(
        &mut self,
        x: Tensor<2>,
        loss: &Loss<T>,
        goal: Goal,
        clip: Option<f64>,
        optimizer: &mut O,
    ) -> Result<Trained<T>> {
        let x = readable(primitive::<T, 2>(x)?, false);
        let network = of::<T>(self)?;
        let values;
        let classes;
        let targets = match goal {
            Goal::Values(t) => {
                values = rows(primitive::<T, 2>(t)?);
                Targets::Values(matrix(&values)?)
            }
            Goal::Classes(t) => {
                classes = numbers(t);
                Targets::Classes(&classes)
            }
        };
        let x = matrix::<T>(&x)?;
        primitive::<T, 1>(self.params.val())?;
        // The parameter lets go of its tensor, so that nobody shares it.
        let place = Param::from_tensor(Tensor::zeros([0], &self.params.device()));
        let mut trained = Err(Error::Backend { name: "burn", why: "a training step is made on Flex" });
        self.params = std::mem::replace(&mut self.params, place).map(|tensor| {
            // What burn's own optimizers hand on too: a step makes a new tensor, which would else want no gradient.
            let (wanted, autodiff) = (tensor.is_require_grad(), tensor.gradient_checkpointing_strategy());
            let Ok(flat) = primitive::<T, 1>(tensor.clone()) else { return tensor };
            drop(tensor);
            let mut flat = readable(flat, true);
            let (start, end) = flat.layout().contiguous_offsets().unwrap_or_default();
            let params = &mut T::storage_mut(&mut flat)[start..end];
            trained = network.train_step(params, x, loss, targets, clip, optimizer);
            let moved = Tensor::from_primitive::<Flex>(flat);
            let Some(strategy) = autodiff else { return moved };
            Tensor::from_inner(moved).with_gradient_checkpointing_strategy(strategy).set_require_grad(wanted)
        });
        trained
    }
}

/// The network of this element type.
fn of<T: Element>(mlp: &FusedMlp) -> Result<Arc<Network<T>>> {
    let single: Arc<dyn Any + Send + Sync> = mlp.networks.f32()?;
    single.downcast().or_else(|_| {
        let double: Arc<dyn Any + Send + Sync> = mlp.networks.f64()?;
        double.downcast().map_err(|_| Error::Backend { name: "burn", why: "another type than f32 and f64" })
    })
}

/// The tensor of Flex that is in a tensor of this type.
fn primitive<T: Element, const D: usize>(tensor: Tensor<D>) -> Result<Flat> {
    let refused = |why| Err(Error::Backend { name: "burn", why });
    if tensor.dtype() != <T as burn::tensor::Element>::dtype() {
        return refused("a training step takes tensors of its optimizer's type");
    }
    tensor.inner().try_into_primitive::<Flex>().or_else(|_| refused("a training step is made on Flex"))
}

/// Classes as nablas has them. A number below 0 becomes one that there is no output for, and nablas refuses it.
fn numbers(classes: Tensor<1, Int>) -> Vec<u32> {
    let data = classes.into_data().convert::<i64>();
    let all = data.as_slice::<i64>().unwrap_or_default().iter();
    all.map(|&class| u32::try_from(class).unwrap_or(u32::MAX)).collect()
}
