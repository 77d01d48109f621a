//! Preparation of a user's own folder: its split, its ledger, and what must not be written over.

mod common;

use common::trees::{Files, set, silent, snapshot, sound, tree, wav_bytes};
use labyrinth_corpus::{
    Manifest, PrepareError, PrepareOptions, PrepareReport, Reason, prepare_folder,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Eight speakers in subfolders, in several containers' extensions, with planted faults.
fn own_folder(root: &Path) {
    let mut files = Files::new();
    for speaker in 0..8u64 {
        for index in 0..4u64 {
            let name = format!("sp{speaker}/session/{index}");
            files.insert(format!("{name}.wav"), wav_bytes(speaker * 4 + index, 16000, 8000));
            files.insert(
                format!("{name}.txt"),
                format!("\u{feff}Word  {index}\n of {speaker}").into_bytes(),
            );
        }
    }
    files.remove("sp0/session/0.txt");
    files.remove("sp1/session/0.wav");
    files.insert("sp2/session/0.txt".into(), b" \n".to_vec());
    files.insert("sp3/session/0.txt".into(), b"caf\xe9".to_vec());
    files.insert("sp4/session/0.wav".into(), b"not a recording".to_vec());
    files.insert("sp5/session/0.flac".into(), wav_bytes(90, 16000, 8000));
    files.insert("sp5/.hidden/0.wav".into(), b"".to_vec());
    tree(root, &files);
}

#[test]
fn a_folder_is_split_by_speaker_and_every_file_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mine");
    own_folder(&root);
    let out = folder.path().join("out");
    let report = prepare_folder(&PrepareOptions::new(&root, &out), &silent).unwrap();
    sound(&report, &out);
    let reasons: BTreeMap<&str, Reason> =
        report.ledger.refusals().iter().map(|r| (r.id.as_str(), r.reason)).collect();
    assert_eq!(
        reasons,
        [
            ("sp0/session/0", Reason::MissingTranscript),
            ("sp1/session/0", Reason::MissingAudio),
            ("sp2/session/0", Reason::EmptyTranscript),
            ("sp3/session/0", Reason::UnreadableTranscript),
            ("sp4/session/0", Reason::UnreadableAudio),
            ("sp5/session/0", Reason::DuplicateId),
        ]
        .into()
    );
    assert_eq!((report.ledger.read_count(), report.ledger.kept_count()), (33, 27));
    let sets: Vec<Manifest> = ["train", "dev", "test"].iter().map(|name| set(&out, name)).collect();
    let mut speakers = BTreeSet::new();
    for manifest in &sets {
        assert!(!manifest.utterances.is_empty());
        for speaker in manifest.speakers() {
            assert!(speakers.insert(speaker.to_owned()), "{speaker} is in two sets");
        }
    }
    assert_eq!(speakers.len(), 8);
    let line = sets.iter().flat_map(|m| &m.utterances).find(|u| u.id == "sp6/session/2").unwrap();
    assert_eq!((line.text.as_str(), line.speaker.as_deref()), ("Word 2 of 6", Some("sp6")));
    assert_eq!(report.totals.sample_rate(), Some(16000));
    assert!((report.totals.seconds - 27.0 * 0.5).abs() < 1e-9);
    assert_eq!(report.totals.characters, 27 * 11);

    let options = PrepareOptions {
        hold_out: Some("sp7".into()),
        ..PrepareOptions::new(&root, folder.path().join("held"))
    };
    let report = prepare_folder(&options, &silent).unwrap();
    sound(&report, &options.out);
    assert_eq!(set(&options.out, "test").speakers(), ["sp7"].into());
    let (train, dev) = (set(&options.out, "train"), set(&options.out, "dev"));
    assert!(train.speakers().is_disjoint(&dev.speakers()) && !dev.speakers().is_empty());
    assert!(!train.speakers().contains("sp7") && !dev.speakers().contains("sp7"));
}

#[test]
fn without_speakers_utterances_are_split_and_the_report_warns() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::new();
    for index in 0..30u64 {
        files.insert(format!("{index}.wav"), wav_bytes(index, 16000, 4000));
        files.insert(format!("{index}.txt"), b"word".to_vec());
    }
    let root = folder.path().join("mine");
    tree(&root, &files);
    let out = folder.path().join("out");
    let report = prepare_folder(&PrepareOptions::new(&root, &out), &silent).unwrap();
    sound(&report, &out);
    let sizes: Vec<usize> = report.splits.iter().map(|split| split.totals.utterances).collect();
    assert_eq!(sizes, [24, 3, 3]);
    assert!(report.corpus.speakers_shared);
    assert!(report.warnings.iter().any(|warning| warning.contains("flatter")));
    assert!(report.to_string().contains("flatter"));
}

