//! The state of a forward pass as a value of the caller's: several alive, each read any number of times, and what is refused.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every call here is one of a C program, good or bad on purpose"
)]

use nablas_capi::{
    f32::*, nablas_smlp, nablas_splan, options::*, process::*, status::nablas_status as Status,
};
use std::{
    ffi::{CStr, c_void},
    ptr::{null, null_mut},
    thread,
};

fn last() -> String {
    unsafe { CStr::from_ptr(nablas_last_error()) }.to_string_lossy().into_owned()
}

fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// A network with its plan and parameters.
struct Net {
    mlp: *mut nablas_smlp,
    plan: *mut nablas_splan,
    inputs: usize,
    outputs: usize,
    params: Vec<f32>,
}

// SAFETY: several threads may use a plan.
unsafe impl Sync for Net {}

impl Net {
    fn new(widths: &[usize], max_batch: usize) -> Self {
        let layers = widths.len() - 1;
        let mut kinds = vec![nablas_activation::Tanh as i32; layers];
        kinds[layers - 1] = nablas_activation::Identity as i32;
        let (mut mlp, mut plan, mut len) = (null_mut(), null_mut(), 0);
        unsafe {
            let made = nablas_smlp_create(layers, widths.as_ptr(), kinds.as_ptr(), null(), &raw mut mlp);
            assert_eq!(made, Status::Ok, "{}", last());
            assert_eq!(nablas_splan_create(mlp, max_batch, null(), &raw mut plan), Status::Ok, "{}", last());
            assert_eq!(nablas_smlp_param_len(mlp, &raw mut len), Status::Ok);
        }
        let params = numbers(len, 9).into_iter().map(|p| p / 8.0).collect();
        Self { mlp, plan, inputs: widths[0], outputs: widths[layers], params }
    }

    fn workspace(&self) -> Vec<u8> {
        let mut bytes = 0;
        assert_eq!(unsafe { nablas_splan_workspace_size(self.plan, &raw mut bytes) }, Status::Ok);
        let mut memory = vec![0xffu8; bytes];
        let done = unsafe { nablas_splan_workspace_init(self.plan, memory.as_mut_ptr().cast(), bytes) };
        assert_eq!(done, Status::Ok, "{}", last());
        memory
    }

    fn kept(&self, batch: usize) -> Vec<u8> {
        let mut bytes = 0;
        assert_eq!(unsafe { nablas_splan_kept_bytes(self.plan, batch, &raw mut bytes) }, Status::Ok);
        let mut memory = vec![0xffu8; bytes];
        let done = unsafe { nablas_splan_kept_init(self.plan, batch, memory.as_mut_ptr().cast(), bytes) };
        assert_eq!(done, Status::Ok, "{}", last());
        memory
    }

    fn batch(&self, x: &[f32]) -> usize {
        x.len() / self.inputs
    }

    fn forward(&self, x: &[f32], kept: (*mut c_void, usize), work: &mut [u8]) -> (Status, Vec<f32>) {
        let (batch, (k, k_bytes)) = (self.batch(x), kept);
        let mut y = vec![UNTOUCHED; batch * self.outputs];
        let (p, to, w) = (self.params.as_ptr(), y.as_mut_ptr(), work.as_mut_ptr().cast());
        let (n, m) = (self.inputs, self.outputs);
        let status = unsafe {
            nablas_splan_forward(self.plan, batch, p, x.as_ptr(), n, to, m, k, k_bytes, w, work.len())
        };
        (status, y)
    }

    /// The gradient and dX.
    fn backward(&self, x: &[f32], kept: (*mut c_void, usize), work: &mut [u8]) -> (Status, Vec<f32>) {
        let (batch, len, (k, k_bytes)) = (self.batch(x), self.params.len(), kept);
        let (n, m) = (self.inputs, self.outputs);
        let dy = numbers(batch * m, 77);
        let mut out = vec![UNTOUCHED; len + x.len()];
        let (p, g, w) = (self.params.as_ptr(), out.as_mut_ptr(), work.as_mut_ptr().cast());
        let (dx, d) = (g.wrapping_add(len), dy.as_ptr());
        let status = unsafe {
            let (x, bytes) = (x.as_ptr(), work.len());
            nablas_splan_backward(self.plan, batch, p, x, n, d, m, g, dx, n, k, k_bytes, w, bytes)
        };
        (status, out)
    }

    /// Y, then the gradient and dX, in one pass.
    fn whole(&self, x: &[f32], work: &mut [u8]) -> (Vec<f32>, Vec<f32>) {
        let (batch, len) = (self.batch(x), self.params.len());
        let (n, m) = (self.inputs, self.outputs);
        let dy = numbers(batch * m, 77);
        let (mut y, mut out) = (vec![UNTOUCHED; batch * m], vec![UNTOUCHED; len + x.len()]);
        let (p, g, w) = (self.params.as_ptr(), out.as_mut_ptr(), work.as_mut_ptr().cast());
        let (dx, d, to) = (g.wrapping_add(len), dy.as_ptr(), y.as_mut_ptr());
        let status = unsafe {
            let (x, bytes) = (x.as_ptr(), work.len());
            nablas_splan_vjp(self.plan, batch, p, x, n, d, m, to, m, g, dx, n, w, bytes)
        };
        assert_eq!(status, Status::Ok, "{}", last());
        (y, out)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        unsafe {
            nablas_splan_destroy(self.plan);
            nablas_smlp_destroy(self.mlp);
        }
    }
}

