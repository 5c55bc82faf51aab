//! What a caller may choose beyond the operation and the axis.

use crate::Kernel;

/// How exact the answer must be; the [bounds](crate#accuracy) of both are asserted by tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Within a few units in the last place on every device.
    #[default]
    Accurate,
    /// The device's own exponential, whose error grows with the distance from the row's maximum.
    Fast,
}

/// What a row becomes in which no class takes part: all of it −∞.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum FullyMasked {
    /// NaN, as the definition 0 / 0 has it.
    #[default]
    Nan,
    /// No probability anywhere: 0, and −∞ for its logarithm.
    Zero,
}

/// What the derivatives' calls are given in place of logits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Given {
    /// Logits.
    #[default]
    Logits,
    /// Probabilities that a softmax has left: no exponential is taken. For products with Jacobians alone.
    Probabilities,
}

/// Choices that have a good default.
///
/// ```
/// use wgpu_softmax::{Options, Precision};
/// let options = Options::default().precision(Precision::Fast);
/// assert_eq!(options.precision, Precision::Fast);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Options {
    /// Accuracy against speed.
    pub precision: Precision,
    /// The answer for rows of nothing but −∞.
    pub fully_masked: FullyMasked,
    /// A kernel to use instead of the one the plan would choose; an error where it cannot serve.
    pub kernel: Option<Kernel>,
    /// Whether products with Jacobians start from logits or from probabilities.
    pub given: Given,
    /// Whether a [`Tuning`](crate::Tuning) that the device has may choose kernel and lanes. It changes the last bits of
    /// results, which is why nothing is tuned unasked. Without a table, and on the CPU, it changes nothing.
    pub tuned: bool,
}

impl Options {
    /// Sets [`Options::precision`].
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets [`Options::fully_masked`].
    pub fn fully_masked(mut self, fully_masked: FullyMasked) -> Self {
        self.fully_masked = fully_masked;
        self
    }

    /// Sets [`Options::kernel`].
    pub fn kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = Some(kernel);
        self
    }

    /// Sets [`Options::given`].
    pub fn given(mut self, given: Given) -> Self {
        self.given = given;
        self
    }

    /// Sets [`Options::tuned`].
    pub fn tuned(mut self, tuned: bool) -> Self {
        self.tuned = tuned;
        self
    }
}
