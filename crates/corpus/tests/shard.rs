//! Shards: the same sound, the same labels and the same batches as from loose files; the same bytes in one
//! part or many; what cannot be read goes to the ledger.

mod common;

use common::shards::{batches, shard, snapshot};
use common::{noise, sound_corpus, training, wav_of_channels};
use labyrinth_corpus::clip::{ClipFault, read_clip};
use labyrinth_corpus::{
    Batch, FindingKind, Label, LabelTrack, Ledger, Manifest, Reason, ShardAudio, ShardOptions,
    Utterance, check, read_labels,
};
use labyrinth_signal::{Encoding, write_wav};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn assert_same_batches(loose: &[Batch], shards: &[Batch]) {
    assert_eq!(loose.len(), shards.len());
    for (a, b) in loose.iter().zip(shards) {
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
        assert_eq!(a.ids, b.ids);
        assert_eq!((&a.targets, &a.lengths, &a.refused), (&b.targets, &b.lengths, &b.refused));
        assert!(bits(&a.features) == bits(&b.features), "{:?}", a.ids);
    }
}

/// A WAV of 32-bit floats that no integers hold.
fn write_float_wav(path: &Path, rate: u32, samples: &[f32]) {
    let mut bytes = b"RIFF".to_vec();
    let data = samples.len() as u32 * 4;
    bytes.extend((data + 36).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x03\0\x01\0");
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * 4).to_le_bytes());
    bytes.extend(b"\x04\0\x20\0data");
    bytes.extend(data.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

fn section(id: &str, file: &str, offset: f64, duration: f64) -> Utterance {
    Utterance { offset: Some(offset), ..Utterance::new(id, file, duration, "a b") }
}

fn labelled(utterance: Utterance, labels: &str) -> Utterance {
    Utterance { labels: Some(labels.to_owned()), ..utterance }
}

/// Every way in which audio and labels can stand in a manifest.
fn varied(folder: &Path) -> Manifest {
    fs::create_dir_all(folder.join("deep")).unwrap();
    let second = noise(1, 8000);
    write_wav(&folder.join("one.WAV"), 8000, &second).unwrap();
    write_wav(&folder.join("deep/long.wav"), 8000, &noise(2, 40_000)).unwrap();
    write_float_wav(&folder.join("float.wav"), 16_000, &noise(3, 32_000));
    let raw: Vec<u8> =
        noise(4, 8000).iter().flat_map(|x| ((x * 32768.0) as i16).to_be_bytes()).collect();
    fs::write(folder.join("headerless"), raw).unwrap();
    fs::write(folder.join("words.txt"), "0.1\t0.45\tein\n0.3\t0.6\tzwei\n1.2\t2.0\tdrei\n")
        .unwrap();
    let grid =
        LabelTrack::single(vec![Label::new(0.1, 0.5, "\u{e4} \"x\""), Label::new(0.5, 0.9, "y")]);
    grid.write(&folder.join("one.TextGrid"), &labyrinth_corpus::labels::Recording::default())
        .unwrap();
    fs::write(
        folder.join("all.ctm"),
        "one A 0.1 0.25 ja 0.875\nlong A 0.3 0.4 nein 0.3\nlong A 1.5 0.1 doch 0.2\nlong B 1.4 0.3 hm\n",
    )
    .unwrap();
    fs::write(folder.join("one.phn"), "0 800 h#\n800 7000 aa\n").unwrap();
    let raw_keys = |utterance: Utterance| Utterance {
        encoding: Some(Encoding::PcmS16be),
        sample_rate: Some(16_000),
        channels: Some(1),
        ..utterance
    };
    let mut extra = Utterance::new("a/b.c", "one.WAV", 1.0, "ä \"q\"");
    extra.extra.insert("lang".into(), serde_json::json!(["en", 0.1]));
    extra.speaker = Some("s".into());
    let utterances = vec![
        extra,
        labelled(Utterance::new("a%2Fb", "one.WAV", 1.0, "grid"), "one.TextGrid"),
        labelled(Utterance::new("ä ö", "one.WAV", 1.0, "ctm"), "all.ctm"),
        labelled(Utterance::new("phn", "one.WAV", 1.0, "phn"), "one.phn"),
        section("all", "one.WAV", 0.0, 1.0),
        section("head", "deep/long.wav", 0.0, 0.7),
        labelled(section("long-1", "deep/long.wav", 0.25, 1.0 / 3.0), "words.txt"),
        labelled(section("long-2", "deep/long.wav", 1.3, 1.7), "all.ctm"),
        section("float-1", "float.wav", 0.5, 0.1234567),
        section("float-2", "float.wav", 1.0, 1.0),
        Utterance::new("float-3", "float.wav", 2.0, "whole"),
        raw_keys(Utterance::new("raw-1", "headerless", 0.5, "raw")),
        raw_keys(section("raw-2", "headerless", 0.125, 0.25)),
        Utterance::new("i".repeat(300), "one.WAV", 1.0, "a long name"),
    ];
    let manifest = Manifest { path: folder.join("train.jsonl"), utterances };
    manifest.write().unwrap();
    Manifest::read(&manifest.path).unwrap()
}

fn assert_same_sound_and_labels(loose: &Manifest, shards: &Manifest) {
    assert_eq!(loose.utterances.len(), shards.utterances.len());
    for (before, after) in loose.utterances.iter().zip(&shards.utterances) {
        let id = &before.id;
        assert_eq!((id, &before.text, &before.speaker), (&after.id, &after.text, &after.speaker));
        assert_eq!(before.duration.to_bits(), after.duration.to_bits());
        assert_eq!(before.extra, after.extra);
        assert!(after.shard.is_some() && after.offset.is_none(), "{id}");
        let [one, other] = [(loose, before), (shards, after)]
            .map(|(manifest, utterance)| read_clip(manifest.folder(), utterance).unwrap());
        assert_eq!(one.sample_rate, other.sample_rate, "{id}");
        let bits = |audio: &labyrinth_signal::Audio| -> Vec<Vec<u32>> {
            audio.channels.iter().map(|c| c.iter().map(|x| x.to_bits()).collect()).collect()
        };
        assert!(bits(&one) == bits(&other), "{id}: the sound differs");
        let labels = [(loose, before), (shards, after)].map(|(manifest, utterance)| {
            read_labels(manifest.folder(), utterance, one.sample_rate).unwrap()
        });
        assert_eq!(labels[0], labels[1], "{id}");
        assert_eq!(before.labels.is_some(), labels[1].is_some(), "{id}");
    }
}

#[test]
fn sound_and_labels_come_back_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let loose = varied(&folder.path().join("loose"));
    let out = folder.path().join("shards");
    let options = ShardOptions { utterances: 5, ..ShardOptions::new(&loose.path, &out) };
    let reports = shard(&options).unwrap();
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert!(report.is_complete());
    assert_eq!((report.shards, report.written, report.ledger.kept_count()), (3, 3, 14));
    let shards = Manifest::read(&out.join("train.jsonl")).unwrap();
    assert_same_sound_and_labels(&loose, &shards);
    let name = |index: usize| shards.utterances[index].audio_filepath.as_str();
    // What is a file of its own is copied, and what was cut is stored as it is kept exactly.
    assert_eq!(
        (name(0), name(4), name(5), name(8), name(10), name(11), name(12)),
        (
            "a%2Fb%2Ec.wav",
            "all.wav",
            "head.flac",
            "float-1.wav",
            "float-3.wav",
            "raw-1.audio",
            "raw-2.flac"
        )
    );
    assert_eq!(shards.utterances[1].labels.as_deref(), Some("a%252Fb.labels.textgrid"));
    assert_eq!(shards.utterances[2].labels.as_deref(), Some("%C3%A4%20%C3%B6.labels.json"));
    let bytes = shards.utterances[0].shard.as_ref().unwrap().read(&out).unwrap();
    assert!(bytes == fs::read(loose.folder().join("one.WAV")).unwrap());
    // From shards to shards, in other portions: nothing changes any more.
    let again = folder.path().join("again");
    let options = ShardOptions { seconds: Some(2.5), ..ShardOptions::new(&shards.path, &again) };
    assert!(shard(&options).unwrap()[0].shards > 3);
    assert_same_sound_and_labels(&loose, &Manifest::read(&again.join("train.jsonl")).unwrap());
}

