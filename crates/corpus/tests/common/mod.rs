//! Small corpora made on the spot: noise bursts with transcripts.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod fault;
pub mod prepared;
pub mod server;
pub mod shards;
pub mod spoken;
pub mod trees;

use labyrinth_corpus::loader::LoaderOptions;
use labyrinth_corpus::{
    Batch, Corpus, Infeasible, Loader, Manifest, Position, Rank, SoundOptions, SoundRecordings,
    Utterance,
};
use labyrinth_signal::{
    FeatureOptions, Noise, Normalization, Random, RandomFilter, SpecAugment, write_wav,
};
use labyrinth_text::{Alphabet, Normalizer, NormalizerOptions, Units};
use std::path::Path;
use std::sync::Arc;

pub const LETTERS: &str = " abcdefghijklmnopqrstuvwxyz";

/// `samples` of noise with a slow swell, different for each `key`.
pub fn noise(key: u64, samples: usize) -> Vec<f32> {
    let mut random = Random::from_key(&[77, key]);
    (0..samples)
        .map(|i| {
            let swell = 0.5 + 0.5 * (i as f64 / 900.0).sin();
            (0.3 * swell * (2.0 * random.uniform() - 1.0)) as f32
        })
        .collect()
}

/// A WAV of 16 bits with a channel for each list, all of one length.
pub fn wav_of_channels(rate: u32, channels: &[Vec<f32>]) -> Vec<u8> {
    let count = channels.len() as u16;
    let data = (channels[0].len() * channels.len() * 2) as u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((data + 36).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend(count.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * 2 * u32::from(count)).to_le_bytes());
    bytes.extend((2 * count).to_le_bytes());
    bytes.extend(b"\x10\0data");
    bytes.extend(data.to_le_bytes());
    for index in 0..channels[0].len() {
        for channel in channels {
            bytes.extend(((channel[index] * 32767.0) as i16).to_le_bytes());
        }
    }
    bytes
}

/// Writes `key`'s noise and describes it.
pub fn utterance(folder: &Path, key: u64, rate: u32, samples: usize, text: &str) -> Utterance {
    let name = format!("u{key:03}.wav");
    write_wav(&folder.join(&name), rate, &noise(key, samples)).unwrap();
    let duration = samples as f64 / f64::from(rate);
    Utterance::new(format!("u{key:03}"), name, duration, text)
}

/// `count` utterances of 0.2 to 0.9 s at 8, 16 and 22.05 kHz, with two to five letters each.
pub fn sound_corpus(folder: &Path, count: u64) -> Manifest {
    let utterances = (0..count)
        .map(|key| {
            let mut random = Random::from_key(&[5, key]);
            let rate = [8000, 16000, 22050][random.below(3) as usize];
            let samples = (f64::from(rate) * (0.2 + 0.7 * random.uniform())) as usize;
            let text: String =
                (0..2 + random.below(4)).map(|_| (b'a' + random.below(26) as u8) as char).collect();
            utterance(folder, key, rate, samples, &text)
        })
        .collect();
    Manifest { path: folder.join("train.jsonl"), utterances }
}

/// Training with everything switched on: shuffled, speeds, masks, small features.
pub fn training(manifest: &Manifest) -> LoaderOptions {
    LoaderOptions {
        corpora: vec![Corpus { source: Arc::new(manifest.clone()), weight: 1.0 }],
        rank: Rank::ALONE,
        features: FeatureOptions {
            num_mel_bins: 6,
            normalize: Normalization::Level,
            ..FeatureOptions::default()
        },
        normalizer: Normalizer::new(&NormalizerOptions::default()).unwrap(),
        alphabet: Alphabet::from_transcripts(Units::Characters, [LETTERS].into_iter()),
        lexicon: None,
        framewise: None,
        batch_size: 3,
        max_batch_seconds: 1.6,
        seed: 11,
        workers: 2,
        prefetch_batches: 2,
        shuffle: true,
        speeds: vec![0.9, 1.0, 1.1],
        tempos: vec![1.0, 1.2],
        sound: SoundOptions {
            noise: Some(Noise { snr_db: [0.0, 30.0], probability: 1.0 }),
            ..SoundOptions::default()
        },
        recordings: SoundRecordings::default(),
        random_filter: Some(RandomFilter { ripple_db: 6.0 }),
        vtln_warps: vec![0.9, 1.0, 1.1],
        spec_augment: Some(SpecAugment::default()),
        output_frames: Arc::new(|frames: usize| frames.div_ceil(2)),
        labels: false,
        infeasible: Infeasible::Refuse,
    }
}

/// The order of the manifest, nothing changed, nothing left out.
pub fn evaluation(manifest: &Manifest) -> LoaderOptions {
    let options = training(manifest);
    LoaderOptions::evaluation(
        Arc::new(manifest.clone()),
        options.features,
        options.normalizer,
        options.alphabet,
        options.output_frames,
    )
}

/// What a run hands out, ends of epochs included, and the position before each step.
pub fn run(options: &LoaderOptions, from: Position, epochs: u64) -> Vec<(Position, Option<Batch>)> {
    let mut loader = Loader::new(options.clone(), from).unwrap();
    let mut steps = Vec::new();
    while loader.position().epoch < epochs {
        let position = loader.position();
        steps.push((position, loader.next_batch().unwrap()));
    }
    steps
}

/// Whether two runs handed out the same bytes.
pub fn same(a: &[(Position, Option<Batch>)], b: &[(Position, Option<Batch>)]) -> bool {
    let bits = |batch: &Option<Batch>| {
        batch.as_ref().map(|b| b.features.iter().map(|x| x.to_bits()).collect::<Vec<u32>>())
    };
    a == b && a.iter().zip(b).all(|((_, a), (_, b))| bits(a) == bits(b))
}
