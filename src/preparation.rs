//! An operation over buffers with more to it than logits and a result, before it is prepared: operands,
//! dtypes, temperatures, masks, losses.

use crate::adjustment::{Broadcast, check_temperature};
use crate::arrangement::Arrangement;
use crate::encode::{Prepared, Ranges, Whole};
use crate::inputs::{NONE, inverse_of, kind, packed_digits};
use crate::kernels::tally;
use crate::plan::{AdjustmentParameters, Job, LossParameters, check_same_rows, label_kind, loss_kind};
use crate::rows::{checked_product, sizes_of};
use crate::{Axes, Dtype, Error, Gpu, Op, Options, Output, Reduction, Result, Rows};

/// An operation over buffer ranges of the caller's, to be [prepared](Preparation::prepare).
///
/// ```no_run
/// use wgpu_softmax::{Dtype, Gpu, MaskLayout, Op, Rows};
/// # use wgpu_softmax::wgpu;
/// # fn example(
/// #     gpu: &Gpu, scores: wgpu::Buffer, mask: wgpu::Buffer, weights: wgpu::Buffer, encoder: &mut wgpu::CommandEncoder,
/// # ) -> wgpu_softmax::Result<()> {
/// // Attention weights of f16 scores (batch, head, query, key), causal, with padding (batch, 1, 1, key).
/// let shape = [8, 12, 64, 64];
/// let rows = Rows::of_shape(&shape, &(-1).into())?;
/// let padding = MaskLayout::of_shape(&[8, 1, 1, 64], &shape, -1)?;
/// let softmax = gpu
///     .preparation(Op::Softmax, &rows, scores.slice(..), Dtype::F16)
///     .result(weights.slice(..), Dtype::F16)
///     .mask(mask.slice(..), &padding)
///     .causal(64, 0)
///     .prepare()?;
/// softmax.record(encoder);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Preparation<'a> {
    gpu: &'a Gpu,
    job: Job,
    ranges: Ranges<'a>,
    in_place: bool,
    // What the shaders are told of these is settled once all has been said, so that the order in which it is
    // said makes no difference, and the last word counts.
    temperature: Option<f32>,
    per_row: Option<(wgpu::BufferSlice<'a>, PerRow)>,
    mask: Option<(wgpu::BufferSlice<'a>, MaskLayout)>,
    additive_mask: Option<(wgpu::BufferSlice<'a>, MaskLayout)>,
    causal: Option<Causal>,
    labels: Option<(wgpu::BufferSlice<'a>, LabelType)>,
    class_weights: Option<wgpu::BufferSlice<'a>>,
    settings: Option<LossSettings>,
    row_values: RowValues,
}

/// Row r is query r mod `queries`, and sees the keys j ≤ that + `offset`, of those the last `window`.
#[derive(Debug, Clone, Copy)]
struct Causal {
    queries: u32,
    offset: i32,
    window: Option<u32>,
}

/// Where the elements of a mask lie that is broadcast to an array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MaskLayout {
    /// As the shaders take them.
    digits: u32,
    lengths_and_strides: [u32; 24],
    elements: u64,
    /// Those of the array.
    rows: Rows,
}

impl MaskLayout {
    /// A C-ordered mask of `mask` broadcast to an array of `shape` that is normalised along `axes`, as NumPy
    /// does it.
    ///
    /// # Errors
    /// [`Error::NotBroadcastable`], what [`Rows::of_shape`] reports, and [`Error::LimitExceeded`] where more
    /// than four lengths alternate between repeated and not, on either side of the axes or on them.
    pub fn of_shape(mask: &[usize], shape: &[usize], axes: impl Into<Axes>) -> Result<Self> {
        let axes = axes.into();
        let rows = Rows::of_shape(shape, &axes)?;
        let arrangement = Arrangement::new(Op::Softmax, shape, &axes)?;
        let broadcast = Broadcast::of_shape("the mask", mask, shape, &arrangement)?;
        let (digits, lengths_and_strides) = packed_digits(&broadcast)?;
        let elements = checked_product(&sizes_of(mask))?;
        Ok(MaskLayout { digits, lengths_and_strides, elements, rows })
    }
}

/// What is held for each row, in the range given to [`Preparation::per_row`]: two words, of which either may
/// be without meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PerRow {
    /// (temperature in f32, anything).
    Temperatures,
    /// (anything, length in u32).
    Lengths,
    /// (temperature in f32, length in u32).
    TemperaturesAndLengths,
}

/// How labels are stored in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LabelType {
    /// i32.
    I32,
    /// u32.
    U32,
    /// i64, the lower word first.
    I64,
    /// u8.
    U8,
}

