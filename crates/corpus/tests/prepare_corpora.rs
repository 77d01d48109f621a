//! The recipes of corpora and of others' formats on small trees of their shapes, and what each refuses.

mod common;

use common::trees::{Files, gzip, ids, set, silent, sphere_bytes, tree, wav_bytes};
use labyrinth_corpus::clip::read_clip;
use labyrinth_corpus::{
    CORPORA, CorpusInfo, FindingKind, Ledger, PrepareError, PrepareOptions, PrepareReport, Reason,
    check, read_labels,
};
use labyrinth_signal::read_audio;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, files: &Files) {
        tree(self.folder.path(), files);
    }

    fn options(&self, from: &str, out: &str) -> PrepareOptions {
        PrepareOptions::new(self.path(from), self.path(out))
    }

    fn try_prepare(
        &self,
        corpus: &str,
        from: &str,
        out: &str,
    ) -> Result<PrepareReport, PrepareError> {
        (CorpusInfo::named(corpus).unwrap().prepare)(&self.options(from, out), &silent)
    }

    /// How a line that cannot be read is told: in the ledger, or, where nothing is left, as an error.
    fn told_of_line(&self, corpus: &str, from: &str) -> String {
        match self.try_prepare(corpus, from, "line") {
            Err(error) => error.to_string(),
            Ok(report) => {
                self.sound(&report, "line");
                std::fs::remove_dir_all(self.path("line")).unwrap();
                let broken = report.ledger.refusals().iter();
                let broken: Vec<_> = broken.filter(|r| r.reason == Reason::BrokenLine).collect();
                let [refusal] = broken[..] else { panic!("{broken:?}") };
                assert!(refusal.id.contains(", line "), "{}", refusal.id);
                refusal.detail.clone()
            }
        }
    }

    /// Prepares and checks what always holds.
    fn prepare(&self, corpus: &str, from: &str, out: &str) -> PrepareReport {
        let report = self.try_prepare(corpus, from, out).unwrap();
        self.sound(&report, out);
        // The same input gives the same bytes, and is no change.
        assert_eq!(self.try_prepare(corpus, from, out).unwrap(), report);
        report
    }

    /// The ledger adds up, the sets are disjoint, every section can be read and is as long as it says.
    fn sound(&self, report: &PrepareReport, out: &str) {
        let ledger = Ledger::read(&self.path(out).join("ledger.jsonl")).unwrap();
        assert_eq!(ledger, report.ledger);
        let mut seen = BTreeSet::new();
        for name in ["train", "dev", "test"] {
            let manifest = set(&self.path(out), name);
            for utterance in &manifest.utterances {
                assert!(seen.insert(utterance.id.clone()), "{} is in two sets", utterance.id);
                let audio = read_clip(manifest.folder(), utterance).unwrap();
                assert!((audio.duration() - utterance.duration).abs() < 1e-3, "{utterance:?}");
                read_labels(manifest.folder(), utterance, audio.sample_rate).unwrap();
            }
        }
        assert_eq!(seen.len(), ledger.kept_count());
    }

    /// Id, text, speaker and offset of a set.
    fn lines(&self, out: &str, name: &str) -> Vec<(String, String, Option<String>, Option<f64>)> {
        let lines = set(&self.path(out), name).utterances.into_iter();
        lines.map(|u| (u.id, u.text, u.speaker, u.offset)).collect()
    }

    /// The sentence that refuses a preparation, which leaves nothing behind.
    fn refusal(&self, corpus: &str, from: &str) -> String {
        let out = format!("refused-{corpus}");
        let error = self.try_prepare(corpus, from, &out).expect_err("it was accepted").to_string();
        assert!(!self.path(&out).exists(), "{out} was left behind by: {error}");
        assert!(!error.contains('\n'), "{error}");
        error
    }
}

fn refused(report: &PrepareReport) -> BTreeMap<&str, Reason> {
    report.ledger.refusals().iter().map(|r| (r.id.as_str(), r.reason)).collect()
}

fn warned(report: &PrepareReport, what: &str) -> bool {
    report.warnings.iter().any(|warning| warning.contains(what))
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_corpus_has_its_own_name_and_refuses_what_is_not_it() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    std::fs::create_dir_all(sandbox.path("other/sub")).unwrap();
    std::fs::write(sandbox.path("other/notes.md"), "nothing").unwrap();
    let names: BTreeSet<&str> = CORPORA.iter().map(|info| info.name).collect();
    assert_eq!(names.len(), CORPORA.len());
    for info in CORPORA {
        for text in [info.title, info.home, info.licence, info.split] {
            assert!(!text.is_empty() && text.len() < 100, "{}: {text}", info.name);
        }
        for from in ["missing", "empty", "other"] {
            let error = sandbox.refusal(info.name, from);
            assert!(error.contains(from) && error.contains("--from"), "{}: {error}", info.name);
        }
    }
}

/// Three readers a subset of three utterances, FLAC stood in for by WAV.
fn libri(subset: &str, first: usize) -> Files {
    let mut files = Files::new();
    for reader in first..first + 3 {
        let chapter = format!("LibriSpeech/{subset}/{reader}/7");
        let mut lines = String::new();
        for index in 0..3 {
            let id = format!("{reader}-7-{index:04}");
            let key = (reader * 10 + index) as u64;
            files.insert(format!("{chapter}/{id}.wav"), wav_bytes(key, 16000, 4000 + 10 * index));
            lines += &format!("{id} WORDS OF {index}\n");
        }
        files.insert(format!("{chapter}/{reader}-7.trans.txt"), bytes(&lines));
    }
    files
}

