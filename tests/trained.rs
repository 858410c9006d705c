//! Networks that are trained for a hundred steps end with the same parameters, to the bit, on every instruction set and
//! machine, alone and with members: the hashes below were written on x86-64, and `tests/external/aarch64.sh` holds NEON
//! to them.
//!
//! Where bits change on purpose, `NABLAS_TRAINED=write cargo test --test trained -- --nocapture` prints the new hashes.

#[path = "common/numbers.rs"]
mod numbers;

use nablas::{
    Activation, Adam, AdamW, IsaToken, Loss, LossKind, MatRef, Mlp, Optimizer, PathKind, Plan, PlanOptions,
    Reduction, Result, Scalar, Sgd, Targets, Team, TeamOptions,
};
use numbers::numbers;

const STEPS: usize = 100;

/// A network and its training.
struct Training {
    path: PathKind,
    widths: &'static [usize],
    hidden: &'static str,
    batch: usize,
    loss: LossKind<f64>,
    optimizer: &'static str,
    /// Of the parameters after the last step, in f32 and f64.
    hashes: [u64; 2],
}

const TRAININGS: [Training; 6] = [
    Training {
        path: PathKind::Fused,
        widths: &[32, 48, 61, 10],
        hidden: "gelu",
        batch: 70,
        loss: LossKind::SoftmaxCrossEntropy,
        optimizer: "adamw",
        hashes: [0x8f6d_bfba_e244_d8bf, 0x47b1_9c41_983b_5353],
    },
    Training {
        path: PathKind::Fused,
        widths: &[64, 64, 16],
        hidden: "relu",
        batch: 33,
        loss: LossKind::Mse,
        optimizer: "sgd",
        hashes: [0x7956_1477_5f1f_1965, 0x0f6e_5b0f_230e_c267],
    },
    Training {
        path: PathKind::Narrow,
        widths: &[3, 9, 9, 1],
        hidden: "tanh",
        batch: 130,
        loss: LossKind::Huber(0.5),
        optimizer: "adam",
        hashes: [0x998a_8b83_3032_43c5, 0x32d1_2dc2_6fc7_a5b6],
    },
    Training {
        path: PathKind::Narrow,
        widths: &[2, 20, 1],
        hidden: "sin:3",
        batch: 600,
        loss: LossKind::Mse,
        optimizer: "adamw",
        hashes: [0x0707_a7fa_9e9a_769f, 0x4f06_ffd1_4e7d_2db7],
    },
    Training {
        path: PathKind::Layered,
        widths: &[17, 520, 500, 3],
        hidden: "silu",
        batch: 3,
        loss: LossKind::BceWithLogits,
        optimizer: "adam",
        hashes: [0xa950_0765_44d2_1fb7, 0x6e82_c637_0a04_5402],
    },
    Training {
        path: PathKind::Layered,
        widths: &[9, 700, 400, 5],
        hidden: "leaky_relu:0.1",
        batch: 2,
        loss: LossKind::L1,
        optimizer: "sgd",
        hashes: [0x525f_fa84_1452_5b6f, 0xaef9_e9ae_2dd4_5db1],
    },
];

fn loss<T: Scalar>(kind: LossKind<f64>) -> Loss<T> {
    let kind = match kind {
        LossKind::Mse => LossKind::Mse,
        LossKind::L1 => LossKind::L1,
        LossKind::Huber(d) => LossKind::Huber(T::from_f64(d)),
        LossKind::BceWithLogits => LossKind::BceWithLogits,
        LossKind::SoftmaxCrossEntropy => LossKind::SoftmaxCrossEntropy,
    };
    Loss::new(kind, Reduction::Mean)
}

fn optimizer<T: Scalar>(name: &str, isa: IsaToken, len: usize) -> Result<Box<dyn Optimizer<T>>> {
    Ok(match name {
        "sgd" => Box::new(Sgd::with(isa, len, 0.02)?),
        "adam" => Box::new(Adam::with(isa, len, 0.003)?),
        _ => Box::new(AdamW::with(isa, len, 0.003)?),
    })
}

