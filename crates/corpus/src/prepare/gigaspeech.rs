//! GigaSpeech: `GigaSpeech.json` over recordings of many minutes, Opus at 16 kHz.
//!
//! The file is an object whose `audios` each have a `path` and `segments` with `sid`, `begin_time`,
//! `end_time`, `text_tn`, `speaker` and the `subsets` they belong to; it is read one recording at a time,
//! as it is of many gigabytes. `{DEV}` and `{TEST}` are the published sets, all else trains. Of the text
//! the tags of punctuation (`<COMMA>`, `<PERIOD>`, `<QUESTIONMARK>`, `<EXCLAMATIONPOINT>`) are dropped;
//! segments that are one of `<SIL>`, `<MUSIC>`, `<NOISE>`, `<OTHER>` hold no speech and are left out.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found, Split};
use super::catalog::CorpusInfo;
use super::lists::inside;
use super::section::Section;
use super::source::{Shape, locate};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use labyrinth_text::plain_words::in_plain_words;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "gigaspeech",
    title: "GigaSpeech, English from audiobooks, podcasts and videos",
    home: "https://github.com/SpeechColab/GigaSpeech",
    licence: "audio on request, non-commercial research; labels Apache 2.0",
    split: "published DEV and TEST",
    tried: false,
    published: true,
    prepare: prepare_gigaspeech,
};

const LIST: &str = "GigaSpeech.json";

const SHAPE: Shape = Shape {
    title: "GigaSpeech",
    expected: "the folder that holds GigaSpeech.json",
    archives: &[],
    mark: LIST,
    is_root: |folder| folder.join(LIST).is_file(),
    several: false,
};

#[derive(Deserialize)]
struct Audio {
    path: String,
    #[serde(default)]
    segments: Vec<Segment>,
}

#[derive(Deserialize)]
struct Segment {
    sid: String,
    begin_time: f64,
    end_time: f64,
    text_tn: String,
    #[serde(default)]
    speaker: Option<String>,
    #[serde(default)]
    subsets: Vec<String>,
}

/// Prepares GigaSpeech.
///
/// # Errors
/// [`PrepareError`] where the corpus is not under `from`, its JSON is broken, a disk fails, or the output
/// folder holds something else.
pub fn prepare_gigaspeech(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let located = locate(&SHAPE, options)?;
    let path = located.root.join(LIST);
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    let file = File::open(&path).map_err(PrepareError::read(&path))?;
    let mut take = |audio: Audio| enter(&located.root, audio, &mut found, &mut ids);
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(file));
    let result = Whole(&mut take).deserialize(&mut json).and_then(|()| json.end());
    result.map_err(|error| match error.io_error_kind() {
        Some(kind) => PrepareError::read(&path)(kind.into()),
        None => PrepareError::Line {
            path: path.clone(),
            line: error.line(),
            reason: format!("this is no GigaSpeech.json ({})", in_plain_words(&error.to_string())),
        },
    })?;
    let rule = "dev: {DEV}; test: {TEST}; train: all other segments";
    let record = INFO.record(options, rule.to_owned());
    let report = finish_with_sets(record, options, found, progress)?;
    located.keep();
    Ok(report)
}

fn enter(root: &Path, audio: Audio, found: &mut Found, ids: &mut BTreeSet<String>) {
    let file = inside(root, &audio.path);
    for segment in audio.segments {
        let id = segment.sid;
        let among = |set: &str| segment.subsets.iter().any(|subset| subset == set);
        let split = match (among("{DEV}"), among("{TEST}")) {
            (true, _) => Split::Dev,
            (_, true) => Split::Test,
            _ => Split::Train,
        };
        let text = spoken(&segment.text_tn);
        let refusal = match (&file, &text) {
            (None, _) => {
                Some((Reason::OutsideCorpus, format!("{:?} leads out of the corpus", audio.path)))
            }
            (_, Err(tag)) => Some((Reason::LeftOut, format!("it is {tag}, and no speech"))),
            (_, Ok(text)) if text.is_empty() => {
                Some((Reason::EmptyTranscript, format!("its text is {:?}", segment.text_tn)))
            }
            _ => None,
        };
        match (refusal, &file, text) {
            (None, Some(file), Ok(text)) => {
                let speaker = segment.speaker.filter(|name| !name.is_empty() && name != "N/A");
                let mut candidate = Candidate::new(id, file.clone(), text, speaker, split);
                candidate.section = Some(Section::between(segment.begin_time, segment.end_time));
                found.push(candidate, ids);
            }
            (Some((reason, detail)), ..) => {
                ids.insert(id.clone());
                found.refuse(&id, reason, detail);
            }
            _ => {}
        }
    }
}

/// The words without punctuation, or the tag that says that there are none.
fn spoken(text: &str) -> Result<String, &str> {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        match word {
            "<SIL>" | "<MUSIC>" | "<NOISE>" | "<OTHER>" => return Err(word),
            "<COMMA>" | "<PERIOD>" | "<QUESTIONMARK>" | "<EXCLAMATIONPOINT>" => {}
            word => words.push(word),
        }
    }
    Ok(words.join(" "))
}

/// The object as a whole: `audios` is handed on, all else is passed over.
struct Whole<'a, F>(&'a mut F);

impl<'de, F: FnMut(Audio)> DeserializeSeed<'de> for Whole<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Audio)> Visitor<'de> for Whole<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with audios")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "audios" {
                seen = true;
                map.next_value_seed(Audios(&mut *self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if seen { Ok(()) } else { Err(serde::de::Error::missing_field("audios")) }
    }
}

/// The list of recordings, one after another.
struct Audios<'a, F>(&'a mut F);

impl<'de, F: FnMut(Audio)> DeserializeSeed<'de> for Audios<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(Audio)> Visitor<'de> for Audios<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of recordings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(audio) = sequence.next_element()? {
            (self.0)(audio);
        }
        Ok(())
    }
}
