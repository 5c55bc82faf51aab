//! The textbook in f64: obviously right, deliberately slow.
//!
//! What every device computes is held against these functions, in the tests and wherever else it is doubted.
//! They are not what [`Cpu`](crate::Cpu) runs, which is vectorised and threaded.
//!
//! The special rows (NaN, infinities, nothing but −∞) follow the [crate's contract](crate#special-values),
//! with [`FullyMasked::Nan`] for rows of nothing but −∞; [`compute`] knows the other choice, too.

use crate::{FullyMasked, Op, Options, Output, Rows};

/// Probabilities: exp(xⱼ − max) / Σ exp(xₖ − max).
///
/// ```
/// use wgpu_softmax::reference::softmax;
/// assert_eq!(softmax(&[1000.0, 1000.0, f64::NEG_INFINITY]), [0.5, 0.5, 0.0]);
/// assert!(softmax(&[f64::NEG_INFINITY; 2]).iter().all(|p| p.is_nan()));
/// ```
pub fn softmax(row: &[f64]) -> Vec<f64> {
    let maximum = maximum(row);
    if !maximum.is_finite() {
        return vec![f64::NAN; row.len()];
    }
    let sum = 1.0 + sum_without_maximum(row, maximum);
    row.iter().map(|x| (x - maximum).exp() / sum).collect()
}

/// Their logarithms: (xⱼ − max) − log Σ exp(xₖ − max).
///
/// The 1 that the maximum contributes to the sum is left to the logarithm, log(1 + rest), so that the
/// largest entry is exact to the last place even where it is almost 0.
///
/// ```
/// use wgpu_softmax::reference::log_softmax;
/// let row = log_softmax(&[0.0, -20.0]);
/// assert_eq!(row[0], -(-20f64).exp().ln_1p());
/// assert!(row[0] < -2.06e-9 && row[0] > -2.07e-9);
/// ```
pub fn log_softmax(row: &[f64]) -> Vec<f64> {
    let maximum = maximum(row);
    if !maximum.is_finite() {
        return vec![f64::NAN; row.len()];
    }
    let log_sum = sum_without_maximum(row, maximum).ln_1p();
    row.iter().map(|x| (x - maximum) - log_sum).collect()
}

/// log Σ exp(xⱼ), as max + log(1 + Σ exp(xⱼ − max) without the maximum); −∞ for no logits at all.
///
/// ```
/// use wgpu_softmax::reference::log_sum_exp;
/// assert_eq!(log_sum_exp(&[1000.0, 1000.0]), 1000.0 + 2f64.ln());
/// assert_eq!(log_sum_exp(&[]), f64::NEG_INFINITY);
/// assert_eq!(log_sum_exp(&[0.0, f64::INFINITY]), f64::INFINITY);
/// ```
pub fn log_sum_exp(row: &[f64]) -> f64 {
    let maximum = maximum(row);
    if !maximum.is_finite() {
        return maximum;
    }
    maximum + sum_without_maximum(row, maximum).ln_1p()
}

/// The Jacobian of softmax, pᵢ(δᵢⱼ − pⱼ), row after row.
///
/// ```
/// use wgpu_softmax::reference::jacobian;
/// assert_eq!(jacobian(&[0.0, 0.0]), [0.25, -0.25, -0.25, 0.25]);
/// // 1 − p is what the others sum to, also where p rounds to 1.
/// assert!(jacobian(&[0.0, -50.0])[0] > 1.9e-22);
/// ```
pub fn jacobian(row: &[f64]) -> Vec<f64> {
    let p = softmax(row);
    pairs(row, |i, j, complement| if i == j { p[i] * complement } else { -(p[i] * p[j]) })
}

/// The Jacobian of log-softmax, δᵢⱼ − pⱼ, row after row.
///
/// ```
/// use wgpu_softmax::reference::log_softmax_jacobian;
/// assert_eq!(log_softmax_jacobian(&[0.0, 0.0]), [0.5, -0.5, -0.5, 0.5]);
/// ```
pub fn log_softmax_jacobian(row: &[f64]) -> Vec<f64> {
    let p = softmax(row);
    pairs(row, |i, j, complement| if i == j { complement } else { -p[j] })
}

