//! How label tracks are read as labels of frames: part of a recipe and of a model file.

use serde::{Deserialize, Serialize};

/// How a label track is read as targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrackOptions {
    /// Which tier, of tracks that have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Labels that mean silence, besides those without text: `h#` and `pau` in TIMIT.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub silence: Vec<String>,
    /// The only labels that are learnt; frames of others are passed over. Empty: all of the training set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

impl TrackOptions {
    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
