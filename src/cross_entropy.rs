//! Cross-entropy over an array in host memory: what it is made of, the checks, and the way from the rows'
//! losses to the answer.
//!
//! For a row with log-sum-exp L and nll_c = L − z_c the loss is Σ_c q_c·nll_c + z_loss·L², with targets
//! q_c = (1 − ε)·w_y·[c = y] + ε/C·w_c for a label y, or q_c = w_c·((1 − ε)·t_c + ε/C) for target
//! probabilities t. Its gradient by z is p·Σq − q + 2·z_loss·L·p. Label smoothing is Szegedy et al.'s
//! (2016), z-loss that of Chowdhery et al. (2022).

use crate::adjustment::Resolved;
use crate::arrangement::Arrangement;
use crate::cpu::{CompensatedSum, Real};
use crate::one_call::{memory_for, room_for};
use crate::request::check_given;
use crate::tensor::check_length;
use crate::{Adjustment, Axes, Element, Elements, ElementsMut, Error, Op, Options, Result};

/// The classes that rows belong to, one number a row.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Labels<'a> {
    /// Labels of i32.
    I32(&'a [i32]),
    /// Labels of i64.
    I64(&'a [i64]),
    /// Labels of u32.
    U32(&'a [u32]),
    /// Labels of u8.
    U8(&'a [u8]),
}

/// Labels that are looked at together.
pub(crate) const LABELS_AT_ONCE: usize = 64;

impl Labels<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Labels::I32(labels) => labels.len(),
            Labels::I64(labels) => labels.len(),
            Labels::U32(labels) => labels.len(),
            Labels::U8(labels) => labels.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels of up to as many rows as there are places, from `first` on.
    pub(crate) fn widened<'p>(&self, first: usize, places: &'p mut [i64]) -> &'p [i64] {
        fn widen<'p, T: Copy + Into<i64>>(labels: Option<&[T]>, places: &'p mut [i64]) -> &'p [i64] {
            let labels = labels.unwrap_or_default();
            places.iter_mut().zip(labels).for_each(|(place, &label)| *place = label.into());
            &places[..labels.len().min(places.len())]
        }
        match self {
            Labels::I32(labels) => widen(labels.get(first..), places),
            Labels::I64(labels) => widen(labels.get(first..), places),
            Labels::U32(labels) => widen(labels.get(first..), places),
            Labels::U8(labels) => widen(labels.get(first..), places),
        }
    }

    /// The label of a row.
    pub(crate) fn of(&self, row: usize) -> i64 {
        match self {
            Labels::I32(labels) => labels[row].into(),
            Labels::I64(labels) => labels[row],
            Labels::U32(labels) => labels[row].into(),
            Labels::U8(labels) => labels[row].into(),
        }
    }
}

/// What a row's probabilities are compared with.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Targets<'a> {
    /// One class a row: C-ordered over the logits' axes without the classes'.
    Labels(Labels<'a>),
    /// A probability for every logit.
    Probabilities(Elements<'a>),
}

macro_rules! labels_from {
    ($($type:ty, $variant:ident;)*) => {$(
        impl<'a> From<&'a [$type]> for Targets<'a> {
            fn from(labels: &'a [$type]) -> Self {
                Targets::Labels(Labels::$variant(labels))
            }
        }
        impl<'a, const LENGTH: usize> From<&'a [$type; LENGTH]> for Targets<'a> {
            fn from(labels: &'a [$type; LENGTH]) -> Self {
                Targets::Labels(Labels::$variant(labels))
            }
        }
        impl<'a> From<&'a Vec<$type>> for Targets<'a> {
            fn from(labels: &'a Vec<$type>) -> Self {
                Targets::Labels(Labels::$variant(labels))
            }
        }
    )*};
}
labels_from! { i32, I32; i64, I64; u32, U32; u8, U8; }

impl<'a> From<Elements<'a>> for Targets<'a> {
    fn from(probabilities: Elements<'a>) -> Self {
        Targets::Probabilities(probabilities)
    }
}

