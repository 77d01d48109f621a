//! Downloads from a server of the test's own: whole, resumed, and every way in which a server, a network
//! or another process can spoil them.

mod common;

use common::server::{Answer, Asked, Server};
use common::trees::{Files, gzip, set, silent, snapshot, tar, wav_bytes};
use labyrinth_corpus::{
    CorpusInfo, DownloadError, DownloadEvent, Patience, PrepareOptions, RemoteFile, download,
    prepare_yesno,
};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const NAME: &str = "a.tar.gz";
const ONE: &str = "\"one\"";

/// Some hundred kilobytes that no two offsets share.
fn content(key: u64) -> Vec<u8> {
    let word = |index: u64| (index ^ key << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0..40_000).flat_map(word).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn quick() -> Patience {
    Patience {
        answer: Duration::from_millis(300),
        slowest: 1000,
        pauses: vec![Duration::from_millis(5); 3],
    }
}

/// A folder for downloads, and what was told about the last one.
struct Place {
    folder: TempDir,
    told: RefCell<Vec<String>>,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), told: RefCell::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self) -> Files {
        snapshot(self.folder.path())
    }

    fn get(&self, url: &str, content: &[u8]) -> Result<PathBuf, DownloadError> {
        let file = RemoteFile { name: NAME.into(), url: url.into(), sha256: sha256(content) };
        self.told.borrow_mut().clear();
        let tell = |event: DownloadEvent<'_>| self.told.borrow_mut().push(format!("{event:?}"));
        download(&file, self.folder.path(), &quick(), &tell)
    }

    /// Must come whole and leave nothing beside it.
    fn get_well(&self, url: &str, content: &[u8]) {
        let path = self.get(url, content).unwrap();
        assert_eq!(path, self.path(NAME));
        assert_eq!(self.files(), Files::from([(NAME.to_owned(), content.to_vec())]));
    }

    fn told(&self, what: &str) -> usize {
        self.told.borrow().iter().filter(|event| event.contains(what)).count()
    }
}

fn ranges(server: &Server) -> Vec<Option<usize>> {
    server.asked().iter().map(Asked::from).collect()
}

#[test]
fn a_file_comes_whole_and_is_not_fetched_twice() {
    let content = content(1);
    let bytes = content.clone();
    let server = Server::new(move |_, asked| Answer::good(asked, &bytes, ONE));
    let place = Place::new();
    place.get_well(&server.url("x"), &content);
    assert_eq!(place.told("Begins { done: 0, total: Some(320000) }"), 1);
    assert_eq!(place.told("At { done: 320000, total: Some(320000) }"), 1);
    assert_eq!(place.told("Verifying { done: 320000, total: 320000 }"), 1);
    assert!(server.asked()[0].headers["user-agent"].starts_with("labyrinth/"));
    assert_eq!(server.asked()[0].headers["accept-encoding"], "identity");
    place.get_well(&server.url("x"), &content);
    assert_eq!(server.asked().len(), 1);
    assert_eq!((place.told("Begins"), place.told("Verifying { done: 320000")), (0, 1));
    // Not even a server is needed.
    place.get_well("http://127.0.0.1:9/gone", &content);
}

#[test]
fn a_dropped_connection_goes_on_where_it_broke_off() {
    let content = content(2);
    let bytes = content.clone();
    let server = Server::new(move |number, asked| {
        let answer = Answer::good(asked, &bytes, ONE);
        if number < 3 { answer.cut(50_000) } else { answer }
    });
    let place = Place::new();
    place.get_well(&server.url("x"), &content);
    assert_eq!(ranges(&server), [None, Some(50_000), Some(100_000), Some(150_000)]);
    assert!(server.asked()[1..].iter().all(|asked| asked.if_range() == Some(ONE)));
    assert_eq!(place.told("Again"), 3);
    assert_eq!(place.told("Begins { done: 150000, total: Some(320000) }"), 1);
}

