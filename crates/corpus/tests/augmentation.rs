//! Augmentation through the loader: the same bytes whoever does the work, each method on its own, nothing
//! of it in an evaluation.

mod common;

use common::{evaluation, sound_corpus, training};
use labyrinth_corpus::loader::LoaderOptions;
use labyrinth_corpus::{
    Batch, Loader, LoaderError, Manifest, Position, RecordingsError, SoundOptions,
};
use labyrinth_signal::{
    LowPass, Noise, RecordedNoise, Reverberation, Telephone, Volume, write_wav,
};
use std::path::Path;

/// Noises of 0.3 to 4 s at two rates, some shorter and some longer than the speech.
fn noises(folder: &Path) -> RecordedNoise {
    let recordings = folder.join("noise");
    std::fs::create_dir_all(&recordings).unwrap();
    for (key, rate, samples) in [(1u64, 16_000u32, 4800), (2, 22_050, 60_000), (3, 16_000, 64_000)]
    {
        let path = recordings.join(format!("{key}.wav"));
        write_wav(&path, rate, &common::noise(900 + key, samples)).unwrap();
    }
    RecordedNoise { recordings, snr_db: [0.0, 10.0], probability: 0.8 }
}

/// Two responses: clicks with an echo.
fn responses(folder: &Path) -> Reverberation {
    let recordings = folder.join("rooms");
    std::fs::create_dir_all(&recordings).unwrap();
    for (key, rate) in [(1u64, 16_000u32), (2, 44_100)] {
        let mut response = vec![0f32; 9000];
        response[1000] = 0.9;
        for (offset, value) in common::noise(key, 7000).iter().enumerate() {
            response[1200 + offset] = value * (-(offset as f32) / 1500.0).exp();
        }
        write_wav(&recordings.join(format!("{key}.wav")), rate, &response).unwrap();
    }
    Reverberation { recordings: Some(recordings), ..Reverberation::default() }
}

/// Rooms that are quick to simulate.
fn rooms() -> Reverberation {
    Reverberation { rt60: [0.1, 0.2], rooms: 5, probability: 0.7, ..Reverberation::default() }
}

fn everything(folder: &Path) -> SoundOptions {
    SoundOptions {
        reverberation: Some(rooms()),
        recorded_noise: Some(noises(folder)),
        noise: Some(Noise { snr_db: [10.0, 30.0], probability: 0.5 }),
        volume: Some(Volume { gain_db: [-10.0, 10.0], clip: true, probability: 0.5 }),
        low_pass: Some(LowPass { cutoff_hz: [2000.0, 8000.0], probability: 0.5 }),
        telephone: Some(Telephone { probability: 0.5, ..Telephone::default() }),
    }
}

fn with_sound(manifest: &Manifest, sound: SoundOptions) -> LoaderOptions {
    let recordings = sound.read_recordings().unwrap();
    LoaderOptions { sound, recordings, ..training(manifest) }
}

/// No augmentation but `sound`, one utterance a batch.
fn only(manifest: &Manifest, sound: SoundOptions) -> LoaderOptions {
    LoaderOptions {
        speeds: vec![],
        tempos: vec![],
        vtln_warps: vec![],
        random_filter: None,
        spec_augment: None,
        batch_size: 1,
        ..with_sound(manifest, sound)
    }
}

fn batches(options: &LoaderOptions, epochs: u64) -> Vec<Batch> {
    let mut loader = Loader::new(options.clone(), Position::default()).unwrap();
    let mut batches = Vec::new();
    while loader.position().epoch < epochs {
        batches.extend(loader.next_batch().unwrap());
    }
    assert!(batches.iter().all(|batch| batch.features.iter().all(|value| value.is_finite())));
    batches
}

fn bits(batches: &[Batch]) -> Vec<(Vec<String>, Vec<u32>)> {
    let of = |batch: &Batch| {
        (batch.ids.clone(), batch.features.iter().map(|value| value.to_bits()).collect())
    };
    batches.iter().map(of).collect()
}

#[test]
fn everything_at_once_is_the_same_on_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 40);
    for sound in [
        everything(folder.path()),
        SoundOptions { reverberation: Some(responses(folder.path())), ..everything(folder.path()) },
    ] {
        let options = with_sound(&manifest, sound);
        let one = LoaderOptions { workers: 1, prefetch_batches: 0, ..options.clone() };
        let one = bits(&batches(&one, 2));
        for (workers, prefetch_batches) in [(2, 1), (5, 9)] {
            let other = LoaderOptions { workers, prefetch_batches, ..options.clone() };
            assert!(one == bits(&batches(&other, 2)), "{workers} workers gave other bytes");
        }
        let other_seed = LoaderOptions { seed: 12, shuffle: false, ..options.clone() };
        let same_order = LoaderOptions { shuffle: false, ..options };
        assert!(bits(&batches(&other_seed, 1)) != bits(&batches(&same_order, 1)));
    }
}

