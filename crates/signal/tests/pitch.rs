//! Pitch against Kaldi's values, against known pitch, in pieces against whole, and bad input.

use std::f64::consts::TAU;

use labyrinth_signal::{
    PitchError, PitchExtractor, PitchOptions, PitchProcessor, ProcessPitchOptions,
};
use proptest::prelude::*;

/// The signal of `golden/make_pitch.py`, in [-1, 1).
fn golden_signal() -> Vec<f32> {
    let mut phase = 0i64;
    let (mut one, mut two) = ([0i64; 2], [0i64; 2]);
    (0..24_000i64)
        .map(|i| {
            phase += 120 + (if i < 12_000 { i } else { 24_000 - i }) / 100;
            let pulse = if phase >= 16_000 { 4000 } else { 0 };
            phase %= 16_000;
            let noise = (i * i * 7 + i * 13) % 2003 - 1001;
            let voiced = if (9000..13_000).contains(&i) { 0 } else { pulse };
            let drive = voiced + noise.div_euclid(if i < 9000 { 8 } else { 40 });
            let resonate = |last: &mut [i64; 2], pole: i64, damping: i64| {
                let new = drive + (last[0] * pole).div_euclid(1024)
                    - (last[1] * damping).div_euclid(1024);
                *last = [new, last[0]];
            };
            resonate(&mut one, 1810, 940);
            resonate(&mut two, 1000, 880);
            let value = ((one[0] + two[0]) * (2000 + i)).div_euclid(120_000);
            let value = if (11_000..12_500).contains(&i) { 0 } else { value };
            value.clamp(-32768, 32767) as f32 / 32768.0
        })
        .collect()
}

/// One case of `golden/pitch.txt`.
struct Golden {
    /// `case` or `process`.
    kind: String,
    name: String,
    options: String,
    frames: usize,
    rows: Vec<(usize, Vec<f32>)>,
}

fn golden_cases(kind: &str) -> Vec<Golden> {
    let mut cases: Vec<Golden> = Vec::new();
    for line in include_str!("golden/pitch.txt").lines().filter(|line| !line.starts_with('#')) {
        let (key, rest) = line.split_once(' ').expect("a word and a value");
        if key == "case" || key == "process" {
            let (kind, name) = (key.to_string(), rest.to_string());
            cases.push(Golden { kind, name, options: String::new(), frames: 0, rows: Vec::new() });
            continue;
        }
        let case = cases.last_mut().expect("a case comes first");
        match key {
            "option" => case.options += &format!("{rest}\n"),
            "frames" => case.frames = rest.parse().expect("a number"),
            "row" => {
                let mut words = rest.split(' ');
                let index = words.next().and_then(|word| word.parse().ok()).expect("an index");
                case.rows.push((index, words.map(|word| word.parse().expect("a value")).collect()));
            }
            other => panic!("unknown line {other}"),
        }
    }
    cases.retain(|case| case.kind == kind);
    cases
}

fn compute(options: &PitchOptions, samples: &[f32]) -> Vec<f32> {
    let mut extractor = PitchExtractor::new(options).expect("valid options");
    let mut out = Vec::new();
    extractor.compute(samples, &mut out).expect("sound samples");
    assert_eq!(out.len(), extractor.frame_count(samples.len()) * 2);
    out
}

fn stream(options: &PitchOptions, samples: &[f32], pieces: usize) -> Vec<f32> {
    let mut extractor = PitchExtractor::new(options).expect("valid options");
    let mut out = Vec::new();
    for piece in samples.chunks(pieces) {
        extractor.push(piece, &mut out).expect("sound samples");
    }
    extractor.finish(&mut out).expect("a stream");
    out
}

#[test]
fn pitch_is_kaldis() {
    let samples = golden_signal();
    let cases = golden_cases("case");
    assert_eq!(cases.len(), 17);
    for case in cases {
        let options: PitchOptions = toml::from_str(&case.options).expect("options");
        let ours = compute(&options, &samples);
        assert_eq!(ours.len(), case.frames * 2, "{}", case.name);
        let (mut nccf, mut pitch) = (0f32, 0f32);
        for (index, row) in &case.rows {
            nccf = nccf.max((ours[2 * index] - row[0]).abs());
            pitch = pitch.max((ours[2 * index + 1] / row[1] - 1.0).abs());
        }
        println!("{}: nccf differs by at most {nccf:.1e}, pitch by {pitch:.1e}", case.name);
        assert!(nccf < 2e-5 && pitch < 2e-6, "{}: {nccf} {pitch}", case.name);
    }
}