#[test]
fn librispeech_keeps_its_subsets_and_their_parts() {
    let sandbox = Sandbox::new();
    for (index, subset) in
        ["train-clean-100", "dev-clean", "dev-other", "test-clean", "test-other"].iter().enumerate()
    {
        sandbox.write(&libri(subset, 10 * (index + 1)));
    }
    let report = sandbox.prepare("librispeech", "LibriSpeech", "out");
    assert_eq!(report.ledger.to_string(), "read 45 = kept 45 + refused 0");
    assert_eq!(sandbox.lines("out", "train").len(), 9);
    for (part, reader) in [("dev-clean", "20"), ("dev-other", "30"), ("test-other", "50")] {
        let lines = sandbox.lines("out", part);
        assert_eq!((lines.len(), lines[0].2.as_deref()), (9, Some(reader)), "{part}");
    }
    assert_eq!(sandbox.lines("out", "test").len(), 18);
    assert_eq!(report.beside.len(), 4);
    assert!(
        report.corpus.published_split
            && report.corpus.split_rule.contains("test: test-clean, test-other")
    );
    assert!(warned(&report, "the published one 28539") && warned(&report, "copies in wav"));
    assert_eq!(check(&sandbox.path("out"), None, &silent).unwrap().errors(), 0);

    // One subset alone is divided by speakers; named ones are taken at their word.
    let report = sandbox.prepare("librispeech", "LibriSpeech/dev-clean", "one");
    assert_eq!(report.ledger.read_count(), 9);
    assert!(!report.corpus.published_split && report.beside.is_empty());
    let options = PrepareOptions {
        test_speakers: owned(&["21"]),
        dev_speakers: owned(&["22"]),
        ..sandbox.options("LibriSpeech/dev-clean", "named")
    };
    let prepare = CorpusInfo::named("librispeech").unwrap().prepare;
    prepare(&options, &silent).unwrap();
    let speakers = |name: &str| -> BTreeSet<String> {
        sandbox.lines("named", name).into_iter().filter_map(|line| line.2).collect()
    };
    assert_eq!(
        ["train", "dev", "test"].map(speakers),
        [["20"], ["22"], ["21"]].map(|s| owned(&s).into_iter().collect())
    );
    for (test, dev, what) in [
        (vec!["99"], vec![], "has no usable utterance; its speakers are 20 21 22"),
        (vec!["20"], vec!["20"], "for test and for dev"),
        (vec!["20", "21"], vec!["22"], "leave nobody to train on"),
    ] {
        let options = PrepareOptions {
            test_speakers: owned(&test),
            dev_speakers: owned(&dev),
            ..sandbox.options("LibriSpeech/dev-clean", "never")
        };
        let error = prepare(&options, &silent).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        assert!(!sandbox.path("never").exists());
    }
}

#[test]
fn mini_librispeech_is_tested_on_dev_clean_2() {
    let sandbox = Sandbox::new();
    sandbox.write(&libri("train-clean-5", 10));
    sandbox.write(&libri("dev-clean-2", 20));
    let report = sandbox.prepare("librispeech", ".", "out");
    assert!(sandbox.lines("out", "test").iter().all(|line| line.2.as_deref() >= Some("20")));
    assert_eq!((sandbox.lines("out", "dev").len(), sandbox.lines("out", "train").len()), (3, 6));
    assert!(report.corpus.published_split, "{report}");
}

#[test]
fn librispeech_faults_are_named() {
    let sandbox = Sandbox::new();
    let mut files = libri("dev-clean", 20);
    let list = "LibriSpeech/dev-clean/20/7/20-7.trans.txt";
    files.remove("LibriSpeech/dev-clean/20/7/20-7-0001.wav");
    files.insert("LibriSpeech/dev-clean/20/7/20-7-0009.wav".into(), wav_bytes(9, 16000, 4000));
    files.insert("LibriSpeech/dev-clean/21/7/21-7-0002.wav".into(), bytes("no sound"));
    files.insert("LibriSpeech/dev-clean/22/7/22-7-0002.wav".into(), Vec::new());
    files.insert(list.into(), bytes("20-7-0000 A\n20-7-0001 B\n20-7-0002\n20-7-0000 AGAIN\n"));
    sandbox.write(&files);
    let report = sandbox.prepare("librispeech", "LibriSpeech", "out");
    assert_eq!(report.ledger.to_string().split(" = ").next(), Some("read 11"));
    assert_eq!(
        report.ledger.refusals().iter().map(|r| (r.id.as_str(), r.reason)).collect::<BTreeSet<_>>(),
        [
            ("20-7-0000", Reason::DuplicateId),
            ("20-7-0001", Reason::MissingAudio),
            ("20-7-0002", Reason::EmptyTranscript),
            ("20-7-0009", Reason::MissingTranscript),
            ("21-7-0002", Reason::UnreadableAudio),
            ("22-7-0002", Reason::EmptyAudio),
        ]
        .into()
    );
    std::fs::write(sandbox.path(list), "20-7-0000 A\n\nhello world\n").unwrap();
    let error = sandbox.refusal("librispeech", "LibriSpeech");
    assert!(
        error.contains("20-7.trans.txt, line 3: \"hello\" is not READER-CHAPTER-NUMBER"),
        "{error}"
    );
    std::fs::write(sandbox.path(list), b"20-7-0000 A\n20-7-0002 \xff\n").unwrap();
    let error = sandbox.refusal("librispeech", "LibriSpeech");
    assert!(error.contains("20-7.trans.txt, line 2: this is not UTF-8"), "{error}");
    std::fs::create_dir(sandbox.path("archives")).unwrap();
    for name in ["dev-clean.tar.gz", "test-clean.tar.gz"] {
        std::fs::write(sandbox.path("archives").join(name), "").unwrap();
    }
    let error = sandbox.refusal("librispeech", "archives");
    assert!(error.contains("2 archives; unpack them into one folder"), "{error}");
}

