//! One utterance as the members of a shard: what is copied, what is cut, what is re-coded.
//!
//! Training from shards must be the training from loose files, to the last bit. So a recording that is an
//! utterance as a whole is copied byte by byte. A section of a longer one has to be cut, and what is
//! written then decodes to the very samples that the cut of the original gives: FLAC where 16 or 24 bits
//! hold them exactly (which is looked up in the samples themselves, whatever the file called itself), and
//! WAV of 32-bit floats, the form in which they are in memory, where not.

use super::flac;
use super::matrix::FeatureMaker;
use super::member::{audio_extension, key_of};
use super::record::MadeFrom;
use super::{ShardAudio, ShardError};
use crate::clip::{
    ClipFault, channel_of, decode_clip, fault_of_one_file, no_sound, read_bytes,
    read_every_channel, section_of,
};
use crate::features::{StoredFeatures, stored_features};
use crate::labels::{LabelFormat, LabelTrack, Recording, read_labels};
use crate::ledger::{Reason, Refusal};
use crate::manifest::{CHANNEL, Utterance};
use labyrinth_signal::Audio;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A member: its name and its content.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// The members of an utterance, and its line in the shards' manifest, which lacks the ranges still.
pub(super) struct Sample {
    pub(super) audio: Member,
    /// What the audio's member holds where that is features.
    pub(super) features: Option<StoredFeatures>,
    pub(super) line: Member,
    pub(super) labels: Option<Member>,
    pub(super) utterance: Utterance,
}

/// Makes samples of utterances, and keeps the recording from which it last cut a section: sections of one
/// recording stand together in manifests.
pub(super) struct SampleReader<'a> {
    folder: &'a Path,
    audio: ShardAudio,
    features: Option<FeatureMaker>,
    decoded: Option<Decoded>,
}

/// A recording from which sections are cut, or why it cannot be had.
struct Decoded {
    path: PathBuf,
    audio: Result<Audio, (Reason, String)>,
}

/// The audio of a sample.
struct Sound {
    content: Vec<u8>,
    extension: String,
    sample_rate: u32,
    /// The header tells all, and the keys of headerless audio go.
    recoded: bool,
    features: Option<StoredFeatures>,
}

impl<'a> SampleReader<'a> {
    /// For a manifest in `folder`.
    ///
    /// # Errors
    /// [`ShardError::Options`] where features are wanted that cannot be computed.
    pub(super) fn new(folder: &'a Path, made_from: &MadeFrom) -> Result<Self, ShardError> {
        let features = made_from.features.as_ref().map(FeatureMaker::new).transpose()?;
        Ok(Self { folder, audio: made_from.audio, features, decoded: None })
    }

    /// Reads an utterance.
    ///
    /// # Errors
    /// [`ShardError::Read`] where the disk fails; what is the fault of this utterance is a refusal.
    pub(super) fn read(
        &mut self,
        utterance: &Utterance,
    ) -> Result<Result<Sample, Refusal>, ShardError> {
        match self.sample(utterance) {
            Ok(sample) => Ok(Ok(sample)),
            Err(ClipFault::Refused { reason, detail }) => {
                Ok(Err(Refusal::new(&utterance.id, reason, detail)))
            }
            Err(ClipFault::Disk { path, source }) => Err(ShardError::Read { path, source }),
        }
    }

    fn sample(&mut self, utterance: &Utterance) -> Result<Sample, ClipFault> {
        if stored_features(utterance).is_some() {
            return Err(no_sound(self.folder, utterance));
        }
        let sound = match utterance.offset {
            _ if self.features.is_some() => self.features_of(utterance)?,
            Some(offset) => self.section(utterance, offset)?,
            None => {
                let (bytes, audio) = self.whole(utterance)?;
                self.unchanged(utterance, bytes, &audio)?
            }
        };
        let labels = self.labels(utterance, sound.sample_rate)?;
        let key = key_of(&utterance.id);
        // The line as it was, for whoever reads the tar without the manifest.
        let before = Utterance { shard: None, labels_shard: None, ..utterance.clone() };
        let mut after = before.clone();
        after.audio_filepath = format!("{key}.{}", sound.extension);
        after.offset = None;
        after.labels = labels.as_ref().map(|(extension, _)| format!("{key}.labels.{extension}"));
        if sound.recoded {
            after.extra.remove(CHANNEL);
        }
        if sound.recoded && after.encoding.take().is_some() {
            (after.sample_rate, after.channels) = (None, None);
        }
        let mut line = serde_json::to_vec(&before).unwrap_or_default();
        line.push(b'\n');
        let labels = labels.zip(after.labels.clone());
        Ok(Sample {
            audio: Member { name: after.audio_filepath.clone(), content: sound.content },
            features: sound.features,
            line: Member { name: format!("{key}.json"), content: line },
            labels: labels.map(|((_, content), name)| Member { name, content }),
            utterance: after,
        })
    }

