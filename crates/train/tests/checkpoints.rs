//! Checkpoints: what goes in comes out to the last bit, damage is passed over, the newest two stay.

use std::path::Path;

use labyrinth_corpus::Position;
use labyrinth_nn::{ParameterSpec, Parameters};
use labyrinth_train::checkpoint::{Best, Standing, Tensors, read_newest, write};

fn parameters(seed: u64) -> Parameters<f32> {
    Parameters::initialize(vec![ParameterSpec::weight("layer.weight", &[3, 5], 1.0)], seed)
}

struct State {
    groups: [Parameters<f32>; 6],
}

impl State {
    fn new(seed: u64) -> Self {
        Self { groups: [0, 1, 2, 3, 4, 5].map(|group| parameters(seed * 6 + group)) }
    }

    fn tensors(&mut self) -> Tensors<'_> {
        let [parameters, buffers, first_moment, second_moment, average, average_buffers] =
            &mut self.groups;
        let average = Some([average, average_buffers]);
        Tensors { parameters, buffers, first_moment, second_moment, average }
    }
}

fn standing(step: u64) -> Standing {
    Standing {
        step,
        position: Position { epoch: 2, batch: step, ..Position::default() },
        loss_bits: (0.1f64 + 0.2).to_bits(),
        loss_utterances: 5,
        skipped: 1,
        skipped_in_a_row: 0,
        best: Some(Best { epoch: 1, word_errors: 9, loss_bits: 0.7f64.to_bits() }),
        instruction_set: "portable".into(),
        train_digest: "a".into(),
        dev_digest: "b".into(),
        recordings_digest: String::new(),
        lexicon_digest: String::new(),
        passed_over: 0,
        pretrained_digest: "c".into(),
        thawed: [("stem".to_owned(), 4)].into(),
        log_length: 17,
    }
}

fn damaged_names(folder: &Path, state: &mut State) -> (Option<Standing>, Vec<String>) {
    let mut names = Vec::new();
    let found = read_newest(folder, &mut state.tensors(), |path, _| {
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    });
    (found.unwrap(), names)
}

#[test]
fn what_goes_in_comes_out_and_the_newest_two_stay() {
    let folder = tempfile::tempdir().unwrap();
    for step in [5, 10, 15] {
        write(folder.path(), &standing(step), &State::new(step).tensors()).unwrap();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    let mut state = State::new(0);
    let (found, damaged) = damaged_names(folder.path(), &mut state);
    assert_eq!(found, Some(standing(15)));
    assert!(damaged.is_empty());
    assert_eq!(state.groups, State::new(15).groups);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    for step in [5, 10] {
        write(folder.path(), &standing(step), &State::new(step).tensors()).unwrap();
    }
    let newest = folder.path().join("step-000000010.safetensors");
    let bytes = std::fs::read(&newest).unwrap();
    let mut altered = bytes.clone();
    *altered.last_mut().unwrap() ^= 1;
    for damage in [&bytes[..bytes.len() / 2], &altered[..], b""] {
        std::fs::write(&newest, damage).unwrap();
        let mut state = State::new(0);
        let (found, damaged) = damaged_names(folder.path(), &mut state);
        assert_eq!(found, Some(standing(5)));
        assert_eq!(damaged, ["step-000000010.safetensors"]);
        assert_eq!(state.groups, State::new(5).groups);
    }
    std::fs::write(folder.path().join("step-000000005.safetensors"), b"").unwrap();
    let error = read_newest(folder.path(), &mut State::new(0).tensors(), |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("no checkpoint"), "{error}");
}

#[test]
fn a_folder_without_checkpoints_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".step-000000005.safetensors.1.partial"), b"half").unwrap();
    assert_eq!(damaged_names(folder.path(), &mut State::new(0)), (None, vec![]));
}
