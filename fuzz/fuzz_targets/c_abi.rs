//! The C library with sizes, leading dimensions, numbers and pointers of any kind that its header allows: an operand is
//! NULL, misaligned, another's or exactly as long as it must be, so that the address sanitizer sees every element too
//! many. What a call refuses it has not written, and what it may not write it never has.
#![no_main]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every call here is one of a C program, good or bad on purpose"
)]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use nablas_capi::{f32::*, options::nablas_options, process::*, status::nablas_status as Status};
use std::{
    ffi::{CStr, c_void},
    ptr::{null, null_mut},
};

/// Elements of an operand at most.
const MOST: u128 = 1 << 15;

/// A size: mostly small, at times one that no memory has.
fn size(u: &mut Unstructured<'_>) -> Result<usize> {
    Ok(match u8::arbitrary(u)? % 16 {
        0..13 => usize::from(u8::arbitrary(u)? % 36),
        13 => usize::from(u8::arbitrary(u)?),
        14 => *u.choose(&[usize::MAX, usize::MAX / 4, 1 << 63, 1 << 62, 1 << 61, isize::MAX as usize])?,
        _ => usize::arbitrary(u)?,
    })
}

/// A number that names something, or nothing.
fn named(u: &mut Unstructured<'_>, count: i32) -> Result<i32> {
    Ok(match u8::arbitrary(u)? {
        255 => i32::arbitrary(u)?,
        n => i32::from(n) % count,
    })
}

/// A parameter: usual or any.
fn number(u: &mut Unstructured<'_>) -> Result<f64> {
    Ok(if bool::arbitrary(u)? { *u.choose(&[0.0, 1.0, 0.1, -1.0, 1e-3])? } else { f64::arbitrary(u)? })
}

/// An operand's elements, or others'.
struct Block {
    memory: Vec<f32>,
    before: Vec<f32>,
    written: bool,
}

/// The memory of a call.
#[derive(Default)]
struct Memory {
    blocks: Vec<Block>,
}

impl Memory {
    /// A matrix's address and leading dimension.
    fn matrix(
        &mut self,
        u: &mut Unstructured<'_>,
        rows: usize,
        cols: usize,
        out: bool,
    ) -> Result<(*mut f32, usize)> {
        let ld = match u8::arbitrary(u)? % 16 {
            15 => size(u)?,
            12..15 => cols.saturating_add(usize::from(u8::arbitrary(u)? % 20)),
            _ => cols,
        };
        let whole = (rows as u128).saturating_sub(1).saturating_mul(ld as u128).saturating_add(cols as u128);
        let len = if rows == 0 || cols == 0 { 0 } else { whole };
        let dangling = std::ptr::dangling_mut();
        let ptr = match u8::arbitrary(u)? {
            // Zeros, which follow the last byte of the input, are the usual case.
            248.. => null_mut(),
            244.. if len < MOST => self.add(len as usize + 1, out).wrapping_byte_add(2),
            236..244 if self.blocks.iter().any(|b| b.memory.len() as u128 >= len) => {
                let block = self.blocks.iter_mut().find(|b| b.memory.len() as u128 >= len).expect("one");
                block.written |= out;
                block.memory.as_mut_ptr()
            }
            _ if len <= MOST => self.add(len as usize, out),
            // What no memory has is refused before anything is read; what some has is not for us.
            _ if (rows as u128).max(1).saturating_mul((ld as u128).max(1)) > isize::MAX as u128 / 4 => {
                dangling
            }
            _ => null_mut(),
        };
        Ok((ptr, ld))
    }

    fn array(&mut self, u: &mut Unstructured<'_>, len: usize, out: bool) -> Result<*mut f32> {
        let ptr = match u8::arbitrary(u)? {
            248.. => null_mut(),
            240..248 if self.blocks.iter().any(|b| b.memory.len() >= len) => {
                let block = self.blocks.iter_mut().find(|b| b.memory.len() >= len).expect("one");
                block.written |= out;
                block.memory.as_mut_ptr()
            }
            _ if len as u128 <= MOST => self.add(len, out),
            _ if len > isize::MAX as usize / 4 => std::ptr::dangling_mut(),
            _ => null_mut(),
        };
        Ok(ptr)
    }

    fn add(&mut self, len: usize, out: bool) -> *mut f32 {
        let numbers = (0..len).map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.25);
        let memory: Vec<f32> = numbers.collect();
        self.blocks.push(Block { before: memory.clone(), memory, written: out });
        self.blocks.last_mut().expect("pushed").memory.as_mut_ptr()
    }

    /// After a call: outputs alone have changed, and only if it was not refused.
    fn check(&mut self, status: Status, call: &str) -> Status {
        let words = unsafe { CStr::from_ptr(nablas_last_error()) };
        assert!(status != Status::Internal, "{call}: {words:?}");
        for block in &mut self.blocks {
            let same = block.memory.iter().zip(&block.before).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(
                same || status == Status::Ok && block.written,
                "{call}: {status:?} and written, {words:?}"
            );
            block.before.copy_from_slice(&block.memory);
        }
        status
    }
}

