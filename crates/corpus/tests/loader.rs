//! The loader's promises: one order whatever the workers, exact restoring, nothing lost, bounded memory.

mod common;

use common::{evaluation, run, same, sound_corpus, training, utterance};
use labyrinth_corpus::loader::LoaderOptions;
use labyrinth_corpus::{
    Batch, Corpus, Infeasible, Loader, LoaderError, Manifest, Position, Rank, Reason, SoundOptions,
    Utterance, plan_refusals,
};
use labyrinth_signal::{RecordedNoise, Volume};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn ids(steps: &[(Position, Option<Batch>)], epoch: u64) -> Vec<String> {
    let of_epoch = steps.iter().filter(|(position, _)| position.epoch == epoch);
    of_epoch.filter_map(|(_, batch)| batch.as_ref()).flat_map(|batch| batch.ids.clone()).collect()
}

#[test]
fn any_number_of_workers_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 80);
    let options = training(&manifest);
    let one = run(
        &LoaderOptions { workers: 1, prefetch_batches: 0, ..options.clone() },
        Position::default(),
        2,
    );
    assert!(one.len() > 55, "{} steps are too few to tell anything", one.len());
    for (workers, prefetch_batches) in [(2, 0), (4, 3), (3, 40)] {
        let other = run(
            &LoaderOptions { workers, prefetch_batches, ..options.clone() },
            Position::default(),
            2,
        );
        assert!(same(&one, &other), "{workers} workers gave other batches than one");
    }
}

#[test]
fn a_run_restored_at_any_position_goes_on_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = sound_corpus(folder.path(), 50);
    manifest.utterances[5].audio_filepath = "gone.wav".into();
    manifest.utterances[9].text = "ü".into();
    // Two utterances a batch make windows of 32: two of them here.
    let options = LoaderOptions { batch_size: 2, ..training(&manifest) };
    let whole = run(&options, Position::default(), 2);
    for (step, (position, _)) in whole.iter().enumerate() {
        // A position goes through a checkpoint's JSON.
        let stored = serde_json::to_string(position).unwrap();
        let restored: Position = serde_json::from_str(&stored).unwrap();
        let workers = 1 + step % 3;
        let rest = run(&LoaderOptions { workers, ..options.clone() }, restored, 2);
        assert!(same(&whole[step..], &rest), "restored at {position:?}");
    }
}

#[test]
fn each_epoch_has_every_utterance_once_in_another_order() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 90);
    let options = training(&manifest);
    let steps = run(&options, Position::default(), 3);
    let expected: BTreeSet<String> = manifest.utterances.iter().map(|u| u.id.clone()).collect();
    for epoch in 0..3 {
        let ids = ids(&steps, epoch);
        assert_eq!(ids.len(), 90, "an utterance came twice or not at all");
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    assert_ne!(ids(&steps, 0), ids(&steps, 1));
    assert_ne!(ids(&steps, 1), ids(&steps, 2));
    let other_seed = run(&LoaderOptions { seed: 12, ..options.clone() }, Position::default(), 1);
    assert_ne!(ids(&steps, 0), ids(&other_seed, 0));

    // Not only batches change places: other utterances meet in the first window of 16.
    let single = LoaderOptions { batch_size: 1, speeds: vec![], tempos: vec![], ..options.clone() };
    let single = run(&single, Position::default(), 2);
    let window = |epoch| ids(&single, epoch)[..16].iter().cloned().collect::<BTreeSet<_>>();
    assert!(window(0).intersection(&window(1)).count() < 12);
    let first: BTreeSet<String> = manifest.utterances[..16].iter().map(|u| u.id.clone()).collect();
    assert!(window(0).intersection(&first).count() < 12);

    // The same utterance is augmented differently in each epoch.
    let of = |epoch: u64, id: &str| {
        let batches =
            steps.iter().filter(|(p, _)| p.epoch == epoch).filter_map(|(_, b)| b.as_ref());
        for batch in batches {
            if let Some(place) = batch.ids.iter().position(|other| other == id) {
                let dim = 6;
                let begin: usize = batch.lengths[..place].iter().sum();
                return batch.features[begin * dim..(begin + batch.lengths[place]) * dim].to_vec();
            }
        }
        panic!("{id} is missing");
    };
    let changed = expected.iter().filter(|id| of(0, id) != of(1, id)).count();
    assert!(changed > 80, "only {changed} of 90 utterances were augmented anew");
}

