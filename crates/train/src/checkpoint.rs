//! All that a training needs to go on exactly, written so that no crash can take it away.
//!
//! A checkpoint is written under a temporary name, flushed to the disk and renamed; the one
//! before it goes only after that. A full disk or a `kill -9` at any moment leaves at least one
//! that is whole. Each is a safetensors file whose digest is checked when it is read; a damaged
//! one is passed over for its predecessor.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use labyrinth_corpus::Position;
use labyrinth_corpus::atomic::write_atomically;
use labyrinth_nn::Parameters;
use labyrinth_nn::model_file::{hexadecimal, read_tensors, write_tensors};
use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::TrainError;

/// How many checkpoints stay on the disk.
const KEPT: usize = 2;
const METADATA_KEY: &str = "labyrinth-checkpoint";

/// Where a training stands, beside its tensors.
///
/// Sums of floating-point numbers are kept as their bits: text would round them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Optimiser steps done.
    pub step: u64,
    /// The next batch.
    pub position: Position,
    /// Bits of the sum of this epoch's losses so far.
    pub loss_bits: u64,
    /// Utterances behind that sum.
    pub loss_utterances: u64,
    /// Steps skipped for a gradient that was not finite.
    pub skipped: u64,
    /// Of these, the last ones in a row.
    pub skipped_in_a_row: u64,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// Instruction set that computed it.
    pub instruction_set: String,
    /// SHA-256 of the training manifest.
    pub train_digest: String,
    /// SHA-256 of the dev manifest.
    pub dev_digest: String,
    /// Digest of the recordings that are mixed into the speech; empty where there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recordings_digest: String,
    /// Digest of the pretrained weights that it began with; empty where there were none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pretrained_digest: String,
    /// Optimiser steps done when each stage that was frozen began to train.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thawed: BTreeMap<String, u64>,
    /// SHA-256 of the lexicons; empty where there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lexicon_digest: String,
    /// Frames or targets of this epoch that taught nothing.
    #[serde(default)]
    pub passed_over: u64,
    /// Bytes of the run log.
    pub log_length: u64,
}

/// The epoch whose weights `model.safetensors` holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epochs finished then.
    pub epoch: u64,
    /// Word errors on dev.
    pub word_errors: usize,
    /// Bits of the dev loss, which decides between equals.
    pub loss_bits: u64,
}

/// The tensors of a training, as groups in one arena each.
pub struct Tensors<'a> {
    /// Weights.
    pub parameters: &'a mut Parameters<f32>,
    /// Running statistics.
    pub buffers: &'a mut Parameters<f32>,
    /// AdamW's mean of gradients.
    pub first_moment: &'a mut Parameters<f32>,
    /// AdamW's mean of squared gradients.
    pub second_moment: &'a mut Parameters<f32>,
    /// Running means of weights and running statistics, where the recipe wants them.
    pub average: Option<[&'a mut Parameters<f32>; 2]>,
}

impl Tensors<'_> {
    fn groups(&self) -> Vec<(&'static str, &Parameters<f32>)> {
        let mut groups = vec![
            ("parameters/", &*self.parameters),
            ("buffers/", &*self.buffers),
            ("first-moment/", &*self.first_moment),
            ("second-moment/", &*self.second_moment),
        ];
        if let Some([parameters, buffers]) = &self.average {
            groups.extend([("average/", &**parameters), ("average-buffers/", &**buffers)]);
        }
        groups
    }

    fn groups_mut(&mut self) -> Vec<(&'static str, &mut Parameters<f32>)> {
        let mut groups = vec![
            ("parameters/", &mut *self.parameters),
            ("buffers/", &mut *self.buffers),
            ("first-moment/", &mut *self.first_moment),
            ("second-moment/", &mut *self.second_moment),
        ];
        if let Some([parameters, buffers]) = &mut self.average {
            groups.extend([("average/", &mut **parameters), ("average-buffers/", &mut **buffers)]);
        }
        groups
    }

    fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for (_, group) in self.groups() {
            for value in &group.values {
                digest.update(value.to_le_bytes());
            }
        }
        hexadecimal(&digest.finalize())
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    standing: Standing,
    digest: String,
}

/// Writes a checkpoint into `folder`, then removes all but the newest two.
pub fn write(folder: &Path, standing: &Standing, tensors: &Tensors<'_>) -> Result<(), TrainError> {
    let header = Header { standing: standing.clone(), digest: tensors.digest() };
    let text = serde_json::to_string(&header)
        .map_err(|error| labyrinth_nn::ModelFileError::Serialise(error.to_string()))?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), text)]);
    let bytes = write_tensors(&tensors.groups(), metadata)?;
    let path = folder.join(format!("step-{:09}.safetensors", standing.step));
    write_atomically(&path, |file| file.write_all(&bytes)).map_err(TrainError::write(&path))?;
    for old in list(folder)?.iter().skip(KEPT) {
        fs::remove_file(old).map_err(TrainError::write(old))?;
    }
    Ok(())
}

/// Reads the newest checkpoint of `folder` that is whole; `None` where there is none at all.
///
/// `damaged` is told of each one that was passed over.
pub fn read_newest(
    folder: &Path,
    tensors: &mut Tensors<'_>,
    mut damaged: impl FnMut(&Path, &str),
) -> Result<Option<Standing>, TrainError> {
    let mut newest_fault = None;
    for path in list(folder)? {
        let bytes = fs::read(&path).map_err(TrainError::read(&path))?;
        match read(&bytes, tensors) {
            Ok(standing) => return Ok(Some(standing)),
            Err(reason) => {
                damaged(&path, &reason);
                newest_fault.get_or_insert(reason);
            }
        }
    }
    match newest_fault {
        None => Ok(None),
        Some(reason) => Err(TrainError::Checkpoint { path: folder.into(), reason }),
    }
}

fn read(bytes: &[u8], tensors: &mut Tensors<'_>) -> Result<Standing, String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let text = metadata
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(METADATA_KEY))
        .ok_or("it has no checkpoint header")?;
    let header: Header = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    for (prefix, group) in tensors.groups_mut() {
        read_tensors(&file, prefix, group)?;
    }
    if tensors.digest() != header.digest {
        return Err("its values do not match their digest".into());
    }
    Ok(header.standing)
}

/// Checkpoints of a folder, newest first.
fn list(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(TrainError::read(folder))? {
        let path = entry.map_err(TrainError::read(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("step-") && name.ends_with(".safetensors") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.reverse();
    Ok(paths)
}