/// Two speakers on two channels of one file: each is heard alone, from files and from shards of every kind.
#[test]
fn a_channel_that_a_line_names_is_the_utterance() {
    let folder = tempfile::tempdir().unwrap();
    let sides = [noise(1, 32_000), noise(2, 32_000)];
    fs::write(folder.path().join("call.wav"), wav_of_channels(16_000, &sides)).unwrap();
    write_wav(&folder.path().join("mono.wav"), 16_000, &noise(3, 16_000)).unwrap();
    let on = |channel: serde_json::Value, utterance: Utterance| {
        let mut utterance = utterance;
        utterance.extra.insert("channel".into(), channel);
        utterance
    };
    let whole = |id: &str| Utterance::new(id, "call.wav", 2.0, "a b");
    let utterances = vec![
        on(0.into(), whole("left")),
        on(1.into(), whole("right")),
        whole("both"),
        on("A".into(), whole("unknown")),
        on(0.into(), section("left-cut", "call.wav", 0.5, 1.0)),
        on(1.into(), section("right-cut", "call.wav", 0.5, 1.0)),
        on(1.into(), Utterance::new("mono", "mono.wav", 1.0, "c")),
    ];
    let loose = Manifest { path: folder.path().join("train.jsonl"), utterances };
    loose.write().unwrap();
    let sound = |manifest: &Manifest, index: usize| {
        read_clip(manifest.folder(), &manifest.utterances[index]).unwrap().channels
    };
    let both = sound(&loose, 2);
    assert_eq!(both.len(), 2);
    assert_eq!(
        (sound(&loose, 0), sound(&loose, 1)),
        (vec![both[0].clone()], vec![both[1].clone()])
    );
    assert_eq!(sound(&loose, 3), both);
    assert_eq!(sound(&loose, 5), [both[1][8_000..24_000].to_vec()]);
    assert_eq!(sound(&loose, 6).len(), 1);
    // Sections of two speakers at once share no sound.
    let report = check(&loose.path, None, &|_, _| {}).unwrap();
    let shared = |f: &&labyrinth_corpus::Finding| f.kind == FindingKind::OverlappingSections;
    assert!(
        !report
            .findings
            .iter()
            .filter(shared)
            .any(|f| { f.id.as_deref() == Some("right-cut") && f.detail.contains("left-cut") })
    );
    for audio in [ShardAudio::Keep, ShardAudio::Flac] {
        let out = folder.path().join(audio.to_string());
        shard(&ShardOptions { audio, ..ShardOptions::new(&loose.path, &out) }).unwrap();
        let shards = Manifest::read(&out.join("train.jsonl")).unwrap();
        for index in 0..7 {
            assert!(sound(&shards, index) == sound(&loose, index), "{audio}, {index}");
        }
    }
    let mut beyond = loose.clone();
    beyond.utterances[1].extra.insert("channel".into(), 2.into());
    let error = read_clip(beyond.folder(), &beyond.utterances[1]).unwrap_err();
    let ClipFault::Refused { detail, .. } = error else { panic!("{error:?}") };
    assert!(detail.contains("has 2 channels") && detail.contains("channel 2"), "{detail}");
    // Without ids two channels of one file are two utterances.
    let line = |channel: u8| {
        format!(
            "{{\"audio_filepath\":\"call.wav\",\"duration\":2,\"text\":\"x\",\"channel\":{channel}}}\n"
        )
    };
    fs::write(folder.path().join("nemo.jsonl"), line(0) + &line(1)).unwrap();
    let nemo = Manifest::read(&folder.path().join("nemo.jsonl")).unwrap();
    assert_eq!([0, 1].map(|index| nemo.utterances[index].id.as_str()), ["call.wav", "call.wav#1"]);
}

