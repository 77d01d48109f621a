//! The JSON form of a label track: everything that a track can hold, to the last bit.
//!
//! ```json
//! {"tiers":[{"name":"words","labels":[{"start":0.25,"end":0.5,"text":"yes","confidence":0.9}]}]}
//! ```
//!
//! Several tiers, overlaps within one, points, empty texts, line breaks and confidences: each of the other
//! formats lacks one of these.

use super::{Label, LabelFault, LabelTrack, Recording, Tier, check_times};
use labyrinth_text::plain_words::in_plain_words;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tiers: Vec<FileTier>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTier {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    labels: Vec<FileLabel>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLabel {
    start: f64,
    end: f64,
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
}

pub(super) fn parse(text: &str, recording: &Recording<'_>) -> Result<LabelTrack, LabelFault> {
    let file: File = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let reason = message.split(" at line ").next().unwrap_or_default();
        LabelFault::new(
            error.line(),
            format!("this is no label track ({})", in_plain_words(reason)),
        )
    })?;
    let mut track = LabelTrack::default();
    for FileTier { name, labels } in file.tiers {
        let mut tier = Tier { name, labels: Vec::with_capacity(labels.len()) };
        for FileLabel { start, end, text, confidence } in labels {
            // The line of a value is not known once it is parsed; a track of ours has a single one.
            let fault = |reason| LabelFault::new(1, format!("label {text:?}: {reason}"));
            check_times(start, end, recording.seconds).map_err(fault)?;
            tier.labels.push(Label { start, end, text, confidence });
        }
        track.tiers.push(tier);
    }
    Ok(track)
}

pub(super) fn to_text(track: &LabelTrack) -> Result<String, String> {
    let label = |label: &Label| {
        // JSON has no way to say it, and a reader would meet a null.
        if label.confidence.is_some_and(|confidence| !confidence.is_finite()) {
            return Err(format!("{:?} has a confidence that is no number", label.text));
        }
        let Label { start, end, text, confidence } = label.clone();
        Ok(FileLabel { start, end, text, confidence })
    };
    let tier = |tier: &Tier| {
        let labels = tier.labels.iter().map(label).collect::<Result<_, _>>()?;
        Ok(FileTier { name: tier.name.clone(), labels })
    };
    let tiers = track.tiers.iter().map(tier).collect::<Result<_, String>>()?;
    let mut text = serde_json::to_string(&File { tiers }).map_err(|error| error.to_string())?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::LabelFormat;

    #[test]
    fn whatever_a_track_holds_comes_back_to_the_last_bit() {
        let mut words = vec![
            Label::new(0.1 + 0.2, 1.0 / 3.0, "a \"quoted\"\nline"),
            Label::new(0.31, 0.9, "overlaps"),
            Label::new(0.9, 0.9, ""),
        ];
        words[1].confidence = Some(0.7 + 0.1);
        let track = LabelTrack {
            tiers: vec![
                Tier { name: "words \u{e4}".into(), labels: words },
                Tier { name: String::new(), labels: Vec::new() },
                Tier { name: "words \u{e4}".into(), labels: vec![Label::new(0.0, 1.0, "x")] },
            ],
        };
        let text = track.to_text(LabelFormat::Json, &Recording::default()).unwrap();
        let recording = Recording { seconds: Some(1.0), ..Recording::default() };
        assert_eq!(LabelTrack::parse(text.as_bytes(), LabelFormat::Json, &recording), Ok(track));
    }

    #[test]
    fn faults_are_told_in_words() {
        let recording = Recording { seconds: Some(1.0), ..Recording::default() };
        for (text, reason) in [
            (
                "{\"tiers\":[{\"labels\":[{\"start\":0.5,\"end\":0.4,\"text\":\"x\"}]}]}",
                "before it starts",
            ),
            (
                "{\"tiers\":[{\"labels\":[{\"start\":0.5,\"end\":2,\"text\":\"x\"}]}]}",
                "the recording at 1",
            ),
            ("{\"tiers\":[{\"labels\":[{\"start\":0.5,\"text\":\"x\"}]}]}", "`end` is missing"),
            ("{\"tiers\":[{\"labels\":[", "no label track"),
            ("{\"tiers\":[],\"more\":1}", "no key"),
        ] {
            let fault =
                LabelTrack::parse(text.as_bytes(), LabelFormat::Json, &recording).unwrap_err();
            assert!(fault.reason.contains(reason), "{fault} should tell of {reason}");
        }
        let mut label = Label::new(0.0, 1.0, "x");
        label.confidence = Some(f64::NAN);
        let track = LabelTrack::single(vec![label]);
        assert!(track.to_text(LabelFormat::Json, &Recording::default()).is_err());
    }
}