/// Four drops in a row without a megabyte between them end the attempt; so many with it do not.
#[test]
fn a_server_that_always_drops_is_given_up_and_taken_up_again_later() {
    let content = content(3);
    let bytes = content.clone();
    let place = Place::new();
    let server = Server::new(move |_, asked| Answer::good(asked, &bytes, ONE).cut(10_000));
    let error = place.get(&server.url("x"), &content).unwrap_err();
    assert!(
        matches!(error, DownloadError::BrokenOff { done: 40_000, retries: 3, .. }),
        "{error:?}"
    );
    let said = error.to_string();
    assert!(said.contains("40000 bytes") && said.contains("a.tar.gz.partial"), "{said}");
    assert!(said.contains("the connection was closed"), "{said}");
    assert_eq!(place.files()["a.tar.gz.partial"], content[..40_000]);
    drop(server);
    let bytes = content.clone();
    let server = Server::new(move |_, asked| Answer::good(asked, &bytes, ONE));
    // Another address: its versions are others, so that none is named, and the digest decides.
    place.get_well(&server.url("x"), &content);
    assert_eq!(ranges(&server), [Some(40_000)]);
    assert_eq!(server.asked()[0].if_range(), None);

    let large: Vec<u8> = content.iter().copied().cycle().take(9 << 20).collect();
    let bytes = large.clone();
    let server = Server::new(move |_, asked| Answer::good(asked, &bytes, ONE).cut(1 << 20));
    let place = Place::new();
    place.get_well(&server.url("x"), &large);
    assert_eq!(place.told("Again"), 8);
}

#[test]
fn a_file_that_changed_meanwhile_is_begun_anew() {
    let (old, new) = (content(4), content(5));
    let (first, second) = (old.clone(), new.clone());
    let server = Server::new(move |number, asked| match number {
        0 => Answer::good(asked, &first, ONE).cut(70_000),
        _ => Answer::good(asked, &second, "\"two\""),
    });
    let place = Place::new();
    place.get_well(&server.url("x"), &new);
    assert_eq!(ranges(&server), [None, Some(70_000)]);
    assert_eq!(server.asked()[1].if_range(), Some(ONE));
    assert_eq!(place.told("Begins { done: 0"), 2);
}

/// A weak tag must not stand in If-Range (RFC 9110, 13.1.5); the date may.
#[test]
fn a_weak_tag_gives_way_to_the_date() {
    let content = content(6);
    let bytes = content.clone();
    let date = "Tue, 01 Sep 2015 10:00:00 GMT";
    let server = Server::new(move |number, _| {
        let headers = [
            ("ETag", "W/\"weak\"".to_owned()),
            ("Last-Modified", date.to_owned()),
            ("Content-Length", bytes.len().to_string()),
        ];
        Answer::new("200 OK", &headers, bytes.clone()).cut(if number == 0 { 9 } else { usize::MAX })
    });
    let place = Place::new();
    place.get_well(&server.url("x"), &content);
    assert_eq!(server.asked()[1].if_range(), Some(date));
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let content = content(7);
    let bytes = content.clone();
    let server = Server::new(move |number, _| {
        let answer = Answer::whole(&bytes, ONE);
        if number == 0 { answer.cut(100_000) } else { answer }
    });
    let place = Place::new();
    place.get_well(&server.url("x"), &content);
    assert_eq!(ranges(&server), [None, Some(100_000)]);
}

#[test]
fn another_part_than_was_asked_for_is_not_taken() {
    let content = content(8);
    for wrong in ["bytes 0-219999/320000", "bytes 100000-319999/320001", "nonsense"] {
        let bytes = content.clone();
        let server = Server::new(move |number, asked| match number {
            0 => Answer::good(asked, &bytes, ONE).cut(100_000),
            1 => {
                let headers =
                    [("Content-Range", wrong.to_owned()), ("Content-Length", "220000".to_owned())];
                Answer::new("206 Partial Content", &headers, &bytes[..220_000])
            }
            _ => Answer::good(asked, &bytes, ONE),
        });
        let place = Place::new();
        place.get_well(&server.url("x"), &content);
        assert_eq!(ranges(&server), [None, Some(100_000), None], "{wrong}");
    }
}