    /// The bytes of an utterance's audio file, and what they decode to.
    fn whole(&self, utterance: &Utterance) -> Result<(Vec<u8>, Audio), ClipFault> {
        let (bytes, name) = match &utterance.shard {
            Some(range) => {
                let name = range.name_of(self.folder, &utterance.audio_filepath);
                (range.read(self.folder)?, name)
            }
            None => {
                let path = self.folder.join(&utterance.audio_filepath);
                (read_bytes(&path)?, path)
            }
        };
        let audio = decode_clip(bytes.clone(), &name, utterance)?;
        Ok((bytes, audio))
    }

    /// A whole recording, copied, or as FLAC where that is wanted and it is none.
    fn unchanged(
        &self,
        utterance: &Utterance,
        bytes: Vec<u8>,
        audio: &Audio,
    ) -> Result<Sound, ClipFault> {
        let is_flac = bytes.starts_with(b"fLaC") && utterance.encoding.is_none();
        if self.audio == ShardAudio::Flac && !is_flac {
            return self.cut_out(audio, utterance);
        }
        let extension = match is_flac {
            true => "flac".to_owned(),
            false => audio_extension(&utterance.audio_filepath),
        };
        let sample_rate = audio.sample_rate;
        Ok(Sound { content: bytes, extension, sample_rate, recoded: false, features: None })
    }

    /// An utterance that is given as a part of its file.
    fn section(&mut self, utterance: &Utterance, offset: f64) -> Result<Sound, ClipFault> {
        let name = self.folder.join(&utterance.audio_filepath);
        let in_parts = utterance.shard.is_some() || self.is_read_in_parts(utterance, &name);
        // Manifests of NeMo give each file an offset of 0: that is the file, and is copied.
        if offset == 0.0 && !(in_parts && self.is_longer(utterance, &name)) {
            let (bytes, audio) = self.whole(utterance)?;
            let part = section_of(&audio, offset, &name, utterance)?;
            return if part.samples() == audio.samples() {
                self.unchanged(utterance, bytes, &audio)
            } else {
                self.cut_out(&part, utterance)
            };
        }
        if in_parts {
            let audio = read_every_channel(self.folder, utterance)?;
            return self.cut_out(&audio, utterance);
        }
        let part = self.part_of_decoded(utterance, offset, name)?;
        self.cut_out(&part, utterance)
    }

    /// What is written anew is the utterance's channel alone.
    fn cut_out(&self, audio: &Audio, utterance: &Utterance) -> Result<Sound, ClipFault> {
        self.encoded(&*channel_of(audio, self.folder, utterance)?)
    }

    /// A section of a recording that stays decoded for the next one.
    fn part_of_decoded(
        &mut self,
        utterance: &Utterance,
        offset: f64,
        name: PathBuf,
    ) -> Result<Audio, ClipFault> {
        let decoded = match self.decoded.take() {
            Some(decoded) if decoded.path == name => decoded,
            // The one before goes first: two long recordings at once would be one too many.
            before => {
                drop(before);
                let audio = match self.whole(utterance) {
                    Ok((_, audio)) => Ok(audio),
                    Err(ClipFault::Refused { reason, detail }) => Err((reason, detail)),
                    Err(disk) => return Err(disk),
                };
                Decoded { path: name.clone(), audio }
            }
        };
        let part = match &decoded.audio {
            Ok(audio) => section_of(audio, offset, &name, utterance),
            Err((reason, detail)) => {
                Err(ClipFault::Refused { reason: *reason, detail: detail.clone() })
            }
        };
        self.decoded = Some(decoded);
        part
    }

    /// The features of an utterance, of the very samples that the loader would read.
    fn features_of(&mut self, utterance: &Utterance) -> Result<Sound, ClipFault> {
        let name = self.folder.join(&utterance.audio_filepath);
        let audio = match utterance.offset {
            Some(offset)
                if utterance.shard.is_none() && !self.is_read_in_parts(utterance, &name) =>
            {
                self.part_of_decoded(utterance, offset, name)?
            }
            _ => read_every_channel(self.folder, utterance)?,
        };
        let audio = channel_of(&audio, self.folder, utterance)?;
        let Some(maker) = &mut self.features else { return self.encoded(&audio) };
        let key = key_of(&utterance.id);
        let (content, stored) = maker.make(&utterance.id, &key, &audio)?;
        Ok(Sound {
            content,
            extension: "ark".to_owned(),
            sample_rate: audio.sample_rate,
            recoded: true,
            features: Some(stored),
        })
    }

