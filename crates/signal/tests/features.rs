//! Features against Kaldi's and HTK's values, against the definition, and chunks against wholes.

use std::f64::consts::TAU;
use std::path::PathBuf;

use labyrinth_signal::{
    FeatureExtractor, FeatureKind, FeatureOptions, InstructionSet, Normalization, WindowType,
    read_audio,
};
use proptest::prelude::*;

/// The signal of `golden/make_fbank.py`, in [-1, 1).
fn golden_signal() -> Vec<f32> {
    (0..9000i64)
        .map(|i| {
            let mut value = (i * i * 7 + i * 13) % 2003 - 1001;
            for (pitch, loudness) in [(3, 6), (17, 3), (61, 2)] {
                let phase = (i * pitch) % 1000;
                let triangle = phase.min(1000 - phase) - 250;
                value += (loudness * triangle * (i + 1000)).div_euclid(4000);
            }
            (value + 300) as f32 / 32768.0
        })
        .collect()
}

/// One case of `golden/fbank.txt`.
struct Golden {
    name: String,
    options: FeatureOptions,
    frames: usize,
    rows: Vec<(usize, Vec<f32>)>,
}

fn golden_cases() -> Vec<Golden> {
    let mut cases: Vec<Golden> = Vec::new();
    let mut options = String::new();
    for line in include_str!("golden/fbank.txt").lines().filter(|line| !line.starts_with('#')) {
        let (key, rest) = line.split_once(' ').expect("a word and a value");
        if key == "case" {
            options.clear();
            cases.push(Golden {
                name: rest.to_string(),
                options: FeatureOptions::default(),
                frames: 0,
                rows: Vec::new(),
            });
            continue;
        }
        let case = cases.last_mut().expect("a case comes first");
        match key {
            "option" => {
                options += &format!("{rest}\n");
                case.options = toml::from_str(&options).expect("options as in a recipe");
            }
            "frames" => case.frames = rest.parse().expect("a number"),
            "row" => {
                let mut words = rest.split(' ');
                let index = words.next().and_then(|word| word.parse().ok()).expect("an index");
                case.rows.push((index, words.map(|word| word.parse().expect("a value")).collect()));
            }
            other => panic!("unknown line {other}"),
        }
    }
    cases
}

fn compute(options: &FeatureOptions, samples: &[f32]) -> (usize, Vec<f32>) {
    let mut extractor = FeatureExtractor::new(options).expect("valid options");
    let mut out = Vec::new();
    extractor.compute(samples, &mut out);
    assert_eq!(out.len(), extractor.frame_count(samples.len()) * extractor.dim());
    (extractor.dim(), out)
}

#[test]
fn filterbank_is_kaldis() {
    let samples = golden_signal();
    let cases = golden_cases();
    assert_eq!(cases.len(), 14);
    for case in cases {
        let (dim, features) = compute(&case.options, &samples);
        assert_eq!(features.len(), case.frames * dim, "{}", case.name);
        let mut worst = 0f32;
        for (index, row) in &case.rows {
            assert_eq!(row.len(), dim, "{}", case.name);
            for (ours, theirs) in features[index * dim..].iter().zip(row) {
                // Energies without logarithm are compared relative to their size.
                worst = worst.max((ours - theirs).abs() / theirs.abs().max(10.0) * 10.0);
            }
        }
        println!("{}: differs by at most {worst:.1e}", case.name);
        assert!(worst < 1e-4, "{}: {worst}", case.name);
    }
}

#[test]
fn filterbank_is_htks() {
    let Some(folder) = std::env::var_os("LABYRINTH_DATA") else {
        println!("SKIPPED: set LABYRINTH_DATA to the folder that holds kaldi-feat");
        return;
    };
    let folder = PathBuf::from(folder).join("kaldi-feat");
    let audio = read_audio(&folder.join("test.wav"), None).expect("the test recording");
    for (case, low_freq, vtln_warp) in
        [(1, 0.0, 1.0), (2, 25.0, 1.0), (3, 25.0, 0.9), (4, 25.0, 1.1)]
    {
        let bytes =
            std::fs::read(folder.join(format!("test.wav.fbank_htk.{case}"))).expect("HTK's output");
        let frames = u32::from_be_bytes(bytes[0..4].try_into().expect("4 bytes")) as usize;
        let theirs: Vec<f32> = bytes[12..]
            .chunks_exact(4)
            .map(|word| f32::from_be_bytes(word.try_into().expect("4 bytes")))
            .collect();
        let options = FeatureOptions {
            num_mel_bins: 23,
            low_freq,
            window_type: WindowType::Hamming,
            preemphasis_coefficient: 0.0,
            remove_dc_offset: false,
            htk_compat: true,
            htk_mode: true,
            vtln_warp,
            vtln_low: 100.0,
            vtln_high: 7500.0,
            ..FeatureOptions::default()
        };
        let (dim, ours) = compute(&options, &audio.mono());
        assert_eq!((frames, dim), (142, 23));
        assert_eq!(ours.len(), theirs.len());
        // Where the three straight lines of the warp meet is defined otherwise: for warp w, edge e
        // and scale 1 / w, HTK bends at 2 e / (1 + 1 / w), Kaldi at e max(1, w) below and
        // e min(1, w) above. So the filters near a bend differ.
        let bent: &[usize] = match case {
            3 => &[21, 22], // from 6750 Hz on instead of 7105 Hz
            4 => &[0, 1],   // up to 110 Hz instead of 105 Hz
            _ => &[],
        };
        let mut worst = [0f32; 2];
        for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let worst = &mut worst[usize::from(bent.contains(&(index % dim)))];
            *worst = worst.max((ours - theirs).abs());
        }
        println!(
            "fbank {case}: differs by at most {:.1e}, bent filters {:.1e}",
            worst[0], worst[1]
        );
        assert!(worst[0] < 1e-4 && worst[1] < 0.5, "fbank {case}: {worst:?}");
    }
}

