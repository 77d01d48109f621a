//! Forced alignment: when was each letter, word or phoneme of a known transcript said.
//!
//! # The best path
//! CTC spells a transcript of L labels by paths through blank 0, label 1, blank 1, …, label L, blank L
//! (Graves et al. 2006; `labyrinth_kernels::ctc` has the lattice). Number these places 0..=2L, even ones
//! the blanks. A path stays at its place, goes one on, or goes two on from a label to the next label,
//! unless the two are equal. With s_t(k) the log probability of label k at frame t, the best path to place
//! j at frame t has
//! ```text
//! v_t(j) = s_t(label of j) + max( v_{t-1}(j), v_{t-1}(j-1), v_{t-1}(j-2) where that is allowed )
//! ```
//! (Viterbi). It begins in place 0 or 1 and ends in place 2L or 2L-1; which of the three was taken is kept
//! for each frame and place, and followed back from the end. Of equals the one that stays longest wins. A
//! path needs L frames and one more for each pair of equal neighbours; with fewer there is none.
//!
//! # Words that are said in several ways
//! A lexicon may know several pronunciations of a word. Then the line of places becomes a graph: between two
//! words stands one blank, from it each way of the next word begins, and all of them end in the blank behind it;
//! from the last label of a way a path may also go straight to the first of the next word's, where the two are not
//! equal. A place knows those from which it is reached, all of lower number, and the maximum is taken over them.
//! With one way for each word it is the line above.
//!
//! # From peaks to times
//! The best path says where a model is sure of a label: a few frames, the peak, with blanks around. Where
//! one label ends and the next begins lies in between, and a [`BoundaryRule`] decides; quiet stretches of
//! the recording ([`crate::quiet`]) belong to no label.
//!
//! Book: book/src/alignment.md

use labyrinth_text::{BLANK, ctc_minimum_frames};

use crate::greedy::Token;

/// Why there is no alignment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlignError {
    /// There are too few frames.
    #[error(
        "{labels} labels with {repeats} repeated neighbours need {needed} frames, and the model has {frames}; look whether the transcript belongs to the recording"
    )]
    TooShort {
        /// Labels of the transcript.
        labels: usize,
        /// Pairs of equal neighbours.
        repeats: usize,
        /// Frames that these need.
        needed: usize,
        /// Frames there are.
        frames: usize,
    },
    /// No path has a probability above zero, or a score is no number.
    #[error(
        "the model's scores at frame {frame} leave no path for the transcript; its weights may be damaged"
    )]
    NoPath {
        /// The first frame at which nothing is left.
        frame: usize,
    },
    /// The transcript holds a label that the model does not have.
    #[error(
        "label {label} at place {place} of the transcript is none of the model's labels from 1 to below {labels}"
    )]
    Label {
        /// Where in the transcript.
        place: usize,
        /// The label.
        label: u32,
        /// The model's labels, the blank included.
        labels: usize,
    },
}

/// The best path of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// For each label of the transcript the frames of its peak, in order.
    pub peaks: Vec<Token>,
    /// The logarithm of the path's probability.
    pub log_probability: f64,
}

/// How a frame's best path came to its place: 0 where it stayed, else by which of its ways in, counted from 1.
type Step = u8;

/// Ways to say a word of which the best is looked for; those behind them are passed over.
const MOST_WAYS: usize = 200;

/// The best path of `target` through `scores`, `[frames, labels]`: logits or log probabilities, with the
/// blank as label 0. An empty target is spelt by blanks alone, and by no frames at all.
///
/// # Errors
/// [`AlignError`]; with too few frames it has all numbers.
///
/// # Panics
/// If `labels` is 0 or `scores` is not a whole number of frames: a fault of the calling program.
pub fn best_path(scores: &[f32], labels: usize, target: &[u32]) -> Result<Path, AlignError> {
    let words = [vec![target.to_vec()]];
    let words = if target.is_empty() { &[][..] } else { &words };
    best_path_of_ways(scores, labels, words).map(|(path, _)| path)
}

