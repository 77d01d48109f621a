//! Which utterance stands at which place of an epoch: a function of seed and epoch, found in no time.
//!
//! # Mixing
//! A corpus of n utterances with weight w gives round(w·n) utterances to an epoch: each once where the
//! weight is 1, each twice where it is 2, half of them where it is 0.5. To lose none, a corpus is read
//! as an endless stream of passes, each pass a permutation of the corpus, and an epoch takes the next
//! round(w·n) of it: with a weight of 0.5 two epochs read every utterance once.
//!
//! # Two levels
//! A permutation of ten million utterances would send each reading to another end of the disk. So an
//! epoch is cut into pools of about [`POOL`] utterances, to which each corpus gives in proportion, and
//! the order within a pool is one permutation (the second level); what a corpus gives are runs of
//! [`BLOCK`] neighbouring utterances, in a permuted order of runs (the first level). A pool holds the
//! ends of some dozens of runs, so readings stay near each other, and within shards near the same
//! few files, while every batch mixes utterances from all over the corpus. A corpus that fits
//! into one pool needs no first level, and the order is a plain permutation of it.
//!
//! Both levels depend on the numbers of utterances alone, never on how they are stored: loose files and
//! shards give the same order.

use super::plan::Purpose;
use crate::permutation::Permutation;

/// About how many utterances of an epoch are shuffled with each other.
pub const POOL: u64 = 16_384;
/// Neighbours in a corpus that stay in one pool, where an epoch has several.
pub const BLOCK: u64 = 512;

/// One corpus in an epoch.
#[derive(Clone, Copy, Debug)]
struct Stream {
    /// Utterances in the corpus.
    len: u64,
    /// Utterances it gives to each epoch.
    draws: u64,
    /// Utterances of the corpora before it.
    before: u64,
}

/// The order of all epochs.
#[derive(Clone, Debug)]
pub struct Order {
    streams: Vec<Stream>,
    /// Utterances of an epoch.
    len: u64,
    /// Utterances of all corpora.
    total: u64,
    pools: u64,
    seed: u64,
    shuffle: bool,
}

/// Where an utterance is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which corpus, in the order they were given.
    pub corpus: usize,
    /// Which of its utterances.
    pub index: usize,
    /// A number that no other place of the same epoch has: what augmentation is drawn by. With a single
    /// corpus of weight 1 it is the index.
    pub key: u64,
}

impl Order {
    /// The order of corpora of these lengths and weights; without `shuffle` an epoch is the first corpus
    /// in its own order, then the second.
    ///
    /// A corpus whose weight leaves it less than half an utterance gives one all the same.
    pub fn new(corpora: &[(usize, f64)], seed: u64, shuffle: bool) -> Self {
        let mut before = 0;
        let mut streams = Vec::with_capacity(corpora.len());
        for &(len, weight) in corpora {
            let len = len as u64;
            let draws = if len == 0 { 0 } else { ((len as f64 * weight).round() as u64).max(1) };
            streams.push(Stream { len, draws, before });
            before += len;
        }
        let len: u64 = streams.iter().map(|stream| stream.draws).sum();
        // A last pool of less than half the size joins the one before.
        let pools = if shuffle { ((len + POOL / 2) / POOL).max(1) } else { 1 };
        Self { streams, len, total: before, pools, seed, shuffle }
    }

    /// Utterances in an epoch.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What stands at `position` (below [`Order::len`]) of an epoch. Takes the same time whatever the
    /// size of the corpora.
    pub fn place(&self, epoch: u64, position: u64) -> Place {
        debug_assert!(position < self.len, "{position} of {}", self.len);
        let pool = self.pool_of(position);
        let begin = self.pool_begin(pool);
        let mut within = position - begin;
        if self.shuffle {
            // The first pool's key is that of an epoch without pools.
            let key = [self.seed, epoch, Purpose::Order as u64 | pool << 32];
            within = Permutation::new(self.pool_begin(pool + 1) - begin, &key).apply(within);
        }
        for (corpus, stream) in self.streams.iter().enumerate() {
            let first = self.share(stream, pool);
            let count = self.share(stream, pool + 1) - first;
            if within < count {
                return self.of_stream(corpus, epoch, first + within);
            }
            within -= count;
        }
        unreachable!("the shares of a pool add up to its size")
    }

