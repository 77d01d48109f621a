//! Lines to standard output and sentences to standard error; neither can panic, whoever has closed
//! its other end.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crate::failure::Failure;

/// Text without control characters but line feeds and tabs, and without those that turn the direction of
/// what follows (U+202E): names and transcripts come from files, and what they hold shall not command the
/// terminal, nor show one name as another.
pub fn printable(text: impl Display) -> String {
    let text = text.to_string();
    if !text.contains(commands_a_terminal) {
        return text;
    }
    let escaped = |c: char| match commands_a_terminal(c) {
        true => c.escape_unicode().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

fn commands_a_terminal(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control() && !matches!(c, '\n' | '\t')
}

/// Says on standard error where standard output was closed before the program began: all that is
/// printed would be lost without a word.
pub fn remark_if_stdout_is_closed() {
    if stdout_is_closed() {
        complain("standard output is closed, so nothing of what is printed will be seen");
    }
}

/// Whether standard output was closed before the program began, as in `labyrinth … >&-`.
pub fn stdout_is_closed() -> bool {
    // In place of what is closed, Rust's runtime opens the null device for reading and writing, where
    // a shell's `> /dev/null` opens it for writing alone. Other systems than Linux do not tell.
    let device = std::fs::read_link("/proc/self/fd/1").unwrap_or_default();
    let about = std::fs::read_to_string("/proc/self/fdinfo/1").unwrap_or_default();
    let flags = about.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    device == Path::new("/dev/null") && flags.is_some_and(|flags| flags & 3 == 2)
}

/// Writes text to standard output, control characters escaped.
pub fn text(text: impl Display) -> Result<(), Failure> {
    write(&printable(text))
}

fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::ClosedPipe,
        _ => Failure::Output(error),
    })
}

/// Writes one line to standard output.
pub fn line(line: impl Display) -> Result<(), Failure> {
    text(format_args!("{line}\n"))
}

/// Writes a value to standard output as one line of JSON. JSON escapes control characters up to U+001F
/// by itself; the others, from U+007F on, are escaped here in its own way.
pub fn json(value: &serde_json::Value) -> Result<(), Failure> {
    let mut text = value.to_string();
    if text.contains(commands_a_terminal) {
        let escaped = |c: char| match commands_a_terminal(c) {
            true => format!("\\u{:04x}", u32::from(c)),
            false => c.to_string(),
        };
        text = text.chars().map(escaped).collect();
    }
    write(&format!("{text}\n"))
}

/// Says on standard error what went wrong. Where nobody listens there, nothing can be done.
pub fn complain(what: impl Display) {
    let _ = writeln!(io::stderr().lock(), "labyrinth: {}", printable(what));
}

/// Says on standard error how far a long work has come.
pub fn remark(what: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(what));
}

/// Lines to standard output from a work of hours, which shall not end because its reader has gone.
#[derive(Default)]
pub struct Narrator {
    failure: Option<Failure>,
}

impl Narrator {
    /// Writes one line, unless writing failed before.
    pub fn line(&mut self, what: impl Display) {
        if self.failure.is_none() {
            self.failure = line(what).err();
        }
    }

    /// What went wrong with the output, to be told at the end; a closed pipe is no fault.
    pub fn finish(self) -> Result<(), Failure> {
        match self.failure {
            None | Some(Failure::ClosedPipe) => Ok(()),
            Some(failure) => Err(failure),
        }
    }
}

/// Refuses to write where something lies already: whose it is, nobody here knows.
pub fn refuse_to_replace(path: &Path) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(_) => Err(Failure::Sentence(format!(
            "{} is there already and is not written over; name another place with -o, or remove it",
            path.display()
        ))),
    }
}
