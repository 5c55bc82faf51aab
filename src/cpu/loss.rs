//! Cross-entropy: of each row what is wanted of it, and the gradient.
//!
//! Everything comes from the row's statistics: nll_c = (maximum − z_c) + log Σ exp(z − maximum), which has its
//! digits where L − z would cancel. So has the gradient: where p of a class is more than a half, p·Σq − q is
//! Σq·expm1(−nll) + (Σq − q). At most one class of a row is of that kind, so that it is set right afterwards.

use std::ops::Range;

use half::{bf16, f16};

use crate::cross_entropy::{ArrangedLoss, LABELS_AT_ONCE, LossPlaces, LossSums, RowPlaces, narrow};
use crate::one_call::widest;
use crate::{Dtype, Element, ElementsMut, FullyMasked, Targets};

use super::blocks::{Block, Kind, Layout, Participation, Place, Written, reused};
use super::exponential::Anchors;
use super::instruction_set::{InstructionSet, Machine};
use super::lanes::{LANES, LaneSums, chunk_of};
use super::real::Real;
use super::shared_result::SharedResult;
use super::statistics::{MeasuredRows, ROWS_AT_ONCE, Statistics};
use super::vectors::Vector;
use super::{for_each_logarithm, instruction_set, threads};

/// Classes of one row whose gradient is worth a task of its own.
const CLASSES_PER_PIECE: usize = 1 << 16;

// Or labels would be missed where logarithms come with more rows.
const _: () = assert!(ROWS_AT_ONCE <= LABELS_AT_ONCE);

/// Blocks that each thread gets before their losses are added up, where they are reduced: so that what waits for that
/// does not grow with the rows.
const BLOCKS_PER_ROUND: usize = 16;

/// What is wanted of each row of a loss whose results are of a type, and its gradient; and what the rows' losses sum to
/// where they are reduced.
///
/// Of a type that is known at run time, so that all of this is compiled once, here, and not for each crate that calls
/// it.
pub(crate) fn compute_loss(loss: &ArrangedLoss<'_>, results: Dtype, places: LossPlaces<'_>) -> LossSums {
    let LossPlaces { gradient, of_rows } = places;
    let places = &SharedPlaces::new(of_rows);
    match (gradient, results) {
        (Some(ElementsMut::F16(gradient)), _) => compute_into::<f16>(loss, Some(gradient), places),
        (Some(ElementsMut::Bf16(gradient)), _) => compute_into::<bf16>(loss, Some(gradient), places),
        (Some(ElementsMut::F32(gradient)), _) => compute_into::<f32>(loss, Some(gradient), places),
        (Some(ElementsMut::F64(gradient)), _) => compute_into::<f64>(loss, Some(gradient), places),
        (None, Dtype::F16) => compute_into::<f16>(loss, None, places),
        (None, Dtype::Bf16) => compute_into::<bf16>(loss, None, places),
        (None, Dtype::F32) => compute_into::<f32>(loss, None, places),
        (None, Dtype::F64) => compute_into::<f64>(loss, None, places),
    }
}

fn compute_into<R: Element>(
    loss: &ArrangedLoss<'_>,
    gradient: Option<&mut [R]>,
    places: &SharedPlaces<'_>,
) -> LossSums {
    match widest(loss.logits, None, R::DTYPE) {
        Dtype::F64 => compute_in::<f64, R>(loss, gradient, places),
        _ => compute_in::<f32, R>(loss, gradient, places),
    }
}

/// Computes a loss in a type.
fn compute_in<T: Real, R: Element>(
    loss: &ArrangedLoss<'_>,
    gradient: Option<&mut [R]>,
    places: &SharedPlaces<'_>,
) -> LossSums {
    let layout = Layout::new(&loss.arrangement);
    let weights = || (0..layout.classes).map(|class| loss.class_weight(class));
    let class_weights = if loss.class_weights.is_some() { weights().collect() } else { Vec::new() };
    let spread = loss.smoothing / layout.classes as f64;
    let mut smoothed = Vec::new();
    if loss.smoothing > 0.0 {
        smoothed = weights().map(|weight| weight * spread).collect();
    }
    let sum_of_smoothed = sum_of_targets(layout.instructions, &smoothed);
    let writes_gradient = gradient.is_some();
    let task = Task { loss, layout, class_weights, spread, smoothed, sum_of_smoothed, writes_gradient };
    let in_place =
        T::elements_of(loss.logits).filter(|_| layout.is_contiguous() && task.needs_logarithms_alone());
    let gradient = gradient.unwrap_or_default();
    let rows_per_block = layout.rows_per_block(layout.classes);
    let blocks = layout.blocks(rows_per_block);
    let blocks_per_round =
        if loss.is_reduced() { BLOCKS_PER_ROUND * threads::count() } else { blocks.max(1) };

    let mut sums = loss.before();
    for first in (0..blocks).step_by(blocks_per_round) {
        let round = first..blocks.min(first + blocks_per_round);
        let of_blocks = layout.map_some_blocks(
            round,
            rows_per_block,
            Written::PerElement,
            &mut *gradient,
            |memory: &mut Memory<T>, rows, place| {
                memory.results.clear();
                match in_place {
                    Some(logits) => task.block_of_labels(&mut memory.results, logits, rows.clone()),
                    None => task.block::<T, R>(memory, rows.clone(), place),
                }
                // SAFETY: no two blocks have a row in common.
                unsafe { task.settle(&mut memory.results, rows.start, places) }
            },
        );
        // In the order of the rows, however they are divided.
        for OfReduction { losses, z_losses } in of_blocks.into_iter().flatten() {
            let mut z_losses = z_losses.into_iter();
            sums = losses.into_iter().fold(sums, |sums, loss| sums.plus(loss, z_losses.next()));
        }
    }
    sums
}

