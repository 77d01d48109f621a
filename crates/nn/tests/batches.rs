//! An utterance gives the same bytes alone and in any company; and length formulas.

use labyrinth_kernels::{Cpu, Isa, Precision};
use labyrinth_nn::network::remove_padding;
use labyrinth_nn::{
    CnnOptions, ConvolutionOptions, Memory, Mode, ModelOptions, Network, Recurrent, Shape,
};
use labyrinth_signal::Random;
use proptest::prelude::*;

const DIM: usize = 20;
const LABELS: usize = 9;

fn network(recurrent: Recurrent, bidirectional: bool) -> Network<f32> {
    let options = ModelOptions::Cnn(CnnOptions {
        convolutions: vec![ConvolutionOptions { channels: 5, ..ConvolutionOptions::default() }; 2],
        projection: 24,
        recurrent: Some(recurrent),
        recurrent_layers: 2,
        recurrent_hidden: 19,
        bidirectional,
        ..CnnOptions::default()
    });
    Network::new(&options, DIM, LABELS, 5).unwrap()
}

fn utterance(index: u64, frames: usize) -> Vec<f32> {
    let mut random = Random::from_key(&[index]);
    (0..frames * DIM).map(|_| random.normal() as f32).collect()
}

fn logits(network: &Network<f32>, cpu: Cpu, features: &[f32], lengths: &[usize]) -> Vec<Vec<u32>> {
    let mut memory = Memory::new();
    network.forward(cpu, Mode::Inference, features, lengths, &mut memory).unwrap();
    let lengths = memory.output_shape().unwrap().lengths.clone();
    let mut rest = memory.output();
    let mut parts = Vec::new();
    for length in lengths {
        let (part, behind) = rest.split_at(length * LABELS);
        parts.push(part.iter().map(|value| value.to_bits()).collect());
        rest = behind;
    }
    parts
}

#[test]
fn the_same_bytes_alone_and_in_batches_with_padding_full_of_1e6() {
    for isa in Cpu::available() {
        let cpu = Cpu::with(isa).unwrap();
        check_batches(cpu);
        if let Ok(cpu) = cpu.with_precision(Precision::Bf16) {
            check_batches(cpu);
        }
    }
    assert!(Cpu::available().contains(&Isa::Portable));
}

fn check_batches(cpu: Cpu) {
    let kinds = [(Recurrent::Gru, true), (Recurrent::Gru, false), (Recurrent::Lstm, true)];
    for network in kinds.map(|(recurrent, bidirectional)| network(recurrent, bidirectional)) {
        let lengths: Vec<usize> = (0..16).map(|i| 9 + (i * 37) % 83).collect();
        let utterances: Vec<Vec<f32>> =
            lengths.iter().enumerate().map(|(i, &n)| utterance(i as u64, n)).collect();
        let alone: Vec<Vec<u32>> = utterances
            .iter()
            .zip(&lengths)
            .map(|(features, &frames)| logits(&network, cpu, features, &[frames]).remove(0))
            .collect();
        for size in [1, 2, 3, 7, 16] {
            let longest = lengths[..size].iter().copied().max().unwrap();
            let mut padded = vec![1e6; size * longest * DIM];
            for (index, features) in utterances[..size].iter().enumerate() {
                padded[index * longest * DIM..][..features.len()].copy_from_slice(features);
            }
            let frames = remove_padding(&padded, longest, DIM, &lengths[..size]).unwrap();
            for threads in [1, 2, 3, 4] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let batch = pool.install(|| logits(&network, cpu, &frames, &lengths[..size]));
                assert_eq!(batch, alone[..size], "batch of {size} on {threads} threads");
            }
        }
    }
}

