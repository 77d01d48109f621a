//! Every format decodes to the tone that went in: rate, channels, length, level, phase.

mod common;

use std::path::Path;

use common::{
    decode, fixture, fixture_path, format_chunk, measure, pcm16, tone, wav, wav_of_chunks,
};
use labyrinth_signal::{
    Audio, AudioError, Encoding, RawFormat, read_audio, read_audio_section, write_wav,
};

/// What is expected of a fixture.
struct Expected {
    name: &'static str,
    rate: u32,
    channels: usize,
    samples: usize,
    /// Greatest error of the amplitude, as a share.
    level: f64,
    /// Greatest delay in samples (libopus itself is 2 to 3 early in its voice mode); none where the run-in of the encoder is not known.
    delay: Option<f64>,
    /// Greatest root mean square of all that is not the tone.
    noise: f64,
}

const LOSSLESS: f64 = 2e-5;

/// LAME turns the sound down by 5 % at low bit rates, against clipping.
const QUIETER: f64 = 0.051;

#[rustfmt::skip]
const FIXTURES: [Expected; 21] = [
    Expected { name: "tone.flac", rate: 16000, channels: 1, samples: 8000, level: 1e-5, delay: Some(1e-4), noise: LOSSLESS },
    Expected { name: "stereo24.flac", rate: 44100, channels: 2, samples: 13230, level: 1e-4, delay: Some(1e-3), noise: LOSSLESS },
    Expected { name: "tone_flac.oga", rate: 16000, channels: 1, samples: 8000, level: 1e-5, delay: Some(1e-4), noise: LOSSLESS },
    Expected { name: "tone_alac.m4a", rate: 16000, channels: 1, samples: 8000, level: 1e-5, delay: Some(1e-4), noise: LOSSLESS },
    Expected { name: "tone.mp3", rate: 16000, channels: 1, samples: 8000, level: QUIETER, delay: Some(0.05), noise: 0.005 },
    Expected { name: "tone_mp3.wav", rate: 16000, channels: 1, samples: 16 * 576, level: QUIETER, delay: None, noise: 0.005 },
    Expected { name: "stereo_bare.mp3", rate: 44100, channels: 2, samples: 13 * 1152, level: QUIETER, delay: None, noise: 0.005 },
    Expected { name: "tone.m4a", rate: 16000, channels: 1, samples: 8000, level: 0.02, delay: Some(0.5), noise: 0.02 },
    Expected { name: "stereo.m4a", rate: 44100, channels: 2, samples: 13230, level: 0.02, delay: Some(0.5), noise: 0.02 },
    Expected { name: "tone.ogg", rate: 16000, channels: 1, samples: 8000, level: 0.02, delay: Some(0.5), noise: 0.02 },
    Expected { name: "stereo.ogg", rate: 44100, channels: 2, samples: 13230, level: 0.02, delay: Some(0.5), noise: 0.02 },
    Expected { name: "tone.opus", rate: 48000, channels: 1, samples: 24000, level: 0.02, delay: Some(3.0), noise: 0.02 },
    Expected { name: "stereo.opus", rate: 48000, channels: 2, samples: 14400, level: 0.02, delay: Some(0.5), noise: 0.02 },
    Expected { name: "tone_voice.opus", rate: 48000, channels: 1, samples: 24000, level: 0.1, delay: Some(3.0), noise: 0.05 },
    Expected { name: "tone_adpcm_ms.wav", rate: 16000, channels: 1, samples: 8000, level: 0.01, delay: Some(0.05), noise: 0.005 },
    Expected { name: "tone_adpcm_ima.wav", rate: 16000, channels: 1, samples: 8000, level: 0.02, delay: Some(0.05), noise: 0.01 },
    Expected { name: "tone_s16.sph", rate: 16000, channels: 1, samples: 8000, level: 1e-5, delay: Some(1e-4), noise: LOSSLESS },
    Expected { name: "tone_s16be.sph", rate: 16000, channels: 1, samples: 8000, level: 1e-5, delay: Some(1e-4), noise: LOSSLESS },
    Expected { name: "tone_ulaw.sph", rate: 16000, channels: 1, samples: 8000, level: 0.01, delay: Some(0.01), noise: 0.01 },
    Expected { name: "piped_sox.wav", rate: 8000, channels: 1, samples: 4000, level: 0.01, delay: Some(0.05), noise: 0.01 },
    Expected { name: "piped_ffmpeg.wav", rate: 8000, channels: 1, samples: 4000, level: 0.01, delay: Some(0.1), noise: 0.01 },
];

