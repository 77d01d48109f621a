//! Each format against what its publisher defines, the way back and forth, and what is refused.

use super::*;
use proptest::prelude::*;

const RATE: Recording<'static> =
    Recording { sample_rate: Some(16000), seconds: None, names: &["r"] };

fn spans(track: &LabelTrack) -> Vec<(f64, f64, &str)> {
    track.labels().map(|label| (label.start, label.end, label.text.as_str())).collect()
}

#[test]
fn audacity_as_its_manual_shows_it() {
    let text =
        "\u{feff}0.000000\t1.500000\tone two\r\n\\\t100.5\t4000.0\r\n2.25\t2.25\t\n3,5\t4\ta\tb\n";
    let track = LabelTrack::parse(text.as_bytes(), LabelFormat::Audacity, &RATE).unwrap();
    assert_eq!(spans(&track), [(0.0, 1.5, "one two"), (2.25, 2.25, ""), (3.5, 4.0, "a\tb")]);
    assert_eq!(
        track.to_text(LabelFormat::Audacity, &RATE).unwrap(),
        "0.000000\t1.500000\tone two\n2.250000\t2.250000\t\n3.500000\t4.000000\ta\tb\n"
    );
}

#[test]
fn ctm_takes_the_recording_that_is_meant() {
    let text = ";; a comment\nr 1 0.50 0.25 hello 0.9\nother A 0 1 no\nr 2 0.6 0.2 there NA lex\n\
                r 1 0.75 0.5 world\n";
    let track = LabelTrack::parse(text.as_bytes(), LabelFormat::Ctm, &RATE).unwrap();
    assert_eq!(track.tiers.len(), 2);
    assert_eq!(track.tier("1").unwrap().labels[1], Label::new(0.75, 1.25, "world"));
    assert_eq!(track.tiers[0].labels[0].confidence, Some(0.9));
    assert_eq!(track.tiers[1].labels[0].confidence, None);
    let unnamed = Recording::default();
    let fault = LabelTrack::parse(text.as_bytes(), LabelFormat::Ctm, &unnamed).unwrap_err();
    assert!(fault.line == 3 && fault.reason.contains("not told which"), "{fault}");
    let absent = Recording { names: &["x", "y"], ..unnamed };
    let fault = LabelTrack::parse(text.as_bytes(), LabelFormat::Ctm, &absent).unwrap_err();
    assert!(fault.reason.contains("without a word of x or y"), "{fault}");
    let one = "u 1 0 1 a\nu 1 1 1 b\n";
    let track = LabelTrack::parse(one.as_bytes(), LabelFormat::Ctm, &unnamed).unwrap();
    assert_eq!(spans(&track), [(0.0, 1.0, "a"), (1.0, 2.0, "b")]);
}

/// The example of TIMIT's readme.doc: the words overlap there, the phones do not.
#[test]
fn timit_as_its_readme_shows_it() {
    let words = "7470 11362 she\n11362 16000 had\n15420 17503 your\n17503 23360 dark\n";
    let phones = "0 7470 h#\n7470 9840 sh\n9840 11362 iy\n11362 12908 hv\n12908 14760 ae\n\
                  14760 15420 dcl\n15420 16000 jh\n16000 17503 axr\n";
    let track = LabelTrack::parse(words.as_bytes(), LabelFormat::TimitWords, &RATE).unwrap();
    assert_eq!(spans(&track)[0], (7470.0 / 16000.0, 11362.0 / 16000.0, "she"));
    assert_eq!(track.to_text(LabelFormat::TimitWords, &RATE).unwrap(), words);
    let fault = LabelTrack::parse(words.as_bytes(), LabelFormat::TimitPhones, &RATE).unwrap_err();
    assert!(fault.line == 3 && fault.reason.contains("they overlap"), "{fault}");
    let track = LabelTrack::parse(phones.as_bytes(), LabelFormat::TimitPhones, &RATE).unwrap();
    assert_eq!(track.to_text(LabelFormat::TimitPhones, &RATE).unwrap(), phones);
    let unknown = Recording::default();
    let fault =
        LabelTrack::parse(phones.as_bytes(), LabelFormat::TimitPhones, &unknown).unwrap_err();
    assert!(fault.reason.contains("rate of the recording"), "{fault}");
}