#[test]
fn training_does_not_depend_on_the_number_of_threads() {
    // So many utterances that the batch is cut for the threads.
    let lengths: Vec<usize> = (0..19).map(|i| 9 + (i * 23) % 53).collect();
    let features: Vec<f32> =
        lengths.iter().enumerate().flat_map(|(i, &n)| utterance(i as u64, n)).collect();
    let gradients = |cpu, recurrent, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let network = network(recurrent, true);
            let mut memory = Memory::new();
            let mode = Mode::Training { key: 8 };
            network.forward(cpu, mode, &features, &lengths, &mut memory).unwrap();
            let (output, gradient) = memory.output_and_gradient();
            gradient.copy_from_slice(output);
            let mut gradients = vec![0.0; network.parameters.len()];
            network.backward(cpu, mode, &features, &mut gradients, &mut memory).unwrap();
            gradients.iter().map(|value| value.to_bits()).collect::<Vec<u32>>()
        })
    };
    let bf16 = Cpu::detect().with_precision(Precision::Bf16);
    for cpu in [Cpu::detect(), bf16.unwrap_or(Cpu::portable())] {
        for recurrent in [Recurrent::Gru, Recurrent::Lstm] {
            let one = gradients(cpu, recurrent, 1);
            assert!((2..=4).all(|threads| gradients(cpu, recurrent, threads) == one));
        }
    }
}

proptest! {
    #[test]
    fn predicted_frames_are_the_frames_that_come_out(
        frames in 1usize..120,
        layers in prop::collection::vec((1usize..6, 1usize..5, 1usize..4, 1usize..3), 0..3),
    ) {
        let convolutions = layers
            .iter()
            .map(|&(kt, kf, st, sf)| ConvolutionOptions {
                channels: 2, kernel: [kt, kf], stride: [st, sf],
            })
            .collect();
        let options = ModelOptions::Cnn(CnnOptions {
            convolutions, projection: 3, recurrent_layers: 1, recurrent_hidden: 2, ..CnnOptions::default()
        });
        let network = Network::<f32>::new(&options, DIM, LABELS, 1);
        prop_assume!(network.is_ok());
        let network = network.unwrap();
        let predicted = options.output_frames(frames);
        let features = utterance(1, frames);
        let mut memory = Memory::new();
        let result =
            network.forward(Cpu::detect(), Mode::Inference, &features, &[frames], &mut memory);
        if predicted == 0 {
            prop_assert!(result.is_err());
        } else {
            result.unwrap();
            prop_assert_eq!(&memory.output_shape().unwrap().lengths, &vec![predicted]);
            prop_assert_eq!(memory.output().len(), predicted * LABELS);
        }
    }
}

#[test]
fn a_batch_that_does_not_fit_its_lengths_is_refused_with_both_sizes() {
    let network = network(Recurrent::Gru, true);
    let mut memory = Memory::new();
    let features = vec![0.0; 30 * DIM];
    let error = network
        .forward(Cpu::detect(), Mode::Inference, &features, &[31], &mut memory)
        .unwrap_err()
        .to_string();
    assert!(error.contains("600") && error.contains("620"), "{error}");
    assert_eq!(Shape::features(&[31], DIM).len(), 620);
}

/// Inference keeps two activations, whatever the number of layers; the two kinds of pass share one
/// memory, and only a training pass can be gone back through.
#[test]
fn inference_needs_little_memory_and_leaves_nothing_to_go_back_through() {
    let network = network(Recurrent::Gru, true);
    let features = utterance(1, 700);
    let (cpu, lengths) = (Cpu::detect(), [700]);
    let alone = logits(&network, cpu, &features, &lengths);
    let mut inference = Memory::new();
    network.forward(cpu, Mode::Inference, &features, &lengths, &mut inference).unwrap();
    let mut memory = Memory::new();
    let mut gradients = vec![0.0; network.parameters.len()];
    for key in 0..2 {
        let mode = Mode::Training { key };
        network.forward(cpu, mode, &features, &lengths, &mut memory).unwrap();
        memory.output_and_gradient().1.fill(0.1);
        network.backward(cpu, mode, &features, &mut gradients, &mut memory).unwrap();
        network.forward(cpu, Mode::Inference, &features, &lengths, &mut memory).unwrap();
        let bits: Vec<u32> = memory.output().iter().map(|value| value.to_bits()).collect();
        assert_eq!(vec![bits], alone);
        let error = network
            .backward(cpu, Mode::Inference, &features, &mut gradients, &mut memory)
            .unwrap_err();
        assert!(error.to_string().contains("training mode"), "{error}");
    }
    assert!(gradients.iter().any(|&gradient| gradient != 0.0));
    let (little, much) = (inference.bytes(), memory.bytes());
    assert!(3 * little < much, "{little} bytes against {much}");
}
