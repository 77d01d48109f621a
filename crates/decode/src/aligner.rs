//! A model file that says when each part of a known transcript was said.
//!
//! What is aligned are the labels of one of the model's heads: letters, words or phonemes. Words come from
//! each of them. Phonemes come from a head of phonemes where the model has one; where it has none, the
//! words are aligned and each is cut into equal parts, one for each phoneme of its first pronunciation in
//! the lexicon, which is a makeshift and is said so ([`Alignment::makeshift`]).
//!
//! Book: book/src/alignment.md

use labyrinth_kernels::Cpu;
use labyrinth_nn::{Head, ModelFile, ModelHeader, Objective};
use labyrinth_signal::{Audio, FeatureError};
use labyrinth_text::{
    Lexicon, Normalizer, NormalizerError, OutsideAlphabet, OutsideLexicon, Units,
};

use crate::align::{AlignError, BoundaryRule, best_path_of_ways, spread};
use crate::greedy::{Token, Word};
use crate::quiet::quiet_frames;
use crate::recognizer::{Recognizer, RecognizerError};

/// What shall be aligned.
#[derive(Clone, Debug, Default)]
pub struct AlignerOptions {
    /// Letters ([`Units::Characters`]), words or phonemes; `None`: the labels of the model's first head.
    pub units: Option<Units>,
    /// Takes the place of the model's own lexicon.
    pub lexicon: Option<Lexicon>,
    /// Where labels end and begin.
    pub rule: BoundaryRule,
    /// Whether pauses are given to the labels beside them, half to each, instead of to none.
    pub keep_pauses: bool,
}

/// When the parts of a transcript were said.
#[derive(Clone, Debug, PartialEq)]
pub struct Alignment {
    /// The units that were asked for, in order. Spaces between words are not among the letters.
    pub labels: Vec<Word>,
    /// The words.
    pub words: Vec<Word>,
    /// The logarithm of the probability of the best path, over the number of frames.
    pub score: f64,
    /// Whether the phonemes are equal parts of words, since the model knows none.
    pub makeshift: bool,
    /// Seconds of the recording.
    pub seconds: f64,
}

