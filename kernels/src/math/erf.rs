//! erf x.
//!
//! Up to 1, x + x·P(x²); above, 1 − e^g(|x|) with g a minimax polynomial for ln erfc, weighted so that its
//! error counts for as much as erfc does beside 1.

use super::{
    exp::{ExpTable, power, reduce},
    format::{at_most, flip, polynomial, sign},
};
use crate::isa::Lanes;

/// Constants of erf.
pub trait ErfTable: ExpTable {
    /// erf rounds to 1 from here up.
    const SATURATED: Self;
    /// erf(√t)/√t − 1 on [0, 1].
    const NEAR: &'static [Self];
    /// ln erfc on [1, SATURATED].
    const FAR: &'static [Self];
}

impl ErfTable for f32 {
    const SATURATED: f32 = 4.0;
    const NEAR: &'static [f32] =
        &[0.128379166, -0.37612626, 0.112835854, -0.0268538129, 0.00518832775, -0.00080101908, 7.85384545e-5];
    const FAR: &'static [f32] = &[
        -0.000341599982,
        -1.1270889,
        -0.638145268,
        -0.103106409,
        0.0218379125,
        -0.00294762244,
        0.000186375604,
    ];
}

impl ErfTable for f64 {
    const SATURATED: f64 = 6.0;
    const NEAR: &'static [f64] = &[
        0.12837916709551259,
        -0.37612638903183748,
        0.11283791670954857,
        -0.026866170645072896,
        0.0052239776247808645,
        -0.00085483269787418751,
        0.00012055331036883809,
        -1.492559350646698e-5,
        1.6460972809954658e-6,
        -1.6350025147042083e-7,
        1.4657879336893816e-8,
        -1.1365664033001012e-9,
        5.945258530820721e-11,
    ];
    const FAR: &'static [f64] = &[
        -5.0281147114563363e-7,
        -1.1283740898253769,
        -0.63664362661521612,
        -0.10270344332830693,
        0.018990185607477839,
        0.00041061924350372682,
        -0.0019159350827248631,
        0.00077063727783855892,
        -0.00013504714294279606,
        -2.0267984675448768e-5,
        2.2822906054780661e-5,
        -8.6672510661154194e-6,
        2.1356887232609984e-6,
        -3.7330306301649574e-7,
        4.6422645820008534e-8,
        -3.934212668679308e-9,
        2.0449221499345132e-10,
        -4.9284800813691631e-12,
    ];
}

/// erf x.
#[inline(always)]
pub(super) fn erf<T: ErfTable, I: Lanes<T>>(isa: I, x: I::V) -> I::V {
    let one = isa.splat(T::ONE);
    let a = at_most(isa, isa.abs(x), T::SATURATED);
    let near = isa.fma(a, polynomial(isa, isa.mul(a, a), T::NEAR), a);

    let (t, r) = reduce(isa, polynomial(isa, a, T::FAR), T::MAGIC + T::BIAS);
    let p = isa.fma(r, polynomial(isa, r, T::Q), one);
    let far = isa.nfma(p, power(isa, isa.to_bits(t)), one);

    flip(isa, isa.select(isa.lt(a, one), near, far), sign(isa, x))
}
