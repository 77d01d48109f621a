//! What can be found: its kinds, how bad they are, and what to do about each.

use crate::ledger::Reason;
use serde::{Serialize, Serializer};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Spoils a training or its figure.
    Error,
    /// Worth knowing.
    Warning,
}

/// Makes [`FindingKind`]: each kind with its meaning, its code in JSON and the way out.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident $code:literal $advice:literal,)+) => {
        /// What was found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum FindingKind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl FindingKind {
            /// Every kind, in the order in which a report lists them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code as it stands in JSON, such as `silent-audio`.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            /// What it means, in a sentence or two.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii(),)+
                }
            }

            /// What to do about it.
            pub fn advice(self) -> &'static str {
                match self {
                    $(Self::$name => $advice,)+
                }
            }
        }
    };
}

kinds! {
    /// A line of a manifest is no utterance.
    BrokenLine "broken-line" "Correct the line or remove it.",
    /// The audio file is not there, or a transcript has no recording.
    MissingAudio "missing-audio" "Put the file there or correct the path.",
    /// The audio cannot be decoded.
    UnreadableAudio "unreadable-audio" "Copy or record the file again, or convert it.",
    /// The audio holds no samples.
    EmptyAudio "empty-audio" "Record it again or leave it out.",
    /// The audio is shorter than one frame of the recipe's features.
    ShorterThanAFrame "shorter-than-a-frame" "Leave it out, or lower the recipe's frame-length.",
    /// The recipe's features refuse the sample rate.
    SampleRate "sample-rate" "Convert the recording, or allow resampling in the recipe.",
    /// Offset or end lie past the end of the file.
    OffsetPastEnd "offset-past-end" "Correct offset and duration in the manifest.",
    /// Nothing can be heard: the loudest 25 ms stay below -60 dB of full scale.
    SilentAudio "silent-audio" "Record it again or leave it out: a model would learn to invent words.",
    /// The channels cancel each other: their mean, which is what features are computed of, is next to nothing.
    CancellingChannels "cancelling-channels" "Keep one channel, or turn the sign of the other.",
    /// The manifest's duration is off by more than 0.1 s.
    WrongDuration "wrong-duration" "Write the duration of the audio (--fix does).",
    /// The same sound twice.
    DuplicateAudio "duplicate-audio" "Keep one; between two sets, the one that is tested.",
    /// At least 0.1 % of the samples lie in runs of three or more at full scale.
    ClippedAudio "clipped-audio" "Record with less gain; a few such recordings do little harm.",
    /// The loudest 25 ms stay below -50 dB of full scale.
    QuietAudio "quiet-audio" "Listen whether there is speech in it; record with more gain.",
    /// The samples do not swing around zero: a fault of the sound card.
    DcOffset "dc-offset" "Harmless where the features remove it (remove-dc-offset, the default).",
    /// A channel is silent while another is not; the mean of both is 6 dB lower.
    DeadChannel "dead-channel" "Keep the channel that was recorded.",
    /// The channels hold different sounds, and their mean is taken.
    DifferingChannels "differing-channels" "Where each channel is another speaker, cut them apart.",
    /// Nothing is left above a sharp edge: the recording had a lower sample rate once.
    NarrowBand "narrow-band" "Train at the lower rate, or leave such recordings out of the test set.",
    /// Most of the recording is silence at its ends.
    MostlySilence "mostly-silence" "Cut the ends off, or listen whether a part was not transcribed.",
    /// One value stands still for a fifth of a second in the middle of the sound: samples were lost.
    Dropout "dropout" "Copy or record it again.",
    /// Loud and soft parts hardly differ: a hum, a tone or noise rather than speech.
    SteadySound "steady-sound" "Listen whether there is speech in it.",
    /// Shorter than a tenth of a second.
    VeryShortAudio "very-short-audio" "Listen whether the word was cut.",
    /// Longer than 40 s: one such utterance decides how much memory its batch needs.
    VeryLongAudio "very-long-audio" "Cut it at a pause.",
    /// Some recordings have another sample rate than most.
    SampleRateMix "sample-rate-mix" "They are resampled; above half the lower rate they hold nothing.",
    /// A recording without transcript.
    MissingTranscript "missing-transcript" "Write it, or leave the recording out.",
    /// A transcript that is not UTF-8.
    UnreadableTranscript "unreadable-transcript" "Save it as UTF-8.",
    /// A transcript without text.
    EmptyTranscript "empty-transcript" "Write what is said, or leave the recording out.",
    /// Characters or words that the recipe's alphabet lacks, or its lexicon.
    OutsideAlphabet "outside-alphabet" "Correct the transcript, or let the normaliser replace them.",
    /// Fewer model frames than labels and repeated neighbours: CTC has no path.
    TooShortForCtc "too-short-for-ctc" "Look whether the transcript belongs to the recording; or lower the strides.",
    /// Control characters, or characters that stand for what could not be read.
    ControlCharacter "control-character" "Correct the transcript: each such character becomes a letter to learn.",
    /// UTF-8 that was once read as another encoding, such as `Ã©` for `é`.
    Mojibake "mojibake" "Convert the transcripts again from their source.",
    /// A word mixes letters of alphabets that look alike, such as Latin and Cyrillic.
    MixedScripts "mixed-scripts" "Type the word again: each look-alike becomes a letter of its own.",
    /// Letters and their accents are not composed (Unicode form C).
    NotComposed "not-composed" "The normaliser composes them; other programs may not (--fix does).",
    /// Characters that cannot be seen: soft hyphens, zero-width spaces, direction marks.
    InvisibleCharacter "invisible-character" "Remove them (--fix does).",
    /// Marks that nobody speaks: `<noise>`, `[laughter]`, `&amp;`.
    Markup "markup" "Take them out, or write what is heard.",
    /// Numbers in digits: `21` does not say how it was read.
    Digits "digits" "Write them in words, as they are spoken.",
    /// Letters of another script than the corpus has.
    OtherScript "other-script" "Look whether the transcript is in another language.",
    /// Another case than the corpus has.
    OtherCase "other-case" "The normaliser levels it unless the recipe keeps case.",
    /// A character that hardly ever occurs: too few examples to learn it.
    RareCharacter "rare-character" "Correct it, or let the normaliser replace it.",
    /// Many more characters a second than the corpus has: the transcript says more than the recording.
    FastTranscript "fast-transcript" "Listen: the recording may be cut, or the transcript another's.",
    /// Far fewer characters a second than the corpus has: the transcript says less than the recording.
    SlowTranscript "slow-transcript" "Listen: words may be missing in the transcript.",
    /// The same words last much longer or shorter elsewhere.
    UnusualDuration "unusual-duration" "Listen whether the transcript belongs to the recording.",
    /// Words that follow each other again and again.
    RepeatedWords "repeated-words" "Listen: machine transcripts repeat themselves where they fail.",
    /// The recipe normalises with sums over more than its training set: what is tested was looked at.
    ForeignStatistics "foreign-statistics" "Sum over the training set alone.",
    /// Features in the place of sound that are not those of the recipe.
    ForeignFeatures "foreign-features" "Shard the audio again with this recipe's features.",
    /// Shards hold features and no sound: nothing was listened to.
    NoSound "no-sound" "Check the manifest that the shards were made from: its recordings can be heard.",
    /// A file name that cannot stand in a manifest.
    UnusableName "unusable-name" "Rename the file.",
    /// The label track is not there.
    MissingLabels "missing-labels" "Put it there or correct the path.",
    /// A label track that cannot be read, or is broken.
    UnusableLabels "unusable-labels" "Correct the line that is named.",
    /// Labels of one track that overlap.
    OverlappingLabels "overlapping-labels" "Correct the times, unless two people speak at once.",
    /// One id in two sets, or twice in one.
    DuplicateId "duplicate-id" "Give each utterance its own id (--fix does).",
    /// An absolute path among relative ones: the manifest cannot move to another machine.
    AbsolutePath "absolute-path" "Write the path relative to the manifest.",
    /// A path leads out of the manifest's folder, as no other does.
    PathOutside "path-outside" "Look whether it is the file that was meant.",
    /// Utterances without a speaker.
    MissingSpeaker "missing-speaker" "Name the speakers: or nobody can tell whether a voice is in two sets.",
    /// Two names of speakers that differ in case or spacing alone.
    SimilarSpeakers "similar-speakers" "Use one name for one person.",
    /// A speaker in two sets.
    SpeakerOverlap "speaker-overlap" "Split by speaker (prepare --test-speakers).",
    /// Sections of one recording in two sets.
    RecordingOverlap "recording-overlap" "Split by recording: the same voice and room are in both.",
    /// Two utterances share a part of one recording.
    OverlappingSections "overlapping-sections" "Correct offset and duration of one of them.",
    /// A sentence in two sets.
    SentenceOverlap "sentence-overlap" "Say beside any figure how many sentences were seen in training.",
    /// The preparation left utterances out.
    RefusedInPreparation "refused-in-preparation" "The ledger names each with its reason.",
    /// The ledger counts other utterances than the manifests hold.
    LedgerDiffers "ledger-differs" "Prepare again, unless the manifests were changed on purpose.",
    /// Recordings of the folder that no manifest names.
    UnlistedAudio "unlisted-audio" "Prepare again, or move them away.",
    /// A set without utterances.
    EmptySet "empty-set" "Prepare again, with more recordings.",
    /// A set whose manifest is not there.
    MissingSet "missing-set" "Prepare again.",
    /// A set too small for its figure to mean anything.
    SmallSet "small-set" "Hold out more, or report the confidence interval beside the figure.",
}

