//! `check` on a sound corpus and on one with planted faults, each of which must be found.

mod common;

use common::{noise, sound_corpus, training, utterance};
use labyrinth_corpus::{
    CheckContext, CheckReport, CorpusRecord, FindingKind, Manifest, Severity, Utterance, check,
};
use labyrinth_signal::{CmvnStats, FeatureExtractor, write_wav};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

fn silent(_: usize, _: usize) {}

/// Three sets without a fault: other speakers, sentences and sounds in each.
fn clean(folder: &Path) -> Vec<Manifest> {
    let all = sound_corpus(folder, 45).utterances;
    ["train", "dev", "test"]
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let mut utterances = all[15 * number..15 * (number + 1)].to_vec();
            for (index, utterance) in utterances.iter_mut().enumerate() {
                let samples = (16000.0 * utterance.duration) as usize;
                let path = folder.join(&utterance.audio_filepath);
                write_wav(&path, 16000, &noise(100 + 15 * number as u64 + index as u64, samples))
                    .unwrap();
                utterance.duration = samples as f64 / 16000.0;
                utterance.speaker = Some(format!("{name}-{}", index % 3));
                let letters = &name[..1];
                utterance.text =
                    format!("{}{letters}{}", &utterance.text[..2], (b'a' + index as u8) as char);
            }
            Manifest { path: folder.join(format!("{name}.jsonl")), utterances }
        })
        .collect()
}

fn report_on(folder: &Path, sets: &[Manifest], context: Option<&CheckContext>) -> CheckReport {
    for set in sets {
        set.write().unwrap();
    }
    check(folder, context, &silent).unwrap()
}

fn found<'a>(report: &'a CheckReport, kind: FindingKind, id: &str) -> Option<&'a str> {
    let mut matching =
        report.findings.iter().filter(|f| f.kind == kind && f.id.as_deref().unwrap_or("") == id);
    matching.next().map(|finding| finding.detail.as_str())
}

fn context(sets: &[Manifest]) -> CheckContext {
    let options = training(&sets[0]);
    CheckContext {
        alphabet: options.alphabet,
        lexicon: None,
        framewise: false,
        normalizer: options.normalizer,
        features: options.features,
        output_frames: options.output_frames,
    }
}

#[test]
fn a_sound_corpus_has_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    let sets = clean(folder.path());
    let context = context(&sets);
    let report = report_on(folder.path(), &sets, Some(&context));
    assert_eq!(report.findings, vec![], "{report}");
    assert!(report.to_string().ends_with("0 errors, 0 warnings in 45 utterances\n"), "{report}");
    let told = AtomicUsize::new(0);
    check(folder.path(), None, &|_, total| {
        assert_eq!(total, 45);
        told.fetch_add(1, Ordering::Relaxed);
    })
    .unwrap();
    assert_eq!(told.into_inner(), 45);
    // A single manifest can be checked as well.
    assert_eq!(check(&sets[1].path, None, &silent).unwrap().sets[0].utterances, 15);
}

