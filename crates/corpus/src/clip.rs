//! The one place where the audio of a manifest's line is read, and its faults told apart.
//!
//! A loose file that cannot be had is the fault of its utterance. A range of a tar shard that cannot be
//! had (the shard missing, cut, replaced) never is: the shard was whole when it was written, hundreds of
//! utterances depend on it, and to leave them out one by one would be to lose data in silence.

use crate::features::stored_features;
use crate::ledger::Reason;
use crate::manifest::Utterance;
use labyrinth_signal::{
    Audio, AudioError, RawFormat, decode_audio, is_special_file, read_audio, read_audio_section,
};
use std::borrow::Cow;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Why the audio of an utterance could not be had.
#[derive(Debug)]
pub enum ClipFault {
    /// A fault of this one utterance: it goes to the ledger.
    Refused {
        /// The code.
        reason: Reason,
        /// In words.
        detail: String,
    },
    /// A fault of the disk, or of a shard: it stops the run.
    Disk {
        /// The file that was read.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
}

/// What to say where reading stopped a run: the system's reason with the way out, or the reason alone where
/// it is our own sentence (of a shard that was cut short, say), which holds its way out.
pub fn reading_failed(path: &Path, source: &io::Error, way_out: &str) -> String {
    let path = path.display();
    match source.raw_os_error() {
        Some(_) => format!("{path} cannot be read ({source}); {way_out}"),
        None => format!("{path} cannot be read: {source}"),
    }
}

/// Reads a whole audio file.
///
/// # Errors
/// [`ClipFault::Refused`] where the file is missing, is no regular file, may not be read, cannot be
/// decoded or holds no samples;
/// [`ClipFault::Disk`] where the disk fails.
pub fn read_file(path: &Path, raw: Option<&RawFormat>) -> Result<Audio, ClipFault> {
    guarded(path, || read_audio(path, raw))
}

/// Why this one file cannot be read although the disk is sound: it completes the sentence "`file` ...".
/// `None` where the disk itself is to blame, which stops a run.
pub(crate) fn fault_of_one_file(error: &io::Error) -> Option<&'static str> {
    // The standard library's own kind for a loop of links is not stable yet.
    let too_many_links = if cfg!(any(target_os = "linux", target_os = "android")) {
        40
    } else if cfg!(windows) {
        1921
    } else {
        62
    };
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Some("is not there, or is a link to nothing")
        }
        io::ErrorKind::PermissionDenied => Some("may not be read; change its permissions"),
        _ if error.raw_os_error() == Some(too_many_links) => {
            Some("is a link that leads back to itself")
        }
        _ => None,
    }
}

/// Reads the audio of one utterance of a manifest in `folder`: its file, or its bytes of a shard, cut to
/// `offset` and `duration` where there is an offset, and to its channel where its line names one.
///
/// # Errors
/// As [`read_file`], and [`Reason::OffsetPastEnd`] where the offset lies at or past the end of the
/// file, or the utterance ends past it by more than the rounding that `labyrinth-signal` allows.
pub fn read_clip(folder: &Path, utterance: &Utterance) -> Result<Audio, ClipFault> {
    let audio = read_every_channel(folder, utterance)?;
    if utterance.channel().is_none() {
        return Ok(audio);
    }
    channel_of(&audio, folder, utterance).map(Cow::into_owned)
}

/// The channel of the audio that is the utterance; all where its line names none, and where there is one.
///
/// # Errors
/// [`ClipFault::Refused`] where there is no such channel.
pub(crate) fn channel_of<'a>(
    audio: &'a Audio,
    folder: &Path,
    utterance: &Utterance,
) -> Result<Cow<'a, Audio>, ClipFault> {
    let count = audio.channels.len();
    let Some(channel) = utterance.channel().filter(|_| count > 1) else {
        return Ok(Cow::Borrowed(audio));
    };
    match audio.channels.get(channel) {
        Some(samples) => {
            let (sample_rate, channels) = (audio.sample_rate, vec![samples.clone()]);
            Ok(Cow::Owned(Audio { sample_rate, channels }))
        }
        None => Err(ClipFault::Refused {
            reason: Reason::UnreadableAudio,
            detail: format!(
                "{} has {count} channel{}, and its line names channel {channel}, counted from 0",
                folder.join(&utterance.audio_filepath).display(),
                if count == 1 { "" } else { "s" }
            ),
        }),
    }
}