#[test]
fn processing_is_kaldis() {
    let rows = compute(&PitchOptions::default(), &golden_signal());
    let cases = golden_cases("process");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let mut options: ProcessPitchOptions = toml::from_str(&case.options).expect("options");
        options.delta_pitch_noise_stddev = 0.0;
        let mut processor = PitchProcessor::new(&options, "any").expect("valid options");
        let mut ours = Vec::new();
        processor.compute("any", &rows, &mut ours);
        let dim = processor.dim();
        assert_eq!(ours.len(), case.frames * dim, "{}", case.name);
        assert_eq!(processor.frame_count(rows.len() / 2), case.frames);
        for (index, row) in &case.rows {
            assert_eq!(row.len(), dim);
            for (ours, theirs) in ours[index * dim..].iter().zip(row) {
                assert!((ours - theirs).abs() < 5e-5, "{} {index}: {ours} {theirs}", case.name);
            }
        }
    }
}

/// Each column from its definition, in `f64`, over all frames at once.
#[test]
fn processing_is_the_definition() {
    let rows = compute(&PitchOptions::default(), &golden_signal());
    let frames = rows.len() / 2;
    let nccf: Vec<f64> = rows.iter().step_by(2).map(|v| f64::from(*v)).collect();
    let log: Vec<f64> = rows.iter().skip(1).step_by(2).map(|v| f64::from(*v).ln()).collect();
    let options = ProcessPitchOptions {
        add_raw_log_pitch: true,
        delta_pitch_noise_stddev: 0.0,
        ..ProcessPitchOptions::default()
    };
    let mut ours = Vec::new();
    PitchProcessor::new(&options, "a").expect("valid").compute("a", &rows, &mut ours);
    let voicing = |n: f64| {
        let a = n.abs().min(1.0);
        let odds = -5.2 + 5.4 * (7.5 * (a - 1.0)).exp() + 4.8 * a - 2.0 * (-10.0 * a).exp()
            + 4.2 * (20.0 * (a - 1.0)).exp();
        1.0 / (1.0 + (-odds).exp())
    };
    for t in 0..frames {
        let window = t.saturating_sub(75)..(t + 76).min(frames);
        let weight: f64 = window.clone().map(|i| voicing(nccf[i])).sum();
        let mean = window.map(|i| voicing(nccf[i]) * log[i]).sum::<f64>() / weight;
        let at = |i: i64| log[i.clamp(0, frames as i64 - 1) as usize];
        let slope: f64 = (-2..=2).map(|d| d as f64 * at(t as i64 + d)).sum::<f64>() / 10.0;
        let expected = [
            2.0 * ((1.0001 - nccf[t].clamp(-1.0, 1.0)).powf(0.15) - 1.0),
            2.0 * (log[t] - mean),
            10.0 * slope,
            log[t],
        ];
        for (ours, expected) in ours[4 * t..].iter().zip(expected) {
            assert!((f64::from(*ours) - expected).abs() < 1e-5, "{t}: {ours} {expected}");
        }
    }
}

#[test]
fn noise_is_the_utterances() {
    let rows = compute(&PitchOptions::default(), &golden_signal());
    let noisy = |utterance: &str| {
        let options = ProcessPitchOptions::default();
        let mut out = Vec::new();
        let mut processor = PitchProcessor::new(&options, utterance).expect("valid");
        processor.push(&rows, &mut out);
        processor.finish(&mut out);
        let mut again = Vec::new();
        processor.compute(utterance, &rows, &mut again);
        assert_eq!(out, again);
        out
    };
    let (a, b) = (noisy("an4/a"), noisy("an4/b"));
    assert_eq!(a, noisy("an4/a"));
    let frames = a.len() / 3;
    let mut power = 0.0;
    for t in 0..frames {
        assert_eq!(a[3 * t..3 * t + 2], b[3 * t..3 * t + 2]);
        power += (f64::from(a[3 * t + 2]) - f64::from(b[3 * t + 2])).powi(2);
    }
    // Two independent noises of deviation 0.005 times 10.
    let deviation = (power / frames as f64).sqrt();
    assert!((0.055..0.09).contains(&deviation), "{deviation}");
}

