//! Framewise targets: one label for each frame of a model's output, from a label track.
//!
//! # Which label is a frame's
//! Output frames follow each other by a hop; the middle of a frame is the piece of time, one hop long,
//! around its centre, so that the middles of all frames tile the recording. A frame has the label that
//! covers most of its middle, the earlier one where two cover as much of it; where the time without a
//! label outweighs each of them, it is silence.
//!
//! So a chunk of 250 ms that straddles two labels, or five, has the label at its centre. The other rule
//! that comes to mind, the label that covers most of the whole chunk, would give a label that is much
//! shorter than the chunk not a single frame. Measured on AN4's training set, aligned in phonemes (median
//! 100 ms, a tenth below 40 ms), with 250 ms every 50 ms: of 12,664 labels 971 have no frame by the middle
//! (those shorter than the hop), 4,356 by the whole chunk. By the middle each label has frames in
//! proportion to its length, whatever the chunk, and what stands around it is context.
//!
//! # What has no target
//! A frame whose label the alphabet lacks has the target [`IGNORED`]: the loss passes over it, and it is
//! counted. Labels without text, and those that the recipe calls silence, are silence.
//!
//! Book: book/src/alignment.md

use crate::clip::ClipFault;
use crate::labels::{Label, LabelTrack};
use crate::loader::LoaderError;
use crate::source::Source;
use labyrinth_signal::FeatureOptions;
use labyrinth_text::{Alphabet, TrackOptions, Units};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The target of a frame whose label the alphabet lacks.
pub const IGNORED: u32 = u32::MAX;

/// The label of silence, which takes the place of the CTC blank.
pub const SILENCE: u32 = 0;

/// What is said from `start` to `end`, in seconds. White space within a label's text is written `_`,
/// because texts of several labels have spaces between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken<'a> {
    /// Seconds from the beginning.
    pub start: f64,
    /// Behind `start`.
    pub end: f64,
    /// Never empty.
    pub name: Cow<'a, str>,
}

/// What a track says, in order of time, without silence and points in time.
///
/// # Errors
/// In words: labels overlap, or it is not told which of several tiers is meant.
pub fn read_spoken<'a>(
    track: &'a LabelTrack,
    options: &TrackOptions,
) -> Result<Vec<Spoken<'a>>, String> {
    let names = || {
        let names = track.tiers.iter().map(|tier| format!("{:?}", tier.name));
        names.collect::<Vec<_>>().join(", ")
    };
    let labels: &[Label] = match (&options.tier, &track.tiers[..]) {
        (_, []) => &[],
        // Formats without tiers have one that has no name.
        (None, [only]) => &only.labels,
        (Some(wanted), [only]) if only.name.is_empty() || only.name == *wanted => &only.labels,
        (Some(wanted), _) => match track.tier(wanted) {
            Some(tier) => &tier.labels,
            None => {
                return Err(format!(
                    "there is no tier {wanted:?} among {}; name one of these in [data.track]",
                    names()
                ));
            }
        },
        (None, several) => {
            return Err(format!(
                "it has {} tiers ({}), and [data.track] names none of them: set tier to one",
                several.len(),
                names()
            ));
        }
    };
    let mut spoken: Vec<(usize, Spoken<'a>)> = Vec::with_capacity(labels.len());
    for (place, label) in labels.iter().enumerate() {
        let silent = options.silence.iter().any(|silence| silence == label.text.trim());
        if let (Some(name), false) = (name(&label.text), silent || label.end <= label.start) {
            spoken.push((place, Spoken { start: label.start, end: label.end, name }));
        }
    }
    spoken.sort_by(|(_, a), (_, b)| a.start.total_cmp(&b.start));
    for pair in spoken.windows(2) {
        let [(earlier, a), (later, b)] = [&pair[0], &pair[1]];
        // As much as writing numbers down with six decimals can bring.
        if b.start < a.end - 2e-6 {
            return Err(format!(
                "label {} ({:?}) starts at {:.3} s, and label {} ({:?}) ends at {:.3} s only: they overlap; \
                 correct the times of one of them",
                later + 1,
                b.name,
                b.start,
                earlier + 1,
                a.name,
                a.end
            ));
        }
    }
    Ok(spoken.into_iter().map(|(_, one)| one).collect())
}

/// A label as a symbol; `None` where there is no text.
fn name(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    match text.contains(char::is_whitespace) {
        _ if text.is_empty() => None,
        false => Some(text.into()),
        true => Some(text.split_whitespace().collect::<Vec<_>>().join("_").into()),
    }
}

/// The text of what is said: the reference for a sequence of labels.
pub fn spoken_text(spoken: &[Spoken<'_>]) -> String {
    spoken.iter().map(|one| &*one.name).collect::<Vec<_>>().join(" ")
}

/// When the output frames of a model are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameGrid {
    /// The centre of output frame 0, in seconds.
    pub first: f64,
    /// Seconds from one to the next.
    pub hop: f64,
}