#[test]
fn batches_keep_their_limits_and_hold_utterances_of_like_length() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 90);
    let options = LoaderOptions {
        batch_size: 4,
        max_batch_seconds: 1.7,
        speeds: vec![],
        tempos: vec![],
        ..training(&manifest)
    };
    let loader = Loader::new(options.clone(), Position::default()).unwrap();
    let steps = run(&options, Position::default(), 2);
    let mut spread = 0.0;
    for (_, batch) in &steps {
        let Some(batch) = batch else { continue };
        let seconds: Vec<f64> =
            batch.places.iter().map(|(_, i)| manifest.utterances[*i].duration).collect();
        assert!(batch.ids.len() <= 4);
        assert!(seconds.iter().sum::<f64>() <= 1.7 || batch.ids.len() == 1);
        assert!((batch.seconds - seconds.iter().sum::<f64>()).abs() < 1e-9);
        let bounds = (
            seconds.iter().copied().fold(9.0, f64::min),
            seconds.iter().copied().fold(0.0, f64::max),
        );
        spread += bounds.1 - bounds.0;
    }
    let batches = steps.iter().filter(|(_, batch)| batch.is_some()).count();
    let about = loader.about_steps_in_epoch().unwrap();
    assert!((2 * about).abs_diff(batches as u64) <= 2, "{batches} are not about twice {about}");
    // How far an epoch has come, from nothing to nearly all.
    let begins = |epoch| {
        let of_epoch = steps.iter().filter(move |(position, _)| position.epoch == epoch);
        of_epoch.filter_map(|(_, batch)| batch.as_ref()).map(|b| (b.begins, b.len()))
    };
    for epoch in 0..2 {
        let mut expected = 0;
        for (share, len) in begins(epoch) {
            assert!((share * 90.0 - expected as f64).abs() < 1e-9, "{share} after {expected}");
            expected += len;
        }
        assert_eq!(expected, 90);
    }
    // Durations spread over 0.7 s; at random, three of them lie 0.35 s apart on average.
    assert!(spread / (batches as f64) < 0.08, "{}", spread / batches as f64);
}

/// A corpus with one fault of each kind, by id.
fn planted(folder: &std::path::Path) -> (Manifest, BTreeMap<String, Reason>) {
    let mut manifest = sound_corpus(folder, 40);
    let mut faults = BTreeMap::new();
    let mut plant = |index: usize, reason: Reason, change: &dyn Fn(&mut Utterance)| {
        change(&mut manifest.utterances[index]);
        faults.insert(manifest.utterances[index].id.clone(), reason);
    };
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    write("text.wav", b"this is not a recording at all");
    write("zero.wav", b"");
    let whole = std::fs::read(folder.join("u005.wav")).unwrap();
    write("cut.wav", &whole[..whole.len() / 2]);
    labyrinth_signal::write_wav(&folder.join("none.wav"), 16000, &[]).unwrap();
    labyrinth_signal::write_wav(&folder.join("blink.wav"), 16000, &[0.1; 200]).unwrap();
    plant(1, Reason::MissingAudio, &|u| u.audio_filepath = "gone.wav".into());
    plant(2, Reason::UnreadableAudio, &|u| u.audio_filepath = "text.wav".into());
    plant(3, Reason::EmptyAudio, &|u| u.audio_filepath = "zero.wav".into());
    plant(4, Reason::UnreadableAudio, &|u| u.audio_filepath = "cut.wav".into());
    plant(6, Reason::EmptyAudio, &|u| u.audio_filepath = "none.wav".into());
    plant(7, Reason::ShorterThanAFrame, &|u| u.audio_filepath = "blink.wav".into());
    plant(8, Reason::OffsetPastEnd, &|u| u.offset = Some(5.0));
    plant(9, Reason::OffsetPastEnd, &|u| u.offset = Some(0.15));
    plant(11, Reason::OutsideAlphabet, &|u| u.text = "naïve".into());
    plant(12, Reason::EmptyTranscript, &|u| u.text = " ?! ".into());
    plant(13, Reason::TooShortForCtc, &|u| u.text = "a".repeat(40));
    plant(14, Reason::ShorterThanAFrame, &|u| {
        u.audio_filepath = "blink.wav".into();
        u.duration = 200.0 / 16000.0;
    });
    (manifest, faults)
}

