//! Features against Kaldi's values, against the definition, and chunks against wholes.

mod common;

use common::definition::by_definition;
use common::golden::{compute, golden_cases, golden_signal, worst_difference};
use labyrinth_signal::{
    Centering, FeatureExtractor, FeatureKind, FeatureOptions, InstructionSet, Preset, WindowType,
};
use proptest::prelude::*;

#[test]
fn filterbank_is_kaldis() {
    let samples = golden_signal();
    let cases = golden_cases(include_str!("golden/fbank.txt"));
    assert_eq!(cases.len(), 14);
    for case in cases {
        let (dim, features) = compute(&case.options, &samples);
        let worst = worst_difference(&case, dim, &features);
        assert!(worst < 1e-4, "{}: {worst}", case.name);
    }
}

#[test]
fn mfcc_and_spectrogram_are_kaldis() {
    let samples = golden_signal();
    let cases = golden_cases(include_str!("golden/cepstra.txt"));
    assert_eq!(cases.len(), 11);
    for case in cases {
        let (dim, features) = compute(&case.options, &samples);
        let worst = worst_difference(&case, dim, &features);
        assert!(worst < 1e-4, "{}: {worst}", case.name);
    }
}

#[test]
fn presets_are_whispers_and_nemos() {
    let samples = golden_signal();
    let cases = golden_cases(include_str!("golden/presets.txt"));
    assert_eq!(cases.len(), 4);
    for case in cases {
        let (dim, mut features) = compute(&case.options, &samples);
        case.options.normalize.apply(&mut features, dim);
        let worst = worst_difference(&case, dim, &features);
        assert!(worst < 1e-4, "{}: {worst}", case.name);
    }
}

#[test]
fn features_follow_the_definition() {
    let base = FeatureOptions::default();
    let samples = &golden_signal()[..3000];
    for kind in KINDS {
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
                    use_energy: length == 70.0 && kind != FeatureKind::Spectrogram,
                    raw_energy: snip_edges,
                    htk_compat: length == 10.0,
                    cepstral_lifter: if length == 10.0 { 0.0 } else { 22.0 },
                    cepstral_scale: if snip_edges { 1.0 } else { 10.0 },
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

/// All kinds.
const KINDS: [FeatureKind; 6] = [
    FeatureKind::Fbank,
    FeatureKind::Mfcc,
    FeatureKind::Plp,
    FeatureKind::Spectrogram,
    FeatureKind::LogSpectrogram,
    FeatureKind::Energy,
];

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

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    /// Promise 6: chunks of any size give the same bytes as the whole, with dither and without.
    #[test]
    fn chunks_equal_the_whole(
        kind in 0..KINDS.len(),
        snip_edges: bool,
        centering in 0..3usize,
        dither: bool,
        preemphasis_across_frames: bool,
        length in 2..60u32,
        shift in 1..60u32,
        total in 0..3000usize,
        sizes in proptest::collection::vec(1..700usize, 1..8),
    ) {
        let centering = [Centering::None, Centering::Reflect, Centering::Zeros][centering];
        let options = FeatureOptions {
            sample_frequency: 8000.0,
            frame_length: length as f32,
            frame_shift: shift as f32,
            snip_edges: snip_edges && centering == Centering::None,
            centering,
            preemphasis_across_frames,
            dither: if dither { 1.0 } else { 0.0 },
            num_mel_bins: 3,
            num_ceps: 3,
            lpc_order: 3,
            low_freq: 0.0,
            ..FeatureOptions::of_kind(KINDS[kind])
        };
        let samples = &golden_signal()[..total];
        let mut extractor = FeatureExtractor::new(&options).expect("valid options");
        let mut whole = Vec::new();
        extractor.compute_for("an-utterance", samples, &mut whole);
        prop_assert_eq!(whole.len(), extractor.frame_count(total) * extractor.dim());
        prop_assert!(whole.iter().all(|value| value.is_finite()));
        let mut pieces = Vec::new();
        let (mut rest, mut round) = (samples, 0);
        extractor.reset_for("an-utterance");
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes[round % sizes.len()].min(rest.len()));
            extractor.push(piece, &mut pieces);
            (rest, round) = (after, round + 1);
        }
        extractor.finish(&mut pieces);
        prop_assert_eq!(bits(&whole), bits(&pieces));
    }
}

