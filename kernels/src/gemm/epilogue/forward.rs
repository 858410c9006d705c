//! A ← g(X·Wᵀ + b), with what the backward pass needs stored beside it.

use super::{At, Epilogue, load_tile, store_tile};
use crate::{
    act::{Activation, Function, Saved, State, WithFunction, forward_vectors},
    gemm::{row_major::RowMajor, tile::Acc},
    isa::{LaneKernel, Lanes, Real, outline},
    math::Math,
};
use core::{mem::MaybeUninit, ptr};

/// How the activation is applied to the accumulators.
pub trait Apply<T: Math>: Copy {
    /// Applies it to a tile of pre-activations, and stores A and the saved state.
    ///
    /// # Safety
    /// As for [`Epilogue::finish`].
    unsafe fn apply<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        z: Acc<T, I, MR, NV>,
        out: RowMajor<T>,
        save: State<T>,
        at: At,
    );
}

/// An activation of a few instructions, applied in registers; its derivative is two-valued or constant.
#[derive(Debug, Clone, Copy)]
pub struct InRegisters<F>(pub F);

impl<T: Math, F: Function<T>> Apply<T> for InRegisters<F> {
    #[inline(always)]
    unsafe fn apply<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        mut z: Acc<T, I, MR, NV>,
        out: RowMajor<T>,
        save: State<T>,
        at: At,
    ) {
        if let (Saved::Mask, State::Mask { ptr, ld }) = (F::SAVED, save) {
            for i in 0..MR {
                let mut bits = 0u64;
                for v in 0..NV {
                    bits |= u64::from(isa.mask_bits(self.0.branch(isa, z[i][v]))) << (v * I::LANES);
                }
                // SAFETY: the mask has the tile's rows and columns.
                unsafe { store_bits(bits, NV * I::LANES, (ptr, ld), i, at) }
            }
        }
        for row in &mut z {
            for x in row {
                *x = self.0.value(isa, *x);
            }
        }
        // SAFETY: the tile lies in the output.
        unsafe { store_tile(isa, z, out, at) }
    }
}

/// Stores a tile row's mask bits; `width` is the tile's, in columns.
///
/// # Safety
/// The mask is writable at the tile's columns of row `at.row + i`.
#[inline(always)]
unsafe fn store_bits(mut bits: u64, width: usize, (mask, ld): (*mut u8, usize), i: usize, at: At) {
    let used = if at.cols < width { at.cols } else { width };
    if used < 64 {
        bits &= (1 << used) - 1;
    }
    // SAFETY: the tile starts at a granule, hence at a whole byte of its mask row, which has a byte for every
    // eight columns begun.
    unsafe {
        let to = mask.add((at.row + i) * ld + at.col / 8);
        ptr::copy_nonoverlapping(bits.to_le_bytes().as_ptr(), to, used.div_ceil(8));
    }
}

/// An activation of many instructions: the tile is set down on the stack, and one call per tile runs the
/// activation over it, two results a vector. Inlined, sixteen activations would be compiled into every tile.
#[derive(Debug, Clone, Copy)]
pub struct Outlined<T>(pub Activation<T>);

impl<T: Math> Apply<T> for Outlined<T> {
    #[inline(always)]
    unsafe fn apply<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        mut z: Acc<T, I, MR, NV>,
        out: RowMajor<T>,
        save: State<T>,
        at: At,
    ) {
        let mut derivative: MaybeUninit<Acc<T, I, MR, NV>> = MaybeUninit::uninit();
        let mut bits = [0u64; MR];
        let (d, mask) = match save {
            State::Nothing => (ptr::null_mut(), ptr::null_mut()),
            State::Mask { .. } => (ptr::null_mut(), bits.as_mut_ptr()),
            State::Values { .. } => (derivative.as_mut_ptr().cast::<T>(), ptr::null_mut()),
        };
        let (z_ptr, width) = (z.as_mut_ptr().cast::<T>(), NV * I::LANES);
        outline(isa, Activate { act: self.0, z: z_ptr, d, mask, rows: MR, width });
        // SAFETY: the tile lies in the output and in the saved state; `Activate` has written all of `d`.
        unsafe {
            store_tile(isa, z, out, at);
            match save {
                State::Nothing => {}
                State::Mask { ptr, ld } => {
                    for i in 0..MR {
                        store_bits(bits[i], width, (ptr, ld), i, at);
                    }
                }
                State::Values { ptr, ld } => {
                    store_tile(isa, derivative.assume_init(), RowMajor { ptr, ld }, at)
                }
            }
        }
    }
}

