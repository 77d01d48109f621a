//! Options of features on the command line: presets, Kaldi's flags and files of flags, recipe keys.

use std::path::{Path, PathBuf};

use clap::Args;
use labyrinth_signal::{FeatureOptions, Preset};
use labyrinth_text::plain_words::in_plain_words;
use labyrinth_train::Recipe;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::failure::Failure;

/// Reads the flags of this struct from `--name=value`, and a flag of a yes or no from its bare name
/// too, as Kaldi's programs do.
macro_rules! kaldi_flags {
    ($($(#[doc = $help:literal])+ $name:ident: $type:ty $(= $bare:literal)?,)*) => {
        /// The flags of Kaldi's `compute-*-feats`, under their own names.
        #[derive(Args, Serialize)]
        #[serde(rename_all = "kebab-case")]
        #[command(next_help_heading = "Kaldi's flags")]
        pub struct KaldiFlags {
            $(
                $(#[doc = $help])+
                #[arg(long, allow_negative_numbers = true, hide_short_help = true
                      $(, num_args = 0..=1, require_equals = true, default_missing_value = $bare)?)]
                #[serde(skip_serializing_if = "Option::is_none")]
                $name: Option<$type>,
            )*
        }
    };
}

kaldi_flags! {
    /// Samples per second
    sample_frequency: f32,
    /// Length of a frame in milliseconds
    frame_length: f32,
    /// Distance of two frames in milliseconds
    frame_shift: f32,
    /// Only frames that lie within the recording
    snip_edges: bool = "true",
    /// Noise added to the samples; 0 for none
    dither: f32,
    /// Coefficient of pre-emphasis
    preemphasis_coefficient: f32,
    /// Subtract each frame's mean
    remove_dc_offset: bool = "true",
    /// Window: povey, hanning, hamming, rectangular, blackman, sine, hann-periodic
    window_type: String,
    /// The constant of Blackman's window
    blackman_coeff: f32,
    /// Fill frames with zeros to a power of two of samples
    round_to_power_of_two: bool = "true",
    /// Resample recordings of a higher rate
    allow_downsample: bool = "true",
    /// Resample recordings of a lower rate
    allow_upsample: bool = "true",
    /// Number of mel filters
    num_mel_bins: u32,
    /// Lower edge of the lowest filter in Hz
    low_freq: f32,
    /// Upper edge of the highest filter in Hz; 0 and below count from half the sample frequency
    high_freq: f32,
    /// Warps the filters for the length of a vocal tract
    vtln_warp: f32,
    /// Lower edge in Hz of the band that is warped whole
    vtln_low: f32,
    /// Its upper edge in Hz; 0 and below count from half the sample frequency
    vtln_high: f32,
    /// Add the energy, or put it in the place of coefficient 0
    use_energy: bool = "true",
    /// Take the energy before pre-emphasis and window
    raw_energy: bool = "true",
    /// Least energy, if above 0
    energy_floor: f32,
    /// Take logarithms of the filters' energies
    use_log_fbank: bool = "true",
    /// Filter the power, not the magnitude
    use_power: bool = "true",
    /// Put the energy or coefficient 0 last, as HTK does
    htk_compat: bool = "true",
    /// Number of cepstral coefficients
    num_ceps: u32,
    /// Liftering constant; 0 for none
    cepstral_lifter: f32,
    /// Order of linear prediction (PLP)
    lpc_order: u32,
    /// Power to which loudnesses are raised (PLP)
    compress_factor: f32,
    /// Factor of all coefficients but the energy (PLP)
    cepstral_scale: f32,
}

/// What features are asked for.
#[derive(Args)]
pub struct FeatureFlags {
    /// A set of options by name: kaldi-fbank (without a word, this), kaldi-mfcc, kaldi-plp,
    /// kaldi-spectrogram, whisper, whisper-v3, nemo.
    #[arg(long, value_name = "NAME", conflicts_with = "recipe")]
    preset: Option<Preset>,
    /// The features of a recipe.
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    /// A file of Kaldi's flags, such as conf/mfcc.conf.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets a key of a recipe's [features], such as "deltas={}" or normalize=utterance; may be given
    /// again.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    kaldi: KaldiFlags,
}

impl FeatureFlags {
    /// The options: a preset or a recipe, changed by the file of flags, then by the flags, then by
    /// `--set`.
    pub fn options(&self) -> Result<FeatureOptions, Failure> {
        let base = match &self.recipe {
            Some(path) => Recipe::read(path, &[])?.features,
            None => self.preset.unwrap_or(Preset::KaldiFbank).options(),
        };
        let mut table = Table::try_from(&base).map_err(internal)?;
        // Layer by layer, so that the one at fault is blamed.
        if let Some(path) = &self.config {
            let config = read_config(path)?;
            refuse_preset(&config, path.display())?;
            table.extend(config);
            parse(&table, path.display())?;
        }
        table.extend(Table::try_from(&self.kaldi).map_err(internal)?);
        let mut options = parse(&table, "the flags")?;
        for change in &self.set {
            let (key, value) = change.split_once('=').ok_or_else(|| {
                Failure::Sentence(format!(
                    "--set {change}: there is no value; write KEY=VALUE, such as num-ceps=13"
                ))
            })?;
            table.insert(key.trim().to_owned(), value_of(value.trim()));
            refuse_preset(&table, format_args!("--set {change}"))?;
            options = parse(&table, format_args!("--set {change}"))?;
        }
        Ok(options)
    }
}

/// The words that a layer may not hold: they choose what lies under all layers.
fn refuse_preset(table: &Table, source: impl std::fmt::Display) -> Result<(), Failure> {
    match table.get("preset") {
        None => Ok(()),
        Some(preset) => Err(Failure::Sentence(format!(
            "{source}: a preset lies under all else; name it as --preset {}",
            preset.as_str().unwrap_or_default()
        ))),
    }
}

/// The options that a table holds; `source` is what changed it last.
fn parse(table: &Table, source: impl std::fmt::Display) -> Result<FeatureOptions, Failure> {
    FeatureOptions::deserialize(table.clone()).map_err(|error| {
        Failure::Sentence(format!("{source}: {}", in_plain_words(error.message())))
    })
}

/// What should never be.
pub fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::Sentence(format!(
        "the options of features cannot be written as TOML ({error}); please report this"
    ))
}

