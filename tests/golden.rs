//! The bits of some 300 steps, against lines that are committed: `tests/golden/lines.txt`, one for each case and output.
//!
//! The other tests say that results are right and that all ways to one give the same bits; this one says that they are
//! the bits of yesterday, on every instruction set, with any number of members. Who means to change them writes the lines
//! anew and says so in CHANGELOG.md:
//!
//! ```sh
//! NABLAS_GOLDEN=write cargo test -p nablas --test golden
//! ```
//!
//! Nothing is written while instruction sets, members or ways of calling disagree. `NABLAS_GOLDEN=small` takes the cases
//! of little work alone, with one member and two: what an emulator does in minutes (`tests/external/aarch64.sh`).
//!
//! - `golden/cases.rs` chooses the cases, by a rule.
//! - `golden/steps.rs` makes their inputs and calls the library.
//! - `golden/lines.rs` has the hash and the file.

#[expect(dead_code, reason = "of the activations' definitions no result depends")]
#[path = "common/activations.rs"]
mod activations;
#[path = "golden/cases.rs"]
mod cases;
#[path = "golden/lines.rs"]
mod lines;
#[path = "golden/steps.rs"]
mod steps;

use cases::{Case, Covered, Factor};
use lines::{Element, Line};
use nablas::{IsaToken, Result};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use steps::{Crew, SEATS, Step};

/// Of all complaints, how many are printed.
const PRINTED: usize = 12;

/// What `NABLAS_GOLDEN` asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// All cases, compared.
    Compare,
    /// Those of little work, compared.
    Small,
    /// All cases, their lines written.
    Write,
}

impl Mode {
    fn of_environment() -> Self {
        match std::env::var("NABLAS_GOLDEN").as_deref() {
            Err(_) => Self::Compare,
            Ok("small") => Self::Small,
            Ok("write") => Self::Write,
            Ok(other) => panic!("NABLAS_GOLDEN: expected `small` or `write`, got `{other}`"),
        }
    }

    fn cases(self) -> Vec<&'static Case> {
        cases::all().iter().filter(|c| self != Self::Small || c.work() <= cases::EMULATED).collect()
    }

    fn members(self) -> &'static [usize] {
        if self == Self::Small { &[1, 2] } else { &[1, 2, 3, 8] }
    }
}

/// The lines of a case, and what is wrong with it: on each instruction set and with each crew, its results must be
/// those of the first, and finite.
fn lines_of<T: Element>(case: &Case, crews: &[Crew]) -> Result<(Vec<Line>, Vec<String>)> {
    let step = Step::<T>::new(case)?;
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
    let mut first: Option<Vec<(&str, Vec<T>)>> = None;
    for isa in IsaToken::available() {
        // One lane takes forty times as long as sixteen.
        let every = match case.work() {
            cases::EMULATED.. if isa.name() == "scalar" => crews.len(),
            cases::SMALL.. if isa.name() == "scalar" => 2,
            _ => 1,
        };
        for crew in crews.iter().step_by(every) {
            let by = || format!("{case}, {}, members: {}", isa.name(), crew.members);
            let results = step.run(isa, crew, &mut |what| wrong.push(format!("{}: {what}", by())))?;
            let Some(first) = &first else {
                for (output, values) in &results {
                    if !values.iter().all(|x| x.finite()) {
                        wrong.push(format!("{}: {output} is not finite", by()));
                    }
                    if values.iter().all(|x| *x == T::ZERO) {
                        wrong.push(format!("{}: {output} is 0 throughout, and says little", by()));
                    }
                    lines.push(Line::new(case, output, values));
                }
                first = Some(results);
                continue;
            };
            for ((output, values), (_, expected)) in results.iter().zip(first) {
                if let Some(i) = lines::difference(values, expected) {
                    let (got, expected) = (values[i], expected[i]);
                    wrong.push(format!("{}: {output}[{i}] is {got:?}, at first {expected:?}", by()));
                }
            }
        }
    }
    Ok((lines, wrong))
}

