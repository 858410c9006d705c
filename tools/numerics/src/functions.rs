//! What is measured: each function by MPFR, and where its table ends.

use crate::table::{BITS, Exact, Multiple, Table};
use pulp::Arch;
use rug::{Float, float::Constant};

/// Beyond its table a function is this, to more digits than a double has: exactly, or but for what takes its size down.
#[derive(Clone, Copy)]
enum Beyond {
    Constant(f64),
    Below(f64),
    Itself,
    BelowItself,
}

impl Beyond {
    fn at(self, x: f64) -> Exact {
        match self {
            Self::Constant(c) => Exact::of(c),
            Self::Below(c) => Exact::just_below(c),
            Self::Itself => Exact::of(x),
            Self::BelowItself => Exact::just_below(x),
        }
    }
}

/// A function, as the tables and MPFR have it.
pub(crate) struct Reference {
    pub(crate) multiple: Multiple,
    negative: Option<Table>,
    positive: Option<Table>,
    ends: (f64, f64),
    beyond: (Beyond, Beyond),
    /// ln, for ln(1 + x) next to −1, where 1 + x is exact.
    logarithm: Option<Table>,
    /// By the standard library and MPFR alone: sin, cos.
    periodic: Option<fn(f64) -> f64>,
}

/// Constants by their digits.
fn number(digits: &str) -> Float {
    Float::with_val(BITS, Float::parse(digits).expect("a number"))
}

fn same(x: &Float) -> Float {
    Float::with_val(BITS, x)
}

fn sigmoid(x: &Float) -> Float {
    (Float::with_val(BITS, -x).exp() + 1u32).recip()
}

fn both_sigmoids(x: &Float) -> Float {
    sigmoid(x) * sigmoid(&Float::with_val(BITS, -x))
}

fn sech2(x: &Float) -> Float {
    same(x).sech().square()
}

fn softplus(x: &Float) -> Float {
    same(x).exp().ln_1p()
}

/// Φ.
fn normal(x: &Float) -> Float {
    if *x < -8 { left_tail(x) } else { by_erfc(x) }
}

fn by_erfc(x: &Float) -> Float {
    let root = Float::with_val(BITS, 2).sqrt();
    (Float::with_val(BITS, -x) / root).erfc() / 2u32
}

/// Φ far left, where MPFR's series takes milliseconds: φ(x) over Laplace's continued fraction (Abramowitz and Stegun 26.2.14).
fn left_tail(x: &Float) -> Float {
    let x = Float::with_val(BITS, -x);
    // Its error falls like e^(−2x·√n·√2).
    let terms = 40 + (16_000.0 / x.to_f64().powi(2)) as u32;
    let fraction = (1..=terms).rev().fold(x.clone(), |below, n| Float::with_val(BITS, n) / below + &x);
    density(&x) / fraction
}

/// By how much the tail is another than MPFR's, relative.
pub(crate) fn tail_is_off() -> f64 {
    let off = |i: i32| {
        let x = Float::with_val(BITS, -8.01 - 0.7 * f64::from(i));
        let sure = by_erfc(&x);
        (Float::with_val(BITS, left_tail(&x) - &sure) / sure).abs().to_f64()
    };
    (0..44).map(off).fold(0.0, f64::max)
}

/// φ.
fn density(x: &Float) -> Float {
    let tau = Float::with_val(BITS, Constant::Pi) * 2u32;
    (-(same(x).square() / 2u32)).exp() / tau.sqrt()
}

/// 2u of GELU by tanh, and its derivative.
fn inner(x: &Float) -> (Float, Float) {
    let c = (Float::with_val(BITS, 8) / Float::with_val(BITS, Constant::Pi)).sqrt();
    let cubic = number("0.044715");
    let square = same(x).square();
    let u = (Float::with_val(BITS, &square * &cubic) + 1u32) * x;
    let slope = square * cubic * 3u32 + 1u32;
    (u * &c, slope * c)
}

fn is_right(x: &Float) -> bool {
    x.is_sign_positive()
}

fn elu(x: &Float) -> Float {
    if is_right(x) { same(x) } else { same(x).exp_m1() }
}

fn elu_slope(x: &Float) -> Float {
    if is_right(x) { Float::with_val(BITS, 1) } else { same(x).exp() }
}

fn selu_by(x: Float, right: bool) -> Float {
    let scaled = x * number("1.0507009873554804934193349852946");
    if right { scaled } else { scaled * number("1.6732632423543772848170429916717") }
}

fn selu(x: &Float) -> Float {
    selu_by(elu(x), is_right(x))
}

fn selu_slope(x: &Float) -> Float {
    selu_by(elu_slope(x), is_right(x))
}

