//! `report.html` of a training: one file that shows how it went and what came out, to look at and to listen to.
//!
//! It is made from what lies in the run directory, at the end of a training or at any time later, also of a
//! run that died after three steps: what is not there is said to be missing. The best model is tried once
//! more on the dev set, by which it was chosen; a test set is never read.
//!
//! - `history`: the lines of the logs.
//! - `charts`: lines, bands and points.
//! - `tried`: the dev set as the best model hears it.
//! - `picture`: one recording as the model sees it, and where the letters fire.

mod charts;
mod history;
mod picture;
mod tried;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use labyrinth_corpus::Ledger;
use labyrinth_corpus::atomic::write_atomically;
use labyrinth_corpus::page::{self, END, escape, time};
use labyrinth_kernels::Cpu;
use labyrinth_nn::ModelHeader;
use labyrinth_text::Interval;

use crate::error::TrainError;
use crate::recipe::Recipe;
use charts::{Chart, Line};
pub(crate) use history::History;
use tried::Tried;

/// Rows of a table of confusions, and of a ledger.
const ROWS: usize = 12;

const STYLE: &str = include_str!("style.css");

/// A `report.html` that was written.
#[derive(Clone, Debug)]
pub struct WrittenReport {
    /// Where it stands.
    pub path: PathBuf,
    /// Why the dev set is not on it, where it is not.
    pub untried: Option<String>,
}

