//! Cross-entropy of a row that is never in memory as a whole, to the bits that `loss.rs` has for it.
//!
//! Its statistics, its label's logit and its most probable class come from the first reading. Where classes beside the
//! label have targets, or the entropy is wanted, another one adds up what these cost, and the distances of the logits from
//! their maximum, in the order of the whole row: a lane is one sum, whatever the pieces.

use std::mem;
use std::ops::Range;

use crate::cross_entropy::{ArrangedLoss, narrow};
use crate::tensor::check_length;
use crate::{CrossEntropy, Element, Error, Losses, Op, Result, Targets};

use super::blocks::{Kind, Participation, reused, store_all};
use super::instruction_set::InstructionSet;
use super::lanes::{LANES, LaneSums};
use super::loss::{AddDistances, AddLosses, AddTargets, Formula, Gradient, Measured, of_empty, position_of};
use super::piece::{FittedPiece, PartMemory, Piece};
use super::real::Real;
use super::row::LOGITS_PER_PIECE;
use super::row_in_pieces::{MeasuredRow, RowInPieces};
use super::threads;

/// Cross-entropy of a row that is longer than memory, or comes bit by bit, with its gradient.
///
/// Pieces are those of a [`RowInPieces`](crate::RowInPieces), with target probabilities for an operand, and with class
/// weights; they are measured twice where there are target probabilities or label smoothing, or the entropy is wanted,
/// otherwise once. Loss, gradient and what else is wanted have the bits that [`Cpu`](crate::Cpu) has for the whole row,
/// wherever it was cut.
///
/// ```
/// use wgpu_softmax::{CrossEntropy, LossInPieces, Piece};
///
/// let (logits, label) = ([0.0f32, 0.0, 0.0, 0.0], [2i64]);
/// let of_row = CrossEntropy::new(&[0.0f32; 0], &[1, 0], 1, &label);
/// let row = LossInPieces::<f32>::new(&of_row)?
///     .measured(|row| logits.chunks(3).try_for_each(|piece| row.measure(piece)))?;
/// assert_eq!(row.losses::<f32>().losses, [4f32.ln()]);
/// let mut gradient = [0.0f32; 2];
/// row.gradient(1, &logits[1..3], &mut gradient)?;
/// assert_eq!(gradient, [0.25, -0.75]);
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LossInPieces<'a, T> {
    loss: ArrangedLoss<'a>,
    instructions: InstructionSet,
    /// The class that the label names; none where the row is ignored, or has target probabilities.
    label: Option<usize>,
    is_ignored: bool,
    /// The row as its log-softmax wants it; in the second reading, one that counts its logits.
    row: RowInPieces<T>,
    of_label: Option<OfLabel<T>>,
    likeliest: Likeliest<T>,
    /// What the first reading has come to, and of how many classes.
    measured: Option<(Measured, usize)>,
    targets: LaneSums<f64>,
    costs: LaneSums<T>,
    /// Σ exp(z − maximum)·(maximum − z), where the entropy is wanted.
    distances: LaneSums<T>,
    /// Whether any target is more than 0.
    has_targets: bool,
}

/// What is known of the label's class.
#[derive(Debug, Clone, Copy)]
struct OfLabel<T> {
    logit: T,
    takes_part: bool,
    /// (1 − ε)·w.
    target: f64,
    weight: f64,
}

/// A row whose loss has been measured.
#[derive(Debug, Clone)]
pub struct MeasuredLoss<'a, T> {
    of: LossInPieces<'a, T>,
    row: MeasuredRow<T>,
    measured: Measured,
    /// Σ q.
    sum_of_targets: f64,
    of_row: OfRow,
}

/// What is found out of the row beside its gradient.
#[derive(Debug, Clone, Copy)]
struct OfRow {
    /// Σ q·nll, 0 for an ignored row.
    loss: f64,
    log_sum_exp: f64,
    label_log_probability: f64,
    entropy: f64,
}

/// The most probable class of a row, as far as it has been seen.
#[derive(Debug, Clone, Copy)]
struct Likeliest<T> {
    /// The first class that takes part.
    first: Option<usize>,
    /// The first NaN, or the first of the greatest logits above −∞, and its class.
    greatest: Option<(T, usize)>,
}

impl<T: Real> Likeliest<T> {
    const OF_NONE: Self = Likeliest { first: None, greatest: None };

