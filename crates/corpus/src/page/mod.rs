//! What every HTML page of this program is made of: its frame, its colours, text made safe, axes, players.
//!
//! A page is one file without scripts and without anything from elsewhere; its own policy forbids both,
//! so that a transcript that slipped through [`escape`] still could not run.

mod player;

pub use player::{Clip, SECONDS, base64};

use crate::check::is_invisible;

/// Colours, in light and dark, and the shapes of what pages are made of.
const STYLE: &str = include_str!("style.css");

/// Nothing from anywhere, no script; styles and sounds only from inside of the page.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; media-src data:; img-src data:";

/// Text for HTML. What cannot be seen, and what would turn the order of letters around, is spelled out.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() || is_invisible(c) => escaped.extend(c.escape_unicode()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The beginning of a page, up to where its content begins. `title` is plain text.
pub fn begin(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n",
        escape(title)
    )
}

/// The end of a page.
pub const END: &str = "</main></body></html>\n";

/// `1 h 12 min`, `4.5 min`, `12 s`.
pub fn time(seconds: f64) -> String {
    if seconds >= 3600.0 {
        let minutes = (seconds / 60.0).round() as u64;
        format!("{} h {} min", minutes / 60, minutes % 60)
    } else if seconds >= 100.0 {
        format!("{:.1} min", seconds / 60.0)
    } else {
        format!("{seconds:.0} s")
    }
}

/// The step of 1, 2 or 5 times a power of ten that divides `range` into at most `parts`.
pub fn nice_step(range: f64, parts: f64) -> f64 {
    let least = (range / parts).max(1e-9);
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    power * steps.into_iter().find(|step| step * power >= least * 0.999_999).unwrap_or(10.0)
}

/// A number as it stands at an axis.
pub fn label(value: f64) -> String {
    let text = format!("{value:.2}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (range, parts, step) in
            [(10.0, 10.0, 1.0), (13.0, 10.0, 2.0), (0.4, 10.0, 0.05), (70.0, 30.0, 5.0)]
        {
            assert!((nice_step(range, parts) - step).abs() < 1e-9, "{range} {parts}");
        }
        assert_eq!(
            (label(-0.001), label(0.5), label(30.0)),
            ("0".into(), "0.5".into(), "30".into())
        );
    }

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(escape("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
        assert_eq!(escape("a\u{0}\u{202e}b\u{ad}"), "a\\u{0}\\u{202e}b\\u{ad}");
        assert_eq!(escape("naïve 日本"), "naïve 日本");
    }

    #[test]
    fn times_are_read_at_a_glance() {
        assert_eq!((time(12.4), time(120.0)), ("12 s".to_owned(), "2.0 min".to_owned()));
        assert_eq!(time(4320.0), "1 h 12 min");
        assert_eq!(time(7199.0), "2 h 0 min");
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains("</"));
    }
}