#[test]
fn a_kaldi_directory_with_segments_and_every_fault() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    for (key, name) in ["a", "b", "c"].iter().enumerate() {
        files.insert(format!("egs/sound/{name}.wav"), wav_bytes(key as u64, 8000, 16000));
    }
    let absolute = sandbox.path("egs/sound/b.wav").display().to_string();
    let scp = format!(
        "ra sound/a.wav\nrb {absolute}\nrc sound/../sound/c.wav\nrp sph2pipe -f wav x.sph |\n\
         rm sound/none.wav\nrk data/raw.ark:17\nru sound/a.wav\n"
    );
    files.insert("egs/data/train/wav.scp".into(), bytes(&scp));
    let segments = "a-1 ra 0.25 1.25\na-2 ra 1.5 2.03\nb-1 rb 0.0 2.0\nb-2 rb 1.0 -1\nc-1 rc 0.5 0.25\n\
                    c-2 rc 1.5 2.5\nc-3 rc 2.5 3.0\nc-4 rc 0 1\nc-5 rc 0 1\np-1 rp 0 1\nm-1 rm 0 1\n\
                    k-1 rk 0 1\nx-1 rx 0 1\na-1 ra 0 1\n";
    files.insert("egs/data/train/segments".into(), bytes(segments));
    let text = "a-1 one  two\na-2 three\nb-1 four\nb-2 five\nc-1 x\nc-2 x\nc-3 x\nc-4\np-1 x\nm-1 x\n\
                k-1 x\nx-1 x\nz-1 left over\n";
    files.insert("egs/data/train/text".into(), bytes(text));
    files.insert("egs/data/train/utt2spk".into(), bytes("a-1 s1\na-2 s1\nb-1 s2\nb-2 s2\n"));
    sandbox.write(&files);
    let report = sandbox.prepare("kaldi", "egs/data/train", "out");
    assert_eq!(report.ledger.to_string().split(" = ").next(), Some("read 15"));
    let reasons: Vec<(&str, Reason)> =
        report.ledger.refusals().iter().map(|r| (r.id.as_str(), r.reason)).collect();
    let expected = [
        ("a-1", Reason::DuplicateId),
        ("c-4", Reason::EmptyTranscript),
        ("c-5", Reason::MissingTranscript),
        ("p-1", Reason::NotAFile),
        ("k-1", Reason::NotAFile),
        ("x-1", Reason::MissingAudio),
        ("z-1", Reason::MissingAudio),
        ("c-1", Reason::UnusableTimes),
        ("c-2", Reason::OffsetPastEnd),
        ("c-3", Reason::OffsetPastEnd),
        ("m-1", Reason::MissingAudio),
    ];
    assert_eq!(reasons, expected);
    let piped = report.ledger.refusals().iter().find(|r| r.id == "p-1").unwrap();
    assert!(piped.detail.contains("sph2pipe") && piped.detail.contains("commands are not run"));
    let mut lines =
        [sandbox.lines("out", "train"), sandbox.lines("out", "dev"), sandbox.lines("out", "test")]
            .concat();
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    let line = |id: &str, text: &str, speaker: &str, offset| {
        (id.to_owned(), text.to_owned(), Some(speaker.to_owned()), offset)
    };
    // A segment that is the whole file is the file.
    assert_eq!(
        lines,
        [
            line("a-1", "one two", "s1", Some(0.25)),
            line("a-2", "three", "s1", Some(1.5)),
            line("b-1", "four", "s2", None),
            line("b-2", "five", "s2", Some(1.0)),
        ]
    );
    assert!(warned(&report, "1 of the 7 recordings"), "{:?}", report.warnings);
    // The section is that part of the recording, to the sample.
    for name in ["train", "dev", "test"] {
        let manifest = set(&sandbox.path("out"), name);
        for utterance in manifest.utterances.iter().filter(|u| u.id == "a-1") {
            let whole = read_audio(&sandbox.path("egs/sound/a.wav"), None).unwrap();
            let clip = read_clip(manifest.folder(), utterance).unwrap();
            assert_eq!(clip.channels[0], whole.channels[0][2000..10000]);
        }
    }
}

#[test]
fn kaldi_directories_are_sets_by_their_names_and_broken_lines_have_numbers() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    for (number, name) in ["train_clean", "dev", "test", "test_b", "lang"].iter().enumerate() {
        files.insert(format!("data/{name}/w.wav"), wav_bytes(number as u64, 8000, 4000));
        files.insert(format!("data/{name}/wav.scp"), bytes(&format!("u{number} w.wav\n")));
        files.insert(format!("data/{name}/text"), bytes(&format!("u{number} hello\n")));
        files.insert(format!("data/{name}/utt2spk"), bytes(&format!("u{number} s{number}\n")));
    }
    sandbox.write(&files);
    let report = sandbox.prepare("kaldi", "data", "out");
    assert_eq!(ids(&set(&sandbox.path("out"), "train")), ["u0"]);
    assert_eq!(ids(&set(&sandbox.path("out"), "dev")), ["u1"]);
    assert_eq!(ids(&set(&sandbox.path("out"), "test")), ["u2", "u3"]);
    assert_eq!(ids(&set(&sandbox.path("out"), "test_b")), ["u3"]);
    assert_eq!(ids(&set(&sandbox.path("out"), "part-test")), ["u2"]);
    assert!(warned(&report, "lang was not read"), "{:?}", report.warnings);
    for (file, content, what) in [
        ("wav.scp", "u1 w.wav\nu9\n", "wav.scp, line 2: nothing follows \"u9\""),
        ("utt2spk", "\nu1\n", "utt2spk, line 2: nothing follows"),
        ("segments", "s1 u1 0 1\ns2 u1 0\n", "segments, line 2: a segment is UTTERANCE RECORDING"),
        ("segments", "s1 u1 0 NaN\n", "segments, line 1: \"NaN\" is not a number"),
        ("text", "u1 a\nu2 \u{fffd}\n", "text, line 2: this is not UTF-8"),
    ] {
        let path = sandbox.path("data/dev").join(file);
        let before = std::fs::read(&path);
        let content = match content.split_once('\u{fffd}') {
            Some((start, end)) => [start.as_bytes(), b"\xff", end.as_bytes()].concat(),
            None => bytes(content),
        };
        std::fs::write(&path, content).unwrap();
        let error = sandbox.told_of_line("kaldi", "data");
        assert!(error.contains(what), "{error}");
        match before {
            Ok(before) => std::fs::write(&path, before).unwrap(),
            Err(_) => std::fs::remove_file(&path).unwrap(),
        }
    }
}

#[test]
fn speechocean762_has_two_published_sets() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    for (set, speakers) in [("train", 1..6), ("test", 6..8)] {
        let (mut scp, mut text, mut spk) = (String::new(), String::new(), String::new());
        for speaker in speakers {
            let id = format!("{speaker:04}00001");
            let path = format!("WAVE/SPEAKER{speaker:04}/{id}.WAV");
            files.insert(format!("so/{path}"), wav_bytes(speaker, 16000, 4000));
            scp += &format!("{id}\t{path}\n");
            text += &format!("{id}\tWE CALL IT BEAR\n");
            spk += &format!("{id}\t{speaker:04}\n");
        }
        for (name, content) in [("wav.scp", scp), ("text", text), ("utt2spk", spk)] {
            files.insert(format!("so/{set}/{name}"), bytes(&content));
        }
    }
    sandbox.write(&files);
    let report = sandbox.prepare("speechocean762", ".", "out");
    assert_eq!(report.ledger.to_string(), "read 7 = kept 7 + refused 0");
    assert_eq!(ids(&set(&sandbox.path("out"), "test")), ["000600001", "000700001"]);
    assert_eq!(report.splits.iter().map(|s| s.totals.speakers).collect::<Vec<_>>(), [4, 1, 2]);
    assert!(report.corpus.published_split);
}