impl Serialize for FindingKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl FindingKind {
    /// The kind of finding that a reason of a ledger is.
    pub(super) fn of(reason: Reason) -> Self {
        match reason {
            Reason::MissingAudio => Self::MissingAudio,
            Reason::UnreadableAudio => Self::UnreadableAudio,
            Reason::EmptyAudio => Self::EmptyAudio,
            Reason::ShorterThanAFrame => Self::ShorterThanAFrame,
            Reason::SampleRate => Self::SampleRate,
            Reason::OffsetPastEnd => Self::OffsetPastEnd,
            Reason::SilentAudio => Self::SilentAudio,
            Reason::CancellingChannels => Self::CancellingChannels,
            Reason::DuplicateAudio => Self::DuplicateAudio,
            Reason::MissingTranscript => Self::MissingTranscript,
            Reason::UnreadableTranscript => Self::UnreadableTranscript,
            Reason::EmptyTranscript => Self::EmptyTranscript,
            Reason::OutsideAlphabet | Reason::OutsideLexicon => Self::OutsideAlphabet,
            Reason::UnusableTranscript => Self::ControlCharacter,
            Reason::TooShortForCtc => Self::TooShortForCtc,
            Reason::DuplicateId => Self::DuplicateId,
            Reason::MissingLabels => Self::MissingLabels,
            Reason::UnusableLabels => Self::UnusableLabels,
            Reason::BrokenLine => Self::BrokenLine,
            Reason::UnusableName => Self::UnusableName,
            Reason::NotListed
            | Reason::UnexpectedName
            | Reason::NotAFile
            | Reason::OutsideCorpus
            | Reason::UnusableTimes
            | Reason::WrongTranscript
            | Reason::LeftOut => Self::RefusedInPreparation,
        }
    }

