//! The judge of results: every element of a result against the truth, within exactly what is promised.
//!
//! It serves the CPU and every GPU alike, and knows nothing of how a result came about. f32 results are held
//! against the reference in f64, f64 results against double-double arithmetic. u is half a unit in the last
//! place of 1: 2⁻²⁴ and 2⁻⁵³.
//!
//! | result | accurate | fast |
//! | --- | --- | --- |
//! | softmax | 16 u relative; a row sums to 1 within 16 u | (20 + 5·(\|x − max\| + Σ p·\|x − max\|)) u relative |
//! | log-softmax | 8 u·max(1, \|y\|), the largest entry also 16 u relative; never −0 | the fast softmax's, plus 8 u·max(1, \|y\|) |
//! | log-sum-exp | 4 u·(\|max\| + \|lse\| + log term) | likewise |
//! | Jacobian pᵢ(δᵢⱼ − pⱼ) | 34 u relative | |
//! | of log-softmax, δᵢⱼ − pⱼ | 40 u relative | |
//!
//! Each bound carries the least normal number besides, for devices that flush what is smaller, and the fast
//! ones as many as there are classes. The special rows are judged by their bits.

use std::fmt::{Display, LowerExp};

use wgpu_softmax::{FullyMasked, Op, Options, Precision, Rows, reference};

use super::double_double::DoubleDouble;

/// The largest error that was found.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Worst {
    /// In multiples of u: of u·p for softmax, of u·max(1, |y|) for log-softmax (of u·|y| for the largest
    /// entry), of u·(|max| + |lse| + log term) for log-sum-exp; beyond what may be flushed.
    pub units: f64,
    /// Which element of the result.
    pub at: usize,
}

/// Judges a result of f32. `options` says what becomes of wholly masked rows; `precision` which bounds hold.
///
/// # Errors
/// What is wrong with the first element (or row) that is wrong.
pub fn judge(
    op: Op,
    precision: Precision,
    logits: &[f32],
    rows: &Rows,
    result: &[f32],
    options: &Options,
) -> Result<Worst, String> {
    judge_rows(op, precision, logits, rows, result, options)
}

/// Judges a result of f64.
///
/// # Errors
/// What is wrong with the first element (or row) that is wrong.
pub fn judge_f64(
    op: Op,
    precision: Precision,
    logits: &[f64],
    rows: &Rows,
    result: &[f64],
    options: &Options,
) -> Result<Worst, String> {
    judge_rows(op, precision, logits, rows, result, options)
}

/// A type that results have.
pub trait Judged: Copy + Display + LowerExp {
    /// Half a unit in the last place of 1.
    const UNIT: f64;
    /// The least normal number.
    const TINY: f64;
    /// The greatest number.
    const GREATEST: f64;

    fn widen(self) -> f64;
    fn is_the_nan(self) -> bool;
    fn bits(self) -> String;
    /// Of a row with a finite maximum: what `op` gives, and log Σ exp(x − maximum).
    fn truth(op: Op, row: &[f64], maximum: f64) -> (Vec<DoubleDouble>, f64);
    /// Of a row with a finite maximum: each class's probability, and what is left of 1.
    fn probabilities(row: &[f64], maximum: f64) -> Vec<(DoubleDouble, DoubleDouble)>;
}

impl Judged for f32 {
    const UNIT: f64 = 1.0 / (1u64 << 24) as f64;
    const TINY: f64 = f32::MIN_POSITIVE as f64;
    const GREATEST: f64 = f32::MAX as f64;

    fn widen(self) -> f64 {
        f64::from(self)
    }

    fn is_the_nan(self) -> bool {
        self.to_bits() == 0x7fc0_0000
    }

    fn bits(self) -> String {
        format!("{:#010x}", self.to_bits())
    }

