//! A fault that is planted into a sound corpus, and whether `check` finds it as it must.

use super::spoken::Corpus;
use labyrinth_corpus::{CheckContext, CheckReport, FindingKind, Severity, check};
use labyrinth_signal::FeatureOptions;
use labyrinth_text::{Alphabet, Normalizer, NormalizerOptions, Units};
use std::path::Path;
use std::sync::Arc;

/// What is planted, and how it must be found.
pub struct Fault {
    pub name: &'static str,
    pub plant: fn(&mut Corpus),
    pub severity: Severity,
    pub kind: FindingKind,
    /// The utterance, or the set where the finding is about a set.
    pub about: &'static str,
    /// A part of the sentence.
    pub says: &'static str,
    /// Checked with a recipe.
    pub recipe: bool,
}

pub const fn error(
    name: &'static str,
    kind: FindingKind,
    about: &'static str,
    says: &'static str,
    plant: fn(&mut Corpus),
) -> Fault {
    Fault { name, plant, severity: Severity::Error, kind, about, says, recipe: false }
}

pub const fn warning(
    name: &'static str,
    kind: FindingKind,
    about: &'static str,
    says: &'static str,
    plant: fn(&mut Corpus),
) -> Fault {
    Fault { name, plant, severity: Severity::Warning, kind, about, says, recipe: false }
}

pub const fn with_recipe(fault: Fault) -> Fault {
    Fault { recipe: true, ..fault }
}

/// Letters and an apostrophe; a frame of the model for each 40 ms.
fn recipe() -> CheckContext {
    let letters = "' abcdefghijklmnopqrstuvwxyz";
    CheckContext {
        normalizer: Normalizer::new(&NormalizerOptions::default()).unwrap(),
        alphabet: Alphabet::from_transcripts(Units::Characters, [letters].into_iter()),
        lexicon: None,
        framewise: false,
        features: FeatureOptions::default(),
        output_frames: Arc::new(|frames: usize| frames.div_ceil(4)),
    }
}

/// What `check` says.
pub fn report_on(folder: &Path, with_recipe: bool) -> CheckReport {
    let recipe = with_recipe.then(recipe);
    check(folder, recipe.as_ref(), &|_, _| {}).unwrap()
}

/// What is wrong with how the fault is told, if anything.
fn verdict(fault: &Fault, report: &CheckReport) -> Result<(), String> {
    let of_kind: Vec<_> = report.findings.iter().filter(|f| f.kind == fault.kind).collect();
    let found = of_kind.iter().find(|finding| {
        let about = finding.id.as_deref().unwrap_or(&finding.set);
        about == fault.about && finding.detail.contains(fault.says)
    });
    let Some(found) = found else {
        let code = fault.kind.code();
        return Err(format!("no {code} of {} that says {:?}", fault.about, fault.says));
    };
    if found.severity != fault.severity {
        return Err(format!("it is told as {:?}", found.severity));
    }
    if of_kind.len() > 1 {
        return Err(format!("it is told {} times", of_kind.len()));
    }
    let others = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    match others.filter(|finding| finding.kind != fault.kind).count() {
        0 => Ok(()),
        count => Err(format!("{count} errors of other kinds are told as well")),
    }
}

/// Plants each by itself into a copy of a sound corpus.
pub fn each_is_found(faults: &[Fault]) {
    let sound = Corpus::sound();
    let mut failures = Vec::new();
    for fault in faults {
        let mut corpus = sound.copy();
        (fault.plant)(&mut corpus);
        corpus.write();
        let report = report_on(&corpus.folder, fault.recipe);
        if let Err(why) = verdict(fault, &report) {
            failures.push(format!("{}: {why}\n{report}", fault.name));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        faults.len(),
        failures.join("\n")
    );
}
