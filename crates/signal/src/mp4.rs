//! M4A and MP4: the outer boxes are checked and the edit list is applied; symphonia decodes.
//!
//! An AAC encoder needs a run-in (1024 samples for FFmpeg's, 2112 for Apple's), which the file
//! names in its edit list: the presented sound begins at `media_time` and lasts
//! `segment_duration`. symphonia does not apply it, so we do. A file without an edit list keeps
//! its run-in.

use crate::audio::Audio;
use crate::foreign::{Container, guarded};
use crate::source::Fault;

const KIND: &str = "MP4";

/// Decodes the first sound track.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<Audio, Fault> {
    check_boxes(&bytes)?;
    let movie = Movie::parse(&bytes);
    guarded(|| {
        let mut container = Container::open(bytes, KIND)?;
        let edit = movie.edit(container.track)?;
        let collector = container.decode(KIND, false)?;
        let decoded = collector.samples();
        let announced = container.samples.filter(|samples| *samples > 0);
        if let Some(announced) = announced
            && decoded < announced
        {
            return Err(Fault::new(format!(
                "was cut short: its MP4 header announces {announced} samples, but only {decoded} \
                 are there; copy it again"
            )));
        }
        let mut audio = collector.finish().0;
        let end = announced.unwrap_or(decoded);
        let (start, end) = match edit {
            Some(edit) => edit.range(audio.sample_rate, end),
            None => (0, end),
        };
        for channel in &mut audio.channels {
            channel.truncate(usize::try_from(end).unwrap_or(usize::MAX));
            channel.drain(..usize::try_from(start).unwrap_or(usize::MAX).min(channel.len()));
        }
        Ok(audio)
    })
}

/// One box ("atom"): its name, its content, and the bytes that follow it.
fn next_box(bytes: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    let length = u64::from(number(bytes, 0)?);
    let name: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
    let (start, length) = match length {
        0 => (8, bytes.len() as u64), // to the end of the file
        1 => (16, u64::from(number(bytes, 8)?) << 32 | u64::from(number(bytes, 12)?)),
        length => (8, length),
    };
    let length = usize::try_from(length).ok()?;
    Some((name, bytes.get(start..length)?, &bytes[length..]))
}

fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    let word: [u8; 4] = bytes.get(offset..offset.checked_add(4)?)?.try_into().ok()?;
    Some(u32::from_be_bytes(word))
}

/// All boxes of a name, one level deep.
fn boxes<'a>(mut bytes: &'a [u8], wanted: &[u8; 4]) -> Vec<&'a [u8]> {
    let mut found = Vec::new();
    while let Some((name, content, rest)) = next_box(bytes) {
        if &name == wanted {
            found.push(content);
        }
        bytes = rest;
    }
    found
}

/// Every outer box must end within the file, and the description must be there.
fn check_boxes(bytes: &[u8]) -> Result<(), Fault> {
    let mut rest = bytes;
    let mut has_description = false;
    while rest.len() >= 8 {
        let Some((name, _, after)) = next_box(rest) else {
            return Err(Fault::new(format!(
                "was cut short: its part `{}`, which begins at byte {}, is not whole; copy it again",
                rest[4..8].escape_ascii(),
                bytes.len() - rest.len()
            )));
        };
        has_description |= &name == b"moov";
        rest = after;
    }
    if !has_description {
        return Err(Fault::new(
            "was cut short: the description of its sound (moov) is missing, as when a recording \
             was interrupted; copy or record it again",
        ));
    }
    Ok(())
}

/// What is needed from the description.
struct Movie {
    /// Ticks per second of edit durations.
    ticks: u32,
    tracks: Vec<TrackEdits>,
}

struct TrackEdits {
    id: u32,
    /// Ticks per second of media times.
    ticks: u32,
    /// Media time (none = silence) and duration, in ticks of the movie.
    edits: Vec<(Option<u64>, u64)>,
}

/// One edit, with its units.
struct Edit {
    media_time: u64,
    media_ticks: u32,
    duration: u64,
    movie_ticks: u32,
}

