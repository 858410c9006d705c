//! Views with any shape and strides: what is accepted lies in its slice, and of a mutable one no two elements share an
//! address. Products of what is accepted are those of the triple loop.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use nablas::{Gemm, IsaToken, MatMut, MatRef};
use std::{collections::HashSet, ops::Range};

/// A size or stride: mostly small, at times near a limit, or anything.
fn size(u: &mut Unstructured<'_>) -> Result<isize> {
    Ok(match u8::arbitrary(u)? % 8 {
        0..5 => isize::from(u8::arbitrary(u)? % 24),
        5 => isize::from(i16::arbitrary(u)?),
        6 => *u.choose(&[isize::MAX, isize::MIN, isize::MAX / 4, 1 << 62, 1 << 61, 1 << 59, -1, 1 << 32])?,
        _ => isize::arbitrary(u)?,
    })
}

/// Shape and strides.
#[derive(Debug, Clone, Copy)]
struct Layout {
    rows: usize,
    cols: usize,
    rs: isize,
    cs: isize,
}

impl Layout {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        let (rows, cols) = (size(u)? as usize, size(u)? as usize);
        Ok(Self { rows, cols, rs: size(u)?, cs: size(u)? })
    }

    /// Elements to look at: all, or some of many.
    fn looked_at(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let few = |n: usize| (0..n.min(40)).chain(n.saturating_sub(3).max(40)..n);
        let cols = self.cols;
        few(self.rows).flat_map(move |i| few(cols).map(move |j| (i, j)))
    }
}

/// A range, mostly of the axis.
fn range(u: &mut Unstructured<'_>) -> Result<Range<usize>> {
    Ok(size(u)? as usize..size(u)? as usize)
}

/// Reads every element that is looked at, through every accessor.
fn read(m: MatRef<'_, f32>, base: &[f32]) {
    let (rows, cols) = m.shape();
    let layout = Layout { rows, cols, rs: m.row_stride(), cs: m.col_stride() };
    for (i, j) in layout.looked_at() {
        let at = m.get(i, j).expect("an element of the matrix");
        assert!(base.as_ptr_range().contains(&core::ptr::from_ref(at)), "{m:?} ({i}, {j})");
        assert_eq!(m.t().get(j, i).map(core::ptr::from_ref), Some(core::ptr::from_ref(at)));
    }
    assert!(m.get(rows, 0).is_none() && m.get(0, cols).is_none());
    let same = |at: &f32, i, j| m.get(i, j).is_some_and(|of| core::ptr::eq(of, at));
    for i in (0..rows.min(40)).chain([rows]) {
        let Some(row) = m.row(i) else { continue };
        assert!(i < rows && row.len() == cols);
        assert!(row.iter().enumerate().take(4096).all(|(j, at)| same(at, i, j)), "{m:?}, row {i}");
    }
    if let Some(all) = m.as_slice() {
        assert_eq!(all.len(), rows * cols);
        assert!(all.iter().enumerate().take(4096).all(|(e, at)| same(at, e / cols, e % cols)), "{m:?}");
    }
}

/// What a slice must hold once its views have been written to.
struct Model {
    base: *const f32,
    expected: Vec<f32>,
}

/// Writes each element that is looked at once, then all of them, then whole rows; element (0, 0) is the slice's `first`.
fn write(mut m: MatMut<'_, f32>, first: isize, model: &mut Model) {
    let (rows, cols) = m.shape();
    let layout = Layout { rows, cols, rs: m.row_stride(), cs: m.col_stride() };
    let index = |i: usize, j: usize| (first + i as isize * layout.rs + j as isize * layout.cs) as usize;
    let mut seen = HashSet::new();
    for (i, j) in layout.looked_at() {
        let at = m.get_mut(i, j).expect("an element of the matrix");
        assert!(seen.insert(core::ptr::from_mut(at)), "{layout:?} ({i}, {j}) is another's");
        assert_eq!(core::ptr::from_ref(at), model.base.wrapping_add(index(i, j)), "{layout:?} ({i}, {j})");
        *at = 1.0;
        model.expected[index(i, j)] = 1.0;
    }
    if rows.saturating_mul(cols) <= 1 << 12 {
        m.fill(2.0);
        // Empty ones may have any number of rows.
        for i in 0..if cols == 0 { 0 } else { rows } {
            (0..cols).for_each(|j| model.expected[index(i, j)] = 2.0);
        }
    }
    for i in 0..rows.min(40) {
        if let Some(row) = m.row_mut(i) {
            row.fill(3.0);
            (0..row.len()).for_each(|j| model.expected[index(i, j)] = 3.0);
        }
    }
}

