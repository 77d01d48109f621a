//! The options that say how headerless audio is stored.

use clap::Args;
use labyrinth_signal::{Encoding, RawFormat};

/// How headerless files are to be read.
#[derive(Args, Clone, Copy)]
pub struct RawOption {
    /// How headerless files store a sample, such as pcm_s16le, pcm_s16be, ulaw.
    #[arg(long, value_name = "NAME", requires = "sample_rate")]
    encoding: Option<Encoding>,
    /// Samples per second of headerless files.
    #[arg(long, value_name = "HZ", requires = "encoding",
          value_parser = clap::value_parser!(u32).range(1000..=1_000_000))]
    sample_rate: Option<u32>,
    /// Interleaved channels of headerless files; 1 where not given.
    #[arg(long, value_name = "N", requires = "encoding",
          value_parser = clap::value_parser!(u16).range(1..))]
    channels: Option<u16>,
}

impl RawOption {
    /// The format, where one was named.
    pub fn format(self) -> Option<RawFormat> {
        let (encoding, sample_rate) = self.encoding.zip(self.sample_rate)?;
        Some(RawFormat { encoding, sample_rate, channels: self.channels.unwrap_or(1) })
    }
}
