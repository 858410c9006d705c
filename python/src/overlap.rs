//! Which bytes operands have: outputs share none with anything.

use pyo3::{exceptions::PyValueError, prelude::*};

/// The bytes of an operand: `count` runs of `run` bytes, `step` bytes apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes {
    what: &'static str,
    at: usize,
    count: usize,
    run: usize,
    step: usize,
}

impl Bytes {
    /// Bytes that lie together.
    pub(crate) fn run(what: &'static str, at: usize, run: usize) -> Self {
        Self { what, at, count: usize::from(run > 0), run, step: run }
    }

    /// The bytes of a matrix of elements of `size` bytes, with `down` and `right` bytes from a row and a column to the
    /// next. If neither rows nor columns lie together, all that lies between the first and the last element counts as
    /// its own.
    pub(crate) fn matrix(
        what: &'static str,
        at: usize,
        (rows, cols): (usize, usize),
        (down, right): (isize, isize),
        size: usize,
    ) -> Self {
        if rows == 0 || cols == 0 {
            return Self::run(what, at, 0);
        }
        let behind =
            |n: usize, step: isize| if step < 0 { (n - 1).wrapping_mul(step.unsigned_abs()) } else { 0 };
        let at = at.wrapping_sub(behind(rows, down)).wrapping_sub(behind(cols, right));
        let (down, right) = (down.unsigned_abs(), right.unsigned_abs());
        if cols == 1 || right == size {
            Self { what, at, count: rows, run: cols * size, step: down }
        } else if rows == 1 || down == size {
            Self { what, at, count: cols, run: rows * size, step: right }
        } else {
            Self::run(
                what,
                at,
                (rows - 1).wrapping_mul(down).wrapping_add((cols - 1).wrapping_mul(right)) + size,
            )
        }
    }

    /// One past the last byte.
    fn end(&self) -> usize {
        self.at + (self.count - 1) * self.step + self.run
    }

    /// Whether it has a byte of `start..end`.
    fn meets(&self, start: usize, end: usize) -> bool {
        if end <= self.at || start >= self.end() {
            return false;
        }
        // The first run that ends behind `start`; it is the only one that need begin before `end`.
        let past = (start + 1).saturating_sub(self.at + self.run);
        let first = if self.step == 0 { 0 } else { past.div_ceil(self.step) };
        first < self.count && self.at + first * self.step < end
    }

    /// Whether both have a byte.
    fn overlaps(&self, other: &Self) -> bool {
        if self.count == 0 || other.count == 0 || self.end() <= other.at || other.end() <= self.at {
            return false;
        }
        let (few, many) = if self.count <= other.count { (self, other) } else { (other, self) };
        (0..few.count).any(|i| {
            let start = few.at + i * few.step;
            many.meets(start, start + few.run)
        })
    }
}

/// Refuses outputs that share a byte with an input or with one another. Blocks of one matrix may interleave.
pub(crate) fn disjoint(outputs: &[Bytes], inputs: impl IntoIterator<Item = Bytes> + Clone) -> PyResult<()> {
    for (i, output) in outputs.iter().enumerate() {
        let others = outputs[i + 1..].iter().copied().chain(inputs.clone());
        for other in others {
            if output.overlaps(&other) {
                let words = format!("{} overlaps {}", output.what, other.what);
                return Err(PyValueError::new_err(words));
            }
        }
    }
    Ok(())
}
