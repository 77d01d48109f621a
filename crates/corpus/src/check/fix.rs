//! Manifests without what spoils a training: written into a folder of their own, with a ledger.
//!
//! What is wrong with a line alone is mended in it: a duration, a text whose accents are not composed or
//! that holds what cannot be seen, an id that another set has too. An utterance with any other error is
//! left out, with its reason in the ledger: `read = kept + refused`. What concerns a set as a whole (a
//! speaker in two sets) is told and left as it is: whom to move is not for a program to decide. Audio is
//! never touched; paths are written as they are seen from the new folder.

use super::Checked;
use super::error::CheckError;
use super::finding::{Finding, FindingKind, Severity, plural};
use super::recordings::groups_of_one_sound;
use super::sets::plain;
use super::survey::{Set, Survey};
use super::transcript::mended;
use crate::atomic::write_atomically;
use crate::ledger::{Ledger, Reason, Refusal};
use crate::manifest::{Manifest, Utterance};
use crate::prepare::CORPUS_FILE;
use crate::prepare::paths::manifest_path;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

/// The file beside the cleaned manifests that lists what was changed in their lines.
pub const REPAIRS_FILE: &str = "repairs.jsonl";

/// What was written.
#[derive(Clone, Debug)]
pub struct FixReport {
    /// The folder of the cleaned manifests.
    pub out: PathBuf,
    /// What was kept and what was left out.
    pub ledger: Ledger,
    /// How many values of each key were changed: `duration`, `text`, `id`.
    pub repairs: BTreeMap<&'static str, usize>,
    /// Errors that the cleaned manifests still have.
    pub unfixed: Vec<Finding>,
}

/// One change of a line.
#[derive(Serialize)]
struct Repair<'a> {
    set: &'a str,
    id: &'a str,
    key: &'static str,
    from: serde_json::Value,
    to: serde_json::Value,
}

/// An utterance by set and id.
type Key<'a> = (&'a str, &'a str);

impl Checked {
    /// Writes cleaned manifests of all sets, `ledger.jsonl`, `repairs.jsonl` and a copy of `corpus.json`
    /// into `out`, which must be another folder than the manifests'.
    ///
    /// # Errors
    /// [`CheckError::Occupied`] where something else stands in the way; nothing is written then.
    /// [`CheckError::NoManifests`] for a folder of recordings. [`CheckError::Write`] where the disk
    /// fails or is full.
    pub fn fix(&self, out: &Path) -> Result<FixReport, CheckError> {
        refuse_folder(&self.report.target, &self.sets, self.is_folder, out)?;
        let write = |source| CheckError::Write { path: out.to_owned(), source };
        fs::create_dir_all(out).map_err(write)?;
        let result = out.canonicalize().map_err(write).and_then(|to| self.fix_into(out, &to));
        if result.is_err() {
            // A folder that was made for what then failed; one that holds something stays.
            let _ = fs::remove_dir(out);
        }
        result
    }

    fn fix_into(&self, out: &Path, canonical: &Path) -> Result<FixReport, CheckError> {
        let refusals = self.refusals();
        let mut ids: HashSet<String> = HashSet::new();
        let mut ledger = Ledger::new();
        let mut repairs = BTreeMap::new();
        let mut repair_lines = String::new();
        let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        for set in &self.sets {
            let mut kept = Vec::new();
            for (line, reason) in &set.broken {
                let id = format!("{}, line {line}", set.name);
                ledger.refuse(Refusal::new(id, Reason::BrokenLine, reason));
            }
            for (id, detail) in &set.repeated {
                ledger.refuse(Refusal::new(id, Reason::DuplicateId, detail));
            }
            for (utterance, sound) in set.manifest.utterances.iter().zip(&set.sounds) {
                if let Some((reason, detail)) = refusals.get(&(&*set.name, &*utterance.id)) {
                    ledger.refuse(Refusal::new(&utterance.id, *reason, detail));
                    continue;
                }
                let seconds = sound.as_ref().map(|sound| sound.seconds);
                let mut mended = self.mend(utterance, seconds);
                if ids.contains(&mended.id) {
                    mended.id = free_name(&set.name, &mended.id, &ids);
                }
                let Some(moved) = moved(set.manifest.folder(), canonical, &mended) else {
                    let detail = "the path of its audio is not UTF-8".to_owned();
                    ledger.refuse(Refusal::new(&utterance.id, Reason::UnusableName, detail));
                    continue;
                };
                ids.insert(moved.id.clone());
                for repair in changes(&set.name, utterance, &moved) {
                    *repairs.entry(repair.key).or_insert(0) += 1;
                    // Strings and numbers always serialise.
                    repair_lines += &serde_json::to_string(&repair).unwrap_or_default();
                    repair_lines.push('\n');
                }
                kept.push(moved);
                ledger.keep();
            }
            let name = set.manifest.path.file_name().unwrap_or_default();
            let manifest = Manifest { path: out.join(name), utterances: kept };
            let mut bytes = Vec::new();
            manifest
                .write_jsonl(&mut bytes)
                .map_err(|source| CheckError::Write { path: manifest.path.clone(), source })?;
            files.push((manifest.path, bytes));
        }
        files.push((out.join("ledger.jsonl"), ledger.to_jsonl().into_bytes()));
        files.push((out.join(REPAIRS_FILE), repair_lines.into_bytes()));
        if let Some(record) = &self.report.corpus {
            let path = out.join(CORPUS_FILE);
            let text = serde_json::to_string_pretty(record)
                .map_err(|error| CheckError::Write { path: path.clone(), source: error.into() })?;
            files.push((path, format!("{text}\n").into_bytes()));
        }
        write_all(&files)?;
        let unfixed = self.report.findings.iter().filter(|finding| !is_fixed(finding));
        Ok(FixReport { out: out.to_owned(), ledger, repairs, unfixed: unfixed.cloned().collect() })
    }

