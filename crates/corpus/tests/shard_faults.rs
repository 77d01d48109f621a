//! Shards that were damaged, replaced, moved or copied over, and what may not be written over: each told as what it
//! is.

mod common;

use common::shards::{batches, shard, snapshot};
use common::{sound_corpus, training};
use labyrinth_corpus::clip::{ClipFault, read_clip};
use labyrinth_corpus::{
    FindingKind, Ledger, LoaderError, Manifest, ShardAudio, ShardOptions, check,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn small_shards() -> (TempDir, Manifest) {
    let folder = tempfile::tempdir().unwrap();
    let corpus = sound_corpus(folder.path(), 8);
    corpus.write().unwrap();
    let out = folder.path().join("shards");
    shard(&ShardOptions { utterances: 4, ..ShardOptions::new(&corpus.path, &out) }).unwrap();
    let manifest = Manifest::read(&out.join("train.jsonl")).unwrap();
    (folder, manifest)
}

/// Cut at any place, replaced, overwritten, gone, a folder: the training stops and names the shard, and no
/// utterance is refused for it.
#[test]
fn a_shard_that_is_not_what_it_was_stops_the_run() {
    let (_folder, manifest) = small_shards();
    let path = manifest.folder().join("train-000001.tar");
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    let place = manifest.utterances[5].shard.as_ref().unwrap().offset as usize + 700;
    flipped[place] ^= 1;
    let other = fs::read(manifest.folder().join("train-000000.tar")).unwrap();
    type Damage<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>, &'a str);
    let write = |bytes: Vec<u8>| Box::new(move |path: &Path| fs::write(path, &bytes).unwrap());
    let cases: [Damage<'_>; 6] = [
        ("cut", write(whole[..place].to_vec()), "cut short"),
        ("empty", write(Vec::new()), "cut short"),
        ("a bit", write(flipped), "not those"),
        ("another shard", write([other, vec![0; 100_000]].concat()), "not those"),
        ("gone", Box::new(|path| fs::remove_file(path).unwrap()), "not there"),
        (
            "a folder",
            Box::new(|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
            "is a folder",
        ),
    ];
    for (name, damage, said) in cases {
        damage(&path);
        let fault = read_clip(manifest.folder(), &manifest.utterances[5]).unwrap_err();
        let ClipFault::Disk { path: named, source } = fault else { panic!("{name}: {fault:?}") };
        assert!(named.ends_with("train-000001.tar"), "{name}: {}", named.display());
        assert!(source.to_string().contains(said), "{name}: {source}");
        let error = batches(training(&manifest), 0)
            .map(|batches| panic!("{name}: the epoch ended, {} batches", batches.len()))
            .unwrap_err();
        assert!(matches!(&error, LoaderError::Disk { .. }), "{name}: {error}");
        // `check` tells all that it spoils, and nothing else.
        let findings = check(&manifest.path, None, &|_, _| {}).unwrap().findings;
        let spoilt: Vec<_> =
            findings.iter().filter(|f| f.kind == FindingKind::UnreadableAudio).collect();
        assert!(spoilt.iter().any(|f| f.id.as_deref() == Some("u005")), "{name}: {findings:?}");
        assert!(spoilt.iter().all(|f| f.detail.contains("train-000001.tar")), "{name}");
        let sentence = error.to_string();
        assert!(sentence.contains("train-000001.tar"), "{name}: {error}");
        // One way out, not two.
        assert!(!sentence.contains("the disk's failure"), "{name}: {error}");
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        }
        fs::write(&path, &whole).unwrap();
    }
    read_clip(manifest.folder(), &manifest.utterances[5]).unwrap();
}

/// A pair of files that was copied over another is no shard that is done.
#[test]
fn a_shard_copied_over_another_is_written_anew() {
    let (folder, manifest) = small_shards();
    let out = manifest.folder();
    let before = snapshot(out);
    for ending in ["tar", "json"] {
        let [from, to] = [0, 1].map(|shard| out.join(format!("train-00000{shard}.{ending}")));
        fs::copy(from, to).unwrap();
    }
    let options = ShardOptions::new(folder.path().join("train.jsonl"), out);
    shard(&ShardOptions { utterances: 4, ..options }).unwrap();
    assert_eq!(snapshot(out), before);
}

/// A byte that changed is found where the shards that are done are read again, and nowhere else.
#[test]
fn a_damaged_shard_is_written_anew_where_digests_are_compared() {
    let (folder, manifest) = small_shards();
    let out = manifest.folder();
    let before = snapshot(out);
    let path = out.join("train-000001.tar");
    let mut bytes = fs::read(&path).unwrap();
    bytes[700] ^= 1;
    fs::write(&path, bytes).unwrap();
    let options =
        ShardOptions { utterances: 4, ..ShardOptions::new(folder.path().join("train.jsonl"), out) };
    let report = &shard(&options).unwrap()[0];
    assert_eq!((report.written, report.damaged), (0, 0));
    let verified = ShardOptions { verify: true, ..options };
    let report = &shard(&verified).unwrap()[0];
    assert_eq!((report.written, report.damaged), (1, 1));
    assert_eq!(snapshot(out), before);
    let report = &shard(&verified).unwrap()[0];
    assert_eq!((report.written, report.damaged), (0, 0));
}

/// A set that is whole is not touched: no file is another one, and on a read-only disk nothing is amiss.
#[cfg(unix)]
#[test]
fn a_finished_set_is_left_as_it_is() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (folder, manifest) = small_shards();
    let out = manifest.folder();
    let options = ShardOptions {
        utterances: 4,
        parquet: true,
        ..ShardOptions::new(folder.path().join("train.jsonl"), out)
    };
    shard(&options).unwrap();
    let files = || -> BTreeMap<PathBuf, u64> {
        let entries = fs::read_dir(out).unwrap().map(Result::unwrap);
        entries.map(|entry| (entry.path(), entry.metadata().unwrap().ino())).collect()
    };
    let before = files();
    fs::set_permissions(out, fs::Permissions::from_mode(0o555)).unwrap();
    let report = shard(&options).map(|reports| reports[0].is_complete());
    fs::set_permissions(out, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(report.unwrap());
    assert_eq!(files(), before);
    // One that is not what it should be is written again.
    fs::write(out.join("train.jsonl"), "").unwrap();
    shard(&options).unwrap();
    assert!(files() != before && fs::metadata(out.join("train.jsonl")).unwrap().len() > 0);
}

/// A table that was asked for once is kept up when shards are written again without asking for it.
#[test]
fn a_table_never_tells_of_shards_that_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = sound_corpus(folder.path(), 8);
    corpus.write().unwrap();
    let sound = fs::read(folder.path().join("u003.wav")).unwrap();
    fs::write(folder.path().join("u003.wav"), "none").unwrap();
    let out = folder.path().join("shards");
    let options = ShardOptions { utterances: 4, ..ShardOptions::new(&corpus.path, &out) };
    shard(&ShardOptions { parquet: true, ..options.clone() }).unwrap();
    let old = fs::read(out.join("train.parquet")).unwrap();
    fs::write(folder.path().join("u003.wav"), sound).unwrap();
    shard(&ShardOptions { retry: true, ..options.clone() }).unwrap();
    let new = fs::read(out.join("train.parquet")).unwrap();
    assert_ne!(new, old);
    let fresh = ShardOptions { out: folder.path().join("fresh"), parquet: true, ..options };
    shard(&fresh).unwrap();
    assert_eq!(new, fs::read(fresh.out.join("train.parquet")).unwrap());
}

