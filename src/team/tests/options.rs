//! What a team can be made of.

use super::*;
use crate::Error;
use core::time::Duration;

#[test]
fn a_team_has_one_to_1024_threads() {
    for threads in [0, 1025, usize::MAX] {
        let refused = Team::new(&TeamOptions::new().threads(threads));
        assert!(matches!(refused, Err(Error::Parameter { .. })), "{refused:?}");
    }
    let team = Team::new(&TeamOptions::new().threads(2)).expect("a team");
    assert_eq!(team.clone().threads(), 2);
}

#[test]
fn the_default_team_has_threads() {
    let threads = default_threads().expect("NABLAS_NUM_THREADS, if set, is a number");
    assert!((1..=1024).contains(&threads));
    assert_eq!(available_threads(), Ok(threads));
    let team = Team::new(&TeamOptions::new()).expect("a team");
    assert_eq!(team.threads(), threads);
    for items in PHASES {
        let s = Checked::new(items, threads + 1);
        assert!(run(None, exactly(threads + 1), &s) <= threads);
        s.all_ran();
    }
}

#[test]
fn options_are_values() {
    let options = TeamOptions::new().threads(3).processors(0..2).linger(Duration::ZERO).affinity(false);
    assert_eq!(options, options.clone());
    assert_ne!(options, TeamOptions::default());
    assert_eq!(TeamOptions::new().affinity(true), TeamOptions::default());
}

#[cfg(target_os = "linux")]
#[test]
fn processors_that_are_not_there_are_refused() {
    for named in [&[][..], &[1_000_000], &[1023, usize::MAX]] {
        let refused = Team::new(&TeamOptions::new().threads(2).processors(named.iter().copied()));
        assert!(matches!(refused, Err(Error::Parameter { .. })), "{named:?}: {refused:?}");
    }
}
