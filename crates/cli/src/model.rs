//! The model that a command is given: a file, or by its name the one inside this program.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use labyrinth_corpus::atomic::write_atomically;
use labyrinth_nn::ModelFile;
use labyrinth_signal::{begins_as_sound, is_special_file};

use crate::failure::Failure;
use crate::output;

/// How the model inside this program is called wherever a model file can be named. A file of that name is
/// `./embedded`.
pub const EMBEDDED: &str = "embedded";

/// `model/MODEL_CARD.md` says what it is. An empty file stands where none has been trained yet.
static BYTES: &[u8] = include_bytes!("../model/embedded.safetensors");

/// Endings by which a recording that is not there is told from a model that is not there.
const RECORDINGS: [&str; 17] = [
    "wav", "flac", "mp3", "m4a", "mp4", "aac", "ogg", "oga", "opus", "webm", "mka", "aif", "aiff",
    "caf", "sph", "raw", "pcm",
];

/// The model inside this program, if it holds one.
fn embedded() -> Option<&'static [u8]> {
    (!BYTES.is_empty()).then_some(BYTES)
}

/// Reads the model of this name.
pub fn read(named: &Path) -> Result<ModelFile, Failure> {
    read_from(named, embedded())
}

fn read_from(named: &Path, inside: Option<&[u8]>) -> Result<ModelFile, Failure> {
    match named == Path::new(EMBEDDED) {
        false => Ok(ModelFile::read(named)?),
        true => Ok(ModelFile::from_bytes(inside.ok_or_else(no_model)?, named)?),
    }
}

fn no_model() -> Failure {
    Failure::Sentence(format!(
        "this program holds no model of its own, so `{EMBEDDED}` means nothing here; name a model.safetensors \
         that `labyrinth train` wrote"
    ))
}

/// The model as a file, for what takes one: the one inside this program is written beside the run.
pub fn as_file(named: &Path, run: &Path) -> Result<PathBuf, Failure> {
    as_file_from(named, run, embedded())
}

fn as_file_from(named: &Path, run: &Path, inside: Option<&[u8]>) -> Result<PathBuf, Failure> {
    if named != Path::new(EMBEDDED) {
        return Ok(named.to_owned());
    }
    let bytes = inside.ok_or_else(no_model)?;
    let folder = run.parent().unwrap_or(Path::new(""));
    let path = folder.join("embedded.safetensors");
    match std::fs::read(&path) {
        Ok(found) if found == bytes => {}
        Ok(_) => output::refuse_to_replace(&path)?,
        Err(_) => {
            std::fs::create_dir_all(folder).map_err(Failure::write(folder))?;
            write_atomically(&path, |file| file.write_all(bytes)).map_err(Failure::write(&path))?;
        }
    }
    Ok(path)
}

/// The model and the recordings among what was named on a command line. Where the first is no model, the one inside
/// this program listens, and says so. `raw`: headerless recordings are announced; `stream`: there may be none.
pub fn and_files(
    named: &[PathBuf],
    raw: bool,
    stream: bool,
) -> Result<(ModelFile, &[PathBuf]), Failure> {
    and_files_from(named, raw, stream, embedded())
}

fn and_files_from<'a>(
    named: &'a [PathBuf],
    raw: bool,
    stream: bool,
    inside: Option<&[u8]>,
) -> Result<(ModelFile, &'a [PathBuf]), Failure> {
    let sentence = |text: String| Err(Failure::Sentence(text));
    let Some((first, rest)) = named.split_first() else {
        return Ok((embedded_and_said(inside)?, named));
    };
    // With recordings behind it, or none needed, what is neither is taken for a model that is broken.
    let model = match kind(first) {
        Kind::Model => true,
        Kind::Recording => false,
        Kind::Neither => !raw && (stream || !rest.is_empty()),
    };
    if model {
        if rest.is_empty() && !stream {
            read_from(first, inside)?;
            return sentence(format!("{} is a model; name a recording behind it", first.display()));
        }
        return Ok((read_from(first, inside)?, rest));
    }
    if !first.exists() && kind(first) == Kind::Neither {
        return sentence(format!(
            "there is no {}; name a recording, or a model and recordings",
            first.display()
        ));
    }
    if let Some(model) = rest.iter().find(|path| kind(path) == Kind::Model) {
        return sentence(format!(
            "{} is a model and belongs before the recordings; name it first",
            model.display()
        ));
    }
    match inside {
        Some(_) => Ok((embedded_and_said(inside)?, named)),
        None => sentence(format!(
            "{} is no model, and this program holds none of its own; name a model.safetensors that `labyrinth \
             train` wrote before the recordings",
            first.display()
        )),
    }
}

