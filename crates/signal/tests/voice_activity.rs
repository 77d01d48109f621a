//! Voice activity: Kaldi's rule against Kaldi, the model in pieces against the whole, and both on
//! real recordings.

use std::path::{Path, PathBuf};

use labyrinth_signal::{
    EnergyVad, EnergyVadOptions, FeatureOptions, ModelVad, Random, VadError, VoiceActivity,
    energy_rule, read_audio,
};
use proptest::prelude::*;

#[test]
fn the_energy_rule_is_kaldis() {
    // As `golden/make_vad.py` makes them.
    let energies: Vec<f32> = (0..160i32)
        .map(|t| {
            let level = if (t / 23) % 2 == 1 { 16.0 } else { 8.0 };
            level + ((t * t * 7 + t * 13) % 64 - 32) as f32 / 8.0
        })
        .collect();
    let mut options = String::new();
    let mut cases = 0;
    for line in include_str!("golden/vad.txt").lines().filter(|line| !line.starts_with('#')) {
        let (key, rest) = line.split_once(' ').expect("a word and a value");
        match key {
            "case" => options.clear(),
            "option" => options += &format!("{rest}\n"),
            _ => {
                let mut ours = Vec::new();
                let options = toml::from_str(&options).expect("options");
                energy_rule(&options, &energies, &mut ours).expect("valid");
                let ours: String = ours.iter().map(|v| if *v { '1' } else { '0' }).collect();
                assert_eq!(ours, rest, "{options:?}");
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 5);
}

/// Half a second of quiet noise, a second of a voice in it, half a second of noise.
fn voice_in_noise() -> Vec<f32> {
    let mut random = Random::from_key(&[7]);
    let (mut phase, mut states) = (0f64, [[0f64; 2]; 3]);
    (0..32_000)
        .map(|i| {
            let time = f64::from(i) / 16_000.0;
            let noise = 0.0005 * random.normal();
            // Pitch and formants move as in speech.
            phase += (120.0 + 30.0 * (9.0 * time).sin()) / 16_000.0;
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase %= 1.0;
            let move_ = (20.0 * time).sin();
            let mut voice = 0.0;
            for (state, (frequency, bandwidth)) in states.iter_mut().zip([
                (550.0 + 200.0 * move_, 80.0),
                (1400.0 - 300.0 * move_, 100.0),
                (2500.0, 150.0),
            ]) {
                let radius = (-std::f64::consts::PI * bandwidth / 16_000.0).exp();
                let angle = std::f64::consts::TAU * frequency / 16_000.0;
                let new =
                    pulse + 2.0 * radius * angle.cos() * state[0] - radius * radius * state[1];
                *state = [new, state[0]];
                voice += new;
            }
            let inside = (8000..24_000).contains(&i);
            (noise + if inside { 0.01 * voice } else { 0.0 }) as f32
        })
        .collect()
}

/// Share of decisions that are speech, for frames whose first sample lies in the range.
fn share(decisions: &[bool], shift: usize, range: std::ops::Range<usize>) -> f64 {
    let inside: Vec<bool> = decisions
        .iter()
        .enumerate()
        .filter(|(frame, _)| range.contains(&(frame * shift)))
        .map(|(_, decision)| *decision)
        .collect();
    inside.iter().filter(|decision| **decision).count() as f64 / inside.len().max(1) as f64
}

fn detectors() -> Vec<(&'static str, Box<dyn VoiceActivity>)> {
    let energy = EnergyVad::new(&EnergyVadOptions::default(), &FeatureOptions::default());
    vec![("energy", Box::new(energy.expect("valid"))), ("model", Box::new(ModelVad::default()))]
}

#[test]
fn a_voice_in_noise_is_found() {
    let samples = voice_in_noise();
    for (name, mut detector) in detectors() {
        let mut out = Vec::new();
        detector.detect(&samples, &mut out).expect("sound");
        assert_eq!(out.len(), detector.frame_count(samples.len()));
        let shift = detector.shift_samples();
        let inside = share(&out, shift, 9600..22_400);
        let outside = share(&out, shift, 0..7200).max(share(&out, shift, 27_200..32_000));
        println!(
            "{name}: {:.0} % of the voice, {:.0} % of the noise",
            100.0 * inside,
            100.0 * outside
        );
        assert!(inside > 0.9 && outside < 0.1, "{name}: {inside} {outside}");
    }
}

fn recordings(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "flac") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn real_recordings() {
    let Some(folder) = std::env::var_os("LABYRINTH_DATA") else {
        println!("SKIPPED: set LABYRINTH_DATA to the folder that holds an4");
        return;
    };
    let paths = recordings(&PathBuf::from(folder).join("an4/flac"));
    let (mut frames, mut agree) = (0usize, 0usize);
    let mut shares = [[0f64; 2]; 2]; // [detector, first 80 ms or the loudest second]
    let chosen: Vec<&PathBuf> = paths.iter().step_by(10).collect();
    for path in &chosen {
        let audio = read_audio(path, None).expect("a recording");
        let samples = audio.mono();
        assert_eq!(audio.sample_rate, 16_000);
        let energy_of = |start: usize| -> f64 {
            let end = (start + 8000).min(samples.len());
            samples[start..end].iter().map(|v| f64::from(*v).powi(2)).sum()
        };
        let loudest = (0..samples.len())
            .step_by(800)
            .max_by(|a, b| energy_of(*a).total_cmp(&energy_of(*b)))
            .expect("a sample");
        let mut decisions = Vec::new();
        for (index, (_, mut detector)) in detectors().into_iter().enumerate() {
            let mut out = Vec::new();
            detector.detect(&samples, &mut out).expect("sound");
            let shift = detector.shift_samples();
            shares[index][0] += share(&out, shift, 0..1280);
            shares[index][1] += share(&out, shift, loudest..loudest + 8000);
            decisions.push((out, shift));
        }
        for (frame, energy) in decisions[0].0.iter().enumerate() {
            // The model's frame at the middle of the energy's frame.
            let place = (frame * decisions[0].1 + 200) / decisions[1].1;
            frames += 1;
            agree += usize::from(decisions[1].0.get(place) == Some(energy));
        }
    }
    let count = chosen.len() as f64;
    let agreement = agree as f64 / frames as f64;
    println!(
        "{} recordings: energy rule and model agree on {:.1} % of {frames} frames",
        chosen.len(),
        100.0 * agreement
    );
    for (name, share) in ["energy rule", "model"].iter().zip(shares) {
        println!(
            "{name}: speech in {:.1} % of the first 80 ms, {:.1} % of the loudest half second",
            100.0 * share[0] / count,
            100.0 * share[1] / count
        );
    }
    assert!(agreement > 0.7, "{agreement}");
    for share in shares {
        assert!(share[0] < 0.5 * share[1], "{shares:?}");
        assert!(share[1] / count > 0.7, "{shares:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pieces_give_what_the_whole_gives(
        length in 0usize..32_000,
        pieces in prop_oneof![1usize..4, 200usize..300, 1000usize..32_000],
    ) {
        let samples = &voice_in_noise()[..length];
        let mut detector = ModelVad::default();
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        detector.detect(samples, &mut whole).expect("sound");
        for piece in samples.chunks(pieces) {
            detector.push(piece, &mut parts).expect("sound");
        }
        detector.finish(&mut parts).expect("causal");
        prop_assert_eq!(&whole, &parts);
        prop_assert_eq!(whole.len(), detector.frame_count(length));
    }
}

#[test]
fn the_energy_rule_is_refused_in_a_stream() {
    let mut detector =
        EnergyVad::new(&EnergyVadOptions::default(), &FeatureOptions::default()).expect("valid");
    assert!(!detector.is_causal() && ModelVad::default().is_causal());
    let mut out = Vec::new();
    let error = detector.push(&[0.0; 1000], &mut out).expect_err("not causal");
    assert_eq!(error, VadError::NotCausal);
    assert!(error.to_string().contains("model"), "{error}");
    assert_eq!(detector.finish(&mut out), Err(VadError::NotCausal));
    assert!(out.is_empty());
}

#[test]
fn bad_input_is_named() {
    for (name, mut detector) in detectors() {
        for bad in [f32::NAN, f32::INFINITY, -2e6] {
            let mut samples = vec![0.1; 3000];
            samples[1234] = bad;
            let mut out = vec![true];
            let error = detector.detect(&samples, &mut out).expect_err(name);
            assert!(error.to_string().contains("1234"), "{error}");
            assert_eq!(out, [true]);
        }
        for samples in [vec![], vec![0.5], vec![0.0; 5000], vec![1e6; 5000], vec![-3.0; 777]] {
            let mut out = Vec::new();
            detector.detect(&samples, &mut out).expect("finite");
            assert_eq!(out.len(), detector.frame_count(samples.len()), "{name}");
        }
    }
    for (option, options) in [
        (
            "vad-energy-threshold",
            EnergyVadOptions { vad_energy_threshold: f32::NAN, ..Default::default() },
        ),
        (
            "vad-energy-mean-scale",
            EnergyVadOptions { vad_energy_mean_scale: -0.1, ..Default::default() },
        ),
        (
            "vad-frames-context",
            EnergyVadOptions { vad_frames_context: u32::MAX, ..Default::default() },
        ),
        (
            "vad-proportion-threshold",
            EnergyVadOptions { vad_proportion_threshold: 1.0, ..Default::default() },
        ),
    ] {
        let error = EnergyVad::new(&options, &FeatureOptions::default()).expect_err(option);
        assert_eq!(error.option, option);
        assert!(energy_rule(&options, &[1.0], &mut Vec::new()).is_err());
    }
    for threshold in [0.0, 1.0, f32::NAN] {
        assert!(ModelVad::new(threshold).is_err());
    }
    assert!(ModelVad::new(0.3).is_ok());
}

/// The rule sees the energy at 16-bit scale whatever is computed beside it.
#[test]
fn the_energy_is_kaldis_whatever_the_features() {
    let samples = voice_in_noise();
    let decide = |features: &FeatureOptions| {
        let rule = EnergyVadOptions::default();
        let mut detector = EnergyVad::new(&rule, features).expect("valid");
        let mut out = Vec::new();
        detector.detect(&samples, &mut out).expect("sound");
        out
    };
    let expected = decide(&FeatureOptions::default());
    assert!(expected.contains(&true) && expected.contains(&false));
    for more in [
        "deltas = {}\nsplice = {}",
        "cmn = { kind = \"sliding\" }",
        "sample-scale = 1",
        "kind = \"spectrogram\"",
        "dither = 1000",
        "htk-compat = true\nhtk-mode = true\nuse-energy = true",
        "num-mel-bins = 40\nlow-freq = 300\nvtln-warp = 0.9",
    ] {
        assert_eq!(decide(&toml::from_str(more).expect("options")), expected, "{more}");
    }
}