/// Writes `report.html` into a run directory.
///
/// `progress` is told utterances tried and in all.
///
/// # Errors
/// [`TrainError`] where there is no run, its model is damaged, a page stands there that shows what is gone since,
/// or a disk fails.
pub fn write_report(
    run: &Path,
    cpu: Cpu,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<WrittenReport, TrainError> {
    let path = run.join("report.html");
    if path.exists() {
        check_nothing_is_lost(run, &path)?;
    }
    let report = Report::read(run, cpu, progress)?;
    let untried = report.tried.as_ref().err().cloned();
    let html = report.into_html()?;
    write_atomically(&path, |file| file.write_all(html.as_bytes()))
        .map_err(TrainError::page(&path))?;
    Ok(WrittenReport { path, untried })
}

/// Stands before the number of epochs that a page shows.
const BEFORE_EPOCHS: &str = "<p class=\"soft\">";

/// Refuses to write over a page of what is there no more: its log, epochs of it, or the model that the log tells of.
fn check_nothing_is_lost(run: &Path, page: &Path) -> Result<(), TrainError> {
    let recipe = run.join("recipe.toml");
    let (log, model) = (run.join("log.jsonl"), run.join("model.safetensors"));
    let history = History::read(run)?;
    let shown = fs::read(page).map_err(TrainError::read(page))?;
    let shown = epochs_shown(&String::from_utf8_lossy(&shown));
    let nothing = history.epochs.is_empty() && history.steps.is_empty();
    let gone = if nothing || history.epochs.len() < shown {
        log
    } else if history.best().is_some() && !model.exists() {
        model
    } else {
        return Ok(());
    };
    match recipe.is_file() {
        true => Err(TrainError::PageOfMore { page: page.into(), gone }),
        // That there is no run at all is for others to say.
        false => Ok(()),
    }
}

/// The epochs of which a page tells; 0 where it says none.
fn epochs_shown(page: &str) -> usize {
    let said = page.split(BEFORE_EPOCHS).nth(1).and_then(|said| said.split(' ').next());
    said.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// All that a page is made of.
struct Report {
    run: PathBuf,
    recipe: Recipe,
    recipe_text: String,
    history: History,
    ledger: Option<Ledger>,
    /// What was tried, or why nothing was.
    tried: Result<Tried, String>,
}

impl Report {
    fn read(
        run: &Path,
        cpu: Cpu,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, TrainError> {
        let recipe_path = run.join("recipe.toml");
        if !recipe_path.is_file() {
            return Err(TrainError::NoRun { path: run.into() });
        }
        let recipe = Recipe::read(&recipe_path, &[])?;
        let recipe_text =
            fs::read_to_string(&recipe_path).map_err(TrainError::read(&recipe_path))?;
        let ledger = run.join("ledger.jsonl");
        let ledger = if ledger.exists() { Some(Ledger::read(&ledger)?) } else { None };
        let history = History::read(run)?;
        let tried = Tried::of_run(run, &recipe, cpu, progress)?;
        Ok(Self { run: run.into(), recipe, recipe_text, history, ledger, tried })
    }

    fn into_html(mut self) -> Result<String, TrainError> {
        let name = self.run.file_name().unwrap_or(self.run.as_os_str()).to_string_lossy();
        let name = name.into_owned();
        let mut html = page::begin(&format!("training {name}"));
        let _ = write!(html, "<style>\n{STYLE}</style><h1>{}</h1>", escape(&name));
        self.summary(&mut html);
        self.curves(&mut html);
        if let Ok(tried) = &mut self.tried {
            tried.sections(&mut html)?;
        }
        self.data(&mut html);
        self.machine(&mut html);
        let _ = write!(
            html,
            "<h2 id=\"recipe\">Recipe</h2><div class=\"card scroll\"><pre>{}</pre></div>\
             <footer>Written by <code>labyrinth report</code>, version {}.</footer>{END}",
            escape(self.recipe_text.trim_end()),
            env!("CARGO_PKG_VERSION")
        );
        Ok(html)
    }

    fn header(&self) -> Option<&ModelHeader> {
        self.tried.as_ref().ok().map(|tried| tried.recognizer.header())
    }

    /// The figures that one looks for first.
    fn summary(&self, html: &mut String) {
        let epochs = self.recipe.train.epochs;
        let done = self.history.epochs.len();
        let _ = write!(html, "{BEFORE_EPOCHS}{done} of {epochs} epochs");
        if let Some(best) = self.history.best() {
            let _ = write!(html, ", the best after epoch {}", best.epoch);
        }
        html.push_str(". Every figure below is of the dev set, by which the best epoch was chosen, so it flatters; \
             <code>labyrinth evaluate</code> on a test set says what the model is worth.</p><div class=\"figures\">");
        let mut figure = |value: String, what: &str, more: String| {
            let _ = write!(
                html,
                "<div class=\"card\"><b>{value}</b><span>{what}</span><small>{more}</small></div>"
            );
        };
        let wrong = format!("{} wrong on dev", self.history.counted);
        let phonemes = self.history.counted == "phonemes";
        match &self.tried {
            Ok(Tried { evaluation, .. }) => {
                let score = &evaluation.score;
                let interval = |interval: &Interval| {
                    let (low, high) = (100.0 * interval.low, 100.0 * interval.high);
                    format!("95 % interval {low:.1} to {high:.1} %")
                };
                figure(percent(score.wer), &wrong, interval(&score.wer_interval));
                if let Some(frames) = &evaluation.frames {
                    let more = format!("of {}", frames.all);
                    figure(percent(frames.accuracy()), "of the frames right on dev", more);
                }
                if !phonemes {
                    let interval = interval(&score.cer_interval);
                    figure(percent(score.cer), "characters wrong on dev", interval);
                }
            }
            Err(_) => {
                let rate = self.history.best().and_then(|best| best.error_rate);
                figure(percent(rate), &wrong, "as the log tells".into());
            }
        }
        if let Some(header) = self.header() {
            let data = &header.data;
            figure(
                format!("{:.2} h", data.train_hours),
                "of speech learnt from",
                format!("{} utterances", data.train_utterances),
            );
        }
        if let Some((seconds, whole)) = self.history.seconds() {
            let more = if whole { "" } else { "at least; some of it was cut off" };
            figure(time(seconds), "of training", more.into());
        }
        html.push_str("</div>");
        if let Err(reason) = &self.tried {
            let _ = write!(
                html,
                "<p class=\"verdict\"><span class=\"is-warning\">{}</span></p>",
                escape(reason)
            );
        }
    }

    fn curves(&self, html: &mut String) {
        let History { epochs, steps, skipped, .. } = &self.history;
        html.push_str("<h2 id=\"curves\">How it went</h2><div class=\"charts\">");
        let over = |of: fn(&history::Epoch) -> f64| -> Vec<(f64, f64)> {
            epochs.iter().map(|epoch| (epoch.epoch, of(epoch))).collect()
        };
        // A dev set of which nothing is feasible yet has no loss, which the log writes as a huge number.
        let dev_loss = |epoch: &history::Epoch| {
            if epoch.dev_loss < 1e9 { epoch.dev_loss } else { f64::NAN }
        };
        let losses = epochs.iter().map(|epoch| epoch.train_loss).filter(|loss| loss.is_finite());
        let mut losses: Vec<f64> = losses.collect();
        losses.sort_unstable_by(f64::total_cmp);
        *html += &Chart {
            title: "Loss",
            across: "epochs",
            up: "per label",
            lines: vec![
                Line { name: "train", class: "train", points: over(|epoch| epoch.train_loss) },
                Line { name: "dev", class: "dev", points: over(dev_loss) },
            ],
            band: Vec::new(),
            dots: Vec::new(),
            // The first epochs would flatten all others.
            ceiling: losses.get(losses.len() / 2).map(|middle| (6.0 * middle).max(4.0)),
        }
        .to_html();
        let rates = |of: fn(&history::Epoch) -> Option<f64>| {
            over(|_| 0.0)
                .into_iter()
                .zip(epochs)
                .map(|((x, _), epoch)| (x, of(epoch).map_or(f64::NAN, |rate| 100.0 * rate)))
                .collect()
        };
        let band = epochs.iter().filter_map(|epoch| {
            let (low, high) = epoch.interval?;
            Some((epoch.epoch, 100.0 * low, 100.0 * high))
        });
        *html += &Chart {
            title: "Errors on dev",
            across: "epochs",
            up: "percent",
            lines: vec![
                Line { name: self.history.counted, class: "test", points: rates(|e| e.error_rate) },
                Line {
                    name: "characters",
                    class: "dev",
                    points: rates(|e| e.character_error_rate),
                },
            ],
            band: band.collect(),
            dots: Vec::new(),
            ceiling: Some(100.0),
        }
        .to_html();
        let steps_of = |of: fn(&history::Step) -> f64| {
            steps.iter().map(|step| (step.step, of(step))).collect()
        };
        let single = |title, up, class, points, ceiling| Chart {
            title,
            across: "steps",
            up,
            lines: vec![Line { name: title, class, points }],
            band: Vec::new(),
            dots: Vec::new(),
            ceiling,
        };
        *html +=
            &single("Learning rate", "of the step", "other", steps_of(|s| s.learning_rate), None)
                .to_html();
        *html +=
            &single("Loss of single batches", "per label", "train", steps_of(|s| s.loss), None)
                .to_html();
        let clip = self.recipe.train.clip;
        *html += &single(
            "Norm of the gradient",
            "before clipping",
            "other",
            steps_of(|s| s.gradient_norm),
            Some(4.0 * clip),
        )
        .to_html();
        let blank = epochs.iter().map(|epoch| (epoch.epoch, 100.0 * epoch.blank_share)).collect();
        *html += &Chart {
            across: "epochs",
            ..single("Frames of blank or silence on dev", "percent", "other", blank, Some(100.0))
        }
        .to_html();
        html.push_str("</div>");
        if *skipped > 0 {
            let _ = write!(
                html,
                "<p>{skipped} steps were left out, for their gradient was no number; \
                 <code>log.jsonl</code> names their utterances.</p>"
            );
        }
    }

    fn data(&self, html: &mut String) {
        html.push_str("<h2 id=\"ledger\">Data</h2><div class=\"card\">");
        let mut tell = |name: &str, ledger: &Ledger| {
            let _ = write!(html, "<p><b>{name}</b> {}</p>", escape(&ledger.to_string()));
            for refusal in ledger.refusals().iter().take(ROWS) {
                let _ = write!(
                    html,
                    "<p class=\"soft\"><span class=\"mark is-warning\">{}</span> <bdi>{}: {}</bdi></p>",
                    refusal.reason,
                    escape(&refusal.id),
                    escape(&refusal.detail)
                );
            }
            if ledger.refused_count() > ROWS {
                let more = ledger.refused_count() - ROWS;
                let _ = write!(html, "<p class=\"soft\">and {more} more, named in the ledger</p>");
            }
        };
        if let Some(ledger) = &self.ledger {
            tell("train", ledger);
        }
        if let Ok(Tried { evaluation, manifest, of, .. }) = &self.tried {
            tell("dev", &evaluation.ledger);
            let tried = manifest.utterances.len();
            if tried < *of {
                let _ = write!(html, "<p>Of the {of} utterances of dev, {tried} were tried.</p>");
            }
        }
        if let Some(header) = self.header() {
            let data = &header.data;
            for (name, digest) in [("train", &data.train_digest), ("dev", &data.dev_digest)] {
                let _ = write!(html, "<p class=\"soft\">{name}: SHA-256 <code>{digest}</code></p>");
            }
        }
        html.push_str("</div>");
    }

    fn machine(&self, html: &mut String) {
        html.push_str("<h2 id=\"machine\">Machine and time</h2><div class=\"card scroll\"><table><tr><th>CPU</th>\
             <th>computed with</th><th class=\"number\">from step</th><th class=\"number\">to step</th>\
             <th class=\"number\">time</th><th class=\"number\">memory</th></tr>");
        for session in &self.history.sessions {
            let (to, took) = match session.end {
                Some((seconds, step)) => (step.to_string(), time(seconds)),
                None => ("cut off".into(), "unknown".into()),
            };
            let memory = session.peak_memory;
            let memory = memory.map_or("unknown".into(), |b| format!("{:.0} MB", b as f64 / 1e6));
            let _ = write!(
                html,
                "<tr><td>{}</td><td>{}, {} threads, {} more for loading</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{to}</td><td class=\"number\">{took}</td><td class=\"number\">{memory}</td></tr>",
                escape(&session.cpu),
                escape(&session.instruction_set),
                session.threads,
                session.workers,
                session.from
            );
        }
        if self.history.sessions.is_empty() {
            html.push_str(
                "<tr><td colspan=\"6\">an earlier version, which did not write it down</td></tr>",
            );
        }
        html.push_str("</table>");
        if let Ok(Tried { evaluation, .. }) = &self.tried {
            let speed = &evaluation.speed;
            let _ = write!(
                html,
                "<p class=\"soft\">Recognition, when this page was written: real-time factor {:.4} on one thread, \
                 features {:.0} % of it, reading audio {:.0} %.</p>",
                speed.real_time_factor,
                100.0 * speed.feature_share,
                100.0 * speed.audio_share
            );
        }
        html.push_str("</div>");
    }
}

fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(|| "none".to_owned(), |rate| format!("{:.1} %", 100.0 * rate))
}
