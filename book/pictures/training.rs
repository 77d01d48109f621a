//! Pictures of the chapter on training: AN4's log, and one utterance as three epochs see it.

use std::path::Path;

use labyrinth::signal::{FeatureOptions, Random, SpecAugment, change_speed};

use crate::plot::{BLUE, GREEN, ORANGE, Panel, svg};
use crate::speech::{Recording, Speech};

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let recording = speech.recording("cen7-mjgm-b")?;
    Ok(vec![("training-plateau", plateau()?), ("training-augmented", augmented(&recording)?)])
}

fn plateau() -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/logs/an4.jsonl");
    let log = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let number = |line: &str, key: &str| -> Option<f64> {
        let rest = line.split(&format!("\"{key}\":")).nth(1)?;
        rest.split([',', '}']).next()?.parse().ok()
    };
    let of = |event: &str, key: &str| -> Vec<(f64, f64)> {
        let lines = log.lines().filter(|line| line.contains(&format!("\"event\":\"{event}\"")));
        lines.filter_map(|line| Some((number(line, "step")? / 53.0, number(line, key)?))).collect()
    };
    let axis = |name: &str, y| Panel::new(name, (0.0, 100.0), y).height(120.0);
    let rate = of("step", "learning-rate").into_iter().map(|(x, y)| (x, 1000.0 * y)).collect();
    let panels = [
        axis("Loss per letter", (0.0, 4.0))
            .labels("", "nats")
            .line("train", BLUE, of("epoch", "train-loss"))
            .line("dev", ORANGE, of("epoch", "dev-loss")),
        axis("Share of frames that say blank (dev)", (0.0, 1.05)).line(
            "",
            GREEN,
            of("epoch", "blank-share"),
        ),
        axis("Learning rate", (0.0, 1.05)).labels("epoch", "thousandths").line("", BLUE, rate),
    ];
    Ok(svg("The training of AN4: loss, blanks, learning rate over 100 epochs", &panels))
}

fn augmented(recording: &Recording) -> Result<String, String> {
    let options = FeatureOptions { snip_edges: false, ..FeatureOptions::default() };
    let longest = recording.samples.len() as f64 / f64::from(recording.rate) / 0.9;
    let masks = SpecAugment { freq_width: 15, time_width: 25, ..SpecAugment::default() };
    let mut panels = Vec::new();
    for (epoch, speed) in [(1, 0.9), (2, 1.1), (3, 1.0)] {
        let played = Recording {
            text: String::new(),
            samples: change_speed(&recording.samples, speed),
            rate: recording.rate,
        };
        let (mut x, dim) = played.features(&options)?;
        options.normalize.apply(&mut x, dim);
        masks.apply(&mut x, dim, 1, &mut Random::from_key(&[1, epoch]));
        // The axes are those of the slowest; silence stands behind the others.
        x.resize((longest * 100.0) as usize * dim, x.iter().copied().fold(0.0, f32::min));
        panels.push(
            Panel::new(&format!("Speed {speed}"), (0.0, longest), (0.0, dim as f64))
                .labels(if epoch == 3 { "seconds" } else { "" }, "filter")
                .height(110.0)
                .frames(&x, dim),
        );
    }
    Ok(svg("One utterance at three speeds under masks", &panels))
}