#[test]
fn every_fault_is_named_once_an_epoch_and_never_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, faults) = planted(folder.path());
    let options = training(&manifest);
    let steps = run(&options, Position::default(), 2);
    let mut ledger = plan_refusals(&options).unwrap();
    assert_eq!(ledger.read_count(), 40);
    // Known before any audio is read: the transcripts' faults and what the durations tell.
    let planned: BTreeSet<Reason> = ledger.refusals().iter().map(|r| r.reason).collect();
    let expected = [
        Reason::ShorterThanAFrame,
        Reason::EmptyTranscript,
        Reason::OutsideAlphabet,
        Reason::TooShortForCtc,
    ];
    assert_eq!(planned, expected.into());
    assert_eq!(ledger.refused_count(), 4);
    for epoch in 0..2 {
        let mut found = BTreeMap::new();
        let batches =
            steps.iter().filter(|(p, _)| p.epoch == epoch).filter_map(|(_, b)| b.as_ref());
        for refusal in batches.flat_map(|batch| &batch.refused) {
            assert!(found.insert(refusal.id.clone(), refusal.reason).is_none());
            assert!(!refusal.detail.is_empty());
            ledger.refuse_kept(refusal.clone());
        }
        assert_eq!(found, faults);
        assert_eq!(ids(&steps, epoch).len() + found.len(), 40);
    }
    assert_eq!(
        (ledger.read_count(), ledger.kept_count(), ledger.refused_count()),
        (40, 40 - faults.len(), faults.len())
    );
}

#[test]
fn an_evaluation_keeps_order_and_transcripts_and_refuses_audio_faults_only() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, faults) = planted(folder.path());
    let audio_fault = |reason: &Reason| {
        !matches!(
            reason,
            Reason::OutsideAlphabet | Reason::EmptyTranscript | Reason::TooShortForCtc
        )
    };
    let refused: BTreeSet<&String> =
        faults.iter().filter(|(_, reason)| audio_fault(reason)).map(|(id, _)| id).collect();
    let expected: Vec<String> = manifest
        .utterances
        .iter()
        .map(|u| u.id.clone())
        .filter(|id| !refused.contains(id))
        .collect();
    let options = evaluation(&manifest);
    let steps = run(&options, Position::default(), 1);
    assert_eq!(ids(&steps, 0), expected);
    for batch in steps.iter().filter_map(|(_, batch)| batch.as_ref()) {
        assert!(batch.refused.iter().all(|refusal| refused.contains(&refusal.id)));
        for (place, id) in batch.ids.iter().enumerate() {
            assert_eq!(
                batch.feasible[place],
                faults.get(id).is_none_or(|r| *r == Reason::EmptyTranscript),
                "{id}"
            );
            match faults.get(id) {
                Some(Reason::OutsideAlphabet) => {
                    assert_eq!(
                        (batch.texts[place].as_str(), batch.targets[place].len()),
                        ("naïve", 0)
                    );
                }
                Some(Reason::TooShortForCtc) => assert_eq!(batch.targets[place].len(), 40),
                _ => assert_eq!(options.alphabet.decode(&batch.targets[place]), batch.texts[place]),
            }
        }
    }
    // An utterance's features are the same bytes whoever its mates are, and normalised.
    let mut alone = BTreeMap::new();
    for (_, batch) in
        run(&LoaderOptions { batch_size: 1, ..options.clone() }, Position::default(), 1)
    {
        let Some(batch) = batch.filter(|batch| !batch.is_empty()) else { continue };
        let mean = batch.features.iter().sum::<f32>() / batch.features.len() as f32;
        assert!(mean.abs() < 1e-4, "{mean}");
        alone.insert(batch.ids[0].clone(), batch.features);
    }
    for batch in steps.iter().filter_map(|(_, batch)| batch.as_ref()) {
        let mut rest = &batch.features[..];
        for (id, length) in batch.ids.iter().zip(&batch.lengths) {
            let (mine, others) = rest.split_at(length * 6);
            assert!(mine.iter().map(|x| x.to_bits()).eq(alone[id].iter().map(|x| x.to_bits())));
            rest = others;
        }
        assert!(rest.is_empty());
    }
    // An infeasible transcript is no reason for the plan either.
    assert_eq!(plan_refusals(&options).unwrap().refused_count(), 0);
}

