//! The labels of one utterance of a manifest, and their faults as the ledger wants them.

use super::{LabelError, LabelFault, LabelFormat, LabelTrack, Recording};
use crate::clip::{ClipFault, fault_of_one_file};
use crate::ledger::Reason;
use crate::manifest::Utterance;
use std::path::{Path, PathBuf};

/// Reads the label track of an utterance whose audio has `sample_rate`; `None` where it has none. For
/// an utterance that is a section of its file, times count from the section's beginning.
///
/// # Errors
/// [`ClipFault::Refused`] where the track is missing or broken: it goes to the ledger.
/// [`ClipFault::Disk`] where the disk fails, and where its bytes of a shard cannot be had.
pub fn read_labels(
    folder: &Path,
    utterance: &Utterance,
    sample_rate: u32,
) -> Result<Option<LabelTrack>, ClipFault> {
    let Some(labels) = &utterance.labels else { return Ok(None) };
    let audio = folder.join(&utterance.audio_filepath);
    // The end of the file is only known where the file is the utterance.
    let seconds = utterance.offset.is_none().then_some(utterance.duration);
    let track = match &utterance.labels_shard {
        Some(range) => {
            let path = range.name_of(folder, labels);
            let bytes = range.read(folder)?;
            let content = |recording: &Recording<'_>| parse(&path, &bytes, recording);
            read_with(content, &utterance.id, &audio, Some(sample_rate), seconds)?
        }
        None => read_for(&folder.join(labels), &utterance.id, &audio, Some(sample_rate), seconds)?,
    };
    Ok(Some(match utterance.offset {
        Some(offset) => track.section(offset, utterance.duration),
        None => track,
    }))
}

/// Reads a label track of the file `audio`, in which the utterance `id` lies.
pub(crate) fn read_for(
    path: &Path,
    id: &str,
    audio: &Path,
    sample_rate: Option<u32>,
    seconds: Option<f64>,
) -> Result<LabelTrack, ClipFault> {
    read_with(|recording| LabelTrack::read(path, recording), id, audio, sample_rate, seconds)
}

/// The content of a label track that is called `path`.
fn parse(path: &Path, bytes: &[u8], recording: &Recording<'_>) -> Result<LabelTrack, LabelError> {
    let path = || PathBuf::from(path);
    let format = LabelFormat::of(&path()).ok_or_else(|| LabelError::Unknown { path: path() })?;
    LabelTrack::parse(bytes, format, recording)
        .map_err(|LabelFault { line, reason }| LabelError::Line { path: path(), line, reason })
}

fn read_with(
    read: impl FnOnce(&Recording<'_>) -> Result<LabelTrack, LabelError>,
    id: &str,
    audio: &Path,
    sample_rate: Option<u32>,
    seconds: Option<f64>,
) -> Result<LabelTrack, ClipFault> {
    let name = |name: Option<&std::ffi::OsStr>| {
        name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let (stem, file) = (name(audio.file_stem()), name(audio.file_name()));
    let names = [id, stem.as_str(), file.as_str()];
    read(&Recording { sample_rate, seconds, names: &names }).map_err(|error| {
        let reason = match &error {
            LabelError::Missing { .. } => Reason::MissingLabels,
            _ => Reason::UnusableLabels,
        };
        match error {
            LabelError::Read { path, source } => match fault_of_one_file(&source) {
                Some(fault) => {
                    ClipFault::Refused { reason, detail: format!("{} {fault}", path.display()) }
                }
                None => ClipFault::Disk { path, source },
            },
            other => ClipFault::Refused { reason, detail: other.to_string() },
        }
    })
}