/// Applies an activation to a tile in place, and writes the derivatives to `d` and the branch bits of each row
/// to `mask` unless they are null.
struct Activate<T> {
    act: Activation<T>,
    z: *mut T,
    d: *mut T,
    mask: *mut u64,
    rows: usize,
    /// Columns: whole vectors.
    width: usize,
}

impl<T: Math> LaneKernel for Activate<T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        self.act.dispatch(ActivateOn { isa, tile: self });
    }
}

/// [`Activate`] with the ISA at hand, waiting for the activation's type.
struct ActivateOn<T, I> {
    isa: I,
    tile: Activate<T>,
}

impl<T: Math, I: Lanes<T>> WithFunction<T> for ActivateOn<T, I> {
    type Output = ();
    #[inline(always)]
    fn with<F: Function<T>>(self, f: F) {
        let (isa, Activate { z, d, mask, rows, width, .. }) = (self.isa, self.tile);
        // SAFETY: `z`, and `d` unless null, are rows × width elements, whole vectors of this ISA; `mask`, unless
        // null, has a word for every row.
        unsafe {
            if matches!(F::SAVED, Saved::Mask) && !mask.is_null() {
                for i in 0..rows {
                    let mut bits = 0;
                    for j in (0..width).step_by(I::LANES) {
                        let v = isa.load(z.add(i * width + j));
                        bits |= u64::from(isa.mask_bits(f.branch(isa, v))) << j;
                    }
                    *mask.add(i) = bits;
                }
            }
            forward_vectors(isa, f, z.cast(), d.cast(), rows * width / I::LANES);
        }
    }
}

/// Where the first chains of a forward product start.
#[derive(Debug, Clone, Copy)]
pub enum Bias<T> {
    /// An element for every column; null for none.
    Columns(*const T),
    /// An element for every row: of a product that has features as rows.
    Rows(*const T),
}

impl<T: Real> Bias<T> {
    /// The accumulators of a tile that starts from it.
    ///
    /// # Safety
    /// As for [`Epilogue::start`].
    #[inline(always)]
    pub(crate) unsafe fn start<I: Lanes<T>, const MR: usize, const NV: usize>(
        self,
        isa: I,
        at: At,
    ) -> Acc<T, I, MR, NV> {
        match self {
            Bias::Columns(bias) if bias.is_null() => [[isa.zero(); NV]; MR],
            Bias::Columns(bias) => {
                // SAFETY: the bias has an element for every column of the tile.
                let [row] = unsafe { load_tile::<T, I, 1, NV>(isa, RowMajor::new(bias.cast_mut(), 0), at) };
                [row; MR]
            }
            Bias::Rows(bias) => {
                let mut acc = [[isa.zero(); NV]; MR];
                for i in 0..MR {
                    // SAFETY: the bias has an element for every row of the tile.
                    acc[i] = [isa.splat(unsafe { *bias.add(at.row + i) }); NV];
                }
                acc
            }
        }
    }
}

/// The forward epilogue.
#[derive(Debug, Clone, Copy)]
pub struct Forward<T, S> {
    /// The bias.
    pub bias: Bias<T>,
    /// A.
    pub a: RowMajor<T>,
    /// Where the saved state goes.
    pub save: State<T>,
    /// The activation.
    pub apply: S,
}

impl<T: Math, S: Apply<T>> Epilogue<T> for Forward<T, S> {
    const ADJACENT_ROWS: bool = false;
    const ACROSS: bool = true;

    #[inline(always)]
    fn output(&self) -> RowMajor<T> {
        self.a
    }

    #[inline(always)]
    unsafe fn start<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        at: At,
    ) -> Acc<T, I, MR, NV> {
        // SAFETY: the caller's promise.
        unsafe { self.bias.start(isa, at) }
    }

    #[inline(always)]
    unsafe fn finish<I: Lanes<T>, const MR: usize, const NV: usize>(
        &self,
        isa: I,
        acc: Acc<T, I, MR, NV>,
        at: At,
    ) {
        // SAFETY: the caller's promise.
        unsafe { self.apply.apply(isa, acc, self.a, self.save, at) }
    }
}
