//! What is to be checked: the manifests of a folder, one manifest, or the recordings of a folder.
//!
//! Manifests are read line by line, and a line that is no utterance is a finding with its number, not the
//! end: of a million lines all that are broken are told at once, before any audio is decoded.

use super::error::CheckError;
use super::finding::{Finding, FindingKind, Severity};
use super::sound::Sound;
use crate::features::stored_features;
use crate::ledger::Ledger;
use crate::manifest::{Line, Manifest, ManifestError, ManifestLines, Utterance, manifest_files};
use crate::prepare::folder::{self, AUDIO_EXTENSIONS, FOREIGN_EXTENSIONS};
use crate::prepare::paths::{extension, files_under};
use crate::prepare::{CORPUS_FILE, CorpusRecord, is_there};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

/// Where so many lines come before the first that is an utterance, the file is no manifest.
const HOPELESS: usize = 20;

/// A manifest, or what stands in its place for a folder.
pub(super) struct Set {
    pub(super) name: String,
    pub(super) manifest: Manifest,
    /// Lines that are no utterance: number and reason.
    pub(super) broken: Vec<(usize, String)>,
    /// Utterances whose id stood in the manifest before: id and what is wrong. They are not listened
    /// to, since no program could tell them from the first.
    pub(super) repeated: Vec<(String, String)>,
    /// In the order of the manifest; `None` where the audio is faulty.
    pub(super) sounds: Vec<Option<Sound>>,
}

impl Set {
    /// Lines of the manifest that are not blank.
    pub(super) fn lines(&self) -> usize {
        self.manifest.utterances.len() + self.broken.len() + self.repeated.len()
    }

    /// The utterances of which a shard holds features and no sound.
    pub(super) fn read_as_features(&self) -> impl Iterator<Item = &Utterance> {
        self.manifest.utterances.iter().filter(|utterance| stored_features(utterance).is_some())
    }

    /// Each utterance with what was measured on it.
    pub(super) fn heard(&self) -> impl Iterator<Item = (&Utterance, &Sound)> {
        let pairs = self.manifest.utterances.iter().zip(&self.sounds);
        pairs.filter_map(|(utterance, sound)| Some((utterance, sound.as_ref()?)))
    }
}

/// A corpus whose manifests have been read, and none of its audio yet.
pub struct Survey {
    pub(super) target: PathBuf,
    pub(super) corpus: Option<CorpusRecord>,
    pub(super) sets: Vec<Set>,
    pub(super) findings: Vec<Finding>,
    /// The folder's own recordings are checked, for want of manifests.
    pub(super) is_folder: bool,
    /// All manifests of a folder are checked, not one that was named.
    whole: bool,
}

impl Survey {
    /// Reads the manifests of a prepared folder, one manifest, or the names in a folder of recordings.
    ///
    /// # Errors
    /// [`CheckError`] where the target cannot be read at all: no such file, no line that is an
    /// utterance, a failing disk.
    pub fn read(target: &Path) -> Result<Self, CheckError> {
        let path = || target.to_owned();
        match is_there(target) {
            Ok(true) => {}
            Ok(false) => return Err(CheckError::Missing { path: path() }),
            Err(source) => return Err(CheckError::Disk { path: path(), source }),
        }
        let whole = target.is_dir();
        let folder = if whole { target } else { target.parent().unwrap_or(Path::new("")) };
        let paths = if whole { manifests_in(target)? } else { vec![path()] };
        let mut survey = Self {
            target: path(),
            corpus: None,
            sets: Vec::new(),
            findings: Vec::new(),
            is_folder: paths.is_empty(),
            whole,
        };
        if survey.is_folder {
            let set = folder_set(target, &mut survey.findings)?;
            survey.sets.push(set);
            return Ok(survey);
        }
        if !whole && is_recording(target) {
            return Err(CheckError::Recording { path: path() });
        }
        survey.corpus = read_record(folder)?;
        for path in &paths {
            let set = read_set(path, &mut survey.findings)?;
            survey.sets.push(set);
        }
        if !whole && survey.sets.iter().all(|set| set.lines() == 0) {
            return Err(CheckError::Empty { path: path() });
        }
        if whole {
            survey.read_ledger()?;
            missing_sets(folder, &paths, &mut survey.findings);
        }
        Ok(survey)
    }