/// Exactly enough frames will do, one less will not, and the plan says so before the audio is read:
/// at several rates, with repeated letters counted (pitfall 1).
#[test]
fn feasibility_is_exact_at_the_edge_in_plan_and_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut utterances = Vec::new();
    let mut expected = BTreeMap::new();
    // 16 kHz, 25/10 ms: n samples give 1 + (n - 400) / 160 frames, the model keeps them all.
    for (key, (rate, frames, text)) in [
        (16000, 9, "aabbcc"),
        (16000, 8, "aabbcc"),
        (8000, 5, "hello"),
        (8000, 6, "hello"),
        (32000, 6, "hello"),
        (32000, 5, "hello"),
        (44100, 3, "abc"),
        (44100, 2, "abc"),
        (22050, 4, "abb"),
        (22050, 3, "abb"),
    ]
    .into_iter()
    .enumerate()
    {
        // The fewest samples of this rate that give so many at 16 kHz, rounded, and one less.
        let needed = 400 + 160 * (frames - 1);
        let fewest = (0..).find(|n| (n * 16000 * 2 + rate) / (2 * rate) >= needed).unwrap();
        for (less, frames) in [(0, frames), (1, frames - 1)] {
            let key = 2 * key as u64 + less as u64;
            let utterance = utterance(folder.path(), key, rate as u32, fewest - less, text);
            let repeats = text.as_bytes().windows(2).filter(|w| w[0] == w[1]).count();
            expected.insert(utterance.id.clone(), frames >= text.len() + repeats);
            utterances.push(utterance);
        }
    }
    let manifest = Manifest { path: folder.path().join("train.jsonl"), utterances };
    let options = LoaderOptions {
        output_frames: Arc::new(|frames| frames),
        speeds: vec![],
        tempos: vec![],
        ..training(&manifest)
    };
    let planned = plan_refusals(&options).unwrap();
    let loaded = ids(&run(&options, Position::default(), 1), 0);
    for (id, feasible) in &expected {
        assert_eq!(planned.refusals().iter().all(|r| r.id != *id), *feasible, "plan of {id}");
        assert_eq!(loaded.contains(id), *feasible, "load of {id}");
    }
    // Read with a manifest that claims twice the length, the loader finds out by itself.
    let mut liar = manifest.clone();
    for utterance in &mut liar.utterances {
        utterance.duration *= 2.0;
    }
    let options =
        LoaderOptions { corpora: vec![Corpus { source: Arc::new(liar), weight: 1.0 }], ..options };
    assert!(plan_refusals(&options).unwrap().refused_count() < planned.refused_count());
    let loaded = ids(&run(&options, Position::default(), 1), 0);
    assert!(expected.iter().all(|(id, feasible)| loaded.contains(id) == *feasible));
}

