//! The result of a study as a picture: for each cell its seeds, their mean, and the interval.

use std::fmt::Write;

use labyrinth_corpus::page::{escape, label, nice_step};

use super::StudyFile;
use super::result::{RunResult, StudyResult};

const WIDTH: f64 = 720.0;
/// Room for the names, at least and at most, and what a letter of theirs takes.
const LEFT: [f64; 2] = [90.0, 380.0];
const LETTER: f64 = 7.2;
const RIGHT: f64 = 24.0;
const TOP: f64 = 16.0;
const ROW: f64 = 34.0;
const BOTTOM: f64 = 40.0;

/// Colours in light and dark, with the ground they are seen on: whatever shows the file may have another.
const STYLE: &str = "\
.ground { fill: #fbfaf7 } text { fill: #5d6475; font: 12px system-ui, \"DejaVu Sans\", sans-serif }\
.name { fill: #1d2230; font-size: 13px } .axis { stroke: #dfdcd3 }\
.interval { stroke: #2f6f8f; stroke-width: 9; stroke-opacity: .25; stroke-linecap: round }\
.mean { stroke: #2f6f8f; stroke-width: 3 } .seed { fill: #a8456b }\
@media (prefers-color-scheme: dark) { .ground { fill: #171b24 } text { fill: #9aa2b3 } .name { fill: #e6e8ee } .axis { stroke: #313745 }\
.interval, .mean { stroke: #62b0d3 } .seed { fill: #e08aae } }";

/// The picture.
pub(super) fn svg(file: &StudyFile, result: &StudyResult) -> String {
    let longest = file.cells.iter().map(|cell| cell.name.chars().count()).max().unwrap_or(0);
    let left = (24.0 + LETTER * longest as f64).clamp(LEFT[0], LEFT[1]);
    let height = TOP + ROW * file.cells.len() as f64 + BOTTOM;
    let seen = result.cells.iter().filter(|cell| !cell.runs.is_empty());
    let most = seen.fold(0f64, |most, cell| {
        let seeds = cell.runs.iter().filter_map(RunResult::words);
        seeds.chain([cell.interval.high]).fold(most, f64::max)
    });
    let most = (100.0 * most).max(1.0);
    let step = nice_step(most, 7.0);
    let end = (most / step).ceil() * step;
    let x = |rate: f64| left + (WIDTH - left - RIGHT) * (rate / end).clamp(0.0, 1.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\
         <title>{}</title><style>{STYLE}</style>\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>",
        escape(&file.title)
    );
    let mut tick = 0.0;
    while tick <= end * 1.000_001 {
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{1:.1}\"/>\
             <text x=\"{0:.1}\" y=\"{2:.1}\" text-anchor=\"middle\">{3}</text>",
            x(tick),
            height - BOTTOM,
            height - BOTTOM + 16.0,
            label(tick)
        );
        tick += step;
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}, percent; points: seeds, line: \
         their mean, band: 95 % interval</text>",
        WIDTH - RIGHT,
        height - 6.0,
        result.rate_name()
    );
    for (place, (cell, of)) in file.cells.iter().zip(&result.cells).enumerate() {
        let y = TOP + ROW * (place as f64 + 0.5);
        let _ = write!(
            svg,
            "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 12.0,
            y + 4.0,
            escape(&cell.name)
        );
        let Some(mean) = of.words else { continue };
        let _ = write!(
            svg,
            "<line class=\"interval\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <line class=\"mean\" x1=\"{2:.1}\" x2=\"{2:.1}\" y1=\"{3:.1}\" y2=\"{4:.1}\"/>",
            x(100.0 * of.interval.low),
            x(100.0 * of.interval.high),
            x(100.0 * mean),
            y - 9.0,
            y + 9.0
        );
        for run in &of.runs {
            let Some(rate) = run.words() else { continue };
            let _ = write!(
                svg,
                "<circle class=\"seed\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\"><title>seed {}: {:.2} %</title></circle>",
                x(100.0 * rate),
                run.seed,
                100.0 * rate
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}
