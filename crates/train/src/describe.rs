//! What a recipe or a model is, before it is run: layers, work, context, latency, and which utterances fit.

use std::path::Path;
use std::sync::Arc;

use labyrinth_corpus::{Infeasible, open_source};
use labyrinth_corpus::{Ledger, LoaderOptions, Reason, Source, plan_refusals, training_alphabet};
use labyrinth_nn::{ModelHeader, ModelOptions, NnError, Objective, Table};
use labyrinth_signal::{FeatureExtractor, FeatureOptions};
use labyrinth_text::{Alphabet, Lexicon, Normalizer, NormalizerOptions, Units};

use crate::data::Data;
use crate::error::TrainError;
use crate::recipe::Recipe;

/// Labels counted with where the alphabet is not known: 26 letters, space, apostrophe, and the blank.
pub const ASSUMED_LABELS: usize = 29;

/// What is described: all of a recipe or of a model file that its network depends on.
#[derive(Clone, Debug)]
pub struct Subject {
    /// From sound to frames.
    pub features: FeatureOptions,
    /// The network.
    pub model: ModelOptions,
    /// How transcripts are brought into one form.
    pub normalizer: NormalizerOptions,
    /// What a label stands for.
    pub units: Units,
    /// How words are spoken, where the labels are phonemes.
    pub lexicon: Option<Arc<Lexicon>>,
    /// Values of an output frame beside the first head's labels.
    pub beside: usize,
    /// What an output frame says.
    pub objective: Objective,
    /// The labels; a recipe's are known where its training manifests are there.
    pub alphabet: Option<Alphabet>,
}

impl Subject {
    /// A recipe's, with the alphabet of its training manifests where all of them can be read.
    ///
    /// Data that is not there yet is no fault.
    pub fn of_recipe(recipe: &Recipe) -> Self {
        let data = Data::read(recipe).ok();
        Self {
            features: recipe.features.clone(),
            model: recipe.model.clone(),
            normalizer: recipe.data.normalizer.clone(),
            units: recipe.data.units,
            lexicon: data.as_ref().and_then(|data| data.lexicon.clone()),
            beside: data.as_ref().map_or(0, |data| data.goal.outputs() - data.alphabet.len()),
            objective: recipe.train.loss,
            alphabet: data.map(|data| data.alphabet),
        }
    }

    /// Whether the data of a recipe, from which its labels come, can be read.
    ///
    /// # Errors
    /// What a training would say of them.
    pub fn data_of(recipe: &Recipe) -> Result<(), TrainError> {
        Data::read(recipe).map(|_| ())
    }

    /// A model's.
    pub fn of_header(header: ModelHeader) -> Self {
        let beside = header.outputs() - header.alphabet.len();
        Self {
            features: header.features,
            model: header.model,
            normalizer: header.normalizer,
            units: header.alphabet.units(),
            beside,
            objective: header.objective,
            lexicon: header.lexicon.map(Arc::new),
            alphabet: Some(header.alphabet),
        }
    }

    /// Takes the labels from a manifest where nothing has named them yet.
    ///
    /// # Errors
    /// A manifest that cannot be read.
    pub fn learn_alphabet(&mut self, manifest: &Path) -> Result<(), TrainError> {
        if self.alphabet.is_none() {
            let source = open_source(manifest, &|_, _| ())?;
            let normalizer = Normalizer::new(&self.normalizer)?;
            self.alphabet = Some(training_alphabet(
                [&*source],
                &normalizer,
                self.units,
                self.lexicon.as_deref(),
            )?);
        }
        Ok(())
    }

    /// Values of an output frame, the labels of all heads with their blanks: [`ASSUMED_LABELS`] where nothing names them.
    pub fn labels(&self) -> usize {
        self.alphabet.as_ref().map_or(ASSUMED_LABELS, Alphabet::len) + self.beside
    }

