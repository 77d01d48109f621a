//! Splits a user's own recordings by speaker, or by utterance where speakers do not suffice.

use super::candidate::{Measured, Split};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The share of the speech that is aimed at for the test set, and again for the development set.
pub(crate) const SHARE: f64 = 0.1;

/// Fewer speakers than this cannot fill three sets.
pub(crate) const FEWEST_SPEAKERS: usize = 3;

/// Whole speakers into the sets of `wanted` (test and dev, or dev alone), the rest into training.
///
/// The rule: speakers are taken in the order of the SHA-256 of their names. Each goes to the emptier of
/// the wanted sets if that brings it closer to a tenth of the speech, else it trains. A set that is
/// empty at the end takes from training the speaker with the least speech. Utterances without a speaker
/// train.
///
/// With one speaker more than sets, no set stays empty, training included: a set never passes a fifth
/// of the speech by the first step, so training keeps some; and an empty set at the end means that fewer
/// speakers than sets were small enough for the first step, so that training has more than it gives.
pub(crate) fn by_speaker(measured: &mut [Measured], wanted: &[Split]) {
    let mut seconds: BTreeMap<String, f64> = BTreeMap::new();
    for item in measured.iter() {
        if let Some(speaker) = &item.candidate.speaker {
            *seconds.entry(speaker.clone()).or_default() += item.duration;
        }
    }
    let target = SHARE * measured.iter().map(|item| item.duration).sum::<f64>();
    let mut order: Vec<(&String, f64)> = seconds.iter().map(|(name, s)| (name, *s)).collect();
    order.sort_by_key(|(name, _)| hash(name));
    let mut filled = vec![0.0f64; wanted.len()];
    let mut sets: BTreeMap<&String, Split> = BTreeMap::new();
    for (name, duration) in &order {
        let emptier = (0..wanted.len()).min_by(|a, b| filled[*a].total_cmp(&filled[*b]));
        let Some(set) = emptier else { continue };
        let closer = (filled[set] + duration - target).abs() < (filled[set] - target).abs();
        if closer {
            filled[set] += duration;
            sets.insert(name, wanted[set]);
        }
    }
    for (set, split) in wanted.iter().enumerate() {
        if filled[set] == 0.0 {
            let least = order
                .iter()
                .filter(|(name, _)| !sets.contains_key(name))
                .min_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((name, _)) = least {
                sets.insert(name, *split);
            }
        }
    }
    for item in measured.iter_mut() {
        let set = item.candidate.speaker.as_ref().and_then(|speaker| sets.get(speaker));
        item.candidate.split = set.copied().unwrap_or(Split::Train);
    }
}

/// Single utterances into the sets of `wanted`: in the order of the SHA-256 of their ids, the first
/// tenth (at least one) is the first set, the next tenth the second, the rest trains. No more
/// utterances than sets all train.
pub(crate) fn by_utterance(measured: &mut [Measured], wanted: &[Split]) {
    let mut order: Vec<usize> = (0..measured.len()).collect();
    order.sort_by_key(|index| hash(&measured[*index].candidate.id));
    let enough = order.len() > wanted.len();
    let size = ((order.len() as f64 * SHARE).round() as usize).max(1);
    for (rank, index) in order.into_iter().enumerate() {
        let set = if enough { wanted.get(rank / size) } else { None };
        measured[index].candidate.split = set.copied().unwrap_or(Split::Train);
    }
}

fn hash(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::super::candidate::Candidate;
    use super::*;
    use proptest::prelude::*;

    fn speech(speakers: &[(usize, f64)]) -> Vec<Measured> {
        let mut measured = Vec::new();
        for (speaker, (count, duration)) in speakers.iter().enumerate() {
            for index in 0..*count {
                let id = format!("s{speaker}-{index}");
                let speaker = Some(format!("s{speaker}"));
                let candidate = Candidate::new(id, "x.wav".into(), "x", speaker, Split::Train);
                let (duration, sample_rate) = (*duration, 16000);
                measured.push(Measured { candidate, offset: None, duration, sample_rate });
            }
        }
        measured
    }

    fn share(measured: &[Measured], split: Split) -> f64 {
        let sum = |items: Vec<&Measured>| items.iter().map(|item| item.duration).sum::<f64>();
        sum(measured.iter().filter(|item| item.candidate.split == split).collect())
            / sum(measured.iter().collect())
    }

    proptest! {
        #[test]
        fn speakers_stay_whole_and_every_set_has_one(
            speakers in prop::collection::vec((1usize..8, 0.5f64..20.0), 3..30)
        ) {
            let mut measured = speech(&speakers);
            by_speaker(&mut measured, &[Split::Test, Split::Dev]);
            let mut sets: BTreeMap<String, Split> = BTreeMap::new();
            for item in &measured {
                let speaker = item.candidate.speaker.clone().unwrap();
                let set = *sets.entry(speaker).or_insert(item.candidate.split);
                prop_assert_eq!(set, item.candidate.split);
            }
            for split in Split::ALL {
                prop_assert!(sets.values().any(|set| *set == split));
            }
        }

        #[test]
        fn utterances_fill_every_set(count in 3usize..200) {
            let mut measured = speech(&[(count, 1.0)]);
            by_utterance(&mut measured, &[Split::Test, Split::Dev]);
            for split in [Split::Test, Split::Dev] {
                let found = share(&measured, split) * count as f64;
                prop_assert!((found - (count as f64 * SHARE).round().max(1.0)).abs() < 1e-6);
            }
            prop_assert!(share(&measured, Split::Train) > 0.0);
        }
    }

    #[test]
    fn many_speakers_come_close_to_a_tenth() {
        let speakers: Vec<(usize, f64)> =
            (0..60).map(|i| (1 + i % 5, 1.0 + i as f64 / 9.0)).collect();
        let mut measured = speech(&speakers);
        by_speaker(&mut measured, &[Split::Test, Split::Dev]);
        for split in [Split::Test, Split::Dev] {
            let share = share(&measured, split);
            assert!((0.08..0.12).contains(&share), "{share}");
        }
    }
}
