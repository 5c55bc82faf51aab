//! A request with all that it is made from, and the judge of its answers: every element, within exactly what
//! is promised.
//!
//! It says what the answer is from the stored inputs alone, in f64 by the reference, and in double-double
//! arithmetic where f64 itself is on trial. u is half a unit in the last place of 1 in the type that is
//! computed in (f64 for logits of f64, otherwise f32), z = x / T + a, and e is 3 u·max|z| where there is a
//! temperature or an additive mask, otherwise 0.
//!
//! | result | |
//! | --- | --- |
//! | softmax | (16 u + e)·p; a row sums to 1 within 16 u |
//! | log-softmax | 8 u·max(1, \|y\|) + e; the largest entry also 16 u·\|y\| + e |
//! | log-sum-exp | 4 u·(\|max\| + \|lse\| + log term) + e |
//! | Jacobian pᵢ(δᵢⱼ − pⱼ) | (34 u + 2 e) relative: two probabilities |
//! | of log-softmax, δᵢⱼ − pⱼ | (40 u + e) relative |
//! | VJP, JVP | (40 u + e)·pᵢ·max\|v\| |
//! | log-softmax VJP | 40 u·(\|vᵢ\| + pᵢ·Σ\|v\|) + e·pᵢ·Σ\|v\| |
//! | log-softmax JVP | 40 u·(\|vᵢ\| + Σ p\|v\|) + e·Σ p\|v\| |
//! | log \|Σ b exp x\|, S = Σ b exp(x − max), r = Σ \|b\| exp(x − max) without the maximum | 4 u·(\|max\| + \|lse\| + \|log S\|) + (16 u·r + e·(\|b\| + r)) / \|S\| |
//!
//! Derivatives' bounds are divided by T as they are. Each bound carries the least normal number besides (for
//! products as often as v is large, since a p that is flushed is multiplied with it), and a result that is
//! stored in fewer digits than it was computed in one unit in the last place of its own type. A sign of a
//! weighted sum is free only where the bound reaches 0. What the contract names is judged by its bits.

use half::{bf16, f16};
use wgpu_softmax::{Dtype, Error, Given, Op, Options, Output, Request, reference};

use super::adjusted::{Adjusted, AdjustedRow, Layout};
use super::device::{Processor, devices};
use super::double_double::DoubleDouble;
use super::judge::Worst;
use super::rows_of_interest::Random;
use super::stored::{Stored, greatest, unit_in_the_last_place};

/// Everything that a request is made from.
#[derive(Debug, Clone)]
pub struct Question {
    pub op: Op,
    pub layout: Layout,
    pub logits: Stored,
    pub operand: Option<Stored>,
    pub result: Dtype,
    pub options: Options,
    pub adjusted: Adjusted,
}

/// u of the type that is computed in.
pub fn unit(computed: Dtype) -> f64 {
    if computed == Dtype::F64 { f64::EPSILON / 2.0 } else { f64::from(f32::EPSILON) / 2.0 }
}

/// The least normal number of the type that is computed in.
pub fn tiny(computed: Dtype) -> f64 {
    if computed == Dtype::F64 { f64::MIN_POSITIVE } else { f32::MIN_POSITIVE.into() }
}

/// What an element should be.
#[derive(Debug, Clone, Copy)]
struct Expected {
    value: DoubleDouble,
    /// How far from it an answer may be; `None` where it must be the very number.
    bound: Option<f64>,
    /// What the error is told in multiples of: as many of its u as are promised are the bound.
    scale: f64,
}

impl Expected {
    fn exactly(value: f64) -> Self {
        Expected { value: value.into(), bound: None, scale: 1.0 }
    }
}

impl Question {
    /// `op` along one axis of `logits`, with a result of their type.
    pub fn new(op: Op, logits: Stored, shape: &[usize], axis: usize) -> Self {
        let result = logits.dtype();
        let layout = Layout::new(shape, &[axis]);
        let (options, adjusted) = (Options::default(), Adjusted::default());
        Question { op, layout, logits, operand: None, result, options, adjusted }
    }

