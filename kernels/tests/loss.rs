//! Losses: values and deltas against `f64`, differences, confident rows, specials; every ISA, to the bit.

mod act_support;

use act_support::{Guarded, LENGTHS, LONG, Random, key, keys, sixteen_lanes};
use nablas_kernels::{
    isa::{IsaToken, Real},
    loss::{BceWithLogits, ClassCrossEntropy, CrossEntropy, Huber, L1, Mse, Pointwise},
    math::Math,
    reduce::{View, ViewMut},
};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Loss {
    Mse,
    L1,
    Huber(f64),
    Bce,
    Class,
    Probabilities,
}

const LOSSES: [Loss; 6] =
    [Loss::Mse, Loss::L1, Loss::Huber(0.75), Loss::Bce, Loss::Class, Loss::Probabilities];

fn canary<T: Real>() -> T {
    T::from_f64(-7.25e20)
}

/// The class that a row of targets stands for: its largest.
fn class<T: Real>(row: &[T]) -> u32 {
    (0..row.len()).max_by(|&a, &b| row[a].to_f64().total_cmp(&row[b].to_f64())).unwrap_or(0) as u32
}

/// Row losses and deltas of a block with `ld` elements a row.
fn run<T: Math>(
    isa: IsaToken,
    loss: Loss,
    (y, target): (&[T], &[T]),
    (rows, cols, ld): (usize, usize, usize),
    scale: f64,
) -> (Vec<T>, Vec<T>) {
    let mut delta = Guarded::new(rows * ld, canary::<T>(), canary());
    let mut values = Guarded::new(rows, T::ZERO, canary());
    {
        let classes: Vec<u32> = (0..rows).map(|i| class(&target[i * ld..i * ld + cols])).collect();
        let view = |x| View::new(x, ld, rows, cols).expect("within x");
        let (y, target, scale) = (view(y), view(target), T::from_f64(scale));
        let delta = ViewMut::new(delta.inner(), ld, rows, cols).expect("within delta");
        let row_loss = values.inner();
        match loss {
            Loss::Mse => isa.run(Pointwise { loss: Mse, y, target, scale, delta, row_loss }),
            Loss::L1 => isa.run(Pointwise { loss: L1, y, target, scale, delta, row_loss }),
            Loss::Huber(d) => {
                isa.run(Pointwise { loss: Huber(T::from_f64(d)), y, target, scale, delta, row_loss });
            }
            Loss::Bce => isa.run(Pointwise { loss: BceWithLogits, y, target, scale, delta, row_loss }),
            Loss::Class => isa.run(ClassCrossEntropy { y, class: &classes, scale, delta, row_loss }),
            Loss::Probabilities => isa.run(CrossEntropy { y, target, scale, delta, row_loss }),
        }
    }
    for i in 0..rows {
        assert!(
            delta.check()[i * ld + cols..(i + 1) * ld].iter().all(|x| *x == canary()),
            "a gap was written"
        );
    }
    (values.check().to_vec(), delta.check().to_vec())
}

/// One row's loss in `f64`, by the formula.
fn formula(loss: Loss, y: &[f64], t: &[f64]) -> f64 {
    let pairs = || y.iter().zip(t);
    let lse = || {
        let max = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        max + y.iter().map(|y| (y - max).exp()).sum::<f64>().ln()
    };
    match loss {
        Loss::Mse => pairs().map(|(y, t)| (y - t) * (y - t)).sum(),
        Loss::L1 => pairs().map(|(y, t)| (y - t).abs()).sum(),
        Loss::Huber(d) => pairs()
            .map(|(y, t)| match (y - t).abs() {
                r if r <= d => 0.5 * r * r,
                r => d * (r - 0.5 * d),
            })
            .sum(),
        Loss::Bce => pairs().map(|(y, t)| y.max(0.0) - y * t + (-y.abs()).exp().ln_1p()).sum(),
        Loss::Class if y.is_empty() => f64::NAN,
        Loss::Class => lse() - y[class(t) as usize],
        Loss::Probabilities => {
            let lse = lse();
            pairs().map(|(y, t)| t * (lse - y)).sum()
        }
    }
}