#[test]
fn fixtures_hold_their_tones() {
    for expected in FIXTURES {
        let name = expected.name;
        let audio = read_audio(&fixture_path(name), None).expect(name);
        let shape = (audio.sample_rate, audio.channels.len(), audio.samples());
        assert_eq!(shape, (expected.rate, expected.channels, expected.samples), "{name}");
        let tones = [(1000.0, 0.5), (1500.0, 0.25)];
        for (channel, (frequency, amplitude)) in audio.channels.iter().zip(tones) {
            let (level, delay, noise) = measure(channel, audio.sample_rate, frequency);
            println!("{name}: {frequency} Hz {level:.5}, delay {delay:.4}, noise {noise:.6}");
            assert!((level / amplitude - 1.0).abs() < expected.level, "{name} level {level}");
            assert!(noise < expected.noise, "{name} noise {noise}");
            if let Some(most) = expected.delay {
                assert!(delay.abs() < most, "{name} delay {delay}");
            }
        }
        // The same from memory, and by a name that lies about the format.
        assert_eq!(decode(fixture(name)).expect(name), audio, "{name}");
    }
}

fn assert_tone(audio: &Audio, channels: usize, samples: &[f32], most: f32, what: &str) {
    assert_eq!(audio.channels.len(), channels, "{what}");
    for (index, channel) in audio.channels.iter().enumerate() {
        assert_eq!(channel.len(), samples.len(), "{what}");
        // Channel k holds the tone divided by k + 1.
        let share = 1.0 / (index + 1) as f32;
        for (ours, expected) in channel.iter().zip(samples) {
            assert!((ours - expected * share).abs() <= most, "{what}: {ours} {expected}");
        }
    }
}

/// Interleaves `channels` copies of the tone, each by its own share, as bytes.
fn interleave(samples: &[f32], channels: u16, write: impl Fn(f64) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for sample in samples {
        for channel in 0..channels {
            bytes.extend(write(f64::from(*sample) / f64::from(channel + 1)));
        }
    }
    bytes
}

/// Bits, format number, greatest error, and how a sample is written.
type Form = (u16, u16, f32, fn(f64) -> Vec<u8>);

const FORMS: [Form; 6] = [
    (8, 1, 1.0 / 128.0, |v| vec![((v * 128.0).round() + 128.0) as u8]),
    (16, 1, 1.0 / 32768.0, |v| ((v * 32768.0).round() as i16).to_le_bytes().to_vec()),
    (24, 1, 1e-6, |v| ((v * 8_388_608.0).round() as i32).to_le_bytes()[..3].to_vec()),
    (32, 1, 1e-7, |v| ((v * 2_147_483_648.0).round() as i32).to_le_bytes().to_vec()),
    (32, 3, 0.0, |v| (v as f32).to_le_bytes().to_vec()),
    (64, 3, 0.0, |v| v.to_le_bytes().to_vec()),
];

