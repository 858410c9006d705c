//! Options of other versions of the library: smaller and larger ones than this version's.

#[path = "../../tests/common/guard.rs"]
mod guard;

use guard::{Edge, Guarded};
use nablas_capi::{f64::nablas_dactivation, options::*, process::nablas_last_error, status::nablas_status};
use std::ffi::CStr;

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
    nablas_options { size, threads: 1, isa: nablas_isa::Scalar as i32 }
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
    for size in [0, 1, size_of::<usize>(), size_of::<nablas_options>() - 1, 1 << 20, usize::MAX] {
        // With an edge at the end, the page behind the size cannot be read.
        for edge in [Edge::Start, Edge::End] {
            let word = Guarded::new(&[size], edge);
            assert_eq!(call(word.as_ptr().cast()), (nablas_status::Parameter, 7.0), "{size}");
        }
        assert!(words().contains(&format!("the options' size: expected sizeof(nablas_options), got {size}")));
    }
    // The first version's options, at the end of what can be read.
    let first = Guarded::new(&[options(3 * size_of::<usize>())], Edge::End);
    assert_eq!(call(first.as_ptr()), (nablas_status::Ok, 0.0), "{}", words());
}
