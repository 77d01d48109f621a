//! The training loop, on one screen (`Training::epoch`), and what it needs around it.
//!
//! For each batch: features through the network to logits, the objective to a loss and the gradient of the
//! logits, back through the network to the gradient of every weight, one step of AdamW. After
//! each epoch the dev set is recognised, and the best model so far is kept.

mod begin;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use labyrinth_corpus::atomic::write_atomically;
use labyrinth_corpus::{Batch, Ledger, Loader};
use labyrinth_kernels::Cpu;
use labyrinth_kernels::optimizer::{AdamW, adamw_step, gradient_norm};
use labyrinth_nn::model_file::{DataRecord, FORMAT, TrainingRecord};
use labyrinth_nn::{Memory, Mode, ModelFile, ModelHeader, Network, Objective, Parameters};
use labyrinth_text::Alphabet;
use serde_json::json;

use crate::average::Average;
use crate::checkpoint::{self, Best, Standing, Tensors};
use crate::data::Data;
use crate::dev_score::{DevScore, dev_rate_key, score_dev};
use crate::error::TrainError;
use crate::objective::BatchLoss;
use crate::recipe::Recipe;
use crate::run_directory::RunDirectory;
use crate::schedule::OneCycle;
use crate::sessions;
use crate::weight_noise::disturb;

/// Steps in a row without a finite gradient after which the training gives up.
const GIVE_UP_AFTER: u64 = 20;
/// Steps between two lines of the run log.
const LOG_EVERY: u64 = 10;

/// What to train, and with what; only `recipe` and `cpu` can change the result.
pub struct TrainOptions {
    /// The recipe, with manifests that do not depend on the current folder.
    pub recipe: Recipe,
    /// The recipe as the model file should show it.
    pub recipe_text: String,
    /// The run directory.
    pub run: PathBuf,
    /// Go on where the run directory's newest checkpoint ends.
    pub resume: bool,
    /// Resume although the instruction set is another one.
    pub anyway: bool,
    /// Which instruction set computes; the precision is the recipe's.
    pub cpu: Cpu,
    /// Loader threads.
    pub workers: usize,
}

/// What a training tells while it runs.
pub enum Event<'a> {
    /// Before the first step.
    Started {
        /// What was read, kept and refused.
        ledger: &'a Ledger,
        /// Hours of audio to train on.
        hours: f64,
        /// Weights.
        parameters: usize,
        /// The labels.
        alphabet: &'a Alphabet,
        /// About how many steps an epoch has.
        steps_per_epoch: u64,
        /// The instruction set and precision.
        instruction_set: Cpu,
        /// The step from which the run goes on, if it does.
        resumed_at: Option<u64>,
    },
    /// After a step.
    Step {
        /// Steps done.
        step: u64,
        /// The current epoch, from 0.
        epoch: u64,
        /// Share of the whole training done.
        progress: f64,
        /// CTC loss per label of this batch.
        loss: f64,
        /// Learning rate of this step.
        learning_rate: f64,
        /// Seconds of audio in this batch.
        seconds: f64,
    },
    /// After an epoch and the recognition of the dev set.
    Validated {
        /// Epochs done.
        epoch: u64,
        /// Mean training loss per label.
        train_loss: f64,
        /// What the dev set gave.
        dev: &'a DevScore,
        /// Whether this is the best epoch so far.
        best: bool,
    },
    /// Something worth a line.
    Note(&'a str),
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The best model.
    pub model: PathBuf,
    /// Epochs done when it was best.
    pub best_epoch: u64,
    /// Its error rate on dev, in words or phonemes; `None` where nobody says one there.
    pub dev_error_rate: Option<f64>,
    /// What that is called: WER or PER.
    pub rate_name: &'static str,
    /// Steps done.
    pub steps: u64,
    /// Of these, the ones left out because their gradient was no number.
    pub skipped: u64,
    /// Seconds this process spent.
    pub seconds: f64,
    /// Of these, the ones in which training waited for the loader.
    pub waited: f64,
    /// Utterances read, kept, refused.
    pub ledger: Ledger,
}

/// A training under way.
struct Training {
    options: TrainOptions,
    run: RunDirectory,
    /// When this process began.
    start: Instant,
    data: Data,
    network: Network<f32>,
    gradients: Vec<f32>,
    first_moment: Parameters<f32>,
    second_moment: Parameters<f32>,
    average: Option<Average>,
    memory: Memory<f32>,
    standing: Standing,
    ledger: Ledger,
    /// Utterances to train on, as planned before the first step.
    planned: usize,
    /// And hours of them.
    hours: f64,
    /// The line of the run log that tells what was taken from the model that the training began with.
    beginning: Option<serde_json::Value>,
}

