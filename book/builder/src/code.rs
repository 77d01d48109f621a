//! Code that was cut out of the middle of a function begins at the margin.

use anyhow::Result;
use mdbook_preprocessor::book::{Book, BookItem};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};

/// The preprocessor.
pub struct Code;

impl Preprocessor for Code {
    fn name(&self) -> &str {
        "code"
    }

    fn run(&self, _: &PreprocessorContext, mut book: Book) -> Result<Book> {
        book.for_each_mut(|item| {
            if let BookItem::Chapter(chapter) = item {
                chapter.content = at_the_margin(&chapter.content);
            }
        });
        Ok(book)
    }
}

fn at_the_margin(chapter: &str) -> String {
    let mut out = String::with_capacity(chapter.len());
    for (index, part) in chapter.split("```").enumerate() {
        if index > 0 {
            out += "```";
        }
        // Every other part is code, and its first line the language.
        match part.split_once('\n') {
            Some((language, code)) if index % 2 == 1 => {
                let filled = code.lines().filter(|line| !line.trim().is_empty());
                let margin = filled.map(|line| line.len() - line.trim_start().len()).min();
                out += language;
                out.push('\n');
                for line in code.split_inclusive('\n') {
                    out += line.get(margin.unwrap_or(0)..).unwrap_or("\n");
                }
            }
            _ => out += part,
        }
    }
    out
}
