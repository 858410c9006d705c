//! How many threads calls bring that do not say.

use crate::failure::Failure;
use nablas::{Error, PlanOptions, Team, TeamOptions, team};
use pyo3::prelude::*;
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

/// What `set_num_threads` said; 0 for nothing.
static SET: AtomicUsize = AtomicUsize::new(0);

/// The threads of a call that names `threads` of them, or none: then what was set, `NABLAS_NUM_THREADS`, or the
/// processors.
pub(crate) fn threads(named: Option<usize>) -> nablas::Result<usize> {
    match named {
        Some(threads) => check(threads),
        None => match SET.load(Ordering::Relaxed) {
            0 => team::default_threads(),
            set => Ok(set),
        },
    }
}

/// Teams of more threads than that of the process, one for each number of them. Nobody waits for the lock: a child of a
/// fork may find it taken for ever.
static LARGER: Mutex<Vec<Team>> = Mutex::new(Vec::new());

/// The team for a plan of more threads than the team of the process has.
pub(crate) fn team(threads: usize) -> nablas::Result<Option<Team>> {
    if threads <= team::default_threads()? {
        return Ok(None);
    }
    let mut teams = LARGER.try_lock().ok();
    if let Some(team) = teams.as_deref().and_then(|teams| teams.iter().find(|t| t.threads() == threads)) {
        return Ok(Some(team.clone()));
    }
    let team = Team::new(&TeamOptions::new().threads(threads))?;
    if let Some(teams) = &mut teams {
        teams.push(team.clone());
    }
    Ok(Some(team))
}

/// The options of a plan.
pub(crate) fn options(max_batch: usize, named: Option<usize>) -> nablas::Result<PlanOptions> {
    let threads = threads(named)?;
    let options = PlanOptions::new(max_batch).threads(threads);
    Ok(match team(threads)? {
        Some(team) => options.team(&team),
        None => options,
    })
}

fn check(threads: usize) -> nablas::Result<usize> {
    if (1..=1024).contains(&threads) {
        return Ok(threads);
    }
    Err(Error::Parameter { what: "threads", expected: "1 to 1024", got: threads as f64 })
}

/// Sets the threads at most of what is made from now on without naming them: 0 for the default, which is
/// `NABLAS_NUM_THREADS`, or as many as the process has processors. Plans keep what they were made with.
#[pyfunction]
fn set_num_threads(threads: usize) -> PyResult<()> {
    let threads = if threads == 0 { 0 } else { check(threads).map_err(Failure::from)? };
    SET.store(threads, Ordering::Relaxed);
    Ok(())
}

/// What `set_num_threads` said last, 0 before.
#[pyfunction]
fn _set_threads() -> usize {
    SET.load(Ordering::Relaxed)
}

/// The threads at most of what is made without naming them.
#[pyfunction]
fn get_num_threads() -> PyResult<usize> {
    Ok(threads(None).map_err(Failure::from)?)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(_set_threads, m)?)?;
    m.add_function(wrap_pyfunction!(get_num_threads, m)?)
}
