//! The dev set as the best model hears it: where the letters fire, the worst utterances, what is taken for what.

use std::fmt::Write as _;
use std::path::Path;

use labyrinth_corpus::Manifest;
use labyrinth_corpus::clip::{ClipFault, read_clip};
use labyrinth_corpus::page::{Clip, escape};
use labyrinth_corpus::source::HELD_IN_MEMORY;
use labyrinth_decode::Recognizer;
use labyrinth_kernels::Cpu;
use labyrinth_text::Units;
use labyrinth_text::score::UtteranceScore;

use super::ROWS;
use super::charts::Chart;
use super::picture::{self, Seen};
use crate::error::TrainError;
use crate::evaluate::{Evaluation, evaluate};
use crate::recipe::Recipe;

/// Utterances with most errors that are shown, with their sound.
const WORST: usize = 12;
/// Utterances of which it is shown where the letters fire.
const PICTURES: usize = 3;
/// Utterances of a large dev set that are tried, taken evenly from it.
const TRIED: usize = 2000;

/// The dev set as the best model hears it.
pub(super) struct Tried {
    pub manifest: Manifest,
    /// Utterances of the whole set, of which `manifest` may be a part.
    pub of: usize,
    pub evaluation: Evaluation,
    pub recognizer: Recognizer,
}

