//! NIST SPHERE: the format of the LDC's and CMU's corpora.
//!
//! A header of text, `NIST_1A`, its length (1024 as a rule), lines `name -type value`, `end_head`;
//! then the samples. Its compressed form, Shorten, is refused with the name of a tool.

use crate::audio::check_rate_and_channels;
use crate::encoding::Encoding;
use crate::source::{Fault, PcmLayout, Source};

/// Longest header believed; real ones have 1024 bytes.
const MAX_HEADER: u64 = 1 << 20;

/// The fields that matter.
#[derive(Default)]
struct Fields {
    sample_count: Option<u64>,
    sample_bytes: Option<u64>,
    channels: Option<u64>,
    sample_rate: Option<u64>,
    byte_order: Option<String>,
    coding: Option<String>,
}

/// Finds the samples and checks the header against the file.
pub(crate) fn layout(source: &mut Source) -> Result<PcmLayout, Fault> {
    let top = source.read_at(0, 16)?;
    let length = std::str::from_utf8(&top[8.min(top.len())..])
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok())
        .filter(|length| (16..=MAX_HEADER).contains(length))
        .ok_or_else(|| broken("its header does not say how long it is"))?;
    let header = source.read_at(0, length)?;
    if (header.len() as u64) < length {
        return Err(Fault::new("was cut short within its SPHERE header; copy it again"));
    }
    let fields = parse(&header)?;
    let encoding = fields.encoding()?;
    let sample_rate = u32::try_from(fields.sample_rate.ok_or_else(|| missing("sample_rate"))?)
        .unwrap_or(u32::MAX);
    let channels = u32::try_from(fields.channels.unwrap_or(1)).unwrap_or(u32::MAX);
    check_rate_and_channels(sample_rate, channels)?;
    let block = encoding.bytes() as u64 * u64::from(channels);
    let available = source.len() - length;
    let samples = fields.sample_count.unwrap_or(available / block);
    let announced = samples.saturating_mul(block);
    if announced > available {
        return Err(Fault::new(format!(
            "was cut short: its header announces {announced} bytes of samples, but only \
             {available} are there; copy it again"
        )));
    }
    if announced < available {
        return Err(broken(&format!(
            "its header announces {announced} bytes of samples, but {available} follow it"
        )));
    }
    // Checked above to be at most 1024.
    Ok(PcmLayout { encoding, sample_rate, channels: channels as u16, offset: length, samples })
}

fn broken(what: &str) -> Fault {
    Fault::new(format!("is a broken SPHERE file ({what}); fetch it again from the corpus"))
}

fn missing(field: &str) -> Fault {
    broken(&format!("its header has no {field}"))
}

fn parse(header: &[u8]) -> Result<Fields, Fault> {
    let text = String::from_utf8_lossy(header);
    let mut fields = Fields::default();
    // The first two lines are the magic and the length.
    for line in text.lines().skip(2) {
        let line = line.trim();
        if line == "end_head" {
            return Ok(fields);
        }
        let mut words = line.split_whitespace();
        let (Some(name), Some(_kind), Some(value)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let number = || {
            value
                .parse::<u64>()
                .map(Some)
                .map_err(|_| broken(&format!("{name} is `{value}`, not a number")))
        };
        match name {
            "sample_count" => fields.sample_count = number()?,
            "sample_n_bytes" => fields.sample_bytes = number()?,
            "channel_count" => fields.channels = number()?,
            "sample_rate" => fields.sample_rate = number()?,
            "sample_byte_format" => fields.byte_order = Some(value.to_string()),
            "sample_coding" => fields.coding = Some(value.to_ascii_lowercase()),
            _ => (),
        }
    }
    Err(broken("its header has no end_head"))
}

impl Fields {
    fn encoding(&self) -> Result<Encoding, Fault> {
        let coding = self.coding.as_deref().unwrap_or("pcm");
        if coding.contains("shorten") {
            return Err(Fault::new(
                "is a SPHERE file compressed with Shorten, which is not read here; unpack it with \
                 sph2pipe -p -f wav FILE FILE.wav",
            ));
        }
        let bytes = self.sample_bytes.ok_or_else(|| missing("sample_n_bytes"))?;
        match (coding, bytes, self.byte_order.as_deref()) {
            ("pcm", 1, _) => Ok(Encoding::PcmS8),
            // "01": the least significant byte first.
            ("pcm", 2, Some("01")) => Ok(Encoding::PcmS16le),
            ("pcm", 2, Some("10")) => Ok(Encoding::PcmS16be),
            ("pcm", 2, None) => Err(missing("sample_byte_format")),
            ("ulaw" | "mu-law" | "mulaw", 1, _) => Ok(Encoding::Ulaw),
            ("alaw" | "a-law", 1, _) => Ok(Encoding::Alaw),
            (coding, bytes, order) => Err(Fault::new(format!(
                "is a SPHERE file with a coding that is not read here ({coding}, {bytes} bytes a \
                 sample, byte order {}); convert it with sph2pipe -p -f wav FILE FILE.wav",
                order.unwrap_or("unnamed")
            ))),
        }
    }
}
