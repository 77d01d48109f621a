//! What only shows when sets are compared: speakers, sentences, ids and recordings that stand in two.

use super::{Finding, FindingKind, Set, Severity};
use labyrinth_text::Normalizer;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Compares the sets with each other, and recordings with each other everywhere.
///
/// `published`: overlaps of recordings are the publishers' and warnings; `shared`: so are those of
/// speakers.
pub(super) fn compare(
    sets: &[Set],
    published: bool,
    shared: bool,
    normalizer: Option<&Normalizer>,
    findings: &mut Vec<Finding>,
) {
    for set in sets {
        if set.manifest.utterances.is_empty() {
            let detail = "it holds no utterances".to_owned();
            // No training begins without these two; without a test set only the figure is missing.
            let needed = matches!(set.name.as_str(), "train" | "dev");
            let severity = if needed { Severity::Error } else { Severity::Warning };
            findings.push(about(severity, FindingKind::EmptySet, &set.name, detail));
        }
    }
    for (place, later) in sets.iter().enumerate() {
        for earlier in &sets[..place] {
            speakers(earlier, later, shared, findings);
            sentences(earlier, later, normalizer, findings);
        }
    }
    ids(sets, findings);
    recordings(sets, published, findings);
}

/// Names the usual sets whose manifests are not among `paths`, where any of the three is. Train and dev
/// belong together; a lone test set may be all there is to a corpus.
pub(super) fn missing(folder: &Path, paths: &[PathBuf], findings: &mut Vec<Finding>) {
    let there = |name: &str| paths.iter().any(|path| path.file_stem().is_some_and(|s| s == name));
    if !["train", "dev", "test"].iter().any(|name| there(name)) {
        return;
    }
    for name in ["train", "dev", "test"].into_iter().filter(|name| !there(name)) {
        let trained = there("train") || there("dev");
        let needed = name != "test" && trained;
        let severity = if needed { Severity::Error } else { Severity::Warning };
        let path = folder.join(format!("{name}.jsonl"));
        let detail = format!("there is no {}", path.display());
        findings.push(about(severity, FindingKind::MissingSet, name, detail));
    }
}

fn about(severity: Severity, kind: FindingKind, set: &str, detail: String) -> Finding {
    Finding { severity, kind, set: set.to_owned(), id: None, detail }
}

/// A speaker of the test set that was trained on or chosen by makes its figure worthless. In training and
/// development together it only makes the choice of the best model less sure.
fn speakers(earlier: &Set, later: &Set, shared: bool, findings: &mut Vec<Finding>) {
    let known = earlier.manifest.speakers();
    let both: BTreeSet<&str> = later.manifest.speakers().intersection(&known).copied().collect();
    if both.is_empty() {
        return;
    }
    let utterances = &later.manifest.utterances;
    let count = utterances
        .iter()
        .filter(|u| u.speaker.as_deref().is_some_and(|s| both.contains(s)))
        .count();
    let tested = earlier.name == "test" || later.name == "test";
    let severity = if tested && !shared { Severity::Error } else { Severity::Warning };
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
    findings.push(about(severity, FindingKind::SpeakerOverlap, &later.name, detail));
}

fn sentences(
    earlier: &Set,
    later: &Set,
    normalizer: Option<&Normalizer>,
    findings: &mut Vec<Finding>,
) {
    let known: HashSet<String> =
        earlier.manifest.utterances.iter().map(|u| plain(&u.text, normalizer)).collect();
    let utterances = &later.manifest.utterances;
    let count = utterances
        .iter()
        .map(|u| plain(&u.text, normalizer))
        .filter(|text| !text.is_empty() && known.contains(text))
        .count();
    if count > 0 {
        let detail = format!(
            "{count} of the {} of {} ({:.1} %) {} a sentence that is also in {}",
            plural(utterances.len(), "utterance"),
            later.name,
            percent(count, utterances.len()),
            if count == 1 { "says" } else { "say" },
            earlier.name
        );
        findings.push(about(Severity::Warning, FindingKind::SentenceOverlap, &later.name, detail));
    }
}

/// A sentence as it is compared: as the recipe has it, or without case and white space.
fn plain(text: &str, normalizer: Option<&Normalizer>) -> String {
    match normalizer {
        Some(normalizer) => normalizer.apply(text),
        None => text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// Within one manifest an id cannot stand twice; between two it can.
fn ids(sets: &[Set], findings: &mut Vec<Finding>) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for set in sets {
        for utterance in &set.manifest.utterances {
            if let Some(first) = seen.insert(&utterance.id, &set.name) {
                findings.push(Finding {
                    severity: Severity::Error,
                    kind: FindingKind::DuplicateId,
                    set: set.name.clone(),
                    id: Some(utterance.id.clone()),
                    detail: format!("the id is in {first} as well"),
                });
            }
        }
    }
}

/// The same sound twice: harmless inside a set where the transcripts agree, otherwise an error.
fn recordings(sets: &[Set], published: bool, findings: &mut Vec<Finding>) {
    let mut seen: HashMap<[u8; 16], (usize, usize)> = HashMap::new();
    for (number, set) in sets.iter().enumerate() {
        for (index, utterance) in set.manifest.utterances.iter().enumerate() {
            let Some(Some(sound)) = set.sounds.get(index) else { continue };
            // Two recordings of nothing are alike, and reported as silence.
            if sound.is_silent() {
                continue;
            }
            let Some(&(other_set, other)) = seen.get(&sound.digest) else {
                seen.insert(sound.digest, (number, index));
                continue;
            };
            let first = &sets[other_set].manifest.utterances[other];
            let same_text = plain(&first.text, None) == plain(&utterance.text, None);
            let bad = number != other_set || !same_text;
            let severity = if bad && !published { Severity::Error } else { Severity::Warning };
            let transcript = if same_text { "" } else { ", and the transcripts differ" };
            findings.push(Finding {
                severity,
                kind: FindingKind::DuplicateAudio,
                set: set.name.clone(),
                id: Some(utterance.id.clone()),
                detail: format!(
                    "the same sound as {} in {}{transcript}",
                    first.id, sets[other_set].name
                ),
            });
        }
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

pub(super) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
