//! How a product is shared out: blocks of B, and the items of each.

use nablas_kernels::gemm::{
    blocked::Blocking,
    pack::Share,
    shape::{PAD, padded},
};

/// Rows of an item are a multiple of this: whole tiles of six and of twelve.
const ROWS: usize = 12;
/// Columns of a panel at most: an item has about as many of them as any other.
const PANEL: usize = 64;
/// Elements that an item packs at least.
const PACKED: usize = 16 << 10;

/// The cut of a product m × n × k. It leaves no trace in the bits, so it may go by the number of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    /// Depth and columns of a block.
    kc: usize,
    nc: usize,
    /// Rows of C that an item has.
    rows: usize,
    /// Shares that the panels of a block go into: an item has one.
    shares: usize,
    /// Items that pack a block; 0 where B is read in place.
    packs: usize,
}

/// A block of B, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) col: usize,
    pub(crate) n: usize,
    pub(crate) depth: usize,
    pub(crate) k: usize,
}

impl Cut {
    /// Cuts m × n × k for so many members.
    pub(crate) fn new(blocking: Blocking, members: usize, (m, n, k): (usize, usize, usize)) -> Self {
        let nc = even(n, blocking.nc, PANEL);
        let kc = blocking.kc;
        let (rows, shares) = grid(members, (m, nc.min(n), k.min(kc)));
        let packs =
            if members == 1 { 1 } else { (nc * kc.min(k) / PACKED).clamp(1, nc.div_ceil(PANEL).max(1)) };
        Self { m, n, k, kc, nc, rows, shares, packs }
    }

    /// A product that is cut into blocks of rows and nothing else.
    pub(crate) fn by_rows((m, n, k): (usize, usize, usize), rows: usize) -> Self {
        Self { m, n, k, kc: k.max(1), nc: n.max(1), rows: rows.max(1), shares: 1, packs: 0 }
    }

    /// The cut of a product with other sizes of what varies with the batch: no larger than it was made for.
    pub(crate) fn resized(self, m: usize, k: usize) -> Self {
        let items = self.m.div_ceil(self.rows).max(1);
        let rows = whole(m.div_ceil(items), ROWS).min(self.rows);
        // With fewer rows there are fewer items: shares make up for it.
        let lost = items.div_ceil(m.div_ceil(rows.max(1)).max(1));
        let shares = (self.shares * lost).min(self.nc.div_ceil(PANEL)).max(self.shares);
        Self { m, k, rows: rows.max(1), shares, ..self }
    }

    /// With B read where it lies.
    pub(crate) fn in_place(self) -> Self {
        Self { packs: 0, ..self }
    }

    /// Blocks along n, and along k; at least one of each.
    pub(crate) fn blocks(&self) -> (usize, usize) {
        (self.n.div_ceil(self.nc).max(1), self.k.div_ceil(self.kc).max(1))
    }

    /// Block `i`, if there is one: along k first.
    pub(crate) fn nth(&self, i: usize) -> Option<At> {
        let (wide, deep) = self.blocks();
        let (j, p) = (i / deep, i % deep);
        let (col, depth) = (j * self.nc, p * self.kc);
        (j < wide).then(|| At { col, n: self.nc.min(self.n - col), depth, k: self.kc.min(self.k - depth) })
    }

    /// Items that multiply a block.
    pub(crate) fn items(&self) -> usize {
        if self.n == 0 { 0 } else { self.m.div_ceil(self.rows).saturating_mul(self.shares) }
    }

    /// Items that pack a block.
    pub(crate) fn packs(&self) -> usize {
        self.packs
    }

    /// The rows of an item, from the first on, and its share of the panels.
    pub(crate) fn item(&self, i: usize) -> (usize, usize, Share) {
        // Neighbours share rows: what a member has of A in its cache serves its next item.
        let row = i / self.shares * self.rows;
        let share = Share { index: i % self.shares, count: self.shares };
        (row, self.rows.min(self.m - row), share)
    }

    /// Elements of a packed block.
    pub(crate) fn packed_len(&self) -> usize {
        self.kc.min(self.k).saturating_mul(padded(self.nc.min(self.n)))
    }

    /// Where a block starts if B is packed whole, block after block.
    pub(crate) fn offset(&self, at: At) -> usize {
        self.k * at.col + at.depth * padded(at.n)
    }
}