/// How the rows' losses become the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Not at all: a loss for each row, 0 for an ignored one.
    None,
    /// Their sum.
    Sum,
    /// Their sum, divided by Σ w_y over the rows that are not ignored; by the number of rows for target
    /// probabilities. The z-loss is divided by the number of rows that are not ignored. NaN where there is
    /// none.
    #[default]
    Mean,
}

/// Cross-entropy between the softmax of logits and targets, with its gradient where that is wanted.
///
/// A target probability, and what smoothing spreads, is left out for classes that a mask leaves out; a label
/// there costs +∞.
///
/// The classes lie on any axis: (N, C) with labels (N), or (N, C, d₁, d₂, …) with labels (N, d₁, d₂, …), as
/// PyTorch and ONNX lay them out.
///
/// ```
/// use wgpu_softmax::{Cpu, CrossEntropy};
/// let loss = CrossEntropy::new(&[0.0f32, 0.0, 1.0, 1.0], &[2, 2], 1, &[0i64, -1]).ignore_index(-1).with_gradient();
/// let answer = Cpu::new().cross_entropy::<f32>(&loss)?;
/// approx::assert_relative_eq!(answer.losses[0], 2f32.ln());
/// assert_eq!((answer.counted, answer.gradient), (1, Some(vec![-0.5, 0.5, 0.0, 0.0])));
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct CrossEntropy<'a> {
    logits: Elements<'a>,
    shape: &'a [usize],
    axes: Axes,
    targets: Targets<'a>,
    class_weights: Option<Elements<'a>>,
    ignore_index: Option<i64>,
    label_smoothing: f64,
    z_loss: f64,
    reduction: Reduction,
    mean_over: Option<(u64, f64)>,
    before: LossSums,
    wanted: Wanted,
    adjustment: Adjustment<'a>,
    options: Options,
}

/// What is wanted beside the loss.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    pub(crate) gradient: bool,
    pub(crate) label_log_probabilities: bool,
    pub(crate) log_sum_exp: bool,
    pub(crate) entropy: bool,
    pub(crate) argmax: bool,
}

impl Wanted {
    /// How many values each row comes to: the loss and those beside it.
    fn values_of_rows(&self) -> u64 {
        let Wanted { gradient: _, label_log_probabilities, log_sum_exp, entropy, argmax } = *self;
        1 + [label_log_probabilities, log_sum_exp, entropy, argmax].map(u64::from).iter().sum::<u64>()
    }
}

impl<'a> CrossEntropy<'a> {
    /// Cross-entropy along `axes` of `logits`, a C-ordered array of `shape`, with labels or target
    /// probabilities.
    pub fn new(
        logits: impl Into<Elements<'a>>,
        shape: &'a [usize],
        axes: impl Into<Axes>,
        targets: impl Into<Targets<'a>>,
    ) -> Self {
        CrossEntropy {
            logits: logits.into(),
            shape,
            axes: axes.into(),
            targets: targets.into(),
            class_weights: None,
            ignore_index: None,
            label_smoothing: 0.0,
            z_loss: 0.0,
            reduction: Reduction::default(),
            mean_over: None,
            before: LossSums::default(),
            wanted: Wanted::default(),
            adjustment: Adjustment::default(),
            options: Options::default(),
        }
    }

    /// A weight for each class.
    pub fn class_weights(mut self, weights: impl Into<Elements<'a>>) -> Self {
        self.class_weights = Some(weights.into());
        self
    }

    /// Leaves out the rows with this label: loss 0, gradient 0, not counted, whatever their logits are.
    pub fn ignore_index(mut self, label: i64) -> Self {
        self.ignore_index = Some(label);
        self
    }

    /// ε: how much of each target is spread over all classes evenly.
    pub fn label_smoothing(mut self, epsilon: f64) -> Self {
        self.label_smoothing = epsilon;
        self
    }

    /// The coefficient of the squared log-sum-exp.
    pub fn z_loss(mut self, coefficient: f64) -> Self {
        self.z_loss = coefficient;
        self
    }