impl Tried {
    /// Recognises the dev set with the best model, or tells why that cannot be.
    pub fn of_run(
        run: &Path,
        recipe: &Recipe,
        cpu: Cpu,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Result<Self, String>, TrainError> {
        let model = run.join("model.safetensors");
        if !model.exists() {
            return Ok(Err("no epoch was finished, so there is no model yet".into()));
        }
        let dev = &recipe.data.dev;
        if dev.metadata().is_ok_and(|file| file.len() > HELD_IN_MEMORY) {
            return Ok(Err("the dev set is too large to be tried again for a report".into()));
        }
        let mut manifest = match Manifest::read(dev) {
            Ok(manifest) => manifest,
            Err(error) => return Ok(Err(format!("the dev set was not tried again: {error}"))),
        };
        let of = manifest.utterances.len();
        if of > TRIED {
            let mut index = 0;
            manifest.utterances.retain(|_| {
                index += 1;
                // Evenly: where the whole part of the share rises.
                index * TRIED / of > (index - 1) * TRIED / of
            });
        }
        let cpu = cpu.with_precision(recipe.train.precision)?;
        let evaluation = evaluate(&model, &manifest, cpu, progress)?;
        let recognizer = Recognizer::open(&model, cpu)?;
        Ok(Ok(Self { manifest, of, evaluation, recognizer }))
    }

    /// All that a page shows of it.
    pub fn sections(&mut self, html: &mut String) -> Result<(), TrainError> {
        self.fire(html)?;
        self.worst(html)?;
        self.confusions(html);
        self.lengths(html);
        Ok(())
    }

    /// Some recordings as the model sees them: the worst, one in the middle, the best.
    fn fire(&mut self, html: &mut String) -> Result<(), TrainError> {
        let mut order: Vec<usize> = (0..self.evaluation.score.utterances.len())
            .filter(|&index| self.evaluation.score.utterances[index].hypothesis.is_some())
            .collect();
        if order.is_empty() {
            return Ok(());
        }
        let rate = |index: &usize| {
            let words = &self.evaluation.score.utterances[*index].words;
            (words.rate().unwrap_or(0.0), words.reference)
        };
        // Of those without errors a long one is the better example.
        order.sort_by(|a, b| {
            let ((a, long_a), (b, long_b)) = (rate(a), rate(b));
            b.total_cmp(&a).then(long_a.cmp(&long_b))
        });
        let last = order.len() - 1;
        let mut chosen: Vec<usize> =
            (0..PICTURES).map(|place| order[last * place / (PICTURES - 1)]).collect();
        chosen.dedup();
        html.push_str(
            "<h2 id=\"letters\">Where the letters fire</h2><p class=\"soft\">Features as the network sees them, \
             and below over the same time how probable it finds each label. A letter stands at its peak; \
             the dotted line is the blank, or silence.</p>",
        );
        for index in chosen {
            self.picture(index, html)?;
        }
        Ok(())
    }

    /// The utterances with most errors, to hear and to read.
    fn worst(&mut self, html: &mut String) -> Result<(), TrainError> {
        let worst = self.evaluation.worst(WORST);
        if worst.is_empty() {
            return Ok(());
        }
        html.push_str("<h2 id=\"worst\">The worst</h2>");
        for utterance in worst {
            self.listen(utterance, html)?;
        }
        Ok(())
    }

    /// Which words were taken for which.
    fn confusions(&self, html: &mut String) {
        let evaluation = &self.evaluation;
        if evaluation.confusions.is_empty() {
            return;
        }
        html.push_str(
            "<h2 id=\"confusions\">Taken for others</h2><div class=\"card scroll\"><table>\
             <tr><th>said</th><th>heard</th><th class=\"number\">times</th></tr>",
        );
        for (said, heard, times) in evaluation.confusions.iter().take(ROWS) {
            let _ = write!(
                html,
                "<tr><td><bdi>{}</bdi></td><td><bdi>{}</bdi></td><td class=\"number\">{times}</td></tr>",
                escape(said),
                escape(heard)
            );
        }
        html.push_str("</table></div>");
    }

    /// Errors over length.
    fn lengths(&self, html: &mut String) {
        let Self { evaluation, manifest, .. } = self;
        let utterances = evaluation.score.utterances.iter().zip(&manifest.utterances);
        let dots = utterances.filter_map(|(score, utterance)| {
            let rate = 100.0 * score.words.rate()?;
            let seconds = utterance.duration;
            Some((seconds, rate, format!("{}: {rate:.0} % of {seconds:.1} s", score.id)))
        });
        html.push_str("<h2 id=\"lengths\">Length and error</h2><div class=\"charts\">");
        *html += &Chart {
            title: "Errors in each utterance",
            across: "seconds",
            up: "percent",
            lines: Vec::new(),
            band: Vec::new(),
            dots: dots.collect(),
            ceiling: Some(100.0),
        }
        .to_html();
        html.push_str("</div>");
    }

    /// Features and posteriors of one utterance.
    fn picture(&mut self, index: usize, html: &mut String) -> Result<(), TrainError> {
        let utterance = &self.manifest.utterances[index];
        let audio = match read_clip(self.manifest.folder(), utterance) {
            Ok(audio) => audio,
            Err(ClipFault::Refused { .. }) => return Ok(()),
            Err(ClipFault::Disk { path, source }) => return Err(TrainError::Disk { path, source }),
        };
        let labels = self.recognizer.header().alphabet.len();
        let outputs = self.recognizer.header().outputs();
        // Of several heads the first.
        let logits: Vec<f32> = self
            .recognizer
            .logits(&audio)?
            .chunks_exact(outputs)
            .flat_map(|frame| &frame[..labels])
            .copied()
            .collect();
        let header = self.recognizer.header();
        let (features, dim) = self.recognizer.features();
        let shift = f64::from(header.features.frame_shift) / 1000.0;
        let seen = Seen {
            features,
            dim,
            logits: &logits,
            stride: header.model.time_stride(),
            alphabet: &header.alphabet,
            shift,
        };
        let score = &self.evaluation.score.utterances[index];
        html.push_str("<article class=\"card\">");
        said_and_heard(score, self.evaluation.units, html);
        *html += &seen.to_html();
        if features.len() / dim > picture::FRAMES {
            let seconds = picture::FRAMES as f64 * shift;
            let _ = write!(html, "<p class=\"soft\">The first {seconds:.0} s of it.</p>");
        }
        html.push_str("</article>");
        Ok(())
    }

    /// One utterance to hear and read.
    fn listen(&self, score: &UtteranceScore, html: &mut String) -> Result<(), TrainError> {
        let found = self.manifest.utterances.iter().find(|utterance| utterance.id == score.id);
        html.push_str("<article class=\"card suspect\"><div>");
        let clip = match found.map(|utterance| read_clip(self.manifest.folder(), utterance)) {
            Some(Ok(audio)) => Some(Clip::of(&audio, 0.0)),
            Some(Err(ClipFault::Disk { path, source })) => {
                return Err(TrainError::Disk { path, source });
            }
            _ => None,
        };
        match clip {
            Some(clip) => {
                *html += &clip.waveform();
                *html += &clip.player();
            }
            None => html.push_str("<div class=\"mute\">there is no sound to play</div>"),
        }
        html.push_str("</div><div>");
        said_and_heard(score, self.evaluation.units, html);
        html.push_str("</div></article>");
        Ok(())
    }
}

/// The id, what was said, what was heard.
fn said_and_heard(score: &UtteranceScore, units: Units, html: &mut String) {
    let counted = if units == Units::Phonemes { "phonemes" } else { "words" };
    let speaker = score.speaker.as_ref().map(|name| format!(", speaker {}", escape(name)));
    let _ = write!(
        html,
        "<small><bdi>{}</bdi>{}, {} errors, {} {counted} said</small>\
         <p class=\"said\"><bdi>{}</bdi></p><p class=\"heard-as\"><bdi>{}</bdi></p>",
        escape(&score.id),
        speaker.unwrap_or_default(),
        score.words.errors(),
        score.words.reference,
        escape(&score.reference),
        match &score.hypothesis {
            Some(text) if text.is_empty() => "<i>nothing</i>".to_owned(),
            Some(text) => escape(text),
            None => "<i>its recording could not be used</i>".to_owned(),
        }
    );
}