#[test]
fn subrip_as_programs_write_it() {
    let text = "\u{feff}1\r\n00:00:01,000 --> 00:00:02,500\r\nHello,\r\nyou two\r\n\r\n\
                2\n00:00:02.400 --> 01:00:03.000 X1:40 X2:600\n<i>bye</i>\n\n\n\
                00:00:09,000 --> 00:00:09,000\n";
    let track = LabelTrack::parse(text.as_bytes(), LabelFormat::Srt, &RATE).unwrap();
    assert_eq!(
        spans(&track),
        [(1.0, 2.5, "Hello,\nyou two"), (2.4, 3603.0, "<i>bye</i>"), (9.0, 9.0, "")]
    );
    let written = LabelTrack::single(vec![Label::new(3661.0015, 3662.0, "x")]);
    assert_eq!(
        written.to_text(LabelFormat::Srt, &RATE).unwrap(),
        "1\n01:01:01,002 --> 01:01:02,000\nx\n\n"
    );
}

const LONG: &str = r#"File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0 
xmax = 2.3 
tiers? <exists> 
size = 2 
item []: 
    item [1]:
        class = "IntervalTier" 
        name = "Mary ""quoted""" 
        xmin = 0 
        xmax = 2.3 
        intervals: size = 3 
        intervals [1]:
            xmin = 0 
            xmax = 0.7 
            text = "" 
        intervals [2]:
            xmin = 0.7 
            xmax = 1.5 
            text = "two
lines" 
        intervals [3]:
            xmin = 1.5 
            xmax = 2.3 
            text = "é" 
    item [2]:
        class = "TextTier" 
        name = "bell" 
        xmin = 0 
        xmax = 2.3 
        points: size = 1 
        points [1]:
            number = 1.25 
            mark = "ding" 
"#;

const SHORT: &str = r#"File type = "ooTextFile short"
"TextGrid"

0
2.3
<exists>
2
"IntervalTier"
"Mary ""quoted"""
0
2.3
3
0
0.7
""
0.7
1.5
"two
lines"
1.5
2.3
"é"
"TextTier"
"bell"
0
2.3
1
1.25
"ding"
"#;

/// Bare values on few lines, units and comments: Praat reads this too, by the rule of its manual.
const LOOSE: &str = "\"ooTextFile\" \"TextGrid\" ! [the header]\n 0s 2.3s <exists> 2 tiers\n\
    \"IntervalTier\" called \"Mary \"\"quoted\"\"\" 0 2.3 3 ! three\n 0 0.7 \"\" 0.7 1.5 \"two\nlines\"\n\
    1.5 2.3 \"é\"\n\"TextTier\" \"bell\" 0 2.3 1 1.25 \"ding\"";

#[test]
fn text_grids_of_every_form_and_encoding_are_the_same() {
    let wide = |text: &str, big: bool| -> Vec<u8> {
        let mark = '\u{feff}'.to_string() + text;
        mark.encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    };
    let windows = LONG.replace('\n', "\r\n").replace("two\r\nlines", "two\nlines");
    let marked = format!("\u{feff}{LONG}");
    let forms: Vec<Vec<u8>> = vec![
        LONG.into(),
        SHORT.into(),
        LOOSE.into(),
        windows.into(),
        marked.into(),
        wide(LONG, true),
        wide(LONG, false),
        wide(SHORT, true),
    ];
    for (index, bytes) in forms.iter().enumerate() {
        let track = LabelTrack::parse(bytes, LabelFormat::TextGrid, &RATE)
            .unwrap_or_else(|fault| panic!("form {index}: {fault}"));
        assert_eq!(track.tiers[0].name, "Mary \"quoted\"");
        assert_eq!(
            spans(&track),
            [(0.7, 1.5, "two\nlines"), (1.5, 2.3, "é"), (1.25, 1.25, "ding")],
            "form {index}"
        );
    }
    let track = LabelTrack::parse(LONG.as_bytes(), LabelFormat::TextGrid, &RATE).unwrap();
    let written = track.to_text(LabelFormat::TextGrid, &RATE).unwrap();
    let bare = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    assert_eq!(bare(&written), bare(LONG).trim_end());
    let short = to_text_grid(&track, &RATE, TextGridForm::Short).unwrap();
    assert_eq!(
        short.lines().skip(2).collect::<Vec<_>>(),
        SHORT.lines().skip(2).collect::<Vec<_>>()
    );
}

