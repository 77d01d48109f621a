//! Picture of the chapter on CTC: what a network is told to say when it knows nothing, and when it has learnt.

use labyrinth::kernels::{Cpu, ctc};
use labyrinth::signal::Audio;
use labyrinth::text::{Alphabet, Normalizer};

use crate::plot::{BLUE, GREEN, GREY, ORANGE, PURPLE, Panel, svg};
use crate::speech::{Recording, Speech};

/// Colours of letters, in turns.
const LETTERS: [&str; 4] = [BLUE, ORANGE, GREEN, PURPLE];

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let Some(heard) = Heard::new(speech, "an406-fcaw-b")? else { return Ok(Vec::new()) };
    let labels = heard.alphabet.len();
    let nothing = vec![0.0; heard.logits.len()];
    let panels = [
        heard.panel("γ of a network that knows nothing", &posteriors(&nothing, labels, &heard)?),
        heard.panel("γ of the trained network", &posteriors(&heard.logits, labels, &heard)?),
        heard.panel("what the trained network says by itself", &softmax(&heard.logits, labels)),
    ];
    let [one, two, three] = panels;
    let three = three.labels("seconds", "probability");
    let alt = "Posteriors of labels over time, without knowledge, with the transcript, without it";
    Ok(vec![("ctc-posteriors", svg(alt, &[one, two, three]))])
}

/// One recording as a CTC model hears it.
pub struct Heard {
    pub alphabet: Alphabet,
    pub target: Vec<u32>,
    /// `[frames, labels]`
    pub logits: Vec<f64>,
    /// Seconds from one frame to the next.
    pub hop: f64,
}

impl Heard {
    /// The recording with this id through the model of `--model`; none without a model.
    pub fn new(speech: &Speech, id: &str) -> Result<Option<Self>, String> {
        let Some(mut recognizer) = speech.recognizer()? else { return Ok(None) };
        let Recording { text, samples, rate } = speech.recording(id)?;
        let audio = Audio { sample_rate: rate, channels: vec![samples] };
        let logits = recognizer.logits(&audio).map_err(|e| e.to_string())?;
        let logits = logits.iter().map(|&logit| f64::from(logit)).collect();
        let header = recognizer.header();
        let normalizer = Normalizer::new(&header.normalizer).map_err(|e| e.to_string())?;
        let alphabet = header.alphabet.clone();
        let mut text = normalizer.apply(&text);
        if let Some(lexicon) = &header.lexicon {
            text = lexicon.pronounce(&text).map_err(|e| e.to_string())?;
        }
        let target = alphabet.encode(&text).map_err(|e| e.to_string())?;
        Ok(Some(Self { alphabet, target, logits, hop: header.frame_times().1 }))
    }

    /// `values` `[frames, labels]` as curves over time, with a letter over each peak of a letter.
    pub fn panel(&self, title: &str, values: &[f64]) -> Panel {
        let labels = self.alphabet.len();
        let frames = values.len() / labels;
        let time = |frame: usize| (frame as f64 + 0.5) * self.hop;
        let mut panel = Panel::new(title, (0.0, frames as f64 * self.hop), (0.0, 1.15))
            .labels("", "probability")
            .height(130.0);
        let curve = |label: usize| {
            let value = |frame: usize| values[frame * labels + label];
            (0..frames).map(move |frame| (time(frame), value(frame))).collect::<Vec<_>>()
        };
        panel = panel.line("blank", GREY, curve(0));
        // What should be said, and what is.
        let best = values.chunks(labels).map(|frame| {
            let order = |a: &usize, b: &usize| frame[*a].total_cmp(&frame[*b]);
            (0..labels).max_by(order).unwrap_or(0) as u32
        });
        let shown: Vec<u32> = self.target.iter().copied().chain(best.filter(|&k| k != 0)).collect();
        let mut seen: Vec<u32> = Vec::new();
        for &label in &shown {
            if seen.contains(&label) {
                continue;
            }
            let colour = LETTERS[seen.len() % LETTERS.len()];
            seen.push(label);
            panel = panel.line("", colour, curve(label as usize));
            let name = self.alphabet.symbol(label).unwrap_or("?");
            let name = if name == " " { "␣" } else { name };
            for frame in 1..frames - 1 {
                let at = |frame: usize| values[frame * labels + label as usize];
                let peak = at(frame) > at(frame - 1) && at(frame) >= at(frame + 1);
                if peak && at(frame) > 0.3 {
                    panel = panel.text(time(frame), at(frame) + 0.04, name, colour);
                }
            }
        }
        panel
    }
}

/// γ: the softmax minus the gradient.
fn posteriors(logits: &[f64], labels: usize, heard: &Heard) -> Result<Vec<f64>, String> {
    let mut gradient = vec![0.0; logits.len()];
    ctc::ctc_utterance(
        Cpu::detect(),
        logits,
        labels,
        &heard.target,
        1.0,
        Some(&mut gradient),
        &mut ctc::CtcScratch::default(),
    )
    .map_err(|e| e.to_string())?;
    Ok(softmax(logits, labels).iter().zip(&gradient).map(|(y, g)| y - g).collect())
}

/// Each frame's probabilities.
pub fn softmax(logits: &[f64], labels: usize) -> Vec<f64> {
    let mut out = vec![0.0; logits.len()];
    // Whole rows of this width by construction.
    ctc::log_softmax(Cpu::detect(), logits, labels, &mut out).expect("whole rows");
    out.iter().map(|value| value.exp()).collect()
}
