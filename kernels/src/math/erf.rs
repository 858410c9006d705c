//! erf x.
//!
//! Up to 1.25, x + x·P(x²); above, 1 − e^g(|x|) with g a minimax polynomial for ln erfc, weighted so that its
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
    /// erf(√t)/√t − 1 on [0, 1.25²].
    const NEAR: &'static [Self];
    /// ln erfc on [1.25, SATURATED].
    const FAR: &'static [Self];
}

impl ErfTable for f32 {
    const SATURATED: f32 = 4.0;
    const NEAR: &'static [f32] = &[
        0.128379166,
        -0.376126289,
        0.112836584,
        -0.0268594995,
        0.00520749856,
        -0.000832414604,
        0.000103171871,
        -7.42447401e-6,
    ];
    const FAR: &'static [f32] =
        &[-0.00558856269, -1.10839558, -0.665535152, -0.0819954351, 0.0128170634, -0.000922853535];
}

impl ErfTable for f64 {
    const SATURATED: f64 = 6.0;
    const NEAR: &'static [f64] = &[
        0.12837916709551259,
        -0.37612638903184004,
        0.1128379167096358,
        -0.026866170646251703,
        0.0052239776331497048,
        -0.00085483273376000526,
        0.00012055341125804434,
        -1.4925789467449721e-5,
        1.646369049002919e-6,
        -1.6377338675520941e-7,
        1.4855106569816635e-8,
        -1.23443738118948e-9,
        8.9381389832707937e-11,
        -4.234900607980122e-12,
    ];
    const FAR: &'static [f64] = &[
        -4.3816836383364712e-6,
        -1.1283417256355879,
        -0.63676945800245643,
        -0.10240073854578906,
        0.018485667031691098,
        0.001028742842193329,
        -0.0024922675223296386,
        0.0011882650911798189,
        -0.00037310896784783988,
        8.7073488704436617e-5,
        -1.5454833467574269e-5,
        2.0647300031172006e-6,
        -2.0073542093441524e-7,
        1.3324999807998689e-8,
        -5.3423856272959656e-10,
        9.5777059883506358e-12,
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

    flip(isa, isa.select(isa.lt(a, isa.splat(T::from_f64(1.25))), near, far), sign(isa, x))
}