/// Outputs and targets: in [0, 1] where they are probabilities.
fn problem<T: Real>(loss: Loss, n: usize, scale: f64) -> (Vec<T>, Vec<T>) {
    let mut random = Random(n as u64 + 17);
    let probabilities = matches!(loss, Loss::Bce | Loss::Probabilities);
    let y = (0..n).map(|_| T::from_f64(random.within(scale))).collect();
    let target = |x: f64| if probabilities { x.abs() } else { x };
    (y, (0..n).map(|_| T::from_f64(target(random.within(1.0)))).collect())
}

fn values<T: Math>() {
    for loss in LOSSES {
        for cols in LENGTHS {
            for (rows, gap) in [(0, 0), (1, 0), (3, 2), (16, 1), (37, 0)] {
                let ld = cols + gap;
                let (y, t) = problem::<T>(loss, rows * ld, 4.0);
                let mut first = None;
                for isa in IsaToken::available() {
                    let (got, delta) = run(isa, loss, (&y, &t), (rows, cols, ld), 0.5);
                    for i in 0..rows {
                        let wide =
                            |x: &[T]| x[i * ld..i * ld + cols].iter().map(|x| x.to_f64()).collect::<Vec<_>>();
                        let want = formula(loss, &wide(&y), &wide(&t));
                        let close = 20.0 * T::EPSILON.to_f64() * want.abs().max(1.0);
                        let got = got[i].to_f64();
                        assert!(
                            (got - want).abs() < close || want.is_nan() && got.is_nan(),
                            "{loss:?}: {got}, {want}"
                        );
                    }
                    let bits = (keys(&got), keys(&delta));
                    assert_eq!(*first.get_or_insert(bits.clone()), bits, "{loss:?} on {}", isa.name());
                }
            }
        }
    }
}

#[test]
fn values_agree_with_the_formulas() {
    values::<f32>();
    values::<f64>();
}

/// Rows in which the chains of the virtual lanes end: to the bit where a term is easily said, else on every ISA alike.
fn long_rows<T: Math>() {
    for cols in LONG {
        for loss in LOSSES {
            let (y, t) = problem::<T>(loss, cols, 4.0);
            let mut first = None;
            for isa in IsaToken::available() {
                let (value, delta) = run(isa, loss, (&y, &t), (1, cols, cols), 0.5);
                let bits = (keys(&value), keys(&delta));
                assert_eq!(*first.get_or_insert(bits.clone()), bits, "{loss:?} on {}", isa.name());
                let residuals = || y.iter().zip(&t).map(|(y, t)| *y - *t);
                let terms: Vec<T> = match loss {
                    Loss::Mse => residuals().map(|r| r * r).collect(),
                    Loss::L1 => residuals().map(|r| T::from_f64(r.to_f64().abs())).collect(),
                    _ => {
                        let wide = |x: &[T]| x.iter().map(|x| x.to_f64()).collect::<Vec<_>>();
                        let (got, want) = (value[0].to_f64(), formula(loss, &wide(&y), &wide(&t)));
                        let close = (20.0 + (cols as f64).sqrt()) * T::EPSILON.to_f64() * want.abs();
                        assert!((got - want).abs() < close, "{loss:?}: {got}, {want}");
                        continue;
                    }
                };
                assert_eq!(key(value[0]), key(sixteen_lanes(&terms)), "{loss:?} of {cols} on {}", isa.name());
            }
        }
    }
}

#[test]
fn long_rows_are_chains_in_every_lane() {
    long_rows::<f32>();
    long_rows::<f64>();
}

#[test]
fn deltas_agree_with_differences() {
    let (cols, scale, h) = (19, 0.25, 1e-6);
    for loss in LOSSES {
        let (mut y, t) = problem::<f64>(loss, cols, 3.0);
        for isa in IsaToken::available() {
            let (_, delta) = run(isa, loss, (&y, &t), (1, cols, cols), scale);
            let (_, narrow) = {
                let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<_>>();
                run(isa, loss, (&narrow(&y), &narrow(&t)), (1, cols, cols), scale)
            };
            for j in 0..cols {
                let at = y[j];
                y[j] = at + h;
                let right = formula(loss, &y, &t);
                y[j] = at - h;
                let left = formula(loss, &y, &t);
                y[j] = at;
                let want = scale * (right - left) / (2.0 * h);
                assert!((delta[j] - want).abs() < 1e-7, "{loss:?}: {} is not {want}", delta[j]);
                assert!((f64::from(narrow[j]) - want).abs() < 1e-5, "{loss:?}: {} is not {want}", narrow[j]);
            }
        }
    }
}

