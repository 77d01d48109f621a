//! Every utterance of every published corpus at hand is accounted for, from the files on the disk to what
//! a cleaned manifest keeps; and none has an error. Where `LABYRINTH_DATA` says that the corpora are.

mod common;

use common::trees::snapshot;
use labyrinth_corpus::{CorpusInfo, FindingKind, Ledger, Manifest, PrepareOptions, Survey};
use labyrinth_signal::{read_audio, resample, write_wav};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn data(folder: &str) -> Option<PathBuf> {
    let found = std::env::var_os("LABYRINTH_DATA").map(|data| PathBuf::from(data).join(folder));
    if found.is_none() {
        println!("SKIPPED: set LABYRINTH_DATA to the folder that holds {folder}");
    }
    found
}

/// The recordings under a folder, as the system lists them.
fn recordings(folder: &Path, ends: &[&str]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| ends.iter().any(|e| end == *e)) {
                found.insert(path.canonicalize().unwrap());
            }
        }
    }
    found
}

/// Where a corpus keeps its recordings below its folder, and the ends of their names.
const CORPORA: [(&str, &str, &str, &[&str], usize); 5] = [
    ("an4", "an4", "flac", &["flac"], 1078),
    ("fsdd", "fsdd", "recordings", &["wav"], 3000),
    ("yesno", "yesno", "", &["wav"], 60),
    ("librispeech", "librispeech-dev-clean-half", "", &["mp3"], 1313),
    ("speechocean762", "speechocean762", "", &["opus", "ogg"], 2500),
];

#[test]
fn every_recording_is_kept_or_refused_and_no_corpus_has_an_error() {
    for (name, folder, below, ends, count) in CORPORA {
        let Some(from) = data(folder) else { return };
        let on_disk = recordings(&from.join(below), ends);
        assert_eq!(on_disk.len(), count, "{name}");
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("prepared");
        let options = PrepareOptions::new(&from, &out);
        let report = (CorpusInfo::named(name).unwrap().prepare)(&options, &|_, _| {}).unwrap();
        assert_eq!(report.ledger.read_count(), count, "{name}");

        // What the manifests name and what the ledger refuses are all that lies there.
        let mut named = BTreeSet::new();
        let mut lines = 0;
        for set in ["train", "dev", "test"] {
            let manifest = Manifest::read(&out.join(format!("{set}.jsonl"))).unwrap();
            lines += manifest.utterances.len();
            let paths = manifest.utterances.iter().map(|u| manifest.audio_path(u));
            named.extend(paths.map(|path| path.canonicalize().unwrap()));
        }
        assert_eq!(lines, report.ledger.kept_count(), "{name}");
        assert_eq!(lines + report.ledger.refused_count(), count, "{name}");
        assert!(named.is_subset(&on_disk), "{name}");
        assert_eq!(named.len() + report.ledger.refused_count(), on_disk.len(), "{name}");

        // `check` listens to each of them, and finds no error.
        let start = std::time::Instant::now();
        let survey = Survey::read(&out).unwrap();
        assert_eq!(survey.utterances(), lines, "{name}");
        let checked = survey.listen(None, &|_, _| {}).unwrap();
        println!("{:.2} s for {}", start.elapsed().as_secs_f64(), checked.report);
        assert_eq!(checked.report.errors(), 0, "{}", checked.report);
        let heard: usize = checked.report.sets.iter().map(|set| set.utterances).sum();
        assert_eq!(heard, lines);

        // What a published split contains is a warning with its percentage.
        let overlaps = checked.report.findings.iter().filter(|finding| {
            [FindingKind::SpeakerOverlap, FindingKind::SentenceOverlap].contains(&finding.kind)
        });
        let overlaps: Vec<&str> = overlaps.map(|finding| finding.detail.as_str()).collect();
        assert!(overlaps.iter().all(|detail| detail.contains(" %)")), "{overlaps:?}");
        match name {
            "an4" => assert!(
                overlaps.contains(
                    &"26 of the 130 utterances of test (20.0 %) say a sentence that is also in train"
                ),
                "{overlaps:?}"
            ),
            "fsdd" => assert!(
                overlaps.iter().any(|detail| {
                    detail.starts_with("300 of the 300 utterances of test (100.0 %) are spoken by 6")
                }),
                "{overlaps:?}"
            ),
            _ => {}
        }

        // Cleaning a corpus without errors keeps every line as it is, and touches nothing.
        let before = snapshot(&out);
        let clean = home.path().join("clean");
        let fixed = checked.fix(&clean).unwrap();
        assert_eq!((fixed.ledger.kept_count(), fixed.ledger.refused_count()), (lines, 0), "{name}");
        assert!(fixed.repairs.is_empty() && fixed.unfixed.is_empty(), "{name}");
        assert_eq!(Ledger::read(&clean.join("ledger.jsonl")).unwrap(), fixed.ledger);
        for set in ["train", "dev", "test"] {
            let lines = |out: &Path| {
                let manifest = Manifest::read(&out.join(format!("{set}.jsonl"))).unwrap();
                let lines = manifest.utterances.iter().map(|u| {
                    let path = manifest.audio_path(u).canonicalize().unwrap();
                    (path, u.id.clone(), u.text.clone(), u.duration.to_bits(), u.speaker.clone())
                });
                lines.collect::<Vec<_>>()
            };
            assert_eq!(lines(&out), lines(&clean), "{name} {set}");
        }
        assert_eq!(snapshot(&out), before, "{name}");
        let page = checked.page().unwrap();
        assert!(page.len() < 8_000_000, "{name}: {} bytes", page.len());
    }
}

/// Real recordings at 16 kHz are not taken for telephone speech, and the same ones are once they have been
/// at 8 kHz.
#[test]
fn recordings_that_were_at_8_khz_are_told_from_those_that_were_not() {
    let Some(root) = data("an4") else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = recordings(&root.join("flac"), &["flac"]);
    let chosen: Vec<&PathBuf> = files.iter().step_by(18).collect();
    let mut told = [0, 0];
    for (place, raised) in [false, true].into_iter().enumerate() {
        let corpus = folder.path().join(format!("raised-{raised}"));
        std::fs::create_dir(&corpus).unwrap();
        for (number, path) in chosen.iter().enumerate() {
            let audio = read_audio(path, None).unwrap();
            let samples = match raised {
                true => resample(&resample(&audio.mono(), 16000, 8000), 8000, 16000),
                false => audio.mono(),
            };
            write_wav(&corpus.join(format!("{number}.wav")), 16000, &samples).unwrap();
            std::fs::write(corpus.join(format!("{number}.txt")), "words").unwrap();
        }
        let report = labyrinth_corpus::check(&corpus, None, &|_, _| {}).unwrap();
        let found = report.findings.iter().filter(|f| f.kind == FindingKind::NarrowBand);
        told[place] = found.count();
    }
    println!("of {} recordings: {} as they are, {} raised", chosen.len(), told[0], told[1]);
    assert_eq!(told, [0, chosen.len()]);
}
