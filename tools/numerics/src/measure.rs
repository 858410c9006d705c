//! Errors in ULP: every `f32`, samples of `f64`.

use crate::{
    functions::Reference,
    table::{exponent, power, scaled},
};
use nablas_kernels::{
    act::{Activation, Forward},
    isa::IsaToken,
    math::Math,
};
use pulp::{Arch, Simd, WithSimd};

#[path = "../../../kernels/tests/math_support/mod.rs"]
#[expect(dead_code, reason = "tests need more of it")]
mod math_support;

pub(crate) use math_support::Function;

/// What is run: a function of `Math`, or an activation with its derivative.
#[derive(Clone, Copy)]
pub(crate) enum Kernel {
    One(Function),
    Both(Activation<f64>),
}

impl Kernel {
    fn run<T: Math>(self, isa: IsaToken, z: &[T], out: &mut [Vec<T>; 2]) {
        let [a, d] = out;
        match self {
            Self::One(function) => math_support::apply(isa, function, z, a),
            Self::Both(act) => {
                let act = act.map(T::from_f64);
                isa.run(Forward { act, z, a, d });
            }
        }
    }
}

/// What was seen: the largest error of normal results and where, the largest of subnormal ones, and how many of the normal
/// ones that are no limit are the nearest number.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) ulps: f64,
    pub(crate) at: f64,
    pub(crate) subnormal: f64,
    right: u64,
    all: u64,
}

impl Seen {
    /// `limit` is what the function gives at the infinity of this side.
    fn see<T: Format>(&mut self, x: f64, got: T, limit: T, Error { ulps, right, subnormal }: Error) {
        if subnormal {
            self.subnormal = if ulps > self.subnormal || ulps.is_nan() { ulps } else { self.subnormal };
            return;
        }
        // Where all are NaN, or the limit and right, there is nothing to round.
        if !(got.to_f64().is_nan() || right && got == limit) {
            self.all += 1;
            self.right += u64::from(right);
        }
        if ulps > self.ulps || ulps.is_nan() {
            (self.ulps, self.at) = (ulps, x);
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        let worse = if other.ulps > self.ulps || other.ulps.is_nan() { other } else { self };
        let subnormal = if other.subnormal > self.subnormal || other.subnormal.is_nan() {
            other.subnormal
        } else {
            self.subnormal
        };
        Self { subnormal, right: self.right + other.right, all: self.all + other.all, ..worse }
    }

    /// The share that is correctly rounded, in per cent.
    pub(crate) fn share(&self) -> f64 {
        100.0 * self.right as f64 / self.all.max(1) as f64
    }
}

/// An element type's format.
trait Format: Math {
    const DIGITS: i32;
    const LEAST: i32;
    const TOP: i32;
}

impl Format for f32 {
    const DIGITS: i32 = 23;
    const LEAST: i32 = -126;
    const TOP: i32 = 127;
}

impl Format for f64 {
    const DIGITS: i32 = 52;
    const LEAST: i32 = -1022;
    const TOP: i32 = 1023;
}

/// Where a derivative crosses 0 far from 0, its errors are counted in ULP of this at least.
fn floor(crosses: bool, x: f64) -> f64 {
    if crosses & (-3.0 < x) & (x < 0.0) { 1.0 / 16.0 } else { 0.0 }
}

/// An error in ULP, whether no number is nearer, and whether the true value is below the normal numbers.
struct Error {
    ulps: f64,
    right: bool,
    subnormal: bool,
}

impl Error {
    /// There is but one answer.
    fn or_none(right: bool) -> Self {
        Self { ulps: if right { 0.0 } else { f64::INFINITY }, right, subnormal: false }
    }
}

/// |got − f(x)| in ULP of the format, or of a floor; an infinity stands for the power of two that comes after all numbers.
fn ulps<T: Format>(got: T, reference: &Reference, x: f64, floor: f64) -> Error {
    let (got, want) = (got.to_f64(), reference.exact(x));
    if want.high.is_nan() || got.is_nan() {
        return Error::or_none(want.high.is_nan() && got.is_nan());
    }
    if want.high.is_infinite() || (want.high != 0.0 && exponent(want.high) + want.k > T::TOP) {
        return Error::or_none(got == want.high.signum() * f64::INFINITY);
    }
    // Just below a power of two the spacing is that of the numbers below it.
    let below = power_of_two(want.high) && want.low != 0.0 && (want.low < 0.0) != (want.high < 0.0);
    let size = if want.high == 0.0 { i32::MIN } else { exponent(want.high) + want.k - i32::from(below) };
    let subnormal = size < T::LEAST && floor == 0.0;
    let size = size.max(T::LEAST);
    let near = match got.is_infinite() {
        true => scaled(got.signum(), T::TOP + 1 - want.k),
        false => scaled(got, -want.k),
    };
    let error = (near - want.high - want.low).abs();
    let of = |size: i32| scaled(error, want.k - (size - T::DIGITS));
    let least = if floor == 0.0 { size } else { size.max(exponent(floor)) };
    Error { ulps: of(least), right: of(size) <= 0.5, subnormal }
}

fn power_of_two(x: f64) -> bool {
    x.to_bits() << 12 == 0
}

/// What a block of `f32` shows against the last digits of doubles: errors in ULP of the value or a floor, NaN where these digits
/// don't tell how it is rounded, and what is seen of the others.
struct Block<'a> {
    got: &'a [f32],
    want: &'a [f64],
    floors: &'a [f64],
    limit: f32,
    counted: &'a mut [f64],
}