    /// Of a part of a row, which starts at class `first`.
    fn of(logits: &[T], participation: Participation<'_>, first: usize) -> Self {
        let taking_part = (0..logits.len()).find(|&class| participation.takes_part(class));
        let (mut greatest, mut place) = (T::NEG_INFINITY, None);
        let is_nan = |x: T| x.widen().is_nan();
        // Few chunks hold anything greater than all before them, and most are passed over as a whole.
        for (number, chunk) in logits.chunks(LANES).enumerate() {
            if !chunk.iter().fold(false, |found, &x| found | (x > greatest) | is_nan(x)) {
                continue;
            }
            for (index, &x) in chunk.iter().enumerate() {
                if x > greatest || is_nan(x) {
                    (greatest, place) = (x, Some(number * LANES + index));
                }
                if is_nan(x) {
                    break;
                }
            }
            if is_nan(greatest) {
                break;
            }
        }
        Likeliest {
            first: taking_part.map(|class| first + class),
            greatest: place.map(|class| (greatest, first + class)),
        }
    }

    /// Of these classes and those that follow.
    fn join(self, next: Self) -> Self {
        let greatest = match (self.greatest, next.greatest) {
            (Some((x, _)), Some((y, _))) if !x.widen().is_nan() && (y > x || y.widen().is_nan()) => {
                next.greatest
            }
            (Some(_), _) => self.greatest,
            (None, _) => next.greatest,
        };
        Likeliest { first: self.first.or(next.first), greatest }
    }

    /// 0 where no class takes part.
    fn class(&self) -> u64 {
        self.greatest.map(|(_, class)| class).or(self.first).unwrap_or(0) as u64
    }
}

impl<'a, T: Real> LossInPieces<'a, T> {
    /// The loss of a row, of which `of_row` says everything but the logits, their adjustment, target probabilities and
    /// class weights, which pieces have: it is a loss over one row of no class yet, whose label counts the row's classes.
    /// A mean is over this row, or over what [`CrossEntropy::mean_over`] says; the losses are added to those of
    /// [`CrossEntropy::added_to`].
    ///
    /// # Errors
    /// Those of [`Cpu::cross_entropy`](crate::Cpu::cross_entropy); [`Error::LengthMismatch`] for another number of rows, or
    /// for logits.
    pub fn new(of_row: &CrossEntropy<'a>) -> Result<Self> {
        let loss = of_row.fitted()?;
        check_length("the rows of a loss in pieces", 1, loss.arrangement.rows.count())?;
        check_length("the logits of a row that comes in pieces", 0, loss.arrangement.rows.classes())?;
        let (mut label, mut is_ignored) = (None, false);
        if let Targets::Labels(labels) = &loss.targets {
            match loss.counted(labels.of(0)) {
                None => is_ignored = true,
                Some(_) if labels.of(0) < 0 => {
                    return Err(Error::LabelOutOfRange { row: 0, label: labels.of(0), classes: 0 });
                }
                class => label = class,
            }
        }
        let row = RowInPieces::new(Op::LogSoftmax, &loss.options)?;
        Ok(LossInPieces {
            loss,
            instructions: InstructionSet::widest(),
            label,
            is_ignored,
            row,
            of_label: None,
            likeliest: Likeliest::OF_NONE,
            measured: None,
            targets: LaneSums::new(),
            costs: LaneSums::new(),
            distances: LaneSums::new(),
            has_targets: false,
        })
    }

