//! Charts as SVG: panels one below the other, of lines, points, heat and letters, on paper of their own.
//!
//! The pictures stand on light paper in both themes, so they name their colours and need no style sheet.

use std::fmt::Write;

/// Colours of lines, in their order; after Okabe and Ito, who chose them for eyes that confuse red and green.
pub const BLUE: &str = "#0072b2";
pub const ORANGE: &str = "#d55e00";
pub const GREEN: &str = "#009e73";
pub const PURPLE: &str = "#a8456b";
pub const GREY: &str = "#8a8f9c";

const PAPER: &str = "#fbfaf7";
const INK: &str = "#1d2230";
const SOFT: &str = "#5d6475";
const RULE: &str = "#dfdcd3";

/// Rows of a heat map at most.
const MOST_ROWS: usize = 128;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 16.0;
const ABOVE: f64 = 30.0;
const BELOW: f64 = 42.0;

/// What a panel shows.
enum Content {
    /// A curve through its points.
    Line { points: Vec<(f64, f64)>, colour: String },
    /// A vertical line from the bottom to each point, with a dot on it.
    Stems { points: Vec<(f64, f64)>, colour: String },
    /// `[rows, columns]` of values, the first row lowest, over the whole panel.
    Heat { values: Vec<f32>, rows: usize, columns: usize },
    /// Words at a place.
    Text { x: f64, y: f64, text: String, colour: String },
    /// A band of the horizontal axis.
    Band { from: f64, to: f64, colour: String },
}

/// One pair of axes.
pub struct Panel {
    title: String,
    x: (f64, f64),
    y: (f64, f64),
    x_label: String,
    y_label: String,
    height: f64,
    /// Whether the axes have numbers: the horizontal, the vertical.
    scales: [bool; 2],
    contents: Vec<Content>,
    legend: Vec<(String, String)>,
}

impl Panel {
    /// Axes from `x.0` to `x.1` and from `y.0` to `y.1`.
    pub fn new(title: &str, x: (f64, f64), y: (f64, f64)) -> Self {
        Self {
            title: title.to_owned(),
            x,
            y,
            x_label: String::new(),
            y_label: String::new(),
            height: 150.0,
            scales: [true; 2],
            contents: Vec::new(),
            legend: Vec::new(),
        }
    }

    pub fn labels(mut self, x: &str, y: &str) -> Self {
        (self.x_label, self.y_label) = (x.to_owned(), y.to_owned());
        self
    }

    /// Height of the drawing itself, in pixels.
    pub fn height(mut self, height: f64) -> Self {
        self.height = height;
        self
    }

    /// A vertical axis that means nothing has no numbers.
    pub fn no_scale(mut self) -> Self {
        self.scales[1] = false;
        self
    }

    /// A horizontal axis of things that have names has none either.
    pub fn no_places(mut self) -> Self {
        self.scales[0] = false;
        self
    }

    pub fn line(mut self, name: &str, colour: &str, points: Vec<(f64, f64)>) -> Self {
        self.name(name, colour);
        self.contents.push(Content::Line { points, colour: colour.to_owned() });
        self
    }

    pub fn stems(mut self, name: &str, colour: &str, points: Vec<(f64, f64)>) -> Self {
        self.name(name, colour);
        self.contents.push(Content::Stems { points, colour: colour.to_owned() });
        self
    }