#[test]
fn wav_in_all_common_forms() {
    let samples = tone(500, 16_000, 1000.0);
    for (bits, format, most, write) in FORMS {
        for channels in [1u16, 2, 6] {
            let what = format!("{bits} bits, format {format}, {channels} channels");
            // Shares other than powers of two round once more.
            let most = if channels == 6 { most.max(1e-7) } else { most };
            let data = interleave(&samples, channels, write);
            let plain = decode(wav(format, channels, 16_000, bits, data.clone())).expect(&what);
            assert_eq!(plain.sample_rate, 16_000);
            assert_tone(&plain, usize::from(channels), &samples, most, &what);
            // The extensible form, with chunks around that are to be skipped.
            let mut extensible = format_chunk(0xfffe, channels, 16_000, bits);
            extensible.extend(22u16.to_le_bytes());
            extensible.extend(bits.to_le_bytes());
            extensible.extend(3u32.to_le_bytes());
            extensible.extend(format.to_le_bytes());
            extensible.extend([0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113]);
            let bytes = wav_of_chunks(&[
                (b"JUNK", vec![1, 2, 3]),
                (b"fmt ", extensible),
                (b"LIST", b"INFOmade by a test".to_vec()),
                (b"data", data),
                (b"id3 ", vec![0; 7]),
            ]);
            assert_eq!(decode(bytes).expect(&what), plain, "extensible, {what}");
        }
    }
}

#[test]
fn wav_of_the_big_forms() {
    let samples = tone(300, 8000, 440.0);
    let data = pcm16(&samples);
    // RF64: the length stands in ds64, the data chunk has a placeholder.
    let mut ds64 = Vec::new();
    for number in [0u64, data.len() as u64, samples.len() as u64] {
        ds64.extend(number.to_le_bytes());
    }
    ds64.extend(0u32.to_le_bytes());
    let mut bytes = wav_of_chunks(&[
        (b"ds64", ds64),
        (b"fmt ", format_chunk(1, 1, 8000, 16)),
        (b"data", data.clone()),
        (b"LIST", vec![9; 40]),
    ]);
    bytes[0..8].copy_from_slice(b"RF64\xff\xff\xff\xff");
    let length_at = bytes.windows(4).position(|w| w == b"data").expect("there") + 4;
    bytes[length_at..length_at + 4].fill(0xff);
    assert_tone(&decode(bytes.clone()).expect("RF64"), 1, &samples, 1.0 / 32768.0, "RF64");
    // RIFX: all numbers the other way round.
    let mut rifx =
        b"RIFX\0\0\0\0WAVEfmt \0\0\0\x10\0\x01\0\x01\0\0\x1f\x40\0\0\x3e\x80\0\x02\0\x10data"
            .to_vec();
    rifx.extend((data.len() as u32).to_be_bytes());
    rifx.extend(data.chunks(2).flat_map(|pair| [pair[1], pair[0]]));
    assert_tone(&decode(rifx).expect("RIFX"), 1, &samples, 1.0 / 32768.0, "RIFX");
}

#[test]
fn g711_in_wav() {
    // One code per sample; values from the tables of ITU-T G.711.
    let alaw = decode(wav(6, 1, 8000, 8, vec![0xaa, 0x2a, 0xd5])).expect("A-law");
    assert_eq!(alaw.channels[0], [32256.0 / 32768.0, -32256.0 / 32768.0, 8.0 / 32768.0]);
    let ulaw = decode(wav(7, 1, 8000, 8, vec![0x80, 0x00, 0xff])).expect("u-law");
    assert_eq!(ulaw.channels[0], [32124.0 / 32768.0, -32124.0 / 32768.0, 0.0]);
}

#[test]
fn headerless_by_its_format() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sound.raw");
    let samples = tone(400, 16_000, 1000.0);
    let bytes: Vec<u8> = pcm16(&samples).chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    std::fs::write(&path, &bytes).expect("written");
    let raw = RawFormat { encoding: Encoding::PcmS16be, sample_rate: 16_000, channels: 1 };
    let audio = read_audio(&path, Some(&raw)).expect("raw");
    assert_tone(&audio, 1, &samples, 1.0 / 32768.0, "raw");
    let part = read_audio_section(&path, Some(&raw), 0.01, Some(0.005)).expect("raw");
    assert_eq!(part.channels[0], audio.channels[0][160..240]);
    std::fs::write(&path, &bytes[..799]).expect("written");
    let error = read_audio(&path, Some(&raw)).expect_err("half a sample");
    assert!(error.to_string().contains("not a whole number"), "{error}");
}