/// What a device finds out of each row of a block. What is not wanted stays empty.
#[derive(Default)]
struct RowResults {
    /// Σ q·nll, 0 for an ignored row.
    losses: Vec<f64>,
    /// Wanted, or needed for the z-loss.
    log_sum_exp: Vec<f64>,
    label_log_probabilities: Vec<f64>,
    entropy: Vec<f64>,
    argmax: Vec<u64>,
}

impl RowResults {
    /// Forgets the rows, and keeps the memory.
    fn clear(&mut self) {
        let RowResults { losses, log_sum_exp, label_log_probabilities, entropy, argmax } = self;
        [losses, log_sum_exp, label_log_probabilities, entropy].into_iter().for_each(Vec::clear);
        argmax.clear();
    }
}

/// The losses of a block's rows where they are reduced.
struct OfReduction {
    losses: Vec<f64>,
    /// Empty where there is no z-loss.
    z_losses: Vec<f64>,
}

/// Where the values of rows belong, for blocks that are computed at the same time.
struct SharedPlaces<'m> {
    losses: SharedValues<'m>,
    log_sum_exp: SharedValues<'m>,
    label_log_probabilities: SharedValues<'m>,
    entropy: SharedValues<'m>,
    argmax: SharedResult<'m, u64>,
}

/// A value of each row, in a type that is computed in; of no row where it is not wanted.
enum SharedValues<'m> {
    F32(SharedResult<'m, f32>),
    F64(SharedResult<'m, f64>),
}

impl<'m> SharedPlaces<'m> {
    fn new(places: RowPlaces<'m>) -> Self {
        let RowPlaces { losses, log_sum_exp, label_log_probabilities, entropy, argmax } = places;
        SharedPlaces {
            losses: SharedValues::new(losses),
            log_sum_exp: SharedValues::new(log_sum_exp),
            label_log_probabilities: SharedValues::new(label_log_probabilities),
            entropy: SharedValues::new(entropy),
            argmax: SharedResult::new(argmax),
        }
    }
}

impl<'m> SharedValues<'m> {
    fn new(places: ElementsMut<'m>) -> Self {
        match places {
            ElementsMut::F32(places) => SharedValues::F32(SharedResult::new(places)),
            ElementsMut::F64(places) => SharedValues::F64(SharedResult::new(places)),
            // Values of rows are of a type that is computed in.
            ElementsMut::F16(_) | ElementsMut::Bf16(_) => SharedValues::F32(SharedResult::new(&mut [])),
        }
    }

    /// Puts the values of some rows in their places, if there are any.
    ///
    /// # Safety
    /// No other thread writes those of the same rows meanwhile.
    unsafe fn put(&self, first: usize, values: &[f64]) {
        fn narrowed<C: Real>(values: &[f64], places: &mut [C]) {
            places.iter_mut().zip(values).for_each(|(place, &value)| *place = narrow(value));
        }
        match self {
            // SAFETY: as this function's contract says.
            SharedValues::F32(places) => narrowed(values, unsafe { places.part(first, values.len()) }),
            // SAFETY: as above.
            SharedValues::F64(places) => narrowed(values, unsafe { places.part(first, values.len()) }),
        }
    }
}

/// A loss on its way.
struct Task<'a> {
    loss: &'a ArrangedLoss<'a>,
    layout: Layout<'a>,
    /// Empty where all are 1.
    class_weights: Vec<f64>,
    /// ε / C.
    spread: f64,
    /// Each class's weight times that; empty where nothing is smoothed.
    smoothed: Vec<f64>,
    sum_of_smoothed: f64,
    writes_gradient: bool,
}

/// What one block leaves to the next to use.
#[derive(Default)]
struct Memory<T> {
    block: (Vec<T>, Vec<bool>),
    measured: Vec<Measured>,
    gradient: Vec<T>,
    targets: Vec<f64>,
    q: Vec<f64>,
    results: RowResults,
}

/// A row of logits and what its statistics say.
#[derive(Clone, Copy)]
struct Row<'a, T> {
    logits: &'a [T],
    participation: Participation<'a>,
    measured: Measured,
}

/// What a row's statistics say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) maximum: f64,
    /// Σ exp(z − maximum), and its logarithm.
    pub(super) sum: f64,
    log_sum: f64,
    pub(super) kind: Kind,
}

impl Measured {
    pub(super) fn new<T: Real>(statistics: &Statistics) -> Self {
        Measured::with(statistics.maximum(), statistics.sum(), statistics.log_sum::<T>())
    }

    /// One of several rows, given the logarithm of its sum, which is NaN where there is a NaN.
    fn of_rows<T: Real>(rows: &MeasuredRows<T>, row: usize, log_sum: f64) -> Self {
        Measured::with(rows.maxima()[row].widen(), rows.sum(row), log_sum)
    }

    fn with(maximum: f64, sum: f64, log_sum: f64) -> Self {
        let maximum = if log_sum.is_nan() { f64::NAN } else { maximum };
        Measured { maximum, sum, log_sum, kind: Kind::of_maximum(maximum) }
    }

    /// Whether one class has more than half of the probability: the only one at the maximum.
    pub(super) fn has_likely_class(&self) -> bool {
        1.0 / self.sum > 0.5
    }

    /// −log p of a logit of a regular row.
    #[inline(always)]
    pub(super) fn nll<T: Real>(&self, x: T) -> f64 {
        (self.maximum - x.widen()) + self.log_sum
    }

    /// −Σ p·log p, in which 0·∞ is 0, given the sum of all distances of a regular row.
    pub(super) fn entropy<T: Real>(&self, loss: &ArrangedLoss<'_>, distances: &LaneSums<T>) -> f64 {
        match self.kind {
            Kind::Undefined => f64::NAN,
            Kind::Empty => of_empty(loss, 0.0),
            Kind::Regular => self.log_sum + distances.join().value() / self.sum,
        }
    }

    pub(super) fn log_sum_exp(&self) -> f64 {
        if self.kind == Kind::Regular { self.maximum + self.log_sum } else { self.maximum }
    }
}

