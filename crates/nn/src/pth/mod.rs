//! PyTorch's `.pth` and `.pt` files: a zip archive of storages, and a pickle that says which tensors they are.
//!
//! ```text
//! NAME/data.pkl     pickle: {name: tensor(storage, offset, shape, strides)}
//! NAME/data/0 …     the values of each storage
//! NAME/byteorder    "little", in newer files
//! ```
//!
//! No code in such a file is run ([`pickle`]). Sizes are checked against the bytes that are there before memory
//! is taken: a tensor has at most as many values as its storage, and all tensors together at most four
//! for each byte of the file (half precision gives one for two bytes, tied weights twice that).

mod pickle;
mod zip;

use std::collections::HashMap;
use std::path::Path;

use pickle::{Fault, Kind, Tensor};
use zip::Archive;

use crate::foreign::{ForeignError, NamedTensor, bf16_to_f32, f16_to_f32};

/// Whether bytes are a zip archive, as PyTorch writes since version 1.6.
pub(crate) fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Whether bytes begin like what PyTorch wrote before version 1.6: a pickle of its magic number.
pub(crate) fn is_legacy(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46])
}

/// Every tensor of a `.pth` file; `path` names it in messages.
pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Vec<NamedTensor>, ForeignError> {
    let damaged = |reason: String| ForeignError::Damaged { path: path.into(), reason };
    let unknown = |reason: &str| ForeignError::Unknown { path: path.into(), reason: reason.into() };
    let archive = Archive::open(bytes).map_err(|reason| damaged(reason.into()))?;
    let folder = archive.folder_of("data.pkl").ok_or_else(|| {
        unknown("it is a zip archive without a data.pkl, so PyTorch did not write it")
    })?;
    let entry = |name: &str| archive.get(&format!("{folder}{name}")).transpose().map_err(damaged);
    if entry("byteorder")?.is_some_and(|order| order != b"little") {
        return Err(unknown("its numbers are big-endian"));
    }
    let pickle = entry("data.pkl")?.unwrap_or_default();
    let tensors = pickle::tensors(pickle).map_err(|fault| match fault {
        Fault::Code(code) => ForeignError::Code { path: path.into(), code },
        Fault::Broken(reason) => ForeignError::Unknown { path: path.into(), reason },
    })?;
    let mut storages: HashMap<&str, &[u8]> = HashMap::new();
    let mut left = bytes.len().saturating_mul(4);
    let mut named = Vec::with_capacity(tensors.len());
    for (name, tensor) in &tensors {
        let key = tensor.storage.key;
        if !storages.contains_key(key) {
            let missing = || damaged(format!("data/{key}, the values of {name}, is not in it"));
            storages.insert(key, entry(&format!("data/{key}"))?.ok_or_else(missing)?);
        }
        let values = values(tensor, storages[key], &mut left)
            .map_err(|reason| damaged(format!("tensor {name}: {reason}")))?;
        let integers = matches!(tensor.storage.kind, Kind::Long | Kind::Int);
        named.push(NamedTensor {
            name: name.clone(),
            shape: tensor.shape.clone(),
            values,
            integers,
        });
    }
    Ok(named)
}

/// The values of a tensor in the order of its shape, from the storage that it is a view of.
fn values(tensor: &Tensor<'_>, bytes: &[u8], left: &mut usize) -> Result<Vec<f32>, String> {
    let kind = tensor.storage.kind;
    let held = bytes.len() / kind.size();
    if tensor.storage.len > held {
        let wanted = tensor.storage.len;
        return Err(format!("its storage should hold {wanted} values and holds {held}"));
    }
    let wanted = tensor.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
    let wanted = wanted.filter(|&wanted| wanted <= held.max(1)).ok_or_else(|| {
        format!("it is {:?}, more than the {held} values of its storage", tensor.shape)
    })?;
    if wanted == 0 {
        return Ok(Vec::new());
    }
    // The last value lies at offset + Σ (size − 1) · stride.
    let steps = tensor.shape.iter().zip(&tensor.strides);
    let last = steps.clone().try_fold(tensor.offset, |last, (&size, &stride)| {
        last.checked_add((size - 1).checked_mul(stride)?)
    });
    if last.is_none_or(|last| last >= held) {
        return Err(format!("it reaches beyond the {held} values of its storage"));
    }
    *left = left.checked_sub(wanted).ok_or("the tensors share their values too often")?;
    let mut values = Vec::with_capacity(wanted);
    let mut index = vec![0usize; tensor.shape.len()];
    let mut place = tensor.offset;
    for _ in 0..wanted {
        values.push(value(kind, &bytes[place * kind.size()..]));
        // The next index, the last one fastest.
        for ((index, &size), &stride) in
            index.iter_mut().zip(&tensor.shape).zip(&tensor.strides).rev()
        {
            *index += 1;
            place += stride;
            if *index < size {
                break;
            }
            place -= size * stride;
            *index = 0;
        }
    }
    Ok(values)
}

/// The value at the beginning of `bytes`.
fn value(kind: Kind, bytes: &[u8]) -> f32 {
    fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
        std::array::from_fn(|index| bytes[index])
    }
    match kind {
        Kind::Float => f32::from_le_bytes(first(bytes)),
        Kind::Double => f64::from_le_bytes(first(bytes)) as f32,
        Kind::Half => f16_to_f32(u16::from_le_bytes(first(bytes))),
        Kind::BFloat16 => bf16_to_f32(u16::from_le_bytes(first(bytes))),
        Kind::Long => i64::from_le_bytes(first(bytes)) as f32,
        Kind::Int => i32::from_le_bytes(first(bytes)) as f32,
        Kind::Short => f32::from(i16::from_le_bytes(first(bytes))),
        Kind::Char => f32::from(first::<1>(bytes)[0] as i8),
        Kind::Byte | Kind::Bool => f32::from(bytes[0]),
    }
}