#[test]
fn tables_are_read_by_their_column_names() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    for key in 0..6 {
        files.insert(format!("t/clips/{key}.wav"), wav_bytes(key, 8000, 8000));
    }
    let table = "Split;Audio;Speaker;Transcript;start;end\n\
                 train;clips/0.wav;s0;\"one; \"\"two\"\"\";;\n\
                 train;clips/1.wav;s1;three;0.25;0.75\n\
                 valid;./clips/2.wav;s2;four;;\n\
                 test;clips/../clips/3.wav;s3;five;;\n\
                 other;clips/4.wav;s4;six;;\n\
                 test;clips/none.wav;s3;seven;;\n\
                 test;clips/4.wav;s3;;;\n\
                 test;clips/5.wav;s3;eight;0.9;0.5\n\
                 train;clips/0.wav;s0;again;;\n";
    files.insert("t/all.csv".into(), bytes(table));
    sandbox.write(&files);
    let report = sandbox.prepare("csv", "t/all.csv", "out");
    assert_eq!((report.ledger.read_count(), report.ledger.kept_count()), (9, 4));
    let lines = sandbox.lines("out", "train");
    assert_eq!(lines[0], ("clips/0.wav".into(), "one; \"two\"".into(), Some("s0".into()), None));
    assert_eq!((lines[1].0.as_str(), lines[1].3), ("clips/1.wav@0.25", Some(0.25)));
    assert_eq!(ids(&set(&sandbox.path("out"), "dev")), ["./clips/2.wav"]);
    let expected: BTreeMap<&str, Reason> = [
        ("clips/0.wav", Reason::DuplicateId),
        ("clips/4.wav", Reason::EmptyTranscript),
        ("clips/5.wav@0.9", Reason::UnusableTimes),
        ("clips/none.wav", Reason::MissingAudio),
    ]
    .into();
    // Two refusals of clips/4.wav: in no set, and without text.
    assert_eq!(refused(&report), expected);
    assert_eq!(report.ledger.reasons()[&Reason::NotListed], 1);
    for (content, what) in [
        ("", "bad.csv, line 1: the table is empty"),
        ("audio,words\n", "bad.csv, line 1: no column for the text is named here"),
        ("audio,text\nclips/0.wav,x\nb.wav\n", "bad.csv, line 3: 1 fields stand here under 2"),
        ("audio,text\nclips/0.wav,x\nb.wav,\u{1}\n", "bad.csv, line 3: this is not UTF-8"),
        ("audio,text\na.wav,\"x\n\n", "bad.csv, line 2: the quote here is never closed"),
        ("audio,text\n,x\n", "bad.csv, line 2: no recording is named"),
        ("audio,text,start\na.wav,x,soon\n", "bad.csv, line 2: \"soon\" is not a number"),
        ("\u{1}\u{2}a\0u\0d\0i\0o\0", "bad.csv, line 1: this is text in UTF-16"),
    ] {
        let content: Vec<u8> = content
            .bytes()
            .map(|byte| [byte, 0xff, 0xfe][usize::from(byte == 1) + 2 * usize::from(byte == 2)])
            .collect();
        std::fs::write(sandbox.path("t/bad.csv"), content).unwrap();
        let error = sandbox.told_of_line("csv", "t/bad.csv");
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn lhotse_cuts_are_sections_of_files() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    files.insert("l/rec.wav".into(), wav_bytes(1, 16000, 32000));
    let recording = |kind: &str, source: &str| {
        format!(
            "\"recording\":{{\"id\":\"r\",\"sources\":[{{\"type\":\"{kind}\",\"channels\":[0],\
             \"source\":\"{source}\"}}],\"sampling_rate\":16000,\"num_samples\":32000,\"duration\":2.0}}"
        )
    };
    let sup = |id: &str, start: f64, duration: f64, text: &str| {
        format!(
            "{{\"id\":\"{id}\",\"recording_id\":\"r\",\"start\":{start},\"duration\":{duration},\
             \"channel\":0,\"text\":\"{text}\",\"speaker\":\"s\",\"language\":\"en\"}}"
        )
    };
    let cut = |id: &str, sups: &[String], recording: &str| {
        format!(
            "{{\"id\":\"{id}\",\"start\":0.5,\"duration\":1.5,\"channel\":0,\"supervisions\":[{}],\
             {recording},\"type\":\"MonoCut\"}}\n",
            sups.join(",")
        )
    };
    let file = recording("file", "rec.wav");
    let train = [
        cut("c1", &[sup("u1", 0.0, 0.5, "one"), sup("u2", 0.5, 1.0, "two")], &file),
        cut("c2", &[], &file),
        cut("c3", &[sup("u3", 0.0, 0.5, " ")], &file),
        cut(
            "c4",
            &[sup("u4", 0.0, 0.5, "x"), sup("u5", 0.0, 9.0, "x")],
            &recording("command", "cat x"),
        ),
        cut("c5", &[sup("u6", 0.0, 3.0, "too long")], &file),
        cut("c6", &[sup("u1", 0.0, 0.5, "again")], &file),
        "{\"id\":\"c7\",\"type\":\"MixedCut\",\"tracks\":[]}\n".to_owned(),
    ]
    .concat();
    files.insert("l/cuts_train.jsonl.gz".into(), gzip(train.as_bytes()));
    files.insert(
        "l/cuts_dev.jsonl".into(),
        bytes(&cut("d1", &[sup("v1", 0.0, 0.25, "dev")], &file)),
    );
    files.insert("l/recordings.jsonl.gz".into(), gzip(b"{}\n"));
    sandbox.write(&files);
    let report = sandbox.prepare("lhotse", "l", "out");
    assert_eq!(report.ledger.to_string().split(" = ").next(), Some("read 10"));
    let expected: BTreeMap<&str, Reason> = [
        ("c2", Reason::MissingTranscript),
        ("u3", Reason::EmptyTranscript),
        ("u4", Reason::NotAFile),
        ("u5", Reason::NotAFile),
        ("u6", Reason::OffsetPastEnd),
        ("u1", Reason::DuplicateId),
        ("c7", Reason::NotAFile),
    ]
    .into();
    assert_eq!(refused(&report), expected);
    let mut sections: Vec<(String, Option<f64>)> = ["train", "dev", "test"]
        .iter()
        .flat_map(|name| sandbox.lines("out", name))
        .map(|line| (line.0, line.3))
        .collect();
    sections.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        sections,
        [("u1".into(), Some(0.5)), ("u2".into(), Some(1.0)), ("v1".into(), Some(0.5))]
    );
    for (content, what) in [
        ("{\"id\":\"a\"}\n", "line 1: this is no Lhotse cut (it lacks start"),
        ("\n{\"id\": 7}\n", "line 2: this is no Lhotse cut"),
        ("{\"id\":\"s\",\"recording_id\":\"r\",\"start\":0,\"duration\":1}\n", "make cuts"),
    ] {
        std::fs::write(sandbox.path("l/bad.jsonl"), content).unwrap();
        let error = sandbox.told_of_line("lhotse", "l/bad.jsonl");
        assert!(error.contains("bad.jsonl, line") && error.contains(what), "{error}");
        // The rest of the file is kept.
        let both = format!("{content}{}", train.lines().next().unwrap());
        std::fs::write(sandbox.path("l/bad.jsonl"), both).unwrap();
        let error = sandbox.told_of_line("lhotse", "l/bad.jsonl");
        assert!(error.contains("bad.jsonl, line") && error.contains(what), "{error}");
    }
    // One channel of several is the one that the cut names; where none is named, it is not their mean.
    let sides = [common::noise(1, 32_000), common::noise(2, 32_000)];
    std::fs::write(sandbox.path("l/call.wav"), common::wav_of_channels(16_000, &sides)).unwrap();
    let stereo = recording("file", "call.wav").replace("[0]", "[0,1]");
    let of = |id: &str, channel: &str| {
        let named = |text: String| text.replace("\"channel\":0", &format!("\"channel\":{channel}"));
        named(cut(&format!("cut-{id}"), &[sup(id, 0.0, 0.5, "x")], &stereo))
    };
    let cuts = of("a", "0") + &of("b", "1") + &of("c", "[0,1]") + &of("d", "5");
    std::fs::write(sandbox.path("l/stereo.jsonl"), cuts).unwrap();
    let report = sandbox.prepare("lhotse", "l/stereo.jsonl", "stereo");
    let expected = [("c", Reason::NotAFile), ("d", Reason::NotAFile)];
    assert_eq!(refused(&report), expected.into());
    let mut heard = 0;
    for name in ["train", "dev", "test"] {
        let manifest = set(&sandbox.path("stereo"), name);
        for utterance in &manifest.utterances {
            let side = usize::from(utterance.id == "b");
            let clip = labyrinth_corpus::clip::read_clip(manifest.folder(), utterance).unwrap();
            let wanted = (sides[side][8_100] * 32767.0) as i16;
            assert_eq!(
                (clip.channels.len(), (clip.channels[0][100] * 32768.0) as i16),
                (1, wanted)
            );
            heard += 1;
        }
    }
    assert_eq!(heard, 2);
    let whole = gzip(train.as_bytes());
    std::fs::write(sandbox.path("cut.jsonl.gz"), &whole[..whole.len() / 2]).unwrap();
    let error = sandbox.refusal("lhotse", "cut.jsonl.gz");
    assert!(error.contains("cut.jsonl.gz") && error.contains("damaged or cut off"), "{error}");
}

