//! Matrix views: what they accept, what they refuse and with which words, and that blocks reach the right elements.

use nablas::{Error, MatMut, MatRef, Shape};

const MAX: usize = usize::MAX;

fn numbers(n: usize) -> Vec<f64> {
    (0..n).map(|i| i as f64).collect()
}

#[test]
fn element_i_j_lies_at_its_strides() -> nablas::Result<()> {
    let data = numbers(60);
    for (rows, cols, rs, cs) in
        [(3, 4, 4, 1), (3, 4, 7, 1), (3, 4, 1, 3), (4, 3, 9, 2), (2, 5, 0, 1), (5, 2, 1, 0), (1, 1, 0, 0)]
    {
        let m = MatRef::with_strides(&data, rows, cols, rs, cs)?;
        for i in 0..rows {
            for j in 0..cols {
                let at = (i as isize * rs + j as isize * cs) as f64;
                assert_eq!(m.get(i, j), Some(&at));
                assert_eq!(m.t().get(j, i), Some(&at));
                assert_eq!(m.submatrix(i..rows, j..cols)?.get(0, 0), Some(&at));
            }
            assert_eq!(m.get(i, cols), None);
            assert_eq!(m.row(i).is_some(), cs == 1 || cols == 1);
        }
        assert_eq!(m.get(rows, 0), None);
        assert_eq!(m.row(rows), None);
        assert_eq!(m.t().shape(), (cols, rows));
    }
    Ok(())
}