/// `n` rounded up to a multiple of `unit`, or as far as numbers go.
fn whole(n: usize, unit: usize) -> usize {
    n.checked_next_multiple_of(unit).unwrap_or(usize::MAX)
}

/// Parts of equal size, at most `most`: 600 = 320 + 280, not 512 + 88.
fn even(n: usize, most: usize, unit: usize) -> usize {
    let parts = n.div_ceil(most).max(1);
    whole(n.div_ceil(parts), unit).min(most).max(PAD)
}

/// The rows of an item and the shares of a block's panels for which the last member is done first: by the
/// multiply-adds of the largest item, and what an item costs besides, in the same unit.
fn grid(members: usize, (m, n, k): (usize, usize, usize)) -> (usize, usize) {
    if members <= 1 || m == 0 {
        return (m.max(1), 1);
    }
    let (mut best, mut least) = ((m, 1), f64::INFINITY);
    let panels = n.div_ceil(PANEL).max(1);
    for tall in 1..=(4 * members).min(m.div_ceil(ROWS)) {
        let rows = whole(m.div_ceil(tall), ROWS).min(m);
        let tall = m.div_ceil(rows);
        for each in 1..=4 {
            let shares = (each * members).div_ceil(tall).min(panels);
            let (r, c, k) = (rows as f64, (panels.div_ceil(shares) * PANEL).min(n) as f64, k as f64);
            // Panels come from L3, rows are packed or come from there: some eight multiply-adds an element.
            let item = r * c * k + 8.0 * k * (r + c) + 5e3;
            let time = tall.saturating_mul(shares).div_ceil(members) as f64 * item;
            if time < least {
                (best, least) = ((rows, shares), time);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};
    use nablas_kernels::cache;

    /// Every element of C is multiplied once for every step of k.
    fn covers(cut: &Cut) {
        let (wide, deep) = cut.blocks();
        let blocks: Vec<At> = (0..=wide * deep).filter_map(|b| cut.nth(b)).collect();
        assert_eq!(blocks.len(), wide * deep);
        let area: usize = blocks.iter().map(|b| b.n * b.k).sum();
        assert_eq!(area, cut.n * cut.k, "{cut:?}");
        assert!(blocks.iter().all(|b| b.depth % nablas_kernels::gemm::tile::CHAIN == 0));
        // Shares of as many columns as there are stand for the panels.
        let mut seen = vec![0; cut.m];
        for i in 0..cut.items() {
            let (row, rows, share) = cut.item(i);
            let (from, to) = share.of(cut.n);
            (row..row + rows).for_each(|r| seen[r] += to - from);
        }
        assert!(cut.n == 0 || seen.iter().all(|n| *n == cut.n), "{cut:?}");
    }

    #[test]
    fn cuts_cover_the_product() {
        let blocking = Blocking::new(cache::detect(), 4);
        for members in [1, 2, 3, 8, 64] {
            for m in [0, 1, 12, 25, 256, 1000] {
                for (n, k) in [(1, 1), (10, 513), (512, 784), (5000, 3), (0, 4), (17, 0)] {
                    let cut = Cut::new(blocking, members, (m, n, k));
                    covers(&cut);
                    [m, m / 2, m.min(1)].into_iter().for_each(|m| covers(&cut.resized(m, k)));
                    covers(&cut.resized(m, k / 2));
                    covers(&Cut::by_rows((m, n, k), 16));
                }
            }
        }
    }

    #[test]
    fn two_members_have_about_equal_shares() {
        let blocking = Blocking::new(cache::detect(), 4);
        for (m, n, k) in [(256, 512, 784), (16, 512, 784), (512, 784, 256), (1024, 4096, 4096)] {
            let cut = Cut::new(blocking, 2, (m, n, k));
            let mut work: Vec<usize> = (0..cut.items()).map(|i| cut.item(i).1).collect();
            work.sort_unstable();
            let (all, mut loads) = (work.iter().sum::<usize>(), [0, 0]);
            for w in work.into_iter().rev() {
                loads.sort_unstable();
                loads[0] += w;
            }
            assert!(loads.iter().max().is_some_and(|l| *l as f64 <= 0.53 * all as f64), "{cut:?} {loads:?}");
        }
    }
}
