//! TIMIT: 630 speakers of eight American dialects read ten sentences each, with phones by hand.
//!
//! A tree `TRAIN|TEST/DIALECT/SPEAKER/SENTENCE.{WAV,TXT,PHN,WRD}`, names in upper or lower case; the WAV
//! are SPHERE, or RIFF as converted copies have them (`SA1.WAV.wav`). `.PHN` is the utterance's label
//! track.
//!
//! The split is the usual one. Test: the core test set, 24 speakers, 192 utterances. Dev: the 50 speakers
//! of the full test set that Halberstadt (1998) chose and Kaldi's recipe took over, 400 utterances. Train:
//! the 462 training speakers, 3696 utterances. The two SA sentences, which everybody reads, are left out
//! of all, and so are the other 94 speakers of the full test set; the ledger names each.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found, Split};
use super::catalog::CorpusInfo;
use super::folder::read_text;
use super::paths::{entries, extension, files_under};
use super::source::{Shape, locate};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "timit",
    title: "TIMIT, read American English with phones",
    home: "https://catalog.ldc.upenn.edu/LDC93S1",
    licence: "LDC user agreement, paid",
    split: "core test set; Halberstadt's dev; no SA sentences",
    tried: false,
    published: true,
    prepare: prepare_timit,
};

const PUBLISHED_UTTERANCES: usize = 6300;

/// TIMIT's testset.doc: of each dialect two men and a woman.
const CORE_TEST: [&str; 24] = [
    "mdab0", "mwbt0", "felc0", "mtas1", "mwew0", "fpas0", "mjmp0", "mlnt0", "fpkt0", "mlll0",
    "mtls0", "fjlm0", "mbpm0", "mklt0", "fnlp0", "mcmj0", "mjdh0", "fmgd0", "mgrt0", "mnjm0",
    "fdhc0", "mjln0", "mpam0", "fmld0",
];

/// The development speakers.
const DEV: [&str; 50] = [
    "faks0", "fdac1", "fjem0", "mgwt0", "mjar0", "mmdb1", "mmdm2", "mpdf0", "fcmh0", "fkms0",
    "mbdg0", "mbwm0", "mcsh0", "fadg0", "fdms0", "fedw0", "mgjf0", "mglb0", "mrtk0", "mtaa0",
    "mtdt0", "mthc0", "mwjg0", "fnmr0", "frew0", "fsem0", "mbns0", "mmjr0", "mdls0", "mdlf0",
    "mdvc0", "mers0", "fmah0", "fdrw0", "mrcs0", "mrjm4", "fcal1", "mmwh0", "fjsj0", "majc0",
    "mjsw0", "mreb0", "fgjd0", "fjmg0", "mroa0", "mteb0", "mjfc0", "mrjr0", "fmml0", "mrws1",
];

const SHAPE: Shape = Shape {
    title: "TIMIT",
    expected: "the folder that holds TRAIN and TEST",
    archives: &["timit"],
    mark: "the folders TRAIN and TEST with DR1 and others in them",
    is_root: |folder| {
        ["train", "test"].iter().all(|set| {
            below(folder, set).is_some_and(|set| {
                (1..=8).any(|dialect| below(&set, &format!("dr{dialect}")).is_some())
            })
        })
    },
    several: false,
};

/// Prepares TIMIT.
///
/// # Errors
/// [`PrepareError`] where the corpus is not under `from`, a disk fails, or the output folder holds
/// something else.
pub fn prepare_timit(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let located = locate(&SHAPE, options)?;
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    let mut phones = 0;
    for (set, training) in [("train", true), ("test", false)] {
        let Some(folder) = below(&located.root, set) else { continue };
        for (stem, files) in sentences(&folder)? {
            phones += usize::from(files.phones.is_some());
            read_sentence(&stem, files, training, &mut found, &mut ids)?;
        }
    }
    if phones == 0 {
        found.warnings.push("this copy holds no .PHN: the manifests have no labels".to_owned());
        for candidate in &mut found.candidates {
            candidate.labels = None;
        }
    }
    let read = found.candidates.len() + found.refusals.len();
    if read != PUBLISHED_UTTERANCES {
        found.warnings.push(format!(
            "this copy holds {read} utterances, the published corpus {PUBLISHED_UTTERANCES}: figures \
             do not compare with others'"
        ));
    }
    let rule = "test: the core test set, 24 speakers; dev: 50 other speakers of the full test set; \
                train: TRAIN; the sentences SA1 and SA2 and the other test speakers are left out";
    let record = INFO.record(options, rule.to_owned());
    let report = finish_with_sets(record, options, found, progress)?;
    located.keep();
    Ok(report)
}

