//! What `labyrinth evaluate --stream` says: whole recordings beside the same in pieces.

use std::fmt::Write as _;
use std::path::Path;

use labyrinth_kernels::Cpu;
use labyrinth_train::{StreamOptions, StreamedEvaluation};
use serde_json::{Value, json};

use super::evaluate::score_to_json;
use crate::{machine, wording};

/// Utterances shown that were heard otherwise.
const SHOWN: usize = 10;

/// For people.
pub fn to_text(evaluation: &StreamedEvaluation, options: StreamOptions, cpu: Cpu) -> String {
    let StreamedEvaluation { offline, streamed, ledger, differences, .. } = evaluation;
    let mut text = streamed.to_string();
    let [whole, pieces] = evaluation.real_time_factors;
    let kept = ledger.kept_count();
    let _ = writeln!(text, "data {ledger}");
    let _ = writeln!(
        text,
        "same {} of {} in pieces of {} ms as offline, words and times; offline {} {}",
        kept - differences.len(),
        wording::count(kept, "utterance"),
        options.piece_ms,
        evaluation.units.rate_name(),
        wording::error_rate(offline.wer),
    );
    let _ = write!(text, "wait {:.0} ms of audio behind a frame", 1000.0 * evaluation.latency);
    let _ = match evaluation.start_latency {
        0.0 => writeln!(text),
        more => writeln!(text, ", up to {:.0} ms more at the beginning", 1000.0 * more),
    };
    let _ = writeln!(
        text,
        "RTF  {pieces:.4} in pieces, {whole:.4} offline, on one thread of {} ({cpu}), {} of audio, \
         reading it not counted",
        machine::cpu_name(),
        wording::speech(evaluation.audio_seconds),
    );
    for difference in differences.iter().take(SHOWN) {
        let _ = writeln!(
            text,
            "\n{}\n  offline   {}\n  in pieces {}",
            difference.id, difference.offline, difference.streamed
        );
    }
    if differences.len() > SHOWN {
        let _ = writeln!(text, "\nand {} more", differences.len() - SHOWN);
    }
    text
}

/// For programs.
pub fn to_json(model: &Path, manifest: &Path, evaluation: &StreamedEvaluation, cpu: Cpu) -> Value {
    let [whole, pieces] = evaluation.real_time_factors;
    json!({
        "model": model.display().to_string(),
        "manifest": manifest.display().to_string(),
        "instruction_set": cpu.to_string(),
        "cpu": machine::cpu_name(),
        "threads": 1,
        "score": score_to_json(&evaluation.streamed),
        "offline": score_to_json(&evaluation.offline),
        "units": evaluation.units,
        "different": evaluation.differences,
        "latency": evaluation.latency,
        "start_latency": evaluation.start_latency,
        "speed": {
            "audio_seconds": evaluation.audio_seconds,
            "real_time_factor": pieces,
            "offline_real_time_factor": whole,
        },
        "read": evaluation.ledger.read_count(),
        "kept": evaluation.ledger.kept_count(),
        "refused": evaluation.ledger.refusals(),
    })
}
