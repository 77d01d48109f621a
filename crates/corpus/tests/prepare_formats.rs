//! Folders in the formats of other toolkits (Kaldi, lhotse, NeMo, tables) on small trees of their shapes, and what
//! each refuses.

mod common;

use common::prepared::{Sandbox, bytes, refused, warned};
use common::trees::{Files, gzip, ids, set, silent, wav_bytes};
use labyrinth_corpus::clip::read_clip;
use labyrinth_corpus::{FindingKind, Reason, check, read_labels};
use labyrinth_signal::read_audio;
use std::collections::BTreeMap;

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