impl LabelType {
    fn bytes(self) -> u64 {
        match self {
            LabelType::I32 | LabelType::U32 => 4,
            LabelType::I64 => 8,
            LabelType::U8 => 1,
        }
    }

    /// Bits of [`label_kind`].
    fn kind(self) -> u32 {
        match self {
            LabelType::I32 => 0,
            LabelType::I64 => label_kind::I64,
            LabelType::U8 => label_kind::U8,
            LabelType::U32 => label_kind::U32,
        }
    }
}

/// What a recorded loss is made of, beside its buffers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossSettings {
    /// The label of rows that are left out.
    pub ignore_index: Option<i64>,
    /// ε: how much of each target is spread over all classes evenly.
    pub label_smoothing: f32,
    /// The coefficient of the squared log-sum-exp.
    pub z_loss: f32,
    /// How the rows' losses become one, which decides on the factors of the gradient.
    pub reduction: Reduction,
}

impl Default for LossSettings {
    fn default() -> Self {
        LossSettings {
            ignore_index: None,
            label_smoothing: 0.0,
            z_loss: 0.0,
            reduction: Reduction::default(),
        }
    }
}

/// What a recorded loss leaves of each row beside its loss, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RowValues {
    /// The log-sum-exp, in f32.
    pub log_sum_exp: bool,
    /// The log-probability of the label, in f32; 0 for an ignored row.
    pub label_log_probability: bool,
    /// The entropy of the probabilities in nats, in f32.
    pub entropy: bool,
    /// The first class with the greatest logit, in u32.
    pub argmax: bool,
}

/// What a recorded loss leaves in the second buffer given to [`Preparation::loss`]: 32 bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Tally {
    /// The reduced loss; 0 without a reduction.
    pub loss: f32,
    /// Rows that are not ignored.
    pub counted: u32,
    /// Σ w_y over them.
    pub weight: f32,
    /// 1 + the first row whose label names no class; 0 where there is none.
    wrong_row: u32,
    wrong_label: [u32; 2],
    unused: [u32; 2],
}

impl Tally {
    /// Whether every label names one of the classes or is the ignored one. Rows whose label does not were
    /// left out.
    ///
    /// # Errors
    /// [`Error::LabelOutOfRange`], which names the first row.
    pub fn check(&self, classes: u64) -> Result<()> {
        let Some(row) = self.wrong_row.checked_sub(1) else { return Ok(()) };
        let [low, high] = self.wrong_label.map(u64::from);
        let label = (high << 32 | low) as i64;
        Err(Error::LabelOutOfRange { row: row.into(), label, classes })
    }
}

impl Gpu {
    /// An operation over the logits in a buffer range that `rows` describes, to which more may be said.
    pub fn preparation<'a>(
        &'a self,
        op: Op,
        rows: &Rows,
        logits: wgpu::BufferSlice<'a>,
        dtype: Dtype,
    ) -> Preparation<'a> {
        Preparation {
            gpu: self,
            job: Job::plain(op, dtype, rows, &rows.result(op), &Options::default()),
            ranges: Ranges::of(logits, None),
            in_place: false,
            temperature: None,
            per_row: None,
            mask: None,
            additive_mask: None,
            causal: None,
            labels: None,
            class_weights: None,
            settings: None,
            row_values: RowValues::default(),
        }
    }
}