    /// What is known without listening: broken lines, ids that stand twice, missing sets.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The manifests, without the lines that are no utterances.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.sets.iter().map(|set| &set.manifest)
    }

    /// How many utterances there are to listen to.
    pub fn utterances(&self) -> usize {
        self.sets.iter().map(|set| set.manifest.utterances.len()).sum()
    }

    /// What the preparation left out is told again, a line for each reason; and whether the manifests
    /// still hold what it kept.
    fn read_ledger(&mut self) -> Result<(), CheckError> {
        let path = self.target.join("ledger.jsonl");
        if !path.exists() {
            return Ok(());
        }
        let ledger = Ledger::read(&path)?;
        let mut report = |kind, detail| {
            self.findings.push(Finding::of_set(Severity::Warning, kind, "ledger", detail));
        };
        for (reason, count) in ledger.reasons() {
            let first = ledger.refusals().iter().find(|refusal| refusal.reason == reason);
            let first = first.map_or("", |refusal| refusal.id.as_str());
            let see = path.display();
            let detail = format!("{count} left out as {reason} (first {first}), see {see}");
            report(FindingKind::RefusedInPreparation, detail);
        }
        let held: usize = self.sets.iter().map(Set::lines).sum();
        let usual = ["train", "dev", "test"];
        let complete = usual.iter().all(|name| self.sets.iter().any(|set| set.name == *name));
        if complete && held != ledger.kept_count() {
            let kept = ledger.kept_count();
            let detail =
                format!("{} says that {kept} were kept, the manifests hold {held}", path.display());
            report(FindingKind::LedgerDiffers, detail);
        }
        Ok(())
    }

    /// Recordings that lie in the folder, and in none of its manifests.
    pub(super) fn find_unlisted(&mut self) -> Result<(), CheckError> {
        if self.is_folder || !self.whole {
            return Ok(());
        }
        let mut listed: BTreeSet<PathBuf> = BTreeSet::new();
        // Also the manifests beside the three sets, such as those of the parts of a test set.
        let others = jsonl_files(&self.target)?;
        let known: Vec<PathBuf> = self.sets.iter().map(|set| set.manifest.path.clone()).collect();
        let beside = others.iter().filter(|path| !known.contains(path));
        let beside = beside.filter_map(|path| Manifest::read(path).ok());
        let beside: Vec<Manifest> = beside.collect();
        for manifest in self.sets.iter().map(|set| &set.manifest).chain(&beside) {
            for utterance in &manifest.utterances {
                listed.extend(manifest.audio_path(utterance).canonicalize());
            }
        }
        let refused = self.findings.iter().any(|f| f.kind == FindingKind::RefusedInPreparation);
        if refused || self.sets.iter().any(|set| !set.broken.is_empty()) {
            // What was refused lies there with good reason, under ids that are no paths.
            return Ok(());
        }
        // A folder below that may not be read hides its recordings from every other program too.
        let Ok(files) = files_under(&self.target) else { return Ok(()) };
        let unlisted: Vec<PathBuf> = files
            .into_iter()
            .filter(|path| AUDIO_EXTENSIONS.contains(&extension(path).as_str()))
            .filter(|path| path.canonicalize().is_ok_and(|path| !listed.contains(&path)))
            .collect();
        let Some(first) = unlisted.first() else { return Ok(()) };
        let detail = match unlisted.len() {
            1 => format!("{} stands in no manifest", first.display()),
            count => format!("{count} recordings stand in no manifest (first {})", first.display()),
        };
        let finding =
            Finding::of_set(Severity::Warning, FindingKind::UnlistedAudio, "folder", detail);
        self.findings.push(finding);
        Ok(())
    }
}

/// The three sets, or else every manifest of the folder.
fn manifests_in(folder: &Path) -> Result<Vec<PathBuf>, CheckError> {
    let usual: Vec<PathBuf> = ["train", "dev", "test"]
        .iter()
        .map(|name| folder.join(format!("{name}.jsonl")))
        .filter(|path| path.is_file())
        .collect();
    if usual.is_empty() { jsonl_files(folder) } else { Ok(usual) }
}

fn jsonl_files(folder: &Path) -> Result<Vec<PathBuf>, CheckError> {
    manifest_files(folder).map_err(|source| CheckError::Disk { path: folder.to_owned(), source })
}

