//! A limit in bytes holds for everything that a call allocates.
//!
//! One test, so that nothing else runs in the process while bytes are counted.

use nablas::{Activation, Mlp, Plan, PlanOptions, Result, jacobian};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

/// The system's allocator, with the bytes that are held and the most that were.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's; the counts touch no memory of its. `realloc` is these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_jacobian_of_a_network_keeps_to_its_limit() -> Result<()> {
    const LIMIT: usize = 1 << 20;
    let outputs = 4000;
    let mlp = Mlp::<f32>::builder(1).layer(outputs, Activation::Identity).build()?;
    let params: Vec<f32> = (0..mlp.param_len()).map(|i| i as f32).collect();
    let plan = Plan::new(&mlp, &PlanOptions::new(outputs).threads(1))?;
    let mut workspace = plan.workspace()?;
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let got = jacobian::network_jacobian(&plan, &params, &[0.5], LIMIT as u64, &mut workspace)?;
    let most = MOST.load(Ordering::Relaxed) - before;
    // It is W.
    assert_eq!(got.data(), &params[..outputs]);
    // Batches are as large as there is room for: one cotangent more would not fit.
    assert!(most <= LIMIT && most > LIMIT - 4 * outputs, "{most} bytes of {LIMIT}");
    Ok(())
}
