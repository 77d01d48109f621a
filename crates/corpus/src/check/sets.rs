//! What only shows when sets are compared: speakers, sentences and ids that stand in two; and what a set
//! lacks as a whole.

use super::finding::{Finding, FindingKind, Severity, percent, plural};
use super::survey::Set;
use labyrinth_text::Normalizer;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A development or test set of fewer utterances says little.
const SMALL: usize = 10;

/// A path, a missing speaker: odd where at least this share of a set is otherwise.
const USUAL_SHARE: f64 = 0.8;

/// Compares the sets with each other. `shared`: overlaps of speakers are the publishers' choice, or the
/// rule of the split, and warnings.
pub(super) fn compare(
    sets: &[Set],
    shared: bool,
    normalizer: Option<&Normalizer>,
    findings: &mut Vec<Finding>,
) {
    sizes(sets, findings);
    for (earlier, later) in pairs(sets) {
        speakers(earlier, later, shared, findings);
        sentences(earlier, later, normalizer, findings);
    }
    names_of_speakers(sets, findings);
    ids(sets, findings);
    paths(sets, findings);
}

/// Every two sets, the earlier first.
pub(super) fn pairs(sets: &[Set]) -> impl Iterator<Item = (&Set, &Set)> {
    let later = sets.iter().enumerate();
    later.flat_map(|(place, later)| sets[..place].iter().map(move |earlier| (earlier, later)))
}

fn sizes(sets: &[Set], findings: &mut Vec<Finding>) {
    for set in sets {
        let count = set.manifest.utterances.len();
        if count == 0 {
            let detail = "it holds no utterances".to_owned();
            // No training begins without these two; without a test set only the figure is missing.
            let needed = matches!(set.name.as_str(), "train" | "dev");
            let severity = if needed { Severity::Error } else { Severity::Warning };
            findings.push(Finding::of_set(severity, FindingKind::EmptySet, &set.name, detail));
        } else if count < SMALL && sets.len() > 1 && matches!(set.name.as_str(), "dev" | "test") {
            let words: usize =
                set.manifest.utterances.iter().map(|u| u.text.split_whitespace().count()).sum();
            let detail = format!(
                "it holds {} with {}: one wrong word is {:.1} % of the error rate",
                plural(count, "utterance"),
                plural(words, "word"),
                percent(1, words)
            );
            let (severity, kind) = (Severity::Warning, FindingKind::SmallSet);
            findings.push(Finding::of_set(severity, kind, &set.name, detail));
        }
    }
}

/// How bad it is that something of one set is in another: in the test set it makes the figure worthless;
/// in training and development together it only makes the choice of the best model less sure.
pub(super) fn severity_between(earlier: &Set, later: &Set, shared: bool) -> Severity {
    let tested = earlier.name == "test" || later.name == "test";
    if tested && !shared { Severity::Error } else { Severity::Warning }
}

/// Speakers who are in both.
pub(super) fn shared_speakers<'a>(earlier: &Set, later: &'a Set) -> BTreeSet<&'a str> {
    let known = earlier.manifest.speakers();
    later.manifest.speakers().into_iter().filter(|speaker| known.contains(speaker)).collect()
}

fn speakers(earlier: &Set, later: &Set, shared: bool, findings: &mut Vec<Finding>) {
    let both = shared_speakers(earlier, later);
    if both.is_empty() {
        return;
    }
    let utterances = &later.manifest.utterances;
    let spoken = |speaker: &Option<String>| speaker.as_deref().is_some_and(|s| both.contains(s));
    let count = utterances.iter().filter(|utterance| spoken(&utterance.speaker)).count();
    let names: Vec<&str> = both.iter().take(5).copied().collect();
    let detail = format!(
        "{count} of the {} of {} ({:.1} %) {} spoken by {} of {} ({}{})",
        plural(utterances.len(), "utterance"),
        later.name,
        percent(count, utterances.len()),
        if count == 1 { "is" } else { "are" },
        plural(both.len(), "speaker"),
        earlier.name,
        names.join(" "),
        if both.len() > names.len() { " …" } else { "" },
    );
    let severity = severity_between(earlier, later, shared);
    findings.push(Finding::of_set(severity, FindingKind::SpeakerOverlap, &later.name, detail));
}

/// How many utterances of `later` say what one of `earlier` says.
pub(super) fn shared_sentences(
    earlier: &Set,
    later: &Set,
    normalizer: Option<&Normalizer>,
) -> usize {
    let texts = |set: &Set| -> Vec<String> {
        set.manifest.utterances.iter().map(|u| plain(&u.text, normalizer)).collect()
    };
    let known: HashSet<String> = texts(earlier).into_iter().collect();
    texts(later).iter().filter(|text| !text.is_empty() && known.contains(*text)).count()
}

