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
        narrow::{FoldLanes, NarrowForward, NarrowInputVjp, NarrowWeightVjp},
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

/// An element type that every operation of this crate is compiled for: `f32` or `f64`.
pub trait Kernels:
    Math
    + for<'a> Entry<act::Value<'a, Self>>
    + for<'a> Entry<act::Forward<'a, Self>>
    + for<'a> Entry<act::Vjp<'a, Self>>
    + for<'a> Entry<ColumnSums<'a, Self>>
    + for<'a> Entry<ClassCrossEntropy<'a, Self>>
    + for<'a> Entry<CrossEntropy<'a, Self>>
    + for<'a> Entry<Pointwise<'a, Self, Mse>>
    + for<'a> Entry<Pointwise<'a, Self, L1>>
    + for<'a> Entry<Pointwise<'a, Self, Huber<Self>>>
    + for<'a> Entry<Pointwise<'a, Self, BceWithLogits>>
    + for<'a> Entry<Sgd<'a, Self>>
    + for<'a> Entry<SgdMomentum<'a, Self>>
    + for<'a> Entry<Adam<'a, Self>>
    + for<'a> Entry<Scale<'a, Self>>
    + for<'a> Entry<SquareSum<'a, Self>>
    + Entry<ForwardRows<Self>>
    + Entry<BackwardRows<Self>>
    + Entry<Vouched<PackPanels<Self>>>
    + Entry<Vouched<Block<Self, Plain<Self>>>>
    + Entry<Vouched<ForwardBlock<Self>>>
    + Entry<Vouched<InputVjpBlock<Self>>>
    + Entry<Vouched<ForwardTile<Self>>>
    + Entry<Vouched<ForwardTurned<Self>>>
    + Entry<Vouched<InputVjpTile<Self>>>
    + Entry<Vouched<WeightVjpTile<Self>>>
    + Entry<Vouched<WeightVjpTurned<Self>>>
    + Entry<Vouched<FoldSlots<Self>>>
    + Entry<Vouched<CopyRows<Self>>>
    + Entry<Vouched<NarrowForward<Self>>>
    + Entry<Vouched<NarrowInputVjp<Self>>>
    + Entry<Vouched<NarrowWeightVjp<Self>>>
    + Entry<Vouched<FoldLanes<Self>>>
    + Entry<Vouched<FewWeightVjp<Self>>>
{
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

entries! { f32:
    ['a] act::Value<'a, f32>,
    ['a] act::Forward<'a, f32>,
    ['a] act::Vjp<'a, f32>,
    ['a] ColumnSums<'a, f32>,
    ['a] ClassCrossEntropy<'a, f32>,
    ['a] CrossEntropy<'a, f32>,
    ['a] Pointwise<'a, f32, Mse>,
    ['a] Pointwise<'a, f32, L1>,
    ['a] Pointwise<'a, f32, Huber<f32>>,
    ['a] Pointwise<'a, f32, BceWithLogits>,
    ['a] Sgd<'a, f32>,
    ['a] SgdMomentum<'a, f32>,
    ['a] Adam<'a, f32>,
    ['a] Scale<'a, f32>,
    ['a] SquareSum<'a, f32>,
    [] ForwardRows<f32>,
    [] BackwardRows<f32>,
    [] Vouched<PackPanels<f32>>,
    [] Vouched<Block<f32, Plain<f32>>>,
    [] Vouched<ForwardBlock<f32>>,
    [] Vouched<InputVjpBlock<f32>>,
    [] Vouched<ForwardTile<f32>>,
    [] Vouched<ForwardTurned<f32>>,
    [] Vouched<InputVjpTile<f32>>,
    [] Vouched<WeightVjpTile<f32>>,
    [] Vouched<WeightVjpTurned<f32>>,
    [] Vouched<FoldSlots<f32>>,
    [] Vouched<CopyRows<f32>>,
    [] Vouched<NarrowForward<f32>>,
    [] Vouched<NarrowInputVjp<f32>>,
    [] Vouched<NarrowWeightVjp<f32>>,
    [] Vouched<FoldLanes<f32>>,
    [] Vouched<FewWeightVjp<f32>>,
}

entries! { f64:
    ['a] act::Value<'a, f64>,
    ['a] act::Forward<'a, f64>,
    ['a] act::Vjp<'a, f64>,
    ['a] ColumnSums<'a, f64>,
    ['a] ClassCrossEntropy<'a, f64>,
    ['a] CrossEntropy<'a, f64>,
    ['a] Pointwise<'a, f64, Mse>,
    ['a] Pointwise<'a, f64, L1>,
    ['a] Pointwise<'a, f64, Huber<f64>>,
    ['a] Pointwise<'a, f64, BceWithLogits>,
    ['a] Sgd<'a, f64>,
    ['a] SgdMomentum<'a, f64>,
    ['a] Adam<'a, f64>,
    ['a] Scale<'a, f64>,
    ['a] SquareSum<'a, f64>,
    [] ForwardRows<f64>,
    [] BackwardRows<f64>,
    [] Vouched<PackPanels<f64>>,
    [] Vouched<Block<f64, Plain<f64>>>,
    [] Vouched<ForwardBlock<f64>>,
    [] Vouched<InputVjpBlock<f64>>,
    [] Vouched<ForwardTile<f64>>,
    [] Vouched<ForwardTurned<f64>>,
    [] Vouched<InputVjpTile<f64>>,
    [] Vouched<WeightVjpTile<f64>>,
    [] Vouched<WeightVjpTurned<f64>>,
    [] Vouched<FoldSlots<f64>>,
    [] Vouched<CopyRows<f64>>,
    [] Vouched<NarrowForward<f64>>,
    [] Vouched<NarrowInputVjp<f64>>,
    [] Vouched<NarrowWeightVjp<f64>>,
    [] Vouched<FoldLanes<f64>>,
    [] Vouched<FewWeightVjp<f64>>,
}
