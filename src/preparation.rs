//! An operation over buffers with more to it than logits and a result, before it is prepared: operands,
//! dtypes, temperatures, masks, losses.

use crate::adjustment::{Broadcast, check_temperature};
use crate::arrangement::Arrangement;
use crate::assemble::Dtypes;
use crate::encode::{Prepared, Ranges};
use crate::inputs::{NONE, inverse_of, kind, packed_digits};
use crate::kernels::tally;
use crate::plan::{Job, loss_kind};
use crate::{Axes, Dtype, Error, Gpu, Op, Options, Reduction, Result, Rows};

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
    row_values: RowValues,
    wrong: Option<Error>,
}

/// Where the elements of a mask lie that is broadcast to an array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MaskLayout {
    broadcast: Broadcast,
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
        Rows::of_shape(shape, &axes)?;
        let arrangement = Arrangement::new(Op::Softmax, shape, &axes)?;
        let broadcast = Broadcast::of_shape("the mask", mask, shape, &arrangement)?;
        packed_digits(&broadcast).map(|_| MaskLayout { broadcast })
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
        let plain = Job::plain(op, dtype, rows, &rows.result(op), &Options::default());
        let job = Job { dtypes: Dtypes { operand: None, ..plain.dtypes }, ..plain };
        let ranges = Ranges::of(logits, None);
        Preparation { gpu: self, job, ranges, in_place: false, row_values: RowValues::default(), wrong: None }
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
        if let Err(error) = check_temperature(None, temperature.into(), Dtype::F32) {
            self.wrong = Some(error);
            return self;
        }
        let [inverse, power] = inverse_of(temperature);
        let adjustment = self.adjustment(kind::ONE_TEMPERATURE);
        (adjustment.inverse_temperature, adjustment.temperature_power) = (inverse, power as i32);
        self
    }

    /// Temperatures and lengths of rows: two words for each row, counted over outer and inner. A
    /// temperature that is not finite and positive makes its row NaN; a length beyond the classes is all.
    pub fn per_row(mut self, range: wgpu::BufferSlice<'a>, held: PerRow) -> Self {
        self.adjustment(match held {
            PerRow::Temperatures => kind::TEMPERATURE_PER_ROW,
            PerRow::Lengths => kind::LENGTHS,
            PerRow::TemperaturesAndLengths => kind::TEMPERATURE_PER_ROW | kind::LENGTHS,
        });
        self.ranges.per_row = Some(range);
        self
    }

    /// Lets only those logits take part for which a byte of `range` is not 0.
    pub fn mask(mut self, range: wgpu::BufferSlice<'a>, layout: &MaskLayout) -> Self {
        match packed_digits(&layout.broadcast) {
            Ok((digits, words)) => {
                let adjustment = self.adjustment(kind::MASK);
                (adjustment.mask_digits, adjustment.mask) = (digits, words);
            }
            Err(error) => self.wrong = Some(error),
        }
        self.ranges.mask = Some(range);
        self
    }

    /// Adds the f32 of `range` to the logits.
    pub fn additive_mask(mut self, range: wgpu::BufferSlice<'a>, layout: &MaskLayout) -> Self {
        match packed_digits(&layout.broadcast) {
            Ok((digits, words)) => {
                let adjustment = self.adjustment(kind::ADDITIVE_MASK);
                (adjustment.additive_digits, adjustment.additive) = (digits, words);
            }
            Err(error) => self.wrong = Some(error),
        }
        self.ranges.additive_mask = Some(range);
        self
    }

    /// Lets query i see the keys j ≤ i + `offset`: row r is query r mod `queries`.
    pub fn causal(mut self, queries: u32, offset: i32) -> Self {
        let most = 1 << 30;
        let adjustment = self.adjustment(kind::CAUSAL);
        (adjustment.queries, adjustment.causal_offset) = (queries.max(1), offset.clamp(-most, most));
        self
    }

    /// As [`causal`](Preparation::causal), and of those keys only the last `window`.
    pub fn sliding_window(self, queries: u32, offset: i32, window: u32) -> Self {
        let mut causal = self.causal(queries, offset);
        causal.adjustment(kind::WINDOW).window = window;
        causal
    }

    fn adjustment(&mut self, kinds: u32) -> &mut crate::plan::AdjustmentParameters {
        let adjustment = &mut self.job.adjustment;
        if adjustment.kinds == 0 {
            (adjustment.inverse_temperature, adjustment.queries) = (1f32.to_bits(), 1);
        }
        adjustment.kinds |= kinds;
        adjustment
    }

    /// Makes it a loss, with one label for each row, counted over outer and inner.
    pub fn labels(mut self, range: wgpu::BufferSlice<'a>, stored: LabelType) -> Self {
        self.ranges.labels = Some(range);
        self.job.loss.label_kind = match stored {
            LabelType::I32 => 0,
            LabelType::I64 => 1,
            LabelType::U8 => 2,
            LabelType::U32 => 8,
        };
        self
    }

    /// A weight in f32 for each class.
    pub fn class_weights(mut self, range: wgpu::BufferSlice<'a>) -> Self {
        self.ranges.class_weights = Some(range);
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
        let LossSettings { ignore_index, label_smoothing, z_loss, reduction } = *settings;
        let refuse = |what, value: f32, allowed| {
            Some(Error::LossParameter { what, value: value.to_string(), allowed })
        };
        if !(0.0..=1.0).contains(&label_smoothing) {
            self.wrong = refuse("the label smoothing", label_smoothing, "a number from 0 to 1");
        } else if !z_loss.is_finite() {
            self.wrong = refuse("the z-loss coefficient", z_loss, "a finite number");
        }
        let classes = self.job.rows.classes().max(1) as f32;
        let loss = &mut self.job.loss;
        loss.kept = (1.0 - label_smoothing).to_bits();
        loss.spread = (label_smoothing / classes).to_bits();
        loss.scale = 1f32.to_bits();
        loss.z_scale = (2.0 * z_loss).to_bits();
        loss.kinds |= loss_kind::SHARES;
        loss.kinds |= match reduction {
            Reduction::None => loss_kind::UNREDUCED,
            Reduction::Sum => 0,
            Reduction::Mean => loss_kind::MEAN,
        };
        match ignore_index {
            Some(label) => {
                loss.ignored_low = label as u64 as u32;
                loss.ignored_high = (label as u64 >> 32) as u32;
            }
            None => loss.label_kind |= 4,
        }
        self.ranges.row_values = Some(row_values);
        self.ranges.tally = Some(tally);
        let wanted = self.row_values;
        self.row_values(wanted)
    }

    /// Also other values of each row from the same pass: after the rows' losses, all of the first one wanted,
    /// then all of the next.
    pub fn row_values(mut self, wanted: RowValues) -> Self {
        let RowValues { log_sum_exp, label_log_probability, entropy, argmax } = wanted;
        let rows = self.job.rows.count() as u32;
        let loss = &mut self.job.loss;
        let mut next = rows;
        for (at, wanted) in [
            (&mut loss.log_sum_exp_at, log_sum_exp),
            (&mut loss.label_log_probability_at, label_log_probability),
            (&mut loss.entropy_at, entropy),
            (&mut loss.argmax_at, argmax),
        ] {
            *at = if wanted { next } else { NONE };
            next = next.saturating_add(if wanted { rows } else { 0 });
        }
        self.row_values = wanted;
        self
    }

    /// What of a loss is known only once all has been said.
    fn settle_loss(&mut self) -> Result<()> {
        let rows = self.job.rows.count();
        let limit = tally::most_rows(self.gpu.capabilities());
        if rows > limit {
            let remedy = "give it in several batches of rows, or use the one-call functions";
            return Err(Error::LimitExceeded {
                what: "the rows of a recorded loss",
                needed: rows,
                limit,
                remedy,
            });
        }
        self.job.class_weights = self.ranges.class_weights.is_some();
        let loss = &mut self.job.loss;
        if self.ranges.labels.is_none() {
            loss.kinds |= loss_kind::WITHOUT_LABELS;
            if loss.kinds & loss_kind::MEAN != 0 {
                let share = |bits: u32| (f32::from_bits(bits) / rows as f32).to_bits();
                (loss.scale, loss.z_scale) = (share(loss.scale), share(loss.z_scale));
            }
        }
        let RowValues { log_sum_exp, label_log_probability, entropy, argmax } = self.row_values;
        let beside = [log_sum_exp, label_log_probability, entropy, argmax];
        let values = 1 + beside.into_iter().filter(|wanted| *wanted).count() as u64;
        let needed = [
            (self.ranges.row_values, 4 * rows * values, "values of rows'"),
            (self.ranges.tally, size_of::<Tally>() as u64, "tally's"),
            (self.ranges.class_weights, 4 * self.job.rows.classes(), "class weights'"),
            (self.ranges.labels, rows * label_bytes(loss.label_kind), "labels'"),
        ];
        for (range, needed, what) in needed {
            if let Some(range) = range
                && range.size() < needed
            {
                return Err(Error::BufferTooSmall { what, needed, actual: range.size() });
            }
        }
        Ok(())
    }

    /// Makes it ready to be recorded, as [`Gpu::prepare`] does.
    ///
    /// # Errors
    /// As [`Gpu::prepare`], [`Error::OperandMissing`], [`Error::NotInPlace`], and what was wrong with any
    /// of its parts.
    pub fn prepare(mut self) -> Result<Prepared> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        let op = self.job.op;
        if op.is_loss() && self.ranges.tally.is_none() {
            return Err(Error::OperandMissing {
                op,
                needed: "a loss: what it is made of, and where it goes",
            });
        }
        if op.is_loss() && self.ranges.labels.is_none() && self.ranges.operand.is_none() {
            return Err(Error::OperandMissing { op, needed: "labels or target probabilities" });
        }
        if op.is_loss() {
            self.settle_loss()?;
        }
        match self.ranges.result {
            Some(_) if self.in_place => {
                return Err(Error::OperandUnused {
                    op,
                    given: "a result beside the logits that it overwrites",
                });
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

fn label_bytes(label_kind: u32) -> u64 {
    match label_kind & 3 {
        1 => 8,
        2 => 1,
        _ => 4,
    }
}
