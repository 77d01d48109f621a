//! NumPy's arrays; each try again as a header whose length is true, to come to the values.
#![no_main]

use std::path::Path;

use labyrinth_signal::parse_npy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(array) = parse_npy(bytes.to_vec(), Path::new("fuzz")) {
        assert_eq!(array.shape().iter().product::<usize>(), array.values().len());
    }
    // The same text as a header whose length is true.
    let header = &bytes[..bytes.len().min(300)];
    let length = (header.len() as u16).to_le_bytes();
    for values in [0, 4, 8, 48] {
        let file = [b"\x93NUMPY\x01\0", &length[..], header, &[0; 48][..values]].concat();
        let _ = parse_npy(file, Path::new("fuzz"));
    }
});
