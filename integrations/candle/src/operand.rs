//! Tensors as nablas reads them, where they lie, with whatever strides and offset.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, WithDType, bail};
use nablas::{MatRef, Scalar};

/// An element type that candle and nablas both have: `f32` or `f64`.
pub trait Element: Scalar + WithDType {
    /// The elements of a storage of this type, to be written.
    ///
    /// # Errors
    /// A storage of another type.
    fn slice_mut(storage: &mut CpuStorage) -> Result<&mut [Self]>;
}

macro_rules! element {
    ($t:ident, $variant:ident) => {
        impl Element for $t {
            fn slice_mut(storage: &mut CpuStorage) -> Result<&mut [Self]> {
                match storage {
                    CpuStorage::$variant(data) => Ok(data),
                    _ => bail!("nablas: expected {:?}", $t::DTYPE),
                }
            }
        }
    };
}
element!(f32, F32);
element!(f64, F64);

/// nablas' error as candle's.
pub(crate) fn refused(error: nablas::Error) -> candle_core::Error {
    candle_core::Error::wrap(error)
}

/// Refuses a tensor that is not on the CPU or of another type.
pub(crate) fn check(what: &str, tensor: &Tensor, dtype: DType) -> Result<()> {
    if !tensor.device().is_cpu() {
        bail!("nablas runs on the CPU, but {what} is on {:?}", tensor.device().location())
    }
    if tensor.dtype() != dtype {
        bail!("{what}: expected {dtype:?} as the parameters are, got {:?}", tensor.dtype())
    }
    Ok(())
}

/// The elements of a tensor that are adjacent.
pub(crate) fn slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::cpu_storage_as_slice(storage)?[start..end]),
        None => bail!("nablas: expected adjacent elements, got strides {:?}", layout.stride()),
    }
}

/// A matrix where it lies.
pub(crate) fn matrix<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> Result<MatRef<'a, T>> {
    let (&[rows, cols], &[rs, cs]) = (layout.dims(), layout.stride()) else {
        bail!("nablas: expected a matrix, got the shape {:?}", layout.shape())
    };
    let data = T::cpu_storage_as_slice(storage)?;
    // An empty view may start beyond its storage.
    let data = data.get(layout.start_offset()..).unwrap_or_default();
    let strides = |stride: usize| isize::try_from(stride).map_err(candle_core::Error::wrap);
    MatRef::with_strides(data, rows, cols, strides(rs)?, strides(cs)?).map_err(refused)
}

/// The memory behind a tensor on the CPU.
pub(crate) fn cpu(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => bail!("nablas runs on the CPU"),
    }
}
