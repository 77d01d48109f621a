//! The frame of corpora that are one folder of WAV files whose names say everything: FSDD and yesno.

use super::PrepareError;
use super::candidate::{Candidate, Found, Split};
use super::paths::{entries, extension};
use crate::ledger::Reason;
use std::collections::BTreeSet;
use std::path::Path;

/// What a file's name says.
pub(super) struct Named {
    pub(super) text: String,
    pub(super) speaker: String,
    pub(super) split: Split,
}

/// Whether `folder` holds a WAV file whose name has the corpus's form.
pub(super) fn holds(folder: &Path, has_the_form: impl Fn(&Path) -> bool) -> bool {
    entries(folder)
        .is_ok_and(|paths| paths.iter().any(|path| extension(path) == "wav" && has_the_form(path)))
}

/// Every WAV file of `root` in the order of the names. `name` is given the file and how many were found
/// before it; where it finds nothing the file is refused, and the ledger says what `form` is.
pub(super) fn find(
    root: &Path,
    form: &str,
    name: impl Fn(&Path, usize) -> Option<Named>,
) -> Result<Found, PrepareError> {
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    for audio in entries(root)?.into_iter().filter(|path| extension(path) == "wav") {
        let id = audio.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match name(&audio, found.candidates.len()) {
            Some(Named { text, speaker, split }) => {
                found.push(Candidate::new(id, audio, text, Some(speaker), split), &mut ids);
            }
            None => found.refuse(&id, Reason::UnexpectedName, format!("the form is {form}")),
        }
    }
    Ok(found)
}
