//! The members that a call has claimed.

use super::{
    call::Call,
    member::{Idle, Member, word},
};

/// Members claimed for a call. All are between the first and the last, not all between are.
pub(super) struct Muster<'a> {
    members: &'a [Member],
    call: &'a Call<'a>,
    first: usize,
    end: usize,
    claimed: usize,
}

/// Runs `body`, which may claim members for the call; then takes the call back from each, however `body` ends.
pub(super) fn with<R>(members: &[Member], call: &Call<'_>, body: impl FnOnce(&mut Muster<'_>) -> R) -> R {
    body(&mut Muster { members, call, first: members.len(), end: 0, claimed: 0 })
}

impl Muster<'_> {
    /// Claims at most `wanted` members that wait that way; `ready` sees each, sleeping ones before they are woken.
    pub(super) fn claim(&mut self, idle: Idle, wanted: usize, mut ready: impl FnMut(usize, &Member)) {
        let mut left = wanted;
        for (i, member) in self.members.iter().enumerate() {
            if left == 0 {
                break;
            }
            // SAFETY: the call is borrowed for as long as this value lives, whose end takes it back; `with` lends the
            // value alone, so that it cannot be forgotten.
            if !unsafe { member.claim(word(self.call), idle) } {
                continue;
            }
            self.first = self.first.min(i);
            self.end = self.end.max(i + 1);
            self.claimed += 1;
            left -= 1;
            ready(i, member);
            if idle == Idle::Asleep {
                member.wake();
            }
        }
    }

    /// Members claimed.
    pub(super) fn claimed(&self) -> usize {
        self.claimed
    }
}

impl Drop for Muster<'_> {
    fn drop(&mut self) {
        for member in self.members.get(self.first..self.end).unwrap_or_default() {
            member.take_back(word(self.call));
        }
    }
}