/// Why a recording could not be aligned.
#[derive(Debug, thiserror::Error)]
pub enum AlignerError {
    /// The model does not do this.
    #[error("{0}")]
    Model(String),
    /// Nothing is said.
    #[error("nothing is left of {text:?} after normalisation, so there is nothing to align")]
    Empty {
        /// The transcript as given.
        text: String,
    },
    /// The transcript holds what the model cannot write.
    #[error(transparent)]
    OutsideAlphabet(#[from] OutsideAlphabet),
    /// The transcript holds words that the lexicon lacks.
    #[error(transparent)]
    OutsideLexicon(#[from] OutsideLexicon),
    /// There is no path.
    #[error(transparent)]
    Path(#[from] AlignError),
    /// The features refuse the sample rate.
    #[error(transparent)]
    Rate(FeatureError),
    /// The model failed.
    #[error(transparent)]
    Recognizer(#[from] RecognizerError),
    /// Its normaliser cannot be made.
    #[error(transparent)]
    Normalizer(#[from] NormalizerError),
}

/// A head, and where its labels stand in an output frame.
struct Chosen {
    head: Head,
    begin: usize,
}

/// A transcript as labels of a head: pieces one after another, each with the ways in which it is said.
struct Script {
    pieces: Vec<Piece>,
    words: Vec<String>,
}

/// A part of a transcript: a word with all its pronunciations, or all of it where there is one way only.
struct Piece {
    /// Each a sequence of labels.
    ways: Vec<Vec<u32>>,
    /// The word that each label belongs to, way by way; none for a space.
    word_of: Vec<Vec<Option<usize>>>,
}

/// A model file, ready to align.
pub struct Aligner {
    recognizer: Recognizer,
    normalizer: Normalizer,
    options: AlignerOptions,
    chosen: Chosen,
    units: Units,
}

impl Aligner {
    /// Takes a model and decides which of its heads is aligned.
    ///
    /// # Errors
    /// [`AlignerError::Model`] where the model cannot give these units.
    pub fn new(model: ModelFile, cpu: Cpu, options: AlignerOptions) -> Result<Self, AlignerError> {
        let header = &model.header;
        let normalizer = Normalizer::new(&header.normalizer)?;
        let units = options.units.unwrap_or(header.alphabet.units());
        let chosen = choose(header, units, options.lexicon.as_ref())?;
        let recognizer = Recognizer::new(model, cpu)?;
        Ok(Self { recognizer, normalizer, options, chosen, units })
    }

    /// What the model file says of itself.
    pub fn header(&self) -> &ModelHeader {
        self.recognizer.header()
    }

    /// Samples per second that the model hears.
    pub fn sample_rate(&self) -> u32 {
        self.recognizer.sample_rate()
    }

    /// The units that are aligned.
    pub fn units(&self) -> Units {
        self.units
    }

    /// Says when each part of `transcript` was said in `audio`.
    ///
    /// # Errors
    /// [`AlignerError`]; with fewer frames than the transcript needs it has all numbers.
    pub fn align(&mut self, audio: &Audio, transcript: &str) -> Result<Alignment, AlignerError> {
        self.recognizer.check_rate(audio).map_err(AlignerError::Rate)?;
        let text = self.normalizer.apply(transcript);
        if text.is_empty() {
            return Err(AlignerError::Empty { text: transcript.to_owned() });
        }
        let script = script(&self.chosen.head, self.lexicon(), &text)?;
        let (outputs, begin) = (self.recognizer.header().outputs(), self.chosen.begin);
        let labels = self.chosen.head.alphabet.len();
        let logits = self.recognizer.logits(audio)?;
        let scores: Vec<f32> = logits
            .chunks_exact(outputs)
            .flat_map(|row| row[begin..begin + labels].iter().copied())
            .collect(); // [frames, labels]
        let ways: Vec<Vec<Vec<u32>>> =
            script.pieces.iter().map(|piece| piece.ways.clone()).collect();
        let (path, chosen) = best_path_of_ways(&scores, labels, &ways)?;
        let word_of = script.pieces.iter().zip(chosen).flat_map(|(piece, way)| &piece.word_of[way]);
        let frames = scores.len() / labels;
        let (center, hop) = self.recognizer.header().frame_times();
        let quiet = quiet_frames(&audio.mono(), audio.sample_rate, center, hop, frames);
        let (keep_pauses, rule) = (self.options.keep_pauses, self.options.rule);
        let spans = spread(&path.peaks, &scores, labels, &quiet, keep_pauses, rule);
        let seconds = audio.duration();
        let times = |span: &Token| {
            // A frame is the time around its centre that is one hop long; the first begins and the last
            // ends with the recording.
            let start =
                if span.start == 0 { 0.0 } else { center + (span.start as f64 - 0.5) * hop };
            let end =
                if span.end == frames { seconds } else { center + (span.end as f64 - 0.5) * hop };
            (start.clamp(0.0, seconds), end.clamp(0.0, seconds))
        };
        let mut words: Vec<Word> = script
            .words
            .iter()
            .map(|text| Word { text: text.clone(), start: f64::INFINITY, end: 0.0 })
            .collect();
        let mut letters = Vec::new();
        for (span, word) in spans.iter().zip(word_of) {
            let Some(word) = word else { continue };
            let (start, end) = times(span);
            words[*word].start = words[*word].start.min(start);
            words[*word].end = words[*word].end.max(end);
            let symbol = self.chosen.head.alphabet.symbol(span.label).unwrap_or("\u{fffd}");
            letters.push(Word { text: symbol.to_owned(), start, end });
        }
        let makeshift =
            self.units == Units::Phonemes && self.chosen.head.alphabet.units() != Units::Phonemes;
        let labels = match self.units {
            Units::Words => words.clone(),
            _ if makeshift => self.equal_parts(&words)?,
            _ => letters,
        };
        let score = path.log_probability / frames.max(1) as f64;
        Ok(Alignment { labels, words, score, makeshift, seconds })
    }

    fn lexicon(&self) -> Option<&Lexicon> {
        self.options.lexicon.as_ref().or(self.chosen.head.lexicon.as_ref())
    }

    /// The phonemes of words, as long as each other within a word.
    fn equal_parts(&self, words: &[Word]) -> Result<Vec<Word>, OutsideLexicon> {
        let mut parts = Vec::new();
        for word in words {
            let phonemes = match self.lexicon() {
                Some(lexicon) => lexicon.pronounce(&word.text)?,
                None => word.text.clone(),
            };
            let count = phonemes.split_whitespace().count() as f64;
            for (index, phoneme) in phonemes.split_whitespace().enumerate() {
                let at = |index: f64| word.start + (word.end - word.start) * index / count;
                let (start, end) = (at(index as f64), at(index as f64 + 1.0));
                parts.push(Word { text: phoneme.to_owned(), start, end });
            }
        }
        Ok(parts)
    }
}

/// The head whose labels give `units`.
fn choose(
    header: &ModelHeader,
    units: Units,
    lexicon: Option<&Lexicon>,
) -> Result<Chosen, AlignerError> {
    let refuse = |reason: &str| Err(AlignerError::Model(reason.to_owned()));
    if header.objective == Objective::Framewise {
        return refuse(
            "this model names the label of each frame and was not trained by CTC, so it does not align; \
             `labyrinth transcribe` gives its labels with their times",
        );
    }
    let first = Head { alphabet: header.alphabet.clone(), lexicon: header.lexicon.clone() };
    let mut begin = 0;
    let mut heads = Vec::new();
    for head in std::iter::once(&first).chain(&header.auxiliary) {
        heads.push((begin, head));
        begin += head.alphabet.len();
    }
    let of = |units: Units| {
        let found = heads.iter().find(|(_, head)| head.alphabet.units() == units);
        found.map(|&(begin, head)| Chosen { head: head.clone(), begin })
    };
    match units {
        Units::Characters => of(units).map_or_else(
            || refuse("this model has no letters; align --units words or phonemes with it"),
            Ok,
        ),
        // All heads give words; the first is what the model was made for.
        Units::Words => Ok(Chosen { head: first, begin: 0 }),
        Units::Phonemes => match (of(units), lexicon) {
            (Some(chosen), _) => Ok(chosen),
            (None, Some(_)) => Ok(Chosen { head: first, begin: 0 }),
            (None, None) => refuse(
                "this model has no phonemes: name a lexicon with --lexicon to cut its words into equal \
                 parts, or train a model with units = \"phonemes\"",
            ),
        },
    }
}

/// The labels of a normalised transcript.
fn script(head: &Head, lexicon: Option<&Lexicon>, text: &str) -> Result<Script, AlignerError> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if let (Units::Phonemes, Some(lexicon)) = (head.alphabet.units(), lexicon) {
        // What a transcript needs of a lexicon, or of the alphabet, is told for all of its words at once.
        let first = lexicon.pronounce(text)?;
        let piece = |(index, word): (usize, &String)| {
            let spoken = lexicon.pronunciations(word).iter();
            let encoded = spoken.map(|spoken| head.alphabet.encode(spoken));
            // A pronunciation that the model cannot say is none that it has heard.
            let ways: Vec<Vec<u32>> = encoded.filter_map(Result::ok).collect();
            let word_of = ways.iter().map(|way| vec![Some(index); way.len()]).collect();
            Piece { ways, word_of }
        };
        let pieces: Vec<Piece> = words.iter().enumerate().map(piece).collect();
        if pieces.iter().any(|piece| piece.ways.is_empty()) {
            head.alphabet.encode(&first)?;
        }
        return Ok(Script { pieces, words });
    }
    let spaced = head.alphabet.symbols().iter().any(|symbol| symbol == " ");
    let characters = head.alphabet.units() == Units::Characters;
    let labels = match characters && !spaced {
        // A model that was only taught single words has no space: nothing stands between its words.
        true => head.alphabet.encode(&words.concat())?,
        false => head.alphabet.encode(text)?,
    };
    let mut word_of = Vec::with_capacity(labels.len());
    for (index, word) in words.iter().enumerate() {
        if characters && index > 0 && spaced {
            word_of.push(None);
        }
        let parts = if characters { word.chars().count() } else { 1 };
        word_of.extend(std::iter::repeat_n(Some(index), parts));
    }
    Ok(Script { pieces: vec![Piece { ways: vec![labels], word_of: vec![word_of] }], words })
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_text::{Alphabet, NormalizerOptions};

    fn lexicon() -> Lexicon {
        let normalizer = Normalizer::new(&NormalizerOptions::default()).unwrap();
        Lexicon::parse(b"no N OW\nyes Y EH S\nyes(2) Y EH\nyes(3) Y Q\n", &normalizer).unwrap()
    }

    fn head(units: Units, text: &str) -> Head {
        let alphabet = Alphabet::from_transcripts(units, [text].into_iter());
        Head { alphabet, lexicon: (units == Units::Phonemes).then(lexicon) }
    }

    #[test]
    fn each_label_knows_its_word() {
        let words = |head: &Head| {
            let script = script(head, head.lexicon.as_ref(), "no yes").unwrap();
            for piece in &script.pieces {
                let lengths = piece.ways.iter().zip(&piece.word_of);
                assert!(lengths.into_iter().all(|(way, words)| way.len() == words.len()));
            }
            assert_eq!(script.words, ["no", "yes"]);
            // By the first way of each.
            script.pieces.iter().flat_map(|piece| piece.word_of[0].clone()).collect::<Vec<_>>()
        };
        let (no, yes) = (Some(0), Some(1));
        assert_eq!(words(&head(Units::Characters, "no yes")), [no, no, None, yes, yes, yes]);
        assert_eq!(words(&head(Units::Characters, "noyes")), [no, no, yes, yes, yes]);
        assert_eq!(words(&head(Units::Words, "no yes")), [no, yes]);
        assert_eq!(words(&head(Units::Phonemes, "N OW Y EH S")), [no, no, yes, yes, yes]);
    }

    #[test]
    fn a_word_has_all_ways_that_the_model_can_say() {
        let head = head(Units::Phonemes, "N OW Y EH S");
        let script = script(&head, head.lexicon.as_ref(), "yes no").unwrap();
        let ways: Vec<usize> = script.pieces.iter().map(|piece| piece.ways.len()).collect();
        assert_eq!(ways, [2, 1]);
        assert_eq!(script.pieces[0].ways[1], head.alphabet.encode("Y EH").unwrap());
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let refusal = |head: &Head, text: &str| {
            script(head, head.lexicon.as_ref(), text).err().map(|error| error.to_string()).unwrap()
        };
        assert!(refusal(&head(Units::Characters, "no yes"), "nö").contains("`ö`"));
        assert!(refusal(&head(Units::Words, "no yes"), "maybe no").contains("`maybe`"));
        let phonemes = head(Units::Phonemes, "N OW Y");
        assert!(refusal(&phonemes, "perhaps maybe no").contains("lacks 2 words of"));
        let said = refusal(&phonemes, "yes");
        assert!(said.contains("`EH`") || said.contains("`S`"), "{said}");
    }
}
