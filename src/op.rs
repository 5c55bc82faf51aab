//! The operations, what each one reads beside the logits, and what it writes.

use std::fmt;

/// What is computed from each row of logits.
///
/// The special rows (NaN, infinities, nothing but −∞, no classes) have one contract on every device,
/// listed in the [crate's documentation](crate#special-values). Losses, which have more inputs and results
/// than one, are a call of their own: [`CrossEntropy`](crate::CrossEntropy).
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
    /// A cotangent v pulled back through softmax (its backward pass): p ⊙ (v − ⟨p, v⟩).
    Vjp,
    /// A tangent v pushed forward through softmax: p ⊙ (v − ⟨p, v⟩), its Jacobian being symmetric.
    Jvp,
    /// A cotangent v pulled back through log-softmax: v − p·Σv.
    LogSoftmaxVjp,
    /// A tangent v pushed forward through log-softmax: v − ⟨p, v⟩.
    LogSoftmaxJvp,
    /// log Σ bₖ exp(xₖ) for weights b, NaN where the sum is negative.
    WeightedLogSumExp,
    /// log |Σ bₖ exp(xₖ)| for weights b, and the sum's sign (−1, 0 or 1): two values per row.
    SignedLogSumExp,
    /// The loss of each row, and what else is wanted of it: computed by [`CrossEntropy`](crate::CrossEntropy).
    CrossEntropy,
    /// The same with its gradient, a value for every logit.
    CrossEntropyGradient,
}

/// How much an operation writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// One value for every logit.
    PerElement,
    /// One value for every row.
    PerRow,
    /// Two values for every row.
    TwoPerRow,
    /// One value for every pair of classes of a row.
    PerPair,
}

/// What an operation reads beside the logits, an element for every logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// The derivative of something by the operation's result.
    Cotangent,
    /// The direction in which the logits move.
    Tangent,
    /// What each term is multiplied with. A weight of 0 removes its logit, whatever it holds.
    Weights,
}

impl Operand {
    /// The name used in messages.
    pub fn name(self) -> &'static str {
        match self {
            Operand::Cotangent => "cotangent",
            Operand::Tangent => "tangent",
            Operand::Weights => "weights",
        }
    }
}

impl Op {
    /// All operations that a [`Request`](crate::Request) computes, in the order of the documentation.
    pub const ALL: [Op; 11] = [
        Op::Softmax,
        Op::LogSoftmax,
        Op::LogSumExp,
        Op::Jacobian,
        Op::LogSoftmaxJacobian,
        Op::Vjp,
        Op::Jvp,
        Op::LogSoftmaxVjp,
        Op::LogSoftmaxJvp,
        Op::WeightedLogSumExp,
        Op::SignedLogSumExp,
    ];

    /// The operations on logits alone whose result is no larger than the logits, along any axes.
    pub const ROW_WISE: [Op; 3] = [Op::Softmax, Op::LogSoftmax, Op::LogSumExp];

    /// The products of a Jacobian with a vector, on either side.
    pub const PRODUCTS: [Op; 4] = [Op::Vjp, Op::Jvp, Op::LogSoftmaxVjp, Op::LogSoftmaxJvp];

    /// The name used on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Op::Softmax => "softmax",
            Op::LogSoftmax => "log-softmax",
            Op::LogSumExp => "logsumexp",
            Op::Jacobian => "jacobian",
            Op::LogSoftmaxJacobian => "log-softmax-jacobian",
            Op::Vjp => "vjp",
            Op::Jvp => "jvp",
            Op::LogSoftmaxVjp => "log-softmax-vjp",
            Op::LogSoftmaxJvp => "log-softmax-jvp",
            Op::WeightedLogSumExp => "weighted-logsumexp",
            Op::SignedLogSumExp => "signed-logsumexp",
            Op::CrossEntropy => "cross-entropy",
            Op::CrossEntropyGradient => "cross-entropy-gradient",
        }
    }

    /// Whether a value per logit, per row or per pair of classes is written.
    pub fn output(self) -> Output {
        match self {
            Op::Softmax | Op::LogSoftmax => Output::PerElement,
            Op::Vjp | Op::Jvp | Op::LogSoftmaxVjp | Op::LogSoftmaxJvp => Output::PerElement,
            Op::CrossEntropyGradient => Output::PerElement,
            Op::LogSumExp | Op::WeightedLogSumExp | Op::CrossEntropy => Output::PerRow,
            Op::SignedLogSumExp => Output::TwoPerRow,
            Op::Jacobian | Op::LogSoftmaxJacobian => Output::PerPair,
        }
    }

    /// What is read beside the logits.
    pub fn operand(self) -> Option<Operand> {
        match self {
            Op::Vjp | Op::LogSoftmaxVjp => Some(Operand::Cotangent),
            Op::Jvp | Op::LogSoftmaxJvp => Some(Operand::Tangent),
            Op::WeightedLogSumExp | Op::SignedLogSumExp => Some(Operand::Weights),
            _ => None,
        }
    }

    /// Whether it is a loss, which is computed by [`CrossEntropy`](crate::CrossEntropy).
    pub fn is_loss(self) -> bool {
        matches!(self, Op::CrossEntropy | Op::CrossEntropyGradient)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
