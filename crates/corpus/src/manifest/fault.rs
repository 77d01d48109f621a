//! Why a manifest cannot be used, and what to name in its place.

use std::io;
use std::path::{Path, PathBuf};

use crate::atomic::remedy;

/// What can go wrong with a manifest's file.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is no such file.
    #[error(
        "there is no manifest {}; name one that exists, or make one with `labyrinth prepare`",
        path.display()
    )]
    Missing {
        /// The path asked for.
        path: PathBuf,
    },
    /// The path is a folder.
    #[error("{} is a folder; {}", path.display(), manifest_of(manifests))]
    Folder {
        /// The path asked for.
        path: PathBuf,
        /// Those that lie in it.
        manifests: Vec<PathBuf>,
    },
    /// The file is of another kind.
    #[error("{} is {kind}, and no manifest; {advice}", path.display())]
    Foreign {
        /// The path asked for.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
        /// The way out.
        advice: String,
    },
    /// The path is a pipe, a device or a socket, and reading it might never end.
    #[error("{} is a pipe or a device and no file; save the manifest as a file and name that", path.display())]
    Special {
        /// The path asked for.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("{} cannot be read ({source}); see to the disk or its permissions", path.display())]
    Read {
        /// The manifest.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The disk failed, or is full.
    #[error("{} cannot be written ({source}); {} or choose another folder", path.display(), remedy(source))]
    Write {
        /// The manifest.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The file is not the one that was opened.
    #[error("{} was changed while it was in use; start again with the file as it is now", path.display())]
    Changed {
        /// The manifest.
        path: PathBuf,
    },
    /// The index beside a manifest does not fit it.
    #[error("{} is damaged; delete it, and it is made anew", path.display())]
    Index {
        /// The index.
        path: PathBuf,
    },
    /// A line is no utterance.
    #[error("{}, line {line}: {reason}; correct the line or remove it", path.display())]
    Line {
        /// The manifest.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
}

/// What to name in the place of a folder.
fn manifest_of(manifests: &[PathBuf]) -> String {
    const SHOWN: usize = 5;
    let names: Vec<_> = manifests
        .iter()
        .take(SHOWN)
        .filter_map(|path| Some(path.file_name()?.to_string_lossy()))
        .collect();
    match &names[..] {
        [] => "name a manifest (.jsonl), or make one with `labyrinth prepare`".to_owned(),
        [only] => format!("name the manifest in it, {only}"),
        names => {
            let more = if manifests.len() > SHOWN { ", …" } else { "" };
            format!("name one of the manifests in it ({}{more})", names.join(", "))
        }
    }
}

/// What a file is that begins with these bytes, and what to name in its place; `None` where it may be a
/// manifest.
pub(super) fn foreign(path: &Path, head: &[u8]) -> Option<(&'static str, String)> {
    let beside = |name: Option<&str>| match name {
        Some(name) => {
            format!("name the manifest beside it, {}", path.with_file_name(name).display())
        }
        None => "name the manifest beside it (.jsonl)".to_owned(),
    };
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    if head.get(257..262) == Some(b"ustar") {
        // NAME-000012.tar
        let name = stem.and_then(|stem| Some(format!("{}.jsonl", stem.rsplit_once('-')?.0)));
        return Some(("a tar", beside(name.as_deref())));
    }
    if head.starts_with(b"PAR1") {
        return Some(("a table (Parquet)", beside(stem.map(|s| format!("{s}.jsonl")).as_deref())));
    }
    let utf_16 = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
    let (kind, advice) = match head {
        _ if utf_16 => ("text in UTF-16", "save it as UTF-8"),
        [0x1f, 0x8b, ..] => ("compressed (gzip)", "unpack it first"),
        [b'P', b'K', 3, 4, ..] => ("an archive (ZIP)", "unpack it first"),
        [b'B', b'Z', b'h', ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => ("compressed", "unpack it first"),
        _ => return None,
    };
    Some((kind, advice.to_owned()))
}

impl ManifestError {
    /// An id that stands in an earlier line too.
    pub(crate) fn twice(path: &Path, id: &str, line: usize, first: usize) -> Self {
        let reason = format!("id {id:?} stands in line {first} already");
        Self::Line { path: path.to_owned(), line, reason }
    }
}
