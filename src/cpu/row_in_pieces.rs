//! A row that is never in memory as a whole: what its results follow from first, piece by piece, then its results.
//!
//! Both come out as they do where the row is one slice (`row.rs`, `products.rs`, `weighted.rs`): what is summed by itself
//! begins at the same classes however the row is cut, each class adds to the lane that it adds to there, and terms are
//! taken anew for the results. What cannot be known before the row's maximum is, takes another reading.

use std::mem;
use std::ops::Range;

use crate::tensor::check_length;
use crate::{Element, Error, FullyMasked, Given, Op, Options, Output, Result};

use super::blocks::{Kind, Row, reused, store_all};
use super::compensated::CompensatedSum;
use super::instruction_set::InstructionSet;
use super::lanes::{LANES, LaneSums, STRETCH};
use super::piece::{FittedPiece, PartMemory, Piece};
use super::products::{self, ELEMENTS_PER_PIECE};
use super::real::Real;
use super::row::{self, LOGITS_PER_PIECE};
use super::statistics::Statistics;
use super::threads;
use super::weighted::{self, SignedLog, WeightedMaximum, WeightedRow, WeightedSums};

/// A row that is longer than memory, or comes bit by bit: its softmax, log-softmax or log-sum-exp, a product with one of
/// their Jacobians, or its weighted log-sum-exp.
///
/// All of its logits are given in pieces of any length, one after the other: once to be measured, and for the products of
/// softmax's Jacobian, for [`Op::LogSoftmaxJvp`] and for weighted sums, which need the row's maximum first, once more. What
/// the row itself comes to is known then; where a value is wanted for every logit, they are given again to the
/// [`MeasuredRow`]. The results are those that [`Cpu`](crate::Cpu) has for the whole row, bit for bit, wherever it was
/// cut. What is kept of a row is some hundredth of it.
///
/// On as many threads as pieces have use for. `T` is what is computed in: `f64` where logits, operand or results are, else
/// `f32`.
///
/// ```
/// use wgpu_softmax::{Op, Options, RowInPieces};
///
/// let pieces = [&[1.0f32, 2.0][..], &[3.0], &[4.0, 0.5]];
/// let row = RowInPieces::<f32>::new(Op::Softmax, &Options::default())?
///     .measured(|row| pieces.iter().try_for_each(|&piece| row.measure(piece)))?;
///
/// let (mut first, mut sum) = (0, 0.0);
/// for piece in pieces {
///     let mut probabilities = vec![0.0f32; piece.len()];
///     row.results(first, piece, &mut probabilities)?;
///     first += piece.len();
///     sum += probabilities.iter().sum::<f32>();
/// }
/// assert!((sum - 1.0).abs() < 1e-6);
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
///
/// With more to them, pieces are [`Piece`]s:
///
/// ```
/// use wgpu_softmax::{Op, Options, Piece, RowInPieces};
///
/// let (logits, cotangent) = ([0.0f32, 0.0, 0.0, 0.0], [1.0f32, 2.0, 3.0, 6.0]);
/// let piece = |first: usize| Piece::new(&logits[first..first + 2]).operand(&cotangent[first..first + 2]);
/// let row = RowInPieces::<f32>::new(Op::Vjp, &Options::default())?
///     .measured(|row| [0, 2].into_iter().try_for_each(|first| row.measure(piece(first))))?;
/// let mut result = [0.0f32; 2];
/// row.results(2, piece(2), &mut result)?;
/// assert_eq!(result, [0.0, 0.75]);
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RowInPieces<T> {
    op: Op,
    options: Options,
    instructions: InstructionSet,
    /// Logits that this reading has had.
    classes: usize,
    /// The most classes that any piece has said that the row has.
    length: u64,
    /// What the first reading has come to; empty where sums are weighted.
    stretches: Stretches<T>,
    maximum: WeightedMaximum,
    /// The same, once it is over.
    row: Option<Statistics>,
    sums: ProductSums<T>,
    weighted: Option<WeightedSums>,
}

/// A row all of whose logits have been measured.
#[derive(Debug, Clone)]
pub struct MeasuredRow<T> {
    of: RowInPieces<T>,
    row: Statistics,
    kind: Kind,
    /// Of the products' terms.
    sum: f64,
    log_sum_exp: Option<T>,
    sign: Option<T>,
}

