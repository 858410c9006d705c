//! A plain product through the public API.

use crate::{
    array::{Array, ArrayMut},
    crew::team,
    guard::{Failure, guarded},
};
use nablas::{Gemm, IsaToken, MatMut, MatRef, Team};

/// C ← op(A)·op(B), its scratch made.
#[derive(Debug)]
pub struct Product {
    gemm: Gemm<f32>,
    scratch: Vec<f32>,
    transposed: (bool, bool),
    shape: (usize, usize, usize),
    a: Array,
    b: Array,
    c: ArrayMut,
}

impl Product {
    /// Prepares a product of A m×k and B k×n, stored as their transposes where `transposed` says so.
    ///
    /// # Safety
    /// The matrices are as large as the sizes say and stay where they are as long as the product is in use. While it
    /// runs nothing writes A or B, and nothing else accesses C, which overlaps neither.
    pub(crate) unsafe fn new(
        isa: IsaToken,
        threads: i32,
        transposed: (bool, bool),
        (m, n, k): (i64, i64, i64),
        (a, b, c): (*const f32, *const f32, *mut f32),
    ) -> Result<Self, Failure> {
        let (m, n, k) = (usize::try_from(m)?, usize::try_from(n)?, usize::try_from(k)?);
        // SAFETY: the caller's promise.
        let (a, b, c) = unsafe { (Array::new(a, m, k)?, Array::new(b, k, n)?, ArrayMut::new(c, m, n)?) };
        let team = team(threads)?;
        let gemm = Gemm::with(isa, team.as_ref().map_or(1, Team::threads));
        let gemm = match &team {
            Some(team) => gemm.team(team),
            None => gemm,
        };
        let scratch = gemm.scratch(m, n, k);
        Ok(Self { gemm, scratch, transposed, shape: (m, n, k), a, b, c })
    }

    /// Multiplies; NaN for C if that fails.
    pub(crate) fn run(&mut self) {
        if guarded(|| self.multiply()).is_none() {
            self.c.get().fill(f32::NAN);
        }
    }

    fn multiply(&mut self) -> Result<(), Failure> {
        let (m, n, k) = self.shape;
        let a = stored(&self.a, self.transposed.0, m, k)?;
        let b = stored(&self.b, self.transposed.1, k, n)?;
        let c = MatMut::new(self.c.get(), m, n)?;
        Ok(self.gemm.run(1.0, a, b, 0.0, c, &mut self.scratch)?)
    }
}

/// A `rows`×`cols` operand, row-major or stored as its transpose.
fn stored(array: &Array, transposed: bool, rows: usize, cols: usize) -> nablas::Result<MatRef<'_, f32>> {
    if transposed {
        return Ok(MatRef::new(array.get(), cols, rows)?.t());
    }
    MatRef::new(array.get(), rows, cols)
}
