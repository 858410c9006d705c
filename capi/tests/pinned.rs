//! A call that pins an instruction set asks the environment for none: `NABLAS_ISA` names one that nobody has, and only
//! the calls that leave the choice to it are refused.

use nablas_capi::{f32::*, f64::*, options::*, process::nablas_check_isa, status::nablas_status as Status};
use std::ptr::{null, null_mut};

fn run(options: *const nablas_options, expected: Status) {
    let mut made = Vec::new();
    let mut is = |what: &str, status| {
        assert_eq!(status, expected, "{what}");
        made.push(what.to_owned());
    };
    let (x, w, mut a) = ([1.0f32, 2.0], [3.0f32, 4.0], [0.0f32; 4]);
    let (x, w, a) = (x.as_ptr(), w.as_ptr(), a.as_mut_ptr());
    let (mut params, grads, mut value) = ([0.0f64; 3], [1.0f64; 3], 0.0f64);
    // SAFETY: operands as the header says, of one or two elements; handles are made before they are used.
    unsafe {
        is(
            "forward",
            nablas_sdense_forward(
                1,
                2,
                1,
                x,
                2,
                w,
                2,
                null(),
                0,
                0.0,
                a,
                1,
                null_mut(),
                0,
                null_mut(),
                options,
            ),
        );
        is(
            "input",
            nablas_sdense_vjp_input(
                1,
                2,
                1,
                x,
                1,
                w,
                2,
                0,
                0.0,
                null(),
                0,
                null(),
                a,
                2,
                null_mut(),
                options,
            ),
        );
        is("weights", nablas_sdense_vjp_weights(1, 2, 1, x, 1, w, 2, 0, a, 2, null_mut(), options));
        is("bias", nablas_sdense_vjp_bias(1, 2, x, 2, a, options));
        is("gemm", nablas_sgemm(0, 0, 1, 1, 2, 1.0, x, 2, w, 1, 0.0, a, 1, options));
        is("activation", nablas_sactivation(2, 1, 0.0, x, a, options));
        is("derivative", nablas_sactivation_and_derivative(2, 1, 0.0, x, a, a.add(2), options));
        is("vjp", nablas_sactivation_vjp(2, 1, 0.0, x, w, a, options));
        let (y, v) = (grads.as_ptr(), &raw mut value);
        is("loss", nablas_dloss(1, 3, 0, 0.0, 0, y, 3, y, 3, null(), v, null_mut(), 0, options));
        let (mut mlp, mut plan) = (null_mut(), null_mut());
        assert_eq!(nablas_dmlp_create(1, [2, 1].as_ptr(), [7].as_ptr(), null(), &raw mut mlp), Status::Ok);
        assert_eq!(nablas_dmlp_init(mlp, 0, 1.0, 3, params.as_mut_ptr()), Status::Ok);
        is("plan", nablas_dplan_create(mlp, 4, options, &raw mut plan));
        nablas_dplan_destroy(plan);
        nablas_dmlp_destroy(mlp);
        let mut optimizers = [null_mut(); 3];
        let [sgd, adam, adamw] = &mut optimizers;
        is("sgd", nablas_dsgd_create(3, 0.1, 0.9, 0, 0.0, options, sgd));
        is("adam", nablas_dadam_create(3, 0.1, 0.9, 0.99, 1e-8, 0.0, options, adam));
        is("adamw", nablas_dadamw_create(3, 0.1, 0.9, 0.99, 1e-8, 0.0, options, adamw));
        for optimizer in optimizers {
            if expected == Status::Ok {
                is("step", nablas_doptimizer_step(optimizer, params.as_mut_ptr(), grads.as_ptr()));
            }
            nablas_doptimizer_destroy(optimizer);
        }
    }
    assert!(made.len() >= 13);
}

#[test]
fn a_pinned_instruction_set_does_not_ask_the_environment() {
    // SAFETY: this test is alone in its process.
    unsafe { std::env::set_var("NABLAS_ISA", "sse9") };
    assert_eq!(nablas_check_isa(nablas_isa::Default as i32), Status::Isa);
    let isa = nablas_isa::Scalar as i32;
    let pinned = nablas_options { size: size_of::<nablas_options>(), threads: 1, isa, team: null() };
    run(null(), Status::Isa);
    run(&raw const pinned, Status::Ok);
}