#[test]
fn nemo_manifests_keep_their_keys_sections_and_labels() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    for name in ["a", "b", "c", "d", "e"] {
        files.insert(format!("n/{name}.wav"), wav_bytes(3, 16000, 32000));
    }
    files.insert("n/a.txt".into(), bytes("0.1\t0.5\tword\n1.9\t2.0\tlast\n"));
    files.insert("n/b.TextGrid".into(), bytes("no grid"));
    let lines = "{\"audio_filepath\":\"a.wav\",\"duration\":2.0,\"text\":\"x\",\"lang\":\"en\",\"labels\":\"a.txt\"}\n\
                 {\"audio_filepath\":\"a.wav\",\"offset\":0.25,\"duration\":0.5,\"text\":\"y\",\"labels\":\"a.txt\"}\n\
                 {\"audio_filepath\":\"b.wav\",\"duration\":2.0,\"text\":\"x\",\"labels\":\"b.TextGrid\"}\n\
                 {\"audio_filepath\":\"c.wav\",\"duration\":2.0,\"text\":\"x\",\"labels\":\"c.srt\"}\n\
                 {\"audio_filepath\":\"d.wav\",\"duration\":1.5,\"text\":\"z\"}\n\
                 {\"audio_filepath\":\"e.wav\",\"duration\":2.5,\"text\":\"z\"}\n\
                 {\"audio_filepath\":\"audio_0.wav\",\"duration\":2.0,\"text\":\"x\",\"shard_id\":0}\n\
                 {\"id\":\"a.wav\",\"audio_filepath\":\"e.wav\",\"duration\":2.0,\"text\":\"x\"}\n";
    files.insert("n/m.json".into(), bytes(lines));
    sandbox.write(&files);
    let report = sandbox.prepare("nemo", "n/m.json", "out");
    let expected: BTreeMap<&str, Reason> = [
        ("b.wav", Reason::UnusableLabels),
        ("c.wav", Reason::MissingLabels),
        ("audio_0.wav", Reason::NotAFile),
        ("a.wav", Reason::DuplicateId),
    ]
    .into();
    assert_eq!(refused(&report), expected);
    let twice = report.ledger.refusals().iter().find(|r| r.reason == Reason::DuplicateId).unwrap();
    assert!(twice.detail.contains("m.json, line 8: "), "{}", twice.detail);
    let mut seen = 0;
    for name in ["train", "dev", "test"] {
        let manifest = set(&sandbox.path("out"), name);
        for utterance in &manifest.utterances {
            seen += 1;
            if utterance.text == "z" {
                // NeMo means the beginning of d.wav, and all of e.wav.
                let (offset, duration) = (utterance.offset, utterance.duration);
                let expected = if utterance.id == "d.wav" { (Some(0.0), 1.5) } else { (None, 2.0) };
                assert_eq!((offset, duration), expected);
                continue;
            }
            let track = read_labels(manifest.folder(), utterance, 16000).unwrap().unwrap();
            let spans: Vec<(f64, f64)> = track.labels().map(|l| (l.start, l.end)).collect();
            assert_eq!(utterance.labels.as_deref(), Some("../n/a.txt"));
            match utterance.offset {
                None => {
                    assert_eq!(utterance.extra["lang"], "en");
                    assert_eq!(spans, [(0.1, 0.5), (1.9, 2.0)]);
                }
                Some(_) => assert_eq!(spans, [(0.0, 0.25)]),
            }
        }
    }
    assert_eq!(seen, 4);
    // A track that breaks later is found by `check`, not passed over.
    std::fs::write(sandbox.path("n/a.txt"), "0.1\t0.5\tword\n1.9\t2.6\tlast\n").unwrap();
    let checked = check(&sandbox.path("out"), None, &silent).unwrap();
    let found: Vec<&str> = checked
        .findings
        .iter()
        .filter(|f| f.kind == FindingKind::UnusableLabels)
        .map(|f| f.detail.as_str())
        .collect();
    assert!(found.len() == 1 && found[0].contains("a.txt, line 2: it ends at 2.6 s"), "{found:?}");
    let good = "{\"audio_filepath\":\"a.wav\",\"duration\":2.0,\"text\":\"x\"}\n";
    for rest in ["", good] {
        let lines = format!("{{\"audio_filepath\":\"a.wav\"}}\n{rest}");
        std::fs::write(sandbox.path("n/bad.json"), lines).unwrap();
        let error = sandbox.told_of_line("nemo", "n/bad.json");
        assert!(error.contains("bad.json, line 1"), "{error}");
    }
}