#[test]
fn an_utterance_that_only_its_speed_makes_infeasible_is_used_as_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let samples = 400 + 160 * 9;
    let tight = utterance(folder.path(), 0, 16000, samples, "abcdefghij");
    let loose = utterance(folder.path(), 1, 16000, samples, "abc");
    let manifest =
        Manifest { path: folder.path().join("train.jsonl"), utterances: vec![tight, loose] };
    let options = LoaderOptions {
        output_frames: Arc::new(|frames| frames),
        speeds: vec![1.25],
        tempos: vec![],
        ..training(&manifest)
    };
    let steps = run(&options, Position::default(), 1);
    let lengths: BTreeMap<String, usize> = steps
        .iter()
        .filter_map(|(_, batch)| batch.as_ref())
        .flat_map(|batch| batch.ids.iter().cloned().zip(batch.lengths.iter().copied()))
        .collect();
    assert_eq!(lengths, [("u000".to_owned(), 10), ("u001".to_owned(), 7)].into());
}

#[test]
fn each_utterance_and_epoch_draws_its_warp() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 40);
    let of = |vtln_warps: &[f32]| {
        let options = LoaderOptions {
            batch_size: 1,
            speeds: vec![],
            tempos: vec![],
            vtln_warps: vtln_warps.to_vec(),
            spec_augment: None,
            ..training(&manifest)
        };
        run(&options, Position::default(), 2)
    };
    let (low, high, both) = (of(&[0.8]), of(&[1.2]), of(&[0.8, 1.2]));
    let mut drawn = BTreeSet::new();
    let mut counts = [0, 0];
    for ((low, high), both) in low.iter().zip(&high).zip(&both) {
        let (Some(low), Some(high), Some(both)) = (&low.1, &high.1, &both.1) else { continue };
        assert_ne!(low.features, high.features);
        let side = usize::from(both.features == high.features);
        assert_eq!(both.features, [low, high][side].features, "a third warp");
        counts[side] += 1;
        drawn.insert((both.ids.clone(), side));
    }
    assert!(counts.iter().all(|&count| count > 20), "{counts:?}");
    assert!(drawn.len() > 45, "the second epoch draws as the first");
}

/// Counts in `output_frames`, which an evaluation calls once for each utterance that it has loaded.
fn counting(options: LoaderOptions) -> (LoaderOptions, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let inside = Arc::clone(&count);
    let output_frames = Arc::new(move |frames| {
        inside.fetch_add(1, Ordering::SeqCst);
        frames
    });
    (LoaderOptions { output_frames, ..options }, count)
}

#[test]
fn no_more_is_loaded_ahead_than_stated() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 60);
    for (workers, prefetch_batches) in [(1, 0), (2, 1), (3, 3)] {
        let (options, loaded) = counting(LoaderOptions {
            batch_size: 2,
            workers,
            prefetch_batches,
            ..evaluation(&manifest)
        });
        let mut loader = Loader::new(options, Position::default()).unwrap();
        let limit = workers + prefetch_batches;
        for taken in 0..5 {
            let stated = 2 * (taken + limit);
            let patience = Instant::now();
            while loaded.load(Ordering::SeqCst) < stated && patience.elapsed().as_secs() < 60 {
                std::thread::sleep(Duration::from_millis(5));
            }
            // Time for an unbounded loader to show itself.
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(loaded.load(Ordering::SeqCst), stated);
            loader.next_batch().unwrap().unwrap();
        }
        assert_eq!(loader.most_in_flight(), limit);
    }
}