/// The best path over all ways to say the words of a transcript, and for each word which of its ways that is: the
/// first of equals. `words` holds for each word its ways, each at least one label; a word has at least one way.
///
/// # Errors
/// As [`best_path`]; with too few frames the numbers are those of the ways that need fewest.
///
/// # Panics
/// As [`best_path`], and if a word has no way or a way no label.
pub fn best_path_of_ways(
    scores: &[f32],
    labels: usize,
    words: &[Vec<Vec<u32>>],
) -> Result<(Path, Vec<usize>), AlignError> {
    assert!(labels > 0 && scores.len().is_multiple_of(labels), "scores are whole frames");
    let frames = scores.len() / labels;
    let all = words.iter().flatten().flatten();
    let foreign = |&label: &u32| label == BLANK || label as usize >= labels;
    if let Some((place, &label)) = all.enumerate().find(|(_, label)| foreign(label)) {
        return Err(AlignError::Label { place, label, labels });
    }
    let shortest = Shortest::of(words);
    if frames < shortest.frames {
        let Shortest { labels, frames: needed, .. } = shortest;
        return Err(AlignError::TooShort { labels, repeats: needed - labels, needed, frames });
    }
    let places = places(words);
    // [frames, places]: how the best path to each came there.
    let mut came: Vec<Step> = vec![0; frames * places.len()];
    let mut best = vec![f64::NEG_INFINITY; places.len()];
    // ANCHOR: viterbi
    for (frame, scores) in scores.chunks_exact(labels).enumerate() {
        let sum = log_sum(scores);
        let mut alive = false;
        // From the end, so that the places before still hold the frame before.
        for (index, place) in places.iter().enumerate().rev() {
            let (mut step, mut value) = (0, best[index]);
            if frame == 0 {
                value = if place.begins { 0.0 } else { f64::NEG_INFINITY };
            } else {
                for (way, &before) in (1..).zip(&place.before) {
                    if best[before] > value {
                        (step, value) = (way, best[before]);
                    }
                }
            }
            value += f64::from(scores[place.label as usize]) - sum;
            // A score that is no number kills its paths; it never wins a comparison.
            best[index] = if value.is_nan() { f64::NEG_INFINITY } else { value };
            alive |= best[index] > f64::NEG_INFINITY;
            came[frame * places.len() + index] = step;
        }
        if !alive {
            return Err(AlignError::NoPath { frame });
        }
    }
    // ANCHOR_END: viterbi
    // In the blank behind the last word, or in the last label of one of its ways.
    let last = places.len() - 1;
    let ends = std::iter::once(&last).chain(&places[last].before);
    let end = ends.copied().reduce(|end, other| if best[other] > best[end] { other } else { end });
    let mut here = end.unwrap_or(last);
    let log_probability = if frames == 0 { 0.0 } else { best[here] };
    if log_probability == f64::NEG_INFINITY {
        return Err(AlignError::NoPath { frame: frames - 1 });
    }
    let mut peaks: Vec<Token> = Vec::new();
    let mut chosen = vec![0; words.len()];
    let mut behind = None;
    for frame in (0..frames).rev() {
        let place = &places[here];
        if let Some((word, way)) = place.of {
            chosen[word] = way;
            match peaks.last_mut().filter(|_| behind == Some(here)) {
                Some(peak) => peak.start = frame,
                None => peaks.push(Token { label: place.label, start: frame, end: frame + 1 }),
            }
        }
        behind = Some(here);
        here = match came[frame * places.len() + here] {
            0 => here,
            way => place.before[usize::from(way) - 1],
        };
    }
    peaks.reverse();
    Ok((Path { peaks, log_probability }, chosen))
}

/// A place of a path: a label of a way to say a word, or a blank.
struct Place {
    label: u32,
    /// The word and its way; none for a blank.
    of: Option<(usize, usize)>,
    /// Whether a path may begin here.
    begins: bool,
    /// The places from which it is reached, besides itself: blanks first.
    before: Vec<usize>,
}

