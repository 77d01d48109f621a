//! Trees of files in the shapes of the corpora, archives of them, and what a preparation makes of them.

use super::noise;
use flate2::Compression;
use flate2::write::GzEncoder;
use labyrinth_corpus::{Ledger, Manifest, PrepareReport};
use labyrinth_signal::{read_audio, write_wav};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;

pub type Files = BTreeMap<String, Vec<u8>>;

/// Id, transcript, seconds and speaker of each utterance of a set.
pub type Lines = Vec<(String, String, f64, Option<String>)>;

pub fn silent(_: usize, _: usize) {}

pub fn raw_bytes(key: u64, samples: usize, big: bool) -> Vec<u8> {
    // A smooth tone: the byte order is told from smoothness, which noise does not have.
    let value = |i: usize| (8000.0 * (i as f64 * (0.05 + 0.001 * key as f64)).sin()) as i16;
    let bytes = |v: i16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    (0..samples).flat_map(|i| bytes(value(i))).collect()
}

pub fn sphere_bytes(key: u64, samples: usize) -> Vec<u8> {
    let mut header = format!(
        "NIST_1A\n   1024\nsample_rate -i 16000\nchannel_count -i 1\nsample_n_bytes -i 2\n\
         sample_count -i {samples}\nsample_byte_format -s2 01\nsample_coding -s3 pcm\nend_head\n"
    )
    .into_bytes();
    header.resize(1024, b' ');
    header.extend(raw_bytes(key, samples, false));
    header
}

pub fn wav_bytes(key: u64, rate: u32, samples: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    write_wav(&path, rate, &noise(key, samples)).unwrap();
    fs::read(path).unwrap()
}

/// AN4 as CMU lays it out: 16 training speakers and 2 test speakers, two utterances each.
pub fn an4_files(end: &str, big: bool) -> Files {
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

pub fn tree(root: &Path, files: &Files) {
    for (name, bytes) in files {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), bytes).unwrap();
    }
}

pub fn tar(files: &Files) -> Vec<u8> {
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

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn set(out: &Path, name: &str) -> Manifest {
    Manifest::read(&out.join(format!("{name}.jsonl"))).unwrap()
}

pub fn ids(manifest: &Manifest) -> Vec<&str> {
    manifest.utterances.iter().map(|u| u.id.as_str()).collect()
}

/// What always holds: the ledger adds up, the sets are disjoint and every recording can be read.
pub fn sound(report: &PrepareReport, out: &Path) {
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

pub fn snapshot(folder: &Path) -> Files {
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
