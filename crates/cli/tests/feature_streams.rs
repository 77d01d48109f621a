//! `labyrinth features` beyond plain frames: streams, voice activity, and the sums of a corpus on their
//! way into a recipe, a model and a stream.

mod common;

use common::{MODEL, Sandbox, corpus};
use labyrinth::signal::{
    ArkFormat, Array, CmvnStats, EnergyVad, EnergyVadOptions, ModelVad, Preset, Values,
    VoiceActivity, read_audio, read_kaldi, read_npy, read_scp, write_kaldi, write_wav,
};

/// A second with half a second of a voice in it, at 16 kHz, and one at another rate.
fn recordings() -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, rate) in [("a", 16_000u32), ("b", 11_025)] {
        let mut phase = 0.0f32;
        let voice: Vec<f32> = (0..rate)
            .map(|i| {
                let time = i as f32 / rate as f32;
                phase = (phase + (120.0 + 20.0 * (8.0 * time).sin()) / rate as f32).fract();
                let loud = if (0.25..0.75).contains(&time) { 0.3 } else { 0.0005 };
                // A buzz of a low voice.
                loud * (1.0 - 2.0 * phase) * (1.0 + (40.0 * time).sin()) / 2.0
            })
            .collect();
        write_wav(&sandbox.path(format!("{name}.wav")), rate, &voice).unwrap();
    }
    sandbox.write("wav.scp", "first a.wav\nsecond b.wav\n");
    sandbox.write("online.conf", "--frames-per-chunk=10\n--simulate-first-pass-online=true\n");
    sandbox
}

/// Whatever the size of the pieces, the bytes are those of the whole recording.
#[test]
fn a_stream_gives_the_bytes_of_the_whole() {
    let sandbox = recordings();
    sandbox.run_well(&[
        "features",
        "--set",
        "allow-upsample=true",
        "wav.scp",
        "--cmvn-stats",
        "all.cmvn",
    ]);
    let cases: [&[&str]; 9] = [
        &[],
        &["--preset", "kaldi-mfcc", "--snip-edges=false"],
        &["--preset", "kaldi-plp", "--set", "deltas={}", "--set", "splice={}"],
        &["--preset", "kaldi-spectrogram", "--set", "cmn={kind=\"sliding\"}"],
        &["--set", "cmn={kind=\"global\", stats=\"all.cmvn\", norm-vars=true}"],
        &["--set", "cmn={kind=\"online\", stats=\"all.cmvn\"}"],
        &["--vad", "model"],
        &["--pitch", "--pitch-config", "online.conf"],
        &["--pitch=raw", "--pitch-config", "online.conf"],
    ];
    for case in cases {
        let base = ["features", "wav.scp", "--set", "allow-upsample=true", "-o", "x.ark"];
        sandbox.run_well(&[&base, case].concat());
        let whole = sandbox.read("x.ark");
        for piece in ["1", "333", "99999"] {
            let ran = sandbox.run_well(&[&base, case, &["--stream", piece]].concat());
            assert!(sandbox.read("x.ark") == whole, "{case:?} in pieces of {piece}");
            assert!(ran.stdout.contains("of latency"), "{}", ran.stdout);
        }
    }
    let ran = sandbox.run_well(&[
        "features",
        "a.wav",
        "--set",
        "deltas={}",
        "--stream",
        "99",
        "-o",
        "x.npy",
    ]);
    assert!(ran.stdout.contains("4 frames of latency"), "{}", ran.stdout); // order 2, window 2
}

/// What needs the whole recording is refused, and what a stream has in its place is named.
#[test]
fn a_stream_refuses_what_needs_the_whole() {
    let sandbox = recordings();
    for (arguments, named) in [
        (&["--preset", "whisper"][..], "sliding"),
        (&["--preset", "nemo"], "sliding"),
        (&["--set", "normalize=utterance"], "sliding"),
        (&["--set", "normalize=level"], "online"),
        (&["--subtract-mean"], "sliding"),
        (&["--vad", "energy"], "--vad model"),
        (&["--pitch"], "frames-per-chunk"),
        (&["--pitch=raw"], "simulate-first-pass-online"),
    ] {
        let refused = [&["features", "a.wav", "--stream", "160"], arguments].concat();
        sandbox.refuses(&refused, named);
        sandbox.run_well(&[&["features", "a.wav", "-o", "x.npy"], arguments].concat());
    }
    let ran = sandbox.run(&["features", "a.wav", "--stream", "0"]);
    assert_eq!(ran.status, Some(2));
}