/// A pulse train of pitch `f0(t)` under formants: a voice. In [-1, 1).
fn voice(seconds: f64, rate: u32, f0: impl Fn(f64) -> f64) -> Vec<f32> {
    let rate_hz = f64::from(rate);
    let mut phase = 0.0;
    let mut states = [[0f64; 2]; 3];
    let formants = [(700.0, 80.0), (1220.0, 90.0), (2600.0, 160.0)];
    let mut out: Vec<f64> = (0..(seconds * rate_hz) as usize)
        .map(|i| {
            phase += f0(i as f64 / rate_hz) / rate_hz;
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase %= 1.0;
            let mut sum = 0.0;
            for (state, (frequency, bandwidth)) in states.iter_mut().zip(formants) {
                let radius = (-TAU / 2.0 * bandwidth / rate_hz).exp();
                let new = pulse + 2.0 * radius * (TAU * frequency / rate_hz).cos() * state[0]
                    - radius * radius * state[1];
                *state = [new, state[0]];
                sum += new;
            }
            sum
        })
        .collect();
    let peak = out.iter().fold(0f64, |peak, v| peak.max(v.abs()));
    out.iter_mut().for_each(|v| *v *= 0.5 / peak);
    out.into_iter().map(|v| v as f32).collect()
}

/// Frames, those more than 20 % off (gross errors), and the mean relative error of the others.
fn errors(options: &PitchOptions, samples: &[f32], f0: impl Fn(f64) -> f64) -> (usize, usize, f64) {
    let rows = compute(options, samples);
    let (mut frames, mut gross, mut fine) = (0, 0, 0.0);
    for (frame, row) in rows.chunks(2).enumerate() {
        // The middle of the window and the one that it is compared with.
        let time = 0.01 * frame as f64 + 0.0125 + 0.5 / f64::from(row[1]);
        let error = (f64::from(row[1]) / f0(time) - 1.0).abs();
        frames += 1;
        if error > 0.2 {
            gross += 1;
        } else {
            fine += error;
        }
    }
    (frames, gross, fine / (frames - gross).max(1) as f64)
}

#[test]
fn known_pitch_is_found() {
    let mut all = (0, 0);
    for options in [PitchOptions::default(), PitchOptions::online()] {
        for rate in [8000u32, 16_000] {
            let options = PitchOptions { sample_frequency: rate as f32, ..options.clone() };
            let mut check = |name: &str, samples: &[f32], f0: &dyn Fn(f64) -> f64| {
                let (frames, gross, fine) = errors(&options, samples, f0);
                println!(
                    "{name} at {rate} Hz: {gross} gross errors in {frames} frames, others off by \
                     {:.2} % on average",
                    100.0 * fine
                );
                all = (all.0 + frames, all.1 + gross);
                assert!(100 * gross <= 2 * frames && fine < 0.02, "{name}: {gross} {fine}");
            };
            for f0 in [65.0, 90.0, 110.0, 150.0, 220.0, 300.0, 380.0] {
                let step = TAU * f0 / f64::from(rate);
                let tone: Vec<f32> =
                    (0..2 * rate).map(|i| (0.3 * (step * f64::from(i)).sin()) as f32).collect();
                check(&format!("tone of {f0} Hz"), &tone, &|_| f0);
                check(&format!("voice of {f0} Hz"), &voice(2.0, rate, |_| f0), &|_| f0);
            }
            let glide = |t: f64| 100.0 * (t / 3.0 * 2f64.ln()).exp();
            check("voice gliding from 100 to 200 Hz", &voice(3.0, rate, glide), &glide);
            let speech = |t: f64| 160.0 + 40.0 * (TAU * 0.7 * t).sin();
            check("voice of 120 to 200 Hz", &voice(3.0, rate, speech), &speech);
        }
    }
    println!("in all: {} gross errors in {} frames", all.1, all.0);
    assert!(100 * all.1 <= all.0, "{all:?}");
}

