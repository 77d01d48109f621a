//! The options that say how headerless audio is stored.

use clap::Args;
use labyrinth_signal::{Encoding, RawFormat};

use crate::failure::Failure;

/// How headerless files are to be read.
#[derive(Args, Clone, Copy)]
pub struct RawOption {
    /// How headerless files store a sample, such as pcm_s16le, pcm_s16be, ulaw.
    #[arg(long, value_name = "NAME")]
    encoding: Option<Encoding>,
    /// Samples per second of headerless files; left out, the model's.
    #[arg(long, value_name = "HZ", requires = "encoding",
          value_parser = clap::value_parser!(u32).range(1000..=1_000_000))]
    sample_rate: Option<u32>,
    /// Interleaved channels of headerless files; 1 where not given.
    #[arg(long, value_name = "N", requires = "encoding",
          value_parser = clap::value_parser!(u16).range(1..))]
    channels: Option<u16>,
}

impl RawOption {
    /// Whether files are said to be headerless.
    pub fn is_given(self) -> bool {
        self.encoding.is_some()
    }

    /// The format, where one was named whole.
    pub fn format(self) -> Result<Option<RawFormat>, Failure> {
        match (self.encoding, self.sample_rate) {
            (Some(encoding), None) => Err(Failure::Sentence(format!(
                "--encoding {encoding} says how samples are stored and not how many there are in a second; \
                 add --sample-rate, such as --sample-rate 16000"
            ))),
            _ => Ok(self.format_at(0)),
        }
    }

    /// The format, where one was named; at `rate` where that was not.
    pub fn format_at(self, rate: u32) -> Option<RawFormat> {
        let (encoding, sample_rate) = (self.encoding?, self.sample_rate.unwrap_or(rate));
        Some(RawFormat { encoding, sample_rate, channels: self.channels.unwrap_or(1) })
    }
}
