//! Praat's TextGrid, long and short text form.
//!
//! Praat defines both by one rule: in a text file only free-standing numbers, texts in quotes and flags
//! (`<exists>`) count; all other words are remarks for the reader, and `!` begins a comment. The long
//! form (`xmin = 0`, `intervals [1]:`) and the short one (bare values) are therefore the same file to a
//! reader, and one parser reads both. A quote inside a text is doubled.
//!
//! An interval without text is a gap, not a label, as Praat fills gaps with them. A point is a label
//! whose end is its start. Source: the Praat manual, "TextGrid file formats".

use super::{Label, LabelFault, LabelTrack, Recording, Tier, check_order, check_times};

/// The two text forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextGridForm {
    /// Every value with its name.
    Long,
    /// Values alone.
    Short,
}

/// What counts in the file.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Flag(String),
}

struct Tokens {
    tokens: std::vec::IntoIter<(usize, Token)>,
    last_line: usize,
}

impl Tokens {
    fn next(&mut self, wanted: &str) -> Result<(usize, Token), LabelFault> {
        self.tokens.next().ok_or_else(|| {
            LabelFault::new(self.last_line, format!("the file ends where {wanted} should stand"))
        })
    }

    fn number(&mut self, wanted: &str) -> Result<(usize, f64), LabelFault> {
        match self.next(wanted)? {
            (line, Token::Number(value)) if value.is_finite() => Ok((line, value)),
            (line, Token::Number(_)) => {
                Err(LabelFault::new(line, format!("{wanted} is not a number")))
            }
            (line, other) => Err(unexpected(line, wanted, &other)),
        }
    }

    fn count(&mut self, wanted: &str) -> Result<u64, LabelFault> {
        let (line, value) = self.number(wanted)?;
        if value >= 0.0 && value.fract() == 0.0 && value < 1e15 {
            Ok(value as u64)
        } else {
            Err(LabelFault::new(line, format!("{wanted} is {value}, which is no count")))
        }
    }

    fn text(&mut self, wanted: &str) -> Result<(usize, String), LabelFault> {
        match self.next(wanted)? {
            (line, Token::Text(text)) => Ok((line, text)),
            (line, other) => Err(unexpected(line, wanted, &other)),
        }
    }
}

fn unexpected(line: usize, wanted: &str, found: &Token) -> LabelFault {
    let found = match found {
        Token::Number(value) => format!("the number {value}"),
        Token::Text(text) => format!("the text {text:?}"),
        Token::Flag(flag) => format!("<{flag}>"),
    };
    LabelFault::new(line, format!("{found} stands where {wanted} should"))
}

pub(super) fn parse(text: &str, recording: &Recording<'_>) -> Result<LabelTrack, LabelFault> {
    if text.starts_with("ooBinaryFile") {
        let reason = "this is Praat's binary form; save it as a text file";
        return Err(LabelFault::new(1, reason));
    }
    let mut tokens = tokenize(text)?;
    let (line, kind) = tokens.text("the file type \"ooTextFile\"")?;
    if !matches!(kind.as_str(), "ooTextFile" | "ooTextFile short") {
        return Err(LabelFault::new(line, format!("{kind:?} is not the file type \"ooTextFile\"")));
    }
    let (line, class) = tokens.text("the class \"TextGrid\"")?;
    if class != "TextGrid" {
        return Err(LabelFault::new(line, format!("this is a Praat {class:?}, and no TextGrid")));
    }
    tokens.number("the beginning of the grid")?;
    tokens.number("the end of the grid")?;
    match tokens.next("the flag <exists>")? {
        (_, Token::Flag(flag)) if flag == "exists" => {}
        (_, Token::Flag(flag)) if flag == "absent" => return Ok(LabelTrack::default()),
        (line, other) => return Err(unexpected(line, "the flag <exists>", &other)),
    }
    let mut track = LabelTrack::default();
    for _ in 0..tokens.count("the number of tiers")? {
        track.tiers.push(parse_tier(&mut tokens, recording)?);
    }
    Ok(track)
}

fn parse_tier(tokens: &mut Tokens, recording: &Recording<'_>) -> Result<Tier, LabelFault> {
    let (line, class) = tokens.text("the class of a tier")?;
    let points = match class.as_str() {
        "IntervalTier" => false,
        "TextTier" => true,
        _ => {
            let reason = format!("{class:?} is neither \"IntervalTier\" nor \"TextTier\"");
            return Err(LabelFault::new(line, reason));
        }
    };
    let (_, name) = tokens.text("the name of a tier")?;
    tokens.number("the beginning of a tier")?;
    tokens.number("the end of a tier")?;
    let mut tier = Tier { name, labels: Vec::new() };
    for _ in 0..tokens.count("the number of labels")? {
        let (line, start) = tokens.number("the beginning of a label")?;
        let end = if points { start } else { tokens.number("the end of a label")?.1 };
        let (_, text) = tokens.text("the text of a label")?;
        let label = Label::new(start, end, text);
        let fault = |reason| LabelFault::new(line, reason);
        check_times(start, end, recording.seconds).map_err(fault)?;
        check_order(tier.labels.last(), &label).map_err(fault)?;
        if !label.text.trim().is_empty() {
            tier.labels.push(label);
        }
    }
    Ok(tier)
}