/// A process that was killed between the last byte and the rename, or that left more than there is.
#[test]
fn what_a_killed_process_left_is_taken_up() {
    let content = content(9);
    let bytes = content.clone();
    let server = Server::new(move |_, asked| Answer::good(asked, &bytes, ONE));
    let longer: Vec<u8> = content.iter().copied().chain([0]).collect();
    let note = |total: usize| {
        format!("{{\"url\":\"{}\",\"version\":\"\\\"one\\\"\",\"total\":{total}}}", server.url("x"))
    };
    for (there, note, requests) in [
        // Complete, and known to be: nothing is asked. Complete, and not known: the server says so.
        (&content[..], note(320_000), &[][..]),
        (&content[..], String::new(), &[Some(320_000)]),
        // Longer than the file.
        (&longer[..], note(320_000), &[None]),
        (&longer[..], String::new(), &[Some(320_001), None]),
        (&content[..123], note(320_000), &[Some(123)]),
        (&content[..123], "{ broken".into(), &[Some(123)]),
        (&[], note(320_000), &[None]),
    ] {
        let place = Place::new();
        fs::write(place.path("a.tar.gz.partial"), there).unwrap();
        fs::write(place.path("a.tar.gz.partial.json"), note).unwrap();
        let before = server.asked().len();
        place.get_well(&server.url("x"), &content);
        assert_eq!(ranges(&server)[before..], *requests);
    }
}

#[test]
fn a_wrong_digest_sets_the_file_aside() {
    let (content, other) = (content(10), content(11));
    let bytes = other.clone();
    let server = Server::new(move |_, asked| Answer::good(asked, &bytes, ONE));
    let place = Place::new();
    let said = place.get(&server.url("x"), &content).unwrap_err().to_string();
    assert!(said.contains(&sha256(&content)) && said.contains(&sha256(&other)), "{said}");
    assert!(said.contains("a.tar.gz.rejected"), "{said}");
    assert_eq!(place.files(), Files::from([("a.tar.gz.rejected".to_owned(), other)]));
    // The next attempt begins anew.
    let bytes = content.clone();
    let server = Server::new(move |_, asked| Answer::good(asked, &bytes, ONE));
    place.get(&server.url("x"), &content).unwrap();
    assert_eq!(ranges(&server), [None]);
}

/// The user's own file of that name is never touched.
#[test]
fn another_file_of_the_name_is_left_alone() {
    let place = Place::new();
    fs::write(place.path(NAME), "mine").unwrap();
    let said = place.get("http://127.0.0.1:9/x", &content(1)).unwrap_err().to_string();
    assert!(said.contains("stands there already") && said.contains(&sha256(b"mine")), "{said}");
    assert_eq!(place.files(), Files::from([(NAME.to_owned(), b"mine".to_vec())]));
}

#[test]
fn lengths_that_lie_are_found_out() {
    let content = content(12);
    let said = |length: usize, sent: &[u8]| {
        let sent = sent.to_vec();
        let server = Server::new(move |_, _| {
            let headers = [("Content-Length", length.to_string())];
            Answer::new("200 OK", &headers, sent.clone())
        });
        let place = Place::new();
        let error = place.get(&server.url("x"), &content).unwrap_err();
        (error, place.files())
    };
    // More is promised than there is: it is asked for again, and kept.
    let (error, files) = said(320_001, &content);
    assert!(matches!(error, DownloadError::BrokenOff { done: 320_000, .. }), "{error:?}");
    assert_eq!(files["a.tar.gz.partial"], content);
    // Less is promised than is sent: what is promised is taken, and the digest finds it.
    let (error, files) = said(319_999, &content);
    assert!(matches!(error, DownloadError::WrongDigest { .. }), "{error:?}");
    assert_eq!(files["a.tar.gz.rejected"], content[..319_999]);
    // More is sent than promised, but what was promised is right.
    let longer: Vec<u8> = content.iter().copied().chain([1, 2, 3]).collect();
    let server = Server::new(move |_, _| {
        Answer::new("200 OK", &[("Content-Length", "320000".to_owned())], longer.clone())
    });
    Place::new().get_well(&server.url("x"), &content);
}