    /// Who is left out, and why.
    fn refusals(&self) -> HashMap<Key<'_>, (Reason, String)> {
        let mut refusals = HashMap::new();
        for finding in &self.report.findings {
            let reason = finding.kind.refusal().filter(|_| finding.severity == Severity::Error);
            if let (Some(reason), Some(id)) = (reason, &finding.id) {
                refusals
                    .entry((&*finding.set, &**id))
                    .or_insert_with(|| (reason, finding.detail.clone()));
            }
        }
        let published = self.report.corpus.as_ref().is_some_and(|record| record.published_split);
        for group in groups_of_one_sound(&self.sets).iter().filter(|_| !published) {
            let (first_set, first) = group[0];
            // The sets come in the order train, dev, test: what is tested stays, so that the figure
            // is of the same utterances as before.
            let (last_set, last) = group[group.len() - 1];
            let text = |utterance: &Utterance| plain(&utterance.text, None);
            let differ = group.iter().any(|(_, utterance)| text(utterance) != text(first));
            for (set, utterance) in group {
                let other =
                    if set.name == last_set.name { (first_set, first) } else { (last_set, last) };
                let detail = match differ {
                    true => "the same sound stands with another transcript, and which is right is unknown".to_owned(),
                    false if set.name != last_set.name => {
                        format!("the same sound as {} in {}", other.1.id, other.0.name)
                    }
                    false => continue,
                };
                refusals
                    .entry((&*set.name, &*utterance.id))
                    .or_insert((Reason::DuplicateAudio, detail));
            }
        }
        refusals
    }

    /// The line with what can be mended in it.
    fn mend(&self, utterance: &Utterance, seconds: Option<f64>) -> Utterance {
        let mut better = utterance.clone();
        if let Some(seconds) = seconds
            && (seconds - utterance.duration).abs() > super::listen::DURATION_TOLERANCE
        {
            better.duration = seconds;
        }
        // Only where it was found fault with: plain spaces are the normaliser's.
        let mut found = Vec::new();
        super::transcript::judge(&utterance.text, true, &mut |_, kind, _| found.push(kind));
        let seen = [FindingKind::NotComposed, FindingKind::InvisibleCharacter];
        if found.iter().any(|kind| seen.contains(kind)) {
            better.text = mended(&utterance.text);
        }
        better
    }
}

/// A folder of recordings has nothing to clean; neither a manifest's own folder nor a file may be the
/// output.
fn refuse_folder(
    target: &Path,
    sets: &[Set],
    is_folder: bool,
    out: &Path,
) -> Result<(), CheckError> {
    let sharded = |set: &&Set| set.manifest.utterances.iter().any(|u| u.shard.is_some());
    if let Some(set) = sets.iter().find(sharded) {
        return Err(CheckError::Sharded { path: set.manifest.path.clone() });
    }
    if is_folder {
        return Err(CheckError::NoManifests { path: target.to_owned() });
    }
    let occupied = |reason| Err(CheckError::Occupied { path: out.to_owned(), reason });
    if out.exists() && !out.is_dir() {
        return occupied("is a file");
    }
    let canonical = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        path.canonicalize().ok()
    };
    let own = |set: &Set| canonical(set.manifest.folder()) == canonical(out);
    match canonical(out).is_some() && sets.iter().any(own) {
        true => occupied("is where the manifests lie that were checked"),
        false => Ok(()),
    }
}