/// The definition, written down a second time: double precision, the transform as a sum, the
/// triangles by their corners.
fn by_definition(options: &FeatureOptions, samples: &[f32]) -> Vec<Vec<f64>> {
    let rate = f64::from(options.sample_frequency);
    let length = (rate * f64::from(options.frame_length) / 1000.0).floor() as i64;
    let shift = (rate * f64::from(options.frame_shift) / 1000.0).floor() as i64;
    let points = if options.round_to_power_of_two {
        (length as u64).next_power_of_two() as i64
    } else {
        length
    };
    let total = samples.len() as i64;
    let sample = |mut index: i64| {
        while !(0..total).contains(&index) {
            index = if index < 0 { -index - 1 } else { 2 * total - 1 - index };
        }
        f64::from(samples[index as usize]) * 32768.0
    };
    let starts: Vec<i64> = if options.snip_edges {
        (0..).map(|frame| frame * shift).take_while(|start| start + length <= total).collect()
    } else {
        let count = (total + shift / 2) / shift;
        (0..count).map(|frame| frame * shift + shift / 2 - length / 2).collect()
    };
    let mel = |frequency: f64| 1127.0 * (1.0 + frequency / 700.0).ln();
    let mut rows = Vec::new();
    for start in starts {
        let mut frame: Vec<f64> = (start..start + length).map(sample).collect();
        if options.remove_dc_offset {
            let mean = frame.iter().sum::<f64>() / length as f64;
            frame.iter_mut().for_each(|value| *value -= mean);
        }
        let before = frame.clone();
        for (i, value) in frame.iter_mut().enumerate() {
            *value -= f64::from(options.preemphasis_coefficient) * before[i.saturating_sub(1)];
            let angle = TAU * i as f64 / (length - 1) as f64;
            *value *= match options.window_type {
                WindowType::Hamming => 0.54 - 0.46 * angle.cos(),
                _ => (0.5 - 0.5 * angle.cos()).powf(0.85),
            };
        }
        let power: Vec<f64> = (0..=points / 2)
            .map(|bin| {
                let (mut re, mut im) = (0.0, 0.0);
                for (i, value) in frame.iter().enumerate() {
                    let angle = TAU * ((bin * i as i64) % points) as f64 / points as f64;
                    re += value * angle.cos();
                    im -= value * angle.sin();
                }
                re * re + im * im
            })
            .collect();
        rows.push(match options.kind {
            FeatureKind::Spectrogram => power,
            FeatureKind::LogSpectrogram => {
                power.iter().map(|power| power.max(f64::from(f32::EPSILON)).ln()).collect()
            }
            FeatureKind::Fbank => {
                let (low, high) = (mel(f64::from(options.low_freq)), mel(rate / 2.0));
                let step = (high - low) / (options.num_mel_bins + 1) as f64;
                (0..options.num_mel_bins)
                    .map(|bin| {
                        let center = low + (bin + 1) as f64 * step;
                        let energy: f64 = (0..points / 2)
                            .map(|k| {
                                let distance =
                                    (mel(k as f64 * rate / points as f64) - center) / step;
                                power[k as usize] * (1.0 - distance.abs()).max(0.0)
                            })
                            .sum();
                        energy.max(f64::from(f32::EPSILON)).ln()
                    })
                    .collect()
            }
        });
    }
    rows
}

