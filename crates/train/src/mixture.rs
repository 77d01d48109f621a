//! `train` of a recipe's `[data]`: one manifest, or several that are mixed by weight.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A manifest, and how often an epoch reads each of its utterances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WeightedManifest {
    /// Relative to the recipe's folder.
    pub manifest: PathBuf,
    /// 1: once; 2: twice; 0.5: every other one, by turns.
    #[serde(default = "once")]
    pub weight: f64,
}

fn once() -> f64 {
    1.0
}

/// What is trained on: `train = "a.jsonl"`, or
/// `train = [{ manifest = "a.jsonl" }, { manifest = "b.jsonl", weight = 0.5 }]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture(Vec<WeightedManifest>);

impl Mixture {
    /// The manifests, in the order of the recipe; at least one.
    pub fn manifests(&self) -> &[WeightedManifest] {
        &self.0
    }

    /// The same, to be changed.
    pub fn manifests_mut(&mut self) -> &mut [WeightedManifest] {
        &mut self.0
    }

    /// The first manifest: what a message names.
    pub fn first(&self) -> &Path {
        &self.0[0].manifest
    }
}

impl From<PathBuf> for Mixture {
    fn from(manifest: PathBuf) -> Self {
        Self(vec![WeightedManifest { manifest, weight: once() }])
    }
}

impl Serialize for Mixture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] if one.weight == once() => one.manifest.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Mixture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrSeveral)
    }
}

/// Written by hand, for an untagged enum would say no more than that nothing matched.
struct OneOrSeveral;

impl<'de> Visitor<'de> for OneOrSeveral {
    type Value = Mixture;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "a manifest in quotes, or a list like [{ manifest = \"a.jsonl\", weight = 0.5 }]",
        )
    }

    fn visit_str<E: Error>(self, path: &str) -> Result<Mixture, E> {
        Ok(PathBuf::from(path).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Mixture, A::Error> {
        let manifests = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        if manifests.is_empty() {
            return Err(A::Error::custom("train names no manifest"));
        }
        Ok(Mixture(manifests))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Data {
        train: Mixture,
    }

    #[test]
    fn one_manifest_or_several_with_weights() {
        let one: Data = toml::from_str("train = \"a.jsonl\"").unwrap();
        assert_eq!(one.train, PathBuf::from("a.jsonl").into());
        assert_eq!(toml::to_string(&one).unwrap(), "train = \"a.jsonl\"\n");
        let text = "train = [{ manifest = \"a.jsonl\" }, { manifest = \"b.jsonl\", weight = 0.5 }]";
        let two: Data = toml::from_str(text).unwrap();
        let weights: Vec<f64> = two.train.manifests().iter().map(|m| m.weight).collect();
        assert_eq!(weights, [1.0, 0.5]);
        assert_eq!(two.train.first(), Path::new("a.jsonl"));
        let again: Data = toml::from_str(&toml::to_string(&two).unwrap()).unwrap();
        assert_eq!(again, two);
    }

    #[test]
    fn what_is_no_list_of_manifests_is_told_so() {
        for (text, reason) in [
            ("train = 3", "a manifest in quotes, or a list"),
            ("train = []", "names no manifest"),
            ("train = [{ weight = 2 }]", "missing field `manifest`"),
            ("train = [{ manifest = \"a\", wieght = 2 }]", "wieght"),
        ] {
            let error = toml::from_str::<Data>(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