#[test]
fn flac_throughout_is_exact_for_integers() {
    let folder = tempfile::tempdir().unwrap();
    let mut loose = varied(&folder.path().join("loose"));
    let out = folder.path().join("shards");
    let options = ShardOptions { audio: ShardAudio::Flac, ..ShardOptions::new(&loose.path, &out) };
    shard(&options).unwrap();
    let mut shards = Manifest::read(&out.join("train.jsonl")).unwrap();
    assert!(shards.utterances.iter().all(|u| u.audio_filepath.ends_with(".flac")));
    assert!(shards.utterances.iter().all(|u| u.encoding.is_none()));
    let is_float = |utterance: &Utterance| utterance.id.starts_with("float");
    for (before, after) in
        loose.utterances.iter().zip(&shards.utterances).filter(|(u, _)| is_float(u))
    {
        let [one, other] = [(&loose, before), (&shards, after)]
            .map(|(manifest, utterance)| read_clip(manifest.folder(), utterance).unwrap());
        assert_eq!(one.samples(), other.samples());
        for (a, b) in one.channels[0].iter().zip(&other.channels[0]) {
            assert!((a - b).abs() <= 0.5 / 32768.0);
        }
    }
    loose.utterances.retain(|utterance| !is_float(utterance));
    shards.utterances.retain(|utterance| !is_float(utterance));
    assert_same_sound_and_labels(&loose, &shards);
}

