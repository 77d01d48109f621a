//! Part of a manifest: so many minutes, so many speakers, or phonemes as even as they can be had.
//!
//! What is drawn depends on the seed, the ids and the speakers' names alone, not on the order of the lines; and it
//! nests: more minutes (or speakers) of the same seed hold all of fewer, but where phonemes are evened.
//!
//! **Even phonemes.** Speech has many `AH` and few `ZH`. To even them out, utterances are taken one after another,
//! each the one that raises the entropy of the phonemes' counts most, `H = ln n - (1/n) Σ c ln c` of counts `c` with
//! the sum `n`. That is greedy and not the best there is, which nobody can find; `exp(H)`, the number of phonemes
//! that equally frequent ones would make, tells how far it came.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use labyrinth_signal::{Random, hash_name};
use labyrinth_text::{Lexicon, Normalizer};

use crate::manifest::{Manifest, Utterance};

/// Utterances among which the next one is looked for, where phonemes are evened: all would take the square of
/// their number.
const LOOKED_AT: usize = 512;

/// What to draw.
#[derive(Clone, Copy, Default)]
pub struct Draw<'a> {
    /// Another seed draws others.
    pub seed: u64,
    /// Leaves out the speakers (or, where none is named, the utterances) of this manifest.
    pub without: Option<&'a Manifest>,
    /// These speakers alone.
    pub only: Option<&'a BTreeSet<String>>,
    /// So many speakers; with [`Draw::minutes`], the same share of them from each.
    pub speakers: Option<usize>,
    /// Minutes of sound, at most.
    pub minutes: Option<f64>,
    /// Evens the phonemes of the transcripts.
    pub even: Option<(&'a Lexicon, &'a Normalizer)>,
}

/// What was drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn {
    /// For each utterance of the manifest whether it is among it.
    pub kept: Vec<bool>,
    /// Seconds of sound.
    pub seconds: f64,
    /// Utterances that could not be drawn, for the lexicon lacks a word of theirs.
    pub outside_lexicon: usize,
    /// `exp(H)` of the phonemes drawn, and of all there were, where they were evened.
    pub phonemes: Option<(f64, f64)>,
}

/// Draws from a manifest.
///
/// # Errors
/// In a sentence, what cannot be had.
pub fn draw(manifest: &Manifest, what: &Draw<'_>) -> Result<Drawn, String> {
    let utterances = &manifest.utterances;
    let key = |name: &str| Random::from_key(&[what.seed, hash_name(name)]).uniform();
    let mut order: Vec<usize> = (0..utterances.len()).collect();
    if let Some(only) = what.only {
        order.retain(|&index| {
            utterances[index].speaker.as_ref().is_some_and(|speaker| only.contains(speaker))
        });
        if order.is_empty() {
            return Err("none of these speakers speaks in it".into());
        }
    }
    if let Some(without) = what.without {
        let speakers = without.speakers();
        let ids: HashSet<&str> = without.utterances.iter().map(|one| one.id.as_str()).collect();
        order.retain(|&index| {
            let Utterance { id, speaker, .. } = &utterances[index];
            !speaker.as_deref().is_some_and(|speaker| speakers.contains(speaker))
                && !ids.contains(id.as_str())
        });
    }
    // By the key, and where two ids have the same, by the id.
    order.sort_by(|&a, &b| {
        let (a, b) = (&utterances[a].id, &utterances[b].id);
        key(a).total_cmp(&key(b)).then(a.cmp(b))
    });
    let mut seconds = what.minutes.map_or(f64::INFINITY, |minutes| 60.0 * minutes);
    let mut shares: HashMap<&str, f64> = HashMap::new();
    if let Some(count) = what.speakers {
        let share = seconds / count as f64;
        let chosen = choose_speakers(utterances, &order, count, what.minutes.map(|_| share), key)?;
        let speaker = |index: &usize| utterances[*index].speaker.as_deref();
        order.retain(|index| speaker(index).is_some_and(|name| chosen.contains(name)));
        shares = chosen.into_iter().map(|name| (name, share)).collect();
        seconds = f64::INFINITY;
    }
    let mut drawn = Drawn { kept: vec![false; utterances.len()], ..Drawn::default() };
    if let Some((lexicon, normalizer)) = what.even {
        let all = order.len();
        let spoken: HashMap<usize, Vec<String>> = order
            .iter()
            .filter_map(|&index| {
                let text = lexicon.pronounce(&normalizer.apply(&utterances[index].text)).ok()?;
                Some((index, text.split_whitespace().map(without_stress).collect()))
            })
            .collect();
        order.retain(|index| spoken.contains_key(index));
        drawn.outside_lexicon = all - order.len();
        let mut natural = Counts::default();
        order.iter().for_each(|index| natural.add(&spoken[index]));
        let (evened, reached) = evened(&order, utterances, &spoken, seconds);
        order = evened;
        drawn.phonemes = Some((reached, natural.entropy().exp()));
    }
    for index in order {
        let Utterance { duration, speaker, .. } = &utterances[index];
        let left = match speaker.as_deref().and_then(|speaker| shares.get_mut(speaker)) {
            Some(share) => share,
            None => &mut seconds,
        };
        if *duration > *left {
            // The share is used up; the next, shorter one would favour short utterances.
            *left = 0.0;
            continue;
        }
        *left -= duration;
        drawn.seconds += duration;
        drawn.kept[index] = true;
    }
    Ok(drawn)
}

