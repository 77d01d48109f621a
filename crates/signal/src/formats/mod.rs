//! Files of features that others read and write: Kaldi's archives, NumPy's arrays, HTK's parameters.
//!
//! All readers see foreign bytes: a size is checked against the length of the file before it is
//! believed, a file that is cut, contradicts itself or holds a value that is not a finite number
//! is refused with the byte at which that shows ([`FormatError`]), and nothing panics.

mod ark;
mod ark_text;
mod array;
mod byte_reader;
mod compressed;
mod error;
mod htk;
mod npy;
mod output;
mod scp;

pub use ark::{ArkFormat, ArkReader, ArkWriter, ark_entry, read_kaldi, write_kaldi};
pub use ark_text::kaldi_text;
pub use array::{Array, Values};
pub use compressed::Compression;
pub use error::FormatError;
pub use htk::{HtkFile, HtkKind, parse_htk, read_htk, write_htk};
pub use npy::{parse_npy, read_npy, write_npy};
pub use scp::{RowRange, ScpEntry, parse_scp, read_scp};
