//! to come
use crate::manifest::Utterance;
use std::io::{self, Write};
pub(super) fn write(_w: &mut impl Write, _each: &mut dyn FnMut(&mut dyn FnMut(&[Utterance]) -> io::Result<()>) -> io::Result<()>) -> io::Result<()> { Ok(()) }
