//! The textbook in f64: obviously right, deliberately slow.
//!
//! What every device computes is held against these functions, in the tests and wherever else it is doubted.
//! They are not what [`Cpu`](crate::Cpu) runs, which is vectorised and threaded.
//!
//! The special rows (NaN, infinities, nothing but −∞) follow the [crate's contract](crate#special-values),
//! with [`FullyMasked::Nan`] for rows of nothing but −∞; [`compute`] and [`Row`] know the other choice, too.
//! Temperatures and masks are [`Row`]'s: what a mask means is said there by leaving classes out.

use crate::{FullyMasked, Given, Op, Options, Output, Rows};

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

/// A cotangent v pulled back through softmax: its product with the Jacobian, Σⱼ vⱼ·pⱼ(δᵢⱼ − pᵢ). What v holds
/// where a logit is −∞ does not count, and the product is 0 there.
///
/// ```
/// use wgpu_softmax::reference::vjp;
/// assert_eq!(vjp(&[0.0, 0.0], &[1.0, 3.0]), [-0.5, 0.5]);
/// assert_eq!(vjp(&[0.0, 0.0, f64::NEG_INFINITY], &[1.0, 3.0, f64::NAN]), [-0.5, 0.5, 0.0]);
/// ```
///
/// # Panics
/// Where `cotangent` is shorter than `row`, as in every function here that takes two of one length.
pub fn vjp(row: &[f64], cotangent: &[f64]) -> Vec<f64> {
    Probabilities::of(row).through_softmax(cotangent)
}

/// A tangent v pushed forward through softmax: Σⱼ pᵢ(δᵢⱼ − pⱼ)·vⱼ, which is [`vjp`], since the Jacobian is
/// symmetric.
///
/// ```
/// use wgpu_softmax::reference::jvp;
/// // All logits moving together move no probability.
/// assert_eq!(jvp(&[0.0, 0.0], &[2.0, 2.0]), [0.0, 0.0]);
/// assert_eq!(jvp(&[0.0, 0.0], &[1.0, 3.0]), [-0.5, 0.5]);
/// ```
pub fn jvp(row: &[f64], tangent: &[f64]) -> Vec<f64> {
    Probabilities::of(row).through_softmax(tangent)
}

/// A cotangent v pulled back through log-softmax: Σⱼ vⱼ(δᵢⱼ − pᵢ) = vᵢ − pᵢ·Σv.
///
/// ```
/// use wgpu_softmax::reference::log_softmax_vjp;
/// assert_eq!(log_softmax_vjp(&[0.0, 0.0], &[1.0, 3.0]), [-1.0, 1.0]);
/// // A logit of −∞ has no probability, yet its cotangent counts in the sum.
/// assert_eq!(log_softmax_vjp(&[0.0, f64::NEG_INFINITY], &[1.0, 3.0]), [-3.0, 3.0]);
/// ```
pub fn log_softmax_vjp(row: &[f64], cotangent: &[f64]) -> Vec<f64> {
    Probabilities::of(row).back_through_log_softmax(cotangent)
}

/// A tangent v pushed forward through log-softmax: Σⱼ (δᵢⱼ − pⱼ)·vⱼ = vᵢ − ⟨p, v⟩. Where a logit is −∞, its
/// tangent does not count in ⟨p, v⟩.
///
/// ```
/// use wgpu_softmax::reference::log_softmax_jvp;
/// assert_eq!(log_softmax_jvp(&[0.0, 0.0], &[1.0, 3.0]), [-1.0, 1.0]);
/// assert_eq!(log_softmax_jvp(&[0.0, f64::NEG_INFINITY], &[1.0, 3.0]), [0.0, 2.0]);
/// ```
pub fn log_softmax_jvp(row: &[f64], tangent: &[f64]) -> Vec<f64> {
    Probabilities::of(row).forward_through_log_softmax(tangent)
}

/// The probabilities of a row, and what each leaves of 1.
struct Probabilities {
    p: Vec<f64>,
    complements: Vec<f64>,
}

