//! What a model is trained to say: the loss of a batch, and its gradient with respect to the logits.
//!
//! # CTC
//! The loss of an utterance is divided by its number of labels, so that a long sentence does not
//! outweigh a short one, and the batch's loss is the mean over its utterances.
//!
//! # Several heads
//! Heads are linear layers side by side on the same frames: the rows of one matrix, and so the columns of
//! the logits. With weights w (1 for the first head) the loss is L = Σ_h w_h L_h. L_h depends on the
//! columns of head h alone, so ∂L/∂x is w_h ∂L_h/∂x in these columns, and what the layers below get is the
//! sum over the heads, which the matrix's backward pass forms by itself. A head that has no target for an
//! utterance (a word that its lexicon lacks, more phonemes than frames) adds nothing for it, and is
//! counted.
//!
//! # Framewise
//! Cross-entropy of each frame with its target, the mean over the frames of the batch that have one.
//!
//! Book: book/src/ctc.md

use labyrinth_corpus::{Batch, IGNORED};
use labyrinth_kernels::cross_entropy::cross_entropy_batch;
use labyrinth_kernels::ctc::ctc_batch;
use labyrinth_kernels::{Cpu, KernelError, Real};
use labyrinth_nn::{Head, Memory, Objective};
use labyrinth_text::ctc_minimum_frames;

/// A head beside the first, and how much its loss counts.
#[derive(Clone, Debug)]
pub(crate) struct WeightedHead {
    pub head: Head,
    pub weight: f64,
}

/// What is learnt.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub objective: Objective,
    /// Labels of the first head.
    pub labels: usize,
    pub auxiliary: Vec<WeightedHead>,
}

/// What one batch gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BatchLoss {
    /// Per label or frame, averaged.
    pub loss: f64,
    /// Ids of the utterances that have no finite loss.
    pub faulty: Vec<String>,
    /// Frames without a target, and targets that a second head could not have.
    pub passed_over: usize,
}

/// The targets of one CTC head, `[utterances][labels]`, and what each utterance's loss counts.
struct Targets<T> {
    labels: usize,
    targets: Vec<Vec<u32>>,
    scales: Vec<T>,
}

impl Goal {
    /// Values of an output frame: the labels of all heads.
    pub fn outputs(&self) -> usize {
        self.labels + self.auxiliary.iter().map(|one| one.head.alphabet.len()).sum::<usize>()
    }

    /// The loss of a batch whose logits lie in `memory`; leaves its gradient there.
    pub fn loss<T: Real>(
        &self,
        cpu: Cpu,
        batch: &Batch,
        memory: &mut Memory<T>,
    ) -> Result<BatchLoss, KernelError> {
        let lengths = memory.output_shape().map(|shape| shape.lengths.clone()).unwrap_or_default();
        let (logits, gradient) = memory.output_and_gradient();
        match self.objective {
            Objective::Ctc => self.ctc(cpu, batch, &lengths, logits, gradient),
            Objective::Framewise => self.framewise(cpu, batch, &lengths, logits, gradient),
        }
    }

