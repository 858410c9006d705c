//! Calls over matrices without elements: their pointers may be NULL, and what is a sum of nothing is zero.

#![expect(clippy::undocumented_unsafe_blocks, reason = "every call here is one of a C program")]

use nablas::Activation;
use nablas_capi::{f32::*, f64::*, options::*, process::*, status::nablas_status as Status};
use std::{
    ffi::CStr,
    ptr::{null, null_mut},
};

fn last() -> String {
    unsafe { CStr::from_ptr(nablas_last_error()) }.to_string_lossy().into_owned()
}

/// What outputs hold before a call.
const BEFORE: f32 = 7.0;

#[test]
fn input_vjps_of_no_rows_need_no_state_and_zero_db() {
    let (n, m, w) = (3, 5, [0.5f32; 15]);
    for act in 0..Activation::<f32>::COUNT as i32 {
        let mut db = [BEFORE; 3];
        let (delta, state, mask, out) = (null(), null(), null(), null_mut());
        let status = unsafe {
            let (w, db) = (w.as_ptr(), db.as_mut_ptr());
            nablas_sdense_vjp_input(0, n, m, delta, m, w, n, act, 1.0, state, n, mask, out, n, db, null())
        };
        assert_eq!((status, db), (Status::Ok, [0.0; 3]), "activation {act}: {}", last());
        // Nor do rows of no inputs.
        let delta = [1.0f64; 20];
        let (w, state, out) = (null(), null(), null_mut());
        let status = unsafe {
            let (d, db) = (delta.as_ptr(), null_mut());
            nablas_ddense_vjp_input(4, 0, m, d, m, w, 0, act, 1.0, state, 0, mask, out, 0, db, null())
        };
        assert_eq!(status, Status::Ok, "activation {act}: {}", last());
    }
}

#[test]
fn weight_and_bias_vjps_of_no_rows_are_zero() {
    let (n, m) = (3, 5);
    for (accumulate, expected) in [(0, 0.0), (1, BEFORE)] {
        let (mut dw, mut db) = ([BEFORE; 15], [BEFORE; 5]);
        let (delta, a) = (null(), null());
        let status = unsafe {
            let (dw, db) = (dw.as_mut_ptr(), db.as_mut_ptr());
            nablas_sdense_vjp_weights(0, n, m, delta, m, a, n, accumulate, dw, n, db, null())
        };
        assert_eq!((status, dw, db), (Status::Ok, [expected; 15], [0.0; 5]), "{}", last());
    }
    let mut db = [BEFORE; 5];
    let status = unsafe { nablas_sdense_vjp_bias(0, m, null(), m, db.as_mut_ptr(), null()) };
    assert_eq!((status, db), (Status::Ok, [0.0; 5]), "{}", last());
}

/// Rows without elements take no memory, so a caller may have any number of them, and no time.
#[test]
fn losses_of_no_outputs_are_zero_however_many_rows() {
    for loss in 0..=nablas_loss::SoftmaxCrossEntropy as i32 {
        // The value alone, and with a delta.
        for delta in [null_mut(), std::ptr::dangling_mut()] {
            let (mut value, y, targets, classes) = (BEFORE, null(), null(), null());
            let status = unsafe {
                let value = &raw mut value;
                nablas_sloss(1 << 59, 0, loss, 1.0, 1, y, 0, targets, 0, classes, value, delta, 0, null())
            };
            assert_eq!((status, value), (Status::Ok, 0.0), "loss {loss}: {}", last());
        }
    }
}
