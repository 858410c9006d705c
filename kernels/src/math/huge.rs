//! Range reduction for large arguments, after Payne and Hanek (1983): x·2/π modulo 4 in integers, from the
//! bits of 2/π that matter to it. One number at a time.

/// 64 zeros, then the bits of 2/π, the first of weight ½.
const TWO_OVER_PI: [u64; 21] = [
    0x0000000000000000,
    0xa2f9836e4e441529,
    0xfc2757d1f534ddc0,
    0xdb6295993c439041,
    0xfe5163abdebbc561,
    0xb7246e3a424dd2e0,
    0x06492eea09d1921c,
    0xfe1deb1cb129a73e,
    0xe88235f52ebb4484,
    0xe99c7026b45f7e41,
    0x3991d639835339f4,
    0x9c845f8bbdf9283b,
    0x1ff897ffde05980f,
    0xef2f118b5a0a6d1f,
    0x6d367ecf27cb09b7,
    0x4f463f669e5fea2d,
    0x7527bac7ebe5f17b,
    0x3d0739f78a5292ea,
    0x6bfb5fb11f8d5d08,
    0x56033046fc7b6bab,
    0xf0cfbc209af4361d,
];

/// π/2 · 2⁶³, rounded down.
const HALF_PI: u64 = 0xc90fdaa22168c234;

/// (q, hi, lo): x = (q + 4j)·π/2 + hi + lo for some integer j, |hi| ≤ π/4 but for rounding, lo the
/// rounding error of hi. Needs |x| ≥ 1; infinity and NaN give NaN.
#[cold]
#[inline(never)]
pub(super) fn reduce(x: f64) -> (u32, f64, f64) {
    if !x.is_finite() {
        return (0, f64::NAN, f64::NAN);
    }
    let bits = x.abs().to_bits();
    // |x| = m·2^(exponent − 1075)
    let m = (bits & ((1 << 52) - 1)) | (1 << 52);
    let exponent = (bits >> 52) as usize;

    // Bits of 2/π from the one which times 2^(exponent − 1075) weighs 2; those before make multiples of 4.
    let at = exponent - (1075 - 62);
    let word = |i: usize| {
        let (i, s) = (at / 64 + i, at % 64);
        (u128::from(TWO_OVER_PI[i]) << 64 | u128::from(TWO_OVER_PI[i + 1])) >> (64 - s)
    };
    let m = u128::from(m);
    let low = m * u128::from(word(2) as u64);
    let mid = m * u128::from(word(1) as u64) + (low >> 64);
    let high = (m * u128::from(word(0) as u64) + (mid >> 64)) as u64;

    // m·(window) modulo 4, two bits before the point: high, mid, low, 64 bits each.
    let quadrant = (high >> 62) as u32;
    let fraction = u128::from(high) << 66 | u128::from(mid as u64) << 2 | u128::from(low as u64 >> 62);
    // To the nearest quadrant: beyond a half, the fraction is negative.
    let negative = fraction >> 127 == 1;
    let fraction = if negative { fraction.wrapping_neg() } else { fraction } | 1;

    let zeros = fraction.leading_zeros();
    let r = u128::from(((fraction << zeros) >> 64) as u64) * u128::from(HALF_PI);
    let hi = r as f64;
    let lo = r.wrapping_sub(hi as u128) as i128 as f64;
    let scale = f64::from_bits(u64::from(1023 - 127 - zeros) << 52);

    let q = if negative { quadrant + 1 } else { quadrant };
    let q = if x < 0.0 { q.wrapping_neg() } else { q } & 3;
    let scale = if negative != (x < 0.0) { -scale } else { scale };
    (q, hi * scale, lo * scale)
}
