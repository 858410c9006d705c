//! Which cases: a greedy choice that meets pairs of values of different factors as soon as it can.
//!
//! A case is a value of every factor, and widths that make a network of its path. Of many cases drawn at random (by
//! integers from a fixed seed: the same on every machine) the next one is that which meets most pairs that no case before
//! it has, for its work. So each value of a factor soon stands beside each of another, the first cases cover most, and the
//! expensive ones (a thousand rows through a thousand features) come as often as they must and no oftener.
//!
//! Lines are found by the case's words. So that those of today stay when a factor gets another value (an activation, a
//! loss), cases for it are to be appended to those of this rule, not mixed among them.

use crate::activations;
use core::fmt;
use nablas::{Activation, LossKind, Reduction, Scalar};
use std::sync::OnceLock;

/// How many.
const CASES: usize = 300;
/// Of how many each is the best.
const DRAWN: usize = 150;
/// Work that counts for nothing in the choice.
const CHEAP: u64 = 6_000_000;
/// More than this is not for every crew on one lane.
pub(crate) const SMALL: u64 = 6_000_000;
/// More than this is not for an emulator, and on one lane for one crew alone.
pub(crate) const EMULATED: u64 = 30_000_000;

const WIDTHS: [usize; 11] = [1, 2, 3, 7, 17, 33, 46, 65, 100, 257, 1000];
const BATCHES: [usize; 8] = [1, 2, 23, 24, 25, 193, 1000, 2500];
const PATHS: [&str; 3] = ["fused", "narrow", "layered"];
pub(crate) const FUSED: usize = 0;
pub(crate) const NARROW: usize = 1;
pub(crate) const LAYERED: usize = 2;
const ELEMENTS: [&str; 2] = ["f32", "f64"];
const ACTIVATIONS: usize = 16;
/// Five kinds with values as targets, and softmax cross-entropy with classes.
const LOSSES: usize = 6;
const REDUCTIONS: [Reduction; 2] = [Reduction::Sum, Reduction::Mean];

/// What cases differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Factor {
    Path,
    Element,
    /// Of all layers but the last.
    Hidden,
    /// Of the last layer.
    Last,
    /// Kind and targets, and how they are reduced.
    Loss,
    Batch,
    /// Layers, less one.
    Depth,
    /// Whether dX is asked for.
    Dx,
    /// Whether pre-activations are four times as large.
    Loud,
    /// Of any layer's inputs or outputs.
    Width,
    /// Whether parameters are so many that slots are longer.
    Size,
}

impl Factor {
    pub(crate) const ALL: [Self; 11] = [
        Self::Path,
        Self::Element,
        Self::Hidden,
        Self::Last,
        Self::Loss,
        Self::Batch,
        Self::Depth,
        Self::Dx,
        Self::Loud,
        Self::Width,
        Self::Size,
    ];

    /// The numbers of its values.
    pub(crate) fn values(self) -> core::ops::Range<usize> {
        0..match self {
            Self::Path => PATHS.len(),
            Self::Element | Self::Dx | Self::Loud | Self::Size => 2,
            Self::Hidden | Self::Last => ACTIVATIONS,
            Self::Loss => LOSSES * REDUCTIONS.len(),
            Self::Batch => BATCHES.len(),
            Self::Depth => 5,
            Self::Width => WIDTHS.len(),
        }
    }

    /// Its values, with itself.
    pub(crate) fn named(self) -> impl Iterator<Item = Feature> {
        self.values().map(move |value| (self, value))
    }
}

/// A factor's value.
pub(crate) type Feature = (Factor, usize);

pub(crate) const THOUSAND: Feature = (Factor::Batch, 6);
/// For the narrow path alone, which has one partial gradient up to a thousand rows, and of these four.
pub(crate) const LONGEST: Feature = (Factor::Batch, 7);

/// One network, one batch, one loss.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    /// By [`Factor`], but for what widths decide.
    values: [usize; 9],
    /// n_0 … n_L.
    pub(crate) widths: Vec<usize>,
}

impl Case {
    fn value(&self, factor: Factor) -> usize {
        self.values[factor as usize]
    }

