//! Bytes behind the magic of a WAV, whatever they begin with: none is spent on other formats.
#![no_main]

use std::path::Path;

use labyrinth_signal::decode_audio;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    if bytes.len() < 12 {
        return;
    }
    if !matches!(&bytes[..4], b"RIFF" | b"RIFX" | b"RF64" | b"BW64") {
        bytes[..4].copy_from_slice(b"RIFF");
    }
    bytes[8..12].copy_from_slice(b"WAVE");
    if let Ok(audio) = decode_audio(bytes, Path::new("fuzz"), None) {
        assert!(audio.samples() > 0 && audio.mono().iter().all(|sample| sample.is_finite()));
    }
});