#[test]
fn preparing_again_is_harmless_and_another_corpus_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mine");
    own_folder(&root);
    let out = folder.path().join("out");
    let options = PrepareOptions::new(&root, &out);
    prepare_folder(&options, &silent).unwrap();
    let before = snapshot(&out);
    assert_eq!(
        before.keys().map(String::as_str).collect::<Vec<_>>(),
        ["corpus.json", "dev.jsonl", "ledger.jsonl", "test.jsonl", "train.jsonl"]
    );
    prepare_folder(&options, &silent).unwrap();
    assert_eq!(snapshot(&out), before);
    // A killed preparation leaves a part behind: it is completed.
    fs::remove_file(out.join("test.jsonl")).unwrap();
    prepare_folder(&options, &silent).unwrap();
    assert_eq!(snapshot(&out), before);
    // Something else is in the way: nothing is touched, and the sentence names it.
    fs::write(root.join("sp6/session/1.txt"), "other words").unwrap();
    let error = prepare_folder(&options, &silent).unwrap_err();
    assert!(matches!(error, PrepareError::Occupied { .. }));
    assert!(error.to_string().contains("--force"), "{error}");
    assert_eq!(snapshot(&out), before);
    prepare_folder(&PrepareOptions { force: true, ..options }, &silent).unwrap();
    assert_ne!(snapshot(&out), before);
}

/// A disk that fails is no fault of the data: preparation and check stop and name the file.
#[cfg(target_os = "linux")]
#[test]
fn a_failing_disk_stops_preparation_and_check() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mine");
    own_folder(&root);
    // A regular file whose first byte gives an input/output error: no memory is mapped there.
    std::os::unix::fs::symlink("/proc/self/mem", root.join("sp6/dead.wav")).unwrap();
    fs::write(root.join("sp6/dead.txt"), "words").unwrap();
    let out = folder.path().join("out");
    let error = prepare_folder(&PrepareOptions::new(&root, &out), &silent).unwrap_err();
    assert!(matches!(error, PrepareError::Read { .. }), "{error}");
    assert!(error.to_string().contains("dead.wav"), "{error}");
    assert!(!out.exists());
    let error = labyrinth_corpus::check(&root, None, &silent).unwrap_err();
    assert!(error.to_string().contains("dead.wav"), "{error}");
}

/// The ledger's refusals by id.
fn refused(report: &PrepareReport) -> BTreeMap<&str, (Reason, &str)> {
    let refusals = report.ledger.refusals().iter();
    refusals.map(|r| (r.id.as_str(), (r.reason, r.detail.as_str()))).collect()
}

/// `count` sound recordings with transcripts, `ok0` and on.
fn few(root: &Path, count: u64) {
    let mut files = Files::new();
    for index in 0..count {
        files.insert(format!("ok{index}.wav"), wav_bytes(index, 16000, 4000));
        files.insert(format!("ok{index}.txt"), b"word".to_vec());
    }
    tree(root, &files);
}

#[cfg(unix)]
#[test]
fn pipes_dead_links_and_link_loops_are_refusals_of_one_file() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mine");
    few(&root, 3);
    let pipe = |name: &str| {
        let made = std::process::Command::new("mkfifo").arg(root.join(name)).status().unwrap();
        assert!(made.success());
    };
    let sound = |name: &str| fs::write(root.join(name), wav_bytes(9, 16000, 4000)).unwrap();
    let words = |name: &str| fs::write(root.join(name), "words").unwrap();
    pipe("pipe-audio.wav");
    words("pipe-audio.txt");
    sound("pipe-text.wav");
    pipe("pipe-text.txt");
    symlink("nowhere", root.join("dead-audio.wav")).unwrap();
    words("dead-audio.txt");
    sound("dead-text.wav");
    symlink("nowhere", root.join("dead-text.txt")).unwrap();
    symlink("loop-audio.wav", root.join("loop-audio.wav")).unwrap();
    words("loop-audio.txt");
    sound("loop-text.wav");
    symlink("loop-text.txt", root.join("loop-text.txt")).unwrap();
    // A link to a regular file is as good as the file.
    symlink("ok0.wav", root.join("link.wav")).unwrap();
    words("link.txt");
    let out = folder.path().join("out");
    let report = prepare_folder(&PrepareOptions::new(&root, &out), &silent).unwrap();
    let refusals = refused(&report);
    for (id, reason, words) in [
        ("pipe-audio", Reason::UnreadableAudio, "is no regular file"),
        ("pipe-text", Reason::UnreadableTranscript, "is no regular file"),
        ("dead-audio", Reason::MissingAudio, "is not there"),
        ("dead-text", Reason::UnreadableTranscript, "is a link to nothing"),
        ("loop-audio", Reason::UnreadableAudio, "leads back to itself"),
        ("loop-text", Reason::UnreadableTranscript, "leads back to itself"),
    ] {
        assert_eq!(refusals[id].0, reason, "{id}");
        assert!(refusals[id].1.contains(words), "{id}: {}", refusals[id].1);
    }
    assert_eq!((report.ledger.read_count(), report.ledger.kept_count()), (10, 4));
    assert!(labyrinth_corpus::check(&root, None, &silent).unwrap().errors() >= 6);
}