#[test]
fn features_follow_the_definition() {
    let base = FeatureOptions::default();
    let kinds = [FeatureKind::Fbank, FeatureKind::Spectrogram, FeatureKind::LogSpectrogram];
    let samples = &golden_signal()[..3000];
    for kind in kinds {
        for (length, shift) in [(25.0, 10.0), (70.0, 50.0), (10.0, 25.0)] {
            for (snip_edges, round_to_power_of_two) in [(true, true), (false, true), (true, false)]
            {
                let options = FeatureOptions {
                    kind,
                    frame_length: length,
                    frame_shift: shift,
                    snip_edges,
                    round_to_power_of_two,
                    num_mel_bins: 20,
                    window_type: if snip_edges { WindowType::Povey } else { WindowType::Hamming },
                    ..base.clone()
                };
                let (dim, ours) = compute(&options, samples);
                let theirs = by_definition(&options, samples);
                assert_eq!(ours.len(), theirs.len() * dim);
                assert!(!theirs.is_empty());
                for (row, expected) in ours.chunks(dim).zip(&theirs) {
                    // Single precision: about 1e-6 of the frame's largest bin.
                    let largest = match kind {
                        FeatureKind::Spectrogram => expected.iter().fold(0f64, |a, b| a.max(*b)),
                        _ => 100.0,
                    };
                    for (ours, expected) in row.iter().zip(expected) {
                        let difference = (f64::from(*ours) - expected).abs();
                        assert!(difference < largest * 2e-5, "{ours} {expected} {options:?}");
                    }
                }
            }
        }
    }
}

/// Kaldi's `compute-spectrogram-feats` has the logarithm of the frame's energy in place of bin 0.
#[test]
fn log_spectrogram_takes_the_energy() {
    let samples = golden_signal();
    let options = FeatureOptions {
        kind: FeatureKind::LogSpectrogram,
        use_energy: true,
        ..FeatureOptions::default()
    };
    let (dim, with) = compute(&options, &samples);
    let (_, without) = compute(&FeatureOptions { use_energy: false, ..options }, &samples);
    for (index, (with, without)) in with.chunks(dim).zip(without.chunks(dim)).enumerate() {
        assert_eq!(with[1..], without[1..]);
        let frame: Vec<f64> =
            samples[index * 160..][..400].iter().map(|s| f64::from(*s) * 32768.0).collect();
        let mean = frame.iter().sum::<f64>() / 400.0;
        let energy: f64 = frame.iter().map(|s| (s - mean).powi(2)).sum();
        assert!((f64::from(with[0]) - energy.ln()).abs() < 1e-4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// Promise 6: chunks of any size give the same bytes as the whole.
    #[test]
    fn chunks_equal_the_whole(
        kind in 0..3usize,
        snip_edges: bool,
        length in 1..60u32,
        shift in 1..60u32,
        total in 0..3000usize,
        sizes in proptest::collection::vec(1..700usize, 1..8),
    ) {
        let kinds = [FeatureKind::Fbank, FeatureKind::Spectrogram, FeatureKind::LogSpectrogram];
        let options = FeatureOptions {
            kind: kinds[kind],
            sample_frequency: 8000.0,
            frame_length: length as f32,
            frame_shift: shift as f32,
            snip_edges,
            num_mel_bins: 3,
            low_freq: 0.0,
            ..FeatureOptions::default()
        };
        let samples = &golden_signal()[..total];
        let mut extractor = FeatureExtractor::new(&options).expect("valid options");
        let mut whole = Vec::new();
        extractor.compute(samples, &mut whole);
        prop_assert_eq!(whole.len(), extractor.frame_count(total) * extractor.dim());
        let mut pieces = Vec::new();
        let (mut rest, mut round) = (samples, 0);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes[round % sizes.len()].min(rest.len()));
            extractor.push(piece, &mut pieces);
            (rest, round) = (after, round + 1);
        }
        extractor.finish(&mut pieces);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&whole), bits(&pieces));
    }
}

/// What a machine has must not change what it computes.
#[test]
fn instruction_sets_give_the_same_bytes() {
    let samples = golden_signal();
    let base = FeatureOptions::default();
    for options in [
        base.clone(),
        FeatureOptions { frame_length: 250.0, frame_shift: 50.0, ..base.clone() },
        FeatureOptions { use_energy: true, raw_energy: false, use_power: false, ..base.clone() },
        FeatureOptions { kind: FeatureKind::LogSpectrogram, use_energy: true, ..base.clone() },
        FeatureOptions { kind: FeatureKind::Spectrogram, remove_dc_offset: false, ..base.clone() },
        FeatureOptions { round_to_power_of_two: false, num_mel_bins: 40, ..base },
    ] {
        let mut first: Option<Vec<u32>> = None;
        for set in InstructionSet::available() {
            let mut extractor =
                FeatureExtractor::with_instructions(&options, set).expect("valid options");
            let mut out = Vec::new();
            extractor.compute(&samples, &mut out);
            let bits: Vec<u32> = out.iter().map(|value| value.to_bits()).collect();
            assert!(!bits.is_empty());
            assert!(*first.get_or_insert_with(|| bits.clone()) == bits, "{set} {options:?}");
        }
    }
}

