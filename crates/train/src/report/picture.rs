//! One recording as the model sees it: its features as a picture, and below, over the same time, how
//! sure the model is of each letter: where the letters fire.

use std::fmt::Write;

use labyrinth_corpus::page::{base64, escape};
use labyrinth_text::{Alphabet, BLANK};

/// Frames of the picture at most; longer recordings are cut there, and it is said.
pub(super) const FRAMES: usize = 1200;

/// Height of the drawing of posteriors, in its own units; its width is one unit for each feature frame.
const HEIGHT: f64 = 100.0;
/// Room above for the letters.
const ABOVE: f64 = 34.0;

/// A label is drawn where it is ever more probable than this.
const WORTH_A_LINE: f32 = 0.15;

/// What one recording gave: features `[frames, dim]` and logits `[output frames, labels]`.
pub(super) struct Seen<'a> {
    pub features: &'a [f32],
    pub dim: usize,
    pub logits: &'a [f32],
    /// Feature frames between two output frames.
    pub stride: usize,
    pub alphabet: &'a Alphabet,
    /// Seconds between two feature frames.
    pub shift: f64,
}

impl Seen<'_> {
    /// Both drawings, one above the other.
    pub fn to_html(&self) -> String {
        let frames = (self.features.len() / self.dim.max(1)).min(FRAMES);
        if frames == 0 {
            return String::new();
        }
        let mut html = format!(
            "<div class=\"heard\"><img alt=\"features: time to the right, frequency upwards\" \
             src=\"data:image/bmp;base64,{}\">",
            base64(&self.picture(frames))
        );
        self.posteriors(frames, &mut html);
        html.push_str("</div>");
        html
    }

    /// The features as an 8-bit BMP with a palette: the one picture format that needs neither
    /// compression nor checksums, and that every browser shows. Its rows go upwards, as frequency does.
    fn picture(&self, frames: usize) -> Vec<u8> {
        let values = &self.features[..frames * self.dim];
        let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        // A hundredth at each end may be lost: one click shall not make the rest dark.
        let at = |share: usize| sorted.get(sorted.len().saturating_sub(1) * share / 100).copied();
        let (low, high) = (at(1).unwrap_or(0.0), at(99).unwrap_or(1.0));
        let row = frames.next_multiple_of(4);
        let begin = 14 + 40 + 4 * 256;
        let size = begin + row * self.dim;
        let mut bmp = Vec::with_capacity(size);
        let long = |bmp: &mut Vec<u8>, value: usize| {
            bmp.extend_from_slice(&(value as u32).to_le_bytes());
        };
        bmp.extend_from_slice(b"BM");
        for value in [size, 0, begin, 40, frames, self.dim] {
            long(&mut bmp, value);
        }
        bmp.extend_from_slice(&[1, 0, 8, 0]); // planes, bits of a pixel
        for value in [0, row * self.dim, 2835, 2835, 256, 0] {
            long(&mut bmp, value);
        }
        for level in 0..256 {
            let [red, green, blue] = colour(level as f32 / 255.0);
            bmp.extend_from_slice(&[blue, green, red, 0]);
        }
        for bin in 0..self.dim {
            for frame in 0..row {
                let value = values.get(frame * self.dim + bin).filter(|_| frame < frames);
                let share = value.map_or(0.0, |v| (v - low) / (high - low).max(1e-9));
                bmp.push((255.0 * share.clamp(0.0, 1.0)) as u8); // NaN becomes 0
            }
        }
        bmp
    }

    /// A line for each label over time; its letter stands above each of its peaks.
    fn posteriors(&self, frames: usize, html: &mut String) {
        let labels = self.alphabet.len();
        let count = (self.logits.len() / labels).min(frames.div_ceil(self.stride));
        let posteriors: Vec<f32> =
            self.logits[..count * labels].chunks_exact(labels).flat_map(softmax).collect();
        let of = |frame: usize, label: usize| posteriors[frame * labels + label];
        let x = |frame: usize| (frame as f64 + 0.5) * self.stride as f64;
        let y = |share: f32| ABOVE + (HEIGHT - ABOVE) * f64::from(1.0 - share);
        let _ = write!(
            html,
            "<svg class=\"posteriors\" viewBox=\"0 0 {frames} {HEIGHT}\" preserveAspectRatio=\"none\" \
             role=\"img\" aria-label=\"posteriors\">"
        );
        let mut letters = String::new();
        for label in 0..labels {
            let blank = label == BLANK as usize;
            if !blank && !(0..count).any(|frame| of(frame, label) > WORTH_A_LINE) {
                continue;
            }
            let points: String = (0..count)
                .map(|frame| format!("{:.1},{:.1} ", x(frame), y(of(frame, label))))
                .collect();
            let class = if blank { "blank" } else { "letter" };
            let _ = write!(html, "<polyline class=\"{class}\" points=\"{points}\"/>");
            if blank {
                continue;
            }
            let symbol = match self.alphabet.symbol(label as u32).unwrap_or("\u{fffd}") {
                " " => "\u{2423}",
                symbol => symbol,
            };
            for frame in peaks(count, |frame| of(frame, label)) {
                // Outside of the drawing, whose stretching would make the letters wide.
                let _ = write!(
                    letters,
                    "<span style=\"left:{:.2}%\" title=\"{:.0} % at {:.2} s\">{}</span>",
                    100.0 * x(frame) / frames as f64,
                    100.0 * of(frame, label),
                    x(frame) * self.shift,
                    escape(symbol)
                );
            }
        }
        let _ = write!(html, "</svg><div class=\"letters\" aria-hidden=\"true\">{letters}</div>");
    }
}

