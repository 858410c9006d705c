//! Problems as the harness makes them: arrays of their own, handed over as pointers.

use super::reference::Results;
use crate::{Problem, Step, peer_create, peer_destroy, peer_results, peer_step};
use std::ffi::CStr;

/// Numbers between −1 and 1, the same in every run.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    /// `n` of them.
    pub(super) fn take(&mut self, n: usize) -> Vec<f32> {
        let mut next = || {
            // Knuth's MMIX generator; its high bits are the good ones.
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }
}

/// A problem's sizes and arrays.
pub(super) struct Operands {
    pub(super) widths: Vec<usize>,
    pub(super) batch: usize,
    pub(super) act: i32,
    pub(super) x: Vec<f32>,
    pub(super) dy: Vec<f32>,
    pub(super) w: Vec<Vec<f32>>,
    pub(super) b: Vec<Vec<f32>>,
}

impl Operands {
    pub(super) fn new(widths: &[usize], batch: usize, act: i32) -> Self {
        let mut numbers = Numbers(42);
        let scaled = |v: Vec<f32>, by: f32| -> Vec<f32> { v.into_iter().map(|v| v * by).collect() };
        let layers = || widths.windows(2);
        Self {
            widths: widths.to_vec(),
            batch,
            act,
            x: numbers.take(batch * widths[0]),
            dy: numbers.take(batch * widths[widths.len() - 1]),
            w: layers().map(|d| scaled(numbers.take(d[0] * d[1]), (6.0 / d[0] as f32).sqrt())).collect(),
            b: layers().map(|d| scaled(numbers.take(d[1]), 0.1)).collect(),
        }
    }

    /// Calls `f` with the problem in C's words.
    pub(super) fn with<R>(&self, threads: i32, f: impl FnOnce(&mut Problem) -> R) -> R {
        let dims: Vec<i64> = self.widths.iter().map(|d| *d as i64).collect();
        let pointers = |m: &[Vec<f32>]| -> Vec<*const f32> { m.iter().map(|v| v.as_ptr()).collect() };
        let (w, b) = (pointers(&self.w), pointers(&self.b));
        f(&mut Problem {
            layers: self.w.len() as i32,
            act: self.act,
            threads,
            pad: 0,
            batch: self.batch as i64,
            dims: dims.as_ptr(),
            x: self.x.as_ptr(),
            w: w.as_ptr(),
            b: b.as_ptr(),
            dy: self.dy.as_ptr(),
        })
    }

    /// The step of a variant, or NULL.
    pub(super) fn create(&self, variant: &CStr, threads: i32) -> Option<Box<Step>> {
        // SAFETY: the arrays are this problem's, as long as its sizes say; it outlives the step in every test.
        self.with(threads, |p| unsafe { peer_create(variant.as_ptr(), Some(p)) })
    }

    /// Runs a step and copies its results out, into arrays that were NaN.
    pub(super) fn run(&self, step: &mut Step) -> Results {
        peer_step(Some(step));
        let nans = |m: &[Vec<f32>]| -> Vec<Vec<f32>> { m.iter().map(|v| vec![f32::NAN; v.len()]).collect() };
        let (mut y, mut dw, mut db) = (vec![f32::NAN; self.dy.len()], nans(&self.w), nans(&self.b));
        let pointers =
            |m: &mut [Vec<f32>]| -> Vec<*mut f32> { m.iter_mut().map(|v| v.as_mut_ptr()).collect() };
        let (to_dw, to_db) = (pointers(&mut dw), pointers(&mut db));
        // SAFETY: the arrays are as long as the results.
        unsafe { peer_results(Some(step), y.as_mut_ptr(), to_dw.as_ptr(), to_db.as_ptr()) };
        let widen = |v: Vec<f32>| v.into_iter().map(f64::from).collect();
        Results {
            y: widen(y),
            dw: dw.into_iter().map(widen).collect(),
            db: db.into_iter().map(widen).collect(),
        }
    }

    /// Creates, runs and destroys.
    pub(super) fn once(&self, variant: &CStr, threads: i32) -> Results {
        let mut step = self.create(variant, threads).expect("the variant can do it");
        let results = self.run(&mut step);
        peer_destroy(Some(step));
        results
    }
}