/// Options of streams.
fn streaming_options() -> impl Strategy<Value = PitchOptions> {
    (1u32..30, 0u32..40, 0u32..120, any::<bool>(), any::<bool>(), 0usize..3).prop_map(
        |(chunk, latency, recompute, online, snip, rate)| PitchOptions {
            sample_frequency: [16_000.0, 8000.0, 11_025.0][rate],
            frames_per_chunk: chunk,
            max_frames_latency: latency,
            recompute_frame: recompute,
            nccf_ballast_online: online,
            snip_edges: snip,
            simulate_first_pass_online: true,
            ..PitchOptions::default()
        },
    )
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn pieces_give_the_bytes_of_the_whole(
        options in streaming_options(),
        length in 0usize..16_000,
        pieces in prop_oneof![1usize..5, 100usize..3000, Just(24_000)],
    ) {
        let samples = &golden_signal()[..length];
        let whole = compute(&options, samples);
        prop_assert_eq!(bits(&whole), bits(&stream(&options, samples, pieces)));

        let mut processor =
            PitchProcessor::new(&ProcessPitchOptions::default(), "u").expect("valid");
        let (mut features, mut parts) = (Vec::new(), Vec::new());
        processor.compute("u", &whole, &mut features);
        processor.reset("u");
        for piece in whole.chunks(2 * pieces) {
            processor.push(piece, &mut parts);
        }
        processor.finish(&mut parts);
        prop_assert_eq!(bits(&features), bits(&parts));
    }

    /// Nothing finite panics or leaves the ranges.
    #[test]
    fn any_sound_has_a_pitch(
        samples in prop::collection::vec(prop_oneof![Just(0f32), -1f32..1.0, -1e6f32..1e6], 0..3000),
        chunk in 0u32..4,
    ) {
        let options = PitchOptions { frames_per_chunk: chunk, ..PitchOptions::default() };
        for row in compute(&options, &samples).chunks(2) {
            prop_assert!(row[0].abs() <= 1.3 && (49.9..400.1).contains(&row[1]), "{:?}", row);
        }
    }
}

/// A frame is there when the stated latency has passed, and it is not stated much too long.
#[test]
fn latency_is_as_stated() {
    let samples = golden_signal();
    for (chunk, wait) in [(1, 0), (10, 0), (10, 30), (3, 7)] {
        let options = PitchOptions {
            frames_per_chunk: chunk,
            max_frames_latency: wait,
            ..PitchOptions::online()
        };
        let mut extractor = PitchExtractor::new(&options).expect("valid");
        let (mut out, mut longest) = (Vec::new(), 0);
        for (pushed, sample) in samples.iter().enumerate() {
            let before = out.len() / 2;
            extractor.push(&[*sample], &mut out).expect("sound");
            for frame in before..out.len() / 2 {
                longest = longest.max(pushed + 1 - 160 * frame);
            }
        }
        let stated = extractor.latency_samples();
        println!("{chunk} frames a chunk, {wait} waited for: {longest} samples, stated {stated}");
        assert!(longest <= stated, "{longest} {stated}");
        assert!(wait > 0 || stated < longest + 400, "{longest} {stated}");
        assert!(extractor.latency_frames() * 160 >= stated);
    }
}

/// A whole chunk waits until it is known not to be the last: Kaldi's last chunk is given as the
/// path stands behind the silence that follows it.
#[test]
fn the_last_chunk_waits_for_the_end() {
    let (samples, options) = (golden_signal(), PitchOptions::online());
    let mut extractor = PitchExtractor::new(&options).expect("valid");
    let mut out = Vec::new();
    extractor.push(&samples[..3 * 1600], &mut out).expect("sound");
    let before = out.len();
    extractor.push(&samples[3 * 1600..=3 * 1600], &mut out).expect("sound");
    assert_eq!(out.len() - before, 2 * 10);
}

#[test]
fn what_is_not_causal_is_refused_in_a_stream() {
    for options in
        [PitchOptions::default(), PitchOptions { frames_per_chunk: 10, ..PitchOptions::default() }]
    {
        assert!(!options.is_causal());
        let mut extractor = PitchExtractor::new(&options).expect("valid");
        let mut out = Vec::new();
        let error = extractor.push(&[0.0; 1000], &mut out).expect_err("not causal");
        assert_eq!(error, PitchError::NotCausal);
        assert!(error.to_string().contains("simulate-first-pass-online"));
        assert!(extractor.finish(&mut out).is_err() && out.is_empty());
    }
    assert!(PitchOptions::online().is_causal());
}

#[test]
fn bad_samples_are_named() {
    let mut extractor = PitchExtractor::new(&PitchOptions::online()).expect("valid");
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2e6] {
        let mut samples = vec![0.1f32; 5000];
        samples[3210] = bad;
        let mut out = vec![1.0];
        let error = extractor.compute(&samples, &mut out).expect_err("refused");
        assert!(error.to_string().contains("3210"), "{error}");
        assert_eq!(out, [1.0]);
        // In a stream the number counts from its start, and the piece before stays.
        extractor.push(&samples[..1000], &mut out).expect("sound");
        let error = extractor.push(&samples[1000..], &mut out).expect_err("refused");
        assert!(matches!(error, PitchError::Sample { index: 3210, .. }), "{error}");
        samples[3210] = 0.1;
        extractor.push(&samples[1000..], &mut out).expect("sound");
        extractor.finish(&mut out).expect("a stream");
        assert_eq!(out.len(), 1 + compute(&PitchOptions::online(), &samples).len());
    }
}