/// Dither is a function of the utterance's name, has its size, and is off where none is named.
#[test]
fn dither_belongs_to_the_utterance() {
    let options = FeatureOptions {
        dither: 3.0,
        window_type: WindowType::Rectangular,
        remove_dc_offset: false,
        ..FeatureOptions::of_kind(FeatureKind::Energy)
    };
    let silence = vec![0.0; 16_000];
    let (_, without) = compute(&options, &silence);
    assert!(without.iter().all(|energy| *energy == f32::EPSILON.ln()));
    let mut extractor = FeatureExtractor::new(&options).expect("valid options");
    let mut dithered = |name| {
        let mut out = Vec::new();
        extractor.compute_for(name, &silence, &mut out);
        out
    };
    let (first, second, again) = (dithered("a"), dithered("b"), dithered("a"));
    assert_eq!(bits(&first), bits(&again));
    assert_eq!(first.len(), 98);
    assert!(first.iter().zip(&second).all(|(a, b)| a != b));
    // Frames overlap, but each has its own noise: 400 squares of variance 9, ln(3600) = 8.19, with
    // a standard deviation of sqrt(2 / 400) = 0.07 nepers.
    let mean = first.iter().sum::<f32>() / 98.0;
    assert!((mean - 3600f32.ln()).abs() < 0.03, "{mean}");
    assert!(first.iter().all(|energy| (energy - 3600f32.ln()).abs() < 0.4));
    // A stream that follows is not dithered.
    let mut out = Vec::new();
    extractor.push(&silence, &mut out);
    extractor.finish(&mut out);
    assert_eq!(out, without);
}

/// Silence and a constant give finite numbers of every kind (Kaldi's PLP of zeros does not).
#[test]
fn silence_is_finite() {
    for kind in KINDS {
        for use_energy in [false, kind != FeatureKind::Spectrogram] {
            for samples in [vec![0.0; 3000], vec![0.25; 3000]] {
                let options = FeatureOptions { use_energy, ..FeatureOptions::of_kind(kind) };
                let (_, features) = compute(&options, &samples);
                assert!(features.iter().all(|value| value.is_finite()), "{kind:?} {features:?}");
            }
        }
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
    let mut all: Vec<FeatureOptions> = Preset::ALL.map(Preset::options).to_vec();
    for (frame_length, frame_shift) in [(25.0, 10.0), (250.0, 50.0)] {
        for snip_edges in [true, false] {
            all.push(FeatureOptions {
                frame_length,
                frame_shift,
                snip_edges,
                ..Default::default()
            });
        }
    }
    for options in all {
        let (_, whole) = compute(&options, &samples);
        let mut extractor = FeatureExtractor::new(&options).expect("valid options");
        let mut pieces = Vec::new();
        for sample in &samples {
            extractor.push(std::slice::from_ref(sample), &mut pieces);
        }
        extractor.finish(&mut pieces);
        assert!(whole == pieces, "{options:?}");
        // Finishing resets: the same again.
        let mut again = Vec::new();
        extractor.push(&samples, &mut again);
        extractor.finish(&mut again);
        assert!(whole == again);
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

/// Frames of several lengths side by side are what an extractor of each length gives, in a stream too, and
/// all lengths have as many frames.
#[test]
fn frames_of_several_lengths_stand_side_by_side() {
    let lengths = [25.0, 64.0, 250.0];
    let all = FeatureOptions {
        snip_edges: false,
        num_mel_bins: 20,
        dither: 1.0,
        frame_lengths: lengths.to_vec(),
        ..FeatureOptions::default()
    };
    // Shorter than half of the longest frame, up to several of them.
    for total in [0, 70, 81, 1000, 5000, 16_000] {
        let samples = &golden_signal()[..total.min(golden_signal().len())];
        let single = |frame_length| {
            let options = FeatureOptions { frame_length, frame_lengths: vec![], ..all.clone() };
            let mut rows = Vec::new();
            FeatureExtractor::new(&options).unwrap().compute_for("a", samples, &mut rows);
            rows
        };
        let singles = lengths.map(single);
        let mut extractor = FeatureExtractor::new(&all).unwrap();
        assert_eq!(extractor.dim(), 60);
        for size in [1, 77, 4000, 100_000] {
            let mut rows = Vec::new();
            extractor.reset_for("a");
            for chunk in samples.chunks(size) {
                extractor.push(chunk, &mut rows);
            }
            extractor.finish(&mut rows);
            assert_eq!(rows.len(), extractor.frame_count(samples.len()) * 60);
            for (frame, row) in rows.chunks(60).enumerate() {
                for (part, single) in row.chunks(20).zip(&singles) {
                    assert_eq!(
                        bits(part),
                        bits(&single[frame * 20..][..20]),
                        "frame {frame} of {total}"
                    );
                }
            }
        }
    }
    let fault = |options: FeatureOptions| FeatureExtractor::new(&options).unwrap_err().to_string();
    assert!(fault(FeatureOptions { snip_edges: true, ..all.clone() }).contains("set it to false"));
    let kind = FeatureKind::LogSpectrogram;
    assert!(fault(FeatureOptions { kind, ..all.clone() }).contains("use kind = \"fbank\""));
    assert!(
        fault(FeatureOptions { frame_lengths: vec![25.0, 0.0], ..all }).contains("frame-length")
    );
}
