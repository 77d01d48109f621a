//! Picture of the chapter on word error rates: speakers, and how rates scatter among resamples.

use std::collections::BTreeMap;

use labyrinth::signal::{Random, read_audio};
use labyrinth::text::{ErrorCounts, Normalizer, confidence_interval, word_errors};

use crate::plot::{BLUE, GREY, ORANGE, Panel, svg};
use crate::speech::Speech;

const RESAMPLES: usize = 10_000;

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let Some(mut recognizer) = speech.recognizer()? else { return Ok(Vec::new()) };
    let normalizer = Normalizer::new(&recognizer.header().normalizer).map_err(|e| e.to_string())?;
    let mut scored: Vec<(Option<String>, ErrorCounts)> = Vec::new();
    for utterance in &speech.manifest().utterances {
        let path = speech.manifest().audio_path(utterance);
        let audio = read_audio(&path, None).map_err(|e| e.to_string())?;
        let heard = recognizer.recognize(&audio).map_err(|e| e.to_string())?;
        let counts = word_errors(&normalizer.apply(&utterance.text), &heard.text).counts;
        scored.push((utterance.speaker.clone(), counts));
    }
    let interval = confidence_interval(&scored, 1);
    let total: ErrorCounts = scored.iter().map(|(_, counts)| *counts).sum();
    let whole = 100.0 * total.rate().unwrap_or(0.0);
    println!("{whole:.2} [{:.2}, {:.2}]", 100.0 * interval.low, 100.0 * interval.high);

    let mut speakers: BTreeMap<&str, ErrorCounts> = BTreeMap::new();
    for (speaker, counts) in &scored {
        *speakers.entry(speaker.as_deref().unwrap_or("?")).or_default() += *counts;
    }
    let rate = |counts: &ErrorCounts| 100.0 * counts.rate().unwrap_or(0.0);
    let last = speakers.len() as f64;
    let highest = speakers.values().map(rate).fold(0.0, f64::max);
    let top = (highest / 5.0).ceil() * 5.0 + 5.0;
    let mut each = Panel::new("WER of each of AN4's test speakers", (-0.5, last - 0.5), (0.0, top))
        .labels("", "%")
        .height(150.0)
        .no_places();
    let stems = speakers.values().enumerate().map(|(i, counts)| (i as f64, rate(counts)));
    each = each.line("all of them", ORANGE, vec![(-0.5, whole), (last - 0.5, whole)]);
    each = each.stems("a speaker", BLUE, stems.collect());
    for (i, (name, counts)) in speakers.iter().enumerate() {
        each = each.text(i as f64, rate(counts) + top * 0.04, name, GREY);
    }

    let right = 16.0;
    let mut hills =
        Panel::new("How often a resample had this WER, among 10,000", (0.0, right), (0.0, 0.22))
            .labels("WER, %", "share of resamples")
            .height(150.0);
    let by_speaker: Vec<ErrorCounts> = speakers.into_values().collect();
    let by_utterance: Vec<ErrorCounts> = scored.iter().map(|(_, counts)| *counts).collect();
    for (name, colour, units) in
        [("speakers drawn", BLUE, by_speaker), ("utterances drawn", GREY, by_utterance)]
    {
        hills = hills.line(name, colour, hill(&units, right));
    }
    hills = hills.band(100.0 * interval.low, 100.0 * interval.high, BLUE);
    let alt = "Word error rates of ten speakers, and the rates of resamples";
    Ok(vec![("wer-bootstrap", svg(alt, &[each, hills]))])
}

/// The share of resamples in each half of a percent.
fn hill(units: &[ErrorCounts], right: f64) -> Vec<(f64, f64)> {
    const STEP: f64 = 0.5;
    let mut random = Random::from_key(&[units.len() as u64]);
    let mut shares = vec![0.0; (right / STEP) as usize];
    for _ in 0..RESAMPLES {
        let drawn = (0..units.len()).map(|_| units[random.below(units.len() as u64) as usize]);
        let total: ErrorCounts = drawn.sum();
        let place = (100.0 * total.rate().unwrap_or(0.0) / STEP) as usize;
        if let Some(share) = shares.get_mut(place) {
            *share += 1.0 / RESAMPLES as f64;
        }
    }
    shares.iter().enumerate().map(|(i, share)| ((i as f64 + 0.5) * STEP, *share)).collect()
}