impl<T: Real> RowInPieces<T> {
    /// A row of which `op` is wanted.
    ///
    /// # Errors
    /// [`Error::OperandUnused`] for a Jacobian, which is larger than what cannot be held, and for probabilities given where
    /// they cannot be; [`Error::OperandMissing`] for a loss.
    pub fn new(op: Op, options: &Options) -> Result<Self> {
        if op.is_loss() {
            return Err(Error::OperandMissing { op, needed: "targets, which a LossInPieces has" });
        }
        if op.output() == Output::PerPair {
            return Err(Error::OperandUnused { op, given: "a row in pieces" });
        }
        crate::request::check_given(op, options, false)?;
        Ok(RowInPieces {
            op,
            options: *options,
            instructions: InstructionSet::widest(),
            classes: 0,
            length: 0,
            stretches: Stretches { measured: Vec::new(), begun: Vec::new() },
            maximum: WeightedMaximum::EMPTY,
            row: None,
            sums: ProductSums { done: CompensatedSum::default(), under_way: LaneSums::new() },
            weighted: None,
        })
    }

    /// Takes the logits that follow those of the piece before, with what belongs to them.
    ///
    /// # Errors
    /// Where the parts of a piece do not fit each other, as a [`Request`](crate::Request) of one row would say;
    /// [`Error::LengthMismatch`] also where it has more rows than one.
    pub fn measure<'a>(&mut self, piece: impl Into<Piece<'a>>) -> Result<()> {
        let first = self.classes;
        let piece = piece.into().fitted(self.op, &self.options, first)?;
        self.take(&piece);
        Ok(())
    }

    /// How many logits this reading has had.
    pub(super) fn seen(&self) -> usize {
        self.classes
    }

    /// Does nothing with a piece but to count its logits.
    pub(super) fn skip(&mut self, piece: &FittedPiece<'_>) {
        self.classes = self.classes.saturating_add(piece.len());
    }

    /// Takes a piece that fits.
    pub(super) fn take(&mut self, piece: &FittedPiece<'_>) {
        let first = self.classes;
        self.skip(piece);
        self.length = self.length.max(piece.length_of_row().unwrap_or(0));
        if is_weighted(self.op) {
            self.measure_weighted(piece, first);
        } else if self.row.is_some() {
            self.add_products(piece, first);
        } else {
            if self.options.given == Given::Logits {
                self.stretches.take(measured_for(self.op), self.instructions, piece);
            }
            if self.adds_products_at_once() {
                self.add_products(piece, first);
            }
        }
    }

    /// The row, all of whose pieces `read` measures, in the order of their classes: it is called as often as they have to
    /// be measured.
    ///
    /// # Errors
    /// Those of `read`; [`Error::LengthOutOfRange`] for a length of more classes than there were, and
    /// [`Error::LengthMismatch`] where there are not as many the second time.
    pub fn measured<E: From<Error>>(
        mut self,
        mut read: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<MeasuredRow<T>, E> {
        read(&mut self)?;
        let classes = self.classes;
        if self.length > classes as u64 {
            return Err(
                Error::LengthOutOfRange { row: 0, length: self.length, classes: classes as u64 }.into()
            );
        }
        let row = self.stretches.joined(measured_for(self.op), self.instructions);
        self.row = Some(row);
        let kind = match self.options.given {
            Given::Logits => Kind::of_maximum(row.maximum()),
            Given::Probabilities => Kind::Regular,
        };
        let special = self.maximum.special();
        let again = match is_weighted(self.op) {
            true => special.is_none(),
            false => {
                Op::PRODUCTS.contains(&self.op) && kind == Kind::Regular && !self.adds_products_at_once()
            }
        };
        if again {
            self.classes = 0;
            self.weighted = is_weighted(self.op).then(|| WeightedSums::new(self.maximum));
            read(&mut self)?;
            check_length("the second reading of a row", classes as u64, self.classes as u64)?;
        }
        let weighted = self.weighted.as_ref().map(WeightedSums::logarithm).or(special);
        let (log_sum_exp, sign) = match (self.op, weighted) {
            (Op::WeightedLogSumExp, Some(sum)) => (Some(T::narrow(sum.unsigned())), None),
            (Op::SignedLogSumExp, Some(SignedLog { log, sign })) => {
                (Some(T::narrow(log)), Some(T::narrow(sign)))
            }
            (Op::LogSoftmax | Op::LogSumExp, _) => (Some(row.log_sum_exp()), None),
            _ => (None, None),
        };
        let sum = self.sums.total();
        let one_nan = |value: T| if value.widen().is_nan() { T::NAN } else { value };
        let (log_sum_exp, sign) = (log_sum_exp.map(one_nan), sign.map(one_nan));
        Ok(MeasuredRow { of: self, row, kind, sum, log_sum_exp, sign })
    }

    /// Whether the sum of a product needs nothing of the row but the vector, or the probabilities that it is given.
    fn adds_products_at_once(&self) -> bool {
        let given = self.options.given == Given::Probabilities;
        self.op == Op::LogSoftmaxVjp || given && Op::PRODUCTS.contains(&self.op)
    }

    fn add_products(&mut self, piece: &FittedPiece<'_>, first: usize) {
        let RowInPieces { op, instructions, sums, .. } = self;
        let (op, instructions) = (*op, *instructions);
        let of_row = self.row.as_ref().map(|row| row::OfMeasuredRow {
            op: Op::Softmax,
            stretches: &self.stretches.measured,
            row,
            options: &self.options,
        });
        sums.add(first, piece.len(), |memory: &mut Memory<T>, range, sums| {
            let Memory { part, vector, probabilities, .. } = memory;
            let Row { logits, participation } = piece.part(instructions, range.clone(), part);
            let vector = reused(vector, range.len());
            piece.operand_of_part(instructions, range.clone(), participation, vector);
            let mut of_part = logits;
            if let Some(of_row) = of_row {
                let probabilities = reused(probabilities, range.len());
                row::results(instructions, of_row, first + range.start, logits, probabilities);
                of_part = probabilities;
            }
            let lane = (first + range.start) % LANES;
            instructions.run(products::Add { op, probabilities: of_part, vector, lane, sums });
        });
    }

    fn measure_weighted(&mut self, piece: &FittedPiece<'_>, first: usize) {
        let instructions = self.instructions;
        let ranges = || (0..piece.len()).step_by(LOGITS_PER_PIECE);
        let ranges = || ranges().map(|start| start..piece.len().min(start + LOGITS_PER_PIECE));
        let row = |memory: &mut Memory<T>, range: Range<usize>, run: &mut dyn FnMut(WeightedRow<'_, T>)| {
            let Memory { part, vector: weights, .. } = memory;
            let Row { logits, participation } = piece.part(instructions, range.clone(), part);
            let weights = reused(weights, range.len());
            piece.operand_of_part(instructions, range, participation, weights);
            run(WeightedRow { logits, weights });
        };
        let Some(sums) = &mut self.weighted else {
            let ranges: Vec<_> = ranges().collect();
            let maxima = threads::map_with(ranges.len(), &|memory, task| {
                let mut maximum = WeightedMaximum::EMPTY;
                let range = ranges.get(task).cloned().unwrap_or_default();
                row(memory, range, &mut |part| maximum = instructions.run(weighted::Measure(part)));
                maximum
            });
            self.maximum = maxima.into_iter().fold(self.maximum, WeightedMaximum::join);
            return;
        };
        // One after the other: each lane is one sum.
        let mut memory = Memory::default();
        for range in ranges() {
            let lane = (first + range.start) % LANES;
            row(&mut memory, range, &mut |row| instructions.run(weighted::Add { row, lane, sums }));
        }
    }
}