/// A row's values and deltas are its own: the same alone as in a block, whatever its neighbours.
#[test]
fn rows_are_independent_and_nan_stays_in_its_row() {
    // More rows than go together, and not a multiple; widths that go across and along.
    let rows = 37;
    for (loss, cols) in LOSSES.into_iter().flat_map(|loss| [1, 4, 9, 13, 16, 17].map(|cols| (loss, cols))) {
        let (mut y, t) = problem::<f32>(loss, rows * cols, 3.0);
        y[20 * cols + 4.min(cols - 1)] = f32::NAN;
        for isa in IsaToken::available() {
            let (values, delta) = run(isa, loss, (&y, &t), (rows, cols, cols), 1.0);
            for i in 0..rows {
                let row = i * cols..(i + 1) * cols;
                assert_eq!(values[i].is_nan(), i == 20, "{loss:?}, row {i}");
                assert_eq!(delta[row.clone()].iter().any(|x| x.is_nan()), i == 20, "{loss:?}, row {i}");
                let alone = run(isa, loss, (&y[row.clone()], &t[row.clone()]), (1, cols, cols), 1.0);
                assert_eq!((keys(&values[i..=i]), keys(&delta[row])), (keys(&alone.0), keys(&alone.1)));
            }
        }
    }
}

#[test]
fn confident_rows_keep_their_digits() {
    for isa in IsaToken::available() {
        let one = |loss, y: &[f32], t: &[f32]| {
            let (values, delta) = run(isa, loss, (y, t), (1, y.len(), y.len()), 1.0);
            (f64::from(values[0]), delta)
        };
        let small = (-40.0_f64).exp();
        let near = |got: f64, want: f64| assert!(((got - want) / want).abs() < 1e-5, "{got} is not {want}");
        for (y, t) in [(40.0, 1.0), (-40.0, 0.0)] {
            let (value, delta) = one(Loss::Bce, &[y], &[t]);
            near(value, small);
            near(f64::from(delta[0]), -small * f64::from(y.signum()));
        }
        let (value, delta) = one(Loss::Class, &[0.0, 40.0, 0.0], &[0.0, 1.0, 0.0]);
        near(value, 2.0 * small);
        near(f64::from(delta[1]), -2.0 * small);
        near(f64::from(delta[0]), small);
        near(one(Loss::Probabilities, &[0.0, 40.0], &[0.0, 1.0]).0, small);
    }
}

#[test]
fn infinities_go_to_their_limits() {
    let inf = f32::INFINITY;
    for isa in IsaToken::available() {
        let one = |loss, y: &[f32], t: &[f32]| {
            let (values, delta) = run(isa, loss, (y, t), (1, y.len(), y.len()), 1.0);
            (values[0], delta)
        };
        assert_eq!(one(Loss::Bce, &[inf], &[1.0]), (0.0, vec![0.0]));
        assert_eq!(one(Loss::Bce, &[-inf], &[0.0]), (0.0, vec![0.0]));
        assert_eq!(one(Loss::Bce, &[inf], &[0.0]), (inf, vec![1.0]));
        assert_eq!(one(Loss::Bce, &[-inf], &[1.0]), (inf, vec![-1.0]));
        assert_eq!(one(Loss::L1, &[1.0, -1.0, 0.5], &[0.5, 0.5, 0.5]), (2.0, vec![1.0, -1.0, 0.0]));
        assert_eq!(one(Loss::Class, &[-inf, 3.0], &[0.0, 1.0]), (0.0, vec![0.0, 0.0]));
        assert_eq!(one(Loss::Class, &[-inf, 3.0], &[1.0, 0.0]), (inf, vec![-1.0, 1.0]));
        assert_eq!(one(Loss::Class, &[3e38, -3e38], &[1.0, 0.0]), (0.0, vec![0.0, 0.0]));
        assert_eq!(one(Loss::Class, &[-inf, -inf], &[0.0, 1.0]).1, [0.5, -0.5]);
        assert_eq!(one(Loss::Probabilities, &[-inf, 3.0], &[0.0, 1.0]), (0.0, vec![0.0, 0.0]));
        assert!(one(Loss::Bce, &[1.0], &[f32::NAN]).0.is_nan());
        assert!(one(Loss::Probabilities, &[f32::NAN, 1.0], &[0.0, 0.0]).0.is_nan());
    }
}

