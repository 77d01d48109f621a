//! A score as text: the summary, and each utterance with the hypothesis under the reference.

use std::fmt;

use crate::align::Operation;
use crate::alphabet::Units;
use crate::counts::{ErrorCounts, split_words, word_errors};
use crate::interval::Interval;
use crate::score::{ScoreReport, UtteranceScore};

/// Columns after which an alignment goes on in a further block.
const WIDTH: usize = 100;
/// So many ids without a hypothesis are named in the summary; the JSON names all.
const NAMED: usize = 10;

impl fmt::Display for ScoreReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        rate_lines(formatter, self.units.rate_name(), self.wer, &self.wer_interval)?;
        let utterances = plural(self.utterances.len(), "utterance");
        writeln!(
            formatter,
            "     {} in {utterances}: {}",
            plural(self.words.reference, self.units.token_name()),
            split(&self.words)
        )?;
        if self.units != Units::Phonemes {
            rate_lines(formatter, "CER", self.cer, &self.cer_interval)?;
            writeln!(
                formatter,
                "     {}, spaces included: {}",
                plural(self.characters.reference, "character"),
                split(&self.characters)
            )?;
        }
        if !self.missing.is_empty() {
            let named = self.missing[..self.missing.len().min(NAMED)].join(", ");
            let more = match self.missing.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            writeln!(
                formatter,
                "No hypothesis for {}, counted as all deletions: {named}{more}",
                plural(self.missing.len(), "utterance")
            )?;
        }
        match self.format {
            Some(format) => writeln!(formatter, "Read as {}.", format.describe()),
            None => Ok(()),
        }
    }
}

fn rate_lines(
    formatter: &mut fmt::Formatter<'_>,
    name: &str,
    rate: Option<f64>,
    interval: &Interval,
) -> fmt::Result {
    let Interval { low, high, method } = interval;
    let Some(rate) = rate else { return writeln!(formatter, "{name}  none, {method}") };
    let (low, high) = (100.0 * low, 100.0 * high);
    writeln!(formatter, "{name}  {:.2} %  [{low:.2}, {high:.2}] at 95 %, {method}", 100.0 * rate)
}

fn split(counts: &ErrorCounts) -> String {
    format!(
        "{}, {}, {}",
        plural(counts.substitutions, "substitution"),
        plural(counts.deletions, "deletion"),
        plural(counts.insertions, "insertion")
    )
}

fn plural(count: usize, name: &str) -> String {
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

impl ScoreReport {
    /// Every utterance with its words aligned; with `errors_only`, those with at least one error.
    pub fn alignments(&self, errors_only: bool) -> String {
        let chosen = self.utterances.iter().filter(|u| !errors_only || u.words.errors() > 0);
        let blocks: Vec<String> = chosen.map(|u| u.alignment_of(self.units)).collect();
        blocks.join("\n")
    }
}

impl UtteranceScore {
    /// The id and the errors, then reference over hypothesis in columns, `*` for a gap, and under
    /// them `S`, `D` or `I`. Columns are as wide as their longer word in characters, and go on in a
    /// further block after 100. Each line ends with a line feed.
    pub fn alignment(&self) -> String {
        self.alignment_of(Units::Words)
    }

    /// As [`UtteranceScore::alignment`], where what stands between spaces are these units.
    pub fn alignment_of(&self, units: Units) -> String {
        let (said, written) = (&self.reference, self.hypothesis.as_deref().unwrap_or(""));
        let (reference, hypothesis) = (split_words(said), split_words(written));
        let mut text = format!(
            "{}: {} of {}{}\n",
            self.id,
            plural(self.words.errors(), "error"),
            plural(self.words.reference, units.token_name()),
            if self.hypothesis.is_none() { ", no hypothesis" } else { "" }
        );
        let mut block = Block::default();
        for operation in word_errors(said, written).operations {
            let (above, below, mark) = match operation {
                Operation::Match { reference: i, hypothesis: j } => {
                    (reference[i], hypothesis[j], "")
                }
                Operation::Substitution { reference: i, hypothesis: j } => {
                    (reference[i], hypothesis[j], "S")
                }
                Operation::Deletion { reference: i } => (reference[i], "", "D"),
                Operation::Insertion { hypothesis: j } => ("", hypothesis[j], "I"),
            };
            block.push(above, below, mark, &mut text);
        }
        block.flush(&mut text);
        text
    }
}

/// Three lines that grow side by side.
#[derive(Default)]
struct Block {
    reference: String,
    hypothesis: String,
    marks: String,
    width: usize,
}

impl Block {
    fn push(&mut self, above: &str, below: &str, mark: &str, text: &mut String) {
        let width = above.chars().count().max(below.chars().count());
        if self.width > 0 && self.width + width + 1 > WIDTH {
            self.flush(text);
        }
        let fill = |word: &str| if word.is_empty() { "*".repeat(width) } else { word.to_owned() };
        self.reference += &format!(" {:<width$}", fill(above));
        self.hypothesis += &format!(" {:<width$}", fill(below));
        self.marks += &format!(" {mark:<width$}");
        self.width += width + 1;
    }

    fn flush(&mut self, text: &mut String) {
        let block = std::mem::take(self);
        for (name, line) in
            [("REF:", block.reference), ("HYP:", block.hypothesis), ("    ", block.marks)]
        {
            if !line.trim().is_empty() || name.starts_with(['R', 'H']) {
                text.push_str(format!("{name}{line}").trim_end());
                text.push('\n');
            }
        }
    }
}