    /// The utterance that is `rank`-th among those that a corpus gives to this epoch.
    fn of_stream(&self, corpus: usize, epoch: u64, rank: u64) -> Place {
        let stream = &self.streams[corpus];
        let first = u128::from(epoch) * u128::from(stream.draws);
        let at = first + u128::from(rank);
        let len = u128::from(stream.len);
        let (pass, within) = ((at / len) as u64, (at % len) as u64);
        // Another reading of an utterance within one epoch is augmented in another way.
        let again = pass - (first / len) as u64;
        let index = self.of_pass(corpus, pass, within);
        let key = stream.before + index + again * self.total;
        Place { corpus, index: index as usize, key }
    }

    /// The utterance at a place of a pass: blocks change places; what is left over stays at the end.
    fn of_pass(&self, corpus: usize, pass: u64, within: u64) -> u64 {
        // Where an epoch is one pool of whole passes, the pool's permutation does it all. A weight that
        // takes a part of a pass must take another part each time.
        if !self.shuffle || (self.pools == 1 && self.whole_passes(corpus)) {
            return within;
        }
        let size = if self.pools == 1 { 1 } else { BLOCK };
        let (block, blocks) = (within / size, self.streams[corpus].len / size);
        // A permutation returns what lies past its end.
        let key = [self.seed, pass, Purpose::Blocks as u64, corpus as u64];
        Permutation::new(blocks, &key).apply(block) * size + within % size
    }

    fn whole_passes(&self, corpus: usize) -> bool {
        let stream = &self.streams[corpus];
        stream.draws.is_multiple_of(stream.len.max(1))
    }

    /// Utterances of a corpus in the pools before `pool`.
    fn share(&self, stream: &Stream, pool: u64) -> u64 {
        (u128::from(stream.draws) * u128::from(pool) / u128::from(self.pools)) as u64
    }

    /// The first position of a pool.
    fn pool_begin(&self, pool: u64) -> u64 {
        self.streams.iter().map(|stream| self.share(stream, pool)).sum()
    }