    /// The network for one utterance of `seconds`.
    ///
    /// # Errors
    /// [`TrainError::Network`] where the utterance is too short for a frame of the network.
    pub fn table(&self, seconds: f64) -> Result<Described, TrainError> {
        let extractor = FeatureExtractor::new(&self.features)?;
        let samples = (seconds * f64::from(extractor.sample_rate())).round() as usize;
        let (frames, dim) = (extractor.frame_count(samples), extractor.dim());
        if frames == 0 || self.model.output_frames(frames) == 0 {
            let fault = format!("{seconds} s give {frames} frames, too few for the network");
            return Err(NnError::Options(fault).into());
        }
        let sequence = self.model.build::<f32>(dim, self.labels())?;
        let table = Table::new(&sequence, frames, dim)?;
        Ok(Described { table, frames, dim, lookahead: extractor.lookahead() })
    }

    /// Which utterances of a manifest training could use with this network, from durations and transcripts alone, and
    /// why not the others.
    ///
    /// # Errors
    /// A manifest that cannot be read.
    pub fn plan(&self, manifest: &Path) -> Result<Ledger, TrainError> {
        let mut subject = self.clone();
        subject.learn_alphabet(manifest)?;
        let source: Arc<dyn Source> = open_source(manifest, &|_, _| ())?;
        let model = subject.model.clone();
        let options = LoaderOptions::evaluation(
            source,
            subject.features,
            Normalizer::new(&subject.normalizer)?,
            subject
                .alphabet
                .unwrap_or_else(|| Alphabet::from_transcripts(self.units, [""; 0].iter())),
            Arc::new(move |frames| model.output_frames(frames)),
        );
        let options =
            LoaderOptions { infeasible: Infeasible::Refuse, lexicon: subject.lexicon, ..options };
        Ok(plan_refusals(&options)?)
    }
}

/// A [`Subject`]'s network for one utterance.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// Its layers.
    pub table: Table,
    /// Feature frames of the utterance.
    pub frames: usize,
    /// Values of a feature frame.
    pub dim: usize,
    /// Frames by which the features themselves lag behind the sound.
    pub lookahead: usize,
}

/// How many utterances of a corpus CTC can learn at a network's time stride: those with a frame for each
/// label and one more between two equal neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feasibility {
    /// Utterances looked at.
    pub read: usize,
    /// Those with fewer frames than their labels need, or none at all.
    pub too_short: usize,
    /// Those that cannot be used for other reasons, whatever the stride.
    pub unusable: usize,
}

/// What a smaller stride could mend.
const TOO_SHORT: [Reason; 2] = [Reason::TooShortForCtc, Reason::ShorterThanAFrame];

impl Feasibility {
    /// What a ledger of planned refusals says.
    pub fn of(ledger: &Ledger) -> Self {
        let count = |reason| ledger.reasons().get(&reason).copied().unwrap_or(0);
        let too_short = TOO_SHORT.into_iter().map(count).sum();
        let unusable = ledger.refused_count() - too_short;
        Self { read: ledger.read_count(), too_short, unusable }
    }

    /// Whether utterances refused for this are counted as too short.
    pub fn counts(reason: Reason) -> bool {
        TOO_SHORT.contains(&reason)
    }

    /// Share of the usable utterances that are too short; 0 where none is usable.
    pub fn infeasible_share(&self) -> f64 {
        self.too_short as f64 / (self.read - self.unusable).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_corpus::Refusal;

    #[test]
    fn what_no_stride_could_mend_is_not_counted_against_it() {
        let mut ledger = Ledger::new();
        (0..6).for_each(|_| ledger.keep());
        for (id, reason) in [
            ("a", Reason::TooShortForCtc),
            ("b", Reason::ShorterThanAFrame),
            ("c", Reason::OutsideAlphabet),
            ("d", Reason::EmptyTranscript),
        ] {
            ledger.refuse(Refusal::new(id, reason, ""));
        }
        let feasibility = Feasibility::of(&ledger);
        assert_eq!(feasibility, Feasibility { read: 10, too_short: 2, unusable: 2 });
        assert_eq!(feasibility.infeasible_share(), 0.25);
    }
}
