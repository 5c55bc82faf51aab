//! The CPU path: SIMD and threads, with the promises of the GPU kernels and the reference's meaning.
//!
//! ```text
//!     compute_rows ─► row      a long contiguous row: lanes along the row, stretches over threads
//!                 │            (sixteen_rows: logarithms of a few hundred classes, for several rows together)
//!                 ├─► short    contiguous rows of few chunks: several at once (segments, few_rows, transposed)
//!                 ├─► columns  strided rows: a row per lane
//!                 └─► jacobian (asks for probabilities, and makes pairs of them)
//!                        │
//!                      lanes ─► statistics (maximum, how often, sum of the others) ─► last step
//! ```
//!
//! Whatever has more to it than logits of f32 or f64 goes block by block: rows are gathered from where they
//! lie into rows one after the other in the type that is computed in, adjusted, computed as above, finished,
//! rounded and scattered.
//!
//! ```text
//!     compute_request ─► blocks (storage, sixteen_bits) ─► compute_rows ─► products, weighted, jacobian
//!     compute_loss ─┬──► blocks ─┬► for_each_logarithm ─► loss
//!                   └────────────┘   (labels in place, and nothing but values of rows wanted)
//! ```
//!
//! A row that is never in memory as a whole comes in pieces (`piece`), of which the same steps are taken part by part, to
//! the same bits: `row_in_pieces` for everything that a request may ask but Jacobians, `loss_in_pieces` for a loss.
//!
//! The bits of a row's results depend on its logits alone. They are the same whether it stands alone or in a
//! batch, contiguous or strided, on one thread or on many: how a row is split and in which order its parts
//! are joined follows from its length and nothing else (`lanes.rs`). They are also the same for every
//! instruction set that fuses products with sums (`instruction_set.rs`), because nothing is reordered; those
//! that do not fuse agree with one another.
//!
//! The arithmetic is that of the logits' own type, except that sums leave it after a few terms (`lanes.rs`)
//! and the one logarithm per row is taken in f64.
//!
//! [`Precision::Fast`](crate::Precision::Fast) takes the same path: all that accuracy costs here is two
//! operations that keep a difference exact, of some fifteen for each logit, and the memory hides them.

mod blocks;
mod caches;
mod columns;
mod compensated;
mod exponential;
mod few_rows;
#[cfg(not(target_arch = "wasm32"))]
mod helped_call;
mod instruction_set;
mod jacobian;
mod lanes;
mod loss;
mod loss_in_pieces;
mod piece;
mod products;
mod real;
mod request;
mod row;
mod row_in_pieces;
mod segments;
mod shared_result;
mod short;
pub(crate) mod sixteen_bits;
mod sixteen_rows;
mod statistics;
mod storage;
mod threads;
mod transposed;
mod vectors;
mod weighted;

use crate::{Op, Options, Output, Rows};

pub(crate) use compensated::CompensatedSum;
use instruction_set::InstructionSet;
pub(crate) use loss::compute_loss;
pub use loss_in_pieces::{LossInPieces, MeasuredLoss};
pub use piece::Piece;
pub use real::Real;
pub(crate) use request::compute_request;
pub use row_in_pieces::{MeasuredRow, RowInPieces};
use statistics::Take;
pub(crate) use threads::count as thread_count;

/// Computes every row of `logits` into `result`.
///
/// The rows are compact: offset 0, pitch classes · inner. `result` has a place for each element that `op`
/// writes, in the order of [`Rows::result`]; what it holds beforehand does not matter. Where the lengths do
/// not fit the rows, nothing is written that is of any use, but nothing is touched out of bounds either.
pub(crate) fn compute_rows<T: Real>(op: Op, logits: &[T], rows: &Rows, result: &mut [T], options: &Options) {
    compute_rows_with(InstructionSet::widest(), op, logits, rows, result, options);
}

fn compute_rows_with<T: Real>(
    instructions: InstructionSet,
    op: Op,
    logits: &[T],
    rows: &Rows,
    result: &mut [T],
    options: &Options,
) {
    let sizes = [rows.outer() as usize, rows.classes() as usize, rows.inner() as usize];
    let [outer, classes, inner] = sizes;
    if outer == 0 || inner == 0 {
        return;
    }
    if op.output() == Output::PerPair {
        // The caller has moved the classes to the last axis.
        jacobian::compute(instructions, op, logits, rows, result, options);
    } else if classes == 0 {
        if op.output() == Output::PerRow {
            result.fill(T::NEG_INFINITY);
        }
    } else if inner != 1 {
        columns::compute(instructions, op, logits, sizes, result, options);
    } else if classes <= short::longest::<T>() {
        short::compute(instructions, op, logits, classes, result, options);
    } else {
        row::compute(instructions, op, logits, classes, result, options);
    }
}