/// Frames at which a label is at its most probable within a run in which it is the likeliest of all or
/// nearly so.
fn peaks(count: usize, of: impl Fn(usize) -> f32) -> Vec<usize> {
    let mut peaks = Vec::new();
    let mut best: Option<usize> = None;
    for frame in 0..=count {
        if frame < count && of(frame) > 0.5 {
            best = Some(best.map_or(frame, |best| if of(frame) > of(best) { frame } else { best }));
        } else {
            peaks.extend(best.take());
        }
    }
    peaks
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().fold(f32::MIN, |a, b| a.max(*b));
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// From deep violet over red to pale yellow; brightness rises steadily, so that it reads without colours.
fn colour(share: f32) -> [u8; 3] {
    const STOPS: [[f32; 3]; 5] = [
        [18.0, 14.0, 40.0],
        [78.0, 30.0, 98.0],
        [172.0, 58.0, 92.0],
        [232.0, 134.0, 68.0],
        [252.0, 236.0, 176.0],
    ];
    let place = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let first = (place as usize).min(STOPS.len() - 2);
    let part = place - first as f32;
    std::array::from_fn(|i| {
        (STOPS[first][i] + part * (STOPS[first + 1][i] - STOPS[first][i])) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_text::Units;

    fn seen<'a>(features: &'a [f32], logits: &'a [f32], alphabet: &'a Alphabet) -> Seen<'a> {
        Seen { features, dim: 2, logits, stride: 2, alphabet, shift: 0.01 }
    }

    #[test]
    fn letters_stand_where_they_peak() {
        let alphabet = Alphabet::from_transcripts(Units::Characters, ["a b"].into_iter());
        // labels: blank, space, a, b; four output frames of two feature frames
        let mut logits = vec![0.0; 16];
        logits[2] = 9.0; // a in frame 0
        logits[4] = 9.0; // blank in frame 1
        logits[8 + 1] = 9.0; // space in frame 2
        logits[12 + 3] = 9.0; // b in frame 3
        let features = [0.0; 16];
        let html = seen(&features, &logits, &alphabet).to_html();
        let shown: Vec<&str> = html.split("title=\"").skip(1).collect();
        assert_eq!(shown.len(), 3, "{html}");
        assert!(html.contains("left:12.50%\" title=\"100 % at 0.01 s\">a"), "{html}");
        assert!(html.contains(">\u{2423}<") && html.contains("left:87.50%"), "{html}");
    }

    #[test]
    fn a_picture_has_the_size_it_tells() {
        let alphabet = Alphabet::from_transcripts(Units::Characters, ["a"].into_iter());
        let features: Vec<f32> = (0..10).map(|v| v as f32).chain([f32::NAN, 1.0]).collect();
        let bmp = seen(&features, &[], &alphabet).picture(6);
        assert_eq!(bmp.len(), 14 + 40 + 1024 + 8 * 2);
        assert_eq!(u32::from_le_bytes(bmp[2..6].try_into().unwrap()) as usize, bmp.len());
        // The first row is the lowest bin, from dark to bright, and two of padding.
        assert!(bmp[1078..1083].windows(2).all(|pair| pair[0] < pair[1]), "{:?}", &bmp[1078..1083]);
        assert_eq!(bmp[1078 + 5..1078 + 8], [0, 0, 0]);
    }

    #[test]
    fn a_run_of_a_label_has_one_peak() {
        let shares = [0.1, 0.6, 0.9, 0.7, 0.2, 0.8];
        assert_eq!(peaks(6, |frame| shares[frame]), [2, 5]);
    }
}