    /// How the rows' losses become the answer.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// As a part of a batch that does not fit at once: means are taken over all of it, of whose rows `counted` are not
    /// ignored, with class weights that sum to `weight` (for target probabilities, both are the number of rows).
    ///
    /// With [`added_to`](CrossEntropy::added_to), part by part in the order of the rows, gradients and loss have the
    /// bits that they have of the batch as a whole.
    ///
    /// ```
    /// use wgpu_softmax::{Cpu, CrossEntropy, LossSums};
    /// let (logits, labels) = ([0.5f32, 2.0, -1.0, 0.3], [1i64, 0]);
    /// let whole = Cpu::new().cross_entropy::<f32>(&CrossEntropy::new(&logits, &[2, 2], 1, &labels))?;
    /// let (mut sums, mut loss) = (LossSums::default(), 0.0);
    /// for row in 0..2 {
    ///     let (logits, labels) = (&logits[2 * row..][..2], &labels[row..][..1]);
    ///     let part = CrossEntropy::new(logits, &[1, 2], 1, labels).mean_over(2, 2.0).added_to(sums);
    ///     let answer = Cpu::new().cross_entropy::<f32>(&part)?;
    ///     (sums, loss) = (answer.sums, answer.losses[0]);
    /// }
    /// assert_eq!(loss, whole.losses[0]);
    /// # Ok::<(), wgpu_softmax::Error>(())
    /// ```
    pub fn mean_over(mut self, counted: u64, weight: f64) -> Self {
        self.mean_over = Some((counted, weight));
        self
    }

    /// With the rows before these, which have come to `sums`: what is reduced is all of them.
    pub fn added_to(mut self, sums: LossSums) -> Self {
        self.before = sums;
        self
    }

    /// Also the gradient of the reduced loss by the logits, from the same pass. Without a reduction, that of
    /// each row's loss.
    pub fn with_gradient(mut self) -> Self {
        self.wanted.gradient = true;
        self
    }

    /// Also the log-probability of each row's label; 0 for an ignored row. For labels alone.
    pub fn with_label_log_probabilities(mut self) -> Self {
        self.wanted.label_log_probabilities = true;
        self
    }

    /// Also each row's log-sum-exp.
    pub fn with_log_sum_exp(mut self) -> Self {
        self.wanted.log_sum_exp = true;
        self
    }

    /// Also the entropy of each row's probabilities, in nats.
    pub fn with_entropy(mut self) -> Self {
        self.wanted.entropy = true;
        self
    }

    /// Also each row's most probable class: the first one of several, the first NaN where there is one.
    pub fn with_argmax(mut self) -> Self {
        self.wanted.argmax = true;
        self
    }

    /// With a temperature or masks.
    pub fn adjustment(mut self, adjustment: Adjustment<'a>) -> Self {
        self.adjustment = adjustment;
        self
    }