impl<'a> Preparation<'a> {
    /// With other choices than the default ones.
    pub fn options(mut self, options: Options) -> Self {
        self.job.options = options;
        self
    }

    /// Where the result goes.
    pub fn result(mut self, range: wgpu::BufferSlice<'a>, dtype: Dtype) -> Self {
        self.ranges.result = Some(range);
        self.job.dtypes.result = dtype;
        self
    }

    /// Lets the result overwrite the logits, which an operation with a value per logit can do.
    pub fn in_place(mut self) -> Self {
        self.in_place = true;
        self
    }

    /// How the result is laid out, where it is not compact.
    pub fn result_rows(mut self, rows: &Rows) -> Self {
        self.job.result = *rows;
        self
    }

    /// The operand: cotangent, tangent or weights; or a loss's target probabilities.
    pub fn operand(mut self, range: wgpu::BufferSlice<'a>, dtype: Dtype) -> Self {
        self.ranges.operand = Some(range);
        self.job.dtypes.operand = Some(dtype);
        self
    }

    /// How the operand is laid out, where it is not as the logits are.
    pub fn operand_rows(mut self, rows: &Rows) -> Self {
        self.job.operand = *rows;
        self
    }

    /// Divides the logits of all rows by one number.
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Temperatures and lengths of rows: two words for each row, counted over outer and inner. A
    /// temperature that is not finite and positive makes its row NaN; a length beyond the classes is all.
    pub fn per_row(mut self, range: wgpu::BufferSlice<'a>, held: PerRow) -> Self {
        self.per_row = Some((range, held));
        self
    }

    /// Lets only those logits take part for which a byte of `range` is not 0.
    pub fn mask(mut self, range: wgpu::BufferSlice<'a>, layout: &MaskLayout) -> Self {
        self.mask = Some((range, layout.clone()));
        self
    }

    /// Adds the f32 of `range` to the logits.
    pub fn additive_mask(mut self, range: wgpu::BufferSlice<'a>, layout: &MaskLayout) -> Self {
        self.additive_mask = Some((range, layout.clone()));
        self
    }

    /// Lets query i see the keys j ≤ i + `offset`: row r is query r mod `queries`.
    pub fn causal(mut self, queries: u32, offset: i32) -> Self {
        self.causal = Some(Causal { queries, offset, window: None });
        self
    }

    /// As [`causal`](Preparation::causal), and of those keys only the last `window`.
    pub fn sliding_window(mut self, queries: u32, offset: i32, window: u32) -> Self {
        self.causal = Some(Causal { queries, offset, window: Some(window) });
        self
    }

    /// Makes it a loss, with one label for each row, counted over outer and inner.
    pub fn labels(mut self, range: wgpu::BufferSlice<'a>, stored: LabelType) -> Self {
        self.labels = Some((range, stored));
        self
    }

    /// A weight in f32 for each class.
    pub fn class_weights(mut self, range: wgpu::BufferSlice<'a>) -> Self {
        self.class_weights = Some(range);
        self
    }

    /// What the loss is made of. The rows' losses in f32 go to `row_values`: their shares of the reduced
    /// loss, or what they are without a reduction. Its sum, the number of counted rows, and the first
    /// label that names no class, go to `tally`, a [`Tally`].
    ///
    /// The operation is [`Op::CrossEntropy`], or [`Op::CrossEntropyGradient`] where the gradient is wanted:
    /// in a result of its own, or [in place](Preparation::in_place) of the logits.
    pub fn loss(
        mut self,
        settings: &LossSettings,
        row_values: wgpu::BufferSlice<'a>,
        tally: wgpu::BufferSlice<'a>,
    ) -> Self {
        self.settings = Some(*settings);
        self.ranges.row_values = Some(Whole::of(row_values));
        self.ranges.tally = Some(Whole::of(tally));
        self
    }

