//! The report of `check` as text and as JSON.

use super::finding::{Finding, FindingKind, Severity, percent, plural};
use super::survey::Set;
use crate::prepare::CorpusRecord;
use serde::{Serialize, Serializer};
use std::fmt;
use std::path::{Path, PathBuf};

/// Findings of one kind that are shown in text; JSON has all.
const SHOWN: usize = 10;

/// A warning that so many utterances of a set, and this share of it, have is told once in text.
const COMMON: usize = 20;
const COMMON_SHARE: f64 = 0.2;

/// One manifest, or a folder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetSummary {
    /// The manifest's name without extension, or `folder`.
    pub name: String,
    /// Utterances.
    pub utterances: usize,
    /// Seconds of decoded audio; of features, those that the manifest says.
    pub seconds: f64,
    /// Named speakers.
    pub speakers: usize,
}

impl SetSummary {
    pub(super) fn of(set: &Set) -> Self {
        Self {
            name: set.name.clone(),
            utterances: set.manifest.utterances.len(),
            // From 0: the sum of nothing is -0 in floating point, and would be shown so.
            seconds: set.heard().fold(0.0, |sum, (_, sound)| sum + sound.seconds)
                + set.read_as_features().fold(0.0, |sum, utterance| sum + utterance.duration),
            speakers: set.manifest.speakers().len(),
        }
    }
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// What was checked.
    #[serde(serialize_with = "spell")]
    pub target: PathBuf,
    /// The corpus, where `corpus.json` tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corpus: Option<CorpusRecord>,
    /// What it holds.
    pub sets: Vec<SetSummary>,
    /// Errors first, then by kind, in the order of the manifests.
    pub findings: Vec<Finding>,
}

/// A path that is not UTF-8 is told as well as it can be.
fn spell<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

impl CheckReport {
    /// How many findings are errors.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many findings are warnings.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// The whole report as one JSON object.
    ///
    /// # Errors
    /// None is known to arise: the report holds strings, numbers and lists.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// The findings kind by kind, and within a kind set by set, all of one severity.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[Finding]> {
        self.findings.chunk_by(|a, b| (a.severity, a.kind) == (b.severity, b.kind))
    }

    /// Whether a warning is common in its set, and says something of the set rather than of the
    /// utterances: `None`, or how many of how many.
    pub(super) fn common(&self, kind: FindingKind, set: &str) -> Option<(usize, usize)> {
        let of_kind = self.findings.iter().filter(|finding| {
            finding.kind == kind
                && finding.set == set
                && finding.id.is_some()
                && finding.severity == Severity::Warning
        });
        let count = of_kind.count();
        let total = self.sets.iter().find(|summary| summary.name == set)?.utterances;
        let common = count >= COMMON && count as f64 >= COMMON_SHARE * total as f64;
        common.then_some((count, total))
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.corpus {
            Some(corpus) => writeln!(formatter, "{} ({})", self.target.display(), corpus.title)?,
            None => writeln!(formatter, "{}", self.target.display())?,
        }
        for set in &self.sets {
            writeln!(
                formatter,
                "  {:<8} {:>6} {:<10}  {:>7.2} h  {:>4} speaker{}",
                set.name,
                set.utterances,
                if set.utterances == 1 { "utterance" } else { "utterances" },
                set.seconds / 3600.0,
                set.speakers,
                if set.speakers == 1 { "" } else { "s" }
            )?;
        }
        for group in self.groups() {
            self.write_group(group, formatter)?;
        }
        let utterances: usize = self.sets.iter().map(|set| set.utterances).sum();
        writeln!(
            formatter,
            "{}, {} in {}",
            plural(self.errors(), "error"),
            plural(self.warnings(), "warning"),
            plural(utterances, "utterance")
        )
    }
}

impl CheckReport {
    /// The lines of one kind: common ones once for their set, of the others the first ten.
    fn write_group(&self, group: &[Finding], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match group[0].severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let code = group[0].kind.code();
        let (mut shown, mut left) = (0, 0);
        for of_set in group.chunk_by(|a, b| a.set == b.set) {
            let first = &of_set[0];
            let common = match first.severity {
                Severity::Warning => self.common(first.kind, &first.set),
                Severity::Error => None,
            };
            if let (Some((count, total)), Some(id)) = (common, &first.id) {
                writeln!(
                    formatter,
                    "  {severity:<8} {code} {}: {count} of {} ({:.0} %), first {id}: {}",
                    first.set,
                    plural(total, "utterance"),
                    percent(count, total),
                    first.detail
                )?;
                continue;
            }
            for finding in of_set {
                if shown == SHOWN {
                    left += 1;
                    continue;
                }
                shown += 1;
                let id = finding.id.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
                let (set, detail) = (&finding.set, &finding.detail);
                writeln!(formatter, "  {severity:<8} {code} {set}{id}: {detail}")?;
            }
        }
        if left > 0 {
            writeln!(formatter, "           and {left} more of {code}")?;
        }
        Ok(())
    }
}