    fn pool_of(&self, position: u64) -> u64 {
        // Rounding down each corpus's share moves a boundary by less than the number of corpora.
        let guess = u128::from(position) * u128::from(self.pools) / u128::from(self.len.max(1));
        let mut pool = guess as u64;
        while position < self.pool_begin(pool) {
            pool -= 1;
        }
        while position >= self.pool_begin(pool + 1) {
            pool += 1;
        }
        pool
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(order: &Order, epoch: u64) -> Vec<Place> {
        (0..order.len()).map(|position| order.place(epoch, position)).collect()
    }

    /// How often each utterance of a corpus is read in some epochs.
    fn readings(
        order: &Order,
        corpus: usize,
        len: usize,
        epochs: std::ops::Range<u64>,
    ) -> Vec<u32> {
        let mut count = vec![0; len];
        for place in epochs.flat_map(|number| epoch(order, number)) {
            if place.corpus == corpus {
                count[place.index] += 1;
            }
        }
        count
    }

    #[test]
    fn every_utterance_once_an_epoch_at_sizes_about_blocks_and_pools() {
        let (pool, block) = (POOL as usize, BLOCK as usize);
        for len in [1, 2, 500, block, pool + 3, 3 * pool / 2 + 1, 4 * pool + block / 2 + 7] {
            let order = Order::new(&[(len, 1.0)], 5, true);
            for number in [0, 1, 77] {
                assert!(readings(&order, 0, len, number..number + 1).iter().all(|&n| n == 1));
            }
            if len > 2 {
                assert_ne!(epoch(&order, 0), epoch(&order, 1), "{len}");
            }
            let keys: std::collections::HashSet<u64> =
                epoch(&order, 3).iter().map(|place| place.key).collect();
            assert_eq!(keys.len(), len);
        }
    }

    #[test]
    fn a_corpus_of_one_pool_has_the_plain_permutation() {
        let order = Order::new(&[(900, 1.0)], 7, true);
        let permutation = Permutation::new(900, &[7, 4, Purpose::Order as u64]);
        for (position, place) in epoch(&order, 4).iter().enumerate() {
            assert_eq!(place.index as u64, permutation.apply(position as u64));
            assert_eq!(place.key, place.index as u64);
        }
    }

    #[test]
    fn weights_say_how_often_and_nothing_is_lost_over_the_passes() {
        for (small, large) in [(40, 100), (700, 60_000)] {
            let order = Order::new(&[(small, 2.0), (large, 0.3), (10, 1.0)], 1, true);
            assert_eq!(order.len(), (2 * small + large * 3 / 10 + 10) as u64);
            for number in [0, 3] {
                assert!(readings(&order, 0, small, number..number + 1).iter().all(|&n| n == 2));
                assert!(readings(&order, 2, 10, number..number + 1).iter().all(|&n| n == 1));
            }
            assert!(readings(&order, 1, large, 0..10).iter().all(|&n| n == 3));
            let part = readings(&order, 1, large, 0..1);
            assert!(part.iter().all(|&n| n <= 1));
            assert_ne!(part, readings(&order, 1, large, 10..11), "the same part each time");
            let keys: std::collections::HashSet<u64> =
                epoch(&order, 2).iter().map(|place| place.key).collect();
            assert_eq!(keys.len() as u64, order.len());
        }
    }

    /// Weights that round to nothing still give something, and fractions straddle passes.
    #[test]
    fn odd_weights_are_kept_on_average() {
        let order = Order::new(&[(7, 0.01), (90, 1.5)], 3, true);
        assert_eq!(order.len(), 1 + 135);
        assert_eq!(readings(&order, 0, 7, 0..7), [1; 7]);
        assert!(readings(&order, 1, 90, 0..2).iter().all(|&n| n == 3));
        let first = readings(&order, 1, 90, 0..1);
        assert!(first.iter().all(|n| (1..=2).contains(n)));
    }

    /// Two levels: a pool reads from a few runs of neighbours, and the pools differ by epoch.
    #[test]
    fn pools_hold_blocks_from_all_over_the_corpus() {
        let len = 40 * POOL as usize;
        let order = Order::new(&[(len, 1.0)], 9, true);
        let blocks = |number| {
            let places = (0..POOL).map(|position| order.place(number, position));
            places.map(|p| p.index as u64 / BLOCK).collect::<std::collections::BTreeSet<u64>>()
        };
        let first = blocks(0);
        assert!((POOL / BLOCK..=POOL / BLOCK + 2).contains(&(first.len() as u64)));
        let (least, most) = (first.first().unwrap(), first.last().unwrap());
        assert!(most - least > len as u64 / BLOCK / 2, "all from one end");
        assert!(first.intersection(&blocks(1)).count() < 10);
        // Within a pool neighbours of a block are scattered.
        let near = (0..2000).filter(|&p| {
            order.place(0, p).index.abs_diff(order.place(0, p + 1).index) < BLOCK as usize
        });
        assert!(near.count() < 200);
    }

    #[test]
    fn without_shuffling_corpora_follow_each_other() {
        let order = Order::new(&[(3, 1.0), (2, 1.0)], 9, false);
        let expected = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)];
        for number in [0, 5] {
            let places: Vec<(usize, usize)> =
                epoch(&order, number).iter().map(|p| (p.corpus, p.index)).collect();
            assert_eq!(places, expected);
        }
    }
}
