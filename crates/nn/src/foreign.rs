//! Tensors from files of others: names, shapes and values, and nothing of what they are for.
//!
//! A file of weights is data from anywhere: nothing in it is run, every size is checked against the bytes
//! that are there, and what is refused is named.

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use crate::model_file::hexadecimal;
use crate::pth;

/// One tensor of a file of weights.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its name as the file has it: `layer1.0.conv1.weight`.
    pub name: String,
    /// Its shape, outermost first; empty for a single number.
    pub shape: Vec<usize>,
    /// Its values as `f32`, in the order of the shape; those of other types are rounded to the nearest.
    pub values: Vec<f32>,
    /// Whether the file has them as whole numbers: of a counter, or of a quantised network, which are no weights.
    pub integers: bool,
}

/// A file of weights that cannot be used, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// The file cannot be read.
    #[error("cannot read the weights {}: {source}; check the path", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no file of tensors in a form that is known.
    #[error("{} is not a file of weights that this program reads ({reason}); name a safetensors file or a PyTorch state dict", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It is cut short or was altered.
    #[error("the weights {} are damaged ({reason}); copy the file again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// It asks for code to be run, which never happens here.
    #[error("the weights {} hold code: {code}; it is not run: in PyTorch, save model.state_dict() alone", path.display())]
    Code {
        /// The file.
        path: PathBuf,
        /// The name of what was to be run.
        code: String,
    },
    /// A tensor of a type that has no place among weights.
    #[error("tensor {name} of the weights {} is of type {found}; convert it to float32", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        found: String,
    },
}

/// Every tensor of a file, in the order of their names.
///
/// # Errors
/// [`ForeignError`] names the file, what is wrong with it and the way out.
pub fn read_tensors(path: &Path) -> Result<Vec<NamedTensor>, ForeignError> {
    parse_tensors(&read_bytes(path)?, path)
}

/// The bytes of a file of weights, whatever it holds.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, ForeignError> {
    if labyrinth_signal::is_special_file(path) {
        let reason = "it is a pipe or a device".into();
        return Err(ForeignError::Unknown { path: path.into(), reason });
    }
    std::fs::read(path).map_err(|source| ForeignError::Read { path: path.into(), source })
}

/// [`read_tensors`] from memory; `path` names the file in messages.
pub fn parse_tensors(bytes: &[u8], path: &Path) -> Result<Vec<NamedTensor>, ForeignError> {
    if pth::is_legacy(bytes) {
        let reason =
            "it is in PyTorch's form from before version 1.6; load it with torch.load and \
                      save it again with torch.save"
                .into();
        return Err(ForeignError::Unknown { path: path.into(), reason });
    }
    let mut tensors =
        if pth::is_archive(bytes) { pth::parse(bytes, path)? } else { safetensors(bytes, path)? };
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// SHA-256 of a file of weights: what a model says that it began with.
pub fn file_digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Every tensor of a safetensors file.
fn safetensors(bytes: &[u8], path: &Path) -> Result<Vec<NamedTensor>, ForeignError> {
    // Eight bytes of a length, then JSON: nothing else begins so.
    if bytes.get(8) != Some(&b'{') {
        let reason = "it does not begin like one".into();
        return Err(ForeignError::Unknown { path: path.into(), reason });
    }
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| ForeignError::Damaged { path: path.into(), reason: error.to_string() })?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.tensors() {
        let values = values(&view).ok_or_else(|| ForeignError::Type {
            path: path.into(),
            name: name.clone(),
            found: format!("{:?}", view.dtype()),
        })?;
        let integers = matches!(view.dtype(), Dtype::I64 | Dtype::I32);
        tensors.push(NamedTensor { name, shape: view.shape().to_vec(), values, integers });
    }
    Ok(tensors)
}

/// The values of a tensor as `f32`; `None` where its type is none of numbers.
fn values(view: &TensorView<'_>) -> Option<Vec<f32>> {
    macro_rules! read {
        ($type:ty, $convert:expr) => {
            view.data()
                .chunks_exact(size_of::<$type>())
                .filter_map(|bytes| bytes.try_into().ok())
                .map(|bytes| $convert(<$type>::from_le_bytes(bytes)))
                .collect()
        };
    }
    Some(match view.dtype() {
        Dtype::F32 => read!(f32, |value| value),
        Dtype::F64 => read!(f64, |value| value as f32),
        Dtype::F16 => read!(u16, f16_to_f32),
        Dtype::BF16 => read!(u16, bf16_to_f32),
        Dtype::I64 => read!(i64, |value| value as f32),
        Dtype::I32 => read!(i32, |value| value as f32),
        _ => return None,
    })
}

