//! `labyrinth describe`: the layers of a recipe or a model, what they cost, and what fits through them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use labyrinth_corpus::Ledger;
use labyrinth_nn::{LayerRow, Objective, Reach};
use labyrinth_signal::Normalization;
use labyrinth_train::{Described, Feasibility, Recipe, Subject};
use serde_json::json;

use crate::commands::train::recipe_folder;
use crate::failure::Failure;
use crate::{model, output, wording};

/// Arguments of `labyrinth describe`.
#[derive(Args)]
#[command(after_help = "\
Multiplications are those of matrix products and convolutions. Context and latency are counted from
an output frame; the latency ends with the last sample of the last feature frame that it depends on.

Examples:
  labyrinth describe recipes/an4.toml
  labyrinth describe runs/an4/model.safetensors --data data/an4/test.jsonl
  labyrinth describe embedded
  labyrinth describe recipes/an4.toml --set model.bidirectional=false --seconds 1 --json")]
pub struct Describe {
    /// A recipe (.toml) or a model file, or `embedded` for the model inside this program.
    subject: PathBuf,
    /// Also says which utterances of this manifest have frames enough for CTC.
    #[arg(long, value_name = "MANIFEST")]
    data: Option<PathBuf>,
    /// Sets a key of the recipe, such as model.projection=128; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seconds of the utterance for which shapes are shown.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// Prints one object of JSON.
    #[arg(long)]
    json: bool,
}

impl Describe {
    /// Describes and prints.
    pub fn run(self) -> Result<ExitCode, Failure> {
        if !(self.seconds > 0.0 && self.seconds <= 86_400.0) {
            let sentence = "--seconds wants the length of an utterance, from above 0 to 86400";
            return Err(Failure::Sentence(sentence.into()));
        }
        let mut subject = self.subject()?;
        let known = subject.alphabet.is_some();
        if let (Some(data), Objective::Framewise) = (&self.data, subject.objective) {
            return Err(Failure::Sentence(format!(
                "{} has a label for each frame, so no utterance of {} is too short for its time stride; \
                 leave out --data",
                self.subject.display(),
                data.display()
            )));
        }
        if let Some(data) = &self.data {
            subject.learn_alphabet(data)?;
        }
        let described = subject.table(self.seconds)?;
        let plan = self.data.as_deref().map(|data| subject.plan(data)).transpose()?;
        let page = Page { subject: &subject, described: &described, seconds: self.seconds };
        if self.json {
            let mut value = page.json();
            if let (Some(ledger), Some(data)) = (&plan, &self.data) {
                let feasibility = Feasibility::of(ledger);
                value["data"] = json!({
                    "reasons": ledger.reasons(),
                    "manifest": data.to_string_lossy(),
                    "read": feasibility.read,
                    "too-short-for-ctc": feasibility.too_short,
                    "unusable": feasibility.unusable,
                    "infeasible-share": feasibility.infeasible_share(),
                });
            }
            output::json(&value)?;
            return Ok(ExitCode::SUCCESS);
        }
        output::text(page.text(&self.subject))?;
        if !known {
            let labels = subject.labels();
            output::line(match &self.data {
                Some(data) => format!(
                    "labels       {labels}, those of {}: the recipe's training manifests cannot be read",
                    data.display()
                ),
                None => format!(
                    "labels       {labels} assumed: the recipe's training manifests cannot be read, so \
                     nothing names them yet"
                ),
            })?;
        }
        if let (Some(ledger), Some(data)) = (&plan, &self.data) {
            output::line(told(ledger, data, described.table.reach.stride))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn subject(&self) -> Result<Subject, Failure> {
        if self.subject.extension().is_some_and(|end| end == "toml") {
            let recipe = Recipe::read(&self.subject, &self.set)?;
            let recipe = recipe.with_paths_from(recipe_folder(&self.subject));
            return Ok(Subject::of_recipe(&recipe));
        }
        if let Some(assignment) = self.set.first() {
            return Err(Failure::Sentence(format!(
                "{} is a model, which --set {assignment} cannot change; name a recipe (.toml)",
                self.subject.display()
            )));
        }
        Ok(Subject::of_header(model::read(&self.subject)?.header))
    }
}

/// The share of a corpus that fits through a time stride.
fn told(ledger: &Ledger, data: &Path, stride: usize) -> String {
    let feasibility = Feasibility::of(ledger);
    let Feasibility { read, too_short, unusable } = feasibility;
    let usable = read - unusable;
    let left = match unusable {
        0 => String::new(),
        count => {
            let others =
                ledger.refusals().iter().filter(|refusal| !Feasibility::counts(refusal.reason));
            let first =
                others.map(|first| format!(", first {}: {}", first.id, first.detail)).next();
            let reasons = ledger.reasons();
            let reasons = reasons.iter().filter(|(reason, _)| !Feasibility::counts(**reason));
            let reasons: Vec<String> =
                reasons.map(|(reason, number)| format!("{number} {reason}")).collect();
            format!(
                "; {} more cannot be used whatever the stride ({}{})",
                wording::thousands(count),
                reasons.join(", "),
                first.unwrap_or_default()
            )
        }
    };
    format!(
        "data         {}: {} of {} feasible for CTC at a time stride of {stride} ({} too short for their \
         transcript: {}){left}",
        data.display(),
        wording::thousands(usable - too_short),
        wording::count(usable, "usable utterance"),
        wording::thousands(too_short),
        wording::percent(feasibility.infeasible_share()),
    )
}

/// What is printed.
struct Page<'a> {
    subject: &'a Subject,
    described: &'a Described,
    seconds: f64,
}

impl Page<'_> {
    fn shift(&self) -> f64 {
        f64::from(self.subject.features.frame_shift)
    }

