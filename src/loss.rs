//! Losses: the value and the delta ∂L/∂A_L, in one pass.
//!
//! Each row's loss and delta depend on that row alone. The value is the sum of the row losses by a fixed tree
//! (pairs, then pairs of pairs), in `f64`: it depends on the number of rows, never on threads or tiles.

use crate::{
    Scalar,
    error::{Error, Result, check_len, check_shape},
    isa::IsaToken,
    view::{MatMut, MatRef},
};
use alloc::vec::Vec;
use core::ops::Range;
use nablas_kernels::{
    loss::{BceWithLogits, ClassCrossEntropy, CrossEntropy, Huber, L1, Mse, Pointwise},
    reduce::{View, ViewMut},
};

/// The losses, of outputs y (B×n) and targets t.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LossKind<T> {
    /// (y − t)², without a half.
    Mse,
    /// |y − t|; the delta at 0 is 0.
    L1,
    /// ½r² for |r| ≤ δ, δ·(|r| − ½δ) beyond, r = y − t (Huber 1964). δ is finite and above 0.
    Huber(T),
    /// −t·ln σ(y) − (1 − t)·ln(1 − σ(y)): y are logits, t in \[0, 1\].
    BceWithLogits,
    /// −Σ_j t_j·ln softmax(y)_j, a row: y are logits, t probabilities or a class.
    SoftmaxCrossEntropy,
}

impl<T> LossKind<T> {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::L1 => "l1",
            Self::Huber(_) => "huber",
            Self::BceWithLogits => "bce_with_logits",
            Self::SoftmaxCrossEntropy => "softmax_cross_entropy",
        }
    }
}

/// How the losses of the elements or rows become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum.
    Sum,
    /// Their mean: over all B·n elements, or for [`LossKind::SoftmaxCrossEntropy`] over the B rows; 0 of none. Where
    /// rows have weights, a row counts as its weight.
    Mean,
}

/// A loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss<T> {
    /// Of an element or a row.
    pub kind: LossKind<T>,
    /// Of all of them.
    pub reduction: Reduction,
}

/// What the outputs should be.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a, T> {
    /// A value for each output, B×n.
    Values(MatRef<'a, T>),
    /// A class below n for each row, for [`LossKind::SoftmaxCrossEntropy`].
    Classes(&'a [u32]),
    /// Values, and a weight for each row, B of them: finite, 0 or more. A row of weight 0 has no part, whatever is in
    /// it.
    WeightedValues(MatRef<'a, T>, &'a [T]),
    /// Classes, and a weight for each row.
    WeightedClasses(&'a [u32], &'a [T]),
}

impl<'a, T> Targets<'a, T> {
    /// The same, with a weight for each row, in place of those that there were.
    #[must_use]
    pub fn weighted(self, weights: &'a [T]) -> Self {
        match self {
            Self::Values(t) | Self::WeightedValues(t, _) => Self::WeightedValues(t, weights),
            Self::Classes(c) | Self::WeightedClasses(c, _) => Self::WeightedClasses(c, weights),
        }
    }

    /// The weights, if there are some.
    fn weights(&self) -> Option<&'a [T]> {
        match self {
            Self::Values(_) | Self::Classes(_) => None,
            Self::WeightedValues(_, w) | Self::WeightedClasses(_, w) => Some(w),
        }
    }

    /// The targets of a block of rows.
    pub(crate) fn rows(&self, range: Range<usize>) -> Result<Self> {
        fn part<U>(of: &[U], Range { start, end }: Range<usize>) -> Result<&[U]> {
            of.get(start..end).ok_or(Error::Range { what: "rows", start, end, len: of.len() })
        }
        Ok(match self {
            Self::Values(t) => Self::Values(t.rows(range)?),
            Self::Classes(c) => Self::Classes(part(c, range)?),
            Self::WeightedValues(t, w) => Self::WeightedValues(t.rows(range.clone())?, part(w, range)?),
            Self::WeightedClasses(c, w) => Self::WeightedClasses(part(c, range.clone())?, part(w, range)?),
        })
    }
}

impl<T: Scalar> Loss<T> {
    /// A loss.
    pub fn new(kind: LossKind<T>, reduction: Reduction) -> Self {
        Self { kind, reduction }
    }

