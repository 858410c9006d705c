//! The native product on every ISA, to the bit: chains of 512 fused multiply-adds an element, whatever the sizes,
//! strides, blocks and threads.

#[path = "common/bits.rs"]
mod bits;
#[path = "common/chain.rs"]
mod chain;
#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/stored.rs"]
mod stored;

use bits::assert_bits;
use chain::{Element, chains};
use nablas::{Gemm, IsaToken, MatMut, MatRef, Result};
use numbers::numbers;
use proptest::prelude::*;
use stored::{
    LAYOUTS, Layout,
    Layout::{Both, Columns, ColumnsApart, Rows, RowsApart},
    Stored,
};

/// C ← α·A·B + β·C, A m×k, B k×n.
#[derive(Debug, Clone, Copy)]
struct Case {
    sizes: (usize, usize, usize),
    layouts: (Layout, Layout, Layout),
    alpha: f64,
    beta: f64,
    seed: u64,
}

/// Runs a case on every ISA and these numbers of threads. What the contract says is not read is NaN.
fn check<T: Element>(case: Case, threads: &[usize]) -> Result<()> {
    let Case { sizes: (m, k, n), layouts, alpha, beta, seed } = case;
    let (alpha, beta) = (T::from_f64(alpha), T::from_f64(beta));
    let nan = T::from_f64(f64::NAN);
    let filled = |layout, rows, cols, read: bool, seed| {
        let values = numbers::<T>(rows * cols, seed);
        Stored::new(layout, rows, cols, |i| if read { values[i] } else { nan })
    };
    let a = filled(layouts.0, m, k, alpha != T::ZERO, seed);
    let b = filled(layouts.1, k, n, alpha != T::ZERO, seed + 1);
    let c = filled(layouts.2, m, n, beta != T::ZERO, seed + 2);
    let mut expected = c.data.clone();
    for i in 0..m {
        let row: Vec<T> =
            (0..k).map(|p| if alpha == T::ONE { a[(i, p)] } else { alpha * a[(i, p)] }).collect();
        for j in 0..n {
            let start = if beta == T::ZERO { T::ZERO } else { beta * c[(i, j)] };
            let terms = row.iter().enumerate().filter(|_| alpha != T::ZERO);
            expected[i * c.strides.0 + j * c.strides.1] = chains(start, terms.map(|(p, a)| (*a, b[(p, j)])));
        }
    }
    for isa in IsaToken::available() {
        for &threads in threads {
            let gemm = Gemm::with(isa, threads);
            let mut scratch = vec![nan; gemm.scratch_len(m, n, k)];
            let mut out = c.data.clone();
            let (rs, cs) = (c.strides.0 as isize, c.strides.1 as isize);
            let view = MatMut::with_strides(&mut out, m, n, rs, cs)?;
            gemm.run(alpha, a.view()?, b.view()?, beta, view, &mut scratch)?;
            assert_bits(&out, &expected, || format!("{case:?} {} {isa:?}, {threads} threads", T::NAME));
        }
    }
    Ok(())
}

/// Both element types.
fn check_both(case: Case, threads: &[usize]) -> Result<()> {
    check::<f32>(case, threads)?;
    check::<f64>(case, threads)
}

const FACTORS: [f64; 4] = [1.0, 0.0, 0.7, -1.0];

/// The `i`-th of all combinations of layouts, α and β.
fn combination(i: usize, sizes: (usize, usize, usize)) -> Case {
    Case {
        sizes,
        layouts: (LAYOUTS[i % 5], LAYOUTS[i / 5 % 5], LAYOUTS[i / 25 % 5]),
        alpha: FACTORS[i % 4],
        beta: FACTORS[i / 4 % 4],
        seed: i as u64,
    }
}

#[test]
fn sizes_at_the_edges_of_tiles() -> Result<()> {
    const SIZES: [usize; 17] = [0, 1, 2, 5, 6, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 97, 130];
    for i in 0..17 {
        for j in 0..17 {
            let sizes = (SIZES[i], SIZES[(7 * i + 3 * j) % 17], SIZES[j]);
            check_both(combination(17 * i + j, sizes), &[1])?;
            check_both(Case { alpha: 1.0, ..combination(0, sizes) }, &[3])?;
        }
    }
    Ok(())
}

