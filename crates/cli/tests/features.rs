//! `labyrinth features` as its users type it: archives, arrays, text, and what it refuses.

mod common;

use std::f32::consts::TAU;
use std::process::Command;

use common::Sandbox;
use labyrinth::signal::{FeatureExtractor, Preset, read_htk, read_npy, read_scp, write_wav};

/// A tone of some seconds at 16 kHz.
fn tone(seconds: f32, hertz: f32) -> Vec<f32> {
    (0..(seconds * 16_000.0) as usize)
        .map(|i| 0.3 * (TAU * hertz * i as f32 / 16_000.0).sin())
        .collect()
}

/// Three recordings, a manifest of two of them and of one that is not there, and a list.
fn recordings() -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, seconds, hertz) in [("a", 0.5, 300.0), ("b", 0.7, 1000.0), ("short", 0.01, 500.0)] {
        write_wav(&sandbox.path(format!("{name}.wav")), 16_000, &tone(seconds, hertz)).unwrap();
    }
    let line = |id: &str, more: &str| {
        format!(
            "{{\"id\":\"{id}\",\"audio_filepath\":\"{id}.wav\",\"duration\":0.5,\"text\":\"x\"{more}}}\n"
        )
    };
    let cut = ",\"offset\":0.1".to_owned();
    let manifest = line("a", "") + &line("b", &cut) + &line("gone", "") + &line("short", "");
    sandbox.write("some.jsonl", manifest);
    sandbox.write("wav.scp", "first a.wav\n\nsecond   b.wav\n");
    sandbox
}

#[test]
fn an_archive_holds_what_the_library_computes_on_any_number_of_threads() {
    let sandbox = recordings();
    let arguments = ["features", "--preset", "kaldi-mfcc", "wav.scp", "-o", "out/mfcc.ark"];
    let ran = sandbox.run_well(&arguments);
    assert!(
        ran.stdout.contains("2 recordings") && ran.stdout.contains("13 numbers"),
        "{}",
        ran.stdout
    );
    let archive = sandbox.read("out/mfcc.ark");
    for threads in ["1", "3"] {
        sandbox.run_well(&[&arguments[..], &["--threads", threads]].concat());
        // Kaldi's default is to dither: drawn by name, so the same each time.
        assert!(sandbox.read("out/mfcc.ark") == archive);
    }
    std::env::set_current_dir(sandbox.path("")).unwrap();
    let entries = read_scp(&sandbox.path("out/mfcc.scp")).unwrap();
    let mut extractor = FeatureExtractor::new(&Preset::KaldiMfcc.options()).unwrap();
    let names = [("first", "a", 48), ("second", "b", 68)];
    assert_eq!(entries.len(), names.len());
    for (entry, (id, file, frames)) in entries.iter().zip(names) {
        assert_eq!(entry.key, id);
        let audio =
            labyrinth::signal::read_audio(&sandbox.path(format!("{file}.wav")), None).unwrap();
        let mut expected = Vec::new();
        extractor.compute_for(id, &audio.mono(), &mut expected);
        let read = entry.read().unwrap();
        assert_eq!(read.shape(), [frames, 13]);
        assert!(read.to_f32() == expected);
    }
}

#[test]
fn a_manifest_goes_on_past_its_faults_and_names_them_in_a_ledger() {
    let sandbox = recordings();
    let ran = sandbox.run_well(&["features", "some.jsonl", "-o", "fbank.ark", "--compress"]);
    assert!(
        ran.stdout.contains("2 recordings") && ran.stdout.contains("refused 2"),
        "{}",
        ran.stdout
    );
    let ledger = sandbox.read_text("fbank.ledger.jsonl");
    assert!(ledger.contains("\"gone\"") && ledger.contains("missing"), "{ledger}");
    assert!(ledger.contains("\"short\"") && ledger.contains("frame"), "{ledger}");
}

