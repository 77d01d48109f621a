//! speechocean762: English sentences read by Mandarin speakers, half of them children, 5000 utterances.
//!
//! A Kaldi data directory for each of the two published sets, `train` and `test`, over the recordings in
//! `WAVE`. There is no development set: ours is whole training speakers. Where only one of the two is
//! there, its speakers are divided. Scores of the pronunciation are not read.

use super::assign::finish_with_sets;
use super::candidate::{Found, Split};
use super::catalog::CorpusInfo;
use super::kaldi::{is_data_directory, read_directory};
use super::source::{Shape, locate};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use std::collections::BTreeSet;

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "speechocean762",
    title: "speechocean762, English of Mandarin speakers, half of them children",
    home: "https://www.openslr.org/101/",
    licence: "free for commercial and non-commercial use, by its README",
    split: "published train and test; dev by speaker",
    tried: true,
    published: true,
    prepare: prepare_speechocean762,
};

/// Of each set.
const PUBLISHED_UTTERANCES: usize = 2500;

const SETS: [(&str, Split); 2] = [("train", Split::Train), ("test", Split::Test)];

const SHAPE: Shape = Shape {
    title: "speechocean762",
    expected: "the unpacked speechocean762 folder, or speechocean762.tar.gz",
    archives: &["speechocean762"],
    mark: "WAVE and train/wav.scp or test/wav.scp",
    is_root: |folder| {
        folder.join("WAVE").is_dir()
            && SETS.iter().any(|(name, _)| is_data_directory(&folder.join(name)))
    },
    several: false,
};

/// Prepares speechocean762.
///
/// # Errors
/// [`PrepareError`] where the corpus is not under `from`, a list is broken, a disk fails, or the output
/// folder holds something else.
pub fn prepare_speechocean762(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let located = locate(&SHAPE, options)?;
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    let mut rules = Vec::new();
    for (name, split) in SETS {
        let folder = located.root.join(name);
        if !is_data_directory(&folder) {
            found.warnings.push(format!("there is no {name} set in this copy"));
            continue;
        }
        let before = found.candidates.len() + found.refusals.len();
        read_directory(&folder, split, None, &mut found, &mut ids)?;
        let read = found.candidates.len() + found.refusals.len() - before;
        if read != PUBLISHED_UTTERANCES {
            found.warnings.push(format!(
                "this copy's {name} set holds {read} utterances, the published one \
                 {PUBLISHED_UTTERANCES}: figures do not compare with others'"
            ));
        }
        rules.push(format!("{name}: as published"));
    }
    let record = INFO.record(options, rules.join("; "));
    let report = finish_with_sets(record, options, found, progress)?;
    located.keep();
    Ok(report)
}