#[test]
fn every_layout_of_every_operand() -> Result<()> {
    for i in 0..125 {
        check_both(combination(i, (7, 5, 18)), &[1])?;
        check_both(combination(i, (26, 19, 35)), &[1])?;
        check_both(Case { alpha: 1.0, beta: 0.0, ..combination(i, (33, 17, 64)) }, &[1])?;
        check_both(Case { alpha: 0.7, beta: -1.0, ..combination(i, (3, 9, 16)) }, &[1])?;
    }
    Ok(())
}

#[test]
fn every_factor_with_every_layout_of_c() -> Result<()> {
    for alpha in FACTORS {
        for beta in FACTORS {
            for (i, c) in LAYOUTS.into_iter().enumerate() {
                for sizes in [(9, 4, 21), (30, 33, 16), (5, 0, 3)] {
                    let layouts = (LAYOUTS[i], LAYOUTS[(i + 1) % 5], c);
                    check_both(Case { sizes, layouts, alpha, beta, seed: 1 }, &[2])?;
                }
            }
        }
    }
    Ok(())
}

/// Depths at the ends of chains, with tiles of every width and height and columns that are no whole vectors.
#[test]
fn chains_end_after_512_steps() -> Result<()> {
    for (i, k) in [511, 512, 513, 1023, 1024, 1025, 1537].into_iter().enumerate() {
        for (j, (m, n)) in [(1, 1), (7, 5), (26, 40), (25, 61), (3, 130), (33, 16)].into_iter().enumerate() {
            let case = combination(7 * i + 11 * j, (m, k, n));
            check_both(Case { alpha: 1.0, ..case }, &[1])?;
            check_both(Case { alpha: 0.7, beta: 1.0, ..case }, &[1])?;
        }
        let layouts = (Rows, Rows, Rows);
        check_both(Case { sizes: (96, k, 90), layouts, alpha: 1.0, beta: 0.7, seed: 9 }, &[1, 2, 3])?;
    }
    Ok(())
}

#[test]
fn sums_go_on_across_blocks_of_k() -> Result<()> {
    for (i, c) in LAYOUTS.into_iter().enumerate() {
        for (sizes, alpha, beta) in
            [((13, 1100, 37), 1.0, 0.7), ((50, 1537, 20), 0.7, 0.0), ((2, 2100, 64), -1.0, 1.0)]
        {
            let layouts = (LAYOUTS[(i + 2) % 5], LAYOUTS[(i + 4) % 5], c);
            check_both(Case { sizes, layouts, alpha, beta, seed: 2 }, &[1])?;
        }
    }
    Ok(())
}

#[test]
fn blocks_of_rows_and_columns() -> Result<()> {
    for (sizes, c) in [((1000, 3, 5), Rows), ((3, 2, 9000), Rows), ((500, 4, 11), Both), ((4, 5, 600), Both)]
    {
        check_both(Case { sizes, layouts: (Columns, Both, c), alpha: 0.7, beta: 1.0, seed: 3 }, &[1])?;
        check_both(Case { sizes, layouts: (Rows, Rows, Columns), alpha: 1.0, beta: 0.0, seed: 3 }, &[1])?;
    }
    Ok(())
}

/// Enough work for eight tasks.
#[test]
fn threads_leave_no_trace() -> Result<()> {
    for (sizes, layouts, beta) in [
        ((260, 270, 250), (Rows, Rows, Rows), 0.0),
        ((260, 270, 250), (Columns, RowsApart, Columns), 1.0),
        ((300, 300, 200), (Rows, Columns, Both), 0.7),
        ((2100, 900, 9), (RowsApart, Rows, RowsApart), 0.7),
        ((9, 900, 2100), (Rows, ColumnsApart, Rows), 0.0),
    ] {
        check::<f32>(Case { sizes, layouts, alpha: 1.0, beta, seed: 4 }, &[1, 2, 3, 8])?;
        check::<f64>(Case { sizes, layouts, alpha: 0.7, beta, seed: 5 }, &[2, 8])?;
    }
    Ok(())
}

