//! Which utterances are worth listening to: some of each kind of finding, the worst first.

use super::super::finding::{Finding, Severity};
use super::super::report::CheckReport;
use std::collections::{HashMap, HashSet};

/// An utterance by set and id, with what was found.
pub(super) struct Suspect<'a> {
    pub(super) set: &'a str,
    pub(super) id: &'a str,
    pub(super) findings: Vec<&'a Finding>,
}

/// At most `most` utterances: of each kind in turn one more, so that a kind that a thousand have does not
/// hide one that only two have. What is common in its set says nothing of the single utterance.
pub(super) fn choose(report: &CheckReport, most: usize) -> Vec<Suspect<'_>> {
    let mut kinds: Vec<std::vec::IntoIter<(&str, &str)>> = report
        .groups()
        .map(|group| {
            let common: HashSet<&str> = group
                .chunk_by(|a, b| a.set == b.set)
                .filter(|of_set| {
                    let Finding { severity, kind, set, .. } = &of_set[0];
                    *severity == Severity::Warning && report.common(*kind, set).is_some()
                })
                .map(|of_set| of_set[0].set.as_str())
                .collect();
            let single = group.iter().filter(|finding| !common.contains(finding.set.as_str()));
            let keys = single.filter_map(|f| Some((f.set.as_str(), f.id.as_deref()?)));
            keys.collect::<Vec<_>>().into_iter()
        })
        .collect();
    let mut chosen = Vec::new();
    let mut seen = HashSet::new();
    while chosen.len() < most {
        let before = chosen.len();
        for keys in &mut kinds {
            if let Some(key) = keys.find(|key| seen.insert(*key))
                && chosen.len() < most
            {
                chosen.push(key);
            }
        }
        if chosen.len() == before {
            break;
        }
    }
    let mut findings: HashMap<(&str, &str), Vec<&Finding>> =
        chosen.iter().map(|key| (*key, Vec::new())).collect();
    for finding in &report.findings {
        let Some(id) = finding.id.as_deref() else { continue };
        if let Some(of_one) = findings.get_mut(&(finding.set.as_str(), id)) {
            of_one.push(finding);
        }
    }
    let suspect = |(set, id)| Suspect {
        set,
        id,
        findings: findings.get(&(set, id)).cloned().unwrap_or_default(),
    };
    let mut suspects: Vec<Suspect<'_>> = chosen.into_iter().map(suspect).collect();
    // Errors come first within each; the sort is stable.
    suspects.sort_by_key(|suspect| suspect.findings.first().map(|finding| finding.severity));
    suspects
}
