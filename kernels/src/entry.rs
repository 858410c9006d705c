//! Entry points: each operation compiled once, here, for each element type and ISA.
//!
//! A kernel is generic code; run from generic code of another crate it would be compiled anew in every crate and
//! test that uses it, minutes each time. [`Entry`] is the door, [`Kernels`] the list of what is behind it.

use crate::{
    act::{self, BackwardRows, ForwardRows},
    gemm::{
        blocked::Block,
        dense::{FoldSlots, ForwardBlock, ForwardTile, InputVjpBlock, InputVjpTile, WeightVjpTile},
        epilogue::Plain,
        narrow::{FoldLanes, NarrowWeightVjp},
        narrow_few::FewWeightVjp,
        pack::{CopyRows, PackPanels},
        turned::{ForwardTurned, WeightVjpTurned},
    },
    isa::{IsaToken, LaneKernel, Real, Vouched},
    loss::{BceWithLogits, ClassCrossEntropy, CrossEntropy, Huber, L1, Mse, Pointwise},
    math::Math,
    optim::{Adam, Scale, Sgd, SgdMomentum},
    reduce::{ColumnSums, SquareSum},
};

/// An operation `K` that is compiled for this element type.
pub trait Entry<K: LaneKernel<Elem = Self>>: Real {
    /// Runs it on an ISA.
    fn enter(isa: IsaToken, kernel: K) -> K::Output;
}

macro_rules! kernels {
    ($([$($l:lifetime)?] $k:ty,)*) => {
        /// An element type that every operation of this crate is compiled for: `f32` or `f64`.
        pub trait Kernels: Math $(+ $(for<$l>)? Entry<$k>)* {}

        entries! { f32: $([$($l)?] $k,)* }
        entries! { f64: $([$($l)?] $k,)* }
    };
}

macro_rules! entries {
    ($t:ident: $([$($l:lifetime)?] $k:ty,)*) => {
        $(
            impl$(<$l>)? Entry<$k> for $t {
                // Not inlined: inlined, it would be compiled elsewhere after all.
                #[inline(never)]
                fn enter(isa: IsaToken, kernel: $k) -> <$k as LaneKernel>::Output {
                    isa.run(kernel)
                }
            }
        )*
        impl Kernels for $t {}
    };
}

// `Self` is the element type: in the bounds of the trait as in what implements them.
kernels! {
    ['a] act::Value<'a, Self>,
    ['a] act::Forward<'a, Self>,
    ['a] act::Vjp<'a, Self>,
    ['a] ColumnSums<'a, Self>,
    ['a] ClassCrossEntropy<'a, Self>,
    ['a] CrossEntropy<'a, Self>,
    ['a] Pointwise<'a, Self, Mse>,
    ['a] Pointwise<'a, Self, L1>,
    ['a] Pointwise<'a, Self, Huber<Self>>,
    ['a] Pointwise<'a, Self, BceWithLogits>,
    ['a] Sgd<'a, Self>,
    ['a] SgdMomentum<'a, Self>,
    ['a] Adam<'a, Self>,
    ['a] Scale<'a, Self>,
    ['a] SquareSum<'a, Self>,
    [] ForwardRows<Self>,
    [] BackwardRows<Self>,
    [] Vouched<PackPanels<Self>>,
    [] Vouched<Block<Self, Plain<Self>>>,
    [] Vouched<ForwardBlock<Self>>,
    [] Vouched<InputVjpBlock<Self>>,
    [] Vouched<ForwardTile<Self>>,
    [] Vouched<ForwardTurned<Self>>,
    [] Vouched<InputVjpTile<Self>>,
    [] Vouched<WeightVjpTile<Self>>,
    [] Vouched<WeightVjpTurned<Self>>,
    [] Vouched<FoldSlots<Self>>,
    [] Vouched<CopyRows<Self>>,
    [] Vouched<NarrowWeightVjp<Self>>,
    [] Vouched<FoldLanes<Self>>,
    [] Vouched<FewWeightVjp<Self>>,
}
