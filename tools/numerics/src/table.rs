//! A function of one variable to some thirty digits, in nanoseconds: polynomials on small intervals, whose coefficients
//! are computed by MPFR.
//!
//! The positive and the negative numbers have a table each. A binade [2ᵉ, 2ᵉ⁺¹) is cut into 2ˢ equal intervals, so that
//! the first bits of a double are its interval's number. On each the function is interpolated at Chebyshev's points, in
//! u = (x − centre)·2⁻ᵉ. s grows until the last coefficient is below 2⁻¹⁰² of the first; coefficients are two doubles up to
//! the fifth power, one beyond.

use pulp::Arch;
use rayon::prelude::*;
use rug::{Assign, Float};

/// Bits that MPFR computes with.
pub(crate) const BITS: u32 = 320;
/// Coefficients of an interval.
const TERMS: usize = 15;
/// Those with a second double.
const LONG: usize = 6;
/// Those that matter to a double: each is a fourteenth of 2⁻¹⁰² below the one before.
const QUICK: usize = 9;
/// Bits of the cubic's coefficients, which are about 1 or 0.
const NOISE: i32 = 160;
/// Below 2 to this power a function is its cubic at 0.
const TINY: i32 = -60;

/// What must be left of a sum, whose largest term is about 1, for the last digits of a double to be right.
const SURE: f64 = 1.0 / 64.0;

/// A function by MPFR.
pub(crate) type Multiple = fn(&Float) -> Float;

/// (high + low)·2ᵏ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exact {
    pub(crate) high: f64,
    pub(crate) low: f64,
    pub(crate) k: i32,
}

impl Exact {
    pub(crate) fn of(x: f64) -> Self {
        Self { high: x, low: 0.0, k: 0 }
    }

    /// What rounds to x, and is nearer to 0.
    pub(crate) fn just_below(x: f64) -> Self {
        Self { low: -x.signum() * f64::MIN_POSITIVE, ..Self::of(x) }
    }

    /// A number of MPFR's, at a size where both doubles are normal.
    pub(crate) fn rounded(x: &Float) -> Self {
        let k = x.get_exp().unwrap_or(0);
        let near = Float::with_val(BITS, x >> k);
        let (high, low) = split(&near);
        Self { high, low, k }
    }
}

/// 2ⁿ of any normal exponent.
pub(crate) fn power(n: i32) -> f64 {
    f64::from_bits(((n.clamp(-1022, 1023) + 1023) as u64) << 52)
}

/// x·2ⁿ, without an overflow on the way to what is none.
pub(crate) fn scaled(x: f64, n: i32) -> f64 {
    let half = n / 2;
    x * power(half) * power(n - half)
}

/// The two doubles that are nearest.
fn split(x: &Float) -> (f64, f64) {
    let high = x.to_f64();
    (high, Float::with_val(BITS, x - high).to_f64())
}

struct Interval {
    high: [f64; TERMS],
    low: [f64; LONG],
    /// Coefficients are of f·2⁻ᵏ.
    k: i32,
    /// 2ᵏ, where it is a double.
    unit: f64,
}

impl Interval {
    /// The interval of a sign about a centre, of half so many 2ᵉ; `None` if its polynomial is not close.
    fn new(f: Multiple, centre: f64, e: i32, half: f64) -> Option<Self> {
        let mut points: Vec<Float> = Vec::with_capacity(TERMS);
        let mut newton: Vec<Float> = Vec::with_capacity(TERMS);
        for i in 0..TERMS {
            let angle = (i as f64 + 0.5) * std::f64::consts::PI / TERMS as f64;
            // Any points near Chebyshev's serve; these are doubles.
            let u = Float::with_val(BITS, angle.cos() * half);
            newton.push(f(&(Float::with_val(BITS, &u * power(e)) + centre)));
            points.push(u);
        }
        for level in 1..TERMS {
            for i in (level..TERMS).rev() {
                let rise = Float::with_val(BITS, &newton[i] - &newton[i - 1]);
                let run = Float::with_val(BITS, &points[i] - &points[i - level]);
                newton[i].assign(rise / run);
            }
        }
        let mut terms: Vec<Float> = vec![Float::with_val(BITS, 0); TERMS];
        for i in (0..TERMS).rev() {
            // terms ← terms·(u − point) + newton.
            for j in (0..TERMS).rev() {
                let moved = if j == 0 { newton[i].clone() } else { terms[j - 1].clone() };
                let old = Float::with_val(BITS, &terms[j] * &points[i]);
                terms[j].assign(moved - old);
            }
        }
        let size =
            |j: usize| terms[j].get_exp().map_or(i32::MIN / 2, |exp| exp + (half.log2() * j as f64) as i32);
        let k = (0..TERMS).map(size).max().filter(|k| *k > i32::MIN / 2).unwrap_or(0);
        // Relative to the value, which may vanish only where the error has a floor, or the function is a polynomial.
        let least = size(0).max(k - 12);
        if size(TERMS - 1) > least - 102 {
            return None;
        }
        let (mut high, mut low) = ([0.0; TERMS], [0.0; LONG]);
        for (j, term) in terms.iter().enumerate() {
            let (h, l) = split(&Float::with_val(BITS, term >> k));
            high[j] = h;
            if j < LONG {
                low[j] = l;
            }
        }
        Some(Self { high, low, k, unit: scaled(1.0, k) })
    }

