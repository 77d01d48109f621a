//! Deltas, splicing and the normalisations against their definitions, and pieces against the whole.

use std::path::PathBuf;

use labyrinth_signal::{
    ArkFormat, Array, Chain, CmnOptions, Cmvn, CmvnOptions, CmvnSource, CmvnStats, DeltaOptions,
    Deltas, FeatureExtractor, FeatureOptions, OnlineCmvn, OnlineCmvnOptions, OnlineCmvnState,
    Random, SlidingCmvn, SlidingCmvnOptions, Splice, SpliceOptions, Stage, Values, read_htk,
    write_kaldi,
};
use proptest::prelude::*;

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Random::from_key(&[seed, 9]);
    (0..count).map(|index| (random.normal() * 3.0 + (index % 7) as f64 * 5.0) as f32).collect()
}

fn computed(stage: &mut dyn Stage, frames: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    stage.compute(frames, &mut out);
    assert_eq!(out.len() * stage.input_dim(), frames.len() * stage.dim());
    out
}

fn close(ours: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(ours.len(), expected.len());
    for (index, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        assert!((f64::from(*ours) - expected).abs() <= bound, "{index}: {ours} {expected}");
    }
}

/// A column of rows as f64.
fn column(frames: &[f32], dim: usize, index: usize) -> Vec<f64> {
    frames.iter().skip(index).step_by(dim).map(|value| f64::from(*value)).collect()
}

/// Slopes of one column, the ends repeated.
fn slopes(values: &[f64], window: i64) -> Vec<f64> {
    let at = |index: i64| values[index.clamp(0, values.len() as i64 - 1) as usize];
    let squares: i64 = (-window..=window).map(|j| j * j).sum();
    (0..values.len() as i64)
        .map(|t| (-window..=window).map(|j| j as f64 * at(t + j)).sum::<f64>() / squares as f64)
        .collect()
}

#[test]
fn deltas_are_slopes_of_slopes() {
    for (dim, order, window, frames) in [(3, 1, 2, 30), (3, 2, 2, 30), (1, 3, 1, 20), (2, 2, 5, 60)]
    {
        let input = noise(1, dim * frames);
        let options = DeltaOptions { order, window, truncate: 0 };
        let mut stage = Deltas::new(dim, options).expect("valid");
        assert_eq!((stage.dim(), stage.lookahead()), (dim * (order + 1), order * window));
        let out = computed(&mut stage, &input);
        for index in 0..dim {
            let mut expected = column(&input, dim, index);
            for level in 0..=order {
                let ours = column(&out, dim * (order + 1), level * dim + index);
                // Where no repeated end is within reach, and for one order anywhere, the weights
                // convolved are the slopes of slopes.
                let reach = if level > 1 { level * window } else { 0 };
                let inside = reach..frames - reach;
                let ours: Vec<f32> = ours[inside.clone()].iter().map(|v| *v as f32).collect();
                close(&ours, &expected[inside], 2e-5);
                expected = slopes(&expected, window as i64);
            }
        }
    }
}

/// At the ends Kaldi repeats frames under the convolved weights: `add-deltas` by hand.
#[test]
fn deltas_at_the_ends_are_kaldis() {
    // Of a step: x = 0, 0, 1 with window 1: weights (-1/2, 0, 1/2), twice (1/4, 0, -1/2, 0, 1/4).
    let mut stage =
        Deltas::new(1, DeltaOptions { order: 2, window: 1, truncate: 0 }).expect("valid");
    let out = computed(&mut stage, &[0.0, 0.0, 1.0]);
    assert_eq!(out, [0.0, 0.0, 0.25, 0.0, 0.5, 0.25, 1.0, 0.5, -0.25]);
    // A slope of slopes with repeated slopes, as HTK has it, would end in (1/2 - 1/2) / 2 = 0.
    // One frame alone stands still.
    assert_eq!(computed(&mut stage, &[7.0]), [7.0, 0.0, 0.0]);
    assert_eq!(computed(&mut stage, &[]), [0f32; 0]);
    // Only the first numbers of each frame.
    let options = DeltaOptions { order: 1, window: 1, truncate: 1 };
    let mut stage = Deltas::new(2, options).expect("valid");
    assert_eq!(computed(&mut stage, &[1.0, 9.0, 3.0, 9.0]), [1.0, 1.0, 3.0, 1.0]);
}