impl FrameGrid {
    /// Of a model with one output frame for `stride` feature frames.
    pub fn new(features: &FeatureOptions, stride: usize) -> Self {
        let hop = f64::from(features.frame_shift) / 1000.0 * stride as f64;
        Self { first: features.frame_center(0), hop }
    }

    /// The middle of a frame: from and to.
    pub fn middle(&self, frame: usize) -> (f64, f64) {
        let center = self.first + frame as f64 * self.hop;
        (center - 0.5 * self.hop, center + 0.5 * self.hop)
    }
}

/// The target of each of `frames` frames; see the module for the rule. `spoken` is in order of time,
/// without overlaps.
pub fn frame_targets(
    spoken: &[Spoken<'_>],
    alphabet: &Alphabet,
    grid: FrameGrid,
    frames: usize,
) -> Vec<u32> {
    let label = |one: &Spoken<'_>| match alphabet.encode(&one.name).as_deref() {
        Ok([label]) => *label,
        _ => IGNORED,
    };
    let labels: Vec<u32> = spoken.iter().map(label).collect();
    let mut from = 0;
    // ANCHOR: middle
    let target = |frame: usize| {
        let (start, end) = grid.middle(frame);
        while spoken.get(from).is_some_and(|one| one.end <= start) {
            from += 1;
        }
        let (mut best, mut most, mut covered) = (SILENCE, 0.0, 0.0);
        for (one, &label) in spoken[from..].iter().zip(&labels[from..]) {
            if one.start >= end {
                break;
            }
            let share = one.end.min(end) - one.start.max(start);
            covered += share;
            // Beyond rounding, so that the earlier of two halves wins wherever the grid lies.
            if share > most + 1e-9 {
                (best, most) = (label, share);
            }
        }
        // What no label covers is silence.
        if grid.hop - covered > most + 1e-9 { SILENCE } else { best }
    };
    // ANCHOR_END: middle
    (0..frames).map(target).collect()
}

/// What stands in the label tracks of a training.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackContents {
    /// Every label of the tier that the options name, but silence, in code point order.
    pub labels: BTreeSet<String>,
    /// The names of all tiers that have one.
    pub tiers: BTreeSet<String>,
}

impl TrackContents {
    /// Reads all tracks. One that cannot be read adds nothing; loading names it.
    ///
    /// # Errors
    /// [`LoaderError`] where a manifest or the disk fails.
    pub fn read<'a>(
        sources: impl IntoIterator<Item = &'a dyn Source>,
        options: &TrackOptions,
    ) -> Result<Self, LoaderError> {
        let mut contents = Self::default();
        for source in sources {
            for index in 0..source.len() {
                let utterance = source.utterance(index)?;
                // Times do not matter here, and with this rate none of TIMIT's lies past the end.
                match source.labels(&utterance, ANY_RATE) {
                    Ok(Some(track)) => {
                        let spoken = read_spoken(&track, options).unwrap_or_default();
                        contents.labels.extend(spoken.into_iter().map(|one| one.name.into_owned()));
                        let tiers = track.tiers.into_iter().map(|tier| tier.name);
                        contents.tiers.extend(tiers.filter(|name| !name.is_empty()));
                    }
                    Ok(None) | Err(ClipFault::Refused { .. }) => {}
                    Err(ClipFault::Disk { path, source }) => {
                        return Err(LoaderError::Disk { path, source });
                    }
                }
            }
        }
        Ok(contents)
    }

    /// Labels that the options name and that no track says: a slip of the pen, or a rare sound.
    pub fn missing(&self, options: &TrackOptions) -> Vec<String> {
        let wanted = options.labels.iter().filter_map(|label| Some(name(label)?.into_owned()));
        wanted.filter(|label| !self.labels.contains(label)).collect()
    }

    /// The alphabet of a framewise training: the labels that the options name, or all that stand in the tracks,
    /// in code point order.
    pub fn alphabet(&self, units: Units, options: &TrackOptions) -> Alphabet {
        let named = options.labels.iter().filter_map(|label| Some(name(label)?.into_owned()));
        let named: BTreeSet<String> = named.collect();
        let names = if options.labels.is_empty() { &self.labels } else { &named };
        Alphabet::from_transcripts(units, names.iter())
    }
}

