//! A sound corpus into which one fault at a time is planted: `check` must find each by its kind and name
//! the utterance, and nothing in the sound copy.

mod common;

use common::fault::{Fault, each_is_found, error, report_on, warning, with_recipe};
use common::spoken::{Corpus, said, voice};
use labyrinth_corpus::FindingKind;
use labyrinth_signal::{resample, write_wav};
use std::fs;

/// The utterance that most faults are planted in, and others that some need.
const VICTIM: &str = "train-05";
const TESTED: &str = "test-03";

/// Changes the samples of the victim's file.
fn samples(corpus: &mut Corpus, change: fn(Vec<f32>) -> Vec<f32>) {
    let samples = change(corpus.samples(VICTIM));
    corpus.record(VICTIM, 16000, &[samples]);
}

fn scaled(samples: Vec<f32>, factor: f32) -> Vec<f32> {
    samples.into_iter().map(|x| x * factor).collect()
}

fn text(corpus: &mut Corpus, text: &str) {
    corpus.utterance(VICTIM).text = text.to_owned();
}

/// Other words around what is planted, so that only it is at fault.
fn in_a_sentence(corpus: &mut Corpus, word: &str) {
    let sentence = corpus.utterance(VICTIM).text.clone();
    let (first, rest) = sentence.split_once(' ').unwrap();
    text(corpus, &format!("{first} {word} {rest}"));
}

