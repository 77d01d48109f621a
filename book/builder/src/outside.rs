//! Links from the book to the repository's other pages stay links to those pages.
//!
//! mdBook takes every `.md` for a chapter and would turn it to `.html`; and a page that is included from elsewhere
//! has links from there. A chapter that includes one begins with `<!-- links from ../../recipes/ -->`.

use anyhow::Result;
use mdbook_preprocessor::book::{Book, BookItem};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};

/// The preprocessor.
pub struct Outside;

const FROM: &str = "<!-- links from ";

impl Preprocessor for Outside {
    fn name(&self) -> &str {
        "outside"
    }

    fn run(&self, _: &PreprocessorContext, mut book: Book) -> Result<Book> {
        book.for_each_mut(|item| {
            if let BookItem::Chapter(chapter) = item {
                chapter.content = with_links(&chapter.content);
            }
        });
        Ok(book)
    }
}

fn with_links(chapter: &str) -> String {
    let from = chapter
        .strip_prefix(FROM)
        .and_then(|rest| rest.split_once(" -->"))
        .map_or("", |(from, _)| from);
    let mut parts = chapter.split("](");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("](");
        let (link, rest) = part.split_at(part.find(')').unwrap_or(0));
        let inside = link.contains(':') || link.starts_with('#');
        let link = if inside { link.to_owned() } else { format!("{from}{link}") };
        // What leaves the book's folder is no chapter; a letter is written so that mdBook does not see its ending.
        out += &if link.starts_with("../") { link.replace(".md", ".%6dd") } else { link };
        out += rest;
    }
    out
}