#[test]
fn arrays_htk_files_and_text_hold_the_same_numbers() {
    let sandbox = recordings();
    let kaldi = ["--num-mel-bins=10", "--dither=0", "--use-energy"];
    let run = |more: &[&str]| sandbox.run_well(&[&["features"], more, &kaldi[..]].concat());
    run(&["a.wav", "-o", "a.npy"]);
    run(&["a.wav", "b.wav", "-o", "folder", "--format", "htk"]);
    let array = read_npy(&sandbox.path("a.npy")).unwrap();
    assert_eq!(array.shape(), [48, 11]);
    let htk = read_htk(&sandbox.path("folder/a.htk")).unwrap();
    assert_eq!(htk.features.to_f32(), array.to_f32());
    assert_eq!(htk.sample_period, 100_000);
    assert!(sandbox.path("folder/b.htk").is_file());
    let text = run(&["a.wav"]).stdout;
    let numbers: Vec<f32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(text.starts_with("a  [\n"), "{}", &text[..20]);
    assert_eq!(numbers, array.to_f32());
}

#[test]
fn recipes_config_files_flags_and_settings_lie_over_each_other_in_this_order() {
    let sandbox = recordings();
    sandbox.write("fbank.conf", "--num-mel-bins=20 # as ever\n--frame-shift=20\n--dither=0\n");
    let dims = |more: &[&str]| {
        let ran = sandbox.run_well(&[&["features", "a.wav", "-o", "a.npy"], more].concat());
        let shape = read_npy(&sandbox.path("a.npy")).unwrap().shape().to_vec();
        (shape[0], shape[1], ran.stdout)
    };
    let (frames, dim, _) = dims(&["--config", "fbank.conf"]);
    assert_eq!((frames, dim), (24, 20));
    let (frames, dim, _) = dims(&["--config", "fbank.conf", "--num-mel-bins=30"]);
    assert_eq!((frames, dim), (24, 30));
    let more = ["--set", "num-mel-bins=40", "--set", "deltas={}"];
    let (_, dim, _) = dims(&[&["--config", "fbank.conf", "--num-mel-bins=30"], &more[..]].concat());
    assert_eq!(dim, 120);
    let (_, dim, _) = dims(&["--preset", "whisper"]);
    assert_eq!(dim, 80);
}

#[test]
fn pitch_stands_behind_the_features_or_alone() {
    let sandbox = recordings();
    sandbox.write("pitch.conf", "--max-f0=350\n");
    let rows = |more: &[&str]| {
        let preset = ["features", "--preset", "kaldi-mfcc", "a.wav", "-o", "a.npy"];
        sandbox.run_well(&[&preset, more].concat());
        let array = read_npy(&sandbox.path("a.npy")).unwrap();
        (array.shape().to_vec(), array.to_f32())
    };
    let (shape, with) = rows(&["--pitch"]);
    assert_eq!(shape, [48, 16]);
    let (_, without) = rows(&[]);
    let (shape, alone) = rows(&["--pitch=only"]);
    assert_eq!(shape, [48, 3]);
    for (row, (features, pitch)) in with.chunks(16).zip(without.chunks(13).zip(alone.chunks(3))) {
        assert_eq!(row, [features, pitch].concat());
    }
    // A tone of 300 Hz.
    let (shape, raw) = rows(&["--pitch=raw", "--pitch-config", "pitch.conf"]);
    assert_eq!(shape, [48, 2]);
    assert!(raw.chunks(2).all(|row| (row[1] - 300.0).abs() < 3.0), "{raw:?}");
    sandbox.write("pitch.conf", "--max-f=350\n");
    let refused = ["features", "a.wav", "--pitch", "--pitch-config", "pitch.conf"];
    sandbox.refuses(&refused, "pitch.conf, line 1: --max-f");
}