/// What stands for a row in which nothing takes part.
pub(super) fn of_empty(loss: &ArrangedLoss<'_>, zero: f64) -> f64 {
    match loss.options.fully_masked {
        FullyMasked::Nan => f64::NAN,
        FullyMasked::Zero => zero,
    }
}

/// What a row's probabilities are compared with.
struct RowTargets<'a> {
    /// The label and what it alone adds to the target of its class.
    label: Option<(usize, f64)>,
    /// The other part of the target of each class; empty where there is none.
    q: &'a [f64],
    /// The sum of all of it.
    sum: f64,
}

impl RowTargets<'_> {
    fn of(&self, class: usize) -> f64 {
        let others = self.q.get(class).copied().unwrap_or(0.0);
        self.label.filter(|(label, _)| *label == class).map_or(others, |(_, own)| others + own)
    }
}

impl<T: Real> Row<'_, T> {
    /// The first of the greatest logits that take part, or the first NaN; 0 where none takes part.
    fn argmax(&self) -> u64 {
        let mut logits = self.logits.iter();
        let class = match self.measured.kind {
            Kind::Empty => (0..self.logits.len()).find(|&class| self.participation.takes_part(class)),
            _ if self.measured.maximum.is_nan() => logits.position(|x| x.widen().is_nan()),
            _ => position_of(T::narrow(self.measured.maximum), self.logits),
        };
        class.unwrap_or(0) as u64
    }
}