#[test]
fn sections_are_cut_alike_from_every_format() {
    for name in [
        "tone.flac",
        "tone.mp3",
        "tone.m4a",
        "tone.opus",
        "tone.ogg",
        "tone_s16.sph",
        "piped_sox.wav",
        "tone_adpcm_ms.wav",
    ] {
        let path = fixture_path(name);
        let whole = read_audio(&path, None).expect(name);
        let rate = whole.sample_rate as usize;
        let part = read_audio_section(&path, None, 0.1, Some(0.2)).expect(name);
        assert_eq!(part.channels[0], whole.channels[0][rate / 10..rate * 3 / 10], "{name}");
        let rest = read_audio_section(&path, None, 0.25, None).expect(name);
        assert_eq!(rest.channels[0], whole.channels[0][rate / 4..], "{name}");
        // A duration rounded up by the manifest is no fault.
        assert!(read_audio_section(&path, None, 0.0, Some(0.51)).is_ok(), "{name}");
        for (offset, duration) in [
            (0.5, None),
            (7.0, Some(0.1)),
            (0.1, Some(0.6)),
            (-0.1, None),
            (f64::NAN, None),
            (0.0, Some(0.0)),
            (0.0, Some(f64::NAN)),
            (f64::INFINITY, None),
            (0.1, Some(1e-9)),
        ] {
            let error = read_audio_section(&path, None, offset, duration).expect_err(name);
            assert!(matches!(error, AudioError::Unusable { .. }), "{name}: {error}");
        }
    }
}

#[test]
fn written_wav_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.wav");
    write_wav(&path, 16_000, &[0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 1.0 / 65536.0])
        .expect("written");
    let audio = read_audio(&path, None).expect("read");
    let top = 32767.0 / 32768.0;
    let bottom = 1.0 / 32768.0;
    assert_eq!(audio.channels, [[0.0, 0.5, -0.5, top, -1.0, top, -1.0, bottom]]);
    assert!(write_wav(&path, 16_000, &[f32::NAN]).is_err());
    let error = write_wav(&folder.path().join("none/out.wav"), 16_000, &[0.0]).expect_err("none");
    assert!(matches!(error, AudioError::Missing { .. }), "{error}");
}

#[test]
fn mono_is_the_mean() {
    let audio = Audio { sample_rate: 8000, channels: vec![vec![1.0, 0.5], vec![0.0, -0.5]] };
    assert_eq!(audio.mono(), [0.5, 0.0]);
    assert_eq!(audio.duration(), 2.0 / 8000.0);
    assert_eq!(Audio { sample_rate: 8000, channels: vec![] }.mono(), [0f32; 0]);
}

/// The headerless big-endian files and the FLAC files of AN4's test set hold the same samples.
#[test]
fn an4_is_the_same_in_both_forms() {
    let Some(folder) = std::env::var_os("LABYRINTH_DATA") else {
        println!("SKIPPED: set LABYRINTH_DATA to the folder that holds an4");
        return;
    };
    let folder = Path::new(&folder).join("an4");
    let raw = RawFormat { encoding: Encoding::PcmS16be, sample_rate: 16_000, channels: 1 };
    let mut compared = 0;
    let mut folders = vec![folder.join("wav")];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inner = path.strip_prefix(folder.join("wav")).expect("inside");
            let flac = folder.join("flac").join(inner).with_extension("flac");
            let (ours, theirs) = (read_audio(&path, Some(&raw)), read_audio(&flac, None));
            assert_eq!(ours.expect("raw"), theirs.expect("flac"));
            compared += 1;
        }
    }
    assert_eq!(compared, 130);
}