/// HTK's deltas from HTK's statics; see [`deltas_at_the_ends_are_kaldis`] for where they part.
#[test]
fn deltas_are_htks() {
    let Some(folder) = std::env::var_os("LABYRINTH_DATA") else {
        println!("SKIPPED: set LABYRINTH_DATA to the folder that holds kaldi-feat");
        return;
    };
    for case in 1..=6 {
        let name = format!("kaldi-feat/test.wav.fea_htk.{case}");
        let file = read_htk(&PathBuf::from(&folder).join(name)).expect("HTK's output");
        let theirs = file.features.to_f32();
        let statics: Vec<f32> = theirs.chunks(39).flat_map(|row| &row[..13]).copied().collect();
        let ours =
            computed(&mut Deltas::new(13, DeltaOptions::default()).expect("valid"), &statics);
        let mut worst = [0f32; 2];
        for (t, (ours, theirs)) in ours.chunks(39).zip(theirs.chunks(39)).enumerate() {
            let inside = (4..142 - 4).contains(&t);
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                let worst = &mut worst[usize::from(!inside && index >= 26)];
                *worst = worst.max((ours - theirs).abs());
            }
        }
        println!("case {case}: {:.1e}, second order at the ends {:.1e}", worst[0], worst[1]);
        assert!(worst[0] < 1e-4);
        // The edges are HTK's own: were they the same, the definition above would be wrong.
        assert!(worst[1] > 1e-3);
    }
}

#[test]
fn splicing_repeats_the_ends() {
    let mut stage = Splice::new(2, SpliceOptions { left: 2, right: 1 }).expect("valid");
    assert_eq!((stage.dim(), stage.lookahead()), (8, 1));
    let out = computed(&mut stage, &[1.0, -1.0, 2.0, -2.0, 3.0, -3.0]);
    assert_eq!(
        out,
        [
            1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 2.0, -2.0, //
            1.0, -1.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, //
            1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 3.0, -3.0,
        ]
    );
}

#[test]
fn statistics_normalise_and_turn_back() {
    let dim = 3;
    let input = noise(2, dim * 200);
    let mut stats = CmvnStats::new(dim);
    stats.accumulate(&input[..dim * 50]);
    stats.accumulate(&input[dim * 50..]);
    let mut whole = CmvnStats::new(dim);
    whole.accumulate(&input);
    assert_eq!(stats, whole);
    let options = |norm_vars, reverse, skip_dims: &[usize]| CmvnOptions {
        norm_means: true,
        norm_vars,
        reverse,
        skip_dims: skip_dims.to_vec(),
    };
    let apply =
        |input: &[f32], options| computed(&mut Cmvn::new(&stats, &options).expect("valid"), input);
    let out = apply(&input, options(true, false, &[]));
    for index in 0..dim {
        let values = column(&out, dim, index);
        let mean = values.iter().sum::<f64>() / 200.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 200.0;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
    }
    let back: Vec<f64> = input.iter().map(|value| f64::from(*value)).collect();
    close(&apply(&out, options(true, true, &[])), &back, 1e-4);
    let means = apply(&input, options(false, false, &[1]));
    let expected: Vec<f64> = (0..input.len())
        .map(|place| match place % dim {
            1 => back[place],
            index => back[place] - column(&input, dim, index).iter().sum::<f64>() / 200.0,
        })
        .collect();
    close(&means, &expected, 1e-5);
    let neither = CmvnOptions { norm_means: false, ..CmvnOptions::default() };
    assert_eq!(apply(&input, neither), input);

    // Kaldi's matrix and back; weights; other sums.
    let array = stats.to_array();
    assert_eq!(array.shape(), [2, dim + 1]);
    let Values::F64(values) = array.values() else { panic!("f64") };
    assert_eq!((values[dim], values[2 * dim + 1]), (200.0, 0.0));
    assert_eq!(CmvnStats::from_array(&array).expect("ours"), stats);
    let mut weighted = CmvnStats::new(dim);
    weighted.add(&input[..dim], 2.0);
    let mut twice = CmvnStats::new(dim);
    twice.accumulate(&input[..dim]);
    twice.merge(&twice.clone(), 1.0);
    assert_eq!(weighted, twice);

    for array in [
        Array::from_f64(2, 4, vec![0.0; 8]),
        Array::from_f64(1, 8, vec![1.0; 8]),
        Array::from_f64(3, 2, vec![1.0; 6]),
        Array::from_f64(2, 1, vec![1.0; 2]),
        Array::from_f64(2, 0, vec![]),
    ] {
        let error = CmvnStats::from_array(&array).expect_err("no statistics");
        assert!(error.to_string().contains("stats"), "{error}");
    }
    assert!(Cmvn::new(&stats, &options(true, false, &[3])).is_err());
    assert!(
        Cmvn::new(&stats, &CmvnOptions { norm_means: false, ..options(true, false, &[]) }).is_err()
    );
    assert!(Cmvn::new(&CmvnStats::new(3), &CmvnOptions::default()).is_err());
}