impl Task<'_> {
    fn block<T: Real, R: Element>(
        &self,
        memory: &mut Memory<T>,
        rows: Range<usize>,
        mut place: Place<'_, R>,
    ) {
        let (loss, wanted, classes) = (self.loss, self.loss.wanted, self.layout.classes);
        let Memory { block, measured, gradient, targets, q, results } = memory;
        let block = Block::new(block, &self.layout, loss.logits, &loss.adjustment, rows.clone());
        let Block { logits, takes_part, .. } = block;
        measured.clear();
        for_each_logarithm(self.layout.instructions, logits, classes, &mut |_, rows, log_sums| {
            let of_rows = log_sums.iter().enumerate();
            measured.extend(of_rows.map(|(row, &log_sum)| Measured::of_rows(rows, row, log_sum)));
        });
        // Where there are no classes.
        measured.resize(rows.len(), Measured::new::<T>(&Statistics::EMPTY));
        let gradient = reused(gradient, if self.writes_gradient { logits.len() } else { 0 });
        let targets = match loss.targets {
            Targets::Labels(_) => &[],
            Targets::Probabilities(elements) => self.layout.elements(elements, rows.clone(), targets),
        };

        for (index, (row_index, &measured)) in rows.zip(&*measured).enumerate() {
            let range = index * classes..(index + 1) * classes;
            let participation = Participation::of(takes_part, range.clone());
            let row = Row { logits: &logits[range.clone()], participation, measured };
            let targets = self.row_targets(participation, row_index, targets.get(range.clone()), q);
            results.losses.push(targets.as_ref().map_or(0.0, |targets| self.row_loss(&row, targets)));
            if wanted.log_sum_exp || loss.z_loss != 0.0 {
                results.log_sum_exp.push(measured.log_sum_exp());
            }
            if wanted.label_log_probabilities {
                let label = targets.as_ref().and_then(|targets| targets.label);
                let log = label.map_or(0.0, |(label, _)| self.log_probability(&row, label));
                results.label_log_probabilities.push(log);
            }
            if wanted.entropy {
                results.entropy.push(self.entropy(&row));
            }
            if wanted.argmax {
                results.argmax.push(row.argmax());
            }
            if self.writes_gradient {
                let (logits, gradient) = (&logits[range.start..], &mut gradient[range.start..]);
                match targets {
                    Some(targets) => self.gradient(&row, &targets, row_index, logits, gradient),
                    None => gradient[..classes].fill(T::ZERO),
                }
            }
        }
        if self.writes_gradient {
            place.write(gradient);
        }
    }

    /// Puts the values of a block's rows in their places, from row `first` on; and hands out the losses where they are
    /// reduced.
    ///
    /// # Safety
    /// No other thread writes those of the same rows meanwhile.
    unsafe fn settle(
        &self,
        results: &mut RowResults,
        first: usize,
        places: &SharedPlaces<'_>,
    ) -> Option<OfReduction> {
        let RowResults { losses, log_sum_exp, label_log_probabilities, entropy, argmax } = results;
        // SAFETY: as this function's contract says, five times.
        unsafe {
            places.log_sum_exp.put(first, log_sum_exp);
            places.label_log_probabilities.put(first, label_log_probabilities);
            places.entropy.put(first, entropy);
            let classes = places.argmax.part(first, argmax.len());
            classes.iter_mut().zip(&*argmax).for_each(|(place, &class)| *place = class);
        }
        let loss = self.loss;
        if loss.has_z_loss() {
            for (index, value) in log_sum_exp.iter_mut().enumerate() {
                *value = loss.z_loss_of(first + index, *value);
            }
        } else {
            log_sum_exp.clear();
        }
        let z_losses = log_sum_exp;
        if loss.is_reduced() {
            let (losses, z_losses) = (std::mem::take(losses), std::mem::take(z_losses));
            return Some(OfReduction { losses, z_losses });
        }
        losses.iter_mut().zip(&*z_losses).for_each(|(loss, z_loss)| *loss += z_loss);
        // SAFETY: as above.
        unsafe { places.losses.put(first, losses) };
        None
    }

    #[inline(always)]
    fn class_weight(&self, class: usize) -> f64 {
        if self.class_weights.is_empty() {
            1.0
        } else {
            self.class_weights.get(class).copied().unwrap_or(0.0)
        }
    }

    /// Whether all that is wanted of a row follows from its label and its log-sum-exp.
    fn needs_logarithms_alone(&self) -> bool {
        let ArrangedLoss { targets, adjustment, wanted, .. } = self.loss;
        let is_plain =
            matches!(targets, Targets::Labels(_)) && self.smoothed.is_empty() && adjustment.is_none();
        is_plain && self.layout.classes > 0 && !(self.writes_gradient || wanted.entropy || wanted.argmax)
    }

    /// A block of rows of which no more is wanted, where they lie.
    fn block_of_labels<T: Real>(&self, results: &mut RowResults, logits: &[T], rows: Range<usize>) {
        let (loss, classes) = (self.loss, self.layout.classes);
        let Targets::Labels(labels) = loss.targets else { return };
        let logits = logits.get(rows.start * classes..rows.end * classes).unwrap_or_default();
        results.losses.reserve_exact(rows.len());
        let wanted = loss.wanted;
        let unweighted = self.class_weights.is_empty();
        for_each_logarithm(self.layout.instructions, logits, classes, &mut |first, taken, log_sums| {
            let maxima = &taken.maxima()[..log_sums.len()];
            let mut places = [0; LABELS_AT_ONCE];
            let labels = labels.widened(rows.start + first, &mut places);
            let logits = &logits[first * classes..];
            let row = |index: usize| Row {
                logits: &logits[index * classes..][..classes],
                participation: Participation::of(&[], 0..0),
                measured: Measured::of_rows(taken, index, log_sums[index]),
            };
            let label =
                |index: usize| loss.counted(labels[index]).map(|label| (label, self.class_weight(label)));
            // Finite only in a regular row, whose label has a probability: most rows need no more than this.
            let mut nlls = [f64::NAN; LABELS_AT_ONCE];
            let of_rows = maxima.iter().zip(log_sums).zip(labels).zip(logits.chunks(classes));
            for (nll, (((maximum, log_sum), &label), logits)) in nlls.iter_mut().zip(of_rows) {
                if let Some(x) = loss.counted(label).and_then(|label| logits.get(label)) {
                    *nll = (maximum.widen() - x.widen()) + log_sum;
                }
            }
            results.losses.extend(nlls[..maxima.len()].iter().enumerate().map(|(index, &nll)| {
                if unweighted && nll.is_finite() {
                    return nll;
                }
                let Some((label, weight)) = label(index) else { return 0.0 };
                self.row_loss(&row(index), &RowTargets { label: Some((label, weight)), q: &[], sum: weight })
            }));
            let rows = 0..maxima.len();
            if wanted.log_sum_exp || loss.z_loss != 0.0 {
                results.log_sum_exp.extend(rows.clone().map(|index| row(index).measured.log_sum_exp()));
            }
            if wanted.label_log_probabilities {
                results.label_log_probabilities.extend(rows.map(|index| {
                    label(index).map_or(0.0, |(label, _)| self.log_probability(&row(index), label))
                }));
            }
        });
    }

    /// The targets of a row, with memory for them; `None` where it is ignored.
    fn row_targets<'q>(
        &'q self,
        participation: Participation<'_>,
        row_index: usize,
        probabilities: Option<&[f64]>,
        memory: &'q mut Vec<f64>,
    ) -> Option<RowTargets<'q>> {
        let rest = 1.0 - self.loss.smoothing;
        let label = match &self.loss.targets {
            Targets::Labels(labels) => {
                let label = self.loss.label_of(labels, row_index)?;
                Some((label, rest * self.class_weight(label)))
            }
            Targets::Probabilities(_) => None,
        };
        memory.clear();
        if let Some(probabilities) = probabilities {
            let targets = probabilities.iter().enumerate();
            memory.extend(targets.map(|(class, t)| self.class_weight(class) * (rest * t + self.spread)));
        } else if participation.is_masked() {
            memory.extend_from_slice(&self.smoothed);
        }
        participation.fill_masked(0.0, memory);
        let (q, sum) = match memory.is_empty() {
            true => (&self.smoothed, self.sum_of_smoothed),
            false => (&*memory, sum_of_targets(self.layout.instructions, memory)),
        };
        Some(RowTargets { label, q, sum: label.map_or(sum, |(_, own)| sum + own) })
    }

    /// Σ q·nll, in which 0·∞ is 0.
    fn row_loss<T: Real>(&self, row: &Row<'_, T>, targets: &RowTargets<'_>) -> f64 {
        match row.measured.kind {
            Kind::Undefined => f64::NAN,
            Kind::Empty => {
                let costs =
                    targets.label.is_some_and(|(_, own)| own != 0.0) || targets.q.iter().any(|&q| q != 0.0);
                of_empty(self.loss, if costs { f64::INFINITY } else { 0.0 })
            }
            Kind::Regular => {
                let of_label = match targets.label {
                    Some((label, own)) if own != 0.0 => own * -self.log_probability(row, label),
                    _ => 0.0,
                };
                if targets.q.is_empty() {
                    // As with a sum of nothing: never −0.
                    return of_label + 0.0;
                }
                let mut sums = LaneSums::new();
                let Row { logits, measured, .. } = *row;
                let of_others = AddLosses { logits, measured, q: targets.q, lane: 0, sums: &mut sums };
                self.layout.instructions.run(of_others);
                of_label + sums.join().value()
            }
        }
    }

    /// The log-probability of a class.
    fn log_probability<T: Real>(&self, row: &Row<'_, T>, class: usize) -> f64 {
        match row.measured.kind {
            Kind::Empty => of_empty(self.loss, f64::NEG_INFINITY),
            _ if !row.participation.takes_part(class) => f64::NEG_INFINITY,
            Kind::Undefined => f64::NAN,
            Kind::Regular => row.logits.get(class).map_or(f64::NAN, |&x| 0.0 - row.measured.nll(x)),
        }
    }

    fn entropy<T: Real>(&self, row: &Row<'_, T>) -> f64 {
        let Row { logits, measured, .. } = *row;
        let mut sums = LaneSums::new();
        if measured.kind == Kind::Regular {
            self.layout.instructions.run(AddDistances { logits, measured, lane: 0, sums: &mut sums });
        }
        measured.entropy(self.loss, &sums)
    }

    /// The gradient by a row's logits, which begin where `logits` do, to where `gradient` begins. What stands there behind the
    /// row may be overwritten.
    fn gradient<T: Real>(
        &self,
        row: &Row<'_, T>,
        targets: &RowTargets<'_>,
        row_index: usize,
        logits: &[T],
        gradient: &mut [T],
    ) {
        let Row { participation, measured, .. } = *row;
        let classes = row.logits.len();
        match measured.kind {
            Kind::Undefined => gradient[..classes].fill(T::NAN),
            Kind::Empty => return gradient[..classes].fill(T::narrow(of_empty(self.loss, 0.0))),
            Kind::Regular => {
                let temperature = self.loss.adjustment.temperature_of(row_index as u64);
                let formula = &Formula::new(self.loss, &measured, targets.sum, temperature);
                let instructions = self.layout.instructions;
                if classes <= CLASSES_PER_PIECE {
                    instructions.run(Gradient { formula, logits, q: targets.q, classes, gradient });
                } else {
                    threads::map_pieces(&mut gradient[..classes], CLASSES_PER_PIECE, &|piece, gradient| {
                        let first = piece * CLASSES_PER_PIECE;
                        let logits = logits.get(first..).unwrap_or_default();
                        let q = targets.q.get(first..).unwrap_or_default();
                        instructions.run(Gradient { formula, logits, q, classes: gradient.len(), gradient });
                    });
                }
                let label = targets.label.map(|(label, _)| label);
                let likely = measured.has_likely_class().then(|| row.argmax() as usize);
                for class in [label, likely.filter(|_| likely != label)].into_iter().flatten() {
                    if let (Some(place), Some(&x)) = (gradient.get_mut(class), row.logits.get(class)) {
                        *place = T::narrow(formula.exactly(measured.nll(x), targets.of(class)));
                    }
                }
            }
        }
        participation.fill_masked(T::ZERO, gradient);
    }
}

