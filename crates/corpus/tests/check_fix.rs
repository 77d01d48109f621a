//! Cleaned manifests: what spoils a training is gone, everything else is as it was, and all is accounted
//! for.

mod common;

use common::spoken::{Corpus, voice};
use common::trees::snapshot;
use labyrinth_corpus::check::REPAIRS_FILE;
use labyrinth_corpus::{
    CheckError, CorpusRecord, FindingKind, FixReport, Ledger, Manifest, Reason, Survey, check,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn fix(corpus: &Path, out: &Path) -> Result<FixReport, CheckError> {
    Survey::read(corpus)?.listen(None, &|_, _| {})?.fix(out)
}

fn read(out: &Path, set: &str) -> Manifest {
    Manifest::read(&out.join(format!("{set}.jsonl"))).unwrap()
}

/// Faults of every sort, two that can be mended in their line among them.
fn faulty() -> Corpus {
    let mut corpus = Corpus::sound();
    fs::remove_file(corpus.file("train-00")).unwrap();
    let silence = vec![0.0; corpus.samples("train-01").len()];
    corpus.record("train-01", 16000, &[silence]);
    corpus.utterance("train-02").duration += 3.0;
    corpus.utterance("train-03").text.push_str(" cafe\u{301} so\u{ad}ft");
    corpus.utterance("train-04").text.push_str(" \u{441}at");
    corpus.utterance("train-05").text = String::new();
    // Another sound under the same id is another utterance.
    corpus.utterance("test-00").id = "train-06".to_owned();
    let (sound, seconds) = (corpus.samples("test-01"), corpus.utterance("test-01").duration);
    let text = corpus.utterance("test-01").text.clone();
    corpus.record("train-07", 16000, &[sound]);
    corpus.utterance("train-07").duration = seconds;
    corpus.utterance("train-07").text = text;
    // One sound, two texts: which is right, only an ear can tell.
    let (sound, seconds) = (corpus.samples("train-08"), corpus.utterance("train-08").duration);
    corpus.record("train-09", 16000, &[sound]);
    corpus.utterance("train-09").duration = seconds;
    let copy = corpus.utterance("train-10").clone();
    corpus.sets[0].utterances.push(copy);
    corpus.append("dev", b"{\"id\":\n");
    corpus.utterance("test-05").speaker = Some("train-A".to_owned());
    corpus.label("train-11", "labels.txt", "0.1\t0.5\tone\n");
    corpus
}

#[test]
fn what_spoils_a_training_is_left_out_and_the_rest_is_kept() {
    let mut corpus = faulty();
    corpus.write();
    let before = snapshot(&corpus.folder);
    let out = corpus.home().join("deep/clean");
    let report = fix(&corpus.folder, &out).unwrap();
    assert_eq!(snapshot(&corpus.folder), before);
    assert_eq!(report.ledger, Ledger::read(&out.join("ledger.jsonl")).unwrap());
    // 54, the copy and the broken line.
    assert_eq!(report.ledger.read_count(), 56);
    let refused: BTreeMap<&str, Reason> =
        report.ledger.refusals().iter().map(|r| (r.id.as_str(), r.reason)).collect();
    let expected = [
        ("train-00", Reason::MissingAudio),
        ("train-01", Reason::SilentAudio),
        ("train-04", Reason::UnusableTranscript),
        ("train-05", Reason::EmptyTranscript),
        ("train-07", Reason::DuplicateAudio),
        ("train-08", Reason::DuplicateAudio),
        ("train-09", Reason::DuplicateAudio),
        ("train-10", Reason::DuplicateId),
        ("dev, line 13", Reason::BrokenLine),
    ];
    assert_eq!(refused, BTreeMap::from(expected));
    assert_eq!(report.repairs, BTreeMap::from([("duration", 1), ("id", 1), ("text", 1)]));
    let kept: usize =
        ["train", "dev", "test"].iter().map(|set| read(&out, set).utterances.len()).sum();
    assert_eq!(kept, report.ledger.kept_count());

    let train = read(&out, "train");
    let of = |id: &str| train.utterances.iter().find(|u| u.id == id).unwrap();
    assert!((of("train-02").duration - corpus.seconds("train-02")).abs() < 1e-9);
    assert!(of("train-03").text.ends_with(" café soft"), "{}", of("train-03").text);
    assert_eq!(train.audio_path(of("train-10")).canonicalize().unwrap(), corpus.file("train-10"));
    assert!(of("train-11").audio_filepath.starts_with("../../corpus/"));
    assert_eq!(of("train-11").labels.as_deref(), Some("../../corpus/labels.txt"));
    let test = read(&out, "test");
    assert_eq!(test.utterances[0].id, "test-train-06");
    let repairs = fs::read_to_string(out.join(REPAIRS_FILE)).unwrap();
    assert_eq!(repairs.lines().count(), 3);
    assert!(repairs.contains("\"key\":\"id\",\"from\":\"train-06\",\"to\":\"test-train-06\""));

    // Of the errors only the one that leaving out cannot mend is left.
    let kinds: Vec<FindingKind> = report.unfixed.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::SpeakerOverlap]);
    let again = check(&out, None, &|_, _| {}).unwrap();
    assert_eq!(again.errors(), 1, "{again}");
    assert_eq!(again.findings[0].kind, FindingKind::SpeakerOverlap);
    assert!(!again.findings.iter().any(|f| f.kind == FindingKind::LedgerDiffers), "{again}");
    let said = report.to_string();
    assert!(said.contains("read 56 = kept 47 + refused 9"), "{said}");
    assert!(said.contains("not mended speaker-overlap test"), "{said}");

    // The same again changes nothing; what was cleaned has nothing left to clean.
    let first = snapshot(&out);
    fix(&corpus.folder, &out).unwrap();
    assert_eq!(snapshot(&out), first);
    let twice = fix(&out, &corpus.home().join("twice")).unwrap();
    assert_eq!((twice.ledger.kept_count(), twice.ledger.refused_count()), (47, 0));
    assert_eq!(twice.repairs, BTreeMap::new());
}