    /// Takes the logits that follow those of the piece before, with what belongs to them.
    ///
    /// # Errors
    /// As [`RowInPieces::measure`](crate::RowInPieces::measure).
    pub fn measure<'p>(&mut self, piece: impl Into<Piece<'p>>) -> Result<()> {
        let first = self.row.seen();
        let piece = piece.into().fitted_for_loss(&self.loss, first)?;
        if let Some((measured, classes)) = self.measured {
            self.row.skip(&piece);
            self.add_again(&piece, first, measured, classes);
            return Ok(());
        }
        self.row.take(&piece);
        if self.loss.wanted.argmax {
            self.likeliest = self.likeliest.join(likeliest_of_piece(self.instructions, &piece, first));
        }
        let place =
            self.label.and_then(|label| label.checked_sub(first)).filter(|&place| place < piece.len());
        if let Some(place) = place {
            let mut memory = PartMemory::default();
            let row = piece.part(self.instructions, place..place + 1, &mut memory);
            let weight = piece.class_weight(place);
            self.of_label = row.logits.first().map(|&logit| OfLabel {
                logit,
                takes_part: row.participation.takes_part(0),
                target: (1.0 - self.loss.smoothing) * weight,
                weight,
            });
        }
        Ok(())
    }

    /// The row, all of whose pieces `read` measures, in the order of their classes: it is called as often as they have to
    /// be measured.
    ///
    /// # Errors
    /// Those of `read`; [`Error::LabelOutOfRange`] and [`Error::LengthOutOfRange`] for more classes than there were, and
    /// [`Error::LengthMismatch`] where there are not as many the second time.
    pub fn measured<E: From<Error>>(
        mut self,
        mut read: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<MeasuredLoss<'a, T>, E> {
        read(&mut self)?;
        let again = RowInPieces::new(Op::LogSoftmax, &self.loss.options)?;
        // All of it has been read.
        let row = mem::replace(&mut self.row, again).measured(|_| Ok::<_, Error>(()))?;
        let classes = row.classes();
        if let Some(label) = self.label.filter(|&label| label >= classes) {
            let (label, classes) = (label as i64, classes as u64);
            return Err(Error::LabelOutOfRange { row: 0, label, classes }.into());
        }
        let measured = Measured::new::<T>(row.statistics());
        self.measured = Some((measured, classes));
        let adds_targets = self.has_other_targets() && measured.kind != Kind::Undefined;
        if adds_targets || self.adds_distances(measured) {
            read(&mut self)?;
            check_length("the second reading of a row", classes as u64, self.row.seen() as u64)?;
        }
        let of_label = self.of_label.map_or(0.0, |label| label.target);
        let sum_of_targets = self.targets.join().value() + of_label;
        let of_row = OfRow {
            loss: self.loss_of_row(measured),
            log_sum_exp: measured.log_sum_exp(),
            label_log_probability: self.of_label.map_or(0.0, |label| self.log_probability(measured, label)),
            entropy: measured.entropy(&self.loss, &self.distances),
        };
        let weight = self.of_label.map_or(1.0, |label| label.weight);
        self.loss.is_of_row(!self.is_ignored, weight);
        Ok(MeasuredLoss { of: self, row, measured, sum_of_targets, of_row })
    }

    /// Σ q·nll, in which 0·∞ is 0.
    fn loss_of_row(&self, measured: Measured) -> f64 {
        let own = self.of_label.filter(|label| label.target != 0.0);
        match measured.kind {
            _ if self.is_ignored => 0.0,
            Kind::Undefined => f64::NAN,
            Kind::Empty => {
                let costs = own.is_some() || self.has_targets;
                of_empty(&self.loss, if costs { f64::INFINITY } else { 0.0 })
            }
            Kind::Regular => {
                let of_label = own.map_or(0.0, |label| label.target * -self.log_probability(measured, label));
                of_label + self.costs.join().value()
            }
        }
    }

    /// The log-probability of the label's class.
    fn log_probability(&self, measured: Measured, label: OfLabel<T>) -> f64 {
        match measured.kind {
            Kind::Empty => of_empty(&self.loss, f64::NEG_INFINITY),
            _ if !label.takes_part => f64::NEG_INFINITY,
            Kind::Undefined => f64::NAN,
            Kind::Regular => 0.0 - measured.nll(label.logit),
        }
    }

    /// Whether the row's logits have distances that are wanted.
    fn adds_distances(&self, measured: Measured) -> bool {
        self.loss.wanted.entropy && measured.kind == Kind::Regular
    }

    /// Whether classes beside the label have targets.
    fn has_other_targets(&self) -> bool {
        let is_soft = matches!(self.loss.targets, Targets::Probabilities(_));
        !self.is_ignored && (is_soft || self.loss.smoothing > 0.0)
    }

    /// The targets of a part of a piece that are no label's; none where all are 0.
    fn targets_of_part<'m>(
        &self,
        piece: &FittedPiece<'_>,
        range: Range<usize>,
        participation: Participation<'_>,
        classes: usize,
        memory: &'m mut Vec<f64>,
    ) -> &'m [f64] {
        if !self.has_other_targets() {
            return &[];
        }
        let q = reused(memory, range.len());
        let (rest, spread) = (1.0 - self.loss.smoothing, self.loss.smoothing / classes as f64);
        let is_soft = matches!(self.loss.targets, Targets::Probabilities(_));
        if is_soft {
            piece.operand_of_part(self.instructions, range.clone(), participation, q);
        }
        for (class, q) in range.zip(q.iter_mut()) {
            let weight = piece.class_weight(class);
            *q = if is_soft { weight * (rest * *q + spread) } else { weight * spread };
        }
        participation.fill_masked(0.0, q);
        q
    }

    /// Adds what is known only once the maximum is.
    fn add_again(&mut self, piece: &FittedPiece<'_>, first: usize, measured: Measured, classes: usize) {
        let instructions = self.instructions;
        let adds_distances = self.adds_distances(measured);
        let (mut memory, mut of_targets) = (PartMemory::default(), Vec::new());
        for start in (0..piece.len()).step_by(LOGITS_PER_PIECE) {
            let range = start..piece.len().min(start + LOGITS_PER_PIECE);
            let lane = (first + start) % LANES;
            let row = piece.part(instructions, range.clone(), &mut memory);
            let q = self.targets_of_part(piece, range, row.participation, classes, &mut of_targets);
            self.has_targets |= q.iter().any(|&q| q != 0.0);
            instructions.run(AddTargets { q, lane, sums: &mut self.targets });
            if measured.kind == Kind::Regular {
                let logits = row.logits;
                instructions.run(AddLosses { logits, measured, q, lane, sums: &mut self.costs });
            }
            if adds_distances {
                let (logits, sums) = (row.logits, &mut self.distances);
                instructions.run(AddDistances { logits, measured, lane, sums });
            }
        }
    }
}

