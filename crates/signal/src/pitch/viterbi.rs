//! The best path through the lags: each frame's cheapest predecessors, and the way back.
//!
//! States are lags in constant ratio, so a change of `d` states changes log pitch by
//! `d log(1 + delta-pitch)`. With the local cost of equation 5 of the paper and its transition cost,
//!
//! ```text
//! local(t, i) = 1 - nccf(t, i) (1 - soft-min-f0 L_i)
//! cost(t, i) = local(t, i) + min over j of cost(t-1, j) + penalty-factor log(1 + delta-pitch)^2 (i - j)^2
//! ```
//!
//! The minimum over `j` is a lower envelope of parabolas of one width, one for each `j`, found in
//! time linear in the states (Felzenszwalb and Huttenlocher, "Distance transforms of sampled
//! functions", 2012): keep the parabolas that are lowest somewhere with the places where they take
//! over; a new one drops those that it overtakes before they began. Back pointers then never cross.
//! (Kaldi tightens bounds on the back pointers until they meet; the minimum is the same.)
//!
//! Since back pointers never cross, all paths that end at frame `t` lie between those of its
//! first and its last state. Where these two meet, every path has met: what lies before is settled.

use std::collections::VecDeque;

/// One frame's minimisation; keeps its scratch.
#[derive(Clone, Debug)]
pub(super) struct Transitions {
    factor: f32,
    /// 1 / (2 factor m) for a distance of m states.
    reciprocals: Vec<f64>, // [states]
    /// The envelope: which parabola, and from which place on it is lowest.
    envelope: Vec<(u16, f64)>,
}

impl Transitions {
    /// `factor`: the cost of a change of one state.
    pub(super) fn new(states: usize, factor: f32) -> Self {
        let reciprocals =
            (0..states).map(|m| 0.5 / (f64::from(factor) * m.max(1) as f64)).collect();
        Transitions { factor, reciprocals, envelope: Vec::with_capacity(states) }
    }

    /// The cheapest way from costs `before` to each state: costs to `after`, predecessors to
    /// `back`.
    pub(super) fn step(&mut self, before: &[f32], after: &mut [f32], back: &mut [u16]) {
        if self.factor == 0.0 {
            let best = smallest(before);
            after.fill(before[best]);
            back.fill(best as u16);
            return;
        }
        self.envelope.clear();
        for (j, cost) in before.iter().enumerate() {
            let mut begin = f64::NEG_INFINITY;
            while let Some((last, its_begin)) = self.envelope.last() {
                let last = usize::from(*last);
                // Equal where cost + factor (x - j)^2 = cost of last + factor (x - last)^2.
                let rise = f64::from(*cost) - f64::from(before[last]);
                let middle = 0.5 * (j + last) as f64;
                begin = middle + rise * self.reciprocals[j - last];
                if begin > *its_begin {
                    break;
                }
                self.envelope.pop();
                begin = f64::NEG_INFINITY;
            }
            self.envelope.push((j as u16, begin));
        }
        let mut place = 0;
        for (i, (after, back)) in after.iter_mut().zip(back).enumerate() {
            while self.envelope.get(place + 1).is_some_and(|(_, begin)| *begin < i as f64) {
                place += 1;
            }
            let j = self.envelope[place].0;
            let distance = i as f32 - f32::from(j);
            *after = distance * distance * self.factor + before[usize::from(j)];
            *back = j;
        }
    }
}

/// The first of the smallest.
pub(super) fn smallest(costs: &[f32]) -> usize {
    let mut best = 0;
    for (index, cost) in costs.iter().enumerate() {
        if *cost < costs[best] {
            best = index;
        }
    }
    best
}

/// No state yet.
const NONE: u16 = u16::MAX;

/// What is kept of a frame until it is given out and no path can change it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The best predecessor of each state.
    pub back: Vec<u16>, // [states]
    /// The correlation without ballast at the measured lags.
    pub voicing: Vec<f32>, // [lags, padded]
    /// The state of the best path known.
    pub state: u16,
}

