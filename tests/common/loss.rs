//! A cross-entropy with all that it is made from, and the judge of its answers.
//!
//! u, z, e and the rest of a bound are those of `question.rs`. For a row with targets q (class weights and
//! label smoothing in them), nllⱼ = −log pⱼ and log-sum-exp L:
//!
//! | result | |
//! | --- | --- |
//! | loss of a row | Σ \|qⱼ\|·(8 u·max(1, nllⱼ) + e + 4 u·nllⱼ), the maximum's own nll within 16 u relative; z-loss c·L²: 2 c\|L\|·δL + 4 u·c·L², with δL the log-sum-exp's bound |
//! | loss reduced | the sum of the rows' bounds, scaled as they are, and 4 u of the result |
//! | gradient | (40 u + e)·(pᵢ·Σ\|q\| + \|qᵢ\|) for the targets, 2 c·pᵢ·((40 u + e)·\|L\| + δL) for the z-loss, scaled as the reduction has it, over T |
//! | log-probability of the label, log-sum-exp | as in a request |
//! | entropy H | (24 u + 2 e)·(1 + H) |
//! | argmax | the very class; with a temperature or an additive mask any whose z is the largest within e |
//!
//! A loss may be +∞ where an nll that has a target is beyond the range of the type that is computed in.
//!
//! In f64 the truth is f64 itself, summed plainly: all bounds are 64 times as large there. Each bound carries
//! the least normal number besides, and one unit in the last place of results with fewer digits.

use half::{bf16, f16};
use wgpu_softmax::{
    CrossEntropy, Dtype, Element, Error, FullyMasked, Labels, Losses, Op, Options, Reduction, Targets,
    reference,
};

use super::adjusted::{Adjusted, AdjustedRow, Layout};
use super::device::{Processor, devices};
use super::question::{judge_value, tiny, unit};
use super::stored::{Stored, greatest};

/// Labels of each type.
#[derive(Debug, Clone)]
pub enum LabelArray {
    I32(Vec<i32>),
    I64(Vec<i64>),
    U32(Vec<u32>),
    U8(Vec<u8>),
}

impl LabelArray {
    pub const TYPES: [fn(&[i64]) -> Self; 4] = [
        |labels| LabelArray::I32(labels.iter().map(|&label| label as i32).collect()),
        |labels| LabelArray::I64(labels.to_vec()),
        |labels| LabelArray::U32(labels.iter().map(|&label| label as u32).collect()),
        |labels| LabelArray::U8(labels.iter().map(|&label| label as u8).collect()),
    ];

    fn get(&self, row: usize) -> i64 {
        match self {
            LabelArray::I32(labels) => labels[row].into(),
            LabelArray::I64(labels) => labels[row],
            LabelArray::U32(labels) => labels[row].into(),
            LabelArray::U8(labels) => labels[row].into(),
        }
    }
}

/// What the probabilities are compared with.
#[derive(Debug, Clone)]
pub enum Target {
    Labels(LabelArray),
    Probabilities(Stored),
}

/// Everything that a loss is made from.
#[derive(Debug, Clone)]
pub struct Loss {
    pub layout: Layout,
    pub logits: Stored,
    pub target: Target,
    pub weights: Option<Stored>,
    pub ignored: Option<i64>,
    pub smoothing: f64,
    pub z_loss: f64,
    pub reduction: Reduction,
    /// The type of the gradient, where it is wanted.
    pub gradient: Option<Dtype>,
    /// Whether everything else is wanted, too.
    pub extras: bool,
    pub adjusted: Adjusted,
    pub options: Options,
}

/// An answer, whatever its types are.
#[derive(Debug, Clone)]
pub struct Answer {
    pub losses: Stored,
    pub counted: u64,
    pub gradient: Option<Stored>,
    pub label_log_probabilities: Option<Stored>,
    pub log_sum_exp: Option<Stored>,
    pub entropy: Option<Stored>,
    pub argmax: Option<Vec<u64>>,
}

impl Answer {
    fn new<R: Element>(losses: Losses<R>) -> Self
    where
        Stored: From<Vec<R>> + From<Vec<R::Computed>>,
    {
        Answer {
            losses: losses.losses.into(),
            counted: losses.counted,
            gradient: losses.gradient.map(Stored::from),
            label_log_probabilities: losses.label_log_probabilities.map(Stored::from),
            log_sum_exp: losses.log_sum_exp.map(Stored::from),
            entropy: losses.entropy.map(Stored::from),
            argmax: losses.argmax,
        }
    }
}

