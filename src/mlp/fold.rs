//! Partial gradients: who makes which of them, where they lie, and the tree that adds them.
//!
//! The tree is by slots alone: slot s + 2ⁱ is added to slot s, i ascending. An item has a group of slots, a power of two of them
//! from a multiple of it on, which is a subtree: it makes one after the other, and adds each to its left neighbour as soon as
//! both are whole, while they are in cache. What waits is a stack, of as many sums as the number of slots done has bits. The
//! groups' sums are folded at the end, by the rest of the tree. How large groups are leaves no trace in the bits.

use super::{call::Call, params::Places};
use crate::{Scalar, memory::Strided};
use nablas_kernels::gemm::dense::FoldSlots;

/// Elements of every sum that an item of the last fold adds.
const CHUNK: usize = 4096;

/// Groups that a member has at least, if there are so many slots: for balance.
const GROUPS: usize = 8;

/// The slots of a call, cut into groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Groups {
    slots: usize,
    /// Slots of a group: a power of two.
    pub(crate) each: usize,
}

impl Groups {
    /// For so many members.
    pub(crate) fn new(slots: usize, members: usize) -> Self {
        let each = match members {
            1 => slots.next_power_of_two(),
            _ => 1 << (slots / (GROUPS * members)).max(1).ilog2(),
        };
        Self { slots, each }
    }

    /// How many.
    pub(crate) fn count(self) -> usize {
        if self.each == 1 { self.slots } else { self.slots.div_ceil(self.each) }
    }

    /// The slots of one.
    pub(crate) fn slots(self, group: usize) -> core::ops::Range<usize> {
        group * self.each..self.slots.min((group + 1) * self.each)
    }

    /// Sums that wait in a group, beside its own.
    fn depth(self) -> usize {
        self.each.ilog2() as usize
    }

    /// Sums that calls of up to so many slots and members have at once, beside the caller's gradient.
    pub(crate) fn room(slots: usize, members: usize) -> usize {
        let alone = slots.next_power_of_two().ilog2() as usize;
        if members == 1 { alone } else { (slots - 1).min(members.saturating_mul(2 * GROUPS + 2)) }
    }
}

/// Where the sums of a call lie: the first group's in the caller's gradient, the others in the workspace; after them what waits in
/// each seat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums(pub(crate) Strided);

impl Sums {
    fn nth<T: Scalar>(self, call: &Call<'_, T>, i: usize) -> *mut T {
        call.memory.add(self.0.nth(i))
    }

    /// The sum of a group.
    pub(crate) fn group<'a, T: Scalar>(
        self,
        call: &Call<'a, T>,
        grads: Places<'a, T>,
        g: usize,
    ) -> Places<'a, T> {
        if g == 0 { grads } else { Places::flat(&call.setup.mlp, self.nth(call, g - 1)) }
    }

    /// Makes a group's sum: `slot` makes the gradient of a slot where it is told.
    ///
    /// # Safety
    /// The sums are the call's, the group the item's.
    pub(crate) unsafe fn make<T: Scalar>(
        self,
        call: &Call<'_, T>,
        grads: Places<'_, T>,
        groups: Groups,
        (seat, g): (usize, usize),
        mut slot: impl FnMut(usize, Places<'_, T>),
    ) {
        let (own, mlp, range) = (self.group(call, grads, g), &call.setup.mlp, groups.slots(g));
        // One group is one item, whoever's: it has the first stack.
        let seat = if groups.count() == 1 { 0 } else { seat };
        debug_assert!(seat < call.seats().max(1) || groups.depth() == 0);
        let stacked = |below: usize| self.nth(call, groups.count() - 1 + seat * groups.depth() + below - 1);
        let sum = |below: usize| if below == 0 { own } else { Places::flat(mlp, stacked(below)) };
        for s in range.clone() {
            // Slots done before wait in subtrees, one for each bit of their number: so many sums are below this one.
            let done = s - range.start;
            let below = done.count_ones() as usize;
            slot(s, sum(below));
            let whole = if s + 1 == range.end { below } else { done.trailing_ones() as usize };
            for right in (below - whole + 1..=below).rev() {
                // SAFETY: the caller's promise; what waits is the seat's own.
                unsafe { add(call, sum(right - 1), stacked(right)) }
            }
        }
    }
}

impl Sums {
    /// Items that fold the groups.
    pub(crate) fn items<T: Scalar>(call: &Call<'_, T>, groups: Groups) -> usize {
        if groups.count() <= 1 { 0 } else { call.setup.mlp.param_len().div_ceil(CHUNK) }
    }

    /// Adds an item's part of the groups into the first.
    ///
    /// # Safety
    /// The sums are the call's, and nothing writes them any more.
    pub(crate) unsafe fn fold<T: Scalar>(
        self,
        call: &Call<'_, T>,
        grads: Places<'_, T>,
        groups: Groups,
        item: usize,
    ) {
        let (from, end) = (item * CHUNK, call.setup.mlp.param_len());
        let (stride, count) = (self.0.stride, groups.count());
        for (from, first, len) in grads.pieces(from, end.min(from + CHUNK)) {
            let rest = call.memory.add(self.0.first + from);
            // SAFETY: items fold disjoint parts of the sums.
            unsafe { call.setup.engine().run_raw(FoldSlots { first, rest, stride, count, len }) };
        }
    }
}

/// A gradient in flat memory added to another.
///
/// # Safety
/// Both are as long as the parameters, and nothing else accesses them.
pub(crate) unsafe fn add<T: Scalar>(call: &Call<'_, T>, to: Places<'_, T>, rest: *mut T) {
    for (from, first, len) in to.pieces(0, call.setup.mlp.param_len()) {
        let rest = rest.wrapping_add(from);
        // SAFETY: the caller's promise.
        unsafe { call.setup.engine().run_raw(FoldSlots { first, rest, stride: 0, count: 2, len }) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_room_and_are_subtrees() {
        for slots in 1..=64 {
            for threads in 1..=70 {
                let room = Groups::room(slots, threads);
                for members in 1..=threads {
                    let groups = Groups::new(slots, members);
                    let (count, stacks) = (groups.count(), members.min(groups.count()) * groups.depth());
                    assert!(groups.each.is_power_of_two() && (0..count).all(|g| !groups.slots(g).is_empty()));
                    assert_eq!(groups.slots(count - 1).end, slots);
                    assert!(members == 1 && count == 1 || count >= slots.min(GROUPS * members));
                    assert!(count - 1 + stacks <= room, "{slots} slots, {members} of {threads}");
                }
            }
        }
    }
}
