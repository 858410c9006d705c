//! Parameters and gradients as calls take them: one flat buffer, or W and b of each layer where they lie.

use super::{packed::PackedParams, spec::Mlp};
use crate::{
    Scalar,
    error::{Result, check_len},
};
use alloc::vec::Vec;
use core::marker::PhantomData;

/// One layer's parameters.
#[derive(Debug, Clone, Copy)]
pub struct LayerParams<'a, T> {
    /// W_l, n_l × n_{l−1}, row-major without gaps.
    pub weights: &'a [T],
    /// b_l, n_l elements.
    pub bias: &'a [T],
}

/// One layer's gradient.
#[derive(Debug)]
pub struct LayerGrads<'a, T> {
    /// dW_l, n_l × n_{l−1}, row-major without gaps.
    pub weights: &'a mut [T],
    /// db_l, n_l elements.
    pub bias: &'a mut [T],
}

/// The parameters of a network, as a call reads them.
#[derive(Debug, Clone, Copy)]
pub enum ParamsRef<'a, T: Scalar> {
    /// One buffer, as [`Mlp`] lays it out.
    Flat(&'a [T]),
    /// W and b of each layer, first to last, wherever they lie.
    Layers(&'a [LayerParams<'a, T>]),
    /// With their panels: nothing is packed in the call.
    Packed(&'a PackedParams<T>),
}

/// The gradient of a network, as a call writes it: laid out like the parameters, or not.
#[derive(Debug)]
pub enum GradsMut<'a, 'b, T: Scalar> {
    /// One buffer, as [`Mlp`] lays the parameters out.
    Flat(&'a mut [T]),
    /// dW and db of each layer, first to last, wherever they lie.
    Layers(&'a mut [LayerGrads<'b, T>]),
}

impl<'a, T: Scalar> From<&'a [T]> for ParamsRef<'a, T> {
    fn from(flat: &'a [T]) -> Self {
        Self::Flat(flat)
    }
}
impl<'a, T: Scalar> From<&'a Vec<T>> for ParamsRef<'a, T> {
    fn from(flat: &'a Vec<T>) -> Self {
        Self::Flat(flat)
    }
}
impl<'a, T: Scalar, const N: usize> From<&'a [T; N]> for ParamsRef<'a, T> {
    fn from(flat: &'a [T; N]) -> Self {
        Self::Flat(flat)
    }
}
impl<'a, T: Scalar> From<&'a [LayerParams<'a, T>]> for ParamsRef<'a, T> {
    fn from(layers: &'a [LayerParams<'a, T>]) -> Self {
        Self::Layers(layers)
    }
}
impl<'a, T: Scalar> From<&'a Vec<LayerParams<'a, T>>> for ParamsRef<'a, T> {
    fn from(layers: &'a Vec<LayerParams<'a, T>>) -> Self {
        Self::Layers(layers)
    }
}
impl<'a, T: Scalar> From<&'a PackedParams<T>> for ParamsRef<'a, T> {
    fn from(packed: &'a PackedParams<T>) -> Self {
        Self::Packed(packed)
    }
}
impl<'a, T: Scalar> From<&'a mut [T]> for GradsMut<'a, '_, T> {
    fn from(flat: &'a mut [T]) -> Self {
        Self::Flat(flat)
    }
}
impl<'a, T: Scalar> From<&'a mut Vec<T>> for GradsMut<'a, '_, T> {
    fn from(flat: &'a mut Vec<T>) -> Self {
        Self::Flat(flat)
    }
}
impl<'a, T: Scalar, const N: usize> From<&'a mut [T; N]> for GradsMut<'a, '_, T> {
    fn from(flat: &'a mut [T; N]) -> Self {
        Self::Flat(flat)
    }
}
impl<'a, 'b, T: Scalar> From<&'a mut [LayerGrads<'b, T>]> for GradsMut<'a, 'b, T> {
    fn from(layers: &'a mut [LayerGrads<'b, T>]) -> Self {
        Self::Layers(layers)
    }
}

impl<'a, 'b, T: Scalar> From<&'a mut Vec<LayerGrads<'b, T>>> for GradsMut<'a, 'b, T> {
    fn from(layers: &'a mut Vec<LayerGrads<'b, T>>) -> Self {
        Self::Layers(layers)
    }
}

/// Where W and b, or dW and db, of every layer lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a, T: Scalar> {
    mlp: &'a Mlp<T>,
    at: At<'a, T>,
}

#[derive(Debug, Clone, Copy)]
enum At<'a, T: Scalar> {
    Flat(*mut T),
    Params(&'a [LayerParams<'a, T>]),
    Grads(*const LayerGrads<'a, T>, PhantomData<&'a mut T>),
}