#[test]
fn shards_are_not_cleaned_into_a_folder_without_them() {
    let (folder, manifest) = small_shards();
    let survey = labyrinth_corpus::Survey::read(manifest.folder()).unwrap();
    let error = survey.refuse_fix_into(&folder.path().join("clean")).unwrap_err().to_string();
    assert!(error.contains("train.jsonl") && error.contains("labyrinth shard"), "{error}");
}

#[test]
fn ranges_that_lead_elsewhere_are_faults_of_the_line() {
    let (_folder, manifest) = small_shards();
    let text = fs::read_to_string(&manifest.path).unwrap();
    let with = |from: &str, to: &str| text.replacen(from, to, 1);
    let file = "\"file\":\"train-000000.tar\"";
    let first = manifest.utterances[0].shard.clone().unwrap();
    let length = format!("\"bytes\":{}", first.bytes);
    for (changed, reason) in [
        (with(file, "\"file\":\"/etc/passwd\""), "folder"),
        (with(file, "\"file\":\"../train.tar\""), "folder"),
        (with(file, "\"file\":\"a/../../train.tar\""), "folder"),
        (with(file, "\"file\":\"..\\\\train.tar\""), "folder"),
        (with(file, "\"file\":\"\""), "folder"),
        (with(file, "\"file\":7"), "a text in quotes is needed, not 7"),
        (with(&length, "\"bytes\":0"), "0 bytes"),
        (with(&length, &format!("\"bytes\":{}", u64::MAX)), "no part of a file"),
        (with("\"digest\":\"", "\"digest\":\"x"), "32 hexadecimal digits"),
        (with("\"shard\":{", "\"shard\":7,\"other\":{"), "`shard` must be an object"),
        (with("\"shard\":{", "\"shard\":{\"more\":1,"), "more"),
        (with("\"shard\":{", "\"labels_shard\":{"), "without labels"),
    ] {
        assert_ne!(changed, text);
        fs::write(&manifest.path, changed).unwrap();
        let error = Manifest::read(&manifest.path).unwrap_err().to_string();
        assert!(error.contains("train.jsonl, line 1"), "{error}");
        assert!(error.contains(reason), "{error} should tell of {reason}");
    }
    // In a folder below, it may lie.
    let below = manifest.folder().join("below");
    fs::create_dir(&below).unwrap();
    fs::rename(manifest.folder().join("train-000000.tar"), below.join("train-000000.tar")).unwrap();
    fs::write(&manifest.path, text.replace("train-000000.tar", "below/train-000000.tar")).unwrap();
    let manifest = Manifest::read(&manifest.path).unwrap();
    read_clip(manifest.folder(), &manifest.utterances[0]).unwrap();
}