/// Neighbours that share what stands before the first dot are one sample of WebDataset.
#[test]
fn members_are_grouped_as_webdataset_groups_them() {
    let folder = tempfile::tempdir().unwrap();
    let loose = varied(&folder.path().join("loose"));
    let out = folder.path().join("shards");
    shard(&ShardOptions::new(&loose.path, &out)).unwrap();
    let tar = fs::read(out.join("train-000000.tar")).unwrap();
    let mut archive = tar::Archive::new(&tar[..]);
    let mut samples: Vec<(String, Vec<String>)> = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        assert!(name.len() <= 255, "{name}");
        let (key, ending) = name.split_once('.').unwrap();
        if samples.last().is_none_or(|(last, _)| last != key) {
            samples.push((key.to_owned(), Vec::new()));
        }
        samples.last_mut().unwrap().1.push(ending.to_owned());
        if ending == "json" {
            let line: serde_json::Value = serde_json::from_reader(&mut entry).unwrap();
            let before = &loose.utterances[samples.len() - 1];
            assert_eq!(line, serde_json::to_value(before).unwrap());
        }
    }
    assert_eq!(samples.len(), loose.utterances.len());
    assert_eq!(samples[1].1, ["wav", "json", "labels.textgrid"]);
    assert_eq!(samples[6].1, ["flac", "json", "labels.json"]);
    let keys: std::collections::HashSet<&String> = samples.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), samples.len());
}

/// What one process writes, several do, whatever the order and the number of their threads.
#[test]
fn parts_and_threads_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let corpus = sound_corpus(&data, 23);
    corpus.write().unwrap();
    Manifest { path: data.join("dev.jsonl"), utterances: corpus.utterances[5..9].to_vec() }
        .write()
        .unwrap();
    fs::write(data.join("corpus.json"), "{}").unwrap();
    fs::write(data.join("ledger.jsonl"), "no manifest").unwrap();
    let options = |out: &str| ShardOptions {
        utterances: 4,
        ..ShardOptions::new(&data, folder.path().join(out))
    };
    let one = ShardOptions { threads: 1, ..options("one") };
    let reports = shard(&one).unwrap();
    let count: Vec<(&str, usize)> = reports.iter().map(|r| (r.name.as_str(), r.shards)).collect();
    assert_eq!(count, [("dev", 1), ("train", 6)]);
    let expected = snapshot(&one.out);
    assert_eq!(expected.len(), 2 * 7 + 2 * 2 + 2);
    assert_eq!(Ledger::read(&one.out.join("ledger.jsonl")).unwrap().kept_count(), 27);
    for (out, order) in [("many", [3, 0, 2, 1]), ("more", [1, 2, 3, 0])] {
        for (turn, part) in order.into_iter().enumerate() {
            let options = ShardOptions { part: (part, 4), threads: 1 + turn, ..options(out) };
            let reports = shard(&options).unwrap();
            // The one with the last shard of a manifest completes it.
            assert_eq!(reports[1].is_complete(), turn == 3);
            assert_eq!(options.out.join("train.jsonl").exists(), turn == 3);
        }
        assert!(snapshot(&folder.path().join(out)) == expected, "{out}");
    }
    // A manifest apart, the other later: the ledger is of both.
    for name in ["train.jsonl", "dev.jsonl"] {
        let options = ShardOptions { inputs: vec![data.join(name)], ..options("apart") };
        shard(&options).unwrap();
    }
    assert!(snapshot(&folder.path().join("apart")) == expected);
    // What is done is not done again; a shard that went missing is.
    assert_eq!(shard(&one).unwrap().iter().map(|report| report.written).sum::<usize>(), 0);
    fs::remove_file(one.out.join("train-000002.tar")).unwrap();
    fs::remove_file(one.out.join("train-000004.json")).unwrap();
    fs::write(one.out.join(".train-000004.tar.4242-17f.partial"), "left by a killed run").unwrap();
    fs::write(one.out.join(".other-000004.tar.4242-17f.partial"), "of another manifest").unwrap();
    assert_eq!(shard(&one).unwrap()[1].written, 2);
    fs::remove_file(one.out.join(".other-000004.tar.4242-17f.partial")).unwrap();
    assert!(snapshot(&one.out) == expected);
}