/// A word of a flag as TOML has it: a yes or no, a number, a table, else a text.
fn value_of(word: &str) -> Value {
    let parsed = format!("value = {word}").parse::<Table>();
    match parsed.ok().and_then(|mut table| table.remove("value")) {
        Some(value) => value,
        None => Value::String(word.to_owned()),
    }
}

/// Reads a file of Kaldi's flags: `--name=value` a line, `--name` for a yes, `#` before a remark.
pub fn read_config(path: &Path) -> Result<Table, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::read(path))?;
    let text = text.trim_start_matches('\u{feff}');
    let mut table = Table::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let flag = line.strip_prefix("--").ok_or_else(|| {
            Failure::Sentence(format!(
                "{}, line {}: {line:?} is no flag of Kaldi's; write --name=value",
                path.display(),
                index + 1
            ))
        })?;
        let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
        table.insert(name.trim().to_owned(), value_of(value.trim().trim_matches('"')));
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_toml_makes_of_them() {
        assert_eq!(value_of("true"), Value::Boolean(true));
        assert_eq!(value_of("-400"), Value::Integer(-400));
        assert_eq!(value_of("0.97"), Value::Float(0.97));
        assert_eq!(value_of("hamming"), Value::String("hamming".into()));
        assert!(value_of("{ delta-order = 2 }").is_table());
    }

    #[test]
    fn a_file_of_flags_is_read_as_kaldi_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mfcc.conf");
        std::fs::write(
            &path,
            "# remark\n--num-ceps=40  # all of them\n\n--use-energy=false\n--htk-compat\n",
        )
        .unwrap();
        let table = read_config(&path).unwrap();
        assert_eq!(table.len(), 3);
        assert_eq!(table["num-ceps"], Value::Integer(40));
        assert_eq!(table["use-energy"], Value::Boolean(false));
        assert_eq!(table["htk-compat"], Value::Boolean(true));
        std::fs::write(&path, "--a=1\nnum-ceps=40\n").unwrap();
        let Err(error) = read_config(&path) else { panic!("a line without -- was taken") };
        assert!(error.to_string().contains("mfcc.conf, line 2"), "{error}");
    }
}