impl WithSimd for Block<'_> {
    type Output = Seen;
    // By the compiler's own vectors: what is wanted of S is that they are as long as the machine's.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Seen {
        let Self { got, want, floors, limit, counted } = self;
        // As bits, which have the order of numbers that are not negative: a maximum of these is one instruction for any lane.
        let (mut worst, mut subnormal, mut right, mut all) = (0u64, 0u64, 0u64, 0u64);
        for (((got, want), floor), counted) in got.iter().zip(want).zip(floors).zip(counted) {
            // 1 ÷ the spacing of numbers of a size.
            let per_unit = |size: f64| {
                let size = if size > LEAST { size } else { LEAST };
                let exponent = size.to_bits() & 0x7ff0_0000_0000_0000;
                f64::from_bits(((2046 + 23) << 52) - exponent)
            };
            let (error, size) = ((f64::from(*got) - want).abs(), want.abs());
            let near = error * per_unit(size);
            let ulps = error * per_unit(if size > *floor { size } else { *floor });
            // Next to a power of two that is not met it matters whether the true value is below it.
            let power = (error != 0.0) & (want.to_bits().wrapping_add(64) << 12 < 128 << 12);
            let sure = (size < 3.4e38) & (error < f64::INFINITY) & ((near - 0.5).abs() >= 1e-6) & !power;
            *counted = if sure { ulps } else { f64::NAN };
            let low = sure & (*floor == 0.0) & (size < LEAST);
            let high = sure & !low;
            worst = worst.max(if high { ulps.to_bits() } else { 0 });
            subnormal = subnormal.max(if low { ulps.to_bits() } else { 0 });
            let nearest = near <= 0.5;
            all += u64::from(high & !(nearest & (*got == limit)));
            right += u64::from(high & nearest & (*got != limit));
        }
        let [ulps, subnormal] = [worst, subnormal].map(f64::from_bits);
        Seen { ulps, at: 0.0, subnormal, right, all }
    }
}

/// The least normal `f32`.
const LEAST: f64 = f32::MIN_POSITIVE as f64;

/// A function with its derivative, or alone.
pub(crate) struct Pair {
    pub(crate) kernel: Kernel,
    pub(crate) references: Vec<Reference>,
    pub(crate) crosses: bool,
}

const BLOCK: usize = 4096;

/// What sees the errors of a block: arguments, what the kernel gave, the reference, floors, limits.
type Errors<'a, T> = &'a mut dyn FnMut(&[f64], &[T], &Reference, &[f64], &[T], &mut Seen);

impl Pair {
    /// The `f32` of so many bit patterns from one on, in steps, but for zeros, infinities and NaN, which tests have by
    /// themselves. All have one sign.
    pub(crate) fn singles(&self, from: u32, count: u32, step: u32) -> [Seen; 2] {
        let arch = Arch::new();
        let mut next = 0;
        let fill = |z: &mut Vec<f32>| {
            let end = count.min(next + BLOCK as u32);
            z.extend((next..end).map(|i| f32::from_bits(from + i * step)));
            next = end;
        };
        let mut room = [const { Vec::new() }; 2];
        let mut errors = |x: &[f64],
                          got: &[f32],
                          reference: &Reference,
                          floors: &[f64],
                          limits: &[f32],
                          seen: &mut Seen| {
            room.iter_mut().for_each(|room| room.resize(x.len(), 0.0));
            let [want, counted] = &mut room;
            reference.quick_all(arch, x, want);
            let limit = limits[usize::from(x[0] > 0.0)];
            let mut found = arch.dispatch(Block { got, want, floors, limit, counted });
            if found.ulps > seen.ulps {
                found.at = counted
                    .iter()
                    .zip(x)
                    .find(|(ulps, _)| **ulps == found.ulps)
                    .map_or(f64::NAN, |(_, x)| *x);
            }
            *seen = seen.and(found);
            for i in (0..x.len()).filter(|i| counted[*i].is_nan()) {
                seen.see(x[i], got[i], limit, ulps(got[i], reference, x[i], floors[i]));
            }
        };
        self.measure(fill, &mut errors)
    }

