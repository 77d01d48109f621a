//! `labyrinth evaluate`: a model on a manifest.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use labyrinth_corpus::Manifest;
use labyrinth_corpus::atomic::write_atomically;
use labyrinth_nn::Objective;
use labyrinth_text::Units;
use labyrinth_text::score::ScoreReport;
use labyrinth_train::{Evaluation, evaluate};
use serde_json::{Value, json};

use super::evaluate_stream;
use crate::failure::Failure;
use crate::machine::{self, IsaOption, PrecisionOption};
use crate::progress::Progress;
use crate::stream_option::StreamOption;
use crate::{output, wording};

/// Utterances shown with their alignment.
const WORST: usize = 5;
/// Confusions shown.
const CONFUSIONS: usize = 10;
/// Refused utterances shown by name; JSON has all.
const REFUSED: usize = 10;

/// Arguments of `labyrinth evaluate`.
#[derive(Args)]
#[command(after_help = "\
Utterances whose audio cannot be used count as all deletions. The real-time factor is seconds of
computing per second of audio: one thread, one utterance at a time, the model already loaded.

With --stream every recording is heard twice, whole and in pieces (--piece-ms), and what differs is
shown.

Examples:
  labyrinth evaluate runs/an4/model.safetensors data/an4/test.jsonl
  labyrinth evaluate runs/an4/model.safetensors data/an4/test.jsonl --alignments
  labyrinth evaluate runs/an4/model.safetensors data/an4/test.jsonl -o runs/an4/test.json
  labyrinth evaluate runs/an4-causal/model.safetensors data/an4/test.jsonl --stream")]
pub struct Evaluate {
    /// The model file that `labyrinth train` wrote.
    model: PathBuf,
    /// The manifest to recognise.
    manifest: PathBuf,
    /// Shows every utterance with errors, not the five worst alone.
    #[arg(long)]
    alignments: bool,
    /// Prints one object of JSON with every utterance.
    #[arg(long, conflicts_with = "alignments")]
    json: bool,
    /// Also writes that JSON to a file.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    stream: StreamOption,
    #[command(flatten)]
    isa: IsaOption,
    #[command(flatten)]
    precision: PrecisionOption,
}

impl Evaluate {
    /// Evaluates and prints.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let manifest = Manifest::read(&self.manifest)?;
        if manifest.utterances.is_empty() {
            return Err(Failure::Sentence(format!(
                "{} is empty; name a manifest with utterances",
                self.manifest.display()
            )));
        }
        if let Some(path) = &self.out {
            refuse_to_overwrite(path)?;
        }
        let cpu = self.precision.cpu(self.isa)?;
        let progress = Progress::new("recognising");
        if let Some(options) = self.stream.options() {
            let told = &mut |done, total| progress.at(done, total);
            let result =
                labyrinth_train::evaluate_stream(&self.model, &manifest, cpu, options, told);
            progress.finish();
            let evaluation = result.map_err(|error| self.stream.way_out(error.into()))?;
            let value = || evaluate_stream::to_json(&self.model, &self.manifest, &evaluation, cpu);
            match self.json {
                true => output::json(&value())?,
                false => output::text(evaluate_stream::to_text(&evaluation, options, cpu))?,
            }
            return match &self.out {
                None => Ok(ExitCode::SUCCESS),
                Some(path) => {
                    let text = format!("{:#}\n", value());
                    write_atomically(path, |file| file.write_all(text.as_bytes()))
                        .map_err(Failure::write(path))?;
                    Ok(ExitCode::SUCCESS)
                }
            };
        }
        let result =
            evaluate(&self.model, &manifest, cpu, &mut |done, total| progress.at(done, total));
        progress.finish();
        let evaluation = result?;
        // Beside the JSON, where a person may still be looking.
        if let (true, Some(seen)) = (self.json, evaluation.seen) {
            output::complain(format_args!("{}: {}", self.manifest.display(), wording::seen(seen)));
        }
        let isa = cpu.to_string();
        let value = || to_json(&self.model, &self.manifest, &evaluation, &isa);
        // On the screen first: a test set is read once, and its figures must not be lost.
        if self.json {
            output::json(&value())?;
        } else {
            output::text(self.to_text(&evaluation, &isa))?;
        }
        if let Some(path) = &self.out {
            let text = format!("{:#}\n", value());
            write_atomically(path, |file| file.write_all(text.as_bytes()))
                .map_err(Failure::write(path))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn to_text(&self, evaluation: &Evaluation, instruction_set: &str) -> String {
        let mut text = String::new();
        let _ = write!(text, "{}", summary(evaluation, instruction_set));
        let shown = match self.alignments {
            true => evaluation.score.alignments(true),
            false => {
                let worst = evaluation.worst(WORST);
                worst
                    .iter()
                    .map(|u| u.alignment_of(evaluation.units))
                    .collect::<Vec<_>>()
                    .join("\n")
            }
        };
        if !shown.is_empty() {
            let title = if self.alignments { "utterances with errors" } else { "the worst" };
            let _ = write!(text, "\n{title}\n{shown}");
        }
        if !evaluation.confusions.is_empty() {
            let name = evaluation.units.token_name();
            let _ = writeln!(text, "\n{name}s taken for others (said, heard, times)");
            for (said, heard, times) in evaluation.confusions.iter().take(CONFUSIONS) {
                let _ = writeln!(text, "  {said:<16} {heard:<16} {times}");
            }
        }
        text
    }
}

/// An earlier result may be written over; a model, a manifest or a folder may not.
fn refuse_to_overwrite(path: &Path) -> Result<(), Failure> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(Failure::Sentence(format!(
            "{} cannot be written, for {} is no folder; make it, or name another file with -o",
            path.display(),
            folder.display()
        )));
    }
    let earlier_result = || {
        let text = std::fs::read_to_string(path).ok()?;
        let value: serde_json::Value = serde_json::from_str(&text).ok()?;
        value.get("speed").map(|_| ())
    };
    if path.exists() && earlier_result().is_none() {
        return Err(Failure::Sentence(format!(
            "{} is not the result of an evaluation, so it is not written over; name another file with -o",
            path.display()
        )));
    }
    Ok(())
}

