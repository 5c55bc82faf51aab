//! Work spread over threads, where there are threads.
//!
//! What is computed, and in which order its parts are joined, is decided by the callers and does not depend
//! on how many threads take part. They lend their work as `dyn`: a call of it costs nothing beside a task, and were it
//! generic, it would be compiled once for each of the ways in which it is handed on.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::locked::locked;

/// Logits that are worth a task of their own: some tens of microseconds, many times what handing it to
/// another thread costs.
const LOGITS_PER_TASK: usize = 1 << 15;

/// Once there are enough of them to wake a thread for, tasks may have as few logits as this.
const FEWEST_LOGITS_PER_TASK: usize = 1 << 13;

/// So many tasks for each thread, if they are no smaller than that, so that none waits long for another's last.
const TASKS_PER_THREAD: usize = 4;

/// How many threads there are: those of the pool that this one is in, otherwise of rayon's own, which this starts; this one
/// alone where the system has none to give.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn count() -> usize {
    use std::error::Error;
    use std::sync::OnceLock;
    static HAS_POOL: OnceLock<bool> = OnceLock::new();
    // Rayon panics over a pool that does not start unless it is asked to build it. That there is one already is an error, too,
    // but none that came of the system.
    let build = || match rayon::ThreadPoolBuilder::new().build_global() {
        Ok(()) => true,
        Err(error) => error.source().is_none(),
    };
    let is_in_pool = rayon::current_thread_index().is_some();
    if is_in_pool || *HAS_POOL.get_or_init(build) { rayon::current_num_threads() } else { 1 }
}

/// How many threads there are.
#[cfg(target_arch = "wasm32")]
pub(crate) fn count() -> usize {
    1
}

/// How many of some rows are a task, if each is work for so many logits.
pub(super) fn rows_per_task(rows: usize, logits_per_row: usize) -> usize {
    let logits = rows.saturating_mul(logits_per_row);
    let logits_per_task = if logits <= LOGITS_PER_TASK {
        LOGITS_PER_TASK
    } else {
        (logits / (TASKS_PER_THREAD * count())).clamp(FEWEST_LOGITS_PER_TASK, LOGITS_PER_TASK)
    };
    (logits_per_task / logits_per_row.max(1)).max(1)
}

/// Calls `work` with every number below `tasks`.
pub(super) fn for_each(tasks: usize, work: &(dyn Fn(usize) + Sync)) {
    share(numbers(tasks), &|next| {
        while let Some(task) = next() {
            work(task);
        }
    });
}

/// Calls `work` with every number below `tasks`, and gives what it returned, in order.
pub(super) fn map<R: Send>(tasks: usize, work: &(dyn Fn(usize) -> R + Sync)) -> Vec<R> {
    map_with(tasks, &|(), task| work(task))
}

/// As [`map`], with memory that a thread hands from one task to the next.
pub(super) fn map_with<M: Default, R: Send>(
    tasks: usize,
    work: &(dyn Fn(&mut M, usize) -> R + Sync),
) -> Vec<R> {
    let results = Results::new(tasks);
    share(numbers(tasks), &|next| {
        let mut memory = M::default();
        while let Some(task) = next() {
            results.put(task, work(&mut memory, task));
        }
    });
    results.in_order()
}

/// Calls `work` with every piece of `length` elements of a slice (the last may be shorter) and its number,
/// and gives what it returned, in order.
pub(super) fn map_pieces<T: Send, R: Send>(
    slice: &mut [T],
    length: usize,
    work: &(dyn Fn(usize, &mut [T]) -> R + Sync),
) -> Vec<R> {
    let results = Results::new(slice.len() / length.max(1) + 1);
    for_each_piece_with(slice, length, &|(), index, piece| results.put(index, work(index, piece)));
    results.in_order()
}

