//! Fetches a file from its publisher: resumed where it broke off, verified by its SHA-256, and under its
//! name only when it is whole.
//!
//! What comes is written to `NAME.partial`; beside it `NAME.partial.json` says from where it came and
//! what the server called this version of it (its `ETag`, or its `Last-Modified`). A dropped connection
//! is taken up again after a pause; a program that was ended goes on when it is started again: with
//! `Range`, and with `If-Range` (RFC 9110, section 13.1.5) so that a server whose file has changed since
//! begins anew instead of sending the rest of another file. When all is there, the SHA-256 of the whole
//! file is compared with the published one: it has the last word, whatever the server said about lengths
//! and versions.
//!
//! The transport is plain HTTP: TLS in Rust needs a C compiler today, and the digest protects what is
//! fetched. An address that leads to `https` ends in [`DownloadError::NeedsTls`].

mod http;
mod partial;

use crate::atomic::remedy;
use crate::digest::sha256;
use http::{Fault, Request};
use partial::{Note, Partial};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// So much more than ever before, and a connection that drops again has earned all its retries anew.
const WORTHWHILE: u64 = 1 << 20;

/// A file as its publisher describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// The name it gets in the folder.
    pub name: String,
    /// Where it lies: an `http` address.
    pub url: String,
    /// Its SHA-256, 64 hexadecimal digits in lower case.
    pub sha256: String,
}

/// How long to wait for a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Patience {
    /// For a name, a connection, an answer, and the next bytes, each.
    pub answer: Duration,
    /// Bytes a second, over the time of `answer`, below which a connection is taken for dead.
    pub slowest: u64,
    /// The pause before each retry. After the last, what is there stays for another day.
    pub pauses: Vec<Duration>,
}

impl Default for Patience {
    /// 30 seconds, 1 kB a second, five retries over half a minute.
    fn default() -> Self {
        let pauses = [1, 2, 4, 8, 16].map(Duration::from_secs).to_vec();
        Self { answer: Duration::from_secs(30), slowest: 1000, pauses }
    }
}

/// What is told while a file is fetched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DownloadEvent<'a> {
    /// The server answers; it goes on behind the first `done` bytes of `total`, if it says how many
    /// there are. Told once for each connection.
    Begins {
        /// Bytes that are here already.
        done: u64,
        /// Bytes of the whole file.
        total: Option<u64>,
    },
    /// So many bytes are here.
    At {
        /// Bytes that are here.
        done: u64,
        /// Bytes of the whole file.
        total: Option<u64>,
    },
    /// The connection broke off; the next one is tried after a pause.
    Again {
        /// What happened.
        reason: &'a str,
        /// Bytes that are here.
        done: u64,
        /// Until the next attempt.
        pause: Duration,
    },
    /// So many bytes of what is here have been verified.
    Verifying {
        /// Bytes read.
        done: u64,
        /// Bytes of the file.
        total: u64,
    },
}

/// Why a file could not be fetched. Each is one sentence with the way out; unless it says otherwise, what
/// has come so far is kept and the next attempt goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The address is none, or not of HTTP.
    #[error("the address {url} cannot be used ({reason}); it should be like http://host/folder")]
    Address {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is served over TLS only.
    #[error(
        "{url} can be had over TLS only, which is not spoken here; fetch it by other means, as {}, and \
         begin again to have it verified",
        path.display()
    )]
    NeedsTls {
        /// Where it lies.
        url: String,
        /// Where it belongs.
        path: PathBuf,
    },
    /// The host is not known, there is no connection, or no answer.
    #[error("{url} cannot be reached ({reason}); check the network, or try again later")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server will not give it.
    #[error("the server answers {status} for {url}; the file has moved or is gone: try a mirror")]
    Status {
        /// What was asked for.
        url: String,
        /// The number and what it means, such as `404 Not Found`.
        status: String,
    },
    /// One redirect after another.
    #[error("{url} leads from address to address without end; try a mirror")]
    Redirects {
        /// Where it began.
        url: String,
    },
    /// What answers is no web server.
    #[error("the answer of {url} is not HTTP ({reason}); check the address")]
    NotHttp {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It broke off too often.
    #[error(
        "{url} broke off after {done} bytes ({reason}), and {retries} more attempts did not help; {} \
         keeps what has come: begin again later and it goes on from there",
        partial.display()
    )]
    BrokenOff {
        /// What was asked for.
        url: String,
        /// Bytes that are here.
        done: u64,
        /// What happened the last time.
        reason: String,
        /// How often it was tried again without success.
        retries: usize,
        /// Where they are.
        partial: PathBuf,
    },
    /// What came is not what was published.
    #[error(
        "the SHA-256 of what {url} sent is {found}, the published one is {expected}; it is set aside as \
         {}: begin again to fetch it anew, or try a mirror",
        rejected.display()
    )]
    WrongDigest {
        /// Where it came from.
        url: String,
        /// The published one.
        expected: String,
        /// That of the file.
        found: String,
        /// Where the file is now.
        rejected: PathBuf,
    },
    /// A file of that name was there before, and is another. It is left alone.
    #[error(
        "{} stands there already, and its SHA-256 is {found} where the published one is {expected}; move \
         it away to have it fetched, or choose another folder",
        path.display()
    )]
    AnotherFile {
        /// The file.
        path: PathBuf,
        /// The published digest.
        expected: String,
        /// That of the file.
        found: String,
    },
    /// Two processes fetch the same file.
    #[error("{} is being fetched by another process; wait for it, or end it", path.display())]
    InUse {
        /// The unfinished file.
        path: PathBuf,
    },
    /// The disk failed while reading.
    #[error("{} cannot be read ({source}); see to the disk or its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The disk failed, or is full, while writing.
    #[error(
        "{} cannot be written ({source}); {} or choose another folder; what has come so far is kept",
        path.display(),
        remedy(source)
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
}