fn common_voice(language: &str) -> Files {
    let mut files = Files::new();
    let head = "client_id\tpath\tsentence\tup_votes\n";
    let mut validated = head.to_owned();
    let mut key = 0;
    for name in ["train", "dev", "test", "validated"] {
        let mut table = head.to_owned();
        for index in 0..3 {
            key += 1;
            let row =
                format!("client-{name}-{index}\tclip_{key}.mp3\tSay \"{index}\", please.\t2\n");
            // The content decides, not the name.
            files.insert(format!("cv/{language}/clips/clip_{key}.mp3"), wav_bytes(key, 8000, 4000));
            table += &row;
            validated += &row;
        }
        if name != "validated" {
            files.insert(format!("cv/{language}/{name}.tsv"), bytes(&table));
        }
    }
    files.insert(format!("cv/{language}/validated.tsv"), bytes(&validated));
    files
}

#[test]
fn common_voice_has_published_sets_or_is_divided() {
    let sandbox = Sandbox::new();
    sandbox.write(&common_voice("cy"));
    let report = sandbox.prepare("commonvoice", "cv", "out");
    assert_eq!(report.ledger.to_string(), "read 9 = kept 9 + refused 0");
    assert_eq!(ids(&set(&sandbox.path("out"), "dev")), ["clip_4", "clip_5", "clip_6"]);
    assert_eq!(sandbox.lines("out", "test")[0].1, "Say \"0\", please.");
    assert!(warned(&report, "3 more clips of validated.tsv"), "{:?}", report.warnings);
    sandbox.write(&common_voice("en"));
    let error = sandbox.refusal("commonvoice", "cv");
    assert!(
        error.contains("cy") && error.contains("en") && error.contains("both there"),
        "{error}"
    );
    for name in ["train", "dev", "test"] {
        std::fs::remove_file(sandbox.path(&format!("cv/en/{name}.tsv"))).unwrap();
    }
    let report = sandbox.prepare("commonvoice", "cv/en", "en");
    assert_eq!(report.ledger.kept_count(), 12);
    assert!(!report.corpus.published_split && warned(&report, "no published sets"));
    let table = sandbox.path("cv/cy/train.tsv");
    let head = "client_id\tpath\tsentence\n";
    std::fs::write(
        &table,
        format!("{head}c\t../../x.mp3\ta\nc\t/etc/x.mp3\ta\nc\tgone.mp3\ta\nc\tclip_1.mp3\t \nc\tclip_2\tok\n"),
    )
    .unwrap();
    let report = sandbox.prepare("commonvoice", "cv/cy", "faults");
    let expected: BTreeMap<&str, Reason> = [
        ("../../x", Reason::OutsideCorpus),
        ("/etc/x", Reason::OutsideCorpus),
        ("gone", Reason::MissingAudio),
        ("clip_1", Reason::EmptyTranscript),
    ]
    .into();
    assert_eq!(refused(&report), expected);
    std::fs::write(&table, format!("{head}c\tclip_1.mp3\nc\tclip_2\tok\n")).unwrap();
    let error = sandbox.told_of_line("commonvoice", "cv/cy");
    assert!(error.contains("train.tsv, line 2: 2 fields stand here under 3"), "{error}");
}

#[test]
fn speech_commands_follow_their_lists_and_cut_the_noise() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    for (word, speaker, number) in
        [("yes", "aa", 0), ("yes", "bb", 0), ("no", "aa", 1), ("no", "cc", 0), ("no", "dd", 0)]
    {
        let key = (word.len() + number) as u64 + u64::from(speaker.as_bytes()[0]);
        files.insert(
            format!("sc/{word}/{speaker}_nohash_{number}.wav"),
            wav_bytes(key, 16000, 16000),
        );
    }
    files.insert("sc/no/strange.wav".into(), wav_bytes(50, 16000, 16000));
    files.insert("sc/_background_noise_/tap.wav".into(), wav_bytes(60, 16000, 40000));
    files.insert(
        "sc/validation_list.txt".into(),
        bytes("yes/bb_nohash_0.wav\nno/zz_nohash_0.wav\n"),
    );
    files.insert("sc/testing_list.txt".into(), bytes("no/cc_nohash_0.wav\nyes/bb_nohash_0.wav\n"));
    sandbox.write(&files);
    let report = sandbox.prepare("speech-commands", "sc", "out");
    assert_eq!(ids(&set(&sandbox.path("out"), "test")), ["no/cc_nohash_0"]);
    assert_eq!(ids(&set(&sandbox.path("out"), "dev")), ["yes/bb_nohash_0"]);
    assert_eq!(sandbox.lines("out", "train")[0].1, "no");
    // By the lists, and not by a rule that would have divided the speakers alike.
    assert!(report.corpus.published_split && report.corpus.split_rule.ends_with("as published"));
    let expected: BTreeMap<&str, Reason> = [
        ("no/strange", Reason::UnexpectedName),
        ("no/zz_nohash_0", Reason::MissingAudio),
        ("yes/bb_nohash_0.wav", Reason::DuplicateId),
        ("_background_noise_/tap", Reason::LeftOut),
    ]
    .into();
    assert_eq!(refused(&report), expected);
    let noise = set(&sandbox.path("out"), "noise");
    assert_eq!(noise.utterances.len(), 2);
    for (utterance, start) in noise.utterances.iter().zip([0.0, 1.0]) {
        assert_eq!((utterance.offset, utterance.duration), (Some(start), 1.0));
        assert_eq!(read_clip(noise.folder(), utterance).unwrap().samples(), 16000);
    }
}