/// As [`read_clip`], whatever channel is the utterance.
pub(crate) fn read_every_channel(folder: &Path, utterance: &Utterance) -> Result<Audio, ClipFault> {
    if stored_features(utterance).is_some() {
        return Err(no_sound(folder, utterance));
    }
    if let Some(range) = &utterance.shard {
        let bytes = range.read(folder)?;
        let audio =
            decode_clip(bytes, &range.name_of(folder, &utterance.audio_filepath), utterance)?;
        return cut(audio, folder, utterance);
    }
    let path = folder.join(&utterance.audio_filepath);
    let raw = utterance.raw_format();
    let Some(offset) = utterance.offset else { return read_file(&path, raw.as_ref()) };
    let duration = utterance.duration;
    if duration == 0.0 {
        return Err(no_duration());
    }
    let section =
        guarded(&path, || read_audio_section(&path, raw.as_ref(), offset, Some(duration)));
    match section {
        // Only if the file as a whole is sound do offset and duration bear the blame.
        Err(ClipFault::Refused { reason: Reason::UnreadableAudio, detail }) => {
            read_file(&path, raw.as_ref())?;
            Err(ClipFault::Refused { reason: Reason::OffsetPastEnd, detail })
        }
        other => other,
    }
}

/// Reads the bytes of a loose audio file.
///
/// # Errors
/// As [`read_file`].
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, ClipFault> {
    let refused = |reason, fault: &str| ClipFault::Refused {
        reason,
        detail: format!("{} {fault}", path.display()),
    };
    if is_special_file(path) {
        let fault = "is a pipe or a device; save the recording as a file and name that";
        return Err(refused(Reason::UnreadableAudio, fault));
    }
    std::fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            refused(Reason::MissingAudio, "is not there")
        }
        io::ErrorKind::IsADirectory => refused(Reason::UnreadableAudio, "is a folder"),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => {
            refused(Reason::UnreadableAudio, "cannot be the name of a file")
        }
        _ => match fault_of_one_file(&source) {
            Some(fault) => refused(Reason::UnreadableAudio, fault),
            None => ClipFault::Disk { path: path.to_owned(), source },
        },
    })
}

/// Decodes the bytes of an utterance's audio; `name` is used for messages alone.
///
/// # Errors
/// [`ClipFault::Refused`].
pub(crate) fn decode_clip(
    bytes: Vec<u8>,
    name: &Path,
    utterance: &Utterance,
) -> Result<Audio, ClipFault> {
    guarded(name, || decode_audio(bytes, name, utterance.raw_format().as_ref()))
}

/// Cuts a whole recording down to the utterance, where that is a section of it.
///
/// # Errors
/// [`ClipFault::Refused`] where there is no such section.
pub(crate) fn cut(audio: Audio, folder: &Path, utterance: &Utterance) -> Result<Audio, ClipFault> {
    let Some(offset) = utterance.offset else { return Ok(audio) };
    section_of(&audio, offset, &folder.join(&utterance.audio_filepath), utterance)
}

/// The section of a decoded recording that is the utterance.
pub(crate) fn section_of(
    audio: &Audio,
    offset: f64,
    name: &Path,
    utterance: &Utterance,
) -> Result<Audio, ClipFault> {
    if utterance.duration == 0.0 {
        return Err(no_duration());
    }
    audio.section(offset, utterance.duration).map_err(|fault| {
        let detail = format!("`{}` {fault}", name.display());
        ClipFault::Refused { reason: Reason::OffsetPastEnd, detail }
    })
}

/// Features are no sound.
pub(crate) fn no_sound(folder: &Path, utterance: &Utterance) -> ClipFault {
    let member = utterance.audio_filepath.as_str();
    let name = match &utterance.shard {
        Some(range) => range.name_of(folder, member),
        None => folder.join(member),
    };
    let detail = format!("{} holds features and no sound", name.display());
    ClipFault::Refused { reason: Reason::UnreadableAudio, detail }
}

fn no_duration() -> ClipFault {
    let detail = "the manifest gives it a duration of 0 s".to_owned();
    ClipFault::Refused { reason: Reason::EmptyAudio, detail }
}

/// Runs a decoder and sorts its errors. Decoders are large and read foreign bytes: should one of them
/// panic, one utterance is lost and named, and the run goes on.
fn guarded(
    path: &Path,
    read: impl FnOnce() -> Result<Audio, AudioError>,
) -> Result<Audio, ClipFault> {
    let (reason, detail) = match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(audio)) if audio.samples() > 0 => return Ok(audio),
        Ok(Err(AudioError::Disk { path, source })) => match fault_of_one_file(&source) {
            Some(fault) => (Reason::UnreadableAudio, format!("{} {fault}", path.display())),
            None => return Err(ClipFault::Disk { path, source }),
        },
        Ok(Ok(_)) => (Reason::EmptyAudio, format!("{} has no samples", path.display())),
        Ok(Err(AudioError::Missing { path })) => {
            (Reason::MissingAudio, format!("{} is not there", path.display()))
        }
        Ok(Err(AudioError::Unusable { path, reason })) => {
            let empty = reason.contains("no samples") || reason.starts_with("is empty");
            let code = if empty { Reason::EmptyAudio } else { Reason::UnreadableAudio };
            (code, format!("{} {reason}", path.display()))
        }
        Err(_) => (Reason::UnreadableAudio, format!("{} made its decoder panic", path.display())),
    };
    Err(ClipFault::Refused { reason, detail })
}