/// The extremes of the property above, with the natural sizes.
#[test]
fn single_samples_equal_the_whole() {
    let samples = golden_signal();
    for (frame_length, frame_shift) in [(25.0, 10.0), (250.0, 50.0)] {
        for snip_edges in [true, false] {
            let options =
                FeatureOptions { frame_length, frame_shift, snip_edges, ..Default::default() };
            let (_, whole) = compute(&options, &samples);
            let mut extractor = FeatureExtractor::new(&options).expect("valid options");
            let mut pieces = Vec::new();
            for sample in &samples {
                extractor.push(std::slice::from_ref(sample), &mut pieces);
            }
            extractor.finish(&mut pieces);
            assert!(whole == pieces, "{frame_length} {snip_edges}");
            // Finishing resets: the same again.
            let mut again = Vec::new();
            extractor.push(&samples, &mut again);
            extractor.finish(&mut again);
            assert!(whole == again);
        }
    }
}

#[test]
fn frames_are_counted_as_kaldi_counts() {
    let count = |snip_edges, samples| {
        let options = FeatureOptions { snip_edges, ..Default::default() };
        FeatureExtractor::new(&options).expect("valid options").frame_count(samples)
    };
    let table =
        [(0, 0, 0), (79, 0, 0), (80, 0, 1), (399, 0, 2), (400, 1, 3), (559, 1, 3), (560, 2, 4)];
    for (samples, snipped, mirrored) in table {
        assert_eq!((count(true, samples), count(false, samples)), (snipped, mirrored), "{samples}");
    }
}

#[test]
fn both_natural_framings_work_at_telephone_rate() {
    for rate in [8000.0, 16_000.0, 44_100.0] {
        for (frame_length, frame_shift) in [(25.0, 10.0), (250.0, 50.0)] {
            let options = FeatureOptions {
                sample_frequency: rate,
                frame_length,
                frame_shift,
                ..Default::default()
            };
            let extractor = FeatureExtractor::new(&options);
            assert!(extractor.is_ok(), "{rate} {frame_length}: {extractor:?}");
        }
    }
}

#[test]
fn options_are_read_from_a_recipe() {
    let text = "kind = \"log-spectrogram\"\nframe-length = 250\nsnip-edges = false\n\
                normalize = \"none\"\nwindow-type = \"hamming\"";
    let options: FeatureOptions = toml::from_str(text).expect("valid");
    let expected = FeatureOptions {
        kind: FeatureKind::LogSpectrogram,
        frame_length: 250.0,
        snip_edges: false,
        normalize: Normalization::None,
        window_type: WindowType::Hamming,
        ..FeatureOptions::default()
    };
    assert_eq!(options, expected);
    let text = toml::to_string(&expected).expect("writable");
    assert_eq!(toml::from_str::<FeatureOptions>(&text).expect("readable"), expected);
    assert!(toml::from_str::<FeatureOptions>("frame_length = 25").is_err());
    assert!(toml::from_str::<FeatureOptions>("num-mel-bin = 25").is_err());
}

#[test]
fn impossible_options_are_refused_by_name() {
    let refused: [(&str, &str); 16] = [
        ("sample-frequency", "sample-frequency = 0"),
        ("sample-frequency", "sample-frequency = 16000.5"),
        ("sample-frequency", "sample-frequency = nan"),
        ("frame-length", "frame-length = 0"),
        ("frame-length", "frame-length = inf"),
        ("frame-length", "frame-length = 25.07\nround-to-power-of-two = false"),
        ("frame-shift", "frame-shift = 0.01"),
        ("frame-shift", "frame-shift = -10"),
        ("num-mel-bins", "num-mel-bins = 2"),
        ("num-mel-bins", "num-mel-bins = 400"),
        ("low-freq", "low-freq = 8000"),
        ("high-freq", "high-freq = 9000"),
        ("high-freq", "high-freq = -7990"),
        ("dither", "dither = 1.0"),
        ("preemphasis-coefficient", "preemphasis-coefficient = 2"),
        ("use-energy", "use-energy = true\nkind = \"spectrogram\""),
    ];
    for (option, text) in refused {
        let options: FeatureOptions = toml::from_str(text).expect("well formed");
        let error = FeatureExtractor::new(&options).expect_err(text);
        assert_eq!(error.option, option, "{error}");
        assert!(error.to_string().contains(option));
    }
}
