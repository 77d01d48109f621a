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
    let refused: [(&str, &str); 16] = [
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
        ("dither", "dither = 1.0"),
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