/// A field that is 4 bytes long in version 0 of a box and 8 in version 1.
fn long(bytes: &[u8], offset: usize, version: u8) -> Option<u64> {
    if version == 0 {
        return number(bytes, offset).map(u64::from);
    }
    Some(u64::from(number(bytes, offset)?) << 32 | u64::from(number(bytes, offset + 4)?))
}

impl Movie {
    /// Reads what can be read; what cannot is symphonia's to refuse.
    fn parse(bytes: &[u8]) -> Movie {
        let Some(moov) = boxes(bytes, b"moov").first().copied() else {
            return Movie { ticks: 0, tracks: Vec::new() };
        };
        let ticks = boxes(moov, b"mvhd").first().and_then(|mvhd| timescale(mvhd)).unwrap_or(0);
        let tracks =
            boxes(moov, b"trak").into_iter().filter_map(TrackEdits::parse).collect::<Vec<_>>();
        Movie { ticks, tracks }
    }

    /// The one edit of a track, if it has any.
    fn edit(&self, id: u32) -> Result<Option<Edit>, Fault> {
        let Some(track) = self.tracks.iter().find(|track| track.id == id) else { return Ok(None) };
        let mut shown = track.edits.iter().filter_map(|(time, length)| Some(((*time)?, *length)));
        let Some((media_time, duration)) = shown.next() else { return Ok(None) };
        if shown.next().is_some() {
            return Err(Fault::new(
                "is an MP4 whose sound is put together from several pieces (edits), which is not \
                 read here; convert it (ffmpeg -i FILE FILE.wav)",
            ));
        }
        let (media_ticks, movie_ticks) = (track.ticks, self.ticks);
        Ok(Some(Edit { media_time, media_ticks, duration, movie_ticks }))
    }
}

/// The timescale in `mvhd` and `mdhd`: behind version, flags and two dates.
fn timescale(bytes: &[u8]) -> Option<u32> {
    number(bytes, if *bytes.first()? == 0 { 12 } else { 20 })
}

impl TrackEdits {
    fn parse(trak: &[u8]) -> Option<TrackEdits> {
        let tkhd = *boxes(trak, b"tkhd").first()?;
        let id = number(tkhd, if *tkhd.first()? == 0 { 12 } else { 20 })?;
        let mdia = *boxes(trak, b"mdia").first()?;
        let ticks = timescale(boxes(mdia, b"mdhd").first()?)?;
        let mut edits = Vec::new();
        let list =
            boxes(trak, b"edts").first().and_then(|edts| boxes(edts, b"elst").first().copied());
        if let Some(list) = list {
            let version = *list.first()?;
            let width = if version == 0 { 4 } else { 8 };
            let count = number(list, 4)? as usize;
            let entries = list.get(8..)?.chunks_exact(2 * width + 4).take(count);
            for entry in entries {
                let duration = long(entry, 0, version)?;
                let time = long(entry, width, version)?;
                let none = if version == 0 { u64::from(u32::MAX) } else { u64::MAX };
                edits.push(((time != none).then_some(time), duration));
            }
        }
        Some(TrackEdits { id, ticks, edits })
    }
}

impl Edit {
    /// First and last sample to be kept of `samples`.
    fn range(&self, rate: u32, samples: u64) -> (u64, u64) {
        let to_samples = |time: u64, ticks: u32, round: u128| {
            let scaled = u128::from(time) * u128::from(rate) + round;
            u64::try_from(scaled / u128::from(ticks.max(1))).unwrap_or(u64::MAX)
        };
        let start = to_samples(self.media_time, self.media_ticks, 0).min(samples);
        if self.duration == 0 || self.movie_ticks == 0 {
            return (start, samples);
        }
        // The duration is rounded to ticks (milliseconds as a rule); rounding it up by one tick
        // never cuts sound off, and the announced number of samples bounds it from above.
        let length = to_samples(self.duration.saturating_add(1), self.movie_ticks, 0);
        (start, start.saturating_add(length).min(samples))
    }
}