/// The most probable class of a piece, the first of whose classes is `first`.
fn likeliest_of_piece<T: Real>(
    instructions: InstructionSet,
    piece: &FittedPiece<'_>,
    first: usize,
) -> Likeliest<T> {
    let parts = piece.len().div_ceil(LOGITS_PER_PIECE);
    let of_parts = threads::map_with(parts, &|memory: &mut PartMemory<T>, task| {
        let start = task * LOGITS_PER_PIECE;
        let range = start..piece.len().min(start + LOGITS_PER_PIECE);
        let row = piece.part(instructions, range, memory);
        Likeliest::of(row.logits, row.participation, first + start)
    });
    of_parts.into_iter().fold(Likeliest::OF_NONE, Likeliest::join)
}

/// What one part leaves to the next to use.
#[derive(Default)]
struct Memory<T> {
    part: PartMemory<T>,
    values: Vec<T>,
    q: Vec<f64>,
}

impl<T: Real> MeasuredLoss<'_, T> {
    /// The loss, and of what else is wanted all but the gradient.
    pub fn losses<R: Element>(&self) -> Losses<R> {
        let OfRow { loss: value, log_sum_exp, label_log_probability, entropy } = self.of_row;
        let loss = &self.of.loss;
        let z_loss = loss.has_z_loss().then(|| loss.z_loss_of(0, log_sum_exp));
        let before = loss.before();
        let sums = if loss.is_reduced() { before.plus(value, z_loss) } else { before };
        let of_row = |wanted: bool, value: f64| wanted.then(|| vec![narrow(value)]);
        let mut losses = Losses {
            losses: vec![narrow(value + z_loss.unwrap_or(0.0))],
            counted: 0,
            sums,
            gradient: None,
            label_log_probabilities: of_row(loss.wanted.label_log_probabilities, label_log_probability),
            log_sum_exp: of_row(loss.wanted.log_sum_exp, log_sum_exp),
            entropy: of_row(loss.wanted.entropy, entropy),
            argmax: loss.wanted.argmax.then(|| vec![self.of.likeliest.class()]),
        };
        losses.counted = loss.conclude(sums, &mut losses.memory()).counted;
        losses
    }

    /// The same row, measured for its log-softmax.
    pub fn row(&self) -> &MeasuredRow<T> {
        &self.row
    }

    /// The gradient by some logits, the first of which is that of class `first`, of the loss as it is reduced. Any pieces
    /// will do, in any order, with the targets, the weights and the adjustment that they were measured with.
    ///
    /// # Errors
    /// As [`MeasuredRow::results`].
    pub fn gradient<'p, R: Element>(
        &self,
        first: usize,
        piece: impl Into<Piece<'p>>,
        result: &mut [R],
    ) -> Result<()> {
        let piece = piece.into().fitted_for_loss(&self.of.loss, first)?;
        self.row.check(first, piece.len(), result.len())?;
        let instructions = self.of.instructions;
        threads::for_each_piece_with(result, LOGITS_PER_PIECE, &|memory: &mut Memory<T>, task, result| {
            let start = task * LOGITS_PER_PIECE;
            let Memory { part, values, q } = memory;
            let values = reused(values, result.len());
            self.gradient_of_part(&piece, start..start + result.len(), first, (part, q), values);
            store_all(instructions, values, result);
        });
        Ok(())
    }

    fn gradient_of_part(
        &self,
        piece: &FittedPiece<'_>,
        range: Range<usize>,
        first: usize,
        (memory, q): (&mut PartMemory<T>, &mut Vec<f64>),
        values: &mut [T],
    ) {
        let MeasuredLoss { of, row, measured, sum_of_targets, .. } = self;
        let start = range.start;
        let part = piece.part(of.instructions, range.clone(), memory);
        match measured.kind {
            _ if of.is_ignored => return values.fill(T::ZERO),
            Kind::Undefined => values.fill(T::NAN),
            Kind::Empty => return values.fill(T::narrow(of_empty(&of.loss, 0.0))),
            Kind::Regular => {
                let q = of.targets_of_part(piece, range, part.participation, row.classes(), q);
                let formula = Formula::new(&of.loss, measured, *sum_of_targets, piece.temperature());
                let label = of.label.and_then(|label| label.checked_sub(first + start));
                let likely = match measured.has_likely_class() {
                    true => position_of(T::narrow(measured.maximum), part.logits),
                    false => None,
                };
                let (logits, classes) = (part.logits, values.len());
                of.instructions.run(Gradient { formula: &formula, logits, q, classes, gradient: values });
                for class in [label, likely].into_iter().flatten() {
                    let own = of.of_label.filter(|_| Some(class) == label).map_or(0.0, |label| label.target);
                    let target = q.get(class).copied().unwrap_or(0.0) + own;
                    if let (Some(place), Some(&x)) = (values.get_mut(class), part.logits.get(class)) {
                        *place = T::narrow(formula.exactly(measured.nll(x), target));
                    }
                }
            }
        }
        part.participation.fill_masked(T::ZERO, values);
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::super::tests::logits;
    use super::*;
    use crate::{Adjustment, Cpu, FullyMasked, Options, Reduction, Request};

    /// A row's loss with everything that may be given with it, each part of it or not.
    #[derive(Clone, Default)]
    struct Given<X> {
        logits: Vec<X>,
        label: Option<[i64; 1]>,
        /// Used where there is no label.
        targets: Vec<f32>,
        weights: Option<Vec<f32>>,
        smoothing: f64,
        z_loss: f64,
        reduction: Reduction,
        mask: Option<Vec<bool>>,
        length: Option<[u64; 1]>,
        causal: Option<(i64, u64)>,
        temperature: Option<f64>,
        /// Whether entropy and most probable class are wanted.
        distribution: bool,
        options: Options,
    }

    /// The classes of a row in pieces of so many.
    fn pieces_of(classes: usize, length: usize) -> Vec<Range<usize>> {
        (0..classes).step_by(length).map(|first| first..classes.min(first + length)).collect()
    }

    /// What comes of it.
    #[derive(Debug)]
    struct Answer {
        /// Loss, its sums, log-sum-exp, the label's log-probability, entropy and most probable class, as bits.
        values: Vec<u64>,
        gradient: Vec<u64>,
        log_probabilities: Vec<u64>,
    }

    fn bits<R: Element>(values: &[R]) -> Vec<u64> {
        values.iter().map(|x| x.computed().widen().to_bits()).collect()
    }

    impl<X: Element> Given<X> {
        fn adjustment(&self, classes: Range<usize>, shape: &'static [usize; 1]) -> Adjustment<'_> {
            let mut adjustment = Adjustment::default();
            if let Some(temperature) = self.temperature {
                adjustment = adjustment.temperature(temperature);
            }
            if let Some(mask) = &self.mask {
                adjustment = adjustment.mask(&mask[classes], shape);
            }
            if let Some((offset, window)) = self.causal {
                adjustment = adjustment.sliding_window(offset, window);
            }
            match &self.length {
                Some(length) => adjustment.lengths(length),
                None => adjustment,
            }
        }

        fn settled<'a>(&'a self, loss: CrossEntropy<'a>) -> CrossEntropy<'a> {
            let loss = loss.label_smoothing(self.smoothing).z_loss(self.z_loss).reduction(self.reduction);
            let mut loss = loss.options(self.options).with_log_sum_exp();
            if self.distribution {
                loss = loss.with_entropy().with_argmax();
            }
            match self.label {
                Some(_) => loss.ignore_index(-100).with_label_log_probabilities(),
                None => loss,
            }
        }

        fn values<R: Element>(losses: &Losses<R>) -> Vec<u64> {
            let Losses { losses: of_row, log_sum_exp, label_log_probabilities, entropy, .. } = losses;
            let more = [log_sum_exp, label_log_probabilities, entropy].into_iter().flatten();
            let more = of_row.iter().chain(more.flatten()).map(|x| x.widen().to_bits());
            let classes = losses.argmax.iter().flatten().copied();
            more.chain(classes).chain(losses.sums.to_bits()).chain([losses.counted]).collect()
        }

        fn whole<R: Element>(&self, with_gradient: bool) -> Answer {
            let classes = [1, self.logits.len()];
            let shape: &'static [usize; 1] = Box::leak(Box::new([classes[1]]));
            let adjustment = self.adjustment(0..classes[1], shape);
            let targets: Targets<'_> = match &self.label {
                Some(label) => label.into(),
                None => crate::Elements::from(&self.targets).into(),
            };
            let mut loss = self.settled(CrossEntropy::new(&self.logits, &classes, 1, targets));
            if let Some(weights) = &self.weights {
                loss = loss.class_weights(weights);
            }
            loss = loss.adjustment(adjustment);
            if with_gradient {
                loss = loss.with_gradient();
            }
            let losses = Cpu::new().cross_entropy::<R>(&loss).unwrap();
            let request = Request::new(Op::LogSoftmax, &self.logits, &classes, 1);
            let request = request.adjustment(adjustment).options(self.options);
            Answer {
                values: Self::values(&losses),
                gradient: losses.gradient.as_deref().map(bits).unwrap_or_default(),
                log_probabilities: bits(&Cpu::new().answer::<R>(&request).unwrap()),
            }
        }

        /// The same, measured in the first pieces and finished in the others.
        fn in_pieces<T: Real + Element, R: Element>(
            &self,
            [measured, finished]: [&[Range<usize>]; 2],
            reads: &mut usize,
        ) -> Answer {
            let none: [f32; 0] = [];
            let piece = |range: &Range<usize>| {
                let range = range.clone();
                let shape: &'static [usize; 1] = Box::leak(Box::new([range.len()]));
                let adjustment = self.adjustment(range.clone(), shape);
                let plain = Piece::new(&self.logits[range.clone()]).adjustment(adjustment);
                let mut piece = plain.clone();
                if let Some(weights) = &self.weights {
                    piece = piece.class_weights(&weights[range.clone()]);
                }
                if self.label.is_none() {
                    piece = piece.operand(&self.targets[range]);
                }
                (plain, piece)
            };
            let targets: Targets<'_> = match &self.label {
                Some(label) => label.into(),
                None => crate::Elements::from(&none).into(),
            };
            let loss = self.settled(CrossEntropy::new(&none, &[1, 0], 1, targets));
            let row = LossInPieces::<T>::new(&loss).unwrap().measured(|row| {
                *reads += 1;
                measured.iter().try_for_each(|range| row.measure(piece(range).1))
            });
            let (row, mut gradient) = (row.unwrap(), vec![R::default(); self.logits.len()]);
            let mut log_probabilities = gradient.clone();
            for range in finished {
                let (plain, piece) = piece(range);
                row.gradient(range.start, piece, &mut gradient[range.clone()]).unwrap();
                row.row().results(range.start, plain, &mut log_probabilities[range.clone()]).unwrap();
            }
            Answer {
                values: Self::values(&row.losses::<R>()),
                gradient: bits(&gradient),
                log_probabilities: bits(&log_probabilities),
            }
        }

        #[track_caller]
        fn is_the_same<T: Real + Element, R: Element>(&self, lengths: [usize; 2]) {
            let [measured, finished] = lengths.map(|length| pieces_of(self.logits.len(), length));
            self.is_the_same_in::<T, R>([&measured, &finished]);
        }

        #[track_caller]
        fn is_the_same_in<T: Real + Element, R: Element>(&self, pieces: [&[Range<usize>]; 2]) {
            for distribution in [true, false] {
                let given = Given { distribution, ..self.clone() };
                let mut reads = 0;
                let result = given.in_pieces::<T, R>(pieces, &mut reads);
                let once = self.label.is_some() && self.smoothing == 0.0 && !distribution;
                assert!(reads == 1 || reads == 2 && !once);
                for with_gradient in [true, false] {
                    let expected = given.whole::<R>(with_gradient);
                    let what = format!("{} {:?} {distribution} {pieces:?}", self.logits.len(), self.label);
                    assert_eq!(result.values, expected.values, "{what}");
                    assert!(result.gradient == expected.gradient || !with_gradient, "gradient of {what}");
                    assert!(result.log_probabilities == expected.log_probabilities, "logarithms of {what}");
                }
            }
        }
    }

    fn given<X: Element>(classes: usize) -> Given<X> {
        // No −∞, which would cost an infinity wherever there is a target.
        let narrow = |x: &f64| X::rounded(X::Computed::narrow(x.max(-40.0)));
        let logits = logits::<f64>(classes).iter().map(narrow).collect();
        let targets = (0..classes).map(|class| ((class * 31) % 17) as f32 / 1000.0).collect();
        Given { logits, targets, label: Some([classes as i64 / 3]), ..Given::default() }
    }

    /// From a plain loss to one with everything.
    fn of_all_kinds<X: Element>(classes: usize) -> Vec<Given<X>> {
        let plain = given::<X>(classes);
        let weights = Some((0..classes).map(|class| (class % 13) as f32 / 7.0).collect());
        let mask = Some((0..classes).map(|class| class % 5 != 2).collect());
        let masked = Given { mask, temperature: Some(1.7), ..plain.clone() };
        vec![
            plain.clone(),
            Given { label: None, ..plain.clone() },
            Given { label: Some([-100]), smoothing: 0.1, ..plain.clone() },
            Given { z_loss: 0.01, reduction: Reduction::None, ..plain.clone() },
            Given { smoothing: 0.1, weights: weights.clone(), z_loss: 0.3, ..plain.clone() },
            Given { weights: weights.clone(), reduction: Reduction::Sum, ..masked.clone() },
            Given { weights: weights.clone(), smoothing: 0.2, z_loss: 0.1, ..masked.clone() },
            Given { weights, label: None, smoothing: 0.2, z_loss: 0.1, ..masked },
        ]
    }

    #[test]
    fn the_same_bits_wherever_it_is_cut() {
        for classes in [1, 2, 65, 4097, 9000, 140_003] {
            for row in of_all_kinds::<f32>(classes) {
                for lengths in [[classes; 2], [1000, 4096], [70_001, 777]] {
                    row.is_the_same::<f32, f32>(lengths);
                }
            }
        }
    }

    #[test]
    fn elements_of_any_types() {
        for row in of_all_kinds::<f16>(9000) {
            row.is_the_same::<f32, f16>([777, 1000]);
        }
        for row in of_all_kinds::<bf16>(9000) {
            row.is_the_same::<f32, bf16>([777, 1000]);
        }
        for row in of_all_kinds::<f64>(9000) {
            row.is_the_same::<f64, f64>([777, 1000]);
        }
    }

    #[test]
    fn special_rows_are_special() {
        for fully_masked in [FullyMasked::Nan, FullyMasked::Zero] {
            let options = Options::default().fully_masked(fully_masked);
            for row in of_all_kinds::<f32>(5000) {
                let mut row = Given { options, ..row };
                let plain = row.logits.clone();
                row.logits.fill(f32::NEG_INFINITY);
                row.is_the_same::<f32, f32>([3000, 999]);
                for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38, 90.0] {
                    for place in [0, 1666, 4999] {
                        row.logits.clone_from(&plain);
                        row.logits[place] = special;
                        row.is_the_same::<f32, f32>([3000, 999]);
                    }
                }
                row.mask = Some(vec![false; 5000]);
                row.is_the_same::<f32, f32>([3000, 999]);
            }
        }
    }

    /// Cuts that no length explains, pieces of nothing among them.
    fn random_pieces(classes: usize, next: &mut impl FnMut() -> usize) -> Vec<Range<usize>> {
        let count = next() % 12;
        let mut cuts: Vec<usize> = (0..count).map(|_| next() % (classes + 1)).chain([0, classes]).collect();
        cuts.sort_unstable();
        cuts.windows(2).map(|ends| ends[0]..ends[1]).collect()
    }

    /// Rows with ties and special values all over, as far as masks and lengths let them be seen.
    fn at_random_cuts<X: Element, T: Real + Element, R: Element>() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        // What a row holds here and there beside a few numbers, many of them the same.
        let special = [f64::NEG_INFINITY, f64::INFINITY, f64::NAN, -0.0, 2.5, 60_000.0];
        for turn in 0..240 {
            let classes = [1, 7, 100, 5000, 9001][turn % 5];
            let mut row = given::<X>(classes);
            let levels = [1, 2, 5, 1000][next() % 4];
            let among = next() % (special.len() + 1);
            let rarity = [3, 50, 5000][next() % 3];
            for x in &mut row.logits {
                let value = match special.get(among) {
                    Some(&value) if next() % rarity == 0 => value,
                    _ => (next() % levels) as f64 / 400.0,
                };
                *x = X::rounded(X::Computed::narrow(value));
            }
            let sparse = [1, 2, 30, 100_000][next() % 4];
            row.mask = (next() % 2 == 0).then(|| (0..classes).map(|_| next() % sparse == 0).collect());
            row.length = (next() % 3 == 0).then(|| [(next() % (classes + 1)) as u64]);
            let reach = || (next() % (classes + 2)) as i64;
            row.causal = (turn % 4 == 1).then(reach).map(|offset| (offset, 1 + classes as u64 / 2));
            row.temperature = (next() % 3 == 0).then_some(0.7);
            row.label = [None, Some([-100]), Some([(next() % classes) as i64])][next() % 3];
            row.smoothing = [0.0, 0.1][next() % 2];
            let fully_masked = [FullyMasked::Nan, FullyMasked::Zero][next() % 2];
            row.options = Options::default().fully_masked(fully_masked);
            let (measured, finished) = (random_pieces(classes, &mut next), random_pieces(classes, &mut next));
            row.is_the_same_in::<T, R>([&measured, &finished]);
        }
    }

    #[test]
    fn ties_and_special_values_at_random_cuts() {
        at_random_cuts::<f32, f32, f32>();
        at_random_cuts::<f64, f64, f64>();
        at_random_cuts::<f16, f32, f16>();
        at_random_cuts::<bf16, f32, bf16>();
        at_random_cuts::<f32, f64, f64>();
    }

    /// The first of equals, the first NaN, and what takes part where nothing else counts; from piece to piece.
    #[test]
    fn the_most_probable_class_is_the_first() {
        let (nan, infinity) = (f32::NAN, f32::INFINITY);
        let none: [f32; 0] = [];
        let cases: [(&[f32], &[bool], u64); 9] = [
            (&[1.0, 3.0, 3.0, 2.0, 3.0], &[true; 5], 1),
            (&[1.0, 3.0, 3.0, 2.0, 3.0], &[true, false, true, true, true], 2),
            (&[1.0, nan, infinity, nan, 0.0], &[true; 5], 1),
            (&[1.0, nan, infinity, nan, 0.0], &[true, false, true, true, true], 3),
            (&[1.0, nan, infinity, infinity, 0.0], &[true, false, true, true, true], 2),
            (&[-0.0, 0.0, 0.0, -0.0, 0.0], &[true; 5], 0),
            (&[-infinity; 5], &[false, false, true, true, true], 2),
            (&[1.0; 5], &[false; 5], 0),
            (&[-infinity, -infinity, -infinity, -3e38, -infinity], &[true; 5], 3),
        ];
        for (logits, mask, expected) in cases {
            for length in 1..=5 {
                let loss = CrossEntropy::new(&none, &[1, 0], 1, &[0i64]).with_argmax();
                let row = LossInPieces::<f32>::new(&loss).unwrap().measured(|row| {
                    logits.chunks(length).zip(mask.chunks(length)).try_for_each(|(logits, mask)| {
                        let shape = [mask.len()];
                        row.measure(Piece::new(logits).adjustment(Adjustment::default().mask(mask, &shape)))
                    })
                });
                assert_eq!(row.unwrap().losses::<f32>().argmax, Some(vec![expected]), "{logits:?} {mask:?}");
            }
        }
    }

    /// What holds them against each other sees another label, weight or target.
    #[test]
    fn wrong_answers_are_seen() {
        for (index, row) in of_all_kinds::<f32>(5000).into_iter().enumerate().filter(|(index, _)| *index != 2)
        {
            let right = row.whole::<f32>(true);
            let mut wrong = row.clone();
            wrong.label = row.label.map(|[label]| [label + 1]);
            wrong.targets[8] += 0.5;
            let [measured, finished] = [999, 777].map(|length| pieces_of(5000, length));
            let result = wrong.in_pieces::<f32, f32>([&measured, &finished], &mut 0);
            assert!(result.values != right.values && result.gradient != right.gradient, "{index}");
            assert_eq!(result.log_probabilities, right.log_probabilities);
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let (none, label, two) = ([0.0f32; 0], [2i64], [1.0f32, 2.0]);
        let of = |label| CrossEntropy::new(&none, &[1, 0], 1, label);
        let row = LossInPieces::<f32>::new(&of(&label)).unwrap();
        let beyond = row.clone().measured(|row| row.measure(&two)).unwrap_err();
        assert!(matches!(beyond, Error::LabelOutOfRange { label: 2, classes: 2, .. }), "{beyond}");
        let measured = row.clone().measured(|row| row.measure(&two).and(row.measure(&two))).unwrap();
        assert!(measured.gradient(3, &two, &mut [0.0f32; 2]).is_err());
        assert!(measured.gradient(2, &two, &mut [0.0f32; 1]).is_err());
        assert!(row.clone().measure(Piece::new(&two).operand(&two)).is_err());
        assert!(row.clone().measure(Piece::new(&two).class_weights(&two[1..])).is_err());
        assert!(LossInPieces::<f32>::new(&of(&[-1i64])).is_err());
        assert!(LossInPieces::<f32>::new(&of(&label).label_smoothing(2.0)).is_err());
        assert!(LossInPieces::<f32>::new(&CrossEntropy::new(&two, &[1, 2], 1, &[1i64])).is_err());
        let rows = [0i64, 1];
        assert!(LossInPieces::<f32>::new(&CrossEntropy::new(&none, &[2, 0], 1, &rows)).is_err());
        let soft = CrossEntropy::new(&none, &[1, 0], 1, crate::Elements::from(&none));
        assert!(LossInPieces::<f32>::new(&soft).unwrap().measure(&two).is_err());
    }
}