impl Survey {
    /// Whether cleaned manifests could be written into `out`, so that nobody waits for a check whose
    /// result then has no place.
    ///
    /// # Errors
    /// [`CheckError::NoManifests`] and [`CheckError::Occupied`], as [`Checked::fix`].
    pub fn refuse_fix_into(&self, out: &Path) -> Result<(), CheckError> {
        refuse_folder(&self.target, &self.sets, self.is_folder, out)
    }
}

/// Whether the cleaned manifests are free of it; warnings are left alone.
fn is_fixed(finding: &Finding) -> bool {
    finding.severity == Severity::Warning
        || finding.id.is_some() && finding.kind.refusal().is_some()
        || matches!(
            finding.kind,
            FindingKind::BrokenLine
                | FindingKind::DuplicateId
                | FindingKind::WrongDuration
                | FindingKind::DuplicateAudio
        )
}

/// An id that no utterance has.
fn free_name(set: &str, id: &str, taken: &HashSet<String>) -> String {
    let mut name = format!("{set}-{id}");
    let mut number = 2;
    while taken.contains(&name) {
        name = format!("{set}-{id}-{number}");
        number += 1;
    }
    name
}

/// The utterance with its paths as they are seen from `to`; `None` where they cannot be written.
fn moved(from: &Path, to: &Path, utterance: &Utterance) -> Option<Utterance> {
    let path = |path: &str| -> Option<String> {
        if Path::new(path).is_absolute() {
            return Some(path.to_owned());
        }
        let folder = if from.as_os_str().is_empty() { Path::new(".") } else { from };
        let joined = folder.canonicalize().ok()?.join(path);
        // Only the system knows where `..` leads behind a link. Other links stay as they are named.
        let up = joined.components().any(|part| part == Component::ParentDir);
        let whole = if up { joined.canonicalize().unwrap_or(joined) } else { joined };
        manifest_path(to, &whole)
    };
    let mut moved = utterance.clone();
    moved.audio_filepath = path(&utterance.audio_filepath)?;
    if let Some(labels) = &utterance.labels {
        moved.labels = Some(path(labels)?);
    }
    Some(moved)
}

fn changes<'a>(set: &'a str, old: &'a Utterance, new: &Utterance) -> Vec<Repair<'a>> {
    let mut changes = Vec::new();
    let mut change = |key, from: serde_json::Value, to: serde_json::Value| {
        if from != to {
            changes.push(Repair { set, id: &old.id, key, from, to });
        }
    };
    change("id", old.id.clone().into(), new.id.clone().into());
    change("duration", old.duration.into(), new.duration.into());
    change("text", old.text.clone().into(), new.text.clone().into());
    changes
}

/// All files are compared before the first is written: a refusal changes nothing.
fn write_all(files: &[(PathBuf, Vec<u8>)]) -> Result<(), CheckError> {
    for (path, bytes) in files {
        if path.exists() && fs::read(path).map_or(true, |old| old != *bytes) {
            let reason = "already stands there and differs from what would be written";
            return Err(CheckError::Occupied { path: path.clone(), reason });
        }
    }
    for (path, bytes) in files {
        write_atomically(path, |writer| writer.write_all(bytes))
            .map_err(|source| CheckError::Write { path: path.clone(), source })?;
    }
    Ok(())
}

impl fmt::Display for FixReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "cleaned manifests in {}: {}", self.out.display(), self.ledger)?;
        if !self.repairs.is_empty() {
            let counts: Vec<String> =
                self.repairs.iter().map(|(key, count)| plural(*count, key)).collect();
            let file = self.out.join(REPAIRS_FILE);
            writeln!(formatter, "  changed {}, see {}", counts.join(", "), file.display())?;
        }
        for finding in &self.unfixed {
            let id = finding.id.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
            let (code, set, detail) = (finding.kind.code(), &finding.set, &finding.detail);
            writeln!(formatter, "  not mended {code} {set}{id}: {detail}")?;
        }
        Ok(())
    }
}
