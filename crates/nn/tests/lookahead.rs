//! The lookahead convolution against PyTorch's values: forward and every gradient.

use labyrinth_kernels::Cpu;
use labyrinth_nn::layers::Lookahead;
use labyrinth_nn::{Memory, Mode, Sequence, Shape};
use safetensors::SafeTensors;

/// Greatest error, as a share of the greatest value.
const TOLERANCE: f32 = 1e-6;

fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let greatest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let errors = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let error = errors.fold(0.0f32, f32::max) / greatest;
    assert!(error < TOLERANCE, "{what}: a relative error of {error}");
}

#[test]
fn values_and_gradients_are_pytorchs() {
    let bytes = include_bytes!("golden/lookahead.safetensors");
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensor = |name: &str| -> Vec<f32> {
        let data = file.tensor(name).unwrap().data().to_vec();
        data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    let shape = file.tensor("weight").unwrap().shape().to_vec(); // [channels, 1, frames + 1]
    let [channels, frames] = [shape[0], shape[2] - 1];
    let lengths: Vec<usize> = tensor("lengths").iter().map(|&length| length as usize).collect();
    let parameters = [tensor("weight"), tensor("bias")].concat();
    for isa in Cpu::available() {
        let cpu = Cpu::with(isa).unwrap();
        let layer = Box::new(Lookahead { channels, frames });
        let sequence: Sequence<f32> = Sequence::new(vec![("lookahead".into(), layer)]);
        let shape = Shape { lengths: lengths.clone(), bins: 1, channels };
        let (mode, mut memory) = (Mode::Training { key: 0 }, Memory::new());
        let x = tensor("x");
        sequence.forward(cpu, mode, &parameters, &[], &x, &shape, &mut [], &mut memory).unwrap();
        assert_close("y", memory.output(), &tensor("y"));
        memory.output_and_gradient().1.copy_from_slice(&tensor("dy"));
        let (mut gradients, mut dx) = (vec![0.0; parameters.len()], vec![f32::NAN; x.len()]);
        let wanted = Some(&mut dx[..]);
        sequence.backward(cpu, mode, &parameters, &x, &mut gradients, &mut memory, wanted).unwrap();
        assert_close("dx", &dx, &tensor("dx"));
        let (dweight, dbias) = gradients.split_at(channels * (frames + 1));
        assert_close("dweight", dweight, &tensor("dweight"));
        assert_close("dbias", dbias, &tensor("dbias"));
    }
}