    fn ctc<T: Real>(
        &self,
        cpu: Cpu,
        batch: &Batch,
        lengths: &[usize],
        logits: &[T],
        gradient: &mut [T],
    ) -> Result<BatchLoss, KernelError> {
        let mut result = BatchLoss::default();
        let scale = |weight: f64, labels: usize| {
            T::from_f64(weight / (labels.max(1) as f64 * batch.len() as f64))
        };
        let mut heads = vec![Targets {
            labels: self.labels,
            targets: batch.targets.clone(),
            scales: batch.targets.iter().map(|target| scale(1.0, target.len())).collect(),
        }];
        for WeightedHead { head, weight } in &self.auxiliary {
            let mut own = Targets { labels: head.alphabet.len(), targets: vec![], scales: vec![] };
            for (text, &frames) in batch.texts.iter().zip(lengths) {
                let target = target(head, text).filter(|t| ctc_minimum_frames(t) <= frames);
                result.passed_over += usize::from(target.is_none());
                let weight = if target.is_some() { *weight } else { 0.0 };
                let target = target.unwrap_or_default();
                own.scales.push(scale(weight, target.len()));
                own.targets.push(target);
            }
            heads.push(own);
        }
        let mut losses = vec![T::ZERO; batch.len()];
        let mut faulty = Vec::new();
        let outputs = self.outputs();
        let mut begin = 0;
        for Targets { labels, targets, scales } in &heads {
            let outcome = if *labels == outputs {
                ctc_batch(
                    cpu,
                    logits,
                    lengths,
                    outputs,
                    targets,
                    scales,
                    &mut losses,
                    Some(gradient),
                )?
            } else {
                // The head's columns by themselves, and its gradient back among the others'.
                let columns = begin..begin + labels;
                let rows = logits.chunks_exact(outputs);
                let own: Vec<T> =
                    rows.flat_map(|row| row[columns.clone()].iter().copied()).collect();
                let mut own_gradient = vec![T::ZERO; own.len()];
                let into = Some(&mut own_gradient[..]);
                let outcome =
                    ctc_batch(cpu, &own, lengths, *labels, targets, scales, &mut losses, into)?;
                let rows = gradient.chunks_exact_mut(outputs);
                for (row, own) in rows.zip(own_gradient.chunks_exact(*labels)) {
                    row[columns.clone()].copy_from_slice(own);
                }
                outcome
            };
            begin += labels;
            let infeasible = outcome.infeasible.iter().map(|fault| fault.utterance);
            faulty.extend(infeasible.chain(outcome.not_finite.iter().map(|fault| fault.utterance)));
            // A head without a target counts nothing, whatever its loss.
            let counted = losses.iter().zip(scales).filter(|(_, scale)| scale.to_f64() != 0.0);
            result.loss += counted.map(|(&l, &s)| l.to_f64() * s.to_f64()).sum::<f64>();
        }
        faulty.sort_unstable();
        faulty.dedup();
        result.faulty = faulty.into_iter().map(|index| batch.ids[index].clone()).collect();
        Ok(result)
    }

    fn framewise<T: Real>(
        &self,
        cpu: Cpu,
        batch: &Batch,
        lengths: &[usize],
        logits: &[T],
        gradient: &mut [T],
    ) -> Result<BatchLoss, KernelError> {
        let targets: Vec<u32> = batch.frame_targets.concat();
        let passed_over = targets.iter().filter(|&&target| target == IGNORED).count();
        let counted = (targets.len() - passed_over).max(1);
        let scales = vec![T::from_f64(1.0 / counted as f64); lengths.len()];
        let mut losses = vec![T::ZERO; lengths.len()];
        let outcome = cross_entropy_batch(
            cpu,
            logits,
            lengths,
            self.labels,
            &targets,
            Some(IGNORED),
            &scales,
            &mut losses,
            Some(gradient),
        )?;
        let faulty = outcome.not_finite.iter().map(|fault| batch.ids[fault.utterance].clone());
        let loss = losses.iter().map(|loss| loss.to_f64()).sum::<f64>() / counted as f64;
        Ok(BatchLoss { loss, faulty: faulty.collect(), passed_over })
    }
}

