//! Times the feature extractor.
use labyrinth_signal::{FeatureExtractor, FeatureKind, FeatureOptions, read_audio};
use std::time::Instant;
fn main() {
    let files: Vec<Vec<f32>> = std::env::args().skip(1).map(|f| read_audio(f.as_ref(), None).unwrap().mono().to_vec()).collect();
    let seconds: f64 = files.iter().map(|f| f.len() as f64 / 16000.0).sum();
    for (l, s) in [(25.0, 10.0), (250.0, 50.0)] {
        for (name, kind, log) in [("spectrogram", FeatureKind::Spectrogram, false), ("no log", FeatureKind::Fbank, false), ("fbank", FeatureKind::Fbank, true)] {
        let mut e = FeatureExtractor::new(&FeatureOptions { kind, use_log_fbank: log, frame_length: l, frame_shift: s, ..Default::default() }).unwrap();
        let mut out = Vec::new();
        let mut times: Vec<f64> = (0..40).map(|_| { let t = Instant::now(); for f in &files { out.clear(); e.compute(f, &mut out); } t.elapsed().as_secs_f64() }).collect();
        times.sort_by(f64::total_cmp);
        let frames: usize = files.iter().map(|f| e.frame_count(f.len())).sum();
        println!("{l}/{s} {name}: min {:.3} ms median {:.3} ms for {seconds:.0} s; {:.3} us/frame; {:.3} s per hour", times[0] * 1e3, times[20] * 1e3, times[0] * 1e6 / frames as f64, times[0] * 3600.0 / seconds);
        }
    }
}
