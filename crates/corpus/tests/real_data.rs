//! The published corpora themselves, where `LABYRINTH_DATA` says that they are.

use labyrinth_corpus::{
    CheckReport, CorpusInfo, FindingKind, Manifest, PrepareError, PrepareOptions, PrepareReport,
    Progress, Utterance, check, prepare_an4, prepare_fsdd, prepare_yesno,
};
use labyrinth_signal::{Encoding, read_audio};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn data(folder: &str) -> Option<PathBuf> {
    let found = std::env::var_os("LABYRINTH_DATA").map(|data| PathBuf::from(data).join(folder));
    if found.is_none() {
        println!("SKIPPED: set LABYRINTH_DATA to the folder that holds {folder}");
    }
    found
}

type Prepare = fn(&PrepareOptions, Progress<'_>) -> Result<PrepareReport, PrepareError>;

fn prepare(
    prepare: Prepare,
    from: PathBuf,
    hold_out: Option<&str>,
) -> (PrepareReport, CheckReport) {
    let folder = tempfile::tempdir().unwrap();
    let options = PrepareOptions {
        hold_out: hold_out.map(str::to_owned),
        ..PrepareOptions::new(from, folder.path().join("out"))
    };
    let report = prepare(&options, &|_, _| {}).unwrap();
    println!("{report}");
    let checked = check(&options.out, None, &|_, _| {}).unwrap();
    println!("{checked}");
    (report, checked)
}

fn sizes(report: &PrepareReport) -> Vec<(usize, usize)> {
    report.splits.iter().map(|s| (s.totals.utterances, s.totals.speakers)).collect()
}

#[test]
fn all_1078_utterances_of_an4_are_accounted_for() {
    let Some(from) = data("an4") else { return };
    let (report, checked) = prepare(prepare_an4, from, None);
    assert_eq!(report.ledger.to_string(), "read 1078 = kept 1078 + refused 0");
    let sizes = sizes(&report);
    assert_eq!(sizes[2], (130, 10));
    assert_eq!(sizes[1].1, 8);
    assert_eq!(sizes[0].1, 66);
    assert_eq!(sizes[0].0 + sizes[1].0, 948);
    assert_eq!(report.splits[2].totals.words, 773);
    assert!((report.totals.hours() - 0.81).abs() < 0.01);
    assert_eq!(report.warnings, Vec::<String>::new());
    assert_eq!(checked.errors(), 0);
}

#[test]
fn all_3000_recordings_of_fsdd_are_accounted_for() {
    let Some(from) = data("fsdd") else { return };
    let (report, checked) = prepare(prepare_fsdd, from.clone(), None);
    assert_eq!(report.ledger.to_string(), "read 3000 = kept 3000 + refused 0");
    assert_eq!(sizes(&report), [(2400, 6), (300, 6), (300, 6)]);
    assert_eq!(checked.errors(), 0);
    assert!(checked.findings.iter().any(|f| f.kind == FindingKind::SpeakerOverlap));
    let (report, checked) = prepare(prepare_fsdd, from, Some("theo"));
    assert_eq!(sizes(&report), [(2250, 5), (250, 5), (500, 1)]);
    assert_eq!(checked.errors(), 0);
}

#[test]
fn all_60_recordings_of_yesno_are_accounted_for() {
    let Some(from) = data("yesno") else { return };
    let (report, checked) = prepare(prepare_yesno, from, None);
    assert_eq!(report.ledger.to_string(), "read 60 = kept 59 + refused 1 (wrong-transcript 1)");
    // Seven words, and a name of eight.
    let refused = &report.ledger.refusals()[0];
    assert_eq!(
        (refused.id.as_str(), refused.reason.code()),
        ("0_1_0_1_0_0_0_0", "wrong-transcript")
    );
    assert_eq!(sizes(&report), [(25, 1), (5, 1), (29, 1)]);
    assert_eq!(report.splits[2].totals.words, 232);
    assert_eq!(checked.errors(), 0);
}

/// The headerless big-endian test files of AN4, read as a manifest describes them, are the FLAC copies.
#[test]
fn headerless_an4_equals_its_flac_copy() {
    let Some(root) = data("an4") else { return };
    let mut utterances = Vec::new();
    let list = std::fs::read_to_string(root.join("etc/an4_test.fileids")).unwrap();
    for id in list.split_whitespace() {
        let path = root.join(format!("wav/{id}.raw")).to_str().unwrap().to_owned();
        let mut utterance = Utterance::new(id, path, 1.0, "");
        utterance.encoding = Some(Encoding::PcmS16be);
        utterance.sample_rate = Some(16000);
        utterances.push(utterance);
    }
    let manifest = Manifest { path: root.join("test.jsonl"), utterances };
    let mut seen = BTreeSet::new();
    for utterance in &manifest.utterances {
        let raw =
            read_audio(&manifest.audio_path(utterance), utterance.raw_format().as_ref()).unwrap();
        let flac = read_audio(&root.join(format!("flac/{}.flac", utterance.id)), None).unwrap();
        assert!(raw == flac, "{} differs", utterance.id);
        seen.insert(&utterance.id);
    }
    assert_eq!(seen.len(), 130);
}

fn named(name: &str) -> Prepare {
    CorpusInfo::named(name).unwrap().prepare
}

#[test]
fn all_1313_utterances_of_the_librispeech_half_are_accounted_for() {
    let Some(from) = data("librispeech-dev-clean-half") else { return };
    let folder = tempfile::tempdir().unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    // As the root, and as the subset in it.
    for (index, from) in [from.clone(), from.join("dev-clean")].into_iter().enumerate() {
        let options = PrepareOptions {
            test_speakers: names(&["84", "174", "251", "422", "652"]),
            dev_speakers: names(&["777", "1272"]),
            ..PrepareOptions::new(from, folder.path().join(index.to_string()))
        };
        let report = named("librispeech")(&options, &|_, _| {}).unwrap();
        println!("{report}");
        assert_eq!(report.ledger.to_string(), "read 1313 = kept 1313 + refused 0");
        let speakers: Vec<usize> = sizes(&report).into_iter().map(|(_, count)| count).collect();
        assert_eq!(speakers, [13, 2, 5]);
        assert_eq!(report.totals.words, 26870);
        // Without what MP3 encoders add to both ends, some 0.08 s a file.
        assert!((report.totals.hours() - 2.70).abs() < 0.01, "{}", report.totals.hours());
        let told = |what: &str| report.warnings.iter().any(|warning| warning.contains(what));
        assert!(told("copies in mp3") && told("the published one 2703"), "{:?}", report.warnings);
        assert!(!report.corpus.published_split);
    }
    // Without names, by the usual rule: nobody is in two sets.
    let options = PrepareOptions::new(from, folder.path().join("own"));
    let report = named("librispeech")(&options, &|_, _| {}).unwrap();
    assert_eq!(sizes(&report).iter().map(|(_, speakers)| speakers).sum::<usize>(), 20);
    assert_eq!(report.ledger.kept_count(), 1313);
}

#[test]
fn all_2500_utterances_of_speechocean762_are_accounted_for() {
    let Some(from) = data("speechocean762") else { return };
    let (report, checked) = prepare(named("speechocean762"), from.clone(), None);
    assert_eq!(report.ledger.to_string(), "read 2500 = kept 2500 + refused 0");
    assert_eq!(sizes(&report).iter().map(|(_, speakers)| speakers).sum::<usize>(), 125);
    assert!((report.totals.hours() - 2.88).abs() < 0.01, "{}", report.totals.hours());
    assert!(!checked.findings.iter().any(|f| f.kind == FindingKind::SpeakerOverlap));
    // The same as a Kaldi directory of no name.
    let folder = tempfile::tempdir().unwrap();
    let options = PrepareOptions::new(from.join("train"), folder.path().join("kaldi"));
    let kaldi = named("kaldi")(&options, &|_, _| {}).unwrap();
    assert_eq!(kaldi.ledger.to_string(), "read 2500 = kept 2500 + refused 0");
    assert_eq!(sizes(&kaldi), sizes(&report));
}

/// What was prepared once can be read as a manifest of another toolkit, and is the same then.
#[test]
fn a_prepared_corpus_is_a_nemo_manifest() {
    let Some(from) = data("yesno") else { return };
    let folder = tempfile::tempdir().unwrap();
    let prepare = |name: &str, from: &Path, out: &str| {
        let options = PrepareOptions::new(from, folder.path().join(out));
        named(name)(&options, &|_, _| {}).unwrap()
    };
    let first = prepare("yesno", &from, "yesno");
    let second = prepare("nemo", &folder.path().join("yesno"), "nemo");
    assert_eq!(sizes(&first), sizes(&second));
    for set in ["train", "dev", "test"] {
        let read =
            |out: &str| Manifest::read(&folder.path().join(out).join(format!("{set}.jsonl")));
        assert_eq!(read("yesno").unwrap().utterances, read("nemo").unwrap().utterances);
    }
}