/// Every fault: format, content, the line, a word of the reason.
#[test]
fn each_fault_is_told_with_its_line() {
    use LabelFormat::{Audacity, Ctm, Srt, TextGrid, TimitPhones};
    let grid = |intervals: &str, count: usize| {
        format!(
            "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n0 9 <exists> 1\n\
             \"IntervalTier\" \"a\" 0 9 {count}\n{intervals}\n"
        )
    };
    let cases: Vec<(LabelFormat, String, usize, &str)> = vec![
        (Audacity, "0\t1\ta\n2\t1\tb\n".into(), 2, "before it starts"),
        (Audacity, "0\t1\ta\n1 2 b\n".into(), 2, "no tab"),
        (Audacity, "0\t1\ta\nx\t2\tb\n".into(), 2, "\"x\" is not a number of seconds"),
        (Audacity, "NaN\t1\ta\n".into(), 1, "\"NaN\" is not a number"),
        (Audacity, "0\tinf\ta\n".into(), 1, "\"inf\" is not a number"),
        (Audacity, "-1\t1\ta\n".into(), 1, "starts at -1 s"),
        (Audacity, "0\t1\ta\n\n9.9\t10.2\tb\n".into(), 3, "and the recording at 10 s"),
        (Ctm, "r 1 0 1 a\nr 1 1 b\n".into(), 2, "a CTM line is"),
        (Ctm, "r 1 0 -1 a\n".into(), 1, "before it starts"),
        (Ctm, "r 1 0 nan a\n".into(), 1, "not a number"),
        (Ctm, "r 1 0 1 a 1.5\n".into(), 1, "no confidence"),
        (Ctm, "r 1 0 1 <ALT_BEGIN>\n".into(), 1, "alternatives"),
        (Ctm, "r 1 9 2 a\n".into(), 1, "the recording at 10 s"),
        (TimitPhones, "0 100 h#\n100 90 a\n".into(), 2, "before it starts"),
        (TimitPhones, "0 100 h#\n99 200 a\n".into(), 2, "they overlap"),
        (TimitPhones, "0 100\n".into(), 1, "first sample"),
        (TimitPhones, "0 1e2 a\n".into(), 1, "number of a sample"),
        (TimitPhones, "0 170000 h#\n".into(), 1, "the recording at 10 s"),
        (Srt, "1\n00:00:02,000 --> 00:00:01,000\na\n".into(), 2, "before it starts"),
        (Srt, "1\n00:00:02 --> 00:00:03,000\na\n".into(), 2, "no time like"),
        (Srt, "1\n00:61:02,000 --> 00:62:03,000\na\n".into(), 2, "no time like"),
        (Srt, "one\n00:00:02,000 --> 00:00:03,000\na\n".into(), 1, "no number of a subtitle"),
        (Srt, "1\nhello\n".into(), 2, "not START --> END"),
        (Srt, "\n7".into(), 2, "no times follow"),
        (Srt, "1\n00:00:02,000 --> 00:00:11,000\na\n".into(), 2, "the recording at 10 s"),
        (TextGrid, grid("1 2 \"a\"\n2 1.5 \"b\"", 2), 6, "before it starts"),
        (TextGrid, grid("1 2 \"a\"\n1.5 3 \"b\"", 2), 6, "they overlap"),
        (TextGrid, grid("1 NaN \"a\"", 1), 5, "not a number"),
        (TextGrid, grid("1 12 \"a\"", 1), 5, "the recording at 10 s"),
        (TextGrid, grid("1 2 \"a\"", 2), 6, "the file ends"),
        (TextGrid, grid("1 2 \"a", 1), 5, "never closed"),
        (TextGrid, grid("1 \"a\" 2", 1), 5, "stands where the end of a label should"),
        (TextGrid, grid("1 2 \"a\"", 1).replace("TextGrid", "Sound"), 2, "no TextGrid"),
        (TextGrid, grid("1 2 \"a\"", 1).replace("IntervalTier", "Tier"), 4, "neither"),
        (TextGrid, "ooBinaryFile\u{8}TextGrid".into(), 1, "binary form"),
        (TextGrid, "hello\nworld".into(), 2, "the file ends"),
    ];
    let recording = Recording { seconds: Some(10.0), ..RATE };
    for (format, text, line, reason) in cases {
        let fault = LabelTrack::parse(text.as_bytes(), format, &recording)
            .expect_err(&format!("{format:?} was accepted: {text}"));
        assert_eq!(fault.line, line, "{format:?}: {fault}");
        assert!(fault.reason.contains(reason), "{format:?}: {fault} should tell of {reason}");
    }
    for format in [Audacity, Ctm, Srt, TextGrid, TimitPhones] {
        let fault = LabelTrack::parse(b"\n\n\xe9\n", format, &recording).unwrap_err();
        assert!(fault.line == 3 && fault.reason.contains("UTF-8"), "{fault}");
    }
    let odd = LabelTrack::parse(b"\xfe\xff\0a\0", TextGrid, &recording).unwrap_err();
    assert!(odd.reason.contains("UTF-16"), "{odd}");
    let lone = LabelTrack::parse(b"\xff\xfe\n\0\x00\xd8a\0", TextGrid, &recording).unwrap_err();
    assert!(lone.line == 2 && lone.reason.contains("UTF-16"), "{lone}");
}