    /// The name of the path that a plan must take.
    pub(crate) fn path(&self) -> &'static str {
        PATHS[self.value(Factor::Path)]
    }

    pub(crate) fn is_double(&self) -> bool {
        self.value(Factor::Element) == 1
    }

    pub(crate) fn batch(&self) -> usize {
        BATCHES[self.value(Factor::Batch)]
    }

    pub(crate) fn with_dx(&self) -> bool {
        self.value(Factor::Dx) == 1
    }

    pub(crate) fn is_loud(&self) -> bool {
        self.value(Factor::Loud) == 1
    }

    /// Of the layers but the last, and of the last.
    pub(crate) fn activations<T: Scalar>(&self) -> [Activation<T>; 2] {
        let all = activations::all();
        [Factor::Hidden, Factor::Last].map(|which| all[self.value(which)])
    }

    pub(crate) fn loss<T: Scalar>(&self) -> (LossKind<T>, Reduction) {
        let kind = match self.value(Factor::Loss) % LOSSES {
            0 => LossKind::Mse,
            1 => LossKind::L1,
            2 => LossKind::Huber(T::from_f64(0.375)),
            3 => LossKind::BceWithLogits,
            _ => LossKind::SoftmaxCrossEntropy,
        };
        (kind, REDUCTIONS[self.value(Factor::Loss) / LOSSES])
    }

    /// Whether targets are classes.
    pub(crate) fn with_classes(&self) -> bool {
        self.value(Factor::Loss) % LOSSES == LOSSES - 1
    }

    /// Multiply-adds of a step, and as many again as four rows have, for what is done once a call.
    pub(crate) fn work(&self) -> u64 {
        let layer = |w: &[usize]| w[0] as u64 * w[1] as u64;
        3 * (self.batch() as u64 + 4) * self.widths.windows(2).map(layer).sum::<u64>()
    }

    /// Its values of all factors, in order. Without a hidden layer it has no activation of one.
    pub(crate) fn features(&self) -> Vec<Feature> {
        let single = self.widths.len() == 2;
        let values =
            Factor::ALL.into_iter().zip(self.values).filter(|(f, _)| !(single && *f == Factor::Hidden));
        let widths = (0..WIDTHS.len()).filter(|at| self.widths.contains(&WIDTHS[*at]));
        let size = usize::from(params(&self.widths) > 1 << 16);
        values.chain(widths.map(|at| (Factor::Width, at))).chain([(Factor::Size, size)]).collect()
    }

    /// Whether a network of any widths may have its values: finite ones, and gradients that are not all 0.
    fn may_be(&self) -> bool {
        let [inner, last] = self.activations::<f64>();
        (self.value(Factor::Path) == NARROW || self.value(Factor::Batch) != LONGEST.1)
            && !(self.is_loud() && ([inner, last].contains(&Activation::Exp) || is_flat(last)))
    }

    /// Whether that of its widths is of its path, and may have them.
    fn is_one(&self) -> bool {
        if path(&self.widths) != self.path() {
            return false;
        }
        let (outputs, hidden) = self.widths[1..].split_last().expect("a layer");
        let [inner, last] = self.activations();
        let softmax = self.value(Factor::Loss) % LOSSES >= 4;
        let alone = softmax && *outputs == 1;
        let dead = is_flat(inner) && hidden.iter().any(|width| *width < 7) || is_flat(last) && *outputs < 17;
        !alone && !dead
    }
}

/// Whether it is flat at both ends or one: few elements may all lie there.
fn is_flat(act: Activation<f64>) -> bool {
    matches!(act, Activation::Relu | Activation::ClippedRelu(_) | Activation::HardSwish)
}

/// What lines are found by.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<_> = self.widths.iter().map(usize::to_string).collect();
        let [hidden, last] = self.activations::<f64>().map(|a| a.name());
        let (kind, reduction) = self.loss::<f64>();
        let hidden = if self.widths.len() > 2 { format!("{hidden},") } else { String::new() };
        let targets = if self.with_classes() { "classes," } else { "" };
        write!(
            f,
            "{} {} {} {hidden}{last}{} {} {},{targets}{}{}",
            self.path(),
            ELEMENTS[self.value(Factor::Element)],
            widths.join("-"),
            if self.is_loud() { ",loud" } else { "" },
            self.batch(),
            kind.name(),
            if reduction == Reduction::Sum { "sum" } else { "mean" },
            if self.with_dx() { " dx" } else { "" },
        )
    }
}

fn params(widths: &[usize]) -> usize {
    widths.windows(2).map(|w| (w[0] + 1) * w[1]).sum()
}