/// The frames that are left are those that the decisions keep, with pitch and deltas as they were.
#[test]
fn frames_without_speech_are_left_out() {
    let sandbox = recordings();
    let array = |more: &[&str]| {
        let base = ["features", "--preset", "kaldi-mfcc", "--pitch", "a.wav", "-o", "x.npy"];
        // Decisions are made beside no pitch.
        let base = if more.contains(&"--vad-only") {
            base.iter().copied().filter(|word| *word != "--pitch").collect()
        } else {
            base.to_vec()
        };
        sandbox.run_well(&[&base, more].concat());
        read_npy(&sandbox.path("x.npy")).unwrap()
    };
    let all = array(&["--set", "deltas={}"]).to_f32();
    let samples = read_audio(&sandbox.path("a.wav"), None).unwrap().mono();
    for method in ["energy", "model"] {
        let decided = array(&["--vad", method, "--vad-only"]);
        assert_eq!(decided.shape(), [98], "{method}");
        let decided = decided.to_f32();
        assert!(decided.iter().all(|flag| [0.0, 1.0].contains(flag)));
        let voiced = decided.iter().filter(|flag| **flag == 1.0).count();
        // The buzz lasts from frame 23 to 75; the model does not take all of it for a voice.
        let inside = decided[21..77].iter().filter(|flag| **flag == 1.0).count();
        let least = if method == "energy" { 48 } else { 10 };
        assert!(inside == voiced && voiced >= least, "{method}: {inside} of {voiced}");
        // The library's own decisions: of the rule frame by frame, of the model where a frame's middle
        // lies among its frames of 256 samples.
        let mut own = Vec::new();
        let expected: Vec<bool> = if method == "energy" {
            let mut rule =
                EnergyVad::new(&EnergyVadOptions::default(), &Preset::KaldiMfcc.options()).unwrap();
            rule.detect(&samples, &mut own).unwrap();
            own
        } else {
            ModelVad::default().detect(&samples, &mut own).unwrap();
            (0..98).map(|frame| own[(160 * frame + 200) / 256]).collect()
        };
        assert!(
            expected.iter().zip(&decided).all(|(own, flag)| f32::from(u8::from(*own)) == *flag)
        );
        let kept = array(&["--vad", method, "--set", "deltas={}"]).to_f32();
        let rows = all.chunks(42).zip(&decided).filter(|(_, flag)| **flag == 1.0);
        let expected: Vec<f32> = rows.flat_map(|(row, _)| row).copied().collect();
        assert_eq!(expected.len(), voiced * 42);
        assert!(kept == expected, "{method}");
    }
    // Kaldi's flags of the rule, and its archive of vectors.
    sandbox.write("vad.conf", "--vad-energy-threshold=50\n");
    let none = ["features", "a.wav", "--vad", "energy", "--vad-config", "vad.conf"];
    sandbox.refuses(&none, "no speech");
    sandbox.run_well(&["features", "a.wav", "--vad", "energy", "--vad-only", "-o", "vad.ark"]);
    let entry = read_scp(&sandbox.path("vad.scp"));
    assert!(entry.is_ok_and(|entries| entries[0].key == "a"));
    sandbox.write("vad.conf", "--vad-energy-threshold=50\n--vad-colour=1\n");
    sandbox.refuses(&none, "vad.conf, line 2: --vad-colour");
    let model = ["features", "a.wav", "--vad", "model", "--vad-config", "vad.conf"];
    sandbox.refuses(&model, "--vad-config");
    let htk = ["features", "a.wav", "--vad", "model", "--vad-only", "-o", "x.htk"];
    sandbox.refuses(&htk, "vector");
}