#[test]
fn an_evaluation_reads_its_data_once() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 12);
    let (options, loaded) = counting(evaluation(&manifest));
    let mut loader = Loader::new(options, Position::default()).unwrap();
    while loader.next_batch().unwrap().is_some() {}
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(loaded.load(Ordering::SeqCst), 12);
    assert_eq!(loader.position(), Position::start_of_epoch(1));
    loader.next_batch().unwrap().unwrap();
    drop(loader);
    assert!(loaded.load(Ordering::SeqCst) > 12);
}

#[test]
fn the_workers_end_with_the_loader() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 30);
    let options = training(&manifest);
    let shared = Arc::clone(&options.corpora[0].source);
    let mut loader = Loader::new(options, Position::default()).unwrap();
    loader.next_batch().unwrap().unwrap();
    drop(loader);
    // Each worker holds the options: none is left.
    assert_eq!(Arc::strong_count(&shared), 1);
}

/// Restoring plans one window, however long the manifest is.
#[test]
fn restoring_costs_the_same_in_a_long_manifest() {
    let utterances: Vec<Utterance> = (0..200_000)
        .map(|i| Utterance::new(format!("{i}"), "gone.wav", 1.0 + (i % 7) as f64, "abc"))
        .collect();
    let manifest = Manifest { path: "nowhere/train.jsonl".into(), utterances };
    let (options, judged) = counting(LoaderOptions {
        batch_size: 16,
        max_batch_seconds: f64::INFINITY,
        ..training(&manifest)
    });
    let position = Position { epoch: 3, batch: 6000, window: 375, batch_in_window: 5 };
    let mut loader = Loader::new(options, position).unwrap();
    let batch = loader.next_batch().unwrap().unwrap();
    // The audio is not there, which is a fault of each utterance and not of the run.
    assert_eq!((batch.ids.len(), batch.refused.len()), (0, 16));
    assert_eq!(loader.position().batch, 6001);
    assert!(
        judged.load(Ordering::SeqCst) <= 256,
        "{} utterances judged",
        judged.load(Ordering::SeqCst)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_failing_disk_stops_the_run_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = sound_corpus(folder.path(), 12);
    // A regular file whose first byte gives an input/output error: no memory is mapped there.
    std::os::unix::fs::symlink("/proc/self/mem", folder.path().join("dead.wav")).unwrap();
    manifest.utterances[7].audio_filepath = "dead.wav".into();
    let mut loader =
        Loader::new(LoaderOptions { batch_size: 2, ..evaluation(&manifest) }, Position::default())
            .unwrap();
    for _ in 0..3 {
        loader.next_batch().unwrap().unwrap();
    }
    let position = loader.position();
    let error = loader.next_batch().unwrap_err();
    assert!(matches!(error, LoaderError::Disk { .. }), "{error}");
    assert!(error.to_string().contains("dead.wav"), "{error}");
    assert_eq!(loader.position(), position, "the position must not pass over what was not read");
    assert!(matches!(loader.next_batch(), Err(LoaderError::Stopped)));
}

#[test]
fn senseless_options_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 3);
    let options = training(&manifest);
    let empty = Manifest { path: manifest.path.clone(), utterances: vec![] };
    let with_volume = |gain_db| {
        let volume = Some(Volume { gain_db, clip: false, probability: 1.0 });
        let sound = SoundOptions { volume, ..SoundOptions::default() };
        LoaderOptions { sound, ..options.clone() }
    };
    let noise = RecordedNoise { recordings: "noise".into(), snr_db: [0.0, 9.0], probability: 1.0 };
    let with = |manifest: &Manifest, weight| LoaderOptions {
        corpora: vec![Corpus { source: Arc::new(manifest.clone()), weight }],
        ..options.clone()
    };
    let unread = SoundOptions { recorded_noise: Some(noise), ..SoundOptions::default() };
    for (options, name) in [
        (LoaderOptions { batch_size: 0, ..options.clone() }, "batch-size"),
        (LoaderOptions { max_batch_seconds: f64::NAN, ..options.clone() }, "max-batch-seconds"),
        (LoaderOptions { max_batch_seconds: 0.0, ..options.clone() }, "max-batch-seconds"),
        (LoaderOptions { speeds: vec![1.0, 0.0], ..options.clone() }, "speeds"),
        (LoaderOptions { tempos: vec![1.0, f64::NAN], ..options.clone() }, "tempos"),
        (with_volume([5.0, -5.0]), "gain-db"),
        (LoaderOptions { sound: unread, ..options.clone() }, "recorded-noise"),
        (LoaderOptions { vtln_warps: vec![1.0, 0.0], ..options.clone() }, "vtln-warp"),
        (with(&empty, 1.0), "train.jsonl"),
        (with(&manifest, 0.0), "weight"),
        (with(&manifest, f64::NAN), "weight"),
        (LoaderOptions { rank: Rank { number: 2, of: 2 }, ..options.clone() }, "rank"),
        (LoaderOptions { corpora: vec![], ..options.clone() }, "corpora"),
    ] {
        let error = Loader::new(options, Position::default()).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_corpus_of_refusals_only_still_tells_each() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = sound_corpus(folder.path(), 5);
    for utterance in &mut manifest.utterances {
        utterance.text = "ß".into();
    }
    let options = LoaderOptions { infeasible: Infeasible::Refuse, ..training(&manifest) };
    let steps = run(&options, Position::default(), 2);
    assert_eq!(steps.len(), 4);
    let batch = steps[0].1.as_ref().unwrap();
    assert!(batch.is_empty());
    assert_eq!(batch.refused.len(), 5);
}

