//! Activations over strided blocks of rows, as a dense layer has them: forward in place, and backward in place
//! with the column sums that are db.

use super::{
    Activation, Function, Identity, LeakyRelu, Relu, Saved, State, Tanh, WithFunction, from_mask,
    mask::{load_mask, store_mask},
    slices::{value, value_d},
};
use crate::{
    chain::Chains,
    edge::{load, store},
    isa::{Arith, LaneKernel, Lanes, Pair},
    math::Math,
};

/// A block of `rows` × `cols` elements; row `i` starts `i·ld` elements after `ptr`.
#[derive(Debug, Clone, Copy)]
pub struct Rows<T> {
    /// The first element.
    pub ptr: *mut T,
    /// Elements from one row to the next.
    pub ld: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
}

/// A = g(Z) in place, and into `state` the mask or the derivative, if it asks for the kind that g saves.
///
/// An output need not be copied: `state` stays untouched.
///
/// # Safety
/// `z` and `state` are valid for reads and writes of their rows × cols (a mask: rows × `mask_bytes(cols)`) and do
/// not overlap.
#[inline(always)]
pub unsafe fn forward_rows<T: Math, F: Function<T>, I: Lanes<T>>(isa: I, f: F, z: Rows<T>, state: State<T>) {
    for i in 0..z.rows {
        let row = z.ptr.wrapping_add(i * z.ld);
        // SAFETY: row i is valid in z and in state, which do not overlap.
        unsafe {
            match (F::SAVED, state.row(i)) {
                (Saved::Mask, (mask, _)) if !mask.is_null() => forward_mask(isa, f, row, mask, z.cols),
                (Saved::Derivative, (_, d)) if !d.is_null() => value_d(isa, f, row, row, d, z.cols),
                _ => value(isa, f, row, row, z.cols),
            }
        }
    }
}

/// A = g(Z) of one row in place, and the branch bits.
///
/// # Safety
/// `z` is valid for reads and writes of `n` elements, `mask` for writes of `mask_bytes(n)` bytes.
#[inline(always)]
unsafe fn forward_mask<T: Math, F: Function<T>, I: Lanes<T>>(
    isa: I,
    f: F,
    z: *mut T,
    mask: *mut u8,
    n: usize,
) {
    let mut j = 0;
    while j < n {
        let m = I::LANES.min(n - j);
        // SAFETY: [j, j + m) is within n; j is a multiple of LANES and rises.
        unsafe {
            let v = load(isa, z.add(j), m);
            store_mask(isa, mask, j, f.branch(isa, v), m);
            store(isa, z.add(j), f.value(isa, v), m);
        }
        j += m;
    }
}

/// δ ⊙ g' of `n` columns from `j`, from one row of the state that the forward pass left.
///
/// # Safety
/// The row of the kind that `F` saves is readable for columns `j..j + n`; `j` is a multiple of `LANES`,
/// `n <= LANES`.
#[inline(always)]
unsafe fn pull<T: Math, F: Function<T>, I: Lanes<T>>(
    isa: I,
    f: F,
    delta: I::V,
    (mask, data): (*mut u8, *mut T),
    j: usize,
    n: usize,
) -> I::V {
    // SAFETY: the caller vouches for the row of the kind that F saves, the only one read.
    unsafe {
        match F::SAVED {
            Saved::Nothing => delta,
            Saved::Mask => from_mask(isa, load_mask(isa, mask, j, n), f.slope(), delta),
            Saved::Output | Saved::Derivative => isa.mul(delta, load(isa, data.add(j), n)),
        }
    }
}

/// Vectors side by side in one strip of [`backward_rows`]: as many independent column sums.
const STRIP: usize = 4;

/// δ ← δ ⊙ g' in place, and db_j ← db_j + Σ_i δ_ij.
///
/// Each sum takes the rows in ascending order, one plain addition each, in chains of [`CHAIN`](crate::chain::CHAIN)
/// rows of which the first starts from db_j, so it is the same on every ISA. Calls of less than a chain go on with it.
///
/// # Safety
/// `delta` is valid for reads and writes of its rows × cols; `state` is of the kind that `F` saves and readable
/// for as many; `db` is null (no sums) or valid for reads and writes of cols elements; none overlap.
#[inline(always)]
pub unsafe fn backward_rows<T: Math, F: Function<T>, I: Lanes<T>>(
    isa: I,
    f: F,
    delta: Rows<T>,
    state: State<T>,
    db: *mut T,
) {
    let mut j = 0;
    // SAFETY: columns [j, j + STRIP·LANES), then [j, j + LANES), then [j, cols), are within cols.
    unsafe {
        while j + STRIP * I::LANES <= delta.cols {
            backward_strip::<T, F, I, STRIP>(isa, f, delta, state, db, j, I::LANES);
            j += STRIP * I::LANES;
        }
        while j + I::LANES <= delta.cols {
            backward_strip::<T, F, I, 1>(isa, f, delta, state, db, j, I::LANES);
            j += I::LANES;
        }
        if j < delta.cols {
            backward_strip::<T, F, I, 1>(isa, f, delta, state, db, j, delta.cols - j);
        }
    }
}