fn chunked(content: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in content.chunks(7_001) {
        body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        body.extend(chunk);
        body.extend(b"\r\n");
    }
    body.extend(b"0\r\n\r\n");
    body
}

#[test]
fn chunks_and_bodies_without_a_length_are_read() {
    let content = content(13);
    let header = [("Transfer-Encoding", "chunked".to_owned())];
    let bytes = content.clone();
    let server = Server::new(move |_, _| Answer::new("200 OK", &header, chunked(&bytes)));
    let place = Place::new();
    place.get_well(&server.url("x"), &content);
    assert_eq!(place.told("Begins { done: 0, total: None }"), 1);
    // Cut off within a chunk, and exactly behind one: both are no end.
    let first = 7_001 + "1b59\r\n\r\n".len();
    for (cut, had) in [(first, 7_001), (first + 100, 7_001 + 94)] {
        let bytes = content.clone();
        let server = Server::new(move |number, asked| match number {
            0 => Answer::new(
                "200 OK",
                &[("Transfer-Encoding", "chunked".to_owned()), ("ETag", ONE.to_owned())],
                chunked(&bytes),
            )
            .cut(cut),
            _ => Answer::good(asked, &bytes, ONE),
        });
        Place::new().get_well(&server.url("x"), &content);
        assert_eq!(ranges(&server), [None, Some(had)]);
    }
    // Neither length nor chunks: the end of the connection is the end.
    let bytes = content.clone();
    let server = Server::new(move |_, _| Answer::new("200 OK", &[], bytes.clone()));
    Place::new().get_well(&server.url("x"), &content);
}

#[test]
fn what_the_server_refuses_is_told_and_what_it_cannot_do_now_is_tried_again() {
    let content = content(14);
    for status in ["404 Not Found", "403 Forbidden", "410 Gone", "304 Not Modified"] {
        let server = Server::new(move |_, _| Answer::empty(status));
        let place = Place::new();
        let said = place.get(&server.url("x"), &content).unwrap_err().to_string();
        assert!(said.contains(status) && said.contains(&server.url("x")), "{said}");
        assert_eq!(server.asked().len(), 1);
        assert!(place.files().is_empty());
    }
    for status in ["503 Service Unavailable", "429 Too Many Requests", "500 Internal Server Error"]
    {
        let bytes = content.clone();
        let server = Server::new(move |number, asked| match number {
            0 | 1 => Answer::empty(status),
            _ => Answer::good(asked, &bytes, ONE),
        });
        Place::new().get_well(&server.url("x"), &content);
        let server = Server::new(move |_, _| Answer::empty(status));
        let said = Place::new().get(&server.url("x"), &content).unwrap_err().to_string();
        assert!(said.contains(status) && said.contains("3 more attempts"), "{said}");
        assert_eq!(server.asked().len(), 4);
    }
}

#[test]
fn redirects_are_followed_but_not_to_tls_and_not_for_ever() {
    let content = content(15);
    let bytes = content.clone();
    let server = Server::new(move |_, asked| match asked.path.as_str() {
        "/a/start" => Answer::redirect("next"),
        "/a/next" => Answer::redirect("/b/file"),
        "/b/file" if asked.from().is_none() => Answer::good(asked, &bytes, ONE).cut(1000),
        "/b/file" => Answer::good(asked, &bytes, ONE),
        _ => Answer::empty("404 Not Found"),
    });
    Place::new().get_well(&server.url("a/start"), &content);
    assert_eq!(ranges(&server), [None, None, None, Some(1000), Some(1000), Some(1000)]);

    let server = Server::new(|_, _| Answer::redirect("https://mirror.example/12/a.tar.gz"));
    let place = Place::new();
    for url in [server.url("x"), "https://mirror.example/12/a.tar.gz".to_owned()] {
        let said = place.get(&url, &content).unwrap_err().to_string();
        assert!(said.contains("TLS"), "{said}");
        assert!(said.contains("https://mirror.example/12/a.tar.gz"), "{said}");
        assert!(said.contains(&place.path(NAME).display().to_string()), "{said}");
    }

    let server = Server::new(|number, _| Answer::redirect(format!("/{number}")));
    let said = Place::new().get(&server.url("x"), &content).unwrap_err().to_string();
    assert!(said.contains("without end") && server.asked().len() < 20, "{said}");
    // A redirect to nowhere is no redirect.
    let server = Server::new(|_, _| Answer::empty("302 Found"));
    let said = Place::new().get(&server.url("x"), &content).unwrap_err().to_string();
    assert!(said.contains("302 Found"), "{said}");
}