#[test]
fn flags_about_recordings_are_kaldis() {
    let sandbox = recordings();
    sandbox.write("warps", "anna 0.9\nbert 1.1\n");
    sandbox.write("utt2spk", "first anna\nsecond bert\n");
    let kaldi = ["features", "wav.scp", "--dither=0", "-o", "x.ark"];
    let archive = |more: &[&str]| {
        sandbox.run_well(&[&kaldi, more].concat());
        sandbox.read("x.ark")
    };
    let plain = archive(&[]);
    let warped = archive(&["--vtln-map", "warps", "--utt2spk", "utt2spk"]);
    assert!(warped != plain);
    sandbox.write("warps", "anna 1\nbert 1\n");
    assert!(archive(&["--vtln-map", "warps", "--utt2spk", "utt2spk"]) == plain);
    assert!(archive(&["--channel", "0"]) == plain);
    assert!(archive(&["--min-duration=0.6"]).len() < plain.len());
    assert!(sandbox.read_text("x.ledger.jsonl").contains("first"));
    sandbox.run_well(&["features", "a.wav", "--dither=0", "--subtract-mean", "-o", "a.npy"]);
    let array = read_npy(&sandbox.path("a.npy")).unwrap();
    let column: f32 = array.to_f32().iter().step_by(array.shape()[1]).sum();
    assert!(column.abs() < 1e-2, "{column}");
    sandbox.refuses(&["features", "a.wav", "--channel=1"], "no channel 1");
    for seconds in ["nan", "-1", "inf", "soon"] {
        let ran = sandbox.run(&["features", "a.wav", "--min-duration", seconds]);
        assert_eq!(ran.status, Some(2));
        assert!(ran.stderr.contains("seconds from 0 on"), "{}", ran.stderr);
    }
    sandbox.write("warps", "anna\n");
    sandbox.refuses(&["features", "a.wav", "--vtln-map", "warps"], "warps, line 1");
    sandbox.write("warps", "a 9\n");
    sandbox.refuses(&["features", "a.wav", "--vtln-map", "warps"], "vtln-warp");
}

#[test]
fn what_cannot_be_is_refused_with_its_name() {
    let sandbox = recordings();
    sandbox.write("piped.scp", "x sph2pipe -f wav x.sph |\n");
    sandbox.write("pitch.conf", "--sample-frequency=8000\n");
    sandbox.write("bad.conf", "--num-mel-bins=20\n--colour=red\n");
    sandbox.write("type.conf", "--dither=0\n\n--num-mel-bins=many # too many\n");
    sandbox.write("preset.conf", "--preset=kaldi-mfcc\n");
    sandbox.write("folder/x", "");
    for (arguments, named) in [
        (&["none.wav"][..], "none.wav"),
        (&["piped.scp"], "piped.scp, line 1"), // nothing else is in it
        (&["a.wav", "--config", "bad.conf"], "bad.conf, line 2: --colour"),
        (&["a.wav", "--config", "type.conf"], "type.conf, line 3: --num-mel-bins"),
        (&["a.wav", "--config", "preset.conf"], "--preset"),
        (&["a.wav", "--window-type=square"], "--window-type: `square`"),
        (&["a.wav", "--set", "cmn=true"], "--set cmn=true: a section with keys is needed"),
        (&["a.wav", "--set", "normalize=true"], "a text in quotes is needed"),
        (&["a.wav", "-o", "folder"], "--format npy"),
        (&["a.wav", "-o", "x.ark", "--format", "npy"], "x.ark ends like ark"),
        (&["a.wav", "-o", "b.wav", "--format", "npy"], "b.wav is no folder"),
        (&["wav.scp", "wav.scp"], "\"first\" (`a.wav`) is named twice"),
        (&["a.wav", "--dither=1e30"], "dither"),
        (&["a.wav", "--blackman-coeff=7", "--window-type=blackman"], "blackman-coeff"),
        (&["a.wav", "--set", "num-cep=3"], "--set num-cep=3"),
        (&["a.wav", "--num-mel-bins=2"], "num-mel-bins"),
        (&["a.wav", "--num-mel-bins=4000000000"], "num-mel-bins"),
        (&["a.wav", "--set", "preset=kaldi-mfcc"], "--preset kaldi-mfcc"),
        (&["a.wav", "--pitch", "--pitch-config", "pitch.conf"], "8000 Hz"),
        (&["a.wav", "--sample-frequency=0"], "sample-frequency"),
        (&["a.wav", "./a.wav", "-o", "x.ark"], "both be called"),
        (&["a.wav", "-o", "x.txt"], "x.txt"),
        (&["a.wav", "b.wav", "-o", "x.npy"], "x.npy"),
        (&["a.wav", "-o", "x.npy", "--compress"], "--compress"),
        (&["a.wav", "--sample-frequency=8000"], "allow-downsample"),
        (&["short.wav"], "short.wav"),
    ] {
        sandbox.refuses(&[&["features"], arguments].concat(), named);
    }
}

