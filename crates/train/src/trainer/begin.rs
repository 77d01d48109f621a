//! What stands before a training's first step: data, network and weights, from the recipe or from a checkpoint.

use std::collections::BTreeMap;
use std::time::Instant;

use labyrinth_corpus::source::HELD_IN_MEMORY;
use labyrinth_corpus::{Ledger, Loader, Position};
use labyrinth_nn::foreign::{file_digest, parse_tensors, read_bytes};
use labyrinth_nn::pretrained::load_resnet;
use labyrinth_nn::{Memory, ModelFile, ModelOptions, Network};
use serde_json::json;

use super::{Event, TrainOptions, Training};
use crate::average::Average;
use crate::checkpoint::{self, Standing, Tensors};
use crate::data::Data;
use crate::describe::Feasibility;
use crate::error::TrainError;
use crate::from_model::{OUTPUT_BIAS, begin_from};
use crate::recipe::Recipe;
use crate::run_directory::RunDirectory;
use crate::sessions;

impl Training {
    /// Builds everything, or restores it from the newest checkpoint.
    pub(super) fn prepare(
        options: TrainOptions,
        start: Instant,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(Self, Loader), TrainError> {
        let recipe = &options.recipe;
        for one in recipe.data.train.manifests() {
            if one.manifest.metadata().is_ok_and(|file| file.len() > HELD_IN_MEMORY) {
                let path = one.manifest.display();
                let note =
                    format!("reading {path} once: for its index, its alphabet, its refusals");
                tell(Event::Note(&note));
            }
        }
        let data = Data::read(recipe)?;
        let mut network =
            Network::new(&recipe.model, data.dim, data.goal.outputs(), recipe.train.seed)?;
        // Before the run directory is made: weights that do not fit leave nothing behind. Notes are told once
        // nothing can be refused any more: a refusal is one sentence.
        let mut notes = data.notes.clone();
        let (mut pretrained_digest, mut beginning) = (String::new(), None);
        if !options.resume {
            let mut note = |event: Event<'_>| {
                if let Event::Note(note) = event {
                    notes.push(note.to_owned());
                }
            };
            (pretrained_digest, beginning) = begin_with(recipe, &data, &mut network, &mut note)?;
        }
        let (ledger, hours) = data.plan(&recipe.train)?;
        if ledger.kept_count() == 0 {
            return Err(TrainError::nothing_to_use(recipe.data.train.first(), &ledger));
        }
        let feasibility = Feasibility::of(&ledger);
        if feasibility.infeasible_share() > 0.5 {
            let stride = recipe.model.time_stride();
            return Err(TrainError::Infeasible { feasibility, stride });
        }
        if feasibility.too_short > 0 {
            let note = format!(
                "{:.1} % of the training data ({} of {} utterances) have fewer frames than labels at the time \
                 stride of {} and are left out",
                100.0 * feasibility.infeasible_share(),
                feasibility.too_short,
                feasibility.read - feasibility.unusable,
                recipe.model.time_stride()
            );
            notes.push(note);
        }
        let run = RunDirectory::open(&options.run, recipe, options.resume)?;
        let zeros = || {
            let mut zeros = network.parameters.clone();
            zeros.values.fill(0.0);
            zeros
        };
        let standing = Standing {
            step: 0,
            position: Position::default(),
            loss_bits: 0f64.to_bits(),
            loss_utterances: 0,
            skipped: 0,
            skipped_in_a_row: 0,
            best: None,
            instruction_set: options.cpu.isa().to_string(),
            train_digest: data.train_digest.clone(),
            dev_digest: data.dev_digest.clone(),
            recordings_digest: data.recordings.digest(),
            pretrained_digest,
            thawed: BTreeMap::new(),
            lexicon_digest: data.lexicon_digest(),
            passed_over: 0,
            log_length: 0,
        };
        let mut training = Self {
            start,
            gradients: vec![0.0; network.parameters.len()],
            first_moment: zeros(),
            second_moment: zeros(),
            average: Average::begin(options.recipe.train.average_weights, &network),
            memory: Memory::new(),
            network,
            data,
            run,
            standing,
            planned: ledger.kept_count(),
            hours,
            beginning,
            ledger,
            options,
        };
        let resumed_at = training.restore(tell)?;
        notes.iter().for_each(|note| tell(Event::Note(note)));
        training.write_ledger()?;
        let TrainOptions { run, cpu, workers, .. } = &training.options;
        sessions::began(run, *cpu, *workers, training.standing.step)?;
        let loader_options =
            training.data.train_options(&training.options.recipe.train, training.options.workers);
        let loader = Loader::new(loader_options, training.standing.position)?;
        tell(Event::Started {
            ledger: &training.ledger,
            hours: training.hours,
            parameters: training.network.parameters.len(),
            alphabet: &training.data.alphabet,
            steps_per_epoch: loader.about_steps_in_epoch()?,
            instruction_set: training.options.cpu,
            resumed_at,
        });
        Ok((training, loader))
    }