    fn truth(op: Op, row: &[f64], maximum: f64) -> (Vec<DoubleDouble>, f64) {
        match op {
            Op::Softmax => (widened(reference::softmax(row)), 0.0),
            Op::LogSoftmax => (widened(reference::log_softmax(row)), 0.0),
            _ => {
                let below: Vec<f64> = row.iter().map(|x| x - maximum).collect();
                (widened(vec![reference::log_sum_exp(row)]), reference::log_sum_exp(&below))
            }
        }
    }

    fn probabilities(row: &[f64], _maximum: f64) -> Vec<(DoubleDouble, DoubleDouble)> {
        let complements = reference::log_softmax(row).into_iter().map(|log| -log.exp_m1());
        let pairs = reference::softmax(row).into_iter().zip(complements);
        pairs.map(|(p, complement)| (p.into(), complement.into())).collect()
    }
}

fn widened(values: Vec<f64>) -> Vec<DoubleDouble> {
    values.into_iter().map(DoubleDouble::from).collect()
}

impl Judged for f64 {
    const UNIT: f64 = 1.0 / (1u64 << 53) as f64;
    const TINY: f64 = f64::MIN_POSITIVE;
    const GREATEST: f64 = f64::MAX;

    fn widen(self) -> f64 {
        self
    }

    fn is_the_nan(self) -> bool {
        self.to_bits() == 0x7ff8_0000_0000_0000
    }

    fn bits(self) -> String {
        format!("{:#018x}", self.to_bits())
    }

    fn truth(op: Op, row: &[f64], maximum: f64) -> (Vec<DoubleDouble>, f64) {
        let below: Vec<DoubleDouble> = row.iter().map(|&x| DoubleDouble::sum(x, -maximum)).collect();
        let exponentials: Vec<DoubleDouble> = below.iter().map(|x| x.exp()).collect();
        let first = row.iter().position(|&x| x == maximum);
        let others = exponentials.iter().enumerate().filter(|(j, _)| Some(*j) != first);
        let rest = others.fold(DoubleDouble::ZERO, |sum, (_, &exponential)| sum + exponential);
        let log_sum = rest.ln_1p();
        let values = match op {
            Op::Softmax => {
                let factor = (rest + DoubleDouble::ONE).recip();
                exponentials.iter().map(|&exponential| exponential * factor).collect()
            }
            Op::LogSoftmax => below.iter().map(|&x| x - log_sum).collect(),
            _ => vec![log_sum + maximum.into()],
        };
        (values, log_sum.value())
    }

    fn probabilities(row: &[f64], maximum: f64) -> Vec<(DoubleDouble, DoubleDouble)> {
        let exponentials: Vec<DoubleDouble> =
            row.iter().map(|&x| DoubleDouble::sum(x, -maximum).exp()).collect();
        let first = row.iter().position(|&x| x == maximum);
        let others = exponentials.iter().enumerate().filter(|(j, _)| Some(*j) != first);
        let rest = others.fold(DoubleDouble::ZERO, |sum, (_, &exponential)| sum + exponential);
        let factor = (rest + DoubleDouble::ONE).recip();
        let left = |j: usize, exponential| {
            if Some(j) == first { rest * factor } else { DoubleDouble::ONE - exponential * factor }
        };
        let classes = exponentials.iter().enumerate();
        classes.map(|(j, &exponential)| (exponential * factor, left(j, exponential))).collect()
    }
}

fn judge_rows<T: Judged>(
    op: Op,
    precision: Precision,
    logits: &[T],
    rows: &Rows,
    result: &[T],
    options: &Options,
) -> Result<Worst, String> {
    let layout = rows.result(op);
    if result.len() as u64 != layout.elements() {
        return Err(format!("{op} of {rows}: {} elements in place of {}", result.len(), layout.elements()));
    }
    let mut worst = Worst::default();
    let mut row = Vec::with_capacity(rows.classes() as usize);
    let mut answer = Vec::with_capacity(layout.classes() as usize);
    for outer in 0..rows.outer() {
        for inner in 0..rows.inner() {
            let first = rows.offset() + outer * rows.pitch() + inner;
            row.clear();
            row.extend((0..rows.classes()).map(|j| logits[(first + j * rows.inner()) as usize].widen()));
            let first = outer * layout.pitch() + inner;
            answer.clear();
            answer.extend((0..layout.classes()).map(|j| result[(first + j * layout.inner()) as usize]));

            let (units, class) = judge_row(op, precision, &row, &answer, options)
                .map_err(|fault| format!("{op} of {rows}, row ({outer}, {inner}), {fault}"))?;
            if units > worst.units {
                worst = Worst { units, at: (first + class as u64 * layout.inner()) as usize };
            }
        }
    }
    Ok(worst)
}