/// Nothing that was there before is lost: no input, no earlier output, no second recording.
#[test]
fn outputs_never_destroy() {
    let sandbox = recordings();
    let scp = sandbox.read("wav.scp");
    for (arguments, named) in [
        (&["wav.scp", "-o", "wav.ark"][..], "wav.scp"),
        (&["a.wav", "-o", "a.wav", "--format", "ark"], "a.wav"),
        (&["some.jsonl", "-o", "some.jsonl", "--format", "ark-text"], "some.jsonl"),
        (&["a.wav", "-o", "x.scp", "--format", "ark"], "x.scp"),
    ] {
        sandbox.refuses(&[&["features"], arguments].concat(), named);
    }
    assert!(sandbox.read("wav.scp") == scp);
    sandbox.write("twice.scp", "a/b a.wav\na-b b.wav\n");
    sandbox.refuses(&["features", "twice.scp", "-o", "d", "--format", "npy"], "a-b.npy");
    // A run that finds nothing to use leaves the earlier result.
    sandbox.run_well(&["features", "a.wav", "-o", "x.ark"]);
    let archive = sandbox.read("x.ark");
    let ran = sandbox.run(&["features", "none.wav", "-o", "x.ark"]);
    assert_eq!((ran.status, &ran.stdout[..]), (Some(2), ""));
    assert!(sandbox.read("x.ark") == archive);
    sandbox.write("piped.scp", "a sox a.wav |\nb b.wav\n");
    sandbox.run_well(&["features", "piped.scp", "-o", "x.ark"]);
    assert!(sandbox.read_text("x.ledger.jsonl").contains("\"not-a-file\""));
    // The ledger is that of the last run.
    sandbox.run_well(&["features", "a.wav", "-o", "x.ark"]);
    assert!(!sandbox.read_text("x.ledger.jsonl").contains("not-a-file"));
}

/// A float recording beyond all measure is damaged: the others go on without it.
#[test]
fn absurd_samples_are_refused_like_other_damage() {
    let sandbox = recordings();
    let samples = [0.0f32, 1e30].iter().cycle().take(8000).flat_map(|s| s.to_le_bytes());
    let data: Vec<u8> = samples.collect();
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + data.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x03\0\x01\0");
    wav.extend(16_000u32.to_le_bytes());
    wav.extend(64_000u32.to_le_bytes());
    wav.extend(b"\x04\0\x20\0data");
    wav.extend((data.len() as u32).to_le_bytes());
    wav.extend(data);
    sandbox.write("huge.wav", wav);
    sandbox.write("three.scp", "a a.wav\nhuge huge.wav\nb b.wav\n");
    let ran = sandbox.run_well(&["features", "three.scp", "-o", "x.ark"]);
    assert!(ran.stdout.contains("2 recordings"), "{}", ran.stdout);
    assert!(sandbox.read_text("x.ledger.jsonl").contains("full scale"));
    sandbox.refuses(&["transcribe", "none.safetensors", "huge.wav"], "none.safetensors");
}

