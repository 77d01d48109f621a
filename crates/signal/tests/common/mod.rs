//! What several test files need: the fixtures, the tone in them, and WAV files made on the spot.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod definition;
pub mod golden;

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use labyrinth_signal::{Audio, AudioError, decode_audio};

pub fn fixture_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixture_path(name)).expect("the fixture is committed")
}

pub fn decode(bytes: Vec<u8>) -> Result<Audio, AudioError> {
    decode_audio(bytes, Path::new("some/file"), None)
}

/// Decodes and returns the reason of the refusal, which must name the file and a way out.
pub fn refusal(bytes: Vec<u8>) -> String {
    let error = decode(bytes).expect_err("must be refused");
    assert!(!error.is_disk_fault());
    let sentence = error.to_string();
    assert!(sentence.starts_with("`some/file` "), "{sentence}");
    assert!(sentence.contains(';'), "no way out: {sentence}");
    sentence
}

/// Amplitude and phase (in samples, as a delay) of a tone of `frequency` Hz in the middle half of
/// `samples`, and the root mean square of what remains when it is taken away.
pub fn measure(samples: &[f32], rate: u32, frequency: f64) -> (f64, f64, f64) {
    let step = TAU * frequency / f64::from(rate);
    // Whole periods, so that sine and cosine are orthogonal.
    let quarter = samples.len() / 4;
    let period = f64::from(rate) / frequency;
    let count = ((samples.len() / 2) as f64 / period).floor() * period;
    let range = quarter..quarter + count.round() as usize;
    let (mut sine, mut cosine) = (0.0, 0.0);
    for i in range.clone() {
        sine += f64::from(samples[i]) * (step * i as f64).sin();
        cosine += f64::from(samples[i]) * (step * i as f64).cos();
    }
    let scale = 2.0 / range.len() as f64;
    let (sine, cosine) = (sine * scale, cosine * scale);
    let rest: f64 = range
        .clone()
        .map(|i| {
            let tone = sine * (step * i as f64).sin() + cosine * (step * i as f64).cos();
            (f64::from(samples[i]) - tone).powi(2)
        })
        .sum();
    let amplitude = sine.hypot(cosine);
    let delay = -cosine.atan2(sine) / step;
    (amplitude, delay, (rest / range.len() as f64).sqrt())
}

/// A WAV file of the given chunks behind `RIFF....WAVE`.
pub fn wav_of_chunks(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut body = b"WAVE".to_vec();
    for (name, content) in chunks {
        body.extend_from_slice(*name);
        body.extend_from_slice(&(content.len() as u32).to_le_bytes());
        body.extend_from_slice(content);
        if content.len() % 2 == 1 {
            body.push(0);
        }
    }
    let mut bytes = b"RIFF".to_vec();
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// The content of a `fmt ` chunk.
pub fn format_chunk(format: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
    let block = channels * bits.div_ceil(8);
    let mut chunk = Vec::new();
    chunk.extend(format.to_le_bytes());
    chunk.extend(channels.to_le_bytes());
    chunk.extend(rate.to_le_bytes());
    chunk.extend((rate * u32::from(block)).to_le_bytes());
    chunk.extend(block.to_le_bytes());
    chunk.extend(bits.to_le_bytes());
    chunk
}

/// A whole WAV file.
pub fn wav(format: u16, channels: u16, rate: u32, bits: u16, data: Vec<u8>) -> Vec<u8> {
    wav_of_chunks(&[(b"fmt ", format_chunk(format, channels, rate, bits)), (b"data", data)])
}

/// 16-bit samples of a tone, as in the fixtures.
pub fn tone(samples: usize, rate: u32, frequency: f64) -> Vec<f32> {
    let step = TAU * frequency / f64::from(rate);
    (0..samples).map(|i| (0.5 * (step * i as f64).sin()) as f32).collect()
}

pub fn pcm16(samples: &[f32]) -> Vec<u8> {
    samples.iter().flat_map(|s| ((s * 32768.0).round() as i16).to_le_bytes()).collect()
}

/// Mends the checksums of all Ogg pages, so that damage reaches the decoders behind them.
pub fn mend_ogg(bytes: &mut [u8]) {
    let mut offset = 0;
    while bytes.len() >= offset + 27 && bytes[offset..].starts_with(b"OggS") {
        let segments = usize::from(bytes[offset + 26]);
        let Some(table) = bytes.get(offset + 27..offset + 27 + segments) else { return };
        let length = 27 + segments + table.iter().map(|&n| usize::from(n)).sum::<usize>();
        let Some(page) = bytes.get_mut(offset..offset + length) else { return };
        page[22..26].fill(0);
        let mut sum = 0u32;
        for byte in page.iter() {
            sum ^= u32::from(*byte) << 24;
            for _ in 0..8 {
                sum = if sum >> 31 == 1 { (sum << 1) ^ 0x04c1_1db7 } else { sum << 1 };
            }
        }
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        offset += length;
    }
}