/// A sample rate at which no label of TIMIT's lies past the end of its recording, for those who do not know it.
pub(super) const ANY_RATE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Tier;
    use proptest::prelude::*;

    fn spoken(labels: &[(f64, f64, &'static str)]) -> Vec<Spoken<'static>> {
        let one = |&(start, end, name): &(f64, f64, &'static str)| Spoken {
            start,
            end,
            name: name.into(),
        };
        labels.iter().map(one).collect()
    }

    fn alphabet() -> Alphabet {
        Alphabet::from_transcripts(Units::Phonemes, ["a b c"].into_iter())
    }

    /// Chunks of 250 ms every 50 ms: their centres lie at 125, 175, 225 ms…
    #[test]
    fn a_chunk_has_the_label_of_its_middle() {
        let features =
            FeatureOptions { frame_length: 250.0, frame_shift: 50.0, ..FeatureOptions::default() };
        let grid = FrameGrid::new(&features, 1);
        assert!((grid.first - 0.125).abs() < 1e-12 && (grid.hop - 0.05).abs() < 1e-12);
        // Middles: 100-150, 150-200, 200-250, 250-300, 300-350, 350-400 ms
        let labels = spoken(&[
            (0.00, 0.13, "a"),  // 30 ms of the first middle
            (0.13, 0.21, "b"),  // all of the second, 10 ms of the third
            (0.21, 0.22, "c"),  // too short for any frame
            (0.25, 0.275, "a"), // one half of the fourth: as much as the silence, and the label wins
            (0.30, 0.36, "x"),  // outside the alphabet
        ]);
        let targets = frame_targets(&labels, &alphabet(), grid, 6);
        assert_eq!(targets, [1, 2, SILENCE, 1, IGNORED, SILENCE]);
        assert_eq!(spoken_text(&labels), "a b c a x");
        assert_eq!(frame_targets(&[], &alphabet(), grid, 2), [SILENCE, SILENCE]);
    }

    #[test]
    fn of_two_halves_the_earlier_wins() {
        let grid = FrameGrid { first: 0.05, hop: 0.1 };
        let labels =
            spoken(&[(0.0, 0.05, "b"), (0.05, 0.1, "a"), (0.1, 0.14, "c"), (0.14, 0.2, "a")]);
        assert_eq!(frame_targets(&labels, &alphabet(), grid, 2), [2, 1]);
    }

    #[test]
    fn tiers_silences_and_overlaps() {
        let tier = |name: &str, labels: &[(f64, f64, &str)]| Tier {
            name: name.into(),
            labels: labels.iter().map(|&(start, end, text)| Label::new(start, end, text)).collect(),
        };
        let words = tier("words", &[(0.0, 1.0, "a b")]);
        let phones = tier(
            "phones",
            &[
                (0.5, 1.0, " b"),
                (0.0, 0.5, "a"),
                (1.0, 1.0, "c"),
                (1.0, 2.0, "h#"),
                (2.0, 3.0, " "),
            ],
        );
        let both = LabelTrack { tiers: vec![words.clone(), phones.clone()] };
        let options = |tier: Option<&str>| TrackOptions {
            tier: tier.map(str::to_owned),
            silence: vec!["h#".into()],
            labels: vec![],
        };
        let read =
            |tier, track: &LabelTrack| read_spoken(track, &options(tier)).map(|s| spoken_text(&s));
        assert_eq!(read(Some("phones"), &both).unwrap(), "a b");
        assert_eq!(read(Some("words"), &both).unwrap(), "a_b");
        assert!(read(None, &both).unwrap_err().contains("\"words\", \"phones\""));
        assert!(read(Some("notes"), &both).unwrap_err().contains("no tier \"notes\""));
        let one = LabelTrack::single(phones.labels);
        assert_eq!(read(None, &one).unwrap(), "a b");
        assert_eq!(read(Some("phones"), &one).unwrap(), "a b");
        let over = LabelTrack { tiers: vec![tier("", &[(0.0, 0.6, "a"), (0.5, 1.0, "b")])] };
        let reason = read(None, &over).unwrap_err();
        assert!(reason.contains("0.500") && reason.contains("0.600"), "{reason}");
        assert_eq!(read(None, &LabelTrack::default()).unwrap(), "");
    }

    proptest! {
        /// Whatever the hop, a label that is longer than two hops has frames, and the frames of a label
        /// are about its length.
        #[test]
        fn labels_have_frames_in_proportion(
            lengths in prop::collection::vec(0.01_f64..0.5, 1..20),
            hop in 0.005_f64..0.06,
            first in 0.0_f64..0.2,
        ) {
            let names = ["a", "b", "c"];
            let mut at = first;
            let labels: Vec<Spoken<'_>> = lengths.iter().enumerate().map(|(index, length)| {
                let start = at;
                at += length;
                Spoken { start, end: at, name: names[index % 3].into() }
            }).collect();
            let grid = FrameGrid { first: first + 0.5 * hop, hop };
            let frames = (lengths.iter().sum::<f64>() / hop) as usize;
            let targets = frame_targets(&labels, &alphabet(), grid, frames);
            prop_assert!(!targets.contains(&IGNORED) && !targets.contains(&SILENCE));
            for label in 1..=3_u32 {
                let seconds: f64 = lengths.iter().skip(label as usize - 1).step_by(3).sum();
                let parts = lengths.iter().skip(label as usize - 1).step_by(3).count() as f64;
                let found = targets.iter().filter(|&&target| target == label).count() as f64 * hop;
                prop_assert!((found - seconds).abs() <= 2.0 * hop * (parts + 1.0));
            }
        }
    }
}
