//! A model of any architecture that can stream gives, in pieces of any size, the logits of the whole, byte for
//! byte; and says how much of the future it needs.

use labyrinth_kernels::{Cpu, Precision};
use labyrinth_nn::{
    CnnName, CnnOptions, ConvolutionOptions, Memory, Mode, ModelOptions, Network, NetworkStream,
    Parameters, Reach, Recurrent, ResnetName, ResnetOptions,
};
use labyrinth_signal::Random;
use proptest::prelude::*;

const DIM: usize = 11;
const LABELS: usize = 5;

fn values(count: usize, key: u64) -> Vec<f32> {
    let mut random = Random::from_key(&[key]);
    (0..count).map(|_| random.normal() as f32).collect()
}

/// A network whose weights and statistics are none that a layer begins with.
fn network(options: &ModelOptions) -> Network<f32> {
    let mut network = Network::new(options, DIM, LABELS, 5).unwrap();
    let move_all = |parameters: &mut Parameters<f32>, key| {
        let noise = values(parameters.values.len(), key);
        let moved = parameters.values.iter_mut().zip(noise);
        moved.for_each(|(value, noise)| *value += 0.1 * noise.abs());
    };
    move_all(&mut network.parameters, 1);
    move_all(&mut network.buffers, 2);
    network
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn options() -> impl Strategy<Value = CnnOptions> {
    let convolution = (1usize..6, [1usize..7, 1usize..4], [1usize..4, 1usize..2])
        .prop_map(|(channels, kernel, stride)| ConvolutionOptions { channels, kernel, stride });
    (
        prop::collection::vec(convolution, 0..4),
        prop::sample::select(vec![CnnName::CnnGru, CnnName::CnnLstm]),
        1usize..4,
        prop::sample::select(vec![[9usize, 9], [9, 17], [16, 4]]),
        0usize..8,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(convolutions, architecture, layers, [projection, hidden], ahead, norm, add)| {
                CnnOptions {
                    architecture,
                    convolutions,
                    projection,
                    recurrent_layers: layers,
                    recurrent_hidden: hidden,
                    bidirectional: false,
                    lookahead: ahead,
                    recurrent_norm: norm,
                    residual: add && (layers > 1 || projection == hidden),
                    ..CnnOptions::default()
                }
            },
        )
}

fn cpus() -> Vec<Cpu> {
    let all = Cpu::available().into_iter().filter_map(|isa| Cpu::with(isa).ok());
    all.flat_map(|cpu| [Some(cpu), cpu.with_precision(Precision::Bf16).ok()]).flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn pieces_give_the_logits_of_the_whole(
        options in options(),
        frames in 1usize..120,
        mates in prop::collection::vec(20usize..60, 0..3),
        pieces in prop::collection::vec(0usize..30, 0..9),
        cpu in prop::sample::select(cpus()),
    ) {
        let options = ModelOptions::Cnn(options);
        let network = network(&options);
        let x = values(frames * DIM, 3);
        let predicted = options.output_frames(frames);
        let mut memory = Memory::new();
        let result = network.forward(cpu, Mode::Inference, &x, &[frames], &mut memory);
        prop_assert_eq!(result.is_ok(), predicted > 0);
        let whole = if predicted > 0 { memory.output().to_vec() } else { Vec::new() };
        prop_assert_eq!(whole.len(), predicted * LABELS);

        let reach = network.reach();
        prop_assert_eq!(reach, options.reach(DIM).unwrap());
        prop_assert_eq!(reach.stride, options.time_stride());
        let mut stream = NetworkStream::new(&network).unwrap();
        for pieces in [&vec![1; frames][..], &[frames + 9], &pieces] {
            let (mut logits, mut rest, mut seen) = (Vec::new(), &x[..], 0);
            for &piece in pieces {
                let (now, later) = rest.split_at((piece * DIM).min(rest.len()));
                (rest, seen) = (later, seen + now.len() / DIM);
                stream.push(&network, cpu, now, &mut logits).unwrap();
                // All that the model's reach says is certain is out, and nothing else.
                let certain = seen.saturating_sub(reach.after.unwrap()).div_ceil(reach.stride);
                prop_assert_eq!(logits.len(), certain * LABELS);
            }
            stream.push(&network, cpu, rest, &mut logits).unwrap();
            stream.finish(&network, cpu, &mut logits).unwrap();
            prop_assert_eq!(bits(&logits), bits(&whole));
        }

        if predicted > 0 && mates.iter().all(|&mate| options.output_frames(mate) > 0) {
            let lengths = [&mates[..], &[frames]].concat();
            let all = [values(mates.iter().sum::<usize>() * DIM, 4), x].concat();
            network.forward(cpu, Mode::Inference, &all, &lengths, &mut memory).unwrap();
            let output = memory.output();
            prop_assert_eq!(bits(&output[output.len() - whole.len()..]), bits(&whole));
        }
    }
}

#[test]
fn a_model_says_how_much_of_the_future_it_needs() {
    // Two convolutions of 3 frames with a stride of 2 wait for 1 + 2 frames, and 5 frames of lookahead at
    // their rate for 20.
    let options = CnnOptions { bidirectional: false, lookahead: 5, ..CnnOptions::default() };
    let reach = ModelOptions::Cnn(options).reach(80).unwrap();
    assert_eq!(reach, Reach { stride: 4, before: None, after: Some(23) });
    let both = ModelOptions::Cnn(CnnOptions::default());
    assert_eq!(both.reach(80).unwrap().after, None);
    let network = Network::<f32>::new(&both, DIM, LABELS, 1).unwrap();
    let error = NetworkStream::new(&network).err().unwrap().to_string();
    assert!(error.contains("layer gru.0 reads a recording from its end"), "{error}");
}

#[test]
fn a_network_for_pictures_looks_ahead_and_streams_as_any_other() {
    for architecture in [ResnetName::ResnetGru, ResnetName::ResnetLstm] {
        let options = ModelOptions::Resnet(ResnetOptions {
            architecture,
            width: 3,
            projection: 8,
            recurrent_hidden: 8,
            bidirectional: false,
            lookahead: 4,
            recurrent_norm: true,
            residual: true,
            ..ResnetOptions::default()
        });
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<ModelOptions>(&text).unwrap(), options);
        let plain = ModelOptions::Resnet(ResnetOptions {
            lookahead: 0,
            ..match &options {
                ModelOptions::Resnet(options) => options.clone(),
                _ => ResnetOptions::default(),
            }
        });
        // Four frames at a time stride of 4.
        let [ahead, without] = [&options, &plain].map(|options| options.reach(DIM).unwrap().after);
        assert_eq!(ahead.unwrap() - without.unwrap(), 16);
        let network = network(&options);
        let (cpu, frames) = (Cpu::detect(), 90);
        let x = values(frames * DIM, 6);
        let mut memory = Memory::new();
        network.forward(cpu, Mode::Inference, &x, &[frames], &mut memory).unwrap();
        let mut stream = NetworkStream::new(&network).unwrap();
        let mut logits = Vec::new();
        for piece in x.chunks(7 * DIM) {
            stream.push(&network, cpu, piece, &mut logits).unwrap();
        }
        stream.finish(&network, cpu, &mut logits).unwrap();
        assert_eq!(bits(&logits), bits(memory.output()));
    }
    let both = ResnetOptions { lookahead: 4, ..ResnetOptions::default() };
    let error = ModelOptions::Resnet(both).build::<f32>(DIM, LABELS).err().unwrap().to_string();
    assert!(error.contains("bidirectional = false"), "{error}");
}

