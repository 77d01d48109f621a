//! `--stream`: a model that can run live says the same in pieces of any size as of the whole recording, from a
//! pipe as from a file; one that cannot is refused, or hears overlapping chunks.

mod common;

use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::OnceLock;

use common::{MODEL, Ran, Sandbox, corpus, recipe, trained};
use labyrinth::signal::read_audio;

/// The corpus, and a model of it that runs live; it makes mistakes, and says many words.
fn trained_to_run_live(sandbox: &Sandbox) {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    corpus(sandbox);
    let bytes = BYTES.get_or_init(|| {
        train_to_run_live(sandbox);
        sandbox.read(MODEL)
    });
    sandbox.write(MODEL, bytes);
}

fn train_to_run_live(sandbox: &Sandbox) {
    let recipe = recipe()
        .replace(
            "num-mel-bins = 24",
            "num-mel-bins = 24\nnormalize = \"none\"\ncmn = { kind = \"sliding\", cmn-window = 100, \
             min-cmn-window = 20, norm-vars = true }",
        )
        .replace(
            "recurrent-layers = 1",
            "recurrent-layers = 2\nbidirectional = false\nlookahead = 3\nrecurrent-norm = true\n\
             residual = true",
        )
        .replace("recurrent-hidden = 32", "recurrent-hidden = 48")
        .replace("dropout = 0.1", "dropout = 0.0")
        .replace("-masks = 1", "-masks = 0");
    sandbox.write("data/tones.toml", recipe);
    sandbox.run_well(&[
        "train",
        "data/tones.toml",
        "--set",
        "train.epochs=80",
        "--set",
        "train.learning-rate=1e-2",
    ]);
}

/// The program with these bytes on its standard input, in pieces.
fn piped(sandbox: &Sandbox, arguments: &[&str], bytes: &[u8], piece: usize) -> Ran {
    let mut child = sandbox.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for piece in bytes.chunks(piece) {
        // A program that refused the first bytes has closed the pipe.
        if stdin.write_all(piece).and_then(|()| stdin.flush()).is_err() {
            break;
        }
    }
    drop(stdin);
    Ran::of(child.wait_with_output().unwrap())
}

/// 16-bit samples of a WAV file, without its header.
fn samples_of(sandbox: &Sandbox, file: &str) -> Vec<u8> {
    let samples = read_audio(&sandbox.path(file), None).unwrap().mono();
    samples.iter().flat_map(|sample| ((sample * 32768.0) as i16).to_le_bytes()).collect()
}

#[test]
fn a_causal_model_says_the_same_live() {
    let sandbox = Sandbox::new();
    trained_to_run_live(&sandbox);
    let (mut words, mut texts) = (0, Vec::new());
    for number in 200..206 {
        let file = format!("data/tone-{number}.wav");
        let offline = sandbox.run_well(&["transcribe", MODEL, &file]).stdout;
        words += offline.split_whitespace().count();
        for piece in ["20", "3.7", "100000"] {
            let arguments = ["transcribe", MODEL, &file, "--stream", "--piece-ms", piece];
            assert_eq!(sandbox.run_well(&arguments).stdout, offline, "{file} by {piece} ms");
        }
        let (raw, wav) = (samples_of(&sandbox, &file), sandbox.read(&file));
        for (bytes, piece) in [(&raw, 320), (&raw, 777), (&wav, 320), (&wav, 1 << 20)] {
            let ran = piped(&sandbox, &["transcribe", MODEL, "--stream"], bytes, piece);
            assert_eq!((ran.status, &ran.stdout), (Some(0), &offline), "{file}: {}", ran.stderr);
        }
        texts.push(offline);
    }
    assert!(words > 10, "too few words to tell anything: {texts:?}");
    // The times of the words, too.
    let file = "data/tone-200.wav";
    let offline = sandbox.run_well(&["transcribe", MODEL, file, "--format", "json"]).stdout;
    let offline: serde_json::Value = serde_json::from_str(&offline).unwrap();
    let arguments = ["transcribe", MODEL, "--stream", "--format", "json"];
    let live = piped(&sandbox, &arguments, &sandbox.read(file), 333).stdout;
    let live: Vec<serde_json::Value> =
        live.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(live.len(), offline["words"].as_array().unwrap().len());
    for (live, offline) in live.iter().zip(offline["words"].as_array().unwrap()) {
        for key in ["word", "start", "end"] {
            assert_eq!(live[key], offline[key]);
        }
    }
    // Several files, and what evaluate says of them all.
    let files = ["data/tone-200.wav", "data/tone-201.wav"];
    let arguments = ["transcribe", MODEL, "--stream", files[0], files[1]];
    let expected: String =
        files.iter().zip(&texts).map(|(file, text)| format!("{file}: {text}")).collect();
    assert_eq!(sandbox.run_well(&arguments).stdout, expected);
    let arguments = ["evaluate", MODEL, "data/test.jsonl", "--stream", "--json"];
    let streamed = sandbox.run_well(&arguments).stdout;
    let streamed: serde_json::Value = serde_json::from_str(&streamed).unwrap();
    assert_eq!(streamed["different"].as_array().unwrap().len(), 0);
    let offline = sandbox.run_well(&["evaluate", MODEL, "data/test.jsonl", "--json"]).stdout;
    let offline: serde_json::Value = serde_json::from_str(&offline).unwrap();
    assert_eq!(streamed["score"], offline["score"]);
    // A stride of 2, 3 frames of lookahead and one of the convolution, 10 ms each, and a frame of 25 ms.
    assert!((streamed["latency"].as_f64().unwrap() - 0.095).abs() < 1e-9);
    let ran = sandbox.run_well(&["evaluate", MODEL, "data/test.jsonl", "--stream"]);
    assert!(ran.stdout.contains("same 6 of 6 utterances in pieces of 20 ms"), "{}", ran.stdout);
}