fn audio_faults() -> Vec<Fault> {
    use FindingKind::*;
    vec![
        error("a file that is not there", MissingAudio, VICTIM, "is not there", |c| {
            fs::remove_file(c.file(VICTIM)).unwrap();
        }),
        error("a text file for a recording", UnreadableAudio, VICTIM, "text, not audio", |c| {
            fs::write(c.file(VICTIM), "this is what was said\n").unwrap();
        }),
        error("a format that is not read", UnreadableAudio, VICTIM, "AIFF", |c| {
            fs::write(c.file(VICTIM), b"FORM\0\0\x10\0AIFFCOMM").unwrap();
        }),
        error("a copy that broke off", UnreadableAudio, VICTIM, "cut short", |c| {
            let bytes = fs::read(c.file(VICTIM)).unwrap();
            fs::write(c.file(VICTIM), &bytes[..bytes.len() / 2]).unwrap();
        }),
        error("a header that announces too much", UnreadableAudio, VICTIM, "announces", |c| {
            let mut bytes = fs::read(c.file(VICTIM)).unwrap();
            bytes[40..44].copy_from_slice(&100_000_000u32.to_le_bytes());
            fs::write(c.file(VICTIM), bytes).unwrap();
        }),
        error("a sample that is no number", UnreadableAudio, VICTIM, "not a number", |c| {
            let mut samples = c.samples(VICTIM);
            samples[1000] = f32::NAN;
            c.record_float(VICTIM, &samples);
        }),
        error("a file of 0 bytes", EmptyAudio, VICTIM, "empty", |c| {
            fs::write(c.file(VICTIM), "").unwrap();
        }),
        error("a header without samples", EmptyAudio, VICTIM, "no samples", |c| {
            write_wav(&c.file(VICTIM), 16000, &[]).unwrap();
        }),
        error("digital zero", SilentAudio, VICTIM, "every sample is the same", |c| {
            samples(c, |samples| vec![0.0; samples.len()]);
        }),
        error("a microphone that was off", SilentAudio, VICTIM, "dB of full scale", |c| {
            samples(c, |samples| scaled(samples, 5e-4));
        }),
        warning("a whisper of a level", QuietAudio, VICTIM, "dB of full scale", |c| {
            samples(c, |samples| scaled(samples, 0.015));
        }),
        warning("too much gain", ClippedAudio, VICTIM, "cut at full scale", |c| {
            samples(c, |samples| samples.iter().map(|x| (x * 8.0).clamp(-1.0, 1.0)).collect());
        }),
        warning("samples around 0.2", DcOffset, VICTIM, "around 0.200", |c| {
            samples(c, |samples| samples.iter().map(|x| 0.5 * x + 0.2).collect());
        }),
        warning("a dead channel", DeadChannel, VICTIM, "another", |c| {
            let sound = c.samples(VICTIM);
            let dead = vec![0.0; sound.len()];
            c.record(VICTIM, 16000, &[sound, dead]);
        }),
        error("a channel with its sign turned", CancellingChannels, VICTIM, "mean of all", |c| {
            let sound = c.samples(VICTIM);
            let turned = scaled(sound.clone(), -1.0);
            c.record(VICTIM, 16000, &[sound, turned]);
        }),
        warning("another speaker in each channel", DifferingChannels, VICTIM, "correlate", |c| {
            let (sound, mut other) =
                (c.samples(VICTIM), voice(999, "somebody else is talking too"));
            other.resize(sound.len(), 0.0);
            c.record(VICTIM, 16000, &[sound, other]);
        }),
        warning("raised from 8 kHz", NarrowBand, VICTIM, "nothing above", |c| {
            samples(c, |samples| {
                let mut raised = resample(&resample(&samples, 16000, 8000), 8000, 16000);
                raised.resize(samples.len(), 0.0);
                raised
            });
        }),
        warning("one recording at 8 kHz", SampleRateMix, "train", "first train-05", |c| {
            let lowered = resample(&c.samples(VICTIM), 16000, 8000);
            c.record(VICTIM, 8000, &[lowered]);
        }),
        error("an offset past the end", OffsetPastEnd, VICTIM, "offset 60 s", |c| {
            c.utterance(VICTIM).offset = Some(60.0);
        }),
        error("a section past the end", OffsetPastEnd, VICTIM, "ends", |c| {
            c.utterance(VICTIM).offset = Some(0.5);
        }),
        error("a section of no length", EmptyAudio, VICTIM, "duration of 0 s", |c| {
            c.utterance(VICTIM).offset = Some(0.5);
            c.utterance(VICTIM).duration = 0.0;
        }),
        error(
            "a duration of another file",
            WrongDuration,
            VICTIM,
            "the manifest says 9.5 s",
            |c| {
                c.utterance(VICTIM).duration = 9.5;
            },
        ),
        warning("a minute of waiting before the word", MostlySilence, VICTIM, "before", |c| {
            samples(c, |samples| [vec![0.0; 20 * 16000], samples].concat());
            c.utterance(VICTIM).duration += 20.0;
        }),
        warning("a gap of lost samples", Dropout, VICTIM, "stands still", |c| {
            samples(c, |mut samples| {
                let middle = samples.len() / 2;
                samples[middle..middle + 5000].fill(0.0);
                samples
            });
        }),
        warning("a hum and nothing else", SteadySound, VICTIM, "dB apart", |c| {
            samples(c, |samples| {
                let hum =
                    |i: usize| 0.1 * (i as f32 * 0.0196).sin() + 0.05 * (i as f32 * 0.0785).sin();
                (0..samples.len()).map(hum).collect()
            });
        }),
        warning("a click for a word", VeryShortAudio, VICTIM, "0.060 s", |c| {
            samples(c, |samples| samples[2000..2960].to_vec());
            c.utterance(VICTIM).duration = 0.06;
        }),
        warning("a recording that nobody cut", VeryLongAudio, VICTIM, "it lasts", |c| {
            samples(c, |samples| samples.iter().copied().cycle().take(45 * 16000).collect());
            c.utterance(VICTIM).duration = 45.0;
        }),
        error(
            "a test recording in training",
            DuplicateAudio,
            TESTED,
            "as train-05 in train",
            |c| {
                let (sound, seconds) = (c.samples(VICTIM), c.utterance(VICTIM).duration);
                // In another format: the samples are the same.
                c.record_float(TESTED, &sound);
                c.utterance(TESTED).duration = seconds;
            },
        ),
        error(
            "one recording, two transcripts",
            DuplicateAudio,
            "train-07",
            "transcripts differ",
            |c| {
                c.utterance("train-07").audio_filepath = c.utterance(VICTIM).audio_filepath.clone();
                c.utterance("train-07").duration = c.utterance(VICTIM).duration;
            },
        ),
    ]
}

