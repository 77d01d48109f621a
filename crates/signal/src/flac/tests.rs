//! The fast decoder beside the careful one, on whole files and on damaged ones.

use super::*;

/// The fast decoder on a file as it is read from the disk.
fn quick(bytes: &[u8]) -> Option<Audio> {
    fast(&[bytes, &[0; bits::PADDING]].concat(), bytes.len())
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

/// Both decoders give the same samples, to the bit.
#[test]
fn the_fast_decoder_is_the_careful_one() {
    for name in ["tone.flac", "stereo24.flac"] {
        let bytes = fixture(name);
        let fast = quick(&bytes).unwrap();
        assert_eq!(fast, foreign::decode_flac(bytes).unwrap(), "{name}");
        assert!(fast.samples() > 1000);
    }
}

/// Wherever a byte is changed among the frames, the fast decoder hands the file on, or finds the
/// same samples as before; cut files it always hands on.
#[test]
fn what_is_damaged_is_left_to_the_careful_decoder() {
    let bytes = fixture("tone.flac");
    let whole = quick(&bytes).unwrap();
    let mut handed_on = 0;
    for place in (42..bytes.len()).step_by(bytes.len() / 300) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        match quick(&damaged) {
            Some(audio) => assert_eq!(audio, whole, "byte {place}"),
            _ => handed_on += 1,
        }
        assert!(quick(&bytes[..place]).is_none(), "cut at {place}");
    }
    assert!(handed_on > 150, "{handed_on}");
}

/// A frame taken out, doubled, or in another's place has its checksum right.
#[test]
fn frames_out_of_place_are_noticed() {
    let bytes = fixture("tone.flac");
    // A frame begins with these two bytes; this file has two, and the bytes nowhere else.
    let places: Vec<usize> =
        (42..bytes.len() - 1).filter(|&place| bytes[place..place + 2] == [0xff, 0xf8]).collect();
    let [first, second] = places[..] else { panic!("{places:?}") };
    let out = [&bytes[..first], &bytes[second..]].concat();
    let double = [&bytes[..second], &bytes[first..]].concat();
    let swapped = [&bytes[..first], &bytes[second..], &bytes[first..second]].concat();
    for changed in [out, double, swapped] {
        assert!(quick(&changed).is_none());
    }
}

/// Every FLAC file of the corpora at hand, where they are.
#[test]
fn real_corpora_are_decoded_alike() {
    let Some(data) = std::env::var_os("LABYRINTH_DATA") else {
        eprintln!("skipped: LABYRINTH_DATA is not set");
        return;
    };
    let mut folders = vec![std::path::PathBuf::from(data)];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        let entries: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "flac") {
                let bytes = std::fs::read(&path).unwrap();
                let fast = quick(&bytes);
                let careful = foreign::decode_flac(bytes).unwrap();
                assert_eq!(fast, Some(careful), "{}", path.display());
                count += 1;
            }
        }
    }
    println!("{count} files");
}
