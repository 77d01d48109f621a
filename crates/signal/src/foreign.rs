//! The formats that symphonia decodes, and the guard around every decoder that is not ours.
//!
//! symphonia prefers to play what it can; we refuse what is not whole. So each error it reports
//! counts, each stream's checksum is verified where it has one, and the number of samples is
//! compared with what the container announced.

use std::cell::Cell;
use std::io::Cursor;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::PacketRef;

use crate::audio::Audio;
use crate::source::Fault;

/// Runs a third party's decoder; a panic in it becomes a fault of the file. (The decoders are
/// written in safe Rust, so a panic leaves nothing behind but their own state, which is dropped.)
pub(crate) fn guarded<T>(decode: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    quietly(|| catch_unwind(AssertUnwindSafe(decode))).unwrap_or_else(|_| {
        Err(Fault::new(
            "is broken in a way that its decoder does not survive; copy it again or convert it \
             (ffmpeg -i FILE FILE.wav)",
        ))
    })
}

thread_local! {
    /// Whether this thread is inside a decoder whose panics are caught.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `decode` without the panic message on standard error: the fault is told in a sentence, with the
/// file's name. Only panics of this thread, and only within `decode`, are silenced; the hook that stood
/// before is called for all others.
fn quietly<T>(decode: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.try_with(Cell::get).unwrap_or(false) {
                loud(info);
            }
        }));
    });
    let before = GUARDED.replace(true);
    // `decode` catches its own panics, so this line is always reached.
    let answer = decode();
    GUARDED.set(before);
    answer
}

pub(crate) fn explain(error: &Error) -> String {
    match error {
        Error::IoError(_) => "the data end too early".to_string(),
        other => other.to_string(),
    }
}

fn broken(kind: &str, error: &Error, seconds: f64) -> Fault {
    Fault::new(format!(
        "is a broken {kind} file (at {seconds:.2} s: {}); copy it again, or keep what can be saved \
         (ffmpeg -i FILE FILE.wav)",
        explain(error)
    ))
}

fn short(kind: &str, announced: u64, decoded: u64) -> Fault {
    Fault::new(format!(
        "was cut short: its {kind} header announces {announced} samples, but only {decoded} are \
         there; copy it again"
    ))
}

/// Samples gathered packet by packet.
pub(crate) struct Collector {
    decoder: Box<dyn AudioDecoder>,
    sample_rate: u32,
    planes: Vec<Vec<f32>>,
    packet: Vec<Vec<f32>>,
}

impl Collector {
    pub(crate) fn new(
        parameters: &AudioCodecParameters,
        options: AudioDecoderOptions,
    ) -> Result<Self, Error> {
        let decoder = symphonia::default::get_codecs().make_audio_decoder(parameters, &options)?;
        Ok(Collector { decoder, sample_rate: 0, planes: Vec::new(), packet: Vec::new() })
    }

    /// Decodes one packet and appends its samples.
    pub(crate) fn push(&mut self, packet: &PacketRef<'_>) -> Result<(), Error> {
        let decoded = self.decoder.decode_ref(packet)?;
        if decoded.frames() == 0 {
            return Ok(());
        }
        let rate = decoded.spec().rate();
        let channels = decoded.num_planes();
        if self.planes.is_empty() {
            self.sample_rate = rate;
            self.planes = vec![Vec::new(); channels];
        }
        if self.sample_rate != rate || self.planes.len() != channels {
            return Err(Error::Unsupported("the sample rate or the channels change on the way"));
        }
        decoded.copy_to_vecs_planar(&mut self.packet);
        for (plane, samples) in self.planes.iter_mut().zip(&self.packet) {
            plane.extend_from_slice(samples);
        }
        Ok(())
    }

    pub(crate) fn samples(&self) -> u64 {
        self.planes.first().map_or(0, Vec::len) as u64
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.samples() as f64 / f64::from(self.sample_rate.max(1))
    }

    /// The audio, and whether the stream's own checksum fits, if it has one.
    pub(crate) fn finish(mut self) -> (Audio, Option<bool>) {
        let verified = self.decoder.finalize().verify_ok;
        (Audio { sample_rate: self.sample_rate, channels: self.planes }, verified)
    }
}

/// A container opened by symphonia.
pub(crate) struct Container {
    reader: Box<dyn FormatReader>,
    pub track: u32,
    pub parameters: AudioCodecParameters,
    /// Samples per channel that the container announces.
    pub samples: Option<u64>,
}

