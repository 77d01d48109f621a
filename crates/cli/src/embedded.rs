//! The corpus inside this program: connected digits from speech synthesisers, and the recipe for them.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use labyrinth_signal::{decode_audio, resample, write_wav};
use labyrinth_train::Recipe;
use rayon::prelude::*;

use crate::failure::Failure;

/// `corpus/README.md` says how it was made.
static DIGITS: &[u8] = include_bytes!("../corpus/digits.tar");
static RECIPE: &str = include_str!("../quickstart/quickstart.toml");

/// The recipe's name in the unpacked folder.
const RECIPE_NAME: &str = "quickstart.toml";

/// The rate at which the corpus was made, and at which it is unpacked.
const SAMPLE_RATE: u32 = 16_000;

/// One file of the corpus by its name below the folder.
type File = (PathBuf, Vec<u8>);

/// The recipe with the user's `--set`s.
pub fn recipe(overrides: &[String]) -> Result<Recipe, Failure> {
    Ok(Recipe::parse_with(RECIPE, Path::new(RECIPE_NAME), overrides)?)
}

/// Unpacks the corpus and its recipe into `folder`, which is there whole afterwards or not at all.
///
/// The recordings are Opus in the program and 16-bit WAV in the folder: every epoch reads them
/// again, and Opus would be decoded as often. A folder that stands there already is used again if
/// every file in it is byte for byte what would be written, and refused otherwise.
pub fn unpack(folder: &Path) -> Result<(), Failure> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let partial = folder.with_file_name(format!(".{name}.partial"));
    remove_folder(&partial)?;
    fs::create_dir_all(&partial).map_err(Failure::write(&partial))?;
    let files = files(&partial)?;
    files.par_iter().try_for_each(|file| write(&partial, file))?;
    if !folder.exists() {
        return fs::rename(&partial, folder).map_err(Failure::write(folder));
    }
    let result = files.par_iter().try_for_each(|(name, _)| {
        let name = unpacked_name(name);
        same(&partial.join(&name), &folder.join(&name))
    });
    remove_folder(&partial)?;
    result
}

fn remove_folder(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::write(folder)(error)),
        _ => Ok(()),
    }
}

fn same(wanted: &Path, path: &Path) -> Result<(), Failure> {
    let found = fs::read(path).map_err(Failure::read(path))?;
    if found == fs::read(wanted).map_err(Failure::read(wanted))? {
        return Ok(());
    }
    Err(Failure::Sentence(format!(
        "{} is not the file that this version of the program holds; name another folder with --run",
        path.display()
    )))
}

/// Where a file of the archive goes: recordings become WAV.
fn unpacked_name(name: &Path) -> PathBuf {
    if is_recording(name) { name.with_extension("wav") } else { name.to_path_buf() }
}

fn is_recording(name: &Path) -> bool {
    name.extension().is_some_and(|extension| extension == "opus")
}

fn write(folder: &Path, (name, bytes): &File) -> Result<(), Failure> {
    let path = folder.join(unpacked_name(name));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Failure::write(parent))?;
    }
    let extension = name.extension().unwrap_or_default();
    if is_recording(name) {
        let audio =
            decode_audio(bytes.clone(), name, None).map_err(|error| broken(folder, error))?;
        let samples = resample(&audio.mono(), audio.sample_rate, SAMPLE_RATE);
        write_wav(&path, SAMPLE_RATE, &samples)
            .map_err(|error| Failure::Sentence(error.to_string()))
    } else if extension == "jsonl" {
        let text = String::from_utf8_lossy(bytes).replace(".opus\"", ".wav\"");
        fs::write(&path, text).map_err(Failure::write(&path))
    } else {
        fs::write(&path, bytes).map_err(Failure::write(&path))
    }
}

// The archive was made by us; it is read with the same distrust as any other.
fn broken(folder: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::Sentence(format!(
        "the corpus inside this program cannot be unpacked to {} ({error}); install it again",
        folder.display()
    ))
}

/// Every file of the corpus, and the recipe.
fn files(folder: &Path) -> Result<Vec<File>, Failure> {
    let broken = |error: io::Error| broken(folder, error);
    let mut files = vec![(PathBuf::from(RECIPE_NAME), RECIPE.as_bytes().to_vec())];
    for entry in tar::Archive::new(DIGITS).entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path().map_err(broken)?.into_owned();
        if !name.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(broken(io::Error::other("a name leads out of the folder")));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        files.push((name, bytes));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_unpacks_once_and_is_verified_after() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("data");
        unpack(&folder).unwrap();
        for set in ["train.jsonl", "dev.jsonl", "test.jsonl", RECIPE_NAME] {
            assert!(folder.join(set).is_file(), "{set}");
        }
        unpack(&folder).unwrap();
        let dev = folder.join("dev.jsonl");
        let mut text = fs::read(&dev).unwrap();
        text.pop();
        fs::write(&dev, &text).unwrap();
        let sentence = unpack(&folder).unwrap_err().to_string();
        assert!(sentence.contains("dev.jsonl") && sentence.contains("--run"), "{sentence}");
        assert_eq!(fs::read(&dev).unwrap(), text);
    }

    #[test]
    fn what_was_left_of_an_interrupted_unpacking_does_no_harm() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("data");
        fs::create_dir(home.path().join(".data.partial")).unwrap();
        fs::write(home.path().join(".data.partial/half"), "x").unwrap();
        unpack(&folder).unwrap();
        assert!(!folder.join("half").exists());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_embedded_stays_small_enough_for_a_registry() {
        assert!(DIGITS.len() < 4 << 20, "{} bytes", DIGITS.len());
    }
}
