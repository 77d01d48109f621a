//! What came out of a study: of each training, and of each cell over its seeds.

use std::path::Path;

use labyrinth_corpus::Manifest;
use labyrinth_text::score::UtteranceScore;
use labyrinth_text::{
    Comparison, ErrorCounts, Interval, PairedErrors, Units, compare, confidence_interval,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Job, Progress, Study, StudyFile};
use crate::error::TrainError;
use crate::evaluate::Seen;
use crate::report::History;

/// Seed of bootstraps: fixed, so that the same errors give the same figures.
const SEED: u64 = 1;

/// What one training gave.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// Place of its cell.
    pub cell: usize,
    /// Its seed.
    pub seed: u64,
    /// What its labels are: of phonemes the error rate is that of phonemes.
    pub units: Units,
    /// Whether it knew the utterances on which it was tried.
    pub seen: Option<Seen>,
    /// Errors of each utterance.
    pub utterances: Vec<UtteranceScore>,
    /// Share of the utterances whose frames are enough for CTC.
    pub feasible: f64,
    /// Seconds of computing for each second of audio, on one thread.
    pub real_time_factor: f64,
    /// Weights.
    pub parameters: usize,
    /// Seconds of training, where nothing was cut off.
    pub seconds: Option<f64>,
    /// Most memory that training held, in bytes.
    pub peak_memory: Option<u64>,
    /// What computed.
    pub machine: String,
    /// (train loss, dev loss, dev's error rate) of each epoch.
    pub epochs: Vec<[Option<f64>; 3]>,
}

/// What one cell gave over its seeds.
#[derive(Clone, Debug)]
pub struct CellResult {
    /// Its trainings that are done, by seed.
    pub runs: Vec<RunResult>,
    /// Word error rate over all of them.
    pub words: Option<f64>,
    /// Character error rate over all of them.
    pub characters: Option<f64>,
    /// 95 % interval of the word error rate: over speakers or utterances, with the seeds' errors added up.
    pub interval: Interval,
    /// Against the first cell, over the seeds that both have; `None` for the first itself, where there is no such
    /// seed, and where words would be compared with phonemes.
    pub against_first: Option<Comparison>,
}

/// What a study gave.
#[derive(Clone, Debug)]
pub struct StudyResult {
    /// In the order of the file.
    pub cells: Vec<CellResult>,
    /// Trainings that are not done.
    pub missing: usize,
}

fn total(utterances: &[UtteranceScore], of: fn(&UtteranceScore) -> ErrorCounts) -> ErrorCounts {
    utterances.iter().map(of).sum()
}

/// What the trial of one training left in its run directory: an evaluation as JSON, and what it was made of.
#[derive(Clone, Debug, Deserialize)]
pub struct Trial {
    /// [`Manifest::contents_digest`] of what it was tried on.
    pub contents: String,
    /// Digests of what it learnt from, with spaces between.
    pub train_digest: String,
    /// Digest of what its epoch was chosen by.
    pub dev_digest: String,
    /// Weights.
    pub parameters: usize,
    /// What computed, its CPU and its instruction set.
    cpu: String,
    instruction_set: String,
    /// Utterances with frames enough for CTC.
    feasible: usize,
    /// Whether the model knew what it was tried on.
    seen: Option<Seen>,
    speed: Speed,
    score: Score,
}

#[derive(Clone, Debug, Deserialize)]
struct Speed {
    real_time_factor: f64,
}

#[derive(Clone, Debug, Deserialize)]
struct Score {
    utterances: Vec<UtteranceScore>,
}

impl Trial {
    /// Reads one.
    ///
    /// # Errors
    /// [`TrainError`] where it is none.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let damaged = |error: String| TrainError::StudyRun {
            path: path.into(),
            reason: format!("is no trial of a study's model ({error})"),
            way_out: "remove it, and the study tries that model again",
        };
        let text = std::fs::read_to_string(path).map_err(|error| damaged(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))
    }
}

impl RunResult {
    /// `contents`: the digest of what the study's models are tried on.
    fn read(job: &Job, contents: &str) -> Result<Self, TrainError> {
        let path = job.evaluation();
        let trial = Trial::read(&path)?;
        if trial.contents != contents {
            return Err(TrainError::StudyRun {
                path,
                reason: "is the trial on another test set than the study's now".into(),
                way_out: "remove it, and the study tries that model again",
            });
        }
        let utterances = trial.score.utterances;
        let history = History::read(&job.run)?;
        let whole = history.seconds().filter(|(_, whole)| *whole);
        Ok(Self {
            cell: job.cell,
            seed: job.seed,
            units: job.recipe.data.units,
            seen: trial.seen,
            feasible: trial.feasible as f64 / utterances.len().max(1) as f64,
            real_time_factor: trial.speed.real_time_factor,
            parameters: trial.parameters,
            seconds: whole.map(|(seconds, _)| seconds),
            peak_memory: history.sessions.iter().filter_map(|session| session.peak_memory).max(),
            machine: format!("{}, {}", trial.cpu, trial.instruction_set),
            epochs: history
                .epochs
                .iter()
                .map(|epoch| [Some(epoch.train_loss), Some(epoch.dev_loss), epoch.error_rate])
                .collect(),
            utterances,
        })
    }

    /// Word error rate.
    pub fn words(&self) -> Option<f64> {
        total(&self.utterances, |score| score.words).rate()
    }

    /// Character error rate.
    pub fn characters(&self) -> Option<f64> {
        total(&self.utterances, |score| score.characters).rate()
    }

