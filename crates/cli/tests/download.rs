//! `labyrinth prepare --download`: what is refused before the network is touched, and what a server of the
//! test's own can do to it. No test has the published archives, so that each fetch ends at their digest.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use common::Sandbox;

/// The digest that yesno's archive should have.
const PUBLISHED: &str = "c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73";
const PARTIAL: &str = "archives/waves_yesno.tar.gz.partial";

/// Serves `content` as any name with `Range`. The first request stops after half and says no more.
/// Gives its address and the lines of the requests.
fn serve(content: Vec<u8>, first_stops: bool) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = asked.clone();
    // The thread ends with the process of the test.
    spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (stream, content, log) = (stream.unwrap(), content.clone(), log.clone());
            spawn(move || answer(stream, &content, number == 0 && first_stops, &log));
        }
    });
    (address, asked)
}

fn answer(mut stream: TcpStream, content: &[u8], stops: bool, log: &Mutex<Vec<String>>) {
    let mut from = None;
    for line in BufReader::new(&stream).lines() {
        let line = line.unwrap_or_default();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse::<usize>().ok();
        }
        log.lock().unwrap().push(line);
    }
    let all = content.len();
    let status = match from {
        None => "200 OK".to_owned(),
        Some(from) => {
            format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{all}", all - 1)
        }
    };
    let body = &content[from.unwrap_or(0)..];
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"v\"\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let body = if stops { &body[..body.len() / 2] } else { body };
    // The program may have been killed.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    if stops {
        sleep(Duration::from_secs(20));
    }
}

fn fetch(mirror: &str) -> Vec<String> {
    ["prepare", "yesno", "--download", "archives", "--mirror", mirror].map(str::to_owned).to_vec()
}

#[test]
fn what_cannot_be_fetched_is_refused_before_the_network_is_touched() {
    let sandbox = Sandbox::new();
    for (arguments, named) in [
        ("an4 --download archives", "http://www.speech.cs.cmu.edu/databases/an4/"),
        ("arctic --download archives", "festvox.org"),
        ("folder --download archives", "--from"),
        ("librispeech --download archives", "train-clean-100, train-clean-360"),
        ("librispeech --download archives --part dev-clean,dev-dirty", "\"dev-dirty\""),
        ("speech-commands --download archives --part v0.01,v0.02", "one of them"),
        ("tedlium --download archives", "one of them"),
    ] {
        let arguments: Vec<&str> = ["prepare"].into_iter().chain(arguments.split(' ')).collect();
        sandbox.refuses(&arguments, named);
    }
    for arguments in [
        &["prepare", "yesno"][..],
        &["prepare", "yesno", "--from", "a", "--download", "b"],
        &["prepare", "yesno", "--from", "a", "--mirror", "http://a"],
        &["prepare", "yesno", "--from", "a", "--part", "waves"],
    ] {
        assert_eq!(sandbox.run(arguments).status, Some(2), "{arguments:?}");
    }
    assert!(sandbox.snapshot().is_empty());
    let help = sandbox.run_well(&["prepare", "--help"]).stdout;
    assert!(help.contains("--download: --part train-clean-100"), "{help}");
}

#[test]
fn an_address_of_tls_ends_in_a_command_to_paste() {
    let sandbox = Sandbox::new();
    let mut arguments = fetch("https://mirror.example/a b");
    sandbox.run(&arguments).is_one_sentence("cannot be used");
    *arguments.last_mut().unwrap() = "https://mirror.example/$(x)".into();
    arguments.extend(["-o".into(), "my data".into()]);
    let said = sandbox.run(&arguments).is_one_sentence("TLS");
    let to = "archives/waves_yesno.tar.gz";
    let url = "'https://mirror.example/$(x)/waves_yesno.tar.gz'";
    assert!(said.contains(&format!("`curl -fL --create-dirs -C - -o {to} {url}`")), "{said}");
    assert!(
        said.contains(&format!("`labyrinth prepare yesno --from {to} -o 'my data'`")),
        "{said}"
    );
    assert!(sandbox.snapshot().is_empty());
}