#[test]
fn batches_from_shards_are_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut loose = sound_corpus(folder.path(), 30);
    // Six utterances that are cut from one recording, among those that are files.
    write_wav(&folder.path().join("long.wav"), 16_000, &noise(99, 80_000)).unwrap();
    for index in 0..6 {
        let (offset, duration) = (0.1 + 0.7 * f64::from(index), 0.3 + 0.05 * f64::from(index));
        loose.utterances.push(section(&format!("cut-{index}"), "long.wav", offset, duration));
    }
    loose.write().unwrap();
    let out = folder.path().join("shards");
    shard(&ShardOptions { utterances: 7, ..ShardOptions::new(&loose.path, &out) }).unwrap();
    let shards = Manifest::read(&out.join("train.jsonl")).unwrap();
    for epoch in 0..2 {
        let [one, other] =
            [&loose, &shards].map(|manifest| batches(training(manifest), epoch).unwrap());
        assert!(one.len() > 10, "{}", one.len());
        assert_same_batches(&one, &other);
    }
}

/// Each is in the ledger by id and reason, and whatever is sound is in a shard.
#[test]
fn what_cannot_be_read_goes_to_the_ledger_and_comes_back_when_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let mut loose = varied(&folder.path().join("loose"));
    let sound = loose.clone();
    let path = |name: &str| loose.path.with_file_name(name);
    fs::write(path("text.wav"), "no sound at all, only text").unwrap();
    fs::write(path("empty.wav"), "").unwrap();
    let whole = fs::read(path("one.WAV")).unwrap();
    fs::write(path("cut.wav"), &whole[..whole.len() / 2]).unwrap();
    fs::write(path("bad.txt"), "0.5\t0.1\tends before it starts\n").unwrap();
    let faults = [
        (Utterance::new("missing", "none.wav", 1.0, "x"), Reason::MissingAudio),
        (Utterance::new("text", "text.wav", 1.0, "x"), Reason::UnreadableAudio),
        (Utterance::new("empty", "empty.wav", 1.0, "x"), Reason::EmptyAudio),
        (Utterance::new("cut", "cut.wav", 1.0, "x"), Reason::UnreadableAudio),
        (Utterance::new("folder", "deep", 1.0, "x"), Reason::UnreadableAudio),
        (section("past", "deep/long.wav", 99.0, 1.0), Reason::OffsetPastEnd),
        (section("past-0", "deep/long.wav", 0.0, 99.0), Reason::OffsetPastEnd),
        (section("nothing", "deep/long.wav", 1.0, 0.0), Reason::EmptyAudio),
        (
            labelled(Utterance::new("no-labels", "one.WAV", 1.0, "x"), "none.srt"),
            Reason::MissingLabels,
        ),
        (
            labelled(Utterance::new("bad-labels", "one.WAV", 1.0, "x"), "bad.txt"),
            Reason::UnusableLabels,
        ),
    ];
    for (index, (utterance, _)) in faults.iter().enumerate() {
        loose.utterances.insert(index * 2, utterance.clone());
    }
    loose.write().unwrap();
    let out = folder.path().join("shards");
    let options = ShardOptions { utterances: 6, ..ShardOptions::new(&loose.path, &out) };
    let report = &shard(&options).unwrap()[0];
    let refused: BTreeMap<&str, Reason> =
        report.ledger.refusals().iter().map(|r| (r.id.as_str(), r.reason)).collect();
    let expected: BTreeMap<&str, Reason> =
        faults.iter().map(|(utterance, reason)| (utterance.id.as_str(), *reason)).collect();
    assert_eq!(refused, expected);
    assert_eq!((report.ledger.read_count(), report.ledger.kept_count()), (24, 14));
    assert_eq!(Ledger::read(&out.join("ledger.jsonl")).unwrap(), report.ledger);
    assert_same_sound_and_labels(&sound, &Manifest::read(&out.join("train.jsonl")).unwrap());

    fs::copy(path("one.WAV"), path("none.wav")).unwrap();
    assert_eq!(shard(&options).unwrap()[0].written, 0);
    let report = &shard(&ShardOptions { retry: true, ..options }).unwrap()[0];
    assert_eq!(report.ledger.kept_count(), 15);
    // Each of the four has refusals.
    assert_eq!((report.shards, report.written), (4, 4));
}

