//! The page of `check`: whole, without anything from elsewhere, and deaf to what stands in a corpus.

mod common;

use common::spoken::Corpus;
use labyrinth_corpus::Survey;
use std::fs;
use std::path::Path;

const HOSTILE: &str = "<script>alert('\"&')</script>";

fn page(folder: &Path) -> String {
    Survey::read(folder).unwrap().listen(None, &|_, _| {}).unwrap().page().unwrap()
}

/// Every start tag, with its attributes.
fn tags(page: &str) -> impl Iterator<Item = &str> {
    page.split('<').skip(1).filter_map(|rest| rest.split_once('>').map(|(tag, _)| tag))
}

#[test]
fn a_page_shows_the_sets_the_findings_and_the_suspicious() {
    let mut corpus = Corpus::sound();
    let loud: Vec<f32> =
        corpus.samples("train-05").iter().map(|x| (x * 8.0).clamp(-1.0, 1.0)).collect();
    corpus.record("train-05", 16000, &[loud]);
    fs::remove_file(corpus.file("train-06")).unwrap();
    corpus.utterance("test-03").speaker = Some("train-A".to_owned());
    corpus.write();
    let page = page(&corpus.folder);
    for part in [
        "<!doctype html>",
        "2 errors",
        "1 warning<",
        "missing-audio",
        "speaker-overlap",
        "train-05",
        "train-06",
        "class=\"cut\"",
        "data:audio/wav;base64,UklGR",
        "there is no sound to play",
        "1 of 4",
        "Characters per second",
        "</html>",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    assert_eq!(page.matches("<article").count(), 2);
    assert_eq!(page.matches("<audio").count(), 1);
    assert_eq!(page.matches("<svg").count(), 5);
    assert!(page.len() < 300_000, "{} bytes", page.len());
}

#[test]
fn nothing_of_a_corpus_becomes_markup() {
    let mut corpus = Corpus::sound();
    corpus.utterance("train-05").text = HOSTILE.to_owned();
    corpus.utterance("train-05").speaker = Some(HOSTILE.to_owned());
    corpus.utterance("train-05").id = HOSTILE.to_owned();
    corpus.utterance("train-06").audio_filepath = format!("{HOSTILE}.wav");
    corpus.utterance("train-07").text = "\" onmouseover=\"alert(1)".to_owned();
    corpus.utterance("train-08").text = "\u{202e}backwards\u{0}".to_owned();
    corpus.append("train", format!("{HOSTILE}\n").as_bytes());
    corpus.write();
    fs::rename(corpus.folder.join("dev.jsonl"), corpus.folder.join("<b>.jsonl")).unwrap();
    fs::rename(corpus.folder.join("train.jsonl"), corpus.folder.join("a&b.jsonl")).unwrap();
    fs::remove_file(corpus.folder.join("test.jsonl")).unwrap();
    let page = page(&corpus.folder);
    assert!(page.contains("&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;"));
    assert!(page.contains("&lt;b&gt;") && page.contains("a&amp;b"));
    assert!(!page.contains('\u{202e}') && !page.contains('\u{0}'));
    for tag in tags(&page) {
        let name = tag.split_whitespace().next().unwrap().trim_start_matches('/');
        assert!(!["script", "b", "img", "iframe", "link"].contains(&name), "<{tag}>");
        assert!(!tag.contains(" on"), "<{tag}>");
        for attribute in ["src=\"", "href=\""] {
            if let Some((_, value)) = tag.split_once(attribute) {
                assert!(
                    value.starts_with("data:audio/wav;base64,") || value.starts_with('#'),
                    "<{tag}>"
                );
            }
        }
    }
    assert!(page.contains("default-src 'none'"));
}

/// A thousand findings are not a thousand players.
#[test]
fn a_page_stays_small_and_shows_every_kind() {
    let mut corpus = Corpus::sound();
    for set in 0..3 {
        for place in 0..corpus.sets[set].utterances.len() {
            let id = corpus.sets[set].utterances[place].id.clone();
            let long: Vec<f32> = corpus
                .samples(&id)
                .iter()
                .map(|x| (x * 9.0).clamp(-1.0, 1.0))
                .cycle()
                .take(320_000)
                .collect();
            corpus.record(&id, 16000, &[long]);
            // Each of another length: 54 errors, and rather many warnings that all of them share.
            corpus.utterance(&id).duration = 1.0 + place as f64;
        }
    }
    corpus.utterance("test-11").text = "one [noise] here".to_owned();
    corpus.write();
    let page = page(&corpus.folder);
    assert_eq!(page.matches("<article").count(), 40);
    assert!(page.contains("40 of 54") && page.contains("the page has no room for more sound"));
    assert!(page.len() < 8_000_000, "{} bytes", page.len());
    let last = page.split("<article").find(|article| article.contains("test-11"));
    assert!(last.is_some_and(|article| article.contains("[noise]")));
}

#[test]
fn a_corpus_without_faults_has_a_page_too() {
    let mut corpus = Corpus::sound();
    corpus.write();
    let page = page(&corpus.folder);
    assert!(page.contains("nothing was found") && page.contains("Durations"));
    assert!(!page.contains("<article"));
}