/// All of an evaluation, for programs.
pub fn to_json(
    model: &Path,
    manifest: &Path,
    evaluation: &Evaluation,
    instruction_set: &str,
) -> Value {
    json!({
        "model": model.display().to_string(),
        "manifest": manifest.display().to_string(),
        "instruction_set": instruction_set,
        "cpu": machine::cpu_name(),
        "threads": 1,
        "score": score_to_json(&evaluation.score),
        "units": evaluation.units,
        "objective": evaluation.objective,
        "frames": evaluation.frames,
        "speed": evaluation.speed,
        "read": evaluation.ledger.read_count(),
        "kept": evaluation.ledger.kept_count(),
        "refused": evaluation.ledger.refusals(),
        "feasible": evaluation.feasible,
        "outside_alphabet": evaluation.outside_alphabet,
        "from_features": evaluation.from_features,
        "seen": evaluation.seen,
        "confusions": evaluation.confusions,
    })
}

/// The score; of phonemes it is called so, and has nothing on characters.
pub fn score_to_json(report: &ScoreReport) -> Value {
    let mut score = json!(report);
    if report.units != Units::Phonemes {
        return score;
    }
    let rename = |object: &mut serde_json::Map<String, Value>| {
        for (from, to) in [("wer", "per"), ("wer_interval", "per_interval"), ("words", "phonemes")]
        {
            if let Some(value) = object.remove(from) {
                object.insert(to.to_owned(), value);
            }
        }
        for key in ["cer", "cer_interval", "characters"] {
            object.remove(key);
        }
    };
    if let Some(object) = score.as_object_mut() {
        rename(object);
        let utterances = object.get_mut("utterances").and_then(Value::as_array_mut);
        utterances.into_iter().flatten().filter_map(Value::as_object_mut).for_each(rename);
    }
    score
}

/// Error rates, ledger and speed, in lines.
fn summary(evaluation: &Evaluation, instruction_set: &str) -> String {
    let (ledger, speed) = (&evaluation.ledger, &evaluation.speed);
    let mut text = evaluation.score.to_string();
    if let Some(seen) = evaluation.seen {
        let _ = writeln!(text, "note {}", wording::seen(seen));
    }
    let _ = writeln!(text, "data {ledger}");
    for refusal in ledger.refusals().iter().take(REFUSED) {
        let _ = writeln!(
            text,
            "     {} {}: {}; counted as all deletions",
            refusal.reason, refusal.id, refusal.detail
        );
    }
    if ledger.refused_count() > REFUSED {
        let _ = writeln!(text, "     and {} more", ledger.refused_count() - REFUSED);
    }
    if let Some(frames) = &evaluation.frames {
        let accuracy = frames.accuracy().map_or("none".to_owned(), wording::percent);
        let _ = write!(
            text,
            "frames {accuracy} of {} have the label of the track",
            wording::thousands(frames.all)
        );
        let _ = match frames.outside_alphabet {
            0 => writeln!(text),
            outside => writeln!(
                text,
                "; {} have one that the model does not know, and count as wrong",
                wording::thousands(outside)
            ),
        };
    }
    let read = ledger.read_count();
    if evaluation.objective == Objective::Ctc {
        write_feasible(&mut text, evaluation, read);
    }
    if evaluation.from_features > 0 {
        let _ = writeln!(
            text,
            "     {} read as stored features, whose computing is no part of the RTF",
            wording::count(evaluation.from_features, "utterance")
        );
    }
    let _ = writeln!(
        text,
        "RTF  {:.4} on one thread of {} ({instruction_set}), {} of audio; features {:.0} %, reading \
         and decoding audio {:.0} % of it",
        speed.real_time_factor,
        machine::cpu_name(),
        wording::speech(speed.audio_seconds),
        100.0 * speed.feature_share,
        100.0 * speed.audio_share
    );
    text
}

/// How many utterances have frames enough for CTC.
fn write_feasible(text: &mut String, evaluation: &Evaluation, read: usize) {
    let _ = write!(
        text,
        "CTC  {} of {} ({}) {} frames enough for {} transcript",
        wording::thousands(evaluation.feasible),
        wording::count(read, "utterance"),
        wording::percent(evaluation.feasible as f64 / read.max(1) as f64),
        if evaluation.feasible == 1 { "has" } else { "have" },
        if evaluation.feasible == 1 { "its" } else { "their" },
    );
    let _ = match evaluation.outside_alphabet {
        0 => writeln!(text),
        1 => writeln!(text, "; 1 holds characters that the model cannot write"),
        outside => writeln!(text, "; {outside} hold characters that the model cannot write"),
    };
}
