//! Parameters and gradients as Python hands them over: one flat array, W and b of each layer, or packed.

use crate::{
    array::{Access, Array, Vector, is_array},
    kept::busy,
    overlap::Bytes,
    packed::PackedParams,
    typed::{Elem, of},
};
use nablas::{GradsMut, LayerGrads, LayerParams, Mlp, ParamsRef};
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyList, PyTuple},
};
use std::sync::RwLock;

/// W and b of a layer.
type Layer<T> = (Vector<T>, Vector<T>);
/// The arrays that are held, and all layers.
type Layers<'py, T> = (Vec<Array<'py>>, Vec<Layer<T>>);

/// The parameters of a network, to read.
pub(crate) enum Params<'py, T: Elem> {
    Flat(#[expect(dead_code, reason = "keeps it alive")] Array<'py>, Vector<T>),
    Layers(#[expect(dead_code, reason = "keeps them alive")] Vec<Array<'py>>, Vec<Layer<T>>),
    Packed(Bound<'py, PackedParams>),
}

/// The gradient of a network, to write.
pub(crate) enum Grads<'py, T: Elem> {
    Flat(Array<'py>, Vector<T>),
    Layers(
        Bound<'py, PyAny>,
        #[expect(dead_code, reason = "keeps them alive")] Vec<Array<'py>>,
        Vec<Layer<T>>,
    ),
}

impl<'py, T: Elem> Params<'py, T> {
    /// The parameters that an object is.
    pub(crate) fn new(given: &Bound<'py, PyAny>, mlp: &Mlp<T>) -> PyResult<Self> {
        if is_array(given) {
            return Self::flat(given);
        }
        if let Ok(packed) = given.cast::<PackedParams>() {
            return Ok(Self::Packed(packed.clone()));
        }
        match layers(given, mlp, Access::Read)? {
            Some((arrays, layers)) => Ok(Self::Layers(arrays, layers)),
            None => Self::flat(given),
        }
    }

    fn flat(given: &Bound<'py, PyAny>) -> PyResult<Self> {
        let array = Array::new("params", given)?;
        let vector = array.vector("params", Access::Read)?;
        Ok(Self::Flat(array, vector))
    }

    /// The bytes of Python's memory that they take.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = Bytes> + Clone {
        let (flat, layers): (_, &[Layer<T>]) = match self {
            Self::Flat(_, vector) => (Some(vector.bytes()), &[]),
            Self::Layers(_, layers) => (None, layers),
            Self::Packed(_) => (None, &[]),
        };
        flat.into_iter().chain(layers.iter().flat_map(|(w, b)| [w.bytes(), b.bytes()]))
    }

    /// Does something with them.
    ///
    /// # Safety
    /// Nothing writes their memory meanwhile.
    pub(crate) unsafe fn with<R>(&self, work: impl FnOnce(ParamsRef<'_, T>) -> PyResult<R>) -> PyResult<R> {
        match self {
            // SAFETY: the caller's promise; the arrays are held.
            Self::Flat(_, vector) => work(ParamsRef::Flat(unsafe { vector.slice() })),
            Self::Layers(_, layers) => {
                // SAFETY: as above.
                let layer =
                    |(w, b): &Layer<T>| unsafe { LayerParams { weights: w.slice(), bias: b.slice() } };
                let layers: Vec<_> = layers.iter().map(layer).collect();
                work(ParamsRef::Layers(&layers))
            }
            Self::Packed(packed) => {
                let packed: &RwLock<nablas::PackedParams<T>> = of::<T, _>("params", &packed.get().0)?;
                let packed = packed.try_read().map_err(|_| busy("params"))?;
                work(ParamsRef::Packed(&packed))
            }
        }
    }
}

impl<'py, T: Elem> Grads<'py, T> {
    /// The gradient that an object is, or a new flat one.
    pub(crate) fn new(py: Python<'py>, given: Option<&Bound<'py, PyAny>>, mlp: &Mlp<T>) -> PyResult<Self> {
        let array = match given {
            None => Array::empty::<T>(py, &mut [mlp.param_len() as isize])?,
            Some(given) if is_array(given) => Array::new("out", given)?,
            Some(given) => match layers(given, mlp, Access::Write)? {
                Some((arrays, layers)) => return Ok(Self::Layers(given.clone(), arrays, layers)),
                None => Array::new("out", given)?,
            },
        };
        let vector = array.vector("out", Access::Write)?;
        Ok(Self::Flat(array, vector))
    }

    /// Its bytes, and then `more`.
    pub(crate) fn bytes(&self, more: impl IntoIterator<Item = Bytes>) -> Vec<Bytes> {
        let (flat, layers): (_, &[Layer<T>]) = match self {
            Self::Flat(_, vector) => (Some(vector.bytes()), &[]),
            Self::Layers(_, _, layers) => (None, layers),
        };
        let layers = layers.iter().flat_map(|(w, b)| [w.bytes(), b.bytes()]);
        flat.into_iter().chain(layers).chain(more).collect()
    }

    /// Does something with it.
    ///
    /// # Safety
    /// Nothing else accesses its memory meanwhile.
    pub(crate) unsafe fn with<R>(
        &self,
        work: impl FnOnce(GradsMut<'_, '_, T>) -> PyResult<R>,
    ) -> PyResult<R> {
        match self {
            // SAFETY: the caller's promise; the arrays are held.
            Self::Flat(_, vector) => work(GradsMut::Flat(unsafe { vector.slice_mut() })),
            Self::Layers(_, _, layers) => {
                let layer = |(w, b): &Layer<T>| {
                    // SAFETY: as above; the caller has seen that they are disjoint.
                    unsafe { LayerGrads { weights: w.slice_mut(), bias: b.slice_mut() } }
                };
                let mut layers: Vec<_> = layers.iter().map(layer).collect();
                work(GradsMut::Layers(&mut layers))
            }
        }
    }

    /// For Python: what was given, or the new array.
    pub(crate) fn into_object(self) -> Bound<'py, PyAny> {
        match self {
            Self::Flat(array, _) => array.into_object(),
            Self::Layers(given, ..) => given,
        }
    }
}

/// The layers of a list or tuple: W and b in turns, or in pairs. `None` for anything else.
fn layers<'py, T: Elem>(
    given: &Bound<'py, PyAny>,
    mlp: &Mlp<T>,
    access: Access,
) -> PyResult<Option<Layers<'py, T>>> {
    let is_sequence =
        |value: &Bound<'py, PyAny>| value.cast::<PyList>().is_ok() || value.cast::<PyTuple>().is_ok();
    if !is_sequence(given) {
        return Ok(None);
    }
    let mut objects = Vec::new();
    for item in given.try_iter()? {
        let item = item?;
        if is_sequence(&item) {
            for part in item.try_iter()? {
                objects.push(part?);
            }
        } else {
            objects.push(item);
        }
    }
    let count = mlp.layers().len();
    if objects.len() != 2 * count {
        let (expected, got) = (2 * count, objects.len());
        let words = format!("W and b of {count} layers: expected {expected} arrays, got {got}");
        return Err(PyValueError::new_err(words));
    }
    let (mut arrays, mut layers) = (Vec::with_capacity(2 * count), Vec::with_capacity(count));
    for (pair, spec) in objects.chunks_exact(2).zip(mlp.layers()) {
        let (w, b) = (Array::new("W of a layer", &pair[0])?, Array::new("b of a layer", &pair[1])?);
        if w.shape() != [spec.outputs as isize, spec.inputs as isize] {
            let (expected, got) = ((spec.outputs, spec.inputs), w.shape());
            let words = format!("W of a layer: expected an array of shape {expected:?}, got {got:?}");
            return Err(PyValueError::new_err(words));
        }
        layers.push((w.elements("W of a layer", access)?, b.vector("b of a layer", access)?));
        arrays.extend([w, b]);
    }
    Ok(Some((arrays, layers)))
}