    /// With other choices than the default ones.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The loss with its rows, once everything is known to fit.
    pub(crate) fn arranged(&self) -> Result<ArrangedLoss<'a>> {
        let mut loss = self.fitted()?;
        let classes = loss.arrangement.rows.classes();
        if let Targets::Labels(labels) = &self.targets {
            (loss.counted, loss.weight) = (0, 0.0);
            for first in (0..labels.len()).step_by(LABELS_AT_ONCE) {
                let mut places = [0; LABELS_AT_ONCE];
                for (index, &label) in labels.widened(first, &mut places).iter().enumerate() {
                    if Some(label) == self.ignore_index {
                        continue;
                    }
                    if label < 0 || label as u64 >= classes {
                        return Err(Error::LabelOutOfRange { row: (first + index) as u64, label, classes });
                    }
                    loss.counted += 1;
                    if self.class_weights.is_some() {
                        loss.weight += loss.class_weight(label as usize);
                    }
                }
            }
            if self.class_weights.is_none() {
                loss.weight = loss.counted as f64;
            }
        }
        Ok(loss)
    }

    /// The same, whatever the labels are: they are not counted yet.
    pub(crate) fn fitted(&self) -> Result<ArrangedLoss<'a>> {
        let op = Op::CrossEntropy;
        let arrangement = Arrangement::new(op, self.shape, &self.axes)?;
        let rows = arrangement.rows;
        check_length("the logits' slice", rows.elements(), self.logits.len() as u64)?;
        match &self.targets {
            Targets::Labels(labels) => check_length("the labels' slice", rows.count(), labels.len() as u64)?,
            Targets::Probabilities(targets) => {
                check_length("the target probabilities' slice", rows.elements(), targets.len() as u64)?;
                if self.ignore_index.is_some() {
                    return Err(Error::OperandUnused {
                        op,
                        given: "an ignored label beside target probabilities",
                    });
                }
                if self.wanted.label_log_probabilities {
                    return Err(Error::OperandUnused {
                        op,
                        given: "labels' log-probabilities without labels",
                    });
                }
            }
        }
        if let Some(weights) = &self.class_weights {
            check_length("the class weights' slice", rows.classes(), weights.len() as u64)?;
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            let (what, value) = ("the label smoothing", self.label_smoothing.to_string());
            return Err(Error::LossParameter { what, value, allowed: "a number from 0 to 1" });
        }
        if !self.z_loss.is_finite() {
            let (what, value) = ("the z-loss coefficient", self.z_loss.to_string());
            return Err(Error::LossParameter { what, value, allowed: "a finite number" });
        }
        check_given(op, &self.options, !self.adjustment.is_none())?;
        if rows.classes() == 0 {
            // There may be more rows than memory: nothing of the caller's is as large.
            drop(room_for::<f64>(rows.count().saturating_mul(self.wanted.values_of_rows()))?);
        }
        let adjustment = self.adjustment.resolve(self.shape, &arrangement, self.logits.dtype().computed())?;
        Ok(ArrangedLoss {
            logits: self.logits,
            targets: self.targets,
            class_weights: self.class_weights,
            ignore_index: self.ignore_index,
            smoothing: self.label_smoothing,
            z_loss: self.z_loss,
            reduction: self.reduction,
            mean_over: self.mean_over,
            before: self.before,
            wanted: self.wanted,
            arrangement,
            adjustment,
            options: self.options,
            counted: rows.count(),
            weight: rows.count() as f64,
        })
    }
}

/// A loss whose parts fit each other.
#[derive(Debug, Clone)]
pub(crate) struct ArrangedLoss<'a> {
    pub(crate) logits: Elements<'a>,
    pub(crate) targets: Targets<'a>,
    pub(crate) class_weights: Option<Elements<'a>>,
    ignore_index: Option<i64>,
    /// ε.
    pub(crate) smoothing: f64,
    pub(crate) z_loss: f64,
    reduction: Reduction,
    /// Rows that are not ignored, and their weight, where these are not all.
    mean_over: Option<(u64, f64)>,
    /// What came before.
    before: LossSums,
    pub(crate) wanted: Wanted,
    pub(crate) arrangement: Arrangement,
    pub(crate) adjustment: Resolved<'a>,
    pub(crate) options: Options,
    /// Rows that are not ignored.
    counted: u64,
    /// Σ w_y over them; their number for target probabilities.
    weight: f64,
}