#[test]
fn short_and_silent_recordings() {
    for length in 0..500 {
        let rows = compute(&PitchOptions::default(), &vec![0.25; length]);
        // 100 samples at 4 kHz: from sample 397 on.
        assert_eq!(rows.len() / 2, usize::from(length >= 397), "{length}");
    }
    for options in [PitchOptions::default(), PitchOptions::online()] {
        for row in compute(&options, &[0.0; 20_000]).chunks(2) {
            assert!(row[0] == 0.0 && row[1].is_finite());
        }
        for row in compute(&options, &[0.5; 20_000]).chunks(2) {
            assert!(row[0].abs() <= 1.01 && row[1].is_finite());
        }
    }
}

#[test]
fn options_out_of_range_are_named() {
    let base = PitchOptions::default;
    for (option, options) in [
        ("sample-frequency", PitchOptions { sample_frequency: 0.0, ..base() }),
        ("sample-frequency", PitchOptions { sample_frequency: 16_000.5, ..base() }),
        ("sample-frequency", PitchOptions { sample_frequency: f32::NAN, ..base() }),
        ("resample-frequency", PitchOptions { resample_frequency: 1e9, ..base() }),
        ("frame-length", PitchOptions { frame_length: 0.1, ..base() }),
        ("frame-length", PitchOptions { frame_length: f32::INFINITY, ..base() }),
        ("frame-shift", PitchOptions { frame_shift: 0.0, ..base() }),
        ("preemphasis-coefficient", PitchOptions { preemphasis_coefficient: 1.5, ..base() }),
        ("min-f0", PitchOptions { min_f0: 0.0, ..base() }),
        ("max-f0", PitchOptions { max_f0: 50.0, ..base() }),
        ("max-f0", PitchOptions { max_f0: 3500.0, ..base() }),
        ("soft-min-f0", PitchOptions { soft_min_f0: 60.0, ..base() }),
        ("penalty-factor", PitchOptions { penalty_factor: -1.0, ..base() }),
        ("lowpass-cutoff", PitchOptions { lowpass_cutoff: 2001.0, ..base() }),
        ("lowpass-cutoff", PitchOptions { lowpass_cutoff: 0.0, ..base() }),
        ("delta-pitch", PitchOptions { delta_pitch: 0.0, ..base() }),
        ("delta-pitch", PitchOptions { delta_pitch: 2e-5, ..base() }),
        ("nccf-ballast", PitchOptions { nccf_ballast: -1.0, ..base() }),
        ("lowpass-filter-width", PitchOptions { lowpass_filter_width: 0, ..base() }),
        ("upsample-filter-width", PitchOptions { upsample_filter_width: 0, ..base() }),
        ("max-frames-latency", PitchOptions { max_frames_latency: u32::MAX, ..base() }),
        ("frames-per-chunk", PitchOptions { frames_per_chunk: u32::MAX, ..base() }),
        ("simulate-first-pass-online", PitchOptions { simulate_first_pass_online: true, ..base() }),
    ] {
        let error = PitchExtractor::new(&options).expect_err(option);
        assert_eq!(error.option, option, "{error}");
    }
    let base = ProcessPitchOptions::default;
    for (option, options) in [
        ("pitch-scale", ProcessPitchOptions { pitch_scale: f32::NAN, ..base() }),
        (
            "delta-pitch-noise-stddev",
            ProcessPitchOptions { delta_pitch_noise_stddev: -1.0, ..base() },
        ),
        ("delta-window", ProcessPitchOptions { delta_window: 0, ..base() }),
        ("delay", ProcessPitchOptions { delay: u32::MAX, ..base() }),
        (
            "add-pov-feature",
            ProcessPitchOptions {
                add_pov_feature: false,
                add_normalized_log_pitch: false,
                add_delta_pitch: false,
                ..base()
            },
        ),
    ] {
        assert_eq!(PitchProcessor::new(&options, "a").expect_err(option).option, option);
    }
    assert!(toml::from_str::<PitchOptions>("min-f = 3.0").is_err());
}
