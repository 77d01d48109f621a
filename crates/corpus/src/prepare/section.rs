//! A part of a recording, as segments files, STM lines and cuts describe it.

use crate::labels::TOLERANCE;
use crate::ledger::Reason;

/// Where an utterance lies in its file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Section {
    /// Seconds from the beginning of the file.
    pub(crate) start: f64,
    /// Seconds; `None`: to the end of the file.
    pub(crate) duration: Option<f64>,
    /// The recording may be shorter than that; then all of it is meant.
    pub(crate) at_most: bool,
}

impl Section {
    /// `duration` seconds from `start`, or to the end of the file.
    pub(crate) fn new(start: f64, duration: Option<f64>) -> Self {
        Self { start, duration, at_most: false }
    }

    /// From `start` to `end` seconds.
    pub(crate) fn between(start: f64, end: f64) -> Self {
        Self::new(start, Some(end - start))
    }

    /// The first `duration` seconds, or the whole file where it is not longer.
    pub(crate) fn first(duration: f64) -> Self {
        Self { start: 0.0, duration: Some(duration), at_most: true }
    }

    /// Offset and duration in a recording of `seconds`; no offset where the section is the whole of it.
    /// An end that lies past the recording by no more than rounding is moved to its end.
    pub(crate) fn within(
        self,
        seconds: f64,
        sample_rate: u32,
    ) -> Result<(Option<f64>, f64), (Reason, String)> {
        let start = self.start;
        if !(start >= 0.0 && start.is_finite()) {
            return Err((Reason::UnusableTimes, format!("it starts at {start} s")));
        }
        if start >= seconds {
            let detail = format!("it starts at {start} s, and the recording lasts {seconds} s");
            return Err((Reason::OffsetPastEnd, detail));
        }
        let rest = seconds - start;
        let duration = self.duration.unwrap_or(rest);
        if !(duration > 0.0 && duration.is_finite()) {
            let end = start + duration;
            let detail = format!("it starts at {start} s and ends at {end} s");
            return Err((Reason::UnusableTimes, detail));
        }
        if self.at_most && duration > rest - TOLERANCE {
            return Ok((None, seconds));
        }
        if duration > rest + TOLERANCE {
            let end = start + duration;
            let detail = format!("it ends at {end} s, and the recording lasts {seconds} s");
            return Err((Reason::OffsetPastEnd, detail));
        }
        let duration = duration.min(rest);
        let whole = start == 0.0 && rest - duration < 0.5 / f64::from(sample_rate);
        Ok(if whole { (None, seconds) } else { (Some(start), duration) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_checked_against_the_recording() {
        let within = |start, duration| Section::new(start, duration).within(10.0, 16000);
        let first = |duration| Section::first(duration).within(10.0, 16000);
        assert_eq!(first(4.0), Ok((Some(0.0), 4.0)));
        assert_eq!((first(9.99), first(12.0)), (Ok((None, 10.0)), Ok((None, 10.0))));
        assert_eq!(within(2.0, Some(3.0)), Ok((Some(2.0), 3.0)));
        assert_eq!(within(2.0, None), Ok((Some(2.0), 8.0)));
        assert_eq!(within(0.0, Some(10.00001)), Ok((None, 10.0)));
        assert_eq!(within(0.0, None), Ok((None, 10.0)));
        assert_eq!(within(9.0, Some(1.04)), Ok((Some(9.0), 1.0)));
        for (start, duration, reason) in [
            (-0.5, Some(1.0), Reason::UnusableTimes),
            (f64::NAN, Some(1.0), Reason::UnusableTimes),
            (1.0, Some(-0.5), Reason::UnusableTimes),
            (1.0, Some(0.0), Reason::UnusableTimes),
            (1.0, Some(f64::NAN), Reason::UnusableTimes),
            (10.0, Some(1.0), Reason::OffsetPastEnd),
            (11.0, None, Reason::OffsetPastEnd),
            (9.0, Some(1.06), Reason::OffsetPastEnd),
        ] {
            assert_eq!(within(start, duration).unwrap_err().0, reason, "{start} {duration:?}");
        }
        assert_eq!(Section::between(1.0, 3.5).duration, Some(2.5));
    }
}
