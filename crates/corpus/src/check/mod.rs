//! `check`: what is wrong with a corpus, before training finds out.
//!
//! It looks at a prepared folder (its `train.jsonl`, `dev.jsonl`, `test.jsonl`, or whatever manifests are
//! there), at one manifest, or at a folder of recordings with a `.txt` beside each. Every recording is
//! decoded once, on all cores, and a few numbers are kept of it. An error means that a training or its
//! figure would be spoilt; a warning is worth knowing. What a published split contains (`corpus.json` says
//! whether it is one) is its publishers' choice: the speakers, recordings and transcripts that would be
//! errors in a user's own corpus are warnings there, with their percentage.
//!
//! | file | looks at |
//! |---|---|
//! | `survey` | manifests and folders: broken lines, missing sets, what the ledger says |
//! | `listen`, `sound`, `band` | each recording by itself |
//! | `transcript` | each transcript by itself |
//! | `norms` | an utterance beside the others: pace, writing, sample rate |
//! | `recipe` | what a recipe's alphabet and frames ask for |
//! | `sets`, `recordings` | what stands in two sets or in two places |
//! | `report`, `page` | the findings as text, JSON and an HTML page |
//! | `fix` | manifests without what spoils a training |

mod band;
mod error;
mod finding;
mod fix;
mod listen;
mod norms;
mod page;
mod recipe;
mod recordings;
mod report;
mod sets;
mod sound;
mod survey;
mod transcript;

pub use error::CheckError;
pub use finding::{Finding, FindingKind, Severity};
pub use fix::{FixReport, REPAIRS_FILE};
pub use recipe::CheckContext;
pub use report::{CheckReport, SetSummary};
pub(crate) use sound::FULL_SCALE;
pub use survey::Survey;
pub(crate) use transcript::is_invisible;

use crate::Progress;
use std::path::Path;
use survey::Set;

/// Checks a prepared folder, a manifest, or a folder of recordings.
///
/// # Errors
/// [`CheckError`] where the target cannot be read at all or a disk fails; what is wrong with single
/// utterances is in the report.
pub fn check(
    target: &Path,
    context: Option<&CheckContext>,
    progress: Progress<'_>,
) -> Result<CheckReport, CheckError> {
    Ok(Survey::read(target)?.listen(context, progress)?.report)
}

/// A corpus that was listened to: the report, and what a page or cleaned manifests are made of.
pub struct Checked {
    /// All that was found.
    pub report: CheckReport,
    sets: Vec<Set>,
    is_folder: bool,
}

impl Survey {
    /// Decodes every recording and does all the checks; with `context` also those of a recipe.
    ///
    /// # Errors
    /// [`CheckError`] where a disk fails, or the recipe's features cannot be computed.
    pub fn listen(
        mut self,
        context: Option<&CheckContext>,
        progress: Progress<'_>,
    ) -> Result<Checked, CheckError> {
        self.find_unlisted()?;
        let Self { target, corpus, mut sets, mut findings, is_folder, .. } = self;
        let published = corpus.as_ref().is_some_and(|record| record.published_split);
        let shared = published || corpus.as_ref().is_some_and(|record| record.speakers_shared);
        listen::listen(&mut sets, &mut findings, progress)?;
        for set in &sets {
            for utterance in &set.manifest.utterances {
                transcript::judge(&utterance.text, published, &mut |severity, kind, detail| {
                    let (name, id) = (&set.name, &utterance.id);
                    findings.push(Finding::of_one(severity, kind, name, id, detail));
                });
            }
        }
        norms::compare(&sets, &mut findings);
        if let Some(context) = context {
            recipe::judge(context, published, &sets, &mut findings)?;
        }
        sets::compare(&sets, shared, context.map(|c| &c.normalizer), &mut findings);
        recordings::compare(&sets, published, shared, &mut findings);
        // The sort is stable: within a kind the order of the manifests stays.
        findings.sort_by_key(|finding| (finding.severity, finding.kind));
        let summaries = sets.iter().map(SetSummary::of).collect();
        let report = CheckReport { target, corpus, sets: summaries, findings };
        Ok(Checked { report, sets, is_folder })
    }
}