    fn restore(&mut self, tell: &mut dyn FnMut(Event<'_>)) -> Result<Option<u64>, TrainError> {
        let folder = self.run.checkpoints();
        let mut tensors = Tensors {
            parameters: &mut self.network.parameters,
            buffers: &mut self.network.buffers,
            first_moment: &mut self.first_moment,
            second_moment: &mut self.second_moment,
            average: self.average.as_mut().map(Average::tensors),
        };
        let found = checkpoint::read_newest(&folder, &mut tensors, |path, reason| {
            let note = format!(
                "passed over the damaged checkpoint {} ({reason}) for the one before it",
                path.display()
            );
            tell(Event::Note(&note));
        })?;
        if self.run.ledger().exists() {
            for refusal in Ledger::read(&self.run.ledger())?.refusals() {
                self.ledger.refuse_kept(refusal.clone());
            }
        }
        let Some(found) = found else {
            self.begin_anew(tell)?;
            if self.options.resume {
                let recipe = &self.options.recipe;
                let (digest, beginning) = begin_with(recipe, &self.data, &mut self.network, tell)?;
                self.average = Average::begin(recipe.train.average_weights, &self.network);
                self.standing.pretrained_digest = digest;
                self.beginning = beginning;
            }
            self.run.truncate_log(0)?;
            if let Some(beginning) = &self.beginning {
                self.run.log(beginning)?;
            }
            return Ok(None);
        };
        let recipe = &self.options.recipe;
        let manifests = recipe.data.train.manifests().iter().map(|one| &one.manifest);
        let was = found.train_digest.split(' ').chain([&*found.dev_digest]);
        let is = self.data.train_digest.split(' ').chain([&*self.data.dev_digest]);
        let changed = was.zip(is).zip(manifests.chain([&recipe.data.dev]));
        if let Some((_, path)) = changed.into_iter().find(|((was, is), _)| was != is) {
            return Err(TrainError::OtherData { path: path.to_owned() });
        }
        if found.recordings_digest != self.standing.recordings_digest {
            return Err(TrainError::OtherRecordings { path: self.run.path().into() });
        }
        if found.lexicon_digest != self.standing.lexicon_digest {
            return Err(TrainError::OtherLexicon { path: self.run.path().into() });
        }
        if found.instruction_set != self.standing.instruction_set && !self.options.anyway {
            return Err(TrainError::OtherInstructionSet {
                recorded: found.instruction_set,
                found: self.standing.instruction_set.clone(),
            });
        }
        if found.best.is_some() && !self.run.model().exists() {
            let reason = "model.safetensors, the best epoch's model, is gone".into();
            return Err(TrainError::Checkpoint { path: self.run.path().into(), reason });
        }
        self.run.truncate_log(found.log_length)?;
        let instruction_set = self.standing.instruction_set.clone();
        self.standing = Standing { instruction_set, ..found };
        Ok(Some(self.standing.step))
    }

    /// A resume that finds no checkpoint begins anew and says so, unless there must have been one.
    fn begin_anew(&self, tell: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        if !self.options.resume {
            return Ok(());
        }
        let path = self.run.path();
        if self.run.model().exists() {
            let epoch = ModelFile::read(&self.run.model())?.header.training.epoch;
            if epoch > 1 {
                let reason = format!("there is none, though model.safetensors is of epoch {epoch}");
                return Err(TrainError::Checkpoint { path: path.into(), reason });
            }
        }
        let what = if self.run.existed() { "no checkpoint yet" } else { "no run yet" };
        tell(Event::Note(&format!("{} holds {what}: beginning at the first step", path.display())));
        Ok(())
    }
}

/// Puts the weights that the recipe begins with into the network; returns the digest of their file, or nothing
/// where it names none, and what the run log shall say of it.
fn begin_with(
    recipe: &Recipe,
    data: &Data,
    network: &mut Network<f32>,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<(String, Option<serde_json::Value>), TrainError> {
    if recipe.train.blank_bias != 0.0 {
        let biases = network.parameters.specs().iter().position(|spec| spec.name == OUTPUT_BIAS);
        let biases = network.parameters.range(biases.expect("every network ends in this layer"));
        network.parameters.values[biases.start] = recipe.train.blank_bias as f32;
    }
    if let Some(path) = &recipe.train.from {
        let taken = begin_from(path, recipe, data, network)?;
        tell(Event::Note(&taken.sentence(path)));
        let mut line = json!(taken);
        line["event"] = json!("began-with-model");
        return Ok((taken.digest, Some(line)));
    }
    let (Some(pretrained), ModelOptions::Resnet(options)) =
        (&recipe.train.pretrained, &recipe.model)
    else {
        return Ok((String::new(), None));
    };
    let path = &pretrained.weights;
    let bytes = read_bytes(path)?;
    let tensors = parse_tensors(&bytes, path)?;
    let (parameters, buffers) = (&mut network.parameters, &mut network.buffers);
    let loaded = load_resnet(options, tensors, path, parameters, buffers)?;
    let unused = match loaded.ignored.is_empty() {
        true => String::new(),
        false => format!("; not used: {}", loaded.ignored_groups()),
    };
    let note = format!("began with {} tensors of {}{unused}", loaded.used, path.display());
    tell(Event::Note(&note));
    Ok((file_digest(&bytes), None))
}
