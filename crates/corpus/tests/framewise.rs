//! Targets of frames through the loader: scaled with the sound, masked where the alphabet ends, refused
//! where the track is broken; and transcripts that become phonemes through a lexicon.

mod common;

use common::{evaluation, run, training, utterance};
use labyrinth_corpus::loader::LoaderOptions;
use labyrinth_corpus::{
    Batch, Framewise, IGNORED, Infeasible, Manifest, Position, Reason, TrackContents,
    plan_refusals, plan_training, training_alphabet,
};
use labyrinth_text::{Alphabet, Lexicon, Normalizer, NormalizerOptions, TrackOptions, Units};
use std::path::Path;
use std::sync::Arc;

/// Utterances of 1 s: silence, then a from 0.2 to 0.6 s, b from 0.6 to 0.8 s, x from 0.8 s on.
fn corpus(folder: &Path) -> Manifest {
    let track = "0.2\t0.6\ta\n0.6\t0.8\tb\n0.8\t1.0\tx\n";
    let utterances = (0..6).map(|key| {
        let mut utterance = utterance(folder, key, 16000, 16000, "hello");
        let (name, text) = match key {
            1 => ("over.txt", "0.2\t0.6\ta\n0.5\t0.8\tb\n"),
            2 => ("back.txt", "0.6\t0.2\ta\n"),
            3 => ("past.txt", "0.2\t1.6\ta\n"),
            _ => ("good.txt", track),
        };
        std::fs::write(folder.join(name), text).unwrap();
        utterance.labels = match key {
            4 => None,
            5 => Some("gone.txt".into()),
            _ => Some(name.into()),
        };
        utterance
    });
    let utterances: Vec<_> = utterances.collect();
    Manifest { path: folder.join("train.jsonl"), utterances }
}

fn options(manifest: &Manifest, speeds: &[f64]) -> LoaderOptions {
    let stride = 2;
    LoaderOptions {
        alphabet: Alphabet::from_transcripts(Units::Phonemes, ["a b"].into_iter()),
        framewise: Some(Framewise { track: TrackOptions::default(), stride }),
        speeds: speeds.to_vec(),
        tempos: vec![],
        batch_size: 6,
        max_batch_seconds: f64::INFINITY,
        output_frames: Arc::new(move |frames: usize| frames.div_ceil(stride)),
        ..training(manifest)
    }
}

fn batches(options: &LoaderOptions) -> Vec<Batch> {
    run(options, Position::default(), 1).into_iter().filter_map(|(_, batch)| batch).collect()
}

#[test]
fn broken_tracks_are_refused_by_name_and_the_others_give_targets() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = corpus(folder.path());
    let mut refused = Vec::new();
    for infeasible in [Infeasible::Refuse, Infeasible::Keep] {
        let all = batches(&LoaderOptions { infeasible, ..options(&manifest, &[1.0]) });
        refused = all.iter().flat_map(|batch| batch.refused.clone()).collect();
        refused.sort_by(|a, b| a.id.cmp(&b.id));
        let reasons: Vec<(&str, Reason)> =
            refused.iter().map(|refusal| (refusal.id.as_str(), refusal.reason)).collect();
        assert_eq!(
            reasons,
            [
                ("u001", Reason::UnusableLabels),
                ("u002", Reason::UnusableLabels),
                ("u003", Reason::UnusableLabels),
                ("u004", Reason::MissingLabels),
                ("u005", Reason::MissingLabels),
            ]
        );
        let good = all.iter().find(|batch| !batch.is_empty()).unwrap();
        assert_eq!((good.ids.len(), good.texts[0].as_str()), (1, "a b x"));
        assert!(good.targets[0].is_empty(), "x has no label");
    }
    for (refusal, part) in refused.iter().zip(["overlap", "before it starts", "ends at 1.6 s"]) {
        assert!(refusal.detail.contains(part), "{}", refusal.detail);
        assert!(refusal.detail.contains(".txt"), "{}", refusal.detail);
    }
    // All of it is known before.
    let ledger = plan_refusals(&options(&manifest, &[1.0])).unwrap();
    let planned: Vec<&str> = ledger.refusals().iter().map(|refusal| refusal.id.as_str()).collect();
    assert_eq!(planned, ["u001", "u002", "u003", "u004", "u005"]);
    let (_, seconds) = plan_training(&options(&manifest, &[1.0])).unwrap();
    assert_eq!(seconds, manifest.utterances[0].duration);
    // The alphabet is that of the tracks that can be read.
    let track = TrackOptions::default();
    let sources = || std::iter::once(&manifest as &dyn labyrinth_corpus::Source);
    let contents = TrackContents::read(sources(), &track).unwrap();
    assert_eq!(contents.alphabet(Units::Phonemes, &track).symbols(), ["a", "b", "x"]);
    let only = TrackOptions { labels: vec!["b".into(), "c".into()], ..track };
    assert_eq!(contents.alphabet(Units::Words, &only).symbols(), ["b", "c"]);
    assert_eq!(contents.missing(&only), ["c"]);
}

