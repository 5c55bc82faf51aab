//! Cross-entropy of a row that is never in memory as a whole, to the bits that `loss.rs` has for it.
//!
//! Its statistics and its label's logit come from the first reading. Where classes beside the label have targets, another
//! one adds up what these cost, in the order of the whole row: a lane is one sum, whatever the pieces.

use std::mem;
use std::ops::Range;

use crate::cross_entropy::{ArrangedLoss, narrow};
use crate::tensor::check_length;
use crate::{CrossEntropy, Element, Error, Losses, Op, Result, Targets};

use super::blocks::{Kind, Participation, reused, store_all};
use super::instruction_set::InstructionSet;
use super::lanes::{LANES, LaneSums};
use super::loss::{AddLosses, AddTargets, Formula, Gradient, Measured, of_empty};
use super::piece::{FittedPiece, PartMemory, Piece};
use super::real::Real;
use super::row::LOGITS_PER_PIECE;
use super::row_in_pieces::{MeasuredRow, RowInPieces};
use super::threads;

/// Cross-entropy of a row that is longer than memory, or comes bit by bit, with its gradient.
///
/// Pieces are those of a [`RowInPieces`](crate::RowInPieces), with target probabilities for an operand, and with class
/// weights; they are measured twice where there are target probabilities or label smoothing, otherwise once. Loss and
/// gradient have the bits that [`Cpu`](crate::Cpu) has for the whole row, wherever it was cut.
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
    /// What the first reading has come to, and of how many classes.
    measured: Option<(Measured, usize)>,
    targets: LaneSums<f64>,
    costs: LaneSums<T>,
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
}