fn is_weighted(op: Op) -> bool {
    matches!(op, Op::WeightedLogSumExp | Op::SignedLogSumExp)
}

/// Of what a row of `op` needs the statistics: products need probabilities.
fn measured_for(op: Op) -> Op {
    if Op::ROW_WISE.contains(&op) { op } else { Op::Softmax }
}

/// What one part leaves to the next to use.
#[derive(Default)]
struct Memory<T> {
    part: PartMemory<T>,
    vector: Vec<T>,
    probabilities: Vec<T>,
    values: Vec<T>,
}

/// The statistics of a row's stretches.
#[derive(Debug, Clone)]
struct Stretches<T> {
    measured: Vec<Statistics>,
    /// Logits behind the last whole stretch.
    begun: Vec<T>,
}

impl<T: Real> Stretches<T> {
    fn take(&mut self, op: Op, instructions: InstructionSet, piece: &FittedPiece<'_>) {
        let mut start = 0;
        if !self.begun.is_empty() {
            start = piece.len().min(STRETCH - self.begun.len());
            self.begin(instructions, piece, 0..start);
            if self.begun.len() < STRETCH {
                return;
            }
            self.measure_begun(op, instructions);
        }
        let end = start + (piece.len() - start) / STRETCH * STRETCH;
        let starts: Vec<usize> = (start..end).step_by(LOGITS_PER_PIECE).collect();
        let measured = threads::map_with(starts.len(), &|memory: &mut (PartMemory<T>, Vec<T>), task| {
            let (part, terms) = memory;
            let start = starts.get(task).copied().unwrap_or(end);
            let row = piece.part(instructions, start..end.min(start + LOGITS_PER_PIECE), part);
            row::measure_stretches(instructions, op, row.logits, terms)
        });
        self.measured.extend(measured.into_iter().flatten());
        self.begin(instructions, piece, end..piece.len());
    }