#[test]
fn what_a_format_cannot_hold_is_refused_when_written() {
    let track = |label: Label| LabelTrack::single(vec![label]);
    let cases = [
        (LabelFormat::Audacity, Label::new(0.0, 1.0, "a\nb"), "line break"),
        (LabelFormat::Ctm, Label::new(0.0, 1.0, "a b"), "white space"),
        (LabelFormat::TextGrid, Label::new(0.0, 1.0, " "), "without text"),
        (LabelFormat::Srt, Label::new(0.0, 1.0, "a\n\nb"), "empty line"),
        (LabelFormat::TimitPhones, Label::new(0.0, 1.0, ""), "without text"),
        (LabelFormat::Audacity, Label::new(1.0, 0.5, "a"), "before it starts"),
        (LabelFormat::Audacity, Label::new(f64::NAN, 1.0, "a"), "starts at NaN"),
    ];
    for (format, label, reason) in cases {
        let error = track(label).to_text(format, &RATE).unwrap_err();
        assert!(error.contains(reason), "{format:?}: {error}");
    }
    let mixed = LabelTrack::single(vec![Label::new(0.0, 0.0, "p"), Label::new(0.0, 1.0, "i")]);
    assert!(mixed.to_text(LabelFormat::TextGrid, &RATE).unwrap_err().contains("a point among"));
}

#[test]
fn files_are_named_in_every_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let error = |name: &str| LabelTrack::read(&path(name), &RATE).unwrap_err().to_string();
    assert!(
        error("none.srt").contains("there is no label track")
            && error("none.srt").contains("none.srt")
    );
    assert!(error("a.doc").contains("must end in .txt"));
    fs::create_dir(path("folder.srt")).unwrap();
    assert!(error("folder.srt").contains("must be a file"));
    fs::write(path("b.phn"), "0 10 a\n5 20 b\n").unwrap();
    assert!(error("b.phn").contains("b.phn, line 2: "), "{}", error("b.phn"));
    let track = LabelTrack::single(vec![Label::new(0.5, 1.0, "a b")]);
    let refused = track.write(&path("x.ctm"), &RATE).unwrap_err().to_string();
    assert!(refused.contains("x.ctm cannot hold these labels"), "{refused}");
    assert!(!path("x.ctm").exists());
    for name in ["x.txt", "x.TextGrid", "x.srt", "x.WRD", "x.phn"] {
        track.write(&path(name), &RATE).unwrap();
        assert_eq!(spans(&LabelTrack::read(&path(name), &RATE).unwrap()), spans(&track), "{name}");
    }
}

#[test]
fn sections_and_speeds_move_the_times() {
    let track = LabelTrack::single(vec![
        Label::new(0.0, 1.0, "before"),
        Label::new(0.5, 2.0, "into"),
        Label::new(2.0, 2.5, "inside"),
        Label::new(1.0, 1.0, "point at the edge"),
        Label::new(2.5, 9.0, "out of"),
        Label::new(3.0, 4.0, "behind"),
        Label::new(3.0, 3.0, "point behind"),
    ]);
    let section = track.section(1.0, 2.0);
    assert_eq!(
        spans(&section),
        [
            (0.0, 1.0, "into"),
            (1.0, 1.5, "inside"),
            (0.0, 0.0, "point at the edge"),
            (1.5, 2.0, "out of")
        ]
    );
    // As long as the sound itself becomes.
    let samples = labyrinth_signal::change_speed(&vec![0.0; 16000], 1.25).len();
    let fast = track.scale(1.25);
    assert!((fast.tiers[0].labels[0].end - samples as f64 / 16000.0).abs() < 1e-3);
    assert_eq!(fast.tiers[0].labels[2], Label::new(1.6, 2.0, "inside"));
    for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(track.scale(speed), track);
    }
}

