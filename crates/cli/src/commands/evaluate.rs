//! `labyrinth evaluate`: a model on a manifest.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use labyrinth_corpus::Manifest;
use labyrinth_corpus::atomic::write_atomically;
use labyrinth_decode::Recognizer;
use labyrinth_nn::Objective;
use labyrinth_text::Units;
use labyrinth_text::score::ScoreReport;
use labyrinth_train::results::Record;
use labyrinth_train::{Evaluation, evaluate_with};
use serde_json::{Value, json};

use super::evaluate_stream;
use crate::failure::Failure;
use crate::machine::{self, IsaOption, PrecisionOption};
use crate::progress::Progress;
use crate::stream_option::StreamOption;
use crate::{model, output, wording};

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
  labyrinth evaluate runs/an4/model.safetensors data/an4/test.jsonl --record results/an4-seed1.json
  labyrinth evaluate runs/an4-causal/model.safetensors data/an4/test.jsonl --stream")]
pub struct Evaluate {
    /// The model file that `labyrinth train` wrote, or `embedded`.
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
    /// Also writes the record from which `labyrinth results` makes its page.
    #[arg(long, value_name = "FILE", conflicts_with = "stream")]
    record: Option<PathBuf>,
    /// The commit that the record names, if not the one checked out here.
    #[arg(long, value_name = "COMMIT", requires = "record")]
    commit: Option<String>,
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
        if let Some(path) = &self.record {
            if self.out.as_ref() == Some(path) {
                return Err(Failure::Sentence(format!(
                    "{} cannot be the JSON and the record; name another file with --record",
                    path.display()
                )));
            }
            refuse_another_record(path, &self.model, &manifest)?;
        }
        let cpu = self.precision.cpu(self.isa)?;
        let progress = Progress::new("recognising");
        if let Some(options) = self.stream.options() {
            let told = &mut |done, total| progress.at(done, total);
            let recognizer = Recognizer::new(model::read(&self.model)?, cpu)?;
            let result = labyrinth_train::evaluate_stream(recognizer, &manifest, options, told);
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
        let recognizer = Recognizer::new(model::read(&self.model)?, cpu)?;
        let told = &mut |done, total| progress.at(done, total);
        let result = evaluate_with(recognizer, &manifest, told);
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
        if let Some(path) = &self.record {
            let model = model::read(&self.model)?;
            // The model inside this program was trained elsewhere.
            let run = self.model.parent().filter(|_| self.model != Path::new(model::EMBEDDED));
            let commit = self.commit.clone().or_else(commit);
            let mut record = Record::new(&model, run, &manifest, &evaluation, cpu, commit)?;
            if let Ok(earlier) = Record::read(path) {
                record.keep_fastest(&earlier);
            }
            write_atomically(path, |file| file.write_all(record.to_text().as_bytes()))
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

/// The record of the same weights on the same test set may be written again (on a quieter machine, say); another is a
/// figure that somebody published.
fn refuse_another_record(path: &Path, model: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(Failure::Sentence(format!(
            "{} cannot be written, for {} is no folder; make it, or name another file with --record",
            path.display(),
            folder.display()
        )));
    }
    if !path.exists() {
        return Ok(());
    }
    let weights = model::read(model)?.header.weights_digest;
    let contents = manifest.contents_digest();
    match Record::read(path) {
        Ok(record) if record.is_of(&weights, &contents) => Ok(()),
        Ok(record) if record.weights == weights => Err(Failure::Sentence(format!(
            "{} is the record of this model on {}; name another file with --record, or remove it",
            path.display(),
            record.test.manifest
        ))),
        _ => Err(Failure::Sentence(format!(
            "{} is there already and is not the record of this model; name another file with --record, or remove it",
            path.display()
        ))),
    }
}

/// The commit that is checked out here, where here is a repository; with `+` where files of it were changed.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=8", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { commit + "+" })
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