/// Kaldi's SlidingWindowCmn, each window summed anew.
fn sliding(input: &[f32], dim: usize, options: SlidingCmvnOptions) -> Vec<f64> {
    let frames = (input.len() / dim) as i64;
    let length = options.cmn_window as i64;
    let mut out = Vec::new();
    for t in 0..frames {
        let (mut start, mut end) = match options.center {
            true => (t - length / 2, t - length / 2 + length),
            false => (t - length, t + 1),
        };
        if start < 0 {
            end -= start;
            start = 0;
        }
        if !options.center {
            end = (t + 1).max(options.min_cmn_window as i64);
        }
        if end > frames {
            start = (start - (end - frames)).max(0);
            end = frames;
        }
        for index in 0..dim {
            let values = &column(input, dim, index)[start as usize..end as usize];
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
            let difference = f64::from(input[t as usize * dim + index]) - mean;
            out.push(match options.norm_vars {
                true if values.len() == 1 => 0.0,
                true => difference / variance.max(1e-10).sqrt(),
                false => difference,
            });
        }
    }
    out
}

#[test]
fn sliding_normalisation_is_kaldis() {
    let dim = 2;
    for frames in [0, 1, 2, 5, 9, 10, 11, 40, 200] {
        let input = noise(3, dim * frames);
        for (cmn_window, min_cmn_window) in [(10, 4), (11, 11), (1, 1), (30, 1), (600, 100)] {
            for (center, norm_vars) in [(false, false), (false, true), (true, false), (true, true)]
            {
                let options = SlidingCmvnOptions { cmn_window, min_cmn_window, norm_vars, center };
                let mut stage = SlidingCmvn::new(dim, options).expect("valid");
                let out = computed(&mut stage, &input);
                // Of two nearly equal values the variance is a difference of large numbers.
                close(&out, &sliding(&input, dim, options), if norm_vars { 1e-4 } else { 1e-5 });
            }
        }
    }
}

/// Kaldi's OnlineCmvn, each window summed anew.
fn online(
    input: &[f32],
    global: &CmvnStats,
    speaker: Option<&CmvnStats>,
    options: &OnlineCmvnOptions,
) -> Vec<f64> {
    let dim = global.dim();
    let window = options.cmn_window as f64;
    let mut out = Vec::new();
    for t in 0..input.len() / dim {
        let first = (t + 1).saturating_sub(options.cmn_window);
        let count = (t + 1 - first) as f64;
        let from_speaker = speaker.map_or(0.0, |speaker| {
            (window - count).min(options.speaker_frames as f64).min(speaker.count)
        });
        let from_global =
            (window - count - from_speaker).min(options.global_frames as f64).max(0.0);
        let total = count + from_speaker + from_global;
        for index in 0..dim {
            let values = &column(input, dim, index)[first..=t];
            let mix = |own: f64, of: fn(&CmvnStats) -> &[f64]| {
                let prior =
                    |stats: &CmvnStats, frames: f64| of(stats)[index] / stats.count * frames;
                (own + speaker.map_or(0.0, |s| prior(s, from_speaker)) + prior(global, from_global))
                    / total
            };
            let mean = mix(values.iter().sum(), |stats| &stats.sums);
            let square = mix(values.iter().map(|v| v * v).sum(), |stats| &stats.squares);
            let value = f64::from(input[t * dim + index]);
            out.push(match () {
                () if options.skip_dims.contains(&index) => value,
                () if options.norm_vars => (value - mean) / (square - mean * mean).sqrt(),
                () => value - mean,
            });
        }
    }
    out
}