/// The files of a sentence.
#[derive(Default)]
struct Files {
    audio: Option<PathBuf>,
    text: Option<PathBuf>,
    phones: Option<PathBuf>,
}

/// Every sentence of a set by its path without ends, whatever the case of these.
fn sentences(folder: &Path) -> Result<BTreeMap<PathBuf, Files>, PrepareError> {
    let mut sentences: BTreeMap<PathBuf, Files> = BTreeMap::new();
    for path in files_under(folder)? {
        let mut stem = path.with_extension("");
        let end = extension(&path);
        let converted = end == "wav" && extension(&stem) == "wav";
        if converted {
            stem = stem.with_extension("");
        }
        let files = match end.as_str() {
            "wav" | "phn" | "txt" => sentences.entry(stem).or_default(),
            _ => continue,
        };
        match end.as_str() {
            "phn" => files.phones = Some(path),
            "txt" => files.text = Some(path),
            // The original before a converted copy.
            _ if converted && files.audio.is_some() => {}
            _ => files.audio = Some(path),
        }
    }
    // A lone text is no sentence of the corpus, but a README.
    sentences.retain(|_, files| files.audio.is_some() || files.phones.is_some());
    Ok(sentences)
}

fn read_sentence(
    stem: &Path,
    files: Files,
    training: bool,
    found: &mut Found,
    ids: &mut BTreeSet<String>,
) -> Result<(), PrepareError> {
    let part = |path: Option<&Path>| {
        let name = path.and_then(Path::file_name).unwrap_or_default();
        name.to_string_lossy().to_lowercase()
    };
    let (sentence, speaker) = (part(Some(stem)), part(stem.parent()));
    let id = format!("{speaker}_{sentence}");
    let split = match training {
        true => Split::Train,
        false if CORE_TEST.contains(&speaker.as_str()) => Split::Test,
        _ => Split::Dev,
    };
    let refusal = if sentence.starts_with("sa") {
        Some((Reason::LeftOut, "everybody reads the SA sentences: no set holds them".to_owned()))
    } else if split == Split::Dev && !DEV.contains(&speaker.as_str()) {
        let detail =
            format!("{speaker} is neither of the core test set nor of the development set");
        Some((Reason::LeftOut, detail))
    } else if files.audio.is_none() {
        Some((Reason::MissingAudio, format!("{}.WAV is not there", stem.display())))
    } else {
        None
    };
    let text = match (&refusal, &files.text) {
        (Some(_), _) => Ok(String::new()),
        (None, None) => {
            Err((Reason::MissingTranscript, format!("{}.TXT is not there", stem.display())))
        }
        (None, Some(path)) => match read_text(path)? {
            Err(fault) => {
                Err((Reason::UnreadableTranscript, format!("{} {fault}", path.display())))
            }
            Ok(text) => spoken(&text).ok_or_else(|| {
                let detail = format!("{} is not FIRST LAST WORDS", path.display());
                (Reason::EmptyTranscript, detail)
            }),
        },
    };
    match (refusal.map_or(text, Err), files.audio) {
        (Ok(text), Some(audio)) => {
            let mut candidate = Candidate::new(id, audio, text, Some(speaker), split);
            // Where it is missing, the path it should have says so in the ledger.
            candidate.labels = Some(files.phones.unwrap_or_else(|| stem.with_extension("PHN")));
            found.push(candidate, ids);
        }
        (Err((reason, detail)), _) => {
            ids.insert(id.clone());
            found.refuse(&id, reason, detail);
        }
        (Ok(_), None) => {}
    }
    Ok(())
}

/// The words of `0 46797 She had …`.
fn spoken(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let number = |word: Option<&str>| word?.parse::<u64>().ok();
    number(words.next())?;
    number(words.next())?;
    let words: Vec<&str> = words.collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The folder of this name in any case.
fn below(folder: &Path, name: &str) -> Option<PathBuf> {
    entries(folder).ok()?.into_iter().find(|path| {
        path.is_dir() && path.file_name().is_some_and(|found| found.eq_ignore_ascii_case(name))
    })
}
