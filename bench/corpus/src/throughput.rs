//! Epochs of real recordings, one after another as they are asked for.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use labyrinth_corpus::clip::ClipFault;
use labyrinth_corpus::{Loader, Position, Source, open_source};

pub fn serve(
    manifest: &Path,
    workers: usize,
    batch_size: usize,
    decode: bool,
) -> Result<(), Box<dyn Error>> {
    let source = open_source(manifest, &|_, _| ())?;
    let options = crate::options(Arc::clone(&source), workers, batch_size)?;
    let seconds = source.seconds();
    println!("{} {seconds}", source.len());
    for line in std::io::stdin().lock().lines() {
        if line?.trim() != "epoch" {
            break;
        }
        let start = Instant::now();
        let count = if decode {
            decode_all(&*source, workers)?
        } else {
            // An evaluation begins no second epoch: threads and all are part of the time.
            let mut loader = Loader::new(options.clone(), Position::default())?;
            let mut count = 0;
            while let Some(batch) = loader.next_batch()? {
                if let Some(refusal) = batch.refused.first() {
                    return Err(format!("{refusal:?}").into());
                }
                count += batch.len();
            }
            count
        };
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        if count != source.len() {
            return Err(format!("{count} of {} utterances came", source.len()).into());
        }
        println!("{milliseconds}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Reads and decodes every recording on some threads.
fn decode_all(source: &dyn Source, threads: usize) -> Result<usize, Box<dyn Error>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<usize, String> {
        let mut count = 0;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= source.len() {
                return Ok(count);
            }
            let utterance = source.utterance(index).map_err(|error| error.to_string())?;
            match source.audio(&utterance) {
                Ok(audio) => count += usize::from(audio.samples() > 0),
                Err(ClipFault::Refused { detail, .. }) => return Err(detail),
                Err(fault) => return Err(format!("{fault:?}")),
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut count = 0;
        for thread in threads {
            count += thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(count)
    })
}