/// Whether a file that was named as a manifest is audio: by its name, or by how it begins.
fn is_recording(path: &Path) -> bool {
    use std::io::Read;
    let end = extension(path);
    if AUDIO_EXTENSIONS.contains(&end.as_str()) || FOREIGN_EXTENSIONS.contains(&end.as_str()) {
        return true;
    }
    let mut head = [0; 4];
    let regular = path.is_file() && !labyrinth_signal::is_special_file(path);
    let read =
        regular && std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut head)).is_ok();
    read && [b"RIFF", b"fLaC", b"OggS", b"NIST"].contains(&&head)
}

/// Reads one manifest, broken lines and all.
fn read_set(path: &Path, findings: &mut Vec<Finding>) -> Result<Set, CheckError> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut reader = ManifestLines::open(path)?;
    let (mut utterances, mut broken, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    let mut first_error = None;
    let mut first_lines: HashMap<String, usize> = HashMap::new();
    loop {
        match reader.next_line() {
            Ok(Some(Line { number, utterance, .. })) => {
                if let Some(first) = first_lines.get(&utterance.id) {
                    let detail = format!("line {number}: the id stands in line {first} already");
                    repeated.push((utterance.id, detail));
                } else {
                    first_lines.insert(utterance.id.clone(), number);
                    utterances.push(utterance);
                }
            }
            Ok(None) => break,
            Err(error) => {
                let ManifestError::Line { line, reason, .. } = &error else {
                    return Err(error.into());
                };
                broken.push((*line, reason.clone()));
                first_error.get_or_insert(error);
                if utterances.is_empty() && broken.len() == HOPELESS {
                    break;
                }
            }
        }
    }
    if utterances.is_empty()
        && let Some(error) = first_error
    {
        return Err(error.into());
    }
    let file = path.display();
    for (line, reason) in &broken {
        let detail = format!("{file}, line {line}: {reason}");
        let (severity, kind) = (Severity::Error, FindingKind::BrokenLine);
        findings.push(Finding::of_set(severity, kind, &name, detail));
    }
    for (id, detail) in &repeated {
        let (severity, kind) = (Severity::Error, FindingKind::DuplicateId);
        let detail = format!("{file}, {detail}");
        findings.push(Finding::of_one(severity, kind, &name, id, detail));
    }
    let manifest = Manifest { path: path.to_owned(), utterances };
    Ok(Set { name, manifest, broken, repeated, sounds: Vec::new() })
}

fn read_record(folder: &Path) -> Result<Option<CorpusRecord>, CheckError> {
    let path = folder.join(CORPUS_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| CheckError::Record { path, reason: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CheckError::Disk { path, source }),
    }
}

/// A folder of recordings as one set, its unpaired files as findings.
fn folder_set(target: &Path, findings: &mut Vec<Finding>) -> Result<Set, CheckError> {
    let found = folder::find(target)?;
    if found.candidates.is_empty() && found.refusals.is_empty() {
        return Err(CheckError::Nothing { path: target.to_owned() });
    }
    let name = "folder".to_owned();
    for refusal in found.refusals {
        let kind = FindingKind::of(refusal.reason);
        findings.push(Finding::of_one(Severity::Error, kind, &name, &refusal.id, refusal.detail));
    }
    let mut utterances = Vec::new();
    for candidate in found.candidates {
        // A path that is not UTF-8 was refused by its id already, unless the folder's own name is it.
        let path = candidate.audio.to_string_lossy().into_owned();
        let mut utterance = Utterance::new(candidate.id, path, f64::NAN, candidate.text);
        utterance.speaker = candidate.speaker;
        utterances.push(utterance);
    }
    let manifest = Manifest { path: target.join("folder.jsonl"), utterances };
    Ok(Set { name, manifest, broken: Vec::new(), repeated: Vec::new(), sounds: Vec::new() })
}

/// Names the usual sets whose manifests are not among `paths`, where any of the three is. Train and dev
/// belong together; a lone test set may be all there is to a corpus.
fn missing_sets(folder: &Path, paths: &[PathBuf], findings: &mut Vec<Finding>) {
    let there = |name: &str| paths.iter().any(|path| path.file_stem().is_some_and(|s| s == name));
    if !["train", "dev", "test"].iter().any(|name| there(name)) {
        return;
    }
    for name in ["train", "dev", "test"].into_iter().filter(|name| !there(name)) {
        let trained = there("train") || there("dev");
        let needed = name != "test" && trained;
        let severity = if needed { Severity::Error } else { Severity::Warning };
        let path = folder.join(format!("{name}.jsonl"));
        let detail = format!("there is no {}", path.display());
        findings.push(Finding::of_set(severity, FindingKind::MissingSet, name, detail));
    }
}
