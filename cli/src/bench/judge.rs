//! Whether a result is right, before anybody is told how fast it came: each is held against the textbook in f64.

use rayon::prelude::*;
use wgpu_softmax::{Dtype, Op, reference};

use super::cases::Case;
use super::data::Number;

/// As many elements of a result are judged; of larger ones, rows at even distances.
pub const MOST_JUDGED: usize = 1 << 21;

/// What a result should be, for some of its rows.
#[derive(Debug)]
pub struct Truth {
    case: Case,
    rows: Vec<usize>,
    /// For each element of these rows: what it is, and how far from that it may be.
    expected: Vec<(f64, f64)>,
}

/// How far a result is from the truth.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Errors {
    /// The largest error relative to |truth| for probabilities and Jacobians, to max(|truth|, 1) for logarithms,
    /// losses and products: infinite where a number is missing.
    pub relative: f64,
    pub absolute: f64,
    /// The largest error in units of what is promised.
    pub of_promised: f64,
}

impl Errors {
    /// The larger of both.
    pub fn or(self, other: Errors) -> Errors {
        Errors {
            relative: self.relative.max(other.relative),
            absolute: self.absolute.max(other.absolute),
            of_promised: self.of_promised.max(other.of_promised),
        }
    }

    pub fn are_tolerable(&self) -> bool {
        self.of_promised <= 1.0
    }
}

/// What a case is computed from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T> {
    pub logits: &'a [T],
    /// Of operations that have one.
    pub operand: &'a [T],
    /// Of losses.
    pub labels: &'a [u32],
}

impl Truth {
    /// By the textbook, of at most about `most` elements.
    pub fn of<T: Number>(case: Case, inputs: Inputs<'_, T>, most: usize) -> Truth {
        let (count, classes, width) = (case.batch.rows, case.batch.classes, case.result_width());
        // A row costs at least as much as its logits.
        let judged = count.min(most.div_ceil(width.max(classes)).max(1));
        let rows: Vec<usize> =
            (0..judged).map(|row| (row as u128 * count as u128 / judged as u128) as usize).collect();
        let promised = Promised::of(case.dtype);
        let expected = (rows.par_iter())
            .with_min_len((1 << 12) / width.max(classes) + 1)
            .flat_map_iter(|&row| {
                let of_row = |values: &[T]| -> Vec<f64> {
                    let values = values.get(row * classes..(row + 1) * classes).unwrap_or_default();
                    values.iter().map(|&value| value.value()).collect()
                };
                let label = inputs.labels.get(row).copied();
                expected_of_row(case.op, &of_row(inputs.logits), &of_row(inputs.operand), label, &promised)
            })
            .collect();
        Truth { case, rows, expected }
    }

    /// Rows that are judged.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// How far a result is from it, of which `found` tells any element: NaN for one that is missing.
    pub fn errors(&self, found: impl Fn(usize) -> f64) -> Errors {
        let width = self.case.result_width();
        let relative_to_size = matches!(self.case.op, Op::Softmax | Op::Jacobian | Op::LogSoftmaxJacobian);
        let least = if relative_to_size { 1e-30 } else { 1.0 };
        let mut errors = Errors::default();
        for (&row, expected) in self.rows.iter().zip(self.expected.chunks(width.max(1))) {
            for (column, &(truth, allowed)) in expected.iter().enumerate() {
                let error = (found(row * width + column) - truth).abs();
                let error = if error.is_nan() { f64::INFINITY } else { error };
                errors = errors.or(Errors {
                    relative: error / truth.abs().max(least),
                    absolute: error,
                    of_promised: error / allowed,
                });
            }
        }
        errors
    }
}

/// What the library promises of a type, as its documentation has it.
struct Promised {
    /// Half a unit in the last place of 1, in the type that is computed in.
    unit: f64,
    /// The smallest number that no device flushes.
    least: f64,
    /// Bits of a stored number's significand, and the power of two of its smallest unit.
    stored: Option<(i32, i32)>,
}