    /// Also other values of each row from the same pass: after the rows' losses, all of the first one wanted,
    /// then all of the next.
    pub fn row_values(mut self, wanted: RowValues) -> Self {
        self.row_values = wanted;
        self
    }

    /// What becomes of the logits first, as the shaders are told of it.
    fn settle_adjustment(&mut self) -> Result<()> {
        let rows = &self.job.rows;
        let mut adjustment = AdjustmentParameters {
            inverse_temperature: 1f32.to_bits(),
            queries: 1,
            ..AdjustmentParameters::default()
        };
        if let Some(temperature) = self.temperature {
            check_temperature(None, temperature.into(), Dtype::F32)?;
            adjustment.kinds |= kind::ONE_TEMPERATURE;
            let [inverse, power] = inverse_of(temperature);
            (adjustment.inverse_temperature, adjustment.temperature_power) = (inverse, power as i32);
        }
        if let Some((range, held)) = self.per_row {
            if self.temperature.is_some() && held != PerRow::Lengths {
                let given = "one temperature beside those of each row";
                return Err(Error::OperandUnused { op: self.job.op, given });
            }
            adjustment.kinds |= match held {
                PerRow::Temperatures => kind::TEMPERATURE_PER_ROW,
                PerRow::Lengths => kind::LENGTHS,
                PerRow::TemperaturesAndLengths => kind::TEMPERATURE_PER_ROW | kind::LENGTHS,
            };
            self.ranges.per_row = Some(Whole { range, bytes: 8 * rows.count() });
        }
        if let Some((range, layout)) = &self.mask {
            check_same_rows(rows, &layout.rows)?;
            adjustment.kinds |= kind::MASK;
            (adjustment.mask_digits, adjustment.mask) = (layout.digits, layout.lengths_and_strides);
            self.ranges.mask = Some(Whole { range: *range, bytes: layout.elements });
        }
        if let Some((range, layout)) = &self.additive_mask {
            check_same_rows(rows, &layout.rows)?;
            adjustment.kinds |= kind::ADDITIVE_MASK;
            (adjustment.additive_digits, adjustment.additive) = (layout.digits, layout.lengths_and_strides);
            self.ranges.additive_mask = Some(Whole { range: *range, bytes: 4 * layout.elements });
        }
        if let Some(Causal { queries, offset, window }) = self.causal {
            let most = 1 << 30;
            adjustment.kinds |= kind::CAUSAL;
            (adjustment.queries, adjustment.causal_offset) = (queries.max(1), offset.clamp(-most, most));
            if let Some(window) = window {
                adjustment.kinds |= kind::WINDOW;
                adjustment.window = window;
            }
        }
        self.job.adjustment =
            if adjustment.kinds == 0 { AdjustmentParameters::default() } else { adjustment };
        Ok(())
    }