    /// One line of the study's log.
    pub fn to_json(&self, file: &StudyFile) -> Value {
        let phonemes = self.units == Units::Phonemes;
        let mut line = json!({
            "cell": file.cells[self.cell].name, "seed": self.seed, "utterances": self.utterances.len(), "feasible": self.feasible,
            "parameters": self.parameters, "seconds": self.seconds, "peak-memory": self.peak_memory,
            "real-time-factor": self.real_time_factor, "machine": self.machine,
        });
        let rate = if phonemes { "per" } else { "wer" };
        line[rate] = json!(self.words());
        if !phonemes {
            line["cer"] = json!(self.characters());
        }
        line[format!("epochs-train-loss-dev-loss-dev-{rate}")] = json!(self.epochs);
        line
    }
}

/// Errors of each utterance, added up over trainings of the same manifest.
fn added_up<'a>(runs: impl Iterator<Item = &'a RunResult>) -> Vec<(Option<String>, ErrorCounts)> {
    let mut sums: Vec<(Option<String>, ErrorCounts)> = Vec::new();
    for run in runs {
        if sums.is_empty() {
            let speakers = run.utterances.iter().map(|score| score.speaker.clone());
            sums = speakers.map(|speaker| (speaker, ErrorCounts::default())).collect();
        }
        for (sum, score) in sums.iter_mut().zip(&run.utterances) {
            sum.1 += score.words;
        }
    }
    sums
}

impl CellResult {
    fn of(runs: Vec<RunResult>, first: Option<&Self>) -> Self {
        let sum = |of: fn(&UtteranceScore) -> ErrorCounts| {
            runs.iter().map(|run| total(&run.utterances, of)).sum::<ErrorCounts>().rate()
        };
        let units = |runs: &[RunResult]| runs.first().map(|run| run.units.rate_name());
        let against_first = first.filter(|first| units(&first.runs) == units(&runs));
        let against_first = against_first.and_then(|first| {
            let has = |runs: &[RunResult], seed| runs.iter().any(|run| run.seed == seed);
            let mine = added_up(runs.iter().filter(|run| has(&first.runs, run.seed)));
            let theirs = added_up(first.runs.iter().filter(|run| has(&runs, run.seed)));
            let pairs = theirs.into_iter().zip(mine);
            let pairs: Vec<PairedErrors> =
                pairs.map(|((speaker, a), (_, b))| PairedErrors { speaker, a, b }).collect();
            (!pairs.is_empty()).then(|| compare(&pairs, SEED))
        });
        Self {
            words: sum(|score| score.words),
            characters: sum(|score| score.characters),
            interval: confidence_interval(&added_up(runs.iter()), SEED),
            against_first,
            runs,
        }
    }

    /// Least and greatest word error rate of its seeds.
    pub fn spread(&self) -> Option<(f64, f64)> {
        let rates = self.runs.iter().filter_map(RunResult::words);
        rates.fold(None, |spread, rate| match spread {
            None => Some((rate, rate)),
            Some((low, high)) => Some((low.min(rate), high.max(rate))),
        })
    }
}

impl StudyResult {
    pub(super) fn of(study: &Study) -> Result<Self, TrainError> {
        let contents = Manifest::read(&study.evaluate)?.contents_digest();
        let mut cells: Vec<CellResult> = Vec::new();
        let mut missing = 0;
        for place in 0..study.file.cells.len() {
            let mut runs = Vec::new();
            for job in study.jobs.iter().filter(|job| job.cell == place) {
                match job.progress() {
                    Progress::Done => runs.push(RunResult::read(job, &contents)?),
                    _ => missing += 1,
                }
            }
            let cell = CellResult::of(runs, cells.first());
            cells.push(cell);
        }
        Ok(Self { cells, missing })
    }

    /// What the error rate is called: PER where all that is done are models of phonemes, WER where none is, both
    /// where cells differ.
    pub fn rate_name(&self) -> &'static str {
        let of = |units: Units| self.runs().any(|run| run.units.rate_name() == units.rate_name());
        match (of(Units::Phonemes), of(Units::Words)) {
            (true, true) => "WER or PER",
            (true, false) => Units::Phonemes.rate_name(),
            (false, _) => Units::Words.rate_name(),
        }
    }

    /// Every training that is done, cell by cell.
    pub fn runs(&self) -> impl Iterator<Item = &RunResult> {
        self.cells.iter().flat_map(|cell| &cell.runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(units: Units, seed: u64, errors: &[usize]) -> RunResult {
        let utterances = errors.iter().enumerate().map(|(index, &errors)| UtteranceScore {
            id: index.to_string(),
            speaker: None,
            reference: String::new(),
            hypothesis: None,
            words: ErrorCounts { deletions: errors, reference: 4, ..ErrorCounts::default() },
            characters: ErrorCounts::default(),
        });
        RunResult {
            cell: 0,
            seed,
            units,
            seen: None,
            utterances: utterances.collect(),
            feasible: 1.0,
            real_time_factor: 0.1,
            parameters: 1,
            seconds: None,
            peak_memory: None,
            machine: String::new(),
            epochs: Vec::new(),
        }
    }

    #[test]
    fn only_the_same_seeds_and_units_are_compared() {
        let first = CellResult::of(vec![run(Units::Words, 1, &[1, 2, 0])], None);
        assert!(first.against_first.is_none());
        let of = |runs| CellResult::of(runs, Some(&first)).against_first;
        let letters = of(vec![run(Units::Characters, 1, &[2, 2, 0])]).unwrap();
        assert!((letters.difference - 1.0 / 12.0).abs() < 1e-12);
        assert!(of(vec![run(Units::Phonemes, 1, &[2, 2, 0])]).is_none());
        assert!(of(vec![run(Units::Words, 2, &[2, 2, 0])]).is_none());
        assert!(of(Vec::new()).is_none());
    }
}