/// A value for every pair of classes i and j, given 1 − pᵢ: the sum of the other probabilities.
fn pairs(row: &[f64], value: impl Fn(usize, usize, f64) -> f64) -> Vec<f64> {
    let logs = log_softmax(row);
    let complements: Vec<f64> = logs.iter().map(|log| -log.exp_m1()).collect();
    (0..row.len())
        .flat_map(|i| (0..row.len()).map(move |j| (i, j)))
        .map(|(i, j)| value(i, j, complements[i]))
        .collect()
}

/// exp(xⱼ) / Σ exp(xₖ), the definition taken literally. It shows why nobody computes it like this: the
/// exponentials overflow for logits over 709, and all vanish for logits under −745.
///
/// ```
/// use wgpu_softmax::reference::{naive_softmax, softmax};
/// assert_eq!(naive_softmax(&[0.0, 0.0]), [0.5, 0.5]);
/// assert!(naive_softmax(&[1000.0, 1000.0])[0].is_nan());
/// assert!(naive_softmax(&[-1000.0, -1000.0])[0].is_nan());
/// assert_eq!(softmax(&[1000.0, 1000.0]), [0.5, 0.5]);
/// ```
pub fn naive_softmax(row: &[f64]) -> Vec<f64> {
    let sum: f64 = row.iter().map(|x| x.exp()).sum();
    row.iter().map(|x| x.exp() / sum).collect()
}

/// An operation over every row of an array, the answers laid out as [`Rows::result`] says.
///
/// ```
/// use wgpu_softmax::{FullyMasked, Op, Options, Rows, reference};
/// let logits = [0.0, f64::NEG_INFINITY, 0.0, f64::NEG_INFINITY];
/// let columns = Rows::new(1, 2, 2)?;
/// let options = Options::default().fully_masked(FullyMasked::Zero);
/// assert_eq!(reference::compute(Op::Softmax, &logits, &columns, &options), [0.5, 0.0, 0.5, 0.0]);
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
///
/// # Panics
/// Where `logits` ends before the rows do.
pub fn compute(op: Op, logits: &[f64], rows: &Rows, options: &Options) -> Vec<f64> {
    let layout = rows.result(op);
    let mut result = vec![0.0; layout.elements() as usize];
    for outer in 0..rows.outer() {
        for inner in 0..rows.inner() {
            let row: Vec<f64> = (0..rows.classes())
                .map(|class| {
                    logits[(rows.offset() + outer * rows.pitch() + class * rows.inner() + inner) as usize]
                })
                .collect();
            let mut values = compute_row(op, &row, options);
            if op.output() == Output::PerPair {
                let asked = rows.jacobian_rows();
                values = values[asked.start as usize * row.len()..asked.end as usize * row.len()].to_vec();
            }
            for (class, value) in values.into_iter().enumerate() {
                let at = outer * layout.pitch() + class as u64 * layout.inner() + inner;
                result[at as usize] = value;
            }
        }
    }
    result
}

fn compute_row(op: Op, row: &[f64], options: &Options) -> Vec<f64> {
    let wholly_masked = row.iter().all(|&x| x == f64::NEG_INFINITY);
    match op {
        Op::Softmax if wholly_masked && options.fully_masked == FullyMasked::Zero => vec![0.0; row.len()],
        Op::LogSoftmax if wholly_masked && options.fully_masked == FullyMasked::Zero => {
            vec![f64::NEG_INFINITY; row.len()]
        }
        Op::Softmax => softmax(row),
        Op::LogSoftmax => log_softmax(row),
        Op::LogSumExp => vec![log_sum_exp(row)],
        Op::Jacobian | Op::LogSoftmaxJacobian
            if wholly_masked && options.fully_masked == FullyMasked::Zero =>
        {
            vec![0.0; row.len() * row.len()]
        }
        Op::Jacobian => jacobian(row),
        Op::LogSoftmaxJacobian => log_softmax_jacobian(row),
        _ => Vec::new(),
    }
}

/// The largest logit; NaN if there is one, −∞ if there are no logits.
fn maximum(row: &[f64]) -> f64 {
    row.iter()
        .fold(f64::NEG_INFINITY, |maximum, &x| if maximum.is_nan() || x <= maximum { maximum } else { x })
}

/// Σ exp(xⱼ − max) over all logits but one instance of the maximum.
fn sum_without_maximum(row: &[f64], maximum: f64) -> f64 {
    let at = row.iter().position(|&x| x == maximum);
    let others = row.iter().enumerate().filter(|(j, _)| Some(*j) != at);
    others.map(|(_, x)| (x - maximum).exp()).sum()
}