    fn begin(&mut self, instructions: InstructionSet, piece: &FittedPiece<'_>, range: Range<usize>) {
        if !range.is_empty() {
            let mut memory = PartMemory::default();
            self.begun.extend_from_slice(piece.part(instructions, range, &mut memory).logits);
        }
    }

    fn measure_begun(&mut self, op: Op, instructions: InstructionSet) {
        let logits = mem::take(&mut self.begun);
        self.measured.extend(row::measure_stretches(instructions, op, &logits, &mut Vec::new()));
    }

    /// The statistics of the row, of which there are no more logits.
    fn joined(&mut self, op: Op, instructions: InstructionSet) -> Statistics {
        self.measure_begun(op, instructions);
        Statistics::join(&self.measured)
    }
}

/// The sum that a product needs, of so many elements by themselves as where the row is one slice.
#[derive(Debug, Clone)]
struct ProductSums<T> {
    done: CompensatedSum,
    /// Of the elements behind those.
    under_way: LaneSums<T>,
}

impl<T: Real> ProductSums<T> {
    /// Adds elements from class `first` on, so many, of which `add` adds those of a range of them.
    fn add(
        &mut self,
        first: usize,
        length: usize,
        add: impl Fn(&mut Memory<T>, Range<usize>, &mut LaneSums<T>) + Send + Sync,
    ) {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        while start < length {
            let end = length.min(start + ELEMENTS_PER_PIECE - (first + start) % ELEMENTS_PER_PIECE);
            ranges.push(start..end);
            start = end;
        }
        let begun = &self.under_way;
        let sums = threads::map_with(ranges.len(), &|memory, task| {
            let mut sums = if task == 0 { begun.clone() } else { LaneSums::new() };
            add(memory, ranges.get(task).cloned().unwrap_or_default(), &mut sums);
            sums
        });
        for (range, sums) in ranges.into_iter().zip(sums) {
            if (first + range.end).is_multiple_of(ELEMENTS_PER_PIECE) {
                self.done = self.done.join(sums.join());
                self.under_way = LaneSums::new();
            } else {
                self.under_way = sums;
            }
        }
    }

    fn total(&self) -> f64 {
        self.done.join(self.under_way.join()).value()
    }
}

impl<T: Real> MeasuredRow<T> {
    /// How many logits there were.
    pub fn classes(&self) -> usize {
        self.of.classes
    }

    /// The row's log-sum-exp, where it was measured for that, weighted or not, or for its log-softmax. The sum of others
    /// does not reach as far down.
    pub fn log_sum_exp(&self) -> Option<T> {
        self.log_sum_exp
    }

    /// The sign of the weighted sum, −1, 0 or 1, for [`Op::SignedLogSumExp`].
    pub fn sign(&self) -> Option<T> {
        self.sign
    }

