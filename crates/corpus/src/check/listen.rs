//! Decodes every recording, on all cores, and says what is wrong with each by itself.

use super::error::CheckError;
use super::finding::{Finding, FindingKind, Severity, plural};
use super::sound::{SILENCE_DB, Sound, measure};
use super::survey::Set;
use crate::Progress;
use crate::clip::{ClipFault, read_clip};
use crate::features::{options_digest, read_stored_features, stored_features};
use crate::labels::{LabelTrack, read_labels};
use crate::ledger::Reason;
use crate::manifest::{Manifest, Utterance};
use crate::parallel::try_map;
use crate::shard::stored_options;

/// How far a manifest's duration may be off, in seconds.
pub(super) const DURATION_TOLERANCE: f64 = 0.1;

/// Below this the loudest stretch is suspiciously soft.
const QUIET_DB: f32 = -50.0;

/// This share of clipped samples makes a recording clipped.
const CLIPPED_SHARE: f32 = 0.001;

/// A mean of so much of full scale is a fault where it is also this share of the level.
const OFFSET: f32 = 0.01;
const OFFSET_SHARE: f32 = 0.3;

/// A mix so much softer than the louder channel is cancellation: in 6 dB the other may just be silent.
const CANCELLED_DB: f32 = 20.0;

/// Two channels that agree less are two sounds.
const SAME_SOUND: f32 = 0.8;

/// So many seconds in which nothing moves are a gap.
const GAP: f32 = 0.2;

/// This share of silence at the ends, in a recording of at least so many seconds.
const SILENT_SHARE: f64 = 0.75;
const SILENT_SECONDS: f64 = 3.0;

/// Speech of so many seconds has pauses this much softer than its vowels.
const CONTRAST_DB: f32 = 6.0;
const CONTRAST_SECONDS: f64 = 1.0;

const VERY_SHORT: f64 = 0.1;
const VERY_LONG: f64 = 40.0;

/// What became of one utterance: its sound (none where a shard holds its features) and what is wrong with
/// its labels, or why it cannot be had.
type Heard = Result<(Option<Sound>, Vec<(Severity, FindingKind, String)>), (Reason, String)>;

/// Decodes everything.
pub(super) fn listen(
    sets: &mut [Set],
    findings: &mut Vec<Finding>,
    progress: Progress<'_>,
) -> Result<(), CheckError> {
    let all: Vec<(&Manifest, &Utterance)> = sets
        .iter()
        .flat_map(|set| set.manifest.utterances.iter().map(|u| (&set.manifest, u)))
        .collect();
    let heard = try_map(&all, |(manifest, utterance)| hear(manifest, utterance), progress)?;
    let mut heard = heard.into_iter();
    for set in &mut *sets {
        let Set { name, manifest, sounds, .. } = set;
        for utterance in &manifest.utterances {
            let mut report = |severity, kind, detail| {
                findings.push(Finding::of_one(severity, kind, name, &utterance.id, detail));
            };
            match heard.next() {
                Some(Ok((sound, labels))) => {
                    if let Some(sound) = &sound {
                        judge(utterance, sound, &mut report);
                    }
                    for (severity, kind, detail) in labels {
                        report(severity, kind, detail);
                    }
                    sounds.push(sound);
                }
                Some(Err((reason, detail))) => {
                    report(Severity::Error, FindingKind::of(reason), detail);
                    sounds.push(None);
                }
                None => sounds.push(None),
            }
        }
    }
    for set in &*sets {
        lengths(set, findings);
    }
    Ok(())
}

fn hear(manifest: &Manifest, utterance: &Utterance) -> Result<Heard, CheckError> {
    if stored_features(utterance).is_some() {
        return read(manifest, utterance);
    }
    let audio = match read_clip(manifest.folder(), utterance) {
        Ok(audio) => audio,
        Err(fault) => return to_tell(fault, Reason::UnreadableAudio).map(Err),
    };
    let labels = labels_of(manifest, utterance, audio.sample_rate)?;
    Ok(Ok((Some(measure(&audio)), labels)))
}

