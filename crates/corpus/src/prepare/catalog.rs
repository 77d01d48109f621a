//! Every corpus that `prepare` knows: its name, licence, split, and the function that reads it.

use super::{
    CorpusRecord, PrepareError, PrepareOptions, PrepareReport, an4, arctic, common_voice, csv,
    folder, fsdd, gigaspeech, kaldi, lhotse, librispeech, nemo, peoples_speech, speech_commands,
    speechocean762, ted_lium, timit, vctk, yesno,
};
use crate::Progress;

/// What is known of a corpus before it is read.
#[derive(Clone, Copy, Debug)]
pub struct CorpusInfo {
    /// As the command line names it.
    pub name: &'static str,
    /// In words.
    pub title: &'static str,
    /// Where a user gets it.
    pub home: &'static str,
    /// In a line.
    pub licence: &'static str,
    /// Which sets its publishers define, and how the others come about; short.
    pub split: &'static str,
    /// Whether this program was run on the corpus itself; otherwise on a small tree of its shape only.
    pub tried: bool,
    /// The split is its publishers'.
    pub published: bool,
    /// Reads it.
    pub prepare: fn(&PrepareOptions, Progress<'_>) -> Result<PrepareReport, PrepareError>,
}

/// All of them: corpora first, then the forms in which people keep their own.
pub const CORPORA: &[&CorpusInfo] = &[
    &an4::INFO,
    &fsdd::INFO,
    &yesno::INFO,
    &librispeech::INFO,
    &speechocean762::INFO,
    &common_voice::INFO,
    &speech_commands::INFO,
    &timit::INFO,
    &arctic::INFO,
    &vctk::INFO,
    &ted_lium::INFO,
    &gigaspeech::INFO,
    &peoples_speech::INFO,
    &kaldi::INFO,
    &lhotse::INFO,
    &nemo::INFO,
    &csv::INFO,
    &folder::INFO,
];

impl CorpusInfo {
    /// The corpus of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CORPORA.iter().copied().find(|info| info.name == name)
    }

    /// The record that is written beside the manifests.
    pub(crate) fn record(&self, options: &PrepareOptions, split_rule: String) -> CorpusRecord {
        CorpusRecord {
            corpus: self.name.to_owned(),
            title: self.title.to_owned(),
            home: self.home.to_owned(),
            licence: self.licence.to_owned(),
            published_split: self.published,
            speakers_shared: false,
            split_rule,
            hold_out: options.hold_out.clone(),
        }
    }
}