impl Promised {
    fn of(dtype: Dtype) -> Promised {
        let unit = 2f64.powi(-24);
        let least = 2f64.powi(-126);
        match dtype {
            Dtype::F16 => Promised { unit, least, stored: Some((11, -24)) },
            Dtype::Bf16 => Promised { unit, least, stored: Some((8, -133)) },
            // The textbook's own error is as large as the one that is judged.
            Dtype::F64 => Promised { unit: 4.0 * 2f64.powi(-53), least: f64::MIN_POSITIVE, stored: None },
            _ => Promised { unit, least, stored: None },
        }
    }

    /// A unit in the last place of a stored number.
    fn of_storing(&self, value: f64) -> f64 {
        match self.stored {
            Some((digits, smallest)) if value != 0.0 => {
                2f64.powi((value.abs().log2().floor() as i32 + 1 - digits).max(smallest))
            }
            Some((_, smallest)) => 2f64.powi(smallest),
            None => 0.0,
        }
    }
}

/// The targets of a row with a label.
pub fn one_hot(classes: usize, label: Option<u32>) -> Vec<f64> {
    let mut targets = vec![0.0; classes];
    if let Some(target) = label.and_then(|label| targets.get_mut(label as usize)) {
        *target = 1.0;
    }
    targets
}

fn expected_of_row(
    op: Op,
    row: &[f64],
    operand: &[f64],
    label: Option<u32>,
    promised: &Promised,
) -> Vec<(f64, f64)> {
    let Promised { unit, least, .. } = *promised;
    let each = |values: Vec<f64>, allowed: &dyn Fn(usize, f64) -> f64| -> Vec<(f64, f64)> {
        let allowed = |place, value| allowed(place, value) + promised.of_storing(value);
        values.into_iter().enumerate().map(|(place, value)| (value, allowed(place, value))).collect()
    };
    let largest = operand.iter().fold(0.0f64, |largest, v| largest.max(v.abs()));
    let total: f64 = operand.iter().map(|v| v.abs()).sum();
    match op {
        Op::LogSoftmax => each(reference::log_softmax(row), &|_, y| 8.0 * unit * y.abs().max(1.0) + least),
        Op::LogSumExp => {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let allowed = |_, y: f64| 4.0 * unit * (max.abs() + y.abs() + (y - max)) + least;
            each(vec![reference::log_sum_exp(row)], &allowed)
        }
        Op::Jacobian => each(reference::jacobian(row), &|_, y| 34.0 * unit * y.abs() + 2.0 * least),
        Op::LogSoftmaxJacobian => {
            each(reference::log_softmax_jacobian(row), &|_, y| 40.0 * unit * y.abs() + 2.0 * least)
        }
        Op::Vjp | Op::Jvp => {
            let p = reference::softmax(row);
            each(reference::vjp(row, operand), &|i, _| (40.0 * unit * p[i] + 2.0 * least) * largest + least)
        }
        Op::LogSoftmaxVjp => {
            let p = reference::softmax(row);
            let allowed =
                |i: usize, _| 40.0 * unit * (operand[i].abs() + p[i] * total) + least * (1.0 + total);
            each(reference::log_softmax_vjp(row, operand), &allowed)
        }
        Op::LogSoftmaxJvp => {
            let p = reference::softmax(row);
            let expectation: f64 = p.iter().zip(operand).map(|(p, v)| p * v.abs()).sum();
            let allowed =
                |i: usize, _| 40.0 * unit * (operand[i].abs() + expectation) + least * (1.0 + total);
            each(reference::log_softmax_jvp(row, operand), &allowed)
        }
        Op::CrossEntropy => {
            // Losses are never of 16 bits.
            let loss = reference::cross_entropy(row, &one_hot(row.len(), label));
            vec![(loss, 8.0 * unit * loss.abs().max(1.0) + least)]
        }
        Op::CrossEntropyGradient => {
            let (p, q) = (reference::softmax(row), one_hot(row.len(), label));
            let allowed = |i: usize, _| 40.0 * unit * (p[i] + q[i]) + least;
            each(reference::cross_entropy_gradient(row, &q), &allowed)
        }
        _ => each(reference::softmax(row), &|_, y| 16.0 * unit * y.abs() + 2.0 * least),
    }
}

