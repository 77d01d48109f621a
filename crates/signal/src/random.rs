//! The project's only source of chance: a counter-based generator, a function of its key.
//!
//! Number `i` of key `k` is `mix(k + i * g)`, with `g` the odd integer nearest to 2^64 over the
//! golden ratio and `mix` the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable
//! pseudorandom number generators", OOPSLA 2014). There is no hidden state: what is drawn for an
//! utterance depends on (seed, epoch, utterance) alone, so neither the order of the work nor the
//! number of threads can change it, and a position is restored by writing down its key.
//!
//! Book: book/src/exact.md

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A generator of random numbers, wholly determined by its key. Not for cryptography.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    counter: u64,
}

// ANCHOR: key
/// A bijection of 64 bits in which each input bit changes each output bit with about even chance.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Random {
    /// The generator of a key such as `[seed, epoch, utterance]`; keys of another length or order
    /// give unrelated numbers.
    pub fn from_key(key: &[u64]) -> Self {
        let start = mix(key.len() as u64 ^ GAMMA);
        let counter = key.iter().fold(start, |hash, &word| {
            mix(hash.wrapping_add(GAMMA) ^ mix(word.wrapping_add(GAMMA)))
        });
        Random { counter }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(GAMMA);
        mix(self.counter)
    }
    // ANCHOR_END: key

    /// A number from 0 to `n - 1`, each with exactly the same chance; 0 for `n` = 0.
    ///
    /// Lemire, "Fast random integer generation in an interval" (2019): the high half of a product
    /// of 64 random bits with `n`, drawn again for the few low halves that would favour some.
    pub fn below(&mut self, n: u64) -> u64 {
        let reject = if n == 0 { 0 } else { n.wrapping_neg() % n };
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= reject {
                return (product >> 64) as u64;
            }
        }
    }

    /// A number in [0, 1), a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A number of mean 0 and variance 1, normally distributed (Box and Muller 1958; the second
    /// number of the pair is not kept, so that a draw always takes two steps of the counter).
    pub fn normal(&mut self) -> f64 {
        // 1 - uniform is in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A number for a name, to be part of a key: FNV-1a over the UTF-8 bytes, mixed. It is the same
/// on every machine and in every version.
pub fn hash_name(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_decides_everything() {
        let draw = |key: &[u64]| {
            let mut random = Random::from_key(key);
            [random.next_u64(), random.next_u64(), random.next_u64()]
        };
        assert_eq!(draw(&[1, 2, 3]), draw(&[1, 2, 3]));
        let keys: [&[u64]; 7] = [&[], &[0], &[0, 0], &[1, 2, 3], &[1, 3, 2], &[1, 2], &[2, 1]];
        let mut seen: Vec<u64> = keys.iter().flat_map(|key| draw(key)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), keys.len() * 3);
    }

    /// Recorded runs must stay reproducible by later versions, so the numbers are pinned.
    #[test]
    fn numbers_are_pinned() {
        let mut random = Random::from_key(&[17, 4]);
        let drawn = [random.next_u64(), random.next_u64(), random.below(1000)];
        assert_eq!((drawn, hash_name("an4/fash-b")), PINNED);
    }

    /// From the definition above, computed in another language.
    const PINNED: ([u64; 3], u64) =
        ([13_166_096_444_454_912_218, 16_228_529_828_124_577_823, 666], 2_987_697_242_025_475_196);

    #[test]
    fn below_is_even_and_in_range() {
        let mut random = Random::from_key(&[5]);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[random.below(7) as usize] += 1;
        }
        // Standard deviation of a count: sqrt(70000 * 6 / 49) = 93; five of them.
        for count in counts {
            assert!(count.abs_diff(10_000) < 465, "{counts:?}");
        }
        assert_eq!(random.below(1), 0);
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let mut random = Random::from_key(&[6]);
        let n = 100_000;
        let moments = |draw: &mut dyn FnMut() -> f64| {
            let values: Vec<f64> = (0..n).map(|_| draw()).collect();
            let mean = values.iter().sum::<f64>() / n as f64;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
            (mean, variance)
        };
        let (mean, variance) = moments(&mut || random.uniform());
        assert!((mean - 0.5).abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.002);
        let (mean, variance) = moments(&mut || random.normal());
        assert!(mean.abs() < 0.016 && (variance - 1.0).abs() < 0.025, "{mean} {variance}");
    }
}