/// [`backward_rows`] for `N` vectors of columns from `j`, of `n` lanes each.
///
/// # Safety
/// As for [`backward_rows`]; the columns exist; `n` is `LANES`, or `N` is 1 and `n < LANES`.
#[inline(always)]
unsafe fn backward_strip<T: Math, F: Function<T>, I: Lanes<T>, const N: usize>(
    isa: I,
    f: F,
    delta: Rows<T>,
    state: State<T>,
    db: *mut T,
    j: usize,
    n: usize,
) {
    let mut sums = [isa.zero(); N];
    // SAFETY: the caller vouches for the columns; row i is valid in delta and in state.
    unsafe {
        if !db.is_null() {
            for v in 0..N {
                sums[v] = load(isa, db.add(j + v * I::LANES), n);
            }
        }
        let mut chains = Chains::new(sums);
        for i in 0..delta.rows {
            let (row, state) = (delta.ptr.wrapping_add(i * delta.ld), state.row(i));
            chains.begin(isa);
            for v in 0..N {
                let j = j + v * I::LANES;
                let d = pull(isa, f, load(isa, row.add(j), n), state, j, n);
                store(isa, row.add(j), d, n);
                chains.add(isa, v, d);
            }
        }
        sums = chains.sum(isa);
        if !db.is_null() {
            for v in 0..N {
                store(isa, db.add(j + v * I::LANES), sums[v], n);
            }
        }
    }
}

/// z ← g(z) of `n` whole vectors in place and, unless `d` is null, their derivatives: the epilogue of a register
/// tile spilled to the stack. Several vectors are in flight at once, to hide the latency of the polynomials.
///
/// # Safety
/// `z` is valid for reads and writes of `n` vectors; `d` is null or writable for as many, which do not overlap.
#[inline(always)]
pub unsafe fn forward_vectors<T: Math, I: Lanes<T>, F: Function<T>>(
    isa: I,
    f: F,
    z: *mut I::V,
    d: *mut I::V,
    n: usize,
) {
    let mut i = 0;
    // SAFETY: vectors [i, i + 2), then [i, n), are within n; a pair is two vectors, side by side.
    unsafe {
        while i + 2 <= n {
            one::<T, Pair<I>, F>(
                Pair(isa),
                f,
                z.add(i).cast(),
                if d.is_null() { d } else { d.add(i) }.cast(),
            );
            i += 2;
        }
        if i < n {
            one(isa, f, z.add(i), if d.is_null() { d } else { d.add(i) });
        }
    }
}

/// [`forward_vectors`] for one vector.
///
/// # Safety
/// As for [`forward_vectors`], with n = 1.
#[inline(always)]
unsafe fn one<T: Math, I: Arith<T>, F: Function<T>>(isa: I, f: F, z: *mut I::V, d: *mut I::V) {
    // SAFETY: the caller vouches for a vector at each pointer that is not null.
    unsafe {
        let (v, slope) = f.value_d(isa, z.read_unaligned());
        // Before the value: or where that is z in some lanes LLVM stores the others alone, slow on some AVX2 machines.
        if !d.is_null() {
            d.write_unaligned(slope);
        }
        z.write_unaligned(v);
    }
}

/// [`forward_rows`] as a kernel.
#[derive(Debug)]
pub struct ForwardRows<T> {
    act: Activation<T>,
    z: Rows<T>,
    state: State<T>,
}

impl<T: Math> ForwardRows<T> {
    /// A = g(Z) in place, saving to `state`.
    ///
    /// # Safety
    /// As for [`forward_rows`], until the kernel has run.
    pub unsafe fn new(act: Activation<T>, z: Rows<T>, state: State<T>) -> Self {
        Self { act, z, state }
    }
}

/// [`backward_rows`] as a kernel.
#[derive(Debug)]
pub struct BackwardRows<T> {
    act: Activation<T>,
    delta: Rows<T>,
    state: State<T>,
    db: *mut T,
}

impl<T: Math> BackwardRows<T> {
    /// δ ← δ ⊙ g' in place, adding its column sums to `db`.
    ///
    /// # Safety
    /// As for [`backward_rows`], until the kernel has run.
    pub unsafe fn new(act: Activation<T>, delta: Rows<T>, state: State<T>, db: *mut T) -> Self {
        Self { act, delta, state, db }
    }
}

/// A kernel on an ISA, waiting for the activation's type.
struct On<I, K>(I, K);

impl<T: Math> LaneKernel for ForwardRows<T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        self.act.dispatch(On(isa, self));
    }
}

impl<T: Math, I: Lanes<T>> WithFunction<T> for On<I, ForwardRows<T>> {
    type Output = ();
    #[inline(always)]
    fn with<F: Function<T>>(self, f: F) {
        // SAFETY: the maker of the kernel vouched for its blocks.
        unsafe { forward_rows(self.0, f, self.1.z, self.1.state) }
    }
}

impl<T: Math> LaneKernel for BackwardRows<T> {
    type Elem = T;
    type Output = ();
    #[inline(always)]
    fn run_lanes<I: Lanes<T>>(self, isa: I) {
        // What was saved is all that matters: one function of each kind serves them all.
        let slope = self.act.slope();
        match self.act.saved() {
            Saved::Nothing => On(isa, self).with(Identity),
            Saved::Mask if slope == T::ZERO => On(isa, self).with(Relu),
            Saved::Mask => On(isa, self).with(LeakyRelu(slope)),
            Saved::Output | Saved::Derivative => On(isa, self).with(Tanh),
        }
    }
}

impl<T: Math, I: Lanes<T>> WithFunction<T> for On<I, BackwardRows<T>> {
    type Output = ();
    #[inline(always)]
    fn with<F: Function<T>>(self, f: F) {
        let BackwardRows { delta, state, db, .. } = self.1;
        // SAFETY: the maker of the kernel vouched for its blocks.
        unsafe { backward_rows(self.0, f, delta, state, db) }
    }
}
