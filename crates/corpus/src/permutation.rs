//! A keyed permutation of 0..n, computed position by position: a shuffle that holds nothing in memory.
//!
//! A list of n indices in random order costs memory and time in n, and so does finding a place in it
//! again. A Feistel network needs neither: it cuts a number of 2h bits into two halves (left, right)
//! and repeats `(left, right) -> (right, left XOR f(key, right))`. Each round can be undone whatever f
//! is (`left = new_right XOR f(key, new_left)`), so the whole is a bijection of 0..4^h. We choose the
//! least h with 4^h >= n. What falls at n or above is sent through again until it lies below n
//! ("cycle walking"): the orbit of a bijection comes back to where it began, so the walk ends, and the
//! result is a bijection of 0..n. As 4^h < 4n, a walk takes fewer than four steps on average.
//!
//! Sources: M. Luby and C. Rackoff, "How to construct pseudorandom permutations from pseudorandom
//! functions", SIAM J. Comput. 17 (1988); J. Black and P. Rogaway, "Ciphers with arbitrary finite
//! domains", CT-RSA 2002 (cycle walking). Four rounds suffice for their proof with ideal functions;
//! eight are used because on the tiny halves of a small corpus four still show in the statistics.

const ROUNDS: usize = 8;

/// A bijection of `0..len`, chosen by a key.
#[derive(Clone, Debug)]
pub struct Permutation {
    len: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of `0..len` that belongs to `key` (seed, epoch, …: any numbers, order matters).
    pub fn new(len: u64, key: &[u64]) -> Self {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        let half_bits = bits.div_ceil(2).max(1);
        let mut state = mix(len ^ 0x6c61_6279_7269_6e74);
        for word in key {
            state = mix(state.wrapping_add(*word).wrapping_add(0x9e37_79b9_7f4a_7c15));
        }
        let keys = std::array::from_fn(|round| mix(state ^ mix(round as u64 + 1)));
        Self { len, half_bits, keys }
    }

    /// How many numbers are permuted.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is permuted.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where `position` (below `len`) is sent. A position at or above `len` is returned unchanged.
    pub fn apply(&self, position: u64) -> u64 {
        if position >= self.len {
            return position;
        }
        let mut value = self.network(position);
        while value >= self.len {
            value = self.network(value);
        }
        value
    }

    fn network(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        left << self.half_bits | right
    }
}

/// A bijection of 64 bits in which every output bit depends on every input bit: Murmur3's finaliser
/// with David Stafford's constants ("Better bit mixing", variant 13, 2011), known from SplitMix64.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(len: u64, key: &[u64]) -> Vec<u64> {
        let permutation = Permutation::new(len, key);
        (0..len).map(|position| permutation.apply(position)).collect()
    }

    #[test]
    fn every_small_length_is_a_bijection() {
        for len in 0..600 {
            let mut sorted = order(len, &[7, len]);
            sorted.sort_unstable();
            assert_eq!(sorted, (0..len).collect::<Vec<_>>(), "length {len}");
        }
    }

    #[test]
    fn keys_and_their_order_matter() {
        assert_ne!(order(100, &[1, 2]), order(100, &[2, 1]));
        assert_ne!(order(100, &[1, 0]), order(100, &[1, 1]));
        assert_ne!(order(100, &[0]), order(100, &[0, 0]));
        assert_eq!(order(100, &[1, 2]), order(100, &[1, 2]));
    }

    /// Over many keys each position must receive each value about equally often, even in the smallest
    /// networks. 4000 keys over 13 values: 307.7 expected, standard deviation 16.9; six of them allowed.
    #[test]
    fn small_permutations_are_even() {
        let mut counts = [[0u32; 13]; 13];
        for key in 0..4000 {
            for (position, value) in order(13, &[key]).into_iter().enumerate() {
                counts[position][value as usize] += 1;
            }
        }
        for count in counts.into_iter().flatten() {
            assert!((206..=409).contains(&count), "{count}");
        }
    }

    proptest! {
        #[test]
        fn large_lengths_stay_inside_and_do_not_collide(len in 1u64..1 << 40, key: u64, start: u64) {
            let permutation = Permutation::new(len, &[key]);
            let begin = start % len;
            let mut seen: Vec<u64> =
                (begin..len.min(begin + 200)).map(|position| permutation.apply(position)).collect();
            prop_assert!(seen.iter().all(|value| *value < len));
            let count = seen.len();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), count);
        }
    }
}
