//! Where threads have no affinity that this library knows how to set: the system places them.

use super::TeamOptions;
use crate::error::Result;

/// Where a member may run.
#[derive(Debug, Default)]
pub(super) struct Place;

/// The processors of a team.
#[derive(Debug)]
pub(super) struct Processors;

impl Processors {
    pub(super) fn new(_: &TeamOptions, _: usize) -> Result<Self> {
        Ok(Self)
    }

    pub(super) fn settle(&self, _: &Place) {}

    pub(super) fn here(&self) -> Option<usize> {
        None
    }

    pub(super) fn keep_off(&self, _: usize, _: usize, _: &Place) {}
}

/// Whether a quota grants less than the processors that there are: not known.
pub(super) fn quota(_: usize) -> bool {
    false
}

/// How many of the named processors there are to be had.
pub(super) fn count(named: &[usize]) -> usize {
    named.len()
}
