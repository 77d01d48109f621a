//! What is odd about an utterance beside the others of its corpus: how fast it is, in which letters it is
//! written, how long the same words last elsewhere.
//!
//! A corpus has its own pace (digits one by one are slower than read sentences), so its median and the
//! median of the distances from it say what is usual; a few wild values move neither.

use super::finding::{Finding, FindingKind, Severity};
use super::survey::Set;
use super::transcript::{Script, quoted};
use crate::manifest::Utterance;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Fewer utterances have no norm.
const FEWEST: usize = 20;

/// So many standard deviations (1.4826 median distances) from the median, and
const DEVIATIONS: f64 = 5.0;
/// so many times as fast or slow as it, are odd.
const TIMES: f64 = 3.0;

/// Nobody speaks so many characters in a second.
const FASTEST: f64 = 45.0;

/// The same words may last so many times as long as their median, or a second longer.
const SAME_WORDS_TIMES: f64 = 3.0;
const SAME_WORDS_SECONDS: f64 = 1.0;

/// A script or a case that this share of the corpus has is the corpus's own.
const OWN_SHARE: f64 = 0.9;

/// A character is rare where it occurs at most so often among so many.
const RARE: usize = 2;
const RARE_AMONG: usize = 10_000;
/// Not where words have signs of their own, as in Chinese.
const LETTERS: usize = 200;

/// One word so often in a row, or two or three words this often, are a machine's doing
const REPEATED_WORD: usize = 5;
const REPEATED_PHRASE: usize = 4;
/// in a corpus of at least so many different words: yes and no follow each other by chance.
const VOCABULARY: usize = 50;

/// Compares the utterances of all sets with each other.
pub(super) fn compare(sets: &[Set], findings: &mut Vec<Finding>) {
    pace(sets, findings);
    same_words(sets, findings);
    writing(sets, findings);
    characters(sets, findings);
    repetitions(sets, findings);
    sample_rates(sets, findings);
}

fn warn(set: &Set, utterance: &Utterance, kind: FindingKind, detail: String) -> Finding {
    Finding::of_one(Severity::Warning, kind, &set.name, &utterance.id, detail)
}

fn all(sets: &[Set]) -> impl Iterator<Item = (&Set, &Utterance)> {
    sets.iter().flat_map(|set| set.manifest.utterances.iter().map(move |u| (set, u)))
}

pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Characters without spaces in a second of speech.
pub(super) fn characters_per_second(text: &str, seconds: f64) -> f64 {
    text.chars().filter(|c| c.is_alphanumeric()).count() as f64 / seconds.max(0.05)
}

fn pace(sets: &[Set], findings: &mut Vec<Finding>) {
    let heard = || {
        sets.iter()
            .flat_map(|set| set.heard().map(move |(utterance, sound)| (set, utterance, sound)))
    };
    let rate = |utterance: &Utterance, seconds| characters_per_second(&utterance.text, seconds);
    let usable = |rate: &f64| *rate > 0.0;
    let mut logs: Vec<f64> = heard()
        .filter(|(_, _, sound)| !sound.is_silent())
        .map(|(_, utterance, sound)| rate(utterance, sound.speech()))
        .filter(usable)
        .map(f64::ln)
        .collect();
    let count = logs.len();
    let middle = median(&mut logs);
    let mut distances: Vec<f64> = logs.iter().map(|log| (log - middle).abs()).collect();
    let spread = (1.4826 * median(&mut distances)).max(0.1);
    for (set, utterance, sound) in heard().filter(|(_, _, sound)| !sound.is_silent()) {
        let speech = sound.speech();
        let rate = rate(utterance, speech);
        if !usable(&rate) {
            continue;
        }
        let away = rate.ln() - middle;
        let odd = count >= FEWEST && away.abs() > (DEVIATIONS * spread).max(TIMES.ln());
        let usual = middle.exp();
        let detail = || {
            format!(
                "{rate:.1} characters a second of speech, half of the corpus has {usual:.1} or more: \
                 {} in {speech:.1} s",
                quoted(&utterance.text)
            )
        };
        if odd && away > 0.0 || rate > FASTEST {
            findings.push(warn(set, utterance, FindingKind::FastTranscript, detail()));
        } else if odd {
            findings.push(warn(set, utterance, FindingKind::SlowTranscript, detail()));
        }
    }
}

