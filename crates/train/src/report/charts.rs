//! Lines, bands and points as SVG, without a script: hovering shows a point's numbers.

use std::fmt::Write;

use labyrinth_corpus::page::{escape, label, nice_step};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 34.0;

/// Points of a line that are drawn at most: more than the drawing has pixels are not seen.
const POINTS: usize = 400;

/// One line of a chart.
pub(super) struct Line {
    pub name: &'static str,
    /// The class of the style sheet that colours it.
    pub class: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// A chart: lines over one axis, beneath them perhaps a band, beside them perhaps single points.
pub(super) struct Chart {
    pub title: &'static str,
    /// What stands below the horizontal axis.
    pub across: &'static str,
    /// What the vertical axis counts.
    pub up: &'static str,
    pub lines: Vec<Line>,
    /// (x, low, high) around the first line.
    pub band: Vec<(f64, f64, f64)>,
    /// (x, y, what it is).
    pub dots: Vec<(f64, f64, String)>,
    /// The vertical axis ends here at the latest; what is above is drawn at the edge.
    pub ceiling: Option<f64>,
}

/// Where values lie on the drawing.
struct Scale {
    x: (f64, f64),
    y: (f64, f64),
}

impl Scale {
    fn x(&self, value: f64) -> f64 {
        let share = (value - self.x.0) / (self.x.1 - self.x.0).max(1e-12);
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.y.0) / (self.y.1 - self.y.0).max(1e-12);
        TOP + (1.0 - share.clamp(0.0, 1.0)) * (HEIGHT - TOP - BOTTOM)
    }
}

/// Small numbers need more digits than [`label`] has.
fn tick(value: f64, step: f64) -> String {
    if step >= 0.01 || value == 0.0 { label(value) } else { format!("{value:.0e}") }
}

impl Chart {
    pub fn to_html(&self) -> String {
        let mut html = format!("<section class=\"card\"><h3>{}</h3>", escape(self.title));
        let finite = |&(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
        let lines = self.lines.iter().flat_map(|line| line.points.iter().copied());
        let dots = self.dots.iter().map(|&(x, y, _)| (x, y));
        let bands = self.band.iter().flat_map(|&(x, low, high)| [(x, low), (x, high)]);
        let all: Vec<(f64, f64)> = lines.chain(dots).chain(bands).filter(finite).collect();
        if all.is_empty() {
            return html + "<p class=\"soft\">nothing was measured yet</p></section>";
        }
        let most = all.iter().fold(0f64, |most, (_, y)| most.max(*y));
        let range = |of: fn(&(f64, f64)) -> f64| {
            all.iter().map(of).fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)))
        };
        let top = self.ceiling.map_or(most, |ceiling| most.min(ceiling)).max(1e-12);
        let scale = Scale { x: range(|point| point.0), y: (0.0, top) };
        self.legend(&mut html);
        let _ = write!(
            html,
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(self.title)
        );
        self.axes(&scale, &mut html);
        if !self.band.is_empty() {
            let point = |x: f64, y: f64| format!("{:.1},{:.1} ", scale.x(x), scale.y(y));
            let upper = self.band.iter().map(|&(x, _, high)| point(x, high));
            let lower = self.band.iter().rev().map(|&(x, low, _)| point(x, low));
            let outline: String = upper.chain(lower).collect();
            let class = self.lines.first().map_or("train", |line| line.class);
            let _ = write!(html, "<polygon class=\"band {class}\" points=\"{outline}\"/>");
        }
        for line in &self.lines {
            line.draw(&scale, &mut html);
        }
        for (x, y, what) in &self.dots {
            let (x, y) = (scale.x(*x), scale.y(*y));
            let _ = write!(
                html,
                "<circle class=\"dot train\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\"><title>{}</title></circle>",
                escape(what)
            );
        }
        html.push_str("</svg></section>");
        html
    }

    fn legend(&self, html: &mut String) {
        if self.lines.len() < 2 && self.band.is_empty() {
            return;
        }
        html.push_str("<p class=\"legend\">");
        for Line { name, class, .. } in &self.lines {
            let _ = write!(html, "<span><i class=\"{class}\"></i>{name}</span>");
        }
        if !self.band.is_empty() {
            html.push_str("<span>95 % interval</span>");
        }
        html.push_str("</p>");
    }

    fn axes(&self, scale: &Scale, html: &mut String) {
        let step = nice_step(scale.y.1, 4.0).min(scale.y.1);
        let mut value = 0.0;
        while value <= scale.y.1 * 1.000_001 {
            let y = scale.y(value);
            let _ = write!(
                html,
                "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                tick(value, step)
            );
            value += step;
        }
        let step = nice_step(scale.x.1 - scale.x.0, 7.0);
        let mut value = (scale.x.0 / step).ceil() * step;
        while value <= scale.x.1 + 1e-9 {
            let _ = write!(
                html,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                scale.x(value),
                HEIGHT - BOTTOM + 14.0,
                label(value)
            );
            value += step;
        }
        let _ = write!(
            html,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}, over {}</text>",
            WIDTH - RIGHT,
            HEIGHT - 6.0,
            escape(self.up),
            escape(self.across)
        );
    }
}

impl Line {
    fn draw(&self, scale: &Scale, html: &mut String) {
        let every = self.points.len().div_ceil(POINTS).max(1);
        let last = self.points.len().saturating_sub(1);
        let chosen = self.points.iter().enumerate();
        let chosen: Vec<(f64, f64)> = chosen
            .filter(|(index, (x, y))| {
                (index % every == 0 || *index == last) && x.is_finite() && y.is_finite()
            })
            .map(|(_, point)| *point)
            .collect();
        let path: String =
            chosen.iter().map(|&(x, y)| format!("{:.1},{:.1} ", scale.x(x), scale.y(y))).collect();
        let class = self.class;
        let _ = write!(html, "<polyline class=\"line {class}\" points=\"{path}\"/>");
        // Invisible, wide enough to be met by a pointer.
        for &(x, y) in chosen.iter().step_by(chosen.len().div_ceil(120).max(1)) {
            let _ = write!(
                html,
                "<circle class=\"touch\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"6\"><title>{}: {} at {}</title></circle>",
                scale.x(x),
                scale.y(y),
                self.name,
                number(y),
                label(x)
            );
        }
    }
}

/// Three significant digits.
fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.01 { format!("{value:.2e}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> String {
        let lines = vec![Line { name: "loss", class: "train", points }];
        let (band, dots) = (Vec::new(), Vec::new());
        let (title, across, up) = ("Loss", "epochs", "per label");
        Chart { title, across, up, lines, band, dots, ceiling: None }.to_html()
    }

    #[test]
    fn nothing_one_point_and_no_numbers_are_drawn_without_nan() {
        assert!(chart(Vec::new()).contains("nothing was measured"));
        assert!(chart(vec![(1.0, f64::NAN)]).contains("nothing was measured"));
        for points in [
            vec![(1.0, 2.0)],
            vec![(1.0, 0.0), (2.0, 0.0)],
            vec![(1.0, 1e-9), (2.0, f64::INFINITY)],
        ] {
            let html = chart(points);
            assert!(
                html.contains("<svg") && !html.contains("NaN") && !html.contains("inf"),
                "{html}"
            );
        }
    }

    #[test]
    fn the_last_point_of_many_is_drawn() {
        let html = chart((0..10_001).map(|x| (f64::from(x), 1.0)).collect());
        assert!(html.contains("450.0,10.0 \"/>"), "{}", &html[html.len() - 300..]);
    }
}