/// Outputs hold this until a call succeeds.
const UNTOUCHED: f32 = 1234.5;
const NOTHING: (*mut c_void, usize) = (null_mut(), 0);

fn of(memory: &mut [u8]) -> (*mut c_void, usize) {
    (memory.as_mut_ptr().cast(), memory.len())
}

#[test]
fn states_of_several_passes_are_alive_at_once() {
    let mut paths = [false; 3];
    for widths in [&[64, 128, 128, 10][..], &[3, 9, 5, 2], &[300, 900, 300]] {
        let net = Net::new(widths, 40);
        let mut path = -1;
        assert_eq!(unsafe { nablas_splan_path(net.plan, &raw mut path) }, Status::Ok);
        paths[path as usize] = true;
        let (mut work, mut other) = (net.workspace(), net.workspace());
        let (x1, x2) = (numbers(40 * net.inputs, 1), numbers(23 * net.inputs, 2));
        let ((y1, g1), (y2, g2)) = (net.whole(&x1, &mut work), net.whole(&x2, &mut work));
        let (mut one, mut two) = (net.kept(40), net.kept(30));
        // In either order, with other calls in the same workspace between; each twice.
        for order in [[0, 1], [1, 0]] {
            for pass in order {
                let (x, y, kept) =
                    [(&x1, &y1, &mut one), (&x2, &y2, &mut two)].into_iter().nth(pass).unwrap();
                assert_eq!(net.forward(x, of(kept), &mut work), (Status::Ok, y.clone()), "{}", last());
            }
            assert_eq!(net.forward(&x2, NOTHING, &mut work), (Status::Ok, y2.clone()), "{}", last());
            for pass in [0, 1, 1, 0] {
                let (x, g, kept) =
                    [(&x1, &g1, &mut one), (&x2, &g2, &mut two)].into_iter().nth(pass).unwrap();
                let got = net.backward(x, of(kept), if pass == 0 { &mut work } else { &mut other });
                assert!(got == (Status::Ok, g.clone()), "{widths:?} {pass}: {:?} {}", got.0, last());
            }
        }
        // And another pass in place of one.
        assert_eq!(net.forward(&x2, of(&mut one), &mut work).0, Status::Ok);
        assert!(net.backward(&x2, of(&mut one), &mut work) == (Status::Ok, g2));
        assert_eq!(net.backward(&x1, of(&mut one), &mut work).0, Status::NotKept);
    }
    assert_eq!(paths, [true; 3], "a path was not tried");
}

#[test]
fn several_threads_read_one_state() {
    let net = Net::new(&[20, 33, 7], 40);
    let x = numbers(40 * 20, 1);
    let (_, expected) = net.whole(&x, &mut net.workspace());
    let mut kept = net.kept(40);
    assert_eq!(net.forward(&x, of(&mut kept), &mut net.workspace()).0, Status::Ok);
    let (address, bytes) = (kept.as_mut_ptr().expose_provenance(), kept.len());
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut work = net.workspace();
                for _ in 0..100 {
                    let kept = (std::ptr::with_exposed_provenance_mut(address), bytes);
                    let got = net.backward(&x, kept, &mut work);
                    assert!(got.0 == Status::Ok && got.1 == expected, "{}", last());
                }
            });
        }
    });
    // Who is there says the fourth word of the header on the first cache line; none is left.
    let at = kept.as_ptr().align_offset(64) + 24;
    assert_eq!(kept[at..at + 8], [0; 8]);
    let mut work = net.workspace();
    kept[at] = 2;
    assert_eq!(net.forward(&x, of(&mut kept), &mut work).0, Status::Busy, "two read it");
    assert!(last().contains("the kept state is in use"), "{}", last());
    assert!(net.backward(&x, of(&mut kept), &mut work) == (Status::Ok, expected));
    assert_eq!(kept[at], 2);
    kept[at..at + 8].fill(0xff);
    for got in [net.backward(&x, of(&mut kept), &mut work), net.forward(&x, of(&mut kept), &mut work)] {
        assert!(got.0 == Status::Busy && got.1.iter().all(|v| *v == UNTOUCHED), "one writes it");
    }
}

