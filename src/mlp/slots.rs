//! The minibatch cut into slots: runs of rows, each with a partial gradient of its own.
//!
//! A slot's rows are summed in order, in chains of so many rows (a *run*); the slots are added by a fixed tree. All of it
//! by shape alone, since it decides in which order the batch is summed.

/// Slots at most: partial gradients of a batch.
pub(crate) const MAX_SLOTS: usize = 64;

/// The slots of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slots {
    /// How many.
    pub(crate) count: usize,
    /// Rows of each; the last may have fewer.
    pub(crate) rows: usize,
    /// Rows whose sums are one chain.
    pub(crate) run: usize,
}

/// A tile of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// It starts a run, and ends one.
    pub(crate) starts: bool,
    pub(crate) ends: bool,
    /// Its run is the slot's first.
    pub(crate) first: bool,
}

impl Slots {
    /// `batch` rows in at most `most` slots of a multiple of `unit` rows.
    #[inline]
    pub(crate) fn new(batch: usize, most: usize, unit: usize, run: usize) -> Self {
        if most == 1 {
            // Without a division: small batches ask for it several times a call.
            return Self { count: usize::from(batch > 0), rows: batch.next_multiple_of(unit), run };
        }
        let rows = batch.div_ceil(most).next_multiple_of(unit);
        Self { count: batch.div_ceil(rows.max(1)), rows, run }
    }

    /// The tiles of slot `s` of a batch, of at most `tile` rows: runs are whole tiles.
    pub(crate) fn tiles(self, s: usize, batch: usize, tile: usize) -> impl Iterator<Item = Span> {
        let (from, to) = (s * self.rows, batch.min((s + 1) * self.rows));
        let mut start = from;
        core::iter::from_fn(move || {
            (start < to).then(|| {
                let run = from + (start - from) / self.run * self.run;
                let stop = to.min(run + self.run);
                let end = stop.min(start + tile);
                let span = Span { start, end, starts: start == run, ends: end == stop, first: run == from };
                start = end;
                span
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_the_batch_in_order() {
        for batch in [1, 23, 192, 193, 1000, 40_000] {
            for (most, unit, run, tile) in [(1, 24, 512, 192), (64, 24, 512, 48), (7, 64, 8192, 512)] {
                let slots = Slots::new(batch, most, unit, run);
                assert!(slots.count <= most && slots.count * slots.rows >= batch);
                let (mut row, mut length) = (0, 0);
                for s in 0..slots.count {
                    for t in slots.tiles(s, batch, tile) {
                        let in_slot = t.start - s * slots.rows;
                        assert_eq!(t.start, row);
                        assert_eq!(t.starts, in_slot.is_multiple_of(run));
                        assert_eq!(t.first, in_slot < run);
                        length = if t.starts { 0 } else { length } + t.end - t.start;
                        assert!(t.end > t.start && t.end - t.start <= tile && length <= run);
                        assert_eq!(t.ends, length == run || t.end == batch.min((s + 1) * slots.rows));
                        row = t.end;
                    }
                }
                assert_eq!(row, batch);
            }
        }
    }
}