fn transcript_faults() -> Vec<Fault> {
    use FindingKind::*;
    vec![
        error("no text", EmptyTranscript, VICTIM, "is empty", |c| text(c, " \t ")),
        with_recipe(error(
            "nothing but punctuation",
            EmptyTranscript,
            VICTIM,
            "nothing is left",
            |c| {
                text(c, "?!");
            },
        )),
        error("a control character", ControlCharacter, VICTIM, "U+0007", |c| {
            in_a_sentence(c, "be\u{7}ll");
        }),
        error("a letter that was lost", ControlCharacter, VICTIM, "U+FFFD", |c| {
            in_a_sentence(c, "caf\u{fffd}");
        }),
        error("UTF-8 read as Latin-1", Mojibake, VICTIM, "Ã©", |c| in_a_sentence(c, "cafÃ©")),
        error("a Cyrillic look-alike", MixedScripts, VICTIM, "U+0441", |c| {
            in_a_sentence(c, "\u{441}at");
        }),
        warning("an accent by itself", NotComposed, VICTIM, "form C", |c| {
            in_a_sentence(c, "cafe\u{301}");
        }),
        warning("a soft hyphen", InvisibleCharacter, VICTIM, "U+00AD", |c| {
            in_a_sentence(c, "soft\u{ad}ly");
        }),
        warning("a noise tag", Markup, VICTIM, "<noise>", |c| in_a_sentence(c, "<noise>")),
        warning("an entity of HTML", Markup, VICTIM, "&amp;", |c| in_a_sentence(c, "&amp;")),
        warning("a number in digits", Digits, VICTIM, "`1984`", |c| in_a_sentence(c, "1984")),
        warning("a sentence in another alphabet", OtherScript, VICTIM, "Cyrillic", |c| {
            text(c, "каждое утро мы идём в город");
        }),
        warning("a transcript in capitals", OtherCase, VICTIM, "lower case", |c| {
            let upper = c.utterance(VICTIM).text.to_uppercase();
            text(c, &upper);
        }),
        warning("the transcript of an hour", FastTranscript, VICTIM, "characters a second", |c| {
            let long: Vec<String> = (500..512).map(said).collect();
            text(c, &long.join(" "));
        }),
        warning("one word for a sentence", SlowTranscript, VICTIM, "characters a second", |c| {
            text(c, "so");
            samples(c, |samples| samples.iter().copied().cycle().take(10 * 16000).collect());
            c.utterance(VICTIM).duration = 10.0;
        }),
        warning("a word again and again", RepeatedWords, VICTIM, "\"thank you\" 4 times", |c| {
            let times = "thank you thank you thank you thank you";
            let sentence = c.utterance(VICTIM).text.clone();
            c.record(VICTIM, 16000, &[voice(5, &format!("{sentence} {times}"))]);
            text(c, &format!("{sentence} {times}"));
            c.utterance(VICTIM).duration = c.seconds(VICTIM);
        }),
        warning("the same words four times as long", UnusualDuration, VICTIM, "as a rule", |c| {
            let sentence = c.utterance(VICTIM).text.clone();
            for (key, id) in [(81, "train-06"), (82, "train-07"), (83, "train-08")] {
                c.record(id, 16000, &[voice(key, &sentence)]);
                c.utterance(id).text.clone_from(&sentence);
                c.utterance(id).duration = c.seconds(id);
            }
            c.record(VICTIM, 16000, &[voice(5, &vec![sentence; 4].join(" "))]);
            c.utterance(VICTIM).duration = c.seconds(VICTIM);
        }),
        with_recipe(error(
            "a letter outside of the alphabet",
            OutsideAlphabet,
            VICTIM,
            "U+00EF",
            |c| {
                in_a_sentence(c, "naïve");
            },
        )),
        with_recipe(error("more labels than frames", TooShortForCtc, VICTIM, "need", |c| {
            let long: Vec<String> = (500..512).map(said).collect();
            text(c, &long.join(" "));
        })),
    ]
}