/// [`lines_of`] every case, in their order. Threads take one after the other, the most work first, each with crews of
/// its own.
fn run(cases: &[&Case], members: &[usize]) -> (Vec<Line>, Vec<String>) {
    let mut order: Vec<_> = cases.iter().enumerate().collect();
    order.sort_by_key(|(_, case)| Reverse(case.work()));
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        let crews: Vec<_> = members.iter().map(|m| Crew::new(*m)).collect();
        while let Some((i, case)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let lines =
                if case.is_double() { lines_of::<f64>(case, &crews) } else { lines_of::<f32>(case, &crews) };
            let lines = lines.unwrap_or_else(|e| (Vec::new(), vec![format!("{case}: {e}")]));
            results.lock().expect("no thread panics here").insert(*i, lines);
        }
    };
    let threads = thread::available_parallelism().map_or(1, |n| n.get().min(4));
    thread::scope(|s| (0..threads).for_each(|_| drop(s.spawn(work))));
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
    for (of_case, complaints) in results.into_inner().expect("no thread panics here").into_values() {
        lines.extend(of_case);
        wrong.extend(complaints);
    }
    (lines, wrong)
}

#[test]
fn bits_are_those_of_the_committed_lines() {
    let mode = Mode::of_environment();
    let (found, mut wrong) = run(&mode.cases(), mode.members());
    if mode == Mode::Write && wrong.is_empty() {
        return lines::write(&found);
    }
    if mode != Mode::Write {
        wrong.extend(lines::compare(&found, mode == Mode::Compare));
    }
    // Where there are several members, several work: not in every call, since a small one is over before they come.
    let seats = SEATS.lock().expect("no thread panics here");
    let alone = seats.iter().filter(|((_, members), seats)| *members > 1 && **seats < 2);
    wrong.extend(
        alone.map(|((path, members), _)| format!("{path}, members: {members}: one did all of the work")),
    );
    assert_eq!(seats.len(), 3 * mode.members().len(), "paths and members");
    let shown = wrong[..wrong.len().min(PRINTED)].join("\n");
    assert!(
        wrong.is_empty(),
        "{} complaints, among them\n{shown}\n(see the head of {})",
        wrong.len(),
        file!()
    );
}

/// That an emulator's run is one of what it is for.
#[cfg(target_arch = "aarch64")]
#[test]
fn neon_is_here() {
    assert!(IsaToken::available().any(|isa| isa.name() == "neon"));
}

#[test]
fn cases_cover_what_they_should() {
    let cases = cases::all();
    let names: BTreeSet<_> = cases.iter().map(Case::to_string).collect();
    assert_eq!(names.len(), cases.len(), "two cases are the same");
    let covered = Covered::by(cases);
    // On each path each value of each factor, and each with both types: but for one type a thousand rows layer by
    // layer, which the other has, as that costs as much as all else.
    let factors = || Factor::ALL.into_iter().filter(|f| *f > Factor::Element && *f != Factor::Size);
    for (path, value) in
        Factor::Path.values().flat_map(|p| factors().flat_map(Factor::named).map(move |v| (p, v)))
    {
        for element in Factor::Element.named() {
            let with = if (path, value) == (cases::LAYERED, cases::THOUSAND) { value } else { element };
            let there = covered.has(&(path, with, value));
            let wanted = path == cases::NARROW || value != cases::LONGEST;
            assert_eq!(there, wanted, "path {path}, {element:?}, {value:?}");
        }
    }
    // Slots are longer above some number of parameters.
    let batches = Factor::Batch.named().filter(|b| *b != cases::LONGEST);
    for (batch, size) in batches.flat_map(|b| Factor::Size.named().map(move |s| (b, s))) {
        assert!(covered.has(&(cases::FUSED, batch, size)), "fused: no case of {batch:?} and {size:?}");
    }
    // In an emulator, too, each has its turn.
    let some: BTreeSet<_> = Mode::Small.cases().into_iter().flat_map(Case::features).collect();
    for feature in Factor::ALL.into_iter().flat_map(Factor::named) {
        assert!(some.contains(&feature), "no case of little work has {feature:?}");
    }
}
