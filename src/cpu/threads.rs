//! Work spread over threads, where there are threads.
//!
//! What is computed, and in which order its parts are joined, is decided by the callers and does not depend
//! on how many threads take part. They lend their work as `dyn`: a call of it costs nothing beside a task, and were it
//! generic, it would be compiled once for each of the ways in which rayon hands it on.

/// Logits that are worth a task of their own: some tens of microseconds, many times what handing it to
/// another thread costs.
pub(super) const LOGITS_PER_TASK: usize = 1 << 15;

/// How many threads there are.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn count() -> usize {
    rayon::current_num_threads()
}

/// How many threads there are.
#[cfg(target_arch = "wasm32")]
pub(crate) fn count() -> usize {
    1
}

/// Calls `work` with every number below `tasks`.
pub(super) fn for_each(tasks: usize, work: &(dyn Fn(usize) + Sync)) {
    #[cfg(not(target_arch = "wasm32"))]
    if tasks > 1 {
        use rayon::prelude::*;
        return (0..tasks).into_par_iter().for_each(work);
    }
    (0..tasks).for_each(work);
}

/// Calls `work` with every number below `tasks`, and gives what it returned, in order.
pub(super) fn map<R: Send>(tasks: usize, work: &(dyn Fn(usize) -> R + Sync)) -> Vec<R> {
    #[cfg(not(target_arch = "wasm32"))]
    if tasks > 1 {
        use rayon::prelude::*;
        return (0..tasks).into_par_iter().map(work).collect();
    }
    (0..tasks).map(work).collect()
}

/// As [`map`], with memory that a thread hands from one task to the next.
pub(super) fn map_with<M: Default + Send, R: Send>(
    tasks: usize,
    work: &(dyn Fn(&mut M, usize) -> R + Sync),
) -> Vec<R> {
    #[cfg(not(target_arch = "wasm32"))]
    if tasks > 1 {
        use rayon::prelude::*;
        return (0..tasks).into_par_iter().map_init(M::default, work).collect();
    }
    let mut memory = M::default();
    (0..tasks).map(|task| work(&mut memory, task)).collect()
}

/// Calls `work` with every piece of `length` elements of a slice (the last may be shorter) and its number,
/// and gives what it returned, in order.
pub(super) fn map_pieces<T: Send, R: Send>(
    slice: &mut [T],
    length: usize,
    work: &(dyn Fn(usize, &mut [T]) -> R + Sync),
) -> Vec<R> {
    let length = length.max(1);
    #[cfg(not(target_arch = "wasm32"))]
    if slice.len() > length {
        use rayon::prelude::*;
        return slice.par_chunks_mut(length).enumerate().map(|(index, piece)| work(index, piece)).collect();
    }
    slice.chunks_mut(length).enumerate().map(|(index, piece)| work(index, piece)).collect()
}

/// As [`map_pieces`], with memory that a thread hands from one piece to the next.
pub(super) fn for_each_piece_with<M: Default + Send, T: Send>(
    slice: &mut [T],
    length: usize,
    work: &(dyn Fn(&mut M, usize, &mut [T]) + Sync),
) {
    let length = length.max(1);
    #[cfg(not(target_arch = "wasm32"))]
    if slice.len() > length {
        use rayon::prelude::*;
        let pieces = slice.par_chunks_mut(length).enumerate();
        return pieces.for_each_init(M::default, |memory, (index, piece)| work(memory, index, piece));
    }
    let mut memory = M::default();
    slice.chunks_mut(length).enumerate().for_each(|(index, piece)| work(&mut memory, index, piece));
}
