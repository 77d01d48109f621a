//! Picture of the chapter on alignment: sound, peaks, spans, and the names of chunks. Wants a CTC model of phonemes.

use labyrinth::corpus::loader::frames::Spoken;
use labyrinth::corpus::{FrameGrid, frame_targets};
use labyrinth::decode::{Aligner, AlignerOptions};
use labyrinth::kernels::Cpu;
use labyrinth::nn::ModelFile;
use labyrinth::signal::{Audio, FeatureOptions};
use labyrinth::text::Units;

use crate::ctc::{Heard, softmax};
use crate::plot::{BLUE, GREEN, ORANGE, PURPLE, Panel, svg};
use crate::speech::{Recording, Speech};

const COLOURS: [&str; 4] = [BLUE, ORANGE, GREEN, PURPLE];
/// A chunk, and from one to the next, in milliseconds.
const CHUNK: [f32; 2] = [250.0, 50.0];

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let id = "an406-fcaw-b";
    let Some(path) = speech.model() else { return Ok(Vec::new()) };
    let model = ModelFile::read(path).map_err(|e| e.to_string())?;
    if model.header.alphabet.units() != Units::Phonemes {
        eprintln!(
            "alignment: left as it is, for --model is no model of phonemes (an4-phonemes.toml)"
        );
        return Ok(Vec::new());
    }
    let recording = speech.recording(id)?;
    let seconds = recording.samples.len() as f64 / f64::from(recording.rate);
    let (mel, bins) = recording.features(&FeatureOptions::default())?;
    let Recording { text, samples, rate } = recording;
    let Some(heard) = Heard::new(speech, id)? else { return Ok(Vec::new()) };
    let labels = heard.alphabet.len();
    let mut aligner =
        Aligner::new(model, Cpu::detect(), AlignerOptions::default()).map_err(|e| e.to_string())?;
    let audio = Audio { sample_rate: rate, channels: vec![samples] };
    let spans = aligner.align(&audio, &text).map_err(|e| e.to_string())?.labels;

    let axis = |title: &str| Panel::new(title, (0.0, seconds), (0.0, 1.0)).height(90.0).no_scale();
    let mut named = axis("phonemes as aligned, and the names of 250 ms chunks by their middles")
        .labels("seconds", "");
    for (index, span) in spans.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let centre = 0.5 * (span.start + span.end);
        named = named.band(span.start, span.end, colour).text(centre, 0.78, &span.text, colour);
    }
    let spoken: Vec<Spoken<'_>> = spans
        .iter()
        .map(|one| Spoken { start: one.start, end: one.end, name: one.text.as_str().into() })
        .collect();
    let options = FeatureOptions {
        frame_length: CHUNK[0],
        frame_shift: CHUNK[1],
        ..FeatureOptions::default()
    };
    let grid = FrameGrid::new(&options, 1);
    let frames = ((seconds - f64::from(CHUNK[0]) / 1000.0) / grid.hop) as usize + 1;
    let mut last = 0;
    for (frame, target) in
        frame_targets(&spoken, &heard.alphabet, grid, frames).into_iter().enumerate()
    {
        if target != last && target != 0 {
            let (from, to) = grid.middle(frame);
            let name = heard.alphabet.symbol(target).unwrap_or("?");
            named = named.text(0.5 * (from + to), 0.2, name, crate::plot::GREY);
        }
        last = target;
    }
    let sound = Panel::new("sound, log-mel", (0.0, seconds), (0.0, bins as f64))
        .labels("", "mel bin")
        .height(110.0)
        .frames(&mel, bins);
    let peaks = heard.panel("what the phoneme model says", &softmax(&heard.logits, labels));
    let alt =
        "A recording, the peaks of a phoneme model, the spans of its phonemes, names of chunks";
    Ok(vec![("alignment-spans", svg(alt, &[sound, peaks, named]))])
}
