//! Times the feature extractor.
use labyrinth_signal::{FeatureExtractor, FeatureKind, FeatureOptions, InstructionSet, read_audio};
use std::time::Instant;
fn main() {
    let files: Vec<Vec<f32>> = std::env::args().skip(1).map(|f| read_audio(f.as_ref(), None).unwrap().mono().to_vec()).collect();
    let seconds: f64 = files.iter().map(|f| f.len() as f64 / 16000.0).sum();
    let only = std::env::var("ONLY").unwrap_or_default();
    for set in InstructionSet::available() {
    if !only.is_empty() && set.to_string() != only { continue; }
    for (l, s) in if only.is_empty() { vec![(25.0, 10.0), (250.0, 50.0)] } else { vec![(25.0,10.0)] } {
        for (name, kind, log) in if !only.is_empty() { vec![("fbank", FeatureKind::Fbank, true)] } else { vec![("spectrogram", FeatureKind::Spectrogram, false), ("no log", FeatureKind::Fbank, false), ("fbank", FeatureKind::Fbank, true)] } {
        let mut e = FeatureExtractor::with_instructions(&FeatureOptions { kind, use_log_fbank: log, frame_length: l, frame_shift: s, ..Default::default() }, set).unwrap();
        let mut out = Vec::new();
        let mut best = vec![f64::MAX; files.len()];
        for _ in 0..60 { for (f, b) in files.iter().zip(&mut best) { out.clear(); let t = Instant::now(); e.compute(f, &mut out); *b = b.min(t.elapsed().as_secs_f64()); } }
        let sum: f64 = best.iter().sum();
        let frames: usize = files.iter().map(|f| e.frame_count(f.len())).sum();
        println!("{set} {l}/{s} {name}: min {:.3} ms for {seconds:.0} s; {:.3} us/frame; {:.3} s per hour", sum * 1e3, sum * 1e6 / frames as f64, sum * 3600.0 / seconds);
        }
    }
    }
}
