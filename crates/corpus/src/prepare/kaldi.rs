//! A Kaldi data directory: `wav.scp`, `text`, and where they are there `segments` and `utt2spk`.
//!
//! `--from` names one directory, or a folder of several (`data/train`, `data/dev`, `data/test`); then
//! their names say the sets. Paths in `wav.scp` are relative to the directory, or to one of the three
//! above it, as recipes are run from there. What is no file is refused with the reason: commands
//! (`sph2pipe … |`) are never run, since SPHERE, FLAC and the others are read as they are and a command
//! from a data file is not to be trusted; places inside of archives (`a.ark:1234`) are not read.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found, Split};
use super::catalog::CorpusInfo;
use super::lists::{List, broken, collapse, listed, set_of};
use super::paths::entries;
use super::section::Section;
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "kaldi",
    title: "a Kaldi data directory: wav.scp, text, segments, utt2spk",
    home: "your own data",
    licence: "yours to know",
    split: "by the directories' names, else by speaker",
    tried: true,
    published: false,
    prepare: prepare_kaldi,
};

const EXPECTED: &str =
    "a Kaldi data directory with wav.scp and text, or a folder of such directories";

/// How far above a data directory the paths of its `wav.scp` may begin.
const FOLDERS_ABOVE: usize = 3;

/// Prepares a Kaldi data directory.
///
/// # Errors
/// [`PrepareError`] where there is none under `from`, a list is broken, a disk fails, or the output
/// folder holds something else.
pub fn prepare_kaldi(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let from = &options.from;
    let expected = EXPECTED.to_owned();
    PrepareError::refuse_missing(from, &expected)?;
    let not_this = |reason: &str| PrepareError::NotThisCorpus {
        path: from.clone(),
        title: "a Kaldi data directory".to_owned(),
        reason: reason.to_owned(),
        expected: EXPECTED.to_owned(),
    };
    if !from.is_dir() {
        return Err(not_this("it is a file"));
    }
    let root = from.canonicalize().map_err(PrepareError::read(from))?;
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    let mut rules = Vec::new();
    if is_data_directory(&root) {
        read_directory(&root, Split::Train, None, &mut found, &mut ids)?;
        for item in &mut found.candidates {
            item.part = None;
        }
    } else {
        let inside: Vec<PathBuf> =
            entries(&root)?.into_iter().filter(|path| is_data_directory(path)).collect();
        if inside.is_empty() {
            return Err(not_this("it holds no wav.scp"));
        }
        for directory in inside {
            let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match set_of(&name) {
                Some(split) => {
                    read_directory(&directory, split, Some(&name), &mut found, &mut ids)?;
                    rules.push(format!("{}: {name}", split.name()));
                }
                None => found.warnings.push(format!(
                    "{} was not read: its name does not say to which set it belongs",
                    directory.display()
                )),
            }
        }
        if rules.is_empty() {
            return Err(not_this("no name of its directories begins with train, dev or test"));
        }
    }
    finish_with_sets(INFO.record(options, rules.join("; ")), options, found, progress)
}

pub(crate) fn is_data_directory(folder: &Path) -> bool {
    folder.join("wav.scp").is_file()
}

/// A table of Kaldi's: the first word of a line is the key, the rest its value, both in `(line, …)`.
/// A key that stands twice keeps its first value; the others are given back.
struct Table {
    path: PathBuf,
    order: Vec<String>,
    values: HashMap<String, (usize, String)>,
    repeated: Vec<(usize, String)>,
}

impl Table {
    /// Lines that cannot be read are entered as refused.
    fn read(path: &Path, value_wanted: bool, found: &mut Found) -> Result<Self, PrepareError> {
        let mut table = Self {
            path: path.to_owned(),
            order: Vec::new(),
            values: HashMap::new(),
            repeated: Vec::new(),
        };
        let mut list = List::open(path)?;
        loop {
            let (number, line) = match list.next() {
                Ok(Some((number, line))) => (number, line.trim()),
                Ok(None) => return Ok(table),
                Err(error) => {
                    found.refuse_line(error)?;
                    continue;
                }
            };
            let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            if value_wanted && value.is_empty() {
                found.refuse_line(broken(path, number, format!("nothing follows {key:?}")))?;
                continue;
            }
            if table.values.contains_key(key) {
                table.repeated.push((number, key.to_owned()));
            } else {
                table.order.push(key.to_owned());
                table.values.insert(key.to_owned(), (number, value.trim().to_owned()));
            }
        }
    }

    /// The same of a file that need not be there.
    fn read_if_there(
        path: &Path,
        value_wanted: bool,
        found: &mut Found,
    ) -> Result<Option<Self>, PrepareError> {
        path.exists().then(|| Self::read(path, value_wanted, found)).transpose()
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|(_, value)| value.as_str())
    }

    fn refuse_repeated(&self, found: &mut Found) {
        for (number, key) in &self.repeated {
            let detail = format!("{}, line {number}: it stands there before", self.path.display());
            found.refuse(key, Reason::DuplicateId, detail);
        }
    }
}