#[test]
fn online_normalisation_is_kaldis() {
    let dim = 3;
    let stats = |seed, frames| {
        let mut stats = CmvnStats::new(dim);
        stats.accumulate(&noise(seed, dim * frames));
        stats
    };
    let (global, known) = (stats(4, 1000), stats(5, 37));
    let input = noise(6, dim * 150);
    for (cmn_window, speaker_frames, global_frames) in
        [(600, 600, 200), (50, 600, 200), (50, 20, 10), (1, 0, 0), (100, 30, 200)]
    {
        for (speaker, norm_vars) in [(None, false), (Some(&known), true), (Some(&known), false)] {
            let options = OnlineCmvnOptions {
                cmn_window,
                speaker_frames,
                global_frames,
                norm_vars: norm_vars && cmn_window > 1,
                skip_dims: if norm_vars { vec![1] } else { Vec::new() },
                ..OnlineCmvnOptions::default()
            };
            let state = OnlineCmvnState {
                speaker: speaker.cloned(),
                ..OnlineCmvnState::new(global.clone())
            };
            let mut stage = OnlineCmvn::new(state, options.clone()).expect("valid");
            assert_eq!(stage.lookahead(), 0);
            let out = computed(&mut stage, &input);
            close(&out, &online(&input, &global, speaker, &options), 1e-4);
        }
    }
}

#[test]
fn a_speaker_is_remembered_and_a_state_can_freeze() {
    let dim = 2;
    let mut global = CmvnStats::new(dim);
    global.accumulate(&noise(7, dim * 300));
    let (first, second) = (noise(8, dim * 40), noise(9, dim * 40));
    let options = OnlineCmvnOptions::default();
    let mut stage =
        OnlineCmvn::new(OnlineCmvnState::new(global.clone()), options.clone()).expect("valid");
    let mut out = Vec::new();
    stage.push(&first, &mut out);
    let state = stage.state();
    let mut speaker = CmvnStats::new(dim);
    speaker.accumulate(&first);
    assert_eq!(state.speaker.as_ref(), Some(&speaker));
    let mut next = OnlineCmvn::new(state, options.clone()).expect("valid");
    let ours = computed(&mut next, &second);
    close(&ours, &online(&second, &global, Some(&speaker), &options), 1e-4);

    // Frozen: what the last frame was normalised with, for all that follow.
    stage.freeze();
    let mut frozen = Vec::new();
    stage.push(&first[..dim], &mut frozen);
    stage.push(&second, &mut frozen);
    let last = online(&first, &global, None, &options);
    let shift =
        [0, 1].map(|i| f64::from(first[first.len() - dim + i]) - last[last.len() - dim + i]);
    let expected: Vec<f64> = [&first[..dim], &second[..]]
        .concat()
        .iter()
        .enumerate()
        .map(|(place, value)| f64::from(*value) - shift[place % dim])
        .collect();
    close(&frozen, &expected, 1e-4);
    let kept = stage.state();
    assert!(kept.frozen.is_some());
    let mut later = OnlineCmvn::new(kept, options).expect("valid");
    assert_eq!(computed(&mut later, &first[..dim]), frozen[..dim]);
    // The end of the recording thaws what was frozen in it.
    stage.finish(&mut Vec::new());
    let mut again = Vec::new();
    stage.push(&first, &mut again);
    assert_eq!(again, out);
}

