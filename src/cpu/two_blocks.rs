//! The softmax of rows of two blocks, next to each other: two of them at once, all chunks of both in registers.
//!
//! Such rows are so short that what is done once for each takes half of the time. As in `short.rs`, their maxima meet
//! in one chunk, and what exponentials are relative to follows from it for both together. The sums of blocks leave the
//! type of the logits, as those of every longer row do.

use crate::{Op, Options};

use super::exponential::Anchors;
use super::few_rows::FewRows;
use super::instruction_set::Machine;
use super::lanes::{BLOCK, LANES, Lanes};
use super::real::Real;
use super::short::Bundle;
use super::statistics::{Finish, Statistics};
use super::vectors::Vector;

/// Most chunks of a row.
const MOST_CHUNKS: usize = 2 * BLOCK;

/// Whether rows of so many classes are computed here: where registers hold two rows, and as much to compute with.
/// Where they do not, rows go to memory and back either way, and one at a time is faster; so it is where both blocks are
/// full.
pub(super) const fn serves<T, M: Machine>(classes: usize) -> bool {
    size_of::<T>() == size_of::<f32>()
        && M::REGISTERS_OF_F32 >= 4 * MOST_CHUNKS * LANES
        && classes > BLOCK * LANES
        && classes < MOST_CHUNKS * LANES
}

/// The chunks of two rows.
type Pair<V, const CHUNKS: usize> = [[V; CHUNKS]; 2];

/// The softmax of every row.
#[inline(always)]
pub(super) fn softmax<T: Real, M: Machine>(
    machine: M,
    logits: &[T],
    classes: usize,
    result: &mut [T],
    options: &Options,
) {
    match classes.div_ceil(LANES) {
        5 => softmax_of_pairs::<T, M, 5>(machine, logits, classes, result, options),
        6 => softmax_of_pairs::<T, M, 6>(machine, logits, classes, result, options),
        7 => softmax_of_pairs::<T, M, 7>(machine, logits, classes, result, options),
        _ => softmax_of_pairs::<T, M, 8>(machine, logits, classes, result, options),
    }
}

#[inline(always)]
fn softmax_of_pairs<T: Real, M: Machine, const CHUNKS: usize>(
    machine: M,
    logits: &[T],
    classes: usize,
    result: &mut [T],
    options: &Options,
) {
    let rows = FewRows::<2, CHUNKS>::new(classes);
    for first in (0..logits.len()).step_by(2 * classes) {
        let mut pair: Pair<Lanes<T, M>, CHUNKS> = rows.load(machine, &logits[first..]);
        let measured = measure_pair::<T, M, CHUNKS>(machine, &rows, &mut pair);
        for (row, chunks) in measured.iter().zip(&mut pair) {
            match row.finish(row, Op::Softmax, options) {
                Finish::Scale(factor) => {
                    let factors = Lanes::<T, M>::splat(machine, factor);
                    for chunk in chunks {
                        *chunk = chunk.times(factors);
                    }
                }
                Finish::Fill(value) => *chunks = [Lanes::<T, M>::splat(machine, value); CHUNKS],
                Finish::Subtract { .. } => {}
            }
        }
        rows.store(&pair, &mut result[first..]);
    }
}

/// Turns the logits of two rows into terms, and says what the rows come to.
#[inline(always)]
fn measure_pair<T: Real, M: Machine, const CHUNKS: usize>(
    machine: M,
    rows: &FewRows<2, CHUNKS>,
    pair: &mut Pair<Lanes<T, M>, CHUNKS>,
) -> [Statistics; 2] {
    let maxima = rows.maxima(pair);
    let [first, second] = rows.totals(machine, pair, &Anchors::new(maxima));
    let of_second = rows.first_lanes()[1] as usize;
    let mut numbers = [T::ZERO; LANES];
    maxima.store(&mut numbers);
    [first.of_row(numbers[0]), second.of_row(numbers[of_second])]
}