// SAFETY: addresses; items read parameters, and write disjoint parts of gradients.
unsafe impl<T: Scalar> Send for Places<'_, T> {}
// SAFETY: as for Send.
unsafe impl<T: Scalar> Sync for Places<'_, T> {}

impl<'a, T: Scalar> Places<'a, T> {
    /// The places in a flat buffer of the network's parameters.
    pub(crate) fn flat(mlp: &'a Mlp<T>, at: *mut T) -> Self {
        Self { mlp, at: At::Flat(at) }
    }

    /// The places of parameters, which are refused if they are not the network's.
    pub(crate) fn of_params(mlp: &'a Mlp<T>, params: ParamsRef<'a, T>) -> Result<Self> {
        let at = match params {
            ParamsRef::Flat(flat) => {
                mlp.check(flat.len())?;
                At::Flat(flat.as_ptr().cast_mut())
            }
            ParamsRef::Packed(packed) => {
                mlp.check(packed.get().len())?;
                At::Flat(packed.get().as_ptr().cast_mut())
            }
            ParamsRef::Layers(layers) => {
                check_len("the layers' parameters", mlp.layers().len(), layers.len())?;
                for (spec, l) in mlp.layers().iter().zip(layers) {
                    check_len("W of a layer", spec.inputs * spec.outputs, l.weights.len())?;
                    check_len("b of a layer", spec.outputs, l.bias.len())?;
                }
                At::Params(layers)
            }
        };
        Ok(Self { mlp, at })
    }

    /// The places of a gradient, which is refused if it is not the network's.
    pub(crate) fn of_grads(mlp: &'a Mlp<T>, grads: GradsMut<'a, '_, T>) -> Result<Self> {
        let at = match grads {
            GradsMut::Flat(flat) => {
                check_len("the gradient", mlp.param_len(), flat.len())?;
                At::Flat(flat.as_mut_ptr())
            }
            GradsMut::Layers(layers) => {
                check_len("the layers' gradients", mlp.layers().len(), layers.len())?;
                for (spec, l) in mlp.layers().iter().zip(layers.iter()) {
                    check_len("dW of a layer", spec.inputs * spec.outputs, l.weights.len())?;
                    check_len("db of a layer", spec.outputs, l.bias.len())?;
                }
                At::Grads(layers.as_ptr().cast(), PhantomData)
            }
        };
        Ok(Self { mlp, at })
    }

    /// W or dW of layer index `l`, which there is.
    pub(crate) fn w(&self, l: usize) -> *mut T {
        match self.at {
            At::Flat(at) => at.wrapping_add(self.mlp.layer_offset(l)),
            At::Params(layers) => layers[l].weights.as_ptr().cast_mut(),
            // SAFETY: there are as many as layers, borrowed exclusively; only the address is read.
            At::Grads(layers, _) => unsafe {
                (&raw const (*layers.add(l)).weights).cast::<*mut [T]>().read().cast()
            },
        }
    }

    /// b or db of layer index `l`, which there is.
    pub(crate) fn b(&self, l: usize) -> *mut T {
        match self.at {
            At::Flat(_) => {
                let spec = &self.mlp.layers()[l];
                self.w(l).wrapping_add(spec.inputs * spec.outputs)
            }
            At::Params(layers) => layers[l].bias.as_ptr().cast_mut(),
            // SAFETY: as in `w`.
            At::Grads(layers, _) => unsafe {
                (&raw const (*layers.add(l)).bias).cast::<*mut [T]>().read().cast()
            },
        }
    }

    /// Elements `from..to` of the flat layout, as pieces that each lie together: where a piece starts in the flat
    /// layout, its address, its length.
    pub(crate) fn pieces(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, *mut T, usize)> {
        let layers = match self.at {
            At::Flat(_) => 0,
            _ => self.mlp.layers().len(),
        };
        let whole = match self.at {
            At::Flat(at) => Some((from, at.wrapping_add(from), to - from)),
            _ => None,
        };
        let parts = (0..layers).flat_map(|l| {
            let (spec, start) = (&self.mlp.layers()[l], self.mlp.layer_offset(l));
            let bias = start + spec.inputs * spec.outputs;
            [(start, bias, self.w(l)), (bias, bias + spec.outputs, self.b(l))]
        });
        let parts = parts.filter_map(move |(start, end, at)| {
            let (first, last) = (start.max(from), end.min(to));
            (first < last).then(|| (first, at.wrapping_add(first - start), last - first))
        });
        whole.into_iter().chain(parts)
    }

    /// Fills all of it.
    ///
    /// # Safety
    /// The places are a gradient's, and nothing else accesses them.
    pub(crate) unsafe fn fill(&self, value: T) {
        for (_, at, len) in self.pieces(0, self.mlp.param_len()) {
            // SAFETY: the caller's promise.
            unsafe { core::slice::from_raw_parts_mut(at, len) }.fill(value);
        }
    }
}