    /// The results of some logits, the first of which is that of class `first`. Any pieces will do, in any order, with the
    /// operand and the adjustment that they were measured with.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] for more logits than there were, or another number of results; as
    /// [`RowInPieces::measure`]; [`Error::OperandUnused`] for an operation that has one value for the whole row.
    pub fn results<'a, R: Element>(
        &self,
        first: usize,
        piece: impl Into<Piece<'a>>,
        result: &mut [R],
    ) -> Result<()> {
        let RowInPieces { op, options, instructions, .. } = self.of;
        if op.output() != Output::PerElement {
            return Err(Error::OperandUnused { op, given: "places for results of single classes" });
        }
        let piece = piece.into().fitted(op, &options, first)?;
        self.check(first, piece.len(), result.len())?;
        threads::for_each_piece_with(result, LOGITS_PER_PIECE, &|memory: &mut Memory<T>, task, result| {
            let start = task * LOGITS_PER_PIECE;
            let Memory { part, vector, probabilities, values } = memory;
            let row = piece.part(instructions, start..start + result.len(), part);
            let values = reused(values, result.len());
            if Op::PRODUCTS.contains(&op) {
                let vector = reused(vector, result.len());
                piece.operand_of_part(instructions, start..start + result.len(), row.participation, vector);
                self.multiply(row, first + start, piece.temperature(), (vector, probabilities), values);
            } else {
                self.finish(op, first + start, row.logits, values);
                if self.kind == Kind::Undefined {
                    let masked = if op == Op::LogSoftmax { T::NEG_INFINITY } else { T::ZERO };
                    row.participation.fill_masked(masked, values);
                }
            }
            store_all(instructions, values, result);
        });
        Ok(())
    }

    /// Whether so many logits from class `first` on are some of the row's, and there are as many places for results.
    pub(super) fn check(&self, first: usize, logits: usize, results: usize) -> Result<()> {
        check_length("the result", logits as u64, results as u64)?;
        let left = self.of.classes.saturating_sub(first);
        if logits > left {
            check_length("a piece of a measured row", left as u64, logits as u64)?;
        }
        Ok(())
    }

    pub(super) fn statistics(&self) -> &Statistics {
        &self.row
    }

    /// The softmax or log-softmax of some logits from class `first` on.
    fn finish(&self, op: Op, first: usize, logits: &[T], values: &mut [T]) {
        let RowInPieces { options, instructions, stretches, .. } = &self.of;
        let of_row = row::OfMeasuredRow { op, stretches: &stretches.measured, row: &self.row, options };
        row::results(*instructions, of_row, first, logits, values);
    }

    /// Some of a vector's product with the Jacobian, from class `first` on; with memory for probabilities.
    fn multiply(
        &self,
        row: Row<'_, T>,
        first: usize,
        temperature: f64,
        (vector, probabilities): (&[T], &mut Vec<T>),
        products: &mut [T],
    ) {
        let RowInPieces { op, options, instructions, .. } = self.of;
        match self.kind {
            Kind::Regular => {
                let mut of_part = row.logits;
                if options.given == Given::Logits {
                    let probabilities = reused(probabilities, vector.len());
                    self.finish(Op::Softmax, first, row.logits, probabilities);
                    of_part = probabilities;
                }
                let (probabilities, sum) = (of_part, self.sum);
                let finish = products::Finish { op, probabilities, vector, sum, temperature, products };
                instructions.run(finish);
            }
            Kind::Undefined => products.fill(T::NAN),
            Kind::Empty => {
                return products.fill(match options.fully_masked {
                    FullyMasked::Nan => T::NAN,
                    FullyMasked::Zero => T::ZERO,
                });
            }
        }
        row.participation.fill_masked(T::ZERO, products);
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::super::tests::logits;
    use super::*;
    use crate::{Adjustment, Cpu, Operand, Request};

    /// A row with everything that may be given with it, each part of it or not.
    #[derive(Clone, Default)]
    struct Given<X, V> {
        logits: Vec<X>,
        operand: Vec<V>,
        temperature: Option<f64>,
        mask: Option<Vec<bool>>,
        added: Option<Vec<f16>>,
        causal: Option<(i64, u64)>,
        length: Option<[u64; 1]>,
        options: Options,
    }

    impl<X: Element, V: Element> Given<X, V> {
        fn adjustment(&self, classes: &Range<usize>, shape: &'static [usize; 1]) -> Adjustment<'_> {
            let mut adjustment = Adjustment::default();
            if let Some(temperature) = self.temperature {
                adjustment = adjustment.temperature(temperature);
            }
            if let Some(mask) = &self.mask {
                adjustment = adjustment.mask(&mask[classes.clone()], shape);
            }
            if let Some(added) = &self.added {
                adjustment = adjustment.additive_mask(&added[classes.clone()], shape);
            }
            if let Some((offset, window)) = self.causal {
                adjustment = adjustment.sliding_window(offset, window);
            }
            match &self.length {
                Some(length) => adjustment.lengths(length),
                None => adjustment,
            }
        }

        /// The answer of the whole row.
        fn whole<R: Element>(&self, op: Op) -> Vec<R> {
            let classes = 0..self.logits.len();
            let shape: &'static [usize; 1] = Box::leak(Box::new([classes.len()]));
            let whole = [1, classes.len()];
            let mut request = Request::new(op, &self.logits, &whole, -1).options(self.options);
            request = match op.operand() {
                None => request,
                Some(Operand::Cotangent) => request.cotangent(&self.operand),
                Some(Operand::Tangent) => request.tangent(&self.operand),
                Some(Operand::Weights) => request.weights(&self.operand),
            };
            Cpu::new().answer(&request.adjustment(self.adjustment(&classes, shape))).unwrap()
        }

        /// The same cut into pieces of so many logits for measuring and for the results.
        fn in_pieces<T: Real + Element, R: Element>(
            &self,
            op: Op,
            [measured, finished]: [usize; 2],
        ) -> Result<Vec<R>> {
            let pieces = |length: usize| {
                let classes = self.logits.len();
                let starts = (0..classes).step_by(length);
                starts.map(move |start| {
                    let range = start..classes.min(start + length);
                    let shape: &'static [usize; 1] = Box::leak(Box::new([range.len()]));
                    let adjustment = self.adjustment(&range, shape);
                    let piece = Piece::new(&self.logits[range.clone()]).adjustment(adjustment);
                    match op.operand() {
                        Some(_) => (start, piece.operand(&self.operand[range])),
                        None => (start, piece),
                    }
                })
            };
            let row = RowInPieces::<T>::new(op, &self.options)?
                .measured(|row| pieces(measured).try_for_each(|(_, piece)| row.measure(piece)))?;
            let rounded = |value: Option<T>| R::rounded(R::Computed::narrow(value.unwrap().widen()));
            match op.output() {
                Output::PerRow => return Ok(vec![rounded(row.log_sum_exp())]),
                Output::TwoPerRow => return Ok(vec![rounded(row.log_sum_exp()), rounded(row.sign())]),
                _ => {}
            }
            let mut result = vec![R::default(); self.logits.len()];
            for (first, piece) in pieces(finished).collect::<Vec<_>>().into_iter().rev() {
                let end = result.len().min(first + finished);
                row.results(first, piece, &mut result[first..end])?;
            }
            Ok(result)
        }

        /// Holds every operation in pieces against the whole row, bit for bit.
        fn is_the_same<T: Real + Element, R: Element>(&self, pieces: [usize; 2]) {
            for op in operations() {
                let (expected, result) = (self.whole::<R>(op), self.in_pieces::<T, R>(op, pieces).unwrap());
                if let Err(place) = same_bits(&result, &expected) {
                    let what = format!("{op} of {} in {pieces:?}", self.logits.len());
                    panic!("{what}: {:?} for {:?} at {place}", result[place], expected[place]);
                }
            }
        }
    }

    /// All but Jacobians and losses.
    fn operations() -> impl Iterator<Item = Op> {
        Op::ALL.into_iter().filter(|op| op.output() != Output::PerPair)
    }

    /// Where two results differ.
    fn same_bits<R: Element>(result: &[R], expected: &[R]) -> Result<(), usize> {
        let bytes = |value: &R| bytemuck::bytes_of(value).to_vec();
        let differ = |(one, other): (&R, &R)| bytes(one) != bytes(other);
        match result.iter().zip(expected).position(differ) {
            Some(place) => Err(place),
            None if result.len() != expected.len() => Err(result.len().min(expected.len())),
            None => Ok(()),
        }
    }

    fn given<X: Element, V: Element>(classes: usize) -> Given<X, V> {
        let narrow = |x: f64| V::rounded(V::Computed::narrow(x));
        Given {
            logits: logits::<f64>(classes).iter().map(|&x| X::rounded(X::Computed::narrow(x))).collect(),
            operand: logits::<f64>(classes).iter().rev().map(|x| narrow(x.clamp(-9.0, 9.0) / 3.0)).collect(),
            ..Given::default()
        }
    }

    /// The same with all that an adjustment can hold.
    fn adjusted<X: Element, V: Element>(classes: usize) -> Given<X, V> {
        let seed = |class: usize| class.wrapping_mul(2_654_435_761) >> 7;
        Given {
            temperature: Some(0.7),
            mask: Some((0..classes).map(|class| !seed(class).is_multiple_of(5)).collect()),
            added: Some((0..classes).map(|class| f16::from_f64((seed(class) % 97) as f64 / 16.0)).collect()),
            causal: Some((classes as i64 - 2, (classes as u64).saturating_sub(3).max(1))),
            length: Some([classes as u64 - classes as u64 / 9]),
            ..given(classes)
        }
    }

    const LENGTHS: [usize; 13] = [1, 2, 16, 63, 64, 65, 300, 4095, 4096, 4097, 9000, 70_001, 200_003];

    #[test]
    fn the_same_bits_wherever_it_is_cut() {
        for classes in LENGTHS {
            let (plain, adjusted) = (given::<f32, f32>(classes), adjusted::<f32, f32>(classes));
            for pieces in [[classes; 2], [1000, 4096], [4096, 1777], [70_000, 77], [65_539, 13_000]] {
                plain.is_the_same::<f32, f32>(pieces);
                adjusted.is_the_same::<f32, f32>(pieces);
            }
        }
    }

    #[test]
    fn elements_of_any_types() {
        for classes in [100, 70_001] {
            adjusted::<f16, bf16>(classes).is_the_same::<f32, f16>([999, 5000]);
            adjusted::<bf16, f32>(classes).is_the_same::<f32, bf16>([999, 5000]);
            adjusted::<f64, f64>(classes).is_the_same::<f64, f64>([999, 5000]);
            given::<f32, f32>(classes).is_the_same::<f64, f64>([999, 5000]);
        }
    }

    #[test]
    fn special_rows_are_special() {
        let zero = Options::default().fully_masked(FullyMasked::Zero);
        for options in [Options::default(), zero] {
            for row in [given::<f32, f32>(10_000), adjusted(10_000)] {
                let mut row = Given { options, ..row };
                let plain = row.logits.clone();
                row.logits.fill(f32::NEG_INFINITY);
                row.is_the_same::<f32, f32>([3000, 2999]);
                for special in [f32::NAN, f32::INFINITY, 3e38, -3e38, 50_000.0] {
                    for place in [0, 5000, 9999] {
                        // The first stretches hold nothing, or what they held.
                        for empty in [0, place] {
                            row.logits.clone_from(&plain);
                            row.logits[..empty].fill(f32::NEG_INFINITY);
                            row.logits[place] = special;
                            row.is_the_same::<f32, f32>([3000, 2999]);
                            let operand = std::mem::replace(&mut row.operand[place], special);
                            row.is_the_same::<f32, f32>([3000, 2999]);
                            row.operand[place] = operand;
                        }
                    }
                }
                // Nothing takes part; nor does it in what a window leaves.
                row.logits.clone_from(&plain);
                row.mask = Some(vec![false; 10_000]);
                row.is_the_same::<f32, f32>([3000, 2999]);
                row.mask = None;
                row.causal = Some((-1, 5));
                row.is_the_same::<f32, f32>([3000, 2999]);
                row.causal = Some((6000, 1));
                row.is_the_same::<f32, f32>([3000, 2999]);
                row.length = Some([0]);
                row.is_the_same::<f32, f32>([3000, 2999]);
            }
        }
    }

    #[test]
    fn infinite_weights_and_sums_that_cancel() {
        let mut row = given::<f32, f32>(9000);
        row.logits[7] = f32::INFINITY;
        for weights in [[1.0, 1.0], [1.0, -1.0], [-2.0, -1.0], [0.0, -1.0], [0.0, 0.0], [f32::INFINITY, 1.0]]
        {
            for place in [3, 8000] {
                row.logits[place] = f32::INFINITY;
                (row.operand[7], row.operand[place]) = (weights[0], weights[1]);
                row.is_the_same::<f32, f32>([1000, 1000]);
            }
        }
        row.logits.fill(2.0);
        row.operand
            .iter_mut()
            .enumerate()
            .for_each(|(class, b)| *b = if class % 2 == 0 { 1.0 } else { -1.0 });
        row.is_the_same::<f32, f32>([777, 1000]);
        assert_eq!(row.whole::<f32>(Op::SignedLogSumExp), [f32::NEG_INFINITY, 0.0]);
    }

    #[test]
    fn saved_probabilities_take_the_place_of_logits() {
        let options = Options::default().given(crate::Given::Probabilities);
        let row = given::<f32, f32>(70_001);
        let row = Given { logits: row.whole::<f32>(Op::Softmax), options, ..row };
        for op in Op::PRODUCTS {
            let result = row.in_pieces::<f32, f32>(op, [1000, 999]).unwrap();
            assert_eq!(same_bits(&result, &row.whole(op)), Ok(()), "{op}");
        }
        assert!(RowInPieces::<f32>::new(Op::Softmax, &options).is_err());
    }

    /// Masks are broadcast to a box as they are to an array.
    #[test]
    fn pieces_may_be_boxes() {
        let (shape, elements) = ([40, 1, 3, 500], 60_000);
        let logits = logits::<f32>(elements);
        let mask: Vec<bool> = (0..40 * 500).map(|place| place % 7 != 3).collect();
        let added: Vec<f32> = (0..3).map(|row| row as f32 / 3.0).collect();
        let adjustment =
            |mask, mask_shape| Adjustment::default().mask(mask, mask_shape).additive_mask(&added, &[3, 1]);
        let request = Request::new(Op::Softmax, &logits, &shape, [0, 2, 3]);
        let request = request.adjustment(adjustment(&mask[..], &[40, 1, 1, 500]));
        let whole: Vec<f32> = Cpu::new().answer(&request).unwrap();
        let piece = |first: usize| {
            Piece::new(&logits[first * 1500..][..6000])
                .of_shape(&[4, 1, 3, 500], [0, 2, 3])
                .adjustment(adjustment(&mask[first * 500..][..2000], &[4, 1, 1, 500]))
        };
        let row = RowInPieces::<f32>::new(Op::Softmax, &Options::default()).unwrap();
        let row = row.measured(|row| (0..40).step_by(4).try_for_each(|first| row.measure(piece(first))));
        let (row, mut result) = (row.unwrap(), vec![0.0f32; elements]);
        for first in (0..40).step_by(4) {
            row.results(first * 1500, piece(first), &mut result[first * 1500..][..6000]).unwrap();
        }
        assert_eq!(same_bits(&result, &whole), Ok(()));
    }

    /// What holds them against each other sees a single bit, a length, and a mask that is a class too far.
    #[test]
    fn wrong_answers_are_seen() {
        let row = adjusted::<f32, f32>(5000);
        let right = row.whole::<f32>(Op::Softmax);
        let place = right.iter().position(|&p| p > 0.0).unwrap();
        let mut wrong = right.clone();
        wrong[place] = f32::from_bits(wrong[place].to_bits() + 1);
        assert_eq!(same_bits(&wrong, &right), Err(place));
        assert_eq!(same_bits(&right[..4999], &right), Err(4999));
        // Everything counts for something, and sums have logarithms.
        let mut row = row;
        row.logits.iter_mut().enumerate().for_each(|(class, x)| *x = (class % 7) as f32 / 3.0);
        row.operand.iter_mut().enumerate().for_each(|(class, v)| *v = (class % 11) as f32 + 1.0);
        let mut moved = row.clone();
        moved.mask.as_mut().unwrap().rotate_right(1);
        for op in operations() {
            let result = moved.in_pieces::<f32, f32>(op, [999, 1000]).unwrap();
            assert!(same_bits(&result, &row.whole(op)).is_err(), "{op}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let options = Options::default();
        let row = |op| RowInPieces::<f64>::new(op, &options).unwrap();
        let measured = row(Op::Softmax).measured(|row| row.measure(&[1.0, 2.0])).unwrap();
        assert_eq!((measured.classes(), measured.log_sum_exp(), measured.sign()), (2, None, None));
        assert!(measured.results(0, &[1.0, 2.0], &mut [0.0]).is_err());
        assert!(measured.results(1, &[1.0, 2.0], &mut [0.0; 2]).is_err());
        assert!(measured.results(usize::MAX, &[1.0], &mut [0.0]).is_err());
        let empty = row(Op::LogSoftmax).measured(|_| Ok::<_, Error>(())).unwrap();
        assert_eq!(empty.log_sum_exp(), Some(f64::NEG_INFINITY));
        assert!(empty.results::<f64>(0, &[0.0f64; 0], &mut []).is_ok());
        let empty = row(Op::SignedLogSumExp).measured(|_| Ok::<_, Error>(())).unwrap();
        assert_eq!((empty.log_sum_exp(), empty.sign()), (Some(f64::NEG_INFINITY), Some(0.0)));
        assert!(
            row(Op::LogSumExp)
                .measured(|row| row.measure(&[1.0]))
                .unwrap()
                .results(0, &[1.0], &mut [0.0])
                .is_err()
        );

        assert!(RowInPieces::<f32>::new(Op::Jacobian, &options).is_err());
        assert!(RowInPieces::<f32>::new(Op::CrossEntropy, &options).is_err());
        let two = [1.0f32, 2.0];
        assert!(row(Op::Vjp).measure(&two).is_err());
        assert!(row(Op::Softmax).measure(Piece::new(&two).operand(&two)).is_err());
        assert!(row(Op::Vjp).measure(Piece::new(&two).operand(&two[1..])).is_err());
        assert!(row(Op::Softmax).measure(Piece::new(&two).of_shape(&[2, 1], -1)).is_err());
        assert!(row(Op::Softmax).measure(Piece::new(&two).of_shape(&[3], 0)).is_err());
        let cold = Adjustment::default().temperature(0.0);
        assert!(row(Op::Softmax).measure(Piece::new(&two).adjustment(cold)).is_err());
        let long = || Piece::new(&two).adjustment(Adjustment::default().lengths(&[3]));
        let beyond = row(Op::Softmax).measured(|row| row.measure(long())).unwrap_err();
        assert!(matches!(beyond, Error::LengthOutOfRange { length: 3, classes: 2, .. }), "{beyond}");
        assert!(row(Op::Softmax).measured(|row| row.measure(long()).and(row.measure(long()))).is_ok());

        let mut readings = 0;
        let longer = row(Op::Vjp).measured(|row| {
            readings += 1;
            (0..readings).try_for_each(|_| row.measure(Piece::new(&two).operand(&two)))
        });
        assert!(matches!(longer.unwrap_err(), Error::LengthMismatch { expected: 2, actual: 4, .. }));
    }
}
