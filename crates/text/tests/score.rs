//! Scoring of files: what every format means, what is refused, and what the report says.

use std::fs;
use std::path::PathBuf;

use labyrinth_text::{
    Case, NormalizerOptions, Role, ScoreOptions, ScoreReport, TranscriptFormat, read_transcripts,
    score_files,
};
use tempfile::TempDir;

/// A folder with the files `ref` and `hyp`.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new(reference: impl AsRef<[u8]>, hypothesis: impl AsRef<[u8]>) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ref"), reference).unwrap();
        fs::write(folder.path().join("hyp"), hypothesis).unwrap();
        Files { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn score_as(&self, format: TranscriptFormat) -> Result<ScoreReport, String> {
        let options = ScoreOptions { format, ..ScoreOptions::default() };
        score_files(&self.path("ref"), &self.path("hyp"), &options)
            // The folder's random name would be in the way of the assertions.
            .map_err(|error| {
                error.to_string().replace(&format!("{}/", self.folder.path().display()), "")
            })
    }

    fn score(&self) -> Result<ScoreReport, String> {
        self.score_as(TranscriptFormat::Auto)
    }
}

/// Errors, words and utterances of a report.
fn totals(report: &ScoreReport) -> (usize, usize, usize) {
    (report.words.errors(), report.words.reference, report.utterances.len())
}

fn ids(report: &ScoreReport) -> Vec<&str> {
    report.utterances.iter().map(|utterance| utterance.id.as_str()).collect()
}

#[test]
fn json_lines_by_id_in_any_order() {
    let files = Files::new(
        "{\"id\": \"b\", \"text\": \"open the door\", \"speaker\": \"ada\", \"duration\": 1.5}\n\n\
         {\"id\": \"a\", \"text\": \"close it\", \"speaker\": 7}\n",
        "{\"id\": \"a\", \"text\": \"close it\"}\n\
         {\"id\": \"b\", \"text\": \"open the door\", \"pred_text\": \"open a door\"}\n",
    );
    let report = files.score().unwrap();
    assert_eq!(totals(&report), (1, 5, 2));
    assert_eq!(ids(&report), ["b", "a"]);
    let speakers: Vec<_> = report.utterances.iter().map(|u| u.speaker.as_deref()).collect();
    assert_eq!(speakers, [Some("ada"), Some("7")]);
}

#[test]
fn nemo_manifests_are_known_by_their_audio() {
    let lines = "{\"audio_filepath\": \"x.wav\", \"offset\": 0.5, \"text\": \"one\", \"pred_text\": \"on\"}\n\
                 {\"audio_filepath\": \"x.wav\", \"offset\": 2, \"text\": \"two\", \"pred_text\": \"two\"}\n\
                 {\"audio_filepath\": \"y.wav\", \"text\": \"three\", \"pred_text\": \"three\"}\n";
    // The same file holds both sides.
    let report = Files::new(lines, lines).score().unwrap();
    assert_eq!(totals(&report), (1, 3, 3));
    assert_eq!(ids(&report), ["x.wav@0.5", "x.wav@2", "y.wav"]);
}

#[test]
fn kaldi_text_by_id() {
    let files = Files::new(
        "spk1-001 open the door\nspk1-002\nspk2-001\tclose  it \n",
        "\u{feff}spk2-001 close it\r\nspk1-001 open door\r\nspk1-002 hm\r\n",
    );
    let report = files.score().unwrap();
    assert_eq!(totals(&report), (2, 5, 3));
    assert_eq!(ids(&report), ["spk1-001", "spk1-002", "spk2-001"]);
}

#[test]
fn plain_lines_by_number() {
    let files = Files::new("open the door\n\nopen it\n", "open a door\n\nopen it");
    let report = files.score().unwrap();
    assert_eq!(totals(&report), (1, 5, 3));
    assert_eq!(ids(&report), ["1", "2", "3"]);
}

#[test]
fn auto_guesses_only_what_is_certain() {
    use TranscriptFormat::{Kaldi, Plain};
    // Numbers said and written as digits are no ids, whatever their repeats.
    assert_eq!(totals(&Files::new("3 1\n4 1\n3\n", "3 1\n4 1\n3\n").score().unwrap()), (0, 5, 3));
    let prices = Files::new("$5 off\n10:30 sharp\n", "$5 of\n10:30 sharp\n").score();
    assert!(prices.unwrap_err().contains("may be Kaldi text or plain lines"));
    // No first token in common: lines of words.
    assert_eq!(totals(&Files::new("go on\n", "no one\n").score().unwrap()), (2, 2, 1));
    // Words or ids without digits? Both readings are sensible, and they score differently.
    let unsure = Files::new("anna close it\nhugo open it\n", "anna close it\nhugo open\n");
    assert_eq!(
        unsure.score().unwrap_err(),
        "ref may be Kaldi text or plain lines: say which with --format kaldi or --format plain"
    );
    assert_eq!(totals(&unsure.score_as(Kaldi).unwrap()), (1, 4, 2));
    assert_eq!(totals(&unsure.score_as(Plain).unwrap()), (1, 6, 2));
    // Two formats.
    let kaldi_and_words = Files::new("utt_1 close it\n", "close it\n").score().unwrap_err();
    assert!(
        kaldi_and_words.contains("ref looks like Kaldi text and hyp like lines of words"),
        "{kaldi_and_words}"
    );
    let json = "{\"id\": \"utt_1\", \"text\": \"close it\"}\n";
    let json_and_kaldi = Files::new(json, "utt_1 close it\n").score().unwrap_err();
    assert!(json_and_kaldi.contains("ref looks like JSON Lines"), "{json_and_kaldi}");
}

