//! The same step, one multiplication at a time in f64.

use super::operands::Operands;

/// y, dW_l and db_l, row-major.
pub(super) struct Results {
    pub(super) y: Vec<f64>,
    pub(super) dw: Vec<Vec<f64>>,
    pub(super) db: Vec<Vec<f64>>,
}

/// (g(z), g'(z)) of the activation with this number.
fn activation(act: i32, z: f64) -> (f64, f64) {
    match act {
        0 => (z.max(0.0), f64::from(u8::from(z > 0.0))),
        1 => (z.tanh(), 1.0 - z.tanh().powi(2)),
        2 => {
            let s = 1.0 / (1.0 + (-z).exp());
            (z * s, s * (1.0 + z * (1.0 - s)))
        }
        3 => {
            let c = (2.0 / std::f64::consts::PI).sqrt();
            let t = (c * (z + 0.044715 * z.powi(3))).tanh();
            let slope = c * (1.0 + 3.0 * 0.044715 * z * z);
            (0.5 * z * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope)
        }
        4 => z.sin_cos(),
        _ => panic!("no activation {act}"),
    }
}

/// Forward and backward, sample by sample.
pub(super) fn step(p: &Operands) -> Results {
    let last = p.widths.len() - 2;
    let mut results = Results {
        y: Vec::new(),
        dw: p.w.iter().map(|w| vec![0.0; w.len()]).collect(),
        db: p.b.iter().map(|b| vec![0.0; b.len()]).collect(),
    };
    for i in 0..p.batch {
        let row =
            |m: &[f32], n: usize| -> Vec<f64> { m[i * n..][..n].iter().map(|v| f64::from(*v)).collect() };
        // A_l and g'(Z_l), from l = 0: of X the derivative stands for nothing.
        let mut a = vec![row(&p.x, p.widths[0])];
        let mut slopes = vec![vec![1.0; p.widths[0]]];
        for l in 0..=last {
            let input = &a[l];
            let z = p.w[l].chunks(input.len()).zip(&p.b[l]).map(|(w, b)| {
                f64::from(*b) + w.iter().zip(input).map(|(w, a)| f64::from(*w) * a).sum::<f64>()
            });
            let (value, slope) = z.map(|z| if l < last { activation(p.act, z) } else { (z, 1.0) }).unzip();
            a.push(value);
            slopes.push(slope);
        }
        results.y.extend(&a[last + 1]);
        let mut delta = row(&p.dy, p.widths[last + 1]);
        for l in (0..=last).rev() {
            let mut below = vec![0.0; p.widths[l]];
            let rows = p.w[l].chunks(p.widths[l]).zip(results.dw[l].chunks_mut(p.widths[l]));
            for ((w, dw), (delta, db)) in rows.zip(delta.iter().zip(&mut results.db[l])) {
                *db += delta;
                for (((w, dw), a), below) in w.iter().zip(dw).zip(&a[l]).zip(&mut below) {
                    *dw += delta * a;
                    *below += delta * f64::from(*w);
                }
            }
            delta = below.iter().zip(&slopes[l]).map(|(b, s)| b * s).collect();
        }
    }
    results
}