#[test]
fn timit_has_the_core_test_set_and_phones() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    let mut add = |set: &str, speaker: &str, sentence: &str, phones: &str| {
        let stem = format!("TIMIT/{set}/DR1/{speaker}/{sentence}");
        let key = files.len() as u64;
        files.insert(format!("{stem}.WAV"), sphere_bytes(key, 16000));
        files.insert(format!("{stem}.TXT"), bytes("0 16000 She had your dark suit.\n"));
        files.insert(format!("{stem}.WRD"), bytes("0 9000 she\n8000 16000 had\n"));
        files.insert(format!("{stem}.PHN"), bytes(phones));
    };
    let good = "0 8000 h#\n8000 12000 sh\n12000 16000 h#\n";
    add("TRAIN", "FCJF0", "SX1", good);
    add("TRAIN", "FCJF0", "SA1", good);
    add("TRAIN", "FCJF0", "SX2", "0 8000 h#\n7000 16000 sh\n");
    add("TRAIN", "FCJF0", "SX3", "0 8000 h#\n8000 17000 sh\n");
    add("TEST", "MDAB0", "SI9", good);
    add("TEST", "FAKS0", "SX4", good);
    add("TEST", "MABC9", "SX5", good);
    files.remove("TIMIT/TEST/DR1/FAKS0/SX4.WAV");
    files.insert("TIMIT/TEST/DR1/FAKS0/SX4.WAV.wav".into(), wav_bytes(4, 16000, 16000));
    files.insert("TIMIT/TRAIN/DR1/FCJF0/SX7.WAV".into(), sphere_bytes(7, 16000));
    files.insert("TIMIT/TRAIN/DR1/FCJF0/SX8.WAV".into(), sphere_bytes(8, 16000));
    files.insert("TIMIT/TRAIN/DR1/FCJF0/SX8.TXT".into(), bytes("0 16000 no phones"));
    sandbox.write(&files);
    let report = sandbox.prepare("timit", ".", "out");
    let expected: BTreeMap<&str, Reason> = [
        ("fcjf0_sa1", Reason::LeftOut),
        ("fcjf0_sx2", Reason::UnusableLabels),
        ("fcjf0_sx3", Reason::UnusableLabels),
        ("mabc9_sx5", Reason::LeftOut),
        ("fcjf0_sx7", Reason::MissingTranscript),
        ("fcjf0_sx8", Reason::MissingLabels),
    ]
    .into();
    assert_eq!(refused(&report), expected);
    for (name, id) in [("train", "fcjf0_sx1"), ("dev", "faks0_sx4"), ("test", "mdab0_si9")] {
        let manifest = set(&sandbox.path("out"), name);
        assert_eq!(ids(&manifest), [id]);
        assert_eq!(manifest.utterances[0].text, "She had your dark suit.");
        let track =
            read_labels(manifest.folder(), &manifest.utterances[0], 16000).unwrap().unwrap();
        let phones: Vec<&str> = track.labels().map(|label| label.text.as_str()).collect();
        assert_eq!(phones, ["h#", "sh", "h#"]);
        assert_eq!(track.tiers[0].labels[1].start, 0.5);
    }
    let detail = &report.ledger.refusals().iter().find(|r| r.id == "fcjf0_sx3").unwrap().detail;
    assert!(
        detail.contains("SX3.PHN, line 2") && detail.contains("the recording at 1 s"),
        "{detail}"
    );
}

#[test]
fn arctic_divides_by_sentences() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    for (speaker, first) in [("bdl", 0), ("slt", 100)] {
        let folder = format!("arctic/cmu_us_{speaker}_arctic");
        let mut prompts = String::new();
        for number in 1..=10 {
            let name = format!("arctic_a{number:04}");
            files
                .insert(format!("{folder}/wav/{name}.wav"), wav_bytes(first + number, 16000, 4000));
            prompts += &format!("( {name} \"He said \\\"number\\\" {number}.\" )\n");
        }
        files.insert(format!("{folder}/etc/txt.done.data"), bytes(&prompts));
    }
    files.insert("arctic/cmu_us_slt_arctic/wav/extra.wav".into(), wav_bytes(0, 16000, 4000));
    sandbox.write(&files);
    let report = sandbox.prepare("arctic", "arctic", "out");
    assert_eq!(report.ledger.to_string().split(" = ").next(), Some("read 21"));
    assert_eq!(refused(&report), [("slt_extra", Reason::MissingTranscript)].into());
    assert_eq!(ids(&set(&sandbox.path("out"), "test")), ["bdl_arctic_a0010", "slt_arctic_a0010"]);
    assert_eq!(ids(&set(&sandbox.path("out"), "dev")), ["bdl_arctic_a0005", "slt_arctic_a0005"]);
    assert_eq!(sandbox.lines("out", "test")[0].1, "He said \"number\" 10.");
    assert_eq!(check(&sandbox.path("out"), None, &silent).unwrap().errors(), 0);
    let options =
        PrepareOptions { hold_out: Some("slt".into()), ..sandbox.options("arctic", "slt") };
    let report = (CorpusInfo::named("arctic").unwrap().prepare)(&options, &silent).unwrap();
    assert!(sandbox.lines("slt", "test").iter().all(|line| line.2.as_deref() == Some("slt")));
    assert_eq!(report.splits[2].totals.utterances, 10);
    let path = sandbox.path("arctic/cmu_us_bdl_arctic/etc/txt.done.data");
    std::fs::write(path, "( arctic_a0001 \"x\" )\narctic_a0002 y\n").unwrap();
    let error = sandbox.refusal("arctic", "arctic");
    assert!(error.contains("txt.done.data, line 2"), "{error}");
}

#[test]
fn vctk_takes_the_first_microphone() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    for (number, speaker) in ["p225", "p226", "p227", "s5"].iter().enumerate() {
        for index in 1..4 {
            let id = format!("{speaker}_{index:03}");
            for (offset, microphone) in ["mic1", "mic2"].iter().enumerate() {
                let key = (number * 10 + index * 2 + offset) as u64;
                files.insert(
                    format!("VCTK/wav48_silence_trimmed/{speaker}/{id}_{microphone}.flac"),
                    wav_bytes(key, 48000, 9600),
                );
            }
            files.insert(format!("VCTK/txt/{speaker}/{id}.txt"), bytes("Please call Stella.\n"));
        }
    }
    files.remove("VCTK/wav48_silence_trimmed/p225/p225_001_mic1.flac");
    files.remove("VCTK/txt/p226/p226_002.txt");
    files.insert("VCTK/txt/p226/p226_009.txt".into(), bytes("No sound."));
    files.insert("VCTK/txt/p226/p226_001.txt".into(), b"\xff".to_vec());
    sandbox.write(&files);
    let report = sandbox.prepare("vctk", ".", "out");
    let expected: BTreeMap<&str, Reason> = [
        ("p226_001", Reason::UnreadableTranscript),
        ("p226_002", Reason::MissingTranscript),
        ("p226_009", Reason::MissingAudio),
    ]
    .into();
    assert_eq!(refused(&report), expected);
    assert_eq!(report.ledger.kept_count(), 10);
    assert!(warned(&report, "11 recordings are those of a second microphone"), "{report}");
}

