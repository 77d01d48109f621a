//! Preparation on small trees of each corpus's shape, and everything that must be refused.

mod common;

use common::noise;
use flate2::Compression;
use flate2::write::GzEncoder;
use labyrinth_corpus::{
    Ledger, Manifest, PrepareError, PrepareOptions, PrepareReport, Reason, prepare_an4,
    prepare_folder, prepare_fsdd, prepare_yesno,
};
use labyrinth_signal::{read_audio, write_wav};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

type Files = BTreeMap<String, Vec<u8>>;

/// Id, transcript, seconds and speaker of each utterance of a set.
type Lines = Vec<(String, String, f64, Option<String>)>;

fn silent(_: usize, _: usize) {}

fn raw_bytes(key: u64, samples: usize, big: bool) -> Vec<u8> {
    // A smooth tone: the byte order is told from smoothness, which noise does not have.
    let value = |i: usize| (8000.0 * (i as f64 * (0.05 + 0.001 * key as f64)).sin()) as i16;
    let bytes = |v: i16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    (0..samples).flat_map(|i| bytes(value(i))).collect()
}

fn sphere_bytes(key: u64, samples: usize) -> Vec<u8> {
    let mut header = format!(
        "NIST_1A\n   1024\nsample_rate -i 16000\nchannel_count -i 1\nsample_n_bytes -i 2\n\
         sample_count -i {samples}\nsample_byte_format -s2 01\nsample_coding -s3 pcm\nend_head\n"
    )
    .into_bytes();
    header.resize(1024, b' ');
    header.extend(raw_bytes(key, samples, false));
    header
}

fn wav_bytes(key: u64, rate: u32, samples: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    write_wav(&path, rate, &noise(key, samples)).unwrap();
    fs::read(path).unwrap()
}

/// AN4 as CMU lays it out: 16 training speakers and 2 test speakers, two utterances each.
fn an4_files(end: &str, big: bool) -> Files {
    let mut files = Files::new();
    for (list, folder, speakers) in
        [("train", "an4_clstk", 0..16u64), ("test", "an4test_clstk", 16..18)]
    {
        let (mut ids, mut lines) = (String::new(), String::new());
        for speaker in speakers {
            for index in 0..2 {
                let id = format!("an{index}-sp{speaker:02}-b");
                let path = format!("{folder}/sp{speaker:02}/{id}");
                let (key, samples) = (speaker * 2 + index, 4000 + 100 * speaker as usize);
                let bytes = match end {
                    "sph" => sphere_bytes(key, samples),
                    _ => raw_bytes(key, samples, big),
                };
                files.insert(format!("an4/wav/{path}.{end}"), bytes);
                ids += &format!("{path}\n");
                lines += &match list {
                    "train" => format!("<s> ENTER {speaker} YES </s> ({id})\n"),
                    _ => format!("GO A  B ({id})\n"),
                };
            }
        }
        files.insert(format!("an4/etc/an4_{list}.fileids"), ids.into_bytes());
        files.insert(format!("an4/etc/an4_{list}.transcription"), lines.into_bytes());
    }
    files
}

fn tree(root: &Path, files: &Files) {
    for (name, bytes) in files {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), bytes).unwrap();
    }
}

fn tar(files: &Files) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn set(out: &Path, name: &str) -> Manifest {
    Manifest::read(&out.join(format!("{name}.jsonl"))).unwrap()
}

fn ids(manifest: &Manifest) -> Vec<&str> {
    manifest.utterances.iter().map(|u| u.id.as_str()).collect()
}

/// What always holds: the ledger adds up, the sets are disjoint and every recording can be read.
fn sound(report: &PrepareReport, out: &Path) {
    let ledger = Ledger::read(&out.join("ledger.jsonl")).unwrap();
    assert_eq!(ledger, report.ledger);
    let mut seen = BTreeSet::new();
    for split in &report.splits {
        let manifest = Manifest::read(&split.path).unwrap();
        assert_eq!(manifest.utterances.len(), split.totals.utterances);
        for utterance in &manifest.utterances {
            assert!(seen.insert(utterance.id.clone()), "{} is in two sets", utterance.id);
            let audio =
                read_audio(&manifest.audio_path(utterance), utterance.raw_format().as_ref())
                    .unwrap();
            assert!((audio.duration() - utterance.duration).abs() < 1e-9);
        }
    }
    assert_eq!(seen.len(), ledger.kept_count());
}

