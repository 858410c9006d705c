//! A pole on a cart, to be kept upright by pushing the cart left or right (Barto, Sutton & Anderson 1983), and what a
//! policy gradient needs of its episodes.

/// What is seen of it: position, speed, angle, angular speed.
pub(crate) const SEEN: usize = 4;
/// Left or right.
pub(crate) const PUSHES: usize = 2;
/// An episode is a success when it has lasted so long.
pub(crate) const LAST: usize = 200;
/// Of a step, seconds.
const DT: f32 = 0.02;

/// Pseudo-random numbers: SplitMix64 (Steele, Lea & Flood 2014).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// In [0, 1).
    pub(crate) fn roll(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 24) as f32
    }
}

/// A cart of 1 kg with a pole of 0.1 kg, 1 m long.
#[derive(Clone, Copy)]
struct Cart([f32; SEEN]);

impl Cart {
    fn new(dice: &mut Dice) -> Self {
        Self([(); SEEN].map(|()| 0.1 * dice.roll() - 0.05))
    }

    /// Pushes by 10 N; whether the pole still stands and the cart is still on its track.
    fn push(&mut self, right: bool) -> bool {
        let [x, speed, angle, turning] = self.0;
        let force = if right { 10.0 } else { -10.0 };
        let (sin, cos) = angle.sin_cos();
        let pull = (force + 0.05 * turning * turning * sin) / 1.1;
        let angular = (9.8 * sin - cos * pull) / (0.5 * (4.0 / 3.0 - 0.1 * cos * cos / 1.1));
        let linear = pull - 0.05 * angular * cos / 1.1;
        self.0 = [x + DT * speed, speed + DT * linear, angle + DT * turning, turning + DT * angular];
        self.0[0].abs() < 2.4 && self.0[2].abs() < 12f32.to_radians()
    }
}

/// What several episodes at once have brought, a row for each push.
pub(crate) struct Episodes {
    /// [pushes, SEEN], row-major.
    pub(crate) seen: Vec<f32>,
    /// 0 or 1.
    pub(crate) pushes: Vec<u32>,
    /// The discounted pushes that followed, of mean 0 and variance 1.
    pub(crate) returns: Vec<f32>,
    /// Pushes of an episode.
    pub(crate) length: f32,
}

/// Plays `carts` episodes side by side. `policy` gives the probability of a push to the right for each row that it sees.
pub(crate) fn play(carts: usize, dice: &mut Dice, mut policy: impl FnMut(&[f32]) -> Vec<f32>) -> Episodes {
    let mut all: Vec<Cart> = (0..carts).map(|_| Cart::new(dice)).collect();
    let mut histories: Vec<Vec<([f32; SEEN], u32)>> = vec![Vec::new(); carts];
    let mut up: Vec<usize> = (0..carts).collect();
    for _ in 0..LAST {
        let seen: Vec<f32> = up.iter().flat_map(|&c| all[c].0).collect();
        let right = policy(&seen);
        let mut stands = right.iter().map(|p| dice.roll() < *p).collect::<Vec<_>>().into_iter();
        up.retain(|&c| {
            let right = stands.next().unwrap_or_default();
            histories[c].push((all[c].0, u32::from(right)));
            all[c].push(right)
        });
        if up.is_empty() {
            break;
        }
    }
    let mut episodes = Episodes { seen: Vec::new(), pushes: Vec::new(), returns: Vec::new(), length: 0.0 };
    for history in &histories {
        let mut follows = 0.0;
        let mut returns: Vec<f32> = history
            .iter()
            .map(|_| {
                follows = 1.0 + 0.98 * follows;
                follows
            })
            .collect();
        returns.reverse();
        episodes.returns.extend(returns);
        for (seen, push) in history {
            episodes.seen.extend(seen);
            episodes.pushes.push(*push);
        }
    }
    let n = episodes.returns.len() as f32;
    let mean = episodes.returns.iter().sum::<f32>() / n;
    let spread = (episodes.returns.iter().map(|r| (r - mean).powi(2)).sum::<f32>() / n).sqrt();
    episodes.returns.iter_mut().for_each(|r| *r = (*r - mean) / (spread + 1e-6));
    episodes.length = n / carts as f32;
    episodes
}
