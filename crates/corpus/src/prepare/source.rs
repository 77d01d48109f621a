//! Finds a corpus under `--from`: unpacked, as an archive, or in a folder that holds its archive.

use super::archive::unpack;
use super::output::{make_folder, remove_if_empty};
use super::paths::entries;
use super::{PrepareError, PrepareOptions};
use std::fs;
use std::path::{Path, PathBuf};

/// How a corpus is recognised.
pub(crate) struct Shape {
    /// The corpus, as messages name it.
    pub(crate) title: &'static str,
    /// What `--from` should name, as messages say it.
    pub(crate) expected: &'static str,
    /// Beginnings of its archives' file names in lower case, best first.
    pub(crate) archives: &'static [&'static str],
    /// What a folder must hold to be its root, as messages say it.
    pub(crate) mark: &'static str,
    /// Whether a folder is its root.
    pub(crate) is_root: fn(&Path) -> bool,
    /// It comes as several folders or archives (languages, parts), so that to take the first one found
    /// would lose the others silently: the user has to say which, or unpack them all.
    pub(crate) several: bool,
}

/// Where a corpus was found. Unless [`Located::keep`] is called, what was unpacked for it is removed
/// again: a preparation that is refused leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Located {
    /// The canonical path of the corpus's root folder.
    pub(crate) root: PathBuf,
    leftover: Leftover,
}

impl Located {
    /// The preparation stands: what was unpacked stays.
    pub(crate) fn keep(mut self) {
        // Emptied, not replaced: what is replaced is dropped, and dropping removes.
        self.leftover.unpacked = None;
        self.leftover.out = None;
    }
}

/// What this call made, removed when it is dropped.
#[derive(Debug, Default)]
struct Leftover {
    unpacked: Option<PathBuf>,
    out: Option<PathBuf>,
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some(unpacked) = &self.unpacked {
            // The refusal that brought us here is the one to tell.
            let _ = fs::remove_dir_all(unpacked);
        }
        if let Some(out) = &self.out {
            remove_if_empty(out);
        }
    }
}

const ARCHIVE_ENDS: [&str; 3] = [".tar.gz", ".tgz", ".tar"];

/// The corpus's root folder, unpacked into the output folder where that is needed.
/// An unpacked tree is preferred to an archive beside it.
pub(crate) fn locate(shape: &Shape, options: &PrepareOptions) -> Result<Located, PrepareError> {
    let from = &options.from;
    let expected = shape.expected.to_owned();
    PrepareError::refuse_missing(from, &expected)?;
    let not_this = |path: &Path, reason: String| PrepareError::NotThisCorpus {
        path: path.to_owned(),
        title: shape.title.to_owned(),
        reason,
        expected: shape.expected.to_owned(),
    };
    let archives = if !options.archives.is_empty() {
        options.archives.clone()
    } else if from.is_file() {
        if !is_archive(from) {
            return Err(not_this(from, "a file, but no .tar.gz, .tgz or .tar".to_owned()));
        }
        vec![from.clone()]
    } else {
        if let Some(root) = find_root(shape, from)? {
            let root = root.canonicalize().map_err(PrepareError::read(&root))?;
            return Ok(Located { root, leftover: Leftover::default() });
        }
        let inside = entries(from)?;
        if inside.is_empty() {
            return Err(PrepareError::Empty { path: from.clone(), expected });
        }
        let count = inside.iter().filter(|path| is_archive_of(shape, path)).count();
        if shape.several && count > 1 {
            let reason = format!("it holds {count} archives; unpack them into one folder");
            return Err(not_this(from, reason));
        }
        vec![best_archive(shape, &inside).ok_or_else(|| {
            not_this(from, format!("it holds neither {} nor its archive", shape.mark))
        })?]
    };
    let mut leftover =
        Leftover { unpacked: None, out: (!options.out.exists()).then(|| options.out.clone()) };
    make_folder(&options.out)?;
    let (audio, fresh) = unpack(&archives, options)?;
    leftover.unpacked = fresh.then(|| audio.clone());
    let root = find_root(shape, &audio)?
        .ok_or_else(|| not_this(&archives[0], format!("it does not hold {}", shape.mark)))?;
    let root = root.canonicalize().map_err(PrepareError::read(&root))?;
    Ok(Located { root, leftover })
}

/// `folder` itself or one of the folders in it, two levels deep: archives and people put one around.
fn find_root(shape: &Shape, folder: &Path) -> Result<Option<PathBuf>, PrepareError> {
    let mut level = vec![folder.to_owned()];
    for _ in 0..3 {
        let mut roots = level.iter().filter(|folder| (shape.is_root)(folder));
        if let Some(root) = roots.next() {
            if let Some(other) = roots.next().filter(|_| shape.several) {
                return Err(PrepareError::NotThisCorpus {
                    path: folder.to_owned(),
                    title: format!("one {}", shape.title),
                    reason: format!("{} and {} are both there", root.display(), other.display()),
                    expected: shape.expected.to_owned(),
                });
            }
            return Ok(Some(root.clone()));
        }
        let mut next = Vec::new();
        for folder in &level {
            next.extend(entries(folder)?.into_iter().filter(|path| path.is_dir()));
        }
        level = next;
    }
    Ok(None)
}

fn best_archive(shape: &Shape, files: &[PathBuf]) -> Option<PathBuf> {
    shape.archives.iter().find_map(|beginning| {
        files
            .iter()
            .find(|path| {
                path.is_file() && is_archive(path) && lower_name(path).starts_with(beginning)
            })
            .cloned()
    })
}

fn is_archive_of(shape: &Shape, path: &Path) -> bool {
    let name = lower_name(path);
    path.is_file() && is_archive(path) && shape.archives.iter().any(|start| name.starts_with(start))
}

fn is_archive(path: &Path) -> bool {
    let name = lower_name(path);
    ARCHIVE_ENDS.iter().any(|end| name.ends_with(end))
}

fn lower_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_lowercase()
}