fn silu(x: &Float) -> Float {
    sigmoid(x) * x
}

fn silu_slope(x: &Float) -> Float {
    sigmoid(x) * (sigmoid(&Float::with_val(BITS, -x)) * x + 1u32)
}

fn gelu(x: &Float) -> Float {
    normal(x) * x
}

fn gelu_slope(x: &Float) -> Float {
    normal(x) + density(x) * x
}

fn gelu_tanh(x: &Float) -> Float {
    sigmoid(&inner(x).0) * x
}

fn gelu_tanh_slope(x: &Float) -> Float {
    let (u, slope) = inner(x);
    sigmoid(&u) + both_sigmoids(&u) * slope * x
}

fn mish(x: &Float) -> Float {
    softplus(x).tanh() * x
}

fn mish_slope(x: &Float) -> Float {
    let inner = softplus(x);
    sech2(&inner) * sigmoid(x) * x + inner.tanh()
}

fn hard_swish(x: &Float) -> Float {
    match x.to_f64() {
        ..=-3.0 => Float::with_val(BITS, 0),
        3.0.. => same(x),
        _ => same(x) * (same(x) + 3u32) / 6u32,
    }
}

fn hard_swish_slope(x: &Float) -> Float {
    match x.to_f64() {
        ..=-3.0 => Float::with_val(BITS, 0),
        3.0.. => Float::with_val(BITS, 1),
        _ => (same(x) * 2u32 + 3u32) / 6u32,
    }
}

fn softsign(x: &Float) -> Float {
    same(x) / (same(x).abs() + 1u32)
}

fn softsign_slope(x: &Float) -> Float {
    (same(x).abs() + 1u32).square().recip()
}

impl Reference {
    fn new(multiple: Multiple, ends: (f64, f64), beyond: (Beyond, Beyond)) -> Self {
        let side = |end: f64| (end != 0.0).then(|| Table::new(multiple, end));
        let (negative, positive) = (side(ends.0), side(ends.1));
        Self { multiple, negative, positive, ends, beyond, logarithm: None, periodic: None }
    }

    /// f(x), |x| finite and above 0, to about the last digit of a double; `None` where that is not to be had so.
    pub(crate) fn quick(&self, x: f64) -> Option<f64> {
        if let Some(f) = self.periodic {
            return Some(f(x));
        }
        match self.find(x) {
            Ok((table, x)) => table.quick(x),
            Err(beyond) => Some(beyond.high),
        }
    }

    /// The same of numbers of one sign in order, NaN where it is not to be had.
    pub(crate) fn quick_all(&self, arch: Arch, x: &[f64], out: &mut [f64]) {
        if self.periodic.is_none()
            && let (Ok((table, first)), Ok((other, _))) = (self.find(x[0]), self.find(x[x.len() - 1]))
            && core::ptr::eq(table, other)
            && first == x[0]
            && table.quick_run(arch, x, out)
        {
            return;
        }
        for (x, out) in x.iter().zip(out) {
            *out = self.quick(*x).unwrap_or(f64::NAN);
        }
    }

    /// The same to about twice the digits.
    pub(crate) fn exact(&self, x: f64) -> Exact {
        if self.periodic.is_some() {
            let near = self.by_multiple(x);
            // Which of sin x = x and cos x = 1 has no digits left to show.
            let low = if x.abs() < 1e-30 { -near.high.signum() * f64::MIN_POSITIVE } else { near.low };
            return Exact { low, ..near };
        }
        match self.find(x) {
            Ok((table, x)) => table.exact(x),
            Err(beyond) => beyond,
        }
    }

    /// By MPFR itself.
    pub(crate) fn by_multiple(&self, x: f64) -> Exact {
        Exact::rounded(&(self.multiple)(&Float::with_val(53, x)))
    }

    fn find(&self, x: f64) -> Result<(&Table, f64), Exact> {
        if let Some(table) = self.logarithm.as_ref().filter(|_| x <= -0.5) {
            // 1 + x is at most ½, and exact.
            return match 1.0 + x {
                0.0 => Err(Exact::of(f64::NEG_INFINITY)),
                ..0.0 => Err(Exact::of(f64::NAN)),
                moved => Ok((table, moved)),
            };
        }
        match (x < 0.0, &self.negative, &self.positive) {
            (true, Some(table), _) if x >= self.ends.0 => Ok((table, x)),
            (false, _, Some(table)) if x <= self.ends.1 => Ok((table, x)),
            (true, ..) => Err(self.beyond.0.at(x)),
            (false, ..) => Err(self.beyond.1.at(x)),
        }
    }