/// Every refusal names the file, and changes nothing.
#[test]
fn nothing_that_stands_there_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["a", "b"] {
        fs::create_dir(path(name)).unwrap();
        sound_corpus(&path(name), 6 + u64::from(name == "b")).write().unwrap();
    }
    fs::create_dir(path("empty")).unwrap();
    let refuses = |inputs: &[&str], out: &str, more: fn(&mut ShardOptions), said: &[&str]| {
        let before = path(out).is_dir().then(|| snapshot(&path(out)));
        let mut options = ShardOptions::new("", path(out));
        options.inputs = inputs.iter().map(|input| path(input)).collect::<Vec<PathBuf>>();
        more(&mut options);
        let error = shard(&options).unwrap_err().to_string();
        for said in said {
            assert!(error.contains(said), "{error} should tell of {said}");
        }
        assert_eq!(path(out).is_dir().then(|| snapshot(&path(out))), before, "{error}");
    };
    let nothing: fn(&mut ShardOptions) = |_| {};
    shard(&ShardOptions::new(path("a"), path("out"))).unwrap();
    let other = ["out/train.shards.json", "train.jsonl (SHA-256", "-o"];
    refuses(&["b"], "out", nothing, &other);
    refuses(&["a"], "out", |o| o.utterances = 7, &["--utterances 512", "--utterances 7"]);
    refuses(&["a"], "out", |o| o.audio = ShardAudio::Flac, &["--audio keep", "--audio flac"]);
    refuses(&["a"], "out", |o| o.seconds = Some(9.5), &["--seconds 9.5"]);
    refuses(&["a"], "a", nothing, &["a/train.jsonl", "-o"]);
    refuses(&["a"], "a/.", nothing, &["train.jsonl"]);
    refuses(&["b/train.jsonl"], "a", nothing, &["a/train.jsonl stands there already", "-o"]);
    refuses(&["a", "b"], "new", nothing, &["a/train.jsonl", "b/train.jsonl", "own"]);
    refuses(&["empty"], "new", nothing, &["empty holds no manifest"]);
    refuses(&["missing"], "new", nothing, &["missing"]);
    refuses(&["a", "missing.jsonl"], "new", nothing, &["missing.jsonl"]);
    refuses(&["a"], "new", |o| o.utterances = 0, &["--utterances is 0"]);
    refuses(&["a"], "new", |o| o.seconds = Some(f64::NAN), &["--seconds"]);
    refuses(&["a"], "new", |o| o.part = (4, 4), &["5/4"]);
    assert!(!path("new").exists());
    // Somebody else's files of these names, or a ledger of a preparation.
    for name in ["train-000000.tar", "train-000003.json", "train.parquet", "ledger.jsonl"] {
        let out = format!("with-{name}");
        fs::create_dir(path(&out)).unwrap();
        fs::write(path(&out).join(name), "mine").unwrap();
        refuses(&["a"], &out, nothing, &[name, "-o"]);
    }
    // An index of other options among ours, and one that is none.
    let index = path("out/train-000000.json");
    let good = fs::read_to_string(&index).unwrap();
    fs::write(&index, good.replacen("512", "99", 1)).unwrap();
    refuses(&["a"], "out", nothing, &["train-000000.json", "--utterances 99", "--utterances 512"]);
    fs::write(&index, "{\"made_from\":").unwrap();
    refuses(&["a"], "out", nothing, &["train-000000.json is damaged", "delete"]);
    // Below the input it may be, and beside other corpora of other names.
    shard(&ShardOptions::new(path("a"), path("a/shards"))).unwrap();
    fs::rename(path("b/train.jsonl"), path("b/test.jsonl")).unwrap();
    shard(&ShardOptions::new(path("b"), path("a/shards"))).unwrap();
    assert_eq!(Ledger::read(&path("a/shards/ledger.jsonl")).unwrap().kept_count(), 13);
}