/// Judges the Jacobians of a batch, f32 or f64: `rows` of K logits, K × K values each.
///
/// # Errors
/// What is wrong with the first element that is wrong.
pub fn judge_jacobians<T: Judged>(
    op: Op,
    logits: &[T],
    rows: &Rows,
    result: &[T],
    options: &Options,
) -> Result<Worst, String> {
    let classes = rows.classes() as usize;
    if result.len() != logits.len() * classes {
        return Err(format!(
            "{op} of {rows}: {} elements in place of {}",
            result.len(),
            logits.len() * classes
        ));
    }
    let units = if op == Op::Jacobian { 34.0 } else { 40.0 };
    let mut worst = Worst::default();
    for (row, (logits, jacobian)) in logits.chunks(classes).zip(result.chunks(classes * classes)).enumerate()
    {
        let logits: Vec<f64> = logits.iter().map(|x| x.widen()).collect();
        let special = special_answer(Op::Softmax, &logits, options);
        let maximum = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let truth = if special.is_none() { T::probabilities(&logits, maximum) } else { Vec::new() };
        for (place, &got) in jacobian.iter().enumerate() {
            let (i, j) = (place / classes, place % classes);
            let value = got.widen();
            if let Some(expected) = special {
                if if expected.is_nan() { got.is_the_nan() } else { value == expected } {
                    continue;
                }
                return Err(format!(
                    "{op} of {rows}, row {row}, ({i}, {j}): {got} where {expected} is right"
                ));
            }
            let (p_i, left) = truth[i];
            let derivative = if i == j { left } else { -truth[j].0 };
            let expected = if op == Op::Jacobian { p_i * derivative } else { derivative };
            let scale = expected.value().abs();
            let error = ((value - expected.high) - expected.low).abs();
            if error.is_nan() || error > units * T::UNIT * scale + T::TINY {
                return Err(format!(
                    "{op} of {rows}, row {row}, ({i}, {j}): {got:e} where {:e} is right",
                    expected.value()
                ));
            }
            if scale >= T::TINY && error / (T::UNIT * scale) > worst.units {
                worst = Worst { units: error / (T::UNIT * scale), at: row * classes * classes + place };
            }
        }
    }
    Ok(worst)
}