/// C ← α·A·B + β·C of what fits.
fn product(a: Layout, b: Layout, c: Layout, data: &[f32], out: &mut [f32], alpha: f32, beta: f32) {
    let (Ok(am), Ok(bm)) = (
        MatRef::with_strides(data, a.rows, a.cols, a.rs, a.cs),
        MatRef::with_strides(data, b.rows, b.cols, b.rs, b.cs),
    ) else {
        return;
    };
    let before = out.to_vec();
    let Ok(cm) = MatMut::with_strides(out, c.rows, c.cols, c.rs, c.cs) else { return };
    // Empty ones may have any number of rows.
    if [a, b, c].iter().any(|l| l.rows.max(l.cols) > 4096) {
        return;
    }
    let gemm = Gemm::with(IsaToken::detect(), 1);
    let mut scratch = gemm.scratch(c.rows, c.cols, a.cols);
    let fits = a.cols == b.rows && (c.rows, c.cols) == (a.rows, b.cols);
    let done = gemm.run(alpha, am, bm, beta, cm, &mut scratch);
    assert_eq!(done.is_ok(), fits, "{done:?}");
    let mut expected = before;
    if fits {
        for i in 0..c.rows {
            for j in 0..c.cols {
                let at = (i as isize * c.rs + j as isize * c.cs) as usize;
                let start = if beta == 0.0 { 0.0 } else { beta * expected[at] };
                let terms = (0..a.cols).map(|p| (am.get(i, p).copied(), bm.get(p, j).copied()));
                let sum = terms.fold(start, |sum, (x, y)| (alpha * x.unwrap()).mul_add(y.unwrap(), sum));
                expected[at] = sum;
            }
        }
    }
    assert_eq!(out, expected, "{a:?} {b:?} {c:?}");
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let len = usize::from(u16::arbitrary(u)? % 700);
    let data: Vec<f32> = (0..len).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
    let l = Layout::new(u)?;
    if let Ok(m) = MatRef::with_strides(&data, l.rows, l.cols, l.rs, l.cs) {
        read(m, &data);
        if let Ok(block) = m.submatrix(range(u)?, range(u)?) {
            read(block, &data);
        }
        if let Ok(rows) = m.t().rows(range(u)?) {
            read(rows, &data);
        }
    }
    if let Ok(m) = MatRef::with_leading_dim(&data, l.rows, l.cols, l.rs as usize) {
        read(m, &data);
    }
    let mut out = data.clone();
    let mut model = Model { base: out.as_ptr(), expected: data.clone() };
    if let Ok(mut m) = MatMut::with_strides(&mut out, l.rows, l.cols, l.rs, l.cs) {
        write(m.reborrow(), 0, &mut model);
        let at = size(u)? as usize;
        if let Ok((top, bottom)) = m.reborrow().split_at_row(at) {
            write(top, 0, &mut model);
            // Of none below there is no first.
            let first = if at < l.rows && l.cols > 0 { at as isize * l.rs } else { 0 };
            write(bottom, first, &mut model);
        }
        let (rows, cols) = (range(u)?, range(u)?);
        if let Ok(block) = m.t().submatrix(rows.clone(), cols.clone()) {
            let some = !rows.is_empty() && !cols.is_empty();
            let first = if some { rows.start as isize * l.cs + cols.start as isize * l.rs } else { 0 };
            write(block, first, &mut model);
        }
    }
    assert_eq!(out, model.expected, "{l:?}");
    let mut out = data.clone();
    let (a, mut b, mut c) = (Layout::new(u)?, Layout::new(u)?, Layout::new(u)?);
    if bool::arbitrary(u)? {
        (b.rows, c.rows, c.cols) = (a.cols, a.rows, b.cols);
    }
    let factors = [0.0, 1.0, -1.0, 0.5];
    // Of halves of small integers every sum is exact, so no order of them can differ.
    product(a, b, c, &data, &mut out, *u.choose(&factors)?, *u.choose(&factors)?);
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    // Bytes that are too few are followed by zeros.
    let _ = run(&mut Unstructured::new(data));
});
