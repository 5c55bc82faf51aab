//! Cross-entropy: of each row what is wanted of it, and the gradient.
//!
//! Every nll is the row's own log-softmax, which has its digits where L − z would cancel. So has the gradient:
//! where p of a class is more than a half, p·Σq − q is −Σq·(1 − p) + (Σq − q), with 1 − p = −expm1(log p).

use std::ops::Range;

use crate::cross_entropy::{ArrangedLoss, RowResults};
use crate::one_call::widest;
use crate::{Dtype, Element, FullyMasked, Op, Targets};

use super::blocks::{Block, Kind, Layout, Place, Row, Written};
use super::compensated::CompensatedSum;
use super::compute_rows;
use super::real::Real;

/// What is wanted of each row of a loss, and its gradient.
pub(crate) fn compute_loss<R: Element>(loss: &ArrangedLoss<'_>, gradient: Option<&mut [R]>) -> RowResults<f64> {
    match widest::<R>(loss.logits, None) {
        Dtype::F64 => compute_in::<f64, R>(loss, gradient),
        _ => compute_in::<f32, R>(loss, gradient),
    }
}

fn compute_in<T: Real, R: Element>(loss: &ArrangedLoss<'_>, gradient: Option<&mut [R]>) -> RowResults<f64> {
    let layout = Layout::new(&loss.arrangement);
    let class_weights = (0..layout.classes).map(|class| loss.class_weight(class)).collect();
    let task = Task { loss, layout, class_weights, writes_gradient: gradient.is_some() };
    let blocks = layout.map_blocks(
        layout.rows_per_block(layout.classes),
        Written::PerElement,
        gradient.unwrap_or_default(),
        |rows, place| task.block::<T, R>(rows, place),
    );
    let mut all = RowResults::default();
    for block in blocks {
        all.losses.extend(block.losses);
        all.log_sum_exp.extend(block.log_sum_exp);
        all.label_log_probabilities.extend(block.label_log_probabilities);
        all.entropy.extend(block.entropy);
        all.argmax.extend(block.argmax);
    }
    all
}

/// A loss on its way.
struct Task<'a> {
    loss: &'a ArrangedLoss<'a>,
    layout: Layout<'a>,
    class_weights: Vec<f64>,
    writes_gradient: bool,
}

/// A row with what the row kernels give of it.
struct Measured<'a, T> {
    row: Row<'a, T>,
    logs: &'a [T],
    /// Empty where neither gradient nor entropy is wanted.
    probabilities: &'a mut [T],
    log_sum_exp: f64,
    kind: Kind,
}

/// What a row's probabilities are compared with.
struct RowTargets<'a> {
    /// `None` where there are no labels.
    label: Option<usize>,
    /// The target of each class.
    q: &'a [f64],
    /// Their sum.
    sum: f64,
}