    #[inline(always)]
    fn quick(&self, u: f64) -> f64 {
        // Without fused operations, which are calls where the compiler may not assume them.
        self.high[..QUICK].iter().rev().fold(0.0, |sum: f64, c| sum * u + c)
    }

    fn exact(&self, u: f64) -> Exact {
        let tail = self.high[LONG..].iter().rev().fold(0.0, |sum: f64, c| sum.mul_add(u, *c));
        let (mut high, mut low) = (tail, 0.0);
        for j in (0..LONG).rev() {
            let product = high * u;
            let rest = high.mul_add(u, -product) + low * u;
            let sum = product + self.high[j];
            let back = sum - product;
            let lost = (product - (sum - back)) + (self.high[j] - back);
            let rest = lost + rest + self.low[j];
            high = sum + rest;
            low = rest - (high - sum);
        }
        Exact { high, low, k: self.k }
    }
}

/// |x| without its exponent, in [1, 2).
#[inline(always)]
fn significand(x: f64) -> f64 {
    f64::from_bits((x.to_bits() & (u64::MAX >> 12)) | 1023 << 52)
}

struct Binade {
    bits: u32,
    intervals: Vec<Interval>,
}

/// The numbers of one sign, up to a limit.
pub(crate) struct Table {
    sign: f64,
    binades: Vec<Binade>,
    /// c₀ + c₁·x + c₂·x² + c₃·x³ next to 0.
    cubic: [(f64, f64); 4],
}

impl Table {
    /// The function between 0 and `end`, whose sign is the table's.
    pub(crate) fn new(f: Multiple, end: f64) -> Self {
        let (sign, top) = (1f64.copysign(end), exponent(end));
        let binade = |e: i32| {
            for bits in 1..18 {
                let width = power(-(bits as i32));
                // The ends first: what is refused is refused there.
                let make = |i: usize| {
                    let centre = sign * power(e) * (1.0 + (i as f64 + 0.5) * width);
                    Interval::new(f, centre, e, 0.5 * width)
                };
                // Not beyond the end, where the function may be hard to compute, or nothing.
                let last = ((end.abs() / power(e)).min(2.0) - 1.0) / width;
                let count = (last as usize + 1).min(1 << bits);
                if [0, count - 1, count / 2].into_iter().any(|i| make(i).is_none()) {
                    continue;
                }
                let intervals: Option<Vec<_>> = (0..count).into_par_iter().map(make).collect();
                if let Some(intervals) = intervals {
                    return Binade { bits, intervals };
                }
            }
            panic!("no polynomials for the binade of 2^{e}");
        };
        let binades = (TINY..=top).into_par_iter().map(binade).collect();
        // By the values at 0, h, 2h and 3h, as differences divided by powers of h.
        let h = Float::with_val(BITS, sign * power(-70));
        let mut newton = [0, 1, 2, 3].map(|n| f(&Float::with_val(BITS, &h * n)));
        for level in 1..4 {
            for i in (level..4).rev() {
                let rise = Float::with_val(BITS, &newton[i] - &newton[i - 1]);
                newton[i].assign(rise / Float::with_val(BITS, &h * level as u32));
            }
        }
        let [c0, d1, d2, c3] = newton;
        // d₁·x + d₂·x·(x − h) + c₃·x·(x − h)·(x − 2h).
        let c2 = Float::with_val(BITS, &d2 - Float::with_val(BITS, &c3 * &h) * 3u32);
        let c1 = d1 - Float::with_val(BITS, &d2 * &h) + Float::with_val(BITS, &c3 * &h) * &h * 2u32;
        // What is left of differences is not the function's.
        let cubic = [c0, c1, c2, c3].map(|c| match c.get_exp() {
            Some(size) if size < -NOISE => (0.0, 0.0),
            _ => split(&Float::with_val(NOISE as u32, c)),
        });
        Self { sign, binades, cubic }
    }

