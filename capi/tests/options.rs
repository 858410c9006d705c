//! Options of other versions of the library: smaller and larger ones than this version's.

#[path = "../../tests/common/guard.rs"]
mod guard;

use guard::{Edge, Guarded};
use nablas_capi::{f64::nablas_dactivation, options::*, process::nablas_last_error, status::nablas_status};
use std::{ffi::CStr, ptr::null};

/// Options of a version to come.
#[repr(C)]
struct Later {
    options: nablas_options,
    more: [u64; 4],
}

fn call(options: *const nablas_options) -> (nablas_status, f64) {
    let (z, mut a) = (-2.0, 7.0);
    // SAFETY: one element each; the options are of some version.
    let status = unsafe {
        nablas_dactivation(1, nablas_activation::Relu as i32, 0.0, &raw const z, &raw mut a, options)
    };
    (status, a)
}

fn words() -> String {
    // SAFETY: the text ends with a zero.
    unsafe { CStr::from_ptr(nablas_last_error()) }.to_string_lossy().into_owned()
}

fn options(size: usize) -> nablas_options {
    nablas_options { size, threads: 1, isa: nablas_isa::Scalar as i32, team: null() }
}

#[test]
fn later_options_are_taken_if_they_ask_for_nothing_new() {
    let size = size_of::<Later>();
    let mut later = Later { options: options(size), more: [0; 4] };
    assert_eq!(call((&raw const later).cast()), (nablas_status::Ok, 0.0), "{}", words());
    later.options.threads = 1 << 20;
    assert_eq!(call((&raw const later).cast()), (nablas_status::Parameter, 7.0), "known fields count");
    later = Later { options: options(size), more: [0, 0, 0, 1 << 63] };
    assert_eq!(call((&raw const later).cast()), (nablas_status::Parameter, 7.0));
    assert!(words().contains("a field set that nablas"), "{}", words());
}

#[test]
fn nothing_but_the_size_is_read_of_what_is_too_small() {
    let (first, ours) = (3 * size_of::<usize>(), size_of::<nablas_options>());
    for size in [0, 1, size_of::<usize>(), first - 1, first + 1, ours - 1, 1 << 20, usize::MAX] {
        // With an edge at the end, the page behind the size cannot be read.
        for edge in [Edge::Start, Edge::End] {
            let word = Guarded::new(&[size], edge);
            assert_eq!(call(word.as_ptr().cast()), (nablas_status::Parameter, 7.0), "{size}");
        }
        assert!(words().contains(&format!("the options' size: expected sizeof(nablas_options), got {size}")));
    }
}

/// The options of the version before teams: two words, and a number that fills a third.
#[repr(C)]
#[derive(Clone, Copy)]
struct First {
    size: usize,
    threads: usize,
    isa: i32,
}

#[test]
fn the_first_versions_options_have_no_team() {
    let first = First { size: size_of::<First>(), threads: 1, isa: nablas_isa::Scalar as i32 };
    // At the end of what can be read: nothing behind them is taken for a team.
    let first = Guarded::new(&[first], Edge::End);
    assert_eq!(call(first.as_ptr().cast()), (nablas_status::Ok, 0.0), "{}", words());
    let more = First { threads: 1 << 20, ..first[0] };
    assert_eq!(call((&raw const more).cast()), (nablas_status::Parameter, 7.0), "known fields count");
}

#[test]
fn a_team_that_is_none_is_refused() {
    let odd = std::ptr::without_provenance(1);
    let options = nablas_options { team: odd, ..options(size_of::<nablas_options>()) };
    assert_eq!(call(&raw const options), (nablas_status::Alignment, 7.0));
    assert!(words().contains("the options' team"), "{}", words());
}
