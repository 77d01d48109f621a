//! Walks folders in a fixed order and writes paths as manifests want them.

use super::PrepareError;
use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A relative path longer than this many `..` says less than an absolute one.
const MOST_STEPS_UP: usize = 4;

/// All files under `root`, at any depth, sorted by path. What begins with a dot is passed over (files
/// that systems leave behind, and our own unfinished ones). Links are followed, each folder once.
pub(crate) fn files_under(root: &Path) -> Result<Vec<PathBuf>, PrepareError> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    let mut seen = HashSet::new();
    while let Some(folder) = folders.pop() {
        if !seen.insert(folder.canonicalize().map_err(PrepareError::read(&folder))?) {
            continue;
        }
        for path in entries(&folder)? {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

/// What lies in `folder` itself, sorted, without names that begin with a dot.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, PrepareError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(PrepareError::read(folder))? {
        let entry = entry.map_err(PrepareError::read(folder))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// The file name's extension in lower case, empty where there is none.
pub(crate) fn extension(path: &Path) -> String {
    path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// `audio` as it shall stand in a manifest in `folder`, both given in canonical form: relative where
/// the two share more than the root and at most four steps lead up (a project folder that is moved as
/// a whole still works), else absolute. `None` where the path is not UTF-8.
pub fn manifest_path(folder: &Path, audio: &Path) -> Option<String> {
    let from: Vec<Component<'_>> = folder.components().collect();
    let to: Vec<Component<'_>> = audio.components().collect();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let named = from[..shared].iter().any(|part| matches!(part, Component::Normal(_)));
    let up = from.len() - shared;
    if !named || up > MOST_STEPS_UP {
        return Some(audio.to_str()?.to_owned());
    }
    let mut parts = vec![".."; up];
    for part in &to[shared..] {
        parts.push(part.as_os_str().to_str()?);
    }
    Some(parts.join("/"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_where_that_helps() {
        let path =
            |folder: &str, audio: &str| manifest_path(Path::new(folder), Path::new(audio)).unwrap();
        assert_eq!(path("/home/a/data/an4", "/home/a/data/an4/audio/x.raw"), "audio/x.raw");
        assert_eq!(path("/home/a/p/data/an4", "/home/a/shared/x.wav"), "../../../shared/x.wav");
        assert_eq!(path("/home/a/p/data/an4", "/mnt/x.wav"), "/mnt/x.wav");
        assert_eq!(path("/home/1/2/3/4/5", "/home/x.wav"), "/home/x.wav");
    }

    #[test]
    fn the_walk_is_sorted_passes_over_dots_and_survives_a_loop_of_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["b/2.wav", "b/1.wav", "a.wav", ".hidden", ".git/x.wav"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("b/loop")).unwrap();
        let names: Vec<String> = files_under(root)
            .unwrap()
            .iter()
            .map(|path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["a.wav", "b/1.wav", "b/2.wav"]);
    }
}
