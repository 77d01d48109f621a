//! The same recording in two places: the same sound under two ids, sections of one file that overlap, one
//! file in two sets.

use super::finding::{Finding, FindingKind, Severity, percent, plural};
use super::sets::{pairs, plain, severity_between};
use super::survey::Set;
use crate::manifest::Utterance;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// Sections may share so many seconds at a cut.
const TOLERANCE: f64 = 0.05;

/// Compares recordings with each other everywhere. `published`: overlaps are the publishers' and
/// warnings; `shared`: so are those of one file in two sets.
pub(super) fn compare(sets: &[Set], published: bool, shared: bool, findings: &mut Vec<Finding>) {
    same_sound(sets, published, findings);
    sections(sets, published, findings);
    for (earlier, later) in pairs(sets) {
        files_in_both(earlier, later, shared, findings);
    }
}

/// The same sound twice: harmless inside a set where the transcripts agree, otherwise an error.
fn same_sound(sets: &[Set], published: bool, findings: &mut Vec<Finding>) {
    for group in groups_of_one_sound(sets) {
        let (other_set, first) = group[0];
        for (set, utterance) in &group[1..] {
            let same_text = plain(&first.text, None) == plain(&utterance.text, None);
            let bad = set.name != other_set.name || !same_text;
            let severity = if bad && !published { Severity::Error } else { Severity::Warning };
            let transcript = if same_text { "" } else { ", and the transcripts differ" };
            let detail =
                format!("the same sound as {} in {}{transcript}", first.id, other_set.name);
            let kind = FindingKind::DuplicateAudio;
            findings.push(Finding::of_one(severity, kind, &set.name, &utterance.id, detail));
        }
    }
}

/// The utterances that hold the same samples, two or more each, in the order of their first.
pub(super) fn groups_of_one_sound(sets: &[Set]) -> Vec<Vec<(&Set, &Utterance)>> {
    let mut places: HashMap<[u8; 16], usize> = HashMap::new();
    let mut groups: Vec<Vec<(&Set, &Utterance)>> = Vec::new();
    for set in sets {
        // Two recordings of nothing are alike, and reported as silence.
        for (utterance, sound) in set.heard().filter(|(_, sound)| !sound.is_silent()) {
            let place = *places.entry(sound.digest).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[place].push((set, utterance));
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// A path without `.` and `..`, so that two spellings of one are found; links are not followed.
fn bare(path: &Path) -> PathBuf {
    let mut bare = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if bare.file_name().is_some_and(|name| name != "..") => {
                bare.pop();
            }
            other => bare.push(other),
        }
    }
    bare
}

fn file_of(set: &Set, utterance: &Utterance) -> PathBuf {
    bare(&set.manifest.audio_path(utterance))
}

/// Sections of one file that share more than a cut.
fn sections(sets: &[Set], published: bool, findings: &mut Vec<Finding>) {
    // Two channels of one recording are two sounds.
    type Place = (PathBuf, Option<usize>);
    let mut files: BTreeMap<Place, Vec<(&Set, &Utterance, f64, f64)>> = BTreeMap::new();
    for set in sets {
        for utterance in &set.manifest.utterances {
            let start = utterance.offset.unwrap_or(0.0);
            let end = start + utterance.duration;
            let section = (set, utterance, start, end);
            let place = (file_of(set, utterance), utterance.channel());
            files.entry(place).or_default().push(section);
        }
    }
    for mut sections in files.into_values().filter(|sections| sections.len() > 1) {
        sections.sort_by(|a, b| a.2.total_cmp(&b.2));
        for (place, (set, utterance, start, end)) in sections.iter().enumerate() {
            for (other_set, other, other_start, other_end) in &sections[place + 1..] {
                if *other_start >= end - TOLERANCE {
                    break;
                }
                // The very same section is told as the same sound.
                if (other_start, other_end) == (start, end) {
                    continue;
                }
                let shared = end.min(*other_end) - other_start;
                let bad = set.name != other_set.name && !published;
                let severity = if bad { Severity::Error } else { Severity::Warning };
                let detail = format!(
                    "it shares {shared:.2} s of {} with {} in {}",
                    utterance.audio_filepath, utterance.id, set.name
                );
                let kind = FindingKind::OverlappingSections;
                findings.push(Finding::of_one(severity, kind, &other_set.name, &other.id, detail));
            }
        }
    }
}

/// Files of which both sets have sections.
pub(super) fn shared_files(earlier: &Set, later: &Set) -> (usize, usize, Option<PathBuf>) {
    let sections = |set: &'_ Set| -> HashSet<PathBuf> {
        let cut = set.manifest.utterances.iter().filter(|u| u.offset.is_some());
        cut.map(|utterance| file_of(set, utterance)).collect()
    };
    let known = sections(earlier);
    let mut files = HashSet::new();
    let (mut count, mut first) = (0, None);
    for utterance in later.manifest.utterances.iter().filter(|u| u.offset.is_some()) {
        let file = file_of(later, utterance);
        if known.contains(&file) {
            count += 1;
            first.get_or_insert_with(|| file.clone());
            files.insert(file);
        }
    }
    (count, files.len(), first)
}

fn files_in_both(earlier: &Set, later: &Set, shared: bool, findings: &mut Vec<Finding>) {
    let (count, files, Some(first)) = shared_files(earlier, later) else { return };
    let utterances = later.manifest.utterances.len();
    let detail = format!(
        "{count} of the {} of {} ({:.1} %) {} cut from {} of which {} has sections too (first {})",
        plural(utterances, "utterance"),
        later.name,
        percent(count, utterances),
        if count == 1 { "is" } else { "are" },
        plural(files, "recording"),
        earlier.name,
        first.display()
    );
    let severity = severity_between(earlier, later, shared);
    findings.push(Finding::of_set(severity, FindingKind::RecordingOverlap, &later.name, detail));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_a_path_are_one() {
        for path in ["a/b.wav", "./a/b.wav", "a/c/../b.wav", "a/./b.wav"] {
            assert_eq!(bare(Path::new(path)), Path::new("a/b.wav"), "{path}");
        }
        assert_eq!(bare(Path::new("../../a.wav")), Path::new("../../a.wav"));
    }
}