    /// About logits along an axis, with some operand of their type where the operation needs one.
    pub fn of_logits(op: Op, logits: Stored, shape: &[usize], axis: usize) -> Self {
        let (dtype, elements) = (logits.dtype(), logits.len());
        let question = Question::new(op, logits, shape, axis);
        if op.operand().is_none() {
            return question;
        }
        let random = &mut Random::new(elements as u64);
        question.operand(Stored::of(dtype, (0..elements).map(|_| 3.0 * random.normal())))
    }

    pub fn operand(mut self, operand: Stored) -> Self {
        self.operand = Some(operand);
        self
    }

    pub fn result(mut self, dtype: Dtype) -> Self {
        self.result = dtype;
        self
    }

    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    pub fn adjusted(mut self, adjusted: Adjusted) -> Self {
        self.adjusted = adjusted;
        self
    }

    pub fn request(&self) -> Request<'_> {
        let shape = &self.layout.shape;
        let mut request = Request::new(self.op, self.logits.elements(), shape, self.layout.request_axes())
            .options(self.options)
            .adjustment(self.adjusted.adjustment());
        if let Some(operand) = &self.operand {
            request = match self.op {
                Op::Vjp | Op::LogSoftmaxVjp => request.cotangent(operand.elements()),
                Op::Jvp | Op::LogSoftmaxJvp => request.tangent(operand.elements()),
                _ => request.weights(operand.elements()),
            };
        }
        request
    }

    pub fn computed(&self) -> Dtype {
        self.logits.dtype().computed()
    }

    /// Whether a device can be asked: GPUs do not know f64.
    pub fn serves(&self, device: &Processor) -> bool {
        let operand = self.operand.as_ref().map(Stored::dtype);
        device.computes_f64()
            || ![Some(self.logits.dtype()), operand, Some(self.result)].contains(&Some(Dtype::F64))
    }

    pub fn ask(&self, device: &Processor) -> Result<Stored, Error> {
        let request = self.request();
        match self.result {
            Dtype::F16 => device.answer::<f16>(&request).map(Stored::F16),
            Dtype::Bf16 => device.answer::<bf16>(&request).map(Stored::Bf16),
            Dtype::F32 => device.answer::<f32>(&request).map(Stored::F32),
            _ => device.answer::<f64>(&request).map(Stored::F64),
        }
    }

    /// Puts the question to every device that can be asked, and has all answers judged.
    #[track_caller]
    pub fn put(&self, what: &str) -> Worst {
        let mut worst = Worst::default();
        for device in devices().iter().filter(|device| self.serves(device)) {
            let answer = match self.ask(device) {
                Ok(answer) => answer,
                Err(error) => panic!("{what} on {}: {error}", device.name()),
            };
            match self.judge(&answer) {
                Ok(found) if found.units > worst.units => worst = found,
                Ok(_) => {}
                Err(fault) => panic!("{what} on {}: {fault}", device.name()),
            }
        }
        worst
    }

    /// The right answer, rounded once.
    pub fn right(&self) -> Stored {
        let places = self.layout.places();
        let rows: Vec<Vec<Expected>> =
            places.iter().enumerate().map(|(row, places)| self.expected(row, places)).collect();
        let mut values = vec![0.0; rows.iter().map(Vec::len).sum()];
        let mut written = 0;
        for (row, places) in rows.iter().zip(&places) {
            for (value, expected) in row.iter().enumerate() {
                let at = if self.op.output() == Output::PerElement { places[value] } else { written };
                // The NaN of results, with its sign and nothing else in it.
                let value = expected.value.value();
                values[at] = if value.is_nan() { f64::NAN } else { value };
                written += 1;
            }
        }
        let right = Stored::of(self.result, values);
        // No zero has a sign, least of all that of a logarithm that is too small for the type.
        let zeros = (0..right.len()).filter(|&place| right.get(place) == 0.0);
        right.replaced(zeros, 0.0)
    }

    fn title(&self) -> String {
        let Layout { shape, axes } = &self.layout;
        let operand =
            self.operand.as_ref().map_or(String::new(), |operand| format!(" with {}", operand.dtype()));
        format!(
            "{} of {shape:?} along {axes:?}, {}{operand} to {}",
            self.op,
            self.logits.dtype(),
            self.result
        )
    }

    /// The largest error of an answer: in u, with as many promised as the table says (e in them), or in units
    /// in the last place where the result has fewer digits than what it was computed in.
    ///
    /// # Errors
    /// What is wrong with the first element that is wrong.
    pub fn judge(&self, answer: &Stored) -> Result<Worst, String> {
        let (rows, classes) = (self.layout.rows(), self.layout.classes());
        let per_row = match self.op.output() {
            Output::PerElement => classes,
            Output::PerRow => 1,
            Output::TwoPerRow => 2,
            Output::PerPair => classes * classes,
        };
        if answer.len() != rows * per_row || answer.dtype() != self.result {
            return Err(format!("{}: {} × {}", self.title(), answer.len(), answer.dtype()));
        }
        let mut worst = Worst::default();
        for (row, places) in self.layout.places().iter().enumerate() {
            let expected = self.expected(row, places);
            let at = |place: usize| {
                if self.op.output() == Output::PerElement { places[place] } else { row * per_row + place }
            };
            let mut sum = DoubleDouble::ZERO;
            for (place, expected) in expected.iter().enumerate() {
                let units = self.judge_element(answer, at(place), expected).map_err(|fault| {
                    format!("{}, row {row}, value {place} of {per_row}: {fault}", self.title())
                })?;
                if units > worst.units {
                    worst = Worst { units, at: at(place) };
                }
                sum = sum + answer.get(at(place)).into();
            }
            let judged = expected.iter().any(|expected| expected.bound.is_some());
            if self.op == Op::Softmax && judged && !self.is_narrowed() {
                let bound = 16.0 * unit(self.computed()) + tiny(self.computed());
                let excess = (sum - DoubleDouble::ONE).value();
                if excess.is_nan() || excess.abs() > bound {
                    return Err(format!("{}, row {row}: sums to 1 + {excess:e}", self.title()));
                }
            }
        }
        Ok(worst)
    }

    /// Whether results have fewer digits than what they are computed in.
    pub fn is_narrowed(&self) -> bool {
        self.result.bytes() < self.computed().bytes()
    }

    fn judge_element(&self, answer: &Stored, place: usize, expected: &Expected) -> Result<f64, String> {
        let got = answer.get(place);
        let right = expected.value.value();
        let negative_zero = self.op == Op::LogSoftmax && got == 0.0 && got.is_sign_negative();
        let may_vanish = self.is_narrowed() && right < 0.0;
        if negative_zero && !may_vanish {
            return Err(format!("−0 where {right:e} is right"));
        }
        judge_value(answer, place, expected.value, expected.bound, expected.scale, self.computed())
    }

    /// What every value of row `row` should be.
    fn expected(&self, row: usize, places: &[usize]) -> Vec<Expected> {
        let computed = self.computed();
        let adjusted = self.adjusted.row(&self.logits, &self.layout, row, places, computed);
        let operand: Vec<f64> = match &self.operand {
            Some(operand) => places.iter().map(|&place| operand.get(place)).collect(),
            None => Vec::new(),
        };
        let values = self.reference(&adjusted, &operand);
        if matches!(self.op, Op::WeightedLogSumExp | Op::SignedLogSumExp) {
            return self.expected_weighted(&adjusted, &operand, &values);
        }
        let remaining: Vec<usize> = (0..places.len()).filter(|&class| adjusted.takes_part[class]).collect();
        let z: Vec<f64> = remaining.iter().map(|&class| adjusted.z[class]).collect();
        let maximum = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let special = match self.options.given {
            Given::Logits => z.iter().any(|z| z.is_nan()) || !maximum.is_finite(),
            Given::Probabilities => z.iter().any(|z| z.is_nan()),
        };
        let exact = |values: &[f64]| values.iter().map(|&value| Expected::exactly(value)).collect();
        if special || values.iter().any(|value| value.is_nan()) {
            return exact(&values);
        }

        // What takes part, each with its place in `values`.
        let v: Vec<f64> = operand
            .iter()
            .enumerate()
            .filter(|(class, _)| adjusted.takes_part[*class])
            .map(|(_, v)| *v)
            .collect();
        let truth = if computed == Dtype::F64 {
            let remaining_logits = Remaining {
                x: remaining.iter().map(|&class| self.logits.get(places[class])).collect(),
                z: &z,
                added: self.added(row, places, &remaining, computed),
                temperature: adjusted.temperature,
            };
            exact_values(self.op, self.options.given, &remaining_logits, &v)
        } else {
            let kept: Box<dyn Iterator<Item = usize>> = match self.op.output() {
                Output::PerPair => {
                    let classes = places.len();
                    let columns = &remaining;
                    Box::new(remaining.iter().flat_map(move |i| columns.iter().map(move |j| i * classes + j)))
                }
                Output::PerElement => Box::new(remaining.iter().copied()),
                _ => Box::new(0..1),
            };
            kept.map(|place| DoubleDouble::from(values[place])).collect()
        };
        let p = match self.options.given {
            Given::Logits => reference::softmax(&z),
            Given::Probabilities => z.clone(),
        };
        let bounded = self.bounded(&z, maximum, &p, &v, &truth, &adjusted);

        // Everything that is masked is what the reference says, to the bit.
        let mut expected: Vec<Expected> = exact(&values);
        match self.op.output() {
            Output::PerPair => {
                let pairs = remaining.iter().flat_map(|&i| remaining.iter().map(move |&j| (i, j)));
                for ((i, j), value) in pairs.zip(bounded) {
                    expected[i * places.len() + j] = value;
                }
            }
            Output::PerElement => {
                remaining.iter().zip(bounded).for_each(|(&class, value)| expected[class] = value)
            }
            _ => expected[0] = bounded[0],
        }
        expected
    }

    fn reference(&self, adjusted: &AdjustedRow, operand: &[f64]) -> Vec<f64> {
        let row = reference::Row::new(&adjusted.z).mask(&adjusted.takes_part).operand(operand);
        let values = row.compute(self.op, &self.options);
        let slope = if self.is_derivative() { adjusted.temperature } else { 1.0 };
        values.into_iter().map(|value| value / slope).collect()
    }

    fn is_derivative(&self) -> bool {
        Op::PRODUCTS.contains(&self.op) || self.op.output() == Output::PerPair
    }

    /// z − x / T of the classes that take part.
    fn added(&self, row: usize, places: &[usize], remaining: &[usize], computed: Dtype) -> Vec<f64> {
        let Some((mask, shape)) = &self.adjusted.additive_mask else { return vec![0.0; remaining.len()] };
        let zero = Stored::of(Dtype::F64, vec![0.0; self.logits.len()]);
        let alone = Adjusted { additive_mask: Some((mask.clone(), shape.clone())), ..Adjusted::default() };
        let added = alone.row(&zero, &self.layout, row, places, computed).z;
        remaining.iter().map(|&class| added[class]).collect()
    }

    /// The bounds of a row without special values, of what takes part.
    fn bounded(
        &self,
        z: &[f64],
        maximum: f64,
        p: &[f64],
        v: &[f64],
        truth: &[DoubleDouble],
        adjusted: &AdjustedRow,
    ) -> Vec<Expected> {
        let (u, tiny) = (unit(self.computed()), tiny(self.computed()));
        let moved = 3.0 * u * adjusted.magnitude;
        let slope = if self.is_derivative() { 1.0 / adjusted.temperature } else { 1.0 };
        let counted = || p.iter().zip(v).filter(|(p, _)| **p != 0.0);
        let greatest_v = counted().map(|(_, v)| v.abs()).fold(0.0, f64::max);
        let mean_v: f64 = counted().map(|(p, v)| p * v.abs()).sum();
        let sum_v: f64 = v.iter().map(|v| v.abs()).sum();
        let below: Vec<f64> = z.iter().map(|z| z - maximum).collect();
        let bounds = truth.iter().enumerate().map(|(place, &value)| {
            let size = value.value().abs();
            let masked = self.options.given == Given::Logits && z.get(place) == Some(&f64::NEG_INFINITY);
            // How many u are promised, the bound without what may be flushed, and that.
            let (units, bound, flushed) = match self.op {
                Op::Softmax | Op::Vjp | Op::Jvp if masked => return Expected::exactly(0.0),
                Op::LogSoftmax if masked => return Expected::exactly(f64::NEG_INFINITY),
                Op::Softmax if z.len() == 1 => return Expected::exactly(1.0),
                Op::LogSoftmax if z.len() == 1 => return Expected::exactly(0.0),
                Op::LogSumExp if z.len() == 1 && adjusted.magnitude == 0.0 => return Expected::exactly(z[0]),
                Op::Softmax if size < tiny => (16.0, 0.0, tiny),
                Op::Softmax => (16.0, (16.0 * u + moved) * size, tiny),
                Op::LogSoftmax => {
                    let bound = 8.0 * u * size.max(1.0);
                    let bound = if z[place] == maximum { bound.min(16.0 * u * size) } else { bound };
                    (8.0, bound + moved, tiny)
                }
                Op::LogSumExp => {
                    let scale = maximum.abs() + size + reference::log_sum_exp(&below);
                    (4.0, 4.0 * u * scale + moved, tiny)
                }
                Op::Jacobian => (34.0, (34.0 * u + 2.0 * moved) * size, tiny * (1.0 + slope)),
                Op::LogSoftmaxJacobian => (40.0, (40.0 * u + moved) * size, tiny * (1.0 + slope)),
                Op::Vjp | Op::Jvp => {
                    let scale = slope * p[place] * greatest_v;
                    (40.0, (40.0 * u + moved) * scale, tiny * (1.0 + 2.0 * slope * greatest_v))
                }
                Op::LogSoftmaxVjp => {
                    let (own, others) = (slope * v[place].abs(), slope * p[place] * sum_v);
                    (40.0, 40.0 * u * (own + others) + moved * others, tiny * (2.0 + slope * sum_v))
                }
                _ => {
                    let (own, mean) = (slope * v[place].abs(), slope * mean_v);
                    // A device that flushes may do so to both sides of the difference.
                    (40.0, 40.0 * u * (own + mean) + moved * mean, tiny * (2.0 + slope * sum_v))
                }
            };
            Expected { value, bound: Some(bound + flushed), scale: bound / (units * u) }
        });
        bounds.collect()
    }

    fn expected_weighted(&self, adjusted: &AdjustedRow, weights: &[f64], values: &[f64]) -> Vec<Expected> {
        let (u, tiny) = (unit(self.computed()), tiny(self.computed()));
        let remaining = || {
            let classes = adjusted.z.iter().zip(weights).zip(&adjusted.takes_part);
            classes.filter(|((_, b), takes_part)| **takes_part && **b != 0.0).map(|((z, b), _)| (*z, *b))
        };
        let maximum = remaining().map(|(z, _)| z).fold(f64::NEG_INFINITY, f64::max);
        let first = remaining().position(|(z, _)| z == maximum);
        let plain = remaining().all(|(z, b)| z < f64::INFINITY && b.is_finite());
        let exact: Vec<Expected> = values.iter().map(|&value| Expected::exactly(value)).collect();
        let Some(first) = first.filter(|_| plain && maximum.is_finite()) else { return exact };
        let terms: Vec<f64> = remaining().map(|(z, b)| b * (z - maximum).exp()).collect();
        let others: f64 =
            terms.iter().enumerate().filter(|(j, _)| *j != first).map(|(_, term)| term.abs()).sum();
        let sum: f64 = terms.iter().sum();
        let moved = 3.0 * u * adjusted.magnitude;
        // By how much the sum may be off.
        let off = 16.0 * u * others + moved * (terms[first].abs() + others) + tiny * terms.len() as f64;
        let sign_is_free = sum.abs() <= off && others > 0.0;
        let (log, sign) = reference::weighted_log_sum_exp(
            &remaining().map(|(z, _)| z).collect::<Vec<_>>(),
            &remaining().map(|(_, b)| b).collect::<Vec<_>>(),
        );
        let scale = maximum.abs() + log.abs() + sum.abs().ln().abs();
        let bound =
            4.0 * u * scale + if sign_is_free { f64::INFINITY } else { off / (sum.abs() - off) } + tiny;
        let anything = Expected { value: log.into(), bound: Some(f64::INFINITY), scale: f64::INFINITY };
        let log = match self.op {
            _ if sign_is_free => anything,
            Op::WeightedLogSumExp if sign < 0.0 => Expected::exactly(f64::NAN),
            _ => Expected { value: log.into(), bound: Some(bound), scale: bound / (4.0 * u) },
        };
        let sign = if sign_is_free { anything } else { Expected::exactly(sign) };
        if self.op == Op::SignedLogSumExp { vec![log, sign] } else { vec![log] }
    }
}