    /// `values` `[columns, rows]` as feature frames come: time first; drawn with time to the right and the
    /// first number of a frame lowest.
    pub fn frames(mut self, values: &[f32], dim: usize) -> Self {
        let columns = values.len() / dim;
        // More rows than are drawn would only make the file larger: neighbours are averaged.
        let group = dim.div_ceil(MOST_ROWS);
        let rows = dim / group;
        let mut turned = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            turned.extend((0..columns).map(|column| {
                let begin = column * dim + row * group;
                values[begin..begin + group].iter().sum::<f32>() / group as f32
            }));
        }
        self.contents.push(Content::Heat { values: turned, rows, columns });
        self
    }

    pub fn text(mut self, x: f64, y: f64, text: &str, colour: &str) -> Self {
        self.contents.push(Content::Text {
            x,
            y,
            text: text.to_owned(),
            colour: colour.to_owned(),
        });
        self
    }

    pub fn band(mut self, from: f64, to: f64, colour: &str) -> Self {
        self.contents.push(Content::Band { from, to, colour: colour.to_owned() });
        self
    }

    fn name(&mut self, name: &str, colour: &str) {
        if !name.is_empty() {
            self.legend.push((name.to_owned(), colour.to_owned()));
        }
    }

    fn draw(&self, top: f64, svg: &mut String) {
        let (width, height) = (WIDTH - LEFT - RIGHT, self.height);
        let base = top + ABOVE;
        let at_x = |x: f64| LEFT + (x - self.x.0) / (self.x.1 - self.x.0) * width;
        let at_y = |y: f64| base + height - (y - self.y.0) / (self.y.1 - self.y.0) * height;
        let _ = write!(
            svg,
            "<text x=\"{LEFT}\" y=\"{:.1}\" font-size=\"14\" font-weight=\"600\" fill=\"{INK}\">{}</text>",
            top + 19.0,
            escape(&self.title)
        );
        let mut right = WIDTH - RIGHT;
        for (name, colour) in self.legend.iter().rev() {
            right -= 7.0 * name.chars().count() as f64 + 24.0;
            let _ = write!(
                svg,
                "<rect x=\"{right:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{SOFT}\">{}</text>",
                top + 10.0,
                right + 14.0,
                top + 19.0,
                escape(name)
            );
        }
        for content in &self.contents {
            match content {
                Content::Band { from, to, colour } => {
                    let _ = write!(
                        svg,
                        "<rect x=\"{:.1}\" y=\"{base:.1}\" width=\"{:.1}\" height=\"{height:.1}\" \
                         fill=\"{colour}\" opacity=\"0.18\"/>",
                        at_x(*from),
                        at_x(*to) - at_x(*from)
                    );
                }
                Content::Heat { values, rows, columns } => {
                    let _ = write!(
                        svg,
                        "<image x=\"{LEFT}\" y=\"{base:.1}\" width=\"{width:.1}\" \
                         height=\"{height:.1}\" preserveAspectRatio=\"none\" \
                         style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{}\"/>",
                        labyrinth::corpus::page::base64(&png(values, *rows, *columns))
                    );
                }
                Content::Line { points, colour } => {
                    let mut path = String::new();
                    for (i, &(x, y)) in points.iter().enumerate() {
                        let y = y.clamp(self.y.0, self.y.1);
                        let step = if i == 0 { 'M' } else { 'L' };
                        let _ = write!(path, "{step}{:.1} {:.1}", at_x(x), at_y(y));
                    }
                    let _ = write!(
                        svg,
                        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" \
                         stroke-linejoin=\"round\"/>"
                    );
                }
                Content::Stems { points, colour } => {
                    for &(x, y) in points {
                        let (x, y) = (at_x(x), at_y(y.clamp(self.y.0, self.y.1)));
                        let zero = at_y(0.0_f64.clamp(self.y.0, self.y.1));
                        let _ = write!(
                            svg,
                            "<path d=\"M{x:.1} {zero:.1}V{y:.1}\" stroke=\"{colour}\"/>\
                             <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\" fill=\"{colour}\"/>"
                        );
                    }
                }
                Content::Text { x, y, text, colour } => {
                    let _ = write!(
                        svg,
                        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"13\" \
                         fill=\"{colour}\">{}</text>",
                        at_x(*x),
                        at_y(*y),
                        escape(text)
                    );
                }
            }
        }
        let _ = write!(
            svg,
            "<path d=\"M{LEFT} {base:.1}V{:.1}H{:.1}\" fill=\"none\" stroke=\"{SOFT}\"/>",
            base + height,
            LEFT + width
        );
        let numbered = |axis: usize, range: (f64, f64), parts: f64| match self.scales[axis] {
            true => ticks(range, parts),
            false => Vec::new(),
        };
        for x in numbered(0, self.x, 8.0) {
            let _ = write!(
                svg,
                "<path d=\"M{0:.1} {1:.1}v4\" stroke=\"{SOFT}\"/><text x=\"{0:.1}\" y=\"{2:.1}\" \
                 text-anchor=\"middle\" fill=\"{SOFT}\">{3}</text>",
                at_x(x),
                base + height,
                base + height + 16.0,
                number(x)
            );
        }
        for y in numbered(1, self.y, height / 40.0) {
            let _ = write!(
                svg,
                "<path d=\"M{LEFT} {0:.1}h-4\" stroke=\"{SOFT}\"/><text x=\"{1:.1}\" y=\"{2:.1}\" \
                 text-anchor=\"end\" fill=\"{SOFT}\">{3}</text>",
                at_y(y),
                LEFT - 7.0,
                at_y(y) + 4.0,
                number(y)
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{SOFT}\">{}</text>",
            LEFT + width / 2.0,
            base + height + 33.0,
            escape(&self.x_label)
        );
        let _ = write!(
            svg,
            "<text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\" \
             fill=\"{SOFT}\">{}</text>",
            base + height / 2.0,
            escape(&self.y_label)
        );
    }
}