fn snapshot(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn an4_is_the_same_from_every_form_cmu_ships() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut sources: Vec<(PathBuf, bool)> = Vec::new();
    for (end, big) in [("raw", true), ("raw", false), ("sph", false)] {
        let files = an4_files(end, big);
        let name = format!("{end}-{big}");
        tree(&path(&name), &files);
        sources.push((path(&name), false));
        sources.push((path(&name).join("an4"), false));
        fs::create_dir_all(path(&format!("{name}-tgz"))).unwrap();
        let archive = path(&format!("{name}-tgz")).join(format!("an4_{end}.tar.gz"));
        fs::write(&archive, gzip(&tar(&files))).unwrap();
        sources.push((archive.parent().unwrap().to_owned(), true));
        sources.push((archive, true));
        let archive = path(&format!("{name}.tar"));
        fs::write(&archive, tar(&files)).unwrap();
        sources.push((archive, true));
    }
    let mut texts: Option<Vec<Lines>> = None;
    for (index, (from, unpacked)) in sources.iter().enumerate() {
        let out = path(&format!("out{index}"));
        let report = prepare_an4(&PrepareOptions::new(from, &out), &silent).unwrap();
        sound(&report, &out);
        assert_eq!(report.ledger.to_string(), "read 36 = kept 36 + refused 0");
        assert_eq!(out.join("audio").exists(), *unpacked, "{}", from.display());
        let lines: Vec<Lines> = ["train", "dev", "test"]
            .iter()
            .map(|name| {
                let utterances = set(&out, name).utterances.into_iter();
                utterances.map(|u| (u.id, u.text, u.duration, u.speaker)).collect()
            })
            .collect();
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [16, 16, 4]);
        // The bytes of a headerless file are read in the right order, whichever it is.
        let test = set(&out, "test");
        let first = &test.utterances[0];
        let heard = read_audio(&test.audio_path(first), first.raw_format().as_ref()).unwrap();
        let expected: Vec<f32> = raw_bytes(32, 5600, true)
            .chunks(2)
            .map(|pair| f32::from(i16::from_be_bytes([pair[0], pair[1]])) / 32768.0)
            .collect();
        assert!(heard.channels[0] == expected, "{}", from.display());
        assert_eq!(lines, *texts.get_or_insert(lines.clone()), "{}", from.display());
    }
    let texts = texts.unwrap();
    // 16 training speakers: every second is development, whole.
    let dev: BTreeSet<&str> = texts[1].iter().filter_map(|u| u.3.as_deref()).collect();
    assert_eq!(dev, ["sp01", "sp03", "sp05", "sp07", "sp09", "sp11", "sp13", "sp15"].into());
    assert_eq!(texts[0][0].1, "ENTER 0 YES");
    assert_eq!(texts[2][0].1, "GO A B");
    assert_eq!(texts[0][0].2, 0.25);
}

#[test]
fn an4_prefers_headers_and_names_every_fault() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("corpus");
    let mut files = an4_files("raw", true);
    let speaker = "an4/wav/an4_clstk/sp00";
    files.insert(format!("{speaker}/an0-sp00-b.sph"), sphere_bytes(0, 5000));
    files.remove(&format!("{speaker}/an1-sp00-b.raw"));
    files.insert("an4/wav/an4_clstk/sp02/an0-sp02-b.raw".into(), vec![1, 2, 3]);
    files.insert("an4/wav/an4_clstk/sp02/an1-sp02-b.raw".into(), vec![]);
    files.insert("an4/wav/an4_clstk/sp02/cen9-sp02-b.raw".into(), raw_bytes(1, 900, true));
    let list = files.get_mut("an4/etc/an4_train.transcription").unwrap();
    let text = String::from_utf8(list.clone()).unwrap();
    let text = text.replace("<s> ENTER 4 YES </s> (an0-sp04-b)\n", "");
    let text = text.replace("<s> ENTER 4 YES </s> (an1-sp04-b)", "<s> </s> (an1-sp04-b)");
    *list = (text + "<s> NOBODY </s> (an7-none-b)\n").into_bytes();
    tree(&root, &files);
    let out = folder.path().join("out");
    let report = prepare_an4(&PrepareOptions::new(&root, &out), &silent).unwrap();
    sound(&report, &out);
    assert_eq!((report.ledger.read_count(), report.ledger.kept_count()), (38, 31));
    let reasons: BTreeMap<&str, Reason> =
        report.ledger.refusals().iter().map(|r| (r.id.as_str(), r.reason)).collect();
    assert_eq!(
        reasons,
        [
            ("an1-sp00-b", Reason::MissingAudio),
            ("an0-sp02-b", Reason::UnreadableAudio),
            ("an1-sp02-b", Reason::EmptyAudio),
            ("an0-sp04-b", Reason::MissingTranscript),
            ("an1-sp04-b", Reason::EmptyTranscript),
            ("an7-none-b", Reason::NotListed),
            ("cen9-sp02-b", Reason::NotListed),
        ]
        .into()
    );
    let first = &set(&out, "train").utterances[0];
    assert!(first.audio_filepath.ends_with("an0-sp00-b.sph") && first.encoding.is_none());
    assert!(report.warnings.iter().any(|warning| warning.contains("1078")));
}