/// Where a number stands first among others.
pub(super) fn position_of<T: Real>(number: T, numbers: &[T]) -> Option<usize> {
    // As many at a time as a vector or a few compare without a branch.
    const AT_ONCE: usize = 64;
    let is_among = |numbers: &[T]| numbers.iter().fold(false, |found, &x| found | (x == number));
    let chunk = numbers.chunks(AT_ONCE).position(is_among)?;
    let place = numbers[chunk * AT_ONCE..].iter().position(|&x| x == number)?;
    Some(chunk * AT_ONCE + place)
}

/// Σ q over a row.
fn sum_of_targets(instructions: InstructionSet, q: &[f64]) -> f64 {
    let mut sums = LaneSums::new();
    instructions.run(AddTargets { q, lane: 0, sums: &mut sums });
    sums.join().value()
}

/// Adds q, the first of which belongs to a lane.
pub(super) struct AddTargets<'a> {
    pub(super) q: &'a [f64],
    pub(super) lane: usize,
    pub(super) sums: &'a mut LaneSums<f64>,
}

impl instruction_set::Task for AddTargets<'_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let AddTargets { q, lane, sums } = self;
        sums.add_pairs(lane, q, q, |q, _| q);
    }
}

/// Adds q·nll of a row or a part of it, of which the first belongs to a lane.
pub(super) struct AddLosses<'a, T> {
    pub(super) logits: &'a [T],
    pub(super) measured: Measured,
    pub(super) q: &'a [f64],
    pub(super) lane: usize,
    pub(super) sums: &'a mut LaneSums<T>,
}

impl<T: Real> instruction_set::Task for AddLosses<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let AddLosses { logits, measured, q, lane, sums } = self;
        sums.add_pairs(lane, logits, q, |x, q| if q == 0.0 { 0.0 } else { q * measured.nll(x) });
    }
}

/// Adds exp(z − maximum)·(maximum − z) of a regular row or a part of it, of which the first belongs to a lane.
pub(super) struct AddDistances<'a, T> {
    pub(super) logits: &'a [T],
    pub(super) measured: Measured,
    pub(super) lane: usize,
    pub(super) sums: &'a mut LaneSums<T>,
}

impl<T: Real> instruction_set::Task for AddDistances<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let AddDistances { logits, measured: Measured { maximum, .. }, lane, sums: total } = self;
        let anchors = Anchors::new(T::Vector::splat(machine, T::narrow(maximum)));
        // By themselves, so that they stay in registers.
        let mut sums = total.clone();
        // What of the first sixteen classes of a row is here, then whole sixteens.
        let begun = if lane == 0 { 0 } else { (LANES - lane).min(logits.len()) };
        let (begun, rest) = logits.split_at(begun);
        let sixteens = rest.chunks(LANES).map(|chunk| (0, chunk));
        for (lane, logits) in std::iter::once((lane, begun)).chain(sixteens) {
            let chunk: T::Vector<M> = chunk_of(machine, logits, logits.len());
            let (filled, terms) = (chunk.numbers(), anchors.exponentials(chunk).numbers());
            // What fills a chunk up is −∞, and adds nothing.
            for index in 0..LANES {
                let product = terms[index].widen() * (maximum - filled[index].widen());
                // Where a term has vanished, the distance may be infinite.
                sums.add((lane + index) % LANES, if terms[index] == T::ZERO { 0.0 } else { product });
            }
        }
        *total = sums;
    }
}

/// How the gradient follows from a row's probabilities and targets:
/// (scale·(p·Σq − q) + of_z_loss·p) / temperature.
pub(super) struct Formula<T> {
    scale: f64,
    of_z_loss: f64,
    sum_of_targets: f64,
    maximum: T,
    sum: f64,
    temperature: f64,
}

