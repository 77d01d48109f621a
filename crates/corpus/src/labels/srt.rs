//! SubRip subtitles: a number, `HH:MM:SS,mmm --> HH:MM:SS,mmm`, lines of text, an empty line.
//!
//! The number may be missing and a full stop may stand for the comma, as many programs write; what
//! follows the second time on its line (positions on the screen) is passed over. The lines of one
//! subtitle are joined by line breaks. Times are rounded to milliseconds when written.

use super::{Label, LabelFault, LabelTrack, Recording, check_times};

const ARROW: &str = "-->";

pub(super) fn parse(text: &str, recording: &Recording<'_>) -> Result<LabelTrack, LabelFault> {
    let mut labels = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let fault = |line: usize, reason: String| LabelFault::new(line + 1, reason);
        let (index, times) = if line.contains(ARROW) {
            (index, line)
        } else if !line.trim().bytes().all(|byte| byte.is_ascii_digit()) {
            let reason = format!("{:?} is no number of a subtitle", line.trim());
            return Err(fault(index, reason));
        } else {
            lines.next().ok_or_else(|| fault(index, "no times follow the number".to_owned()))?
        };
        let Some((start, end)) = times.split_once(ARROW) else {
            let reason = format!("{:?} is not START --> END", times.trim());
            return Err(fault(index, reason));
        };
        let start = clock(start.trim()).map_err(|reason| fault(index, reason))?;
        let end = end.split_whitespace().next().unwrap_or_default();
        let end = clock(end).map_err(|reason| fault(index, reason))?;
        check_times(start, end, recording.seconds).map_err(|reason| fault(index, reason))?;
        let mut said = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()) {
            said.push(line);
        }
        labels.push(Label::new(start, end, said.join("\n")));
    }
    Ok(LabelTrack::single(labels))
}

/// `HH:MM:SS,mmm` in seconds.
fn clock(text: &str) -> Result<f64, String> {
    let parts = || {
        let (whole, thousandths) = text.split_once([',', '.'])?;
        let digits = |part: &str, most: usize| {
            let good = !part.is_empty()
                && part.len() <= most
                && part.bytes().all(|byte| byte.is_ascii_digit());
            good.then(|| part.parse::<u64>().ok()).flatten()
        };
        let mut fields = whole.split(':');
        let hours = digits(fields.next()?, 6)?;
        let minutes = digits(fields.next()?, 2)?;
        let seconds = digits(fields.next()?, 2)?;
        if fields.next().is_some() || minutes > 59 || seconds > 59 || thousandths.len() != 3 {
            return None;
        }
        Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + digits(thousandths, 3)?)
    };
    parts()
        .map(|milliseconds| milliseconds as f64 / 1000.0)
        .ok_or_else(|| format!("{text:?} is no time like 00:01:02,345"))
}

pub(super) fn to_text(track: &LabelTrack) -> Result<String, String> {
    let mut text = String::new();
    for (index, label) in track.labels().enumerate() {
        // An empty line would end the subtitle there.
        if label.text.lines().any(|line| line.trim().is_empty()) {
            return Err(format!("{:?} holds an empty line", label.text));
        }
        let (start, end) = (spell_clock(label.start), spell_clock(label.end));
        text += &format!("{}\n{start} {ARROW} {end}\n{}\n\n", index + 1, label.text);
    }
    Ok(text)
}

fn spell_clock(seconds: f64) -> String {
    let milliseconds = (seconds * 1000.0).round() as u64;
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    format!("{:02}:{:02}:{:02},{rest:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