#[test]
fn auto_for_a_single_file() {
    let read = |content: &str| {
        let files = Files::new(content, "");
        read_transcripts(&files.path("ref"), TranscriptFormat::Auto, Role::Reference)
            .map(|transcripts| transcripts.format)
            .map_err(|error| error.to_string())
    };
    assert_eq!(read("\n{\"id\": \"a\", \"text\": \"\"}\n").unwrap(), TranscriptFormat::Jsonl);
    assert_eq!(read("a-1 yes\na-2 yes\n").unwrap(), TranscriptFormat::Kaldi);
    assert_eq!(read("yes no\nyes\n").unwrap(), TranscriptFormat::Plain);
    assert_eq!(read("").unwrap(), TranscriptFormat::Plain);
    assert!(read("yes no\nno\n").unwrap_err().contains("may be Kaldi text or plain lines"));
}

#[test]
fn a_missing_hypothesis_is_all_deletions_and_is_reported() {
    let reference = "u-1 open the door\nu-2 close it\nu-3 go\n";
    let report = Files::new(reference, "u-1 open the door\nu-3 go\n").score().unwrap();
    assert_eq!(totals(&report), (2, 6, 3));
    assert_eq!((report.words.deletions, report.characters.deletions), (2, 8));
    assert_eq!(report.missing, ["u-2"]);
    assert_eq!(report.utterances[1].hypothesis, None);
    let text = report.to_string();
    assert!(
        text.contains("No hypothesis for 1 utterance, counted as all deletions: u-2"),
        "{text}"
    );

    let none = Files::new(reference, "").score().unwrap();
    assert_eq!((totals(&none), none.wer), ((6, 6, 3), Some(1.0)));
    assert_eq!(none.missing.len(), 3);
    let short = Files::new("go on\ngo back\n", "go on\n").score().unwrap();
    assert_eq!((totals(&short), short.missing), ((2, 4, 2), vec!["2".to_owned()]));
}

#[test]
fn what_the_reference_lacks_is_refused() {
    assert_eq!(
        Files::new("u-1 go\n", "u-1 go\nu-2 stop\n").score().unwrap_err(),
        "hyp line 2 has the utterance `u-2`, which ref lacks: \
         score against the reference it belongs to, or remove the line"
    );
    let longer = Files::new("go on\ngo\n", "go on\ngo\nback\n").score().unwrap_err();
    assert!(longer.contains("hyp line 3 has the utterance `3`"), "{longer}");
    // Blank lines at the end are nobody's words.
    assert_eq!(totals(&Files::new("go on\ngo\n", "go on\ngo\n\n \n").score().unwrap()), (0, 3, 2));
}

#[test]
fn broken_files_are_named_with_the_line() {
    let json = "{\"id\": \"a\", \"text\": \"go\"}\n";
    let message = |reference: &[u8], hypothesis: &[u8]| {
        Files::new(reference, hypothesis).score().unwrap_err()
    };
    for (broken, part) in [
        ("{\"id\": \"b\", \"text\": \"go\"", "is broken (it ends in the middle of its object)"),
        ("{\"id\": \"b\", \"text\": 3}", "is broken (`text` must be a text in quotes, not 3)"),
        ("{\"id\": \"b\"}", "is broken (it has no `text`)"),
        ("{\"text\": \"go\"}", "is broken (it has neither `id` nor `audio_filepath`)"),
        ("go", "is broken (it is no JSON from character 1 on)"),
        ("{\"id\": \"a\", \"text\": \"on\"}", "gives `a` twice, on lines 1 and 2"),
    ] {
        let reference = format!("{json}{broken}\n");
        let said = message(reference.as_bytes(), json.as_bytes());
        assert!(said.starts_with("ref") && said.contains(part), "{said}");
        assert!(said.contains("line 2") || said.contains("and 2"), "{said}");
    }
    assert_eq!(
        message(b"u-1 go\nu-2 on\n", b"u-1 go\nu-2 on\nu-1 go\n"),
        "hyp gives `u-1` twice, on lines 1 and 3: keep one"
    );
    assert_eq!(
        message(b"u-1 go\n", b"u-1 caf\xe9\n"),
        "hyp line 1 is not UTF-8: convert the file, with iconv for instance"
    );
    let no_reference = "ref holds no transcripts: give a file with at least one utterance";
    assert_eq!(message(b"", b"u-1 go\n"), no_reference);
    let empty = Files::new("\n", "").score_as(TranscriptFormat::Kaldi).unwrap_err();
    assert_eq!(empty, no_reference);

    let files = Files::new("go", "go");
    fs::remove_file(files.path("hyp")).unwrap();
    let missing = files.score().unwrap_err();
    assert!(missing.starts_with("hyp cannot be read (") && missing.ends_with("check the path"));
}

