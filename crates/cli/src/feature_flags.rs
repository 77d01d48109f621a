//! Options of features on the command line: presets, recipes, Kaldi's flags, recipe keys.

use std::path::{Path, PathBuf};

use clap::Args;
use labyrinth_signal::{FeatureOptions, Preset};
use labyrinth_text::plain_words::in_plain_words;
use labyrinth_train::Recipe;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::config_file::{ConfigFile, internal, value_of};
use crate::failure::Failure;
use crate::output;

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
        let mut options = self.changed(&base)?;
        // What a recipe names is read already, from its own folder.
        options.read_stats(Path::new(""))?;
        Ok(options)
    }

    /// The same as far as frames are computed one by one: what is summed for the normalisation that
    /// the options ask for, whose sums need not be there yet.
    pub fn options_before_normalization(&self) -> Result<FeatureOptions, Failure> {
        let base = match &self.recipe {
            Some(path) => Recipe::read_features(path)?,
            None => self.preset.unwrap_or(Preset::KaldiFbank).options(),
        };
        Ok(self.changed(&base)?.without_stages())
    }

    /// Options with the layers over them.
    fn changed(&self, base: &FeatureOptions) -> Result<FeatureOptions, Failure> {
        let mut table = Table::try_from(base).map_err(internal)?;
        // Layer by layer, so that the one at fault is blamed.
        if let Some(path) = &self.config {
            let config = ConfigFile::read(path)?;
            if config.names().any(|name| name == "preset") {
                return Err(Failure::Sentence(format!(
                    "{}: a preset lies under all else; name it as --preset",
                    path.display()
                )));
            }
            config.lay_over::<FeatureOptions>(&mut table)?;
        }
        for (name, value) in self.flags()? {
            table.insert(name.clone(), value);
            parse(&table, format_args!("--{name}"))?;
        }
        let mut options = parse(&table, "the flags")?;
        for change in &self.set {
            let (key, value) = change.split_once('=').ok_or_else(|| {
                Failure::Sentence(format!(
                    "--set {change}: there is no value; write KEY=VALUE, such as num-ceps=13"
                ))
            })?;
            table.insert(key.trim().to_owned(), value_of(value.trim()));
            refuse_preset(&table, change)?;
            options = parse(&table, format_args!("--set {change}"))?;
        }
        Ok(options)
    }

    /// Kaldi's flags that were given, as keys of a recipe.
    fn flags(&self) -> Result<Table, Failure> {
        Table::try_from(&self.kaldi).map_err(internal)
    }

    /// Says of each option that was asked for and changes nothing that it does, but for those that
    /// `matter` for something else. Kaldi's files of flags are shared by programs, so that theirs are
    /// not looked at.
    pub fn remark_without_effect(
        &self,
        options: &FeatureOptions,
        matter: &[&str],
    ) -> Result<(), Failure> {
        let flags = self.flags()?;
        let flags = flags.keys().map(|name| (format!("--{name}"), &name[..]));
        let set = self.set.iter().filter_map(|change| Some((change, change.split_once('=')?.0)));
        let set = set.map(|(change, key)| (format!("--set {change}"), key.trim()));
        for (given, key) in flags.chain(set) {
            if let Some(reason) = options.without_effect(key).filter(|_| !matter.contains(&key)) {
                output::complain(format_args!("{given} changes nothing: {reason}"));
            }
        }
        Ok(())
    }
}

/// Refuses a setting of the word that chooses what lies under all layers.
fn refuse_preset(table: &Table, change: &str) -> Result<(), Failure> {
    match table.get("preset") {
        None => Ok(()),
        Some(preset) => Err(Failure::Sentence(format!(
            "--set {change}: a preset lies under all else; name it as --preset {}",
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