impl Probabilities {
    /// Of logits: where p is more than ½, the others are summed, since 1 − p would cancel.
    fn of(row: &[f64]) -> Self {
        let p = softmax(row);
        let others = sums_of_the_others(&p);
        let complements =
            p.iter().zip(others).map(|(&p, others)| if p > 0.5 { others } else { 1.0 - p }).collect();
        Probabilities { p, complements }
    }

    /// Of probabilities that somebody has rounded: they need not sum to 1, and are taken as they are.
    fn given(p: &[f64]) -> Self {
        Probabilities { p: p.to_vec(), complements: p.iter().map(|p| 1.0 - p).collect() }
    }

    /// pᵢ(vᵢ − ⟨p, v⟩).
    fn through_softmax(&self, v: &[f64]) -> Vec<f64> {
        let moved = self.forward_through_log_softmax(v);
        self.p.iter().zip(moved).map(|(&p, moved)| times(p, moved)).collect()
    }

    /// vᵢ − pᵢ·Σv.
    fn back_through_log_softmax(&self, v: &[f64]) -> Vec<f64> {
        let others = sums_of_the_others(&v[..self.p.len()]);
        let classes = self.complements.iter().zip(others).enumerate();
        classes.map(|(i, (complement, others))| complement * v[i] - times(self.p[i], others)).collect()
    }

    /// vᵢ − ⟨p, v⟩.
    fn forward_through_log_softmax(&self, v: &[f64]) -> Vec<f64> {
        let products: Vec<f64> = self.p.iter().enumerate().map(|(j, &p)| times(p, v[j])).collect();
        let classes = self.complements.iter().zip(sums_of_the_others(&products)).enumerate();
        classes.map(|(i, (complement, others))| complement * v[i] - others).collect()
    }
}

/// p·v, and 0 where there is no probability, whatever v is.
fn times(p: f64, v: f64) -> f64 {
    if p == 0.0 { 0.0 } else { p * v }
}

/// For each place the sum of what is at all others, without subtracting anything.
fn sums_of_the_others(values: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; values.len()];
    let (mut before, mut after) = (0.0, 0.0);
    for (i, value) in values.iter().enumerate() {
        sums[i] = before;
        before += value;
    }
    for (i, value) in values.iter().enumerate().rev() {
        sums[i] += after;
        after += value;
    }
    sums
}

/// log |Σ bⱼ exp(xⱼ)| for weights b, and the sign of the sum: −1, 0 or 1. A weight of 0 removes its logit,
/// whatever that is.
///
/// ```
/// use wgpu_softmax::reference::weighted_log_sum_exp;
/// assert_eq!(weighted_log_sum_exp(&[0.0, 0.0], &[1.0, -3.0]), (2f64.ln(), -1.0));
/// assert_eq!(weighted_log_sum_exp(&[5.0, 5.0], &[1.0, -1.0]), (f64::NEG_INFINITY, 0.0));
/// assert_eq!(weighted_log_sum_exp(&[1.0, f64::NAN], &[1.0, 0.0]), (1.0, 1.0));
/// // The 1 of the maximum is left to the logarithm.
/// assert_eq!(weighted_log_sum_exp(&[0.0, -20.0], &[1.0, 1.0]), ((-20f64).exp().ln_1p(), 1.0));
/// // +∞ less +∞ is nothing in particular.
/// assert!(weighted_log_sum_exp(&[f64::INFINITY; 2], &[1.0, -1.0]).0.is_nan());
/// ```
pub fn weighted_log_sum_exp(row: &[f64], weights: &[f64]) -> (f64, f64) {
    let remaining = || row.iter().enumerate().map(|(j, &x)| (x, weights[j])).filter(|(_, b)| *b != 0.0);
    let logits: Vec<f64> = remaining().map(|(x, _)| x).collect();
    let maximum = maximum(&logits);
    if maximum.is_nan() || remaining().any(|(_, b)| b.is_nan()) {
        return (f64::NAN, f64::NAN);
    }
    if maximum == f64::NEG_INFINITY {
        return (f64::NEG_INFINITY, 0.0);
    }
    if maximum == f64::INFINITY {
        let largest = || remaining().filter(|(x, _)| *x == f64::INFINITY);
        return match (largest().all(|(_, b)| b > 0.0), largest().all(|(_, b)| b < 0.0)) {
            (true, _) => (f64::INFINITY, 1.0),
            (_, true) => (f64::INFINITY, -1.0),
            _ => (f64::NAN, f64::NAN),
        };
    }
    let at = logits.iter().position(|&x| x == maximum);
    let (mut first, mut others) = (0.0, 0.0);
    for (j, (x, b)) in remaining().enumerate() {
        if Some(j) == at {
            first = b;
        } else {
            others += b * (x - maximum).exp();
        }
    }
    let sum: f64 = first + others;
    let sign = match sum {
        _ if sum > 0.0 => 1.0,
        _ if sum < 0.0 => -1.0,
        _ => sum,
    };
    // Close to 1, the logarithm is that of 1 + what is more than 1, in which nothing has been rounded away.
    let log = if (0.5..2.0).contains(&sum.abs()) {
        ((sign * first - 1.0) + sign * others).ln_1p()
    } else {
        sum.abs().ln()
    };
    (maximum + log, sign)
}