/// Options, of any version.
fn options(u: &mut Unstructured<'_>, at: &mut [nablas_options; 2]) -> Result<*const nablas_options> {
    let known = size_of::<nablas_options>();
    let size = match u8::arbitrary(u)? % 8 {
        7 => usize::from(u8::arbitrary(u)?) % (2 * known + 1),
        _ => known,
    };
    let threads =
        if u8::arbitrary(u)? == 255 { usize::arbitrary(u)? } else { usize::from(u8::arbitrary(u)? % 4) };
    let later = usize::from(u8::arbitrary(u)? == 255);
    let isa = named(u, 5)?;
    *at = [
        nablas_options { size, threads, isa, team: null() },
        nablas_options { size: later, threads: 0, isa: 0, team: null() },
    ];
    Ok(if bool::arbitrary(u)? { at.as_ptr() } else { null() })
}

/// Classes for a loss, or NULL.
fn classes(u: &mut Unstructured<'_>, batch: usize, outputs: usize) -> Result<Box<[u32]>> {
    let wrong = u8::arbitrary(u)? == 255;
    let few = batch.min(MOST as usize);
    Ok((0..few).map(|i| (i % outputs.clamp(1, 1 << 20)) as u32 + if wrong { 7 } else { 0 }).collect())
}

/// One of the calls without an object.
fn call(u: &mut Unstructured<'_>) -> Result<()> {
    let mut m = Memory::default();
    let mut version = [nablas_options { size: 0, threads: 0, isa: 0, team: null() }; 2];
    let options = options(u, &mut version)?;
    let (b, n, k) = (size(u)?, size(u)?, size(u)?);
    let (act, p) = (named(u, 17)?, number(u)? as f32);
    let mask_len = nablas_mask_bytes(b, n);
    let mut mask = vec![0xa5u8; if mask_len <= MOST as usize { mask_len } else { 0 }].into_boxed_slice();
    let with_mask = bool::arbitrary(u)? && mask_len <= MOST as usize;
    let at_mask = if with_mask { mask.as_mut_ptr() } else { null_mut() };
    match u8::arbitrary(u)? % 9 {
        0 => {
            let ((x, ldx), (w, ldw)) = (m.matrix(u, b, k, false)?, m.matrix(u, n, k, false)?);
            let (bias, (a, lda)) = (m.array(u, n, false)?, m.matrix(u, b, n, true)?);
            let (saved, lds) = if bool::arbitrary(u)? { m.matrix(u, b, n, true)? } else { (null_mut(), 0) };
            let status = unsafe {
                nablas_sdense_forward(
                    b, k, n, x, ldx, w, ldw, bias, act, p, a, lda, saved, lds, at_mask, options,
                )
            };
            m.check(status, "dense_forward");
            assert!(status == Status::Ok || mask.iter().all(|byte| *byte == 0xa5));
        }
        1 => {
            let ((d, ldd), (w, ldw)) = (m.matrix(u, b, k, false)?, m.matrix(u, k, n, false)?);
            let (saved, lds) = if bool::arbitrary(u)? { m.matrix(u, b, n, false)? } else { (null_mut(), 0) };
            let ((out, ldo), db) = (m.matrix(u, b, n, true)?, m.array(u, n, true)?);
            let status = unsafe {
                nablas_sdense_vjp_input(
                    b, n, k, d, ldd, w, ldw, act, p, saved, lds, at_mask, out, ldo, db, options,
                )
            };
            m.check(status, "dense_vjp_input");
        }
        2 => {
            let ((d, ldd), (a, lda)) = (m.matrix(u, b, n, false)?, m.matrix(u, b, k, false)?);
            let ((dw, lddw), db) = (m.matrix(u, n, k, true)?, m.array(u, n, true)?);
            let add = i32::arbitrary(u)?;
            let status =
                unsafe { nablas_sdense_vjp_weights(b, k, n, d, ldd, a, lda, add, dw, lddw, db, options) };
            m.check(status, "dense_vjp_weights");
        }
        3 => {
            let ((d, ldd), db) = (m.matrix(u, b, n, false)?, m.array(u, n, true)?);
            let status = unsafe { nablas_sdense_vjp_bias(b, n, d, ldd, db, options) };
            m.check(status, "dense_vjp_bias");
        }
        4 => {
            let (ta, tb) = (named(u, 2)?, named(u, 2)?);
            let shape = |t: i32, r, c| if t == 1 { (c, r) } else { (r, c) };
            let (of_a, of_b) = (shape(ta, b, k), shape(tb, k, n));
            let ((a, lda), (bm, ldb)) =
                (m.matrix(u, of_a.0, of_a.1, false)?, m.matrix(u, of_b.0, of_b.1, false)?);
            let (c, ldc) = m.matrix(u, b, n, true)?;
            let (alpha, beta) = (number(u)? as f32, number(u)? as f32);
            let status =
                unsafe { nablas_sgemm(ta, tb, b, n, k, alpha, a, lda, bm, ldb, beta, c, ldc, options) };
            m.check(status, "gemm");
        }
        5 => {
            let (z, a, d) = (m.array(u, n, false)?, m.array(u, n, true)?, m.array(u, n, true)?);
            let status = unsafe { nablas_sactivation_and_derivative(n, act, p, z, a, d, options) };
            m.check(status, "activation_and_derivative");
        }
        6 => {
            let (z, g, out) = (m.array(u, n, false)?, m.array(u, n, false)?, m.array(u, n, true)?);
            let status = unsafe { nablas_sactivation_vjp(n, act, p, z, g, out, options) };
            m.check(status, "activation_vjp");
        }
        7 => {
            let ((y, ldy), (t, ldt)) = (m.matrix(u, b, n, false)?, m.matrix(u, b, n, false)?);
            let t = if bool::arbitrary(u)? { t } else { null_mut() };
            let ((delta, ldd), value) = (m.matrix(u, b, n, true)?, m.array(u, 1, true)?);
            let classes = classes(u, b, n)?;
            let c = if bool::arbitrary(u)? && classes.len() == b { classes.as_ptr() } else { null() };
            let (loss, how) = (named(u, 5)?, named(u, 2)?);
            let status =
                unsafe { nablas_sloss(b, n, loss, p, how, y, ldy, t, ldt, c, value, delta, ldd, options) };
            m.check(status, "loss");
        }
        _ => {
            let (grads, mut norm) = (m.array(u, n, true)?, -1.0);
            let at = if bool::arbitrary(u)? { &raw mut norm } else { null_mut() };
            let status = unsafe { nablas_sclip_by_global_norm(n, grads, number(u)?, at, options) };
            m.check(status, "clip_by_global_norm");
            assert!(status == Status::Ok || norm == -1.0);
        }
    }
    Ok(())
}

