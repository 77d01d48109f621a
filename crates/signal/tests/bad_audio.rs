//! Files that lie, break off or are something else: refused with a sentence, never shortened,
//! never a panic.

mod common;

use std::io::ErrorKind;
use std::path::Path;

use common::{decode, fixture, format_chunk, mend_ogg, pcm16, refusal, tone, wav, wav_of_chunks};
use labyrinth_signal::{AudioError, Encoding, RawFormat, decode_audio, read_audio};
use proptest::prelude::*;

/// Every fixture that is whole in itself.
const WHOLE: [&str; 16] = [
    "tone.flac",
    "stereo24.flac",
    "tone_flac.oga",
    "tone.mp3",
    "stereo_bare.mp3",
    "tone_mp3.wav",
    "tone.m4a",
    "stereo.m4a",
    "tone_alac.m4a",
    "tone.ogg",
    "tone.opus",
    "stereo.opus",
    "tone_adpcm_ms.wav",
    "tone_adpcm_ima.wav",
    "tone_s16.sph",
    "tone_ulaw.sph",
];

#[test]
fn a_missing_file_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("none.wav");
    assert!(matches!(read_audio(&path, None), Err(AudioError::Missing { .. })));
    assert!(matches!(read_audio(&path.join("inner.wav"), None), Err(AudioError::Missing { .. })));
    let file = folder.path().join("file");
    std::fs::write(&file, "x").expect("written");
    let below_a_file = read_audio(&file.join("inner.wav"), None);
    assert!(matches!(below_a_file, Err(AudioError::Missing { .. })), "{below_a_file:?}");
    let error = read_audio(folder.path(), None).expect_err("a folder");
    assert!(matches!(error, AudioError::Unusable { .. }), "{error:?}");
    let error = read_audio(Path::new("nul\0byte"), None).expect_err("no name");
    assert!(matches!(error, AudioError::Unusable { .. }), "{error:?}");
    let error = read_audio(Path::new(&"x".repeat(5000)), None).expect_err("no name");
    assert!(!error.is_disk_fault(), "{error:?}");
}

/// What the kernel reports for a page that cannot be read, on a file that exists.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fails_is_told_apart() {
    let error = read_audio(Path::new("/proc/self/mem"), None).expect_err("page 0 is unmapped");
    assert!(error.is_disk_fault(), "{error:?}");
    let AudioError::Disk { source, .. } = &error else { panic!("{error:?}") };
    assert_ne!(source.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/proc/self/mem"));
}

#[test]
fn what_is_no_audio_is_named() {
    let cases: [(&[u8], &str); 12] = [
        (b"", "empty"),
        (b"hello world, this is a transcript\n", "text"),
        ("na\u{ef}ve text\n".as_bytes(), "text"),
        (&[0; 100], "no audio format"),
        (b"RIFF\x10\0\0\0AVI LIST", "not a WAV"),
        (b"FORM\0\0\0\x10AIFFCOMM", "AIFF"),
        (b"\x1a\x45\xdf\xa3\x93\x42\x82\x88", "WebM"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "archive"),
        (&[0xff, 0xf1, 0x50, 0x80, 0x02, 0x1f, 0xfc], "AAC"),
        (b"OggS", "cut short"),
        (b"fLaC", "FLAC"),
        (b"ID3\x04\0\0\0\0\x7f\x7f", "ID3"),
    ];
    for (bytes, word) in cases {
        let sentence = refusal(bytes.to_vec());
        assert!(sentence.contains(word), "{sentence}");
    }
    let sentence = refusal(fixture("tone_speex.ogg"));
    assert!(sentence.contains("Speex"), "{sentence}");
}

