//! A plan reads and writes matrices of any strides, with the same bits, and leaves what lies between elements alone.

#[path = "common/bits.rs"]
mod bits;
#[path = "common/numbers.rs"]
mod numbers;

use bits::assert_bits;
use nablas::{
    Activation, BackendKind, IsaToken, Loss, LossKind, MatMut, MatRef, Mlp, Plan, PlanOptions, Reduction,
    Result, Targets,
};
use numbers::numbers;

/// How a matrix lies in memory: by rows or by columns, elements apart, axes reversed.
#[derive(Debug, Clone, Copy)]
struct Form {
    by_columns: bool,
    apart: usize,
    gap: usize,
    rows_back: bool,
    cols_back: bool,
}

const ROWS: Form = Form { by_columns: false, apart: 1, gap: 0, rows_back: false, cols_back: false };

fn forms() -> [Form; 9] {
    [
        ROWS,
        Form { gap: 3, ..ROWS },
        Form { by_columns: true, ..ROWS },
        Form { by_columns: true, gap: 2, ..ROWS },
        Form { apart: 2, ..ROWS },
        Form { rows_back: true, ..ROWS },
        Form { cols_back: true, gap: 1, ..ROWS },
        Form { rows_back: true, gap: 5, ..ROWS },
        Form { by_columns: true, rows_back: true, cols_back: true, ..ROWS },
    ]
}

const CANARY: f32 = 77.0;

/// A matrix in one of these forms.
struct Matrix {
    data: Vec<f32>,
    shape: (usize, usize),
    strides: (isize, isize),
    first: usize,
}

impl Matrix {
    fn new(form: Form, (rows, cols): (usize, usize), values: &[f32]) -> Self {
        let (inner, outer) = (form.apart, |n: usize| n * form.apart + form.gap);
        let (rs, cs) = if form.by_columns { (inner, outer(rows)) } else { (outer(cols), inner) };
        let (down, right) = ((rows - 1) * rs, (cols - 1) * cs);
        let first = if form.rows_back { down } else { 0 } + if form.cols_back { right } else { 0 };
        let sign = |back: bool, s: usize| if back { -(s as isize) } else { s as isize };
        let strides = (sign(form.rows_back, rs), sign(form.cols_back, cs));
        let mut matrix = Self { data: vec![CANARY; down + right + 1], shape: (rows, cols), strides, first };
        for (e, value) in values.iter().enumerate() {
            let at = matrix.at(e);
            matrix.data[at] = *value;
        }
        matrix
    }

    /// Where the `e`-th element, row by row, lies.
    fn at(&self, e: usize) -> usize {
        let (i, j) = ((e / self.shape.1) as isize, (e % self.shape.1) as isize);
        self.first.wrapping_add_signed(i * self.strides.0 + j * self.strides.1)
    }

    fn view(&self) -> MatRef<'_, f32> {
        let ((rows, cols), (rs, cs)) = (self.shape, self.strides);
        // SAFETY: the first element and all strides from it on stay in the buffer.
        unsafe { MatRef::from_raw_parts(self.data.as_ptr().add(self.first), rows, cols, rs, cs) }
    }

    fn view_mut(&mut self) -> MatMut<'_, f32> {
        let ((rows, cols), (rs, cs)) = (self.shape, self.strides);
        // SAFETY: as for `view`; strides and shape give each element an address of its own.
        unsafe { MatMut::from_raw_parts(self.data.as_mut_ptr().add(self.first), rows, cols, rs, cs) }
    }

    /// The elements row by row; what lies between them is as it was.
    fn elements(mut self) -> Vec<f32> {
        let mut elements = Vec::new();
        for e in 0..self.shape.0 * self.shape.1 {
            let at = self.at(e);
            elements.push(core::mem::replace(&mut self.data[at], CANARY));
        }
        assert!(self.data.iter().all(|x| *x == CANARY), "written between elements");
        elements
    }
}