impl<'a> ArrangedLoss<'a> {
    /// The target probabilities, where there are any.
    pub(crate) fn operand(&self) -> Option<Elements<'a>> {
        match self.targets {
            Targets::Labels(_) => None,
            Targets::Probabilities(targets) => Some(targets),
        }
    }

    /// The label of a row, counted over outer and inner; `None` where it is ignored.
    pub(crate) fn label_of(&self, labels: &Labels<'_>, row: usize) -> Option<usize> {
        self.counted(labels.of(row))
    }

    /// The class that a label names; `None` where it is ignored.
    #[inline]
    pub(crate) fn counted(&self, label: i64) -> Option<usize> {
        (Some(label) != self.ignore_index).then_some(label as usize)
    }

    /// That it is about one row, ignored or not, whose label's class has a weight.
    pub(crate) fn is_of_row(&mut self, is_counted: bool, weight: f64) {
        (self.counted, self.weight) = if is_counted { (1, weight) } else { (0, 0.0) };
    }

    /// 1 where there are no weights.
    pub(crate) fn class_weight(&self, class: usize) -> f64 {
        self.class_weights.as_ref().map_or(1.0, |weights| weights.get(class).unwrap_or(0.0))
    }

    /// What the gradient of a row's Σ q·nll is multiplied with, and that of its z-loss.
    pub(crate) fn scales(&self) -> [f64; 2] {
        let (counted, weight) = self.averaged();
        match self.reduction {
            Reduction::None | Reduction::Sum => [1.0, 1.0],
            Reduction::Mean => [1.0 / weight, 1.0 / counted as f64],
        }
    }

    /// The number of rows that a mean is taken over, and their weight.
    fn averaged(&self) -> (u64, f64) {
        self.mean_over.unwrap_or((self.counted, self.weight))
    }

    /// Whether there is one loss for all rows.
    pub(crate) fn is_reduced(&self) -> bool {
        self.reduction != Reduction::None
    }

    /// What came before the rows of this one.
    pub(crate) fn before(&self) -> LossSums {
        self.before
    }

    /// Whether the loss of a row has something to do with its log-sum-exp.
    pub(crate) fn has_z_loss(&self) -> bool {
        self.z_loss != 0.0
    }

    /// The z-loss of a row: 0 for an ignored one.
    pub(crate) fn z_loss_of(&self, row: usize, log_sum_exp: f64) -> f64 {
        let is_counted = match &self.targets {
            Targets::Labels(labels) => self.label_of(labels, row).is_some(),
            Targets::Probabilities(_) => true,
        };
        if is_counted { self.z_loss * log_sum_exp * log_sum_exp } else { 0.0 }
    }

    /// So many values of each kind as the answer has.
    fn lengths(&self) -> Lengths {
        let (rows, elements) = (self.arrangement.rows.count(), self.arrangement.rows.elements());
        let Wanted { gradient, label_log_probabilities, log_sum_exp, entropy, argmax } = self.wanted;
        let of_rows = |wanted: bool| if wanted { rows } else { 0 };
        Lengths {
            losses: if self.is_reduced() { 1 } else { rows },
            gradient: if gradient { elements } else { 0 },
            label_log_probabilities: of_rows(label_log_probabilities),
            log_sum_exp: of_rows(log_sum_exp),
            entropy: of_rows(entropy),
            argmax: of_rows(argmax),
        }
    }

    /// Memory for the answer.
    pub(crate) fn new_memory<R: Element>(&self) -> Result<Losses<R>> {
        let (wanted, lengths) = (self.wanted, self.lengths());
        let of_rows = |wanted: bool, length| wanted.then(|| memory_for(length)).transpose();
        Ok(Losses {
            losses: memory_for(lengths.losses)?,
            counted: self.counted,
            sums: self.before,
            gradient: wanted.gradient.then(|| memory_for(lengths.gradient)).transpose()?,
            label_log_probabilities: of_rows(
                wanted.label_log_probabilities,
                lengths.label_log_probabilities,
            )?,
            log_sum_exp: of_rows(wanted.log_sum_exp, lengths.log_sum_exp)?,
            entropy: of_rows(wanted.entropy, lengths.entropy)?,
            argmax: wanted.argmax.then(|| memory_for(lengths.argmax)).transpose()?,
        })
    }

    /// Whether there is room for what is wanted, and for nothing else.
    pub(crate) fn check_memory<R: Element>(&self, memory: &LossMemory<'_, R>) -> Result<()> {
        let lengths = self.lengths();
        let all = [
            ("the losses' slice", lengths.losses, memory.losses.len()),
            ("the gradient's slice", lengths.gradient, memory.gradient.len()),
            (
                "the slice of the labels' log-probabilities",
                lengths.label_log_probabilities,
                memory.label_log_probabilities.len(),
            ),
            ("the slice of the rows' log-sum-exp", lengths.log_sum_exp, memory.log_sum_exp.len()),
            ("the slice of the rows' entropies", lengths.entropy, memory.entropy.len()),
            ("the slice of the rows' most probable classes", lengths.argmax, memory.argmax.len()),
        ];
        all.into_iter().try_for_each(|(what, expected, given)| check_length(what, expected, given as u64))
    }

    /// Where a device puts what it finds.
    pub(crate) fn places<'m, R: Element>(&self, memory: &'m mut LossMemory<'_, R>) -> LossPlaces<'m> {
        let losses = if self.is_reduced() { &mut [] } else { &mut *memory.losses };
        LossPlaces {
            gradient: self.wanted.gradient.then(|| R::elements_mut(memory.gradient)),
            of_rows: RowPlaces {
                losses: R::Computed::elements_mut(losses),
                log_sum_exp: R::Computed::elements_mut(memory.log_sum_exp),
                label_log_probabilities: R::Computed::elements_mut(memory.label_log_probabilities),
                entropy: R::Computed::elements_mut(memory.entropy),
                argmax: &mut *memory.argmax,
            },
        }
    }

    /// The loss of all rows, where there is one, once it is known what they have come to.
    pub(crate) fn conclude<R: Element>(&self, sums: LossSums, memory: &mut LossMemory<'_, R>) -> LossTotals {
        let [scale, z_scale] = self.scales();
        if let ([loss], true) = (&mut *memory.losses, self.is_reduced()) {
            let (sum, z_sum) = (sums.losses.value(), sums.z_losses.value());
            *loss = narrow(match self.reduction {
                Reduction::Mean if self.averaged().0 == 0 => f64::NAN,
                _ if self.has_z_loss() => sum * scale + z_sum * z_scale,
                _ => sum * scale,
            });
        }
        LossTotals { counted: self.counted, sums }
    }
}