/// A word is printed before the recording ends.
#[test]
fn words_come_while_somebody_speaks() {
    let sandbox = Sandbox::new();
    trained_to_run_live(&sandbox);
    let said = |number| {
        let file = format!("data/tone-{number}.wav");
        let offline = sandbox.run_well(&["transcribe", MODEL, &file]).stdout;
        let first = offline.find(' ')?;
        Some((samples_of(&sandbox, &file), offline, first))
    };
    let (raw, offline, first) = (200..206).find_map(said).expect("a text of two words");
    let mut command = sandbox.command(&["transcribe", MODEL, "--stream"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    stdin.write_all(&raw).unwrap();
    stdin.flush().unwrap();
    // The pipe stays open, so that only what is printed at once can be read.
    let mut heard = vec![0; first];
    stdout.read_exact(&mut heard).unwrap();
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(String::from_utf8(heard).unwrap() + &rest, offline);
    // Whoever has heard enough may go.
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(&raw);
    drop(stdin);
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
}

/// A WAV of 32-bit floats at 8000 Hz.
fn wav_of_floats(samples: &[f32]) -> Vec<u8> {
    let bytes = 4 * samples.len() as u32;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x03\0\x01\0");
    wav.extend(8000u32.to_le_bytes());
    wav.extend(32000u32.to_le_bytes());
    wav.extend(b"\x04\0\x20\0data");
    wav.extend(bytes.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}

#[test]
fn what_comes_through_a_pipe_may_be_anything() {
    let sandbox = Sandbox::new();
    trained_to_run_live(&sandbox);
    let raw = samples_of(&sandbox, "data/tone-200.wav");
    let stream = ["transcribe", MODEL, "--stream"];
    let whole = piped(&sandbox, &stream, &raw, 640).stdout;
    // Half a sample at the end: what came before is said first.
    let torn = piped(&sandbox, &stream, &raw[..raw.len() - 1], 640);
    torn.is_one_sentence("ended within a sample");
    assert_eq!(torn.stdout.lines().count(), 1, "{}", torn.stdout);
    piped(&sandbox, &stream, b"", 1).is_one_sentence("brought nothing");
    for (bytes, named) in [
        (&b"fLaC...."[..], "FLAC"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0", "M4A"),
        (b".snd\0\0\0\x18", ".au"),
        (b"#!AMR\n\x04", "AMR"),
        (b"somebody sent the transcript\n", "text and no sound"),
    ] {
        let ran = piped(&sandbox, &stream, bytes, 3);
        assert!(ran.is_one_sentence(named).contains("ffmpeg -i FILE -f s16le -ar 8000 -ac 1 -"));
        assert_eq!(ran.stdout, "");
        // Whoever says what it is knows better.
        let named = [&stream[..], &["--encoding", "ulaw"]].concat();
        assert_eq!(piped(&sandbox, &named, bytes, 3).status, Some(0));
    }
    // Another encoding at the model's own rate.
    let swapped: Vec<u8> = raw.chunks(2).flat_map(|sample| [sample[1], sample[0]]).collect();
    let named = [&stream[..], &["--encoding", "pcm_s16be"]].concat();
    let ran = piped(&sandbox, &named, &swapped, 640);
    assert_eq!((ran.status, &ran.stdout), (Some(0), &whole), "{}", ran.stderr);
    // What is no sound offline is none live, and says so in the same words.
    for bad in [f32::NAN, f32::INFINITY, 1e30] {
        let samples = [0.1f32, 0.2, bad, 0.3].repeat(500);
        let bytes = wav_of_floats(&samples);
        sandbox.write("bad.wav", &bytes);
        let offline = sandbox.run(&["transcribe", MODEL, "bad.wav"]);
        let live = piped(&sandbox, &stream, &bytes, 640).is_one_sentence("holds a sample");
        let what = |said: &str| said[said.find("holds").unwrap()..].trim_end().to_owned();
        assert_eq!((offline.status, what(&offline.stderr)), (Some(2), what(&live)));
    }
    let empty = wav_of_floats(&[]);
    piped(&sandbox, &stream, &empty, 640).is_one_sentence("no samples");
    piped(&sandbox, &stream, &raw[..1], 640).is_one_sentence("ended within a sample");
    let none_came = piped(&sandbox, &stream, &wav_of_floats(&[0.5; 9])[..44], 640);
    none_came.is_one_sentence("was cut short");
    assert_eq!(none_came.stdout, "");
    let wav = sandbox.read("data/tone-200.wav");
    piped(&sandbox, &stream, &wav[..30], 30).is_one_sentence("ends before its samples");
    piped(&sandbox, &stream, &wav[..wav.len() - 100], 640).is_one_sentence("was cut short");
    // Other samples by option: both channels of bytes in the other order are the same sound.
    let stereo: Vec<u8> =
        raw.chunks(2).flat_map(|sample| [sample[1], sample[0], sample[1], sample[0]]).collect();
    let more = ["--encoding", "pcm_s16be", "--sample-rate", "8000", "--channels", "2"];
    let ran = piped(&sandbox, &[&stream[..], &more].concat(), &stereo, 999);
    assert_eq!((ran.status, &ran.stdout), (Some(0), &whole), "{}", ran.stderr);
    // A rate that is resampled, in any pieces.
    let twice: Vec<u8> = raw.chunks(2).flat_map(|sample| [sample, sample].concat()).collect();
    let more = ["--encoding", "pcm_s16le", "--sample-rate", "16000"];
    let other = piped(&sandbox, &[&stream[..], &more].concat(), &twice, 7);
    sandbox.write("twice.raw", &twice);
    let expected = sandbox.run_well(&[&["transcribe", MODEL, "twice.raw"][..], &more].concat());
    assert_eq!((other.status, other.stdout), (Some(0), expected.stdout));
    // Too little for one frame is no fault.
    let ran = piped(&sandbox, &stream, &raw[..100], 100);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "\n"));
    sandbox.refuses(&["transcribe", MODEL, "--stream", "gone.wav"], "gone.wav");
    for arguments in [
        &["transcribe", MODEL][..],
        &["transcribe", MODEL, "a.wav", "--chunk-seconds", "2"],
        &["transcribe", MODEL, "--stream", "--overlap-seconds", "2"],
        &["transcribe", MODEL, "--stream", "--piece-ms", "0"],
        &["transcribe", MODEL, "--stream", "--chunk-seconds", "nan"],
    ] {
        assert_eq!(sandbox.run(arguments).status, Some(2), "{arguments:?}");
    }
}

#[test]
fn a_model_that_needs_the_whole_is_refused_or_hears_chunks() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    let file = "data/tone-200.wav";
    let said = sandbox.refuses(&["transcribe", MODEL, "--stream", file], "sliding");
    assert!(said.contains("--chunk-seconds"), "{said}");
    sandbox.refuses(&["evaluate", MODEL, "data/test.jsonl", "--stream"], "--chunk-seconds");
    // Its features could stream, its layers not.
    let recipe = recipe().replace("num-mel-bins = 24", "num-mel-bins = 24\nnormalize = \"none\"");
    sandbox.write("data/other.toml", recipe);
    sandbox.run_well(&["train", "data/other.toml", "--set", "train.epochs=1"]);
    let other = "runs/other/model.safetensors";
    let said = sandbox.refuses(&["transcribe", other, "--stream", file], "layer gru.0");
    assert!(said.contains("bidirectional = false") && said.contains("--chunk-seconds"), "{said}");
    // One chunk that holds the whole recording is the whole recording.
    let offline = sandbox.run_well(&["transcribe", MODEL, file]).stdout;
    let stream = ["transcribe", MODEL, "--stream", file, "--chunk-seconds"];
    assert_eq!(sandbox.run_well(&[&stream[..], &["60"]].concat()).stdout, offline);
    // Many chunks are heard in as many frames: nothing is left out or said twice.
    let arguments = ["evaluate", MODEL, "data/test.jsonl", "--stream", "--json"];
    let chunks = ["--chunk-seconds", "0.2", "--overlap-seconds", "0.3"];
    let ran = sandbox.run_well(&[&arguments[..], &chunks].concat());
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(value["kept"], 6);
    sandbox.refuses(&[&stream[..], &["0.001"]].concat(), "chunks of 0.001 s");
    sandbox.refuses(&[&stream[..], &["1e30"]].concat(), "chunks of 1e30 s");
    sandbox.refuses(&[&stream[..], &["2", "--overlap-seconds", "9999"]].concat(), "9999");
}