    /// So many `f64`: as many in each binade, in (−2, 2), and over all that is no limit.
    pub(crate) fn doubles(&self, count: usize, seed: u64) -> [Seen; 2] {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
        let mut draw = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut number = move || {
            // All digits of a double, but below 2⁻¹¹; sign and case by digits that these do not decide.
            let size = draw() as f64 / 2f64.powi(64);
            let choice = draw() >> 40;
            let unit = if choice & 8 == 0 { size } else { -size };
            match choice % 8 {
                0 => f64::from_bits(draw()),
                1 => unit * power((draw() % 80) as i32 - 60),
                2..5 => 2.0 * unit,
                5 => 20.0 * unit,
                6 => 100.0 * unit,
                _ => 760.0 * unit,
            }
        };
        let mut left = count;
        let fill = |z: &mut Vec<f64>| {
            z.extend((0..left.min(BLOCK)).map(|_| number()));
            left -= z.len();
        };
        let mut errors = |x: &[f64],
                          got: &[f64],
                          reference: &Reference,
                          floors: &[f64],
                          limits: &[f64],
                          seen: &mut Seen| {
            for i in 0..x.len() {
                let limit = limits[usize::from(x[i] > 0.0)];
                seen.see(x[i], got[i], limit, ulps(got[i], reference, x[i], floors[i]));
            }
        };
        self.measure(fill, &mut errors)
    }

    /// All blocks that `fill` makes, until it makes an empty one.
    fn measure<T: Format>(&self, mut fill: impl FnMut(&mut Vec<T>), errors: Errors<'_, T>) -> [Seen; 2] {
        let isa = IsaToken::detect();
        let (mut z, mut out) = (Vec::with_capacity(BLOCK), [vec![T::ZERO; BLOCK], vec![T::ZERO; BLOCK]]);
        let (mut x, mut floors) = (vec![], vec![]);
        let mut seen = [Seen::default(); 2];
        let mut limits = [vec![T::ZERO; 2], vec![T::ZERO; 2]];
        self.kernel.run(isa, &[f64::NEG_INFINITY, f64::INFINITY].map(T::from_f64), &mut limits);
        loop {
            z.clear();
            fill(&mut z);
            if z.is_empty() {
                return seen;
            }
            let counts = |z: &T| z.finite() & (*z != T::ZERO);
            // Nearly always all do, which is told many at a time.
            if !z.iter().fold(true, |all, z| all & counts(z)) {
                z.retain(counts);
                if z.is_empty() {
                    continue;
                }
            }
            out.iter_mut().for_each(|out| out.resize(z.len(), T::ZERO));
            self.kernel.run(isa, &z, &mut out);
            x.clear();
            x.extend(z.iter().map(|z| z.to_f64()));
            for (i, reference) in self.references.iter().enumerate() {
                floors.clear();
                floors.extend(x.iter().map(|x| if i == 1 { floor(self.crosses, *x) } else { 0.0 }));
                errors(&x, &out[i], reference, &floors, &limits[i], &mut seen[i]);
            }
        }
    }

    /// How far references are off MPFR's values at samples, relative: the exact one, and the quick one where it is taken; and
    /// by how much the derivative is another than that of the function, of which this is nothing.
    pub(crate) fn doubt(&self, samples: usize) -> [f64; 3] {
        // NaN is the largest.
        let larger = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
        let (mut exact, mut quick, mut other) = (0f64, 0f64, 0f64);
        let mut state = 0x853c_49e6_748f_ea9b_u64;
        for i in 0..samples {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
            let binade = power((state >> 20) as i32 % 1100);
            let x = unit * [2.0, 0.01, 12.0, 60.0, 700.0, binade][i % 6];
            for (which, reference) in self.references.iter().enumerate() {
                let (table, sure) = (reference.exact(x), reference.by_multiple(x));
                // Neither where there is nothing but a limit, nor where a derivative crosses 0.
                if !(sure.high.is_normal() && (-1070..=1023).contains(&sure.k)) {
                    continue;
                }
                let least = if which == 1 { floor(self.crosses, x) } else { 0.0 };
                let size = sure.high.abs().max(scaled(least, -sure.k));
                let at = |y: f64, k: i32| scaled(y, k - sure.k);
                let off = (at(table.high, table.k) - sure.high) + (at(table.low, table.k) - sure.low);
                exact = larger(exact, off.abs() / size);
                if let Some(near) = reference.quick(x).filter(|_| sure.k > -1000) {
                    quick = larger(quick, (at(near, 0) - sure.high).abs() / size);
                }
            }
            if let [f, g] = &self.references[..] {
                let kinks = [-3.0, 0.0, 3.0];
                if kinks.iter().all(|k| (x - k).abs() > 1e-9) && x.abs() < 60.0 {
                    other = larger(other, g.off_as_derivative(f, x));
                }
            }
        }
        [exact, quick, other]
    }
}
