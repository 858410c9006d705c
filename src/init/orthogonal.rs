//! Matrices with orthonormal rows or columns.
//!
//! Normal vectors are made orthonormal one after another by Gram and Schmidt's method: Q of a QR factorisation whose R has
//! a positive diagonal, which is distributed evenly (Mezzadri 2007). What is taken away of a vector is taken away twice: "twice is
//! enough" for orthogonality to rounding (Giraud et al. 2005).

use super::{Draw, fill as draw};
use crate::{
    Mlp, Scalar,
    error::{Error, Result},
    isa::IsaToken,
};
use alloc::vec::Vec;
use nablas_kernels::{
    isa::{LaneKernel, Lanes},
    reduce::{Sixteen, VIRTUAL_LANES},
};
use rand_xoshiro::Xoshiro256PlusPlus;

/// How many vectors a matrix is made of, and the elements of each; then whole sixteens of them, zeros behind its own, which add
/// nothing.
fn sizes(rows: usize, cols: usize) -> (usize, usize, usize) {
    let len = rows.max(cols);
    (rows.min(cols), len, len.next_multiple_of(VIRTUAL_LANES))
}

/// Room for the vectors of any layer of a network.
pub(super) fn room<T: Scalar>(mlp: &Mlp<T>) -> Result<Vec<f64>> {
    let what = "an orthogonal matrix";
    let mut most = 0usize;
    for layer in mlp.layers() {
        let (count, _, ld) = sizes(layer.outputs, layer.inputs);
        most = most.max(count.checked_mul(ld).ok_or(Error::Overflow { what })?);
    }
    let (bytes, mut room) = (most as u128 * size_of::<f64>() as u128, Vec::new());
    room.try_reserve_exact(most).map_err(|_| Error::Memory { what, bytes })?;
    Ok(room)
}

/// Fills W, rows × cols, with orthonormal rows or, if it has more rows than columns, columns; times `gain`. `q` has room for the
/// vectors.
pub(super) fn fill<T: Scalar>(
    rng: &mut Xoshiro256PlusPlus,
    (rows, cols): (usize, usize),
    gain: f64,
    w: &mut [T],
    q: &mut Vec<f64>,
) {
    let (count, len, ld) = sizes(rows, cols);
    q.clear();
    q.resize(count * ld, 0.0);
    for i in 0..count {
        let (before, rest) = q.split_at_mut(i * ld);
        let own = &mut rest[..ld];
        // A vector that lies among those before has no direction of its own: another is drawn.
        let mut found = false;
        while !found {
            draw(rng, Draw::Normal, (1.0, 1.0), &mut own[..len]);
            found = IsaToken::detect().run(Orthonormal { before, own });
        }
    }
    for (i, row) in w.chunks_mut(cols.max(1)).enumerate() {
        for (j, w) in row.iter_mut().enumerate() {
            let x = if rows <= cols { q[i * ld + j] } else { q[j * ld + i] };
            *w = T::from_f64(gain * x);
        }
    }
}

/// Makes a vector orthogonal to those before it, which are orthonormal, and of length 1; whether that was possible. All have as
/// many elements, a multiple of sixteen.
struct Orthonormal<'a> {
    before: &'a [f64],
    own: &'a mut [f64],
}

impl LaneKernel for Orthonormal<'_> {
    type Elem = f64;
    type Output = bool;

    #[inline(always)]
    fn run_lanes<I: Lanes<f64>>(self, isa: I) -> bool {
        let Self { before, own } = self;
        for _ in 0..2 {
            for q in before.chunks_exact(own.len()) {
                let along = isa.splat(dot(isa, q, own));
                for (x, q) in own.chunks_exact_mut(I::LANES).zip(q.chunks_exact(I::LANES)) {
                    // SAFETY: both chunks are LANES elements.
                    unsafe {
                        let left = isa.nfma(along, isa.load(q.as_ptr()), isa.load(x.as_ptr()));
                        isa.store(x.as_mut_ptr(), left);
                    }
                }
            }
        }
        let square = dot(isa, own, own);
        // Of a normal vector next to nothing is left with no probability that matters; what is would be rounding alone.
        if square < 1e-20 {
            return false;
        }
        let length = isa.sqrt(isa.splat(square));
        for x in own.chunks_exact_mut(I::LANES) {
            // SAFETY: the chunk is LANES elements.
            unsafe { isa.store(x.as_mut_ptr(), isa.div(isa.load(x.as_ptr()), length)) }
        }
        true
    }
}

/// Σ a_i·b_i in sixteen virtual lanes, which are the same on every instruction set.
#[inline(always)]
fn dot<I: Lanes<f64>>(isa: I, a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = Sixteen::new(isa.zero());
    for (a, b) in a.chunks_exact(VIRTUAL_LANES).zip(b.chunks_exact(VIRTUAL_LANES)) {
        for v in 0..VIRTUAL_LANES / I::LANES {
            // SAFETY: both chunks are sixteen elements, of which vector v has LANES.
            unsafe {
                let (a, b) = (isa.load(a.as_ptr().add(v * I::LANES)), isa.load(b.as_ptr().add(v * I::LANES)));
                lanes.set(v, isa.fma(a, b, lanes.get(v)));
            }
        }
    }
    lanes.sum(isa)
}
