//! Several corpora in one training, several ranks, restoring anywhere, and labels that keep pace.

mod common;

use common::{run, same, sound_corpus, training};
use labyrinth_corpus::labels::{Label, LabelTrack, Recording};
use labyrinth_corpus::loader::LoaderOptions;
use labyrinth_corpus::{
    Batch, Corpus, IndexedManifest, Loader, Manifest, Position, Rank, Reason, Source, plan_refusals,
};
use labyrinth_signal::Random;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Corpora of 40, 30 and 25 recordings with faults in them, the first one read through an index.
fn three_corpora(folder: &Path) -> Vec<Manifest> {
    [40, 30, 25]
        .into_iter()
        .enumerate()
        .map(|(number, count)| {
            let folder = folder.join(format!("corpus-{number}"));
            std::fs::create_dir(&folder).unwrap();
            let mut manifest = sound_corpus(&folder, count);
            manifest.utterances[3].audio_filepath = "gone.wav".into();
            manifest.utterances[8].text = "ü".into();
            manifest.write().unwrap();
            manifest
        })
        .collect()
}

fn mixed(manifests: &[Manifest], weights: [f64; 3]) -> LoaderOptions {
    let indexed: Arc<dyn Source> =
        Arc::new(IndexedManifest::open(&manifests[0].path, &|_, _| ()).unwrap());
    let held = manifests[1..].iter().map(|manifest| Arc::new(manifest.clone()) as Arc<dyn Source>);
    let sources = std::iter::once(indexed).chain(held);
    let corpora = sources.zip(weights).map(|(source, weight)| Corpus { source, weight }).collect();
    LoaderOptions { corpora, workers: 4, ..training(&manifests[0]) }
}

fn batches(steps: &[(Position, Option<Batch>)], epoch: u64) -> impl Iterator<Item = &Batch> {
    let of_epoch = steps.iter().filter(move |(position, _)| position.epoch == epoch);
    of_epoch.filter_map(|(_, batch)| batch.as_ref())
}

/// How often each utterance was delivered or refused.
fn count<'a>(batches: impl Iterator<Item = &'a Batch>) -> BTreeMap<(usize, usize), usize> {
    let mut times = BTreeMap::new();
    for batch in batches {
        assert_eq!(batch.refused.len(), batch.refused_places.len());
        for place in batch.places.iter().chain(&batch.refused_places) {
            *times.entry(*place).or_default() += 1;
        }
    }
    times
}

#[test]
fn a_mixture_resumes_exactly_from_a_hundred_random_places() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = three_corpora(folder.path());
    let options = mixed(&manifests, [1.0, 0.5, 2.0]);
    let whole = run(&options, Position::default(), 3);
    assert!(whole.len() > 100, "{} steps", whole.len());
    let mut random = Random::from_key(&[100]);
    for _ in 0..100 {
        let step = random.below(whole.len() as u64) as usize;
        let stored = serde_json::to_string(&whole[step].0).unwrap();
        let mut loader =
            Loader::new(options.clone(), serde_json::from_str(&stored).unwrap()).unwrap();
        // To the end of the run would be the same test three hundred times over.
        for expected in whole[step..].iter().take(12) {
            let found = (loader.position(), loader.next_batch().unwrap());
            assert!(same(std::slice::from_ref(expected), &[found]), "from step {step}");
        }
    }
    let again = run(&LoaderOptions { workers: 1, ..options }, Position::default(), 3);
    assert!(same(&whole, &again));
}

#[test]
fn weights_say_how_often_an_utterance_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = three_corpora(folder.path());
    let options = mixed(&manifests, [1.0, 0.5, 2.0]);
    let steps = run(&options, Position::default(), 4);
    for epoch in 0..4 {
        let times = count(batches(&steps, epoch));
        let of = |corpus: usize| {
            times.iter().filter(move |((c, _), _)| *c == corpus).map(|(_, &times)| times)
        };
        assert!(of(0).count() == 40 && of(0).all(|times| times == 1));
        assert!(of(1).count() == 15 && of(1).all(|times| times == 1));
        assert!(of(2).count() == 25 && of(2).all(|times| times == 2));
    }
    // What one epoch left out the next one reads.
    let two = count(batches(&steps, 0).chain(batches(&steps, 1)));
    assert_eq!(two.keys().filter(|(corpus, _)| *corpus == 1).count(), 30);

    // Ids are unique in a manifest alone, so here they come with it.
    let ids: Vec<&String> = batches(&steps, 0).flat_map(|batch| &batch.ids).collect();
    assert!(ids.iter().any(|id| id.contains("corpus-2") && id.ends_with(":u004")), "{ids:?}");
    let ledger = plan_refusals(&options).unwrap();
    assert_eq!((ledger.read_count(), ledger.refused_count()), (95, 3));

    // An utterance that comes twice is not heard twice in the same way.
    let mut heard: BTreeMap<(usize, usize), Vec<Vec<f32>>> = BTreeMap::new();
    for batch in batches(&steps, 0) {
        let mut begin = 0;
        for (place, &length) in batch.places.iter().zip(&batch.lengths) {
            let features = batch.features[begin * 6..(begin + length) * 6].to_vec();
            heard.entry(*place).or_default().push(features);
            begin += length;
        }
    }
    let twice: Vec<_> = heard.values().filter(|readings| readings.len() == 2).collect();
    assert_eq!(twice.len(), 23);
    assert!(twice.iter().all(|readings| readings[0] != readings[1]));
}