#[test]
fn each_method_changes_the_sound_as_often_as_asked_and_no_length() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 40);
    let plain = batches(&only(&manifest, SoundOptions::default()), 2);
    let none = SoundOptions::default();
    let with = |probability: f64| -> Vec<(&str, SoundOptions)> {
        vec![
            (
                "rooms",
                SoundOptions {
                    reverberation: Some(Reverberation { probability, ..rooms() }),
                    ..none.clone()
                },
            ),
            (
                "recorded rooms",
                SoundOptions {
                    reverberation: Some(Reverberation { probability, ..responses(folder.path()) }),
                    ..none.clone()
                },
            ),
            (
                "recorded noise",
                SoundOptions {
                    recorded_noise: Some(RecordedNoise { probability, ..noises(folder.path()) }),
                    ..none.clone()
                },
            ),
            (
                "noise",
                SoundOptions {
                    noise: Some(Noise { snr_db: [0.0, 10.0], probability }),
                    ..none.clone()
                },
            ),
            (
                "volume",
                SoundOptions {
                    // Clipped, since the level alone is normalised away by these features.
                    volume: Some(Volume { gain_db: [30.0, 40.0], clip: true, probability }),
                    ..none.clone()
                },
            ),
            (
                "low-pass",
                SoundOptions {
                    low_pass: Some(LowPass { cutoff_hz: [1000.0, 2000.0], probability }),
                    ..none.clone()
                },
            ),
            (
                "telephone",
                SoundOptions {
                    telephone: Some(Telephone { probability, ..Telephone::default() }),
                    ..none.clone()
                },
            ),
        ]
    };
    for (probability, least, most) in [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.5, 0.3, 0.7)] {
        for (name, sound) in with(probability) {
            let changed = batches(&only(&manifest, sound), 2);
            assert_eq!(changed.len(), plain.len());
            let mut different = 0.0;
            for (changed, plain) in changed.iter().zip(&plain) {
                assert_eq!((&changed.ids, &changed.lengths), (&plain.ids, &plain.lengths));
                different += f64::from(u8::from(changed.features != plain.features));
            }
            let share = different / plain.len() as f64;
            assert!((least..=most).contains(&share), "{name}, {probability}: {share}");
        }
    }
}

#[test]
fn speed_and_tempo_together_divide_the_length() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 20);
    let plain = only(&manifest, SoundOptions::default());
    let both = LoaderOptions { speeds: vec![0.8], tempos: vec![0.75], ..plain.clone() };
    let frames = |options: &LoaderOptions| -> std::collections::BTreeMap<String, usize> {
        let of = |batch: Batch| batch.ids.into_iter().zip(batch.lengths).collect::<Vec<_>>();
        batches(options, 1).into_iter().flat_map(of).collect()
    };
    let (plain, both) = (frames(&plain), frames(&both));
    assert_eq!(plain.len(), 20);
    for (id, length) in plain {
        // n frames stand for 15 ms and 10 ms each.
        let expected = (length as f64 + 1.5) / 0.6 - 1.5;
        assert!((both[&id] as f64 - expected).abs() < 2.0, "{id}: {length} {}", both[&id]);
    }
}

#[test]
fn an_evaluation_has_no_augmentation_to_switch_off() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 5);
    let options = evaluation(&manifest);
    assert_eq!(options.sound, SoundOptions::default());
    assert!(options.speeds.is_empty() && options.tempos.is_empty());
    assert!(options.vtln_warps.is_empty() && !options.shuffle);
    assert!(options.random_filter.is_none() && options.spec_augment.is_none());
    assert!(options.recordings.digest().is_empty());
    // Whatever the seed and the epoch.
    let other = LoaderOptions { seed: 99, ..options.clone() };
    let both = batches(&options, 2);
    assert!(bits(&both) == bits(&batches(&other, 2)));
    assert!(bits(&both[..both.len() / 2]) == bits(&both[both.len() / 2..]));
}

#[test]
fn recordings_that_vanish_stop_the_run_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 5);
    let sound = SoundOptions {
        recorded_noise: Some(RecordedNoise { probability: 1.0, ..noises(folder.path()) }),
        ..SoundOptions::default()
    };
    let options = with_sound(&manifest, sound.clone());
    assert_eq!(options.recordings.digest(), sound.read_recordings().unwrap().digest());
    for key in 1..=3 {
        std::fs::remove_file(folder.path().join(format!("noise/{key}.wav"))).unwrap();
    }
    let mut loader = Loader::new(options, Position::default()).unwrap();
    let error = loader.next_batch().unwrap_err();
    assert!(matches!(error, LoaderError::Recording { .. }), "{error}");
    assert!(error.to_string().contains(".wav") && error.to_string().contains("resume"), "{error}");
    assert!(matches!(sound.read_recordings().unwrap_err(), RecordingsError::Empty { .. }));
}
