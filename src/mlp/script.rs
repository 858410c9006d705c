//! The script of the layered path: which products, packings and sums make a phase. The layer loop dictates its stages
//! once, when the plan is made; the phases of a stage follow from the blocks that its products have.

use super::pass::{self, Layers};
use crate::{
    Scalar,
    product::{Cut, Ops},
};
use alloc::{vec, vec::Vec};
use core::ops::Range;

/// A product of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Forward,
    WeightVjp,
    InputVjp,
}

/// A product, by layer index and kind, and one of the blocks of its B.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) layer: usize,
    pub(crate) kind: Kind,
    pub(crate) block: usize,
    /// Which of two buffers the packed block goes to: a phase reads one while the other is packed.
    pub(crate) buffer: usize,
}

/// Items that share a phase with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Packs a block of B.
    Pack(Part),
    /// Multiplies it.
    Multiply(Part),
    /// δ_L ← ∂L/∂A_L ⊙ g'(Z_L), in blocks of rows.
    OutputDelta,
    /// db of a layer.
    Sums(usize),
    /// Y, where A_L could not be written there.
    CopyY,
    /// dX, where it could not be written in place.
    CopyX,
}

/// Jobs of a phase at most: two products, a column sum, two packings.
pub(crate) type Jobs = [Option<Job>; 5];

/// One phase, or as many as the product with most blocks has of them.
#[derive(Debug, Clone)]
enum Stage {
    /// Nothing but the packing of what comes next.
    Start,
    /// Something that is no product.
    Single(Job),
    /// Products that may run at once.
    Products(Vec<(usize, Kind)>),
}

/// The stages of a plan's calls.
#[derive(Debug)]
pub(crate) struct Script {
    stages: Vec<Stage>,
    /// Those of a forward pass, the copy of Y among them.
    forward: usize,
}

/// What the layer loop dictates.
impl Layers for Vec<Stage> {
    fn forward(&mut self, l: usize) {
        self.push(Stage::Products(vec![(l, Kind::Forward)]));
    }

    fn output_delta(&mut self) {
        self.push(Stage::Single(Job::OutputDelta));
    }

    fn weight_vjp(&mut self, l: usize) {
        self.push(Stage::Products(vec![(l, Kind::WeightVjp)]));
    }

    // δ_l feeds both of its products: they share their phases.
    fn input_vjp(&mut self, l: usize) {
        match self.last_mut() {
            Some(Stage::Products(products)) => products.push((l, Kind::InputVjp)),
            _ => self.push(Stage::Products(vec![(l, Kind::InputVjp)])),
        }
    }
}

impl Script {
    /// Of a network of so many layers.
    pub(crate) fn new(layers: usize) -> Self {
        let mut stages = vec![Stage::Start];
        pass::forward(layers, &mut stages);
        stages.push(Stage::Single(Job::CopyY));
        let forward = stages.len();
        pass::backward(layers, true, &mut stages);
        stages.push(Stage::Single(Job::CopyX));
        Self { stages, forward }
    }

    /// The stages of a call.
    fn range(&self, forward: bool, backward: bool) -> Range<usize> {
        let from = if forward { 0 } else { self.forward };
        from..if backward { self.stages.len() } else { self.forward }
    }

    /// How many phases a call has whose products have so many blocks.
    pub(crate) fn phases(
        &self,
        forward: bool,
        backward: bool,
        blocks: &impl Fn(usize, Kind) -> usize,
    ) -> usize {
        self.stages[self.range(forward, backward)].iter().map(|s| phases_of(s, blocks)).sum()
    }

    /// The jobs of a phase, those that pack for the next one last; `None` past the last phase.
    pub(crate) fn jobs(
        &self,
        (forward, backward): (bool, bool),
        phase: usize,
        blocks: &impl Fn(usize, Kind) -> usize,
    ) -> Option<Jobs> {
        let stages = &self.stages[self.range(forward, backward)];
        let mut i = phase;
        let at = stages.iter().position(|stage| match i.checked_sub(phases_of(stage, blocks)) {
            Some(left) => {
                i = left;
                false
            }
            None => true,
        })?;
        let (mut jobs, mut count) = ([None; 5], 0);
        let mut add = |job| {
            jobs[count] = Some(job);
            count += 1;
        };
        match &stages[at] {
            Stage::Start => {}
            Stage::Single(job) => add(*job),
            Stage::Products(products) => {
                parts(products, i, phase % 2, blocks).for_each(|part| add(Job::Multiply(part)));
                let sums = products.iter().filter(|(_, kind)| i == 0 && *kind == Kind::WeightVjp);
                sums.for_each(|(l, _)| add(Job::Sums(*l)));
            }
        }
        let next = if i + 1 < phases_of(&stages[at], blocks) { (at, i + 1) } else { (at + 1, 0) };
        if let Some(Stage::Products(products)) = stages.get(next.0) {
            parts(products, next.1, (phase + 1) % 2, blocks).for_each(|part| add(Job::Pack(part)));
        }
        Some(jobs)
    }
}