/// The model inside this program, with the line that says so.
fn embedded_and_said(inside: Option<&[u8]>) -> Result<ModelFile, Failure> {
    let model = read_from(Path::new(EMBEDDED), inside)?;
    output::remark(
        "no model named: the embedded one listens, which knows English letters, digits and a few control words",
    );
    Ok(model)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Recording,
    Neither,
}

/// What a name stands for: by what the file begins with, and where there is none by its ending.
fn kind(path: &Path) -> Kind {
    let ending = path.extension().map(|end| end.to_string_lossy().to_lowercase());
    let ends = |known: &[&str]| ending.as_deref().is_some_and(|end| known.contains(&end));
    let head = head(path).unwrap_or_default();
    if path == Path::new(EMBEDDED) || ends(&["safetensors"]) || begins_as_safetensors(&head) {
        Kind::Model
    } else if begins_as_sound(&head) || ends(&RECORDINGS) {
        Kind::Recording
    } else {
        Kind::Neither
    }
}

/// The first bytes of a plain file.
fn head(path: &Path) -> Option<Vec<u8>> {
    if is_special_file(path) || path.is_dir() {
        return None;
    }
    let mut head = Vec::new();
    File::open(path).ok()?.take(4096).read_to_end(&mut head).ok()?;
    Some(head)
}

