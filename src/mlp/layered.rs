//! The layered pass: each layer is one product over the whole batch, parallel inside.

use super::{fused::Block, fused::Net};
use crate::{MatRef, Scalar, dense::Ops, gemm::operand};
use nablas_kernels::gemm::pack::Operand;

/// What the layered pass runs on.
#[derive(Clone, Copy)]
pub(crate) struct Layered<'a, T: Scalar> {
    pub(crate) net: Net<'a, T>,
    pub(crate) ops: &'a Ops<T>,
    /// A_l and the saved state of the whole batch.
    pub(crate) block: Block<'a, T>,
    /// Two cotangents that take turns.
    pub(crate) delta: [*mut T; 2],
    pub(crate) scratch: *mut T,
}

impl<T: Scalar> Layered<'_, T> {
    fn weights(&self, l: usize) -> (Operand<T>, *const T) {
        let spec = &self.net.mlp.layers()[l];
        let at = &self.net.params[self.net.offset(l)..];
        let w = Operand { ptr: at.as_ptr(), rs: spec.inputs as isize, cs: 1 };
        (w, at[spec.inputs * spec.outputs..].as_ptr())
    }

    /// Forward through all layers; A_L into the block.
    ///
    /// # Safety
    /// The block and the scratch are writable over the batch; nothing else accesses them.
    pub(crate) unsafe fn forward(&self, x: MatRef<'_, T>, save: bool) {
        let mut input = operand(x);
        for (l, spec) in self.net.mlp.layers().iter().enumerate() {
            let sizes = (x.nrows(), spec.outputs, spec.inputs);
            let (w, bias) = self.weights(l);
            let a = self.block.a(l);
            let act = spec.activation;
            let state = if save { self.block.state(self.net.mlp, l) } else { crate::dense::State::NONE };
            // SAFETY: the caller's promise; each layer writes its own part of the block.
            unsafe { self.ops.forward(sizes, input, w, bias, a, state, act, self.scratch) }
            input = Operand { ptr: a.0, rs: a.1 as isize, cs: 1 };
        }
    }

    /// Backward through all layers: sets `grads`, from ∂L/∂A_L in the block's `dy`; writes dX if asked for.
    ///
    /// # Safety
    /// As for [`forward`](Self::forward); `grads` is writable over the parameters, `dx` over the batch.
    pub(crate) unsafe fn backward(
        &self,
        x: MatRef<'_, T>,
        grads: *mut T,
        dx: Option<(*mut T, isize, isize)>,
    ) {
        let rows = x.nrows();
        let mlp = self.net.mlp;
        let layers = mlp.layers();
        let last = layers.len() - 1;
        let db = |l: usize| {
            let at = grads.wrapping_add(self.net.offset(l) + layers[l].inputs * layers[l].outputs);
            // SAFETY: b_l's gradient has as many elements as layer l has outputs.
            unsafe { core::slice::from_raw_parts_mut(at, layers[l].outputs) }.fill(T::ZERO);
            at
        };
        // SAFETY: the caller's promise; the cotangents have room for the widest layer.
        unsafe {
            let (mut delta, mut ld) = self.block.dy(layers[last].outputs);
            let act = layers[last].activation;
            let state = self.block.state(mlp, last);
            self.ops.delta_sums((rows, layers[last].outputs), (delta, ld), state, act, db(last));
            for l in (0..layers.len()).rev() {
                let (inputs, outputs) = (layers[l].inputs, layers[l].outputs);
                let d = Operand { ptr: delta.cast_const(), rs: ld as isize, cs: 1 };
                let a = if l > 0 {
                    let (ptr, ld) = self.block.a(l - 1);
                    Operand { ptr: ptr.cast_const(), rs: ld as isize, cs: 1 }
                } else {
                    operand(x)
                };
                let dw = (grads.wrapping_add(self.net.offset(l)), inputs);
                self.ops.weight_vjp((rows, outputs, inputs), d, a, dw, false, self.scratch);
                let sizes = (rows, inputs, outputs);
                let (w, _) = self.weights(l);
                if l > 0 {
                    let act = layers[l - 1].activation;
                    let state = self.block.state(mlp, l - 1);
                    delta = self.delta[l % 2];
                    ld = self.block.g(l - 1).1;
                    self.ops.input_vjp(sizes, d, w, state, act, (delta, ld), db(l - 1), self.scratch);
                } else if let Some((ptr, rs, cs)) = dx {
                    let spare = self.delta[0];
                    let direct = cs == 1 && rs >= 0;
                    let (out, ldo) = if direct { (ptr, rs as usize) } else { (spare, inputs) };
                    let none = crate::dense::State::NONE;
                    let linear = crate::Activation::Identity;
                    let sums = core::ptr::null_mut();
                    self.ops.input_vjp(sizes, d, w, none, linear, (out, ldo), sums, self.scratch);
                    if !direct {
                        let from = Operand { ptr: out.cast_const(), rs: ldo as isize, cs: 1 };
                        super::fused::copy_rows((rows, inputs), from, (ptr, rs, cs));
                    }
                }
            }
        }
    }
}