#[test]
fn lying_wav_headers_are_refused() {
    let data = pcm16(&tone(400, 16_000, 1000.0));
    let good = wav(1, 1, 16_000, 16, data.clone());
    assert!(decode(good.clone()).is_ok());
    let with = |offset: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
        file
    };
    let format = |bits, channels| format_chunk(1, channels, 16_000, bits);
    let chunks = |fmt: Vec<u8>, data: Vec<u8>| wav_of_chunks(&[(b"fmt ", fmt), (b"data", data)]);
    let cases: [(&str, Vec<u8>, &str); 18] = [
        ("more announced than there", with(40, &801u32.to_le_bytes()), "cut short"),
        ("much more announced", with(40, &0x7000_0000u32.to_le_bytes()), "cut short"),
        ("less than half a frame", with(40, &799u32.to_le_bytes()), "contradicts"),
        ("no sample rate", with(24, &[0; 4]), "sample rate 0"),
        ("a sample rate of 4 GHz", with(24, &[0xff; 4]), "sample rate"),
        ("no channels", with(22, &[0; 2]), "channels, 0"),
        ("bits that do not fit the block", with(34, &24u16.to_le_bytes()), "contradicts"),
        ("no bits", with(34, &0u16.to_le_bytes()), "contradicts"),
        ("blocks that do not fit", with(32, &3u16.to_le_bytes()), "contradicts"),
        ("blocks of nothing", with(32, &0u16.to_le_bytes()), "contradicts"),
        ("an unknown compression", with(20, &0x1234u16.to_le_bytes()), "0x1234"),
        ("an unknown extension", with(20, &0xfffeu16.to_le_bytes()), "extensible"),
        (
            "a short description",
            wav_of_chunks(&[(b"fmt ", vec![1, 0, 1, 0]), (b"data", data.clone())]),
            "too short",
        ),
        ("no description", wav_of_chunks(&[(b"data", data.clone())]), "before their description"),
        ("no samples", chunks(format(16, 1), Vec::new()), "no samples"),
        (
            "no data chunk",
            wav_of_chunks(&[(b"fmt ", format(16, 1)), (b"LIST", vec![0; 9])]),
            "data chunk",
        ),
        ("half a frame of two channels", chunks(format(16, 2), data[..6].to_vec()), "contradicts"),
        ("float of 16 bits", wav(3, 1, 16_000, 16, data.clone()), "contradicts"),
    ];
    for (what, bytes, word) in cases {
        let sentence = refusal(bytes);
        assert!(sentence.contains(word), "{what}: {sentence}");
    }
    // An empty data chunk before other chunks is empty; a length of zero that covers all that
    // follows is a writer that could not go back.
    let empty =
        wav_of_chunks(&[(b"fmt ", format(16, 1)), (b"data", vec![]), (b"LIST", vec![0; 8])]);
    assert!(refusal(empty).contains("no samples"));
    for riff in [0u32, 36, u32::MAX] {
        let mut open = with(4, &riff.to_le_bytes());
        open[40..44].fill(0);
        assert_eq!(decode(open).expect("open-ended").samples(), 400, "{riff}");
    }
}

#[test]
fn samples_that_are_no_numbers_are_refused() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let samples = [0.5, -0.5, bad, 0.25];
        let data = samples.iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
        assert!(refusal(wav(3, 1, 16_000, 32, data)).contains("not a number"));
        let data = samples.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
        assert!(refusal(wav(3, 2, 16_000, 64, data)).contains("not a number"));
    }
    // Beyond the range of f32.
    let data = [1e300f64].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert!(refusal(wav(3, 1, 16_000, 64, data)).contains("not a number"));
}

