//! Where features go: an archive, arrays, HTK files, or text on standard output.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use labyrinth_signal::{
    ArkFormat, ArkWriter, Array, CmvnStats, Compression, FeatureKind, FeatureOptions, FormatError,
    HtkFile, HtkKind, write_htk, write_kaldi, write_npy,
};

use super::input::{Inputs, Recording};
use crate::failure::Failure;
use crate::output;

/// The form of the output.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Kaldi's binary archive, with an .scp beside it.
    Ark,
    /// Kaldi's archive as text.
    ArkText,
    /// A NumPy array for each recording.
    Npy,
    /// An HTK parameter file for each recording.
    Htk,
}

impl Format {
    /// As it is called on the command line.
    fn name(self) -> &'static str {
        match self {
            Self::Ark => "ark",
            Self::ArkText => "ark-text",
            Self::Npy => "npy",
            Self::Htk => "htk",
        }
    }

    /// Whether a file of this form may have the ending of `named`.
    fn may_be_called(self, named: Self) -> bool {
        self == named || (self == Self::ArkText && named == Self::Ark)
    }
}

/// How the output is wanted.
pub struct Form {
    /// The form, where the output's name does not tell.
    pub format: Option<Format>,
    /// Whether matrices are compressed.
    pub compress: bool,
    /// Whether a number is written for each frame, not a row.
    pub vectors: bool,
}

/// An output that was begun.
pub enum Sink {
    /// Text on standard output.
    Screen,
    /// One archive.
    Archive(PathBuf, Box<ArkWriter>),
    /// One file for each recording.
    Files { folder: PathBuf, format: Format, htk: HtkKind, period: u32 },
    /// One file for the only recording.
    File { path: PathBuf, format: Format, htk: HtkKind, period: u32 },
    /// Sums over all frames, one matrix.
    Statistics { path: PathBuf, stats: CmvnStats },
}

impl Sink {
    /// Begins sums over all frames.
    pub fn statistics(path: &Path, inputs: &Inputs) -> Result<Self, Failure> {
        refuse_an_input(inputs, path, "file")?;
        make_folder_of(path)?;
        // How wide a frame is, the first one tells.
        Ok(Self::Statistics { path: path.to_owned(), stats: CmvnStats::new(0) })
    }

    /// Begins an output.
    pub fn create(
        output: Option<&Path>,
        form: Form,
        inputs: &Inputs,
        options: &FeatureOptions,
    ) -> Result<Self, Failure> {
        let Form { format, compress, vectors } = form;
        let sentence = |text: String| Err(Failure::Sentence(text));
        let Some(path) = output else {
            if output::stdout_is_closed() {
                return sentence(
                    "there is nowhere to write to; name a file or folder with -o".into(),
                );
            }
            if compress || format.is_some_and(|format| format != Format::ArkText) {
                return sentence(
                    "only text goes to standard output; name a file or folder with -o".into(),
                );
            }
            return Ok(Self::Screen);
        };
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let ending = ending.to_ascii_lowercase();
        let by_name = match &ending[..] {
            "ark" => Some(Format::Ark),
            "npy" => Some(Format::Npy),
            "htk" => Some(Format::Htk),
            _ => None,
        };
        let Some(format) = format.or(by_name) else {
            return sentence(match path.is_dir() {
                true => format!(
                    "{} is a folder; say what to write there, --format npy or --format htk",
                    path.display()
                ),
                false => format!(
                    "the name {} does not tell its form; let it end in .ark, .npy or .htk, or give \
                     --format",
                    path.display()
                ),
            });
        };
        if let Some(named) = by_name.filter(|named| !format.may_be_called(*named)) {
            return sentence(format!(
                "{} ends like {}, and --format says {}; let its name and --format agree",
                path.display(),
                named.name(),
                format.name()
            ));
        }
        if vectors && (compress || format == Format::Htk) {
            return sentence(
                "a decision for each frame is a vector, which neither HTK's files nor --compress can \
                 hold; write an archive (.ark) or arrays (.npy)"
                    .into(),
            );
        }
        let archive = matches!(format, Format::Ark | Format::ArkText);
        if compress && format != Format::Ark {
            return sentence(
                "--compress is for archives (.ark) alone; leave it out or write an archive".into(),
            );
        }
        make_folder_of(path)?;
        if archive {
            let form = match (format, compress) {
                (Format::ArkText, _) => ArkFormat::Text,
                (_, true) => ArkFormat::Compressed(Compression::Automatic),
                _ => ArkFormat::Binary,
            };
            let scp = path.with_extension("scp");
            if ending == "scp" {
                return sentence(format!(
                    "{} would be the archive and its own list; let the archive end in .ark",
                    path.display()
                ));
            }
            for output in [path, &scp] {
                refuse_an_input(inputs, output, "output")?;
            }
            let writer = ArkWriter::create(path, Some(&scp), form)?;
            return Ok(Self::Archive(path.to_owned(), Box::new(writer)));
        }
        let (path, htk) = (path.to_owned(), htk_kind(options));
        // HTK counts in units of 100 ns.
        let period = (f64::from(options.frame_shift) * 1e4).round() as u32;
        if by_name.is_some() {
            if inputs.recordings.len() != 1 {
                return sentence(format!(
                    "{} can hold one recording, and there are {}; name a folder (with --format) or an archive (.ark)",
                    path.display(),
                    inputs.recordings.len()
                ));
            }
            refuse_an_input(inputs, &path, "output")?;
            return Ok(Self::File { path, format, htk, period });
        }
        if path.exists() && !path.is_dir() {
            return sentence(format!(
                "{} is no folder, and --format {} writes a file for each recording into one; name a \
                 folder, or a file that ends in .{1}",
                path.display(),
                format.name()
            ));
        }
        let mut first: HashMap<PathBuf, &str> = HashMap::new();
        for Recording { id, .. } in &inputs.recordings {
            let file = file_of(&path, id, format);
            refuse_an_input(inputs, &file, "folder")?;
            if let Some(other) = first.insert(file.clone(), id) {
                return sentence(format!(
                    "{other:?} and {id:?} would both be written to {}; write an archive (.ark)",
                    file.display()
                ));
            }
        }
        std::fs::create_dir_all(&path).map_err(Failure::write(&path))?;
        Ok(Self::Files { folder: path, format, htk, period })
    }