/// The length of a JSON header in eight bytes, little-endian, then that header.
fn begins_as_safetensors(head: &[u8]) -> bool {
    let length = head.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    length.is_some_and(|length| length < 1 << 27) && head.get(8) == Some(&b'{')
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_nn::{ModelHeader, Network};
    use labyrinth_text::{Alphabet, Units};
    use labyrinth_train::Recipe;

    /// A model of random weights: what it hears means nothing, which file it came from does.
    fn placeholder() -> Vec<u8> {
        let text = include_str!("../quickstart/quickstart.toml");
        let recipe = Recipe::parse(text, Path::new("quickstart.toml")).unwrap();
        let alphabet = Alphabet::from_transcripts(Units::Words, ["one two".to_owned()].into_iter());
        let header = ModelHeader {
            format: labyrinth_nn::model_file::FORMAT,
            program: "test".into(),
            features: recipe.features,
            normalizer: recipe.data.normalizer,
            alphabet,
            lexicon: None,
            objective: Default::default(),
            track: Default::default(),
            auxiliary: Vec::new(),
            model: recipe.model,
            data: Default::default(),
            training: Default::default(),
            scores: Default::default(),
            weights_digest: String::new(),
        };
        let mut network = Network::new(&header.model, 40, header.outputs(), 1).unwrap();
        ModelFile::to_bytes_bf16(&header, &mut network).unwrap()
    }

    #[test]
    fn a_model_a_recording_and_neither_are_told_apart() {
        let home = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = home.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let model = placeholder();
        for (path, wanted) in [
            (file("any.name", &model), Kind::Model),
            (file("cut", &model[..100]), Kind::Model),
            (file("sound", b"RIFF....WAVEfmt "), Kind::Recording),
            (file("song", b"ID3\x04"), Kind::Recording),
            (file("cannot be read", b"wvpk"), Kind::Recording),
            (file("unpack it", b"PK\x03\x04"), Kind::Neither),
            (file("talk.m4x", b"\0\0\0\x20ftypM4A "), Kind::Recording),
            (file("notes", b"some words\n"), Kind::Neither),
            (file("empty.flac", b""), Kind::Recording),
            (home.path().join("gone.wav"), Kind::Recording),
            (home.path().join("gone.safetensors"), Kind::Model),
            (home.path().join("gone"), Kind::Neither),
            (home.path().to_owned(), Kind::Neither),
            (EMBEDDED.into(), Kind::Model),
        ] {
            assert_eq!(kind(&path), wanted, "{}", path.display());
        }
    }

    #[test]
    fn without_a_model_the_embedded_one_listens() {
        let home = tempfile::tempdir().unwrap();
        let model = placeholder();
        let file = home.path().join("model");
        std::fs::write(&file, &model).unwrap();
        let sound = home.path().join("gone.wav");
        let list =
            |names: &[&Path]| names.iter().map(|name| name.to_path_buf()).collect::<Vec<_>>();
        let heard = |names: &[&Path], raw, stream, inside: Option<&[u8]>| {
            let named = list(names);
            and_files_from(&named, raw, stream, inside)
                .map(|(model, files)| (model.header.program, files.len()))
                .map_err(|failure| failure.to_string())
        };
        let test = |files| Ok(("test".to_owned(), files));
        let inside = Some(&model[..]);
        let gone = home.path().join("gone");
        assert_eq!(heard(&[&sound], false, false, inside), test(1));
        assert_eq!(heard(&[&sound, &sound], false, false, inside), test(2));
        assert_eq!(heard(&[Path::new(EMBEDDED), &sound], false, false, inside), test(1));
        assert_eq!(heard(&[], false, true, inside), test(0));
        assert_eq!(heard(&[&sound], false, true, inside), test(1));
        assert_eq!(heard(&[&file], false, true, None), test(0));
        assert_eq!(heard(&[&file, &sound], false, false, None), test(1));
        let headerless = home.path().join("headerless");
        std::fs::write(&headerless, [1, 2, 3]).unwrap();
        assert_eq!(heard(&[&headerless], true, false, inside), test(1));
        for (names, stream, inside, words) in [
            (&[&*sound][..], false, None, "gone.wav is no model, and this program holds none"),
            (&[Path::new(EMBEDDED), &sound], false, None, "holds no model of its own"),
            (&[], true, None, "holds no model of its own"),
            (&[&file], false, inside, "name a recording behind it"),
            (&[&sound, &file], false, inside, "model and belongs before the recordings"),
            (&[&gone], false, inside, "there is no "),
            (&[&gone, &sound], false, inside, "cannot read the model"),
            (&[&headerless, &sound], false, inside, "is not a labyrinth model"),
        ] {
            let said = heard(names, false, stream, inside).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_training_begins_from_a_copy_beside_its_run() {
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join("runs/mine");
        let bytes = &placeholder()[..];
        let other = Path::new("other.safetensors");
        assert_eq!(as_file_from(other, &run, None).unwrap(), other);
        assert!(as_file_from(Path::new(EMBEDDED), &run, None).is_err());
        for _ in 0..2 {
            let path = as_file_from(Path::new(EMBEDDED), &run, Some(bytes)).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
        let path = home.path().join("runs/embedded.safetensors");
        std::fs::write(&path, "mine").unwrap();
        assert!(as_file_from(Path::new(EMBEDDED), &run, Some(bytes)).is_err());
    }

    #[test]
    fn what_is_embedded_is_small_and_can_be_used() {
        assert!(BYTES.len() <= 4_000_000, "{} bytes", BYTES.len());
        if let Some(bytes) = embedded() {
            let model = ModelFile::from_bytes(bytes, Path::new(EMBEDDED)).unwrap();
            assert!(!model.header.training.recipe.contains("/home/"));
        }
    }
}
