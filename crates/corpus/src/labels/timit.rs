//! TIMIT's `.phn` and `.wrd`: `first-sample sample-after-the-last label`, a label a line.
//!
//! Sample numbers become seconds by the recording's rate. The phones of a recording follow each other;
//! words may share a sound (`had your`: one ends after the next began). Source: TIMIT's readme.doc,
//! whose example is in the tests.

use super::{Label, LabelFault, LabelTrack, Recording, check_order, check_times, one_line};

const NO_RATE: &str = "TIMIT counts in samples, and the rate of the recording is not known";

pub(super) fn parse(
    text: &str,
    recording: &Recording<'_>,
    overlaps: bool,
) -> Result<LabelTrack, LabelFault> {
    let rate = rate(recording).map_err(|reason| LabelFault::new(1, reason))?;
    let mut labels: Vec<Label> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let fault = |reason: String| LabelFault::new(index + 1, reason);
        let mut fields = line.trim().splitn(3, [' ', '\t']);
        let (Some(start), Some(end), Some(text)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(fault("a line is first sample, last sample, label".to_owned()));
        };
        let number = |field: &str| {
            let sample: Option<u64> = field.parse().ok();
            sample
                .map(|sample| sample as f64 / rate)
                .ok_or_else(|| fault(format!("{field:?} is not the number of a sample")))
        };
        let label = Label::new(number(start)?, number(end)?, text.trim());
        check_times(label.start, label.end, recording.seconds).map_err(fault)?;
        if !overlaps {
            check_order(labels.last(), &label).map_err(fault)?;
        }
        labels.push(label);
    }
    Ok(LabelTrack::single(labels))
}

pub(super) fn to_text(
    track: &LabelTrack,
    recording: &Recording<'_>,
    overlaps: bool,
) -> Result<String, String> {
    let rate = rate(recording)?;
    let mut text = String::new();
    let mut above: Option<&Label> = None;
    for label in track.labels() {
        if label.text.trim().is_empty() {
            return Err("a label without text".to_owned());
        }
        if !overlaps {
            check_order(above, label)?;
            above = Some(label);
        }
        let sample = |seconds: f64| (seconds * rate).round() as u64;
        let (start, end) = (sample(label.start), sample(label.end));
        text += &format!("{start} {end} {}\n", one_line(&label.text)?);
    }
    Ok(text)
}

fn rate(recording: &Recording<'_>) -> Result<f64, String> {
    match recording.sample_rate {
        Some(rate) if rate > 0 => Ok(f64::from(rate)),
        _ => Err(NO_RATE.to_owned()),
    }
}