/// Judges one element of an answer: its error, in u of `scale`, or what it is off beyond its bound in units in
/// the last place of its own type, where that has fewer digits than what it was computed in.
///
/// # Errors
/// What is wrong with it.
pub fn judge_value(
    answer: &Stored,
    place: usize,
    expected: DoubleDouble,
    bound: Option<f64>,
    scale: f64,
    computed: Dtype,
) -> Result<f64, String> {
    let got = answer.get(place);
    let right = expected.value();
    let dtype = answer.dtype();
    let refused = |bound: f64| {
        let bits = answer.bits(place);
        Err(format!("{got:e} ({bits:#x}) where {right:e} is right, within {bound:e}"))
    };
    if got.is_nan() && !answer.is_the_nan(place) {
        return Err(format!("a NaN of bits {:#x}", answer.bits(place)));
    }
    let narrowed = dtype.bytes() < computed.bytes();
    let within = bound.unwrap_or(0.0);
    let last_place = unit_in_the_last_place(dtype, right);
    let bound = match bound {
        // The very number, as nearly as the type has it.
        None if right.is_nan() => return if got.is_nan() { Ok(0.0) } else { refused(0.0) },
        None if right.is_infinite() => return if got == right { Ok(0.0) } else { refused(0.0) },
        None if narrowed => 0.5 * last_place,
        None => 0.0,
        Some(bound) if bound == f64::INFINITY => return Ok(0.0),
        Some(bound) if narrowed => bound + last_place,
        Some(bound) => bound,
    };
    if got.is_infinite() {
        // Right where what is right, or what it may be off to, is rounded to infinity.
        let greatest = greatest(dtype);
        let overflows = greatest + 0.5 * unit_in_the_last_place(dtype, greatest);
        let reaches = right.is_sign_negative() == got.is_sign_negative() && right.abs() + bound >= overflows;
        return if reaches { Ok(0.0) } else { refused(bound) };
    }
    let error = ((got - expected.high) - expected.low).abs();
    if error.is_nan() || error > bound {
        return refused(bound);
    }
    if narrowed {
        return Ok((error - within).max(0.0) / last_place);
    }
    // Errors of what may be flushed are not told in units.
    let unit = unit(computed) * scale;
    Ok(if unit > 100.0 * tiny(computed) { (error - tiny(computed)).max(0.0) / unit } else { 0.0 })
}

