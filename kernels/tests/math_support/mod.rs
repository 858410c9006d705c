//! Errors in ULP, and the functions applied to slices.

use nablas_kernels::{
    isa::{IsaToken, LaneKernel, Lanes, Real},
    math::Math,
};
use std::fmt;

/// What to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Exp,
    Expm1,
    Log1p,
    Tanh,
    /// The first of `tanh_d`.
    TanhOfPair,
    /// The second of `tanh_d`.
    TanhDerivative,
    Sigmoid,
    /// The first of `sigmoid_d`.
    SigmoidOfPair,
    /// The second of `sigmoid_d`.
    SigmoidDerivative,
    Erf,
    Sin,
    Cos,
    /// The first of `sin_cos`.
    SinCos,
}

impl Function {
    fn named(name: &str) -> Self {
        use Function::*;
        [Exp, Expm1, Log1p, Tanh, TanhDerivative, Sigmoid, SigmoidDerivative, Erf, Sin, Cos]
            .into_iter()
            .find(|f| format!("{f:?}") == name)
            .unwrap_or_else(|| panic!("no function {name}"))
    }
}

struct Map<'a, T> {
    function: Function,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Math> LaneKernel for Map<'_, T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        map(isa, self);
    }
}

#[inline(always)]
fn each<T: Math, I: Lanes<T>>(isa: I, x: &[T], y: &mut [T], f: impl Fn(I::V) -> I::V) {
    assert_eq!(x.len(), y.len());
    let mut i = 0;
    while i < x.len() {
        let n = (x.len() - i).min(I::LANES);
        // SAFETY: n elements are left of both slices, and n is at most LANES.
        unsafe { isa.store_partial(y.as_mut_ptr().add(i), f(isa.load_partial(x.as_ptr().add(i), n)), n) };
        i += n;
    }
}

#[inline(always)]
fn map<T: Math, I: Lanes<T>>(isa: I, Map { function, x, y }: Map<'_, T>) {
    match function {
        Function::Exp => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::exp(isa, v),
        ),
        Function::Expm1 => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::expm1(isa, v),
        ),
        Function::Log1p => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::log1p(isa, v),
        ),
        Function::Tanh => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::tanh(isa, v),
        ),
        Function::TanhOfPair => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::tanh_d(isa, v).0,
        ),
        Function::TanhDerivative => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::tanh_d(isa, v).1,
        ),
        Function::Sigmoid => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::sigmoid(isa, v),
        ),
        Function::SigmoidOfPair => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::sigmoid_d(isa, v).0,
        ),
        Function::SigmoidDerivative => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::sigmoid_d(isa, v).1,
        ),
        Function::Erf => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::erf(isa, v),
        ),
        Function::Sin => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::sin(isa, v),
        ),
        Function::Cos => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::cos(isa, v),
        ),
        Function::SinCos => each(
            isa,
            x,
            y,
            #[inline(always)]
            |v| T::sin_cos(isa, v).0,
        ),
    }
}

/// y = f(x) on one ISA, a vector at a time.
pub(crate) fn apply<T: Math>(isa: IsaToken, function: Function, x: &[T], y: &mut [T]) {
    isa.run(Map { function, x, y });
}

/// The bits, one NaN for all.
pub(crate) fn bits<T: Real>(x: T) -> Option<T::Bits> {
    (!x.to_f64().is_nan()).then(|| x.bits())
}

/// The spacing of numbers at `x` in a format of `mant` stored bits and least exponent `least`.
fn spacing(x: f64, mant: i32, least: i32) -> f64 {
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    match exponent.max(least) - mant {
        e @ -1022.. => f64::from_bits(((e + 1023) as u64) << 52),
        e => f64::from_bits(1 << (e + 1074)),
    }
}

/// |got − want| in units of the spacing of `f32` at `want`. An infinity stands for 2¹²⁸.
pub(crate) fn ulps_f32(got: f32, want: f64) -> f64 {
    if want.is_nan() || got.is_nan() {
        return if want.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let top = 2.0_f64.powi(128);
    let want = want.clamp(-top, top);
    let got = f64::from(got).clamp(-top, top);
    (got - want).abs() / spacing(want.abs().min(f64::from(f32::MAX)), 23, -126)
}

/// The same for `f64`, where `want` is itself rounded. Infinities must agree.
pub(crate) fn ulps_f64(got: f64, want: f64) -> f64 {
    if !(want.is_finite() && got.is_finite()) {
        let same = want.is_nan() && got.is_nan() || want == got;
        return if same { 0.0 } else { f64::INFINITY };
    }
    (got - want).abs() / spacing(want.abs(), 52, -1022)
}

/// The largest error and where it was.
#[derive(Debug, Default)]
pub(crate) struct Worst {
    pub(crate) ulps: f64,
    at: f64,
}

impl Worst {
    pub(crate) fn see(&mut self, x: f64, ulps: f64) {
        if ulps > self.ulps || ulps.is_nan() {
            (self.ulps, self.at) = (ulps, x);
        }
    }
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {:.3} ULP, at {:e}", self.ulps, self.at)
    }
}

/// The bit patterns of the `f32` within `reach` steps of each corner, of both signs.
pub(crate) fn neighbourhoods(corners: &[f64], reach: u32) -> impl Iterator<Item = u32> + '_ {
    corners.iter().flat_map(move |&x| {
        let bits = (x as f32).to_bits();
        (bits.saturating_sub(reach)..=bits + reach).flat_map(|b| [b, b | 1 << 31])
    })
}

/// An element type with arguments to try.
pub(crate) trait Sample: Real {
    /// Arguments of every magnitude, with specials among them.
    fn samples() -> Vec<Self>;
}

macro_rules! sample {
    ($t:ident, $step:literal) => {
        impl Sample for $t {
            fn samples() -> Vec<$t> {
                let mut x: Vec<$t> = (0..20_000).map(|i| $t::from_bits($step * i)).collect();
                x.extend((0..20_000).map(|i| (i - 10_000) as $t * 0.0123));
                x.extend([
                    0.0,
                    -0.0,
                    1.0,
                    -1.0,
                    $t::INFINITY,
                    $t::NEG_INFINITY,
                    $t::NAN,
                    $t::MAX,
                    $t::MIN_POSITIVE,
                ]);
                x
            }
        }
    };
}
sample!(f32, 214_741);
sample!(f64, 922_337_203_685_473);

/// A row of the table: f(x) = nearest + rest ULP.
pub(crate) struct Row {
    pub(crate) function: Function,
    pub(crate) x: f64,
    nearest: f64,
    rest: f64,
}

impl Row {
    /// |got − f(x)| in ULP.
    pub(crate) fn ulps(&self, got: f64) -> f64 {
        if self.nearest.is_infinite() || got.is_infinite() {
            return if self.nearest == got { 0.0 } else { f64::INFINITY };
        }
        ((got - self.nearest) / spacing(self.nearest.abs(), 52, -1022) - self.rest).abs()
    }
}

/// The table of correctly rounded values.
pub(crate) fn table() -> Vec<Row> {
    let number = |s: &str| f64::from_bits(u64::from_str_radix(s, 16).expect("hexadecimal bits"));
    include_str!("../data/math_f64.csv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let [function, x, nearest, rest] = cells[..] else { panic!("four cells, not {line}") };
            Row {
                function: Function::named(function),
                x: number(x),
                nearest: number(nearest),
                rest: rest.parse().expect("a decimal"),
            }
        })
        .collect()
}
