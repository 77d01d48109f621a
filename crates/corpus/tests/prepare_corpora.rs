//! The recipes of published corpora on small trees of their shapes, and what each refuses.

mod common;

use common::prepared::{Sandbox, bytes, owned, refused, warned};
use common::trees::{Files, ids, set, silent, sphere_bytes, wav_bytes};
use labyrinth_corpus::clip::read_clip;
use labyrinth_corpus::{CORPORA, CorpusInfo, PrepareOptions, Reason, check, read_labels};
use std::collections::{BTreeMap, BTreeSet};

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
