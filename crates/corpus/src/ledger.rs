//! The ledger: what was read, what was kept, and each refusal by id and reason; nothing else is lost.

use crate::atomic::{remedy, write_atomically};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Why an utterance was left out. The code in files is the name in kebab case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// The audio file is not there.
    MissingAudio,
    /// The audio file cannot be decoded.
    UnreadableAudio,
    /// The audio holds no samples.
    EmptyAudio,
    /// The audio holds fewer samples than one frame of the features needs.
    ShorterThanAFrame,
    /// The recipe's features refuse the sample rate of the audio.
    SampleRate,
    /// The offset, or the end of the utterance, lies past the end of the audio.
    OffsetPastEnd,
    /// Nothing can be heard in the audio.
    SilentAudio,
    /// The channels cancel each other when they are mixed.
    CancellingChannels,
    /// The same sound stands elsewhere: in another set, or with another transcript.
    DuplicateAudio,
    /// No transcript belongs to the audio.
    MissingTranscript,
    /// The transcript cannot be read as UTF-8 text.
    UnreadableTranscript,
    /// The transcript is empty (after normalisation, where there is any).
    EmptyTranscript,
    /// The transcript holds characters or words that the alphabet lacks.
    OutsideAlphabet,
    /// The transcript holds words that the lexicon lacks.
    OutsideLexicon,
    /// The transcript holds characters that are no text: control characters, wrongly decoded letters,
    /// look-alikes of another alphabet.
    UnusableTranscript,
    /// The transcript that the corpus gives is known not to be what is said.
    WrongTranscript,
    /// Fewer frames than labels plus repeated neighbours: no CTC path exists.
    TooShortForCtc,
    /// An utterance before it has the same id.
    DuplicateId,
    /// A line of a list or manifest that cannot be read; what it would have named is not known.
    BrokenLine,
    /// The corpus's own lists do not name it.
    NotListed,
    /// The file's name is not of the form that the corpus defines.
    UnexpectedName,
    /// The file's name is not UTF-8 and cannot stand in a manifest.
    UnusableName,
    /// The corpus gives the output of a command, an address or an archive's inside for a recording.
    NotAFile,
    /// The path leads out of the corpus's folder.
    OutsideCorpus,
    /// Its times are no section of a recording: no numbers, or an end before the start.
    UnusableTimes,
    /// The label track is not there.
    MissingLabels,
    /// The label track cannot be read, or is broken.
    UnusableLabels,
    /// The published rule of the corpus leaves it out.
    LeftOut,
}

impl Reason {
    /// The code as it stands in files, such as `missing-audio`.
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingAudio => "missing-audio",
            Self::UnreadableAudio => "unreadable-audio",
            Self::EmptyAudio => "empty-audio",
            Self::ShorterThanAFrame => "shorter-than-a-frame",
            Self::SampleRate => "sample-rate",
            Self::OffsetPastEnd => "offset-past-end",
            Self::SilentAudio => "silent-audio",
            Self::CancellingChannels => "cancelling-channels",
            Self::DuplicateAudio => "duplicate-audio",
            Self::MissingTranscript => "missing-transcript",
            Self::UnreadableTranscript => "unreadable-transcript",
            Self::EmptyTranscript => "empty-transcript",
            Self::OutsideAlphabet => "outside-alphabet",
            Self::OutsideLexicon => "outside-lexicon",
            Self::UnusableTranscript => "unusable-transcript",
            Self::WrongTranscript => "wrong-transcript",
            Self::TooShortForCtc => "too-short-for-ctc",
            Self::DuplicateId => "duplicate-id",
            Self::BrokenLine => "broken-line",
            Self::NotListed => "not-listed",
            Self::UnexpectedName => "unexpected-name",
            Self::UnusableName => "unusable-name",
            Self::NotAFile => "not-a-file",
            Self::OutsideCorpus => "outside-corpus",
            Self::UnusableTimes => "unusable-times",
            Self::MissingLabels => "missing-labels",
            Self::UnusableLabels => "unusable-labels",
            Self::LeftOut => "left-out",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

/// One utterance that was left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The utterance.
    pub id: String,
    /// Why, as a code.
    pub reason: Reason,
    /// Why, in words: the file, the characters, the counts.
    pub detail: String,
}

