//! Where features go: an archive, arrays, HTK files, or text on standard output.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use labyrinth_signal::{
    ArkFormat, ArkWriter, Array, Compression, FeatureKind, FeatureOptions, HtkFile, HtkKind,
    write_htk, write_npy,
};

use super::input::Inputs;
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

/// An output that was begun.
pub enum Sink {
    /// Text on standard output.
    Screen,
    /// One archive.
    Archive(PathBuf, ArkWriter),
    /// One file for each recording.
    Files { folder: PathBuf, format: Format, htk: HtkKind, period: u32 },
    /// One file for the only recording.
    File { path: PathBuf, format: Format, htk: HtkKind, period: u32 },
}

impl Sink {
    /// Begins an output; `format` where the name of `output` does not tell.
    pub fn create(
        output: Option<&Path>,
        format: Option<Format>,
        compress: bool,
        inputs: &Inputs,
        options: &FeatureOptions,
    ) -> Result<Self, Failure> {
        let sentence = |text: String| Err(Failure::Sentence(text));
        let Some(path) = output else {
            if compress || format.is_some_and(|format| format != Format::ArkText) {
                return sentence(
                    "only text goes to standard output; name a file or folder with -o".into(),
                );
            }
            return Ok(Self::Screen);
        };
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let by_name = match ending {
            "ark" => Some(Format::Ark),
            "npy" => Some(Format::Npy),
            "htk" => Some(Format::Htk),
            _ => None,
        };
        let Some(format) = format.or(by_name) else {
            return sentence(format!(
                "the name {} does not tell its form; let it end in .ark, .npy or .htk, or give --format",
                path.display()
            ));
        };
        let archive = matches!(format, Format::Ark | Format::ArkText);
        if compress && format != Format::Ark {
            return sentence(
                "--compress is for archives (.ark) alone; leave it out or write an archive".into(),
            );
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(Failure::write(parent))?;
        }
        if archive {
            let form = match (format, compress) {
                (Format::ArkText, _) => ArkFormat::Text,
                (_, true) => ArkFormat::Compressed(Compression::Automatic),
                _ => ArkFormat::Binary,
            };
            let scp = path.with_extension("scp");
            let writer = ArkWriter::create(path, Some(&scp), form)?;
            return Ok(Self::Archive(path.to_owned(), writer));
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
            return Ok(Self::File { path, format, htk, period });
        }
        std::fs::create_dir_all(&path).map_err(Failure::write(&path))?;
        Ok(Self::Files { folder: path, format, htk, period })
    }

    /// Writes the features of one recording, `[frames, dim]`.
    pub fn write(&mut self, id: &str, features: Array) -> Result<(), Failure> {
        match self {
            Self::Screen => {
                output::text(format_args!("{id} {}", labyrinth_signal::kaldi_text(&features)))
            }
            Self::Archive(_, writer) => Ok(writer.write(id, &features)?),
            Self::Files { folder, format, htk, period } => {
                let ending = if *format == Format::Npy { "npy" } else { "htk" };
                // Ids of corpora name folders too; a file's name must stay in its folder.
                let name = id.replace(['/', '\\'], "-");
                write_file(
                    &folder.join(format!("{name}.{ending}")),
                    *format,
                    *htk,
                    *period,
                    features,
                )
            }
            Self::File { path, format, htk, period } => {
                write_file(path, *format, *htk, *period, features)
            }
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
        }
    }
}

fn write_file(
    path: &Path,
    format: Format,
    kind: HtkKind,
    sample_period: u32,
    features: Array,
) -> Result<(), Failure> {
    match format {
        Format::Htk => write_htk(path, &HtkFile { features, sample_period, kind })?,
        _ => write_npy(path, &features)?,
    }
    Ok(())
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
