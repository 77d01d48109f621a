//! Numbers as people read them.

use std::path::Path;

use labyrinth_corpus::Ledger;
use labyrinth_text::Interval;
use labyrinth_train::Seen;

/// `1 file`, `2 files`.
pub fn count(number: usize, name: &str) -> String {
    format!("{} {name}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// `3,312,345`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The size of a file: `999 bytes`, `4.7 MB`, `6.39 GB`; a MB is a million bytes.
pub fn bytes(number: u64) -> String {
    let number = number as f64;
    if number < 1e3 {
        format!("{number} bytes")
    } else if number < 1e6 {
        format!("{:.1} kB", number / 1e3)
    } else if number < 1e9 {
        format!("{:.1} MB", number / 1e6)
    } else {
        format!("{:.2} GB", number / 1e9)
    }
}

/// A path as it can be pasted into a shell: as it is where no character of it means anything there, else
/// in quotes.
pub fn shell(path: &Path) -> String {
    let mut text = path.to_string_lossy().into_owned();
    if text.starts_with('-') {
        // Or it would be taken for an option, quoted or not.
        text.insert_str(0, "./");
    }
    let plain = |c: char| c.is_alphanumeric() || "_-./+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    if text.chars().any(char::is_control) {
        // Only this form of quotes can say a control character without writing one.
        let text: String = text
            .chars()
            .map(|c| match c {
                '\'' | '\\' => format!("\\{c}"),
                // Below U+00A0 all; their UTF-8 bytes in octal.
                c if c.is_control() => {
                    c.to_string().bytes().map(|byte| format!("\\{byte:03o}")).collect()
                }
                c => c.to_string(),
            })
            .collect();
        return format!("$'{text}'");
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A share as percent: `10.35 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// An error rate as percent, or `none` where nobody said anything.
pub fn error_rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "none".to_owned(), percent)
}

/// A rate with its interval: `10.35 % [8.10, 12.70] at 95 %`; how the interval was made stands apart.
pub fn rate(rate: Option<f64>, interval: &Interval) -> String {
    let Some(rate) = rate else { return error_rate(rate) };
    let (low, high) = (100.0 * interval.low, 100.0 * interval.high);
    format!("{} [{low:.2}, {high:.2}] at 95 %", percent(rate))
}

/// What an evaluation is worth on data that the model saw.
pub fn seen(seen: Seen) -> &'static str {
    match seen {
        Seen::TrainedOn => {
            "this is the manifest that the model was trained on, or shards of it, so the figures say nothing of \
             new speech"
        }
        Seen::ChosenBy => {
            "this is the manifest by which the best epoch was chosen, or shards of it, so the figures flatter"
        }
    }
}

/// Hours of speech: `0.81 h`, `12.3 min`, `45 s`.
pub fn speech(seconds: f64) -> String {
    if seconds >= 1800.0 {
        format!("{:.2} h", seconds / 3600.0)
    } else if seconds >= 100.0 {
        format!("{:.1} min", seconds / 60.0)
    } else {
        format!("{seconds:.0} s")
    }
}

/// Time on the clock: `0:42`, `12:05`, `3:07:09`.
pub fn clock(seconds: f64) -> String {
    // Beyond any real duration the figure is an estimate from next to nothing.
    let seconds = seconds.clamp(0.0, 3.6e6).round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// What was left out, by reason: `3 of 30 utterances: 2 missing-audio, 1 offset-past-end`.
pub fn left_out(ledger: &Ledger) -> String {
    let of = format!("of {}", count(ledger.read_count(), "utterance"));
    if ledger.refused_count() == 0 {
        return format!("none {of}");
    }
    let reasons: Vec<String> =
        ledger.reasons().iter().map(|(reason, number)| format!("{number} {reason}")).collect();
    format!("{} {of}: {}", thousands(ledger.refused_count()), reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_from_the_right() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (65_536, "65,536"), (3_312_345, "3,312,345")]
        {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn sizes_have_the_unit_that_fits() {
        for (number, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_500, "1.5 kB"),
            (4_703_754, "4.7 MB"),
            (6_387_309_499, "6.39 GB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn the_clock_shows_hours_only_where_there_are_some() {
        for (seconds, text) in
            [(0.0, "0:00"), (59.6, "1:00"), (725.0, "12:05"), (11_229.0, "3:07:09")]
        {
            assert_eq!(clock(seconds), text);
        }
        assert_eq!(clock(f64::NAN), "0:00");
    }

    #[test]
    fn paths_are_quoted_where_a_shell_would_read_them_otherwise() {
        for (path, pasted) in [
            ("runs/an4/model.safetensors", "runs/an4/model.safetensors"),
            ("data/größe", "data/größe"),
            ("my data/a", "'my data/a'"),
            ("$HOME/*", "'$HOME/*'"),
            ("~/x", "'~/x'"),
            ("it's", r"'it'\''s'"),
            ("-o", "./-o"),
            ("", "''"),
            ("a\u{1b}[31m'b\nc", r"$'a\033[31m\'b\012c'"),
        ] {
            assert_eq!(shell(Path::new(path)), pasted);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for path in ["my data/it's", "a;b|c&d", "`x` $(y) \"z\" \\", "#a!b", "{a,b}[c]?"] {
            let script = format!("printf %s {}", shell(Path::new(path)));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), path);
        }
    }

    #[test]
    fn what_was_left_out_is_told_by_reason() {
        use labyrinth_corpus::{Reason, Refusal};
        let mut ledger = Ledger::new();
        ledger.keep();
        assert_eq!(left_out(&ledger), "none of 1 utterance");
        for (id, reason) in
            [("a", Reason::MissingAudio), ("b", Reason::OffsetPastEnd), ("c", Reason::MissingAudio)]
        {
            ledger.refuse(Refusal::new(id, reason, ""));
        }
        assert_eq!(left_out(&ledger), "3 of 4 utterances: 2 missing-audio, 1 offset-past-end");
    }
}