    /// What a loss is made of, as the shaders are told of it.
    fn settle_loss(&mut self) -> Result<()> {
        let (op, rows) = (self.job.op, self.job.rows);
        let (count, classes) = (rows.count(), rows.classes());
        self.ranges.labels =
            self.labels.map(|(range, stored)| Whole { range, bytes: count * stored.bytes() });
        self.ranges.class_weights = self.class_weights.map(|range| Whole { range, bytes: 4 * classes });
        self.job.class_weights = self.class_weights.is_some();
        let unused = |given| Err(Error::OperandUnused { op, given });
        let Some(LossSettings { ignore_index, label_smoothing, z_loss, reduction }) = self.settings else {
            if op.is_loss() {
                let needed = "a loss: what it is made of, and where it goes";
                return Err(Error::OperandMissing { op, needed });
            }
            return match self.row_values == RowValues::default() {
                true => Ok(()),
                false => unused("values of rows beside a loss"),
            };
        };
        let limit = tally::most_rows(self.gpu.capabilities());
        if count > limit {
            let (what, needed) = ("the rows of a recorded loss", count);
            let remedy = "give it in several batches of rows, or use the one-call functions";
            return Err(Error::LimitExceeded { what, needed, limit, remedy });
        }
        let refuse =
            |what, value: f32, allowed| Err(Error::LossParameter { what, value: value.to_string(), allowed });
        if !(0.0..=1.0).contains(&label_smoothing) {
            return refuse("the label smoothing", label_smoothing, "a number from 0 to 1");
        }
        if !z_loss.is_finite() {
            return refuse("the z-loss coefficient", z_loss, "a finite number");
        }
        if self.ranges.operand.is_some() && ignore_index.is_some() {
            return unused("an ignored label beside target probabilities");
        }
        if self.ranges.operand.is_some() && self.row_values.label_log_probability {
            return unused("labels' log-probabilities without labels");
        }

        // The tally of labels divides a mean's factors on the device; without labels every row counts.
        let divisor = match (reduction, &self.labels) {
            (Reduction::Mean, None) => count as f32,
            _ => 1.0,
        };
        let ignored = ignore_index.unwrap_or(0) as u64;
        let mut loss = LossParameters {
            kept: (1.0 - label_smoothing).to_bits(),
            spread: (label_smoothing / classes.max(1) as f32).to_bits(),
            scale: (1.0 / divisor).to_bits(),
            z_scale: (2.0 * z_loss / divisor).to_bits(),
            kinds: loss_kind::SHARES
                | match reduction {
                    Reduction::None => loss_kind::UNREDUCED,
                    Reduction::Sum => 0,
                    Reduction::Mean => loss_kind::MEAN,
                }
                | if self.labels.is_none() { loss_kind::WITHOUT_LABELS } else { 0 },
            ignored_low: ignored as u32,
            ignored_high: (ignored >> 32) as u32,
            label_kind: self.labels.map_or(0, |(_, stored)| stored.kind())
                | if ignore_index.is_none() { label_kind::NONE_IGNORED } else { 0 },
            ..LossParameters::default()
        };
        let RowValues { log_sum_exp, label_log_probability, entropy, argmax } = self.row_values;
        let mut next = count;
        for (at, wanted) in [
            (&mut loss.log_sum_exp_at, log_sum_exp),
            (&mut loss.label_log_probability_at, label_log_probability),
            (&mut loss.entropy_at, entropy),
            (&mut loss.argmax_at, argmax),
        ] {
            *at = if wanted { next as u32 } else { NONE };
            next += if wanted { count } else { 0 };
        }
        self.job.loss = loss;
        let of = |part: Option<Whole<'a>>, bytes| part.map(|part| Whole { bytes, ..part });
        self.ranges.row_values = of(self.ranges.row_values, 4 * next);
        self.ranges.tally = of(self.ranges.tally, size_of::<Tally>() as u64);
        Ok(())
    }

    /// Makes it ready to be recorded, as [`Gpu::prepare`] does.
    ///
    /// # Errors
    /// As [`Gpu::prepare`], [`Error::NotInPlace`], [`Error::OperandUnused`] for parts that the operation has no
    /// use for, [`Error::ResultRowsMismatch`], [`Error::TemperatureOutOfRange`], [`Error::LossParameter`].
    pub fn prepare(mut self) -> Result<Prepared> {
        self.settle_adjustment()?;
        self.settle_loss()?;
        let op = self.job.op;
        match self.ranges.result {
            Some(_) if self.in_place => {
                return Err(Error::OperandUnused {
                    op,
                    given: "a result beside the logits that it overwrites",
                });
            }
            None if self.in_place && op.output() != Output::PerElement => {
                return Err(Error::NotInPlace { op });
            }
            None if self.in_place => {
                (self.job.result, self.job.dtypes.result) = (self.job.rows, self.job.dtypes.logits);
            }
            None if self.job.writes_result() => {
                return Err(Error::OperandMissing { op, needed: "a result, or leave to work in place" });
            }
            _ => {}
        }
        self.gpu.prepare_job(self.job, self.ranges)
    }
}