/// `AH0` is `AH`.
fn without_stress(phoneme: &str) -> String {
    phoneme.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
}

fn choose_speakers<'a>(
    utterances: &'a [Utterance],
    order: &[usize],
    count: usize,
    share: Option<f64>,
    key: impl Fn(&str) -> f64,
) -> Result<BTreeSet<&'a str>, String> {
    let mut seconds: BTreeMap<&str, f64> = BTreeMap::new();
    for &index in order {
        if let Some(speaker) = &utterances[index].speaker {
            *seconds.entry(speaker).or_default() += utterances[index].duration;
        }
    }
    let all = seconds.len();
    let enough = seconds.iter().filter(|(_, seconds)| share.is_none_or(|share| **seconds >= share));
    let mut speakers: Vec<&str> = enough.map(|(speaker, _)| *speaker).collect();
    if count == 0 {
        return Err("no speaker at all is asked for; ask for one at least".into());
    }
    if all == 0 {
        return Err(
            "no utterance names its speaker, so none can be drawn by speakers; draw minutes".into(),
        );
    }
    if speakers.len() < count {
        let each = share.map_or(String::new(), |share| {
            format!(", {} with {share:.0} s of sound or more", speakers.len())
        });
        return Err(format!(
            "{count} speakers cannot be drawn: there are {all}{each}; ask for fewer"
        ));
    }
    speakers.sort_by(|a, b| key(a).total_cmp(&key(b)).then(a.cmp(b)));
    Ok(speakers.into_iter().take(count).collect())
}

/// How often each phoneme stands, and the sum of `c ln c`.
#[derive(Clone, Debug, Default)]
struct Counts {
    of: HashMap<String, usize>,
    all: usize,
    sum: f64,
}

fn times_log(count: usize) -> f64 {
    if count == 0 { 0.0 } else { count as f64 * (count as f64).ln() }
}

impl Counts {
    fn add(&mut self, phonemes: &[String]) {
        for phoneme in phonemes {
            let count = self.of.entry(phoneme.clone()).or_default();
            self.sum += times_log(*count + 1) - times_log(*count);
            *count += 1;
            self.all += 1;
        }
    }

    fn entropy(&self) -> f64 {
        let all = self.all.max(1) as f64;
        all.ln() - self.sum / all
    }

    /// The entropy with these as well.
    fn entropy_with(&self, phonemes: &[String]) -> f64 {
        let mut more: HashMap<&str, usize> = HashMap::new();
        phonemes.iter().for_each(|phoneme| *more.entry(phoneme).or_default() += 1);
        // A sum's order must not depend on a hash.
        let mut more: Vec<(&str, usize)> = more.into_iter().collect();
        more.sort_unstable();
        let gain = |&(phoneme, count): &(&str, usize)| {
            let before = self.of.get(phoneme).copied().unwrap_or(0);
            times_log(before + count) - times_log(before)
        };
        let sum = self.sum + more.iter().map(gain).sum::<f64>();
        let all = (self.all + phonemes.len()).max(1) as f64;
        all.ln() - sum / all
    }
}