/// Labels one after another, some with gaps between, none empty, in thousandths of a second.
fn labels(word: &'static str) -> impl Strategy<Value = Vec<Label>> {
    prop::collection::vec((0u32..3, 1u32..5000, word), 0..20).prop_map(|parts| {
        let mut at = 0;
        parts
            .into_iter()
            .map(|(gap, length, text)| {
                let start = at + gap * 37;
                at = start + length;
                Label::new(f64::from(start) / 1000.0, f64::from(at) / 1000.0, text)
            })
            .collect()
    })
}

fn comes_back(track: &LabelTrack, format: LabelFormat, tolerance: f64) -> LabelTrack {
    let text = track.to_text(format, &RATE).unwrap();
    let again = LabelTrack::parse(text.as_bytes(), format, &RATE).unwrap();
    assert_eq!(again.labels().count(), track.labels().count());
    for (new, old) in again.labels().zip(track.labels()) {
        assert_eq!(new.text, old.text);
        assert!((new.start - old.start).abs() <= tolerance, "{new:?} {old:?}");
        assert!((new.end - old.end).abs() <= tolerance, "{new:?} {old:?}");
    }
    // A second time nothing is rounded any more.
    assert_eq!(again.to_text(format, &RATE).unwrap(), text);
    again
}

proptest! {
    #[test]
    fn tracks_come_back_from_every_format(found in labels("[a-zäß'#]{1,6}"), shift in 0.0f64..1e-4) {
        let mut track = LabelTrack::single(found);
        comes_back(&track, LabelFormat::Srt, 1e-12);
        comes_back(&track, LabelFormat::Ctm, 1e-9);
        // Times with all their binary digits.
        for label in &mut track.tiers[0].labels {
            label.start += shift;
            label.end += shift;
        }
        prop_assert_eq!(&comes_back(&track, LabelFormat::Audacity, 0.0), &track);
        prop_assert_eq!(&comes_back(&track, LabelFormat::TextGrid, 0.0), &track);
        comes_back(&track, LabelFormat::TimitPhones, 0.5 / 16000.0 + 1e-12);
        comes_back(&track, LabelFormat::TimitWords, 0.5 / 16000.0 + 1e-12);
        comes_back(&track, LabelFormat::Srt, 0.0005 + 1e-12);
    }

    /// Texts with all that Praat allows, in tiers, in both forms.
    #[test]
    fn text_grids_keep_tiers_and_any_text(
        tiers in prop::collection::vec(("[ -~\né]{0,8}", labels("[ -~\né\"]{0,7}[!-~]")), 0..4)
    ) {
        let track = LabelTrack {
            tiers: tiers.into_iter().map(|(name, labels)| Tier { name, labels }).collect(),
        };
        for form in [TextGridForm::Long, TextGridForm::Short] {
            let text = to_text_grid(&track, &RATE, form).unwrap();
            let again = LabelTrack::parse(text.as_bytes(), LabelFormat::TextGrid, &RATE).unwrap();
            prop_assert_eq!(&again, &track);
        }
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[0-9 \t\n\"<>!:,a.\\-]{0,200}") {
        for format in [
            LabelFormat::Audacity, LabelFormat::Ctm, LabelFormat::TextGrid,
            LabelFormat::TimitPhones, LabelFormat::TimitWords, LabelFormat::Srt,
        ] {
            for bytes in [&bytes[..], text.as_bytes()] {
                if let Ok(track) = LabelTrack::parse(bytes, format, &RATE) {
                    prop_assert!(track.labels().all(|l| l.start >= 0.0 && l.end >= l.start));
                }
            }
        }
    }

    #[test]
    fn sections_lie_inside_and_keep_every_overlap(found in labels("[a-z]"), offset in 0.0f64..20.0, duration in 0.001f64..20.0) {
        let track = LabelTrack::single(found);
        let section = track.section(offset, duration);
        let touching = track.labels().filter(|l| l.end > offset && l.start < offset + duration);
        prop_assert_eq!(section.labels().count(), touching.count());
        prop_assert!(section.labels().all(|l| l.start >= 0.0 && l.end <= duration + 1e-9 && l.end >= l.start));
    }
}