/// Every utterance that one of the lists names.
pub(crate) fn read_directory(
    folder: &Path,
    split: Split,
    part: Option<&str>,
    found: &mut Found,
    ids: &mut BTreeSet<String>,
) -> Result<(), PrepareError> {
    let recordings = Table::read(&folder.join("wav.scp"), true, found)?;
    let text_path = folder.join("text");
    let texts = Table::read_if_there(&text_path, false, found)?;
    if texts.is_none() {
        found
            .warnings
            .push(format!("{} is not there: nothing is transcribed", text_path.display()));
    }
    let speakers = Table::read_if_there(&folder.join("utt2spk"), true, found)?;
    let segments = Table::read_if_there(&folder.join("segments"), true, found)?;
    let folders: Vec<PathBuf> =
        folder.ancestors().take(1 + FOLDERS_ABOVE).map(Path::to_owned).collect();
    let files: HashMap<&str, Result<PathBuf, String>> = recordings
        .order
        .iter()
        .map(|name| (name.as_str(), file_of(&folders, recordings.get(name).unwrap_or_default())))
        .collect();
    let audio_list = segments.as_ref().unwrap_or(&recordings);
    audio_list.refuse_repeated(found);
    for table in [&texts, &speakers].into_iter().flatten() {
        table.refuse_repeated(found);
    }
    let mut unused: BTreeSet<&str> = recordings.order.iter().map(String::as_str).collect();
    for id in &audio_list.order {
        let (recording, section) = match &segments {
            None => (id.as_str(), None),
            Some(segments) => match segment(segments, id) {
                Ok(segment) => segment,
                Err(error) => {
                    ids.insert(id.clone());
                    found.refuse_line(error)?;
                    continue;
                }
            },
        };
        unused.remove(recording);
        let (number, _) = audio_list.values[id];
        let text = texts.as_ref().and_then(|texts| texts.get(id)).map(collapse);
        let refusal = match (files.get(recording), &text) {
            (None, _) => Some((
                Reason::MissingAudio,
                format!(
                    "{}, line {number}: wav.scp has no recording {recording}",
                    audio_list.path.display()
                ),
            )),
            (Some(Err(reason)), _) => Some((Reason::NotAFile, reason.clone())),
            (Some(Ok(_)), None) => Some((
                Reason::MissingTranscript,
                format!("{} has no line for it", text_path.display()),
            )),
            (Some(Ok(_)), Some(text)) if text.is_empty() => Some((
                Reason::EmptyTranscript,
                format!("{} has its id and no words", text_path.display()),
            )),
            _ => None,
        };
        if let Some((reason, detail)) = refusal {
            let new = ids.insert(id.clone());
            let reason = if new { reason } else { Reason::DuplicateId };
            found.refuse(id, reason, detail);
            continue;
        }
        let (Some(Ok(audio)), Some(text)) = (files.get(recording), text) else { continue };
        let speaker = speakers.as_ref().and_then(|speakers| speakers.get(id)).map(str::to_owned);
        let mut candidate = Candidate::new(id, audio.clone(), text, speaker, split);
        candidate.section = section;
        candidate.part = part.map(str::to_owned);
        found.push(candidate, ids);
    }
    // What has a transcript or a speaker, and no sound.
    let mut others: BTreeMap<&str, &str> = BTreeMap::new();
    for (table, name) in [(&speakers, "utt2spk"), (&texts, "text")] {
        for id in table.iter().flat_map(|table| &table.order) {
            if !audio_list.values.contains_key(id) {
                others.insert(id, name);
            }
        }
    }
    let list = audio_list.path.display();
    for (id, name) in others {
        found.refuse(id, Reason::MissingAudio, format!("{name} names it, {list} does not"));
    }
    if segments.is_some() && !unused.is_empty() {
        found.warnings.push(format!(
            "{} of the {} recordings of {} are in no segment",
            unused.len(),
            recordings.order.len(),
            recordings.path.display()
        ));
    }
    if speakers.is_none() {
        let path = folder.join("utt2spk");
        found.warnings.push(format!("{} is not there: no speakers are known", path.display()));
    }
    Ok(())
}

/// `recording start end`; an end of -1 is the end of the recording.
fn segment<'a>(segments: &'a Table, id: &str) -> Result<(&'a str, Option<Section>), PrepareError> {
    let (number, value) = &segments.values[id];
    let fault = |reason: String| broken(&segments.path, *number, reason);
    let fields: Vec<&str> = value.split_whitespace().collect();
    let [recording, start, end] = fields[..] else {
        return Err(fault("a segment is UTTERANCE RECORDING START END".to_owned()));
    };
    let number = |text: &str| {
        let value: Option<f64> = text.parse().ok().filter(|value: &f64| value.is_finite());
        value.ok_or_else(|| fault(format!("{text:?} is not a number of seconds")))
    };
    let (start, end) = (number(start)?, number(end)?);
    let duration = (end != -1.0).then_some(end - start);
    Ok((recording, Some(Section::new(start, duration))))
}

/// The file that a line of `wav.scp` names, or why it names none.
fn file_of(folders: &[PathBuf], value: &str) -> Result<PathBuf, String> {
    if value.ends_with('|') || value.starts_with('|') {
        return Err(format!(
            "wav.scp gives it as the output of a command, {value:?}, and commands are not run; write \
             the path of the file itself there, SPHERE, FLAC, MP3 and others are read as they are"
        ));
    }
    if value == "-" {
        return Err("wav.scp gives it as the standard input".to_owned());
    }
    let path = listed(folders, value);
    let offset = value.rsplit_once(':').is_some_and(|(archive, offset)| {
        !archive.is_empty() && !offset.is_empty() && offset.bytes().all(|b| b.is_ascii_digit())
    });
    if offset && !path.exists() {
        return Err(format!(
            "wav.scp gives it as a place in an archive, {value:?}; copy the recordings out of it"
        ));
    }
    Ok(path)
}
