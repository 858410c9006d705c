//! Kept states are values: several may be alive at once, of any batches, and each serves its own backward passes.

#[path = "common/bits.rs"]
mod bits;
#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/task.rs"]
mod task;

use bits::assert_bits;
use nablas::{
    Activation, BackendKind, Error, IsaToken, Kept, MatMut, PathKind, Plan, PlanOptions, Result, Scalar,
    Workspace,
};
use task::{Task, until_shared};

/// The rows `from..from + rows` of a task, forward and backward.
struct Part<'a, T: Scalar> {
    task: &'a Task<T>,
    plan: &'a Plan<T>,
    from: usize,
    rows: usize,
}

impl<T: Scalar> Part<'_, T> {
    /// Y, the gradient and dX in one pass.
    fn vjp(&self, ws: &mut Workspace<T>) -> Result<[Vec<T>; 3]> {
        let [mut y, mut grads, mut dx] = self.outputs();
        let (x, dy) = self.task.rows(self.from, self.rows)?;
        let (ym, dxm) = (self.view(&mut y)?, self.view(&mut dx)?);
        self.plan.vjp(&self.task.params, x, dy, Some(ym), &mut grads, Some(dxm), ws)?;
        Ok([y, grads, dx])
    }

    /// Y, leaving state if asked to.
    fn forward(&self, kept: Option<&mut Kept<T>>, ws: &mut Workspace<T>) -> Result<Vec<T>> {
        let [mut y, ..] = self.outputs();
        let (x, _) = self.task.rows(self.from, self.rows)?;
        self.plan.forward(&self.task.params, x, self.view(&mut y)?, kept, ws)?;
        Ok(y)
    }

    /// The gradient and dX from a state.
    fn backward(&self, kept: &Kept<T>, ws: &mut Workspace<T>) -> Result<[Vec<T>; 2]> {
        let [_, mut grads, mut dx] = self.outputs();
        let (x, dy) = self.task.rows(self.from, self.rows)?;
        let dxm = self.view(&mut dx)?;
        self.plan.backward(&self.task.params, x, dy, &mut grads, Some(dxm), kept, ws)?;
        Ok([grads, dx])
    }

    fn outputs(&self) -> [Vec<T>; 3] {
        let mlp = &self.task.mlp;
        [self.rows * mlp.outputs(), mlp.param_len(), self.rows * mlp.inputs()]
            .map(|len| vec![T::from_f64(f64::NAN); len])
    }

    fn view<'v>(&self, data: &'v mut [T]) -> Result<MatMut<'v, T>> {
        let cols = data.len() / self.rows;
        MatMut::new(data, self.rows, cols)
    }

    #[track_caller]
    fn assert_backward(&self, kept: &Kept<T>, expected: &[Vec<T>; 3], ws: &mut Workspace<T>) -> Result<()> {
        let [grads, dx] = self.backward(kept, ws)?;
        assert_bits(&grads, &expected[1], || format!("gradient of {} rows, {:?}", self.rows, self.plan));
        assert_bits(&dx, &expected[2], || format!("dX of {} rows, {:?}", self.rows, self.plan));
        Ok(())
    }
}

/// Three states of three batches, one of them with room to spare, in any order and again.
fn check<T: Scalar>(task: &Task<T>, plan: &Plan<T>) -> Result<()> {
    until_shared(plan, || seats_of(task, plan))
}

/// The same once; the most members that shared a call.
fn seats_of<T: Scalar>(task: &Task<T>, plan: &Plan<T>) -> Result<usize> {
    let (batch, mut ws) = (task.batch, plan.workspace()?);
    let part = |from, rows| Part { task, plan, from, rows };
    let (all, few, one) = (part(0, batch), part(3, batch / 3 + 1), part(batch - 1, 1));
    let expected = [all.vjp(&mut ws)?, few.vjp(&mut ws)?, one.vjp(&mut ws)?];
    let (mut of_all, mut of_few, mut of_one) = (plan.kept(batch)?, plan.kept(batch)?, plan.kept(1)?);
    assert!(of_one.bytes() <= of_few.bytes() && of_few.room() > few.rows);

    let mut seats = 0;
    for (part, kept, expected) in [
        (&all, &mut of_all, &expected[0]),
        (&one, &mut of_one, &expected[2]),
        (&few, &mut of_few, &expected[1]),
    ] {
        let y = part.forward(Some(&mut *kept), &mut ws)?;
        seats = ws.seats().max(seats);
        assert_bits(&y, &expected[0], || format!("Y of {} rows, {plan:?}", part.rows));
        assert_eq!(kept.batch(), Some(part.rows));
    }
    all.assert_backward(&of_all, &expected[0], &mut ws)?;
    seats = ws.seats().max(seats);
    few.assert_backward(&of_few, &expected[1], &mut ws)?;
    // Neither a pass that keeps nothing nor one that needs no state touches any.
    all.forward(None, &mut ws)?;
    few.vjp(&mut ws)?;
    one.assert_backward(&of_one, &expected[2], &mut ws)?;
    few.assert_backward(&of_few, &expected[1], &mut ws)?;
    all.assert_backward(&of_all, &expected[0], &mut plan.workspace()?)?;
    all.assert_backward(&of_all, &expected[0], &mut ws)?;

    // Another batch in the same memory.
    one.forward(Some(&mut of_few), &mut ws)?;
    one.assert_backward(&of_few, &expected[2], &mut ws)?;
    let refused = few.backward(&of_few, &mut ws);
    assert_eq!(refused.err(), Some(Error::NotKept { batch: few.rows, kept: Some(1) }));
    all.assert_backward(&of_all, &expected[0], &mut ws)?;
    Ok(seats)
}