impl Container {
    pub(crate) fn open(bytes: Vec<u8>, kind: &str) -> Result<Container, Fault> {
        let stream = MediaSourceStream::new(
            Box::new(Cursor::new(bytes)),
            MediaSourceStreamOptions::default(),
        );
        let reader = symphonia::default::get_probe()
            .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|error| broken(kind, &error, 0.0))?;
        let track = reader.default_track(TrackType::Audio).ok_or_else(|| {
            Fault::new(format!(
                "is an {kind} file without a sound track that is read here; convert it (ffmpeg -i \
                 FILE FILE.wav)"
            ))
        })?;
        let Some(CodecParameters::Audio(parameters)) = track.codec_params.clone() else {
            return Err(Fault::new(format!("is an {kind} file without a sound track")));
        };
        let (id, samples) = (track.id, track.num_frames);
        Ok(Container { reader, track: id, parameters, samples })
    }

    /// Decodes every packet of the track.
    pub(crate) fn decode(&mut self, kind: &str, gapless: bool) -> Result<Collector, Fault> {
        let options = AudioDecoderOptions::default().gapless(gapless).verify(true);
        let mut collector = Collector::new(&self.parameters, options).map_err(|error| {
            Fault::new(format!(
                "is an {kind} file with a codec that is not read here ({}); convert it (ffmpeg -i \
                 FILE FILE.wav)",
                explain(&error)
            ))
        })?;
        loop {
            let packet = match self.reader.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(collector),
                Err(error) => return Err(broken(kind, &error, collector.seconds())),
            };
            if packet.track_id == self.track {
                collector
                    .push(&packet.as_packet_ref())
                    .map_err(|error| broken(kind, &error, collector.seconds()))?;
            }
        }
    }
}

/// FLAC: the number of samples and the MD5 of the whole must fit, where the header has them.
pub(crate) fn decode_flac(bytes: Vec<u8>) -> Result<Audio, Fault> {
    const KIND: &str = "FLAC";
    guarded(|| {
        let mut container = Container::open(bytes, KIND)?;
        let announced = container.samples.filter(|samples| *samples > 0);
        let collector = container.decode(KIND, true)?;
        let decoded = collector.samples();
        if let Some(announced) = announced
            && decoded < announced
        {
            return Err(short(KIND, announced, decoded));
        }
        let (audio, verified) = collector.finish();
        if verified == Some(false) || announced.is_some_and(|announced| decoded > announced) {
            return Err(Fault::new(
                "is a broken FLAC file (its samples do not fit its checksum); copy it again",
            ));
        }
        Ok(audio)
    })
}

/// Vorbis or FLAC in Ogg, whose pages were checked; `announced` is the last granule position.
pub(crate) fn decode_ogg(bytes: Vec<u8>, announced: Option<u64>) -> Result<Audio, Fault> {
    const KIND: &str = "Ogg";
    guarded(|| {
        let mut container = Container::open(bytes, KIND)?;
        let collector = container.decode(KIND, true)?;
        let decoded = collector.samples();
        if let Some(announced) = announced
            && decoded < announced
        {
            return Err(short(KIND, announced, decoded));
        }
        let (mut audio, verified) = collector.finish();
        if verified == Some(false) {
            return Err(Fault::new(
                "is a broken FLAC file (its samples do not fit its checksum); copy it again",
            ));
        }
        if let Some(announced) = announced {
            for channel in &mut audio.channels {
                channel.truncate(usize::try_from(announced).unwrap_or(usize::MAX));
            }
        }
        Ok(audio)
    })
}

/// ADPCM in WAV; `fact` is the number of samples that the header announces, because the last
/// block is filled up.
pub(crate) fn decode_wav(bytes: Vec<u8>, fact: Option<u64>) -> Result<Audio, Fault> {
    const KIND: &str = "WAV";
    guarded(|| {
        let mut container = Container::open(bytes, KIND)?;
        let collector = container.decode(KIND, true)?;
        let decoded = collector.samples();
        let (mut audio, _) = collector.finish();
        if let Some(announced) = fact {
            if decoded < announced {
                return Err(short(KIND, announced, decoded));
            }
            for channel in &mut audio.channels {
                channel.truncate(usize::try_from(announced).unwrap_or(usize::MAX));
            }
        }
        Ok(audio)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// symphonia 0.6.1 does panic on some damaged Vorbis headers, so the guard is needed.
    #[test]
    fn a_panic_in_a_decoder_is_the_files_fault() {
        let answer = guarded(|| -> Result<(), Fault> { panic!("as a decoder might") });
        assert!(matches!(answer, Err(Fault::Content(reason)) if reason.contains("ffmpeg")));
        assert!(matches!(guarded(|| Ok(5)), Ok(5)));
    }
}
