//! References in `f64`, and errors in units in the last place.
#![expect(dead_code, reason = "each test binary uses a part")]

use nablas_kernels::{act::Activation, isa::Real};

/// σ(z).
pub(crate) fn sigmoid(z: f64) -> f64 {
    let e = (-z.abs()).exp();
    if z < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// Φ(z).
pub(crate) fn phi_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// φ(z).
pub(crate) fn phi(z: f64) -> f64 {
    (-0.5 * z * z).exp() * 0.398_942_280_401_432_7
}

/// The argument 2u of the sigmoid in GELU by tanh, and its derivative.
fn gelu_tanh_argument(z: f64) -> (f64, f64) {
    let c = (8.0 / std::f64::consts::PI).sqrt();
    (c * (z + 0.044715 * z * z * z), c * (1.0 + 3.0 * 0.044715 * z * z))
}

/// z·s, 0 where s is.
fn gate(z: f64, s: f64) -> f64 {
    if s == 0.0 { 0.0 } else { z * s }
}

/// (g(z), g'(z)) by textbook formulas in `f64`, rearranged only where those cancel.
pub(crate) fn reference(act: Activation<f64>, z: f64) -> (f64, f64) {
    let right = z > 0.0;
    match act {
        Activation::Identity => (z, 1.0),
        Activation::Relu => (z.max(0.0), f64::from(right)),
        Activation::LeakyRelu(a) => {
            if right {
                (z, 1.0)
            } else {
                (a * z, a)
            }
        }
        Activation::ClippedRelu(c) => (z.clamp(0.0, c), f64::from(right && z < c)),
        Activation::Elu(a) => {
            if right {
                (z, 1.0)
            } else {
                (a * z.exp_m1(), a * z.exp())
            }
        }
        Activation::Selu => {
            let (l, a) = (1.050_700_987_355_480_5, 1.673_263_242_354_377_2);
            if right { (l * z, l) } else { (l * a * z.exp_m1(), l * a * z.exp()) }
        }
        Activation::Sigmoid => (sigmoid(z), sigmoid(z) * sigmoid(-z)),
        Activation::Tanh => (z.tanh(), z.cosh().recip().powi(2)),
        Activation::Softplus => (z.max(0.0) + (-z.abs()).exp().ln_1p(), sigmoid(z)),
        Activation::Silu => (gate(z, sigmoid(z)), sigmoid(z) * (1.0 + gate(z, sigmoid(-z)))),
        Activation::Gelu => (gate(z, phi_cdf(z)), phi_cdf(z) + gate(z, phi(z))),
        Activation::GeluTanh => {
            let (y, slope) = gelu_tanh_argument(z);
            let s = sigmoid(y);
            (gate(z, s), s + gate(z * slope, s * sigmoid(-y)))
        }
        Activation::Mish => {
            // tanh(ln(1 + eᶻ)) and its complement to 1, from n = e^−|z|.
            let n = (-z.abs()).exp();
            let (t, one_less) = if right {
                let den = 1.0 + 2.0 * n + 2.0 * n * n;
                ((1.0 + 2.0 * n) / den, 2.0 * n * n / den)
            } else {
                let den = n * (n + 2.0) + 2.0;
                (n * (n + 2.0) / den, 2.0 / den)
            };
            (gate(z, t), t + gate(z, sigmoid(z) * one_less * (1.0 + t)))
        }
        Activation::HardSwish => match z {
            z if z <= -3.0 => (0.0, 0.0),
            z if z >= 3.0 => (z, 1.0),
            z => (z * (z + 3.0) / 6.0, (2.0 * z + 3.0) / 6.0),
        },
        Activation::Exp => (z.exp(), z.exp()),
        Activation::Softsign => (z / (1.0 + z.abs()), (1.0 + z.abs()).powi(-2)),
        Activation::Sin(w) => ((w * z).sin(), w * (w * z).cos()),
    }
}

/// All activations, with common parameters.
pub(crate) fn all() -> Vec<Activation<f64>> {
    Activation::all().into()
}

/// The same activation with its parameter in `f32`, and what that is in `f64`.
pub(crate) fn in_f32(act: Activation<f64>) -> (Activation<f32>, Activation<f64>) {
    let narrow = act.map(|p| p as f32);
    (narrow, narrow.map(f64::from))
}

/// 2ⁿ, n a normal exponent.
fn power(n: i64) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

/// The binary exponent of |x|, that of the smallest normal number for less.
fn exponent(x: f64) -> i64 {
    ((x.to_bits() >> 52 & 0x7ff) as i64 - 1023).max(-1022)
}

/// The distance between neighbouring `f32` at |x|, but no less than 2⁻¹⁴⁹.
pub(crate) fn ulp_f32(x: f64) -> f64 {
    power(exponent(x).clamp(-126, 127) - 23)
}

/// The distance between neighbouring `f64` at |x|.
pub(crate) fn ulp_f64(x: f64) -> f64 {
    match exponent(x) - 52 {
        n @ ..-1022 => f64::from_bits(1 << (n + 1074)),
        n => power(n),
    }
}

/// A small generator of reproducible numbers (xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Uniform bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    /// Uniform in [−scale, scale).
    pub(crate) fn within(&mut self, scale: f64) -> f64 {
        ((self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0) * scale
    }
    /// `n` numbers, most of them moderate, some special.
    pub(crate) fn inputs<T: Real>(&mut self, n: usize) -> Vec<T> {
        const SPECIAL: [f64; 10] =
            [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 3.0, -3.0, 6.0, -1000.0, 1000.0];
        let one = |_| match self.bits() % 16 {
            0 => SPECIAL[(self.bits() % 10) as usize],
            1 => self.within(200.0),
            _ => self.within(6.0),
        };
        (0..n).map(one).map(T::from_f64).collect()
    }
}

/// The bits, all NaN alike.
pub(crate) fn key<T: Real>(x: T) -> Option<T::Bits> {
    (!x.to_f64().is_nan()).then(|| x.bits())
}

/// The keys of a slice.
pub(crate) fn keys<T: Real>(x: &[T]) -> Vec<Option<T::Bits>> {
    x.iter().copied().map(key).collect()
}

/// A vector with `PAD` canaries on both sides of `n` zeros.
pub(crate) struct Guarded<T> {
    data: Vec<T>,
    canary: T,
}

/// Canaries on each side.
const PAD: usize = 40;

impl<T: Copy + PartialEq + std::fmt::Debug> Guarded<T> {
    /// `n` elements of `fill` between canaries.
    pub(crate) fn new(n: usize, fill: T, canary: T) -> Self {
        let mut data = vec![canary; n + 2 * PAD];
        data[PAD..PAD + n].fill(fill);
        Self { data, canary }
    }
    /// A copy of `from` between canaries.
    pub(crate) fn copy(from: &[T], canary: T) -> Self {
        let mut all = Self::new(from.len(), canary, canary);
        all.inner().copy_from_slice(from);
        all
    }
    /// What the canaries guard.
    pub(crate) fn inner(&mut self) -> &mut [T] {
        let end = self.data.len() - PAD;
        &mut self.data[PAD..end]
    }
    /// The guarded elements, after a look at the canaries.
    pub(crate) fn check(&self) -> &[T] {
        let (left, rest) = self.data.split_at(PAD);
        let (inner, right) = rest.split_at(rest.len() - PAD);
        assert!(left.iter().chain(right).all(|x| *x == self.canary), "a canary was written");
        inner
    }
}

/// Lengths around every vector width, and primes.
pub(crate) const LENGTHS: [usize; 20] =
    [0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 61, 64, 97, 131];

/// Elements of a row around the ends of the chains of its virtual lanes.
pub(crate) const LONG: [usize; 6] = [8191, 8192, 8193, 16_384, 16_390, 40_000];

/// The sum of chains of 512 terms, from `start`.
pub(crate) fn chains<T: Real>(start: T, x: impl Iterator<Item = T>) -> T {
    let (mut before, mut chain) = (None, start);
    for (i, x) in x.enumerate() {
        if i > 0 && i % 512 == 0 {
            before = Some(before.map_or(chain, |sum| sum + chain));
            chain = T::ZERO;
        }
        chain += x;
    }
    before.map_or(chain, |sum| sum + chain)
}

/// The sum by sixteen virtual lanes of chains and the fixed tree, spelt out.
pub(crate) fn sixteen_lanes<T: Real>(x: &[T]) -> T {
    let mut lanes: [T; 16] =
        core::array::from_fn(|lane| chains(T::ZERO, x.iter().skip(lane).step_by(16).copied()));
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}
