//! Ogg: pages checked and taken apart into packets (RFC 3533).
//!
//! Every page is checked by its checksum, its number and its stream, so that a file that was cut,
//! patched or mixed is refused before a decoder sees it. A page carries up to 255 segments of up
//! to 255 bytes; a segment shorter than 255 ends a packet. The page's granule position is the
//! number of samples up to the last packet that ends on it; its meaning depends on the codec.

use crate::source::Fault;

const FLAG_CONTINUED: u8 = 1;
const FLAG_END: u8 = 4;

/// One packet, and the granule position if it is the last to end on its page.
pub(crate) struct Packet {
    pub data: Vec<u8>,
    pub granule: Option<i64>,
}

/// One logical stream, whole and unbroken.
pub(crate) struct Stream {
    pub packets: Vec<Packet>,
}

const CONVERT: &str = "convert it (ffmpeg -i FILE FILE.wav)";

fn broken(what: &str, offset: usize) -> Fault {
    Fault::new(format!(
        "is a broken Ogg file ({what} at byte {offset}); copy it again, or keep what can be saved \
         (ffmpeg -i FILE FILE.wav)"
    ))
}

/// The header of one page and where its parts lie.
struct Page<'a> {
    flags: u8,
    granule: i64,
    serial: u32,
    number: u32,
    segments: &'a [u8],
    body: &'a [u8],
    length: usize,
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(word)
}

impl<'a> Page<'a> {
    fn parse(bytes: &'a [u8], offset: usize) -> Result<Page<'a>, Fault> {
        let cut = || {
            Fault::new(format!(
                "was cut short: the file ends within an Ogg page that begins at byte {offset}; \
                 copy or record it again"
            ))
        };
        let rest = &bytes[offset..];
        if !rest.starts_with(&b"OggS"[..rest.len().min(4)]) {
            return Err(broken("no page begins", offset));
        }
        if rest.len() < 27 {
            return Err(cut());
        }
        let count = usize::from(rest[26]);
        let segments = rest.get(27..27 + count).ok_or_else(cut)?;
        let body_length: usize = segments.iter().map(|&length| usize::from(length)).sum();
        let start = 27 + count;
        let body = rest.get(start..start + body_length).ok_or_else(cut)?;
        let length = start + body_length;
        if rest[4] != 0 || checksum(&rest[..length]) != word(rest, 22) {
            return Err(broken("a damaged page", offset));
        }
        let mut granule = [0; 8];
        granule.copy_from_slice(&rest[6..14]);
        Ok(Page {
            flags: rest[5],
            granule: i64::from_le_bytes(granule),
            serial: word(rest, 14),
            number: word(rest, 18),
            segments,
            body,
            length,
        })
    }
}

impl Stream {
    /// Takes a whole file apart.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Stream, Fault> {
        let mut packets: Vec<Packet> = Vec::new();
        let mut open: Option<Vec<u8>> = None; // a packet that goes on on the next page
        let mut serial = None;
        let mut next_number = 0;
        let mut ended = false;
        let mut offset = 0;
        while offset < bytes.len() {
            let page = Page::parse(bytes, offset)?;
            if *serial.get_or_insert(page.serial) != page.serial {
                return Err(Fault::new(format!(
                    "is an Ogg file with several streams, which is not read here; {CONVERT}"
                )));
            }
            if ended {
                return Err(broken("pages follow the end mark", offset));
            }
            if page.number != next_number {
                return Err(broken("a page is missing", offset));
            }
            if open.is_some() != (page.flags & FLAG_CONTINUED != 0) {
                return Err(broken("a packet is torn", offset));
            }
            next_number = next_number.wrapping_add(1);
            ended = page.flags & FLAG_END != 0;
            let mut body = page.body;
            let mut last = None;
            for &segment in page.segments {
                let (data, rest) = body.split_at(usize::from(segment));
                body = rest;
                let mut packet = open.take().unwrap_or_default();
                packet.extend_from_slice(data);
                if segment < 255 {
                    last = Some(packets.len());
                    packets.push(Packet { data: packet, granule: None });
                } else {
                    open = Some(packet);
                }
            }
            if let Some(last) = last {
                packets[last].granule = Some(page.granule);
            }
            offset += page.length;
        }
        if !ended || open.is_some() {
            return Err(Fault::new(
                "was cut short: the Ogg stream has no end mark; copy or record it again, or keep \
                 what is there (ffmpeg -i FILE FILE.wav)",
            ));
        }
        Ok(Stream { packets })
    }

    fn first(&self) -> &[u8] {
        self.packets.first().map_or(&[], |packet| &packet.data)
    }

    pub(crate) fn is_opus(&self) -> bool {
        self.first().starts_with(b"OpusHead")
    }

    /// For Vorbis and FLAC in Ogg, which another library decodes: the number of samples that the
    /// last page announces, if it does.
    pub(crate) fn check_foreign(&self) -> Result<Option<u64>, Fault> {
        let first = self.first();
        if !first.starts_with(b"\x01vorbis") && !first.starts_with(b"\x7fFLAC") {
            let name = if first.starts_with(b"Speex") { "Speex" } else { "an unknown codec" };
            return Err(Fault::new(format!(
                "is an Ogg file with {name}, which is not read here; {CONVERT}"
            )));
        }
        let last = self.packets.iter().rev().find_map(|packet| packet.granule);
        Ok(last.and_then(|granule| u64::try_from(granule).ok()))
    }
}

/// Ogg's checksum: polynomial 0x04c11db7, most significant bit first, no inversion, computed with
/// the checksum field (bytes 22 to 25) as zero.
fn checksum(page: &[u8]) -> u32 {
    page.iter().enumerate().fold(0, |sum: u32, (index, &byte)| {
        let byte = if (22..26).contains(&index) { 0 } else { byte };
        (sum << 8) ^ CHECKSUMS[((sum >> 24) as u8 ^ byte) as usize]
    })
}

/// The checksum of each single byte.
const CHECKSUMS: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 0x8000_0000 != 0 { (sum << 1) ^ 0x04c1_1db7 } else { sum << 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
};
