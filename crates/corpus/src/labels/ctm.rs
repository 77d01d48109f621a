//! NIST's CTM: `recording channel start duration word [confidence [type …]]`, a word a line.
//!
//! Lines that begin with `;;` are comments. A file may hold many recordings; those of the one that is
//! wanted are taken, each channel a tier. Alternatives (`<ALT_BEGIN>`) say more than one thing at one
//! time and are refused. Source: NIST SCTK, "sclite file formats", section ctm.

use super::{Label, LabelFault, LabelTrack, Recording, Tier, check_times, seconds, spell_seconds};

pub(super) fn parse(text: &str, recording: &Recording<'_>) -> Result<LabelTrack, LabelFault> {
    let mut track = LabelTrack::default();
    let mut only: Option<&str> = None;
    let mut others = 0;
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with(";;") {
            continue;
        }
        let fault = |reason: String| LabelFault::new(index + 1, reason);
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, channel, start, duration, word, rest @ ..] = &fields[..] else {
            let reason = "a CTM line is recording, channel, start, duration, word";
            return Err(fault(reason.to_owned()));
        };
        if recording.names.is_empty() {
            if *only.get_or_insert(name) != *name {
                return Err(fault(format!(
                    "the file holds {:?} and {name:?}, and it is not told which is meant",
                    only.unwrap_or_default()
                )));
            }
        } else if !recording.names.contains(name) {
            others += 1;
            continue;
        }
        if word.starts_with("<ALT") {
            return Err(fault(format!("{word} begins alternatives, which are not read")));
        }
        let start = seconds(start).map_err(fault)?;
        let duration = seconds(duration).map_err(fault)?;
        check_times(start, start + duration, recording.seconds).map_err(fault)?;
        let mut label = Label::new(start, start + duration, *word);
        label.confidence = match rest.first() {
            None | Some(&"NA") => None,
            Some(text) => {
                let value = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
                Some(value.ok_or_else(|| fault(format!("{text:?} is no confidence from 0 to 1")))?)
            }
        };
        match track.tiers.iter_mut().find(|tier| tier.name == *channel) {
            Some(tier) => tier.labels.push(label),
            None => {
                track.tiers.push(Tier { name: (*channel).to_owned(), labels: vec![label] });
            }
        }
    }
    if track.tiers.is_empty() && others > 0 {
        let last = text.lines().count();
        let reason = format!("the file ends without a word of {}", recording.names.join(" or "));
        return Err(LabelFault::new(last, reason));
    }
    Ok(track)
}

pub(super) fn to_text(track: &LabelTrack, recording: &Recording<'_>) -> Result<String, String> {
    let field = |text: &str, what: &str| {
        if text.is_empty() || text.contains(char::is_whitespace) {
            Err(format!("the {what} {text:?} is empty or holds white space"))
        } else {
            Ok(text.to_owned())
        }
    };
    let Some(name) = recording.names.first() else {
        return Err("the name of the recording is not known".to_owned());
    };
    let name = field(name, "recording")?;
    let mut text = String::new();
    for tier in &track.tiers {
        let channel = if tier.name.is_empty() { "1" } else { &tier.name };
        let channel = field(channel, "channel")?;
        for label in &tier.labels {
            let word = field(&label.text, "word")?;
            // The difference of two binary fractions is off in the sixteenth digit.
            let duration = ((label.end - label.start) * 1e9).round() / 1e9;
            let (start, duration) = (spell_seconds(label.start), spell_seconds(duration));
            text += &format!("{name} {channel} {start} {duration} {word}");
            if let Some(confidence) = label.confidence {
                text += &format!(" {confidence}");
            }
            text.push('\n');
        }
    }
    Ok(text)
}
