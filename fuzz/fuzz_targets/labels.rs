//! Label tracks of every format: times in order, and what was read can be written and read again.
#![no_main]

use labyrinth_corpus::labels::Recording;
use labyrinth_corpus::{LabelFormat, LabelTrack};
use libfuzzer_sys::fuzz_target;

const FORMATS: [LabelFormat; 6] = [
    LabelFormat::Audacity,
    LabelFormat::Ctm,
    LabelFormat::TextGrid,
    LabelFormat::TimitPhones,
    LabelFormat::TimitWords,
    LabelFormat::Srt,
];

// The first byte says which format.
fuzz_target!(|bytes: &[u8]| {
    let Some((first, content)) = bytes.split_first() else { return };
    let format = FORMATS[usize::from(*first) % FORMATS.len()];
    let recording = Recording { sample_rate: Some(16_000), ..Recording::default() };
    let Ok(track) = LabelTrack::parse(content, format, &recording) else { return };
    assert!(track.labels().all(|label| {
        label.start.is_finite()
            && label.end.is_finite()
            && 0.0 <= label.start
            && label.start <= label.end
    }));
    if let Ok(text) = track.to_text(format, &recording) {
        let again = LabelTrack::parse(text.as_bytes(), format, &recording);
        assert!(again.is_ok(), "{again:?}: {text:?}");
    }
});
