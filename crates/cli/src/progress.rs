//! How far a long work has come: a bar on a terminal, a line now and then elsewhere.

use std::cell::Cell;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{output, wording};

/// Time between two plain lines.
const EVERY: Duration = Duration::from_secs(10);

/// Counts items of a pass; may be told from several threads.
pub struct Progress {
    label: &'static str,
    bar: Option<ProgressBar>,
    start: Instant,
    next_line: Mutex<Instant>,
}

impl Progress {
    /// Begins a pass that is called `label`, such as "recognising".
    pub fn new(label: &'static str) -> Self {
        let start = Instant::now();
        let bar = on_a_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{prefix} {wide_bar} {pos}/{len}  {per_sec}  {eta} left",
            );
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr())
                .with_prefix(label);
            // The template is a constant; were it wrong, the default style would show.
            style.map_or(bar.clone(), |style| bar.with_style(style))
        });
        Self { label, bar, start, next_line: Mutex::new(start + EVERY) }
    }

    /// `done` of `total` items are done.
    pub fn at(&self, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            return;
        }
        // Another thread that holds the lock is about to write the line.
        let Ok(mut next_line) = self.next_line.try_lock() else { return };
        let now = Instant::now();
        if now < *next_line || done == 0 {
            return;
        }
        *next_line = now + EVERY;
        let elapsed = self.start.elapsed().as_secs_f64();
        let left = elapsed / done as f64 * total.saturating_sub(done) as f64;
        output::remark(format_args!(
            "{} {done} of {total}, {} left",
            self.label,
            wording::clock(left)
        ));
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Counts the bytes of a file that comes over the network, or is read as a whole.
pub struct ByteProgress {
    label: &'static str,
    bar: Option<ProgressBar>,
    /// When the present connection began, and how many bytes were there.
    since: Cell<(Instant, u64)>,
    next_line: Cell<Instant>,
}

impl ByteProgress {
    /// Begins a pass that is called `label`, such as "fetching".
    pub fn new(label: &'static str) -> Self {
        let now = Instant::now();
        let bar = on_a_terminal().then(|| {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_prefix(label)
        });
        Self { label, bar, since: Cell::new((now, 0)), next_line: Cell::new(now + EVERY) }
    }

    /// `done` bytes are there before the first comes: they count as done, but not for the rate.
    pub fn begin(&self, done: u64, total: Option<u64>) {
        self.since.set((Instant::now(), done));
        let Some(bar) = &self.bar else { return };
        let template = match total {
            Some(_) => {
                "{prefix} {wide_bar} {decimal_bytes}/{decimal_total_bytes}  \
                 {decimal_bytes_per_sec}  {eta} left"
            }
            None => "{prefix} {decimal_bytes}  {decimal_bytes_per_sec}",
        };
        // The templates are constants; were they wrong, the default style would show.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        match total {
            Some(total) => bar.set_length(total),
            None => bar.unset_length(),
        }
        bar.set_position(done);
        bar.reset_eta();
    }

    /// `done` bytes of `total` are there.
    pub fn at(&self, done: u64, total: Option<u64>) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let now = Instant::now();
        if now < self.next_line.get() {
            return;
        }
        self.next_line.set(now + EVERY);
        let (start, before) = self.since.get();
        let rate = done.saturating_sub(before) as f64 / (now - start).as_secs_f64().max(1e-3);
        let of = total.map_or_else(String::new, |total| format!(" of {}", wording::bytes(total)));
        // From next to nothing no time can be told.
        let left = total.filter(|_| rate >= 1.0).map_or_else(String::new, |total| {
            let seconds = total.saturating_sub(done) as f64 / rate;
            format!(", {} left", wording::clock(seconds))
        });
        output::remark(format_args!(
            "{} {}{of}, {}/s{left}",
            self.label,
            wording::bytes(done),
            wording::bytes(rate as u64)
        ));
    }

    /// Says something in between.
    pub fn remark(&self, what: impl std::fmt::Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::remark(what)),
            None => output::remark(what),
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Whether a person looks at standard error.
pub fn on_a_terminal() -> bool {
    std::io::stderr().is_terminal()
}
