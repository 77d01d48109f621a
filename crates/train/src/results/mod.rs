//! Published figures: the record of one model on one test set, and the page that is made of records.
//!
//! A figure that a person copied is a figure that nobody can trust: so a model's trial writes a small file, the
//! [`Record`], and the page ([`ResultsFile`]) is made of such files. What stands on it without a record says
//! where it comes from.
//!
//! - `record`: what one trial of one model found, and how it came about.
//! - `line`: several records (seeds, speakers held out in turn) as one line.
//! - `page`: the file that says which lines there are, and the page.
//! - `publish`: the lines that anyone can repeat with one command.

mod line;
mod page;
mod publish;
mod record;

pub use line::Figure;
pub use page::ResultsFile;
pub use publish::{Published, Reproduce};
pub use record::{DataSet, Record};

/// Seed of bootstraps: fixed, so that the same errors give the same figures.
const SEED: u64 = 1;