#[test]
fn torn_frames_are_refused_and_nothing_is_lost() {
    let options = CnnOptions { bidirectional: false, ..CnnOptions::default() };
    let network = network(&ModelOptions::Cnn(options));
    let (cpu, x) = (Cpu::detect(), values(30 * DIM, 3));
    let mut stream = NetworkStream::new(&network).unwrap();
    let mut logits = Vec::new();
    stream.push(&network, cpu, &x[..7 * DIM], &mut logits).unwrap();
    let error = stream.push(&network, cpu, &x[7 * DIM..8 * DIM - 1], &mut logits).unwrap_err();
    assert!(error.to_string().contains("10") && error.to_string().contains("11"), "{error}");
    stream.push(&network, cpu, &x[7 * DIM..], &mut logits).unwrap();
    stream.finish(&network, cpu, &mut logits).unwrap();
    let mut memory = Memory::new();
    network.forward(cpu, Mode::Inference, &x, &[30], &mut memory).unwrap();
    assert_eq!(bits(&logits), bits(memory.output()));
}

#[test]
fn what_cannot_be_built_is_refused_with_the_way_out() {
    let causal = CnnOptions { bidirectional: false, ..CnnOptions::default() };
    for (options, named) in [
        (CnnOptions { lookahead: 3, ..CnnOptions::default() }, "bidirectional = false"),
        (CnnOptions { lookahead: 100_000, ..causal.clone() }, "at most 1000"),
        (
            CnnOptions { residual: true, recurrent_layers: 1, projection: 100, ..causal.clone() },
            "make projection 256",
        ),
    ] {
        let error = ModelOptions::Cnn(options).build::<f32>(80, 9).err().unwrap().to_string();
        assert!(error.contains(named), "{error}");
    }
}

/// Models and recipes of those who use none of the new options stay what they were; those of others come back
/// as they were written.
#[test]
fn what_says_nothing_is_not_written() {
    let text = serde_json::to_string(&ModelOptions::Cnn(CnnOptions::default())).unwrap();
    assert!(!["lookahead", "norm", "residual"].iter().any(|key| text.contains(key)), "{text}");
    let options = CnnOptions {
        recurrent: Some(Recurrent::Gru),
        bidirectional: false,
        lookahead: 3,
        recurrent_norm: true,
        residual: true,
        ..CnnOptions::default()
    };
    let options = ModelOptions::Cnn(options);
    let text = serde_json::to_string(&options).unwrap();
    assert!(text.contains("\"lookahead\":3") && text.contains("\"recurrent-norm\":true"), "{text}");
    assert_eq!(serde_json::from_str::<ModelOptions>(&text).unwrap(), options);
}
