//! The corpus inside this program: connected digits from speech synthesisers, and the recipe for them.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path};

use crate::failure::Failure;

/// `corpus/README.md` says how it was made.
static DIGITS: &[u8] = include_bytes!("../corpus/digits.tar");
static RECIPE: &[u8] = include_bytes!("../quickstart/quickstart.toml");

/// The recipe's name in the unpacked folder.
pub const RECIPE_NAME: &str = "quickstart.toml";

/// What is done with one file: its name below the folder, and its bytes.
type UseFile<'a> = &'a mut dyn FnMut(&Path, &[u8]) -> Result<(), Failure>;

/// Unpacks the corpus and its recipe into `folder`, which is there whole afterwards or not at all.
///
/// A folder that stands there already is used again if every file in it is byte for byte what would be
/// written, and refused otherwise.
pub fn unpack(folder: &Path) -> Result<(), Failure> {
    if folder.exists() {
        return each_file(folder, &mut |name, bytes| verify(&folder.join(name), bytes));
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let partial = folder.with_file_name(format!(".{name}.partial"));
    match fs::remove_dir_all(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::write(&partial)(error));
        }
        _ => {}
    }
    fs::create_dir_all(&partial).map_err(Failure::write(&partial))?;
    each_file(&partial, &mut |name, bytes| {
        let path = partial.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Failure::write(parent))?;
        }
        fs::write(&path, bytes).map_err(Failure::write(&path))
    })?;
    fs::rename(&partial, folder).map_err(Failure::write(folder))
}

fn verify(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let found = fs::read(path).map_err(Failure::read(path))?;
    if found == bytes {
        return Ok(());
    }
    Err(Failure::Sentence(format!(
        "{} is not the file that this version of the program holds; name another folder with --run",
        path.display()
    )))
}

/// Every file of the corpus, then the recipe, by its name below the folder.
fn each_file(folder: &Path, use_file: UseFile<'_>) -> Result<(), Failure> {
    // The archive was made by us; it is read with the same distrust as any other.
    let broken = |error: io::Error| {
        let folder = folder.display();
        Failure::Sentence(format!(
            "the corpus inside this program cannot be unpacked to {folder} ({error}); install it again"
        ))
    };
    let mut bytes = Vec::new();
    for entry in tar::Archive::new(DIGITS).entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path().map_err(broken)?.into_owned();
        if !name.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(broken(io::Error::other("a name leads out of the folder")));
        }
        bytes.clear();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        use_file(&name, &bytes)?;
    }
    use_file(Path::new(RECIPE_NAME), RECIPE)
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
