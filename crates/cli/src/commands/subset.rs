//! `labyrinth subset`: so many minutes of a manifest, drawn by a seed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use labyrinth_corpus::Manifest;
use labyrinth_signal::{Random, hash_name};

use crate::failure::Failure;
use crate::{output, wording};

/// Arguments of `labyrinth subset`.
#[derive(Args)]
#[command(after_help = "\
Utterances are drawn by seed and id, so that the same ones come whatever their order, and stay in the
manifest's order. The output lies beside the manifest, for its paths are relative to that folder.

Examples:
  labyrinth subset data/fsdd-theo/train.jsonl --minutes 10 -o data/fsdd-theo/train-10min.jsonl")]
pub struct Subset {
    /// The manifest.
    manifest: PathBuf,
    /// Minutes of sound to draw, at most.
    #[arg(long, value_name = "M")]
    minutes: f64,
    /// Another seed draws others.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The manifest to write, in the same folder.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

impl Subset {
    /// Draws and writes.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let sentence = |text: String| Err(Failure::Sentence(text));
        if !(self.minutes.is_finite() && self.minutes > 0.0) {
            return sentence("--minutes wants a number above 0".into());
        }
        let folder = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
        if folder(&self.out) != folder(&self.manifest) || self.out == self.manifest {
            return sentence(format!(
                "{} must be another file beside {}, for the paths in it are relative to that folder",
                self.out.display(),
                self.manifest.display()
            ));
        }
        if self.out.exists() {
            return sentence(format!("{} is there already; remove it first", self.out.display()));
        }
        let mut manifest = Manifest::read(&self.manifest)?;
        let all = manifest.utterances.len();
        if all == 0 {
            return sentence(format!(
                "{} is empty; name a manifest with utterances",
                self.manifest.display()
            ));
        }
        let mut order: Vec<usize> = (0..all).collect();
        let key = |index: usize| {
            let id = hash_name(&manifest.utterances[index].id);
            Random::from_key(&[self.seed, id]).uniform()
        };
        order.sort_by(|&a, &b| key(a).total_cmp(&key(b)).then(a.cmp(&b)));
        let (mut drawn, mut seconds) = (vec![false; all], 0.0);
        for index in order {
            let duration = manifest.utterances[index].duration;
            if seconds + duration > 60.0 * self.minutes {
                break;
            }
            seconds += duration;
            drawn[index] = true;
        }
        let mut keep = drawn.iter();
        manifest.utterances.retain(|_| *keep.next().unwrap_or(&false));
        if manifest.utterances.is_empty() {
            return sentence(format!(
                "the first utterance drawn from {} is longer than {} minutes; ask for more --minutes",
                self.manifest.display(),
                self.minutes
            ));
        }
        manifest.path = self.out.clone();
        manifest.write()?;
        output::line(format_args!(
            "{}: {} of {}, {}",
            self.out.display(),
            wording::thousands(manifest.utterances.len()),
            wording::count(all, "utterance"),
            wording::speech(seconds)
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