/// Cross-entropy between the softmax of a row and targets q: −Σ qⱼ log pⱼ, in which a target of 0 does not
/// count even where the logarithm is −∞.
///
/// A label y is the target 1 for class y and 0 for all others; class weights and label smoothing are other
/// targets, see [`CrossEntropy`](crate::CrossEntropy).
///
/// ```
/// use wgpu_softmax::reference::cross_entropy;
/// assert_eq!(cross_entropy(&[0.0, 0.0], &[1.0, 0.0]), 2f64.ln());
/// assert_eq!(cross_entropy(&[0.0, f64::NEG_INFINITY], &[1.0, 0.0]), 0.0);
/// assert_eq!(cross_entropy(&[0.0, f64::NEG_INFINITY], &[0.5, 0.5]), f64::INFINITY);
/// ```
pub fn cross_entropy(row: &[f64], targets: &[f64]) -> f64 {
    cross_entropy_of(&log_softmax(row), targets)
}

/// Σ −q·log p, in which 0·(−∞) is 0.
fn cross_entropy_of(log_p: &[f64], targets: &[f64]) -> f64 {
    let counted = log_p.iter().enumerate().filter(|(j, log_p)| targets[*j] != 0.0 || log_p.is_nan());
    counted.fold(0.0, |sum, (j, log_p)| sum + targets[j] * (0.0 - log_p))
}

/// The gradient of [`cross_entropy`] by the logits: pᵢ·Σq − qᵢ.
///
/// ```
/// use wgpu_softmax::reference::cross_entropy_gradient;
/// assert_eq!(cross_entropy_gradient(&[0.0, 0.0], &[1.0, 0.0]), [-0.5, 0.5]);
/// ```
pub fn cross_entropy_gradient(row: &[f64], targets: &[f64]) -> Vec<f64> {
    // The loss is −⟨q, log p⟩, so that its gradient is −q pulled back.
    let cotangent: Vec<f64> = targets.iter().map(|q| 0.0 - q).collect();
    log_softmax_vjp(row, &cotangent)
}

/// The entropy of a row's probabilities in nats, −Σ pⱼ log pⱼ.
///
/// ```
/// use wgpu_softmax::reference::entropy;
/// assert_eq!(entropy(&[7.0, 7.0]), 2f64.ln());
/// assert_eq!(entropy(&[7.0, f64::NEG_INFINITY]), 0.0);
/// ```
pub fn entropy(row: &[f64]) -> f64 {
    cross_entropy_of(&log_softmax(row), &softmax(row))
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

/// A row with whatever else goes into its answer: an operand, a temperature, masks.
///
/// A mask leaves classes out: the answer is that of the shorter row, with 0 put in at their places (−∞ for
/// log-softmax). A row that nothing is left of, or nothing but −∞, is everywhere what
/// [`FullyMasked`] says. Derivatives are by the logits as they are given, x in z = x / T + a.
///
/// ```
/// use wgpu_softmax::{Op, Options, reference::Row};
/// let options = Options::default();
/// let masked = Row::new(&[6.0, f64::NAN, 6.0]).mask(&[true, false, true]);
/// assert_eq!(masked.compute(Op::Softmax, &options), [0.5, 0.0, 0.5]);
/// let tempered = Row::new(&[3.0, 3.0]).operand(&[1.0, 3.0]).temperature(2.0);
/// assert_eq!(tempered.compute(Op::Vjp, &options), [-0.25, 0.25]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    logits: &'a [f64],
    operand: &'a [f64],
    temperature: f64,
    mask: Option<&'a [bool]>,
    additive_mask: Option<&'a [f64]>,
}