#[test]
fn impossible_stages_are_refused_by_name() {
    let global = "kind = \"global\", stats = { count = 2, sums = [1, 2], squares = [3, 4] }";
    for (option, text) in [
        ("deltas.window", "deltas = { window = 0 }".to_string()),
        ("deltas.order", "deltas = { order = 500, window = 3 }".into()),
        ("deltas.order", format!("deltas = {{ order = {} }}", i64::MAX)),
        ("deltas.truncate", "deltas = { truncate = 81 }".into()),
        ("splice.left", "splice = { left = 1001 }".into()),
        ("splice.right", format!("splice = {{ right = {} }}", i64::MAX)),
        ("cmn.cmn-window", "cmn = { kind = \"sliding\", cmn-window = 0 }".into()),
        ("cmn.cmn-window", format!("cmn = {{ kind = \"sliding\", cmn-window = {} }}", i64::MAX)),
        ("cmn.min-cmn-window", "cmn = { kind = \"sliding\", min-cmn-window = 0 }".into()),
        ("cmn.min-cmn-window", "cmn = { kind = \"sliding\", cmn-window = 50 }".into()),
        ("stats", format!("cmn = {{ {global} }}")),
        ("stats", format!("cmn = {{ {} }}", global.replace("global", "online"))),
    ] {
        let options: FeatureOptions = toml::from_str(&text).expect("well formed");
        let error = FeatureExtractor::new(&options).expect_err(&text);
        assert_eq!(error.option, option, "{error}");
    }
    for text in [
        "deltas = { orders = 2 }",
        "splice = { left = -1 }",
        "cmn = { kind = \"sliding\", window = 3 }",
        "cmn = { kind = \"global\" }",
        "cmn = { kind = \"utterance\" }",
        "cmn = { cmn-window = 300 }",
    ] {
        assert!(toml::from_str::<FeatureOptions>(text).is_err(), "{text}");
    }
}

#[test]
fn stages_are_written_into_recipes_and_only_when_there() {
    let text = toml::to_string(&FeatureOptions::default()).expect("writable");
    assert!(!text.contains("cmn") && !text.contains("deltas") && !text.contains("splice"));
    let mut stats = CmvnStats::new(80);
    stats.accumulate(&noise(10, 80 * 3));
    let text = format!(
        "deltas = {{ order = 1 }}\nsplice = {{ left = 1, right = 2 }}\n[cmn]\nkind = \"online\"\n\
         global-frames = 7\n[cmn.stats]\n{}",
        toml::to_string(&stats).expect("writable")
    );
    let options: FeatureOptions = toml::from_str(&text).expect("well formed");
    let Some(CmnOptions::Online(online)) = &options.cmn else { panic!("{options:?}") };
    assert_eq!((online.global_frames, online.cmn_window), (7, 600));
    assert_eq!(online.stats, CmvnSource::Sums(stats));
    let again: FeatureOptions =
        toml::from_str(&toml::to_string(&options).expect("writable")).expect("readable");
    assert_eq!(again, options);
    let extractor = FeatureExtractor::new(&options).expect("valid");
    assert_eq!((extractor.dim(), extractor.lookahead()), (80 * 2 * 4, 2 + 2));
    assert_eq!(extractor.frame_count(16_000), 98);
}

#[test]
fn rows_that_do_not_fit_make_no_chain() {
    let splice = |dim| -> Box<dyn Stage> {
        Box::new(Splice::new(dim, SpliceOptions { left: 1, right: 0 }).expect("valid"))
    };
    assert!(Chain::new(Vec::new()).is_none());
    assert!(Chain::new(vec![splice(2), splice(2)]).is_none());
    let chain = Chain::new(vec![splice(2), splice(4)]).expect("they fit");
    assert_eq!((chain.input_dim(), chain.dim()), (2, 8));
}

#[derive(Clone, Debug)]
struct Case {
    text: String,
    total: usize,
    sizes: Vec<usize>,
}