#[test]
fn the_normaliser_goes_over_both_sides() {
    let files = Files::new("u-1 Cafe\u{301}, please!\n", "u-1 café please\n");
    assert_eq!(files.score().unwrap().words.errors(), 2);
    let score = |normalizer| {
        let options = ScoreOptions { normalizer, ..ScoreOptions::default() };
        score_files(&files.path("ref"), &files.path("hyp"), &options)
    };
    assert_eq!(score(NormalizerOptions::default()).unwrap().words.errors(), 0);
    let upper_only = NormalizerOptions { case: Case::Upper, ..NormalizerOptions::spaces_only() };
    assert_eq!(score(upper_only).unwrap().words.errors(), 2);
}

#[test]
fn the_report_in_text_and_json() {
    let files = Files::new(
        "u-1 ring the old bell now\nu-2 go\nu-3 yes\n",
        "u-1 bring the bell right now\nu-2 go\n",
    );
    let report = files.score().unwrap();
    let text = report.to_string();
    assert!(text.starts_with("WER  57.14 %  ["), "{text}");
    for part in [
        "at 95 %, bootstrap over 3 utterances, 10000 resamples\n",
        "     7 words in 3 utterances: 1 substitution, 2 deletions, 1 insertion\n",
        "     26 characters, spaces included: ",
        "Read as Kaldi text.\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(
        report.alignments(true),
        "u-1: 3 errors of 5 words\n\
         REF: ring  the old bell ***** now\n\
         HYP: bring the *** bell right now\n\
         \x20    S         D        I\n\
         \n\
         u-3: 1 error of 1 word, no hypothesis\n\
         REF: yes\n\
         HYP: ***\n\
         \x20    D\n"
    );
    assert!(report.alignments(false).contains("u-2: 0 errors of 1 word\nREF: go\nHYP: go\n\n"));

    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["words"]["deletions"], 2);
    assert_eq!(json["missing"][0], "u-3");
    assert_eq!(json["utterances"][0]["hypothesis"], "bring the bell right now");
    assert!(json["wer_interval"]["method"].as_str().unwrap().starts_with("bootstrap"));
}

#[test]
fn long_alignments_go_on_in_further_blocks() {
    let words = ["labyrinth"; 25].join(" ");
    let reference = format!("u-1 {words}\n");
    let report = Files::new(&reference, format!("u-1 {words} 1\n")).score().unwrap();
    let text = report.alignments(false);
    assert!(text.lines().all(|line| line.chars().count() <= 104), "{text}");
    assert_eq!(text.matches("REF:").count(), 3, "{text}");
    assert_eq!(text.matches("labyrinth").count(), 50, "{text}");
    assert!(text.ends_with(" *\nHYP: labyrinth labyrinth labyrinth labyrinth labyrinth 1\n                                                       I\n"), "{text}");
}

#[test]
fn eight_speakers_in_the_reference_are_what_is_drawn() {
    let line = |i: usize, text: &str| {
        format!("{{\"id\": \"u{i}\", \"speaker\": \"s{}\", \"text\": \"{text}\"}}\n", i % 8)
    };
    let reference: String = (0..24).map(|i| line(i, "one two")).collect();
    let hypothesis: String =
        (0..24).map(|i| line(i, if i % 3 == 0 { "one" } else { "one two" })).collect();
    let report = Files::new(reference, hypothesis).score().unwrap();
    assert_eq!(report.wer_interval.method, "bootstrap over 8 speakers, 10000 resamples");
    let (wer, cer) = (report.wer.unwrap(), report.cer.unwrap());
    assert!(report.wer_interval.low <= wer && wer <= report.wer_interval.high);
    assert!(report.cer_interval.low <= cer && cer <= report.cer_interval.high);
}

#[test]
fn names_of_formats() {
    for format in [
        TranscriptFormat::Auto,
        TranscriptFormat::Jsonl,
        TranscriptFormat::Kaldi,
        TranscriptFormat::Plain,
    ] {
        assert_eq!(format.to_string().parse::<TranscriptFormat>().unwrap(), format);
        assert_eq!(serde_json::to_value(format).unwrap(), format.to_string());
    }
    let message = "trn".parse::<TranscriptFormat>().unwrap_err().to_string();
    assert_eq!(message, "`trn` is no format of transcripts: use auto, jsonl, kaldi or plain");
}