impl<T: Real> Formula<T> {
    pub(super) fn new(
        loss: &ArrangedLoss<'_>,
        measured: &Measured,
        sum_of_targets: f64,
        temperature: f64,
    ) -> Self {
        let [scale, z_scale] = loss.scales();
        let (z_loss, log_sum_exp) = (loss.z_loss, measured.maximum + measured.log_sum);
        Formula {
            scale,
            of_z_loss: if z_loss == 0.0 { 0.0 } else { z_scale * 2.0 * z_loss * log_sum_exp },
            sum_of_targets,
            maximum: T::narrow(measured.maximum),
            sum: measured.sum,
            temperature,
        }
    }

    /// For one class, without cancellation.
    pub(super) fn exactly(&self, nll: f64, q: f64) -> f64 {
        let (p, difference);
        if nll < std::f64::consts::LN_2 {
            let less_one = (-nll).exp_m1();
            p = 1.0 + less_one;
            difference = self.sum_of_targets * less_one + (self.sum_of_targets - q);
        } else {
            p = (-nll).exp();
            difference = p * self.sum_of_targets - q;
        }
        (self.scale * difference + self.of_z_loss * p) / self.temperature
    }
}

/// The gradient by the logits of so many classes.
pub(super) struct Gradient<'a, T> {
    pub(super) formula: &'a Formula<T>,
    /// Of the first class, and so on, with what lies behind the last.
    pub(super) logits: &'a [T],
    /// Empty where all targets are 0; otherwise as the logits.
    pub(super) q: &'a [f64],
    pub(super) classes: usize,
    /// What stands behind the last class may be overwritten.
    pub(super) gradient: &'a mut [T],
}

impl<T: Real> instruction_set::Task for Gradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let Gradient { formula, logits, q, classes, gradient } = self;
        let Formula { scale, of_z_loss, sum_of_targets, maximum, sum, temperature } = *formula;
        let of_exponential = (scale * sum_of_targets + of_z_loss) / (sum * temperature);
        let factors = [of_exponential, scale / temperature];
        let anchors = Anchors::new(T::Vector::splat(machine, maximum));
        let whole = classes / LANES * LANES;
        let (places, last_places) = gradient.split_at_mut(whole);
        let (places, _) = places.as_chunks_mut::<LANES>();
        let (chunks, _) = logits.as_chunks::<LANES>();
        if q.is_empty() {
            for (places, chunk) in places.iter_mut().zip(chunks) {
                let terms = anchors.exponentials(T::Vector::load(machine, chunk));
                *places = gradient_of_chunk(terms, &[0.0; LANES], factors);
            }
        } else {
            for ((places, chunk), targets) in places.iter_mut().zip(chunks).zip(q.as_chunks::<LANES>().0) {
                let terms = anchors.exponentials(T::Vector::load(machine, chunk));
                *places = gradient_of_chunk(terms, targets, factors);
            }
        }
        if whole < classes {
            let logits = logits.get(whole..).unwrap_or_default();
            let terms = anchors.exponentials(chunk_of::<T::Vector<M>>(machine, logits, classes - whole));
            let mut targets = [0.0; LANES];
            targets.iter_mut().zip(q.iter().skip(whole)).for_each(|(target, &q)| *target = q);
            let values = gradient_of_chunk(terms, &targets, factors);
            match last_places.first_chunk_mut() {
                Some(places) => *places = values,
                None => last_places.iter_mut().zip(values).for_each(|(place, value)| *place = value),
            }
        }
    }
}

