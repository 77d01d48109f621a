//! Mozilla Common Voice: sentences read by volunteers, MP3, one archive a language.
//!
//! `train.tsv`, `dev.tsv` and `test.tsv` are the published sets: speakers are disjoint, and no sentence
//! was recorded for two of them. They leave out most repetitions of a sentence, so that `validated.tsv`
//! names more clips; a warning counts these, and they are not read. A language without the three sets is
//! divided by speakers from `validated.tsv`. A clip's path is a name in `clips/` and nothing else.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found, Split};
use super::catalog::CorpusInfo;
use super::lists::{List, collapse, inside};
use super::source::{Shape, locate};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use std::collections::BTreeSet;
use std::path::Path;

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "commonvoice",
    title: "Mozilla Common Voice, one language",
    home: "https://commonvoice.mozilla.org/datasets",
    licence: "CC0 1.0; its terms forbid to find out who a speaker is",
    split: "published; a language without sets: by speaker",
    tried: false,
    published: true,
    prepare: prepare_common_voice,
};

const SETS: [(&str, Split); 3] =
    [("train.tsv", Split::Train), ("dev.tsv", Split::Dev), ("test.tsv", Split::Test)];

const VALIDATED: &str = "validated.tsv";

const SHAPE: Shape = Shape {
    title: "Common Voice language",
    expected: "the folder of a language (with train.tsv and clips), or its archive",
    archives: &["cv-corpus", "cv"],
    mark: "clips and train.tsv or validated.tsv",
    is_root: |folder| {
        folder.join("clips").is_dir()
            && (folder.join("train.tsv").is_file() || folder.join(VALIDATED).is_file())
    },
    several: true,
};

/// Prepares Common Voice.
///
/// # Errors
/// [`PrepareError`] where no language, or more than one, is under `from`, a table is broken, a disk
/// fails, or the output folder holds something else.
pub fn prepare_common_voice(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let located = locate(&SHAPE, options)?;
    let root = located.root.clone();
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    let mut rule = String::new();
    if root.join("train.tsv").is_file() {
        for (name, split) in SETS {
            let path = root.join(name);
            if path.is_file() {
                read_table(&path, |row| enter(row, &root, split, &mut found, &mut ids))?;
            } else {
                found.warnings.push(format!("{} is not there", path.display()));
            }
        }
        rule = "train.tsv, dev.tsv and test.tsv as published".to_owned();
        count_unused(&root, &ids, &mut found)?;
    } else {
        let path = root.join(VALIDATED);
        read_table(&path, |row| enter(row, &root, Split::Train, &mut found, &mut ids))?;
        found.warnings.push(
            "this language has no published sets: figures do not compare with others'".to_owned(),
        );
    }
    let report = finish_with_sets(INFO.record(options, rule), options, found, progress)?;
    located.keep();
    Ok(report)
}

/// A row of a table.
struct Row<'a> {
    place: String,
    client: &'a str,
    path: &'a str,
    sentence: &'a str,
}

impl Row<'_> {
    /// The name of the clip without its end.
    fn id(&self) -> &str {
        self.path.strip_suffix(".mp3").unwrap_or(self.path)
    }

    fn candidate(&self, root: &Path, split: Split, found: &mut Found, ids: &mut BTreeSet<String>) {
        let id = self.id();
        let text = collapse(self.sentence);
        // The first releases left the end of the name out.
        let name = if id.contains('.') { id.to_owned() } else { format!("{id}.mp3") };
        let clips = root.join("clips");
        let Some(audio) = inside(&clips, &name).filter(|path| path.parent() == Some(&*clips))
        else {
            let detail = format!("{}: {:?} is no name in clips", self.place, self.path);
            ids.insert(id.to_owned());
            found.refuse(id, Reason::OutsideCorpus, detail);
            return;
        };
        if text.is_empty() {
            ids.insert(id.to_owned());
            found.refuse(id, Reason::EmptyTranscript, self.place.clone());
            return;
        }
        let speaker = Some(self.client.to_owned()).filter(|client| !client.is_empty());
        found.push(Candidate::new(id, audio, text, speaker, split), ids);
    }
}

/// A row becomes a candidate, a broken one a refusal.
fn enter(
    row: Result<Row<'_>, PrepareError>,
    root: &Path,
    split: Split,
    found: &mut Found,
    ids: &mut BTreeSet<String>,
) -> Result<(), PrepareError> {
    match row {
        Ok(row) => row.candidate(root, split, found, ids),
        Err(error) => found.refuse_line(error)?,
    }
    Ok(())
}

/// Gives every row of a table to `take`, or what is wrong with it. The tables are not quoted: a quote is
/// a part of the sentence.
fn read_table(
    path: &Path,
    mut take: impl FnMut(Result<Row<'_>, PrepareError>) -> Result<(), PrepareError>,
) -> Result<(), PrepareError> {
    let mut list = List::open(path)?;
    let names: Vec<String> = match list.next()? {
        Some((_, line)) => line.split('\t').map(str::to_owned).collect(),
        None => return Err(list.broken(1, "the table is empty")),
    };
    let column = |name: &str| names.iter().position(|column| column == name);
    let (Some(client), Some(clip), Some(sentence)) =
        (column("client_id"), column("path"), column("sentence"))
    else {
        return Err(list.broken(1, "no columns client_id, path and sentence are named here"));
    };
    loop {
        let reason = match list.next() {
            Ok(None) => return Ok(()),
            Err(error) => {
                take(Err(error))?;
                continue;
            }
            Ok(Some((number, line))) => {
                let fields: Vec<&str> = line.split('\t').collect();
                if fields.len() != names.len() {
                    let (count, named) = (fields.len(), names.len());
                    (number, format!("{count} fields stand here under {named} column names"))
                } else if fields[clip].is_empty() {
                    (number, "no clip is named".to_owned())
                } else {
                    take(Ok(Row {
                        place: format!("{}, line {number}", path.display()),
                        client: fields[client],
                        path: fields[clip],
                        sentence: fields[sentence],
                    }))?;
                    continue;
                }
            }
        };
        take(Err(list.broken(reason.0, reason.1)))?;
    }
}

/// The validated clips that are in none of the sets.
fn count_unused(
    root: &Path,
    ids: &BTreeSet<String>,
    found: &mut Found,
) -> Result<(), PrepareError> {
    let path = root.join(VALIDATED);
    if !path.is_file() {
        return Ok(());
    }
    let mut unused = 0;
    read_table(&path, |row| {
        unused += row.map_or(0, |row| usize::from(!ids.contains(row.id())));
        Ok(())
    })?;
    if unused > 0 {
        found.warnings.push(format!(
            "{unused} more clips of {VALIDATED} are in none of the published sets and were not read"
        ));
    }
    Ok(())
}
