//! Opus in Ogg (RFC 7845): pre-skip, gain, end trimming and holes, around a packet decoder.
//!
//! Opus always decodes at 48 kHz. Granule positions count samples at that rate and include the
//! pre-skip, the samples by which the decoder must run in: with `g` the last granule position and
//! `s` the position at which the stream starts (0 unless it was cut from a longer one), the
//! recording has `g - s - pre_skip` samples.

use opus_pure::OpusDecoder;

use crate::audio::Audio;
use crate::foreign::guarded;
use crate::ogg::Stream;
use crate::source::Fault;

const RATE: u32 = 48_000;

/// Longest packet: 120 ms.
const MAX_PACKET: usize = 5760;

fn broken(what: &str) -> Fault {
    Fault::new(format!(
        "is a broken Opus file ({what}); copy it again, or keep what can be saved (ffmpeg -i FILE \
         FILE.wav)"
    ))
}

/// What the first packet says.
struct Head {
    channels: usize,
    pre_skip: u16,
    /// Factor to be applied to every sample.
    gain: f32,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Head, Fault> {
        let [version, channels, skip_low, skip_high, _, _, _, _, gain_low, gain_high, family] =
            bytes
                .get(8..19)
                .and_then(|rest| <[u8; 11]>::try_from(rest).ok())
                .ok_or_else(|| broken("its header is too short"))?;
        if version >= 16 {
            return Err(broken("its header is of an unknown version"));
        }
        if family != 0 || !matches!(channels, 1 | 2) {
            return Err(Fault::new(format!(
                "is an Opus file with {channels} channels in mapping family {family}, of which \
                 only mono and stereo are read here; convert it (ffmpeg -i FILE FILE.wav)"
            )));
        }
        // The gain is in 1/256 dB.
        let decibels = f32::from(i16::from_le_bytes([gain_low, gain_high])) / 256.0;
        Ok(Head {
            channels: usize::from(channels),
            pre_skip: u16::from_le_bytes([skip_low, skip_high]),
            gain: 10f32.powf(decibels / 20.0),
        })
    }
}

/// Decodes a stream whose pages are known to be whole.
pub(crate) fn decode(stream: &Stream) -> Result<Audio, Fault> {
    guarded(|| decode_packets(stream))
}

fn decode_packets(stream: &Stream) -> Result<Audio, Fault> {
    let [head, tags, packets @ ..] = stream.packets.as_slice() else {
        return Err(broken("its headers are missing"));
    };
    let head = Head::parse(&head.data)?;
    if !tags.data.starts_with(b"OpusTags") {
        return Err(broken("its second header is missing"));
    }
    let mut decoder = OpusDecoder::new(RATE as i32, head.channels)
        .map_err(|error| broken(&format!("the decoder says: {error}")))?;
    let mut interleaved = vec![0.0; MAX_PACKET * head.channels];
    let mut planes = vec![Vec::new(); head.channels];
    let mut start = None; // granule position at which the first packet begins
    let mut end = None; // granule position of the last page
    for (index, packet) in packets.iter().enumerate() {
        let at = planes[0].len() as f64 / f64::from(RATE);
        if packet.data.is_empty() {
            return Err(broken(&format!("an empty packet at {at:.2} s")));
        }
        let samples = decoder
            .decode(&packet.data, MAX_PACKET, &mut interleaved)
            .map_err(|error| broken(&format!("at {at:.2} s the decoder says: {error}")))?;
        for (channel, plane) in planes.iter_mut().enumerate() {
            let decoded = interleaved.iter().skip(channel).step_by(head.channels).take(samples);
            plane.extend(decoded.map(|sample| sample * head.gain));
        }
        if let Some(granule) = packet.granule {
            let decoded = planes[0].len() as i64;
            let is_last = index + 1 == packets.len();
            // A stream of one page says by a small position that its end is trimmed; otherwise
            // the first page tells where the stream starts.
            let begin = *start.get_or_insert(granule.saturating_sub(decoded).max(0));
            if begin == 0 && granule < decoded && !is_last && end.is_none() {
                return Err(broken("its first granule position is too small"));
            }
            if granule.saturating_sub(begin) > decoded {
                return Err(broken(&format!("samples are missing before {at:.2} s")));
            }
            end = Some(granule);
        }
    }
    let (Some(start), Some(end)) = (start, end) else {
        return Err(Fault::new("has no samples; record it again or leave it out"));
    };
    let skip = usize::from(head.pre_skip);
    // Not negative: each granule position was checked to lie between the start and the decoded
    // samples, or is clipped here.
    let total = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
    for plane in &mut planes {
        plane.truncate(total);
        plane.drain(..skip.min(plane.len()));
    }
    Ok(Audio { sample_rate: RATE, channels: planes })
}