/// The gradient by the logits of a chunk, given their terms, their targets, and what each of the two is multiplied with.
#[inline(always)]
fn gradient_of_chunk<V: Vector>(
    terms: V,
    targets: &[f64; LANES],
    [of_exponential, of_target]: [f64; 2],
) -> [V::Number; LANES] {
    let mut numbers = terms.numbers();
    // Of so many numbers that the compiler makes vectors of them.
    for (number, target) in numbers.iter_mut().zip(targets) {
        *number = V::Number::narrow(number.widen() * of_exponential - target * of_target);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use half::f16;

    use crate::{Adjustment, Axes, Cpu, CrossEntropy, Elements, Losses, Options, Reduction};

    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 59) as f64 / 4.0 - 4.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn answer<R: Element>(loss: &CrossEntropy<'_>) -> Losses<R> {
        Cpu::new().cross_entropy(loss).unwrap()
    }

    fn is_close(values: &[f64], expected: &[f64], tolerance: f64) {
        assert_eq!(values.len(), expected.len());
        for (value, expected) in values.iter().zip(expected) {
            let same = value == expected || value.is_nan() && expected.is_nan();
            assert!(same || (value - expected).abs() <= tolerance, "{value} for {expected}");
        }
    }

    /// Everything at once, along the middle axis of (3, 4, 5), against the formula and finite differences.
    #[test]
    fn smoothing_weights_ignored_rows_masks_temperature_and_z_loss_meet() {
        let shape = [3, 4, 5];
        let logits = numbers(60, 1);
        let labels: Vec<i64> = (0..15).map(|row| if row % 4 == 3 { -100 } else { (row * 7) % 4 }).collect();
        let targets: Vec<f64> = numbers(60, 2).into_iter().map(f64::abs).collect();
        let weights = [0.5, 2.0, 0.0, 1.25];
        let mask: Vec<bool> = (0..20).map(|j| j % 7 != 3).collect();
        let (epsilon, z_loss, temperature) = (0.1, 0.05, 1.5);
        let adjustment = Adjustment::default().mask(&mask, &shape[1..]).temperature(temperature);
        let in_part = |row: usize, class: usize| mask[class * 5 + row % 5];
        let place = |row: usize, class: usize| (row / 5 * 4 + class) * 5 + row % 5;
        let has_masked_label = |row: usize| labels[row] >= 0 && !in_part(row, labels[row] as usize);
        for hard in [true, false] {
            let oracle = |logits: &[f64], reduction| {
                let (mut losses, mut z_losses, mut counted, mut weight) = (Vec::new(), Vec::new(), 0.0, 0.0);
                for row in 0..15 {
                    if hard && labels[row] < 0 {
                        losses.push(0.0);
                        z_losses.push(0.0);
                        continue;
                    }
                    counted += 1.0;
                    weight += if hard { weights[labels[row] as usize] } else { 1.0 };
                    let classes = || (0..4).filter(|&class| in_part(row, class));
                    let z = |class: usize| logits[place(row, class)] / temperature;
                    let log_sum_exp = classes().map(|class| z(class).exp()).sum::<f64>().ln();
                    let q = |class: usize| match hard {
                        true => {
                            let hit = f64::from(labels[row] as usize == class);
                            (1.0 - epsilon) * weights[class] * hit + epsilon / 4.0 * weights[class]
                        }
                        false => {
                            weights[class] * ((1.0 - epsilon) * targets[place(row, class)] + epsilon / 4.0)
                        }
                    };
                    let loss: f64 = classes().map(|class| q(class) * (log_sum_exp - z(class))).sum();
                    let costs_infinity = hard && has_masked_label(row) && weights[labels[row] as usize] > 0.0;
                    losses.push(if costs_infinity { f64::INFINITY } else { loss });
                    z_losses.push(z_loss * log_sum_exp * log_sum_exp);
                }
                let (sum, z_sum): (f64, f64) = (losses.iter().sum(), z_losses.iter().sum());
                match reduction {
                    Reduction::None => losses.iter().zip(z_losses).map(|(loss, z)| loss + z).collect(),
                    Reduction::Sum => vec![sum + z_sum],
                    Reduction::Mean => vec![sum / weight + z_sum / counted],
                }
            };
            for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
                let of = |logits| match hard {
                    true => CrossEntropy::new(logits, &shape, 1, &labels).ignore_index(-100),
                    false => CrossEntropy::new(logits, &shape, 1, Elements::from(&targets)),
                };
                let loss = of(Elements::from(&logits))
                    .class_weights(&weights)
                    .label_smoothing(epsilon)
                    .z_loss(z_loss)
                    .reduction(reduction)
                    .adjustment(adjustment)
                    .with_gradient();
                let answer = answer::<f64>(&loss);
                is_close(&answer.losses, &oracle(&logits, reduction), 1e-13);
                let gradient = answer.gradient.unwrap();
                for row in (0..15).filter(|&row| !hard || !has_masked_label(row)) {
                    for class in 0..4 {
                        // The losses of the other rows may be infinite.
                        let at = |step: f64| {
                            let mut moved = logits.clone();
                            moved[place(row, class)] += step;
                            let single = oracle(&moved, Reduction::None)[row];
                            let [scale, z_scale] = loss.arranged().unwrap().scales();
                            let log_sum_exp = (0..4)
                                .filter(|&class| in_part(row, class))
                                .map(|class| (moved[place(row, class)] / temperature).exp())
                                .sum::<f64>()
                                .ln();
                            let z = if hard && labels[row] < 0 {
                                0.0
                            } else {
                                z_loss * log_sum_exp * log_sum_exp
                            };
                            (single - z) * scale + z * z_scale
                        };
                        let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                        is_close(&[gradient[place(row, class)]], &[difference], 1e-9);
                    }
                }
            }
        }
    }

    #[test]
    fn what_else_is_wanted_comes_from_the_same_rows() {
        let logits: Vec<f16> = [1.0, 2.0, 2.0, f64::NAN, 0.0, 5.0, 0.0, -9.0].map(f16::from_f64).to_vec();
        let mask = [true, true, true, false, true, true, true, true];
        let adjustment = Adjustment::default().mask(&mask, &[2, 4]);
        let loss = CrossEntropy::new(&logits, &[2, 4], 1, &[1u8, 255])
            .ignore_index(255)
            .adjustment(adjustment)
            .with_label_log_probabilities()
            .with_log_sum_exp()
            .with_entropy()
            .with_argmax();
        let answer = answer::<f64>(&loss);
        let sums = [1f64.exp() + 2.0 * 2f64.exp(), 2.0 + 5f64.exp() + (-9f64).exp()];
        let log = 2.0 - sums[0].ln();
        is_close(&answer.losses, &[-log], 1e-15);
        is_close(&answer.label_log_probabilities.unwrap(), &[log, 0.0], 1e-15);
        is_close(&answer.log_sum_exp.unwrap(), &sums.map(f64::ln), 1e-15);
        let mean = |logits: &[f64], sum: f64| logits.iter().map(|x| x * x.exp() / sum).sum::<f64>();
        let entropies = [
            sums[0].ln() - mean(&[1.0, 2.0, 2.0], sums[0]),
            sums[1].ln() - mean(&[0.0, 5.0, 0.0, -9.0], sums[1]),
        ];
        is_close(&answer.entropy.unwrap(), &entropies, 1e-14);
        assert_eq!(answer.argmax.unwrap(), [1, 1]);
        assert_eq!((answer.counted, answer.gradient), (1, None));
    }

    #[test]
    fn ignored_rows_change_nothing_and_special_rows_show() {
        let (nan, infinity) = (f32::NAN, f32::INFINITY);
        let logits = [nan, infinity, 0.0, 0.0, nan, 0.0, infinity, 0.0, -infinity, -infinity, 0.0, -infinity];
        let loss = |labels: &'static [i32; 6], options| {
            let loss = CrossEntropy::new(&logits, &[6, 2], 1, labels).ignore_index(-1).options(options);
            answer::<f32>(&loss.reduction(Reduction::None).with_gradient().with_argmax())
        };
        let nan_answer = loss(&[-1, 0, 0, 0, 0, 1], Options::default());
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let nan = f32::from_bits(0x7fc0_0000);
        let expected = [0.0, 2f32.ln(), nan, nan, nan, infinity];
        assert!(bits(&nan_answer.losses) == bits(&expected), "{:?}", nan_answer.losses);
        let gradient = [0.0, 0.0, -0.5, 0.5, nan, nan, nan, nan, nan, nan, 1.0, -1.0];
        assert!(bits(nan_answer.gradient.as_ref().unwrap()) == bits(&gradient), "{:?}", nan_answer.gradient);
        assert_eq!(nan_answer.argmax.unwrap(), [0, 0, 0, 0, 0, 0]);

        let zero = Options::default().fully_masked(FullyMasked::Zero);
        let zero_answer = loss(&[-1, 0, 0, 0, 0, 0], zero);
        let expected = [0.0, 2f32.ln(), nan, nan, infinity, 0.0];
        assert!(bits(&zero_answer.losses) == bits(&expected), "{:?}", zero_answer.losses);
        let gradient = zero_answer.gradient.unwrap();
        assert!(bits(&gradient[8..]) == bits(&[0.0; 4]), "{gradient:?}");
    }

    #[test]
    fn targets_of_zero_cost_nothing_where_the_logit_is_minus_infinity() {
        let logits = [0.0f64, 0.0, f64::NEG_INFINITY];
        for (targets, expected) in [([0.5f32, 0.5, 0.0], 2f64.ln()), ([0.5, 0.0, 0.5], f64::INFINITY)] {
            let loss = CrossEntropy::new(&logits, &[1, 3], 1, Elements::from(&targets)).with_gradient();
            let answer = answer::<f64>(&loss);
            is_close(&answer.losses, &[expected], 1e-15);
            let gradient = [0, 1, 2].map(|class| [0.5, 0.5, 0.0][class] - f64::from(targets[class]));
            is_close(&answer.gradient.unwrap(), &gradient, 1e-15);
        }
    }

    #[test]
    fn the_gradient_of_a_sure_row_keeps_its_digits() {
        let logits = [0.0f32, -20.0];
        let loss = CrossEntropy::new(&logits, &[1, 2], 1, &[0i32]).with_gradient();
        let answer = answer::<f32>(&loss);
        let other = (-20f64).exp() / (1.0 + (-20f64).exp());
        for (value, expected) in answer.gradient.unwrap().iter().zip([-other, other]) {
            assert!((f64::from(*value) / expected - 1.0).abs() < 5e-7, "{value} for {expected}");
        }
        assert!((f64::from(answer.losses[0]) / (-20f64).exp().ln_1p() - 1.0).abs() < 5e-7);
    }

    #[test]
    fn losses_keep_the_promised_bounds() {
        let u = 2f64.powi(-24);
        for (classes, spread) in [(2, 1.0), (10, 10.0), (1000, 0.1), (1000, 30.0), (9000, 8.0)] {
            let logits: Vec<f32> = numbers(classes, 6).iter().map(|x| (x * spread) as f32).collect();
            let exact: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
            let (logs, p) = (crate::reference::log_softmax(&exact), crate::reference::softmax(&exact));
            for label in 0..classes.min(40) {
                let labels = [label as u32];
                let loss = CrossEntropy::new(&logits, std::slice::from_ref(&classes), 0, &labels);
                let answer = answer::<f32>(&loss.with_gradient().with_entropy());
                let error = f64::from(answer.losses[0]) + logs[label];
                assert!(error.abs() <= 2.0 * u * logs[label].abs().max(1.0), "{error:e} of {}", logs[label]);
                let entropy: f64 = p.iter().zip(&logs).map(|(p, log)| -p * log).sum();
                assert!(
                    (f64::from(answer.entropy.unwrap()[0]) - entropy).abs() <= 8.0 * u * entropy.max(1.0)
                );
                for (class, (value, p)) in answer.gradient.unwrap().iter().zip(&p).enumerate() {
                    let expected = if class == label { logs[class].exp_m1() } else { *p };
                    let error = (f64::from(*value) - expected).abs();
                    assert!(error <= 16.0 * u * expected.abs() + 2f64.powi(-126), "{value} for {expected}");
                }
            }
        }
    }

    #[test]
    fn the_classes_may_lie_on_axes_apart() {
        let logits = numbers(24, 7);
        let labels = [3i64, 0, 5];
        let loss = |logits, shape, axes: Axes| {
            let loss = CrossEntropy::new(logits, shape, axes, &labels).reduction(Reduction::None);
            answer::<f64>(&loss.with_gradient())
        };
        // (2, 3, 4) along the first and the last axis, and the same rows one after the other.
        let place = |row: usize, class: usize| (class / 4 * 3 + row) * 4 + class % 4;
        let rows: Vec<f64> = (0..24).map(|at| logits[place(at / 8, at % 8)]).collect();
        let apart = loss(&logits, &[2, 3, 4], Axes::from([0, 2]));
        let together = loss(&rows, &[3, 8], Axes::from(1));
        assert!(apart.losses == together.losses);
        let (apart, together) = (apart.gradient.unwrap(), together.gradient.unwrap());
        assert!((0..24).all(|at| apart[place(at / 8, at % 8)] == together[at]));
    }

    #[test]
    fn rows_without_classes() {
        let logits: [f32; 0] = [];
        let none = Elements::from(&logits);
        let loss = CrossEntropy::new(&logits, &[2, 0], 1, none).reduction(Reduction::None).with_log_sum_exp();
        let answer = answer::<f32>(&loss.with_gradient().with_argmax());
        assert!(answer.losses.len() == 2 && answer.losses.iter().all(|loss| loss.is_nan()));
        assert_eq!(answer.log_sum_exp.unwrap(), [f32::NEG_INFINITY; 2]);
        assert_eq!((answer.gradient.unwrap().len(), answer.argmax.unwrap()), (0, vec![0, 0]));
    }
}
