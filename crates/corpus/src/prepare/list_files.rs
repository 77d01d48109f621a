//! The frame of formats that are one file a set: NeMo manifests, Lhotse cuts, CSV.

use super::candidate::Split;
use super::lists::set_of;
use super::paths::entries;
use super::{PrepareError, PrepareOptions};
use std::path::{Path, PathBuf};

/// A file, the set it is, and its name without its ends as the publishers' part.
pub(crate) struct ListFile {
    pub(crate) path: PathBuf,
    pub(crate) split: Split,
    pub(crate) part: Option<String>,
}

/// What is read, and the rule of the split in words; empty where no file is a set by its name.
pub(crate) struct ListFiles {
    pub(crate) files: Vec<ListFile>,
    pub(crate) rule: String,
    pub(crate) warnings: Vec<String>,
}

/// The file that `--from` names, or the files of a folder that `is_one` picks by their names.
pub(crate) fn find(
    options: &PrepareOptions,
    title: &str,
    expected: &str,
    is_one: impl Fn(&str) -> bool,
) -> Result<ListFiles, PrepareError> {
    let from = &options.from;
    PrepareError::refuse_missing(from, expected)?;
    let mut found = ListFiles { files: Vec::new(), rule: String::new(), warnings: Vec::new() };
    if !from.is_dir() {
        let path = from.canonicalize().map_err(PrepareError::read(from))?;
        found.files.push(ListFile { path, split: Split::Train, part: None });
        return Ok(found);
    }
    let root = from.canonicalize().map_err(PrepareError::read(from))?;
    let not_this = |reason: &str| PrepareError::NotThisCorpus {
        path: from.clone(),
        title: title.to_owned(),
        reason: reason.to_owned(),
        expected: expected.to_owned(),
    };
    let paths: Vec<PathBuf> = entries(&root)?
        .into_iter()
        .filter(|path| path.is_file() && is_one(&name(path).to_lowercase()))
        .collect();
    match &paths[..] {
        [] => return Err(not_this("it holds no such file")),
        [only] if set_of(stem(&name(only))).is_none() => {
            found.files.push(ListFile { path: only.clone(), split: Split::Train, part: None });
            return Ok(found);
        }
        _ => {}
    }
    let mut rules = Vec::new();
    for path in paths {
        let name = name(&path);
        let part = stem(&name).to_owned();
        match set_of(&part) {
            Some(split) => {
                rules.push(format!("{}: {name}", split.name()));
                found.files.push(ListFile { path, split, part: Some(part) });
            }
            None => found.warnings.push(format!(
                "{} was not read: its name does not say to which set it belongs",
                path.display()
            )),
        }
    }
    if found.files.is_empty() {
        return Err(not_this("no name of its files speaks of train, dev or test; name one file"));
    }
    found.rule = rules.join("; ");
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A name up to its first dot.
fn stem(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}
