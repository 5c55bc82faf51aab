//! The operations, and what each one writes.

use std::fmt;

/// What is computed from each row of logits.
///
/// The special rows (NaN, infinities, nothing but −∞, no classes) have one contract on every device,
/// listed in the [crate's documentation](crate#special-values).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Probabilities: exp(xⱼ) / Σ exp(xₖ).
    Softmax,
    /// Their logarithms: xⱼ − log Σ exp(xₖ), never by way of the probabilities.
    LogSoftmax,
    /// log Σ exp(xₖ), one value per row.
    LogSumExp,
    /// The Jacobian of softmax: pᵢ(δᵢⱼ − pⱼ) in row i and column j, K × K values per row of logits.
    Jacobian,
    /// The Jacobian of log-softmax: δᵢⱼ − pⱼ.
    LogSoftmaxJacobian,
}

/// How much an operation writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// One value for every logit.
    PerElement,
    /// One value for every row.
    PerRow,
    /// One value for every pair of classes of a row.
    PerPair,
}

impl Op {
    /// All operations, in the order of the documentation.
    pub const ALL: [Op; 5] =
        [Op::Softmax, Op::LogSoftmax, Op::LogSumExp, Op::Jacobian, Op::LogSoftmaxJacobian];

    /// The operations whose result is no larger than the logits, along any axes.
    pub const ROW_WISE: [Op; 3] = [Op::Softmax, Op::LogSoftmax, Op::LogSumExp];

    /// The name used on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Op::Softmax => "softmax",
            Op::LogSoftmax => "log-softmax",
            Op::LogSumExp => "logsumexp",
            Op::Jacobian => "jacobian",
            Op::LogSoftmaxJacobian => "log-softmax-jacobian",
        }
    }

    /// Whether a value per logit, per row or per pair of classes is written.
    pub fn output(self) -> Output {
        match self {
            Op::Softmax | Op::LogSoftmax => Output::PerElement,
            Op::LogSumExp => Output::PerRow,
            Op::Jacobian | Op::LogSoftmaxJacobian => Output::PerPair,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