impl Refusal {
    /// A refusal of `id`.
    pub fn new(id: impl Into<String>, reason: Reason, detail: impl Into<String>) -> Self {
        Self { id: id.into(), reason, detail: detail.into() }
    }
}

/// Counts of what was kept and the list of what was refused. `read = kept + refused` holds by
/// construction: what was read is never counted on its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    kept: usize,
    refusals: Vec<Refusal>,
    // What a trainer asks each epoch: is this refusal new?
    refused_ids: HashSet<String>,
}

/// The last line of a ledger file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Summary {
    read: usize,
    kept: usize,
    refused: usize,
    reasons: BTreeMap<Reason, usize>,
}

/// What can go wrong with a ledger's file.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be read.
    #[error("{} cannot be read ({source}); run the command that writes it again", path.display())]
    Read {
        /// The ledger.
        path: PathBuf,
        /// What the disk said.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("{} cannot be written ({source}); {} or choose another folder", path.display(), remedy(source))]
    Write {
        /// The ledger.
        path: PathBuf,
        /// What the disk said.
        source: std::io::Error,
    },
    /// The file is no ledger, or its counts do not add up.
    #[error("{}, line {line}: {reason}; run the command that writes it again", path.display())]
    Broken {
        /// The ledger.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters one utterance that was kept.
    pub fn keep(&mut self) {
        self.kept += 1;
    }

    /// Enters one utterance that was refused.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refused_ids.insert(refusal.id.clone());
        self.refusals.push(refusal);
    }

    /// Refuses an utterance that had been entered as kept: what was planned to be used proved
    /// unusable when it was loaded. Returns false, and changes nothing, where this id is refused
    /// already (the loader meets a broken file again in every epoch).
    pub fn refuse_kept(&mut self, refusal: Refusal) -> bool {
        if self.kept == 0 || self.refused_ids.contains(&refusal.id) {
            return false;
        }
        self.kept -= 1;
        self.refuse(refusal);
        true
    }

    /// Utterances read: kept + refused.
    pub fn read_count(&self) -> usize {
        self.kept + self.refusals.len()
    }

    /// Utterances kept.
    pub fn kept_count(&self) -> usize {
        self.kept
    }

    /// Utterances refused.
    pub fn refused_count(&self) -> usize {
        self.refusals.len()
    }

    /// The refusals, in the order in which they were entered.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// How many were refused for each reason.
    pub fn reasons(&self) -> BTreeMap<Reason, usize> {
        let mut reasons = BTreeMap::new();
        for refusal in &self.refusals {
            *reasons.entry(refusal.reason).or_insert(0) += 1;
        }
        reasons
    }

    /// The ledger as JSON Lines: a refusal a line, then one summary line with `read`, `kept`,
    /// `refused` and the count of each reason.
    pub fn to_jsonl(&self) -> String {
        let mut text = String::new();
        for refusal in &self.refusals {
            push_line(&mut text, refusal);
        }
        let summary = Summary {
            read: self.read_count(),
            kept: self.kept,
            refused: self.refusals.len(),
            reasons: self.reasons(),
        };
        push_line(&mut text, &summary);
        text
    }

    /// Writes [`Ledger::to_jsonl`] to `path`, whole or not at all.
    ///
    /// # Errors
    /// [`LedgerError::Write`] where the disk fails.
    pub fn write(&self, path: &Path) -> Result<(), LedgerError> {
        write_atomically(path, |writer| writer.write_all(self.to_jsonl().as_bytes()))
            .map_err(|source| LedgerError::Write { path: path.to_owned(), source })
    }

    /// Reads a ledger and checks its arithmetic.
    ///
    /// # Errors
    /// [`LedgerError`] where the file cannot be read, a line is broken, or the counts do not add up.
    pub fn read(path: &Path) -> Result<Self, LedgerError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| LedgerError::Read { path: path.to_owned(), source })?;
        let broken =
            |line, reason: String| LedgerError::Broken { path: path.to_owned(), line, reason };
        let lines: Vec<&str> = text.lines().collect();
        let Some((last, refusals)) = lines.split_last() else {
            return Err(broken(1, "the ledger is empty, without its summary line".into()));
        };
        let mut ledger = Self::new();
        for (index, line) in refusals.iter().enumerate() {
            let refusal: Refusal = serde_json::from_str(line)
                .map_err(|error| broken(index + 1, format!("this is no refusal ({error})")))?;
            ledger.refuse(refusal);
        }
        let summary: Summary = serde_json::from_str(last)
            .map_err(|error| broken(lines.len(), format!("this is no summary ({error})")))?;
        ledger.kept = summary.kept;
        if summary.read != ledger.read_count()
            || summary.refused != ledger.refused_count()
            || summary.reasons != ledger.reasons()
        {
            return Err(broken(lines.len(), "the summary does not agree with the lines".into()));
        }
        Ok(ledger)
    }
}