/// To the type of a result, with one NaN for all.
pub(crate) fn narrow<C: Real>(value: f64) -> C {
    if value.is_nan() { C::NAN } else { C::narrow(value) }
}

/// So many values of each kind, 0 of what is not wanted.
struct Lengths {
    losses: u64,
    gradient: u64,
    label_log_probabilities: u64,
    log_sum_exp: u64,
    entropy: u64,
    argmax: u64,
}

/// Memory of the caller's for what a loss comes to: a slice for the losses, and one for each thing that is wanted
/// beside them.
///
/// What is not wanted has no slice. `cross_entropy_into` of a device writes all of it.
///
/// ```
/// use wgpu_softmax::{Cpu, CrossEntropy, LossMemory, Reduction};
/// let (logits, labels) = ([0.0f32, 0.0, 1.0, 1.0], [0i64, -1]);
/// let loss = CrossEntropy::new(&logits, &[2, 2], 1, &labels).ignore_index(-1);
/// let loss = loss.reduction(Reduction::None).with_gradient().with_argmax();
/// let (mut losses, mut gradient, mut argmax) = ([9.0f32; 2], [9.0f32; 4], [9; 2]);
/// let memory = LossMemory::new(&mut losses).gradient(&mut gradient).argmax(&mut argmax);
/// let totals = Cpu::new().cross_entropy_into(&loss, memory)?;
/// approx::assert_relative_eq!(losses[0], 2f32.ln());
/// assert_eq!((losses[1], gradient, argmax), (0.0, [-0.5, 0.5, 0.0, 0.0], [0, 0]));
/// assert_eq!(totals.counted, 1);
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug)]
pub struct LossMemory<'m, R: Element> {
    losses: &'m mut [R::Computed],
    gradient: &'m mut [R],
    label_log_probabilities: &'m mut [R::Computed],
    log_sum_exp: &'m mut [R::Computed],
    entropy: &'m mut [R::Computed],
    argmax: &'m mut [u64],
}

impl<'m, R: Element> LossMemory<'m, R> {
    /// For the reduced loss alone, or for one of each row.
    pub fn new(losses: &'m mut [R::Computed]) -> Self {
        LossMemory {
            losses,
            gradient: &mut [],
            label_log_probabilities: &mut [],
            log_sum_exp: &mut [],
            entropy: &mut [],
            argmax: &mut [],
        }
    }

    /// Also for the gradient by the logits, in their shape.
    pub fn gradient(mut self, gradient: &'m mut [R]) -> Self {
        self.gradient = gradient;
        self
    }

    /// Also for the log-probability of each row's label.
    pub fn label_log_probabilities(mut self, logs: &'m mut [R::Computed]) -> Self {
        self.label_log_probabilities = logs;
        self
    }