    /// Under which reason a cleaned manifest leaves the utterance out; `None` for what leaving one
    /// utterance out does not mend.
    pub(super) fn refusal(self) -> Option<Reason> {
        Some(match self {
            Self::MissingAudio => Reason::MissingAudio,
            Self::UnreadableAudio => Reason::UnreadableAudio,
            Self::EmptyAudio => Reason::EmptyAudio,
            Self::ShorterThanAFrame => Reason::ShorterThanAFrame,
            Self::SampleRate => Reason::SampleRate,
            Self::OffsetPastEnd => Reason::OffsetPastEnd,
            Self::SilentAudio => Reason::SilentAudio,
            Self::CancellingChannels => Reason::CancellingChannels,
            Self::EmptyTranscript => Reason::EmptyTranscript,
            Self::OutsideAlphabet => Reason::OutsideAlphabet,
            Self::TooShortForCtc => Reason::TooShortForCtc,
            Self::ControlCharacter | Self::Mojibake | Self::MixedScripts => {
                Reason::UnusableTranscript
            }
            Self::MissingLabels => Reason::MissingLabels,
            Self::UnusableLabels => Reason::UnusableLabels,
            _ => return None,
        })
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub kind: FindingKind,
    /// The set: the manifest's name without extension, or `folder`.
    pub set: String,
    /// The utterance; absent where the finding is about a whole set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// In words.
    pub detail: String,
}

impl Finding {
    /// About a whole set.
    pub(super) fn of_set(severity: Severity, kind: FindingKind, set: &str, detail: String) -> Self {
        Self { severity, kind, set: set.to_owned(), id: None, detail }
    }

    /// About one utterance.
    pub(super) fn of_one(
        severity: Severity,
        kind: FindingKind,
        set: &str,
        id: &str,
        detail: String,
    ) -> Self {
        Self { severity, kind, set: set.to_owned(), id: Some(id.to_owned()), detail }
    }
}

/// `1 utterance`, `2 utterances`.
pub(super) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

pub(super) fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_a_code_of_its_own_and_a_way_out() {
        let codes: BTreeSet<&str> = FindingKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), FindingKind::ALL.len());
        for kind in FindingKind::ALL {
            let name = format!("{kind:?}").to_lowercase();
            assert_eq!(name, kind.code().replace('-', ""));
            assert!(kind.meaning().ends_with('.') && kind.advice().ends_with('.'), "{kind:?}");
            assert!(kind.meaning().len() < 130 && kind.advice().len() < 100, "{kind:?}");
        }
    }

    #[test]
    fn what_is_left_out_keeps_its_reason() {
        for kind in FindingKind::ALL {
            let Some(reason) = kind.refusal() else { continue };
            if reason != Reason::UnusableTranscript {
                assert_eq!(FindingKind::of(reason), *kind);
                assert_eq!(reason.code(), kind.code());
            }
        }
    }
}
