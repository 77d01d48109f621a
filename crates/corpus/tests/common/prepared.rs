//! Corpora prepared from small trees, and what always holds of them.

use super::trees::{Files, set, silent, tree};
use labyrinth_corpus::clip::read_clip;
use labyrinth_corpus::{
    CorpusInfo, Ledger, PrepareError, PrepareOptions, PrepareReport, Reason, read_labels,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A folder with small trees of corpora, and what is prepared of them.
pub struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, files: &Files) {
        tree(self.folder.path(), files);
    }

    pub fn options(&self, from: &str, out: &str) -> PrepareOptions {
        PrepareOptions::new(self.path(from), self.path(out))
    }

    pub fn try_prepare(
        &self,
        corpus: &str,
        from: &str,
        out: &str,
    ) -> Result<PrepareReport, PrepareError> {
        (CorpusInfo::named(corpus).unwrap().prepare)(&self.options(from, out), &silent)
    }

    /// How a line that cannot be read is told: in the ledger, or, where nothing is left, as an error.
    pub fn told_of_line(&self, corpus: &str, from: &str) -> String {
        match self.try_prepare(corpus, from, "line") {
            Err(error) => error.to_string(),
            Ok(report) => {
                self.sound(&report, "line");
                std::fs::remove_dir_all(self.path("line")).unwrap();
                let broken = report.ledger.refusals().iter();
                let broken: Vec<_> = broken.filter(|r| r.reason == Reason::BrokenLine).collect();
                let [refusal] = broken[..] else { panic!("{broken:?}") };
                assert!(refusal.id.contains(", line "), "{}", refusal.id);
                refusal.detail.clone()
            }
        }
    }

    /// Prepares and checks what always holds.
    pub fn prepare(&self, corpus: &str, from: &str, out: &str) -> PrepareReport {
        let report = self.try_prepare(corpus, from, out).unwrap();
        self.sound(&report, out);
        // The same input gives the same bytes, and is no change.
        assert_eq!(self.try_prepare(corpus, from, out).unwrap(), report);
        report
    }

    /// The ledger adds up, the sets are disjoint, every section can be read and is as long as it says.
    pub fn sound(&self, report: &PrepareReport, out: &str) {
        let ledger = Ledger::read(&self.path(out).join("ledger.jsonl")).unwrap();
        assert_eq!(ledger, report.ledger);
        let mut seen = BTreeSet::new();
        for name in ["train", "dev", "test"] {
            let manifest = set(&self.path(out), name);
            for utterance in &manifest.utterances {
                assert!(seen.insert(utterance.id.clone()), "{} is in two sets", utterance.id);
                let audio = read_clip(manifest.folder(), utterance).unwrap();
                assert!((audio.duration() - utterance.duration).abs() < 1e-3, "{utterance:?}");
                read_labels(manifest.folder(), utterance, audio.sample_rate).unwrap();
            }
        }
        assert_eq!(seen.len(), ledger.kept_count());
    }

    /// Id, text, speaker and offset of a set.
    pub fn lines(
        &self,
        out: &str,
        name: &str,
    ) -> Vec<(String, String, Option<String>, Option<f64>)> {
        let lines = set(&self.path(out), name).utterances.into_iter();
        lines.map(|u| (u.id, u.text, u.speaker, u.offset)).collect()
    }

    /// The sentence that refuses a preparation, which leaves nothing behind.
    pub fn refusal(&self, corpus: &str, from: &str) -> String {
        let out = format!("refused-{corpus}");
        let error = self.try_prepare(corpus, from, &out).expect_err("it was accepted").to_string();
        assert!(!self.path(&out).exists(), "{out} was left behind by: {error}");
        assert!(!error.contains('\n'), "{error}");
        error
    }
}

pub fn refused(report: &PrepareReport) -> BTreeMap<&str, Reason> {
    report.ledger.refusals().iter().map(|r| (r.id.as_str(), r.reason)).collect()
}

pub fn warned(report: &PrepareReport, what: &str) -> bool {
    report.warnings.iter().any(|warning| warning.contains(what))
}

pub fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

pub fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