/// Dither is the same in every run, differs from none, and is left out of evaluations.
#[test]
fn dither_is_for_training_and_the_same_in_every_run() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 6);
    let with_dither = |mut options: LoaderOptions, dither| {
        options.features.dither = dither;
        let steps = run(&options, Position::default(), 1);
        let batches = steps.into_iter().filter_map(|(_, batch)| batch);
        batches.flat_map(|batch| batch.features).map(f32::to_bits).collect::<Vec<u32>>()
    };
    let dithered = with_dither(training(&manifest), 1.0);
    assert_eq!(dithered, with_dither(training(&manifest), 1.0));
    let workers = LoaderOptions { workers: 1, ..training(&manifest) };
    assert_eq!(dithered, with_dither(workers, 1.0));
    assert_ne!(dithered, with_dither(training(&manifest), 0.0));
    let evaluated = with_dither(evaluation(&manifest), 1.0);
    assert_eq!(evaluated, with_dither(evaluation(&manifest), 0.0));
}

/// A recording of another rate is resampled, or refused where the features say so.
#[test]
fn another_rate_is_refused_where_resampling_is_forbidden() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 6);
    let rates: BTreeSet<u32> = manifest
        .utterances
        .iter()
        .map(|u| {
            let path = manifest.audio_path(u);
            labyrinth_signal::read_audio(&path, None).unwrap().sample_rate
        })
        .collect();
    let mut options = evaluation(&manifest);
    assert!(rates.iter().any(|rate| *rate != 16_000) && rates.contains(&16_000), "{rates:?}");
    options.features.allow_downsample = false;
    options.features.allow_upsample = false;
    let steps = run(&options, Position::default(), 1);
    let batches = || steps.iter().filter_map(|(_, batch)| batch.as_ref());
    let refused: Vec<_> = batches().flat_map(|batch| &batch.refused).collect();
    let kept: usize = batches().map(|batch| batch.ids.len()).sum();
    assert_eq!(kept + refused.len(), 6);
    assert!(kept > 0 && !refused.is_empty());
    for refusal in refused {
        assert_eq!(refusal.reason, Reason::SampleRate);
        assert!(refusal.detail.contains("16000 Hz"), "{}", refusal.detail);
    }
}