#[test]
fn nothing_is_written_over_manifests_and_other_files() {
    let mut corpus = Corpus::sound();
    corpus.write();
    let refused = |out: &Path, named: &str| {
        let before = snapshot(corpus.home());
        let error = fix(&corpus.folder, out).unwrap_err();
        assert!(matches!(error, CheckError::Occupied { .. }), "{error}");
        let sentence = error.to_string();
        assert!(sentence.contains(named) && sentence.contains("another folder"), "{sentence}");
        assert_eq!(snapshot(corpus.home()), before);
    };
    refused(&corpus.folder, "were checked");
    refused(&corpus.folder.join("."), "were checked");
    refused(&corpus.file("train-00"), "is a file");
    let other = corpus.home().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("train.jsonl"), "something of value\n").unwrap();
    refused(&other, "train.jsonl already stands there");
    // A single manifest goes by its own name.
    let out = corpus.home().join("out");
    let report = fix(&corpus.folder.join("test.jsonl"), &out).unwrap();
    assert_eq!(report.ledger.kept_count(), 12);
    assert_eq!(read(&out, "test").utterances.len(), 12);
    assert!(!out.join("train.jsonl").exists());
}

#[test]
fn a_published_split_keeps_what_its_publishers_put_there() {
    let mut corpus = Corpus::sound();
    let (sound, text) = (corpus.samples("test-01"), corpus.utterance("test-01").text.clone());
    let seconds = corpus.utterance("test-01").duration;
    corpus.record("train-07", 16000, &[sound]);
    corpus.utterance("train-07").duration = seconds;
    corpus.utterance("train-07").text = text;
    corpus.write();
    let record = CorpusRecord {
        corpus: "some".into(),
        title: "Some corpus".into(),
        home: String::new(),
        licence: String::new(),
        published_split: true,
        speakers_shared: false,
        split_rule: String::new(),
        hold_out: None,
    };
    let bytes = serde_json::to_vec(&record).unwrap();
    fs::write(corpus.folder.join("corpus.json"), bytes).unwrap();
    let out = corpus.home().join("out");
    let report = fix(&corpus.folder, &out).unwrap();
    assert_eq!((report.ledger.kept_count(), report.ledger.refused_count()), (54, 0));
    let copied: CorpusRecord =
        serde_json::from_slice(&fs::read(out.join("corpus.json")).unwrap()).unwrap();
    assert_eq!(copied, record);
}

#[test]
fn a_folder_of_recordings_has_no_manifest_to_clean() {
    let folder = tempfile::tempdir().unwrap();
    labyrinth_signal::write_wav(&folder.path().join("a.wav"), 16000, &voice(1, "a word")).unwrap();
    fs::write(folder.path().join("a.txt"), "a word").unwrap();
    let error = fix(folder.path(), &folder.path().join("out")).unwrap_err().to_string();
    assert!(error.contains("labyrinth prepare folder"), "{error}");
    assert!(!folder.path().join("out").exists());
}