fn labels_of(
    manifest: &Manifest,
    utterance: &Utterance,
    sample_rate: u32,
) -> Result<Vec<(Severity, FindingKind, String)>, CheckError> {
    Ok(match read_labels(manifest.folder(), utterance, sample_rate) {
        Ok(track) => track.as_ref().and_then(overlap).into_iter().collect(),
        Err(fault) => {
            let (reason, detail) = to_tell(fault, Reason::UnusableLabels)?;
            vec![(Severity::Error, FindingKind::of(reason), detail)]
        }
    })
}

/// What can be said of features without their sound: the digest is that of the manifest, the bytes are a
/// matrix of its size, and its labels can be read. How long it lasts is for [`lengths`].
fn read(manifest: &Manifest, utterance: &Utterance) -> Result<Heard, CheckError> {
    if let Err(fault) = read_stored_features(manifest.folder(), utterance) {
        return to_tell(fault, Reason::UnreadableAudio).map(Err);
    }
    // They are stored in seconds: any rate will do.
    Ok(Ok((None, labels_of(manifest, utterance, 1)?)))
}

/// Frames of stored features against the duration in the line, where the list of the shards tells how long
/// a frame is; and how many of a set could not be listened to.
fn lengths(set: &Set, findings: &mut Vec<Finding>) {
    let count = set.read_as_features().count();
    if count == 0 {
        return;
    }
    let options = stored_options(&set.manifest.path).map(|(_, options)| options);
    let options = options.map(|options| (options_digest(&options), options));
    let mut unknown = 0;
    for utterance in set.read_as_features() {
        let Some(stored) = stored_features(utterance) else { continue };
        let Some((_, options)) = options.as_ref().filter(|(digest, _)| *digest == stored.options)
        else {
            unknown += 1;
            continue;
        };
        // Frames stand a shift apart, and the ends of the recording hold fewer than a frame's length.
        let shift = f64::from(options.frame_shift) / 1000.0;
        let (seconds, said) = (stored.frames as f64 * shift, utterance.duration);
        let edge = f64::from(options.frame_length) / 1000.0;
        if (seconds - said).abs() > DURATION_TOLERANCE + edge {
            let detail = format!(
                "the manifest says {said} s, its {} frames of features last {seconds:.3} s",
                stored.frames
            );
            let (severity, kind) = (Severity::Error, FindingKind::WrongDuration);
            findings.push(Finding::of_one(severity, kind, &set.name, &utterance.id, detail));
        }
    }
    let mut detail = format!(
        "{count} of {} are features in shards: their bytes were read, and nobody can say whether they are \
         silent, clipped, cut or the same sound",
        plural(set.manifest.utterances.len(), "utterance")
    );
    if unknown > 0 {
        detail += &format!(
            "; for {unknown} the list of the shards (.shards.json) does not tell how long a frame is, so \
             durations were not compared"
        );
    }
    findings.push(Finding::of_set(Severity::Warning, FindingKind::NoSound, &set.name, detail));
}

/// What is told of a fault; only a failing disk ends the check. A shard that was cut or replaced stops a
/// training, and here all that it spoils is told, as `spoilt`.
fn to_tell(fault: ClipFault, spoilt: Reason) -> Result<(Reason, String), CheckError> {
    match fault {
        ClipFault::Refused { reason, detail } => Ok((reason, detail)),
        ClipFault::Disk { path, source } if source.raw_os_error().is_none() => {
            Ok((spoilt, format!("{}: {source}", path.display())))
        }
        ClipFault::Disk { path, source } => Err(CheckError::Disk { path, source }),
    }
}

/// The first two labels of a tier that overlap by more than rounding, where the format allows it.
fn overlap(track: &LabelTrack) -> Option<(Severity, FindingKind, String)> {
    for tier in &track.tiers {
        let mut sorted: Vec<_> = tier.labels.iter().collect();
        sorted.sort_by(|a, b| a.start.total_cmp(&b.start));
        for pair in sorted.windows(2) {
            if pair[1].start < pair[0].end - 1e-3 {
                let detail = format!(
                    "{:?} begins at {:.3} s, and {:?} lasts until {:.3} s",
                    pair[1].text, pair[1].start, pair[0].text, pair[0].end
                );
                return Some((Severity::Warning, FindingKind::OverlappingLabels, detail));
            }
        }
    }
    None
}