fn sentences(
    earlier: &Set,
    later: &Set,
    normalizer: Option<&Normalizer>,
    findings: &mut Vec<Finding>,
) {
    let count = shared_sentences(earlier, later, normalizer);
    if count > 0 {
        let utterances = later.manifest.utterances.len();
        let detail = format!(
            "{count} of the {} of {} ({:.1} %) {} a sentence that is also in {}",
            plural(utterances, "utterance"),
            later.name,
            percent(count, utterances),
            if count == 1 { "says" } else { "say" },
            earlier.name
        );
        let (severity, kind) = (Severity::Warning, FindingKind::SentenceOverlap);
        findings.push(Finding::of_set(severity, kind, &later.name, detail));
    }
}

/// A sentence as it is compared: as the recipe has it, or without case and white space.
pub(super) fn plain(text: &str, normalizer: Option<&Normalizer>) -> String {
    match normalizer {
        Some(normalizer) => normalizer.apply(text),
        None => text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// Names that are missing, and names that are two spellings of one.
fn names_of_speakers(sets: &[Set], findings: &mut Vec<Finding>) {
    let known = sets.iter().any(|set| !set.manifest.speakers().is_empty());
    for set in sets.iter().filter(|_| known) {
        let mut nameless = set.manifest.utterances.iter().filter(|u| u.speaker.is_none());
        let Some(first) = nameless.next() else { continue };
        let detail = format!(
            "{} of the {} of {} name no speaker (first {})",
            nameless.count() + 1,
            plural(set.manifest.utterances.len(), "utterance"),
            set.name,
            first.id
        );
        let (severity, kind) = (Severity::Warning, FindingKind::MissingSpeaker);
        findings.push(Finding::of_set(severity, kind, &set.name, detail));
    }
    if !known && sets.len() > 1 {
        let detail = "no utterance names its speaker".to_owned();
        let (severity, kind) = (Severity::Warning, FindingKind::MissingSpeaker);
        findings.push(Finding::of_set(severity, kind, "all", detail));
    }
    let mut spellings: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    for set in sets {
        for speaker in set.manifest.speakers() {
            let bare: String =
                speaker.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
            spellings.entry(bare).or_default().insert(speaker, &set.name);
        }
    }
    for (_, names) in spellings.iter().filter(|(bare, names)| !bare.is_empty() && names.len() > 1) {
        let listed: Vec<String> = names.keys().map(|name| format!("{name:?}")).collect();
        let set = names.values().next_back().copied().unwrap_or_default();
        let detail = format!("{} may be one speaker", listed.join(" and "));
        let (severity, kind) = (Severity::Warning, FindingKind::SimilarSpeakers);
        findings.push(Finding::of_set(severity, kind, set, detail));
    }
}

/// One id in two sets.
fn ids(sets: &[Set], findings: &mut Vec<Finding>) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for set in sets {
        for utterance in &set.manifest.utterances {
            match seen.get(utterance.id.as_str()) {
                Some(first) => {
                    let detail = format!("the id is in {first} as well");
                    let (severity, kind) = (Severity::Error, FindingKind::DuplicateId);
                    let finding = Finding::of_one(severity, kind, &set.name, &utterance.id, detail);
                    findings.push(finding);
                }
                None => {
                    seen.insert(&utterance.id, &set.name);
                }
            }
        }
    }
}

/// Absolute paths among relative ones, paths out of the folder among those within.
fn paths(sets: &[Set], findings: &mut Vec<Finding>) {
    for set in sets {
        let utterances = &set.manifest.utterances;
        type Odd = fn(&str) -> bool;
        let kinds: [(FindingKind, Odd); 2] = [
            (FindingKind::AbsolutePath, is_absolute),
            (FindingKind::PathOutside, |path| !is_absolute(path) && leads_out(path)),
        ];
        for (kind, odd) in kinds {
            let count = utterances.iter().filter(|u| odd(&u.audio_filepath)).count();
            if count as f64 > (1.0 - USUAL_SHARE) * utterances.len() as f64 {
                continue;
            }
            for utterance in utterances.iter().filter(|u| odd(&u.audio_filepath)) {
                let detail = format!("its audio is {}", utterance.audio_filepath);
                let (severity, id) = (Severity::Warning, &utterance.id);
                findings.push(Finding::of_one(severity, kind, &set.name, id, detail));
            }
        }
    }
}

/// Of this machine or of Windows.
fn is_absolute(path: &str) -> bool {
    let drive = path.as_bytes();
    path.starts_with(['/', '\\'])
        || matches!(drive, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic())
}

/// Whether more steps lead up than down, at any point.
fn leads_out(path: &str) -> bool {
    let mut depth = 0;
    path.split('/').any(|part| {
        depth += match part {
            ".." => -1,
            "" | "." => 0,
            _ => 1,
        };
        depth < 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_are_told_from_those_within() {
        for path in ["../a.wav", "a/../../b.wav", "./../a.wav"] {
            assert!(leads_out(path), "{path}");
        }
        for path in ["a.wav", "a/../b.wav", "./a/b/../../c.wav", "a..b/c.wav"] {
            assert!(!leads_out(path), "{path}");
        }
        assert!(is_absolute("/a") && is_absolute("C:\\a") && is_absolute("c:/a"));
        assert!(!is_absolute("a/b") && !is_absolute("a:b") && !is_absolute(""));
    }
}