/// A network for each path.
const PATHS: [(PathKind, &[usize], usize); 3] = [
    (PathKind::Fused, &[32, 48, 61, 10], 300),
    (PathKind::Narrow, &[20, 33, 17, 10], 1100),
    (PathKind::Layered, &[300, 900, 7], 30),
];

#[test]
fn states_live_side_by_side() -> Result<()> {
    for (path, widths, batch) in PATHS {
        for isa in IsaToken::available() {
            // Values, bit masks, outputs.
            for (act, members) in [(Activation::Tanh, 1), (Activation::Relu, 2), (Activation::Exp, 2)] {
                let task = Task::<f32>::new(widths, act, act, batch)?;
                let plan = task.plan(isa, members)?;
                assert_eq!(plan.path(), path);
                check(&task, &plan)?;
            }
            let task = Task::<f64>::new(widths, Activation::Gelu, Activation::Relu, batch)?;
            check(&task, &task.plan(isa, 2)?)?;
        }
    }
    Ok(())
}

#[test]
fn states_of_another_backend_live_side_by_side() -> Result<()> {
    let task = Task::<f32>::new(&[32, 48, 61, 10], Activation::Relu, Activation::Exp, 300)?;
    let options = PlanOptions::new(task.batch).backend(BackendKind::MatrixMultiply).threads(1);
    check(&task, &Plan::new(&task.mlp, &options)?)
}

/// A state in the caller's memory outlives the value that says where it is.
#[test]
fn a_lent_state_is_taken_up_again() -> Result<()> {
    for (_, widths, batch) in PATHS {
        let task = Task::<f32>::new(widths, Activation::Relu, Activation::Tanh, batch)?;
        let plan = task.plan(IsaToken::detect(), 2)?;
        let mut ws = plan.workspace()?;
        let part = Part { task: &task, plan: &plan, from: 0, rows: batch };
        let expected = part.vjp(&mut ws)?;
        #[repr(align(64))]
        #[derive(Clone)]
        struct Line([f32; 16]);
        let len = plan.kept_len(batch)?;
        // One line more than it takes: it must stay as it is.
        let mut memory = vec![Line([7.0; 16]); len.div_ceil(16) + 1];
        let at = memory.as_mut_ptr().cast::<f32>();
        let state = {
            // SAFETY: the memory is as long as the plan says, on a cache line, and used by this value alone.
            let mut kept = unsafe { plan.kept_at(at, batch, None)? };
            assert_eq!(part.backward(&kept, &mut ws).err(), Some(Error::NotKept { batch, kept: None }));
            part.forward(Some(&mut kept), &mut ws)?;
            kept.batch()
        };
        assert_eq!(state, Some(batch));
        for _ in 0..2 {
            // SAFETY: as above; the state is of this plan, and nothing has written it since.
            let kept = unsafe { plan.kept_at(at, batch, state)? };
            part.assert_backward(&kept, &expected, &mut ws)?;
        }
        assert!(memory[len.div_ceil(16)].0.iter().all(|x| *x == 7.0));
    }
    Ok(())
}

#[test]
fn a_state_of_no_rows() -> Result<()> {
    for (_, widths, batch) in PATHS {
        let task = Task::<f32>::new(widths, Activation::Relu, Activation::Tanh, batch)?;
        let plan = task.plan(IsaToken::detect(), 1)?;
        let (mut ws, mut kept) = (plan.workspace()?, plan.kept(0)?);
        let (x, dy) = task.rows(0, 0)?;
        let mut grads = vec![f32::NAN; task.params.len()];
        plan.forward(
            &task.params,
            x,
            MatMut::new(&mut [], 0, task.mlp.outputs())?,
            Some(&mut kept),
            &mut ws,
        )?;
        assert_eq!((kept.room(), kept.batch()), (0, Some(0)));
        plan.backward(&task.params, x, dy, &mut grads, None, &kept, &mut ws)?;
        assert!(grads.iter().all(|g| *g == 0.0));
        let more = plan.kept(batch + 1).err();
        assert_eq!(more, Some(Error::Batch { max: batch, got: batch + 1 }));
    }
    Ok(())
}