#[test]
fn lying_sphere_headers_are_refused() {
    let good = fixture("tone_s16.sph");
    let text = String::from_utf8_lossy(&good[..1024]).into_owned();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let mut header = text.replace(from, to);
        header.truncate(header.trim_end_matches(['\0', ' ']).len());
        let mut bytes = header.into_bytes();
        bytes.resize(1024, b'\0');
        bytes.extend(&good[1024..]);
        bytes
    };
    let cases = [
        (with("sample_count -i 8000", "sample_count -i 8001"), "cut short"),
        (with("sample_count -i 8000", "sample_count -i 7999"), "announces"),
        (with("sample_count -i 8000", "sample_count -i many"), "not a number"),
        (with("sample_count -i 8000", "sample_count -i 99999999999999999999"), "not a number"),
        (with("sample_count -i 8000", "sample_count -i 18446744073709551615"), "cut short"),
        (with("-s3 pcm", "-s26 pcm,embedded-shorten-v2.00"), "Shorten"),
        (with("-s3 pcm", "-s3 celp"), "celp"),
        (with("sample_n_bytes -i 2", "sample_n_bytes -i 3"), "3 bytes"),
        (with("sample_byte_format -s2 01", "sample_byte_format -s2 11"), "11"),
        (with("sample_byte_format -s2 01\n", ""), "sample_byte_format"),
        (with("sample_rate -i 16000\n", ""), "sample_rate"),
        (with("channel_count -i 1", "channel_count -i 0"), "channels, 0"),
        (with("end_head", "no_head"), "end_head"),
        (with("   1024", "   tiny"), "how long"),
        (with("   1024", "9999999"), "how long"),
        (good[..900].to_vec(), "within its SPHERE header"),
    ];
    for (bytes, word) in cases {
        let sentence = refusal(bytes);
        assert!(sentence.contains(word), "{word}: {sentence}");
    }
    // Without a count, the file's length counts.
    let audio = decode(with("sample_count -i 8000\n", "")).expect("no count");
    assert_eq!(audio.samples(), 8000);
}

/// A file that breaks off anywhere is refused. An MP3 without a note of its length that is cut
/// exactly between two frames cannot be told from a whole one; nothing else may pass.
#[test]
fn every_truncation_is_refused() {
    for name in WHOLE {
        let bytes = fixture(name);
        let whole = decode(bytes.clone()).expect(name);
        // All lengths of the small files, every third of the larger ones.
        for length in (0..bytes.len()).step_by(1 + bytes.len() / 4000) {
            match decode(bytes[..length].to_vec()) {
                Err(error) => assert!(!error.is_disk_fault()),
                Ok(audio) if name == "stereo_bare.mp3" => {
                    assert_eq!(audio.samples() % 1152, 0, "{length}");
                }
                Ok(audio) if audio == whole => {} // only bytes behind the sound are missing
                Ok(_) => panic!("{name} cut to {length} of {} bytes was accepted", bytes.len()),
            }
        }
    }
}

/// Damage in the middle: 16 bytes overwritten. Checksums see it in FLAC and Ogg.
#[test]
fn damage_is_refused_where_a_checksum_stands() {
    for name in
        ["tone.flac", "stereo24.flac", "tone_flac.oga", "tone.ogg", "tone.opus", "stereo.opus"]
    {
        let bytes = fixture(name);
        let whole = decode(bytes.clone()).expect(name);
        for start in (0..bytes.len() - 16).step_by(37) {
            let mut damaged = bytes.clone();
            damaged[start..start + 16].iter_mut().for_each(|byte| *byte ^= 0x5a);
            // Damage to FLAC's notes about the encoder changes no sample.
            if let Ok(audio) = decode(damaged) {
                assert!(audio.channels == whole.channels, "{name} damaged at {start} was accepted");
            }
        }
    }
}

/// A FLAC stream whose header does not say its length, as from a pipe, still shows a cut.
#[test]
fn flac_without_a_length_is_checked_by_its_sum() {
    let mut bytes = fixture("tone.flac");
    // STREAMINFO: 4 bytes magic, 4 header; the count is the low 36 bits of bytes 13 to 17.
    bytes[8 + 13] &= 0xf0;
    bytes[8 + 14..8 + 18].fill(0);
    assert_eq!(decode(bytes.clone()).expect("whole").samples(), 8000);
    for length in (bytes.len() / 2..bytes.len()).step_by(5) {
        assert!(decode(bytes[..length].to_vec()).is_err(), "cut to {length}");
    }
}

