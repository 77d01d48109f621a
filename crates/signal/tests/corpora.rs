//! Real recordings, as corpora hold them, are read: strictness must not refuse what is whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use labyrinth_signal::read_audio;

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("readable")
        .map(|entry| entry.expect("readable").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Every 25th recording of each corpus; all of them with LABYRINTH_DATA_ALL set.
#[test]
fn real_recordings_are_read() {
    let Some(folder) = std::env::var_os("LABYRINTH_DATA") else {
        println!("SKIPPED: set LABYRINTH_DATA to a folder of corpora");
        return;
    };
    let step = if std::env::var_os("LABYRINTH_DATA_ALL").is_some() { 1 } else { 25 };
    let mut found = Vec::new();
    collect(Path::new(&folder), &mut found);
    found.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("wav" | "flac" | "mp3" | "opus" | "ogg" | "m4a" | "sph"))
    });
    let mut hours: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    let mut refused = Vec::new();
    for path in found.iter().step_by(step) {
        match read_audio(path, None) {
            Ok(audio) => {
                let extension = path.extension().map(|e| e.to_string_lossy().into_owned());
                let key = format!("{} at {} Hz", extension.unwrap_or_default(), audio.sample_rate);
                let sum = hours.entry(key).or_default();
                *sum = (sum.0 + 1, sum.1 + audio.duration() / 3600.0);
            }
            Err(error) => refused.push(error.to_string()),
        }
    }
    for (kind, (files, hours)) in hours {
        println!("{kind}: {files} files, {hours:.3} h");
    }
    assert!(refused.is_empty(), "{refused:#?}");
}
