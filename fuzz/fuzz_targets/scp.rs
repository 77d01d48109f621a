//! Lists of places in archives; nothing that they name is opened.
#![no_main]

use std::path::Path;

use labyrinth_signal::parse_scp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entries) = parse_scp(bytes, Path::new("fuzz")) {
        for entry in entries {
            assert!(!entry.key.is_empty() && !entry.path.as_os_str().is_empty());
        }
    }
});