#[cfg(test)]
mod tests {
    use wgpu_softmax::{Cpu, Dtype};

    use super::super::cases::Case;
    use super::super::data;
    use super::super::one_call::{Results, compute};
    use super::*;
    use crate::args::{Batch, MEASURED};

    /// A right result of every operation, its truth, and the result as f64.
    fn right(op: Op) -> (Truth, Vec<f64>) {
        let case = Case { op, batch: Batch { rows: 37, classes: 33 }, dtype: Dtype::F32 };
        let logits: Vec<f32> = data::logits(case.logits());
        let operand: Vec<f32> = logits.iter().rev().copied().collect();
        let labels = data::labels(37, 33);
        let inputs = Inputs { logits: &logits, operand: &operand, labels: &labels };
        let mut result = vec![0f32; case.gradient_or_result()];
        let mut losses = vec![0f32; case.losses()];
        let results = Results { result: &mut result, losses: &mut losses };
        compute(&Cpu::new(), &case, inputs, results).unwrap();
        let result = if op == Op::CrossEntropy { losses } else { result };
        (Truth::of(case, inputs, MOST_JUDGED), result.into_iter().map(f64::from).collect())
    }

    #[test]
    fn right_results_are_tolerable_and_wrong_ones_are_not() {
        for (op, _) in MEASURED {
            let (truth, result) = right(op);
            assert_eq!(truth.rows().len(), 37);
            let errors = truth.errors(|place| result[place]);
            assert!(errors.are_tolerable(), "{op}: {errors:?}");
            // The largest element of some row, a little off; lost; in the place of its neighbour; missing.
            let wrong =
                (5..result.len()).max_by(|&a, &b| result[a].abs().total_cmp(&result[b].abs())).unwrap();
            let spoilt = |spoil: &dyn Fn(usize) -> f64| truth.errors(spoil).are_tolerable();
            let off = |place: usize| result[place] * if place == wrong { 1.0 + 1e-4 } else { 1.0 };
            assert!(!spoilt(&off), "{op}");
            assert!(!spoilt(&|place| if place == wrong { 0.0 } else { result[place] }), "{op}");
            assert!(!spoilt(&|place| if place == wrong { f64::NAN } else { result[place] }), "{op}");
            assert!(!spoilt(&|place| if place == wrong { f64::INFINITY } else { result[place] }), "{op}");
            assert!(!spoilt(&|place| result[(place + 1) % result.len()]), "{op}");
            assert!(!spoilt(&|_| 0.0), "{op}");
        }
    }

    #[test]
    fn a_number_that_is_missing_is_infinitely_wrong() {
        let (truth, _) = right(Op::Softmax);
        let errors = truth.errors(|_| f64::NAN);
        assert_eq!((errors.relative, errors.absolute), (f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn rows_that_are_judged_stand_at_even_distances() {
        let case = Case { op: Op::LogSumExp, batch: Batch { rows: 1000, classes: 8 }, dtype: Dtype::F32 };
        let logits: Vec<f32> = data::logits(case.logits());
        let truth = Truth::of(case, Inputs { logits: &logits, operand: &[], labels: &[] }, 80);
        assert_eq!(truth.rows, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    }

    #[test]
    fn results_of_sixteen_bits_may_be_off_by_one_in_their_last_place() {
        let of = |dtype| Promised::of(dtype);
        assert_eq!(of(Dtype::F16).of_storing(1.0), 2f64.powi(-10));
        assert_eq!(of(Dtype::F16).of_storing(1e-9), 2f64.powi(-24));
        assert_eq!(of(Dtype::Bf16).of_storing(-3.0), 2f64.powi(-6));
        assert_eq!(of(Dtype::F32).of_storing(1.0), 0.0);
    }
}
