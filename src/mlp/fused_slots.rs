//! The slots of the fused path, by parameters and batch.

use super::slots::{MAX_SLOTS, Slots};
use nablas_kernels::gemm::tile::CHAIN;

/// Rows of a slot at least.
pub(super) fn least_rows(params: usize) -> usize {
    // A slot's gradient is folded once and its rows are summed `rows` times: the more parameters leave L1 and
    // L2, the more rows a slot must have for the fold to be lost in the noise.
    match params {
        0..=65_536 => 64,
        _ => 192,
    }
}

/// Slots that no batch of at most `batch` rows exceeds.
pub(super) fn max_slots(params: usize, batch: usize) -> usize {
    match least_rows(params) {
        least if batch < 2 * least => 1,
        least => (batch / least).min(MAX_SLOTS),
    }
}

/// The partial gradients of a batch. By shape alone.
pub(super) fn slots(params: usize, batch: usize) -> Slots {
    Slots::new(batch, max_slots(params, batch), 24, CHAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_cover_the_batch() {
        for params in [10, 20_000, 200_000] {
            for batch in (1..3000).chain([65_536, 262_144, 1_000_003]) {
                let Slots { count, rows, .. } = slots(params, batch);
                assert!((1..=MAX_SLOTS).contains(&count) && count <= max_slots(params, batch));
                assert!(
                    count * rows >= batch && (count - 1) * rows < batch,
                    "{params} {batch}: {count} × {rows}"
                );
            }
        }
    }
}
