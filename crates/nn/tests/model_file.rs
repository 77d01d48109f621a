//! The model file gives back what was put in, and refuses everything else.

use std::path::Path;

use labyrinth_nn::model_file::{DataRecord, FORMAT, TrainingRecord};
use labyrinth_nn::{
    CnnOptions, ConvolutionOptions, Head, ModelFile, ModelHeader, ModelOptions, Network, Objective,
};
use labyrinth_signal::FeatureOptions;
use labyrinth_text::{Alphabet, Lexicon, Normalizer, NormalizerOptions, TrackOptions, Units};

fn model() -> (ModelHeader, Network<f32>) {
    let alphabet = Alphabet::from_transcripts(Units::Characters, ["yes no"].into_iter());
    let options = ModelOptions::Cnn(CnnOptions {
        convolutions: vec![ConvolutionOptions { channels: 2, ..ConvolutionOptions::default() }],
        projection: 4,
        recurrent_layers: 1,
        recurrent_hidden: 3,
        ..CnnOptions::default()
    });
    let features = FeatureOptions::default();
    let dim = labyrinth_signal::FeatureExtractor::new(&features).unwrap().dim();
    let network = Network::new(&options, dim, alphabet.len(), 3).unwrap();
    let header = ModelHeader {
        format: FORMAT,
        program: "0.1.0".into(),
        features,
        normalizer: NormalizerOptions::default(),
        alphabet,
        lexicon: None,
        objective: Objective::Ctc,
        track: TrackOptions::default(),
        auxiliary: Vec::new(),
        model: options,
        data: DataRecord::default(),
        training: TrainingRecord::default(),
        scores: [("dev-wer".to_owned(), 0.25)].into(),
        weights_digest: String::new(),
    };
    (header, network)
}

fn refusal(bytes: &[u8]) -> String {
    match ModelFile::from_bytes(bytes, Path::new("some/model.safetensors")) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_goes_in_comes_out_and_twice_the_same_bytes() {
    let (header, network) = model();
    let bytes = ModelFile::to_bytes(&header, &network).unwrap();
    assert_eq!(bytes, ModelFile::to_bytes(&header, &network).unwrap());
    let read = ModelFile::from_bytes(&bytes, Path::new("m")).unwrap();
    assert_eq!(read.network.parameters, network.parameters);
    assert_eq!(read.network.buffers, network.buffers);
    assert_eq!(read.header.features, header.features);
    assert_eq!(read.header.alphabet, header.alphabet);
    assert_eq!(read.header.model, header.model);
    assert_eq!(read.header.scores, header.scores);
}

#[test]
fn heads_lexicon_and_objective_travel_along() {
    let (mut header, _) = model();
    let normalizer = Normalizer::new(&NormalizerOptions::default()).unwrap();
    let lexicon = Lexicon::parse(b"yes Y EH S\nno N OW\n", &normalizer).unwrap();
    let phonemes = Alphabet::from_transcripts(Units::Phonemes, ["Y EH S N OW"].into_iter());
    header.auxiliary = vec![Head { alphabet: phonemes, lexicon: Some(lexicon.clone()) }];
    let dim = labyrinth_signal::FeatureExtractor::new(&header.features).unwrap().dim();
    assert_eq!(header.outputs(), 7 + 6);
    let network = Network::new(&header.model, dim, header.outputs(), 3).unwrap();
    let bytes = ModelFile::to_bytes(&header, &network).unwrap();
    let read = ModelFile::from_bytes(&bytes, Path::new("m")).unwrap();
    assert_eq!(read.header.auxiliary, header.auxiliary);
    assert_eq!(read.network.parameters, network.parameters);
    // A head that the header does not know is no part of the network.
    header.auxiliary.clear();
    assert!(refusal(&ModelFile::to_bytes(&header, &network).unwrap()).contains("output.weight"));
    let (mut header, network) = model();
    // What older files do not say is not written either.
    let text =
        String::from_utf8_lossy(&ModelFile::to_bytes(&header, &network).unwrap()).into_owned();
    assert!(
        !text.contains("objective") && !text.contains("lexicon") && !text.contains("auxiliary")
    );
    (header.objective, header.lexicon) = (Objective::Framewise, Some(lexicon));
    let bytes = ModelFile::to_bytes(&header, &network).unwrap();
    let read = ModelFile::from_bytes(&bytes, Path::new("m")).unwrap();
    assert_eq!((read.header.objective, read.header.lexicon), (header.objective, header.lexicon));
}

/// Half the bytes; what is read is the nearest that 16 bits can say, and nothing changes the second time.
#[test]
fn weights_of_16_bits_are_the_nearest_of_their_kind() {
    let (header, network) = model();
    let mut rounded = Network::new(&header.model, network.dim(), network.labels(), 3).unwrap();
    rounded.parameters.values.copy_from_slice(&network.parameters.values);
    let bytes = ModelFile::to_bytes_bf16(&header, &mut rounded).unwrap();
    let whole = ModelFile::to_bytes(&header, &network).unwrap();
    let saved = whole.len() - bytes.len();
    assert!(saved.abs_diff(2 * network.parameters.len()) < 64, "{saved}");
    let mut read = ModelFile::from_bytes(&bytes, Path::new("m")).unwrap();
    assert_eq!(read.network.parameters, rounded.parameters);
    assert_eq!(read.network.buffers, network.buffers);
    for (&exact, &near) in network.parameters.values.iter().zip(&read.network.parameters.values) {
        assert!((exact - near).abs() <= exact.abs() / 256.0, "{exact} {near}");
    }
    assert_eq!(ModelFile::to_bytes_bf16(&header, &mut read.network).unwrap(), bytes);
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(ModelFile::from_bytes(&damaged, Path::new("m")).is_err());
}

#[test]
fn a_file_cut_anywhere_is_refused_by_name() {
    let (header, network) = model();
    let bytes = ModelFile::to_bytes(&header, &network).unwrap();
    for length in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        assert!(refusal(&bytes[..length]).contains("some/model.safetensors"), "{length}");
    }
}

#[test]
fn an_altered_weight_is_noticed() {
    let (header, network) = model();
    let mut bytes = ModelFile::to_bytes(&header, &network).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    assert!(refusal(&bytes).contains("digest"));
}

#[test]
fn another_version_is_refused_with_its_number() {
    let (header, network) = model();
    let header = ModelHeader { format: FORMAT + 1, ..header };
    let message = refusal(&ModelFile::to_bytes(&header, &network).unwrap());
    assert!(message.contains(&format!("format {}", FORMAT + 1)), "{message}");
}

#[test]
fn text_is_not_a_model() {
    assert!(refusal(b"this is not a model at all").contains("not a labyrinth model"));
}

#[test]
fn the_names_of_earlier_versions_are_read() {
    let (header, network) = model();
    let text =
        String::from_utf8_lossy(&ModelFile::to_bytes(&header, &network).unwrap()).into_owned();
    assert!(text.contains("recurrent-hidden") && !text.contains("gru-hidden"));
    let old = r#"{"architecture":"cnn-gru","projection":4,"gru-layers":1,"gru-hidden":3}"#;
    let ModelOptions::Cnn(options) = serde_json::from_str(old).unwrap() else {
        panic!("another architecture")
    };
    assert_eq!((options.recurrent_layers, options.recurrent_hidden), (1, 3));
    assert_eq!(options.recurrent_kind(), labyrinth_nn::Recurrent::Gru);
    let both = r#"{"architecture":"cnn-gru","gru-hidden":3,"recurrent-hidden":3}"#;
    assert!(serde_json::from_str::<CnnOptions>(both).is_err());
}
