//! Numbers as people read them.

use labyrinth_corpus::Ledger;
use labyrinth_text::Interval;

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

/// A share as percent: `10.35 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A rate with its interval: `10.35 % [8.10, 12.70] at 95 %`; how the interval was made stands apart.
pub fn rate(rate: f64, interval: &Interval) -> String {
    let (low, high) = (100.0 * interval.low, 100.0 * interval.high);
    format!("{} [{low:.2}, {high:.2}] at 95 %", percent(rate))
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
    fn the_clock_shows_hours_only_where_there_are_some() {
        for (seconds, text) in
            [(0.0, "0:00"), (59.6, "1:00"), (725.0, "12:05"), (11_229.0, "3:07:09")]
        {
            assert_eq!(clock(seconds), text);
        }
        assert_eq!(clock(f64::NAN), "0:00");
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
