//! The stages that a recipe's `[features]` asks for, behind the extractor.

use serde::{Deserialize, Serialize};

use super::{
    Chain, Cmvn, CmvnOptions, CmvnSource, Deltas, OnlineCmvn, OnlineCmvnOptions, OnlineCmvnState,
    SlidingCmvn, SlidingCmvnOptions, Splice, Stage,
};
use crate::feature_options::{FeatureError, FeatureOptions};

/// How the frames are normalised on their way, all of it causal or with a bounded latency: `cmn`
/// in a recipe, `cmn = { kind = "sliding", cmn-window = 300 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CmnOptions {
    /// Over a window that slides along the recording ([`SlidingCmvn`]).
    Sliding(SlidingCmvnOptions),
    /// With the sums of a corpus ([`Cmvn`]).
    Global(GlobalCmnOptions),
    /// From the sums of a corpus to the recording's own ([`OnlineCmvn`]).
    Online(OnlineCmnOptions),
}

/// `cmn = { kind = "global", stats = "an4.cmvn", ... }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GlobalCmnOptions {
    /// Subtract the mean.
    #[serde(default = "yes")]
    pub norm_means: bool,
    /// Divide by the standard deviation.
    #[serde(default)]
    pub norm_vars: bool,
    /// Dimensions left as they are, from 0.
    #[serde(default)]
    pub skip_dims: Vec<usize>,
    /// The corpus's sums.
    pub stats: CmvnSource,
}

/// `cmn = { kind = "online", stats = "an4.cmvn", ... }`: the options of
/// [`OnlineCmvnOptions`] under the same names, with the same defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OnlineCmnOptions {
    /// Frames of the recording that count.
    #[serde(default = "six_hundred")]
    pub cmn_window: usize,
    /// Most frames that the corpus counts as.
    #[serde(default = "two_hundred")]
    pub global_frames: usize,
    /// Subtract the mean.
    #[serde(default = "yes")]
    pub norm_means: bool,
    /// Divide by the standard deviation.
    #[serde(default)]
    pub norm_vars: bool,
    /// Dimensions left as they are, from 0.
    #[serde(default)]
    pub skip_dims: Vec<usize>,
    /// The corpus's sums.
    pub stats: CmvnSource,
}

fn yes() -> bool {
    true
}

fn six_hundred() -> usize {
    OnlineCmvnOptions::default().cmn_window
}

fn two_hundred() -> usize {
    OnlineCmvnOptions::default().global_frames
}

impl CmnOptions {
    /// The stage for frames of `dim` numbers.
    ///
    /// # Errors
    /// [`FeatureError`], as the stages; and for sums of another dimension.
    pub fn stage(&self, dim: usize) -> Result<Box<dyn Stage>, FeatureError> {
        Ok(match self {
            CmnOptions::Sliding(options) => Box::new(SlidingCmvn::new(dim, *options)?),
            CmnOptions::Global(options) => {
                let stats = options.stats.sums(dim)?;
                let applied = CmvnOptions {
                    norm_means: options.norm_means,
                    norm_vars: options.norm_vars,
                    reverse: false,
                    skip_dims: options.skip_dims.clone(),
                };
                Box::new(Cmvn::new(stats, &applied)?)
            }
            CmnOptions::Online(options) => {
                let state = OnlineCmvnState::new(options.stats.sums(dim)?.clone());
                let options = OnlineCmvnOptions {
                    cmn_window: options.cmn_window,
                    global_frames: options.global_frames,
                    norm_means: options.norm_means,
                    norm_vars: options.norm_vars,
                    skip_dims: options.skip_dims.clone(),
                    ..OnlineCmvnOptions::default()
                };
                Box::new(OnlineCmvn::new(state, options)?)
            }
        })
    }
}

/// The stages behind an extractor whose rows have `dim` numbers, in Kaldi's usual order:
/// normalisation, deltas, splicing; `None` if there are none.
pub(crate) fn stages_of(
    options: &FeatureOptions,
    dim: usize,
) -> Result<Option<Chain>, FeatureError> {
    let mut stages: Vec<Box<dyn Stage>> = Vec::new();
    if let Some(cmn) = &options.cmn {
        stages.push(cmn.stage(dim)?);
    }
    let mut dim = dim;
    if let Some(deltas) = options.deltas {
        let stage = Deltas::new(dim, deltas)?;
        dim = stage.dim();
        stages.push(Box::new(stage));
    }
    if let Some(splice) = options.splice {
        stages.push(Box::new(Splice::new(dim, splice)?));
    }
    Ok(Chain::new(stages))
}
