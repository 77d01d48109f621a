//! What a preparation did, as numbers and as the text of the screen.

use super::candidate::{Measured, Split};
use super::output::CorpusRecord;
use crate::ledger::Ledger;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

/// One of the three sets.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitReport {
    /// `train`, `dev` or `test`.
    pub name: String,
    /// The manifest.
    pub path: PathBuf,
    /// What is in it.
    pub totals: Totals,
}

/// The size of a set, as far as a recipe that is fitted to it must know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Utterances.
    pub utterances: usize,
    /// Seconds of audio.
    pub seconds: f64,
    /// Seconds of the longest utterance.
    pub longest_seconds: f64,
    /// Characters of the transcripts, spaces included.
    pub characters: usize,
    /// Words of the transcripts.
    pub words: usize,
    /// Named speakers.
    pub speakers: usize,
    /// Utterances of each sample rate in Hz.
    pub sample_rates: BTreeMap<u32, usize>,
}

impl Totals {
    /// Hours of audio.
    pub fn hours(&self) -> f64 {
        self.seconds / 3600.0
    }

    /// The sample rate most utterances have, the higher of two equally frequent; `None` when empty.
    pub fn sample_rate(&self) -> Option<u32> {
        self.sample_rates
            .iter()
            .max_by_key(|(rate, count)| (**count, **rate))
            .map(|(rate, _)| *rate)
    }

    pub(crate) fn of<'a>(items: impl Iterator<Item = &'a Measured>) -> Self {
        let mut totals = Self::default();
        let mut speakers = BTreeSet::new();
        for item in items {
            totals.utterances += 1;
            totals.seconds += item.duration;
            totals.longest_seconds = totals.longest_seconds.max(item.duration);
            totals.characters += item.candidate.text.chars().count();
            totals.words += item.candidate.text.split_whitespace().count();
            speakers.extend(item.candidate.speaker.as_deref());
            *totals.sample_rates.entry(item.sample_rate).or_default() += 1;
        }
        totals.speakers = speakers.len();
        totals
    }
}

/// The outcome of a preparation.
#[derive(Clone, Debug, PartialEq)]
pub struct PrepareReport {
    /// What the corpus is and by which rule it was split; also written as `corpus.json`.
    pub corpus: CorpusRecord,
    /// The output folder.
    pub out: PathBuf,
    /// Train, dev, test.
    pub splits: Vec<SplitReport>,
    /// All three sets together.
    pub totals: Totals,
    /// Every utterance read, kept or refused.
    pub ledger: Ledger,
    /// What the user should know, a sentence each.
    pub warnings: Vec<String>,
    /// Manifests beside the three: parts of a set that are reported on their own, noise. File and
    /// number of lines.
    pub beside: Vec<(PathBuf, usize)>,
}

impl PrepareReport {
    pub(crate) fn new(
        corpus: CorpusRecord,
        out: PathBuf,
        measured: &[Measured],
        ledger: Ledger,
        warnings: Vec<String>,
    ) -> Self {
        let splits = Split::ALL
            .into_iter()
            .map(|split| SplitReport {
                name: split.name().to_owned(),
                path: out.join(format!("{}.jsonl", split.name())),
                totals: Totals::of(measured.iter().filter(|item| item.candidate.split == split)),
            })
            .collect();
        Self {
            corpus,
            out,
            splits,
            totals: Totals::of(measured.iter()),
            ledger,
            warnings,
            beside: Vec::new(),
        }
    }
}

/// The lines for the screen; the refusals themselves stand in the ledger, the first five here.
impl fmt::Display for PrepareReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.corpus.title)?;
        writeln!(formatter, "  home     {}", self.corpus.home)?;
        writeln!(formatter, "  licence  {}", self.corpus.licence)?;
        for split in &self.splits {
            let totals = &split.totals;
            writeln!(
                formatter,
                "  {:<8} {:>6} {:<10}  {:>8}  {:>4} speaker{}",
                split.name,
                totals.utterances,
                if totals.utterances == 1 { "utterance" } else { "utterances" },
                spell_duration(totals.seconds),
                totals.speakers,
                if totals.speakers == 1 { "" } else { "s" }
            )?;
        }
        writeln!(formatter, "  split    {}", self.corpus.split_rule)?;
        for (path, count) in &self.beside {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            writeln!(formatter, "  beside   {name}, {count} lines")?;
        }
        writeln!(formatter, "  ledger   {}", self.ledger)?;
        const SHOWN: usize = 5;
        for refusal in self.ledger.refusals().iter().take(SHOWN) {
            writeln!(formatter, "    {} {}: {}", refusal.reason, refusal.id, refusal.detail)?;
        }
        if self.ledger.refused_count() > SHOWN {
            let more = self.ledger.refused_count() - SHOWN;
            let path = self.out.join("ledger.jsonl");
            writeln!(formatter, "    and {more} more in {}", path.display())?;
        }
        for warning in &self.warnings {
            writeln!(formatter, "  warning  {warning}")?;
        }
        Ok(())
    }
}

/// Seconds as people say them: `0.81 h`, `12.3 min`, `45 s`.
fn spell_duration(seconds: f64) -> String {
    if seconds >= 1800.0 {
        format!("{:.2} h", seconds / 3600.0)
    } else if seconds >= 100.0 {
        format!("{:.1} min", seconds / 60.0)
    } else {
        format!("{seconds:.0} s")
    }
}
