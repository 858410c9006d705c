//! Initial parameters, the same for a seed on every machine.
//!
//! Uniform numbers are the top 53 bits of xoshiro256++ (Blackman, Vigna 2019); normal ones come from pairs of them
//! by Box and Muller (1958), with this library's own logarithm and sine, whose bits don't depend on the machine.
//! All of it is computed in `f64` and rounded once, so the `f32` parameters are the rounded `f64` ones.

mod orthogonal;

use crate::{
    Mlp, Scalar,
    error::{Error, Result},
    isa::IsaToken,
};
use alloc::vec::Vec;
use nablas_kernels::{
    isa::{LaneKernel, Lanes},
    math::Math,
};
use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{Rng, SeedableRng},
};

/// How to draw the weights of a layer with n_{l−1} inputs and n_l outputs. Biases are 0 unless said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Normal with variance 2/n_{l−1} (He et al. 2015): for the ReLU family.
    HeNormal,
    /// Uniform with variance 2/n_{l−1}, within ±√(6/n_{l−1}) (He et al. 2015): for the ReLU family.
    HeUniform,
    /// Normal with variance 2/(n_{l−1} + n_l) (Glorot, Bengio 2010): for tanh and other odd activations.
    XavierNormal,
    /// Uniform with variance 2/(n_{l−1} + n_l), within ±√(6/(n_{l−1} + n_l)) (Glorot, Bengio 2010).
    XavierUniform,
    /// For sin(ω·z) (Sitzmann et al. 2020): uniform within ±1/n_0 in the first layer, within ±√(6/n_{l−1})/ω in the
    /// others; biases uniform within ±1/√n_{l−1}.
    Siren {
        /// ω of the hidden layers' activation, above 0.
        omega: f64,
    },
    /// W·Wᵀ = gain²·I if W has no more rows than columns, else Wᵀ·W = gain²·I: drawn evenly from all such matrices (Saxe et al.
    /// 2014). Takes min(n_{l−1}, n_l)²·max(n_{l−1}, n_l) steps a layer, and memory for another W in `f64`.
    Orthogonal {
        /// The length of W's rows or columns, above 0: 1, or √2 for ReLU.
        gain: f64,
    },
}

/// The distribution of a buffer: `spread` is the half width or the standard deviation.
#[derive(Clone, Copy)]
enum Draw {
    Uniform,
    Normal,
}

impl Init {
    /// Fills `params`, a flat buffer of the network, from `seed`.
    ///
    /// # Errors
    /// [`Error::Length`] if the buffer is not `param_len` long; [`Error::Parameter`] if ω or the gain is not finite and above 0;
    /// [`Error::Memory`] or [`Error::Overflow`] if what an orthogonal layer takes besides does not fit.
    pub fn fill<T: Scalar>(&self, mlp: &Mlp<T>, params: &mut [T], seed: u64) -> Result<()> {
        mlp.check(params.len())?;
        let (what, got) = match *self {
            Self::Siren { omega } => ("ω of SIREN", omega),
            Self::Orthogonal { gain } => ("the gain of an orthogonal matrix", gain),
            _ => ("", 1.0),
        };
        if !(got.is_finite() && got > 0.0) {
            return Err(Error::Parameter { what, expected: "finite and above 0", got });
        }
        let mut vectors = match self {
            Self::Orthogonal { .. } => orthogonal::room(mlp)?,
            _ => Vec::new(),
        };
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        for (l, layer) in mlp.layers().iter().enumerate() {
            let (fan_in, fan_out) = (layer.inputs as f64, layer.outputs as f64);
            let bias = mlp.bias_range(l)?;
            // (draw, √-argument, divisor): the spread is √argument / divisor.
            let (draw, square, divisor) = match *self {
                Self::HeNormal => (Draw::Normal, 2.0 / fan_in, 1.0),
                Self::HeUniform => (Draw::Uniform, 6.0 / fan_in, 1.0),
                Self::XavierNormal => (Draw::Normal, 2.0 / (fan_in + fan_out), 1.0),
                Self::XavierUniform => (Draw::Uniform, 6.0 / (fan_in + fan_out), 1.0),
                Self::Siren { .. } if l == 0 => (Draw::Uniform, 1.0, fan_in),
                Self::Siren { omega } => (Draw::Uniform, 6.0 / fan_in, omega),
                Self::Orthogonal { gain } => {
                    let weights = &mut params[mlp.weights_range(l)?];
                    orthogonal::fill(&mut rng, (layer.outputs, layer.inputs), gain, weights, &mut vectors);
                    params[bias].fill(T::ZERO);
                    continue;
                }
            };
            fill(&mut rng, draw, (square, divisor), &mut params[mlp.weights_range(l)?]);
            let bias = &mut params[bias];
            match self {
                Self::Siren { .. } => fill(&mut rng, Draw::Uniform, (1.0 / fan_in, 1.0), bias),
                _ => bias.fill(T::ZERO),
            }
        }
        Ok(())
    }
}