/// The back pointers of the last frames, and the best path through them.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    steps: VecDeque<Step>,
    /// The frame of the first step.
    first: u64,
    /// Steps to be used again.
    spare: Vec<Step>,
}

impl Paths {
    pub(super) fn reset(&mut self) {
        self.spare.extend(self.steps.drain(..));
        self.spare.truncate(1024);
        self.first = 0;
    }

    /// Frames so far.
    pub(super) fn frames(&self) -> u64 {
        self.first + self.steps.len() as u64
    }

    /// Frames kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.steps.len()
    }

    /// Appends a frame to be filled in.
    pub(super) fn push(&mut self, states: usize, lags: usize) -> &mut Step {
        let step = self.spare.pop().filter(|s| s.back.len() == states && s.voicing.len() == lags);
        let fresh = || Step { back: vec![0; states], voicing: vec![0.0; lags], state: NONE };
        let mut step = step.unwrap_or_else(fresh);
        step.state = NONE;
        self.steps.push_back(step);
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    /// A frame, if it is still kept.
    pub(super) fn get(&self, frame: u64) -> Option<&Step> {
        self.steps.get(usize::try_from(frame.checked_sub(self.first)?).ok()?)
    }

    /// The same to be changed; its place on the best path is forgotten.
    pub(super) fn rewrite(&mut self, frame: u64) -> Option<&mut Step> {
        let index = usize::try_from(frame.checked_sub(self.first)?).ok()?;
        let step = self.steps.get_mut(index)?;
        step.state = NONE;
        Some(step)
    }

    /// Follows the best path back from `state` of the last frame, as far as it differs from the
    /// one followed before.
    pub(super) fn trace(&mut self, state: usize) {
        let mut state = state as u16;
        for step in self.steps.iter_mut().rev() {
            if step.state == state {
                return;
            }
            step.state = state;
            state = step.back[usize::from(state)];
        }
    }

    /// How many of the last frames are not settled, at most `most`. As Kaldi counts it: 0 where
    /// all states of the last frame have one predecessor.
    pub(super) fn latency(&self, most: usize) -> usize {
        let Some(last) = self.steps.back() else { return 0 };
        let (mut low, mut high) = (0, last.back.len() - 1);
        let mut latency = 0;
        for step in self.steps.iter().rev() {
            if latency >= most {
                break;
            }
            (low, high) = (usize::from(step.back[low]), usize::from(step.back[high]));
            if low == high {
                break;
            }
            latency += 1;
        }
        latency
    }

    /// Puts the frames that no further frame can change on their path, and returns how many frames
    /// from the start of the recording are settled.
    pub(super) fn settle(&mut self) -> u64 {
        let Some(last) = self.steps.back() else { return self.first };
        let (mut low, mut high) = (0, last.back.len() - 1);
        for index in (1..self.steps.len()).rev() {
            let step = &self.steps[index];
            (low, high) = (usize::from(step.back[low]), usize::from(step.back[high]));
            if low == high {
                let mut state = low as u16;
                for step in self.steps.range_mut(..index).rev() {
                    step.state = state;
                    state = step.back[usize::from(state)];
                }
                return self.first + index as u64;
            }
        }
        self.first
    }

    /// Forgets the frames before `frame`.
    pub(super) fn forget(&mut self, frame: u64) {
        while self.first < frame {
            let Some(step) = self.steps.pop_front() else { break };
            self.first += 1;
            if self.spare.len() < 64 {
                self.spare.push(step);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_step_is_the_minimum_over_all_predecessors() {
        let mut random = Random::from_key(&[1]);
        for round in 0..300 {
            let states = 1 + random.below(60) as usize;
            let factor = [0.0, 1e-6, 2.5e-6, 1e-3, 0.1, 10.0][round % 6];
            let before: Vec<f32> = (0..states)
                .map(|i| match round % 4 {
                    0 => random.uniform() as f32,
                    1 => 1.0,
                    2 => (i as f32 - 20.0).powi(2) * 1e-4,
                    _ => random.below(3) as f32,
                })
                .collect();
            let (mut after, mut back) = (vec![0.0; states], vec![0; states]);
            Transitions::new(states, factor).step(&before, &mut after, &mut back);
            for i in 0..states {
                let cost = |j: usize| {
                    f64::from(factor) * (i as f64 - j as f64).powi(2) + f64::from(before[j])
                };
                let best = (0..states).map(cost).fold(f64::INFINITY, f64::min);
                let ours = cost(usize::from(back[i]));
                assert!(ours <= best + 1e-12 * best.abs(), "round {round}, state {i}");
                assert!((f64::from(after[i]) - best).abs() <= 1e-6 * best.abs().max(1e-3));
            }
            assert!(back.windows(2).all(|pair| pair[0] <= pair[1]), "pointers cross");
        }
    }

    /// All paths of a tiny trellis, one by one.
    #[test]
    fn the_path_is_the_cheapest_of_all() {
        let (states, frames) = (4usize, 5usize);
        let mut random = Random::from_key(&[2]);
        for _ in 0..200 {
            let factor = random.uniform() as f32;
            let local: Vec<f32> = (0..states * frames).map(|_| random.uniform() as f32).collect();
            let mut transitions = Transitions::new(states, factor);
            let mut paths = Paths::default();
            let mut costs = vec![0f32; states];
            for local in local.chunks(states) {
                let before = costs.clone();
                transitions.step(&before, &mut costs, &mut paths.push(states, 1).back);
                costs.iter_mut().zip(local).for_each(|(cost, local)| *cost += local);
            }
            paths.trace(smallest(&costs));
            let cost_of = |path: &[usize]| -> f64 {
                let locals = path.iter().enumerate().map(|(t, s)| f64::from(local[t * states + s]));
                let changes = path.windows(2).map(|p| (p[0] as f64 - p[1] as f64).powi(2));
                locals.sum::<f64>() + changes.sum::<f64>() * f64::from(factor)
            };
            let all = (0..states.pow(frames as u32)).map(|mut code| {
                let mut path = vec![0; frames];
                for state in &mut path {
                    *state = code % states;
                    code /= states;
                }
                cost_of(&path)
            });
            let best = all.fold(f64::INFINITY, f64::min);
            let ours: Vec<usize> = (0..frames)
                .map(|t| usize::from(paths.get(t as u64).expect("kept").state))
                .collect();
            assert!(cost_of(&ours) <= best + 1e-5, "{ours:?}: {} {best}", cost_of(&ours));
        }
    }

    /// Settled frames are those of the final path, whatever its last state.
    #[test]
    fn what_is_settled_stays() {
        let (states, mut random) = (30usize, Random::from_key(&[3]));
        let mut transitions = Transitions::new(states, 0.02);
        let (mut paths, mut costs) = (Paths::default(), vec![0f32; states]);
        let mut most = 0;
        for _ in 0..200 {
            let before = costs.clone();
            transitions.step(&before, &mut costs, &mut paths.push(states, 1).back);
            costs.iter_mut().for_each(|cost| *cost += random.uniform() as f32);
            let settled = paths.settle();
            most = most.max(settled);
            let kept: Vec<u16> = (0..settled).map(|t| paths.get(t).expect("kept").state).collect();
            for state in 0..states {
                let mut other = paths.clone();
                other.trace(state);
                let path: Vec<u16> =
                    (0..settled).map(|t| other.get(t).expect("kept").state).collect();
                assert_eq!(kept, path);
            }
            assert_eq!(
                paths.latency(1000) as u64,
                paths.frames() - settled - u64::from(settled > 0)
            );
        }
        assert!(most > 150, "{most}");
    }
}