/// Views that run backwards, in A, B and C.
#[test]
fn strides_below_zero() -> Result<()> {
    let (m, k, n) = (29, 7, 18);
    let (a, b) = (numbers::<f32>(m * k, 6), numbers::<f32>(k * n, 7));
    let before = numbers::<f32>(m * n, 8);
    // Element (i, j) is what its mirror image in the buffer is.
    let mirror =
        |x: &[f32], rows: usize, cols: usize, i: usize, j: usize| x[(rows - 1 - i) * cols + cols - 1 - j];
    for isa in IsaToken::available() {
        for (flip_rows, flip_cols) in [(true, false), (false, true), (true, true)] {
            let gemm = Gemm::with(isa, 1);
            let mut scratch = gemm.scratch(m, n, k);
            let mut out = before.clone();
            let (rs, cs) = (if flip_rows { -18 } else { 18 }, if flip_cols { -1 } else { 1 });
            let first = if flip_rows { (m - 1) * n } else { 0 } + if flip_cols { n - 1 } else { 0 };
            // SAFETY: from the last element back, or from the ends of rows: all within the buffers.
            let (a_view, b_view, c_view) = unsafe {
                (
                    MatRef::from_raw_parts(a.as_ptr().add(m * k - 1), m, k, -7, -1),
                    MatRef::from_raw_parts(b.as_ptr().add(k * n - 1), k, n, -18, -1),
                    MatMut::from_raw_parts(out.as_mut_ptr().add(first), m, n, rs, cs),
                )
            };
            gemm.run(1.0, a_view, b_view, 0.7, c_view, &mut scratch)?;
            for i in 0..m {
                for j in 0..n {
                    let at =
                        (if flip_rows { m - 1 - i } else { i }) * n + if flip_cols { n - 1 - j } else { j };
                    let terms = (0..k).map(|p| (mirror(&a, m, k, i, p), mirror(&b, k, n, p, j)));
                    let expected = chains(0.7 * before[at], terms);
                    assert_eq!(out[at].to_bits(), expected.to_bits(), "{isa:?} ({rs}, {cs}) ({i}, {j})");
                }
            }
        }
    }
    Ok(())
}

/// A row or a column that is read again and again.
#[test]
fn strides_of_zero() -> Result<()> {
    let (m, k, n) = (10, 6, 16);
    let (a, b) = (numbers::<f64>(m.max(k), 9), numbers::<f64>(n.max(k), 10));
    for isa in IsaToken::available() {
        for (sa, sb) in
            [((0, 1), (0, 1)), ((1, 0), (1, 0)), ((0, 1), (1, 0)), ((0, 0), (0, 0)), ((1, 1), (1, 1))]
        {
            // Overlapping rows: element (i, j) at i + j.
            let (a, b) = ([a.clone(), a.clone()].concat(), [b.clone(), b.clone()].concat());
            let at = |(rs, cs): (isize, isize), i: usize, j: usize| i * rs as usize + j * cs as usize;
            let a_view = MatRef::with_strides(&a, m, k, sa.0, sa.1)?;
            let b_view = MatRef::with_strides(&b, k, n, sb.0, sb.1)?;
            let gemm = Gemm::with(isa, 1);
            let mut c = vec![f64::NAN; m * n];
            gemm.run(1.0, a_view, b_view, 0.0, MatMut::new(&mut c, m, n)?, &mut gemm.scratch(m, n, k))?;
            let sum = |i, j| chains(0.0, (0..k).map(|p| (a[at(sa, i, p)], b[at(sb, p, j)])));
            let expected: Vec<f64> = (0..m * n).map(|x| sum(x / n, x % n)).collect();
            assert_bits(&c, &expected, || format!("{isa:?} {sa:?} {sb:?}"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_product(
        sizes in (0usize..75, 0usize..75, 0usize..75),
        combination in (0usize..5, 0usize..5, 0usize..5, 0usize..4, 0usize..4),
        threads in 1usize..4,
        seed in any::<u32>(),
    ) {
        let (a, b, c, alpha, beta) = combination;
        let layouts = (LAYOUTS[a], LAYOUTS[b], LAYOUTS[c]);
        let case = Case { sizes, layouts, alpha: FACTORS[alpha], beta: FACTORS[beta], seed: u64::from(seed) };
        prop_assert_eq!(check_both(case, &[threads]), Ok(()));
    }
}