fn cases() -> impl Strategy<Value = Case> {
    let stats = "stats = { count = 9, sums = [90, 80, 70], squares = [990, 890, 790] }";
    let cmn = prop_oneof![
        Just(String::new()),
        (1..30usize, 0..30usize, any::<bool>(), any::<bool>()).prop_map(
            |(window, less, vars, center)| {
                let least = window.saturating_sub(less).max(1);
                format!(
                    "cmn = {{ kind = \"sliding\", cmn-window = {window}, min-cmn-window = {least}, \
                 norm-vars = {vars}, center = {center} }}\n"
                )
            }
        ),
        any::<bool>().prop_map(move |vars| {
            format!("cmn = {{ kind = \"global\", norm-vars = {vars}, {stats} }}\n")
        }),
        (1..30usize, 0..30usize, any::<bool>()).prop_map(move |(window, global, vars)| {
            format!(
                "cmn = {{ kind = \"online\", cmn-window = {window}, global-frames = {global}, \
                 norm-vars = {vars}, {stats} }}\n"
            )
        }),
    ];
    let deltas = proptest::option::of((0..4usize, 1..4usize, 0..4usize));
    let splice = proptest::option::of((0..5usize, 0..5usize));
    let sizes = proptest::collection::vec(1..900usize, 1..8);
    (cmn, deltas, splice, any::<bool>(), 0..4000usize, sizes).prop_map(
        |(mut text, deltas, splice, snip_edges, total, sizes)| {
            if let Some((order, window, truncate)) = deltas {
                text += &format!(
                    "deltas = {{ order = {order}, window = {window}, truncate = {truncate} }}\n"
                );
            }
            if let Some((left, right)) = splice {
                text += &format!("splice = {{ left = {left}, right = {right} }}\n");
            }
            text = format!(
                "sample-frequency = 8000\nnum-mel-bins = 3\nlow-freq = 0\nsnip-edges = {snip_edges}\n\
                 frame-length = 5\nframe-shift = 4\n{text}"
            );
            Case { text, total, sizes }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    /// Promise 6 for whatever stands behind the extractor: chunks of any size give the same bytes,
    /// and no frame waits for more frames than was said.
    #[test]
    fn chunks_equal_the_whole(case in cases()) {
        let options: FeatureOptions = toml::from_str(&case.text).expect("well formed");
        let samples: Vec<f32> = noise(11, case.total).iter().map(|v| v / 100.0).collect();
        let mut extractor = FeatureExtractor::new(&options).expect(&case.text);
        let bare = options.without_stages();
        let mut bare = FeatureExtractor::new(&bare).expect("valid");
        let (dim, bare_dim) = (extractor.dim(), bare.dim());
        let mut whole = Vec::new();
        extractor.compute(&samples, &mut whole);
        prop_assert_eq!(whole.len(), extractor.frame_count(case.total) * dim);
        let (mut pieces, mut rows) = (Vec::new(), Vec::new());
        let (mut rest, mut round) = (&samples[..], 0);
        // Begun in the middle of something else, and continued by a copy.
        extractor.push(&samples[..samples.len() / 2], &mut Vec::new());
        extractor.reset();
        while !rest.is_empty() {
            let size = case.sizes[round % case.sizes.len()].min(rest.len());
            let (piece, after) = rest.split_at(size);
            extractor.push(piece, &mut pieces);
            bare.push(piece, &mut rows);
            let waiting = rows.len() / bare_dim - pieces.len() / dim;
            prop_assert!(waiting <= extractor.lookahead(), "{waiting}");
            if round == 1 {
                extractor = extractor.clone();
            }
            (rest, round) = (after, round + 1);
        }
        extractor.finish(&mut pieces);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&whole), bits(&pieces));
    }

    /// Single frames and the whole, for every stage by itself.
    #[test]
    fn single_frames_equal_the_whole(case in cases()) {
        let options: FeatureOptions = toml::from_str(&case.text).expect("well formed");
        let Some(cmn) = options.cmn else { return Ok(()) };
        let mut stage = cmn.stage(3).expect("valid");
        let frames = noise(12, 3 * (case.total / 20));
        let whole = computed(stage.as_mut(), &frames);
        let mut single = Vec::new();
        for (index, frame) in frames.chunks(3).enumerate() {
            stage.push(frame, &mut single);
            prop_assert!(index + 1 - single.len() / 3 <= stage.lookahead());
        }
        stage.finish(&mut single);
        prop_assert_eq!(whole, single);
    }
}

