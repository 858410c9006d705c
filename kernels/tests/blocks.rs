//! Blocks of any number of chains give the bits that chain after chain gives, whatever becomes of A on the way.

use nablas_kernels::{
    chain::CHAIN,
    entry::{Entry, Kernels},
    gemm::{
        blocked::{Block, Blocking},
        epilogue::{Plain, Start},
        pack::{Operand, PackPanels, Right, Share},
        row_major::RowMajor,
        shape::padded,
    },
    isa::{IsaToken, Real, Vouched},
};

/// Numbers without a pattern.
fn numbers<T: Real>(n: usize, mut state: u64) -> Vec<T> {
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        T::from_f64((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
    };
    (0..n).map(|_| next()).collect()
}

/// How B comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Packed,
    /// Its rows where they lie, end to end. That nothing behind the last is read, pages show: `tests/guard.rs` of nablas.
    Ragged,
    /// Its columns where they lie.
    Columns,
}

/// C + α·A·B with blocks of `kc` steps; A's rows adjacent, or contiguous.
fn product<T: Kernels>(
    isa: IsaToken,
    (m, n, k): (usize, usize, usize),
    kc: usize,
    way: Way,
    (adjacent, alpha): (bool, f64),
) -> Vec<T> {
    let blocking = Blocking { mc: 72, kc, nc: 64 };
    let (a, b, mut c) = (numbers::<T>(m * k, 1), numbers::<T>(k * n, 2), numbers::<T>(m * n, 3));
    let mut scratch = vec![T::from_f64(f64::NAN); blocking.scratch_len(m, k)];
    let mut panels = vec![T::from_f64(f64::NAN); kc.min(k) * padded(n)];
    let (rs, cs) = if adjacent { (1, m as isize) } else { (k as isize, 1) };
    let turned: Vec<T> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
    let whole = Operand { ptr: b.as_ptr(), rs: n as isize, cs: 1 };
    for depth in (0..k).step_by(kc) {
        let steps = kc.min(k - depth);
        let (b, dst) = (whole.at(depth, 0), panels.as_mut_ptr());
        let pack = PackPanels { b, k: steps, n, share: Share::ALL, alpha: T::ONE, dst };
        // SAFETY: B has k rows of n elements, and the panels have room for a block.
        <T as Entry<_>>::enter(isa, unsafe { Vouched::new(pack) });
        let b = match way {
            Way::Packed => Right::Packed(panels.as_ptr()),
            Way::Ragged => Right::Ragged(b.ptr, n),
            Way::Columns => Right::Columns(turned[depth..].as_ptr(), k),
        };
        // Two shares of the panels, as two items have them.
        for index in 0..2 {
            let block = Block {
                row: 0,
                m,
                col: 0,
                n,
                depth,
                k: steps,
                last: depth + steps == k,
                alpha: T::from_f64(alpha),
                a: Operand { ptr: a.as_ptr(), rs, cs },
                b,
                share: Share { index, count: 2 },
                mc: blocking.mc,
                scratch: scratch.as_mut_ptr(),
                epilogue: Plain { c: RowMajor::new(c.as_mut_ptr(), n), start: Start::C },
            };
            // SAFETY: the operands are as long as their sizes and strides say, and the scratch as the blocking says.
            <T as Entry<_>>::enter(isa, unsafe { Vouched::new(block) });
        }
    }
    c
}

fn check<T: Kernels + core::fmt::Debug>() {
    // Packed tiles of every height (A is scaled or its rows are adjacent and read often), A as it lies, few rows.
    for (m, n) in
        [(1, 40), (2, 7), (3, 33), (5, 61), (61, 136), (75, 50), (100, 33), (97, 16), (27, 61), (60, 8)]
    {
        for k in [61, 1024, 2100] {
            for (adjacent, alpha) in [(false, 1.0), (true, 1.0), (true, 0.7), (false, 0.7)] {
                let run = |isa, kc, way| product::<T>(isa, (m, n, k), kc, way, (adjacent, alpha));
                let want = run(IsaToken::pin("scalar").expect("everywhere"), CHAIN, Way::Packed);
                for isa in IsaToken::available() {
                    for (kc, way) in [
                        (CHAIN, Way::Packed),
                        (2 * CHAIN, Way::Packed),
                        (8 * CHAIN, Way::Packed),
                        (CHAIN, Way::Ragged),
                        (8 * CHAIN, Way::Ragged),
                        (CHAIN, Way::Columns),
                        (8 * CHAIN, Way::Columns),
                    ] {
                        // What reads B where it lies is for few rows, and across them for A as it is.
                        let few = m < 30 && (way != Way::Ragged || n >= 16);
                        if way != Way::Packed && (!few || adjacent || alpha != 1.0) {
                            continue;
                        }
                        let got = run(isa, kc, way);
                        let same =
                            got.iter().zip(&want).all(|(g, w)| g.to_f64().to_bits() == w.to_f64().to_bits());
                        assert!(
                            same,
                            "{m} × {n} × {k}, kc {kc}, {way:?}, {adjacent} {alpha}, {}",
                            isa.name()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_depth_of_a_block_leaves_no_trace() {
    check::<f32>();
    check::<f64>();
}
