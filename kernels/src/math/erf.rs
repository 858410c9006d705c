//! erf x.
//!
//! Up to 1, x + x·P(x²); above, 1 − e^g(|x|)/8 with g a minimax polynomial for ln(8·erfc), weighted so that
//! its error counts for as much as erfc does beside 1. The 8 keeps g small where that is most.

use super::{
    exp::{ExpTable, power, reduce},
    format::{at_most, flip, polynomial, sign},
};
use crate::isa::Arith;

/// Constants of erf.
pub trait ErfTable: ExpTable {
    /// erf rounds to 1 from here up.
    const SATURATED: Self;
    /// erf(√t)/√t − 1 on [0, 1].
    const NEAR: &'static [Self];
    /// ln(8·erfc) on [1, SATURATED].
    const FAR: &'static [Self];
}

impl ErfTable for f32 {
    const SATURATED: f32 = 4.0;
    const NEAR: &'static [f32] =
        &[0.128379166, -0.37612626, 0.112835787, -0.0268533472, 0.0051871622, -0.000799785252, 7.80689807e-5];
    const FAR: &'static [f32] =
        &[2.07909989, -1.12708867, -0.638145745, -0.103105918, 0.0218376387, -0.00294754561, 0.00018636715];
}

impl ErfTable for f64 {
    const SATURATED: f64 = 6.0;
    const NEAR: &'static [f64] = &[
        0.12837916709551259,
        -0.37612638903183748,
        0.11283791670954857,
        -0.026866170645072896,
        0.005223977624780861,
        -0.00085483269787416626,
        0.0001205533103687557,
        -1.4925593506264778e-5,
        1.6460972806712216e-6,
        -1.6350025113093609e-7,
        1.4657879112959238e-8,
        -1.1365663187608573e-9,
        5.945257137431169e-11,
    ];
    const FAR: &'static [f64] = &[
        2.0794410388683646,
        -1.1283740898253753,
        -0.63664362661522311,
        -0.10270344332828747,
        0.018990185607440348,
        0.00041061924355679781,
        -0.0019159350827820186,
        0.00077063727788639089,
        -0.00013504714297428609,
        -2.0267984659047279e-5,
        2.2822906048022341e-5,
        -8.6672510639248448e-6,
        2.1356887227093199e-6,
        -3.7330306291081091e-7,
        4.6422645805135939e-8,
        -3.9342126672305244e-9,
        2.0449221490622486e-10,
        -4.9284800789252354e-12,
    ];
}

/// erf x.
#[inline(always)]
pub(super) fn erf<T: ErfTable, I: Arith<T>>(isa: I, x: I::V) -> I::V {
    let one = isa.splat(T::ONE);
    let a = at_most(isa, isa.abs(x), T::SATURATED);
    let near = isa.fma(a, polynomial(isa, isa.mul(a, a), T::NEAR), a);

    let (t, r) = reduce(isa, polynomial(isa, a, T::FAR), T::MAGIC + T::BIAS - T::from_f64(3.0));
    let p = isa.fma(r, polynomial(isa, r, T::Q), one);
    let far = isa.nfma(p, power(isa, isa.to_bits(t)), one);

    flip(isa, isa.select(isa.lt(a, one), near, far), sign(isa, x))
}
