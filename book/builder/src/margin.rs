//! Code that was cut out of the middle of a file begins at the left margin.

use anyhow::Result;
use mdbook_preprocessor::book::{Book, BookItem};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};

/// The preprocessor.
pub struct Margin;

impl Preprocessor for Margin {
    fn name(&self) -> &str {
        "margin"
    }

    fn run(&self, _: &PreprocessorContext, mut book: Book) -> Result<Book> {
        book.for_each_mut(|item| {
            if let BookItem::Chapter(chapter) = item {
                chapter.content = moved_left(&chapter.content);
            }
        });
        Ok(book)
    }
}

/// The chapter with each block of code moved left by what all its lines are indented.
fn moved_left(chapter: &str) -> String {
    let mut out = String::with_capacity(chapter.len());
    let mut rest = chapter;
    while let Some((before, behind)) = rest.split_once("\n```rust,ignore\n") {
        let Some((code, after)) = behind.split_once("\n```") else { break };
        out += before;
        out += "\n```rust,ignore\n";
        let indent = |line: &str| line.len() - line.trim_start().len();
        let lines = || code.lines().filter(|line| !line.trim().is_empty());
        let common = lines().map(indent).min().unwrap_or(0);
        for line in code.lines() {
            out += line.get(common..).unwrap_or_default();
            out.push('\n');
        }
        out += "```";
        rest = after;
    }
    out + rest
}
