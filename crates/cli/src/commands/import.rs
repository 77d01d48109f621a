//! `labyrinth import`: weights in PyTorch's names to a model file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use labyrinth_corpus::atomic::write_atomically;
use labyrinth_nn::export::import_from_torch;
use labyrinth_nn::foreign::{file_digest, parse_tensors, read_bytes};
use labyrinth_nn::model_file::{DataRecord, FORMAT, TrainingRecord};
use labyrinth_nn::{ModelFile, ModelHeader, Network};
use labyrinth_signal::FeatureExtractor;
use labyrinth_train::{Recipe, Subject};

use crate::commands::train::recipe_folder;
use crate::failure::Failure;
use crate::{output, wording};

/// Arguments of `labyrinth import`.
#[derive(Args)]
#[command(after_help = "\
Reads safetensors and PyTorch's .pth; nothing in a .pth is run, and one that asks for it is
refused by name. Names and shapes are those that `labyrinth export` writes; what is missing, too
many, of another shape or no number is named. Features, labels and network come from the recipe,
whose training manifests must be there for the labels, or from a model file.

Examples:
  labyrinth import tuned.pth --like runs/an4/model.safetensors -o tuned.safetensors
  labyrinth import weights.safetensors --recipe recipes/an4.toml -o model.safetensors")]
pub struct Import {
    /// The weights: safetensors or .pth.
    weights: PathBuf,
    /// The recipe whose model it is.
    #[arg(long, value_name = "RECIPE", required_unless_present = "like", conflicts_with = "like")]
    recipe: Option<PathBuf>,
    /// A model file with the same features, labels and network.
    #[arg(long, value_name = "MODEL")]
    like: Option<PathBuf>,
    /// The model file to write.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

impl Import {
    /// Imports and tells what.
    pub fn run(self) -> Result<ExitCode, Failure> {
        output::refuse_to_replace(&self.out)?;
        let bytes = read_bytes(&self.weights)?;
        let tensors = parse_tensors(&bytes, &self.weights)?;
        let mut header = match (&self.like, &self.recipe) {
            (Some(model), _) => ModelFile::read(model)?.header,
            (None, Some(recipe)) => header_of(recipe)?,
            (None, None) => return Ok(ExitCode::from(2)), // clap has refused it
        };
        // What is known of other weights is not known of these.
        header.training.pretrained_digest = file_digest(&bytes);
        (header.training.epoch, header.training.step) = (0, 0);
        header.scores.clear();
        let dim = FeatureExtractor::new(&header.features)?.dim();
        let mut network = Network::new(&header.model, dim, header.outputs(), 0)?;
        let parallel = import_from_torch(tensors, &self.weights, &mut network)?;
        let bytes = ModelFile::to_bytes(&header, &network)?;
        write_atomically(&self.out, |file| file.write_all(&bytes))
            .map_err(Failure::write(&self.out))?;
        if parallel {
            output::remark(
                "the names of the weights begin with `module.`, as DataParallel saves them; it was left out",
            );
        }
        output::line(format_args!(
            "{}: {} weights of {}",
            self.out.display(),
            wording::thousands(network.parameters.len()),
            self.weights.display()
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The header of a model that a recipe describes.
fn header_of(path: &Path) -> Result<ModelHeader, Failure> {
    let recipe = Recipe::read(path, &[])?;
    let recipe_text = recipe.to_toml()?;
    let recipe = recipe.with_paths_from(recipe_folder(path));
    let subject = Subject::of_recipe(&recipe);
    if recipe.train.auxiliary_phonemes.is_some() {
        return Err(Failure::Sentence(format!(
            "{} has a second head (auxiliary-phonemes in [train]), which a recipe alone does not describe; name a \
             model of it with --like instead",
            path.display()
        )));
    }
    let Some(alphabet) = subject.alphabet else {
        // What was in the way says so itself.
        let reason = match Subject::data_of(&recipe) {
            Err(error) => error.to_string(),
            Ok(()) => "its training manifests cannot be read".into(),
        };
        return Err(Failure::Sentence(format!(
            "the labels of {} are not known ({reason}); put its data there, or name a model with --like \
             instead",
            path.display()
        )));
    };
    Ok(ModelHeader {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").into(),
        features: subject.features,
        normalizer: subject.normalizer,
        alphabet,
        lexicon: subject.lexicon.map(|lexicon| (*lexicon).clone()),
        objective: subject.objective,
        track: recipe.data.track.clone(),
        auxiliary: Vec::new(),
        model: subject.model,
        data: DataRecord::default(),
        training: TrainingRecord { recipe: recipe_text, ..TrainingRecord::default() },
        scores: Default::default(),
        weights_digest: String::new(),
    })
}
