//! Activation kernels over slices and strided rows: every ISA, length and stride, masks, canaries.

mod act_support;

use act_support::{Guarded, LENGTHS, Random, all, chains, key, keys};
use nablas_kernels::{
    act::{Activation, BackwardRows, Forward, ForwardRows, Rows, Saved, State, Value, Vjp, mask_bytes},
    isa::{IsaToken, Real},
    math::Math,
};

/// The activations for an element type.
fn activations<T: Math>() -> Vec<Activation<T>> {
    let text = |act: Activation<f64>| act.to_string().parse().expect("its own name");
    all().into_iter().chain([Activation::LeakyRelu(0.0), Activation::Sin(2.5)]).map(text).collect()
}

/// Value and derivative, element by element, by the scalar reference.
fn oracle<T: Math>(act: Activation<T>, z: &[T]) -> (Vec<T>, Vec<T>) {
    let scalar = IsaToken::pin("scalar").expect("always there");
    let (mut a, mut d) = (vec![T::ZERO; z.len()], vec![T::ZERO; z.len()]);
    for i in 0..z.len() {
        scalar.run(Forward { act, z: &z[i..=i], a: &mut a[i..=i], d: &mut d[i..=i] });
    }
    (a, d)
}

/// A number no kernel writes.
fn canary<T: Real>() -> T {
    T::from_f64(-7.25e20)
}

fn slices<T: Math>() {
    let mut random = Random(3);
    for act in activations::<T>() {
        for n in LENGTHS {
            let (z, g) = (random.inputs::<T>(n), random.inputs::<T>(n));
            let (value, derivative) = oracle(act, &z);
            let mut reference = None;
            for isa in IsaToken::available() {
                let new = || Guarded::new(n, T::ZERO, canary::<T>());
                let (mut a, mut d, mut plain, mut vjp) = (new(), new(), new(), new());
                isa.run(Forward { act, z: &z, a: a.inner(), d: d.inner() });
                isa.run(Value { act, z: &z, a: plain.inner() });
                isa.run(Vjp { act, z: &z, g: &g, out: vjp.inner() });

                let name = isa.name();
                assert_eq!(keys(a.check()), keys(&value), "{act} on {name}, {n}");
                assert_eq!(keys(d.check()), keys(&derivative), "{act}' on {name}, {n}");
                assert_eq!(keys(plain.check()), keys(&value), "{act} alone on {name}, {n}");
                let out = keys(vjp.check());
                assert_eq!(*reference.get_or_insert(out.clone()), out, "VJP of {act} on {name}, {n}");
                for i in 0..n {
                    let (got, slope) = (vjp.check()[i].to_f64(), derivative[i].to_f64());
                    let masked = matches!(act.saved(), Saved::Mask | Saved::Nothing);
                    if z[i].to_f64().is_nan() {
                        assert!(got.is_nan());
                    } else if masked && slope == 0.0 {
                        assert_eq!(got, 0.0, "{act} selects, whatever g is");
                    } else {
                        let want = g[i] * derivative[i];
                        assert_eq!(key(vjp.check()[i]), key(want), "VJP of {act} at {}", z[i]);
                    }
                }
            }
        }
    }
}

#[test]
fn slice_kernels_agree_on_every_isa_and_length() {
    slices::<f32>();
    slices::<f64>();
}

/// What one run of forward and backward over a strided block left behind.
#[derive(PartialEq, Debug)]
struct Trace<B> {
    a: Vec<Option<B>>,
    mask: Vec<u8>,
    kept: Vec<Option<B>>,
    delta: Vec<Option<B>>,
    db: Vec<Option<B>>,
}

