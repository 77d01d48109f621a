//! Histograms of the page as SVG, stacked by set.

use crate::page::{escape, label, nice_step};
use std::fmt::Write;

/// Bars in a histogram at most.
const BARS: f64 = 36.0;

/// Size of the drawing.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 40.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 8.0;

/// A histogram of `values`: (place of the set in `sets`, value). `from_zero`: the axis begins at 0.
pub(super) fn histogram(
    title: &str,
    unit: &str,
    sets: &[(&str, &str)],
    values: &[(usize, f64)],
    from_zero: bool,
) -> String {
    let mut sorted: Vec<f64> =
        values.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut html = format!("<section class=\"card\"><h3>{}</h3>", escape(title));
    let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else {
        return html + "<p class=\"soft\">nothing was measured</p></section>";
    };
    // One wild value shall not press all others into a single bar: it joins the last.
    let cap = sorted[(sorted.len() - 1) * 995 / 1000].max(sorted[sorted.len() / 2] + 1e-6);
    let floor = sorted[(sorted.len() - 1) * 5 / 1000];
    let low = if from_zero { 0.0 } else { floor };
    let step = nice_step((cap - low).max(1e-6), BARS);
    let first = (low / step).floor();
    let count = ((cap / step).floor() - first) as usize + 1;
    let mut bars = vec![vec![0usize; sets.len()]; count];
    for (set, value) in values.iter().filter(|(_, value)| value.is_finite()) {
        let place = ((value / step).floor() - first).clamp(0.0, (count - 1) as f64) as usize;
        bars[place][*set] += 1;
    }
    let tallest = bars.iter().map(|bar| bar.iter().sum::<usize>()).max().unwrap_or(1).max(1);
    let (plot_width, plot_height) = (WIDTH - LEFT - 8.0, HEIGHT - TOP - BOTTOM);
    let slot = plot_width / count as f64;
    let _ = write!(
        html,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(title)
    );
    let grid = nice_step(tallest as f64, 4.0).max(1.0);
    let mut line = 0.0;
    while line <= tallest as f64 {
        let y = TOP + plot_height * (1.0 - line / tallest as f64);
        let _ = write!(
            html,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - 8.0,
            LEFT - 6.0,
            y + 4.0,
            label(line)
        );
        line += grid;
    }
    for (place, bar) in bars.iter().enumerate() {
        let begin = (first + place as f64) * step;
        let more = if place + 1 == count && most > begin + step {
            " and more"
        } else if place == 0 && least < begin {
            " and less"
        } else {
            ""
        };
        let mut y = TOP + plot_height;
        for (set, number) in bar.iter().enumerate().filter(|(_, number)| **number > 0) {
            let height = plot_height * *number as f64 / tallest as f64;
            y -= height;
            let _ = write!(
                html,
                "<rect class=\"{}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\">\
                 <title>{}: {number} from {} to {} {unit}{more}</title></rect>",
                sets[set].1,
                LEFT + slot * place as f64 + 0.5,
                (slot - 1.0).max(0.5),
                escape(sets[set].0),
                label(begin),
                label(begin + step)
            );
        }
    }
    let ticks = nice_step(count as f64 * step, 7.0).max(step);
    let mut tick = ((first * step) / ticks).ceil() * ticks;
    while tick <= (first + count as f64) * step + 1e-9 {
        let x = LEFT + slot * (tick / step - first);
        let _ = write!(
            html,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM + 16.0,
            label(tick)
        );
        tick += ticks;
    }
    let middle = sorted[sorted.len() / 2];
    let _ = write!(
        html,
        "</svg><p class=\"soft\"><small>{unit}; least {}, median {}, greatest {}</small></p></section>",
        label(least),
        label(middle),
        label(most)
    );
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bar() {
        let sets = [("train", "train"), ("test", "test")];
        let values: Vec<(usize, f64)> =
            (0..500).map(|i| (i % 2, if i == 499 { 1e4 } else { i as f64 * 0.01 })).collect();
        let html = histogram("t", "s", &sets, &values, true);
        let counts = html.match_indices("<title>").map(|(place, _)| {
            let rest = &html[place..];
            let number = rest.split(": ").nth(1).unwrap();
            number.split(' ').next().unwrap().parse::<usize>().unwrap()
        });
        assert_eq!(counts.sum::<usize>(), 500);
        assert!(html.contains("and more") && html.contains("greatest 10000"));
        assert!(histogram("t", "s", &sets, &[(0, 1.0)], false).contains("<rect"));
        assert!(histogram("t", "s", &sets, &[], false).contains("nothing"));
        assert!(histogram("t", "s", &sets, &[(0, f64::NAN)], false).contains("nothing"));
    }
}
