//! Networks.

use crate::{
    elem::Elem,
    operand::{array, disjoint, optional},
    options::{activation, init, usual_parameter},
    status::Result,
};
use nablas::Mlp;

/// A network of `float`: its widths and activations. The parameters are the caller's.
#[derive(Debug)]
pub struct nablas_smlp(pub(crate) Mlp<f32>);

/// A network of `double`: its widths and activations. The parameters are the caller's.
#[derive(Debug)]
pub struct nablas_dmlp(pub(crate) Mlp<f64>);

/// A network of `layers` layers.
///
/// # Safety
/// `widths` has `layers` + 1 elements, `activations` has `layers`, `parameters` has as many or is NULL.
pub(crate) unsafe fn mlp<T: Elem>(
    layers: usize,
    widths: *const usize,
    activations: *const i32,
    parameters: *const T,
) -> Result<Mlp<T>> {
    let widths = array("the widths", widths, layers.saturating_add(1))?;
    let activations = array("the activations", activations, layers)?;
    let parameters = optional("the activations' parameters", parameters, (1, layers), layers)?;
    // SAFETY: the caller's promise.
    let (widths, activations, parameters) =
        unsafe { (widths.slice(), activations.slice(), parameters.map(|p| p.slice())) };
    let mut builder = Mlp::builder(widths[0]);
    for (l, (width, kind)) in widths[1..].iter().zip(activations).enumerate() {
        let parameter = parameters.map_or_else(|| T::from_f64(usual_parameter(*kind)), |p| p[l]);
        builder = builder.layer(*width, activation(*kind, parameter)?);
    }
    Ok(builder.build()?)
}

/// `weights` and `bias` ← where W and b of a layer start.
///
/// # Safety
/// Both are NULL or writable.
pub(crate) unsafe fn offsets<T: Elem>(
    mlp: &Mlp<T>,
    layer: usize,
    weights: *mut usize,
    bias: *mut usize,
) -> Result<()> {
    let (w, b) = (mlp.weights_range(layer)?.start, mlp.bias_range(layer)?.start);
    let (weights, bias) = (array("the weights' offset", weights, 1)?, array("the bias' offset", bias, 1)?);
    disjoint(&[Some(weights.bytes()), Some(bias.bytes())], &[])?;
    // SAFETY: the caller's promise; not NULL, aligned, apart.
    unsafe { (weights.slice_mut()[0], bias.slice_mut()[0]) = (w, b) };
    Ok(())
}

/// Fills the parameters of a network.
///
/// # Safety
/// `params` is NULL or has the network's parameters.
pub(crate) unsafe fn initialise<T: Elem>(
    mlp: &Mlp<T>,
    (kind, omega): (i32, f64),
    seed: u64,
    params: *mut T,
) -> Result<()> {
    let init = init(kind, omega)?;
    let params = array("the parameters", params, mlp.param_len())?;
    // SAFETY: the caller's promise.
    Ok(init.fill(mlp, unsafe { params.slice_mut() }, seed)?)
}