/// Utterances in the order in which they even the phonemes out, up to so many seconds, and how far that came.
fn evened(
    order: &[usize],
    utterances: &[Utterance],
    spoken: &HashMap<usize, Vec<String>>,
    mut seconds: f64,
) -> (Vec<usize>, f64) {
    let (mut left, mut taken, mut counts) = (order.to_vec(), Vec::new(), Counts::default());
    loop {
        left.retain(|&index| utterances[index].duration <= seconds);
        let entropy = |index: &usize| counts.entropy_with(&spoken[index]);
        let looked_at = left.iter().take(LOOKED_AT).map(entropy).enumerate();
        let Some((place, _)) = looked_at.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
        else {
            return (taken, counts.entropy().exp());
        };
        let index = left.remove(place);
        seconds -= utterances[index].duration;
        counts.add(&spoken[&index]);
        taken.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_text::NormalizerOptions;

    /// Four speakers with ten utterances of one to three seconds each.
    fn manifest() -> Manifest {
        let words = ["aa", "aa", "aa bb", "aa", "cc", "aa", "aa aa", "dd", "aa", "bb"];
        let utterances = (0..40).map(|number| {
            let id = format!("u{number:02}");
            let duration = 1.0 + f64::from(number % 3);
            let mut one = Utterance::new(id, "a.wav", duration, words[number as usize % 10]);
            one.speaker = Some(format!("s{}", number / 10));
            one
        });
        Manifest { path: "m.jsonl".into(), utterances: utterances.collect() }
    }

    fn speakers(manifest: &Manifest, drawn: &Drawn) -> BTreeMap<String, f64> {
        let mut seconds = BTreeMap::new();
        for (one, _) in manifest.utterances.iter().zip(&drawn.kept).filter(|(_, kept)| **kept) {
            *seconds.entry(one.speaker.clone().unwrap()).or_default() += one.duration;
        }
        seconds
    }

    #[test]
    fn what_is_drawn_does_not_depend_on_the_order_and_nests() {
        let manifest = manifest();
        let what = Draw { seed: 3, minutes: Some(0.4), ..Draw::default() };
        let few = draw(&manifest, &what).unwrap();
        assert!(few.seconds > 20.0 && few.seconds <= 24.0, "{}", few.seconds);
        let mut turned = manifest.clone();
        turned.utterances.reverse();
        let mut kept = draw(&turned, &what).unwrap().kept;
        kept.reverse();
        assert_eq!(kept, few.kept);
        let more = draw(&manifest, &Draw { minutes: Some(0.8), ..what }).unwrap();
        assert!(few.kept.iter().zip(&more.kept).all(|(few, more)| !few || *more));
        assert_ne!(draw(&manifest, &Draw { seed: 4, ..what }).unwrap().kept, few.kept);
    }

    #[test]
    fn speakers_are_drawn_with_the_same_share_each() {
        let manifest = manifest();
        let what = Draw { seed: 1, speakers: Some(2), ..Draw::default() };
        let two = speakers(&manifest, &draw(&manifest, &what).unwrap());
        assert_eq!(two.len(), 2);
        assert!(two.values().all(|seconds| *seconds >= 19.0));
        let shared = draw(&manifest, &Draw { minutes: Some(0.3), ..what }).unwrap();
        let seconds = speakers(&manifest, &shared);
        assert_eq!(seconds.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
        assert!(seconds.values().all(|one| *one > 6.0 && *one <= 9.0), "{seconds:?}");
        for (speakers, minutes, words) in [
            (5, None, "5 speakers cannot be drawn: there are 4; ask for fewer"),
            (
                2,
                Some(2.0),
                "2 speakers cannot be drawn: there are 4, 0 with 60 s of sound or more; ask for fewer",
            ),
            (0, None, "no speaker at all is asked for"),
        ] {
            let what = Draw { speakers: Some(speakers), minutes, ..what };
            assert!(draw(&manifest, &what).unwrap_err().contains(words), "{words}");
        }
        let mut nameless = manifest.clone();
        nameless.utterances.iter_mut().for_each(|one| one.speaker = None);
        assert!(draw(&nameless, &what).unwrap_err().contains("no utterance names its speaker"));
        // The rest is everybody else.
        let mut held_out = manifest.clone();
        held_out.utterances.retain(|one| two.contains_key(one.speaker.as_ref().unwrap()));
        let what = Draw { without: Some(&held_out), ..Draw::default() };
        let rest = speakers(&manifest, &draw(&manifest, &what).unwrap());
        assert!(rest.len() == 2 && rest.keys().all(|name| !two.contains_key(name)));
        // And these are these, whoever else is named.
        let named = two.keys().cloned().chain(["nobody".into()]).collect();
        let what = Draw { only: Some(&named), ..Draw::default() };
        assert!(speakers(&manifest, &draw(&manifest, &what).unwrap()).keys().eq(two.keys()));
        let nobody = ["nobody".to_owned()].into();
        let what = Draw { only: Some(&nobody), ..Draw::default() };
        assert!(draw(&manifest, &what).unwrap_err().contains("none of these speakers"));
    }

    #[test]
    fn phonemes_are_evened_out() {
        let normalizer = Normalizer::new(&NormalizerOptions::default()).unwrap();
        let lexicon = Lexicon::parse(b"aa P0 P1\nbb Q\ncc R\n", &normalizer).unwrap();
        let manifest = manifest();
        let what = Draw { minutes: Some(0.3), seed: 1, ..Draw::default() };
        let even = draw(&manifest, &Draw { even: Some((&lexicon, &normalizer)), ..what }).unwrap();
        // `dd`, which the lexicon lacks, once for each speaker.
        assert_eq!(even.outside_lexicon, 4);
        let (reached, natural) = even.phonemes.unwrap();
        // P stands ten times as often as R; evened there are nearly three phonemes' worth.
        assert!(natural < 2.2 && reached > 2.7 && reached <= 3.0 + 1e-9, "{reached} {natural}");
        assert!(even.seconds > 14.0 && even.seconds <= 18.0, "{}", even.seconds);
    }
}