/// The softmax of rows: the delta of a class that there is no column for.
fn softmax<T: Math>(isa: IsaToken, x: &[T], (rows, cols, ld): (usize, usize, usize)) -> Vec<T> {
    let mut delta = Guarded::new(rows * ld, canary::<T>(), canary());
    isa.run(ClassCrossEntropy {
        y: View::new(x, ld, rows, cols).expect("within x"),
        class: &vec![u32::MAX; rows],
        scale: T::ONE,
        delta: ViewMut::new(delta.inner(), ld, rows, cols).expect("within delta"),
        row_loss: &mut vec![T::ZERO; rows],
    });
    delta.check().to_vec()
}

fn softmax_rows<T: Math>() {
    let mut random = Random(4);
    let eps = T::EPSILON.to_f64();
    for cols in LENGTHS.into_iter().chain([8192, 8200, 20_000]) {
        for (rows, gap, scale) in [(0, 0, 1.0), (1, 0, 3.0), (18, 3, 30.0), (3, 1, 1000.0)] {
            let ld = cols + gap;
            let x: Vec<T> = (0..rows * ld).map(|_| T::from_f64(random.within(scale))).collect();
            for isa in IsaToken::available() {
                let got = softmax(isa, &x, (rows, cols, ld));
                for i in 0..rows {
                    let row: Vec<f64> = x[i * ld..i * ld + cols].iter().map(|x| x.to_f64()).collect();
                    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
                    for (got, x) in got[i * ld..].iter().zip(row) {
                        let want = (x - max).exp() / sum;
                        // x − m is rounded, to 2·scale·ε/2 at most; so is the exponential's argument. And long
                        // sums are rounded, the reference's above all: it is one chain.
                        let tolerance = (8.0 + 2.0 * scale + (cols as f64).sqrt()) * eps * want + 1e-44;
                        assert!((got.to_f64() - want).abs() <= tolerance, "{got} is not {want}");
                    }
                }
            }
        }
    }
}

#[test]
fn softmax_agrees_with_f64() {
    softmax_rows::<f32>();
    softmax_rows::<f64>();
}

/// In rows that go across, a row a lane, and in rows that go along, which the padding makes of them.
#[test]
fn infinite_logits_are_limits_of_the_softmax_and_nan_stays_in_its_row() {
    let inf = f32::INFINITY;
    for (isa, width) in IsaToken::available().flat_map(|isa| [4, 40].map(|width| (isa, width))) {
        let one = |x: &[f32], rest: f32| {
            let mut row = x.to_vec();
            row.resize(width, rest);
            softmax(isa, &row, (1, width, width))
        };
        let limits: [(&[f32], &[f32]); 4] = [
            (&[-inf, 2.0, -inf], &[0.0, 1.0, 0.0]),
            (&[1.0, inf], &[0.0, 1.0]),
            (&[inf, inf, 3.0, -inf], &[0.5, 0.5, 0.0, 0.0]),
            (&[3e38, -3e38], &[1.0, 0.0]),
        ];
        for (x, want) in limits {
            let got = one(x, -inf);
            assert_eq!(&got[..want.len()], want, "{x:?} of {width} on {}", isa.name());
            assert!(got[want.len()..].iter().all(|p| *p == 0.0));
        }
        assert_eq!(one(&[-inf], -inf), vec![1.0 / width as f32; width]);
        for x in [[f32::NAN, 1.0, 2.0], [1.0, f32::NAN, inf], [f32::NAN; 3], [-inf, -inf, f32::NAN]] {
            assert!(one(&x, 0.0).iter().all(|p| p.is_nan()), "{x:?} of {width} on {}", isa.name());
        }
    }
}

#[test]
fn a_class_without_a_column_is_nan() {
    for isa in IsaToken::available() {
        let y = [1.0_f32, 2.0, 3.0, 4.0];
        let (mut delta, mut row_loss) = ([0.0; 4], [0.0; 2]);
        isa.run(ClassCrossEntropy {
            y: View::new(&y, 2, 2, 2).expect("2 × 2"),
            class: &[7, 1],
            scale: 1.0,
            delta: ViewMut::new(&mut delta, 2, 2, 2).expect("2 × 2"),
            row_loss: &mut row_loss,
        });
        assert!(row_loss[0].is_nan() && row_loss[1].is_finite());
    }
}