/// Trains a recipe, telling `tell` what happens.
pub fn train(
    mut options: TrainOptions,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Summary, TrainError> {
    let start = Instant::now();
    options.cpu = options.cpu.with_precision(options.recipe.train.precision)?;
    let (mut training, mut loader) = Training::prepare(options, start, tell)?;
    while training.standing.position.epoch < training.options.recipe.train.epochs {
        training.epoch(&mut loader, tell)?;
    }
    training.finish(&loader)
}

impl Training {
    /// One pass over the data, from wherever the training stands.
    fn epoch(
        &mut self,
        loader: &mut Loader,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), TrainError> {
        let epoch = self.standing.position.epoch;
        self.thaw(epoch);
        while let Some(batch) = loader.next_batch()? {
            self.note_refusals(&batch)?;
            let epochs = self.options.recipe.train.epochs;
            let progress = (epoch as f64 + batch.begins) / epochs as f64;
            let (loss, learning_rate) = self.step(&batch, progress)?;
            self.standing.position = loader.position();
            let (step, seconds) = (self.standing.step, batch.seconds);
            tell(Event::Step { step, epoch, progress, loss, learning_rate, seconds });
            if step.is_multiple_of(self.options.recipe.train.checkpoint_every) {
                self.checkpoint()?;
            }
        }
        if self.ledger.kept_count() == 0 {
            return Err(TrainError::nothing_to_use(
                self.options.recipe.data.train.first(),
                &self.ledger,
            ));
        }
        self.standing.position = loader.position();
        self.validate(epoch + 1, tell)
    }

    /// One step: forward, loss, backward, update. Returns the loss per label and the rate.
    fn step(&mut self, batch: &Batch, progress: f64) -> Result<(f64, f64), TrainError> {
        let train = &self.options.recipe.train;
        let (cpu, network) = (self.options.cpu, &mut self.network);
        let schedule = OneCycle { peak: train.learning_rate, warm_up: train.warm_up };
        let learning_rate = schedule.rate(progress);
        self.standing.step += 1;
        if batch.is_empty() {
            return Ok((0.0, learning_rate)); // every utterance of it was refused
        }
        let epoch = self.standing.position.epoch;
        let undisturbed = (train.weight_noise > 0.0).then(|| {
            let options = network.options().clone();
            let learns = |name: &str| train.stage(options.stage_of(name)).frozen_epochs <= epoch;
            let key = [train.seed, self.standing.step];
            disturb(&mut network.parameters, train.weight_noise, key, learns)
        });
        // Features → logits [frames', labels] → loss and its gradient → gradients of all weights.
        let mode = Mode::Training { key: train.seed.wrapping_shl(40) ^ self.standing.step };
        network.forward(cpu, mode, &batch.features, &batch.lengths, &mut self.memory)?;
        let BatchLoss { loss, faulty, passed_over } =
            self.data.goal.loss(cpu, batch, &mut self.memory)?;
        self.standing.passed_over += passed_over as u64;
        self.gradients.fill(0.0);
        network.backward(cpu, mode, &batch.features, &mut self.gradients, &mut self.memory)?;
        if let Some(undisturbed) = undisturbed {
            network.parameters.values = undisturbed;
        }
        let norm = gradient_norm(cpu, &self.gradients);
        if !(norm.is_finite() && loss.is_finite()) {
            // No one utterance is to blame where only the gradient overflowed.
            let ids = if faulty.is_empty() { batch.ids.clone() } else { faulty };
            self.skip(&ids, norm)?;
            return Ok((loss, learning_rate));
        }
        self.standing.skipped_in_a_row = 0;
        network.update_buffers(&self.memory)?;
        // Clipping scales the whole gradient down to the norm `clip` (Pascanu et al. 2013).
        let gradient_scale = (train.clip / norm).min(1.0);
        for index in 0..network.parameters.specs().len() {
            let range = network.parameters.range(index);
            let spec = &network.parameters.specs()[index];
            let (stage, decay) = (network.options().stage_of(&spec.name), spec.decay);
            let options = train.stage(stage);
            if options.frozen_epochs > epoch {
                continue; // its gradient is 0, but decay and the moments of the past would move it
            }
            let thawed = self.standing.thawed.get(stage).copied().unwrap_or(0);
            let rule = AdamW {
                learning_rate: learning_rate * options.rate,
                weight_decay: if decay { train.weight_decay } else { 0.0 },
                ..AdamW::default()
            };
            adamw_step(
                cpu,
                &mut network.parameters.values[range.clone()],
                &self.gradients[range.clone()],
                &mut self.first_moment.values[range.clone()],
                &mut self.second_moment.values[range],
                &rule,
                self.standing.step - self.standing.skipped - thawed,
                gradient_scale,
            )?;
        }
        if let Some(average) = &mut self.average {
            average.add(network, self.standing.step - self.standing.skipped);
        }
        let utterances = batch.ids.len() as u64;
        self.standing.loss_utterances += utterances;
        self.standing.loss_bits =
            (f64::from_bits(self.standing.loss_bits) + loss * utterances as f64).to_bits();
        if self.standing.step.is_multiple_of(LOG_EVERY) {
            self.run.log(&json!({
                "event": "step", "step": self.standing.step,
                "epoch": self.standing.position.epoch, "loss": loss,
                "learning-rate": learning_rate, "gradient-norm": norm,
            }))?;
        }
        Ok((loss, learning_rate))
    }

    /// Freezes the stages that the recipe keeps as they are in this epoch, and trains the others. A stage
    /// that thaws begins with moments of zeros, so AdamW counts its steps from here on.
    fn thaw(&mut self, epoch: u64) {
        let train = &self.options.recipe.train;
        self.network.freeze(|stage| train.stage(stage).frozen_epochs > epoch);
        for (name, stage) in &train.stages {
            if stage.frozen_epochs > 0 && stage.frozen_epochs <= epoch {
                let steps = self.standing.step - self.standing.skipped;
                self.standing.thawed.entry(name.clone()).or_insert(steps);
            }
        }
    }

    /// Recognises the dev set, keeps the model where it is the best so far, saves the standing. Where weights are
    /// averaged, it is their mean that is tried and kept.
    fn validate(&mut self, epoch: u64, tell: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        self.exchange_average();
        let workers = self.options.workers;
        let train = &self.options.recipe.train;
        let dev = score_dev(
            &self.data,
            train,
            workers,
            self.options.cpu,
            &self.network,
            &mut self.memory,
        )?;
        if dev.ledger.refused_count() > 0 && !self.run.dev_ledger().exists() {
            let note = format!("dev: {}; they count as all deletions", dev.ledger);
            tell(Event::Note(&note));
            dev.ledger.write(&self.run.dev_ledger())?;
        }
        let utterances = self.standing.loss_utterances.max(1) as f64;
        let train_loss = f64::from_bits(self.standing.loss_bits) / utterances;
        let best = self.standing.best.is_none_or(|best| {
            let known = (best.word_errors, f64::from_bits(best.loss_bits));
            dev.words.errors() < known.0 || (dev.words.errors() == known.0 && dev.loss < known.1)
        });
        if best {
            let word_errors = dev.words.errors();
            self.standing.best = Some(Best { epoch, word_errors, loss_bits: dev.loss.to_bits() });
            self.write_model(epoch, &dev)?;
        }
        self.exchange_average();
        let mut line = json!({
            "event": "epoch", "epoch": epoch, "step": self.standing.step,
            "train-loss": train_loss, "blank-share": dev.blank_share, "best": best,
            "skipped-steps": self.standing.skipped,
        });
        for (name, score) in dev.named_scores() {
            line[name] = json!(score);
        }
        if let Some(interval) = &dev.interval {
            line["dev-interval"] = json!([interval.low, interval.high]);
        }
        let passed_over = std::mem::take(&mut self.standing.passed_over);
        if passed_over > 0 {
            line["passed-over"] = json!(passed_over);
            if epoch == 1 {
                let what = match self.data.goal.objective {
                    Objective::Ctc => {
                        "targets of auxiliary-phonemes do not exist (a word that its lexicon lacks, or \
                         more phonemes than frames): the first head learns from these utterances alone"
                    }
                    Objective::Framewise => {
                        "frames have labels outside the alphabet and are passed over by the loss"
                    }
                };
                tell(Event::Note(&format!("{passed_over} {what}")));
            }
        }
        self.run.log(&line)?;
        (self.standing.loss_bits, self.standing.loss_utterances) = (0f64.to_bits(), 0);
        self.checkpoint()?;
        tell(Event::Validated { epoch, train_loss, dev: &dev, best });
        Ok(())
    }

    /// Puts the mean of the weights in their place, and back again.
    fn exchange_average(&mut self) {
        if let Some(average) = &mut self.average {
            average.exchange(&mut self.network);
        }
    }

    fn checkpoint(&mut self) -> Result<(), TrainError> {
        self.standing.log_length = self.run.log_length()?;
        let tensors = Tensors {
            parameters: &mut self.network.parameters,
            buffers: &mut self.network.buffers,
            first_moment: &mut self.first_moment,
            second_moment: &mut self.second_moment,
            average: self.average.as_mut().map(Average::tensors),
        };
        checkpoint::write(&self.run.checkpoints(), &self.standing, &tensors)?;
        sessions::saved(self.run.path(), self.standing.step, self.start.elapsed().as_secs_f64())
    }

    fn write_model(&self, epoch: u64, dev: &DevScore) -> Result<(), TrainError> {
        let recipe = &self.options.recipe;
        let header = ModelHeader {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").into(),
            features: recipe.features.clone(),
            normalizer: recipe.data.normalizer.clone(),
            alphabet: self.data.alphabet.clone(),
            lexicon: self.data.lexicon.as_deref().cloned(),
            objective: self.data.goal.objective,
            track: self.data.track.clone(),
            auxiliary: self.data.goal.auxiliary.iter().map(|one| one.head.clone()).collect(),
            model: recipe.model.clone(),
            data: DataRecord {
                train_digest: self.data.train_digest.clone(),
                dev_digest: self.data.dev_digest.clone(),
                train_utterances: self.planned,
                train_hours: self.hours,
            },
            training: TrainingRecord {
                recipe: self.options.recipe_text.clone(),
                seed: recipe.train.seed,
                instruction_set: self.standing.instruction_set.clone(),
                epoch,
                step: self.standing.step,
                pretrained_digest: self.standing.pretrained_digest.clone(),
            },
            scores: dev.named_scores().into_iter().collect(),
            weights_digest: String::new(),
        };
        let bytes = ModelFile::to_bytes(&header, &self.network)?;
        let path = self.run.model();
        write_atomically(&path, |file| file.write_all(&bytes)).map_err(TrainError::write(&path))
    }

    /// Enters what the loader could not use, once for each utterance.
    fn note_refusals(&mut self, batch: &Batch) -> Result<(), TrainError> {
        let mut changed = false;
        for refusal in &batch.refused {
            changed |= self.ledger.refuse_kept(refusal.clone());
        }
        if changed { self.write_ledger() } else { Ok(()) }
    }

    fn write_ledger(&self) -> Result<(), TrainError> {
        Ok(self.ledger.write(&self.run.ledger())?)
    }

    /// Leaves a step out whose gradient is no number; too many in a row end the training.
    fn skip(&mut self, ids: &[String], norm: f64) -> Result<(), TrainError> {
        self.standing.skipped += 1;
        self.standing.skipped_in_a_row += 1;
        self.run.log(&json!({
            "event": "skipped", "step": self.standing.step, "ids": ids,
            "gradient-norm": norm.to_string(),
        }))?;
        if self.standing.skipped_in_a_row < GIVE_UP_AFTER {
            return Ok(());
        }
        Err(TrainError::Diverged {
            count: self.standing.skipped_in_a_row,
            step: self.standing.step,
            ids: ids.join(", "),
            // Weights that never moved were not driven away by their learning rate.
            remedy: match self.standing.skipped < self.standing.step {
                true => {
                    "lower learning-rate in [train] and begin again in another folder with --run"
                }
                false => {
                    "no step before was finite either, so look at these recordings and at \
                     [features], such as normalize and use-log-fbank"
                }
            },
        })
    }

    fn finish(self, loader: &Loader) -> Result<Summary, TrainError> {
        let best = self.standing.best;
        let model = ModelFile::read(&self.run.model())?;
        let (seconds, waited) = (self.start.elapsed().as_secs_f64(), loader.waited().as_secs_f64());
        sessions::ended(self.run.path(), self.standing.step, seconds, waited)?;
        let units = self.data.alphabet.units();
        Ok(Summary {
            model: self.run.model(),
            best_epoch: best.map_or(0, |best| best.epoch),
            dev_error_rate: model.header.scores.get(dev_rate_key(units)).copied(),
            rate_name: units.rate_name(),
            steps: self.standing.step,
            skipped: self.standing.skipped,
            seconds,
            waited,
            ledger: self.ledger,
        })
    }
}