#[test]
fn a_shard_ends_at_so_many_utterances_or_so_much_sound() {
    let folder = tempfile::tempdir().unwrap();
    let mut corpus = sound_corpus(folder.path(), 12);
    for (utterance, duration) in
        corpus.utterances.iter_mut().zip([1.0, 1.0, 1.0, 9.0, 0.5].iter().cycle())
    {
        utterance.duration = *duration;
    }
    corpus.write().unwrap();
    let out = folder.path().join("shards");
    let limits =
        ShardOptions { utterances: 3, seconds: Some(2.0), ..ShardOptions::new(&corpus.path, &out) };
    shard(&limits).unwrap();
    let manifest = Manifest::read(&out.join("train.jsonl")).unwrap();
    let shards: Vec<&str> =
        manifest.utterances.iter().map(|u| &u.shard.as_ref().unwrap().file[6..12]).collect();
    let numbers: Vec<usize> = shards.iter().map(|digits| digits.parse().unwrap()).collect();
    // 1+1 | 1 | 9 | .5+1 | 1+1 | 9 | .5+1 ...: a shard of its own for what alone is too long.
    assert_eq!(numbers, [0, 0, 1, 2, 3, 3, 4, 4, 5, 6, 6, 7]);
    // An empty manifest has no shards, and is complete.
    let empty = Manifest { path: folder.path().join("dev.jsonl"), utterances: Vec::new() };
    empty.write().unwrap();
    let report = &shard(&ShardOptions::new(&empty.path, &out)).unwrap()[0];
    assert!(report.is_complete() && report.shards == 0);
    assert!(Manifest::read(&report.manifest).unwrap().utterances.is_empty());
}

/// The corpora themselves: AN4 (FLAC and headerless), FSDD, yesno, and MP3 of LibriSpeech, whole and cut.
#[test]
fn real_recordings_come_back_to_the_last_bit() {
    let Ok(data) = std::env::var("LABYRINTH_DATA") else {
        println!("skipped: LABYRINTH_DATA names no folder of real recordings");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (info, from) in [
        (labyrinth_corpus::CorpusInfo::named("an4"), "an4"),
        (labyrinth_corpus::CorpusInfo::named("fsdd"), "fsdd"),
        (labyrinth_corpus::CorpusInfo::named("yesno"), "yesno"),
        (labyrinth_corpus::CorpusInfo::named("librispeech"), "librispeech-dev-clean-half"),
    ] {
        let prepared = folder.path().join(from);
        let options =
            labyrinth_corpus::PrepareOptions::new(Path::new(&data).join(from), prepared.clone());
        (info.unwrap().prepare)(&options, &|_, _| {}).unwrap();
        let mut loose = Manifest::read(&prepared.join("test.jsonl")).unwrap();
        for index in 0..loose.utterances.len() / 4 {
            let mut cut = loose.utterances[index * 4].clone();
            cut.id += "-cut";
            (cut.offset, cut.duration) = (Some(cut.duration / 7.0), cut.duration / 3.0);
            loose.utterances.push(cut);
        }
        if from == "an4" {
            let raw = Path::new(&data).join("an4/wav/an4test_clstk/fcaw/an406-fcaw-b.raw");
            let seconds = fs::metadata(&raw).unwrap().len() as f64 / 32_000.0;
            for offset in [None, Some(0.3)] {
                loose.utterances.push(Utterance {
                    offset,
                    encoding: Some(Encoding::PcmS16be),
                    sample_rate: Some(16_000),
                    ..Utterance::new(
                        format!("raw-{offset:?}"),
                        raw.to_str().unwrap(),
                        seconds - offset.unwrap_or(0.0),
                        "x",
                    )
                });
            }
        }
        loose.path = prepared.join("all.jsonl");
        loose.write().unwrap();
        let loose = Manifest::read(&loose.path).unwrap();
        let out = folder.path().join(format!("shards-{from}"));
        let report = &shard(&ShardOptions::new(&loose.path, &out)).unwrap()[0];
        assert_eq!(report.ledger.refused_count(), 0);
        assert_same_sound_and_labels(&loose, &Manifest::read(&out.join("all.jsonl")).unwrap());
        let [one, other] = [&loose.path, &out.join("all.jsonl")]
            .map(|path| batches(common::evaluation(&Manifest::read(path).unwrap()), 0).unwrap());
        assert_same_batches(&one, &other);
    }
}
