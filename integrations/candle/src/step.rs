//! A whole training step on the flat parameters, in place.

use crate::operand::{Element, matrix, refused, slice};
use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Tensor, Var, bail};
use nablas::{Loss, Optimizer, Targets, Trained};
use nablas_bridge::Network;
use std::cell::RefCell;

/// What a step reads and writes beside its tensors.
struct Step<'a, T: Element, O: ?Sized> {
    network: &'a Network<T>,
    loss: &'a Loss<T>,
    clip: Option<f64>,
    optimizer: RefCell<&'a mut O>,
    trained: RefCell<Option<Trained<T>>>,
}

/// Moves the parameters, and says what became of the step.
pub(crate) fn train_step<T: Element, O: Optimizer<T> + ?Sized>(
    network: &Network<T>,
    params: &Var,
    (x, targets): (&Tensor, &Tensor),
    loss: &Loss<T>,
    clip: Option<f64>,
    optimizer: &mut O,
) -> Result<Trained<T>> {
    let (optimizer, trained) = (RefCell::new(optimizer), RefCell::new(None));
    let step = Step { network, loss, clip, optimizer, trained };
    params.inplace_op3(x, targets, &step)?;
    match step.trained.into_inner() {
        Some(trained) => Ok(trained),
        None => bail!("nablas: the step was not made"),
    }
}

impl<T: Element, O: Optimizer<T> + ?Sized> InplaceOp3 for Step<'_, T, O> {
    fn name(&self) -> &'static str {
        "nablas-train-step"
    }

    fn cpu_fwd(
        &self,
        params: &mut CpuStorage,
        pl: &Layout,
        x: &CpuStorage,
        xl: &Layout,
        targets: &CpuStorage,
        tl: &Layout,
    ) -> Result<()> {
        let Some((start, end)) = pl.contiguous_offsets() else { bail!("nablas: expected flat parameters") };
        let params = &mut T::slice_mut(params)?[start..end];
        let targets = match targets {
            CpuStorage::U32(_) => Targets::Classes(slice(targets, tl)?),
            _ => Targets::Values(matrix(targets, tl)?),
        };
        let optimizer = &mut **self.optimizer.borrow_mut();
        let x = matrix(x, xl)?;
        let trained = self.network.train_step(params, x, self.loss, targets, self.clip, optimizer);
        *self.trained.borrow_mut() = Some(trained.map_err(refused)?);
        Ok(())
    }
}