fn plain(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn same_words(sets: &[Set], findings: &mut Vec<Finding>) {
    let mut groups: HashMap<String, Vec<(&Set, &Utterance, f64)>> = HashMap::new();
    for set in sets {
        for (utterance, sound) in set.heard().filter(|(_, sound)| !sound.is_silent()) {
            let text = plain(&utterance.text);
            if !text.is_empty() {
                groups.entry(text).or_default().push((set, utterance, sound.speech()));
            }
        }
    }
    let mut found = Vec::new();
    for group in groups.values().filter(|group| group.len() >= 3) {
        let mut seconds: Vec<f64> = group.iter().map(|(_, _, seconds)| *seconds).collect();
        let middle = median(&mut seconds);
        for (set, utterance, seconds) in group {
            let times = (seconds / middle).max(middle / seconds);
            if times > SAME_WORDS_TIMES && (seconds - middle).abs() > SAME_WORDS_SECONDS {
                let detail = format!(
                    "{} lasts {seconds:.1} s, {middle:.1} s as a rule in {} recordings",
                    quoted(&utterance.text),
                    group.len()
                );
                found.push(warn(set, utterance, FindingKind::UnusualDuration, detail));
            }
        }
    }
    // The groups come in no order of their own.
    found.sort_by(|a, b| (&a.set, &a.id).cmp(&(&b.set, &b.id)));
    findings.extend(found);
}

/// Scripts and cases that are not the corpus's.
fn writing(sets: &[Set], findings: &mut Vec<Finding>) {
    let scripts = |utterance: &Utterance| -> BTreeMap<Script, usize> {
        let mut counts = BTreeMap::new();
        for script in utterance.text.chars().filter_map(Script::of) {
            *counts.entry(script).or_insert(0) += 1;
        }
        counts
    };
    let (mut total, mut upper, mut lower, mut utterances) = (BTreeMap::new(), 0, 0, 0);
    for (_, utterance) in all(sets) {
        for script in scripts(utterance).into_keys() {
            *total.entry(script).or_insert(0) += 1;
        }
        utterances += usize::from(utterance.text.chars().any(char::is_alphabetic));
        upper += usize::from(case_of(&utterance.text) == Some(true));
        lower += usize::from(case_of(&utterance.text) == Some(false));
    }
    if utterances < FEWEST {
        return;
    }
    let own = |count: usize| count as f64 >= OWN_SHARE * utterances as f64;
    let own_scripts: BTreeSet<Script> =
        total.iter().filter(|(_, count)| own(**count)).map(|(script, _)| *script).collect();
    for (set, utterance) in all(sets) {
        let counts = scripts(utterance);
        let letters: usize = counts.values().sum();
        let foreign = counts
            .iter()
            .filter(|(script, _)| !own_scripts.contains(script) && !own_scripts.is_empty())
            .max_by_key(|(_, count)| **count);
        if let Some((script, count)) = foreign
            && 2 * count > letters
        {
            let detail = format!("{} is in {script:?} letters", quoted(&utterance.text));
            findings.push(warn(set, utterance, FindingKind::OtherScript, detail));
        }
        let case = case_of(&utterance.text);
        let other = own(upper) && case == Some(false) || own(lower) && case == Some(true);
        if other {
            let usual = if own(upper) { "upper" } else { "lower" };
            let detail = format!("{}, where the corpus has {usual} case", quoted(&utterance.text));
            findings.push(warn(set, utterance, FindingKind::OtherCase, detail));
        }
    }
}

/// Whether all letters are capitals, or none; `None` for a mixture and for what has no case.
fn case_of(text: &str) -> Option<bool> {
    let mut cased = text.chars().filter(|c| c.is_uppercase() || c.is_lowercase());
    let first = cased.next()?.is_uppercase();
    cased.all(|c| c.is_uppercase() == first).then_some(first)
}

fn characters(sets: &[Set], findings: &mut Vec<Finding>) {
    let mut counts: HashMap<char, usize> = HashMap::new();
    let lower = |text: &str| text.to_lowercase();
    for (_, utterance) in all(sets) {
        for c in lower(&utterance.text).chars().filter(|c| !c.is_whitespace()) {
            *counts.entry(c).or_insert(0) += 1;
        }
    }
    if counts.values().sum::<usize>() < RARE_AMONG || counts.len() > LETTERS {
        return;
    }
    for (set, utterance) in all(sets) {
        // Numbers have a finding of their own.
        let rare = |c: &char| !c.is_numeric() && counts.get(c).is_some_and(|count| *count <= RARE);
        if let Some(c) = lower(&utterance.text).chars().find(rare) {
            let (count, code) = (counts[&c], u32::from(c));
            let detail = format!(
                "`{}` (U+{code:04X}) stands in the corpus {}: {}",
                c.escape_debug(),
                if count == 1 { "once".to_owned() } else { format!("{count} times") },
                quoted(&utterance.text)
            );
            findings.push(warn(set, utterance, FindingKind::RareCharacter, detail));
        }
    }
}

fn repetitions(sets: &[Set], findings: &mut Vec<Finding>) {
    let mut vocabulary: BTreeSet<&str> = BTreeSet::new();
    for (_, utterance) in all(sets) {
        if vocabulary.len() >= VOCABULARY {
            break;
        }
        vocabulary.extend(utterance.text.split_whitespace());
    }
    if vocabulary.len() < VOCABULARY {
        return;
    }
    for (set, utterance) in all(sets) {
        let words: Vec<&str> = utterance.text.split_whitespace().collect();
        if let Some((phrase, times)) = repeated(&words) {
            let detail = format!("{:?} {times} times in a row", phrase.join(" "));
            findings.push(warn(set, utterance, FindingKind::RepeatedWords, detail));
        }
    }
}

/// The first phrase of one to three words that follows itself often.
fn repeated<'a, 'b>(words: &'b [&'a str]) -> Option<(&'b [&'a str], usize)> {
    for length in 1..=3 {
        let least = if length == 1 { REPEATED_WORD } else { REPEATED_PHRASE };
        // Words in a row that equal the one `length` before them.
        let mut run = 0;
        for place in length..=words.len() {
            if place < words.len() && words[place] == words[place - length] {
                run += 1;
                continue;
            }
            let times = run / length + 1;
            if times >= least {
                let start = place - run - length;
                return Some((&words[start..start + length], times));
            }
            run = 0;
        }
    }
    None
}