/// A brain float is the upper half of an `f32`.
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest brain float; of two as near the even one. NaN stays NaN.
pub fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40; // a payload in the lower half must not vanish
    }
    // Adds a little less than half of the last place, and the rest where that place is odd.
    (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// IEEE 754 half precision: 1 bit of sign, 5 of exponent with bias 15, 10 of fraction.
pub fn f16_to_f32(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
        let view = TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
        safetensors::serialize([(name, view)], None).unwrap()
    }

    #[test]
    fn each_type_of_number_is_read() {
        let read = |dtype, bytes: &[u8]| {
            let bytes = file("a", dtype, &[2], bytes);
            let tensors = parse_tensors(&bytes, Path::new("w.safetensors")).unwrap();
            assert_eq!((tensors[0].name.as_str(), &tensors[0].shape[..]), ("a", &[2][..]));
            tensors[0].values.clone()
        };
        let wanted = [1.5, -2.0];
        assert_eq!(read(Dtype::F32, &wanted.map(f32::to_le_bytes).concat()), wanted);
        assert_eq!(read(Dtype::F64, &[1.5f64, -2.0].map(f64::to_le_bytes).concat()), wanted);
        assert_eq!(read(Dtype::F16, &[0x3e00u16, 0xc000].map(u16::to_le_bytes).concat()), wanted);
        assert_eq!(read(Dtype::BF16, &[0x3fc0u16, 0xc000].map(u16::to_le_bytes).concat()), wanted);
        assert_eq!(read(Dtype::I64, &[7i64, -9].map(i64::to_le_bytes).concat()), [7.0, -9.0]);
    }

    #[test]
    fn the_edges_of_half_precision() {
        assert_eq!(f16_to_f32(0x0001), 2f32.powi(-24)); // smallest
        assert_eq!(f16_to_f32(0x03ff), 1023.0 * 2f32.powi(-24)); // largest without a leading 1
        assert_eq!(f16_to_f32(0x7bff), 65504.0); // largest
        assert_eq!(f16_to_f32(0xfc00), f32::NEG_INFINITY);
        assert!(f16_to_f32(0x7c01).is_nan());
    }

    #[test]
    fn brain_floats_round_to_the_nearest_and_ties_to_even() {
        for (bits, wanted) in [
            (0x3f80_0000u32, 0x3f80u16),
            (0x3f80_7fff, 0x3f80),
            (0x3f80_8000, 0x3f80), // a tie, to even
            (0x3f80_8001, 0x3f81),
            (0x3f81_8000, 0x3f82), // a tie, to even
            (0x7f7f_ffff, 0x7f80), // beyond the largest
            (0xff80_0000, 0xff80),
        ] {
            assert_eq!(f32_to_bf16(f32::from_bits(bits)), wanted, "{bits:#x}");
        }
        assert!(bf16_to_f32(f32_to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
        for bits in 0..=u16::MAX {
            let value = bf16_to_f32(bits);
            assert!(value.is_nan() || f32_to_bf16(value) == bits);
        }
    }

    #[test]
    fn what_is_no_file_of_weights_is_named() {
        let path = Path::new("w.safetensors");
        let whole = file("a", Dtype::F32, &[2], &[0; 8]);
        let fault = |bytes: &[u8]| parse_tensors(bytes, path).unwrap_err().to_string();
        assert!(fault(b"").contains("w.safetensors is not a file of weights"));
        assert!(fault(b"hello, world").contains("does not begin like one"));
        assert!(fault(&whole[..whole.len() - 1]).contains("w.safetensors are damaged"));
        let of_bytes = file("mask", Dtype::U8, &[2], &[0; 2]);
        assert!(
            fault(&of_bytes).contains("tensor mask of the weights w.safetensors is of type U8")
        );
    }
}
