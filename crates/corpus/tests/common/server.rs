//! A web server for the tests of downloads, which can do all that real ones do wrong.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

/// A request as it came; names of headers in lower case.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

impl Asked {
    /// The first byte of `Range: bytes=N-`.
    pub fn from(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }

    pub fn if_range(&self) -> Option<&str> {
        self.headers.get("if-range").map(String::as_str)
    }
}

/// What is sent back, byte for byte; then the connection is closed.
#[derive(Clone, Debug)]
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
    /// After this many bytes of the body nothing comes for a while.
    pub silent_after: Option<usize>,
    /// The body comes in single bytes with this pause between them.
    pub trickle: Option<Duration>,
}

impl Answer {
    pub fn new(status: &str, headers: &[(&str, String)], body: impl Into<Vec<u8>>) -> Self {
        let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        Self { head, body: body.into(), silent_after: None, trickle: None }
    }

    /// The whole content, with its length.
    pub fn whole(content: &[u8], version: &str) -> Self {
        let headers = [("Content-Length", content.len().to_string()), ("ETag", version.to_owned())];
        Self::new("200 OK", &headers, content)
    }

    /// As a good server answers: the part that was asked for, unless the version is another.
    pub fn good(asked: &Asked, content: &[u8], version: &str) -> Self {
        match asked.from() {
            None => Self::whole(content, version),
            Some(_) if asked.if_range().is_some_and(|given| given != version) => {
                Self::whole(content, version)
            }
            Some(from) if from >= content.len() => {
                let range = ("Content-Range", format!("bytes */{}", content.len()));
                let headers = [range, ("Content-Length", "0".to_owned())];
                Self::new("416 Range Not Satisfiable", &headers, "")
            }
            Some(from) => {
                let (last, all) = (content.len() - 1, content.len());
                let headers = [
                    ("Content-Range", format!("bytes {from}-{last}/{all}")),
                    ("Content-Length", (all - from).to_string()),
                    ("ETag", version.to_owned()),
                ];
                Self::new("206 Partial Content", &headers, &content[from..])
            }
        }
    }

    pub fn empty(status: &str) -> Self {
        Self::new(status, &[("Content-Length", "0".to_owned())], "")
    }

    pub fn redirect(location: impl Into<String>) -> Self {
        let headers = [("Location", location.into()), ("Content-Length", "0".to_owned())];
        Self::new("302 Found", &headers, "")
    }

    /// Closes the connection after `count` bytes of the body.
    pub fn cut(mut self, count: usize) -> Self {
        self.body.truncate(count);
        self
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        // A head that is no head is sent as it is.
        let end = if self.head.starts_with("HTTP/") { "\r\n" } else { "" };
        stream.write_all(format!("{}{end}", self.head).as_bytes())?;
        if let Some(pause) = self.trickle {
            for byte in &self.body {
                stream.write_all(&[*byte])?;
                sleep(pause);
            }
            return Ok(());
        }
        let spoken = self.silent_after.unwrap_or(self.body.len());
        stream.write_all(&self.body[..spoken])?;
        stream.flush()?;
        if self.silent_after.is_some() {
            sleep(Duration::from_millis(900));
            stream.write_all(&self.body[spoken..])?;
        }
        Ok(())
    }
}

/// Answers until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `answer` is told how many requests came before, and the request.
    pub fn new(answer: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let (log, stopped, answer) = (asked.clone(), stop.clone(), Arc::new(answer));
        let thread = spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (mut stream, log, answer) = (stream.unwrap(), log.clone(), answer.clone());
                // A client that gives up on a silent answer calls again before that has ended.
                spawn(move || {
                    let Some(request) = read_request(&stream) else { return };
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.len() - 1
                    };
                    // The client may have gone.
                    let _ = answer(number, &request).send(&mut stream);
                });
            }
        });
        Self { address, asked, stop, thread: Some(thread) }
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread; were it gone, there is nothing to wake.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.strip_prefix("GET ")?.split(' ').next()?.to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    Some(Asked { path, headers })
}