/// Bytes for a workspace or a kept state, aligned or not, of a size that may be wrong.
struct Lent {
    /// Owns what `at` points into.
    _memory: Vec<u8>,
    at: *mut c_void,
    bytes: usize,
}

impl Lent {
    fn new(u: &mut Unstructured<'_>, bytes: usize) -> Result<Self> {
        let bytes = if u8::arbitrary(u)? >= 248 { bytes / 2 } else { bytes };
        let skip = usize::from(u8::arbitrary(u)? % 70);
        let mut memory = vec![0xffu8; bytes + skip];
        let at = if u8::arbitrary(u)? >= 252 { null_mut() } else { memory[skip..].as_mut_ptr().cast() };
        Ok(Self { _memory: memory, at, bytes })
    }
}

/// A network, its plan and some of its calls.
fn network(u: &mut Unstructured<'_>) -> Result<()> {
    let layers = usize::from(u8::arbitrary(u)? % 5);
    let widths: Vec<usize> = (0..=layers).map(|_| size(u)).collect::<Result<_>>()?;
    let acts: Vec<i32> = (0..layers).map(|_| named(u, 17)).collect::<Result<_>>()?;
    let parameters: Vec<f32> = (0..layers).map(|_| Ok(number(u)? as f32)).collect::<Result<_>>()?;
    let parameters = if bool::arbitrary(u)? { parameters.as_ptr() } else { null() };
    let mut version = [nablas_options { size: 0, threads: 0, isa: 0, team: null() }; 2];
    let (options, max) = (options(u, &mut version)?, size(u)?);
    let (mut mlp, mut plan, mut optimizer) = (null_mut(), null_mut(), null_mut());
    unsafe {
        let made = nablas_smlp_create(layers, widths.as_ptr(), acts.as_ptr(), parameters, &raw mut mlp);
        assert_eq!(made == Status::Ok, !mlp.is_null());
        let made = nablas_splan_create(mlp, max, options, &raw mut plan);
        assert_eq!(made == Status::Ok, !plan.is_null());
        let (mut len, mut bytes, mut kept_bytes) = (0, 0, 0);
        let _ = nablas_smlp_param_len(mlp, &raw mut len);
        let sized = nablas_splan_workspace_size(plan, &raw mut bytes);
        let fits = sized == Status::Ok && bytes <= 1 << 22 && len as u128 <= MOST;
        // An optimizer of what no memory has is refused; one of gigabytes is not for us.
        if fits || plan.is_null() && (len as u128 <= MOST || len >= 1 << 60) {
            let made =
                nablas_sadam_create(len, number(u)?, 0.9, 0.999, 1e-8, 0.0, options, &raw mut optimizer);
            assert_eq!(made == Status::Ok, !optimizer.is_null());
            let room = size(u)?;
            let _ = nablas_splan_kept_bytes(plan, room, &raw mut kept_bytes);
            let work = Lent::new(u, bytes)?;
            let kept = Lent::new(u, if kept_bytes <= 1 << 22 { kept_bytes } else { 0 })?;
            let _ = nablas_splan_workspace_init(plan, work.at, work.bytes);
            let _ = nablas_splan_kept_init(plan, room, kept.at, kept.bytes);
            for _ in 0..1 + u8::arbitrary(u)? % 3 {
                steps(u, plan, optimizer, (widths[0], widths[layers], len), &work, &kept)?;
            }
        }
        nablas_soptimizer_destroy(optimizer);
        nablas_splan_destroy(plan);
        nablas_smlp_destroy(mlp);
    }
    Ok(())
}