/// A recipe names the file of a corpus's sums; read, it holds the sums, and so does what is written.
#[test]
fn sums_come_from_a_file_and_are_kept_in_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stats = CmvnStats::new(80);
    stats.accumulate(&noise(41, 80 * 30));
    let path = folder.path().join("corpus.cmvn");
    write_kaldi(&path, &stats.to_array(), ArkFormat::Binary).expect("written");
    for kind in ["global", "online"] {
        let text =
            format!("normalize = \"none\"\ncmn = {{ kind = \"{kind}\", stats = \"corpus.cmvn\" }}");
        let named: FeatureOptions = toml::from_str(&text).expect("options");
        let error = FeatureExtractor::new(&named).expect_err("nothing was read").to_string();
        assert!(error.contains("corpus.cmvn") && error.contains("not read"), "{error}");
        let mut read = named.clone();
        read.read_stats(folder.path()).expect("sums");
        FeatureExtractor::new(&read).expect("sums of 80 numbers");
        let kept = toml::to_string(&read).expect("writable");
        assert!(!kept.contains("corpus.cmvn"));
        assert_eq!(toml::from_str::<FeatureOptions>(&kept).expect("readable"), read);
        let sums = match &read.cmn {
            Some(CmnOptions::Global(options)) => &options.stats,
            Some(CmnOptions::Online(options)) => &options.stats,
            _ => panic!("{kind} is {:?}", read.cmn),
        };
        assert_eq!(*sums, CmvnSource::Sums(stats.clone()));
        // Again it changes nothing, wherever one stands.
        let again = read.clone();
        read.read_stats(std::path::Path::new("nowhere")).expect("nothing to read");
        assert_eq!(read, again);
    }
}

#[test]
fn files_that_hold_no_sums_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let sums = |count: f64, sum: f64, square: f64| CmvnStats {
        count,
        sums: vec![sum; 80],
        squares: vec![square; 80],
    };
    // A matrix of Kaldi's in double precision, byte by byte: our writer takes no NaN.
    let write = |name: &str, array: &Array| {
        let Values::F64(values) = array.values() else { panic!("sums are f64") };
        let mut bytes = b"\0BDM ".to_vec();
        for length in array.shape() {
            bytes.push(4);
            bytes.extend((*length as i32).to_le_bytes());
        }
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        std::fs::write(folder.path().join(name), bytes).expect("written");
    };
    write("none", &sums(0.0, 0.0, 0.0).to_array());
    write("nan", &sums(10.0, f64::NAN, 30.0).to_array());
    write("infinite", &sums(10.0, 1.0, f64::INFINITY).to_array());
    write("negative", &sums(-3.0, 1.0, 30.0).to_array());
    write("impossible", &sums(10.0, 100.0, 10.0).to_array());
    write("row", &Array::from_f64(1, 81, vec![1.0; 81]));
    std::fs::write(folder.path().join("text"), "nothing of Kaldi's").expect("written");
    std::fs::create_dir(folder.path().join("folder")).expect("made");
    let options = |name: &str| -> FeatureOptions {
        let text = format!("cmn = {{ kind = \"global\", stats = \"{name}\" }}");
        toml::from_str(&text).expect("options")
    };
    for (name, word) in [
        ("missing", "does not exist"),
        ("none", "too few frames"),
        ("nan", "finite number"),
        ("infinite", "finite number"),
        ("negative", "too few frames"),
        ("impossible", "cannot be the squares"),
        ("row", "not the shape"),
        ("text", "byte 0"),
        ("folder", "is a folder"),
    ] {
        let error = options(name).read_stats(folder.path()).expect_err(name).to_string();
        assert!(error.contains(word) && error.contains(name), "{name}: {error}");
    }
    // Of another dimension: well formed, and refused where the dimension is known.
    let mut short = CmvnStats::new(13);
    short.accumulate(&noise(42, 13 * 9));
    write("thirteen", &short.to_array());
    let mut thirteen = options("thirteen");
    thirteen.read_stats(folder.path()).expect("sums");
    let error = FeatureExtractor::new(&thirteen).expect_err("13 is not 80").to_string();
    assert!(error.contains("13 sums") && error.contains("80 each"), "{error}");
    for wrong in ["3", "true", "[1, 2]"] {
        let text = format!("cmn = {{ kind = \"global\", stats = {wrong} }}");
        let error = toml::from_str::<FeatureOptions>(&text).expect_err(wrong).to_string();
        assert!(error.contains("file of CMVN statistics"), "{error}");
    }
}