/// The largest errors of an answer, in u.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorstOfLoss {
    /// Of the loss, in u·max(1, loss).
    pub loss: f64,
    /// Of the gradient, in u·(pᵢ·Σ|q| + |qᵢ|), scaled; of a narrowed one, in units in its last place.
    pub gradient: f64,
    /// Of the entropy, in u·(1 + H).
    pub entropy: f64,
}

impl WorstOfLoss {
    pub fn join(&mut self, other: WorstOfLoss) {
        self.loss = self.loss.max(other.loss);
        self.gradient = self.gradient.max(other.gradient);
        self.entropy = self.entropy.max(other.entropy);
    }
}

/// What is right of one row.
struct Truth {
    loss: f64,
    loss_bound: f64,
    /// Whether one of the terms is beyond the range of the type that is computed in.
    may_overflow: bool,
    /// L² and its bound, times the coefficient.
    z_loss: f64,
    z_bound: f64,
    is_counted: bool,
    row: AdjustedRow,
    targets: Vec<f64>,
    p: Vec<f64>,
    log_sum_exp: f64,
    log_sum_exp_bound: f64,
}

impl Loss {
    /// With labels of i64, along one axis of logits, the gradient in their type.
    pub fn new(logits: Stored, shape: &[usize], axis: usize, labels: &[i64]) -> Self {
        Loss {
            layout: Layout::new(shape, &[axis]),
            gradient: Some(logits.dtype()),
            logits,
            target: Target::Labels(LabelArray::I64(labels.to_vec())),
            weights: None,
            ignored: None,
            smoothing: 0.0,
            z_loss: 0.0,
            reduction: Reduction::Mean,
            extras: true,
            adjusted: Adjusted::default(),
            options: Options::default(),
        }
    }

