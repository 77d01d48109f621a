//! The worker threads: plans go in, batches come out by number, and all ends when the loader is dropped.

use super::load::BatchLoader;
use super::order::Place;
use super::plan::BatchPlan;
use super::sound::SoundStage;
use super::{Batch, LoaderError, LoaderOptions, extractor};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    options: Arc<LoaderOptions>,
    state: Mutex<State>,
    /// A job came, or the end.
    work: Condvar,
    /// A result came.
    done: Condvar,
    closed: AtomicBool,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<(u64, BatchPlan)>,
    results: BTreeMap<u64, Result<Batch, LoaderError>>,
    submitted: u64,
    in_flight: usize,
    most_in_flight: usize,
}

impl Shared {
    /// A worker that panics does so outside of the lock, so a poisoned lock guards a sound state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    pub(super) fn start(options: &Arc<LoaderOptions>) -> Result<Self, LoaderError> {
        let shared = Arc::new(Shared {
            options: Arc::clone(options),
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            closed: AtomicBool::new(false),
        });
        let mut pool = Self { shared, threads: Vec::new() };
        let stage = Arc::new(SoundStage::new(options, extractor(options)?.sample_rate())?);
        for number in 0..options.workers.max(1) {
            let mut loader = BatchLoader::new(options, &stage)?;
            let shared = Arc::clone(&pool.shared);
            // Dropping the pool on an error ends the threads that were started before.
            let thread = std::thread::Builder::new()
                .name(format!("loader-{number}"))
                .spawn(move || work(&shared, &mut loader))
                .map_err(|source| LoaderError::Threads { source })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Queues a plan; the number asks for its batch.
    pub(super) fn submit(&self, plan: BatchPlan) -> u64 {
        let mut state = self.shared.lock();
        let number = state.submitted;
        state.submitted += 1;
        state.in_flight += 1;
        state.most_in_flight = state.most_in_flight.max(state.in_flight);
        state.jobs.push_back((number, plan));
        self.shared.work.notify_one();
        number
    }

    /// Waits for a batch.
    pub(super) fn take(&self, number: u64) -> Result<Batch, LoaderError> {
        let mut state = self.shared.lock();
        loop {
            if let Some(result) = state.results.remove(&number) {
                state.in_flight -= 1;
                return result;
            }
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.shared.lock().most_in_flight
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        // Taken and released, so that no worker is between its look at `closed` and its sleep.
        drop(self.shared.lock());
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // Panics were caught and handed over as results; there is nothing more to learn here.
            let _ = thread.join();
        }
    }
}

fn work(shared: &Shared, loader: &mut BatchLoader) {
    loop {
        let (number, plan) = {
            let mut state = shared.lock();
            loop {
                if shared.closed.load(Ordering::Relaxed) {
                    return;
                }
                if let Some(job) = state.jobs.pop_front() {
                    break job;
                }
                state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        };
        let places: Vec<Place> = plan.items.iter().map(|item| item.place).collect();
        // Without this a panic would leave the caller waiting for ever.
        let result = catch_unwind(AssertUnwindSafe(|| loader.load(plan, &shared.closed)))
            .unwrap_or_else(|panic| Err(worker_error(shared, &places, panic.as_ref())));
        shared.lock().results.insert(number, result);
        shared.done.notify_all();
    }
}

fn worker_error(
    shared: &Shared,
    places: &[Place],
    panic: &(dyn std::any::Any + Send),
) -> LoaderError {
    let message = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default();
    let name = |place: &Place| {
        let source = &shared.options.corpora[place.corpus].source;
        match source.utterance(place.index) {
            Ok(utterance) => shared.options.name(place.corpus, &utterance),
            Err(_) => format!("utterance {}", place.index),
        }
    };
    let ids: Vec<String> = places.iter().map(name).collect();
    LoaderError::Worker { ids: ids.join(" "), message }
}