/// What is left of a row without the classes that take no part.
struct Shorter {
    /// Where each class was.
    places: Vec<usize>,
    logits: Vec<f64>,
    operand: Vec<f64>,
}

impl Shorter {
    fn is_wholly_masked(&self) -> bool {
        self.logits.iter().all(|&z| z == f64::NEG_INFINITY)
    }
}

impl<'a> Row<'a> {
    /// A row of logits alone; of probabilities, where the options say so.
    pub fn new(logits: &'a [f64]) -> Self {
        Row { logits, operand: &[], temperature: 1.0, mask: None, additive_mask: None }
    }

    /// With a cotangent, a tangent or weights, as the operation needs it.
    pub fn operand(mut self, operand: &'a [f64]) -> Self {
        self.operand = operand;
        self
    }

    /// Divides the logits by `temperature`.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// Leaves only those classes for which `mask` is true.
    pub fn mask(mut self, mask: &'a [bool]) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Adds `mask` to the logits, after the temperature.
    pub fn additive_mask(mut self, mask: &'a [f64]) -> Self {
        self.additive_mask = Some(mask);
        self
    }

    /// All values that `op` gives for the row.
    ///
    /// # Panics
    /// Where the operation needs an operand and there is none, or anything is shorter than the logits. A loss,
    /// which has targets, is [`cross_entropy`]: it has no values here.
    pub fn compute(&self, op: Op, options: &Options) -> Vec<f64> {
        let shorter = self.shorter();
        let Shorter { places, logits, operand } = &shorter;
        let masked = if op == Op::LogSoftmax { f64::NEG_INFINITY } else { 0.0 };
        let classes = self.logits.len();
        let values = match op {
            Op::LogSumExp => return vec![log_sum_exp(logits)],
            Op::WeightedLogSumExp | Op::SignedLogSumExp => {
                let (log, sign) = weighted_log_sum_exp(logits, operand);
                return match op {
                    Op::SignedLogSumExp => vec![log, sign],
                    _ if sign < 0.0 => vec![f64::NAN],
                    _ => vec![log],
                };
            }
            _ if options.given == Given::Logits && shorter.is_wholly_masked() => {
                let value = if options.fully_masked == FullyMasked::Nan { f64::NAN } else { masked };
                let count = if op.output() == Output::PerPair { classes * classes } else { classes };
                return vec![value; count];
            }
            Op::Softmax => softmax(logits),
            Op::LogSoftmax => log_softmax(logits),
            Op::Jacobian => jacobian(logits),
            Op::LogSoftmaxJacobian => log_softmax_jacobian(logits),
            Op::Vjp | Op::Jvp | Op::LogSoftmaxVjp | Op::LogSoftmaxJvp => {
                let p = match options.given {
                    Given::Logits => Probabilities::of(logits),
                    Given::Probabilities => Probabilities::given(logits),
                };
                match op {
                    Op::LogSoftmaxVjp => p.back_through_log_softmax(operand),
                    Op::LogSoftmaxJvp => p.forward_through_log_softmax(operand),
                    _ => p.through_softmax(operand),
                }
            }
            Op::CrossEntropy | Op::CrossEntropyGradient => return Vec::new(),
        };
        // The chain rule: dz = dx / T.
        let slope = if matches!(op, Op::Softmax | Op::LogSoftmax) { 1.0 } else { self.temperature };
        let mut values = values.into_iter().map(|value| value / slope);
        if op.output() == Output::PerPair {
            let mut result = vec![masked; classes * classes];
            for (i, j) in places.iter().flat_map(|i| places.iter().map(move |j| (i, j))) {
                result[i * classes + j] = values.next().unwrap_or(masked);
            }
            result
        } else {
            self.spread(places, values, masked)
        }
    }

    /// Cross-entropy with `targets`, a number for every class: +∞ where one that is masked is not 0.
    ///
    /// ```
    /// use wgpu_softmax::{Options, reference::Row};
    /// let row = Row::new(&[0.0, 0.0, f64::NAN]).mask(&[true, true, false]);
    /// assert_eq!(row.cross_entropy(&[1.0, 0.0, 0.0], &Options::default()), 2f64.ln());
    /// assert_eq!(row.cross_entropy(&[0.0, 0.0, 1.0], &Options::default()), f64::INFINITY);
    /// ```
    ///
    /// # Panics
    /// Where anything is shorter than the logits.
    pub fn cross_entropy(&self, targets: &[f64], options: &Options) -> f64 {
        if self.is_undefined(options) {
            return f64::NAN;
        }
        cross_entropy_of(&self.compute(Op::LogSoftmax, options), targets)
    }

    /// The gradient of [`Row::cross_entropy`] by the logits: (pᵢ·Σq − qᵢ) / T, and 0 for masked classes.
    ///
    /// # Panics
    /// As [`Row::cross_entropy`].
    pub fn cross_entropy_gradient(&self, targets: &[f64], options: &Options) -> Vec<f64> {
        let shorter = self.shorter();
        if shorter.is_wholly_masked() {
            let nothing = if options.fully_masked == FullyMasked::Nan { f64::NAN } else { 0.0 };
            return vec![nothing; self.logits.len()];
        }
        let p = softmax(&shorter.logits);
        let total: f64 = targets[..self.logits.len()].iter().sum();
        let remaining = shorter.places.iter().map(|&place| targets[place]);
        let values = p.iter().zip(remaining).map(|(p, q)| (p * total - q) / self.temperature);
        self.spread(&shorter.places, values, 0.0)
    }

    /// The entropy of the probabilities, in nats: 0 where there is no probability.
    pub fn entropy(&self, options: &Options) -> f64 {
        if self.is_undefined(options) {
            return f64::NAN;
        }
        let p = self.compute(Op::Softmax, options);
        cross_entropy_of(&self.compute(Op::LogSoftmax, options), &p)
    }

    /// Whether nothing is left of the row, and that is not a number.
    fn is_undefined(&self, options: &Options) -> bool {
        options.fully_masked == FullyMasked::Nan && self.shorter().is_wholly_masked()
    }

    /// The row without the classes that take no part, its temperature and additive mask applied.
    fn shorter(&self) -> Shorter {
        let takes_part = |place: &usize| self.mask.is_none_or(|mask| mask[*place]);
        let places: Vec<usize> = (0..self.logits.len()).filter(takes_part).collect();
        let added = |place: usize| self.additive_mask.map_or(0.0, |mask| mask[place]);
        let logits =
            places.iter().map(|&place| self.logits[place] / self.temperature + added(place)).collect();
        let operand = places.iter().filter_map(|&place| self.operand.get(place).copied()).collect();
        Shorter { places, logits, operand }
    }

    /// `values` at `places`, `masked` everywhere else.
    fn spread(&self, places: &[usize], values: impl Iterator<Item = f64>, masked: f64) -> Vec<f64> {
        let mut result = vec![masked; self.logits.len()];
        places.iter().zip(values).for_each(|(&place, value)| result[place] = value);
        result
    }
}

/// An operation on logits alone over every row of an array, the answers laid out as [`Rows::result`] says.
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
/// Where `logits` ends before the rows do, or the operation needs an operand: that is [`Row`]'s.
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
            let mut values = Row::new(&row).compute(op, options);
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