#[test]
fn states_that_are_none_are_refused() {
    let (net, twin) = (Net::new(&[20, 33, 7], 40), Net::new(&[20, 33, 7], 40));
    let mut work = net.workspace();
    let (x, few) = (numbers(40 * 20, 1), numbers(30 * 20, 1));
    let (_, expected) = net.whole(&few, &mut work);
    let refused = |got: (Status, Vec<f32>), status, words: &str| {
        assert_eq!(got.0, status, "{words}: {}", last());
        assert!(last().contains(words), "{words}: {}", last());
        assert!(got.1.iter().all(|v| *v == UNTOUCHED), "{words}: an output was written");
    };

    let mut bytes = 7;
    unsafe {
        assert_eq!(nablas_splan_kept_bytes(net.plan, 41, &raw mut bytes), Status::Batch);
        assert_eq!(nablas_splan_kept_bytes(null(), 4, &raw mut bytes), Status::Null);
        assert_eq!(nablas_splan_kept_bytes(net.plan, 4, null_mut()), Status::Null);
        assert_eq!(bytes, 7);
        assert_eq!(nablas_splan_kept_bytes(net.plan, 30, &raw mut bytes), Status::Ok);
        let mut small = vec![3u8; bytes];
        let at = small.as_mut_ptr().cast();
        assert_eq!(nablas_splan_kept_init(net.plan, 30, at, bytes - 1), Status::Kept, "{}", last());
        assert_eq!(nablas_splan_kept_init(net.plan, 41, at, bytes), Status::Batch);
        assert_eq!(nablas_splan_kept_init(net.plan, 30, null_mut(), bytes), Status::Null);
        assert_eq!(nablas_splan_kept_init(null(), 30, at, bytes), Status::Null);
        assert!(small.iter().all(|b| *b == 3), "refused memory was written");
    }

    let mut raw = vec![0u8; bytes];
    let mut kept = net.kept(30);
    let mut others = twin.kept(30);
    refused(net.forward(&few, of(&mut raw), &mut work), Status::Kept, "was not initialised");
    refused(net.backward(&few, of(&mut raw), &mut work), Status::Kept, "call kept_init");
    refused(net.forward(&few, of(&mut others), &mut work), Status::Kept, "for this plan");
    refused(net.backward(&few, NOTHING, &mut work), Status::Null, "the kept state: NULL");
    refused(net.backward(&few, of(&mut kept), &mut work), Status::NotKept, "no forward pass");
    refused(net.forward(&x, of(&mut kept), &mut work), Status::Batch, "at most 30 rows, got 40");

    assert_eq!(net.forward(&few, of(&mut kept), &mut work).0, Status::Ok, "{}", last());
    refused(net.backward(&few[..20 * 20], of(&mut kept), &mut work), Status::NotKept, "of 30 rows");
    refused(twin.backward(&few, of(&mut kept), &mut twin.workspace()), Status::Kept, "for this plan");
    let mut moved = vec![0u8; kept.len() + 64];
    // At another address, a header as far behind a cache line's start as it was.
    let (from, to) = (kept.as_ptr().align_offset(64), moved.as_ptr().align_offset(64));
    let body = kept.len() - 64;
    moved[to..to + body].copy_from_slice(&kept[from..from + body]);
    refused(net.backward(&few, of(&mut moved), &mut work), Status::Kept, "at this address");
    let (at, len) = of(&mut kept);
    refused(net.backward(&few, (at, len - 1), &mut work), Status::Kept, "expected at least");
    refused(net.backward(&few, (at, 100), &mut work), Status::Kept, "expected at least");
    refused(net.backward(&few, (at, usize::MAX), &mut work), Status::Kept, "expected at least");
    refused(net.backward(&few, of(&mut work.clone()), &mut work), Status::Kept, "was not initialised");
    // What overlaps.
    let (p, y) = (net.params.as_ptr(), at.wrapping_byte_add(96).cast::<f32>());
    let y = y.wrapping_byte_add(y.align_offset(4) * 4);
    let (w, w_len) = of(&mut work);
    let forward = |x, y| unsafe { nablas_splan_forward(net.plan, 4, p, x, 20, y, 7, at, len, w, w_len) };
    let mut out = vec![UNTOUCHED; 28];
    assert_eq!(forward(few.as_ptr(), y), Status::Overlap, "{}", last());
    assert_eq!(forward(y, out.as_mut_ptr()), Status::Overlap, "{}", last());
    let dy = numbers(30 * 7, 77);
    let got = unsafe {
        let (x, d, no) = (few.as_ptr(), dy.as_ptr(), null_mut());
        nablas_splan_backward(net.plan, 30, p, x, 20, d, 7, y, no, 0, at, len, w, w_len)
    };
    assert_eq!(got, Status::Overlap, "{}", last());
    assert!(out.iter().all(|v| *v == UNTOUCHED));
    // After all that, the state is what it was.
    assert!(net.backward(&few, of(&mut kept), &mut work) == (Status::Ok, expected), "{}", last());
}

#[test]
fn no_rows_leave_a_state_too() {
    let net = Net::new(&[20, 33, 7], 40);
    let (mut work, mut kept) = (net.workspace(), net.kept(0));
    assert_eq!(net.forward(&[], of(&mut kept), &mut work), (Status::Ok, vec![]), "{}", last());
    let (status, grads) = net.backward(&[], of(&mut kept), &mut work);
    assert!(status == Status::Ok && grads.iter().all(|g| *g == 0.0), "{}", last());
}
