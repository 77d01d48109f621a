//! A recording on the page: its waveform, and the sound itself inside of the page.
//!
//! The sound is a WAV in a `data:` URI, since browsers play neither SPHERE nor headerless files, and a page
//! that was mailed or moved has lost the files. It is cut to [`SECONDS`] and brought to 16 kHz at most.

use crate::check::FULL_SCALE;
use labyrinth_signal::{Audio, resample};
use std::fmt::Write;

/// Of a recording at most.
pub const SECONDS: f64 = 8.0;

/// Enough for speech, and a third of what 48 kHz would take.
const HIGHEST_RATE: u32 = 16_000;

/// Points of the waveform.
const POINTS: usize = 300;

/// Height of its drawing, twice its amplitude.
const HALF: f32 = 50.0;

/// A peak below this is drawn as if it were nearly full, with a word about it; next to nothing is drawn as
/// what it is.
const LOW_PEAK: f32 = 0.2;
const NO_PEAK: f32 = 0.002;

/// What the page holds of a recording.
pub struct Clip {
    rate: u32,
    samples: Vec<f32>,
}

impl Clip {
    /// A part of the mean of the channels, which is what features are computed of, from `start` seconds
    /// on where the whole is too long.
    pub fn of(audio: &Audio, start: f64) -> Self {
        let at = |seconds: f64| (seconds * f64::from(audio.sample_rate)) as usize;
        let spare = audio.samples().saturating_sub(at(SECONDS));
        let first = at(start).min(spare);
        let end = (first + at(SECONDS)).min(audio.samples());
        let channels = audio.channels.iter().map(|channel| channel[first..end].to_vec());
        let begin = Audio { sample_rate: audio.sample_rate, channels: channels.collect() };
        let (mono, rate) = (begin.mono(), audio.sample_rate);
        match rate > HIGHEST_RATE {
            true => Self { rate: HIGHEST_RATE, samples: resample(&mono, rate, HIGHEST_RATE) },
            false => Self { rate, samples: mono },
        }
    }

    /// Bytes of the WAV.
    pub fn bytes(&self) -> usize {
        44 + 2 * self.samples.len()
    }

    /// 16-bit WAV.
    fn wav(&self) -> Vec<u8> {
        // A clip of eight seconds is far from the four gigabytes of a WAV.
        let length = (2 * self.samples.len()) as u32;
        let mut wav = Vec::with_capacity(self.bytes());
        wav.extend_from_slice(b"RIFF");
        wav.extend_from_slice(&(length + 36).to_le_bytes());
        wav.extend_from_slice(b"WAVEfmt ");
        wav.extend_from_slice(&16u32.to_le_bytes());
        wav.extend_from_slice(&[1, 0, 1, 0]); // PCM, one channel
        wav.extend_from_slice(&self.rate.to_le_bytes());
        wav.extend_from_slice(&(2 * self.rate).to_le_bytes());
        wav.extend_from_slice(&[2, 0, 16, 0]); // bytes and bits of a sample
        wav.extend_from_slice(b"data");
        wav.extend_from_slice(&length.to_le_bytes());
        for sample in &self.samples {
            // `as` limits to the range of i16.
            wav.extend_from_slice(&((sample * 32768.0).round() as i16).to_le_bytes());
        }
        wav
    }

    /// The player.
    pub fn player(&self) -> String {
        let sound = base64(&self.wav());
        format!(
            "<audio controls preload=\"metadata\" src=\"data:audio/wav;base64,{sound}\"></audio>"
        )
    }

    /// Least and greatest sample of each stretch as an outline; stretches at full scale in red.
    pub fn waveform(&self) -> String {
        let points = POINTS.min(self.samples.len().max(1));
        let stretch = |point: usize| {
            let at = |point: usize| point * self.samples.len() / points;
            &self.samples[at(point)..at(point + 1)]
        };
        let peak = self.samples.iter().fold(0f32, |peak, x| peak.max(x.abs()));
        let gain = if peak > NO_PEAK && peak < LOW_PEAK { 0.9 / peak } else { 1.0 };
        let y = |value: f32| HALF - HALF * (gain * value).clamp(-1.0, 1.0);
        let (mut upper, mut lower, mut cut) = (String::new(), Vec::new(), String::new());
        for point in 0..points {
            let samples = stretch(point);
            let most = samples.iter().fold(0f32, |a, b| a.max(*b));
            let least = samples.iter().fold(0f32, |a, b| a.min(*b));
            // Writing into a string cannot fail.
            let _ =
                write!(upper, "{}{point} {:.1}", if point == 0 { "M" } else { "L" }, y(most) - 0.4);
            lower.push(format!("L{point} {:.1}", y(least) + 0.4));
            if most >= FULL_SCALE || least <= -FULL_SCALE {
                let (top, height) = (y(most), y(least) - y(most));
                let _ = write!(
                    cut,
                    "<rect class=\"cut\" x=\"{point}\" y=\"{top:.1}\" width=\"1\" height=\"{height:.1}\"/>"
                );
            }
        }
        lower.reverse();
        let raised = match gain > 1.0 {
            true => format!("<small>drawn {gain:.0} times as high as it is</small>"),
            false => String::new(),
        };
        format!(
            "<svg class=\"wave\" viewBox=\"0 0 {points} 100\" preserveAspectRatio=\"none\" \
             aria-hidden=\"true\"><line x1=\"0\" x2=\"{points}\" y1=\"50\" y2=\"50\"/>\
             <path d=\"{upper}{}Z\"/>{cut}</svg>{raised}",
            lower.concat()
        )
    }
}

/// RFC 4648, section 4.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number = group.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for digit in 0..4 {
            text.push(match digit <= group.len() {
                true => char::from(DIGITS[(number >> (18 - 6 * digit)) as usize & 63]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_signal::decode_audio;
    use std::path::Path;

    #[test]
    pub fn base64_is_that_of_the_standard() {
        // Its own examples.
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn a_clip_is_a_recording_again() {
        let samples: Vec<f32> = (0..48000 * 10).map(|i| 0.5 * (i as f32 * 0.05).sin()).collect();
        let audio = Audio { sample_rate: 48000, channels: vec![samples.clone(), samples] };
        let clip = Clip::of(&audio, 1.0);
        let again = decode_audio(clip.wav(), Path::new("clip.wav"), None).unwrap();
        assert_eq!((again.sample_rate, again.channels.len()), (16000, 1));
        assert!((again.duration() - SECONDS).abs() < 0.01);
        assert_eq!(clip.wav().len(), clip.bytes());
        let low = Clip::of(&Audio { sample_rate: 8000, channels: vec![vec![0.25; 80]] }, 0.0);
        let again = decode_audio(low.wav(), Path::new("clip.wav"), None).unwrap();
        assert_eq!((again.sample_rate, &again.channels[0][..]), (8000, &[0.25; 80][..]));
    }

    #[test]
    fn clipping_is_drawn() {
        let clip = |level: f32| {
            let samples = (0..8000).map(|i| level * (i as f32 * 0.3).sin()).collect();
            Clip::of(&Audio { sample_rate: 8000, channels: vec![samples] }, 0.0).waveform()
        };
        assert!(clip(1.5).contains("class=\"cut\"") && !clip(0.9).contains("cut"));
        assert!(clip(0.009).contains("100 times") && !clip(0.9).contains("times"));
        let empty = Clip::of(&Audio { sample_rate: 8000, channels: vec![Vec::new()] }, 0.0);
        assert!(empty.waveform().contains("<svg"));
    }
}