impl DownloadError {
    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}

/// Fetches `file` into `folder`, which is made where it does not exist, and gives its path. A file of
/// that name which has the right digest is taken as it is, without the network.
///
/// # Errors
/// [`DownloadError`].
pub fn download(
    file: &RemoteFile,
    folder: &Path,
    patience: &Patience,
    tell: &dyn Fn(DownloadEvent<'_>),
) -> Result<PathBuf, DownloadError> {
    let path = folder.join(&file.name);
    if path.exists() {
        return taken_as_it_is(file, path, tell);
    }
    http::check_address(&file.url).map_err(|fault| final_error(fault, file, &path))?;
    let made = !folder.exists();
    fs::create_dir_all(folder).map_err(DownloadError::write(folder))?;
    let mut partial = Partial::open(&path)?;
    if path.exists() {
        // Another process finished it between the look above and the lock.
        partial.remove()?;
        return taken_as_it_is(file, path, tell);
    }
    if let Err(error) = fetch(file, &path, &mut partial, patience, tell) {
        if partial.length == 0 {
            // Nothing came, so nothing is left behind; the error that brought us here is the one to tell.
            let _ = partial.remove();
            if made {
                // Only an empty folder can be removed this way.
                let _ = fs::remove_dir(folder);
            }
        }
        return Err(error);
    }
    let found = digest(&mut partial.file, &partial.path, tell)?;
    if found != file.sha256 {
        let rejected = folder.join(format!("{}.rejected", file.name));
        partial.rename(&rejected)?;
        let (url, expected) = (file.url.clone(), file.sha256.clone());
        return Err(DownloadError::WrongDigest { url, expected, found, rejected });
    }
    partial.rename(&path)?;
    Ok(path)
}

/// A file that is there already is verified and never changed.
fn taken_as_it_is(
    file: &RemoteFile,
    path: PathBuf,
    tell: &dyn Fn(DownloadEvent<'_>),
) -> Result<PathBuf, DownloadError> {
    let mut opened = File::open(&path).map_err(DownloadError::read(&path))?;
    let found = digest(&mut opened, &path, tell)?;
    if found != file.sha256 {
        let expected = file.sha256.clone();
        return Err(DownloadError::AnotherFile { path, expected, found });
    }
    Ok(path)
}

fn digest(
    file: &mut File,
    path: &Path,
    tell: &dyn Fn(DownloadEvent<'_>),
) -> Result<String, DownloadError> {
    let total = file.metadata().map_err(DownloadError::read(path))?.len();
    file.seek(SeekFrom::Start(0)).map_err(DownloadError::read(path))?;
    sha256(file, &|done| tell(DownloadEvent::Verifying { done, total }))
        .map_err(DownloadError::read(path))
}

/// Connects until all is there.
fn fetch(
    file: &RemoteFile,
    path: &Path,
    partial: &mut Partial,
    patience: &Patience,
    tell: &dyn Fn(DownloadEvent<'_>),
) -> Result<(), DownloadError> {
    let mut answered = false;
    let mut retries = 0;
    let mut furthest = partial.length;
    loop {
        let reason = match attempt(file, partial, patience, &mut answered, tell) {
            Ok(()) => return Ok(()),
            Err(Broken::Http(Fault::Dropped(reason))) => reason,
            // A server that was there a moment ago may come back; one that never was is told at once.
            Err(Broken::Http(Fault::NoConnection(reason) | Fault::NoAnswer(reason)))
                if answered =>
            {
                reason
            }
            Err(Broken::Http(fault)) => return Err(final_error(fault, file, path)),
            Err(Broken::Disk(error)) => return Err(error),
        };
        if partial.length >= furthest.saturating_add(WORTHWHILE) {
            furthest = partial.length;
            retries = 0;
        }
        let done = partial.length;
        let Some(&pause) = patience.pauses.get(retries) else {
            let (url, partial) = (file.url.clone(), partial.path.clone());
            return Err(DownloadError::BrokenOff { url, done, reason, retries, partial });
        };
        tell(DownloadEvent::Again { reason: &reason, done, pause });
        sleep(pause);
        retries += 1;
    }
}

/// What ends one connection.
enum Broken {
    Http(Fault),
    Disk(DownloadError),
}

impl From<DownloadError> for Broken {
    fn from(error: DownloadError) -> Self {
        Self::Disk(error)
    }
}

fn dropped(reason: impl Into<String>) -> Broken {
    Broken::Http(Fault::Dropped(reason.into()))
}

/// One connection: asks for what is missing and writes what comes.
fn attempt(
    file: &RemoteFile,
    partial: &mut Partial,
    patience: &Patience,
    answered: &mut bool,
    tell: &dyn Fn(DownloadEvent<'_>),
) -> Result<(), Broken> {
    match partial.note.total {
        Some(total) if partial.length == total => return Ok(()),
        Some(total) if partial.length > total => partial.restart(Note::default())?,
        _ => {}
    }
    let from = partial.length;
    // What one server calls a version means nothing to another.
    let version = Some(&partial.note).filter(|note| note.url == file.url);
    let request = Request { from, version: version.and_then(|note| note.version.clone()) };
    let response = http::get(&file.url, &request, patience).map_err(Broken::Http)?;
    *answered = true;
    let total = match response.status {
        200 => {
            let note = Note {
                url: file.url.clone(),
                version: response.version.clone(),
                total: response.length,
            };
            partial.restart(note)?;
            response.length
        }
        206 => {
            let known = partial.note.total;
            let fits = response.range.filter(|range| {
                range.first == from
                    && (range.total == known || known.is_none() || range.total.is_none())
            });
            let Some(range) = fits else {
                partial.restart(Note::default())?;
                return Err(dropped("the server sent another part than was asked for"));
            };
            range.total.or(known)
        }
        // Nothing lies behind what is here: it is whole, or it is more than there is.
        416 if from > 0 && response.range.and_then(|range| range.total) == Some(from) => {
            return Ok(());
        }
        416 if from > 0 => {
            partial.restart(Note::default())?;
            return Err(dropped("the file is shorter now"));
        }
        408 | 429 | 500..600 => return Err(dropped(format!("it answers {}", response.reason))),
        _ => return Err(Broken::Http(Fault::Status(response.reason))),
    };
    tell(DownloadEvent::Begins { done: partial.length, total });
    receive(response.body, partial, total, patience, tell)?;
    match total {
        Some(total) if partial.length < total => {
            Err(dropped(format!("{} of {total} bytes came", partial.length)))
        }
        Some(total) if partial.length > total => {
            partial.restart(Note::default())?;
            Err(dropped(format!("more than {total} bytes came")))
        }
        _ => Ok(()),
    }
}

/// Writes the body to the end of the unfinished file.
fn receive(
    mut body: impl Read,
    partial: &mut Partial,
    total: Option<u64>,
    patience: &Patience,
    tell: &dyn Fn(DownloadEvent<'_>),
) -> Result<(), Broken> {
    let mut buffer = vec![0; 1 << 16];
    let mut watch = (Instant::now(), partial.length);
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(dropped(http::reason(&error, patience))),
        };
        partial.append(&buffer[..count])?;
        tell(DownloadEvent::At { done: partial.length, total });
        let (since, before) = watch;
        let elapsed = since.elapsed();
        if elapsed >= patience.answer {
            let gained = (partial.length - before) as f64;
            if gained < patience.slowest as f64 * elapsed.as_secs_f64() {
                return Err(dropped(format!("fewer than {} bytes a second", patience.slowest)));
            }
            watch = (Instant::now(), partial.length);
        }
    }
}

/// What is no use trying again.
fn final_error(fault: Fault, file: &RemoteFile, path: &Path) -> DownloadError {
    let url = file.url.clone();
    match fault {
        Fault::Address { url, reason } => DownloadError::Address { url, reason },
        Fault::NeedsTls { url } => DownloadError::NeedsTls { url, path: path.to_owned() },
        Fault::NoConnection(reason) | Fault::NoAnswer(reason) | Fault::Dropped(reason) => {
            DownloadError::Unreachable { url, reason }
        }
        Fault::Redirects => DownloadError::Redirects { url },
        Fault::NotHttp(reason) => DownloadError::NotHttp { url, reason },
        Fault::Status(status) => DownloadError::Status { url, status },
    }
}