    /// |f' − g|, relative, where f' is a difference of f by MPFR and g this: whether it is the derivative.
    pub(crate) fn off_as_derivative(&self, of: &Reference, x: f64) -> f64 {
        let h = Float::with_val(BITS, 1) >> 80;
        let moved = |h: &Float| (of.multiple)(&(Float::with_val(BITS, h) + x));
        let slope = (moved(&h) - moved(&Float::with_val(BITS, -&h))) / (Float::with_val(BITS, &h * 2u32));
        let stated = (self.multiple)(&Float::with_val(53, x));
        let scale = Float::with_val(BITS, stated.abs_ref()) + 1e-60;
        Float::with_val(BITS, (slope - stated) / scale).abs().to_f64()
    }
}

const ZERO: Beyond = Beyond::Constant(0.0);
const ONE: Beyond = Beyond::Constant(1.0);
const BELOW_ONE: Beyond = Beyond::Below(1.0);
const INFINITE: Beyond = Beyond::Constant(f64::INFINITY);
use Beyond::{BelowItself, Itself};

/// A function by its name here.
pub(crate) fn reference(name: &str) -> Reference {
    let new = Reference::new;
    let minus = Beyond::Below(-1.0);
    match name {
        "exp" => new(|x| same(x).exp(), (-750.0, 711.0), (ZERO, INFINITE)),
        "expm1" => new(|x| same(x).exp_m1(), (-80.0, 711.0), (minus, INFINITE)),
        "log1p" => {
            let tables = new(|x| same(x).ln_1p(), (-0.499_999_999_999_999_94, f64::MAX), (ZERO, ZERO));
            Reference { logarithm: Some(Table::new(|x| same(x).ln(), 0.5)), ..tables }
        }
        "tanh" => new(|x| same(x).tanh(), (-60.0, 60.0), (minus, BELOW_ONE)),
        "tanh'" => new(sech2, (-376.0, 376.0), (ZERO, ZERO)),
        "sigmoid" => new(sigmoid, (-750.0, 90.0), (ZERO, BELOW_ONE)),
        "sigmoid'" => new(both_sigmoids, (-750.0, 750.0), (ZERO, ZERO)),
        "erf" => new(|x| same(x).erf(), (-8.0, 8.0), (minus, BELOW_ONE)),
        "sin" => periodic(|x| Float::with_val(enough(x), x).sin(), f64::sin),
        "cos" => periodic(|x| Float::with_val(enough(x), x).cos(), f64::cos),
        "elu" => new(elu, (-80.0, 0.0), (minus, Itself)),
        "elu'" => new(elu_slope, (-750.0, 0.0), (ZERO, ONE)),
        "selu" => new(selu, (-f64::MAX, f64::MAX), (minus, INFINITE)),
        "selu'" => new(selu_slope, (-750.0, f64::MAX), (ZERO, ONE)),
        "softplus" => new(softplus, (-750.0, 64.0), (ZERO, Itself)),
        "silu" => new(silu, (-760.0, 90.0), (ZERO, BelowItself)),
        "silu'" => new(silu_slope, (-760.0, 100.0), (ZERO, ONE)),
        "gelu" => new(gelu, (-39.5, 18.0), (ZERO, BelowItself)),
        "gelu'" => new(gelu_slope, (-39.5, 18.0), (ZERO, ONE)),
        "gelu_tanh" => new(gelu_tanh, (-23.0, 12.0), (ZERO, BelowItself)),
        "gelu_tanh'" => new(gelu_tanh_slope, (-23.0, 12.0), (ZERO, ONE)),
        "mish" => new(mish, (-760.0, 64.0), (ZERO, BelowItself)),
        "mish'" => new(mish_slope, (-760.0, 64.0), (ZERO, ONE)),
        "hard_swish" => new(hard_swish, (-3.0, 3.0), (ZERO, Itself)),
        "hard_swish'" => new(hard_swish_slope, (-3.0, 3.0), (ZERO, ONE)),
        "softsign" => new(softsign, (-f64::MAX, f64::MAX), (minus, BELOW_ONE)),
        "softsign'" => new(softsign_slope, (-1e170, 1e170), (ZERO, ZERO)),
        other => panic!("no function {other}"),
    }
}

/// Bits that show what a sine and a cosine are but for x and 1.
fn enough(x: &Float) -> u32 {
    if x.get_exp() < Some(-20) { BITS } else { 128 }
}

fn periodic(multiple: Multiple, quick: fn(f64) -> f64) -> Reference {
    let (negative, positive, ends, beyond) = (None, None, (0.0, 0.0), (ZERO, ZERO));
    Reference { multiple, negative, positive, ends, beyond, logarithm: None, periodic: Some(quick) }
}