/// One call of a plan.
fn steps(
    u: &mut Unstructured<'_>,
    plan: *mut nablas_capi::nablas_splan,
    optimizer: *mut nablas_capi::nablas_soptimizer,
    (n, k, len): (usize, usize, usize),
    work: &Lent,
    kept: &Lent,
) -> Result<()> {
    let (mut m, b) = (Memory::default(), size(u)?);
    let params = m.array(u, len, false)?;
    let (x, ldx) = m.matrix(u, b, n, false)?;
    let (dy, lddy) = m.matrix(u, b, k, false)?;
    let (y, ldy) = m.matrix(u, b, k, true)?;
    let grads = m.array(u, len, true)?;
    let (dx, lddx) = m.matrix(u, b, n, true)?;
    let (value, loss, p, how) = (m.array(u, 1, true)?, named(u, 5)?, number(u)? as f32, named(u, 2)?);
    let classes = classes(u, b, k)?;
    let (t, c) = match u8::arbitrary(u)? % 4 {
        0 if classes.len() == b => (null_mut(), classes.as_ptr()),
        1 if classes.len() == b => (dy, classes.as_ptr()),
        _ => (dy, null()),
    };
    let (at, bytes, ka, kb) = (work.at, work.bytes, kept.at, kept.bytes);
    match u8::arbitrary(u)? % 6 {
        0 => {
            let status = unsafe { nablas_splan_forward(plan, b, params, x, ldx, y, ldy, ka, kb, at, bytes) };
            m.check(status, "forward");
        }
        1 => {
            let status = unsafe {
                nablas_splan_backward(plan, b, params, x, ldx, dy, lddy, grads, dx, lddx, ka, kb, at, bytes)
            };
            m.check(status, "backward");
        }
        2 => {
            let status = unsafe {
                nablas_splan_vjp(plan, b, params, x, ldx, dy, lddy, y, ldy, grads, dx, lddx, at, bytes)
            };
            m.check(status, "vjp");
        }
        3 => {
            let status = unsafe {
                nablas_splan_value_and_grad(
                    plan, b, params, x, ldx, loss, p, how, t, lddy, c, value, grads, at, bytes,
                )
            };
            m.check(status, "value_and_grad");
        }
        4 => {
            for block in m.blocks.iter_mut().filter(|b| b.memory.as_ptr() == params) {
                block.written = true;
            }
            let (clip, mut norm) = (number(u)?, -1.0);
            let norm = if bool::arbitrary(u)? { &raw mut norm } else { null_mut() };
            let status = unsafe {
                nablas_splan_train_step(
                    plan, b, params, x, ldx, loss, p, how, t, lddy, c, clip, optimizer, value, norm, grads,
                    at, bytes,
                )
            };
            m.check(status, "train_step");
        }
        _ => {
            for block in m.blocks.iter_mut().filter(|b| b.memory.as_ptr() == params) {
                block.written = true;
            }
            // Here the gradient is read.
            for block in m.blocks.iter_mut().filter(|b| b.memory.as_ptr() == grads && grads != params) {
                block.written = false;
            }
            let status = unsafe { nablas_soptimizer_step(optimizer, params, grads) };
            m.check(status, "optimizer_step");
        }
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    // Bytes that are too few are followed by zeros.
    let _ = match bool::arbitrary(&mut u) {
        Ok(true) => network(&mut u),
        Ok(false) => call(&mut u),
        Err(_) => Ok(()),
    };
});
