//! Options: how they are read, what their defaults are, and which are refused.

use labyrinth_signal::{
    Centering, FeatureExtractor, FeatureKind, FeatureOptions, MelScale, Normalization, Preset,
    WindowType,
};

#[test]
fn options_are_read_from_a_recipe() {
    let text = "kind = \"log-spectrogram\"\nframe-length = 250\nsnip-edges = false\n\
                normalize = \"none\"\nwindow-type = \"hamming\"";
    let options: FeatureOptions = toml::from_str(text).expect("valid");
    let expected = FeatureOptions {
        kind: FeatureKind::LogSpectrogram,
        frame_length: 250.0,
        snip_edges: false,
        normalize: Normalization::None,
        window_type: WindowType::Hamming,
        ..FeatureOptions::default()
    };
    assert_eq!(options, expected);
    let text = toml::to_string(&expected).expect("writable");
    assert_eq!(toml::from_str::<FeatureOptions>(&text).expect("readable"), expected);
    assert!(toml::from_str::<FeatureOptions>("frame_length = 25").is_err());
    assert!(toml::from_str::<FeatureOptions>("num-mel-bin = 25").is_err());
}

#[test]
fn impossible_options_are_refused_by_name() {
    let refused: [(&str, &str); 45] = [
        ("sample-frequency", "sample-frequency = 0"),
        ("sample-frequency", "sample-frequency = 16000.5"),
        ("sample-frequency", "sample-frequency = nan"),
        ("frame-length", "frame-length = 0"),
        ("frame-length", "frame-length = inf"),
        ("frame-length", "frame-length = 25.07\nround-to-power-of-two = false"),
        ("frame-shift", "frame-shift = 0.01"),
        ("frame-shift", "frame-shift = -10"),
        ("num-mel-bins", "num-mel-bins = 2"),
        ("num-mel-bins", "num-mel-bins = 400"),
        ("low-freq", "low-freq = 8000"),
        ("high-freq", "high-freq = 9000"),
        ("high-freq", "high-freq = -7990"),
        ("dither", "dither = -1.0"),
        ("dither", "dither = inf"),
        ("dither", "dither = 1e7"),
        ("sample-scale", "sample-scale = 0"),
        ("blackman-coeff", "blackman-coeff = 1.5"),
        ("blackman-coeff", "blackman-coeff = -0.1"),
        ("blackman-coeff", "blackman-coeff = nan"),
        ("energy-floor", "energy-floor = -1"),
        ("snip-edges", "centering = \"zeros\""),
        ("vtln-warp", "vtln-warp = 0.1"),
        ("vtln-low", "vtln-warp = 0.9\nvtln-low = 10"),
        ("vtln-high", "vtln-warp = 0.9\nvtln-high = 8000"),
        ("num-ceps", "kind = \"mfcc\"\nnum-ceps = 0"),
        ("num-ceps", "kind = \"mfcc\"\nnum-ceps = 24"),
        ("num-ceps", "kind = \"plp\"\nnum-ceps = 14"),
        ("num-ceps", "kind = \"plp\"\nnum-ceps = 0"),
        ("lpc-order", "kind = \"plp\"\nlpc-order = 0"),
        ("lpc-order", "kind = \"plp\"\nlpc-order = 24"),
        ("compress-factor", "kind = \"plp\"\ncompress-factor = 0"),
        ("compress-factor", "kind = \"plp\"\ncompress-factor = nan"),
        ("cepstral-scale", "kind = \"plp\"\ncepstral-scale = 0"),
        ("cepstral-scale", "kind = \"plp\"\ncepstral-scale = inf"),
        ("cepstral-scale", "kind = \"plp\"\ncepstral-scale = -1e9"),
        ("cepstral-lifter", "kind = \"plp\"\ncepstral-lifter = -22"),
        ("cepstral-lifter", "kind = \"mfcc\"\ncepstral-lifter = nan"),
        ("use-power", "kind = \"mfcc\"\nuse-power = false"),
        ("use-log-fbank", "kind = \"plp\"\nuse-log-fbank = false"),
        ("high-freq", "high-freq = nan"),
        ("low-freq", "low-freq = -20"),
        ("num-mel-bins", "kind = \"plp\"\nnum-mel-bins = 2\nlpc-order = 2\nnum-ceps = 2"),
        ("preemphasis-coefficient", "preemphasis-coefficient = 2"),
        ("use-energy", "use-energy = true\nkind = \"spectrogram\""),
    ];
    for (option, text) in refused {
        let options: FeatureOptions = toml::from_str(text).expect("well formed");
        let error = FeatureExtractor::new(&options).expect_err(text);
        assert_eq!(error.option, option, "{error}");
        assert!(error.to_string().contains(option));
    }
}