#[test]
fn every_form_of_every_operand_has_the_same_bits() -> Result<()> {
    let batch = 29;
    for (widths, last, threads, backend) in [
        ([5, 9, 3], Activation::Exp, 2, BackendKind::Native),
        ([16, 20, 32], Activation::Exp, 2, BackendKind::Native),
        // Where the last activation is the identity and rows are whole vectors, dY is read where it lies.
        ([16, 20, 32], Activation::Identity, 1, BackendKind::Native),
        ([16, 20, 32], Activation::Identity, 2, BackendKind::Native),
        ([5, 8_000, 32], Activation::Identity, 2, BackendKind::Native),
        // A few inputs and outputs beside a wide layer: their products are turned.
        ([5, 600, 3], Activation::Exp, 2, BackendKind::Native),
        ([5, 40_000, 3], Activation::Exp, 2, BackendKind::Native),
        ([5, 9, 3], Activation::Exp, 2, BackendKind::MatrixMultiply),
        ([5, 9, 32], Activation::Identity, 2, BackendKind::MatrixMultiply),
    ] {
        let [n, hidden, m] = widths;
        let mlp = Mlp::builder(n).layer(hidden, Activation::Tanh).layer(m, last).build()?;
        let params: Vec<f32> = numbers::<f32>(mlp.param_len(), 1).into_iter().map(|p| 0.05 * p).collect();
        let (x, dy) = (numbers::<f32>(batch * n, 2), numbers::<f32>(batch * m, 3));
        let isas = IsaToken::available().filter(|isa| hidden < 1000 || isa.name() != "scalar");
        for isa in isas {
            for apart in [false, true] {
                let options = PlanOptions::new(batch).exactly(threads).isa(isa).backend(backend);
                let plan = Plan::new(&mlp, &options)?;
                let mut ws = plan.workspace()?;
                let mut first: Option<[Vec<f32>; 3]> = None;
                for (i, form) in forms().into_iter().enumerate() {
                    let other = |by: usize| forms()[(i * by + by - 1) % 9];
                    let xm = Matrix::new(form, (batch, n), &x);
                    let dym = Matrix::new(if i == 0 { ROWS } else { other(2) }, (batch, m), &dy);
                    let mut y = Matrix::new(if i == 0 { ROWS } else { other(4) }, (batch, m), &[]);
                    let mut dx = Matrix::new(if i == 0 { ROWS } else { other(5) }, (batch, n), &[]);
                    let mut grads = vec![0.0; params.len()];
                    if !apart {
                        let (y, dx) = (Some(y.view_mut()), Some(dx.view_mut()));
                        plan.vjp(&params, xm.view(), dym.view(), y, &mut grads, dx, &mut ws)?;
                    } else {
                        let mut kept = plan.kept(batch)?;
                        plan.forward(&params, xm.view(), y.view_mut(), Some(&mut kept), &mut ws)?;
                        plan.backward(
                            &params,
                            xm.view(),
                            dym.view(),
                            &mut grads,
                            Some(dx.view_mut()),
                            &kept,
                            &mut ws,
                        )?;
                    }
                    let results = [y.elements(), grads, dx.elements()];
                    for (got, expected) in results.iter().zip(first.get_or_insert_with(|| results.clone())) {
                        assert_bits(got, expected, || format!("form {i}, {plan:?}, {apart}"));
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn targets_may_have_gaps_and_run_backwards() -> Result<()> {
    let (batch, m) = (29, 5);
    let mlp = Mlp::builder(3).layer(m, Activation::Sigmoid).build()?;
    let params = numbers::<f32>(mlp.param_len(), 4);
    let (x, t) = (numbers::<f32>(batch * 3, 5), numbers::<f32>(batch * m, 6));
    let plan = Plan::new(&mlp, &PlanOptions::new(batch))?;
    let mut ws = plan.workspace()?;
    let loss = Loss::new(LossKind::Mse, Reduction::Sum);
    let mut first: Option<(f32, Vec<f32>)> = None;
    for form in forms().into_iter().filter(|f| !f.by_columns && f.apart == 1 && !f.cols_back) {
        let targets = Matrix::new(form, (batch, m), &t);
        let mut grads = vec![0.0; params.len()];
        let (x, targets) = (MatRef::new(&x, batch, 3)?, Targets::Values(targets.view()));
        let value = plan.value_and_grad(&params, x, &loss, targets, &mut grads, &mut ws)?;
        let expected = first.get_or_insert_with(|| (value, grads.clone()));
        assert_eq!(value.to_bits(), expected.0.to_bits(), "{form:?}");
        assert_bits(&grads, &expected.1, || format!("{form:?}"));
    }
    Ok(())
}