    /// The loss of the outputs; `delta` becomes ∂L/∂y. Rows are contiguous. Nothing is allocated.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Length`] or [`Error::Stride`] for operands that don't fit, [`Error::Class`] for a
    /// class that there is no output for, [`Error::Targets`] for targets of another kind than the loss takes,
    /// [`Error::Parameter`] for a bad δ. The delta is then as it was.
    pub fn value_and_delta(
        &self,
        isa: IsaToken,
        y: MatRef<'_, T>,
        targets: Targets<'_, T>,
        mut delta: MatMut<'_, T>,
    ) -> Result<T> {
        let (batch, cols) = y.shape();
        self.check(batch, cols, &targets)?;
        check_shape("the delta of a loss", y.shape(), delta.shape())?;
        check_rows("the outputs' column stride", y)?;
        check_rows("the delta's column stride", delta.as_ref())?;
        let scale = self.scale(&targets, batch, cols);
        let mut fold = Fold::default();
        // Rows without elements take no memory: there may be more of them than can be counted through.
        if y.is_empty() {
            return Ok(self.value_of(fold, &targets, batch, cols));
        }
        for start in (0..batch).step_by(BLOCK) {
            let block = start..batch.min(start + BLOCK);
            let mut losses = [T::ZERO; BLOCK];
            let losses = &mut losses[..block.len()];
            let delta = delta.reborrow().rows(block.clone())?;
            self.rows(isa, y.rows(block.clone())?, targets.rows(block)?, scale, delta, losses)?;
            fold.extend(losses);
        }
        Ok(self.value_of(fold, &targets, batch, cols))
    }

    /// The loss of the outputs. Rows are contiguous. Memory for the deltas of sixteen rows is allocated.
    ///
    /// # Errors
    /// As [`value_and_delta`](Self::value_and_delta).
    pub fn value(&self, isa: IsaToken, y: MatRef<'_, T>, targets: Targets<'_, T>) -> Result<T> {
        let (batch, cols) = y.shape();
        self.check(batch, cols, &targets)?;
        check_rows("the outputs' column stride", y)?;
        let mut fold = Fold::default();
        if y.is_empty() {
            return Ok(self.value_of(fold, &targets, batch, cols));
        }
        let most = batch.min(SCRATCH);
        let len = most.checked_mul(cols).ok_or(Error::Overflow { what: "rows of deltas" })?;
        let (what, bytes) = ("rows of deltas", len as u128 * size_of::<T>() as u128);
        let mut delta = Vec::new();
        delta.try_reserve_exact(len).map_err(|_| Error::Memory { what, bytes })?;
        delta.resize(len, T::ZERO);
        for start in (0..batch).step_by(SCRATCH) {
            let block = start..batch.min(start + SCRATCH);
            let (mut losses, delta) = ([T::ZERO; SCRATCH], MatMut::new(&mut delta, block.len(), cols)?);
            let losses = &mut losses[..block.len()];
            self.rows(isa, y.rows(block.clone())?, targets.rows(block)?, T::ONE, delta, losses)?;
            fold.extend(losses);
        }
        Ok(self.value_of(fold, &targets, batch, cols))
    }

    /// Refuses targets that don't fit outputs of `batch` rows and `cols` columns: all that [`rows`](Self::rows) needs
    /// of them.
    pub(crate) fn check(&self, batch: usize, cols: usize, targets: &Targets<'_, T>) -> Result<()> {
        if let LossKind::Huber(d) = self.kind
            && !(d.finite() && d > T::ZERO)
        {
            let expected = "a finite number above 0";
            return Err(Error::Parameter { what: "δ of the Huber loss", expected, got: d.to_f64() });
        }
        if let Some(weights) = targets.weights() {
            check_len("the rows' weights", batch, weights.len())?;
            if let Some(w) = weights.iter().find(|w| !(w.finite() && **w >= T::ZERO)) {
                let (what, expected) = ("a row's weight", "a finite number of 0 or more");
                return Err(Error::Parameter { what, expected, got: w.to_f64() });
            }
        }
        match (targets, self.kind) {
            (Targets::Values(t) | Targets::WeightedValues(t, _), _) => {
                check_shape("the targets", (batch, cols), t.shape())?;
                check_rows("the targets' column stride", *t)
            }
            (
                Targets::Classes(classes) | Targets::WeightedClasses(classes, _),
                LossKind::SoftmaxCrossEntropy,
            ) => {
                check_len("the target classes", batch, classes.len())?;
                let bad =
                    classes.iter().enumerate().find(|(_, c)| usize::try_from(**c).is_ok_and(|c| c >= cols));
                bad.map_or(Ok(()), |(row, class)| Err(Error::Class { row, class: *class, classes: cols }))
            }
            (Targets::Classes(_) | Targets::WeightedClasses(..), kind) => {
                Err(Error::Targets { loss: kind.name(), expected: "values, one for each output" })
            }
        }
    }

    /// What the deltas are multiplied by, besides the weights of rows.
    pub(crate) fn scale(&self, targets: &Targets<'_, T>, batch: usize, cols: usize) -> T {
        T::from_f64(1.0 / self.divisor(targets, batch, cols))
    }