/// Recordings at another rate than most, a line for each set and rate.
fn sample_rates(sets: &[Set], findings: &mut Vec<Finding>) {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for (_, sound) in sets.iter().flat_map(Set::heard) {
        *counts.entry(sound.sample_rate).or_insert(0) += 1;
    }
    let Some((&usual, &most)) = counts.iter().max_by_key(|(_, count)| **count) else { return };
    let total: usize = counts.values().sum();
    for set in sets {
        for rate in counts.keys().filter(|rate| **rate != usual) {
            let mut at_rate = set.heard().filter(|(_, sound)| sound.sample_rate == *rate);
            let Some((first, _)) = at_rate.next() else { continue };
            let detail = format!(
                "{} of the {} of {} at {rate} Hz (first {}), {most} of the {total} of the corpus at {usual} Hz",
                at_rate.count() + 1,
                set.heard().count(),
                set.name,
                first.id
            );
            let (severity, kind) = (Severity::Warning, FindingKind::SampleRateMix);
            findings.push(Finding::of_set(severity, kind, &set.name, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [9.0, 1.0, 2.0, 3.0]), 3.0);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn a_rare_character_is_told_among_many() {
        let findings = |texts: &[&str], times: usize| {
            let numbered = texts.iter().enumerate();
            let mut utterances: Vec<Utterance> = numbered
                .map(|(n, text)| Utterance::new(format!("u{n}"), "a.wav", 1.0, *text))
                .collect();
            let plain = |n| Utterance::new(format!("p{n}"), "a.wav", 1.0, "the quick brown fox");
            utterances.extend((0..times).map(plain));
            let manifest = crate::Manifest { path: "train.jsonl".into(), utterances };
            let name = "train".to_owned();
            let (broken, repeated, sounds) = (Vec::new(), Vec::new(), Vec::new());
            let mut found = Vec::new();
            characters(&[Set { name, manifest, broken, repeated, sounds }], &mut found);
            found.into_iter().filter_map(|finding| finding.id).collect::<Vec<_>>()
        };
        let texts = ["the quíck fox", "the fox 7", "Fox the quick brown"];
        assert_eq!(findings(&texts, 700), ["u0"]);
        assert_eq!(findings(&["the quíck fox"; 3], 700), [""; 0]);
        // Among few characters many are rare.
        assert_eq!(findings(&texts, 500), [""; 0]);
    }

    #[test]
    fn repetitions_of_words_and_phrases_are_counted() {
        let of = |text: &str| {
            let words: Vec<&str> = text.split_whitespace().collect();
            repeated(&words).map(|(phrase, times)| (phrase.join(" "), times))
        };
        assert_eq!(of("no no no no"), None);
        assert_eq!(of("oh no no no no no more"), Some(("no".into(), 5)));
        assert_eq!(
            of("a thank you thank you thank you thank you b"),
            Some(("thank you".into(), 4))
        );
        assert_eq!(of("i am so i am so i am so i am so"), Some(("i am so".into(), 4)));
        assert_eq!(of("one two one two one two three"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn a_text_has_a_case_only_where_all_letters_agree() {
        assert_eq!(case_of("YES 7"), Some(true));
        assert_eq!(case_of("yes"), Some(false));
        assert_eq!(case_of("Yes"), None);
        assert_eq!(case_of("はい"), None);
    }
}
