//! The features of one utterance, as the member of a shard that stands in the place of its audio.

use super::{ShardDigest, ShardError, ShardFeatures};
use crate::clip::ClipFault;
use crate::features::{FeatureBits, StoredFeatures, encode, options_digest};
use crate::ledger::Reason;
use crate::loader::{RateConverter, shorter_than_a_frame};
use labyrinth_signal::{Audio, FeatureExtractor};
use std::path::Path;

/// Computes what is stored in the place of audio.
pub(super) struct FeatureMaker {
    extractor: FeatureExtractor,
    bits: FeatureBits,
    digest: ShardDigest,
    rate: RateConverter,
}

impl FeatureMaker {
    /// # Errors
    /// [`ShardError::Options`] names the option that cannot be followed.
    pub(super) fn new(features: &ShardFeatures) -> Result<Self, ShardError> {
        let extractor = FeatureExtractor::new(&features.options.without_stages())?;
        Ok(Self {
            rate: RateConverter::new(extractor.sample_rate()),
            bits: features.bits,
            digest: options_digest(&features.options),
            extractor,
        })
    }

    /// As the loader does it: the mean of the channels, resampled, with the dither of this utterance.
    ///
    /// # Errors
    /// [`ClipFault::Refused`] where there is not one frame, or the rate is refused.
    pub(super) fn make(
        &mut self,
        id: &str,
        key: &str,
        audio: &Audio,
    ) -> Result<(Vec<u8>, StoredFeatures), ClipFault> {
        let options = self.extractor.options();
        let refused = |reason, detail| Err(ClipFault::Refused { reason, detail });
        if let Err(error) = options.check_rate(audio.sample_rate) {
            return refused(Reason::SampleRate, error.to_string());
        }
        let samples = self.rate.convert(audio.mono(), audio.sample_rate);
        let frames = self.extractor.frame_count(samples.len());
        if frames == 0 {
            let detail = shorter_than_a_frame(options, audio.duration());
            return refused(Reason::ShorterThanAFrame, detail);
        }
        let mut rows = Vec::new(); // [frames, dim]
        self.extractor.compute_for(id, &samples, &mut rows);
        let dim = self.extractor.dim();
        match encode(key, rows, dim, self.bits, Path::new(id)) {
            Ok(content) => {
                let stored = StoredFeatures { bits: self.bits, frames, dim, options: self.digest };
                Ok((content, stored))
            }
            Err(detail) => refused(Reason::UnreadableAudio, detail),
        }
    }
}
