//! `$…$` and `$$…$$` of a chapter become MathML, which browsers draw without scripts and without fonts of ours.

use anyhow::{Result, bail};
use mdbook_preprocessor::book::{Book, BookItem};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};
use pulldown_cmark::{Event, Options, Parser};
use pulldown_latex::config::{DisplayMode, RenderConfig};
use pulldown_latex::{Parser as Latex, Storage, push_mathml};

/// The preprocessor.
pub struct Formulas;

impl Preprocessor for Formulas {
    fn name(&self) -> &str {
        "formulas"
    }

    fn run(&self, _: &PreprocessorContext, mut book: Book) -> Result<Book> {
        let mut faults = Vec::new();
        book.for_each_mut(|item| {
            if let BookItem::Chapter(chapter) = item {
                match with_mathml(&chapter.content) {
                    Ok(content) => chapter.content = content,
                    Err(error) => faults.push(format!("{}: {error}", chapter.name)),
                }
            }
        });
        if !faults.is_empty() {
            bail!("{}", faults.join("\n"));
        }
        Ok(book)
    }
}

/// The chapter with each formula replaced; text in code stays as it is.
fn with_mathml(chapter: &str) -> Result<String> {
    let options = Options::ENABLE_MATH | Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
    let mut out = String::with_capacity(2 * chapter.len());
    let mut copied = 0;
    for (event, place) in Parser::new_ext(chapter, options).into_offset_iter() {
        let (formula, mode) = match event {
            Event::InlineMath(formula) => (formula, DisplayMode::Inline),
            Event::DisplayMath(formula) => (formula, DisplayMode::Block),
            _ => continue,
        };
        out += &chapter[copied..place.start];
        out += &mathml(&formula, mode)?;
        copied = place.end;
    }
    out += &chapter[copied..];
    Ok(out)
}

/// One formula, on one line: Markdown would end HTML at an empty one.
fn mathml(formula: &str, mode: DisplayMode) -> Result<String> {
    let storage = Storage::new();
    let mut events = Vec::new();
    for event in Latex::new(formula, &storage) {
        match event {
            Ok(event) => events.push(Ok::<_, std::convert::Infallible>(event)),
            Err(error) => bail!("the formula ${formula}$ cannot be read: {error}"),
        }
    }
    let mut out = String::new();
    let config = RenderConfig { display_mode: mode, ..RenderConfig::default() };
    push_mathml(&mut out, events.into_iter(), config)?;
    // Markdown would read these as its own.
    Ok(out.replace('\n', " ").replace('*', "&#42;").replace('_', "&#95;").replace('|', "&#124;"))
}
