//! Loops over channels that keep a few numbers for each channel in registers.
//!
//! Channels lie side by side and never meet, so how many of them are worked on together cannot change
//! a result: first 32 at a time, then 8, then one by one.
//!
//! Book: book/src/exact.md

use crate::real::Real;

/// Work on channels `channel..channel + L`.
pub(crate) trait Lanes {
    /// Does the work; to be marked `#[inline(always)]`, so that it is compiled for the instruction set
    /// of the loop around it.
    fn run<const L: usize>(&mut self, channel: usize);
}

/// Runs `work` on all channels.
#[inline(always)]
pub(crate) fn over_channels(channels: usize, work: &mut impl Lanes) {
    let mut channel = 0;
    while channel + 32 <= channels {
        work.run::<32>(channel);
        channel += 32;
    }
    while channel + 8 <= channels {
        work.run::<8>(channel);
        channel += 8;
    }
    while channel < channels {
        work.run::<1>(channel);
        channel += 1;
    }
}

/// `L` numbers from `at` on.
#[inline(always)]
pub(crate) fn load<T: Real, const L: usize>(values: &[T], at: usize) -> [T; L] {
    let mut lanes = [T::ZERO; L];
    lanes.copy_from_slice(&values[at..at + L]);
    lanes
}

/// Writes `lanes` from `at` on.
#[inline(always)]
pub(crate) fn store<T: Real, const L: usize>(values: &mut [T], at: usize, lanes: [T; L]) {
    values[at..at + L].copy_from_slice(&lanes);
}

/// Adds `lanes` to the numbers from `at` on.
#[inline(always)]
pub(crate) fn add_to<T: Real, const L: usize>(values: &mut [T], at: usize, lanes: [T; L]) {
    for (value, lane) in values[at..at + L].iter_mut().zip(lanes) {
        *value += lane;
    }
}
