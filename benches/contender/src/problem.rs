//! The training step that the harness asks for, in C's words.

use crate::guard::Failure;
use nablas::{Activation, Mlp};
use std::slice;

/// `peer_problem`: f32, row-major. Every layer but the last has the activation; the last is linear.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Problem {
    /// L, the linear layers.
    pub layers: i32,
    /// The activation: 0 ReLU, 1 tanh, 2 SiLU, 3 GELU by its tanh formula, 4 sin.
    pub act: i32,
    /// Threads, the calling one among them.
    pub threads: i32,
    /// Fills the gap before the batch.
    pub pad: i32,
    /// B, the rows of x and dy.
    pub batch: i64,
    /// n_0 … n_L.
    pub dims: *const i64,
    /// X, \[B, n_0\].
    pub x: *const f32,
    /// L weights, \[n_l, n_{l−1}\] each.
    pub w: *const *const f32,
    /// L biases, \[n_l\] each.
    pub b: *const *const f32,
    /// ∂L/∂A_L, \[B, n_L\].
    pub dy: *const f32,
}

impl Problem {
    /// L.
    pub(crate) fn layers(&self) -> Result<usize, Failure> {
        Ok(usize::try_from(self.layers)?)
    }

    /// The network.
    ///
    /// # Safety
    /// `dims` is NULL or has L + 1 elements.
    pub(crate) unsafe fn mlp(&self) -> Result<Mlp<f32>, Failure> {
        let hidden = match self.act {
            0 => Activation::Relu,
            1 => Activation::Tanh,
            2 => Activation::Silu,
            3 => Activation::GeluTanh,
            4 => Activation::Sin(1.0),
            _ => return Err("an unknown activation".into()),
        };
        if self.dims.is_null() {
            return Err("no widths".into());
        }
        // SAFETY: the caller's promise.
        let dims = unsafe { slice::from_raw_parts(self.dims, self.layers()? + 1) };
        let dims = dims.iter().map(|d| usize::try_from(*d)).collect::<Result<Vec<_>, _>>()?;
        let mut builder = Mlp::builder(dims[0]);
        for (l, width) in dims.iter().enumerate().skip(1) {
            builder = builder.layer(*width, if l + 1 < dims.len() { hidden } else { Activation::Identity });
        }
        Ok(builder.build()?)
    }
}