#[test]
fn each_planted_fault_is_found_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut sets = clean(folder.path());
    let path = |name: &str| folder.path().join(name);
    write_wav(&path("silent.wav"), 16000, &[0.0; 8000]).unwrap();
    let loud: Vec<f32> = noise(1, 8000).iter().map(|x| (x * 20.0).clamp(-1.0, 1.0)).collect();
    write_wav(&path("clipped.wav"), 16000, &loud).unwrap();
    write_wav(&path("none.wav"), 16000, &[]).unwrap();
    fs::write(path("text.wav"), "hello").unwrap();
    let half_second = |u: &mut Utterance, name: &str| {
        u.audio_filepath = name.into();
        u.duration = 0.5;
    };
    let train = &mut sets[0].utterances;
    train[0].audio_filepath = "gone.wav".into();
    train[1].audio_filepath = "text.wav".into();
    train[2].audio_filepath = "none.wav".into();
    half_second(&mut train[3], "silent.wav");
    half_second(&mut train[4], "clipped.wav");
    train[5].offset = Some(9.0);
    train[6].duration += 0.2;
    train[7].text = " ".into();
    train[8].text = "?!".into();
    train[9].text = "aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa".into();
    (train[11].audio_filepath, train[11].duration) =
        (train[10].audio_filepath.clone(), train[10].duration);
    let (speaker, text, sound, duration, id) = (
        train[12].speaker.clone(),
        train[12].text.to_uppercase(),
        train[12].audio_filepath.clone(),
        train[12].duration,
        train[13].id.clone(),
    );
    let test = &mut sets[2].utterances;
    test[0].speaker = speaker;
    test[1].text = text;
    (test[2].audio_filepath, test[2].duration) = (sound, duration);
    test[3].id = id;
    test[4].text = "naïve".into();
    sets[1].utterances.clear();
    let context = context(&sets);
    let report = report_on(folder.path(), &sets, Some(&context));
    for (kind, id) in [
        (FindingKind::MissingAudio, "u000"),
        (FindingKind::UnreadableAudio, "u001"),
        (FindingKind::EmptyAudio, "u002"),
        (FindingKind::SilentAudio, "u003"),
        (FindingKind::ClippedAudio, "u004"),
        (FindingKind::OffsetPastEnd, "u005"),
        (FindingKind::WrongDuration, "u006"),
        (FindingKind::EmptyTranscript, "u007"),
        (FindingKind::EmptyTranscript, "u008"),
        (FindingKind::TooShortForCtc, "u009"),
        (FindingKind::DuplicateAudio, "u011"),
        (FindingKind::DuplicateAudio, "u032"),
        (FindingKind::DuplicateId, "u013"),
        (FindingKind::OutsideAlphabet, "u034"),
        (FindingKind::SpeakerOverlap, ""),
        (FindingKind::SentenceOverlap, ""),
        (FindingKind::EmptySet, ""),
    ] {
        assert!(
            found(&report, kind, id).is_some(),
            "{} of {id} not found in\n{report}",
            kind.code()
        );
    }
    let codes = |severity: Severity| -> BTreeSet<&str> {
        let of_severity = report.findings.iter().filter(|finding| finding.severity == severity);
        of_severity.map(|finding| finding.kind.code()).collect()
    };
    assert_eq!(codes(Severity::Error).len(), 13, "{report}");
    assert_eq!(report.errors(), 15, "{report}");
    let warnings =
        ["clipped-audio", "fast-transcript", "other-case", "sentence-overlap", "unlisted-audio"];
    assert_eq!(codes(Severity::Warning), BTreeSet::from(warnings), "{report}");
    let overlap = found(&report, FindingKind::SpeakerOverlap, "").unwrap();
    assert!(overlap.contains("1 of the 15 utterances of test (6.7 %)"), "{overlap}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(json["findings"].as_array().unwrap().len(), report.findings.len());
    assert_eq!(json["findings"][0]["severity"], "error");
}

#[test]
fn what_a_published_split_contains_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let mut sets = clean(folder.path());
    let (speaker, sound, duration) = {
        let first = &sets[0].utterances[0];
        (first.speaker.clone(), first.audio_filepath.clone(), first.duration)
    };
    sets[2].utterances[0].speaker = speaker;
    (sets[2].utterances[1].audio_filepath, sets[2].utterances[1].duration) = (sound, duration);
    assert_eq!(report_on(folder.path(), &sets, None).errors(), 2);
    let record = CorpusRecord {
        corpus: "some".into(),
        title: "Some corpus".into(),
        home: String::new(),
        licence: String::new(),
        published_split: true,
        speakers_shared: false,
        split_rule: String::new(),
        hold_out: None,
    };
    fs::write(folder.path().join("corpus.json"), serde_json::to_vec(&record).unwrap()).unwrap();
    let report = report_on(folder.path(), &sets, None);
    // The third: nobody names the recording whose place was taken.
    assert_eq!((report.errors(), report.warnings()), (0, 3), "{report}");
    // Faults of the audio stay errors in any corpus.
    sets[0].utterances[3].audio_filepath = "gone.wav".into();
    assert_eq!(report_on(folder.path(), &sets, None).errors(), 1);
}

#[test]
fn a_folder_of_recordings_is_checked_as_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    for key in 0..5 {
        utterance(folder.path(), key, 16000, 8000, "");
        fs::write(folder.path().join(format!("u{key:03}.txt")), "some words").unwrap();
    }
    assert_eq!(check(folder.path(), None, &silent).unwrap().findings, vec![]);
    fs::remove_file(folder.path().join("u000.txt")).unwrap();
    fs::remove_file(folder.path().join("u001.wav")).unwrap();
    fs::write(folder.path().join("u002.wav"), "text").unwrap();
    fs::write(folder.path().join("u003.txt"), "").unwrap();
    fs::write(folder.path().join("u004.txt"), b"caf\xe9").unwrap();
    let report = check(folder.path(), None, &silent).unwrap();
    for (kind, id) in [
        (FindingKind::MissingTranscript, "u000"),
        (FindingKind::MissingAudio, "u001"),
        (FindingKind::UnreadableAudio, "u002"),
        (FindingKind::EmptyTranscript, "u003"),
        (FindingKind::UnreadableTranscript, "u004"),
    ] {
        assert!(found(&report, kind, id).is_some(), "{} not found in\n{report}", kind.code());
    }
    assert_eq!(report.errors(), 5);
}