/// What a head should write for a transcript, where it can.
fn target(head: &Head, text: &str) -> Option<Vec<u32>> {
    let spoken = head.lexicon.as_ref().map(|lexicon| lexicon.pronounce(text));
    let labels = match spoken {
        Some(phonemes) => head.alphabet.encode(&phonemes.ok()?),
        None => head.alphabet.encode(text),
    };
    labels.ok().filter(|labels| !labels.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_nn::{CnnOptions, ConvolutionOptions, Mode, ModelOptions, Network};
    use labyrinth_signal::Random;
    use labyrinth_text::{Alphabet, Lexicon, Normalizer, NormalizerOptions, Units};

    const DIM: usize = 5;

    fn noise(count: usize, key: u64) -> Vec<f64> {
        let mut random = Random::from_key(&[key]);
        (0..count).map(|_| random.normal()).collect()
    }

    fn network(outputs: usize) -> Network<f64> {
        let options = ModelOptions::Cnn(CnnOptions {
            convolutions: vec![ConvolutionOptions { channels: 2, ..ConvolutionOptions::default() }],
            projection: 4,
            recurrent_layers: 1,
            recurrent_hidden: 3,
            dropout: 0.0,
            ..CnnOptions::default()
        });
        Network::new(&options, DIM, outputs, 7).unwrap()
    }

    fn phonemes() -> Head {
        let normalizer = Normalizer::new(&NormalizerOptions::default()).unwrap();
        let lexicon = Lexicon::parse(b"ab AE B\nba B AA\n", &normalizer).unwrap();
        let alphabet = Alphabet::from_transcripts(Units::Phonemes, ["AE B AA"].into_iter());
        Head { alphabet, lexicon: Some(lexicon) }
    }

    /// Two utterances of 13 and 9 feature frames: 7 and 5 output frames.
    fn batch() -> Batch {
        Batch {
            ids: vec!["one".into(), "two".into()],
            lengths: vec![13, 9],
            targets: vec![vec![2, 3, 1, 2], vec![3]],
            texts: vec!["ab ba".into(), "ba xy".into()],
            frame_targets: vec![vec![0, 1, 1, IGNORED, 2, 0, 0], vec![3, IGNORED, 1, 1, 0]],
            ..Batch::default()
        }
    }

    fn loss_of(goal: &Goal, network: &Network<f64>, features: &[f64]) -> (BatchLoss, Vec<f64>) {
        let (cpu, mode, batch) = (Cpu::detect(), Mode::Training { key: 1 }, batch());
        let mut memory = Memory::new();
        network.forward(cpu, mode, features, &batch.lengths, &mut memory).unwrap();
        let result = goal.loss(cpu, &batch, &mut memory).unwrap();
        let mut gradients = vec![0.0; network.parameters.len()];
        network.backward(cpu, mode, features, &mut gradients, &mut memory).unwrap();
        (result, gradients)
    }

    /// The gradient of every weight of a whole network, by central differences.
    fn check_gradients(goal: &Goal) {
        let mut network = network(goal.outputs());
        let features = noise(22 * DIM, 3);
        let gradients = loss_of(goal, &network, &features).1;
        let mut moved = 0;
        for (index, gradient) in gradients.into_iter().enumerate() {
            let (value, step) = (network.parameters.values[index], 1e-5);
            let mut at = |weight: f64| {
                network.parameters.values[index] = weight;
                loss_of(goal, &network, &features).0.loss
            };
            let slope = (at(value + step) - at(value - step)) / (2.0 * step);
            network.parameters.values[index] = value;
            assert!(
                (slope - gradient).abs() <= 1e-7 + 1e-5 * slope.abs(),
                "weight {index}: {gradient} where differences give {slope}"
            );
            moved += usize::from(gradient.abs() > 1e-6);
        }
        assert!(moved > network.parameters.len() / 2, "{moved}");
    }

    fn goal(objective: Objective, weights: &[f64]) -> Goal {
        let auxiliary =
            weights.iter().map(|&weight| WeightedHead { head: phonemes(), weight }).collect();
        Goal { objective, labels: 4, auxiliary }
    }

    #[test]
    fn gradients_of_all_heads_are_those_of_the_weighted_sum() {
        check_gradients(&goal(Objective::Ctc, &[]));
        check_gradients(&goal(Objective::Ctc, &[0.3]));
        check_gradients(&goal(Objective::Ctc, &[0.5, 2.0]));
    }

    #[test]
    fn gradients_of_frames_are_right() {
        check_gradients(&goal(Objective::Framewise, &[]));
    }

    /// A second head of weight 0 changes nothing; with a weight its loss is added. The second utterance's
    /// word `xy` is not in its lexicon, so it learns from the first alone.
    #[test]
    fn the_loss_is_the_weighted_sum_and_what_has_no_target_is_counted() {
        let network = network(8);
        let features = noise(22 * DIM, 3);
        let loss = |weights: &[f64]| {
            let goal = goal(Objective::Ctc, weights);
            assert_eq!(goal.outputs(), 8);
            let (result, gradients) = loss_of(&goal, &network, &features);
            (result, gradients)
        };
        let (without, with, twice) = (loss(&[0.0]), loss(&[0.5]), loss(&[1.0]));
        assert_eq!((without.0.passed_over, with.0.passed_over), (1, 1));
        assert!(with.0.loss > without.0.loss);
        let (half, whole) = (with.0.loss - without.0.loss, twice.0.loss - without.0.loss);
        assert!((2.0 * half - whole).abs() < 1e-12, "{half} {whole}");
        for index in 0..network.parameters.len() {
            let change = |gradients: &[f64]| gradients[index] - without.1[index];
            assert!((2.0 * change(&with.1) - change(&twice.1)).abs() < 1e-12);
        }
    }

    #[test]
    fn frames_outside_the_alphabet_weigh_nothing() {
        let network = network(4);
        let features = noise(22 * DIM, 3);
        let (result, _) = loss_of(&goal(Objective::Framewise, &[]), &network, &features);
        assert_eq!(result.passed_over, 2);
        // The mean over ten frames, each near ln 4 before training.
        assert!((result.loss - 4f64.ln()).abs() < 0.5, "{}", result.loss);
    }
}