/// The places of a transcript, each behind those from which it is reached; the last is the blank at its end.
fn places(words: &[Vec<Vec<u32>>]) -> Vec<Place> {
    let blank = |before, begins| Place { label: BLANK, of: None, begins, before };
    let mut places = vec![blank(Vec::new(), true)];
    // The blank before the word, and the last labels of the ways of the word before that.
    let (mut gap, mut ends) = (0, Vec::new());
    for (word, ways) in words.iter().enumerate() {
        assert!(!ways.is_empty(), "a word is said in at least one way");
        let mut these = Vec::new();
        for (way, spoken) in ways.iter().take(MOST_WAYS).enumerate() {
            assert!(!spoken.is_empty(), "a way to say a word has labels");
            for (index, &label) in spoken.iter().enumerate() {
                let mut before = match index {
                    0 => vec![gap],
                    _ => {
                        places.push(blank(vec![places.len() - 1], false));
                        vec![places.len() - 1]
                    }
                };
                let others: Vec<usize> = match index {
                    0 => ends.clone(),
                    _ => vec![places.len() - 2],
                };
                before.extend(
                    others.into_iter().filter(|&other: &usize| places[other].label != label),
                );
                let (of, begins) = (Some((word, way)), word == 0 && index == 0);
                places.push(Place { label, of, begins, before });
            }
            these.push(places.len() - 1);
        }
        places.push(blank(these.clone(), false));
        (gap, ends) = (places.len() - 1, these);
    }
    places
}

/// The ways through a transcript that need fewest frames.
#[derive(Clone, Copy, Default)]
struct Shortest {
    frames: usize,
    labels: usize,
    /// The last label.
    last: u32,
}

impl Shortest {
    fn of(words: &[Vec<Vec<u32>>]) -> Self {
        // For each way of the last word so far the least up to its end.
        let mut ends = vec![Self::default()];
        for ways in words {
            let behind = |spoken: &Vec<u32>| {
                let own = ctc_minimum_frames(spoken);
                let (first, last) = (spoken.first().copied(), spoken.last().copied());
                let all = ends.iter().map(|end| Self {
                    frames: end.frames + own + usize::from(Some(end.last) == first),
                    labels: end.labels + spoken.len(),
                    last: last.unwrap_or(BLANK),
                });
                all.min_by_key(|end| end.frames).unwrap_or_default()
            };
            ends = ways.iter().take(MOST_WAYS).map(behind).collect();
        }
        ends.into_iter().min_by_key(|end| end.frames).unwrap_or_default()
    }
}

/// ln Σ e^score of a frame.
fn log_sum(scores: &[f32]) -> f64 {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = scores.iter().map(|&score| f64::from(score - largest).exp()).sum();
    f64::from(largest) + sum.ln()
}

/// Where, among the frames between two peaks, the one label ends and the next begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoundaryRule {
    /// In the middle between the peaks.
    Middle,
    /// Where it makes the frames before it most probable for the first label and those behind it for the
    /// second: the place b that maximises Σ_{t<b} s_t(first) + Σ_{t≥b} s_t(second). The blank's probability
    /// falls out, so it finds the change also where both are small. Of equals the one nearest the middle.
    #[default]
    Change,
}

/// Gives the frames between peaks to the labels.
///
/// `peaks` are those of [`best_path`] on `scores` `[frames, labels]`; `quiet` says for each frame whether
/// nothing is to be heard (empty: it is not known). Between two peaks the longest quiet stretch, if there
/// is one, belongs to neither label, or with `keep_pauses` one half to each; else the boundary lies where
/// `rule` says. What comes before the first peak and after the last belongs to these labels, up to the
/// nearest quiet frame, or with `keep_pauses` whole.
pub fn spread(
    peaks: &[Token],
    scores: &[f32],
    labels: usize,
    quiet: &[bool],
    keep_pauses: bool,
    rule: BoundaryRule,
) -> Vec<Token> {
    let frames = scores.len() / labels.max(1);
    let quiet_at = |frame: usize| quiet.get(frame).copied().unwrap_or(false);
    let mut spans = peaks.to_vec();
    let (Some(first), Some(last)) = (spans.first_mut(), peaks.last()) else { return spans };
    while first.start > 0 && (keep_pauses || !quiet_at(first.start - 1)) {
        first.start -= 1;
    }
    for index in 0..peaks.len() - 1 {
        let (one, next) = (peaks[index], peaks[index + 1]);
        let (end, start) = match longest_quiet(one.end, next.start, quiet_at) {
            Some((end, start)) if keep_pauses => ((end + start) / 2, (end + start) / 2),
            Some(stretch) => stretch,
            None => {
                let boundary = match rule {
                    BoundaryRule::Middle => (one.end + next.start).div_ceil(2),
                    BoundaryRule::Change => change(one, next, scores, labels),
                };
                (boundary, boundary)
            }
        };
        (spans[index].end, spans[index + 1].start) = (end, start);
    }
    let mut end = last.end;
    while end < frames && (keep_pauses || !quiet_at(end)) {
        end += 1;
    }
    if let Some(span) = spans.last_mut() {
        span.end = end;
    }
    spans
}

