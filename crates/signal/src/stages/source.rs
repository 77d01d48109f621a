//! Where a recipe takes the sums of a corpus from: written out, or a file that is read once.
//!
//! Sums are hundreds of numbers that a program computed, so a recipe names the file that holds them,
//! as `compute-cmvn-stats` writes it. What is kept (the recipe of a run, a model file) has the sums
//! themselves: [`FeatureOptions::read_stats`] puts them in the file's place before anything is computed.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{CmnOptions, CmvnStats};
use crate::feature_options::{FeatureError, FeatureOptions};
use crate::formats::read_kaldi;

/// `stats` of a recipe's `cmn`: `stats = "an4.cmvn"` or `stats = { count, sums, squares }`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CmvnSource {
    /// The sums themselves.
    Sums(CmvnStats),
    /// The file that holds them, a matrix of Kaldi's; nothing can be computed before it is read.
    File(PathBuf),
}

impl CmvnSource {
    /// The sums, of at least one frame of `dim` numbers.
    pub(crate) fn sums(&self, dim: usize) -> Result<&CmvnStats, FeatureError> {
        match self {
            CmvnSource::Sums(stats) => {
                stats.check(dim)?;
                Ok(stats)
            }
            CmvnSource::File(path) => {
                let reason =
                    "names a file that was not read; call FeatureOptions::read_stats first";
                Err(FeatureError::new("stats", path.display(), reason))
            }
        }
    }

    /// Puts the sums in the place of the file that holds them.
    fn read(&mut self, folder: &Path) -> Result<(), FeatureError> {
        let CmvnSource::File(path) = self else { return Ok(()) };
        let path = folder.join(path);
        let refused = |reason: String| FeatureError::new("stats", path.display(), reason);
        let array = read_kaldi(&path, 0).map_err(|error| {
            refused(format!(
                "holds no statistics: {error} (labyrinth features … --cmvn-stats FILE makes them)"
            ))
        })?;
        let stats = CmvnStats::from_array(&array)
            .map_err(|error| refused(format!("holds no statistics: {error}")))?;
        *self = CmvnSource::Sums(stats);
        Ok(())
    }
}

impl FeatureOptions {
    /// Reads the file of sums that `cmn` names, if it names one, relative to `folder`, and puts the
    /// sums in its place.
    ///
    /// # Errors
    /// [`FeatureError`] if the file cannot be read or holds something else.
    pub fn read_stats(&mut self, folder: &Path) -> Result<(), FeatureError> {
        match &mut self.cmn {
            Some(CmnOptions::Global(options)) => options.stats.read(folder),
            Some(CmnOptions::Online(options)) => options.stats.read(folder),
            Some(CmnOptions::Sliding(_)) | None => Ok(()),
        }
    }
}

// Written by hand: serde's own for an untagged enum says of a mistake only that nothing matched.
impl<'de> Deserialize<'de> for CmvnSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Source;
        impl<'de> Visitor<'de> for Source {
            type Value = CmvnSource;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a file of CMVN statistics")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<CmvnSource, E> {
                Ok(CmvnSource::File(path.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CmvnSource, A::Error> {
                CmvnStats::deserialize(MapAccessDeserializer::new(map)).map(CmvnSource::Sums)
            }
        }
        deserializer.deserialize_any(Source)
    }
}