/// Calls `take` with the number of the first of some rows, what they have come to, and of each log Σ exp(x − maximum), NaN
/// for a row with a NaN; until all rows have been.
///
/// For a caller that has divided the rows among threads: only those that are very long are spread further.
fn for_each_logarithm<T: Real>(
    instructions: InstructionSet,
    logits: &[T],
    classes: usize,
    take: &mut Take<'_, T>,
) {
    match classes {
        0 => {}
        _ if classes <= short::longest::<T>() => {
            short::for_each_logarithm(instructions, logits, classes, take)
        }
        _ if classes <= sixteen_rows::longest(Op::LogSumExp) => {
            sixteen_rows::for_each_logarithm(instructions, logits, classes, take)
        }
        _ => row::for_each_logarithm(instructions, logits, classes, take),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits of many magnitudes, with a −∞ here and there.
    pub(super) fn logits<T: Real>(count: usize) -> Vec<T> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1u64 << 31) as f64
        };
        let mut logit = || match next() {
            sort if sort < 0.05 => f64::NEG_INFINITY,
            sort if sort < 0.5 => 10.0 * next() - 40.3,
            _ => 120.0 * (next() - 1.0),
        };
        (0..count).map(|_| T::narrow(logit())).collect()
    }

    /// Those that fuse products with sums do; the one that may not is held against the reference below.
    fn every_instruction_set_gives_the_same_bits<T: Real>() {
        let shapes = [
            (50, 4, 1),
            (20, 33, 1),
            (9, 64, 1),
            (8, 65, 1),
            (9, 100, 1),
            (9, 128, 1),
            (9, 781, 1),
            (3, 5000, 1),
            (1, 70_001, 1),
            (3, 100, 21),
            (1, 9001, 5),
        ];
        for (outer, classes, inner) in shapes {
            let rows = Rows::new(outer, classes, inner).unwrap();
            let logits: Vec<T> = logits(rows.elements() as usize);
            for op in Op::ROW_WISE {
                let answers: Vec<_> = (InstructionSet::all().into_iter().filter(|set| set.fuses()))
                    .map(|instructions| {
                        let mut result = vec![T::NAN; rows.result(op).elements() as usize];
                        compute_rows_with(instructions, op, &logits, &rows, &mut result, &Options::default());
                        (instructions, result)
                    })
                    .collect();
                for (instructions, answer) in answers.iter().skip(1) {
                    // No NaN among them, and equal zeros have equal signs: softmax and log-softmax know no −0.
                    assert!(*answer == answers[0].1, "{op} of {rows} with {instructions:?}");
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits_in_f32() {
        every_instruction_set_gives_the_same_bits::<f32>();
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits_in_f64() {
        every_instruction_set_gives_the_same_bits::<f64>();
    }

    /// Whatever is fused, and however short the rows.
    #[test]
    fn every_instruction_set_keeps_the_promises() {
        for classes in (1..=70).chain([80, 81, 97, 112, 127, 128, 129, 1000, 4095, 4096, 4097, 8200, 70_001])
        {
            let rows = Rows::new(if classes < 100 { 37 } else { 2 }, classes, 1).unwrap();
            let logits: Vec<f32> = logits(rows.elements() as usize);
            for op in Op::ROW_WISE {
                for instructions in InstructionSet::all() {
                    let mut result = vec![f32::NAN; rows.result(op).elements() as usize];
                    compute_rows_with(instructions, op, &logits, &rows, &mut result, &Options::default());
                    let values_per_row = result.len() / rows.count() as usize;
                    let of_rows = logits.chunks(classes as usize).zip(result.chunks(values_per_row));
                    for (logits, result) in of_rows {
                        let exact: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
                        let expected = match op {
                            Op::Softmax => crate::reference::softmax(&exact),
                            Op::LogSoftmax => crate::reference::log_softmax(&exact),
                            _ => vec![crate::reference::log_sum_exp(&exact)],
                        };
                        let greatest = exact
                            .iter()
                            .copied()
                            .fold(0.0, |a: f64, x| if x.is_finite() { a.max(x.abs()) } else { a });
                        for (&value, &expected) in result.iter().zip(&expected) {
                            let bound = 2f64.powi(-24)
                                * match op {
                                    Op::Softmax => 16.0 * expected,
                                    Op::LogSoftmax => 8.0 * expected.abs().max(1.0),
                                    _ => 4.0 * (greatest + expected.abs()),
                                }
                                + 2f64.powi(-126);
                            let value = f64::from(value);
                            let agree = value == expected
                                || value.is_nan() && expected.is_nan()
                                || (value - expected).abs() <= bound;
                            assert!(
                                agree,
                                "{op} of {classes} classes with {instructions:?}: {value} for {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_no_danger() {
        for (outer, classes, inner) in [(3, 5, 1), (3, 100, 1), (1, 70_001, 1), (3, 5, 2), (1, 5000, 3)] {
            let rows = Rows::new(outer, classes, inner).unwrap();
            for op in Op::ROW_WISE {
                let elements = rows.result(op).elements() as usize;
                for (given, expected) in [(0, elements), (7, elements), (7, 3), (7, 0), (200_000, 500)] {
                    let logits = vec![1.0f32; given];
                    compute_rows(op, &logits, &rows, &mut vec![0.0; expected], &Options::default());
                    compute_rows(op, &logits, &rows, &mut vec![0.0; elements + 1], &Options::default());
                }
            }
        }
    }
}