/// The others are computed; the status tells.
#[test]
fn one_useless_file_among_good_ones_is_named() {
    let sandbox = recordings();
    let ran = sandbox.run(&["features", "a.wav", "none.wav", "b.wav", "-o", "x.ark"]);
    assert_eq!(ran.status, Some(2));
    assert!(
        ran.stderr.contains("none.wav") && ran.stdout.contains("2 recordings"),
        "{}",
        ran.stdout
    );
}

/// What was asked for and changes nothing is said, and nothing else is.
#[test]
fn options_without_effect_are_said() {
    let sandbox = recordings();
    let said = |arguments: &[&str]| {
        let ran = sandbox.run_well(&[&["features", "a.wav", "-o", "a.npy"], arguments].concat());
        ran.stderr.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let lines = said(&["--num-ceps=20", "--set", "blackman-coeff=0.3"]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("--num-ceps changes nothing"), "{lines:?}");
    assert!(lines[1].contains("--set blackman-coeff=0.3 changes nothing"), "{lines:?}");
    assert!(said(&["--preset", "kaldi-mfcc", "--num-ceps=20", "--dither=0"]).is_empty());
    assert_eq!(said(&["--raw-energy=false"]).len(), 1);
    assert!(said(&["--raw-energy=false", "--vad", "energy"]).is_empty());
    sandbox.write("warps", "a 0.9\n");
    assert_eq!(said(&["--vtln-low=150"]).len(), 1);
    assert!(said(&["--vtln-low=150", "--vtln-map", "warps"]).is_empty());
}

/// Where nothing is left that could hold the features, that is a fault.
#[cfg(target_os = "linux")]
#[test]
fn features_for_a_closed_output_are_refused() {
    let sandbox = recordings();
    let run = |arguments: &str| {
        let program = env!("CARGO_BIN_EXE_labyrinth");
        let line = format!("'{program}' features a.wav {arguments} >&-");
        let ran = Command::new("sh").args(["-c", &line]).current_dir(sandbox.path("")).output();
        let ran = ran.unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    let (status, said) = run("");
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("-o"), "{said}");
    assert_eq!(run("-o a.npy").0, Some(0));
}

/// Help of either length names what there is.
#[test]
fn short_help_is_short_and_long_help_has_every_flag_of_kaldis() {
    let help = |flag: &str| {
        let ran = Command::new(env!("CARGO_BIN_EXE_labyrinth")).args(["features", flag]).output();
        String::from_utf8(ran.unwrap().stdout).unwrap()
    };
    let (short, long) = (help("-h"), help("--help"));
    assert!(!short.contains("--cepstral-lifter") && long.contains("--cepstral-lifter"));
    assert!(short.lines().count() < 70, "{short}");
}

/// Played twice as fast, a tone of 1000 Hz lasts half as long and is one of 2000 Hz.
#[test]
fn a_recording_can_be_played_faster_as_in_training() {
    let sandbox = recordings();
    write_wav(&sandbox.path("twice.wav"), 16_000, &tone(0.35, 2000.0)).unwrap();
    let loudest = |arguments: &[&str]| {
        let all = [&["features", "-o", "x.npy", "--dither=0"], arguments].concat();
        sandbox.run_well(&all);
        let array = read_npy(&sandbox.path("x.npy")).unwrap();
        let (shape, values) = (array.shape().to_vec(), array.to_f32());
        std::fs::remove_file(sandbox.path("x.npy")).unwrap();
        let row = &values[10 * shape[1]..11 * shape[1]];
        let bin = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        (shape, bin)
    };
    let fast = loudest(&["b.wav", "--speed", "2"]);
    assert_eq!(fast, loudest(&["twice.wav"]));
    assert_ne!(fast, loudest(&["b.wav"]));
    for speed in ["0", "nan", "fast", "11"] {
        let ran = sandbox.run(&["features", "b.wav", "--speed", speed, "-o", "x.npy"]);
        assert_eq!(ran.status, Some(2), "{speed}");
        assert!(ran.stderr.contains("a factor from 0.1 to 10"), "{}", ran.stderr);
    }
}