    /// Whether a section of this file costs no more than its own bytes: headerless, WAV, SPHERE.
    fn is_read_in_parts(&self, utterance: &Utterance, path: &Path) -> bool {
        let mut head = [0; 8];
        let mut read = || File::open(path)?.read_exact(&mut head);
        // What cannot be read is left to the reader, whose error tells more.
        utterance.encoding.is_some()
            || labyrinth_signal::is_special_file(path)
            || read().is_err()
            || [&b"RIFF"[..], b"RIFX", b"RF64", b"BW64", b"NIST_1A"]
                .iter()
                .any(|magic| head.starts_with(magic))
    }

    /// Whether an uncompressed file has more bytes than could be the utterance alone: then it need not be
    /// read whole to know that.
    fn is_longer(&self, utterance: &Utterance, path: &Path) -> bool {
        // 8 channels of 32 bits at 192 kHz. A file that has more is cut where it could be copied, which
        // gives the same samples.
        const MOST_BYTES_A_SECOND: f64 = 192_000.0 * 8.0 * 4.0;
        let bytes = path.metadata().map_or(0, |data| data.len());
        bytes as f64 > 1e6 + MOST_BYTES_A_SECOND * (utterance.duration + 1.0)
    }

    fn encoded(&self, audio: &Audio) -> Result<Sound, ClipFault> {
        let sound = |content, extension: &str| Sound {
            content,
            extension: extension.to_owned(),
            sample_rate: audio.sample_rate,
            recoded: true,
            features: None,
        };
        let fits =
            audio.channels.len() <= flac::MOST_CHANNELS && audio.sample_rate <= flac::HIGHEST_RATE;
        if fits {
            let exact = [16, 24].iter().find_map(|&bits| Some((exact(audio, bits)?, bits)));
            let wanted = (self.audio == ShardAudio::Flac).then(|| (rounded(audio), 16));
            if let Some((channels, bits)) = exact.or(wanted) {
                return Ok(sound(flac::encode(&channels, audio.sample_rate, bits), "flac"));
            }
        }
        Ok(sound(float_wav(audio)?, "wav"))
    }

    /// The ending and the content of the label track, `None` where there is none.
    fn labels(
        &self,
        utterance: &Utterance,
        sample_rate: u32,
    ) -> Result<Option<(String, Vec<u8>)>, ClipFault> {
        let Some(name) = &utterance.labels else { return Ok(None) };
        let Some(track) = read_labels(self.folder, utterance, sample_rate)? else {
            return Ok(None);
        };
        let path = self.folder.join(name);
        // A CTM names recordings, which are called otherwise in a shard; and often it is of thousands.
        let is_ctm = LabelFormat::of(&path) == Some(LabelFormat::Ctm);
        // Beside features nothing tells the rate in which some formats count their times.
        if utterance.offset.is_some() || is_ctm || self.features.is_some() {
            return Ok(Some(("json".to_owned(), json_of(&track, &path)?)));
        }
        let content = match &utterance.labels_shard {
            Some(range) => range.read(self.folder)?,
            None => std::fs::read(&path).map_err(|source| match fault_of_one_file(&source) {
                Some(fault) => ClipFault::Refused {
                    reason: Reason::MissingLabels,
                    detail: format!("{} {fault}", path.display()),
                },
                None => ClipFault::Disk { path: path.clone(), source },
            })?,
        };
        // It has one of the endings that tell the format, or it would not have been read.
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        Ok(Some((extension.to_ascii_lowercase(), content)))
    }
}

fn json_of(track: &LabelTrack, path: &Path) -> Result<Vec<u8>, ClipFault> {
    let text = track.to_text(LabelFormat::Json, &Recording::default());
    text.map(String::into_bytes).map_err(|fault| ClipFault::Refused {
        reason: Reason::UnusableLabels,
        detail: format!("{}: {fault}", path.display()),
    })
}

/// The samples as integers of so many bits, where every one of them is such an integer; -0.0 is none.
fn exact(audio: &Audio, bits: u32) -> Option<Vec<Vec<i32>>> {
    let half = (1u32 << (bits - 1)) as f32;
    let integer = |&sample: &f32| {
        // Exact: a multiplication by a power of two. Beyond the range the conversion stops at its end,
        // and the way back does not come out again.
        let value = (sample * half) as i32;
        let fits = (-half..half).contains(&(value as f32));
        (fits && (value as f32 / half).to_bits() == sample.to_bits()).then_some(value)
    };
    audio.channels.iter().map(|channel| channel.iter().map(integer).collect()).collect()
}

/// The samples as integers of 16 bits, rounded and limited.
fn rounded(audio: &Audio) -> Vec<Vec<i32>> {
    let round = |&sample: &f32| (sample * 32768.0).round().clamp(-32768.0, 32767.0) as i32;
    audio.channels.iter().map(|channel| channel.iter().map(round).collect()).collect()
}

