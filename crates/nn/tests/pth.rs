//! Files that PyTorch saved (`golden/make_pth.py`), read without PyTorch; and what must not be read.

use std::path::{Path, PathBuf};

use labyrinth_nn::foreign::{NamedTensor, parse_tensors, read_tensors};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pth").join(name)
}

fn get<'a>(tensors: &'a [NamedTensor], name: &str) -> (&'a [usize], &'a [f32]) {
    let tensor = tensors.iter().find(|tensor| tensor.name == name).unwrap();
    (&tensor.shape, &tensor.values)
}

/// As the script's `ramp`.
fn ramp(count: usize, first: f32) -> Vec<f32> {
    (0..count).map(|place| place as f32 * 0.5 + first).collect()
}

fn fault(name: &str) -> String {
    read_tensors(&golden(name)).unwrap_err().to_string()
}

#[test]
fn a_state_dict_is_read_whichever_way_it_was_saved() {
    let plain = read_tensors(&golden("plain.pth")).unwrap();
    // Two of the convolution, five of the norm, eight of the GRU.
    assert_eq!(plain.len(), 15);
    assert_eq!(get(&plain, "conv.weight"), (&[2, 1, 2, 3][..], &ramp(12, 0.0)[..]));
    assert_eq!(get(&plain, "conv.bias"), (&[2][..], &ramp(2, 1.0)[..]));
    assert_eq!(get(&plain, "norm.running_var"), (&[2][..], &[1.0, 1.0][..]));
    assert_eq!(get(&plain, "norm.num_batches_tracked"), (&[][..], &[0.0][..]));
    assert_eq!(get(&plain, "gru.weight_hh_l0_reverse"), (&[6, 2][..], &ramp(12, 9.0)[..]));
    assert_eq!(read_tensors(&golden("protocol4.pth")).unwrap(), plain);
    assert_eq!(read_tensors(&golden("checkpoint.pth")).unwrap(), plain);
    let parameters = read_tensors(&golden("parameters.pth")).unwrap();
    assert_eq!(parameters.len(), 12);
    assert!(parameters.iter().all(|tensor| plain.contains(tensor)));
}

#[test]
fn every_type_of_number_is_read() {
    let types = read_tensors(&golden("types.pth")).unwrap();
    for name in ["half", "bfloat", "double"] {
        assert_eq!(get(&types, name), (&[2, 3][..], &ramp(6, 0.0)[..]), "{name}");
    }
    assert_eq!(get(&types, "long").1, [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]);
    assert_eq!(get(&types, "int").1, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(get(&types, "byte").1, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(get(&types, "bool").1, [1.0, 0.0]);
    assert_eq!(get(&types, "number"), (&[][..], &[2.5][..]));
    assert_eq!(get(&types, "empty"), (&[0, 4][..], &[][..]));
}

#[test]
fn views_of_one_storage_are_followed() {
    let views = read_tensors(&golden("views.pth")).unwrap();
    let at = |row: usize, column: usize| (row * 6 + column) as f32 * 0.5;
    assert_eq!(get(&views, "whole"), (&[4, 6][..], &ramp(24, 0.0)[..]));
    assert_eq!(get(&views, "same"), get(&views, "whole"));
    let turned: Vec<f32> = (0..6).flat_map(|c| (0..4).map(move |r| at(r, c))).collect();
    assert_eq!(get(&views, "turned"), (&[6, 4][..], &turned[..]));
    assert_eq!(get(&views, "rows"), (&[2, 6][..], &ramp(12, 3.0)[..]));
    let steps = [at(0, 1), at(0, 3), at(0, 5), at(2, 1), at(2, 3), at(2, 5)];
    assert_eq!(get(&views, "steps"), (&[2, 3][..], &steps[..]));
    assert_eq!(get(&views, "one"), (&[][..], &[at(3, 5)][..]));
    let (shape, values) = get(&views, "permuted");
    assert_eq!((shape, values[0], values[1], values[6]), (&[4, 2, 3][..], 0.0, 2.0, 0.5));
}

#[test]
fn what_asks_for_code_is_refused_by_name() {
    let evil = fault("code.pth");
    assert!(evil.contains("code.pth hold code: posix.system; it is not run"), "{evil}");
    let module = fault("module.pth");
    assert!(module.contains("hold code: __main__.Net;"), "{module}");
    assert!(module.contains("save model.state_dict() alone"), "{module}");
    let legacy = fault("legacy.pth");
    assert!(legacy.contains("before version 1.6") && legacy.contains("torch.save"), "{legacy}");
}

/// A view larger than its storage would ask for memory that the file does not pay for.
#[test]
fn a_tensor_larger_than_its_storage_is_refused() {
    let expanded = fault("expanded.pth");
    assert!(expanded.contains("tensor spread: it is [1000], more than the 1 values"), "{expanded}");
}

/// Whatever byte is altered and wherever the file ends, the answer is tensors or a sentence.
#[test]
fn a_damaged_file_is_named() {
    let path = Path::new("w.pth");
    for name in ["plain.pth", "views.pth"] {
        let whole = std::fs::read(golden(name)).unwrap();
        for end in 0..whole.len() {
            let error = parse_tensors(&whole[..end], path).unwrap_err().to_string();
            assert!(error.contains("w.pth"), "{end}: {error}");
        }
        let before = parse_tensors(&whole, path).unwrap();
        let mut unseen = 0;
        for place in 0..whole.len() {
            let mut altered = whole.clone();
            altered[place] ^= 0x41;
            match parse_tensors(&altered, path) {
                Err(error) => assert!(error.to_string().contains("w.pth"), "{place}: {error}"),
                // Padding, dates, entries that nobody reads: never a weight.
                Ok(tensors) => {
                    assert_eq!(tensors, before, "{place}");
                    unseen += 1;
                }
            }
        }
        assert!(unseen < whole.len(), "{name}: nothing altered was seen");
    }
}
