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
}

/// How much an operation writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// One value for every logit.
    PerElement,
    /// One value for every row.
    PerRow,
}

impl Op {
    /// All operations, in the order of the documentation.
    pub const ALL: [Op; 3] = [Op::Softmax, Op::LogSoftmax, Op::LogSumExp];

    /// The name used on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Op::Softmax => "softmax",
            Op::LogSoftmax => "log-softmax",
            Op::LogSumExp => "logsumexp",
        }
    }

    /// Whether a value per logit or a value per row is written.
    pub fn output(self) -> Output {
        match self {
            Op::Softmax | Op::LogSoftmax => Output::PerElement,
            Op::LogSumExp => Output::PerRow,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