    /// Milliseconds from the moment of an output frame, the beginning of its own feature frame, until all
    /// that it depends on has been heard; none where that is the end of the recording.
    fn latency(&self) -> Option<f64> {
        if self.subject.features.normalize != Normalization::None {
            return None;
        }
        let frames = self.described.table.reach.after?.checked_add(self.described.lookahead)?;
        let length = f64::from(self.subject.features.frame_length);
        Some(frames as f64 * self.shift() + length)
    }

    fn per_second(&self) -> f64 {
        self.described.table.multiplications as f64 / self.seconds
    }

    fn text(&self, path: &Path) -> String {
        let Described { table, frames, dim, .. } = self.described;
        let rows: Vec<[String; 5]> = table.rows.iter().map(|row| self.cells(row)).collect();
        let heads = ["layer", "what it is", "output", "parameters", "Mmult/s"];
        let widths: [usize; 5] = std::array::from_fn(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([heads[column].chars().count()]).max().unwrap_or(0)
        });
        let mut text = format!(
            "{}: {:.1} s are {} of {dim} values\n\n",
            path.display(),
            self.seconds,
            wording::count(*frames, "frame")
        );
        let mut line = |cells: [&str; 5]| {
            for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
                let gap = " ".repeat(width - cell.chars().count());
                // Numbers stand at the right.
                let cell = if column < 3 { format!("{cell}{gap}") } else { format!("{gap}{cell}") };
                text.push_str(if column == 0 { "" } else { "  " });
                text.push_str(&cell);
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        };
        line(heads);
        for row in &rows {
            line(row.each_ref().map(String::as_str));
        }
        let Reach { stride, before, after } = table.reach;
        let side = |frames: Option<usize>| match frames {
            None => "all there is".to_owned(),
            Some(n) => {
                format!("{} ({:.0} ms)", wording::count(n, "frame"), n as f64 * self.shift())
            }
        };
        let latency = match (self.latency(), after) {
            (Some(latency), _) => format!("{latency:.0} ms"),
            (None, None) => "the whole recording: the network also reads from its end".into(),
            (None, Some(_)) => "the whole recording: [features] normalises over all of it".into(),
        };
        text.push_str(&format!(
            "\ntotal        {} parameters, {:.1} million multiplications for a second of audio\n\
             time stride  {stride}: an output frame every {:.0} ms\n\
             context      before: {}; after: {}\n\
             latency      {latency}\n",
            wording::thousands(table.parameters),
            self.per_second() / 1e6,
            stride as f64 * self.shift(),
            side(before),
            side(after),
        ));
        text
    }

    fn cells(&self, row: &LayerRow) -> [String; 5] {
        let shape = match row.bins {
            1 => format!("{} × {}", row.frames, row.channels),
            bins => format!("{} × {bins} × {}", row.frames, row.channels),
        };
        // Sums of what lies inside a layer stand in its own line; zeros are left out.
        let number =
            |value: usize| if value == 0 { String::new() } else { wording::thousands(value) };
        let mult = match row.multiplications {
            0 => String::new(),
            count => format!("{:.3}", count as f64 / self.seconds / 1e6),
        };
        let name = format!("{}{}", "  ".repeat(row.depth), row.name);
        [name, row.kind.clone(), shape, number(row.parameters), mult]
    }

    fn json(&self) -> serde_json::Value {
        let Described { table, frames, dim, .. } = self.described;
        json!({
            "seconds": self.seconds,
            "frames": frames,
            "dim": dim,
            "labels": self.subject.labels(),
            "layers": table.rows,
            "parameters": table.parameters,
            "multiplications-per-second": self.per_second(),
            "time-stride": table.reach.stride,
            "frame-shift-ms": self.shift(),
            "context-before-frames": table.reach.before,
            "context-after-frames": table.reach.after,
            "latency-ms": self.latency(),
        })
    }
}