/// The classes of a row that take part, without any rounding yet.
struct Remaining<'a> {
    x: Vec<f64>,
    added: Vec<f64>,
    temperature: f64,
    /// x / T + a, rounded.
    z: &'a [f64],
}

impl Remaining<'_> {
    /// z, exactly: x / T + a.
    fn exact(&self, class: usize) -> DoubleDouble {
        if !self.z[class].is_finite() {
            return self.z[class].into();
        }
        let quotient = if self.temperature == 1.0 {
            self.x[class].into()
        } else {
            DoubleDouble::from(self.x[class]) * DoubleDouble::from(self.temperature).recip()
        };
        quotient + self.added[class].into()
    }
}

/// All values that an operation has for a row without special values, in twice the digits of f64.
fn exact_values(op: Op, given: Given, row: &Remaining<'_>, v: &[f64]) -> Vec<DoubleDouble> {
    let classes = row.z.len();
    let z: Vec<DoubleDouble> = (0..classes).map(|class| row.exact(class)).collect();
    let order = |&class: &usize| (z[class].high, z[class].low);
    let larger = |a: usize, b: usize| if order(&b) > order(&a) { b } else { a };
    let first = (0..classes).fold(0, larger);
    let maximum = z[first];
    let below: Vec<DoubleDouble> = z.iter().map(|&z| z - maximum).collect();
    let exponentials: Vec<DoubleDouble> = below.iter().map(|x| x.exp()).collect();
    let others = exponentials.iter().enumerate().filter(|(class, _)| *class != first);
    let rest = others.fold(DoubleDouble::ZERO, |sum, (_, &exponential)| sum + exponential);
    let (log_sum, factor) = (rest.ln_1p(), (rest + DoubleDouble::ONE).recip());
    let p: Vec<DoubleDouble> = match given {
        Given::Logits => exponentials.iter().map(|&exponential| exponential * factor).collect(),
        Given::Probabilities => row.z.iter().map(|&p| p.into()).collect(),
    };
    let left = |class: usize| if class == first { rest * factor } else { DoubleDouble::ONE - p[class] };
    let slope = DoubleDouble::from(row.temperature).recip();
    let exists = |class: usize| p[class].high != 0.0;
    let times = |class: usize, v: DoubleDouble| if exists(class) { p[class] * v } else { DoubleDouble::ZERO };
    let mean = || (0..v.len()).fold(DoubleDouble::ZERO, |sum, class| sum + times(class, v[class].into()));
    let pairs = || (0..classes).flat_map(|i| (0..classes).map(move |j| (i, j)));
    match op {
        Op::Softmax => p,
        Op::LogSoftmax => below.iter().map(|&x| x - log_sum).collect(),
        Op::LogSumExp => vec![log_sum + maximum],
        Op::Jacobian => {
            let value = |(i, j)| if i == j { p[i] * left(i) } else { -(p[i] * p[j]) };
            pairs().map(|pair| value(pair) * slope).collect()
        }
        Op::LogSoftmaxJacobian => {
            let value = |(i, j)| if i == j { left(i) } else { -p[j] };
            pairs().map(|pair| value(pair) * slope).collect()
        }
        Op::LogSoftmaxVjp => {
            let sum = v.iter().fold(DoubleDouble::ZERO, |sum, &v| sum + v.into());
            (0..classes).map(|i| (DoubleDouble::from(v[i]) - times(i, sum)) * slope).collect()
        }
        Op::LogSoftmaxJvp => {
            let mean = mean();
            v.iter().map(|&v| (DoubleDouble::from(v) - mean) * slope).collect()
        }
        _ => {
            let mean = mean();
            (0..classes).map(|i| times(i, DoubleDouble::from(v[i]) - mean) * slope).collect()
        }
    }
}