fn manifest_faults() -> Vec<Fault> {
    use FindingKind::*;
    vec![
        error("a line cut in the middle", BrokenLine, "train", "train.jsonl, line 31", |c| {
            c.append("train", b"{\"id\":\"x\",\"audio_filepath\":\"x.wav\",\"dura\n");
        }),
        error("a line that is not UTF-8", BrokenLine, "dev", "UTF-8", |c| {
            c.append("dev", b"{\"id\":\"x\",\"audio_filepath\":\"x.wav\",\"duration\":1,\"text\":\"caf\xe9\"}\n");
        }),
        error("a line without a transcript", BrokenLine, "test", "`text` is missing", |c| {
            c.append("test", b"{\"id\":\"x\",\"audio_filepath\":\"x.wav\",\"duration\":1}\n");
        }),
        error("an id twice in a manifest", DuplicateId, VICTIM, "stands in line 6 already", |c| {
            let copy = c.utterance(VICTIM).clone();
            c.sets[0].utterances.push(copy);
        }),
        error("an id in two sets", DuplicateId, VICTIM, "in train as well", |c| {
            c.utterance(TESTED).id = VICTIM.to_owned();
        }),
        warning("an absolute path", AbsolutePath, VICTIM, "its audio is /", |c| {
            let path = c.file(VICTIM);
            c.utterance(VICTIM).audio_filepath = path.to_str().unwrap().to_owned();
        }),
        warning("a path out of the folder", PathOutside, VICTIM, "../elsewhere.wav", |c| {
            let path = c.file(VICTIM);
            fs::rename(path, c.folder.join("../elsewhere.wav")).unwrap();
            c.utterance(VICTIM).audio_filepath = "../elsewhere.wav".to_owned();
        }),
        warning("a speaker without a name", MissingSpeaker, "train", "first train-05", |c| {
            c.utterance(VICTIM).speaker = None;
        }),
        warning("a speaker under two names", SimilarSpeakers, "train", "\"train-A\"", |c| {
            c.utterance(VICTIM).speaker = Some("Train A".to_owned());
        }),
        error("a test speaker who was trained on", SpeakerOverlap, "test", "(8.3 %)", |c| {
            c.utterance(TESTED).speaker = c.utterance(VICTIM).speaker.clone();
        }),
        warning(
            "a development speaker who was trained on",
            SpeakerOverlap,
            "dev",
            "(8.3 %)",
            |c| {
                c.utterance("dev-02").speaker = c.utterance(VICTIM).speaker.clone();
            },
        ),
        warning("a test sentence that was trained on", SentenceOverlap, "test", "(8.3 %)", |c| {
            let sentence = c.utterance(VICTIM).text.to_uppercase();
            c.record(TESTED, 16000, &[voice(77, &sentence.to_lowercase())]);
            c.utterance(TESTED).text = sentence;
            c.utterance(TESTED).duration = c.seconds(TESTED);
        }),
        error("one recording cut into two sets", RecordingOverlap, "test", "1 recording", |c| {
            let half = c.utterance(VICTIM).duration / 2.0;
            for (id, place) in [(VICTIM, 0.0), (TESTED, half)] {
                c.utterance(id).audio_filepath = c.utterance(VICTIM).audio_filepath.clone();
                c.utterance(id).offset = Some(place);
                c.utterance(id).duration = half;
            }
        }),
        warning(
            "two sections that overlap",
            OverlappingSections,
            "train-07",
            "shares 0.50 s",
            |c| {
                for (id, place) in [(VICTIM, 0.0), ("train-07", 0.5)] {
                    c.utterance(id).audio_filepath = c.utterance(VICTIM).audio_filepath.clone();
                    c.utterance(id).offset = Some(place);
                    c.utterance(id).duration = 1.0;
                }
            },
        ),
        error("no label track", MissingLabels, VICTIM, "there is no label track", |c| {
            c.utterance(VICTIM).labels = Some("gone.txt".to_owned());
        }),
        error(
            "a label that ends before it starts",
            UnusableLabels,
            VICTIM,
            "before it starts",
            |c| {
                c.label(VICTIM, "labels.txt", "0.1\t0.3\ta\n0.9\t0.5\tb\n");
            },
        ),
        error("phones that overlap", UnusableLabels, VICTIM, "overlap", |c| {
            c.label(VICTIM, "labels.phn", "0 4000 h#\n3000 8000 ih\n");
        }),
        error("a label past the end", UnusableLabels, VICTIM, "the recording at", |c| {
            c.label(VICTIM, "labels.txt", "0.1\t99.0\ta\n");
        }),
        warning("words that overlap", OverlappingLabels, VICTIM, "lasts until 0.600 s", |c| {
            c.label(VICTIM, "labels.txt", "0.1\t0.6\tone\n0.4\t0.9\ttwo\n");
        }),
        error("no development set", MissingSet, "dev", "there is no", |c| {
            c.write();
            fs::remove_file(c.folder.join("dev.jsonl")).unwrap();
        }),
        error("a training set of nothing", EmptySet, "train", "no utterances", |c| {
            c.sets[0].utterances.clear();
        }),
        warning("a test set of five", SmallSet, "test", "5 utterances", |c| {
            c.sets[2].utterances.truncate(5);
        }),
        warning("a ledger that counts more", LedgerDiffers, "ledger", "55 were kept", |c| {
            let ledger = "{\"read\":55,\"kept\":55,\"refused\":0,\"reasons\":{}}\n";
            fs::write(c.folder.join("ledger.jsonl"), ledger).unwrap();
        }),
        warning(
            "what the preparation left out",
            RefusedInPreparation,
            "ledger",
            "1 left out",
            |c| {
                let ledger = "{\"id\":\"x\",\"reason\":\"unreadable-audio\",\"detail\":\"\"}\n\
                {\"read\":55,\"kept\":54,\"refused\":1,\"reasons\":{\"unreadable-audio\":1}}\n";
                fs::write(c.folder.join("ledger.jsonl"), ledger).unwrap();
            },
        ),
        warning(
            "a recording that no manifest names",
            UnlistedAudio,
            "folder",
            "forgotten.wav",
            |c| {
                fs::copy(c.file(VICTIM), c.folder.join("forgotten.wav")).unwrap();
            },
        ),
    ]
}

