//! The report of `check` as text and as JSON.

use super::sets::plural;
use super::{CheckReport, Severity};
use std::fmt;

/// Findings of one kind that are shown in text; JSON has all.
const SHOWN: usize = 10;

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
    /// None is known to arise: the report holds strings, numbers and lists; a path that is not UTF-8
    /// would be one.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
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
        let mut shown = 0;
        for (index, finding) in self.findings.iter().enumerate() {
            let alike = |other: &super::Finding| {
                (other.severity, other.kind) == (finding.severity, finding.kind)
            };
            let first = index == 0 || !alike(&self.findings[index - 1]);
            shown = if first { 1 } else { shown + 1 };
            let total = self.findings.iter().filter(|other| alike(other)).count();
            if shown == SHOWN + 1 {
                writeln!(
                    formatter,
                    "           and {} more of {}",
                    total - SHOWN,
                    finding.kind.code()
                )?;
            }
            if shown > SHOWN {
                continue;
            }
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let id = finding.id.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
            let (code, set, detail) = (finding.kind.code(), &finding.set, &finding.detail);
            writeln!(formatter, "  {severity:<8} {code} {set}{id}: {detail}")?;
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