/// The phases of a stage.
fn phases_of(stage: &Stage, blocks: &impl Fn(usize, Kind) -> usize) -> usize {
    match stage {
        Stage::Products(products) => products.iter().map(|p| blocks(p.0, p.1)).max().unwrap_or(0),
        _ => 1,
    }
}

/// Block `i` of each of the products that has so many.
fn parts<'a>(
    products: &'a [(usize, Kind)],
    i: usize,
    buffer: usize,
    blocks: &'a impl Fn(usize, Kind) -> usize,
) -> impl Iterator<Item = Part> + 'a {
    let part = move |&(layer, kind): &(usize, Kind)| {
        (i < blocks(layer, kind)).then_some(Part { layer, kind, block: i, buffer })
    };
    products.iter().filter_map(part)
}

/// The cuts of a layer's products, for the largest batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cuts {
    pub(crate) forward: Cut,
    pub(crate) weights: Cut,
    pub(crate) input: Cut,
    /// Blocks of each; of a weight VJP along n alone, since along k there are as many as the batch has.
    counts: [usize; 3],
    /// Whether a weight VJP is cut along k at all.
    cut_deep: bool,
}

impl Cuts {
    pub(crate) fn new<T: Scalar>(ops: &Ops<T>, batch: usize, (inputs, outputs): (usize, usize)) -> Self {
        let members = ops.engine().threads;
        let forward = ops.cut((batch, outputs, inputs), false, members);
        let weights = ops.cut((outputs, inputs, batch), true, members);
        let input = ops.cut((batch, inputs, outputs), false, members);
        let all = |cut: Cut| cut.blocks().0.saturating_mul(cut.blocks().1);
        let counts = [all(forward), weights.blocks().0, all(input)];
        Self { forward, weights, input, counts, cut_deep: ops.foreign().is_none() }
    }

    /// Blocks of a native weight VJP along k.
    pub(crate) fn deep<T: Scalar>(ops: &Ops<T>, batch: usize) -> usize {
        batch.div_ceil(ops.engine().blocking.kc).max(1)
    }

    pub(crate) fn get(&self, kind: Kind) -> Cut {
        match kind {
            Kind::Forward => self.forward,
            Kind::WeightVjp => self.weights,
            Kind::InputVjp => self.input,
        }
    }

    /// Blocks that a product has in a batch: `deep` of them along k where that is the batch: [`deep`](Self::deep). Looked up for every item, so it divides
    /// nothing.
    pub(crate) fn blocks(&self, kind: Kind, deep: usize) -> usize {
        match kind {
            Kind::Forward => self.counts[0],
            Kind::WeightVjp => self.counts[1] * if self.cut_deep { deep } else { 1 },
            Kind::InputVjp => self.counts[2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every block is multiplied once, in order, and has been packed in the phase before, to a buffer that no other block
    /// is read from then.
    #[test]
    fn blocks_are_packed_in_the_phase_before_they_are_multiplied() {
        let blocks = |l: usize, kind| match kind {
            Kind::Forward => [3, 1, 2][l],
            Kind::WeightVjp => [5, 1, 4][l],
            Kind::InputVjp => [1, 2, 4][l],
        };
        let script = Script::new(3);
        for (call, products) in [((true, false), 6), ((false, true), 17), ((true, true), 23)] {
            let (mut packed, mut multiplied): (Vec<Part>, Vec<Part>) = Default::default();
            let mut sums = Vec::new();
            let mut phase = 0;
            while let Some(jobs) = script.jobs(call, phase, &blocks) {
                let mut next: Vec<Part> = Vec::new();
                for job in jobs.into_iter().flatten() {
                    match job {
                        Job::Multiply(part) => {
                            assert!(packed.contains(&part), "{part:?}");
                            let before =
                                multiplied.iter().filter(|p| (p.layer, p.kind) == (part.layer, part.kind));
                            assert_eq!(before.count(), part.block);
                            multiplied.push(part);
                        }
                        Job::Pack(part) => next.push(part),
                        Job::Sums(l) => sums.push(l),
                        _ => {}
                    }
                }
                let clash = |a: &Part, b: &Part| {
                    a.buffer == b.buffer && (a.kind == Kind::WeightVjp) == (b.kind == Kind::WeightVjp)
                };
                assert!(next.iter().all(|n| packed.iter().all(|p| !clash(n, p))));
                packed = next;
                phase += 1;
            }
            assert_eq!(phase, script.phases(call.0, call.1, &blocks));
            assert_eq!(multiplied.len(), products);
            assert_eq!(sums, if call.1 { vec![2, 1, 0] } else { vec![] });
        }
    }
}