fn tokenize(text: &str) -> Result<Tokens, LabelFault> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        if first == '\n' {
            line += 1;
        } else if first == '!' {
            while characters.next_if(|next| *next != '\n').is_some() {}
        } else if first == '"' {
            let begun = line;
            let mut content = String::new();
            loop {
                match characters.next() {
                    Some('"') if characters.next_if_eq(&'"').is_none() => break,
                    Some(character) => {
                        line += usize::from(character == '\n');
                        content.push(character);
                    }
                    None => return Err(LabelFault::new(begun, "the quote here is never closed")),
                }
            }
            tokens.push((begun, Token::Text(content)));
        } else if !first.is_whitespace() {
            let mut word = String::from(first);
            while let Some(next) = characters.next_if(|next| !next.is_whitespace()) {
                word.push(next);
            }
            tokens.extend(free_standing(&word).map(|token| (line, token)));
        }
    }
    Ok(Tokens { tokens: tokens.into_iter(), last_line: line })
}

/// A word as a number or a flag; `None` where it is a remark.
fn free_standing(word: &str) -> Option<Token> {
    if let Some(flag) = word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
        return Some(Token::Flag(flag.to_owned()));
    }
    let unsigned = word.trim_start_matches(['-', '+']);
    if ["nan", "inf", "infinity", "undefined--"].contains(&unsigned.to_ascii_lowercase().as_str()) {
        // Not what stands there, but what it is to us: no number of seconds.
        return Some(Token::Number(f64::NAN));
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    // Praat reads `0.5s` as a number with its unit.
    let end = word
        .char_indices()
        .find(|(_, c)| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E')))
        .map_or(word.len(), |(at, _)| at);
    word[..end].parse().ok().map(Token::Number)
}

/// A TextGrid in one of the two forms, in UTF-8. Tiers whose labels are all points become point tiers;
/// gaps are filled with intervals without text. The grid ends with the recording, or, where its length
/// is not known, with the last label.
///
/// # Errors
/// In words: labels that overlap in a tier, points among intervals, or a label without text.
pub fn to_text_grid(
    track: &LabelTrack,
    recording: &Recording<'_>,
    form: TextGridForm,
) -> Result<String, String> {
    let last = track.labels().fold(0.0f64, |last, label| last.max(label.end));
    let end = recording.seconds.unwrap_or(0.0).max(last);
    let mut page = Page { text: String::new(), form };
    page.text += "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\n";
    page.value(0, "xmin = ", 0.0);
    page.value(0, "xmax = ", end);
    page.line(0, "tiers? ", "<exists>");
    page.value(0, "size = ", track.tiers.len());
    page.remark(0, "item []:");
    for (index, tier) in track.tiers.iter().enumerate() {
        page.remark(1, &format!("item [{}]:", index + 1));
        let points = !tier.labels.is_empty() && tier.labels.iter().all(|l| l.start == l.end);
        page.quoted(2, "class = ", if points { "TextTier" } else { "IntervalTier" });
        page.quoted(2, "name = ", &tier.name);
        page.value(2, "xmin = ", 0.0);
        page.value(2, "xmax = ", end);
        for (above, label) in
            [None].into_iter().chain(tier.labels.iter().map(Some)).zip(&tier.labels)
        {
            check_order(above, label)?;
            if label.text.trim().is_empty() {
                return Err(format!("a label without text at {} s", label.start));
            }
        }
        if points { page.points(&tier.labels) } else { page.intervals(&tier.labels, end)? }
    }
    Ok(page.text)
}

/// The text so far.
struct Page {
    text: String,
    form: TextGridForm,
}

impl Page {
    fn line(&mut self, depth: usize, name: &str, value: &str) {
        if self.form == TextGridForm::Long {
            self.text += &"    ".repeat(depth);
            self.text += name;
        }
        self.text += value;
        self.text.push('\n');
    }

    fn value(&mut self, depth: usize, name: &str, value: impl std::fmt::Display) {
        self.line(depth, name, &value.to_string());
    }

    fn quoted(&mut self, depth: usize, name: &str, value: &str) {
        self.line(depth, name, &format!("\"{}\"", value.replace('"', "\"\"")));
    }

    /// What only people read.
    fn remark(&mut self, depth: usize, text: &str) {
        if self.form == TextGridForm::Long {
            self.line(depth, "", text);
        }
    }

    fn points(&mut self, labels: &[Label]) {
        self.value(2, "points: size = ", labels.len());
        for (index, label) in labels.iter().enumerate() {
            self.remark(2, &format!("points [{}]:", index + 1));
            self.value(3, "number = ", label.start);
            self.quoted(3, "mark = ", &label.text);
        }
    }

    fn intervals(&mut self, labels: &[Label], end: f64) -> Result<(), String> {
        let mut filled: Vec<(f64, f64, &str)> = Vec::new();
        let mut at = 0.0;
        for label in labels {
            if label.start == label.end {
                return Err(format!("{:?} is a point among intervals", label.text));
            }
            if label.start > at {
                filled.push((at, label.start, ""));
            }
            filled.push((label.start, label.end, &label.text));
            at = label.end;
        }
        if end > at {
            filled.push((at, end, ""));
        }
        self.value(2, "intervals: size = ", filled.len());
        for (index, (start, end, text)) in filled.into_iter().enumerate() {
            self.remark(2, &format!("intervals [{}]:", index + 1));
            self.value(3, "xmin = ", start);
            self.value(3, "xmax = ", end);
            self.quoted(3, "text = ", text);
        }
        Ok(())
    }
}