#[test]
fn mp3_with_a_hole_is_refused() {
    let bytes = fixture("stereo_bare.mp3");
    // Frames of 64 kbit/s at 44.1 kHz have 208 or 209 bytes; take one, and half of one, away.
    let half = [&bytes[..400], &bytes[500..]].concat();
    assert!(refusal(half).contains("no frame begins"));
    let tag = [&bytes[..], b"TAG", &[b' '; 125]].concat();
    assert!(decode(tag).is_ok());
    let junk = [&bytes[..], b"something else"].concat();
    assert!(refusal(junk).contains("no frame begins"));
    let mut noted = fixture("tone.mp3");
    noted.truncate(noted.len() - 144); // exactly one frame of 32 kbit/s at 16 kHz
    assert!(refusal(noted).contains("announces"));
}

fn mutate(mut bytes: Vec<u8>, changes: &[(usize, u8)], cut: usize) -> Vec<u8> {
    for (position, value) in changes {
        let length = bytes.len();
        bytes[position % length] = *value;
    }
    let keep = bytes.len() - cut % bytes.len();
    bytes.truncate(keep);
    bytes
}

/// Whatever the bytes, an answer comes, and audio that is given is sound.
fn check_answer(bytes: Vec<u8>, raw: Option<&RawFormat>) {
    match decode_audio(bytes, Path::new("some/file"), raw) {
        Ok(audio) => {
            assert!(audio.sample_rate > 0 && audio.samples() > 0);
            assert!(audio.channels.iter().all(|channel| channel.len() == audio.samples()));
            assert!(audio.channels.iter().flatten().all(|sample| sample.is_finite()));
        }
        Err(error) => assert!(matches!(error, AudioError::Unusable { .. })),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_files_never_panic(
        which in 0..WHOLE.len(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..12),
        cut in prop_oneof![Just(0usize), any::<usize>()],
    ) {
        let mut bytes = mutate(fixture(WHOLE[which]), &changes, cut);
        mend_ogg(&mut bytes);
        check_answer(bytes, None);
    }

    /// Damage within the headers, where lengths and counts stand.
    #[test]
    fn damaged_headers_never_panic(
        which in 0..WHOLE.len(),
        changes in proptest::collection::vec((0..200usize, any::<u8>()), 1..6),
    ) {
        let mut bytes = mutate(fixture(WHOLE[which]), &changes, 0);
        mend_ogg(&mut bytes);
        check_answer(bytes, None);
    }

    #[test]
    fn damaged_wav_never_panics(
        changes in proptest::collection::vec((0..60usize, any::<u8>()), 0..6),
        cut in prop_oneof![Just(0usize), any::<usize>()],
    ) {
        let file = wav(1, 2, 16_000, 24, vec![7; 600]);
        check_answer(mutate(file, &changes, cut), None);
    }

    #[test]
    fn random_bytes_never_panic(
        magic in 0..11usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        encoding in 0..4usize,
    ) {
        let magics: [&[u8]; 11] = [
            b"", b"fLaC", b"ID3\x04\0\0\0\0\0\0", b"NIST_1A\n   1024\n", b"OggS\0\x02", b"RIFF\0\0\0\0WAVE",
            b"\0\0\0\x18ftypM4A ", &[0xff, 0xfb, 0x90, 0x44], b"RF64\xff\xff\xff\xffWAVEds64",
            b"fLaC\x80\0\0\x22", &[0xff, 0xf3, 0x48, 0xc0],
        ];
        check_answer([magics[magic], &bytes].concat(), None);
        let encodings = [Encoding::PcmS24le, Encoding::Ulaw, Encoding::PcmF32be, Encoding::PcmF64le];
        let raw = RawFormat { encoding: encodings[encoding], sample_rate: 8000, channels: 3 };
        check_answer(bytes, Some(&raw));
    }
}