/// Half the numbers of a block.
const HALF: usize = 32;

/// Draws each element, with a spread of √square / divisor.
fn fill<T: Scalar>(rng: &mut Xoshiro256PlusPlus, draw: Draw, (square, divisor): (f64, f64), out: &mut [T]) {
    for chunk in out.chunks_mut(2 * HALF) {
        // Whole blocks are drawn, so that a buffer's length changes none of its numbers.
        let block = block(rng, draw, square, divisor);
        for (x, z) in chunk.iter_mut().zip(block) {
            *x = T::from_f64(z);
        }
    }
}

/// The next block of numbers.
fn block(rng: &mut Xoshiro256PlusPlus, draw: Draw, square: f64, divisor: f64) -> [f64; 2 * HALF] {
    let mut block = [0.0; 2 * HALF];
    block.fill_with(|| ((rng.next_u64() >> 11) + 1) as f64 * (0.5 / (1u64 << 52) as f64));
    IsaToken::detect().run(Shape { block: &mut block, draw, square, divisor });
    block
}

/// Shapes uniform numbers in (0, 1] to a distribution, lane by lane: the same bits on every instruction set.
struct Shape<'a> {
    block: &'a mut [f64; 2 * HALF],
    draw: Draw,
    square: f64,
    divisor: f64,
}

impl LaneKernel for Shape<'_> {
    type Elem = f64;
    type Output = ();

    #[inline(always)]
    fn run_lanes<I: Lanes<f64>>(self, isa: I) {
        const { assert!(HALF.is_multiple_of(I::LANES)) };
        let (first, second) = self.block.split_at_mut(HALF);
        let spread = isa.div(isa.sqrt(isa.splat(self.square)), isa.splat(self.divisor));
        let (one, two) = (isa.splat(1.0), isa.splat(2.0));
        for (u, v) in first.chunks_exact_mut(I::LANES).zip(second.chunks_exact_mut(I::LANES)) {
            // SAFETY: both chunks are LANES elements.
            let (x, y) = unsafe { (isa.load(u.as_ptr()), isa.load(v.as_ptr())) };
            let (x, y) = match self.draw {
                Draw::Uniform => (isa.sub(isa.mul(two, x), one), isa.sub(isa.mul(two, y), one)),
                Draw::Normal => {
                    // ln u = log1p(u − 1), whose argument is exact.
                    let ln = <f64 as Math>::log1p(isa, isa.sub(x, one));
                    let radius = isa.sqrt(isa.mul(isa.splat(-2.0), ln));
                    let (sin, cos) =
                        <f64 as Math>::sin_cos(isa, isa.mul(isa.splat(core::f64::consts::TAU), y));
                    (isa.mul(radius, cos), isa.mul(radius, sin))
                }
            };
            // SAFETY: both chunks are LANES elements.
            unsafe {
                isa.store(u.as_mut_ptr(), isa.mul(spread, x));
                isa.store(v.as_mut_ptr(), isa.mul(spread, y));
            }
        }
    }
}