    /// The value, from all row losses.
    pub(crate) fn value_of(&self, fold: Fold, targets: &Targets<'_, T>, batch: usize, cols: usize) -> T {
        T::from_f64(fold.sum() / self.divisor(targets, batch, cols))
    }

    /// The number that a mean divides by; 1 for a sum, and for a mean of nothing.
    fn divisor(&self, targets: &Targets<'_, T>, batch: usize, cols: usize) -> f64 {
        let rows = match (self.reduction, targets.weights()) {
            (Reduction::Sum, _) => return 1.0,
            (Reduction::Mean, None) => batch as f64,
            (Reduction::Mean, Some(weights)) => {
                let mut fold = Fold::default();
                fold.extend(weights);
                fold.sum()
            }
        };
        let of = if self.kind == LossKind::SoftmaxCrossEntropy { rows } else { rows * cols as f64 };
        if of == 0.0 { 1.0 } else { of }
    }

    /// The deltas, times `scale` and the weights of rows, and the row losses, times the weights, of a block of rows
    /// that [`check`](Self::check) has passed. Nothing is allocated; each row gets the same bits in any block.
    ///
    /// # Errors
    /// If the block's operands don't have equally many contiguous rows and columns.
    pub(crate) fn rows(
        &self,
        isa: IsaToken,
        y: MatRef<'_, T>,
        targets: Targets<'_, T>,
        scale: T,
        mut delta: MatMut<'_, T>,
        losses: &mut [T],
    ) -> Result<()> {
        let weights = targets.weights();
        let plain = match targets {
            Targets::WeightedValues(t, _) => Targets::Values(t),
            Targets::WeightedClasses(c, _) => Targets::Classes(c),
            plain => plain,
        };
        self.plain_rows(isa, y, plain, scale, delta.reborrow(), losses)?;
        let Some(weights) = weights else { return Ok(()) };
        check_len("the rows' weights", losses.len(), weights.len())?;
        for (i, (loss, weight)) in losses.iter_mut().zip(weights).enumerate() {
            let row = delta.row_mut(i).unwrap_or_default();
            if *weight == T::ZERO {
                // Whatever is in the row: 0·∞ is no number.
                row.fill(T::ZERO);
                *loss = T::ZERO;
            } else if *weight != T::ONE {
                crate::optim::scale(isa, *weight, row);
                *loss = *loss * *weight;
            }
        }
        Ok(())
    }

    /// [`rows`](Self::rows) without weights.
    fn plain_rows(
        &self,
        isa: IsaToken,
        y: MatRef<'_, T>,
        targets: Targets<'_, T>,
        scale: T,
        mut delta: MatMut<'_, T>,
        losses: &mut [T],
    ) -> Result<()> {
        let (rows, cols) = y.shape();
        check_shape("the delta of a loss", (rows, cols), delta.shape())?;
        check_len("the row losses", rows, losses.len())?;
        if y.is_empty() {
            losses.fill(T::ZERO);
            return Ok(());
        }
        check_rows("the outputs' column stride", y)?;
        check_rows("the delta's column stride", delta.as_ref())?;
        if let Targets::Values(t) = targets {
            check_shape("the targets", (rows, cols), t.shape())?;
            check_rows("the targets' column stride", t)?;
        }
        let descend = |t: &Targets<'_, T>| matches!(t, Targets::Values(t) if t.row_stride() < 0);
        if rows > 1 && (y.row_stride() < 0 || delta.row_stride() < 0 || descend(&targets)) {
            // Kernels count rows upwards.
            for i in 0..rows {
                let (own, one) = (i..i + 1, core::slice::from_mut(&mut losses[i]));
                let delta = delta.reborrow().rows(own.clone())?;
                self.plain_rows(isa, y.rows(own.clone())?, targets.rows(own)?, scale, delta, one)?;
            }
            return Ok(());
        }
        self.block(isa, y, targets, scale, delta, losses);
        Ok(())
    }

