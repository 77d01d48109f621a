//! Picture of the chapter on decoding: when each word was said, and when it was known. Wants a model that runs live.

use labyrinth::decode::{ChunkOptions, RecognizerStream, Word};

use crate::plot::{BLUE, GREY, ORANGE, Panel, svg};
use crate::speech::Speech;

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let Some(recognizer) = speech.recognizer()? else { return Ok(Vec::new()) };
    let recording = speech.recording("an444-mmxg-b")?;
    let rate = recording.rate;
    let Ok(stream) = recognizer.stream(rate) else {
        eprintln!("decoding: left as it is, for --model cannot run live (an4-causal.toml can)");
        return Ok(Vec::new());
    };
    let options = ChunkOptions { chunk_seconds: 1.0, overlap_seconds: 1.0 };
    let chunks = recognizer.stream_in_chunks(rate, options).map_err(|e| e.to_string())?;
    let seconds = recording.samples.len() as f64 / f64::from(rate);
    let live = heard(stream, &recording.samples, rate)?;
    let late = heard(chunks, &recording.samples, rate)?;

    let rows = live.len().max(late.len()) as f64;
    let mut panel =
        Panel::new("when a word was said, and when it was out", (0.0, seconds + 0.2), (-rows, 0.6))
            .labels("seconds", "")
            .height(30.0 * rows)
            .no_scale();
    for (name, colour, words) in [("in chunks", ORANGE, &late), ("live", BLUE, &live)] {
        panel = panel.line(name, colour, Vec::new());
        for (index, (word, out)) in words.iter().enumerate() {
            let y = -(index as f64) - if colour == BLUE { 0.15 } else { 0.4 };
            panel = panel.line("", colour, vec![(word.start, y), (word.end, y)]);
            panel = panel.text(*out, y - 0.13, "●", colour);
        }
    }
    for (index, (word, _)) in live.iter().enumerate() {
        let centre = 0.5 * (word.start + word.end);
        panel = panel.text(centre, -(index as f64) + 0.05, &word.text, GREY);
    }
    let alt = "Each word's time, and when a live model and one in chunks had it";
    Ok(vec![("decoding-live", svg(alt, &[panel]))])
}

/// The words of a recording that comes in pieces of 10 ms, each with the seconds heard when it was out.
fn heard(
    mut stream: RecognizerStream,
    samples: &[f32],
    rate: u32,
) -> Result<Vec<(Word, f64)>, String> {
    let mut words = Vec::new();
    let mut so_far = 0;
    for piece in samples.chunks(rate as usize / 100) {
        so_far += piece.len();
        let out = so_far as f64 / f64::from(rate);
        let new = stream.push(piece).map_err(|e| e.to_string())?;
        words.extend(new.into_iter().map(|word| (word, out)));
    }
    let end = so_far as f64 / f64::from(rate);
    words.extend(stream.finish().map_err(|e| e.to_string())?.into_iter().map(|word| (word, end)));
    Ok(words)
}
