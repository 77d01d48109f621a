//! Shards that hold features: the batches of loose files within what the bits allow, the same bytes in one
//! part or many, what is refused, and what a check can and cannot say.

mod common;

use common::{noise, sound_corpus, training, wav_of_channels};
use labyrinth_corpus::clip::{ClipFault, read_clip};
use labyrinth_corpus::{
    Batch, CheckContext, FeatureBits, FindingKind, Label, LabelTrack, Loader, LoaderError,
    LoaderOptions, Manifest, Position, Reason, Severity, ShardError, ShardFeatures, ShardOptions,
    SoundOptions, StoredRows, Utterance, check, check_options, plan_refusals, read_stored_features,
    stored_features, write_shards,
};
use labyrinth_signal::{
    CmnOptions, DeltaOptions, FeatureExtractor, FeatureKind, FeatureOptions, LowPass, Noise,
    Normalization, Reverberation, SlidingCmvnOptions, SpliceOptions, Telephone, Volume, resample,
    write_wav,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

fn batches(options: LoaderOptions, epoch: u64) -> Vec<Batch> {
    let mut loader = Loader::new(options, Position::start_of_epoch(epoch)).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = loader.next_batch().unwrap() {
        batches.push(batch);
    }
    batches
}

/// A training in which nothing acts on sound; masks and the random filter stay.
fn quiet(manifest: &Manifest, features: &FeatureOptions) -> LoaderOptions {
    LoaderOptions {
        speeds: vec![1.0],
        tempos: Vec::new(),
        vtln_warps: vec![features.vtln_warp],
        sound: SoundOptions::default(),
        labels: true,
        features: features.clone(),
        ..training(manifest)
    }
}

fn small() -> FeatureOptions {
    FeatureOptions { num_mel_bins: 6, normalize: Normalization::Level, ..FeatureOptions::default() }
}

fn stored(bits: FeatureBits, options: &FeatureOptions) -> Option<ShardFeatures> {
    Some(ShardFeatures { bits, options: options.clone() })
}

fn shard(options: &ShardOptions) -> Result<Manifest, ShardError> {
    let reports = write_shards(options, &|_, _| {})?;
    assert!(reports[0].is_complete(), "{reports:?}");
    Ok(Manifest::read(&reports[0].manifest).unwrap())
}

/// Files of three rates, and sections of a long one with labels.
fn loose(folder: &Path) -> Manifest {
    let mut loose = sound_corpus(folder, 24);
    write_wav(&folder.join("long.wav"), 16_000, &noise(99, 80_000)).unwrap();
    LabelTrack::single(vec![Label::new(0.2, 0.9, "a"), Label::new(1.0, 4.5, "b")])
        .write(&folder.join("long.txt"), &labyrinth_corpus::labels::Recording::default())
        .unwrap();
    fs::write(folder.join("u000.phn"), "0 800 h#\n800 1500 aa\n").unwrap();
    for index in 0..6 {
        let (offset, duration) = (0.1 + 0.7 * f64::from(index), 0.3 + 0.05 * f64::from(index));
        loose.utterances.push(Utterance {
            offset: Some(offset),
            labels: Some("long.txt".into()),
            ..Utterance::new(format!("cut-{index}"), "long.wav", duration, "a b")
        });
    }
    let sides = [noise(7, 16_000), noise(8, 16_000)];
    fs::write(folder.join("call.wav"), wav_of_channels(16_000, &sides)).unwrap();
    for channel in 0..2 {
        let id = format!("side-{channel}");
        let mut utterance = Utterance::new(id, "call.wav", 1.0, "c d");
        utterance.extra.insert("channel".into(), channel.into());
        loose.utterances.push(utterance);
    }
    loose.utterances[0].labels = Some("u000.phn".into());
    loose.write().unwrap();
    loose
}

fn corpus() -> (TempDir, Manifest) {
    let folder = tempfile::tempdir().unwrap();
    let loose = loose(folder.path());
    (folder, loose)
}

/// The greatest difference of a value of two lists of batches that agree in all else.
fn difference(one: &[Batch], other: &[Batch]) -> f32 {
    assert_eq!(one.len(), other.len());
    let mut greatest = 0f32;
    for (a, b) in one.iter().zip(other) {
        assert_eq!((&a.ids, &a.places, &a.lengths), (&b.ids, &b.places, &b.lengths));
        assert_eq!((&a.targets, &a.texts, &a.feasible), (&b.targets, &b.texts, &b.feasible));
        assert_eq!((&a.refused, &a.labels), (&b.refused, &b.labels));
        assert_eq!(a.begins.to_bits(), b.begins.to_bits());
        assert_eq!(a.features.len(), b.features.len());
        for (a, b) in a.features.iter().zip(&b.features) {
            greatest = greatest.max((a - b).abs());
        }
    }
    greatest
}

#[test]
fn batches_are_those_of_loose_files_but_for_the_rounding() {
    let (folder, loose) = corpus();
    for (bits, bound) in [(FeatureBits::Eight, 0.2), (FeatureBits::Sixteen, 1e-3)] {
        let out = folder.path().join(format!("{bits}"));
        let options = ShardOptions {
            features: stored(bits, &small()),
            utterances: 7,
            ..ShardOptions::new(&loose.path, &out)
        };
        let shards = shard(&options).unwrap();
        assert!(shards.utterances.iter().all(|u| stored_features(u).is_some_and(|s| s.dim == 6)));
        assert!(shards.utterances.iter().all(|u| u.audio_filepath.ends_with(".ark")));
        for epoch in 0..2 {
            let [one, other] = [&loose, &shards].map(|m| batches(quiet(m, &small()), epoch));
            assert!(
                one.len() > 10 && one.iter().any(|batch| batch.labels.iter().any(Option::is_some))
            );
            let difference = difference(&one, &other);
            assert!(difference > 0.0 && difference < bound, "{bits} bits: {difference}");
        }
    }
}

/// What follows the rows is computed after reading: one set of shards for recipes that differ in it, each
/// the very bytes that its stages make of the stored rows.
#[test]
fn stages_and_normalisation_are_the_recipes_own() {
    let (folder, loose) = corpus();
    let base = FeatureOptions { normalize: Normalization::None, ..small() };
    let cmn = CmnOptions::Sliding(SlidingCmvnOptions {
        cmn_window: 20,
        min_cmn_window: 10,
        ..Default::default()
    });
    let recipes = [
        FeatureOptions { normalize: Normalization::Utterance, ..base.clone() },
        FeatureOptions { normalize: Normalization::Nemo, ..base.clone() },
        FeatureOptions { cmn: Some(cmn), deltas: Some(DeltaOptions::default()), ..base.clone() },
        FeatureOptions {
            splice: Some(SpliceOptions { left: 2, right: 1 }),
            normalize: Normalization::Level,
            ..base.clone()
        },
    ];
    let out = folder.path().join("shards");
    let features = stored(FeatureBits::Sixteen, &recipes[0]);
    let shards = shard(&ShardOptions { features, ..ShardOptions::new(&loose.path, &out) }).unwrap();
    for recipe in &recipes {
        let plain = |manifest: &Manifest| LoaderOptions {
            spec_augment: None,
            random_filter: None,
            ..quiet(manifest, recipe)
        };
        let [one, other] = [&loose, &shards].map(|manifest| batches(plain(manifest), 0));
        let difference = difference(&one, &other);
        assert!(difference > 0.0 && difference < 0.01, "{difference}");
        let mut rows = StoredRows::new(recipe).unwrap();
        for batch in &other {
            let mut expected = Vec::new();
            for (_, index) in &batch.places {
                let stored =
                    read_stored_features(shards.folder(), &shards.utterances[*index]).unwrap();
                let begin = expected.len();
                rows.append(&stored, &mut expected);
                recipe.normalize.apply(&mut expected[begin..], rows.dim());
            }
            assert!(batch.features == expected);
        }
    }
    // And another recipe's shards of the same rows are these.
    let features = stored(FeatureBits::Sixteen, &recipes[3]);
    let again = ShardOptions { features, ..ShardOptions::new(&loose.path, &out) };
    assert_eq!(write_shards(&again, &|_, _| {}).unwrap()[0].written, 0);
}

/// A draw of dither is that of the utterance, as training has it; evaluation hears it too.
#[test]
fn dither_is_that_of_the_training() {
    let (folder, loose) = corpus();
    let dithered = FeatureOptions { dither: 20.0, ..small() };
    let out = folder.path().join("shards");
    let features = stored(FeatureBits::Sixteen, &dithered);
    let shards = shard(&ShardOptions { features, ..ShardOptions::new(&loose.path, &out) }).unwrap();
    let [one, other] = [&loose, &shards].map(|manifest| batches(quiet(manifest, &dithered), 0));
    assert!(difference(&one, &other) < 2e-3);
}

fn snapshot(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entry = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(folder).unwrap().map(|e| entry(e.unwrap())).collect()
}

#[test]
fn parts_threads_and_interruptions_change_no_byte() {
    let (folder, loose) = corpus();
    let options = |out: &str, threads, part| ShardOptions {
        features: stored(FeatureBits::Eight, &small()),
        utterances: 4,
        threads,
        part,
        parquet: true,
        ..ShardOptions::new(&loose.path, folder.path().join(out))
    };
    let one = options("one", 1, (0, 1));
    shard(&one).unwrap();
    let expected = snapshot(&one.out);
    assert_eq!(expected.len(), 2 * 8 + 4);
    let table = &expected["train.parquet"];
    assert!(table.windows(8).any(|bytes| bytes == b"features"));
    for part in [2, 0, 1] {
        write_shards(&options("parts", 3, (part, 3)), &|_, _| {}).unwrap();
    }
    assert!(snapshot(&folder.path().join("parts")) == expected);
    // As a kill leaves it: a tar without its index, an index without its tar, half a file.
    fs::remove_file(one.out.join("train-000001.json")).unwrap();
    fs::remove_file(one.out.join("train-000003.tar")).unwrap();
    fs::write(one.out.join(".train-000005.tar.4242-17f.partial"), "left by a killed run").unwrap();
    assert_eq!(write_shards(&one, &|_, _| {}).unwrap()[0].written, 2);
    assert!(snapshot(&one.out) == expected);
    // Other bits, other features or sound are other shards, and nothing is written over.
    for features in [
        stored(FeatureBits::Sixteen, &small()),
        stored(FeatureBits::Eight, &FeatureOptions { num_mel_bins: 7, ..small() }),
        None,
    ] {
        let error = write_shards(&ShardOptions { features, ..one.clone() }, &|_, _| {});
        let error = error.unwrap_err();
        assert!(matches!(error, ShardError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains("--bits 8"), "{error}");
    }
    assert!(snapshot(&one.out) == expected);
}

/// A member is an archive that others read, under the key of its name.
#[test]
fn a_member_is_an_archive_of_one_matrix() {
    let (folder, loose) = corpus();
    let out = folder.path().join("shards");
    let features = stored(FeatureBits::Eight, &small());
    let shards = shard(&ShardOptions { features, ..ShardOptions::new(&loose.path, &out) }).unwrap();
    let bytes = shards.utterances[3].shard.as_ref().unwrap().read(&out).unwrap();
    assert!(bytes.starts_with(b"u003 \0BCM "));
    let mut archive = labyrinth_signal::ArkReader::from_bytes(bytes, Path::new("x"));
    let (key, array) = archive.next().unwrap().unwrap();
    let stored = stored_features(&shards.utterances[3]).unwrap();
    assert_eq!((key.as_str(), array.shape()), ("u003", &[stored.frames, 6][..]));
    assert!(archive.next().is_none());
}

#[test]
fn what_changes_sound_is_refused_by_its_key() {
    let (folder, loose) = corpus();
    let features = stored(FeatureBits::Eight, &small());
    let out = folder.path().join("shards");
    let shards = shard(&ShardOptions { features, ..ShardOptions::new(&loose.path, &out) }).unwrap();
    let base = || quiet(&shards, &small());
    let sound = |sound: SoundOptions| LoaderOptions { sound, ..base() };
    let plain = SoundOptions::default;
    let rooms = Reverberation { rooms: 2, ..Reverberation::default() };
    let cases: Vec<(&str, LoaderOptions)> = vec![
        ("speeds", LoaderOptions { speeds: vec![1.0, 1.1], ..base() }),
        ("tempos", LoaderOptions { tempos: vec![0.9], ..base() }),
        ("vtln-warps", LoaderOptions { vtln_warps: vec![1.0, 1.1], ..base() }),
        ("reverberation", sound(SoundOptions { reverberation: Some(rooms), ..plain() })),
        (
            "noise",
            sound(SoundOptions {
                noise: Some(options_of::<Noise>(r#""snr-db": [0, 5]"#)),
                ..plain()
            }),
        ),
        (
            "volume",
            sound(SoundOptions {
                volume: Some(options_of::<Volume>(r#""gain-db": [1, 2]"#)),
                ..plain()
            }),
        ),
        (
            "low-pass",
            sound(SoundOptions {
                low_pass: Some(options_of::<LowPass>(r#""cutoff-hz": [1000, 2000]"#)),
                ..plain()
            }),
        ),
        (
            "telephone",
            sound(SoundOptions { telephone: Some(options_of::<Telephone>("")), ..plain() }),
        ),
    ];
    for (key, options) in cases {
        let error = Loader::new(options.clone(), Position::default()).err().unwrap();
        let LoaderError::NoSound { key: found, .. } = &error else { panic!("{key}: {error}") };
        assert_eq!(*found, key);
        let sentence = error.to_string();
        assert!(sentence.contains("train.jsonl") && sentence.contains("without --features"));
        assert!(check_options(&options).is_err() && plan_refusals(&options).is_err());
    }
    check_options(&base()).unwrap();
    // Also where the first line is of sound, and a later one is met while training.
    let mut mixed = shards.clone();
    let path = loose.audio_path(&loose.utterances[0]);
    mixed.utterances[0] = Utterance {
        audio_filepath: path.to_str().unwrap().into(),
        labels: None,
        ..loose.utterances[0].clone()
    };
    let options = LoaderOptions { speeds: vec![0.9], ..quiet(&mixed, &small()) };
    assert!(plan_refusals(&options).is_err());
    let mut loader = Loader::new(options, Position::default()).unwrap();
    let error = std::iter::repeat_with(|| loader.next_batch()).find_map(Result::err).unwrap();
    assert!(matches!(error, LoaderError::NoSound { key: "speeds", .. }), "{error}");
    // Without it, sound and features go side by side.
    let [one, other] = [&loose, &mixed].map(|m| batches(quiet(m, &small()), 0));
    assert_eq!(one.len(), other.len());
}

/// Options from fields of JSON.
fn options_of<T: serde::de::DeserializeOwned>(fields: &str) -> T {
    serde_json::from_str(&format!("{{{fields}}}")).unwrap()
}

#[test]
fn other_features_are_refused_with_both() {
    let (folder, loose) = corpus();
    let out = folder.path().join("shards");
    let features = stored(FeatureBits::Eight, &small());
    let shards = shard(&ShardOptions { features, ..ShardOptions::new(&loose.path, &out) }).unwrap();
    let other = FeatureOptions { num_mel_bins: 8, preemphasis_coefficient: 0.9, ..small() };
    let refused = || {
        let error = Loader::new(quiet(&shards, &other), Position::default()).err().unwrap();
        assert!(matches!(error, LoaderError::OtherFeatures(_)), "{error}");
        error.to_string()
    };
    let sentence = refused();
    for part in ["num-mel-bins = 6", "num-mel-bins = 8", "= 0.97", "= 0.9 ", "train.jsonl"] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    // Without the list there are the digests at least.
    fs::remove_file(out.join("train.shards.json")).unwrap();
    let sentence = refused();
    assert!(sentence.contains("6 values a frame") && sentence.contains("8 values a frame"));
}

#[test]
fn features_are_no_sound_and_powers_are_not_stored() {
    let (folder, loose) = corpus();
    let out = folder.path().join("shards");
    let options = ShardOptions {
        features: stored(FeatureBits::Eight, &small()),
        ..ShardOptions::new(&loose.path, &out)
    };
    let shards = shard(&options).unwrap();
    let Err(ClipFault::Refused { detail, .. }) = read_clip(&out, &shards.utterances[0]) else {
        panic!("features were heard")
    };
    assert!(detail.contains("features and no sound"), "{detail}");
    let again = folder.path().join("again");
    for features in [None, options.features.clone()] {
        let options = ShardOptions { features, ..ShardOptions::new(&shards.path, &again) };
        let error = write_shards(&options, &|_, _| {}).unwrap_err();
        assert!(matches!(error, ShardError::Features { .. }), "{error}");
        assert!(!again.exists());
    }
    let kind = FeatureKind::Spectrogram;
    let features = stored(FeatureBits::Sixteen, &FeatureOptions { kind, ..small() });
    let options = ShardOptions { features, ..ShardOptions::new(&loose.path, &again) };
    let error = write_shards(&options, &|_, _| {}).unwrap_err().to_string();
    assert!(error.contains("log-spectrogram") && !again.exists(), "{error}");
}

/// A rate that the features refuse, a recording of less than a frame: in the ledger, as when training.
#[test]
fn what_has_no_features_is_in_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    write_wav(&folder.path().join("short.wav"), 16_000, &noise(1, 100)).unwrap();
    write_wav(&folder.path().join("low.wav"), 8_000, &noise(2, 8_000)).unwrap();
    write_wav(&folder.path().join("good.wav"), 16_000, &noise(3, 16_000)).unwrap();
    let utterances = ["short", "low", "good", "gone"]
        .map(|id| Utterance::new(id, format!("{id}.wav"), 1.0, "a"))
        .to_vec();
    let loose = Manifest { path: folder.path().join("train.jsonl"), utterances };
    loose.write().unwrap();
    let features = stored(FeatureBits::Eight, &FeatureOptions { allow_upsample: false, ..small() });
    let options =
        ShardOptions { features, ..ShardOptions::new(&loose.path, folder.path().join("out")) };
    let report = &write_shards(&options, &|_, _| {}).unwrap()[0];
    let reasons: Vec<_> =
        report.ledger.refusals().iter().map(|r| (r.id.as_str(), r.reason)).collect();
    assert_eq!(
        reasons,
        [
            ("short", Reason::ShorterThanAFrame),
            ("low", Reason::SampleRate),
            ("gone", Reason::MissingAudio)
        ]
    );
    assert_eq!(report.ledger.kept_count(), 1);
}

#[test]
fn a_check_says_what_it_can_and_that_it_heard_nothing() {
    let (folder, loose) = corpus();
    let out = folder.path().join("shards");
    let features = stored(FeatureBits::Eight, &small());
    let shards = shard(&ShardOptions { features, ..ShardOptions::new(&loose.path, &out) }).unwrap();
    let run = |context: Option<&CheckContext>| check(&shards.path, context, &|_, _| {}).unwrap();
    let report = run(None);
    assert_eq!(report.errors(), 0, "{report}");
    let unheard: Vec<_> =
        report.findings.iter().filter(|f| f.kind == FindingKind::NoSound).collect();
    assert_eq!(unheard.len(), 1);
    assert!(unheard[0].severity == Severity::Warning && unheard[0].detail.starts_with("32 of 32"));
    let seconds: f64 = loose.utterances.iter().map(|u| u.duration).sum();
    assert!((report.sets[0].seconds - seconds).abs() < 1e-9);
    let context = |features: &FeatureOptions, divisor| {
        let options = training(&shards);
        CheckContext {
            normalizer: options.normalizer,
            alphabet: options.alphabet,
            lexicon: None,
            framewise: false,
            features: features.clone(),
            output_frames: Arc::new(move |frames| frames / divisor),
        }
    };
    assert_eq!(run(Some(&context(&small(), 1))).errors(), 0);
    let report = run(Some(&context(&small(), 20)));
    assert!(report.findings.iter().any(|f| f.kind == FindingKind::TooShortForCtc), "{report}");
    let report = run(Some(&context(&FeatureOptions { num_mel_bins: 9, ..small() }, 1)));
    let foreign: Vec<_> =
        report.findings.iter().filter(|f| f.kind == FindingKind::ForeignFeatures).collect();
    assert_eq!((foreign.len(), report.errors()), (1, 1), "{report}");
    // A duration that is not that of the frames, a matrix of another size, a changed byte.
    let mut faulty = shards.clone();
    faulty.utterances[1].duration += 1.0;
    let features = &mut faulty.utterances[2].shard.as_mut().unwrap().features;
    features.as_mut().unwrap().frames += 3;
    faulty.utterances[2].duration += 0.03;
    faulty.write().unwrap();
    let range = shards.utterances[3].shard.as_ref().unwrap();
    let mut tar = fs::read(out.join(&range.file)).unwrap();
    tar[range.offset as usize + 40] ^= 1;
    fs::write(out.join(&range.file), tar).unwrap();
    let report = run(None);
    let found: Vec<_> = report
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .map(|f| (f.id.as_deref().unwrap_or_default(), f.kind))
        .collect();
    assert_eq!(
        found,
        [
            ("u002", FindingKind::UnreadableAudio),
            ("u003", FindingKind::UnreadableAudio),
            ("u001", FindingKind::WrongDuration),
        ]
    );
    // Where the list is gone, nothing tells how long a frame is: that is said, and no more.
    fs::remove_file(out.join("train.shards.json")).unwrap();
    let report = run(None);
    assert!(!report.findings.iter().any(|f| f.kind == FindingKind::WrongDuration), "{report}");
    assert!(report.to_string().contains("durations were not compared"), "{report}");
}

/// AN4: bytes of the shards, and how far the stored features are from those of the recordings.
#[test]
fn features_of_an4_are_close_and_small() {
    let Ok(data) = std::env::var("LABYRINTH_DATA") else {
        println!("skipped: LABYRINTH_DATA names no folder of real recordings");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let prepared = folder.path().join("an4");
    let options =
        labyrinth_corpus::PrepareOptions::new(Path::new(&data).join("an4"), prepared.clone());
    labyrinth_corpus::prepare_an4(&options, &|_, _| {}).unwrap();
    let loose = Manifest::read(&prepared.join("test.jsonl")).unwrap();
    let bytes_of = |manifest: &Manifest| -> u64 {
        manifest.utterances.iter().map(|u| u.shard.as_ref().unwrap().bytes).sum()
    };
    let flac = shard(&ShardOptions {
        audio: labyrinth_corpus::ShardAudio::Flac,
        ..ShardOptions::new(&loose.path, folder.path().join("flac"))
    });
    println!("FLAC: {} bytes", bytes_of(&flac.unwrap()));
    let fbank = FeatureOptions::default();
    let mfcc = FeatureOptions {
        kind: FeatureKind::Mfcc,
        num_mel_bins: 40,
        num_ceps: 40,
        ..FeatureOptions::default()
    };
    for (name, options) in [("fbank 80", fbank), ("mfcc 40", mfcc)] {
        for (bits, bound) in [(FeatureBits::Eight, 0.2), (FeatureBits::Sixteen, 0.01)] {
            let out = folder.path().join(format!("{name} {bits}"));
            let features = stored(bits, &options);
            let shards =
                shard(&ShardOptions { features, ..ShardOptions::new(&loose.path, &out) }).unwrap();
            let mut extractor = FeatureExtractor::new(&options.without_stages()).unwrap();
            let (mut count, mut sums, mut greatest) = (0usize, [0f64; 2], [0f64; 2]);
            for (before, after) in loose.utterances.iter().zip(&shards.utterances) {
                let audio = read_clip(loose.folder(), before).unwrap();
                let samples = resample(&audio.mono(), audio.sample_rate, extractor.sample_rate());
                let mut wanted = Vec::new();
                extractor.compute(&samples, &mut wanted);
                let mut found = read_stored_features(shards.folder(), after).unwrap();
                assert_eq!(wanted.len(), found.len());
                let dim = extractor.dim();
                // As stored; and normalised, as a model sees them.
                for stage in 0..2 {
                    for (a, b) in wanted.iter().zip(&found) {
                        let error = f64::from((a - b).abs());
                        sums[stage] += error;
                        greatest[stage] = greatest[stage].max(error);
                    }
                    options.normalize.apply(&mut wanted, dim);
                    options.normalize.apply(&mut found, dim);
                }
                count += wanted.len();
            }
            let mean = sums.map(|sum| sum / count as f64);
            println!(
                "{name}, {bits} bits: {} bytes; error as stored: largest {:.5}, mean {:.6}; normalised: \
                 largest {:.5}, mean {:.6}",
                bytes_of(&shards),
                greatest[0],
                mean[0],
                greatest[1],
                mean[1]
            );
            assert!(greatest[1] < bound && mean[1] < bound / 10.0, "{greatest:?} {mean:?}");
        }
    }
}