/// What `compute-*-feats` do without flags, as Kaldi's option structs have it.
#[test]
fn kaldis_defaults_are_by_program() {
    for (kind, use_energy) in [
        (FeatureKind::Fbank, false),
        (FeatureKind::Mfcc, true),
        (FeatureKind::Plp, true),
        (FeatureKind::LogSpectrogram, true),
    ] {
        let options = FeatureOptions::kaldi(kind);
        assert_eq!((options.kind, options.use_energy), (kind, use_energy));
        assert_eq!((options.num_mel_bins, options.low_freq, options.high_freq), (23, 20.0, 0.0));
        assert_eq!((options.dither, options.energy_floor, options.raw_energy), (1.0, 0.0, true));
        assert_eq!((options.num_ceps, options.cepstral_lifter), (13, 22.0));
        assert_eq!((options.lpc_order, options.compress_factor), (12, 0.33333));
        assert!(!options.allow_downsample && !options.allow_upsample && !options.htk_compat);
        assert_eq!(options.normalize, Normalization::None);
    }
}

/// What a recipe leaves out depends on what it asks for.
#[test]
fn defaults_depend_on_kind_and_preset() {
    let read = |text: &str| toml::from_str::<FeatureOptions>(text).expect(text);
    assert_eq!(read(""), FeatureOptions::default());
    let mfcc = read("kind = \"mfcc\"");
    assert_eq!((mfcc.use_energy, mfcc.num_mel_bins, mfcc.dither), (true, 23, 0.0));
    let fbank = read("use-log-fbank = false");
    assert_eq!((fbank.use_energy, fbank.num_mel_bins), (false, 80));
    assert!(!read("kind = \"log-spectrogram\"").use_energy);
    let kaldi = read("preset = \"kaldi-plp\"\nnum-ceps = 10");
    assert_eq!(kaldi, FeatureOptions { num_ceps: 10, ..FeatureOptions::kaldi(FeatureKind::Plp) });
    // What stands in the recipe is stronger than the preset, in whatever order.
    let whisper = read("num-mel-bins = 40\npreset = \"whisper\"\nmel-scale = \"htk\"");
    assert_eq!((whisper.num_mel_bins, whisper.mel_scale), (40, MelScale::Htk));
    assert_eq!(whisper.centering, Centering::Reflect);
    // It is written as values, and read again as the same.
    let text = toml::to_string(&whisper).expect("writable");
    assert!(!text.contains("preset"), "{text}");
    assert_eq!(read(&text), whisper);
    for preset in Preset::ALL {
        let text = toml::to_string(&preset.options()).expect("writable");
        assert_eq!(read(&text), preset.options(), "{text}");
        assert!(FeatureExtractor::new(&preset.options()).is_ok());
    }
    assert!(toml::from_str::<FeatureOptions>("preset = \"wisper\"").is_err());
}

/// A filterbank is written with the keys that it always had, so that its files stay the same.
#[test]
fn old_files_stay_what_they_were() {
    let text = toml::to_string(&FeatureOptions::default()).expect("writable");
    let keys: Vec<&str> = text.lines().filter_map(|line| line.split(" = ").next()).collect();
    let old = "kind sample-frequency frame-length frame-shift num-mel-bins low-freq high-freq \
               dither preemphasis-coefficient remove-dc-offset window-type blackman-coeff \
               round-to-power-of-two snip-edges use-energy raw-energy energy-floor use-log-fbank \
               use-power htk-compat htk-mode vtln-warp vtln-low vtln-high normalize";
    assert_eq!(keys.join(" "), old);
    assert!(text.contains("num-mel-bins = 80\n") && text.contains("dither = 0.0\n"), "{text}");
}