/// The panels as one picture; `alt` says in a sentence what it shows, for those who do not see it.
pub fn svg(alt: &str, panels: &[Panel]) -> String {
    let heights = panels.iter().map(|panel| ABOVE + panel.height + BELOW);
    let whole: f64 = heights.clone().sum();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {whole:.0}\" \
         font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"12\" role=\"img\">\
         <title>{}</title><rect width=\"100%\" height=\"100%\" fill=\"{PAPER}\"/>",
        escape(alt)
    );
    let mut top = 0.0;
    for (panel, height) in panels.iter().zip(heights) {
        if top > 0.0 {
            let _ = write!(svg, "<path d=\"M0 {top:.1}H{WIDTH}\" stroke=\"{RULE}\"/>");
        }
        panel.draw(top, &mut svg);
        top += height;
    }
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    labyrinth::corpus::page::escape(text)
}

/// Round numbers within the range, about `parts` of them.
fn ticks((low, high): (f64, f64), parts: f64) -> Vec<f64> {
    let step = labyrinth::corpus::page::nice_step(high - low, parts);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

fn number(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    // Minus zero is zero.
    format!("{}", rounded + 0.0)
}

/// An 8-bit picture with a palette from paper to ink; a hundredth at each end of the values is cut off, so that
/// one click does not make the rest pale.
fn png(values: &[f32], rows: usize, columns: usize) -> Vec<u8> {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |share: usize| sorted[(sorted.len() - 1) * share / 100];
    let (low, high) = (at(1), at(99));
    let mut pixels = Vec::with_capacity(values.len());
    for row in (0..rows).rev() {
        for value in &values[row * columns..(row + 1) * columns] {
            pixels.push(((value - low) / (high - low).max(1e-12) * 255.0).clamp(0.0, 255.0) as u8);
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, columns as u32, rows as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette((0..=255).flat_map(|i| colour(i as f32 / 255.0)).collect::<Vec<u8>>());
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().expect("writing to memory");
    writer.write_image_data(&pixels).expect("writing to memory");
    writer.finish().expect("writing to memory");
    bytes
}

/// From paper over ochre and wine to a dark blue: each step darker than the one before, so that it reads in grey.
fn colour(share: f32) -> [u8; 3] {
    const STOPS: [[f32; 3]; 5] = [
        [251.0, 250.0, 247.0],
        [240.0, 200.0, 120.0],
        [205.0, 100.0, 80.0],
        [120.0, 40.0, 95.0],
        [20.0, 20.0, 60.0],
    ];
    let place = share * (STOPS.len() - 1) as f32;
    let below = (place as usize).min(STOPS.len() - 2);
    let part = place - below as f32;
    std::array::from_fn(|i| (STOPS[below][i] * (1.0 - part) + STOPS[below + 1][i] * part) as u8)
}