/// One sentence: `read 948 = kept 946 + refused 2 (too-short-for-ctc 2)`.
impl fmt::Display for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (read, refused) = (self.read_count(), self.refused_count());
        write!(formatter, "read {read} = kept {} + refused {refused}", self.kept)?;
        let reasons: Vec<String> =
            self.reasons().iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if !reasons.is_empty() {
            write!(formatter, " ({})", reasons.join(", "))?;
        }
        Ok(())
    }
}

fn push_line(text: &mut String, value: &impl Serialize) {
    // Maps with string keys, strings and numbers always serialise; an error has no way to arise.
    if let Ok(line) = serde_json::to_string(value) {
        text.push_str(&line);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Ledger {
        let mut ledger = Ledger::new();
        for _ in 0..5 {
            ledger.keep();
        }
        ledger.refuse(Refusal::new("a", Reason::MissingAudio, "a.wav is not there"));
        ledger.refuse(Refusal::new("b", Reason::TooShortForCtc, "9 labels need 9 frames, has 4"));
        ledger.refuse(Refusal::new("c", Reason::TooShortForCtc, "7 labels need 8 frames, has 7"));
        ledger
    }

    #[test]
    fn counts_add_up_and_a_file_brings_them_back() {
        let mut ledger = sample();
        assert_eq!(
            ledger.to_string(),
            "read 8 = kept 5 + refused 3 (missing-audio 1, too-short-for-ctc 2)"
        );
        assert!(ledger.refuse_kept(Refusal::new("d", Reason::UnreadableAudio, "")));
        assert!(!ledger.refuse_kept(Refusal::new("d", Reason::UnreadableAudio, "")));
        assert_eq!((ledger.read_count(), ledger.kept_count(), ledger.refused_count()), (8, 4, 4));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        ledger.write(&path).unwrap();
        assert_eq!(Ledger::read(&path).unwrap(), ledger);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text.lines().last().unwrap(),
            "{\"read\":8,\"kept\":4,\"refused\":4,\"reasons\":{\"missing-audio\":1,\
             \"unreadable-audio\":1,\"too-short-for-ctc\":2}}"
        );
    }

    #[test]
    fn a_ledger_that_does_not_add_up_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        let text = sample().to_jsonl();
        for (broken, line) in [
            (text.replace("\"read\":8", "\"read\":9"), 4),
            (text.lines().skip(1).map(|line| format!("{line}\n")).collect(), 3),
            (text.replace("missing-audio", "bad-luck"), 1),
            (String::new(), 1),
        ] {
            std::fs::write(&path, broken).unwrap();
            let error = Ledger::read(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}")), "{error}");
            assert!(error.contains("ledger.jsonl"), "{error}");
        }
    }

    #[test]
    fn codes_are_the_names_in_files() {
        for reason in [
            Reason::MissingAudio,
            Reason::UnreadableAudio,
            Reason::EmptyAudio,
            Reason::ShorterThanAFrame,
            Reason::OffsetPastEnd,
            Reason::MissingTranscript,
            Reason::UnreadableTranscript,
            Reason::EmptyTranscript,
            Reason::OutsideAlphabet,
            Reason::OutsideLexicon,
            Reason::TooShortForCtc,
            Reason::DuplicateId,
            Reason::BrokenLine,
            Reason::NotListed,
            Reason::UnexpectedName,
            Reason::UnusableName,
            Reason::SilentAudio,
            Reason::CancellingChannels,
            Reason::DuplicateAudio,
            Reason::UnusableTranscript,
            Reason::WrongTranscript,
        ] {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.code()));
        }
    }
}