/// The faults of one recording by itself, and against its line.
fn judge(
    utterance: &Utterance,
    sound: &Sound,
    report: &mut impl FnMut(Severity, FindingKind, String),
) {
    use FindingKind::*;
    use Severity::{Error, Warning};
    if (utterance.duration - sound.seconds).abs() > DURATION_TOLERANCE {
        let (said, seconds) = (utterance.duration, sound.seconds);
        let detail = format!("the manifest says {said} s, the audio lasts {seconds:.3} s");
        report(Error, WrongDuration, detail);
    }
    if sound.seconds < VERY_SHORT {
        report(Warning, VeryShortAudio, format!("it lasts {:.3} s", sound.seconds));
    }
    if sound.seconds > VERY_LONG {
        report(Warning, VeryLongAudio, format!("it lasts {:.1} s", sound.seconds));
    }
    if sound.is_silent() {
        let detail = match sound.constant {
            true => "every sample is the same".to_owned(),
            false => {
                let level = sound.loudest_channel_db;
                format!("its loudest 25 ms lie at {level:.0} dB of full scale")
            }
        };
        // Whatever else is measured on silence says nothing.
        return report(Error, SilentAudio, detail);
    }
    if judge_channels(sound, report) {
        return;
    }
    if sound.loudest_channel_db < QUIET_DB {
        let level = sound.loudest_channel_db;
        let detail = format!("its loudest 25 ms lie at {level:.0} dB of full scale");
        report(Warning, QuietAudio, detail);
    }
    if sound.clipped >= CLIPPED_SHARE {
        let share = 100.0 * sound.clipped;
        report(Warning, ClippedAudio, format!("{share:.2} % of its samples are cut at full scale"));
    }
    let level = 10f32.powf(sound.level_db / 20.0);
    if sound.offset > OFFSET && sound.offset > OFFSET_SHARE * level {
        let detail = format!(
            "its samples swing around {:.3} of full scale, with a level of {:.3}",
            sound.offset, level
        );
        report(Warning, DcOffset, detail);
    }
    let [gap, place] = sound.stands_still;
    if gap >= GAP {
        let detail = format!("from {place:.2} s on the sound stands still for {gap:.2} s");
        report(Warning, Dropout, detail);
    }
    let [before, after] = sound.silence;
    let silent = f64::from(before + after);
    if sound.seconds >= SILENT_SECONDS && silent > SILENT_SHARE * sound.seconds {
        let seconds = sound.seconds;
        let detail = format!(
            "{before:.1} s before and {after:.1} s after the speech of {seconds:.1} s are silent"
        );
        report(Warning, MostlySilence, detail);
    }
    if sound.speech() >= CONTRAST_SECONDS && sound.contrast_db < CONTRAST_DB {
        let contrast = sound.contrast_db;
        report(Warning, SteadySound, format!("its loud and soft parts are {contrast:.1} dB apart"));
    }
    if let Some(edge) = sound.band_edge {
        let rate = sound.sample_rate;
        let detail = format!("at {rate} Hz it holds next to nothing above {edge:.0} Hz");
        report(Warning, NarrowBand, detail);
    }
}

/// Whether what is left of the channels when they are mixed says nothing.
fn judge_channels(sound: &Sound, report: &mut impl FnMut(Severity, FindingKind, String)) -> bool {
    let (loud, soft) = (sound.loudest_channel_db, sound.softest_channel_db);
    if sound.channels < 2 {
        return false;
    }
    if soft < SILENCE_DB && soft < loud - CANCELLED_DB {
        let detail = format!("one channel has {}, another {}", spell(loud), spell(soft));
        report(Severity::Warning, FindingKind::DeadChannel, detail);
    } else if sound.loudest_db < loud - CANCELLED_DB {
        let (loud, mixed) = (spell(loud), spell(sound.loudest_db));
        let detail = format!("a channel has {loud}, the mean of all {mixed}");
        report(Severity::Error, FindingKind::CancellingChannels, detail);
        return true;
    } else if sound.correlation < SAME_SOUND {
        let correlation = sound.correlation;
        let detail =
            format!("of {} channels the first two correlate by {correlation:.2}", sound.channels);
        report(Severity::Warning, FindingKind::DifferingChannels, detail);
    }
    false
}

/// A level in words; below the last step of 24 bits there is none.
fn spell(decibels: f32) -> String {
    if decibels < -150.0 { "no signal".to_owned() } else { format!("{decibels:.0} dB") }
}
