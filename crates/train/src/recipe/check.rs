//! What the types of a recipe cannot say: ranges, keys that contradict each other, and whether features and network can
//! be made at all.

use labyrinth_nn::layers::Colours;
use labyrinth_nn::{ModelOptions, Objective};
use labyrinth_signal::{FeatureExtractor, FeatureKind, FeatureOptions, Normalization};
use labyrinth_text::Units;

use super::Recipe;

impl Recipe {
    /// What types cannot say: ranges, and whether features and network can be made at all, so that a
    /// mistake is told as the recipe's before any data is read.
    pub(super) fn check(&self) -> Result<(), String> {
        let train = &self.train;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let manifests = self.data.train.manifests();
        let fault = if train.epochs == 0 || train.batch_size == 0 || train.checkpoint_every == 0 {
            "epochs, batch-size and checkpoint-every must be at least 1"
        } else if !manifests.iter().all(|one| (0.001..=1000.0).contains(&one.weight)) {
            "the weight of a manifest must lie from 0.001 to 1000"
        } else if !positive(train.learning_rate) || !positive(train.clip) {
            "learning-rate and clip must be above 0"
        } else if !positive(train.max_batch_seconds) {
            "max-batch-seconds must be above 0"
        } else if !(0.0..=1.0).contains(&train.warm_up) {
            "warm-up must lie from 0 to 1"
        } else if !(train.weight_decay.is_finite() && train.weight_decay >= 0.0) {
            "weight-decay must be at least 0"
        } else if !(0.0..1.0).contains(&train.average_weights) {
            "average-weights is the share of their mean that a step keeps: from 0 (none) to less than 1, such as 0.999"
        } else if !(0.0..=1.0).contains(&train.weight_noise) {
            "weight-noise is a standard deviation from 0 (none) to 1, such as 0.02"
        } else if !(-20.0..=20.0).contains(&train.blank_bias) {
            "blank-bias must lie from -20 to 20"
        } else if train.blank_bias != 0.0 && train.loss != Objective::Ctc {
            "blank-bias is for CTC, which has a blank; leave it out"
        } else if train.speeds.is_empty()
            || !train.speeds.iter().all(|speed| (0.25..=4.0).contains(speed))
        {
            "speeds must name at least one factor, each from 0.25 to 4"
        } else if !train.tempos.iter().all(|tempo| (0.25..=4.0).contains(tempo)) {
            "tempos must be factors from 0.25 to 4"
        } else if train.spec_augment.as_ref().is_some_and(|masks| {
            masks.freq_masks.max(masks.time_masks) > 1000
                || !(0.0..=1.0).contains(&masks.time_share)
        }) {
            "spec-augment allows at most 1000 masks, and a time-share from 0 to 1"
        } else if train
            .random_filter
            .as_ref()
            .is_some_and(|filter| !(0.0..=100.0).contains(&filter.ripple_db))
        {
            "random-filter wants a ripple-db from 0 to 100"
        } else if train.random_filter.is_some()
            && (matches!(self.features.normalize, Normalization::Utterance | Normalization::Nemo)
                || !matches!(self.features.kind, FeatureKind::Fbank | FeatureKind::LogSpectrogram)
                || !self.features.use_log_fbank)
        {
            "random-filter adds to logarithmic spectra, and normalize = \"utterance\" would take \
             it away again: set [features] normalize to \"level\" or \"none\", or leave it out"
        } else if let Some(fault) = self.fault_of_labels() {
            fault
        } else if holds_no_number(&self.features) {
            "every value of [features] must be a finite number"
        } else {
            let features =
                FeatureExtractor::new(&self.features).map_err(|error| error.to_string())?;
            for &vtln_warp in &train.vtln_warps {
                let warped = FeatureOptions { vtln_warp, ..self.features.clone() };
                FeatureExtractor::new(&warped).map_err(|error| format!("vtln-warps: {error}"))?;
            }
            self.check_model()?;
            let sound = train.sound().check(features.sample_rate());
            sound.map_err(|error| error.to_string())?;
            // The width of the output is the alphabet's, which is not known yet; any will do.
            let network = self.model.build::<f32>(features.dim(), 2);
            return network.map(|_| ()).map_err(|error| error.to_string());
        };
        Err(fault.to_owned())
    }