/// Forward and backward over `rows` × `cols`, with gaps between the rows that must stay as they are.
fn block<T: Math>(isa: IsaToken, act: Activation<T>, rows: usize, cols: usize, gap: usize) -> Trace<T::Bits> {
    let mut random = Random((rows * 1000 + cols * 10 + gap + 1) as u64);
    let (ld, ld_mask) = (cols + gap, mask_bytes(cols) + gap);
    let size = rows * ld;
    let fill = |random: &mut Random| -> Vec<T> {
        let inputs = random.inputs::<T>(size);
        (0..size).map(|i| if i % ld < cols { inputs[i] } else { canary() }).collect()
    };
    let (z, g) = (fill(&mut random), fill(&mut random));
    let mut a = Guarded::copy(&z, canary());
    let mut d = Guarded::new(size, canary::<T>(), canary());
    let mut mask = Guarded::new(rows * ld_mask, 0xa5_u8, 0xa5);
    let mut delta = Guarded::copy(&g, canary());
    let start = random.inputs::<T>(cols);
    let mut db = Guarded::copy(&start, canary());

    let block = |x: &mut Guarded<T>| Rows { ptr: x.inner().as_mut_ptr(), ld, rows, cols };
    let kept = match act.saved() {
        Saved::Mask => State::Mask { ptr: mask.inner().as_mut_ptr(), ld: ld_mask },
        Saved::Derivative => State::Values { ptr: d.inner().as_mut_ptr(), ld },
        Saved::Nothing | Saved::Output => State::Nothing,
    };
    // SAFETY: each buffer has rows·ld elements, or bytes of mask.
    isa.run(unsafe { ForwardRows::new(act, block(&mut a), kept) });
    let state = match act.saved() {
        Saved::Output => State::Values { ptr: a.inner().as_mut_ptr(), ld },
        _ => kept,
    };
    // SAFETY: as above, and db has cols elements.
    isa.run(unsafe { BackwardRows::new(act, block(&mut delta), state, db.inner().as_mut_ptr()) });

    let (value, derivative) = oracle(act, &z);
    let mut sums = start;
    for i in 0..rows {
        for j in 0..ld {
            let at = i * ld + j;
            if j >= cols {
                for x in [a.check()[at], d.check()[at], delta.check()[at]] {
                    assert_eq!(x, canary(), "{act}: the gap between rows was written");
                }
                continue;
            }
            assert_eq!(key(a.check()[at]), key(value[at]), "{act} at {}", z[at]);
            let want = match act.saved() {
                Saved::Nothing => g[at],
                Saved::Mask => {
                    let bit = mask.check()[i * ld_mask + j / 8] >> (j % 8) & 1 == 1;
                    let nan = z[at].to_f64().is_nan();
                    let ceiling =
                        if let Activation::ClippedRelu(c) = act { c.to_f64() } else { f64::INFINITY };
                    assert_eq!(
                        bit,
                        nan || z[at] > T::ZERO && z[at].to_f64() < ceiling
                            || ceiling.is_infinite() && z[at] > T::ZERO
                    );
                    let slope = if bit { T::ONE } else { derivative[at] };
                    if slope == T::ZERO { T::ZERO } else { g[at] * slope }
                }
                _ => g[at] * derivative[at],
            };
            assert_eq!(key(delta.check()[at]), key(want), "{act} backward at {}, {}", z[at], g[at]);
            sums[j] += want;
        }
        if act.saved() == Saved::Mask && !cols.is_multiple_of(8) {
            let last = mask.check()[i * ld_mask + cols / 8];
            assert_eq!(last >> (cols % 8), 0, "bits past the last column are clear");
        }
        let gap = &mask.check()[i * ld_mask + mask_bytes(cols)..(i + 1) * ld_mask];
        assert!(gap.iter().all(|&b| b == 0xa5), "the gap between mask rows was written");
    }
    assert_eq!(keys(db.check()), keys(&sums), "{act}: db");
    Trace {
        a: keys(a.check()),
        mask: mask.check().to_vec(),
        kept: keys(d.check()),
        delta: keys(delta.check()),
        db: keys(db.check()),
    }
}

fn blocks<T: Math>() {
    for act in activations::<T>() {
        for cols in LENGTHS {
            for (rows, gap) in [(0, 1), (1, 0), (2, 3), (5, 1)] {
                let mut traces = IsaToken::available().map(|isa| block(isa, act, rows, cols, gap));
                let first = traces.next().expect("the scalar reference");
                assert!(traces.all(|t| t == first), "{act}, {rows} × {cols}: the ISAs differ");
            }
        }
    }
}

#[test]
fn row_kernels_agree_on_every_isa_shape_and_stride() {
    blocks::<f32>();
    blocks::<f64>();
}

/// db in two calls, by rows, is db in one; a null db is left alone.
/// More rows than a chain has.
#[test]
fn column_sums_are_sums_of_chains() {
    let mut random = Random(6);
    for (rows, cols) in [(511, 5), (512, 37), (513, 70), (1024, 16), (1025, 33), (1537, 3)] {
        let delta: Vec<f32> = (0..rows * cols).map(|_| random.within(1.0) as f32).collect();
        let start: Vec<f32> = (0..cols).map(|_| random.within(1.0) as f32).collect();
        let column = |j: usize| chains(start[j], (0..rows).map(|i| delta[i * cols + j]));
        let want: Vec<f32> = (0..cols).map(column).collect();
        for isa in IsaToken::available() {
            let (mut x, mut db) = (delta.clone(), start.clone());
            let block = Rows { ptr: x.as_mut_ptr(), ld: cols, rows, cols };
            // SAFETY: the block is x, and db has cols elements.
            isa.run(unsafe {
                BackwardRows::new(Activation::Identity, block, State::Nothing, db.as_mut_ptr())
            });
            assert_eq!(keys(&db), keys(&want), "{rows} × {cols} on {}", isa.name());
        }
    }
}

#[test]
fn column_sums_continue_across_calls() {
    let (rows, cols) = (7, 37);
    let mut random = Random(5);
    let delta: Vec<f32> = (0..rows * cols).map(|_| random.within(1.0) as f32).collect();
    for isa in IsaToken::available() {
        let sums = |cut: usize| {
            let (mut x, mut db) = (delta.clone(), vec![0.5_f32; cols]);
            for (from, to) in [(0, cut), (cut, rows)] {
                let ptr = x[from * cols..].as_mut_ptr();
                let block = Rows { ptr, ld: cols, rows: to - from, cols };
                // SAFETY: rows from..to are within x, and db has cols elements.
                isa.run(unsafe {
                    BackwardRows::new(Activation::Identity, block, State::Nothing, db.as_mut_ptr())
                });
            }
            db
        };
        assert_eq!(sums(0), sums(3));
        let mut x = delta.clone();
        let block = Rows { ptr: x.as_mut_ptr(), ld: cols, rows, cols };
        // SAFETY: the block is x; no sums are asked for.
        isa.run(unsafe {
            BackwardRows::new(Activation::<f32>::Identity, block, State::Nothing, std::ptr::null_mut())
        });
        assert_eq!(x, delta);
    }
}