    /// Writes the features of one recording, `[frames, dim]`; in words why the form has no room for them.
    ///
    /// # Errors
    /// [`Failure`] where the disk fails.
    pub fn write(&mut self, id: &str, features: Array) -> Result<Result<(), String>, Failure> {
        let written = match self {
            Self::Screen => {
                output::text(format_args!("{id} {}", labyrinth_signal::kaldi_text(&features)))?;
                Ok(())
            }
            Self::Archive(_, writer) => writer.write(id, &features),
            Self::Files { folder, format, htk, period } => {
                write_file(&file_of(folder, id, *format), *format, *htk, *period, features)
            }
            Self::File { path, format, htk, period } => {
                write_file(path, *format, *htk, *period, features)
            }
            Self::Statistics { stats, .. } => {
                let dim = features.shape().last().copied().unwrap_or_default();
                if stats.dim() != dim {
                    *stats = CmvnStats::new(dim);
                }
                stats.accumulate(&features.to_f32());
                Ok(())
            }
        };
        match written {
            Ok(()) => Ok(Ok(())),
            Err(FormatError::Unusable { reason, .. }) => Ok(Err(reason)),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the output: its path, `None` for standard output.
    pub fn finish(self) -> Result<Option<PathBuf>, Failure> {
        match self {
            Self::Screen => Ok(None),
            Self::Archive(path, writer) => {
                writer.finish()?;
                Ok(Some(path))
            }
            Self::Files { folder: path, .. } | Self::File { path, .. } => Ok(Some(path)),
            Self::Statistics { path, stats } => {
                write_kaldi(&path, &stats.to_array(), ArkFormat::Binary)?;
                Ok(Some(path))
            }
        }
    }
}

/// Makes the folder in which an output is to lie.
fn make_folder_of(path: &Path) -> Result<(), Failure> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => std::fs::create_dir_all(parent).map_err(Failure::write(parent)),
        None => Ok(()),
    }
}

/// Refuses to write over a recording, manifest or list that is read; `other` is what to name instead.
fn refuse_an_input(inputs: &Inputs, output: &Path, other: &str) -> Result<(), Failure> {
    if !inputs.contain(output) {
        return Ok(());
    }
    Err(Failure::Sentence(format!(
        "{} is an input of this command, and the output would replace it; name another {other}",
        output.display()
    )))
}

/// The file of a recording in a folder. Ids of corpora name folders too; a file stays in its own.
fn file_of(folder: &Path, id: &str, format: Format) -> PathBuf {
    let ending = if format == Format::Npy { "npy" } else { "htk" };
    let name = id.replace(['/', '\\'], "-");
    // A leading dot would hide the file.
    let name = if name.starts_with('.') { format!("_{name}") } else { name };
    folder.join(format!("{name}.{ending}"))
}

fn write_file(
    path: &Path,
    format: Format,
    kind: HtkKind,
    sample_period: u32,
    features: Array,
) -> Result<(), FormatError> {
    match format {
        Format::Htk => write_htk(path, &HtkFile { features, sample_period, kind }),
        _ => write_npy(path, &features),
    }
}

/// What HTK calls these features; other programs than HTK pass over it.
fn htk_kind(options: &FeatureOptions) -> HtkKind {
    match options.kind {
        FeatureKind::Fbank => HtkKind::FBANK,
        FeatureKind::Mfcc => HtkKind::MFCC,
        FeatureKind::Plp => HtkKind::PLP,
        _ => HtkKind::USER,
    }
}