#[test]
fn a_server_that_is_not_there_is_one_sentence() {
    let sandbox = Sandbox::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    sandbox.run(&fetch(&format!("http://{free}"))).is_one_sentence("cannot be reached");
    sandbox.run(&fetch("http://nobody.invalid")).is_one_sentence("nobody.invalid");
    assert!(!sandbox.path("archives").exists());
}

#[test]
fn a_wrong_digest_ends_the_command_with_both() {
    let sandbox = Sandbox::new();
    let (address, _) = serve(b"no archive".to_vec(), false);
    let ran = sandbox.run(&fetch(&format!("http://{address}/1")));
    let said = ran.is_one_sentence(PUBLISHED);
    // Of the ten bytes above, by another program.
    let found = "7275b9d1e6c0314c52bfca6c77534b8eaa3a8454a5c74b20e3e5f983e32c6877";
    assert!(said.contains(found) && said.contains("waves_yesno.tar.gz.rejected"), "{said}");
    assert_eq!(sandbox.read("archives/waves_yesno.tar.gz.rejected"), b"no archive");
    for shown in [
        "yesno, eight Hebrew words a recording, one speaker",
        "licence  none stated",
        "home     https://www.openslr.org/1/",
        &format!("fetch    http://{address}/1/waves_yesno.tar.gz"),
        "size     10 bytes",
    ] {
        assert!(ran.stdout.contains(shown), "{shown}: {}", ran.stdout);
    }
    assert!(!sandbox.path("data").exists());
}

#[test]
fn killed_in_the_middle_it_goes_on_from_there() {
    let sandbox = Sandbox::new();
    let content: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let (address, asked) = serve(content.clone(), true);
    let arguments = fetch(&format!("http://{address}"));
    let mut child =
        sandbox.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let had = || std::fs::metadata(sandbox.path(PARTIAL)).map_or(0, |data| data.len());
    while had() < 400_000 {
        assert!(start.elapsed() < Duration::from_secs(15), "only {} bytes came", had());
        sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let ran = sandbox.run(&arguments);
    ran.is_one_sentence(PUBLISHED);
    assert!(
        ran.stdout.contains("size     800.0 kB, 400.0 kB of it here already"),
        "{}",
        ran.stdout
    );
    assert!(sandbox.read("archives/waves_yesno.tar.gz.rejected") == content);
    let asked = asked.lock().unwrap().join("\n").to_lowercase();
    assert_eq!(asked.matches("get /waves_yesno.tar.gz").count(), 2, "{asked}");
    assert!(asked.contains("range: bytes=400000-") && asked.contains("if-range: \"v\""), "{asked}");
}

#[cfg(unix)]
#[test]
fn a_full_disk_keeps_what_has_come() {
    let sandbox = Sandbox::new();
    let content: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let (address, _) = serve(content.clone(), false);
    // No file may grow beyond some hundred kilobytes: as on a full disk. The signal that would end the
    // process is ignored. The unit of `ulimit -f` is 512 or 1024 bytes.
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\"".to_owned();
    let mut arguments = vec!["-c".to_owned(), script, env!("CARGO_BIN_EXE_labyrinth").to_owned()];
    arguments.extend(fetch(&format!("http://{address}")));
    let output = std::process::Command::new("sh")
        .args(&arguments)
        .current_dir(sandbox.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = common::Ran::of(output).is_one_sentence(PARTIAL);
    assert!(said.contains("make room") && said.contains("is kept"), "{said}");
    let kept = sandbox.read(PARTIAL);
    assert!(kept.len() >= 100_000 && kept[..] == content[..kept.len()], "{}", kept.len());
    let ran = sandbox.run(&fetch(&format!("http://{address}")));
    ran.is_one_sentence(PUBLISHED);
    assert!(ran.stdout.contains("of it here already"), "{}", ran.stdout);
    assert!(sandbox.read("archives/waves_yesno.tar.gz.rejected") == content);
}