/// Frames of 25 ms every 10 ms, halved: centres at 12.5, 32.5, 52.5 ms…
#[test]
fn targets_follow_the_sound_at_any_speed() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = corpus(folder.path());
    manifest.utterances.truncate(1);
    for speed in [0.8, 1.0, 1.25] {
        let batch = batches(&options(&manifest, &[speed])).remove(0);
        let targets = &batch.frame_targets[0];
        assert_eq!(targets.len(), batch.lengths[0].div_ceil(2));
        let count = |label: u32| targets.iter().filter(|&&target| target == label).count() as f64;
        for (label, seconds) in [(1, 0.4), (2, 0.2)] {
            let frames = seconds / speed / 0.02;
            assert!((count(label) - frames).abs() <= 1.0, "{speed}: {targets:?}");
        }
        let first = targets.iter().position(|&target| target == 1).unwrap() as f64;
        // The first centre behind the label's start.
        let behind = 0.0125 + first * 0.02 - 0.2 / speed;
        assert!((-0.001..=0.021).contains(&behind), "{speed}: {targets:?}");
        assert!(count(0) > 0.0 && targets.last() == Some(&IGNORED), "{targets:?}");
    }
    // An evaluation hears the same, unaugmented.
    let framewise = options(&manifest, &[]).framewise;
    let alphabet = options(&manifest, &[]).alphabet;
    let plain = LoaderOptions { framewise, alphabet, ..evaluation(&manifest) };
    let plain = LoaderOptions { output_frames: options(&manifest, &[]).output_frames, ..plain };
    let batch = batches(&plain).remove(0);
    assert_eq!(batch.frame_targets, batches(&options(&manifest, &[1.0]))[0].frame_targets);
}

#[test]
fn transcripts_become_phonemes_and_missing_words_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let texts = ["go", "go now", "Go, go!"];
    let utterances = texts.iter().zip(0..);
    let utterances: Vec<_> =
        utterances.map(|(text, key)| utterance(folder.path(), key, 16000, 8000, text)).collect();
    let manifest = Manifest { path: folder.path().join("train.jsonl"), utterances };
    let normalizer = Normalizer::new(&NormalizerOptions::default()).unwrap();
    let lexicon = Lexicon::parse(b"GO G OW\nAWAY AH W EY\n", &normalizer).unwrap();
    let source: &dyn labyrinth_corpus::Source = &manifest;
    let alphabet =
        training_alphabet([source], &normalizer, Units::Phonemes, Some(&lexicon)).unwrap();
    assert_eq!(alphabet.symbols(), ["G", "OW"]);
    let lexicon = Some(Arc::new(lexicon));
    let training = LoaderOptions { alphabet, lexicon, ..training(&manifest) };
    let ledger = plan_refusals(&training).unwrap();
    assert_eq!((ledger.kept_count(), ledger.refused_count()), (2, 1));
    let refusal = &ledger.refusals()[0];
    assert_eq!((refusal.id.as_str(), refusal.reason), ("u001", Reason::OutsideLexicon));
    assert!(refusal.detail.contains("`now`"), "{}", refusal.detail);
    let mut texts: Vec<String> =
        batches(&training).iter().flat_map(|batch| batch.texts.clone()).collect();
    texts.sort();
    assert_eq!(texts, ["G OW", "G OW G OW"]);
    // Where nothing may be left out, the word counts as something that no model writes.
    let kept = LoaderOptions { infeasible: Infeasible::Keep, shuffle: false, ..training };
    let batch = batches(&kept);
    let texts: Vec<String> = batch.iter().flat_map(|batch| batch.texts.clone()).collect();
    assert_eq!(texts, ["G OW", "G OW <now>", "G OW G OW"]);
    let feasible: Vec<bool> = batch.iter().flat_map(|batch| batch.feasible.clone()).collect();
    assert_eq!(feasible, [true, false, true]);
}