#[test]
fn what_needs_the_whole_recording_is_not_causal() {
    for normalize in [
        Normalization::Utterance,
        Normalization::Level,
        Normalization::Whisper,
        Normalization::Nemo,
    ] {
        let options = FeatureOptions { normalize, ..Default::default() };
        let error = options.check_causal().expect_err("not causal");
        assert_eq!(error.option, "normalize");
        assert!(error.to_string().contains("normalize = \"none\""), "{error}");
        let name = toml::Value::try_from(normalize).expect("a name");
        assert!(error.to_string().contains(&name.to_string()), "{error}");
    }
    for preset in [Preset::Whisper, Preset::WhisperV3, Preset::Nemo] {
        assert!(preset.options().check_causal().is_err());
    }
    assert!(Preset::KaldiMfcc.options().check_causal().is_ok());
}

#[test]
fn another_rate_is_allowed_or_refused() {
    let options = FeatureOptions::default();
    assert!([8000, 16_000, 44_100].into_iter().all(|rate| options.check_rate(rate).is_ok()));
    let kaldi = FeatureOptions::kaldi(FeatureKind::Fbank);
    assert_eq!(kaldi.check_rate(16_000), Ok(()));
    assert_eq!(kaldi.check_rate(44_100).unwrap_err().option, "allow-downsample");
    let error = kaldi.check_rate(8000).unwrap_err();
    assert_eq!(error.option, "allow-upsample");
    assert!(error.to_string().contains("8000 Hz") && error.to_string().contains("16000 Hz"));
    let options = FeatureOptions { allow_downsample: true, ..kaldi };
    assert!(options.check_rate(44_100).is_ok() && options.check_rate(8000).is_err());
}

/// What is said to have no effect has none, and what has one is not said to have none: each option is
/// changed in turn, and the features are computed.
#[test]
fn options_without_effect_have_none() {
    let samples: Vec<f32> = (0..8000).map(|i| (i as f32 * i as f32 * 1e-4).sin() * 0.3).collect();
    let compute = |options: &FeatureOptions| {
        let mut extractor = FeatureExtractor::new(options).ok()?;
        let mut out = Vec::new();
        extractor.compute(&samples, &mut out);
        Some(out)
    };
    let changes = "num-ceps = 9\ncepstral-lifter = 11\nlpc-order = 13\ncompress-factor = 0.5\n\
                   cepstral-scale = 2\nnum-mel-bins = 20\nlow-freq = 200\nhigh-freq = 7000\n\
                   vtln-warp = 1.1\nuse-power = false\nhtk-mode = true\nmel-scale = \"slaney\"\n\
                   use-log-fbank = false\nvtln-low = 150\nvtln-high = -700\n\
                   logarithm = \"decimal\"\nblackman-coeff = 0.3\nraw-energy = false\n\
                   energy-floor = 1e9\nuse-energy = true\nhtk-compat = true\n\
                   window-type = \"rectangular\"\npreemphasis-coefficient = 0.5\n\
                   round-to-power-of-two = false\nframe-length = 20\nframe-shift = 5\n\
                   remove-dc-offset = false\nsnip-edges = false\nsample-scale = 1";
    let (mut idle, mut effective) = (0, 0);
    for base in [
        "kind = \"fbank\"",
        "kind = \"fbank\"\nuse-energy = true\nuse-log-fbank = false",
        "kind = \"fbank\"\nwindow-type = \"blackman\"\nvtln-warp = 0.9",
        "kind = \"mfcc\"\nuse-energy = false\nnum-mel-bins = 23",
        "kind = \"mfcc\"\nuse-energy = true\nnum-mel-bins = 23",
        "kind = \"plp\"\nuse-energy = true\nnum-mel-bins = 23",
        "kind = \"spectrogram\"",
        "kind = \"log-spectrogram\"\nuse-energy = true",
        "kind = \"energy\"",
        "kind = \"energy\"\nraw-energy = false",
    ] {
        let plain: toml::Table = base.parse().expect("options");
        let before = compute(&plain.clone().try_into().expect("options")).expect("possible");
        for (key, value) in changes.parse::<toml::Table>().expect("options") {
            let mut table = plain.clone();
            table.insert(key.clone(), value);
            let options: FeatureOptions = table.try_into().expect("options");
            let Some(after) = compute(&options) else { continue };
            match options.without_effect(&key) {
                Some(reason) => {
                    assert!(after == before, "{base}: {key} has an effect, though {reason}");
                    idle += 1;
                }
                None => effective += usize::from(after != before),
            }
        }
    }
    assert!(idle > 40 && effective > 120, "{idle} {effective}");
}
