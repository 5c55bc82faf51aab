//! A row that is never in memory as a whole: its statistics first, stretch by stretch, then its results.
//!
//! Both come out as they do where the row is one slice (`row.rs`): stretches begin at the same classes however the
//! row is cut, and their terms are taken anew for the results.

use std::mem;

use crate::{Error, Op, Options, Result};

use super::instruction_set::InstructionSet;
use super::lanes::STRETCH;
use super::real::Real;
use super::row::{self, LOGITS_PER_PIECE};
use super::statistics::Statistics;
use super::threads;

/// Softmax, log-softmax or log-sum-exp of a row that is longer than memory, or comes bit by bit.
///
/// All of its logits are given here once, in pieces of any length one after the other. Log-sum-exp is known then;
/// for the others, they are given again to the [`MeasuredRow`]. The results are those that [`Cpu`](crate::Cpu) has for
/// the whole row, bit for bit, wherever it was cut. What is kept of a row is some hundredth of it.
///
/// On as many threads as pieces have use for. `T` is `f32` or `f64`.
///
/// ```
/// use wgpu_softmax::{Options, RowInPieces};
///
/// let pieces = [&[1.0f32, 2.0][..], &[3.0], &[4.0, 0.5]];
/// let mut row = RowInPieces::softmax(&Options::default());
/// pieces.iter().for_each(|piece| row.measure(piece));
///
/// let row = row.measured();
/// let (mut first, mut sum) = (0, 0.0);
/// for piece in pieces {
///     let mut probabilities = vec![0.0; piece.len()];
///     row.results(first, piece, &mut probabilities)?;
///     first += piece.len();
///     sum += probabilities.iter().sum::<f32>();
/// }
/// assert!((sum - 1.0).abs() < 1e-6);
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RowInPieces<T> {
    op: Op,
    options: Options,
    instructions: InstructionSet,
    stretches: Vec<Statistics>,
    /// Logits behind the last whole stretch.
    begun: Vec<T>,
    classes: usize,
}

/// A row all of whose logits have been measured.
#[derive(Debug, Clone)]
pub struct MeasuredRow<T> {
    of: RowInPieces<T>,
    row: Statistics,
}

impl<T: Real> RowInPieces<T> {
    /// A row whose softmax is wanted.
    pub fn softmax(options: &Options) -> Self {
        RowInPieces::new(Op::Softmax, options)
    }

    /// A row whose log-softmax is wanted, and its log-sum-exp.
    pub fn log_softmax(options: &Options) -> Self {
        RowInPieces::new(Op::LogSoftmax, options)
    }

    fn new(op: Op, options: &Options) -> Self {
        RowInPieces {
            op,
            options: *options,
            instructions: InstructionSet::widest(),
            stretches: Vec::new(),
            begun: Vec::new(),
            classes: 0,
        }
    }

    /// Takes the logits that follow those of the piece before.
    pub fn measure(&mut self, piece: &[T]) {
        self.classes = self.classes.saturating_add(piece.len());
        let mut piece = piece;
        if !self.begun.is_empty() {
            let (next, rest) = piece.split_at(piece.len().min(STRETCH - self.begun.len()));
            self.begun.extend_from_slice(next);
            piece = rest;
            if self.begun.len() < STRETCH {
                return;
            }
            let stretch = mem::take(&mut self.begun);
            self.measure_stretches(&stretch);
        }
        let (stretches, rest) = piece.split_at(piece.len() / STRETCH * STRETCH);
        self.measure_stretches(stretches);
        self.begun.extend_from_slice(rest);
    }

    fn measure_stretches(&mut self, logits: &[T]) {
        let (op, instructions) = (self.op, self.instructions);
        let tasks: Vec<&[T]> = logits.chunks(LOGITS_PER_PIECE).collect();
        let measured = threads::map_with(tasks.len(), |terms, task| {
            row::measure_stretches(instructions, op, tasks[task], terms)
        });
        self.stretches.extend(measured.into_iter().flatten());
    }

    /// The row, of which there are no more logits.
    pub fn measured(mut self) -> MeasuredRow<T> {
        let last = mem::take(&mut self.begun);
        self.measure_stretches(&last);
        let row = Statistics::join(&self.stretches);
        MeasuredRow { of: self, row }
    }
}

impl<T: Real> MeasuredRow<T> {
    /// How many logits there were.
    pub fn classes(&self) -> usize {
        self.of.classes
    }

    /// The row's log-sum-exp; none of one that was measured for its softmax, whose sum does not reach as far down.
    pub fn log_sum_exp(&self) -> Option<T> {
        (self.of.op == Op::LogSoftmax).then(|| self.row.log_sum_exp())
    }

