//! labyrinth as a library: the crates of the toolkit under one name, in the order in which sound
//! becomes words.
//!
//! ```text
//! recording ─► signal ─► frames ─► nn ─► posteriors ─► decode ─► words
//!                          ▲         ▲
//!  folders ─► corpus ──────┘         │ weights
//!  transcripts ─► text ─► labels ─► train
//! ```
//!
//! | module | from → to |
//! |---|---|
//! | [`signal`] | sound → feature frames: decoding, resampling, filterbank, augmentation |
//! | [`text`] | transcript ↔ labels, and scores: normaliser, alphabet, alignment, intervals |
//! | [`corpus`] | folders → manifests → batches: preparation, checks, the ledger, the loader |
//! | [`kernels`] | slices → slices: the CPU mathematics, forward and backward |
//! | [`nn`] | features → posteriors: layers, models, the model file |
//! | [`decode`] | posteriors → words: greedy search, the recogniser |
//! | [`train`] | batches → a trained model: recipe, loop, checkpoints, evaluation |
//!
//! The program `labyrinth` adds arguments, progress and messages to these, nothing else.
//!
//! # Recognising a file
//!
//! ```no_run
//! use std::path::Path;
//!
//! use labyrinth::decode::Recognizer;
//! use labyrinth::kernels::Cpu;
//! use labyrinth::signal::read_audio;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Path::new("runs/an4/model.safetensors");
//! let mut recognizer = Recognizer::open(model, Cpu::detect())?;
//! let audio = read_audio(Path::new("question.flac"), None)?;
//! println!("{}", recognizer.recognize(&audio)?.text);
//! # Ok(())
//! # }
//! ```

pub use labyrinth_corpus as corpus;
pub use labyrinth_decode as decode;
pub use labyrinth_kernels as kernels;
pub use labyrinth_nn as nn;
pub use labyrinth_signal as signal;
pub use labyrinth_text as text;
pub use labyrinth_train as train;