/// The sums of all frames, before what the recipe does with them, on any number of threads.
#[test]
fn the_sums_of_a_corpus_are_written_as_kaldi_writes_them() {
    let sandbox = recordings();
    let base = ["features", "--preset", "kaldi-mfcc", "--set", "allow-upsample=true", "wav.scp"];
    sandbox.run_well(&[&base[..], &["-o", "x.ark"]].concat());
    let mut expected = CmvnStats::new(13);
    for id in ["a", "b"] {
        let name = if id == "a" { "first" } else { "second" };
        sandbox.write("one.scp", format!("{name} {id}.wav\n"));
        let one = ["features", "--preset", "kaldi-mfcc", "--set", "allow-upsample=true", "one.scp"];
        sandbox.run_well(&[&one[..], &["-o", "out", "--format", "npy"]].concat());
        let array = read_npy(&sandbox.path(format!("out/{name}.npy"))).unwrap();
        expected.accumulate(&array.to_f32());
    }
    let more =
        ["--set", "deltas={}", "--set", "cmn={kind=\"sliding\"}", "--set", "normalize=utterance"];
    for threads in ["1", "3"] {
        let stats = ["--cmvn-stats", "sub/all.cmvn", "--threads", threads];
        let ran = sandbox.run_well(&[&base[..], &stats, &more].concat());
        assert!(ran.stdout.contains("13 numbers"), "{}", ran.stdout);
        let array = read_kaldi(&sandbox.path("sub/all.cmvn"), 0).unwrap();
        assert_eq!(array.shape(), [2, 14]);
        assert!(matches!(array.values(), Values::F64(_)));
        assert_eq!(CmvnStats::from_array(&array).unwrap(), expected);
    }
    // Nothing that is there is lost.
    let over = |name: &str| ["features", "a.wav", "--cmvn-stats", name].map(str::to_owned);
    sandbox.refuses(&over("a.wav"), "a.wav");
    let before = sandbox.read("sub/all.cmvn");
    sandbox.refuses(&["features", "none.wav", "--cmvn-stats", "sub/all.cmvn"], "none.wav");
    assert!(sandbox.read("sub/all.cmvn") == before);
}

/// A recipe names the file; the model has the sums inside and needs the file no more.
#[test]
fn a_model_keeps_the_sums_of_its_corpus() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let recipe = sandbox.read_text("data/tones.toml");
    let cmn = "num-mel-bins = 24\nnormalize = \"none\"\n\
               cmn = { kind = \"global\", norm-vars = true, stats = \"sums/tones.cmvn\" }\n";
    sandbox.write("data/tones.toml", recipe.replace("num-mel-bins = 24\n", cmn));
    let train = ["train", "data/tones.toml", "--set", "train.epochs=1"];
    // Before the sums are there, what would make them is named.
    sandbox.refuses(&train, "--cmvn-stats");
    let sums = ["features", "--recipe", "data/tones.toml", "data/train.jsonl", "--cmvn-stats"];
    sandbox.run_well(&[&sums[..], &["data/sums/tones.cmvn"]].concat());
    sandbox.run_well(&train);
    // Features by the recipe have the mean and the deviation of the corpus.
    sandbox.run_well(&[
        "features",
        "--recipe",
        "data/tones.toml",
        "data/train.jsonl",
        "-o",
        "x.ark",
    ]);
    sandbox.run_well(&[
        "features",
        "--recipe",
        "data/tones.toml",
        "data/tone-001.wav",
        "-o",
        "x.npy",
    ]);
    let transcript = sandbox.run_well(&["transcribe", MODEL, "data/tone-001.wav"]).stdout;
    std::fs::remove_file(sandbox.path("data/sums/tones.cmvn")).unwrap();
    assert_eq!(sandbox.run_well(&["transcribe", MODEL, "data/tone-001.wav"]).stdout, transcript);
    let resolved = sandbox.read_text("runs/tones/recipe.toml");
    assert!(resolved.contains("squares") && !resolved.contains("tones.cmvn"), "{resolved}");
    // Sums of something else do not fit.
    let thirteen =
        Array::from_f64(2, 14, (0..28).map(|i| if i < 14 { 1.0 } else { 9.0 }).collect());
    write_kaldi(&sandbox.path("data/sums/tones.cmvn"), &thirteen, ArkFormat::Binary).unwrap();
    sandbox.refuses(&train, "24 each");
}