#[test]
fn ranks_share_the_batches_of_one_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = three_corpora(folder.path());
    let options = mixed(&manifests, [1.0, 1.0, 1.0]);
    let alone = run(&options, Position::default(), 2);
    for of in [2, 3, 7] {
        let ranks: Vec<_> = (0..of)
            .map(|number| {
                let rank = Rank { number, of };
                run(&LoaderOptions { rank, ..options.clone() }, Position::default(), 2)
            })
            .collect();
        for epoch in 0..2 {
            let all: Vec<&Batch> = batches(&alone, epoch).collect();
            let shares: Vec<Vec<&Batch>> =
                ranks.iter().map(|steps| batches(steps, epoch).collect()).collect();
            // As many steps for all, in each of which they hold what one alone reads in turn.
            let steps = all.len().div_ceil(of);
            for (number, share) in shares.iter().enumerate() {
                assert_eq!(share.len(), steps);
                for (step, batch) in share.iter().enumerate() {
                    assert_eq!(batch.begins, all[step * of].begins);
                    match all.get(step * of + number) {
                        Some(expected) => assert_eq!(
                            (&batch.ids, &batch.features, &batch.refused),
                            (&expected.ids, &expected.features, &expected.refused)
                        ),
                        None => assert!(batch.is_empty() && batch.refused.is_empty()),
                    }
                }
            }
            let times = count(shares.into_iter().flatten());
            assert_eq!(times.len(), 95);
            assert!(times.values().all(|&times| times == 1));
        }
        // All ranks are at the same position after each step, and one may resume from another's.
        let positions = |steps: &[(Position, Option<Batch>)]| -> Vec<Position> {
            steps.iter().map(|(position, _)| *position).collect()
        };
        assert!(ranks.iter().all(|steps| positions(steps) == positions(&ranks[0])));
        let middle = ranks[0].len() / 3;
        let rank = Rank { number: 1, of };
        let rest = run(&LoaderOptions { rank, ..options.clone() }, ranks[0][middle].0, 2);
        assert!(same(&ranks[1][middle..], &rest));
    }
}

#[test]
fn labels_follow_the_sound_through_changes_of_speed() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = sound_corpus(folder.path(), 12);
    for (number, utterance) in manifest.utterances.iter_mut().enumerate() {
        let end = utterance.duration;
        let track = LabelTrack::single(vec![
            Label::new(0.0, end / 4.0, "first"),
            Label::new(end / 4.0, end, "second"),
        ]);
        let name = format!("{}.txt", utterance.id);
        match number {
            0 => continue,
            1 => {}
            2 => std::fs::write(folder.path().join(&name), "0.1\t0.05\tbackwards\n").unwrap(),
            _ => track.write(&folder.path().join(&name), &Recording::default()).unwrap(),
        }
        utterance.labels = Some(name);
    }
    let options = LoaderOptions {
        labels: true,
        speeds: vec![0.8],
        tempos: vec![1.25 / 0.8],
        ..training(&manifest)
    };
    let steps = run(&options, Position::default(), 1);
    let mut delivered = 0;
    for batch in batches(&steps, 0) {
        assert_eq!(batch.labels.len(), batch.len());
        for ((&(_, index), labels), frames) in
            batch.places.iter().zip(&batch.labels).zip(&batch.lengths)
        {
            delivered += 1;
            let utterance = &manifest.utterances[index];
            assert_eq!(labels.is_none(), index == 0);
            let Some(track) = labels else { continue };
            // Played 1.25 times as fast, and as many frames of 10 ms fewer.
            let last = track.labels().last().unwrap();
            assert!((last.end - utterance.duration / 1.25).abs() < 0.002, "{last:?}");
            assert!((last.end * 100.0 - *frames as f64).abs() < 4.0, "{last:?} {frames}");
        }
    }
    let refused: Vec<_> = batches(&steps, 0).flat_map(|batch| &batch.refused).collect();
    assert_eq!(delivered + refused.len(), 12);
    let reasons: BTreeMap<&str, Reason> =
        refused.iter().map(|refusal| (refusal.id.as_str(), refusal.reason)).collect();
    let expected = [("u001", Reason::MissingLabels), ("u002", Reason::UnusableLabels)];
    assert_eq!(reasons, expected.into());

    let without = run(&LoaderOptions { labels: false, ..options }, Position::default(), 1);
    assert!(batches(&without, 0).all(|batch| batch.labels.iter().all(Option::is_none)));
    assert_eq!(batches(&without, 0).map(Batch::len).sum::<usize>(), 12);
}

#[test]
fn a_manifest_that_is_replaced_while_it_is_read_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = sound_corpus(folder.path(), 60);
    manifest.write().unwrap();
    let indexed = IndexedManifest::open(&manifest.path, &|_, _| ()).unwrap();
    let corpora = vec![Corpus { source: Arc::new(indexed), weight: 1.0 }];
    let options = LoaderOptions {
        corpora,
        batch_size: 1,
        workers: 1,
        prefetch_batches: 0,
        ..training(&manifest)
    };
    let mut loader = Loader::new(options, Position::default()).unwrap();
    loader.next_batch().unwrap().unwrap();
    let text =
        std::fs::read_to_string(&manifest.path).unwrap().replace("duration\":0", "duration\":1");
    // In place, as an editor does that keeps the file.
    std::fs::write(&manifest.path, text).unwrap();
    let error = (0..3).find_map(|_| loader.next_batch().err()).unwrap().to_string();
    assert!(error.contains("train.jsonl") && error.contains("changed"), "{error}");
}