/// As [`map_pieces`], with memory that a thread hands from one piece to the next.
pub(super) fn for_each_piece_with<M: Default, T: Send>(
    slice: &mut [T],
    length: usize,
    work: &(dyn Fn(&mut M, usize, &mut [T]) + Sync),
) {
    let length = length.max(1);
    let per_run = per_run(slice.len().div_ceil(length));
    let runs = slice.chunks_mut(per_run.saturating_mul(length)).enumerate();
    let runs = runs.map(|(run, pieces)| (run * per_run..).zip(pieces.chunks_mut(length)));
    share(runs, &|next| {
        let mut memory = M::default();
        while let Some((index, piece)) = next() {
            work(&mut memory, index, piece);
        }
    });
}

/// The numbers below `tasks`, a run for each thread.
fn numbers(tasks: usize) -> impl Iterator<Item = Range<usize>> {
    let per_run = per_run(tasks);
    (0..tasks).step_by(per_run).map(move |first| first..tasks.min(first + per_run))
}

/// How many of some tasks each thread has to begin with.
fn per_run(tasks: usize) -> usize {
    if tasks > 1 { tasks.div_ceil(count()) } else { 1 }
}

/// What tasks returned.
struct Results<R>(Mutex<Vec<(usize, R)>>);

impl<R> Results<R> {
    fn new(tasks: usize) -> Self {
        Results(Mutex::new(Vec::with_capacity(tasks)))
    }

    fn put(&self, task: usize, result: R) {
        locked(&self.0).push((task, result));
    }

    fn in_order(self) -> Vec<R> {
        let mut results = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_unstable_by_key(|&(task, _)| task);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

/// What takes items, which it is given a way to ask for, until none is left.
type Taking<'a, I> = dyn Fn(&mut dyn FnMut() -> Option<I>) + Sync + 'a;

/// Hands out the items of as many runs as there are threads for them, to this thread and to whichever others are idle. Each
/// thread begins with a run of its own, so that from call to call the same memory is, by and large, the same thread's; and
/// goes on with what is left of the others'.
fn share<R: Iterator<Item: Send> + Send>(runs: impl Iterator<Item = R>, take: &Taking<'_, R::Item>) {
    let runs: Vec<_> = runs.map(Mutex::new).collect();
    let begun = AtomicUsize::new(0);
    let work = || {
        let (before, own) = runs.split_at(begun.fetch_add(1, Ordering::Relaxed).min(runs.len()));
        let mut in_turn = own.iter().chain(before);
        let mut run = in_turn.next();
        take(&mut || {
            loop {
                match locked(run?).next() {
                    None => run = in_turn.next(),
                    item => return item,
                }
            }
        });
    };
    #[cfg(not(target_arch = "wasm32"))]
    return super::helped_call::call_with_help(runs.len().saturating_sub(1), &work);
    #[cfg(target_arch = "wasm32")]
    work();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_in_order() {
        for tasks in [0, 1, 2, 3, 100] {
            assert_eq!(map(tasks, &|task| task * 3), (0..tasks).map(|task| task * 3).collect::<Vec<_>>());
            let calls = map_with(tasks, &|calls: &mut usize, task| {
                *calls += 1;
                (task, *calls)
            });
            assert!(calls.iter().enumerate().all(|(index, &(task, calls))| task == index && calls > 0));

            let mut numbers = vec![0; tasks * 7];
            for_each_piece_with(&mut numbers, 5, &|(), piece, numbers| {
                numbers.iter_mut().enumerate().for_each(|(index, place)| *place += piece * 5 + index);
            });
            let lengths = map_pieces(&mut numbers, 4, &|piece, numbers| {
                assert_eq!(numbers.first(), Some(&(piece * 4)));
                numbers.len()
            });
            assert!(lengths.iter().rev().skip(1).all(|&length| length == 4));
            assert_eq!(lengths.iter().sum::<usize>(), tasks * 7);
            assert!(numbers.iter().enumerate().all(|(index, &number)| number == index));
        }
    }

    #[test]
    fn tasks_are_neither_few_nor_small() {
        assert_eq!(rows_per_task(3, 1000), 32);
        assert_eq!(rows_per_task(1 << 20, 1000), 32);
        assert_eq!(rows_per_task(usize::MAX, usize::MAX), 1);
        assert_eq!(rows_per_task(0, 0), LOGITS_PER_TASK);
        assert!((8..=32).contains(&rows_per_task(33, 1000)));
    }
}
