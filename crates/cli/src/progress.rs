//! How far a long work has come: a bar on a terminal, a line now and then elsewhere.

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

/// Whether a person looks at standard error.
pub fn on_a_terminal() -> bool {
    std::io::stderr().is_terminal()
}
