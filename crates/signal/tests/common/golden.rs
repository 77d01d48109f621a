//! The signal of the golden files, their reader, and features in one call.

use labyrinth_signal::{FeatureExtractor, FeatureOptions};

/// The signal of the scripts in `golden/`, in [-1, 1).
pub fn golden_signal() -> Vec<f32> {
    (0..9000i64)
        .map(|i| {
            let mut value = (i * i * 7 + i * 13) % 2003 - 1001;
            for (pitch, loudness) in [(3, 6), (17, 3), (61, 2)] {
                let phase = (i * pitch) % 1000;
                let triangle = phase.min(1000 - phase) - 250;
                value += (loudness * triangle * (i + 1000)).div_euclid(4000);
            }
            (value + 300) as f32 / 32768.0
        })
        .collect()
}

/// One case of a file in `golden/`.
pub struct Golden {
    pub name: String,
    pub options: FeatureOptions,
    pub frames: usize,
    pub rows: Vec<(usize, Vec<f32>)>,
}

/// Reads `case`, `option`, `frames` and `row` lines.
pub fn golden_cases(text: &str) -> Vec<Golden> {
    let mut cases: Vec<Golden> = Vec::new();
    let mut options = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (key, rest) = line.split_once(' ').expect("a word and a value");
        if key == "case" {
            options.clear();
            cases.push(Golden {
                name: rest.to_string(),
                options: FeatureOptions::default(),
                frames: 0,
                rows: Vec::new(),
            });
            continue;
        }
        let case = cases.last_mut().expect("a case comes first");
        match key {
            "option" => {
                options += &format!("{rest}\n");
                case.options = toml::from_str(&options).expect("options as in a recipe");
            }
            "frames" => case.frames = rest.parse().expect("a number"),
            "row" => {
                let mut words = rest.split(' ');
                let index = words.next().and_then(|word| word.parse().ok()).expect("an index");
                case.rows.push((index, words.map(|word| word.parse().expect("a value")).collect()));
            }
            other => panic!("unknown line {other}"),
        }
    }
    cases
}

/// Numbers per frame, and the features of a recording.
pub fn compute(options: &FeatureOptions, samples: &[f32]) -> (usize, Vec<f32>) {
    let mut extractor = FeatureExtractor::new(options).expect("valid options");
    let mut out = Vec::new();
    extractor.compute(samples, &mut out);
    assert_eq!(out.len(), extractor.frame_count(samples.len()) * extractor.dim());
    (extractor.dim(), out)
}

/// Compares with golden rows: the greatest difference, in units of the value or of 10.
pub fn worst_difference(case: &Golden, dim: usize, features: &[f32]) -> f32 {
    assert_eq!(features.len(), case.frames * dim, "{}", case.name);
    let mut worst = 0f32;
    for (index, row) in &case.rows {
        assert_eq!(row.len(), dim, "{}", case.name);
        for (ours, theirs) in features[index * dim..].iter().zip(row) {
            assert!(ours.is_finite(), "{} row {index}", case.name);
            // Energies without logarithm are compared relative to their size.
            worst = worst.max((ours - theirs).abs() / theirs.abs().max(10.0) * 10.0);
        }
    }
    println!("{}: differs by at most {worst:.1e}", case.name);
    worst
}
