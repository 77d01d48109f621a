//! Audacity's label tracks: `start TAB end TAB label`, seconds, a label a line.
//!
//! A line that begins with a backslash holds the frequencies of a spectral selection for the label
//! above it, and is passed over. Decimal commas, which old versions wrote in some languages, are read.
//! Source: the Audacity manual, "Importing and Exporting Labels".

use super::{
    Label, LabelFault, LabelTrack, Recording, check_times, one_line, seconds, spell_seconds,
};

pub(super) fn parse(text: &str, recording: &Recording<'_>) -> Result<LabelTrack, LabelFault> {
    let mut labels = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() || line.starts_with('\\') {
            continue;
        }
        let fault = |reason: String| LabelFault::new(index + 1, reason);
        let mut fields = line.splitn(3, '\t');
        let (Some(start), Some(end)) = (fields.next(), fields.next()) else {
            return Err(fault("no tab stands between start, end and label".to_owned()));
        };
        let number = |field: &str| seconds(&field.trim().replace(',', "."));
        let start = number(start).map_err(fault)?;
        let end = number(end).map_err(fault)?;
        check_times(start, end, recording.seconds).map_err(fault)?;
        labels.push(Label::new(start, end, fields.next().unwrap_or_default()));
    }
    Ok(LabelTrack::single(labels))
}

pub(super) fn to_text(track: &LabelTrack) -> Result<String, String> {
    let mut text = String::new();
    for label in track.labels() {
        let (start, end) = (spell_seconds(label.start), spell_seconds(label.end));
        text += &format!("{start}\t{end}\t{}\n", one_line(&label.text)?);
    }
    Ok(text)
}
