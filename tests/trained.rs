//! Networks that are trained for a hundred steps end with the same parameters, to the bit, on every instruction set and
//! machine, alone and with members: the hashes below were written on x86-64.
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
        hashes: [0xfde3_45e9_8d84_d62b, 0xa04a_e9e7_ea20_c281],
    },
    Training {
        path: PathKind::Fused,
        widths: &[64, 64, 16],
        hidden: "relu",
        batch: 33,
        loss: LossKind::Mse,
        optimizer: "sgd",
        hashes: [0x38df_3e78_b8db_81f0, 0xfe51_f6b2_c113_69f3],
    },
    Training {
        path: PathKind::Narrow,
        widths: &[3, 9, 9, 1],
        hidden: "tanh",
        batch: 130,
        loss: LossKind::Huber(0.5),
        optimizer: "adam",
        hashes: [0x4760_a442_c897_467f, 0xacde_6eb8_f290_f334],
    },
    Training {
        path: PathKind::Narrow,
        widths: &[2, 20, 1],
        hidden: "sin:3",
        batch: 600,
        loss: LossKind::Mse,
        optimizer: "adamw",
        hashes: [0xf057_3b91_9291_0aa4, 0xd304_e6e6_ca7d_b2c2],
    },
    Training {
        path: PathKind::Layered,
        widths: &[17, 520, 500, 3],
        hidden: "silu",
        batch: 3,
        loss: LossKind::BceWithLogits,
        optimizer: "adam",
        hashes: [0xc3c8_0cce_c9e0_378e, 0x916a_ae79_b4c4_0741],
    },
    Training {
        path: PathKind::Layered,
        widths: &[9, 700, 400, 5],
        hidden: "leaky_relu:0.1",
        batch: 2,
        loss: LossKind::L1,
        optimizer: "sgd",
        hashes: [0x6285_64cb_4849_5b80, 0xad2e_634f_9b19_dd72],
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
        // FNV-1a over the parameters' octets, as f64: exact, signs of zeros too.
        let octets = params.iter().flat_map(|p| p.to_f64().to_bits().to_le_bytes());
        let fold = |h: u64, octet: u8| (h ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
        Ok(octets.fold(0xcbf2_9ce4_8422_2325, fold))
    }
}

#[test]
fn a_hundred_steps_end_with_the_same_parameters() -> Result<()> {
    let write = std::env::var_os("NABLAS_TRAINED").is_some_and(|v| v == "write");
    for training in &TRAININGS {
        for isa in IsaToken::available() {
            // The hashes are those of one member.
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