    pub fn cross_entropy(&self) -> CrossEntropy<'_> {
        let targets = match &self.target {
            Target::Labels(LabelArray::I32(labels)) => Targets::Labels(Labels::I32(labels)),
            Target::Labels(LabelArray::I64(labels)) => Targets::Labels(Labels::I64(labels)),
            Target::Labels(LabelArray::U32(labels)) => Targets::Labels(Labels::U32(labels)),
            Target::Labels(LabelArray::U8(labels)) => Targets::Labels(Labels::U8(labels)),
            Target::Probabilities(probabilities) => Targets::Probabilities(probabilities.elements()),
        };
        let axes = self.layout.request_axes();
        let mut loss = CrossEntropy::new(self.logits.elements(), &self.layout.shape, axes, targets)
            .label_smoothing(self.smoothing)
            .z_loss(self.z_loss)
            .reduction(self.reduction)
            .adjustment(self.adjusted.adjustment())
            .options(self.options);
        if let Some(weights) = &self.weights {
            loss = loss.class_weights(weights.elements());
        }
        if let Some(ignored) = self.ignored {
            loss = loss.ignore_index(ignored);
        }
        if self.gradient.is_some() {
            loss = loss.with_gradient();
        }
        if self.extras {
            loss = loss.with_log_sum_exp().with_entropy().with_argmax();
            if matches!(self.target, Target::Labels(_)) {
                loss = loss.with_label_log_probabilities();
            }
        }
        loss
    }

    fn computed(&self) -> Dtype {
        self.logits.dtype().computed()
    }

    pub fn serves(&self, device: &Processor) -> bool {
        device.computes_f64() || ![self.logits.dtype(), self.result()].contains(&Dtype::F64)
    }

    fn result(&self) -> Dtype {
        self.gradient.unwrap_or(self.computed())
    }

    pub fn ask(&self, device: &Processor) -> Result<Answer, Error> {
        let loss = self.cross_entropy();
        match self.result() {
            Dtype::F16 => device.cross_entropy::<f16>(&loss).map(Answer::new),
            Dtype::Bf16 => device.cross_entropy::<bf16>(&loss).map(Answer::new),
            Dtype::F32 => device.cross_entropy::<f32>(&loss).map(Answer::new),
            _ => device.cross_entropy::<f64>(&loss).map(Answer::new),
        }
    }

    /// Has every device that can compute the loss, and judges all answers.
    #[track_caller]
    pub fn put(&self, what: &str) -> WorstOfLoss {
        let mut worst = WorstOfLoss::default();
        for device in devices().iter().filter(|device| self.serves(device)) {
            let answer = match self.ask(device) {
                Ok(answer) => answer,
                Err(error) => panic!("{what} on {}: {error}", device.name()),
            };
            match self.judge(&answer) {
                Ok(found) => worst.join(found),
                Err(fault) => panic!("{what} on {}: {fault}", device.name()),
            }
        }
        worst
    }

    /// The class that a row belongs to; `None` where it is ignored or there are no labels.
    fn label(&self, row: usize) -> Option<usize> {
        match &self.target {
            Target::Labels(labels) => {
                let label = labels.get(row);
                (Some(label) != self.ignored).then_some(label as usize)
            }
            Target::Probabilities(_) => None,
        }
    }

    fn weight(&self, class: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights.get(class))
    }

    /// The targets q of a row, and whether it is counted.
    fn targets(&self, row: usize, places: &[usize], takes_part: &[bool]) -> (Vec<f64>, bool) {
        let classes = places.len();
        let spread = |class: usize| {
            if takes_part[class] { self.smoothing / classes as f64 * self.weight(class) } else { 0.0 }
        };
        match &self.target {
            Target::Labels(_) => {
                let Some(label) = self.label(row) else { return (vec![0.0; classes], false) };
                let own =
                    |class| if class == label { (1.0 - self.smoothing) * self.weight(label) } else { 0.0 };
                ((0..classes).map(|class| own(class) + spread(class)).collect(), true)
            }
            Target::Probabilities(probabilities) => {
                let own = |class: usize| {
                    (1.0 - self.smoothing) * probabilities.get(places[class]) * self.weight(class)
                };
                ((0..classes).map(|class| own(class) + spread(class)).collect(), true)
            }
        }
    }

    fn truth(&self, row: usize, places: &[usize]) -> Truth {
        let computed = self.computed();
        let u = unit(computed);
        let adjusted = self.adjusted.row(&self.logits, &self.layout, row, places, computed);
        let (targets, is_counted) = self.targets(row, places, &adjusted.takes_part);
        let meant = reference::Row::new(&adjusted.z).mask(&adjusted.takes_part);
        let moved = 3.0 * u * adjusted.magnitude;
        let log_p = meant.compute(Op::LogSoftmax, &self.options);
        let log_sum_exp = meant.compute(Op::LogSumExp, &self.options)[0];
        let participating =
            || adjusted.z.iter().zip(&adjusted.takes_part).filter(|(_, takes_part)| **takes_part);
        let maximum = participating().map(|(z, _)| *z).fold(f64::NEG_INFINITY, f64::max);
        let log_term = (log_sum_exp - maximum).abs();
        let log_sum_exp_bound = 4.0 * u * (maximum.abs() + log_sum_exp.abs() + log_term) + moved;
        let counts = |(log_p, q): (&f64, &f64)| *q != 0.0 && log_p.abs() > greatest(computed);
        let may_overflow = log_p.iter().zip(&targets).any(counts);
        let loss_bound = log_p.iter().zip(&targets).enumerate().filter(|(_, (_, q))| **q != 0.0).map(
            |(class, (log_p, q))| {
                let nll = log_p.abs();
                let own = 8.0 * u * nll.max(1.0);
                let own = if adjusted.z[class] == maximum { own.min(16.0 * u * nll) } else { own };
                q.abs() * (own + moved + 4.0 * u * nll)
            },
        );
        Truth {
            loss: if is_counted { meant.cross_entropy(&targets, &self.options) } else { 0.0 },
            loss_bound: loss_bound.sum(),
            may_overflow,
            z_loss: if is_counted && self.z_loss != 0.0 {
                self.z_loss * log_sum_exp * log_sum_exp
            } else {
                0.0
            },
            z_bound: self.z_loss.abs()
                * log_sum_exp.abs()
                * (2.0 * log_sum_exp_bound + 4.0 * u * log_sum_exp.abs()),
            is_counted,
            targets,
            p: meant.compute(Op::Softmax, &self.options),
            log_sum_exp,
            log_sum_exp_bound,
            row: adjusted,
        }
    }

    /// Judges an answer.
    ///
    /// # Errors
    /// What is wrong with the first value that is wrong.
    pub fn judge(&self, answer: &Answer) -> Result<WorstOfLoss, String> {
        let title = |what: &str, fault: String| {
            let Layout { shape, axes } = &self.layout;
            format!("cross-entropy of {shape:?} along {axes:?}, {}: {what}: {fault}", self.logits.dtype())
        };
        let computed = self.computed();
        let places = self.layout.places();
        let truths: Vec<Truth> =
            places.iter().enumerate().map(|(row, places)| self.truth(row, places)).collect();
        let mut worst = WorstOfLoss {
            loss: self.judge_losses(&truths, answer).map_err(|f| title("loss", f))?,
            ..WorstOfLoss::default()
        };

        if answer.gradient.is_some() != self.gradient.is_some() {
            return Err(title("gradient", "there, or not there".into()));
        }
        if let Some(gradient) = &answer.gradient {
            if gradient.len() != self.logits.len() || Some(gradient.dtype()) != self.gradient {
                return Err(title("gradient", format!("{} × {}", gradient.len(), gradient.dtype())));
            }
            let scales = self.scales(&truths);
            for (row, truth) in truths.iter().enumerate() {
                let units = self.judge_gradient(truth, scales, &places[row], gradient);
                worst.gradient =
                    worst.gradient.max(units.map_err(|f| title(&format!("gradient of row {row}"), f))?);
            }
        }
        let extras = [&answer.log_sum_exp, &answer.entropy]
            .map(Option::is_some)
            .into_iter()
            .chain([answer.argmax.is_some()]);
        let has_labels = matches!(self.target, Target::Labels(_));
        if extras
            .chain([answer.label_log_probabilities.is_some() || !has_labels])
            .any(|is_there| is_there != self.extras)
            && (self.extras || has_labels)
        {
            return Err(title("extras", "there, or not there".into()));
        }
        if self.extras {
            for (row, truth) in truths.iter().enumerate() {
                let units = self.judge_extras(row, truth, answer, computed);
                worst.entropy = worst.entropy.max(units.map_err(|f| title(&format!("row {row}"), f))?);
            }
        }
        Ok(worst)
    }

    /// How much looser a bound is where the truth has no more digits than the answer.
    fn slack(&self) -> f64 {
        if self.computed() == Dtype::F64 { 64.0 } else { 1.0 }
    }

    /// What the rows' losses and their z-losses are multiplied with.
    fn scales(&self, truths: &[Truth]) -> [f64; 2] {
        if self.reduction != Reduction::Mean {
            return [1.0, 1.0];
        }
        let weight: f64 = match &self.target {
            Target::Labels(_) => {
                (0..truths.len()).filter_map(|row| self.label(row)).map(|y| self.weight(y)).sum()
            }
            Target::Probabilities(_) => truths.len() as f64,
        };
        [1.0 / weight, 1.0 / truths.iter().filter(|truth| truth.is_counted).count() as f64]
    }

    fn judge_losses(&self, truths: &[Truth], answer: &Answer) -> Result<f64, String> {
        let computed = self.computed();
        let counted = truths.iter().filter(|truth| truth.is_counted).count() as u64;
        if answer.counted != counted {
            return Err(format!("{} rows counted where {counted} is right", answer.counted));
        }
        if answer.losses.dtype() != self.result().computed() {
            return Err(format!("in {}", answer.losses.dtype()));
        }
        let mut expected: Vec<(f64, f64)> = truths
            .iter()
            .map(|truth| (truth.loss + truth.z_loss, truth.loss_bound + truth.z_bound))
            .collect();
        if self.reduction != Reduction::None {
            let scales = self.scales(truths);
            let sum = |of: fn(&Truth) -> [f64; 2]| {
                let counted = truths.iter().filter(|truth| truth.is_counted).map(of);
                let [loss, z_loss] = counted.fold([0.0; 2], |sum, next| [sum[0] + next[0], sum[1] + next[1]]);
                loss * scales[0] + if self.z_loss == 0.0 { 0.0 } else { z_loss * scales[1] }
            };
            let value = match (self.reduction, counted) {
                (Reduction::Mean, 0) => f64::NAN,
                _ => sum(|truth| [truth.loss, truth.z_loss]),
            };
            let bound = sum(|truth| [truth.loss_bound, truth.z_bound]);
            expected = vec![(value, bound + 4.0 * unit(computed) * value.abs())];
        }
        if answer.losses.len() != expected.len() {
            return Err(format!("{} of them", answer.losses.len()));
        }
        let mut worst: f64 = 0.0;
        for (row, (value, bound)) in expected.into_iter().enumerate() {
            let overflows = match self.reduction {
                Reduction::None => truths[row].may_overflow,
                _ => truths.iter().any(|truth| truth.may_overflow),
            };
            if overflows && answer.losses.get(row) == f64::INFINITY {
                continue;
            }
            let bound =
                (!value.is_nan() && value.is_finite()).then_some(bound * self.slack() + tiny(computed));
            let units = judge_value(&answer.losses, row, value.into(), bound, value.abs().max(1.0), computed);
            worst = worst.max(units.map_err(|fault| format!("value {row}: {fault}"))?);
        }
        Ok(worst)
    }

    fn judge_gradient(
        &self,
        truth: &Truth,
        [scale, z_scale]: [f64; 2],
        places: &[usize],
        gradient: &Stored,
    ) -> Result<f64, String> {
        let computed = self.computed();
        let (u, tiny) = (unit(computed), tiny(computed));
        let moved = 3.0 * u * truth.row.magnitude;
        let meant = reference::Row::new(&truth.row.z).mask(&truth.row.takes_part);
        let own = meant.cross_entropy_gradient(&truth.targets, &self.options);
        let total: f64 = truth.targets.iter().map(|q| q.abs()).sum();
        let slope = 1.0 / truth.row.temperature;
        let mut worst: f64 = 0.0;
        for (class, &place) in places.iter().enumerate() {
            let (value, bound, size) =
                if !truth.is_counted || !truth.row.takes_part[class] && !own[class].is_nan() {
                    (0.0, None, 1.0)
                } else if own[class].is_nan() {
                    (f64::NAN, None, 1.0)
                } else {
                    let p = truth.p[class];
                    let z_factor =
                        if self.z_loss == 0.0 || p == 0.0 { 0.0 } else { 2.0 * self.z_loss * p * z_scale };
                    let l = if z_factor == 0.0 { 0.0 } else { truth.log_sum_exp };
                    let value = (own[class] * scale + z_factor * l) * slope;
                    let size = (p * total + truth.targets[class].abs()) * scale;
                    let bound = (40.0 * u + moved) * size
                        + if z_factor == 0.0 {
                            0.0
                        } else {
                            z_factor.abs() * ((40.0 * u + moved) * l.abs() + truth.log_sum_exp_bound)
                        };
                    let bound = bound * slope * self.slack()
                        + tiny * (1.0 + slope * (total * scale + (z_factor * l).abs()));
                    (value, Some(bound), (size + (z_factor * l).abs()) * slope)
                };
            let units = judge_value(gradient, place, value.into(), bound, size, computed);
            worst = worst.max(units.map_err(|fault| format!("class {class}: {fault}"))?);
        }
        Ok(worst)
    }

    /// Judges what else there is of a row: the error of its entropy.
    fn judge_extras(
        &self,
        row: usize,
        truth: &Truth,
        answer: &Answer,
        computed: Dtype,
    ) -> Result<f64, String> {
        let (u, tiny) = (unit(computed), tiny(computed));
        let moved = 3.0 * u * truth.row.magnitude;
        let meant = reference::Row::new(&truth.row.z).mask(&truth.row.takes_part);
        let judge = |what: &str, values: &Option<Stored>, value: f64, bound: f64| {
            let Some(values) = values else { return Err(format!("no {what}")) };
            let bound = value.is_finite().then_some(bound * self.slack() + tiny);
            let scale = 1.0 + value.abs();
            judge_value(values, row, value.into(), bound, scale, computed)
                .map_err(|fault| format!("{what}: {fault}"))
        };
        judge("log-sum-exp", &answer.log_sum_exp, truth.log_sum_exp, truth.log_sum_exp_bound)?;
        if matches!(self.target, Target::Labels(_)) {
            let (value, bound) = match self.label(row) {
                None => (0.0, 0.0),
                Some(label) => {
                    let value = meant.compute(Op::LogSoftmax, &self.options)[label];
                    (value, 8.0 * u * value.abs().max(1.0) + moved)
                }
            };
            judge("log-probability of the label", &answer.label_log_probabilities, value, bound)?;
        }
        let remaining = || {
            let classes = truth.row.z.iter().zip(&truth.row.takes_part).enumerate();
            classes.filter(|(_, (_, takes_part))| **takes_part).map(|(class, (z, _))| (class, *z))
        };
        let largest = remaining().map(|(_, z)| z).fold(f64::NEG_INFINITY, f64::max);
        if let (Some(argmax), true) = (&answer.argmax, remaining().next().is_some()) {
            let first_nan = remaining().find(|(_, z)| z.is_nan());
            let first = first_nan.or_else(|| remaining().find(|(_, z)| *z == largest)).unwrap_or((0, 0.0)).0;
            let got = argmax[row] as usize;
            let is_close =
                remaining().any(|(class, z)| class == got && z >= largest - moved) && first_nan.is_none();
            if got != first && !(moved > 0.0 && is_close) {
                return Err(format!("argmax {got} where {first} is right"));
            }
        }
        let entropy = meant.entropy(&self.options);
        judge("entropy", &answer.entropy, entropy, (24.0 * u + 2.0 * moved) * (1.0 + entropy))
    }

    /// Whether wholly masked rows have no probability rather than NaN.
    pub fn zero_where_masked(mut self) -> Self {
        self.options = self.options.fully_masked(FullyMasked::Zero);
        self
    }
}
