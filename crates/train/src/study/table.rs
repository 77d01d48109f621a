//! The result of a study as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use labyrinth_text::Units;

use super::StudyFile;
use super::result::{CellResult, RunResult, StudyResult};
use crate::evaluate::Seen;

fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(|| "none".into(), |rate| format!("{:.2}", 100.0 * rate))
}

/// The mean of what the runs tell, where one tells it.
fn mean(runs: &[RunResult], of: impl Fn(&RunResult) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = runs.iter().filter_map(of).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The minutes of the shortest training: whatever else a machine does adds to them.
fn minutes(runs: &[RunResult]) -> Option<f64> {
    runs.iter().filter_map(|run| run.seconds).min_by(f64::total_cmp).map(|seconds| seconds / 60.0)
}

/// What stands in a table must not end a cell of it, nor command the terminal that shows it.
fn plain(text: &str) -> String {
    text.replace('|', "\\|").replace(char::is_control, " ")
}

/// The page of a study.
pub(super) fn markdown(file: &StudyFile, result: &StudyResult) -> String {
    let mut text = format!("# {}\n\n{}\n\n", plain(&file.title), file.question.trim());
    if let Some(answer) = &file.answer {
        let _ = writeln!(text, "**{}**\n", answer.trim());
    }
    let rate = result.rate_name();
    match result.missing {
        0 => {}
        1 => text.push_str("Not finished: 1 training is missing.\n\n"),
        missing => {
            let _ = writeln!(text, "Not finished: {missing} trainings are missing.\n");
        }
    }
    let _ = writeln!(text, "![{rate} of each cell](picture.svg)\n");
    if let Some(seen) = result.runs().find_map(|run| run.seen) {
        let _ = writeln!(text, "What the models are tried on they know: {}.\n", known(seen));
    }
    let _ = writeln!(
        text,
        "| | {rate} % | least to greatest | 95 % interval | against the first | p | CER % | feasible % | RTF | minutes | parameters |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    );
    for (cell, of) in file.cells.iter().zip(&result.cells) {
        let _ = writeln!(text, "{}", row(&cell.name, of));
    }
    let machines: BTreeSet<&str> = result.runs().map(|run| run.machine.as_str()).collect();
    let method = result.cells.iter().find(|cell| !cell.runs.is_empty());
    let compared = result.cells.iter().filter_map(|cell| cell.against_first.as_ref());
    let tests = in_short(compared.map(|comparison| comparison.test.as_str()));
    let _ = writeln!(
        text,
        "\n{rate}: mean over the seeds {}, from the least to the greatest, tried on {}. Intervals: {}. p: {}. Minutes: \
         of the shortest training that nothing cut off. RTF: on one thread. Computed on: {}. `runs.jsonl` holds one \
         line for each training; the file of the study names its recipes and its manifests.",
        file.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
        result.runs().next().map_or("nothing yet".into(), tried_on),
        method.map_or("none yet", |cell| cell.interval.method.as_str()),
        if tests.is_empty() { "nothing to compare yet" } else { &tests },
        machines.into_iter().collect::<Vec<_>>().join("; "),
    );
    text
}

/// Texts that differ in their numbers alone as one: `all 512 to 1024 signs of 9 to 10 speakers that differ`.
fn in_short<'a>(tests: impl Iterator<Item = &'a str>) -> String {
    let number = |word: &str| word.parse::<u64>().ok();
    let mut forms: BTreeMap<Vec<&str>, Vec<Vec<u64>>> = BTreeMap::new();
    for test in tests {
        let form = test.split(' ').map(|word| if number(word).is_some() { "#" } else { word });
        forms.entry(form.collect()).or_default().push(test.split(' ').filter_map(number).collect());
    }
    let said = forms.into_iter().map(|(form, numbers)| {
        let mut place = 0;
        let words = form.into_iter().map(|word| {
            if word != "#" {
                return word.to_owned();
            }
            let seen: BTreeSet<u64> = numbers.iter().map(|numbers| numbers[place]).collect();
            place += 1;
            match (seen.first(), seen.last()) {
                (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
                (least, _) => least.copied().unwrap_or_default().to_string(),
            }
        });
        words.collect::<Vec<_>>().join(" ")
    });
    said.collect::<Vec<_>>().join(", or ")
}

/// `130 utterances of 10 speakers`.
fn tried_on(run: &RunResult) -> String {
    let speakers: BTreeSet<&str> =
        run.utterances.iter().filter_map(|one| one.speaker.as_deref()).collect();
    match speakers.len() {
        0 => format!("{} utterances", run.utterances.len()),
        1 => format!("{} utterances of one speaker", run.utterances.len()),
        count => format!("{} utterances of {count} speakers", run.utterances.len()),
    }
}

fn known(seen: Seen) -> &'static str {
    match seen {
        Seen::TrainedOn => "they learnt from it, so the figures say nothing of new speech",
        Seen::ChosenBy => "their epochs were chosen by it, so the figures flatter",
    }
}

fn row(name: &str, cell: &CellResult) -> String {
    let runs = &cell.runs;
    if runs.is_empty() {
        return format!("| {} | none yet |{}", plain(name), " |".repeat(9));
    }
    // Of phonemes there are none.
    let characters = match runs.first() {
        Some(run) if run.units == Units::Phonemes => String::new(),
        _ => percent(cell.characters),
    };
    let spread = cell.spread().map_or("none".into(), |(low, high)| {
        format!("{} to {}", percent(Some(low)), percent(Some(high)))
    });
    let (difference, p) = match &cell.against_first {
        Some(against) => {
            let [low, high] = [against.interval.low, against.interval.high].map(|end| 100.0 * end);
            let difference = format!("{:+.2} [{low:.2}, {high:.2}]", 100.0 * against.difference);
            (difference, format!("{:.4}", against.p_value))
        }
        None => (String::new(), String::new()),
    };
    let or_none = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "unknown".into(), |value| format!("{value:.digits$}"))
    };
    format!(
        "| {} | {} | {spread} | {:.2} to {:.2} | {difference} | {p} | {} | {} | {} | {} | {} |",
        plain(name),
        percent(cell.words),
        100.0 * cell.interval.low,
        100.0 * cell.interval.high,
        characters,
        or_none(mean(runs, |run| Some(100.0 * run.feasible)), 1),
        or_none(mean(runs, |run| Some(run.real_time_factor)), 4),
        or_none(minutes(runs), 1),
        runs.first().map_or(0, |run| run.parameters),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_differ_in_numbers_alone_are_said_once() {
        let tests = [
            "all 1024 signs of 10 speakers that differ",
            "10000 drawn signs of 60 utterances that differ",
            "all 512 signs of 9 speakers that differ",
            "10000 drawn signs of 132 utterances that differ",
        ];
        assert_eq!(
            in_short(tests.into_iter()),
            "10000 drawn signs of 60 to 132 utterances that differ, or all 512 to 1024 signs of 9 to 10 speakers \
             that differ"
        );
        assert_eq!(in_short(tests[..1].iter().copied()), tests[0]);
        assert_eq!(in_short([].into_iter()), "");
    }
}
