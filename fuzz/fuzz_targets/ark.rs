//! Kaldi archives, binary, compressed and text: all that is read is finite and has its shape's size.
#![no_main]

use std::path::Path;

use labyrinth_signal::ArkReader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for entry in ArkReader::from_bytes(bytes.to_vec(), Path::new("fuzz")) {
        let Ok((key, array)) = entry else { break };
        assert!(!key.is_empty());
        assert_eq!(array.shape().iter().product::<usize>(), array.values().len());
        // A value takes at least a byte of the file.
        assert!(array.values().len() <= bytes.len());
    }
});