    /// The results of some logits, the first of which is that of class `first`. Any pieces will do, in any order.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] for more logits than there were, or another number of results.
    pub fn results(&self, first: usize, piece: &[T], result: &mut [T]) -> Result<()> {
        let needed = |what, expected: usize, actual: usize| {
            let (expected, actual) = (expected as u64, actual as u64);
            Err(Error::LengthMismatch { what, expected, actual })
        };
        if result.len() != piece.len() {
            return needed("the result", piece.len(), result.len());
        }
        let left = self.of.classes.saturating_sub(first);
        if piece.len() > left {
            return needed("a piece of a measured row", left, piece.len());
        }
        threads::map_pieces(result, LOGITS_PER_PIECE, |task, result| {
            let start = task * LOGITS_PER_PIECE;
            let logits = piece.get(start..start + result.len()).unwrap_or_default();
            let RowInPieces { op, options, instructions, stretches, .. } = &self.of;
            let of_row = row::OfMeasuredRow { op: *op, stretches, row: &self.row, options };
            row::results(*instructions, of_row, first + start, logits, result);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::logits;
    use super::*;
    use crate::{Cpu, FullyMasked};

    /// The whole row in one call, and cut into pieces of so many logits for measuring and for the results.
    fn is_the_same(logits: &[f32], [measured, finished]: [usize; 2], options: &Options) {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let whole = |op| {
            let mut result = vec![9.0; if op == Op::LogSumExp { 1 } else { logits.len() }];
            Cpu::new().compute_into(op, logits, &[logits.len()], 0, options, &mut result).unwrap();
            result
        };
        for op in [Op::Softmax, Op::LogSoftmax] {
            let mut row = RowInPieces::new(op, options);
            logits.chunks(measured).for_each(|piece| row.measure(piece));
            let row = row.measured();
            let mut result = vec![9.0; logits.len()];
            for (index, piece) in logits.chunks(finished).enumerate().collect::<Vec<_>>().into_iter().rev() {
                let places = index * finished..index * finished + piece.len();
                row.results(places.start, piece, &mut result[places]).unwrap();
            }
            let what = format!("{op} of {} in {measured} and {finished}", logits.len());
            assert_eq!(bits(&result), bits(&whole(op)), "{what}");
            if let Some(log_sum_exp) = row.log_sum_exp() {
                assert_eq!(bits(&[log_sum_exp]), bits(&whole(Op::LogSumExp)), "{what}");
            }
        }
    }

    #[test]
    fn the_same_bits_wherever_it_is_cut() {
        let options = Options::default();
        for classes in [1, 2, 16, 63, 64, 65, 300, 4095, 4096, 4097, 9000, 70_001, 200_003] {
            let logits = logits(classes);
            for pieces in [[classes; 2], [1000, 4096], [4096, 1777], [70_000, 5]] {
                is_the_same(&logits, pieces, &options);
            }
        }
    }

    #[test]
    fn special_rows_are_special() {
        let zero = Options::default().fully_masked(FullyMasked::Zero);
        let nothing = vec![f32::NEG_INFINITY; 10_000];
        for options in [Options::default(), zero] {
            is_the_same(&nothing, [3000, 2999], &options);
            for special in [f32::NAN, f32::INFINITY, 3e38, -3e38, 50_000.0] {
                for place in [0, 5000, 9999] {
                    let mut logits = logits(10_000);
                    logits[place] = special;
                    is_the_same(&logits, [3000, 2999], &options);
                    // The first stretches hold nothing.
                    logits[..if place == 0 { 0 } else { 5000 }].fill(f32::NEG_INFINITY);
                    logits[place] = special;
                    is_the_same(&logits, [3000, 2999], &options);
                }
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_errors() {
        let mut row = RowInPieces::<f64>::softmax(&Options::default());
        row.measure(&[1.0, 2.0]);
        let row = row.measured();
        assert_eq!((row.classes(), row.log_sum_exp()), (2, None));
        assert!(row.results(0, &[1.0, 2.0], &mut [0.0]).is_err());
        assert!(row.results(1, &[1.0, 2.0], &mut [0.0; 2]).is_err());
        assert!(row.results(usize::MAX, &[1.0], &mut [0.0]).is_err());
        let empty = RowInPieces::<f64>::log_softmax(&Options::default()).measured();
        assert_eq!(empty.log_sum_exp(), Some(f64::NEG_INFINITY));
        assert!(empty.results(0, &[], &mut []).is_ok());
    }
}