    /// Also for each row's log-sum-exp.
    pub fn log_sum_exp(mut self, log_sum_exp: &'m mut [R::Computed]) -> Self {
        self.log_sum_exp = log_sum_exp;
        self
    }

    /// Also for each row's entropy.
    pub fn entropy(mut self, entropy: &'m mut [R::Computed]) -> Self {
        self.entropy = entropy;
        self
    }

    /// Also for each row's most probable class.
    pub fn argmax(mut self, argmax: &'m mut [u64]) -> Self {
        self.argmax = argmax;
        self
    }
}

/// Where a device puts what it finds, of types that are known at run time.
pub(crate) struct LossPlaces<'m> {
    pub(crate) gradient: Option<ElementsMut<'m>>,
    pub(crate) of_rows: RowPlaces<'m>,
}

/// Where the values of rows belong, counted over outer and inner. What is not wanted is empty, and so are the losses
/// where they are reduced.
pub(crate) struct RowPlaces<'m> {
    pub(crate) losses: ElementsMut<'m>,
    pub(crate) log_sum_exp: ElementsMut<'m>,
    pub(crate) label_log_probabilities: ElementsMut<'m>,
    pub(crate) entropy: ElementsMut<'m>,
    pub(crate) argmax: &'m mut [u64],
}

/// What the rows of a loss have come to, before a mean is taken of it; nothing without a reduction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossSums {
    losses: CompensatedSum,
    z_losses: CompensatedSum,
}

impl LossSums {
    /// With a row more, and with its z-loss where there is one.
    pub(crate) fn plus(self, loss: f64, z_loss: Option<f64>) -> Self {
        let z_losses = z_loss.map_or(self.z_losses, |z_loss| self.z_losses.plus(z_loss));
        LossSums { losses: self.losses.plus(loss), z_losses }
    }

    /// The same as bits, for whoever goes on at another time.
    pub fn to_bits(self) -> [u64; 4] {
        [self.losses.high, self.losses.low, self.z_losses.high, self.z_losses.low].map(f64::to_bits)
    }

    /// From [bits](LossSums::to_bits).
    pub fn from_bits(bits: [u64; 4]) -> LossSums {
        let [high, low, z_high, z_low] = bits.map(f64::from_bits);
        LossSums {
            losses: CompensatedSum { high, low },
            z_losses: CompensatedSum { high: z_high, low: z_low },
        }
    }
}

/// A loss, and what was wanted beside it.
///
/// Values per row are C-ordered over the logits' axes without the classes'.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Losses<R: Element> {
    /// The reduced loss alone, or one for each row.
    pub losses: Vec<R::Computed>,
    /// Rows that are not ignored.
    pub counted: u64,
    /// What [`CrossEntropy::added_to`] takes, for the rows after these.
    pub sums: LossSums,
    /// The gradient by the logits, in their shape.
    pub gradient: Option<Vec<R>>,
    /// The log-probability of each row's label.
    pub label_log_probabilities: Option<Vec<R::Computed>>,
    /// Each row's log-sum-exp.
    pub log_sum_exp: Option<Vec<R::Computed>>,
    /// Each row's entropy, in nats.
    pub entropy: Option<Vec<R::Computed>>,
    /// Each row's most probable class.
    pub argmax: Option<Vec<u64>>,
}

impl<R: Element> Losses<R> {
    /// All of it as memory to be written.
    pub(crate) fn memory(&mut self) -> LossMemory<'_, R> {
        LossMemory {
            losses: &mut self.losses,
            gradient: self.gradient.as_deref_mut().unwrap_or_default(),
            label_log_probabilities: self.label_log_probabilities.as_deref_mut().unwrap_or_default(),
            log_sum_exp: self.log_sum_exp.as_deref_mut().unwrap_or_default(),
            entropy: self.entropy.as_deref_mut().unwrap_or_default(),
            argmax: self.argmax.as_deref_mut().unwrap_or_default(),
        }
    }
}

/// What is left to say of a loss that was written into the caller's memory.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LossTotals {
    /// Rows that are not ignored.
    pub counted: u64,
    /// What [`CrossEntropy::added_to`] takes, for the rows after these.
    pub sums: LossSums,
}
