//! Features against the outputs of HTK's HCopy that Kaldi tests itself with.
//!
//! HTK's options in ours: 16-bit samples, Hamming's window, no offset removed, `htk-compat` for the
//! order and scale of coefficients, `htk-mode` for the first filter and the floor of the energies.
//!
//! HTK's files with `_D_A` hold deltas behind the static features. Only the latter are looked at
//! here.

mod common;

use std::path::PathBuf;

use common::golden::compute;
use labyrinth_signal::{FeatureKind, FeatureOptions, WindowType, read_audio};

/// The folder of HTK's files.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("LABYRINTH_DATA");
    if folder.is_none() {
        println!("SKIPPED: set LABYRINTH_DATA to the folder that holds kaldi-feat");
    }
    Some(PathBuf::from(folder?).join("kaldi-feat"))
}

/// What HTK computed: numbers per frame, `[frames, dim]`.
fn htk(folder: &std::path::Path, name: &str) -> (usize, Vec<f32>) {
    let bytes = std::fs::read(folder.join(name)).expect("HTK's output");
    let frames = u32::from_be_bytes(bytes[0..4].try_into().expect("4 bytes")) as usize;
    let dim = usize::from(u16::from_be_bytes([bytes[8], bytes[9]])) / 4;
    let values: Vec<f32> = bytes[12..]
        .chunks_exact(4)
        .map(|word| f32::from_be_bytes(word.try_into().expect("4 bytes")))
        .collect();
    assert_eq!((frames, values.len()), (142, frames * dim), "{name}");
    (dim, values)
}

/// What all of HTK's configurations have in common.
fn base(kind: FeatureKind) -> FeatureOptions {
    FeatureOptions {
        num_mel_bins: 23,
        low_freq: 0.0,
        window_type: WindowType::Hamming,
        preemphasis_coefficient: 0.0,
        remove_dc_offset: false,
        htk_compat: true,
        htk_mode: true,
        dither: 0.0,
        ..FeatureOptions::kaldi(kind)
    }
}

/// The edges of the warped band that make Kaldi's warp HTK's with cut-offs of 100 and 7500 Hz.
///
/// Where the three straight lines of the warp meet is defined otherwise: for warp w and cut-off e
/// HTK bends at 2 e / (1 + 1 / w) (`HSigP.c`, `WarpFreq`), Kaldi at e max(1, w) below and at
/// e min(1, w) above (`feat/mel-computations.cc`, `VtlnWarpFreq`). All else is the same.
fn with_htks_bends(options: FeatureOptions, warp: f32) -> FeatureOptions {
    let bend = |cut_off: f32| 2.0 * cut_off / (1.0 + 1.0 / warp);
    FeatureOptions {
        vtln_warp: warp,
        vtln_low: bend(100.0) / warp.max(1.0),
        vtln_high: bend(7500.0) / warp.min(1.0),
        ..options
    }
}

/// The greatest difference of each static number over all frames.
fn differences(options: &FeatureOptions, name: &str) -> Option<Vec<f32>> {
    let folder = folder()?;
    let audio = read_audio(&folder.join("test.wav"), None).expect("the test recording");
    let (htk_dim, theirs) = htk(&folder, name);
    let (dim, ours) = compute(options, &audio.mono());
    assert!(dim <= htk_dim);
    assert_eq!(ours.len() / dim, theirs.len() / htk_dim);
    let mut worst = vec![0f32; dim];
    for (ours, theirs) in ours.chunks(dim).zip(theirs.chunks(htk_dim)) {
        for ((worst, ours), theirs) in worst.iter_mut().zip(ours).zip(theirs) {
            *worst = worst.max((ours - theirs).abs());
        }
    }
    let greatest = worst.iter().copied().fold(0.0, f32::max);
    println!("{name}: differs by at most {greatest:.1e}");
    Some(worst)
}

#[test]
fn filterbank_is_htks() {
    for (case, low_freq, warp) in [(1, 0.0, 1.0), (2, 25.0, 1.0), (3, 25.0, 0.9), (4, 25.0, 1.1)] {
        let options = FeatureOptions { low_freq, ..base(FeatureKind::Fbank) };
        let name = format!("test.wav.fbank_htk.{case}");
        let Some(worst) = differences(&with_htks_bends(options.clone(), warp), &name) else {
            return;
        };
        assert!(worst.iter().all(|worst| *worst <= 1e-4), "fbank {case}: {worst:?}");
        if warp != 1.0 {
            // With Kaldi's bends only the filters near them differ.
            let bent: &[usize] = match case {
                3 => &[21, 22], // from 6750 Hz on instead of 7105 Hz
                _ => &[0, 1],   // up to 110 Hz instead of 105 Hz
            };
            let (vtln_low, vtln_high) = (100.0, 7500.0);
            let kaldi = FeatureOptions { vtln_warp: warp, vtln_low, vtln_high, ..options };
            let worst = differences(&kaldi, &name).expect("it was there");
            for (bin, worst) in worst.iter().enumerate() {
                let most = if bent.contains(&bin) { 0.5 } else { 1e-4 };
                assert!(*worst <= most, "fbank {case}, filter {bin}: {worst}");
            }
        }
    }
}

#[test]
fn mfcc_is_htks() {
    let base = base(FeatureKind::Mfcc);
    let cases = [
        (1, FeatureOptions { use_energy: false, ..base.clone() }),
        (2, base.clone()),
        (3, FeatureOptions { low_freq: 20.0, ..base.clone() }),
        (4, FeatureOptions { preemphasis_coefficient: 0.97, ..base.clone() }),
        (5, with_htks_bends(FeatureOptions { preemphasis_coefficient: 0.97, ..base.clone() }, 1.1)),
        (
            6,
            FeatureOptions {
                use_energy: false,
                low_freq: 125.0,
                high_freq: 7800.0,
                num_mel_bins: 24,
                preemphasis_coefficient: 0.97,
                // HTK's filters begin with bin floor(low / width + 1.5) (`HSigP.c`, `InitFBank`):
                // that leaves out the lowest one where low / width ends in .5 or more (20 Hz and
                // 25 Hz over 31.25), which is what Kaldi's mode does always. 125 Hz is bin 4 to the
                // point, and bin 5 is HTK's first as it is Kaldi's without the mode.
                htk_mode: false,
                ..base
            },
        ),
    ];
    for (case, options) in cases {
        let Some(worst) = differences(&options, &format!("test.wav.fea_htk.{case}")) else {
            return;
        };
        assert_eq!(worst.len(), 13);
        assert!(worst.iter().all(|worst| *worst <= 1e-2), "MFCC {case}: {worst:?}");
    }
}

#[test]
fn plp_is_htks() {
    let options =
        FeatureOptions { use_energy: false, compress_factor: 0.33, ..base(FeatureKind::Plp) };
    let Some(worst) = differences(&options, "test.wav.plp_htk.1") else {
        return;
    };
    assert_eq!(worst.len(), 13);
    assert!(worst.iter().all(|worst| *worst <= 1e-2), "PLP: {worst:?}");
}