#[test]
fn what_a_recipe_refuses_is_found_by_its_own_measure() {
    let folder = tempfile::tempdir().unwrap();
    let sets = clean(folder.path());
    let mut context = context(&sets);
    context.features.frame_length = 500.0;
    let report = report_on(folder.path(), &sets, Some(&context));
    let short = sets.iter().flat_map(|set| &set.utterances).filter(|u| u.duration < 0.5);
    let short: Vec<&Utterance> = short.collect();
    assert!(!short.is_empty());
    for utterance in &short {
        assert!(
            found(&report, FindingKind::ShorterThanAFrame, &utterance.id).is_some(),
            "{report}"
        );
    }
    context.features.frame_length = 25.0;
    for (rate, allowed, errors) in
        [(8000.0, false, 45), (8000.0, true, 0), (16000.0, false, 0), (32000.0, false, 45)]
    {
        context.features.sample_frequency = rate;
        context.features.allow_downsample = allowed;
        context.features.allow_upsample = allowed;
        let report = report_on(folder.path(), &sets, Some(&context));
        let refused = report.findings.iter().filter(|f| f.kind == FindingKind::SampleRate).count();
        assert_eq!((refused, report.errors()), (errors, errors), "{rate} {allowed}");
    }
}

#[test]
fn what_cannot_be_checked_at_all_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let error = check(&folder.path().join("none"), None, &silent).unwrap_err().to_string();
    assert!(error.contains("none does not exist"), "{error}");
    let error = check(folder.path(), None, &silent).unwrap_err().to_string();
    assert!(error.contains("labyrinth prepare"), "{error}");
    fs::write(folder.path().join("train.jsonl"), "{}\n").unwrap();
    let error = check(folder.path(), None, &silent).unwrap_err().to_string();
    assert!(error.contains("train.jsonl, line 1"), "{error}");
}

#[test]
fn an_empty_set_is_an_error_where_no_training_could_begin() {
    for (number, errors) in [(0, 1), (1, 1), (2, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let mut sets = clean(folder.path());
        sets[number].utterances.clear();
        let report = report_on(folder.path(), &sets, None);
        assert!(found(&report, FindingKind::EmptySet, "").is_some(), "{report}");
        let unlisted = found(&report, FindingKind::UnlistedAudio, "");
        assert!(unlisted.is_some_and(|detail| detail.starts_with("15 recordings")), "{report}");
        assert_eq!((report.errors(), report.warnings()), (errors, 2 - errors), "{report}");
    }
}

/// A device never ends: it must not be opened at all, whole or in part.
#[cfg(unix)]
#[test]
fn a_manifest_that_names_a_device_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut sets = clean(folder.path());
    sets[0].utterances[0].audio_filepath = "/dev/zero".into();
    sets[0].utterances[1].audio_filepath = "/dev/zero".into();
    sets[0].utterances[1].offset = Some(1.0);
    let report = report_on(folder.path(), &sets, None);
    for id in ["u000", "u001"] {
        let detail = found(&report, FindingKind::UnreadableAudio, id).unwrap();
        assert!(detail.contains("/dev/zero is no regular file"), "{detail}");
    }
    assert_eq!(report.errors(), 2, "{report}");
}

/// Statistics of the whole corpus have seen the test set.
#[test]
fn sums_over_more_than_the_training_set_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let sets = clean(folder.path());
    let mut context = context(&sets);
    let extractor = FeatureExtractor::new(&context.features).unwrap();
    let frames = |sets: &[Manifest]| -> f64 {
        let seconds = sets.iter().flat_map(|set| &set.utterances).map(|u| u.duration);
        seconds.map(|s| extractor.frame_count((16000.0 * s).round() as usize) as f64).sum()
    };
    for (sums_over, errors) in [(&sets[..1], 0), (&sets[..2], 1), (&sets[..], 1)] {
        let (sums, squares) = (vec![0.0; 6], vec![1.0; 6]);
        let stats = CmvnStats { count: frames(sums_over), sums, squares };
        let options = serde_json::json!({"kind": "global", "stats": stats});
        context.features.cmn = Some(serde_json::from_value(options).unwrap());
        let report = report_on(folder.path(), &sets, Some(&context));
        let found = found(&report, FindingKind::ForeignStatistics, "");
        assert_eq!((usize::from(found.is_some()), report.errors()), (errors, errors), "{report}");
    }
}