#[test]
fn addresses_that_lead_nowhere_are_told_at_once() {
    let content = content(16);
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, what) in [
        (format!("http://{free}/x"), "cannot be reached"),
        ("http://nobody.invalid/x".to_owned(), "http://nobody.invalid/x cannot be reached"),
        ("ftp://a.org/x".to_owned(), "http://"),
        ("no address".to_owned(), "cannot be used"),
        ("http:///x".to_owned(), "cannot be used"),
    ] {
        let place = Place::new();
        let said = place.get(&url, &content).unwrap_err().to_string();
        assert!(said.contains(what), "{url}: {said}");
        assert_eq!(place.told("Again"), 0);
    }
}

#[test]
fn what_is_no_web_server_is_told() {
    for head in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let server = Server::new(move |_, _| {
            let mut answer = Answer::empty("200 OK");
            answer.head = head.to_owned();
            answer
        });
        let said = Place::new().get(&server.url("x"), &content(1)).unwrap_err().to_string();
        assert!(said.contains("is not HTTP") && said.contains(&server.url("x")), "{said}");
    }
}

#[test]
fn a_server_that_says_nothing_does_not_hold_the_program() {
    let content = content(17);
    // Nothing at all.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let start = Instant::now();
    let said = Place::new().get(&url, &content).unwrap_err().to_string();
    assert!(said.contains("no answer within 0.3 s"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(5));
    // It falls silent in the middle, once.
    let bytes = content.clone();
    let server = Server::new(move |number, asked| {
        let answer = Answer::good(asked, &bytes, ONE);
        Answer { silent_after: (number == 0).then_some(60_000), ..answer }
    });
    let place = Place::new();
    place.get_well(&server.url("x"), &content);
    assert_eq!(ranges(&server), [None, Some(60_000)]);
    assert_eq!(place.told("no answer within 0.3 s"), 1);
    // A byte now and then is as good as none.
    let bytes = content.clone();
    let server = Server::new(move |_, asked| {
        let answer = Answer::good(asked, &bytes, ONE);
        Answer { trickle: Some(Duration::from_millis(20)), ..answer }
    });
    let start = Instant::now();
    let said = Place::new().get(&server.url("x"), &content).unwrap_err().to_string();
    assert!(said.contains("fewer than 1000 bytes a second"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn two_processes_do_not_fetch_the_same_file() {
    let content = content(18);
    let place = Place::new();
    let path = place.path("a.tar.gz.partial");
    let other = OpenOptions::new().write(true).create(true).truncate(true).open(&path).unwrap();
    other.lock().unwrap();
    let bytes = content.clone();
    let server = Server::new(move |_, asked| Answer::good(asked, &bytes, ONE));
    let said = place.get(&server.url("x"), &content).unwrap_err().to_string();
    assert!(said.contains("another process") && said.contains("a.tar.gz.partial"), "{said}");
    assert!(server.asked().is_empty());
    drop(other);
    place.get_well(&server.url("x"), &content);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let content = content(19);
    let place = Place::new();
    fs::write(place.path("file"), "").unwrap();
    let file = RemoteFile {
        name: NAME.into(),
        url: "http://127.0.0.1:9/x".into(),
        sha256: sha256(&content),
    };
    for folder in [place.path("file"), place.path("file/below"), Path::new("/proc").to_owned()] {
        let said = download(&file, &folder, &quick(), &|_| {}).unwrap_err().to_string();
        assert!(said.contains("cannot be written") && said.contains(&file_name(&folder)), "{said}");
    }
    // A folder has the name of the file.
    fs::create_dir(place.path(NAME)).unwrap();
    let said = download(&file, place.folder.path(), &quick(), &|_| {}).unwrap_err().to_string();
    assert!(said.contains("cannot be read") && said.contains(NAME), "{said}");
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// From the server to the manifests.
#[test]
fn a_fetched_archive_is_prepared() {
    let mut files = Files::new();
    for key in 0..60u64 {
        let digits: Vec<String> = (0..8).map(|bit| (key >> bit & 1).to_string()).collect();
        let name = format!("waves_yesno/{}.wav", digits.join("_"));
        files.insert(name, wav_bytes(key, 8000, 1600));
    }
    let archive = gzip(&tar(&files));
    let bytes = archive.clone();
    let server = Server::new(move |number, asked| {
        let answer = Answer::good(asked, &bytes, ONE);
        if number == 0 { answer.cut(20_000) } else { answer }
    });
    let place = Place::new();
    let archive = place.get(&server.url("waves_yesno.tar.gz"), &archive).unwrap();
    let out = place.path("out");
    let report = prepare_yesno(&PrepareOptions::new(&archive, &out), &silent).unwrap();
    assert_eq!(report.ledger.kept_count(), 60);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    let sizes = ["train", "dev", "test"].map(|name| set(&out, name).utterances.len());
    assert_eq!(sizes, [26, 5, 29]);
}

/// Parts of a corpus lie in archives of their own, each with the same README.
#[test]
fn several_archives_make_one_corpus() {
    let place = Place::new();
    let mut archives = Vec::new();
    for (subset, reader) in [("train-clean-100", 1), ("dev-clean", 2), ("test-clean", 3)] {
        let mut files = Files::from([("LibriSpeech/README.TXT".to_owned(), b"read me".to_vec())]);
        let chapter = format!("LibriSpeech/{subset}/{reader}/7");
        let id = format!("{reader}-7-0000");
        files.insert(format!("{chapter}/{id}.wav"), wav_bytes(reader, 16000, 8000));
        let text = format!("{id} SOME WORDS\n").into_bytes();
        files.insert(format!("{chapter}/{reader}-7.trans.txt"), text);
        let path = place.path(&format!("{subset}.tar.gz"));
        fs::write(&path, gzip(&tar(&files))).unwrap();
        archives.push(path);
    }
    let librispeech = CorpusInfo::named("librispeech").unwrap();
    let out = place.path("out");
    let options =
        PrepareOptions { archives: archives.clone(), ..PrepareOptions::new(place.path(""), &out) };
    let report = (librispeech.prepare)(&options, &silent).unwrap();
    assert_eq!(report.ledger.kept_count(), 3);
    let sizes = ["train", "dev", "test"].map(|name| set(&out, name).utterances.len());
    assert_eq!(sizes, [1, 1, 1]);
    // The same once more is no change; fewer parts are another corpus.
    assert_eq!((librispeech.prepare)(&options, &silent).unwrap(), report);
    let fewer = PrepareOptions { archives: archives[..2].to_vec(), ..options };
    let said = (librispeech.prepare)(&fewer, &silent).unwrap_err().to_string();
    assert!(said.contains("already stands there"), "{said}");
    // One that is cut off leaves nothing of the others.
    let bytes = fs::read(&archives[2]).unwrap();
    fs::write(&archives[2], &bytes[..bytes.len() - 30]).unwrap();
    let cut = PrepareOptions { archives, ..PrepareOptions::new(place.path(""), place.path("cut")) };
    let said = (librispeech.prepare)(&cut, &silent).unwrap_err().to_string();
    assert!(said.contains("test-clean.tar.gz") && !place.path("cut").exists(), "{said}");
}
