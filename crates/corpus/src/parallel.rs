//! Maps a function over a slice on several threads, results in the order of the slice.

use crate::Progress;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// As many threads as the machine runs at once.
pub(crate) fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// `function` of every item; the first error (by position among those met) stops the rest.
pub(crate) fn try_map<T: Sync, R: Send, E: Send>(
    items: &[T],
    function: impl Fn(&T) -> Result<R, E> + Sync,
    progress: Progress<'_>,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let results: Mutex<Vec<(usize, Result<R, E>)>> = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..available_threads().min(items.len()) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let result = function(item);
                    if result.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    // A poisoned lock only says that another thread panicked; the scope passes that on.
                    results
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push((index, result));
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1, items.len());
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_and_an_error_comes_through() {
        let items: Vec<usize> = (0..1000).collect();
        let told = AtomicUsize::new(0);
        let doubled: Result<Vec<usize>, ()> = try_map(&items, |i| Ok(i * 2), &|_, total| {
            assert_eq!(total, 1000);
            told.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(doubled, Ok(items.iter().map(|i| i * 2).collect()));
        assert_eq!(told.into_inner(), 1000);
        let failed = try_map(&items, |i| if *i == 700 { Err(*i) } else { Ok(*i) }, &|_, _| {});
        assert_eq!(failed, Err(700));
        assert_eq!(try_map(&[] as &[u8], |_| Ok::<u8, ()>(0), &|_, _| {}), Ok(vec![]));
    }
}