#[test]
fn ted_lium_segments_are_sections_of_talks() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    for (number, set) in ["train", "dev", "test"].iter().enumerate() {
        files.insert(
            format!("TED/legacy/{set}/sph/T{number}.sph"),
            sphere_bytes(number as u64, 48000),
        );
        let stm = format!(
            ";; comment\nT{number} 1 S{number} 0.00 1.00 <o,f0,male> it 's here\n\
             T{number} 1 inter_segment_gap 1.00 1.50 <o,,unknown> ignore_time_segment_in_scoring\n\
             T{number} 1 S{number} 1.50 3.50 <NA> past the end\n\
             T{number} 1 S{number} 2.00 2.50 <o,f0,male> {{NOISE}}\n"
        );
        files.insert(format!("TED/legacy/{set}/stm/T{number}.stm"), bytes(&stm));
    }
    sandbox.write(&files);
    let report = sandbox.prepare("tedlium", "TED", "out");
    assert_eq!(
        report.ledger.to_string(),
        "read 12 = kept 3 + refused 9 (offset-past-end 3, empty-transcript 3, left-out 3)"
    );
    assert_eq!(
        sandbox.lines("out", "dev"),
        [(
            "T1-0000000-0000100".to_owned(),
            "it's here".to_owned(),
            Some("S1".to_owned()),
            Some(0.0)
        )]
    );
    std::fs::write(sandbox.path("TED/legacy/dev/stm/T1.stm"), "T1 1 S 0 1 x\nT1 1 S zero 1 x\n")
        .unwrap();
    let error = sandbox.refusal("tedlium", "TED");
    assert!(error.contains("T1.stm, line 2: \"zero\" is not a number"), "{error}");
}

#[test]
fn gigaspeech_json_is_read_whole() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    for name in ["a", "b"] {
        files.insert(format!("giga/audio/{name}.opus"), wav_bytes(5, 16000, 48000));
    }
    let segment = |sid: &str, begin: f64, end: f64, text: &str, subset: &str| {
        format!(
            "{{\"sid\":\"{sid}\",\"speaker\":\"N/A\",\"begin_time\":{begin},\"end_time\":{end},\
             \"text_tn\":\"{text}\",\"subsets\":[\"{{{subset}}}\"]}}"
        )
    };
    let audio = |path: &str, segments: &[String]| {
        format!("{{\"aid\":\"x\",\"path\":\"{path}\",\"segments\":[{}]}}", segments.join(","))
    };
    let json = format!(
        "{{\"dataset\":\"GigaSpeech\",\"version\":\"v1\",\"audios\":[\n{},\n{},\n{}\n],\"after\":{{}}}}",
        audio(
            "audio/a.opus",
            &[
                segment("A1", 0.0, 1.0, "HELLO <COMMA> WORLD <PERIOD>", "XL"),
                segment("A2", 1.0, 2.0, "<MUSIC>", "XL"),
                segment("A3", 2.5, 3.5, "PAST", "XL"),
            ]
        ),
        audio(
            "audio/b.opus",
            &[segment("B1", 0.0, 1.0, "DEV", "DEV"), segment("B2", 1.0, 2.0, "TEST", "TEST")]
        ),
        audio("../c.opus", &[segment("C1", 0.0, 1.0, "OUT", "XL")]),
    );
    files.insert("giga/GigaSpeech.json".into(), bytes(&json));
    sandbox.write(&files);
    let report = sandbox.prepare("gigaspeech", "giga", "out");
    let expected: BTreeMap<&str, Reason> =
        [("A2", Reason::LeftOut), ("A3", Reason::OffsetPastEnd), ("C1", Reason::OutsideCorpus)]
            .into();
    assert_eq!(refused(&report), expected);
    assert_eq!(
        sandbox.lines("out", "train"),
        [("A1".into(), "HELLO WORLD".into(), None, Some(0.0))]
    );
    assert_eq!(sandbox.lines("out", "test")[0].0, "B2");
    for (broken, what) in [
        (json.replace("\"B1\"", "7"), "line 3: this is no GigaSpeech.json"),
        (json[..json.len() / 2].to_owned(), "this is no GigaSpeech.json"),
        ("{\"dataset\":1}".to_owned(), "audios"),
    ] {
        std::fs::write(sandbox.path("giga/GigaSpeech.json"), broken).unwrap();
        let error = sandbox.refusal("gigaspeech", "giga");
        assert!(error.contains("GigaSpeech.json, line") && error.contains(what), "{error}");
    }
}

#[test]
fn peoples_speech_lists_are_read() {
    let sandbox = Sandbox::new();
    let mut files = Files::new();
    for (list, key) in [("train/clean", 0), ("validation/validation", 10), ("test/test", 20)] {
        let tag = list.rsplit('/').next().unwrap();
        for index in 0..2 {
            files.insert(
                format!("ps/{list}/{tag}_{index}.flac"),
                wav_bytes(key + index, 16000, 8000),
            );
        }
        let line = format!(
            "{{\"identifier\":\"{tag}\",\"training_data\":{{\"duration_ms\":[500,500,500,500],\
             \"label\":[\"one\",\"two\",\"three\",\" \"],\
             \"name\":[\"{tag}_0.flac\",\"{tag}_1.flac\",\"../{tag}_2.flac\",\"{tag}_3.flac\"]}}}}\n"
        );
        files.insert(format!("ps/{list}.json"), bytes(&line));
    }
    sandbox.write(&files);
    let report = sandbox.prepare("peoples-speech", "ps", "out");
    assert_eq!(report.ledger.to_string().split(" + ").next(), Some("read 12 = kept 6"));
    assert_eq!(report.ledger.reasons()[&Reason::OutsideCorpus], 3);
    assert_eq!(ids(&set(&sandbox.path("out"), "dev")), ["validation_0", "validation_1"]);
    std::fs::write(
        sandbox.path("ps/test/test.json"),
        "{\"identifier\":\"t\",\"training_data\":{\"duration_ms\":[],\"label\":[],\"name\":[\"a\"]}}\n",
    )
    .unwrap();
    let error = sandbox.refusal("peoples-speech", "ps");
    assert!(error.contains("test.json, line 1: t has 1 names and 0 labels"), "{error}");
}

/// Names that are not UTF-8 cannot stand in a manifest: the ledger names them, the others are kept.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf_8_are_refused_one_by_one() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    sandbox.write(&libri("dev-clean", 20));
    let odd = sandbox.path("LibriSpeech/dev-clean/20/7").join(OsStr::from_bytes(b"20-7-\xff.flac"));
    std::fs::write(odd, wav_bytes(1, 16000, 4000)).unwrap();
    let report = sandbox.prepare("librispeech", "LibriSpeech", "out");
    assert_eq!(report.ledger.to_string().split(" + ").next(), Some("read 10 = kept 9"));
}