/// The path that a plan takes, as docs/ARCHITECTURE.md, "Three paths", has it.
fn path(widths: &[usize]) -> &'static str {
    let params = params(widths);
    let adds = |padded: fn(usize) -> usize| -> usize {
        let layer = |(l, w): (usize, &[usize])| w[0] * padded(w[1]) + (1 + l.min(1)) * w[1] * padded(w[0]);
        widths.windows(2).enumerate().map(layer).sum()
    };
    if params > 1 << 18 {
        "layered"
    } else if params <= 4096 && 100 * adds(|n| n.next_multiple_of(16)) > 115 * adds(|n| n) {
        "narrow"
    } else {
        "fused"
    }
}

/// Integers without a pattern.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn case(&mut self) -> Case {
        loop {
            let mut case = Case { values: [0; 9], widths: Vec::new() };
            for (value, factor) in case.values.iter_mut().zip(Factor::ALL) {
                *value = self.below(factor.values().len());
            }
            // Most widths make no network of the path; another draw of all would leave out what has few.
            for _ in 0..if case.may_be() { 1000 } else { 0 } {
                case.widths.clear();
                let layers = case.value(Factor::Depth) + 1;
                case.widths.extend((0..=layers).map(|_| WIDTHS[self.below(WIDTHS.len())]));
                if case.is_one() {
                    return case;
                }
            }
        }
    }
}

/// A path, and two values that meet on it, the lesser first; one value, twice.
type Meeting = (usize, Feature, Feature);

/// What a case has.
fn meetings(case: &Case) -> Vec<Meeting> {
    let path = case.value(Factor::Path);
    let features: Vec<_> = case.features().into_iter().filter(|(f, _)| *f != Factor::Path).collect();
    let mut meetings = Vec::with_capacity(features.len() * (features.len() + 1) / 2);
    for (j, b) in features.iter().enumerate() {
        meetings.extend(features[..=j].iter().map(|a| (path, *a, *b)));
    }
    meetings
}

/// What some case has.
pub(crate) struct Covered(Vec<bool>);

impl Covered {
    /// Values at most of a factor, and of all factors.
    const MOST: usize = 16;
    const ALL: usize = Factor::ALL.len() * Self::MOST;

    pub(crate) fn by(cases: &[Case]) -> Self {
        let mut covered = Self(vec![false; PATHS.len() * Self::ALL * Self::ALL]);
        cases.iter().for_each(|case| covered.add(case));
        covered
    }

    fn at((path, a, b): &Meeting) -> usize {
        let at = |(factor, value): &Feature| *factor as usize * Self::MOST + value;
        (path * Self::ALL + at(a)) * Self::ALL + at(b)
    }

    pub(crate) fn has(&self, meeting: &Meeting) -> bool {
        self.0[Self::at(meeting)]
    }

    fn add(&mut self, case: &Case) {
        meetings(case).iter().for_each(|m| self.0[Self::at(m)] = true);
    }
}

/// What a meeting is worth: first that each value is met on each path, then that it is with both types; then large
/// batches, whose sums over rows are cut.
fn worth((_, a, b): &Meeting) -> u64 {
    match (*a, *b) {
        _ if a == b => 5000,
        ((Factor::Element, _), _) | ((Factor::Batch, _), (Factor::Size, _)) => 400,
        ((Factor::Batch, i), _) | (_, (Factor::Batch, i)) => 1 + i as u64,
        _ => 1,
    }
}

/// The cases, chosen once.
pub(crate) fn all() -> &'static [Case] {
    static ALL: OnceLock<Vec<Case>> = OnceLock::new();
    ALL.get_or_init(choose)
}

fn choose() -> Vec<Case> {
    let (mut draws, mut cases, mut covered) = (Draws(1), Vec::new(), Covered::by(&[]));
    while cases.len() < CASES {
        let mut best: Option<(u64, Case)> = None;
        for _ in 0..DRAWN {
            let case = draws.case();
            let value: u64 = meetings(&case).iter().filter(|m| !covered.has(m)).map(worth).sum();
            let better = |(other, best): &(u64, Case)| {
                let (this, that) = (CHEAP + case.work(), CHEAP + best.work());
                u128::from(value) * u128::from(that) > u128::from(*other) * u128::from(this)
            };
            if best.as_ref().is_none_or(better) && !cases.contains(&case) {
                best = Some((value, case));
            }
        }
        let Some((_, case)) = best else { continue };
        covered.add(&case);
        cases.push(case);
    }
    cases
}
