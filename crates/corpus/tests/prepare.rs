//! Preparation of the public corpora from small trees of their shapes, and everything that must be
//! refused.

mod common;

use common::trees::{
    Files, Lines, an4_files, gzip, ids, raw_bytes, set, silent, snapshot, sound, sphere_bytes, tar,
    tree, wav_bytes,
};
use labyrinth_corpus::{
    PrepareError, PrepareOptions, PrepareReport, Reason, prepare_an4, prepare_folder, prepare_fsdd,
    prepare_yesno,
};
use labyrinth_signal::read_audio;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

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
