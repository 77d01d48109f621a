//! Bytes behind the magic of a SPHERE file.
#![no_main]

use std::path::Path;

use labyrinth_signal::decode_audio;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    const MAGIC: &[u8; 8] = b"NIST_1A\n";
    let mut bytes = bytes.to_vec();
    if bytes.len() < MAGIC.len() {
        return;
    }
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    if let Ok(audio) = decode_audio(bytes, Path::new("fuzz"), None) {
        assert!(audio.samples() > 0 && audio.mono().iter().all(|sample| sample.is_finite()));
    }
});