impl Training {
    /// The parameters after the last step, and the first and last loss.
    fn run<T: Scalar>(&self, isa: IsaToken, members: usize) -> Result<(Vec<T>, T, T)> {
        let act: Activation<T> = self.hidden.parse().expect("an activation");
        let (outputs, hidden) = self.widths[1..].split_last().expect("a layer");
        let builder = hidden.iter().fold(Mlp::builder(self.widths[0]), |b, n| b.layer(*n, act));
        let mlp = builder.layer(*outputs, Activation::Identity).build()?;
        let mut params = vec![T::ZERO; mlp.param_len()];
        for l in 0..mlp.layers().len() {
            let range = mlp.weights_range(l)?;
            // A power of two, so that nothing is rounded here.
            let scale = 2f64.powi(-(mlp.layers()[l].inputs.ilog2() as i32 / 2));
            let drawn = numbers::<T>(range.len(), 1 + l as u64).into_iter();
            drawn.zip(&mut params[range]).for_each(|(x, p)| *p = x * T::from_f64(scale));
        }
        let (batch, n) = (self.batch, mlp.inputs());
        // Batches take turns, so that steps differ.
        let (x, t) = (numbers::<T>(4 * batch * n, 11), numbers::<T>(4 * batch * outputs, 12));
        let t: Vec<T> = t.into_iter().map(|t| if t < T::ZERO { -t } else { t }).collect();
        let classes: Vec<u32> = (0..4 * batch).map(|i| (i * 7 % outputs) as u32).collect();
        let (x, t) = (MatRef::new(&x, 4 * batch, n)?, MatRef::new(&t, 4 * batch, *outputs)?);
        let team = Team::new(&TeamOptions::new().threads(members))?;
        let plan = Plan::new(&mlp, &PlanOptions::new(batch).isa(isa).team(&team).exactly(members))?;
        assert_eq!(plan.path(), self.path);
        let loss = loss::<T>(self.loss);
        let mut optimizer = optimizer::<T>(self.optimizer, isa, params.len())?;
        let (mut ws, mut grads) = (plan.workspace()?, vec![T::ZERO; params.len()]);
        let mut losses = Vec::new();
        for step in 0..STEPS {
            let rows = step % 4 * batch..(step % 4 + 1) * batch;
            let targets = match self.loss {
                LossKind::SoftmaxCrossEntropy => Targets::Classes(&classes[rows.clone()]),
                _ => Targets::Values(t.rows(rows.clone())?),
            };
            // A clip every now and then.
            let clip = (step % 3 == 0).then_some(0.5);
            let (x, optimizer) = (x.rows(rows)?, &mut *optimizer);
            let done =
                plan.train_step(&mut params, x, &loss, targets, &mut grads, clip, optimizer, &mut ws)?;
            losses.push(done.loss);
        }
        Ok((params, losses[0], losses[STEPS - 1]))
    }

    fn hash<T: Scalar>(&self, isa: IsaToken, members: usize) -> Result<u64> {
        let (params, first, last) = self.run::<T>(isa, members)?;
        assert!(last.to_f64() < 0.97 * first.to_f64(), "{:?}: no training, {first} to {last}", self.widths);
        // FNV-1a over the parameters, as f64: exact.
        let fold = |h: u64, p: &T| (h ^ p.to_f64().to_bits()).wrapping_mul(0x0100_0000_01b3);
        Ok(params.iter().fold(0xcbf2_9ce4_8422_2325, fold))
    }
}

#[test]
fn a_hundred_steps_end_with_the_same_parameters() -> Result<()> {
    let write = std::env::var_os("NABLAS_TRAINED").is_some_and(|v| v == "write");
    for training in &TRAININGS {
        for isa in IsaToken::available() {
            // The hashes are those of one member, on the first of the instruction sets.
            for members in if write { 1..=1 } else { 1..=2 } {
                let got = [training.hash::<f32>(isa, members)?, training.hash::<f64>(isa, members)?];
                if write {
                    println!("{:?}: hashes: [{:#x}, {:#x}]", training.widths, got[0], got[1]);
                    continue;
                }
                let what = format!("{:?} on {}, {members} members", training.widths, isa.name());
                assert_eq!(got, training.hashes, "{what}: other bits than were committed");
            }
        }
    }
    Ok(())
}