#[test]
fn recordings_in_formats_that_are_not_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mine");
    few(&root, 3);
    for name in ["a.aiff", "b.WEBM", "deep/c.wma", "ok1.caf"] {
        tree(&root, &[(name.to_owned(), b"x".to_vec())].into());
    }
    fs::write(root.join("a.txt"), "words").unwrap();
    let out = folder.path().join("out");
    let report = prepare_folder(&PrepareOptions::new(&root, &out), &silent).unwrap();
    let refusals = refused(&report);
    assert_eq!(refusals.keys().copied().collect::<Vec<_>>(), ["a", "b", "deep/c"]);
    for (id, file) in [("a", "a.aiff"), ("b", "b.WEBM"), ("deep/c", "deep/c.wma")] {
        assert_eq!(refusals[id].0, Reason::UnreadableAudio);
        assert!(refusals[id].1.contains(file) && refusals[id].1.contains("ffmpeg"));
    }
    assert_eq!((report.ledger.read_count(), report.ledger.kept_count()), (6, 3));
    // Converted, the original left in place: no loss, but told.
    assert!(
        report.warnings.iter().any(|warning| warning.starts_with("1 recordings are in formats"))
    );
    assert_eq!(labyrinth_corpus::check(&root, None, &silent).unwrap().errors(), 3);
}

#[test]
fn two_transcripts_of_one_name_are_not_silently_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mine");
    few(&root, 3);
    fs::write(root.join("ok1.TXT"), "other").unwrap();
    if fs::read_to_string(root.join("ok1.txt")).unwrap() == "other" {
        return; // This file system does not tell the two names apart.
    }
    fs::write(root.join("ok1.tXt"), "more").unwrap();
    fs::write(root.join("ok1.txT"), "much").unwrap();
    let out = folder.path().join("out");
    let report = prepare_folder(&PrepareOptions::new(&root, &out), &silent).unwrap();
    let refusals = refused(&report);
    assert_eq!(refusals.keys().copied().collect::<Vec<_>>(), ["ok1.TXT", "ok1.tXt", "ok1.txT"]);
    assert!(refusals.values().all(|(reason, _)| *reason == Reason::DuplicateId));
    let lines = ["train", "dev", "test"].map(|name| set(&out, name).utterances).concat();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.text == "word"), "{lines:?}");
}

#[test]
fn fewer_than_three_utterances_are_too_few() {
    for count in 1..4 {
        let folder = tempfile::tempdir().unwrap();
        few(&folder.path().join("mine"), count);
        let options = PrepareOptions::new(folder.path().join("mine"), folder.path().join("out"));
        let report = prepare_folder(&options, &silent).unwrap();
        let told = report.to_string().contains("too few: at least 3 are needed to train");
        assert_eq!(told, count < 3, "{report}");
    }
}

/// A `.txt` of numbers with tabs is an Audacity label track and becomes one; a broken one is refused with
/// its line, and prose that begins with a number stays a transcript.
#[test]
fn label_tracks_beside_recordings_become_labels() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mine");
    let mut files = Files::new();
    let tracks = [
        ("a", "0,1\t0,2\thello\r\n\\\t100\t200\r\n0.3\t0.4\tmy friend\r\n"),
        ("b", "0.1\t0.2\thello\n0.4\t0.3\tworld\n"),
        ("c", "7 dwarfs\t9 lives"),
        ("d", "0.1\t9.5\thello\n"),
        ("e", "\n0.1\t0.2\tone\n"),
        ("f", "plain"),
    ];
    for (key, (name, text)) in tracks.iter().enumerate() {
        files.insert(format!("{name}.wav"), wav_bytes(key as u64, 16000, 8000));
        files.insert(format!("{name}.txt"), text.as_bytes().to_vec());
    }
    tree(&root, &files);
    let out = folder.path().join("out");
    let report = prepare_folder(&PrepareOptions::new(&root, &out), &silent).unwrap();
    let refused = refused(&report);
    assert_eq!(refused.len(), 2);
    assert!(refused["b"].1.contains("line 2"), "{}", refused["b"].1);
    assert!(refused["d"].1.contains("9.5 s"), "{}", refused["d"].1);
    let mut kept = BTreeMap::new();
    for name in ["train", "dev", "test"] {
        for utterance in set(&out, name).utterances {
            let track = labyrinth_corpus::read_labels(&out, &utterance, 16000).unwrap();
            let labels = track.map(|track| track.labels().count());
            kept.insert(utterance.id.clone(), (utterance.text.clone(), labels));
        }
    }
    let entry = |text: &str, labels| (text.to_owned(), labels);
    assert_eq!(kept["a"], entry("hello my friend", Some(2)));
    assert_eq!(kept["c"], entry("7 dwarfs 9 lives", None));
    assert_eq!(kept["e"], entry("one", Some(1)));
    assert_eq!(kept["f"], entry("plain", None));
}