impl<'a, T: Real> LossInPieces<'a, T> {
    /// The loss of a row, of which `of_row` says everything but the logits, their adjustment, target probabilities and
    /// class weights, which pieces have: it is a loss over one row of no class yet, whose label counts the row's classes.
    /// A mean is over this row, or over what [`CrossEntropy::mean_over`] says; the losses are added to those of
    /// [`CrossEntropy::added_to`].
    ///
    /// # Errors
    /// Those of [`Cpu::cross_entropy`](crate::Cpu::cross_entropy); [`Error::LengthMismatch`] for another number of rows, or
    /// for logits; [`Error::OperandUnused`] where the entropy or the most probable class is wanted.
    pub fn new(of_row: &CrossEntropy<'a>) -> Result<Self> {
        let loss = of_row.fitted()?;
        check_length("the rows of a loss in pieces", 1, loss.arrangement.rows.count())?;
        check_length("the logits of a row that comes in pieces", 0, loss.arrangement.rows.classes())?;
        if loss.wanted.entropy || loss.wanted.argmax {
            let given = "the entropy or the most probable class of a row in pieces";
            return Err(Error::OperandUnused { op: Op::CrossEntropy, given });
        }
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
            measured: None,
            targets: LaneSums::new(),
            costs: LaneSums::new(),
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
            self.add_targets(&piece, first, measured, classes);
            return Ok(());
        }
        self.row.take(&piece);
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
        if self.has_other_targets() && measured.kind != Kind::Undefined {
            read(&mut self)?;
            check_length("the second reading of a row", classes as u64, self.row.seen() as u64)?;
        }
        let of_label = self.of_label.map_or(0.0, |label| label.target);
        let sum_of_targets = self.targets.join().value() + of_label;
        let of_row = OfRow {
            loss: self.loss_of_row(measured),
            log_sum_exp: measured.log_sum_exp(),
            label_log_probability: self.of_label.map_or(0.0, |label| self.log_probability(measured, label)),
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

    fn add_targets(&mut self, piece: &FittedPiece<'_>, first: usize, measured: Measured, classes: usize) {
        let instructions = self.instructions;
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
        }
    }
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
        let (loss, OfRow { loss: value, log_sum_exp, label_log_probability }) = (&self.of.loss, self.of_row);
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
            entropy: None,
            argmax: None,
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
        threads::for_each_piece_with(result, LOGITS_PER_PIECE, |memory: &mut Memory<T>, task, result| {
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
                let is_likely = |x: &T| x.widen() == measured.maximum;
                let likely = match measured.has_likely_class() {
                    true => part.logits.iter().position(is_likely),
                    false => None,
                };
                values.copy_from_slice(part.logits);
                of.instructions.run(Gradient { formula: &formula, logits: values, q });
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
        temperature: Option<f64>,
        options: Options,
    }

    /// What comes of it.
    #[derive(Debug)]
    struct Answer {
        /// Loss, its sums, log-sum-exp and the label's log-probability, as bits.
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
            match &self.mask {
                Some(mask) => adjustment.mask(&mask[classes], shape),
                None => adjustment,
            }
        }

        fn settled<'a>(&'a self, loss: CrossEntropy<'a>) -> CrossEntropy<'a> {
            let loss = loss.label_smoothing(self.smoothing).z_loss(self.z_loss).reduction(self.reduction);
            let loss = loss.options(self.options).with_log_sum_exp();
            match self.label {
                Some(_) => loss.ignore_index(-100).with_label_log_probabilities(),
                None => loss,
            }
        }

        fn values<R: Element>(losses: &Losses<R>) -> Vec<u64> {
            let more =
                [Some(&losses.losses), losses.log_sum_exp.as_ref(), losses.label_log_probabilities.as_ref()];
            let more = more.into_iter().flatten().flatten().map(|x| x.widen().to_bits());
            more.chain(losses.sums.to_bits()).chain([losses.counted]).collect()
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

        fn in_pieces<T: Real + Element, R: Element>(&self, lengths: [usize; 2], reads: &mut usize) -> Answer {
            let none: [f32; 0] = [];
            let piece = |first: usize, length: usize| {
                let range = first..self.logits.len().min(first + length);
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
            let classes = self.logits.len();
            let [measured, finished] = lengths;
            let row = LossInPieces::<T>::new(&loss).unwrap().measured(|row| {
                *reads += 1;
                (0..classes).step_by(measured).try_for_each(|first| row.measure(piece(first, measured).1))
            });
            let (row, mut gradient) = (row.unwrap(), vec![R::default(); classes]);
            let mut log_probabilities = gradient.clone();
            for first in (0..classes).step_by(finished) {
                let range = first..classes.min(first + finished);
                let (plain, piece) = piece(first, finished);
                row.gradient(first, piece, &mut gradient[range.clone()]).unwrap();
                row.row().results(first, plain, &mut log_probabilities[range]).unwrap();
            }
            Answer {
                values: Self::values(&row.losses::<R>()),
                gradient: bits(&gradient),
                log_probabilities: bits(&log_probabilities),
            }
        }

        #[track_caller]
        fn is_the_same<T: Real + Element, R: Element>(&self, lengths: [usize; 2]) {
            let mut reads = 0;
            let result = self.in_pieces::<T, R>(lengths, &mut reads);
            let plain = self.label.is_some() && self.smoothing == 0.0;
            assert!(reads == 1 || reads == 2 && !plain);
            for with_gradient in [true, false] {
                let expected = self.whole::<R>(with_gradient);
                let what = format!("{} {:?} {lengths:?}", self.logits.len(), self.label);
                assert_eq!(result.values, expected.values, "{what}");
                assert!(result.gradient == expected.gradient || !with_gradient, "gradient of {what}");
                assert!(result.log_probabilities == expected.log_probabilities, "logarithms of {what}");
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

    /// What holds them against each other sees another label, weight or target.
    #[test]
    fn wrong_answers_are_seen() {
        for (index, row) in of_all_kinds::<f32>(5000).into_iter().enumerate().filter(|(index, _)| *index != 2)
        {
            let right = row.whole::<f32>(true);
            let mut wrong = row.clone();
            wrong.label = row.label.map(|[label]| [label + 1]);
            wrong.targets[8] += 0.5;
            let result = wrong.in_pieces::<f32, f32>([999, 777], &mut 0);
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
        assert!(LossInPieces::<f32>::new(&of(&label).with_entropy()).is_err());
        assert!(LossInPieces::<f32>::new(&of(&label).label_smoothing(2.0)).is_err());
        assert!(LossInPieces::<f32>::new(&CrossEntropy::new(&two, &[1, 2], 1, &[1i64])).is_err());
        let rows = [0i64, 1];
        assert!(LossInPieces::<f32>::new(&CrossEntropy::new(&none, &[2, 0], 1, &rows)).is_err());
        let soft = CrossEntropy::new(&none, &[1, 0], 1, crate::Elements::from(&none));
        assert!(LossInPieces::<f32>::new(&soft).unwrap().measure(&two).is_err());
    }
}
