//! Bytes of any audio format, told by the content as everywhere.
#![no_main]

use std::path::Path;

use labyrinth_signal::decode_audio;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(audio) = decode_audio(bytes.to_vec(), Path::new("fuzz"), None) {
        assert!(audio.samples() > 0 && audio.mono().iter().all(|sample| sample.is_finite()));
    }
});
