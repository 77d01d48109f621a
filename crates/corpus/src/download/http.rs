//! One request of HTTP/1.1 and what of its answer a download needs.
//!
//! Redirects are followed here and not by the library, since one of them may lead to `https`, and the
//! user has to be told where.

use super::Patience;
use std::io::{self, Read};
use std::net::IpAddr;
use ureq::http::Uri;
use ureq::http::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE, LAST_MODIFIED, LOCATION,
    RANGE,
};
use ureq::{Agent, Error, Timeout};

/// More than any publisher's chain of mirrors.
const MOST_REDIRECTS: usize = 8;

/// What is asked for.
pub(super) struct Request {
    /// The first byte that is missing.
    pub(super) from: u64,
    /// The version of which the bytes before are.
    pub(super) version: Option<String>,
}

/// What is answered.
pub(super) struct Response {
    pub(super) status: u16,
    /// The status in words: `404 Not Found`.
    pub(super) reason: String,
    /// `Content-Length`.
    pub(super) length: Option<u64>,
    /// `Content-Range`.
    pub(super) range: Option<ContentRange>,
    /// The `ETag` if it is a strong one, else `Last-Modified`: only these may stand in `If-Range`.
    pub(super) version: Option<String>,
    pub(super) body: Box<dyn Read>,
}

/// `bytes 100-199/1000`, or `bytes */1000` where `first` has no meaning, or `bytes 100-199/*`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    pub(super) total: Option<u64>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The address is none.
    Address { url: String, reason: String },
    /// It leads to an address of https.
    NeedsTls { url: String },
    /// A name without an address, refused, no route, no answer to the call.
    NoConnection(String),
    /// Connected, but it says nothing.
    NoAnswer(String),
    /// It broke off.
    Dropped(String),
    /// Too many redirects.
    Redirects,
    /// What came is no HTTP.
    NotHttp(String),
    /// The server says no.
    Status(String),
}

/// Whether an address can be asked at all.
pub(super) fn check_address(url: &str) -> Result<Uri, Fault> {
    let bad = |reason: &str| Fault::Address { url: url.to_owned(), reason: reason.to_owned() };
    let uri: Uri = url.parse().map_err(|_| bad("it cannot be parsed"))?;
    if uri.host().is_none_or(str::is_empty) {
        return Err(bad("it names no host"));
    }
    match uri.scheme_str() {
        Some("http") => Ok(uri),
        Some("https") => Err(Fault::NeedsTls { url: url.to_owned() }),
        _ => Err(bad("it does not begin with http://")),
    }
}

/// Asks for `url` and follows where it leads.
pub(super) fn get(url: &str, request: &Request, patience: &Patience) -> Result<Response, Fault> {
    let mut url = url.to_owned();
    for _ in 0..=MOST_REDIRECTS {
        let uri = check_address(&url)?;
        let mut call = agent(&uri, patience).get(&uri).header(ACCEPT_ENCODING, "identity");
        if request.from > 0 {
            call = call.header(RANGE, format!("bytes={}-", request.from));
            if let Some(version) = &request.version {
                call = call.header(IF_RANGE, version);
            }
        }
        let answer = call.call().map_err(|error| fault(error, &uri, patience))?;
        let headers = answer.headers();
        let location = text(headers, LOCATION).filter(|_| answer.status().is_redirection());
        if let Some(location) = location {
            url = join(&uri, &location);
            continue;
        }
        let version = text(headers, ETAG).filter(|tag| tag.starts_with('"'));
        return Ok(Response {
            status: answer.status().as_u16(),
            reason: answer.status().to_string(),
            length: answer.body().content_length(),
            range: text(headers, CONTENT_RANGE).and_then(|range| content_range(&range)),
            version: version.or_else(|| text(headers, LAST_MODIFIED)),
            body: Box::new(answer.into_body().into_reader()),
        });
    }
    Err(Fault::Redirects)
}

