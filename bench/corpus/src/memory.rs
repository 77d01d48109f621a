//! The memory and the times of a manifest of any size.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use labyrinth_corpus::loader::order::Order;
use labyrinth_corpus::{IndexedManifest, Loader, Manifest, Position, Source};
use labyrinth_signal::Random;
use serde_json::json;

pub fn measure(
    recordings: &Path,
    utterances: usize,
    folder: &Path,
    epochs: u64,
) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{utterances}.jsonl"));
    let idle = memory("VmRSS:")?;
    write(&path, &Manifest::read(recordings)?, utterances)?;

    let start = Instant::now();
    let source: Arc<dyn Source> = Arc::new(IndexedManifest::open(&path, &|_, _| ())?);
    let index = start.elapsed().as_secs_f64();
    drop(source);
    let start = Instant::now();
    let source: Arc<dyn Source> = Arc::new(IndexedManifest::open(&path, &|_, _| ())?);
    let open = start.elapsed().as_secs_f64();

    // Anywhere in the run: from the position to the batch in hand, audio and features included.
    let options = crate::options(Arc::clone(&source), 2, 16)?;
    let mut random = Random::from_key(&[utterances as u64]);
    let mut restores = Vec::new();
    for _ in 0..20 {
        let window = random.below(utterances as u64 / 256);
        let position = Position {
            epoch: random.below(10),
            batch: window * 16 + 5,
            window,
            batch_in_window: 5,
        };
        let start = Instant::now();
        let mut loader = Loader::new(options.clone(), position)?;
        let batch = loader.next_batch()?.ok_or("the epoch ended at once")?;
        if batch.len() != 16 {
            return Err(format!("a batch of {}: {:?}", batch.len(), batch.refused).into());
        }
        restores.push(start.elapsed().as_secs_f64());
    }
    restores.sort_by(f64::total_cmp);

    // Every place of every epoch, with the duration that stands there.
    let start = Instant::now();
    let order = Order::new(&[(utterances, 1.0)], 1, true);
    let mut hours = 0.0;
    for epoch in 0..epochs {
        let mut sum = 0.0;
        for position in 0..order.len() {
            sum += source.duration(order.place(epoch, position).index)?;
        }
        // Sums in another order differ in the last digits.
        if (sum - source.seconds()).abs() > 1e-6 * sum {
            return Err(format!("epoch {epoch} has {sum} s instead of {}", source.seconds()).into());
        }
        hours = sum / 3600.0;
    }
    let traversal = start.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({
            "utterances": utterances, "hours": hours, "manifest-bytes": fs::metadata(&path)?.len(),
            "index-s": index, "open-s": open,
            "restore-median-s": restores[10], "restore-most-s": restores[19],
            "epochs": epochs, "traversal-s": traversal,
            "idle-mb": idle, "resident-mb": memory("VmRSS:")?, "most-resident-mb": memory("VmHWM:")?,
        })
    );
    Ok(())
}

/// Lines with ids of their own, each naming one of the recordings.
fn write(path: &Path, recordings: &Manifest, utterances: usize) -> Result<(), Box<dyn Error>> {
    let mut file = BufWriter::new(File::create(path)?);
    let folder = std::path::absolute(recordings.folder())?;
    for number in 0..utterances {
        let mut utterance = recordings.utterances[number % recordings.utterances.len()].clone();
        utterance.id = format!("made-up-{number:08}");
        utterance.audio_filepath = folder.join(&utterance.audio_filepath).display().to_string();
        serde_json::to_writer(&mut file, &utterance)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

/// Megabytes of a line of the process's status.
fn memory(name: &str) -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
    let kilobytes: f64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kilobytes / 1024.0)
}