#[test]
fn an4_holds_out_whole_speakers() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), &an4_files("raw", true));
    let out = folder.path().join("out");
    let options = PrepareOptions {
        hold_out: Some("sp03".into()),
        ..PrepareOptions::new(folder.path().join("an4"), &out)
    };
    let report = prepare_an4(&options, &silent).unwrap();
    sound(&report, &out);
    assert_eq!(ids(&set(&out, "test")), ["an0-sp03-b", "an1-sp03-b"]);
    assert_eq!(set(&out, "dev").utterances.len(), 14);
    assert!(ids(&set(&out, "train")).contains(&"an0-sp17-b"));
    let options = PrepareOptions { hold_out: Some("who".into()), ..options };
    let error = prepare_an4(&options, &silent).unwrap_err().to_string();
    assert!(error.contains("who") && error.contains("sp17"), "{error}");
}

#[test]
fn a_broken_an4_archive_or_list_is_one_sentence_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("an4_raw.bigendian.tar.gz");
    let out = folder.path().join("data/out");
    let packed = gzip(&tar(&an4_files("raw", true)));
    fs::write(&archive, &packed[..packed.len() * 2 / 3]).unwrap();
    let error = prepare_an4(&PrepareOptions::new(folder.path(), &out), &silent).unwrap_err();
    assert!(matches!(error, PrepareError::Archive { .. }), "{error}");
    assert!(error.to_string().contains("an4_raw.bigendian.tar.gz is cut off"), "{error}");
    assert!(!out.exists(), "an unfinished output was left");
    // The whole archive then works in the same place.
    fs::write(&archive, &packed).unwrap();
    prepare_an4(&PrepareOptions::new(folder.path(), &out), &silent).unwrap();

    let mut files = an4_files("raw", true);
    files.insert(
        "an4/etc/an4_train.transcription".into(),
        b"<s> YES </s> (a)\n<s> NO </s>\n".to_vec(),
    );
    let tree_root = folder.path().join("tree");
    tree(&tree_root, &files);
    let error = prepare_an4(&PrepareOptions::new(&tree_root, folder.path().join("o2")), &silent);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("an4_train.transcription, line 2"), "{error}");
    assert!(!folder.path().join("o2").exists());

    // A whole archive that is refused later: without any audio, or with the broken list.
    let mut mute = an4_files("raw", true);
    mute.retain(|name, _| !name.ends_with(".raw"));
    for (files, fault) in [(mute, "not one of the 36"), (files, "line 2")] {
        let archive = folder.path().join("refused/an4_raw.bigendian.tar.gz");
        fs::create_dir_all(archive.parent().unwrap()).unwrap();
        fs::write(&archive, gzip(&tar(&files))).unwrap();
        let fresh = folder.path().join("o3");
        let error = prepare_an4(&PrepareOptions::new(&archive, &fresh), &silent).unwrap_err();
        assert!(error.to_string().contains(fault), "{error}");
        assert!(!fresh.exists(), "{fault}: an unfinished output was left");
        // What stood there before stays.
        fs::create_dir(&fresh).unwrap();
        fs::write(fresh.join("mine"), "x").unwrap();
        prepare_an4(&PrepareOptions::new(&archive, &fresh), &silent).unwrap_err();
        assert_eq!(snapshot(&fresh).into_keys().collect::<Vec<_>>(), ["mine"]);
        fs::remove_dir_all(&fresh).unwrap();
    }
    // A second preparation that is refused keeps the audio of the first.
    let options =
        PrepareOptions { hold_out: Some("nobody".into()), ..PrepareOptions::new(&archive, &out) };
    let before = snapshot(&out);
    prepare_an4(&options, &silent).unwrap_err();
    assert_eq!(snapshot(&out), before);
}