/// The largest error of a row, in u, and the class that has it.
fn judge_row<T: Judged>(
    op: Op,
    precision: Precision,
    row: &[f64],
    answer: &[T],
    options: &Options,
) -> Result<(f64, usize), String> {
    if let Some(expected) = special_answer(op, row, options) {
        for (class, &got) in answer.iter().enumerate() {
            let right = if expected.is_nan() { got.is_the_nan() } else { got.widen() == expected };
            if !right {
                return Err(format!("class {class}: {got} ({}) where {expected} is right", got.bits()));
            }
        }
        return Ok((0.0, 0));
    }

    let maximum = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (truth, log_sum) = T::truth(op, row, maximum);
    // Σ p·|x − max|, which only the fast bounds ask for.
    let mean_distance: f64 = match precision {
        Precision::Accurate => 0.0,
        Precision::Fast => {
            let probabilities = reference::softmax(row);
            let distances = row.iter().map(|x| maximum - x);
            probabilities
                .iter()
                .zip(distances)
                .filter(|(p, _)| **p > 0.0)
                .map(|(p, distance)| p * distance)
                .sum()
        }
    };
    let fast = |x: f64| 20.0 + 5.0 * ((maximum - x) + mean_distance);

    // The device's own exponential flushes each term for itself.
    let vanishing = match precision {
        Precision::Accurate => T::TINY,
        Precision::Fast => row.len() as f64 * T::TINY,
    };

    let (mut worst, mut at) = (0.0, 0);
    for (class, (&got, &expected)) in answer.iter().zip(&truth).enumerate() {
        let refuse = |bound: f64| {
            Err(format!(
                "class {class}: {got:e} ({}) where {:e} is right, within {bound:e}",
                got.bits(),
                expected.value()
            ))
        };
        let value = got.widen();
        let exact = match op {
            Op::Softmax if row[class] == f64::NEG_INFINITY => Some(0.0),
            Op::LogSoftmax if row[class] == f64::NEG_INFINITY => Some(f64::NEG_INFINITY),
            Op::Softmax if row.len() == 1 => Some(1.0),
            Op::LogSoftmax if row.len() == 1 => Some(0.0),
            Op::LogSumExp if row.len() == 1 => Some(row[0]),
            _ => None,
        };
        if exact.is_some_and(|exact| value != exact)
            || (op == Op::LogSoftmax && value == 0.0 && value.is_sign_negative())
        {
            return refuse(0.0);
        }
        if exact.is_some() {
            continue;
        }

        let size = expected.value().abs();
        // What the bounds multiply, and by how much.
        let (scale, units) = match (op, precision) {
            (Op::Softmax, Precision::Accurate) => (if size < T::TINY { 0.0 } else { size }, 16.0),
            (Op::Softmax, Precision::Fast) => (size, fast(row[class])),
            (Op::LogSoftmax, Precision::Accurate) => (size.max(1.0), 8.0),
            (Op::LogSoftmax, Precision::Fast) => (size.max(1.0), 8.0 + fast(row[class]) / size.max(1.0)),
            _ => (maximum.abs() + size + log_sum, 4.0),
        };
        let largest = op == Op::LogSoftmax && precision == Precision::Accurate && row[class] == maximum;
        let error = ((value - expected.high) - expected.low).abs();
        for (scale, units) in [Some((scale, units)), largest.then_some((size, 16.0))].into_iter().flatten() {
            let bound = units * T::UNIT * scale + vanishing;
            if value == f64::NEG_INFINITY && op == Op::LogSoftmax {
                // Right where the answer is beyond the range of the type.
                if expected.value() - bound > -T::GREATEST {
                    return refuse(bound);
                }
                continue;
            }
            if error.is_nan() || error > bound {
                return refuse(bound);
            }
            let error_in_units = (error - T::TINY).max(0.0) / (T::UNIT * scale);
            if error_in_units > worst {
                (worst, at) = (error_in_units, class);
            }
        }
    }

    if op == Op::Softmax && precision == Precision::Accurate {
        let sum: f64 = answer.iter().fold(DoubleDouble::ZERO, |sum, p| sum + p.widen().into()).value();
        let bound = 16.0 * T::UNIT + T::TINY;
        if sum.is_nan() || (sum - 1.0).abs() > bound {
            return Err(format!("which sums to {sum} where 1 is right, within {bound:e}"));
        }
    }
    Ok((worst, at))
}

/// What every element is where the contract names it: rows with a NaN or +∞, and rows without a finite logit.
fn special_answer(op: Op, row: &[f64], options: &Options) -> Option<f64> {
    if row.iter().any(|x| x.is_nan()) {
        Some(f64::NAN)
    } else if row.contains(&f64::INFINITY) {
        Some(if op == Op::LogSumExp { f64::INFINITY } else { f64::NAN })
    } else if row.iter().all(|&x| x == f64::NEG_INFINITY) {
        Some(match (op, options.fully_masked) {
            (Op::LogSumExp, _) => f64::NEG_INFINITY,
            (_, FullyMasked::Nan) => f64::NAN,
            (Op::Softmax, FullyMasked::Zero) => 0.0,
            _ => f64::NEG_INFINITY,
        })
    } else {
        None
    }
}