/// The longest run of quiet frames from `begin` to before `end`; the first of equals.
fn longest_quiet(
    begin: usize,
    end: usize,
    quiet_at: impl Fn(usize) -> bool,
) -> Option<(usize, usize)> {
    let mut best: Option<(usize, usize)> = None;
    let mut start = None;
    for frame in begin..=end {
        match (frame < end && quiet_at(frame), start) {
            (true, None) => start = Some(frame),
            (false, Some(from)) => {
                if best.is_none_or(|(a, b)| frame - from > b - a) {
                    best = Some((from, frame));
                }
                start = None;
            }
            _ => {}
        }
    }
    best
}

/// [`BoundaryRule::Change`].
fn change(one: Token, next: Token, scores: &[f32], labels: usize) -> usize {
    let middle = 0.5 * (one.end + next.start) as f64;
    let gain = |frame: usize| {
        let row = &scores[frame * labels..][..labels];
        f64::from(row[one.label as usize]) - f64::from(row[next.label as usize])
    };
    let (mut best, mut most, mut sum) = (one.end, 0.0, 0.0);
    for boundary in one.end..=next.start {
        if boundary > one.end {
            sum += gain(boundary - 1);
        }
        let nearer = |than: usize| (boundary as f64 - middle).abs() < (than as f64 - middle).abs();
        if sum > most || (sum == most && nearer(best)) {
            (best, most) = (boundary, sum);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::greedy::greedy;
    use proptest::prelude::*;

    fn token(label: u32, start: usize, end: usize) -> Token {
        Token { label, start, end }
    }

    /// Probabilities of each frame as scores.
    fn logs(rows: &[&[f32]]) -> Vec<f32> {
        rows.concat().iter().map(|p| p.ln()).collect()
    }

    /// By hand: two frames must hold label 1, then 2. Greedy would write 1 alone; the best path that
    /// spells `1 2` takes 1 at frame 1 and 2 at frame 2, the next best (0.6·0.1·0.2) is far below.
    #[test]
    fn a_path_by_hand() {
        let scores =
            logs(&[&[0.6, 0.3, 0.1], &[0.2, 0.7, 0.1], &[0.7, 0.1, 0.2], &[0.9, 0.05, 0.05]]);
        assert_eq!(greedy(&scores, 3), [token(1, 1, 2)]);
        let path = best_path(&scores, 3, &[1, 2]).unwrap();
        assert_eq!(path.peaks, [token(1, 1, 2), token(2, 2, 3)]);
        let expected = (0.6f64 * 0.7 * 0.2 * 0.9).ln();
        assert!((path.log_probability - expected).abs() < 1e-6);
        // Two equal labels need the blank between them.
        let path = best_path(&scores, 3, &[1, 1]).unwrap();
        assert_eq!(path.peaks, [token(1, 1, 2), token(1, 3, 4)]);
    }

    #[test]
    fn what_cannot_be_aligned_says_why() {
        let scores = logs(&[&[0.5, 0.5], &[0.5, 0.5]]);
        assert_eq!(
            best_path(&scores, 2, &[1, 1]),
            Err(AlignError::TooShort { labels: 2, repeats: 1, needed: 3, frames: 2 })
        );
        let text = best_path(&scores, 2, &[1, 1]).unwrap_err().to_string();
        assert!(text.contains("need 3 frames") && text.contains("has 2"), "{text}");
        assert!(matches!(best_path(&scores, 2, &[2]), Err(AlignError::Label { place: 0, .. })));
        assert!(matches!(best_path(&scores, 2, &[0]), Err(AlignError::Label { .. })));
        let nothing = [f32::NAN; 4];
        assert_eq!(best_path(&nothing, 2, &[1]), Err(AlignError::NoPath { frame: 0 }));
        let impossible = logs(&[&[1.0, 0.0], &[1.0, 0.0]]);
        assert_eq!(best_path(&impossible, 2, &[1]), Err(AlignError::NoPath { frame: 1 }));
    }

    #[test]
    fn an_empty_transcript_is_blanks() {
        let path = best_path(&logs(&[&[0.5, 0.5], &[0.25, 0.75]]), 2, &[]).unwrap();
        assert!(path.peaks.is_empty());
        assert!((path.log_probability - 0.125f64.ln()).abs() < 1e-6);
        assert_eq!(best_path(&[], 2, &[]).unwrap().log_probability, 0.0);
        assert!(spread(&[], &[], 2, &[], false, BoundaryRule::Middle).is_empty());
    }

    #[test]
    fn frames_between_peaks_are_shared_out() {
        // 12 frames; peaks at 2 and 8. Label 2 overtakes label 1 at frame 4.
        let mut rows: Vec<[f32; 3]> = vec![[0.98, 0.015, 0.005]; 4];
        rows.extend([[0.98, 0.005, 0.015]; 8]);
        (rows[2], rows[8]) = ([0.1, 0.8, 0.1], [0.1, 0.1, 0.8]);
        let scores: Vec<f32> = rows.concat().iter().map(|p| p.ln()).collect();
        let peaks = best_path(&scores, 3, &[1, 2]).unwrap().peaks;
        assert_eq!(peaks, [token(1, 2, 3), token(2, 8, 9)]);
        let spans = |quiet: &[bool], rule| spread(&peaks, &scores, 3, quiet, false, rule);
        assert_eq!(spans(&[], BoundaryRule::Middle), [token(1, 0, 6), token(2, 6, 12)]);
        assert_eq!(spans(&[], BoundaryRule::Change), [token(1, 0, 4), token(2, 4, 12)]);
        let mut quiet = [false; 12];
        for frame in [0, 4, 6, 7, 11] {
            quiet[frame] = true;
        }
        let expected = [token(1, 1, 6), token(2, 8, 11)];
        assert_eq!(spans(&quiet, BoundaryRule::Change), expected);
        assert_eq!(spans(&quiet, BoundaryRule::Middle), expected);
        let kept = spread(&peaks, &scores, 3, &quiet, true, BoundaryRule::Change);
        assert_eq!(kept, [token(1, 0, 7), token(2, 7, 12)]);
        // Where nothing tells the two apart, the middle.
        let flat = vec![0.0; 36];
        assert_eq!(spread(&peaks, &flat, 3, &[], false, BoundaryRule::Change)[0].end, 5);
    }

    /// Every path of every frame, one by one.
    fn by_brute_force(scores: &[f32], labels: usize, target: &[u32]) -> Option<f64> {
        let frames = scores.len() / labels;
        let mut best: Option<f64> = None;
        for number in 0..labels.pow(frames as u32) {
            let path: Vec<u32> =
                (0..frames).map(|t| (number / labels.pow(t as u32) % labels) as u32).collect();
            let one_hot: Vec<f32> = path
                .iter()
                .flat_map(|&k| (0..labels).map(move |l| if l == k as usize { 1.0 } else { 0.0 }))
                .collect();
            let spelt: Vec<u32> = greedy(&one_hot, labels).iter().map(|t| t.label).collect();
            if spelt != target {
                continue;
            }
            let rows = scores.chunks_exact(labels).zip(&path);
            let sum: f64 = rows.map(|(row, &k)| f64::from(row[k as usize]) - log_sum(row)).sum();
            best = Some(best.map_or(sum, |best| best.max(sum)));
        }
        best
    }

    proptest! {
        #[test]
        fn the_best_of_all_paths_is_found(
            scores in prop::collection::vec(-4.0_f32..4.0, 0..19),
            target in prop::collection::vec(1_u32..3, 0..4),
        ) {
            let labels = 3;
            let scores = &scores[..scores.len() / labels * labels];
            let path = best_path(scores, labels, &target);
            match by_brute_force(scores, labels, &target) {
                None => {
                    let short = matches!(path, Err(AlignError::TooShort { .. }));
                    prop_assert!(short);
                }
                Some(best) => {
                    let path = path.unwrap();
                    prop_assert!((path.log_probability - best).abs() < 1e-9);
                    // The peaks spell the target, and the path through them has that probability.
                    let spelt: Vec<u32> = path.peaks.iter().map(|peak| peak.label).collect();
                    prop_assert_eq!(&spelt, &target);
                    let mut at = vec![BLANK; scores.len() / labels];
                    for peak in &path.peaks {
                        prop_assert!(peak.start < peak.end);
                        at[peak.start..peak.end].fill(peak.label);
                    }
                    let rows = scores.chunks_exact(labels).zip(&at);
                    let sum: f64 = rows.map(|(row, &k)| f64::from(row[k as usize]) - log_sum(row)).sum();
                    prop_assert!((sum - best).abs() < 1e-9);
                    for pair in path.peaks.windows(2) {
                        let gap = pair[1].start - pair[0].end;
                        prop_assert!(gap >= usize::from(pair[0].label == pair[1].label));
                    }
                }
            }
        }

        /// The best over all ways is the best of the paths of each choice of them.
        #[test]
        fn the_best_of_all_ways_is_found(
            scores in prop::collection::vec(-4.0_f32..4.0, 30..31),
            words in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(1_u32..3, 1..4), 1..4),
                0..4,
            ),
            frames in 1_usize..11,
        ) {
            let scores = &scores[..3 * frames];
            let mut choices: Vec<Vec<usize>> = vec![Vec::new()];
            for ways in &words {
                let longer = |choice: &Vec<usize>, way| [&choice[..], &[way]].concat();
                choices = choices
                    .iter()
                    .flat_map(|choice| (0..ways.len()).map(move |way| longer(choice, way)))
                    .collect();
            }
            let spoken = |choice: &[usize]| -> Vec<u32> {
                words.iter().zip(choice).flat_map(|(ways, &way)| ways[way].clone()).collect()
            };
            let each = choices.iter().map(|choice| best_path(scores, 3, &spoken(choice)));
            let best = each.filter_map(|path| Some(path.ok()?.log_probability)).reduce(f64::max);
            match best_path_of_ways(scores, 3, &words) {
                Ok((path, chosen)) => {
                    prop_assert!((path.log_probability - best.unwrap()).abs() < 1e-9);
                    let spelt: Vec<u32> = path.peaks.iter().map(|peak| peak.label).collect();
                    prop_assert_eq!(&spelt, &spoken(&chosen));
                    let again = best_path(scores, 3, &spelt).unwrap();
                    prop_assert!((again.log_probability - path.log_probability).abs() < 1e-9);
                }
                Err(AlignError::TooShort { needed, .. }) => {
                    let least = choices.iter().map(|choice| ctc_minimum_frames(&spoken(choice)));
                    prop_assert_eq!(least.min(), Some(needed));
                    prop_assert!(best.is_none() && needed > frames);
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }

        /// Spans hold their peaks, do not overlap, and without quiet frames leave none out.
        #[test]
        fn spans_tile_the_recording(
            scores in prop::collection::vec(-4.0_f32..4.0, 60..61),
            target in prop::collection::vec(1_u32..3, 1..6),
            quiet in prop::collection::vec(any::<bool>(), 20..21),
        ) {
            let peaks = best_path(&scores, 3, &target).unwrap().peaks;
            for rule in [BoundaryRule::Middle, BoundaryRule::Change] {
                for (quiet, keep) in [(&[][..], false), (&quiet[..], false), (&quiet[..], true)] {
                    let spans = spread(&peaks, &scores, 3, quiet, keep, rule);
                    let tiled = keep || quiet.is_empty();
                    for (span, peak) in spans.iter().zip(&peaks) {
                        prop_assert!(span.start <= peak.start && peak.end <= span.end);
                    }
                    for pair in spans.windows(2) {
                        prop_assert!(pair[0].end <= pair[1].start);
                        prop_assert!(!tiled || pair[0].end == pair[1].start);
                    }
                    if tiled {
                        prop_assert_eq!((spans[0].start, spans[spans.len() - 1].end), (0, 20));
                    }
                }
            }
        }
    }
}