#[test]
fn fsdd_follows_its_indices_and_holds_out_speakers() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::new();
    for digit in [0, 7] {
        for speaker in ["ann", "bob", "van_dyk"] {
            for index in 0..12 {
                let name = format!("clone/recordings/{digit}_{speaker}_{index}.wav");
                files.insert(name, wav_bytes(index, 8000, 1000 + 10 * index as usize));
            }
        }
    }
    files.insert("clone/recordings/x_ann_3.wav".into(), wav_bytes(1, 8000, 1000));
    files.insert("clone/README.md".into(), b"read me".to_vec());
    tree(folder.path(), &files);
    let out = folder.path().join("out");
    let report =
        prepare_fsdd(&PrepareOptions::new(folder.path().join("clone"), &out), &silent).unwrap();
    sound(&report, &out);
    assert_eq!(report.ledger.to_string(), "read 73 = kept 72 + refused 1 (unexpected-name 1)");
    let index = |id: &str| id.rsplit('_').next().unwrap().parse::<u32>().unwrap();
    for (name, count, range) in [("test", 30, 0..5), ("dev", 30, 5..10), ("train", 12, 10..50)] {
        let manifest = set(&out, name);
        assert_eq!(manifest.utterances.len(), count);
        assert!(ids(&manifest).iter().all(|id| range.contains(&index(id))));
        let words: BTreeSet<&str> = manifest.utterances.iter().map(|u| u.text.as_str()).collect();
        assert_eq!(words, ["seven", "zero"].into());
        assert_eq!(manifest.speakers(), ["ann", "bob", "van_dyk"].into());
    }
    // From its archive as well, and one speaker held out.
    let archive = folder.path().join("free-spoken-digit-dataset-1.0.10.tar.gz");
    fs::write(&archive, gzip(&tar(&files))).unwrap();
    let out = folder.path().join("loso");
    let options =
        PrepareOptions { hold_out: Some("van_dyk".into()), ..PrepareOptions::new(&archive, &out) };
    let report = prepare_fsdd(&options, &silent).unwrap();
    sound(&report, &out);
    let (train, dev, test) = (set(&out, "train"), set(&out, "dev"), set(&out, "test"));
    assert_eq!((train.utterances.len(), dev.utterances.len(), test.utterances.len()), (28, 20, 24));
    assert_eq!(test.speakers(), ["van_dyk"].into());
    assert_eq!(train.speakers(), ["ann", "bob"].into());
    assert!(ids(&dev).iter().all(|id| (5..10).contains(&index(id))));
    assert!(!report.corpus.speakers_shared);
}

#[test]
fn yesno_splits_its_sorted_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::new();
    for number in 0..60u32 {
        let digits: Vec<String> = (0..8).rev().map(|bit| (number >> bit & 1).to_string()).collect();
        let name = format!("waves_yesno/{}.wav", digits.join("_"));
        files.insert(name, wav_bytes(number.into(), 8000, 2000));
    }
    tree(folder.path(), &files);
    let out = folder.path().join("out");
    let report = prepare_yesno(&PrepareOptions::new(folder.path(), &out), &silent).unwrap();
    sound(&report, &out);
    let (train, dev, test) = (set(&out, "train"), set(&out, "dev"), set(&out, "test"));
    assert_eq!((train.utterances.len(), dev.utterances.len(), test.utterances.len()), (26, 5, 29));
    assert_eq!(ids(&dev)[0], "0_0_0_1_1_0_1_0");
    assert_eq!(dev.utterances[0].text, "no no no yes yes no yes no");
    assert_eq!(ids(&test)[0], "0_0_0_1_1_1_1_1");
    let options = PrepareOptions {
        hold_out: Some("yesno".into()),
        ..PrepareOptions::new(folder.path(), &out)
    };
    let error = prepare_yesno(&options, &silent).unwrap_err().to_string();
    assert!(error.contains("1 speaker"), "{error}");
}

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

#[test]
fn a_missing_or_empty_or_wrong_folder_is_named_with_the_way_out() {
    type Prepare =
        fn(&PrepareOptions, labyrinth_corpus::Progress<'_>) -> Result<PrepareReport, PrepareError>;
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let wrong = folder.path().join("wrong");
    tree(&wrong, &[("notes/a.md".to_owned(), b"a".to_vec())].into());
    let file = folder.path().join("file.zip");
    fs::write(&file, "PK").unwrap();
    let all: [Prepare; 4] = [prepare_an4, prepare_fsdd, prepare_yesno, prepare_folder];
    for prepare in all {
        for from in [&folder.path().join("missing"), &empty, &wrong, &file] {
            let out = folder.path().join("out");
            let error = prepare(&PrepareOptions::new(from, &out), &silent).unwrap_err().to_string();
            assert!(error.contains(from.to_str().unwrap()), "{error}");
            assert!(error.contains("--from"), "{error}");
            assert!(!out.exists(), "{error}");
        }
    }
    // Recordings none of which can be used.
    tree(
        &wrong,
        &[("a.wav".to_owned(), b"x".to_vec()), ("a.txt".to_owned(), b"x".to_vec())].into(),
    );
    let out = folder.path().join("out");
    let error =
        prepare_folder(&PrepareOptions::new(&wrong, &out), &silent).unwrap_err().to_string();
    assert!(error.contains("not one of the 1 utterances"), "{error}");
    assert!(!out.exists());
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