impl Task<'_> {
    fn block<T: Real, R: Element>(&self, rows: Range<usize>, mut place: Place<'_, R>) -> RowResults<f64> {
        let (loss, wanted) = (self.loss, self.loss.wanted);
        let block = Block::<T>::new(&self.layout, loss.logits, &loss.adjustment, rows.clone());
        let mut logs = vec![T::ZERO; block.logits.len()];
        self.row_wise(Op::LogSoftmax, &block, &mut logs);
        let mut probabilities = Vec::new();
        if self.writes_gradient || wanted.entropy {
            probabilities = vec![T::ZERO; block.logits.len()];
            self.row_wise(Op::Softmax, &block, &mut probabilities);
        }
        let mut log_sum_exps = Vec::new();
        if wanted.log_sum_exp || loss.z_loss != 0.0 {
            log_sum_exps = vec![T::NEG_INFINITY; rows.len()];
            self.row_wise(Op::LogSumExp, &block, &mut log_sum_exps);
        }
        let mut targets = Vec::new();
        if let Targets::Probabilities(elements) = loss.targets {
            targets = vec![0.0; block.logits.len()];
            self.layout.gather(elements, rows.clone(), &mut targets);
        }

        let mut results = RowResults::default();
        let mut q = vec![0.0; self.layout.classes];
        for (index, row_index) in rows.enumerate() {
            let (row, range) = (block.row(index), block.range(index));
            let logs = &logs[range.clone()];
            let mut measured = Measured {
                row,
                logs,
                probabilities: probabilities.get_mut(range.clone()).unwrap_or_default(),
                log_sum_exp: log_sum_exps.get(index).map_or(0.0, |value| value.widen()),
                kind: row.kind_by_logs(logs),
            };
            let targets = self.row_targets(row, row_index, targets.get(range), &mut q);
            results.losses.push(targets.as_ref().map_or(0.0, |targets| self.row_loss(&measured, targets)));
            if wanted.label_log_probabilities {
                let label = targets.as_ref().and_then(|targets| targets.label);
                results.label_log_probabilities.push(label.map_or(0.0, |label| self.log(&measured, label)));
            }
            if wanted.entropy {
                results.entropy.push(self.entropy(&measured));
            }
            if wanted.argmax {
                results.argmax.push(argmax(row));
            }
            if self.writes_gradient {
                match targets {
                    Some(targets) => self.gradient(&mut measured, &targets, row_index),
                    None => measured.probabilities.fill(T::ZERO),
                }
            }
        }
        results.log_sum_exp = log_sum_exps.into_iter().map(T::widen).collect();
        if self.writes_gradient {
            place.write(&probabilities);
        }
        results
    }

    fn row_wise<T: Real>(&self, op: Op, block: &Block<T>, result: &mut [T]) {
        if let Some(rows) = block.rows() {
            compute_rows(op, &block.logits, &rows, result, &self.loss.options);
        }
    }

    /// The targets of a row; `None` where it is ignored.
    fn row_targets<'q, T: Real>(
        &self,
        row: Row<'_, T>,
        row_index: usize,
        probabilities: Option<&[f64]>,
        q: &'q mut [f64],
    ) -> Option<RowTargets<'q>> {
        let smoothing = self.loss.smoothing;
        let spread = smoothing / q.len() as f64;
        let label = match &self.loss.targets {
            Targets::Labels(labels) => Some(self.loss.label_of(labels, row_index)?),
            Targets::Probabilities(_) => None,
        };
        for (class, (q, &weight)) in q.iter_mut().zip(&self.class_weights).enumerate() {
            *q = match probabilities.and_then(|probabilities| probabilities.get(class)) {
                _ if !row.takes_part(class) => 0.0,
                Some(t) => weight * ((1.0 - smoothing) * t + spread),
                None if smoothing > 0.0 => weight * spread,
                None => 0.0,
            };
        }
        if let Some(label) = label
            && let (Some(q), Some(weight)) = (q.get_mut(label), self.class_weights.get(label))
        {
            *q += (1.0 - smoothing) * weight;
        }
        let sum = q.iter().fold(CompensatedSum::default(), |sum, &q| sum.plus(q)).value();
        Some(RowTargets { label, q, sum })
    }

    /// What stands for a row in which nothing takes part.
    fn empty(&self, zero: f64) -> f64 {
        match self.loss.options.fully_masked {
            FullyMasked::Nan => f64::NAN,
            FullyMasked::Zero => zero,
        }
    }

    /// Σ q·nll, in which 0·∞ is 0.
    fn row_loss<T: Real>(&self, measured: &Measured<'_, T>, targets: &RowTargets<'_>) -> f64 {
        match measured.kind {
            Kind::Undefined => f64::NAN,
            Kind::Empty => self.empty(f64::INFINITY),
            Kind::Regular => {
                let terms = targets.q.iter().zip(measured.logs).filter(|(q, _)| **q != 0.0);
                let terms = terms.map(|(q, log)| q * -log.widen());
                terms.fold(CompensatedSum::default(), CompensatedSum::plus).value()
            }
        }
    }

    /// The log-probability of a class.
    fn log<T: Real>(&self, measured: &Measured<'_, T>, class: usize) -> f64 {
        if measured.kind == Kind::Undefined && !measured.row.takes_part(class) {
            return f64::NEG_INFINITY;
        }
        measured.logs.get(class).map_or(f64::NAN, |log| log.widen())
    }

    /// −Σ p·log p, in which 0·∞ is 0.
    fn entropy<T: Real>(&self, measured: &Measured<'_, T>) -> f64 {
        match measured.kind {
            Kind::Undefined => f64::NAN,
            Kind::Empty => self.empty(0.0),
            Kind::Regular => {
                let terms = measured.probabilities.iter().zip(measured.logs).filter(|(p, _)| **p > T::ZERO);
                let terms = terms.map(|(p, log)| p.widen() * -log.widen());
                terms.fold(CompensatedSum::default(), CompensatedSum::plus).value()
            }
        }
    }

    /// Turns the row's probabilities into the gradient by its logits.
    fn gradient<T: Real>(&self, measured: &mut Measured<'_, T>, targets: &RowTargets<'_>, row_index: usize) {
        let Measured { row, logs, ref mut probabilities, log_sum_exp, kind } = *measured;
        match kind {
            Kind::Undefined => probabilities.fill(T::NAN),
            Kind::Empty => return probabilities.fill(T::narrow(self.empty(0.0))),
            Kind::Regular => {
                let [scale, z_scale] = self.loss.scales();
                let z_loss = self.loss.z_loss;
                let of_z_loss = if z_loss == 0.0 { 0.0 } else { z_scale * 2.0 * z_loss * log_sum_exp };
                let temperature = self.loss.adjustment.temperature_of(row_index as u64);
                for ((place, log), q) in probabilities.iter_mut().zip(logs).zip(targets.q) {
                    let p = place.widen();
                    let difference = if p > 0.5 {
                        targets.sum * log.widen().exp_m1() + (targets.sum - q)
                    } else {
                        p * targets.sum - q
                    };
                    *place = T::narrow((scale * difference + of_z_loss * p) / temperature);
                }
            }
        }
        row.fill_masked(T::ZERO, probabilities);
    }
}