    /// What the network, its features and its training must agree on.
    fn check_model(&self) -> Result<(), String> {
        let (train, features) = (&self.train, &self.features);
        let stages = self.model.stages();
        if let Some(unknown) = train.stages.keys().find(|name| !stages.contains(&name.as_str())) {
            return Err(if stages.is_empty() {
                "stages in [train] are for resnet-gru and resnet-lstm; leave them out".into()
            } else {
                format!(
                    "there is no stage {unknown} in [train.stages]; there are {}",
                    stages.join(", ")
                )
            });
        }
        if !train.stages.values().all(|stage| stage.rate > 0.0 && stage.rate <= 1000.0) {
            return Err(
                "the rate of a stage must lie above 0, up to 1000; to keep a stage as it is, set \
                        its frozen-epochs"
                    .into(),
            );
        }
        for pair in stages.windows(2) {
            let [before, behind] = [pair[0], pair[1]].map(|name| train.stage(name).frozen_epochs);
            if behind > before {
                return Err(format!(
                    "{} would be frozen for {behind} epochs and {}, which comes before it, for {before}; \
                     a stage can be frozen only as long as all before it are",
                    pair[1], pair[0]
                ));
            }
        }
        if stages.last().is_some_and(|rest| train.stage(rest).frozen_epochs > 0) {
            return Err("rest in [train.stages] holds the output, which cannot be frozen".into());
        }
        if train.from.is_some() && train.pretrained.is_some() {
            return Err("from and pretrained in [train] both name the weights to begin with; leave out one of them".into());
        }
        let ModelOptions::Resnet(model) = &self.model else {
            return match train.pretrained {
                Some(_) => Err("pretrained weights are for resnet-gru and resnet-lstm; leave \
                                pretrained out of [train], or change architecture in [model]"
                    .into()),
                None => Ok(()),
            };
        };
        let (given, wanted) = match model.colours {
            Colours::Repeat => return Ok(()),
            Colours::Deltas => (
                features.deltas.is_some_and(|deltas| deltas.order == 2),
                "colours = \"deltas\" in [model] needs deltas = { order = 2 } in [features]",
            ),
            Colours::Windows => (
                features.frame_lengths.len() == 3,
                "colours = \"windows\" in [model] needs three frame-lengths in [features], such as \
                 [25, 64, 250]",
            ),
        };
        if given && features.splice.is_none() {
            Ok(())
        } else {
            Err(format!("{wanted}, and no splice"))
        }
    }

    /// Keys about labels that contradict each other.
    fn fault_of_labels(&self) -> Option<&'static str> {
        let (data, train) = (&self.data, &self.train);
        let phonemes = data.units == Units::Phonemes;
        let weight = train.auxiliary_phonemes.as_ref().map_or(1.0, |head| head.weight);
        let fault = match train.loss {
            Objective::Ctc if phonemes && data.lexicon.is_none() => {
                "units = \"phonemes\" needs a lexicon: set lexicon = \"FILE\" in [data], a file with a \
                 word and its phonemes in each line"
            }
            Objective::Ctc if !phonemes && data.lexicon.is_some() => {
                "lexicon in [data] is for units = \"phonemes\"; set both or none"
            }
            Objective::Ctc if !data.track.is_default() => {
                "[data.track] is for loss = \"framewise\" in [train]; CTC learns from transcripts"
            }
            Objective::Ctc if phonemes && train.auxiliary_phonemes.is_some() => {
                "auxiliary-phonemes is for a first head of characters or words, and units is \
                 \"phonemes\""
            }
            Objective::Framewise if data.units == Units::Characters => {
                "loss = \"framewise\" learns the labels of label tracks: say with units in [data] \
                 whether they are \"phonemes\" or \"words\""
            }
            Objective::Framewise
                if data.lexicon.is_some() || train.auxiliary_phonemes.is_some() =>
            {
                "loss = \"framewise\" learns the labels of label tracks as they are: leave out lexicon \
                 in [data] and auxiliary-phonemes in [train]"
            }
            _ if !(0.0..=100.0).contains(&weight) => {
                "the weight of auxiliary-phonemes must lie from 0 to 100"
            }
            _ => return None,
        };
        Some(fault)
    }
}

/// Whether a value is infinite or not a number: JSON, in which model files keep it, has no such.
fn holds_no_number(features: &FeatureOptions) -> bool {
    match serde_json::to_value(features) {
        Ok(serde_json::Value::Object(map)) => map.values().any(serde_json::Value::is_null),
        _ => true,
    }
}