    /// [`rows`](Self::rows) of operands that fit each other, whose rows are contiguous and ascend.
    fn block(
        &self,
        isa: IsaToken,
        y: MatRef<'_, T>,
        targets: Targets<'_, T>,
        scale: T,
        mut delta: MatMut<'_, T>,
        row_loss: &mut [T],
    ) {
        let ((rows, cols), ld) = (y.shape(), |stride| usize::try_from(stride).unwrap_or(0));
        // SAFETY: the rows of a view are its own, those of a mutable one apart; a single one may have any stride.
        let view =
            |m: MatRef<'_, T>| unsafe { View::from_raw_parts(m.as_ptr(), ld(m.row_stride()), rows, cols) };
        let (y, ldd) = (view(y), ld(delta.row_stride()));
        // SAFETY: as above.
        let delta = unsafe { ViewMut::from_raw_parts(delta.as_mut_ptr(), ldd, rows, cols) };
        let target = match targets {
            Targets::Values(t) | Targets::WeightedValues(t, _) => view(t),
            Targets::Classes(class) | Targets::WeightedClasses(class, _) => {
                return T::enter(isa, ClassCrossEntropy { y, class, scale, delta, row_loss });
            }
        };
        match self.kind {
            LossKind::Mse => T::enter(isa, Pointwise { loss: Mse, y, target, scale, delta, row_loss }),
            LossKind::L1 => T::enter(isa, Pointwise { loss: L1, y, target, scale, delta, row_loss }),
            LossKind::Huber(d) => {
                T::enter(isa, Pointwise { loss: Huber(d), y, target, scale, delta, row_loss })
            }
            LossKind::BceWithLogits => {
                T::enter(isa, Pointwise { loss: BceWithLogits, y, target, scale, delta, row_loss })
            }
            LossKind::SoftmaxCrossEntropy => {
                T::enter(isa, CrossEntropy { y, target, scale, delta, row_loss })
            }
        }
    }
}

/// Rows in a block of [`Loss::value_and_delta`]; the value does not depend on it.
const BLOCK: usize = 64;
/// Rows of deltas that [`Loss::value`] has room for: those that a kernel takes together.
const SCRATCH: usize = 16;

/// Refuses a matrix whose rows are not contiguous.
fn check_rows<T>(what: &'static str, m: MatRef<'_, T>) -> Result<()> {
    if m.rows_contiguous() {
        return Ok(());
    }
    Err(Error::Stride { what, expected: "1 (contiguous rows)", got: m.col_stride() })
}

/// A sum by pairs, in `f64`, of numbers that come one by one.
///
/// The first two are added, the next two, then the two sums, and so on: a complete binary tree over each power of
/// two in the count's binary form, largest first; these are added from the smallest up. The tree depends on the count
/// alone, and its error grows with the logarithm of the count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fold {
    /// Sums of 2^i numbers, where bit i of `count` is set.
    partial: [f64; usize::BITS as usize],
    count: usize,
}

impl Default for Fold {
    fn default() -> Self {
        Self { partial: [0.0; usize::BITS as usize], count: 0 }
    }
}

impl Fold {
    /// Takes the next number.
    pub(crate) fn add<T: Scalar>(&mut self, x: T) {
        self.put(x.to_f64(), 0);
    }

    /// Takes numbers in their order: eight at a time where they are a subtree of their own.
    pub(crate) fn extend<T: Scalar>(&mut self, numbers: &[T]) {
        let ahead = self.count.wrapping_neg() % 8;
        let (ahead, rest) = numbers.split_at(ahead.min(numbers.len()));
        ahead.iter().for_each(|x| self.add(*x));
        let eights = rest.chunks_exact(8);
        let last = eights.remainder();
        for eight in eights {
            let x: [f64; 8] = core::array::from_fn(|i| eight[i].to_f64());
            let pairs: [f64; 4] = core::array::from_fn(|i| x[2 * i + 1] + x[2 * i]);
            self.put((pairs[3] + pairs[2]) + (pairs[1] + pairs[0]), 3);
        }
        last.iter().for_each(|x| self.add(*x));
    }

    /// Takes the sum of the next 2^`level` numbers, before which there were a multiple of as many.
    fn put(&mut self, mut sum: f64, level: usize) {
        let full = (self.count >> level).trailing_ones() as usize;
        for left in &self.partial[level..level + full] {
            sum += left;
        }
        // A count of all ones is more numbers than memory holds.
        if let Some(place) = self.partial.get_mut(level + full) {
            *place = sum;
        }
        self.count = self.count.wrapping_add(1 << level);
    }

    /// The sum.
    pub(crate) fn sum(&self) -> f64 {
        let set = self.partial.iter().enumerate().filter(|(i, _)| self.count >> i & 1 == 1);
        set.map(|(_, sum)| *sum).reduce(|right, left| left + right).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_together_are_numbers_one_by_one() {
        let numbers: Vec<f64> = (1..200).map(|i| 1.0 / f64::from(i)).collect();
        for first in 0..20 {
            for n in 0..numbers.len() - first {
                let (mut one_by_one, mut together) = (Fold::default(), Fold::default());
                numbers[..first + n].iter().for_each(|x| one_by_one.add(*x));
                together.extend(&numbers[..first]);
                together.extend(&numbers[first..first + n]);
                assert_eq!(together.sum().to_bits(), one_by_one.sum().to_bits(), "{first} and {n}");
            }
        }
    }
}