    /// The interval of x, and u.
    fn find(&self, x: f64) -> Option<(&Interval, f64)> {
        let (binade, i) = self.place(x)?;
        Some((&binade.intervals[i], (significand(x) - self.centre(x)) * self.sign))
    }

    fn place(&self, x: f64) -> Option<(&Binade, usize)> {
        let bits = x.to_bits();
        let e = ((bits >> 52) & 0x7ff) as i32 - 1023;
        let binade = self.binades.get(usize::try_from(e - TINY).ok()?)?;
        Some((binade, ((bits << 12) >> 1 >> (63 - binade.bits)) as usize))
    }

    /// Of the interval of x, as of a significand.
    fn centre(&self, x: f64) -> f64 {
        self.place(x).map_or(1.0, |(binade, i)| 1.0 + (i as f64 + 0.5) * power(-(binade.bits as i32)))
    }

    /// f(x) to about the last digit of a double; `None` where little is left of the sum.
    pub(crate) fn quick(&self, x: f64) -> Option<f64> {
        match self.find(x) {
            Some((interval, u)) => {
                let sum = interval.quick(u);
                (sum.abs() > SURE).then_some(sum * interval.unit)
            }
            None => Some(self.cubic[0].0 + x * (self.cubic[1].0 + x * self.cubic[2].0)),
        }
    }

    /// [`quick`](Self::quick) of numbers in order, NaN for `None`; `false` if they don't lie in one interval.
    pub(crate) fn quick_run(&self, arch: Arch, x: &[f64], out: &mut [f64]) -> bool {
        let (Some((first, _)), Some((last, _))) = (self.find(x[0]), self.find(x[x.len() - 1])) else {
            return false;
        };
        if !core::ptr::eq(first, last) {
            return false;
        }
        let (interval, sign, centre) = (first, self.sign, self.centre(x[0]));
        arch.dispatch(|| {
            for (x, out) in x.iter().zip(out) {
                let sum = interval.quick((significand(*x) - centre) * sign);
                *out = if sum.abs() > SURE { sum * interval.unit } else { f64::NAN };
            }
        });
        true
    }

    /// f(x) to about twice the digits.
    pub(crate) fn exact(&self, x: f64) -> Exact {
        if let Some((interval, u)) = self.find(x) {
            return interval.exact(u);
        }
        // Next to 0: x as a number of the size of 1, at its scale.
        let [(c0, d0), (c1, d1), (c2, _), (c3, _)] = self.cubic;
        let k = if c0 == 0.0 { exponent(x) } else { 0 };
        let near = scaled(x, -k);
        let product = c1 * near;
        let rest = c1.mul_add(near, -product) + d1 * near + c2 * (near * x) + c3 * (near * x * x);
        let high = c0 + product;
        let back = high - c0;
        let low = (c0 - (high - back)) + (product - back) + rest + d0;
        // Terms that vanish still show on which side of the others f is.
        let terms = [if c0 == 0.0 { 0.0 } else { c1 * x.signum() }, c2, c3 * x.signum()];
        match terms.into_iter().find(|term| *term != 0.0) {
            Some(term) if low == 0.0 => Exact { high, low: f64::MIN_POSITIVE.copysign(term), k },
            _ => Exact { high, low, k },
        }
    }
}

/// The exponent of |x|, denormal or not.
pub(crate) fn exponent(x: f64) -> i32 {
    let of = |x: f64| ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    if of(x) == -1023 { of(x * power(100)) - 100 } else { of(x) }
}