/// A new one for each request: a connection that has just dropped is not worth keeping.
fn agent(uri: &Uri, patience: &Patience) -> Agent {
    let wait = Some(patience.answer);
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .user_agent(concat!("labyrinth/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(wait)
        .timeout_connect(wait)
        .timeout_send_request(wait)
        .timeout_recv_response(wait)
        .timeout_per_read(wait);
    // The proxy of the environment, as everywhere; this machine itself needs none.
    if is_this_machine(uri) {
        config = config.proxy(None);
    }
    config.build().new_agent()
}

fn is_this_machine(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn fault(error: Error, uri: &Uri, patience: &Patience) -> Fault {
    match error {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            Fault::NoConnection(silence(patience))
        }
        Error::Timeout(_) => Fault::NoAnswer(silence(patience)),
        Error::Protocol(error) => Fault::NotHttp(error.to_string()),
        error @ (Error::LargeResponseHeader(..) | Error::Http(_)) => {
            Fault::NotHttp(error.to_string())
        }
        Error::BadUri(reason) => Fault::Address { url: uri.to_string(), reason },
        Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Fault::Dropped(error.to_string()),
            _ => Fault::NoConnection(error.to_string()),
        },
        other => Fault::NoConnection(other.to_string()),
    }
}

/// What ended a body too early, in words.
pub(super) fn reason(error: &io::Error, patience: &Patience) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match (error.kind(), inner) {
        (io::ErrorKind::TimedOut, _) | (_, Some(Error::Timeout(_))) => silence(patience),
        (io::ErrorKind::UnexpectedEof, _) => "the connection was closed".to_owned(),
        _ => error.to_string(),
    }
}

fn silence(patience: &Patience) -> String {
    format!("no answer within {} s", patience.answer.as_secs_f64())
}

/// RFC 9110, section 14.4.
fn content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    let first = match range.trim() {
        "*" => 0,
        range => range.split_once('-')?.0.parse().ok()?,
    };
    Some(ContentRange { first, total })
}

/// Where `location` leads, seen from `base` (RFC 3986, section 5.2, without the removal of dots, which
/// servers do themselves).
fn join(base: &Uri, location: &str) -> String {
    // An anchor is the browser's business.
    let location = location.trim().split('#').next().unwrap_or_default();
    let scheme = base.scheme_str().unwrap_or("http");
    let authority = base.authority().map_or("", |authority| authority.as_str());
    let has_scheme = location.split_once(':').is_some_and(|(before, _)| {
        !before.is_empty() && before.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    if has_scheme {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_may_be_whole_or_relative() {
        let base: Uri = "http://a.org:8080/resources/1/x.tar.gz".parse().unwrap();
        for (location, whole) in [
            ("http://b.org/x.tar.gz", "http://b.org/x.tar.gz"),
            ("https://b.org/x.tar.gz#top", "https://b.org/x.tar.gz"),
            ("//b.org/x.tar.gz", "http://b.org/x.tar.gz"),
            ("/y.tar.gz", "http://a.org:8080/y.tar.gz"),
            ("y.tar.gz?at=12:30", "http://a.org:8080/resources/1/y.tar.gz?at=12:30"),
        ] {
            assert_eq!(join(&base, location), whole);
        }
    }

    #[test]
    fn a_content_range_is_read_in_its_three_forms() {
        let range = |first, total| Some(ContentRange { first, total });
        assert_eq!(content_range("bytes 100-199/1000"), range(100, Some(1000)));
        assert_eq!(content_range("bytes 100-199/*"), range(100, None));
        assert_eq!(content_range("bytes */1000"), range(0, Some(1000)));
        for broken in ["", "items 1-2/3", "bytes 1-2", "bytes -/3", "bytes 1-2/x", "bytes 99"] {
            assert_eq!(content_range(broken), None, "{broken}");
        }
    }

    #[test]
    fn only_plain_http_addresses_can_be_asked() {
        assert!(check_address("http://127.0.0.1:8000/a").is_ok());
        assert!(matches!(check_address("https://a.org/x"), Err(Fault::NeedsTls { .. })));
        for url in ["", "a", "/a/b", "ftp://a.org/x", "http://", "http:///x", "http://a b/c"] {
            assert!(matches!(check_address(url), Err(Fault::Address { .. })), "{url}");
        }
    }
}
