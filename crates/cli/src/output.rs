//! Lines to standard output and sentences to standard error; neither can panic, whoever has closed
//! its other end.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use crate::failure::Failure;

/// Writes text to standard output as it is.
pub fn text(text: impl Display) -> Result<(), Failure> {
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

/// Writes a value to standard output as one line of JSON.
pub fn json(value: &serde_json::Value) -> Result<(), Failure> {
    line(value)
}

/// Says on standard error what went wrong. Where nobody listens there, nothing can be done.
pub fn complain(what: impl Display) {
    let _ = writeln!(io::stderr().lock(), "labyrinth: {what}");
}

/// Says on standard error how far a long work has come.
pub fn remark(what: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{what}");
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
