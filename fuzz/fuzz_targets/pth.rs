//! PyTorch's archives as they are; and each try again as the pickle of a whole archive whose checksums are true.
#![no_main]

use std::path::Path;

use labyrinth_nn::foreign::parse_tensors;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    read(&archive(&[("a/data.pkl", bytes), ("a/data/0", &[0x3f; 96]), ("a/data/1", &[1; 8])]));
});

fn read(bytes: &[u8]) {
    let Ok(tensors) = parse_tensors(bytes, Path::new("fuzz")) else { return };
    let mut values = 0;
    for tensor in tensors {
        assert_eq!(tensor.shape.iter().product::<usize>(), tensor.values.len());
        values += tensor.values.len();
    }
    assert!(values <= 4 * bytes.len());
}

/// A zip archive of stored entries.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let place = (file.len() as u32).to_le_bytes();
        let size = (bytes.len() as u32).to_le_bytes();
        let mut fields = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0]; // version, flags, stored, time, date
        fields.extend(crc32(bytes).to_le_bytes());
        fields.extend([size, size].concat());
        fields.extend([name.len() as u8, 0, 0, 0]);
        file.extend([b"PK\x03\x04", &fields[..], name.as_bytes(), bytes].concat());
        let more = [0; 10]; // comment, disk, attributes
        let entry = [b"PK\x01\x02\x14\0", &fields[..], &more, &place, name.as_bytes()];
        directory.extend(entry.concat());
    }
    let (begin, count) = (file.len() as u32, entries.len() as u8);
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count, 0, count, 0]);
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(begin.to_le_bytes());
    file.extend([0, 0]);
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), step))
}