/// The first of the greatest logits that take part, or the first NaN; 0 where none takes part.
fn argmax<T: Real>(row: Row<'_, T>) -> u64 {
    let mut greatest: Option<(usize, f64)> = None;
    for (class, x) in row.logits.iter().map(|x| x.widen()).enumerate() {
        if !row.takes_part(class) {
            continue;
        }
        if x.is_nan() {
            return class as u64;
        }
        if greatest.is_none_or(|(_, greatest)| x > greatest) {
            greatest = Some((class, x));
        }
    }
    greatest.map_or(0, |(class, _)| class as u64)
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
                        false => weights[class] * ((1.0 - epsilon) * targets[place(row, class)] + epsilon / 4.0),
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
                let complete = |loss: CrossEntropy<'static>| loss;
                let _ = complete;
                let loss = of(Elements::from(&logits))
                    .class_weights(&weights)
                    .label_smoothing(epsilon)
                    .z_loss(z_loss)
                    .reduction(reduction)
                    .adjustment(adjustment)
                    .with_gradient();
                let answer = answer::<f64>(&loss);
                is_close(&answer.losses, &oracle(&logits, reduction), 1e-14);
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
                            let z = if hard && labels[row] < 0 { 0.0 } else { z_loss * log_sum_exp * log_sum_exp };
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
            is_close(&answer.gradient.unwrap(), &[0.5, 0.5, 0.0].map(|p| p).iter().zip(targets).map(|(p, t)| p - f64::from(t)).collect::<Vec<_>>(), 1e-15);
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