/// A WAV of 32-bit floats.
fn float_wav(audio: &Audio) -> Result<Vec<u8>, ClipFault> {
    const HEADER: u64 = 58;
    let samples = audio.samples() as u64;
    let data = samples * audio.channels.len() as u64 * 4;
    let too_long = || ClipFault::Refused {
        reason: Reason::UnreadableAudio,
        detail: format!("{samples} samples of 32 bits are more than the 4 GiB that a WAV can hold"),
    };
    let size = u32::try_from(data + HEADER - 8).map_err(|_| too_long())?;
    let channels = audio.channels.len() as u16; // at most 1024, or it would not have been read
    let block = channels * 4;
    let mut bytes = Vec::with_capacity((data + HEADER) as usize);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&18u32.to_le_bytes());
    bytes.extend_from_slice(&3u16.to_le_bytes()); // floats
    bytes.extend_from_slice(&channels.to_le_bytes());
    bytes.extend_from_slice(&audio.sample_rate.to_le_bytes());
    bytes.extend_from_slice(&audio.sample_rate.saturating_mul(u32::from(block)).to_le_bytes());
    bytes.extend_from_slice(&block.to_le_bytes());
    bytes.extend_from_slice(&32u16.to_le_bytes());
    bytes.extend_from_slice(&0u16.to_le_bytes()); // no extension
    bytes.extend_from_slice(b"fact");
    bytes.extend_from_slice(&4u32.to_le_bytes());
    bytes.extend_from_slice(&(samples as u32).to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&(data as u32).to_le_bytes());
    for index in 0..audio.samples() {
        for channel in &audio.channels {
            bytes.extend_from_slice(&channel[index].to_le_bytes());
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_signal::decode_audio;

    fn reader(audio: ShardAudio) -> SampleReader<'static> {
        SampleReader { folder: Path::new(""), audio, features: None, decoded: None }
    }

    fn audio(channels: Vec<Vec<f32>>) -> Audio {
        Audio { sample_rate: 16_000, channels }
    }

    #[test]
    fn only_what_an_integer_holds_counts_as_exact() {
        let step = 1.0 / 32768.0;
        assert!(exact(&audio(vec![vec![-1.0, 0.0, step, 1.0 - step]]), 16).is_some());
        for sample in [1.0, -0.0, step / 2.0, 0.1, -1.0 - step, 3.0e9, f32::MIN_POSITIVE] {
            assert_eq!(exact(&audio(vec![vec![sample]]), 16), None, "{sample}");
        }
        assert!(exact(&audio(vec![vec![step / 256.0, -1.0]]), 24).is_some());
        assert_eq!(exact(&audio(vec![vec![step / 512.0]]), 24), None);
        assert_eq!(exact(&audio(vec![vec![1.0]]), 24), None);
    }

    #[test]
    fn whatever_is_encoded_decodes_to_the_same_bits() {
        let reader = reader(ShardAudio::Keep);
        let ramp = |step: f32| (0..5000).map(|i| (i as f32 - 2500.0) * step).collect::<Vec<f32>>();
        for (channels, extension) in [
            (vec![ramp(1.0 / 32768.0)], "flac"),
            (vec![ramp(1.0 / 8_388_608.0), ramp(1.0 / 32768.0)], "flac"),
            (vec![ramp(1.0e-4)], "wav"),
            (vec![ramp(1.0e-4), ramp(-3.0e-3), vec![-0.0; 5000]], "wav"),
            (vec![ramp(1.0 / 32768.0); 9], "wav"),
        ] {
            let audio = audio(channels);
            let sound = reader.encoded(&audio).unwrap();
            assert_eq!(sound.extension, extension);
            let again = decode_audio(sound.content, Path::new("x"), None).unwrap();
            assert_eq!(again.sample_rate, audio.sample_rate);
            let bits = |audio: &Audio| -> Vec<Vec<u32>> {
                audio.channels.iter().map(|c| c.iter().map(|x| x.to_bits()).collect()).collect()
            };
            assert!(bits(&again) == bits(&audio));
        }
    }

    #[test]
    fn flac_of_what_is_not_exact_is_rounded_to_16_bits() {
        let reader = reader(ShardAudio::Flac);
        let sound = reader.encoded(&audio(vec![vec![0.1, 1.5, -1.5, 0.7 / 32768.0]])).unwrap();
        let again = decode_audio(sound.content, Path::new("x"), None).unwrap();
        let steps: Vec<f32> = again.channels[0].iter().map(|x| x * 32768.0).collect();
        assert_eq!(steps, [3277.0, 32767.0, -32768.0, 1.0]);
    }
}
