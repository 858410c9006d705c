//! The calls of a plan. Everything is checked first: an error leaves every output as it was, but for that of a foreign
//! backend, which leaves them unspecified.

use super::{
    call::{Backward, Call},
    ends::{Cotangent, Out},
    kept::Kept,
    params::{GradsMut, ParamsRef, Places},
    plan::Plan,
    workspace::Workspace,
};
use crate::{
    MatMut, MatRef, Scalar,
    error::{Error, Result, check_shape},
    loss::{Fold, Loss, Targets},
    shared::{FirstError, Shared},
};
use core::sync::atomic::AtomicUsize;

impl<T: Scalar> Plan<T> {
    /// Y ← A_L; what [`backward`](Self::backward) needs goes to `kept`, if given.
    ///
    /// X is B×n_0 and Y B×n_L, of any strides; the parameters as [`Mlp`](super::Mlp) lays them out, or a layer at a time,
    /// or packed.
    ///
    /// # Errors
    /// For shapes and lengths that don't fit, a batch above the plan's largest or above the room of `kept`, a workspace or
    /// kept state of another plan; [`Error::Backend`] from a foreign backend, and then Y is unspecified and nothing is kept.
    pub fn forward<'p>(
        &self,
        params: impl Into<ParamsRef<'p, T>>,
        x: MatRef<'_, T>,
        y: MatMut<'_, T>,
        mut kept: Option<&mut Kept<T>>,
        ws: &mut Workspace<T>,
    ) -> Result<()> {
        let (params, panels) = self.check_params(params.into())?;
        let batch = self.check_input(x)?;
        check_shape("the output", (batch, self.setup.mlp.outputs()), y.shape())?;
        let memory = Shared(ws.check(self.len, self.mark)?);
        let state = kept.as_mut().map(|k| k.take(self, batch)).transpose()?.map(Shared);
        let call = Call { kept: state, y: Out::new(Some(y)), ..self.call(params, panels, x, memory) };
        ws.seats = self.start(call)?;
        if let Some(kept) = kept {
            kept.hold(batch);
        }
        Ok(())
    }

    /// From ∂L/∂A_L: `grads` ← dW and db of every layer (sums over the batch), laid out as the parameters or a layer at a
    /// time; dX ← ∂L/∂X, if asked for. Parameters and X are those of the [`forward`](Self::forward) that left `kept`, which
    /// stays, so that it serves any number of calls.
    ///
    /// # Errors
    /// For shapes and lengths that don't fit, a workspace or kept state of another plan, or a state of another batch; a foreign
    /// backend's, and then outputs are unspecified.
    pub fn backward<'p, 'a, 'b: 'a>(
        &self,
        params: impl Into<ParamsRef<'p, T>>,
        x: MatRef<'_, T>,
        dy: MatRef<'_, T>,
        grads: impl Into<GradsMut<'a, 'b, T>>,
        dx: Option<MatMut<'_, T>>,
        kept: &Kept<T>,
        ws: &mut Workspace<T>,
    ) -> Result<()> {
        let (params, panels) = self.check_params(params.into())?;
        let batch = self.check_ends(x, Some(dy), None, dx.as_ref())?;
        let grads = Places::of_grads(&self.setup.mlp, grads.into())?;
        let memory = Shared(ws.check(self.len, self.mark)?);
        let state = Some(Shared(kept.of(self, batch)?));
        let backward = Some(Backward { cotangent: Cotangent::Given(dy), grads, dx: Out::new(dx) });
        let call = Call { forward: false, backward, kept: state, ..self.call(params, panels, x, memory) };
        ws.seats = self.start(call)?;
        Ok(())
    }

    /// Forward and backward in one pass, from a given ∂L/∂A_L: Y ← A_L, if asked for; `grads` ← dW and db of
    /// every layer (sums over the batch), laid out as the parameters or a layer at a time; dX ← ∂L/∂X, if asked for.
    ///
    /// # Errors
    /// For shapes and lengths that don't fit, a batch above the plan's largest, a workspace of another plan; a foreign backend's,
    /// and then outputs are unspecified.
    pub fn vjp<'p, 'a, 'b: 'a>(
        &self,
        params: impl Into<ParamsRef<'p, T>>,
        x: MatRef<'_, T>,
        dy: MatRef<'_, T>,
        y: Option<MatMut<'_, T>>,
        grads: impl Into<GradsMut<'a, 'b, T>>,
        dx: Option<MatMut<'_, T>>,
        ws: &mut Workspace<T>,
    ) -> Result<()> {
        let (params, panels) = self.check_params(params.into())?;
        self.check_ends(x, Some(dy), y.as_ref(), dx.as_ref())?;
        let grads = Places::of_grads(&self.setup.mlp, grads.into())?;
        let memory = Shared(ws.check(self.len, self.mark)?);
        let backward = Some(Backward { cotangent: Cotangent::Given(dy), grads, dx: Out::new(dx) });
        let call = Call { backward, y: Out::new(y), ..self.call(params, panels, x, memory) };
        ws.seats = self.start(call)?;
        Ok(())
    }

    /// The loss and its gradient in one pass: `grads` ← dW and db of every layer, laid out as the parameters or a layer at
    /// a time.
    ///
    /// # Errors
    /// As for [`vjp`](Self::vjp), and for targets that don't fit the loss.
    pub fn value_and_grad<'p, 'a, 'b: 'a>(
        &self,
        params: impl Into<ParamsRef<'p, T>>,
        x: MatRef<'_, T>,
        loss: &Loss<T>,
        targets: Targets<'_, T>,
        grads: impl Into<GradsMut<'a, 'b, T>>,
        ws: &mut Workspace<T>,
    ) -> Result<T> {
        let (params, panels) = self.check_params(params.into())?;
        let (batch, outputs) = (self.check_ends(x, None, None, None)?, self.setup.mlp.outputs());
        let grads = Places::of_grads(&self.setup.mlp, grads.into())?;
        loss.check(batch, outputs, &targets)?;
        let memory = Shared(ws.check(self.len, self.mark)?);
        let cotangent = Cotangent::Loss(loss, targets, loss.scale(&targets, batch, outputs));
        let backward = Some(Backward { cotangent, grads, dx: None });
        let call = Call { backward, ..self.call(params, panels, x, memory) };
        ws.seats = self.start(call)?;
        // SAFETY: every row's loss was written; no item is left.
        Ok(unsafe { self.value(loss, &targets, memory, batch) })
    }

    /// The value of a loss, of the row losses that a call has left.
    ///
    /// # Safety
    /// The memory is the plan's workspace, and has a loss for each row.
    pub(super) unsafe fn value(
        &self,
        loss: &Loss<T>,
        targets: &Targets<'_, T>,
        memory: Shared<T>,
        batch: usize,
    ) -> T {
        let mut fold = Fold::default();
        // SAFETY: the caller's promise.
        fold.extend(unsafe { core::slice::from_raw_parts(memory.add(self.losses), batch) });
        loss.value_of(fold, targets, batch, self.setup.mlp.outputs())
    }

    /// A forward pass that leaves nothing.
    pub(super) fn call<'a>(
        &'a self,
        params: Places<'a, T>,
        panels: Option<Shared<T>>,
        x: MatRef<'a, T>,
        memory: Shared<T>,
    ) -> Call<'a, T> {
        let failed = FirstError::default();
        Call {
            setup: &self.setup,
            params,
            panels,
            x,
            forward: true,
            backward: None,
            y: None,
            kept: None,
            memory,
            losses: self.losses,
            seats: AtomicUsize::new(1),
            failed,
        }
    }

    /// Refuses parameters that don't fit; else their places, and their panels if they have some.
    fn check_params<'a>(&'a self, params: ParamsRef<'a, T>) -> Result<(Places<'a, T>, Option<Shared<T>>)> {
        let panels = match params {
            ParamsRef::Packed(packed) => {
                Some(Shared(packed.panels(self.panels_mark, self.path.panels_len())?))
            }
            _ => None,
        };
        Ok((Places::of_params(&self.setup.mlp, params)?, panels))
    }

    /// Refuses an input that does not fit; else the batch.
    fn check_input(&self, x: MatRef<'_, T>) -> Result<usize> {
        let batch = x.nrows();
        check_shape("the input", (batch, self.setup.mlp.inputs()), x.shape())?;
        if batch > self.setup.max_batch {
            return Err(Error::Batch { max: self.setup.max_batch, got: batch });
        }
        Ok(batch)
    }

    /// Refuses matrices of a step that don't fit; else the batch.
    pub(super) fn check_ends(
        &self,
        x: MatRef<'_, T>,
        dy: Option<MatRef<'_, T>>,
        y: Option<&MatMut<'_, T>>,
        dx: Option<&MatMut<'_, T>>,
    ) -> Result<usize> {
        let batch = self.check_input(x)?;
        let output = (batch, self.setup.mlp.outputs());
        dy.map_or(Ok(()), |dy| check_shape("the gradient of the output", output, dy.shape()))?;
        y.map_or(Ok(()), |y| check_shape("the output", output, y.shape()))?;
        dx.map_or(Ok(()), |dx| check_shape("the gradient of the input", x.shape(), dx.shape()))?;
        Ok(batch)
    }
}