#[test]
fn the_last_element_must_be_in_the_slice() {
    let data = numbers(12);
    assert!(MatRef::new(&data, 3, 4).is_ok());
    assert!(MatRef::with_leading_dim(&data, 2, 4, 8).is_ok());
    let cases = [
        (MatRef::new(&data, 4, 4), (4, 4), 16),
        (MatRef::with_leading_dim(&data, 2, 4, 9), (2, 4), 13),
        (MatRef::with_strides(&data, 2, 2, 1, 11), (2, 2), 13),
    ];
    for (got, (rows, cols), needed) in cases {
        assert_eq!(got.err(), Some(Error::Bounds { shape: Shape::new(rows, cols), needed, got: 12 }));
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let data = numbers(4);
    let overflow =
        |r: nablas::Result<MatRef<'_, f64>>| assert!(matches!(r, Err(Error::Overflow { .. })), "{r:?}");
    for (rows, cols) in
        [(MAX, 1), (1, MAX), (MAX, MAX), (MAX, 0), (0, MAX), (1 << 33, 1 << 33), (MAX / 8 + 1, 8)]
    {
        overflow(MatRef::new(&data, rows, cols));
        overflow(MatRef::with_strides(&data, rows, cols, 0, 0));
    }
    overflow(MatRef::with_strides(&data, 3, 2, isize::MAX, 1));
    overflow(MatRef::with_strides(&data, 2, 3, 1, isize::MAX));
    overflow(MatRef::with_leading_dim(&data, 2, 2, MAX));
    let mut data = numbers(4);
    assert!(matches!(MatMut::new(&mut data, MAX, MAX), Err(Error::Overflow { .. })));
}

#[test]
fn empty_matrices_need_no_elements() -> nablas::Result<()> {
    for (rows, cols) in [(0, 0), (0, 5), (5, 0)] {
        let m = MatRef::<f32>::new(&[], rows, cols)?;
        assert!(m.is_empty());
        assert_eq!((m.shape(), m.get(0, 0)), ((rows, cols), None));
        assert_eq!(m.submatrix(0..rows, 0..cols)?.shape(), (rows, cols));
        let mut w = MatMut::<f32>::with_strides(&mut [], rows, cols, 0, 0)?;
        w.fill(1.0);
        w.copy_from(m)?;
        let (top, bottom) = w.split_at_row(rows)?;
        assert_eq!((top.nrows(), bottom.nrows()), (rows, 0));
    }
    let m = MatRef::<f32>::new(&[], 2, 0)?;
    assert_eq!((m.row(1), m.row(2)), (Some(&[][..]), None));
    Ok(())
}

#[test]
fn strides_are_refused_by_name() {
    let mut data = numbers(12);
    let stride = |r: Option<Error>, name: &str, value: isize| match r {
        Some(Error::Stride { what, got, .. }) => assert_eq!((what, got), (name, value)),
        other => panic!("{other:?}"),
    };
    stride(MatRef::with_strides(&data, 3, 4, -4, 1).err(), "row stride", -4);
    stride(MatRef::with_strides(&data, 3, 4, 4, -1).err(), "column stride", -1);
    stride(MatRef::with_strides(&data, 3, 4, isize::MIN, 1).err(), "row stride", isize::MIN);
    stride(MatRef::with_leading_dim(&data, 3, 4, 3).err(), "leading dimension", 3);
    stride(MatMut::with_leading_dim(&mut data, 3, 4, 3).err(), "leading dimension", 3);
    stride(MatMut::with_strides(&mut data, 3, 4, 4, -1).err(), "column stride", -1);
}

/// The refusal of self-aliasing strides is exact: it agrees with listing the addresses.
#[test]
fn mutable_views_refuse_exactly_the_strides_that_alias() {
    let mut data = numbers(200);
    let (mut refused, mut taken) = (0, 0);
    for rows in 0..5 {
        for cols in 0..5 {
            for rs in 0..10isize {
                for cs in 0..10isize {
                    let mut at: Vec<isize> =
                        (0..rows).flat_map(|i| (0..cols).map(move |j| i * rs + j * cs)).collect();
                    let n = at.len();
                    at.sort_unstable();
                    at.dedup();
                    let got = MatMut::with_strides(&mut data, rows as usize, cols as usize, rs, cs);
                    if at.len() < n {
                        assert!(matches!(got, Err(Error::Aliased { .. })), "{rows}×{cols} ({rs}, {cs})");
                        refused += 1;
                    } else {
                        assert!(got.is_ok(), "{rows}×{cols} ({rs}, {cs})");
                        taken += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 200 && taken > 1000, "{refused} refused, {taken} taken");
}

#[test]
fn ranges_outside_are_refused_by_axis() -> nablas::Result<()> {
    let mut data = numbers(12);
    let m = MatRef::new(&data, 3, 4)?;
    let range = |what, start, end, len| Some(Error::Range { what, start, end, len });
    assert_eq!(m.rows(2..4).err(), range("rows", 2, 4, 3));
    assert_eq!(m.submatrix(0..3, 5..5).err(), range("columns", 5, 5, 4));
    #[expect(clippy::reversed_empty_ranges, reason = "a range that runs backwards is the case in question")]
    let backwards = m.rows(2..1);
    assert_eq!(backwards.err(), range("rows", 2, 1, 3));
    assert_eq!(m.rows(MAX..MAX).err(), range("rows", MAX, MAX, 3));
    assert_eq!(MatMut::new(&mut data, 3, 4)?.split_at_row(4).err(), range("rows", 0, 4, 3));
    Ok(())
}

#[test]
fn writes_reach_their_elements_and_no_others() -> nablas::Result<()> {
    let mut data = vec![-1.0; 30];
    let source = numbers(30);
    let mut m = MatMut::with_leading_dim(&mut data, 4, 5, 7)?;
    m.copy_from(MatRef::with_strides(&source, 4, 5, 1, 4)?)?;
    let (top, mut bottom) = m.split_at_row(1)?;
    assert_eq!((top.shape(), bottom.shape()), ((1, 5), (3, 5)));
    bottom.row_mut(0).expect("row 1 is contiguous").fill(100.0);
    *bottom.reborrow().t().get_mut(4, 2).expect("(3, 4) is there") = 200.0;
    bottom.submatrix(1..2, 1..3)?.fill(300.0);
    let got = MatRef::with_leading_dim(&data, 4, 5, 7)?;
    for i in 0..4 {
        for j in 0..5 {
            let expected = match (i, j) {
                (1, _) => 100.0,
                (3, 4) => 200.0,
                (2, 1 | 2) => 300.0,
                _ => (i + 4 * j) as f64,
            };
            assert_eq!(got.get(i, j), Some(&expected), "({i}, {j})");
        }
    }
    let between = data.iter().enumerate().filter(|(k, _)| k % 7 >= 5);
    assert!(between.clone().count() > 5 && between.clone().all(|(_, x)| *x == -1.0));
    Ok(())
}

#[test]
fn copies_need_equal_shapes() -> nablas::Result<()> {
    let (mut a, b) = ([0.0; 6], [0.0; 6]);
    let error = MatMut::new(&mut a, 2, 3)?.copy_from(MatRef::new(&b, 3, 2)?).unwrap_err();
    assert_eq!(error.to_string(), "the source of a copy: expected a 2×3 matrix, got 3×2");
    Ok(())
}

#[test]
fn raw_views_may_run_backwards() {
    let mut data = numbers(6);
    // SAFETY: from the last element of six, back by three and by one, all of 2×3 is in the slice.
    let m = unsafe { MatRef::from_raw_parts(data.as_ptr().add(5), 2, 3, -3, -1) };
    assert_eq!((m.get(0, 0), m.get(1, 2), m.t().get(2, 0)), (Some(&5.0), Some(&0.0), Some(&3.0)));
    // SAFETY: as above; the shared view is not used again.
    let mut m = unsafe { MatMut::from_raw_parts(data.as_mut_ptr().add(5), 2, 3, -3, -1) };
    *m.get_mut(1, 1).expect("(1, 1) is there") = 9.0;
    assert_eq!(data[1], 9.0);
}