#[test]
fn the_sound_corpus_has_no_findings() {
    let mut corpus = Corpus::sound();
    corpus.write();
    for with_recipe in [false, true] {
        let report = report_on(&corpus.folder, with_recipe);
        assert_eq!(report.findings, vec![], "{report}");
        assert_eq!(report.sets.iter().map(|set| set.utterances).sum::<usize>(), 54);
    }
}

#[test]
fn faults_of_the_audio_are_found() {
    let faults = audio_faults();
    assert!(faults.len() >= 12);
    each_is_found(&faults);
}

#[test]
fn faults_of_the_transcripts_are_found() {
    let faults = transcript_faults();
    assert!(faults.len() >= 8);
    each_is_found(&faults);
}

#[test]
fn faults_of_the_manifests_and_splits_are_found() {
    let faults = manifest_faults();
    assert!(faults.len() >= 8);
    each_is_found(&faults);
}

/// Only a folder can hold a name that is not UTF-8; a manifest cannot.
#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_utf8_is_found() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &[u8]| {
        let path = folder.path().join(OsStr::from_bytes(name));
        write_wav(&path, 16000, &voice(u64::from(name[0]), "a few words to say")).unwrap();
        fs::write(path.with_extension("txt"), "a few words to say").unwrap();
    };
    write(b"good.wav");
    assert_eq!(report_on(folder.path(), false).findings, vec![]);
    write(b"caf\xe9.wav");
    let report = report_on(folder.path(), false);
    let found = report.findings.iter().find(|f| f.kind == FindingKind::UnusableName).unwrap();
    assert!(found.id.as_deref().is_some_and(|id| id.starts_with("caf")), "{report}");
    assert_eq!(report.errors(), 1, "{report}");
}

/// The kinds that are planted nowhere above, and where each has its test.
#[test]
fn every_kind_is_planted_or_tested_elsewhere() {
    let all = [audio_faults(), transcript_faults(), manifest_faults()];
    let planted: Vec<FindingKind> = all.iter().flatten().map(|fault| fault.kind).collect();
    let elsewhere = [
        FindingKind::UnusableName,
        // Of a folder of recordings: tests/check.rs.
        FindingKind::MissingTranscript,
        FindingKind::UnreadableTranscript,
        // Of recipes: tests/check.rs.
        FindingKind::ShorterThanAFrame,
        FindingKind::SampleRate,
        FindingKind::ForeignStatistics,
        // Of features in shards: tests/feature_shards.rs.
        FindingKind::ForeignFeatures,
        FindingKind::NoSound,
        // Needs ten thousand characters: src/check/norms.rs.
        FindingKind::RareCharacter,
    ];
    for kind in FindingKind::ALL {
        assert!(planted.contains(kind) != elsewhere.contains(kind), "{}", kind.code());
    }
}
