//! Flex' tensors as nablas reads them, where they lie.

use burn::{
    backend::{Flex, tensor::FloatTensor},
    tensor::{DType, TensorData},
};
use nablas::{MatRef, Scalar};

/// A tensor of Flex.
pub(crate) type Flat = FloatTensor<Flex>;

/// An element type that Flex and nablas both have: `f32` or `f64`.
pub trait Element: Scalar + burn::tensor::Element {
    /// All elements that a tensor of this type has in its memory.
    #[doc(hidden)]
    fn storage(tensor: &FloatTensor<Flex>) -> &[Self];

    /// The same, to be written: copied first if another tensor shares them.
    #[doc(hidden)]
    fn storage_mut(tensor: &mut FloatTensor<Flex>) -> &mut [Self];
}

macro_rules! element {
    ($t:ident) => {
        impl Element for $t {
            fn storage(tensor: &Flat) -> &[Self] {
                tensor.storage::<Self>()
            }
            fn storage_mut(tensor: &mut Flat) -> &mut [Self] {
                tensor.storage_mut::<Self>()
            }
        }
    };
}
element!(f32);
element!(f64);

/// Whether nablas has this type.
pub(crate) fn has(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64)
}

/// A tensor of new elements.
pub(crate) fn made<T: Element, const N: usize>(elements: Vec<T>, shape: [usize; N]) -> Flat {
    Flat::from_data(TensorData::new(elements, shape))
}

/// The tensor itself if nablas can read it where it lies, else a copy: where an axis runs backwards, or where adjacent
/// elements are asked for and they are not.
pub(crate) fn readable(tensor: Flat, adjacent: bool) -> Flat {
    let layout = tensor.layout();
    let fits = if adjacent { layout.contiguous_offsets().is_some() } else { layout.has_positive_strides() };
    if fits { tensor } else { tensor.to_contiguous() }
}

/// A matrix whose elements are adjacent in each row: the tensor itself if it is that, else a copy.
pub(crate) fn rows(tensor: Flat) -> Flat {
    let adjacent = matches!(tensor.layout().as_2d_strides(), Some((.., rs, 1)) if rs >= 0);
    if adjacent { tensor } else { tensor.to_contiguous() }
}

/// The elements of a readable tensor, one after another.
pub(crate) fn slice<T: Element>(tensor: &Flat) -> &[T] {
    match tensor.layout().contiguous_offsets() {
        Some((start, end)) => &T::storage(tensor)[start..end],
        None => &[],
    }
}

/// A readable matrix where it lies.
pub(crate) fn matrix<T: Element>(tensor: &Flat) -> nablas::Result<MatRef<'_, T>> {
    let layout = tensor.layout();
    let Some((rows, cols, rs, cs)) = layout.as_2d_strides() else {
        return Err(nablas::Error::Parameter {
            what: "axes of a matrix",
            expected: "2",
            got: layout.num_dims() as f64,
        });
    };
    // An empty view may start beyond its memory.
    let data = T::storage(tensor).get(layout.start_offset()..).unwrap_or_default();
    MatRef::with_strides(data, rows, cols, rs, cs)
}
