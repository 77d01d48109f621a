//! What can stop a training, each in one sentence with the way out.

use std::path::{Path, PathBuf};

use labyrinth_corpus::atomic::remedy;
use labyrinth_corpus::clip::reading_failed;
use labyrinth_corpus::{Ledger, Reason};

use crate::describe::Feasibility;

/// Why a training or an evaluation could not be done.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A model to begin with that heard other features.
    #[error("{} was trained on other features than the recipe has ({difference}); make [features] the same, or train from scratch", path.display())]
    FromFeatures {
        /// The model.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// A model to begin with that is of another architecture.
    #[error("{} has another network than the recipe ({difference}); make [model] the same, or train from scratch", path.display())]
    FromArchitecture {
        /// The model.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// The pretrained weights cannot be read.
    #[error(transparent)]
    Weights(#[from] labyrinth_nn::ForeignError),
    /// The pretrained weights do not fit the network.
    #[error(transparent)]
    Pretrained(#[from] labyrinth_nn::PretrainedError),
    /// The recipe file cannot be read.
    #[error("cannot read the recipe {}: {source}; check the path", path.display())]
    RecipeUnreadable {
        /// The recipe.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The recipe is not what a recipe should be.
    #[error("the recipe {}{place}: {fault}; correct it there", path.display())]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// Behind its name: line, column, and what stands there, where that is known.
        place: String,
        /// What is wrong.
        fault: String,
    },
    /// A value of the recipe is out of its range.
    #[error("the recipe {}: {fault}", path.display())]
    RecipeValue {
        /// The recipe.
        path: PathBuf,
        /// Which value, and its range.
        fault: String,
    },
    /// The recipe names an architecture that does not exist.
    #[error("the recipe {} asks for architecture \"{name}\"; this version has {}", path.display(), labyrinth_nn::ARCHITECTURES.join(", "))]
    Architecture {
        /// The recipe.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A `--set` that is no assignment, or that the recipe cannot take.
    #[error("the recipe {} cannot take --set {assignment}: {reason}", path.display())]
    Override {
        /// What was given.
        assignment: String,
        /// The recipe.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A recipe that cannot be written as TOML.
    #[error("the recipe as resolved cannot be written as TOML: {0}")]
    RecipeUnwritable(String),
    /// The run directory belongs to another training.
    #[error("{} already holds a run; continue it with --resume, or name another folder with --run", path.display())]
    RunExists {
        /// The run directory.
        path: PathBuf,
    },
    /// The file of a study is not what it should be.
    #[error("the study {}{place}: {fault}", path.display())]
    Study {
        /// The file.
        path: PathBuf,
        /// Behind its name: line, column, and what stands there, where that is known.
        place: String,
        /// What is wrong.
        fault: String,
    },
    /// The record of a trial is none.
    #[error("{} is no record of a trial ({reason}); `labyrinth evaluate MODEL MANIFEST --record FILE` writes one", path.display())]
    NoRecord {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file that says which figures are published is not what it should be.
    #[error("the file of results {} has a mistake: {fault}", path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
    /// There is no run where one was named.
    #[error("{} holds no run (it has no recipe.toml); name the folder that `labyrinth train` wrote, such as runs/an4", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// A report that would hold less than the one that is there.
    #[error("{} was made when {} was still whole and holds more than a new one would; put that back, or move the page away first", page.display(), gone.display())]
    PageOfMore {
        /// The report.
        page: PathBuf,
        /// What it shows and is there no more.
        gone: PathBuf,
    },
    /// The folder for the run holds something else.
    #[error("{} holds {name}, which is not of a run, so no run goes there; name another folder with --run", path.display())]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
        /// One of the files in it.
        name: String,
    },
    /// A resume with another recipe.
    #[error("{} was trained with another recipe ({difference}); resume it with its own, or name another folder with --run", path.display())]
    OtherRecipe {
        /// The run directory.
        path: PathBuf,
        /// The first line that differs.
        difference: String,
    },
    /// A resume with other data.
    #[error("the manifest {} changed since this run began; restore it, or name another folder with --run", path.display())]
    OtherData {
        /// The manifest.
        path: PathBuf,
    },
    /// A resume with other noises or rooms.
    #[error("the recordings that the recipe mixes into the speech (recorded-noise, reverberation) changed since the run in {} began; restore them, or name another folder with --run", path.display())]
    OtherRecordings {
        /// The run directory.
        path: PathBuf,
    },
    /// A resume with another lexicon.
    #[error("the lexicon changed since the run in {} began; restore it, or name another folder with --run", path.display())]
    OtherLexicon {
        /// The run directory.
        path: PathBuf,
    },
    /// A resume on another instruction set.
    #[error(
        "this run was computed with {recorded}, and this machine or --isa uses {found}; --isa {recorded} continues it exactly, --anyway continues it with other rounding"
    )]
    OtherInstructionSet {
        /// In the checkpoint.
        recorded: String,
        /// Now.
        found: String,
    },
    /// Another process works in the run directory.
    #[error("another process is training in {}; wait for it, or name another folder with --run", path.display())]
    RunInUse {
        /// The run directory.
        path: PathBuf,
    },
    /// Files of the run cannot be written.
    #[error("cannot write {}: {source}; what was saved before is intact, so {} and continue with --resume", path.display(), remedy(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the run cannot be read.
    #[error("cannot read {}: {source}; check the disk, or begin again in another folder with --run", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A page, a table or a picture cannot be written.
    #[error("cannot write {} ({source}); {} or name another place", path.display(), remedy(source))]
    Page {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A training of a study, or its trial, is not what the study asks for.
    #[error("{} {reason}; {way_out}", path.display())]
    StudyRun {
        /// The run directory, or the file of the trial.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// What to do.
        way_out: &'static str,
    },
    /// A folder holds more than what would be written over it.
    #[error("{} {reason}; name another folder (-o, --runs), or remove it", path.display())]
    KeepsMore {
        /// The file.
        path: PathBuf,
        /// What it holds.
        reason: String,
    },
    /// No checkpoint of the run can be used.
    #[error("no checkpoint in {} can be used ({reason}); begin again in another folder with --run", path.display())]
    Checkpoint {
        /// The folder.
        path: PathBuf,
        /// What is wrong with the newest.
        reason: String,
    },
    /// Nothing to train on or to choose by.
    #[error("no utterance of {} can be used ({ledger}); {remedy}", path.display())]
    NothingToUse {
        /// The manifest.
        path: PathBuf,
        /// The ledger in a line.
        ledger: String,
        /// What to change, by the reason that most were refused for.
        remedy: &'static str,
    },
    /// Most of the corpus has fewer frames than labels.
    #[error(
        "{} of {} training utterances ({:.0} %) have fewer frames than labels at the time stride of {stride}, so CTC cannot learn them; lower the strides of time in [model] or frame-shift in [features], and see `labyrinth describe`",
        feasibility.too_short,
        feasibility.read - feasibility.unusable,
        100.0 * feasibility.infeasible_share()
    )]
    Infeasible {
        /// What was counted.
        feasibility: Feasibility,
        /// Feature frames between two frames of the output.
        stride: usize,
    },
    /// The best epoch would be chosen by what was learnt by heart.
    #[error("train and dev of the recipe are the same data, {} and {}; name another manifest as dev in [data], so that the best epoch is chosen by what was not learnt by heart", train.display(), dev.display())]
    SameData {
        /// The manifest to train on.
        train: PathBuf,
        /// The manifest to choose by.
        dev: PathBuf,
    },
    /// A mixture that holds the same utterances twice.
    #[error("{} and {} of the mixture in [data] are the same data; name it once, with weight = 2 if each of its utterances is to be read twice", first.display(), second.display())]
    TwiceInMixture {
        /// A manifest.
        first: PathBuf,
        /// The same again.
        second: PathBuf,
    },
    /// The gradient is not a number, again and again.
    #[error(
        "the training diverged: {count} steps in a row gave no finite gradient, the last at step {step} with utterances {ids}; {remedy}"
    )]
    Diverged {
        /// Steps in a row.
        count: u64,
        /// The last of them.
        step: u64,
        /// Utterances of the last batch.
        ids: String,
        /// What to change.
        remedy: &'static str,
    },
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] labyrinth_corpus::ManifestError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] labyrinth_corpus::LedgerError),
    /// Recordings to be mixed into the speech.
    #[error(transparent)]
    Recordings(#[from] labyrinth_corpus::RecordingsError),
    /// The loader.
    #[error(transparent)]
    Loader(#[from] labyrinth_corpus::LoaderError),
    /// Shards hold other features than the model takes.
    #[error(transparent)]
    OtherFeatures(#[from] labyrinth_corpus::FeatureMismatch),
    /// The features' options.
    #[error(transparent)]
    Features(#[from] labyrinth_signal::FeatureError),
    /// The lexicon.
    #[error(transparent)]
    Lexicon(#[from] labyrinth_text::LexiconError),
    /// No utterance has labels, or a word of the lexicon.
    #[error("there is nothing to learn in {}: {reason}", path.display())]
    NoLabels {
        /// The manifest.
        path: PathBuf,
        /// Where labels were looked for, and what to do.
        reason: String,
    },
    /// A framewise model, and no utterance that says what its frames should say.
    #[error("the model names the sound of each frame, and {} cannot tell whether it is right ({reason}); name a manifest whose lines have `labels`, as `labyrinth align` writes them", path.display())]
    NothingToMeasure {
        /// The manifest.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The normaliser's options.
    #[error(transparent)]
    Normalizer(#[from] labyrinth_text::NormalizerError),
    /// The network.
    #[error(transparent)]
    Network(#[from] labyrinth_nn::NnError),
    /// A kernel.
    #[error(transparent)]
    Kernel(#[from] labyrinth_kernels::KernelError),
    /// The model file.
    #[error(transparent)]
    Model(#[from] labyrinth_nn::ModelFileError),
    /// The recogniser.
    #[error(transparent)]
    Recognizer(#[from] labyrinth_decode::RecognizerError),
    /// The disk failed while audio was read.
    #[error(
        "{}",
        reading_failed(path, source, "the disk failed: check it before you trust its data")
    )]
    Disk {
        /// The audio file.
        path: PathBuf,
        /// What the disk said.
        source: std::io::Error,
    },
    /// Threads could not be started.
    #[error("cannot start {threads} threads: {reason}; name fewer with --threads")]
    Threads {
        /// How many.
        threads: usize,
        /// Why.
        reason: String,
    },
}

impl TrainError {
    /// Everything in `ledger` was refused.
    pub(crate) fn nothing_to_use(path: &Path, ledger: &Ledger) -> Self {
        let most = ledger.reasons().into_iter().max_by_key(|(_, count)| *count);
        let remedy = match most.map(|(reason, _)| reason) {
            Some(Reason::ShorterThanAFrame) => "lower frame-length in [features]",
            Some(Reason::TooShortForCtc) => {
                "lower the strides of time in [model], or frame-shift in [features]"
            }
            Some(_) => "`labyrinth check` says what is wrong",
            None => "name one that holds utterances",
        };
        Self::NothingToUse { path: path.into(), ledger: ledger.to_string(), remedy }
    }

    /// A file that cannot be written.
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Write { path: path.into(), source }
    }

    /// A page that cannot be written.
    pub(crate) fn page(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Page { path: path.into(), source }
    }

    /// A file that cannot be read.
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Read { path: path.into(), source }
    }
}
